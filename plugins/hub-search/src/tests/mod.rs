//! The API as its clients see it, on a host in memory.

use serde_json::{Value, json};
use wharf_sdk::docker::Error;
use wharf_sdk::fake::{self, Answer, Container, Host, Image, RemoteImage, RequestBuilder};
use wharf_sdk::registry::catalog_read::{Catalog, CatalogEntry, CatalogKind};
use wharf_sdk::registry::hub_read::HubRepository;

use crate::HubSearch;

mod account;
mod changing;
mod lists;
mod reading;
mod templates;

fn send(request: RequestBuilder) -> Answer {
    fake::call::<HubSearch>(request)
}

#[track_caller]
fn check(request: RequestBuilder, expected: &Value) {
    let asked = format!("{request:?}");
    let answer = send(request);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{asked}: {}", answer.text());
    assert_eq!(answer.json(), *expected, "{asked}");
}

/// The request is answered with `code` in the envelope and as the status, and with a message that begins with `message`.
#[track_caller]
fn check_failure(request: RequestBuilder, code: u16, message: &str) {
    let asked = format!("{request:?}");
    let answer = send(request);
    let envelope = answer.json();
    assert_eq!((answer.status, &envelope["error"]["code"]), (code, &json!(code)), "{asked}: {envelope}");
    let said = envelope["error"]["message"].as_str().unwrap();
    assert!(said.starts_with(message), "{asked}: {said}");
    assert_eq!(envelope.as_object().unwrap().len(), 1);
}

fn image(tag: &str, size: u64) -> Image {
    Image::new(tag).details(json!({"Size": size}))
}

fn entry(kind: CatalogKind, name: &str, version: &str) -> CatalogEntry {
    CatalogEntry {
        kind,
        name: name.to_owned(),
        version: version.to_owned(),
        title: name.to_uppercase(),
        description: format!("About {name}."),
        architecture: "amd64".to_owned(),
        icon: String::new(),
        location: format!("https://registry.hub.docker.com/_/{name}/"),
        size: (kind == CatalogKind::Lxc).then_some(173_363_200),
        archive_url: None,
        archive_digest: None,
    }
}

fn found(name: &str, stars: u64) -> HubRepository {
    HubRepository { name: name.to_owned(), description: format!("About {name}"), stars, official: !name.contains('/'), trusted: true }
}
