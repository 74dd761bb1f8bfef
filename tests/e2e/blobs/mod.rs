//! Blobs in a directory and at S3 alike: the host's binary, a component that keeps what it is sent, and `moto` for S3. One list of behaviours, told on both; then what each is hit by: a full disk, a store that
//! is away, a host that is killed while it writes.
//!
//! `moto` keeps its objects in memory and says of every unfinished upload that it is of 2010, so that a host that looks for leftovers finds each at once; and what it does with readers of an object that is
//! replaced says nothing of S3.

use serde_json::Value;
use sha2::{Digest, Sha256};
use wharf_harness::http::{Client, Response};
use wharf_harness::programs;
use wharf_harness::s3::{BUCKET, S3};
use wharf_harness::wharf::Wharf;
use wharf_tests::guests::BLOBS;

use crate::site::{escaped, host};

mod behaviours;
mod faults;
mod killed;

/// What one part of S3's has; a larger blob is sent in parts.
const PART_BYTES: usize = 8 << 20;

fn left_out() -> bool {
    programs::skip(&[programs::PYTHON]).unwrap()
}

/// A configuration with a component at `/` whose blobs are where `storage` says.
fn keeping(storage: &str) -> String {
    let limits = "limits = { request_mib = 256 }";
    let grant = "[site.plugin.grants.storage]\nallow = [\"blobs\"]\nblobs_quota_mib = 64\n";
    let plugin = |name: &str| format!("[[site.plugin]]\nname = \"{name}\"\nsource = \"{BLOBS}\"\nmount = \"/{name}\"\n{limits}\n{grant}");
    format!("{storage}\n[[site]]\nname = \"plant-a\"\n{}{}", plugin("keeper"), plugin("other"))
}

/// `[storage]` for the bucket of `s3`, which is asked at `endpoint`.
fn at_s3(s3: &S3, endpoint: &str) -> String {
    format!(
        "[storage]\nblobs = \"s3://{BUCKET}/wharf/blobs\"\n[storage.s3]\nendpoint = \"{endpoint}\"\naccess_key_id = \"{}\"\n\
         secret_access_key = {{ secret_file = \"secret\" }}\n",
        s3.access_key_id()
    )
}

/// A component's blobs, over HTTP.
struct Blobs {
    client: Client,
    plugin: &'static str,
}

impl Blobs {
    fn of(wharf: &Wharf, plugin: &'static str) -> Blobs {
        Blobs { client: wharf.client(), plugin }
    }

    #[track_caller]
    fn send(&self, method: &str, target: &str, body: &[u8]) -> Response {
        self.client.send(method, &format!("/{}{target}", self.plugin), &[], body).unwrap()
    }

    #[track_caller]
    fn put(&self, name: &str, bytes: &[u8]) -> Value {
        self.send("PUT", &format!("/blob?name={}", escaped(name)), bytes).json().unwrap()
    }

    #[track_caller]
    fn get(&self, name: &str, further: &str) -> Response {
        self.send("GET", &format!("/blob?name={}{further}", escaped(name)), b"")
    }

    #[track_caller]
    fn ask(&self, path: &str, names: &[&str]) -> Value {
        self.send("POST", path, names.join("\n").as_bytes()).json().unwrap()
    }

    #[track_caller]
    fn list(&self, further: &str) -> Value {
        self.send("GET", &format!("/list?{further}"), b"").json().unwrap()
    }
}

/// Bytes that are not the same everywhere, and not the same for two seeds. Repeated as a whole, since a test is not optimised and writes many.
fn bytes(count: usize, seed: usize) -> Vec<u8> {
    let cycle: Vec<u8> = seed.to_be_bytes().into_iter().chain(0..251).collect();
    let mut bytes = cycle.repeat(count / cycle.len() + 1);
    bytes.truncate(count);
    bytes
}

fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// The names in a page.
fn names(page: &Value) -> Vec<&str> {
    page["blobs"].as_array().unwrap_or_else(|| panic!("{page}")).iter().map(|blob| blob["name"].as_str().unwrap()).collect()
}

/// A host whose blobs are in the bucket of `s3`, which is asked at `endpoint`.
#[track_caller]
fn at(s3: &S3, endpoint: &str) -> Wharf {
    host_with_secret(&keeping(&at_s3(s3, endpoint)), s3.secret_access_key())
}

/// A host with `configuration`, in whose folder the secret is. It is read when it is first needed.
#[track_caller]
fn host_with_secret(configuration: &str, secret: &str) -> Wharf {
    let wharf = host(configuration);
    std::fs::write(wharf.folder().join("secret"), format!("{secret}\n")).unwrap();
    wharf
}
