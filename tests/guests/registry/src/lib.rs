//! Carries out one call of the registry room for each request, and answers what came back as JSON: `POST /digests-read.heads` with the arguments as the body.
//!
//! It imports every interface of the room, so that a test chooses by the grant what it may.

use serde::Deserialize;
use serde_json::{Value, json};
use wharf_sdk::registry::catalog_read::CatalogEntry;
use wharf_sdk::registry::{Error, catalog_download, catalog_read, digests_read, hub_read, manifests_read, problem, references, tags_read};
use wharf_sdk::{Description, Plugin, Request, Response, Router};

struct Registry;

impl Plugin for Registry {
    fn describe() -> Description {
        Description::new()
            .wants("registry", &["digests.read", "manifests.read", "tags.read", "hub.read", "catalog.read", "catalog.download"])
    }

    fn routes() -> Router {
        Router::new().post("/{function}", call)
    }
}

/// The arguments of every function, each with what it needs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    references: Vec<String>,
    reference: String,
    platform: Option<String>,
    limit: u32,
    term: String,
    name: String,
    catalog: String,
    version: Option<String>,
    blob: String,
}

fn call(request: &Request) -> Response {
    let arguments: Arguments = request.json().unwrap_or_default();
    let answer = carry_out(&request.param("function"), &arguments);
    Response::json(&answer.unwrap_or_else(|error| error_json(&error)))
}

fn carry_out(function: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (reference, platform) = (arguments.reference.as_str(), arguments.platform.as_deref());
    let manifest = |found: manifests_read::Manifest| json!({"digest": found.digest, "type": found.media_type, "json": found.json});
    Ok(match function {
        "references.resolve" => {
            let found = references::resolve(reference)?;
            json!([found.full, found.familiar, found.registry, found.repository, found.tag, found.digest])
        }
        "digests-read.heads" => {
            let heads = digests_read::heads(&arguments.references).into_iter();
            heads.map(|head| head.map_or_else(|error| error_json(&error), |head| json!(head.digest))).collect()
        }
        "digests-read.last-quota" => json!(digests_read::last_quota(reference)?.map(|quota| [quota.limit, quota.remaining])),
        "manifests-read.fetch" => manifest(manifests_read::fetch(reference)?),
        "manifests-read.fetch-platform" => manifest(manifests_read::fetch_platform(reference, platform)?),
        "manifests-read.fetch-config" => {
            let found = manifests_read::fetch_config(reference, platform)?;
            json!({"digest": found.digest, "manifest": found.manifest_digest, "config": found.details::<Value>()?})
        }
        "tags-read.list" => {
            let found = tags_read::list(reference, arguments.limit)?;
            json!({"tags": found.tags, "complete": found.complete})
        }
        "hub-read.search" => {
            let found = hub_read::search(&arguments.term, arguments.limit)?;
            let repository =
                |found: hub_read::HubRepository| json!([found.name, found.description, found.stars, found.official, found.trusted]);
            json!({"provider": found.provider, "found": found.repositories.into_iter().map(repository).collect::<Vec<_>>()})
        }
        "hub-read.tags" => json!(hub_read::tags(reference, arguments.limit)?),
        "catalog-read.list" => {
            let catalog = catalog_read::list(&arguments.name)?;
            let entry = |entry: CatalogEntry| json!([format!("{:?}", entry.kind), entry.name, entry.version, entry.title, entry.size]);
            json!({"entries": catalog.entries.into_iter().map(entry).collect::<Vec<_>>(), "skipped": catalog.skipped})
        }
        "catalog-download.begin" => {
            let Arguments { catalog, name, version, blob, .. } = arguments;
            json!(catalog_download::begin(catalog, name, version.as_deref(), blob)?)
        }
        _ => json!("no such function"),
    })
}

/// The word of the error; for what a registry did wrong, the word for that and its text.
fn error_json(error: &Error) -> Value {
    let word = match error {
        Error::Denied => "denied",
        Error::NotFound => "not-found",
        Error::Timeout => "timeout",
        Error::QuotaExceeded => "quota-exceeded",
        Error::Invalid(_) => "invalid",
        Error::Conflict(_) => "conflict",
        Error::Unavailable(_) => problem(error).unwrap_or("unavailable"),
        Error::Internal(_) => "internal",
    };
    json!({"error": word, "reason": error.to_string()})
}

wharf_sdk::export!(Registry);
