//! The algebra: documents in, documents out. What real engines answer is in `corpus.rs`, generated configurations are in `merging.rs`, and single rules, which no engine of a developer's machine shows, are in the others.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::json::text_at;
use super::{Facts, Specification, Subject, Target, specify};
use crate::backend::engine::ApiVersion;

mod checks;
mod corpus;
mod merging;
mod references;
mod rules;

/// The id of the container in these tests, and of the image that it is from.
const ID: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const OTHER: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const NEW: &str = "3333333333333333333333333333333333333333333333333333333333333333";

/// An engine of this version of the API.
fn engine(api: u32) -> Facts {
    let info = json!({ "Name": "machine", "DefaultRuntime": "runc", "CgroupVersion": "1" });
    Facts::read(ApiVersion::v1(api), &info, &json!({ "Components": [{ "Name": "Engine" }] }), Some(NEW.to_owned()))
}

/// The inspect document of a container with these two parts.
fn container(config: Value, host: Value) -> Value {
    let mut container = json!({ "Id": ID, "Name": "/web", "Image": "sha256:old", "Platform": "linux", "State": { "Status": "running" }, "Config": config, "HostConfig": host,
        "NetworkSettings": { "Networks": { "bridge": { "NetworkID": "b".repeat(64), "IPAddress": "172.17.0.2" } } } });
    container["Config"]["Image"] = json!("web:1");
    container
}

/// How `container` is created on the image that it has.
#[track_caller]
fn specified(container: &Value, facts: &Facts) -> Specification {
    let image = json!({ "Id": "sha256:old", "Config": {} });
    let others = [json!({ "Id": OTHER, "Names": ["/other"] })];
    let subject = Subject { container, image: &image, facts, others: &others, replaced: &BTreeMap::new() };
    specify(&subject, &Target { reference: text_at(container, "/Config/Image"), image: &image }).unwrap()
}

/// What `host` becomes.
#[track_caller]
fn check_host(facts: &Facts, host: Value, expected: Value) {
    let mut host = host;
    if host["NetworkMode"].is_null() {
        host["NetworkMode"] = json!("bridge");
    }
    let mut expected = expected;
    if expected["NetworkMode"].is_null() {
        expected["NetworkMode"] = host["NetworkMode"].clone();
    }
    assert_eq!(specified(&container(json!({}), host), facts).body["HostConfig"], expected);
}
