//! The API of Image Watch: which containers run an image that its registry has replaced, and the replacing of them.
//!
//! A check ([`check`]) is a job of the schedule `check`; what it finds is kept in the host's storage, and a list is one read of it. An update ([`update`]) is a job too: the host recreates the container, and what is known of
//! it here (whether it is updated automatically, since when, and what has failed) follows it to its new id. Nothing is kept in an instance between two calls.
//!
//! Credentials of registries are the host's, and so is everything that could lose a container: the plugin has no power but to list, and to have a container recreated on what its own reference leads to.

use std::time::Duration;

use wharf_sdk::jobs::{Failure as JobFailure, Timing, Work};
use wharf_sdk::{Description, IntoResponse, Jobs, Plugin, Request, Response, Router};

mod api;
mod check;
mod clock;
mod digest;
mod document;
mod failure;
mod history;
mod labels;
mod progress;
mod records;
mod reference;
mod settings;
mod snapshot;
#[cfg(test)]
mod tests;
mod update;
mod windows;

use api::{account, groups, guarded, images};
use failure::Failure;

/// The schedule of checks, and the kind of its jobs.
const CHECK: &str = "check";
/// How often everything is checked unless the operator says otherwise.
const INTERVAL: Duration = Duration::from_secs(600);

struct UpdateChecker;

impl Plugin for UpdateChecker {
    fn describe() -> Description {
        Description::new()
            .wants("docker", &["containers.read", "containers.recreate", "images.read", "operations.read"])
            .wants("registry", &["digests.read", "manifests.read"])
            .wants("storage", &["keyvalue"])
            .wants("jobs", &["queue", "webhooks"])
            .wants("identity", &["principal", "sessions"])
            .config_schema(settings::schema())
            .schedule(CHECK, &Timing::every(INTERVAL).at_start())
    }

    fn routes() -> Router {
        Router::new()
            .get("/api/images", guarded(images::list))
            .get("/api/images/", guarded(images::below))
            .get("/api/images/{*path}", guarded(images::below))
            .post("/api/images/{*path}", guarded(images::below))
            .post("/api/groups/", guarded(groups::below))
            .post("/api/groups/{*path}", guarded(groups::below))
            .get("/api/history", guarded(api::history::list))
            .post("/api/login", account::login)
            .post("/api/logout", account::logout)
            .get("/api/auth/status", account::status)
            .route("HEAD", "/api/auth/status", account::status)
            .get("/health", healthy)
            .route("HEAD", "/health", healthy)
            .summary("GET", "/api/images", "Lists the running containers by image, with what the registries have in their place.")
            .summary("GET", "/api/images/{*path}", "`{id}/progress`: how far an update is; `{id}/events`: the same as it comes.")
            .summary(
                "POST",
                "/api/images/{*path}",
                "`{id}/update`: pulls the image and recreates the container; `{id}/auto-update`: switches automatic updates on or off.",
            )
            .summary(
                "POST",
                "/api/groups/{*path}",
                "`update` with `{\"image\": …}`, or `{image}/update`: updates all containers of an image.",
            )
            .summary("GET", "/api/history", "The updates that have ended, the newest first.")
            .summary("POST", "/api/login", "Begins a session for `user` and `pass`.")
            .summary("POST", "/api/logout", "Ends the session.")
            .summary("GET", "/api/auth/status", "Whether the site has users.")
            .summary("GET", "/health", "Answers 200.")
            .head_not_implied()
            .options(other_method)
            .method_not_allowed(other_method)
            .not_found(|_: &Request| Failure::NotFound)
    }
}

impl Jobs for UpdateChecker {
    fn run(work: &Work) -> Result<(), JobFailure> {
        match work.kind.as_str() {
            CHECK => Ok(check::run()?),
            update::KIND => update::run(work),
            other => Err(JobFailure::Never(format!("there is no job `{other}`"))),
        }
    }
}

fn healthy(_: &Request) -> Response {
    Response::new(200)
}

/// The answer to a method that a path does not list: what is wrong with the path, or who asks, goes before what is wrong with the method.
fn other_method(request: &Request, allowed: &[&str]) -> Response {
    let path = request.path();
    if path.starts_with("/api/images/") {
        guarded(images::below)(request)
    } else if path.starts_with("/api/groups/") {
        guarded(groups::below)(request)
    } else if path == "/api/images" {
        guarded(images::list)(request)
    } else if path == "/api/history" {
        guarded(api::history::list)(request)
    } else if allowed.contains(&"POST") {
        Failure::MethodNotAllowed("POST").into_response()
    } else {
        Failure::MethodNotAllowed("GET, HEAD").into_response()
    }
}

wharf_sdk::export!(UpdateChecker, jobs);
