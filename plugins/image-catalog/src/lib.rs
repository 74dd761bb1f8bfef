//! The catalogue of docker images of a UFDL backend: which images the workers of a site may use, and for what.
//!
//! The clients were written against a server of another kind, whose words for everything that goes wrong are part of the API; they are in [`failure`] and [`body`]. Whoever is logged in reads, an
//! administrator writes. A deleted image stays, marked, since jobs refer to it.
//!
//! Filters become one statement with parameters ([`filter`]); nothing is filtered here. Passwords of registries are sealed in the database and shown in clear to everybody who may read the catalogue, as
//! the API has it: workers log in by them.

use serde_json::json;
use wharf_sdk::{Description, Plugin, Request, Router};

mod account;
mod auth;
mod body;
mod failure;
mod fields;
mod filter;
mod images;
mod input;
mod list;
mod record;
mod reference;
mod reference_data;
mod tables;
#[cfg(test)]
mod tests;
mod time;

use failure::Failure;
use reference::{CUDA, DOMAINS, FRAMEWORKS, HARDWARE, LICENCES, Table};

/// The plugin.
#[derive(Debug)]
pub struct ImageCatalog;

impl Plugin for ImageCatalog {
    fn describe() -> Description {
        let lifetime = |default: u64, description: &str| json!({"type": "integer", "minimum": 1, "maximum": 31_536_000, "default": default, "description": description});
        Description::new().wants("storage", &["sql", "sealed"]).wants("identity", &["principal", "tokens"]).config_schema(json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "access_token_secs": lifetime(300_000, "How long an access token is valid."),
                "refresh_token_secs": lifetime(86_400, "How long a refresh token is valid."),
            },
        }))
    }

    fn routes() -> Router {
        let router = router()
            .post("/v1/auth/obtain", auth::obtain)
            .post("/v1/auth/refresh", auth::refresh)
            .post("/v1/auth/verify", auth::verify)
            .post("/v1/docker/list", images::list)
            .post("/v1/docker/create", images::create)
            .get("/v1/docker/{pk}", images::load)
            .put("/v1/docker/{pk}", images::replace)
            .patch("/v1/docker/{pk}", images::update)
            .delete("/v1/docker/{pk}", images::delete)
            .summary("POST", "/v1/auth/obtain", "Logs in: an access and a refresh token.")
            .summary("POST", "/v1/auth/refresh", "A new access token.")
            .summary("POST", "/v1/auth/verify", "Whether a token is valid.")
            .summary("POST", "/v1/docker/list", "Lists the images that a filter lets through.")
            .summary("POST", "/v1/docker/create", "Creates an image.")
            .summary("GET", "/v1/docker/{pk}", "Shows an image, deleted ones too.")
            .summary("PUT", "/v1/docker/{pk}", "Replaces an image's fields.")
            .summary("PATCH", "/v1/docker/{pk}", "Changes some of an image's fields.")
            .summary("DELETE", "/v1/docker/{pk}", "Marks an image as deleted.");
        let router = readable(router, "/v1/cuda/list", "/v1/cuda/{pk}", &CUDA);
        let router = readable(router, "/v1/hardware/list", "/v1/hardware/{pk}", &HARDWARE);
        let router = readable(router, "/v1/frameworks/list", "/v1/frameworks/{pk}", &FRAMEWORKS);
        let router = readable(router, "/v1/domains/list", "/v1/domains/{pk}", &DOMAINS);
        let router = readable(router, "/v1/licences/list", "/v1/licences/{pk}", &LICENCES);
        readable(router, "/v1/licenses/list", "/v1/licenses/{pk}", &LICENCES)
    }
}

/// A table that clients read.
fn readable(router: Router, list: &'static str, load: &'static str, table: &'static Table) -> Router {
    router.post(list, |request: &Request| table.list(request)).get(load, |request: &Request| table.load(request))
}

/// A router that answers what has no handler as this API's clients know it: who is not logged in hears that first.
fn router() -> Router {
    Router::new()
        .strip_trailing_slash()
        .head_not_implied()
        .not_found(|_: &Request| Failure::NotFound)
        .method_not_allowed(|request, allowed| failure::method_not_allowed(request.method(), allowed))
}

wharf_sdk::export!(ImageCatalog);
