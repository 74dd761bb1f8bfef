//! The API as its clients see it, on a host in memory with a real database.

use serde_json::{Value, json};
use wharf_sdk::fake::{self, Answer, Container, Host, Image, RequestBuilder};
use wharf_sdk::{Error, docker};

use crate::ModelImages;

mod building;
mod contradictions;
mod deleting;
mod instances;
mod projects;
mod unfinished;
mod uploading;

/// What the site's images are built on.
const BASE: &str = "base:1";

/// A site whose engine holds the base image.
fn site() -> Host {
    let host = Host::install();
    host.config(json!({"base_image": BASE}));
    host.image(Image::new(BASE));
    host
}

/// A site with the project 1, the task 1 and the model 1, which has the artifacts `model.bin` and `data/words.txt`.
fn site_with_model() -> Host {
    let host = site();
    made("/projects", json!({"name": "p"}));
    made("/tasks", json!({"name": "t", "project_id": 1}));
    check_status(model("m").build(), 201);
    host
}

fn send(request: RequestBuilder) -> Answer {
    fake::call::<ModelImages>(request)
}

/// The request is answered with `status`; its JSON, or null without a body.
#[track_caller]
fn check_status(request: RequestBuilder, status: u16) -> Value {
    let asked = format!("{request:?}");
    let answer = send(request);
    assert_eq!(answer.status, status, "{asked}: {}", answer.text());
    if status == 204 {
        assert_eq!(answer.text(), "");
        return Value::Null;
    }
    assert_eq!(answer.header("content-type"), Some("application/json"), "{asked}");
    answer.json()
}

/// The request is refused with `status` and the text `message`, and nothing beside it.
#[track_caller]
fn check_refused(request: RequestBuilder, status: u16, message: &str) {
    assert_eq!(check_status(request, status), json!({"errormsg": message}));
}

/// The request is refused with 422 and this list, each as `[place, message, word]`.
#[track_caller]
fn check_invalid(request: RequestBuilder, expected: &[(Value, &str, &str)]) {
    let expected: Vec<Value> = expected.iter().map(|(place, message, word)| json!({"loc": place, "msg": message, "type": word})).collect();
    assert_eq!(check_status(request, 422), json!({"errormsg": expected}));
}

/// Posts `body`, which must make something.
#[track_caller]
fn made(path: &str, body: Value) -> Value {
    check_status(fake::post(path).json(&body), 201)
}

#[track_caller]
fn shown(path: &str) -> Value {
    check_status(fake::get(path), 200)
}

/// `{"name": …}` of everything in a list.
#[track_caller]
fn names(path: &str) -> Vec<String> {
    let list = shown(path);
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// A multipart body.
#[derive(Clone)]
struct Upload {
    parts: Vec<Vec<u8>>,
}

const BOUNDARY: &str = "wharf-test-boundary";

impl Upload {
    fn new() -> Upload {
        Upload { parts: Vec::new() }
    }

    fn part(mut self, head: &str, content: &[u8]) -> Upload {
        let head = format!("Content-Disposition: form-data; {head}\r\n\r\n");
        self.parts.push([head.as_bytes(), content].concat());
        self
    }

    fn field(self, name: &str, value: &str) -> Upload {
        self.part(&format!("name=\"{name}\""), value.as_bytes())
    }

    fn artifact(self, name: &str, content: &[u8]) -> Upload {
        self.part(&format!("name=\"artifacts\"; filename=\"{name}\""), content)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            bytes.extend(format!("--{BOUNDARY}\r\n").bytes());
            bytes.extend(part);
            bytes.extend(b"\r\n");
        }
        bytes.extend(format!("--{BOUNDARY}--\r\n").bytes());
        bytes
    }

    fn request() -> RequestBuilder {
        fake::post("/models").header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
    }

    fn build(&self) -> RequestBuilder {
        Upload::request().body(self.bytes())
    }
}

/// A model that can be posted as it is, or with further parts.
fn model(name: &str) -> Upload {
    Upload::new()
        .field("name", name)
        .field("task_id", "1")
        .field("run_cmd", "httpd -f -p 9000")
        .artifact("model.bin", b"\x00\x01\r\n--")
        .artifact("data/words.txt", b"one\ntwo\n")
}

/// What the storage holds: rows of the table `table` and blobs.
#[track_caller]
fn check_kept(models: usize, blobs: usize) {
    let rows = wharf_sdk::storage::sql::query("SELECT id FROM models", &[], 100).unwrap().rows.len();
    let artifacts = wharf_sdk::storage::sql::query("SELECT place FROM artifacts", &[], 1000).unwrap().rows.len();
    let leftovers = wharf_sdk::storage::sql::query("SELECT folder FROM leftovers", &[], 100).unwrap().rows.len();
    let kept = wharf_sdk::storage::blobs::list("", None, 1000).unwrap().blobs.len();
    assert_eq!((rows, artifacts, leftovers, kept), (models, blobs, 0, blobs));
}
