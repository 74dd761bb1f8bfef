//! The image API of QNAP's Container Station: the images of a site, and where further ones come from.
//!
//! An image is of a *type*, `docker` or `lxc` (a template of a whole system, an archive), and in a *category*: `local` is what the engine holds and which templates are stored, `qnap` and `official` are
//! curated catalogues of the site, `dockerhub` is a live search. Names have slashes in them and are not encoded, so a path is read from both of its ends; see [`path`].
//!
//! Every failure is `{"error": {"code": …, "message": …}}` with the status `code`: clients of this API look for the key and not for the status.
//!
//! Where the site has users, everything but a login wants to know who asks; see [`account`].
//!
//! Nothing is kept here between two requests but templates, which are blobs of this plugin. What is local, and what is being downloaded, is asked of the engine and of the host each time.

use wharf_sdk::{Description, Plugin, Request, Router};

mod account;
mod catalog;
mod delete;
mod download;
mod failure;
mod inspect;
mod list;
mod local;
mod path;
mod search;
mod tags;
mod templates;
#[cfg(test)]
mod tests;

use account::known;
use failure::Failure;

struct HubSearch;

impl Plugin for HubSearch {
    fn describe() -> Description {
        Description::new()
            .wants("docker", &["images.read", "images.pull", "images.remove", "operations.read"])
            .wants("registry", &["manifests.read", "hub.read", "catalog.read", "catalog.download"])
            .wants("storage", &["blobs"])
            .wants("identity", &["principal", "sessions"])
    }

    fn routes() -> Router {
        Router::new()
            .post("/api/v1/login", account::login)
            .get("/api/v1/login_refresh", account::refresh)
            .put("/api/v1/logout", account::logout)
            .get("/api/v1/image", known(list::list))
            .get("/api/v1/image/downloadstatus", known(download::status))
            .get("/api/v1/image/{*path}", known(path::get))
            .post("/api/v1/image/{*path}", known(path::post))
            .delete("/api/v1/image/{*path}", known(path::delete))
            .summary("POST", "/api/v1/login", "Begins a session for `username` and `password`, a form or JSON.")
            .summary("GET", "/api/v1/login_refresh", "Puts off the end of the session.")
            .summary("PUT", "/api/v1/logout", "Ends the session.")
            .summary("GET", "/api/v1/image", "Lists the images of a `category`, filtered by `filter_text` and `type`.")
            .summary("GET", "/api/v1/image/downloadstatus", "The downloads that are under way.")
            .summary(
                "GET",
                "/api/v1/image/{*path}",
                "`{docker|lxc}/{name}/{tag}/inspect`, `docker/{name}/{tag}/remote_inspect`, `dockerhub/docker/{0|1}/{name}/tags`.",
            )
            .summary("POST", "/api/v1/image/{*path}", "`{dockerhub|qnap}/{docker|lxc}/{name}/{tag}/download`.")
            .summary("DELETE", "/api/v1/image/{*path}", "`local/{docker|lxc}/{name}` or `local/{docker|lxc}/{name}/{tag}`.")
            .strip_trailing_slash()
            .not_found(|request: &Request| Failure::NoPath(request.path().to_owned()))
            .method_not_allowed(|_, allowed| Failure::method_not_allowed(allowed))
    }
}

wharf_sdk::export!(HubSearch);
