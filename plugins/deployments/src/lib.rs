//! The API of LOPCO's deployment manager: the containers of a site's data pipelines, and the images that they are made of.
//!
//! A *worker* is a run-once container of a pipeline, a *protocol adapter* a long-running one that takes data in, *core* are the product's own services; a label
//! says which. All of them share one network and one volume, the *data cache*.
//!
//! Clients of this API read a record and post parts of it again, so what GET shows is what POST takes. They were written against a server whose every failure is a
//! status without a body, whose responses are all `application/json` unless they say otherwise, and which takes `%2F` for a slash and `/deployments/` for
//! `/deployments`; [`router`] answers like that. Nothing is kept here between two requests: the engine knows everything.

use serde_json::json;
use wharf_sdk::{Description, Plugin, Request, Response, Router};

mod deploy;
mod environment;
mod failure;
mod images;
mod json;
mod lifecycle;
mod list;
mod log;
mod ports;
mod record;
mod remote_digests;
mod settings;
#[cfg(test)]
mod tests;

struct Deployments;

impl Plugin for Deployments {
    fn describe() -> Description {
        Description::new()
            .wants(
                "docker",
                &[
                    "containers.read",
                    "containers.env",
                    "containers.logs",
                    "containers.lifecycle",
                    "containers.create",
                    "containers.remove",
                    "images.read",
                    "images.pull",
                    "images.prune",
                    "distribution.read",
                ],
            )
            .wants("registry", &["digests.read"])
            .config_schema(json!({
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "network": {
                        "type": "string",
                        "minLength": 1,
                        "default": settings::NETWORK,
                        "description": "The network that deployed containers join.",
                    },
                    "data_cache_volume": {
                        "type": "string",
                        "minLength": 1,
                        "default": settings::DATA_CACHE_VOLUME,
                        "description": "The volume that deployed containers share.",
                    },
                },
            }))
    }

    fn routes() -> Router {
        router()
            .get("/deployments", list::list)
            .post("/deployments", deploy::deploy)
            .get("/deployments/{deployment}", list::get)
            .patch("/deployments/{deployment}", lifecycle::patch)
            .delete("/deployments/{deployment}", lifecycle::delete)
            .get("/deployments/{deployment}/log", log::read)
            .get("/images", images::list)
            .post("/images", images::pull)
            .patch("/images", images::patch)
            .get("/images/{image}", images::get)
            .get("/remote-digests/{image}", remote_digests::get)
            .summary("GET", "/deployments", "Lists all deployed containers, or those of one `type`.")
            .summary("POST", "/deployments", "Deploys a worker or a protocol adapter.")
            .summary("GET", "/deployments/{deployment}", "Shows a container.")
            .summary("PATCH", "/deployments/{deployment}", "Starts or stops a container.")
            .summary("DELETE", "/deployments/{deployment}", "Stops a container and removes it.")
            .summary("GET", "/deployments/{deployment}/log", "The log, or a part of it by `lines`, `since` and `until`.")
            .summary("GET", "/images", "Lists the tagged images that the engine holds.")
            .summary("POST", "/images", "Pulls an image, and answers when it is there.")
            .summary("PATCH", "/images", "Pulls an image, or without a body removes the untagged ones.")
            .summary("GET", "/images/{image}", "Shows an image; its reference is percent-encoded twice.")
            .summary("GET", "/remote-digests/{image}", "The digest that the registry has for a reference.")
    }
}

/// A router that answers what has no handler as this API's clients know it.
fn router() -> Router {
    Router::new()
        .strip_trailing_slash()
        .encoded_slash_separates()
        .head_not_implied()
        .default_content_type("application/json")
        .not_found(|_: &Request| Response::new(404))
        .method_not_allowed(|_, allowed| Response::new(405).header("allow", format!("{}, OPTIONS", allowed.join(", "))))
        .options(|_, allowed| Response::new(200).header("allow", allowed.join(", ")))
}

wharf_sdk::export!(Deployments);
