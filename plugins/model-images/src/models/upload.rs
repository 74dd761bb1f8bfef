//! `POST /models`: a model and its artifacts in one multipart body.
//!
//! Fields may come in any order, so that artifacts are written before it is known whether there will be a model. They go into a folder of blobs that is noted as a leftover first; the transaction that
//! inserts the model takes the note away. Whatever ends the request before that leaves the note, and what a note leads to is deleted: at once if the request is refused, some hours later if its client went
//! away or the host was killed in the middle.

use std::collections::BTreeMap;

use uuid::Uuid;
use wharf_sdk::storage::blobs;
use wharf_sdk::tracing::info;
use wharf_sdk::{Request, Response};

use super::artifact_name::Names;
use super::form::{self, Field, MAX_FIELD};
use super::multipart::{Part, Parts};
use super::{Artifact, New, insert};
use crate::failure::{Detail, Failure};
use crate::kind::Kind;
use crate::settings::Settings;
use crate::{database, leftovers, stored};

/// The most fields beside the artifacts, known and unknown.
const MAX_FIELDS: usize = 32;

/// What is written to a blob at once; the most that the host takes.
const WRITE_BYTES: usize = 1 << 20;

pub(crate) fn create(request: &Request) -> Result<Response, Failure> {
    let mut parts = Parts::of(request)?;
    let settings = Settings::read()?;
    database::ready()?;
    leftovers::sweep()?;
    let folder = Uuid::new_v4().to_string();
    leftovers::note(&folder)?;
    let model = receive(&mut parts, &folder, &settings).and_then(|Received { fields, artifacts }| {
        let form = form::read(fields, artifacts.len())?;
        stored::check(Kind::Task, form.task_id)?;
        insert(&New { form: &form, author: &settings.author, folder: &folder, artifacts: &artifacts })
    });
    match model {
        Ok(model) => {
            let bytes: i64 = model.artifacts.iter().map(|artifact| artifact.size).sum();
            info!(model = model.id, artifacts = model.artifacts.len(), bytes, "stored a model");
            Ok(Response::json(&model).with_status(201))
        }
        Err(failure) => {
            leftovers::remove(&folder);
            Err(failure)
        }
    }
}

struct Received {
    fields: BTreeMap<String, Field>,
    artifacts: Vec<Artifact>,
}

fn receive(parts: &mut Parts, folder: &str, settings: &Settings) -> Result<Received, Failure> {
    let mut received = Received { fields: BTreeMap::new(), artifacts: Vec::new() };
    let mut names = Names::default();
    let mut other = 0;
    while let Some(part) = parts.next()? {
        if part.name() == "artifacts" {
            if names.len() >= settings.max_artifacts {
                return Err(Failure::Refused(format!("more than {} artifacts", settings.max_artifacts)));
            }
            let name = artifact_name(&part, &mut names)?;
            received.artifacts.push(store(part, name, folder, names.len())?);
            continue;
        }
        other += 1;
        if other > MAX_FIELDS {
            return Err(Failure::Refused(format!("more than {MAX_FIELDS} fields beside the artifacts")));
        }
        let name = part.name().to_owned();
        let Some(bytes) = part.bytes(MAX_FIELD)? else {
            // The rest of it is still to come, and nobody wants it.
            return Err(Failure::invalid(Detail::value(&[name.into()], format!("ensure this value has at most {MAX_FIELD} bytes"))));
        };
        let field = String::from_utf8(bytes).map_or(Field::NoText, Field::Text);
        received.fields.entry(name).and_modify(|field| *field = Field::Repeated).or_insert(field);
    }
    Ok(received)
}

/// The name of the artifact in `part`, which is taken.
fn artifact_name(part: &Part, names: &mut Names) -> Result<String, Failure> {
    let place = ["artifacts".into(), names.len().into()];
    let name =
        part.file_name().ok_or_else(|| Failure::invalid(Detail::value(&place, "an artifact is a file: its part needs a `filename`")))?;
    names.take(name).map_err(|message| Failure::invalid(Detail::value(&place, message)))?;
    Ok(name.to_owned())
}

/// Writes the content of `part` to a blob, as it comes.
fn store(mut part: Part, name: String, folder: &str, number: usize) -> Result<Artifact, Failure> {
    let stored_as = format!("{folder}/{number}");
    let mut writer = blobs::write(&stored_as)?;
    let mut waiting = Vec::new();
    while let Some(chunk) = part.chunk()? {
        let mut chunk = &chunk[..];
        while !chunk.is_empty() {
            let (now, later) = chunk.split_at(chunk.len().min(WRITE_BYTES - waiting.len()));
            waiting.extend_from_slice(now);
            chunk = later;
            if waiting.len() == WRITE_BYTES {
                writer.write(&waiting)?;
                waiting.clear();
            }
        }
    }
    if !waiting.is_empty() {
        writer.write(&waiting)?;
    }
    let blob = writer.finish()?;
    Ok(Artifact { name, size: i64::try_from(blob.size).unwrap_or(i64::MAX), digest: blob.digest, stored_as })
}
