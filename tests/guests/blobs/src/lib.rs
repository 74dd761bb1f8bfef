//! Keeps what is sent to it as blobs, and answers what they are.
//!
//! ```text
//! PUT /blob?name=…                          the body, with `store` if it arrives as a stream, else with a writer
//! GET /blob?name=…[&first=…][&length=…]     the stream that `read` answers, unread
//! POST /stat                                a list, for the names in the lines of the body
//! GET /list?prefix=…[&cursor=…]&limit=…     a page
//! POST /delete                              how many of them there were
//! PUT /written?name=…&chunks=…&size=…       so many chunks of a writer; with `drop` it is dropped
//! ```
//! An error is `{"error": word, "reason": text}`, with the status 400.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use wharf_sdk::storage::blobs::{self, Blob, BlobWriter, Range};
use wharf_sdk::{Description, Error, Plugin, Request, Response, Router};

struct Blobs;

impl Plugin for Blobs {
    fn describe() -> Description {
        Description::new().wants("storage", &["blobs"])
    }

    fn routes() -> Router {
        Router::new()
            .put("/blob", |request: &Request| answer(put(request)))
            .get("/blob", |request: &Request| read(request).unwrap_or_else(|error| answer(Err(error))))
            .post("/stat", |request: &Request| answer(Ok(stat(request))))
            .get("/list", |request: &Request| answer(list(request)))
            .post("/delete", |request: &Request| answer(blobs::delete_all(&lines(request)).map(Value::from)))
            .put("/written", |request: &Request| answer(written(request)))
    }
}

fn answer(answer: Result<Value, Error>) -> Response {
    match answer {
        Ok(value) => Response::json(&value),
        Err(error) => Response::json(&error_json(&error)).with_status(400),
    }
}

fn name(request: &Request) -> String {
    request.query().get("name").unwrap_or_default().into_owned()
}

fn number(request: &Request, name: &str) -> Option<u64> {
    request.query().get(name)?.parse().ok()
}

/// The lines of the body.
fn lines(request: &Request) -> Vec<&str> {
    std::str::from_utf8(request.bytes().unwrap_or_default()).unwrap_or_default().lines().collect()
}

fn put(request: &Request) -> Result<Value, Error> {
    if let Some(stream) = request.take_stream() {
        return blobs::store(&name(request), stream).map(|blob| blob_json(&blob));
    }
    let mut writer = blobs::write(&name(request))?;
    writer.write(request.bytes().unwrap_or_default())?;
    writer.finish().map(|blob| blob_json(&blob))
}

fn read(request: &Request) -> Result<Response, Error> {
    let range = number(request, "first").map(|first| Range { first, length: number(request, "length") });
    blobs::read(&name(request), range).map(Response::stream)
}

fn stat(request: &Request) -> Value {
    let found = blobs::stat_all(&lines(request)).into_iter();
    found.map(|blob| blob.map_or_else(|error| error_json(&error), |blob| blob_json(&blob))).collect()
}

fn list(request: &Request) -> Result<Value, Error> {
    let query = request.query();
    let limit = number(request, "limit").map_or(1000, |limit| u32::try_from(limit).unwrap_or(u32::MAX));
    let page = blobs::list(&query.get("prefix").unwrap_or_default(), query.get("cursor").as_deref(), limit)?;
    Ok(json!({"blobs": page.blobs.iter().map(blob_json).collect::<Vec<_>>(), "cursor": page.cursor}))
}

fn written(request: &Request) -> Result<Value, Error> {
    let size = number(request, "size").and_then(|size| usize::try_from(size).ok()).unwrap_or(1);
    let chunk = vec![b'x'; size];
    let mut writer: BlobWriter = blobs::write(&name(request))?;
    for _ in 0..number(request, "chunks").unwrap_or(0) {
        writer.write(&chunk)?;
    }
    if request.query().get("drop").is_some() {
        return Ok(json!("dropped"));
    }
    writer.finish().map(|blob| blob_json(&blob))
}

fn blob_json(blob: &Blob) -> Value {
    let stored_ms = blob.stored.duration_since(UNIX_EPOCH).map(|since| since.as_millis() as u64).unwrap_or_default();
    json!({"name": blob.name, "size": blob.size, "digest": blob.digest, "stored_ms": stored_ms})
}

fn error_json(error: &Error) -> Value {
    let word = match error {
        Error::Denied => "denied",
        Error::NotFound => "not-found",
        Error::Timeout => "timeout",
        Error::QuotaExceeded => "quota-exceeded",
        Error::Invalid(_) => "invalid",
        Error::Conflict(_) => "conflict",
        Error::Unavailable(_) => "unavailable",
        Error::Internal(_) => "internal",
    };
    json!({"error": word, "reason": error.to_string()})
}

wharf_sdk::export!(Blobs);
