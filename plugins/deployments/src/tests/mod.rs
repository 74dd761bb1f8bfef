//! The API as its clients see it, on a host in memory.

use serde_json::{Value, json};
use wharf_sdk::docker::Error;
use wharf_sdk::fake::{self, Answer, Container, Host, Image, RequestBuilder};

use crate::Deployments;

mod changing;
mod deploying;
mod images;
mod logs;
mod paths;
mod ports;
mod reading;

const ADAPTER_IMAGE: &str = "platonam/lopco-http-protocol-adapter:dev";

/// A site with its network, and one image that the engine holds.
fn site() -> Host {
    let host = Host::install();
    host.network("lopco-network");
    host.image(Image::new(ADAPTER_IMAGE));
    host
}

fn send(request: RequestBuilder) -> Answer {
    fake::call::<Deployments>(request)
}

/// The request is answered with `status` and nothing else.
#[track_caller]
fn check_empty(request: RequestBuilder, status: u16) {
    let asked = format!("{request:?}");
    let answer = send(request);
    assert_eq!((answer.status, answer.text().as_str(), answer.header("content-type")), (status, "", Some("application/json")), "{asked}");
}

fn get_json(target: &str) -> Value {
    let answer = send(fake::get(target));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{}", answer.text());
    answer.json()
}

fn adapter(ports: Value) -> Value {
    json!({
        "id": "5e674298",
        "image": ADAPTER_IMAGE,
        "data_cache_path": "/data_cache",
        "configs": {"CONF_LOGGER_LEVEL": "info"},
        "ports": ports,
        "type": "protocol-adapter",
    })
}

/// Deploys `body` and answers the container's name and what the engine knows of it.
#[track_caller]
fn deploy(host: &Host, body: &Value) -> (String, Value) {
    let answer = send(fake::post("/deployments").json(body));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{:?}", host.lines());
    let name = answer.text();
    let details = host.details(&name).unwrap();
    (name, details)
}
