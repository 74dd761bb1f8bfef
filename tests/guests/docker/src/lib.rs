//! Carries out one call of the docker room for each request, and answers what came back as JSON: `POST /containers-read.inspect` with the arguments as the body.
//!
//! It imports every interface of the room, so that a test chooses by the grant what it may.

use serde::Deserialize;
use serde_json::{Value, json};
use wharf_sdk::docker::{self, Container, Error};
use wharf_sdk::docker::{
    containers_create, containers_env, containers_lifecycle, containers_logs, containers_read, containers_recreate, containers_remove,
};
use wharf_sdk::docker::{distribution_read, images_build, images_prune, images_pull, images_read, images_remove, networks_read};
use wharf_sdk::docker::{operations_cancel, operations_read, system_read, volumes_read};
use wharf_sdk::{Description, Plugin, Request, Response, Router};

struct Docker;

const POWERS: [&str; 18] = [
    "containers.read",
    "containers.env",
    "containers.logs",
    "containers.lifecycle",
    "containers.create",
    "containers.remove",
    "containers.recreate",
    "images.read",
    "images.pull",
    "images.build",
    "images.remove",
    "images.prune",
    "distribution.read",
    "operations.read",
    "operations.cancel",
    "networks.read",
    "volumes.read",
    "system.read",
];

impl Plugin for Docker {
    fn describe() -> Description {
        Description::new().wants("docker", &POWERS)
    }

    fn routes() -> Router {
        Router::new()
            .get("/log/{container}", |request: &Request| log(request))
            .get("/operations/{id}/lines", |request: &Request| watch(request, operations_read::ProgressFormat::JsonLines))
            .get("/operations/{id}/events", |request: &Request| watch(request, operations_read::ProgressFormat::ServerSentEvents))
            .get("/operation-log/{id}", |request: &Request| operation_log(request))
            .post("/build-with-body/{size}", build_with_body)
            .get("/denied-then-allowed", |_: &Request| denied_then_allowed())
            .get("/calls/{count}", calls)
            .post("/{function}", call)
    }
}

/// The arguments of every function, each with what it needs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    names: Vec<String>,
    name: String,
    all: bool,
    labels: Vec<String>,
    specification: Value,
    force: bool,
    volumes: bool,
    /// Path and text of each.
    files: Vec<(String, String)>,
    /// The paths of those that can be run.
    executable: Vec<String>,
    build_labels: Vec<(String, String)>,
    arguments: Vec<(String, String)>,
    image: Option<String>,
    pull: bool,
    settle_ms: Option<u64>,
    healthy_ms: Option<u64>,
    again: bool,
}

impl Arguments {
    /// The files, with a Dockerfile among them, and what to build of them: an image that is called `names`.
    fn build(&self) -> (Vec<images_build::ContextFile>, images_build::BuildOptions) {
        let file = |(path, text): &(String, String)| {
            let file = images_build::ContextFile::new(path, text.as_str());
            if self.executable.contains(path) { file.executable() } else { file }
        };
        let options = images_build::BuildOptions {
            dockerfile: "Dockerfile".to_owned(),
            names: self.names.clone(),
            labels: self.build_labels.clone(),
            arguments: self.arguments.clone(),
        };
        (self.files.iter().map(file).collect(), options)
    }
}

fn call(request: &Request) -> Response {
    let arguments: Arguments = request.json().unwrap_or_default();
    let answer = carry_out(&request.param("function"), &arguments);
    Response::json(&answer.unwrap_or_else(|error| error_json(&error)))
}

fn carry_out(function: &str, arguments: &Arguments) -> Result<Value, Error> {
    let name = &arguments.name;
    Ok(match function {
        "containers-read.list" => {
            let filter = containers_read::ContainerFilter { all: arguments.all, labels: arguments.labels.clone() };
            containers_read::list(&filter)?
                .into_iter()
                .map(|found| json!({"id": found.id, "names": found.names, "state": found.state}))
                .collect()
        }
        "containers-read.inspect" => containers_read::inspect(&arguments.names).into_iter().map(container_json).collect(),
        "containers-env.inspect" => containers_env::inspect(&arguments.names).into_iter().map(container_json).collect(),
        "containers-lifecycle.start" => containers_lifecycle::start(name).map(|()| json!("done"))?,
        "containers-lifecycle.stop" => containers_lifecycle::stop(name, None).map(|()| json!("done"))?,
        "containers-create.create" => json!(containers_create::create(name, &arguments.specification)?.id),
        "containers-create.run" => json!(containers_create::run(name, &arguments.specification)?.id),
        "containers-remove.remove" => {
            let options = containers_remove::RemoveOptions { force: arguments.force, volumes: arguments.volumes };
            containers_remove::remove(name, options).map(|()| json!("done"))?
        }
        "containers-recreate.begin" => {
            let limit = |ms: Option<u64>| ms.map(std::time::Duration::from_millis);
            let (image, pull, again) = (arguments.image.clone(), arguments.pull, arguments.again);
            let (settle, healthy) = (limit(arguments.settle_ms), limit(arguments.healthy_ms));
            json!(containers_recreate::begin(name, &containers_recreate::RecreateOptions { image, pull, settle, healthy, again })?)
        }
        "containers-recreate.preview" => {
            let changes = containers_recreate::preview(name, arguments.image.as_deref())?;
            changes.into_iter().map(|change| json!({"path": change.path, "from": change.from, "to": change.to})).collect()
        }
        "images-read.inspect" => {
            let images = images_read::inspect(&arguments.names).into_iter();
            images
                .map(|image| image.map_or_else(|error| error_json(&error), |image| json!({"id": image.id, "tags": image.repo_tags})))
                .collect()
        }
        "images-read.list" => images_read::list()?
            .into_iter()
            .map(|image| json!({"id": image.id, "tags": image.repo_tags, "digests": image.repo_digests, "size": image.size}))
            .collect(),
        "images-pull.pull" => images_pull::pull(name).map(|()| json!("done"))?,
        "images-pull.begin" => json!(images_pull::begin(name)?),
        "images-remove.remove" => {
            let removed = images_remove::remove(&arguments.names).into_iter();
            removed.map(|removal| or_error(removal, |removal| json!({"untagged": removal.untagged, "deleted": removal.deleted}))).collect()
        }
        "images-prune.prune" => {
            let pruned = images_prune::prune()?;
            json!({"deleted": pruned.deleted, "reclaimed": pruned.reclaimed})
        }
        "distribution-read.inspect" => {
            let found = distribution_read::inspect(&arguments.names).into_iter();
            found.map(|found| or_error(found, |found| json!({"digest": found.digest, "media_type": found.media_type}))).collect()
        }
        "operations-read.list" => operations_read::list()?.into_iter().map(|operation| operation_json(&operation)).collect(),
        "operations-read.get" => {
            operations_read::get(&arguments.names).into_iter().map(|found| or_error(found, |found| operation_json(&found))).collect()
        }
        "operations-read.wait" => operation_json(&operations_read::wait(name)?),
        "images-build.begin" => {
            let (files, options) = arguments.build();
            json!(images_build::begin(files, &options)?)
        }
        "operations-cancel.cancel" => operations_cancel::cancel(name).map(|()| json!("done"))?,
        "networks-read.list" => networks_read::list()?.into_iter().map(|network| json!(network.name)).collect(),
        "volumes-read.list" => volumes_read::list()?.into_iter().map(|volume| json!(volume.name)).collect(),
        "system-read.version" => {
            let engine = system_read::version()?;
            json!({"version": engine.version, "api": engine.api_version})
        }
        _ => json!("no such function"),
    })
}

fn or_error<T>(answer: Result<T, Error>, json: impl FnOnce(T) -> Value) -> Value {
    answer.map_or_else(|error| error_json(&error), json)
}

/// The operation's own JSON, whether it is the plugin's, and why it failed.
fn operation_json(operation: &operations_read::Operation) -> Value {
    let mut document: serde_json::Map<String, Value> = operation.details().unwrap_or_default();
    document.insert("owned".to_owned(), json!(operation.owned));
    document.insert("failure".to_owned(), operation.failure.as_ref().map(error_json).unwrap_or_default());
    Value::Object(document)
}

fn container_json(container: Result<Container, Error>) -> Value {
    match container {
        Ok(container) => {
            let details: Value = container.details().unwrap_or_default();
            json!({"id": container.id, "name": container.name, "state": container.state, "env": details.pointer("/Config/Env")})
        }
        Err(error) => error_json(&error),
    }
}

/// `denied`, or `invalid: reason`.
fn error_json(error: &Error) -> Value {
    let (word, reason) = match error {
        Error::Denied => ("denied", ""),
        Error::NotFound => ("not-found", ""),
        Error::Timeout => ("timeout", ""),
        Error::QuotaExceeded => ("quota-exceeded", ""),
        Error::Invalid(reason) => ("invalid", reason.as_str()),
        Error::Conflict(reason) => ("conflict", reason.as_str()),
        Error::Unavailable(reason) => ("unavailable", reason.as_str()),
        Error::Internal(reason) => ("internal", reason.as_str()),
    };
    json!({"error": word, "reason": reason})
}

fn log(request: &Request) -> Result<Response, Error> {
    Ok(Response::stream(containers_logs::read(&request.param("container"), &containers_logs::LogOptions::default())?))
}

fn watch(request: &Request, format: operations_read::ProgressFormat) -> Result<Response, Error> {
    Ok(Response::stream(operations_read::watch(&request.param("id"), format)?))
}

fn operation_log(request: &Request) -> Result<Response, Error> {
    Ok(Response::stream(operations_read::log(&request.param("id"))?))
}

/// Builds an image, named by the query, with the request's body as the file `model`, whose length the path says, and waits for it: a body is there only as long as its request.
fn build_with_body(request: &Request) -> Result<Response, Error> {
    let size = request.param("size").parse().map_err(|_| Error::Invalid("no size".to_owned()))?;
    let text = |name: &str| request.query().get(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
    let model = match request.take_stream() {
        Some(stream) => images_build::ContextFile::streamed("model", size, stream),
        // A small body arrives whole.
        None => images_build::ContextFile { size, ..images_build::ContextFile::new("model", request.bytes().unwrap_or_default()) },
    };
    let options = images_build::BuildOptions { dockerfile: "Dockerfile".to_owned(), names: vec![text("name")], ..Default::default() };
    let id = images_build::begin(vec![images_build::ContextFile::new("Dockerfile", text("dockerfile")), model], &options)?;
    Ok(Response::json(&operation_json(&operations_read::wait(&id)?)))
}

fn denied_then_allowed() -> Response {
    let denied = docker::containers_remove::remove("web", containers_remove::RemoveOptions::default());
    let allowed = containers_read::list(&containers_read::ContainerFilter { all: true, labels: Vec::new() });
    Response::json(&json!([denied.map_err(|error| error.to_string()), allowed.map(|found| found.len()).map_err(|error| error.to_string())]))
}

/// Makes so many host calls and answers how many were carried out.
fn calls(request: &Request) -> String {
    let count: usize = request.param("count").parse().unwrap_or(0);
    let refused = |_: &usize| matches!(system_read::version(), Err(Error::QuotaExceeded));
    let carried_out = count - (0..count).filter(refused).count();
    carried_out.to_string()
}

wharf_sdk::export!(Docker);
