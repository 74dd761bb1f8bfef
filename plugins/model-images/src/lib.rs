//! The images API of Ebonite: models, the images that are built of them, and the containers that run these.
//!
//! A *project* holds *tasks*; a task holds *models*, *pipelines* and *images*. A model is a set of artifacts with a run command, a pipeline a row of models; an image is built of one of either, really and by
//! the site's engine. An *environment* is an engine, an *instance* a container of an image.
//!
//! Models came from a client library in the original; here they are posted, as are pipelines. What was built is not pushed anywhere: the engine's own store is the registry.
//!
//! The rows are this plugin's, the images and containers are the engine's, the artifacts are blobs, and the three cannot change at once. Each handler that changes more than one of them says in its header in
//! which order, and what is left when it is ended in between.

use wharf_sdk::{Description, Plugin, Request, Router};

mod body;
mod build;
mod database;
mod environments;
mod failure;
mod healthchecks;
mod images;
mod instances;
mod kind;
mod leftovers;
mod models;
mod name;
mod pipelines;
mod projects;
mod query;
mod removal;
mod settings;
mod stored;
mod tasks;
#[cfg(test)]
mod tests;
mod time;

use failure::Failure;
use kind::Kind;
use stored::rename;

struct ModelImages;

impl Plugin for ModelImages {
    fn describe() -> Description {
        Description::new()
            .wants(
                "docker",
                &[
                    "images.read",
                    "images.build",
                    "images.remove",
                    "operations.read",
                    "operations.cancel",
                    "containers.read",
                    "containers.create",
                    "containers.lifecycle",
                    "containers.remove",
                ],
            )
            .wants("storage", &["sql", "blobs"])
            .config_schema(settings::schema())
    }

    fn routes() -> Router {
        let router = Router::new()
            .get("/projects", projects::list)
            .post("/projects", projects::create)
            .get("/projects/{id}", projects::get)
            .patch("/projects/{id}", rename(Kind::Project))
            .delete("/projects/{id}", projects::delete)
            .get("/tasks", tasks::list)
            .post("/tasks", tasks::create)
            .get("/tasks/{id}", tasks::get)
            .patch("/tasks/{id}", rename(Kind::Task))
            .delete("/tasks/{id}", tasks::delete)
            .get("/models", models::list)
            .post("/models", models::create)
            .get("/models/{id}", models::get)
            .get("/models/{id}/artifacts/{*name}", models::artifact)
            .patch("/models/{id}", rename(Kind::Model))
            .delete("/models/{id}", models::delete)
            .get("/pipelines", pipelines::list)
            .post("/pipelines", pipelines::create)
            .get("/pipelines/{id}", pipelines::get)
            .patch("/pipelines/{id}", rename(Kind::Pipeline))
            .delete("/pipelines/{id}", pipelines::delete)
            .get("/images", images::list)
            .post("/images", images::create)
            .get("/images/{id}", images::get)
            .get("/images/log", images::log::follow)
            .get("/images/{id}/log", images::log::of_image)
            .patch("/images/{id}", rename(Kind::Image))
            .delete("/images/{id}", images::delete)
            .get("/environments", environments::list)
            .post("/environments", environments::create)
            .get("/environments/{id}", environments::get)
            .patch("/environments/{id}", rename(Kind::Environment))
            .delete("/environments/{id}", environments::delete)
            .get("/instances", instances::list)
            .post("/instances", instances::create)
            .get("/instances/{id}", instances::get)
            .patch("/instances/{id}", rename(Kind::Instance))
            .delete("/instances/{id}", instances::delete)
            .get("/healthchecks/{what}", healthchecks::check)
            .not_found(|_: &Request| Failure::NoPath)
            .method_not_allowed(|_, allowed| failure::method_not_allowed(allowed));
        summaries(router)
    }
}

/// What is not told by method and path.
fn summaries(router: Router) -> Router {
    router
        .summary("GET", "/tasks", "Lists the tasks of the project `project_id`.")
        .summary("GET", "/models", "Lists the models of the task `task_id`.")
        .summary(
            "POST",
            "/models",
            "Stores a model: multipart with `name`, `task_id`, `run_cmd`, `requirements` (a JSON list) and `artifacts` (files).",
        )
        .summary("GET", "/models/{id}/artifacts/{*name}", "The bytes of an artifact.")
        .summary("GET", "/pipelines", "Lists the pipelines of the task `task_id`.")
        .summary("POST", "/pipelines", "Makes a pipeline of the models that its `steps` name.")
        .summary("GET", "/images", "Lists the images of the task `task_id`.")
        .summary("POST", "/images", "Builds an image of a model or a pipeline; `skip_build=1` only records it.")
        .summary("GET", "/images/log", "What the engine says of the build of the image `name` in the task `task_id`, until its end.")
        .summary("GET", "/images/{id}/log", "What the engine said when it built the image.")
        .summary(
            "DELETE",
            "/images/{id}",
            "Deletes an image, with `cascade=1` its instances too, with `meta_only=1` nothing on the engine.",
        )
        .summary("GET", "/instances", "Lists the instances of `image_id`, of `environment_id`, or of both.")
        .summary("POST", "/instances", "Starts a container of an image; `run=0` only records it.")
        .summary("DELETE", "/instances/{id}", "Stops and removes the container; with `meta_only=1` nothing on the engine.")
        .summary("GET", "/healthchecks/{what}", "Whether `docker`, `metadata` or `artifact` answers.")
}

wharf_sdk::export!(ModelImages);
