//! Operations: the records of the WIT, their JSON, and the lines by which they are watched.

use serde::Serialize;

use super::super::error::of_operation;
use crate::backend::operations::{Details, Layers, Moment, Operation, Outcome, Recreating};
use crate::bindings::wharf::docker::operations_read::{self, OperationState, ProgressFormat};

/// What plugins read of an operation. Fields are added and never taken away.
#[derive(Serialize)]
struct OperationJson<'a> {
    id: &'a str,
    kind: &'static str,
    subject: String,
    state: &'static str,
    percent: Option<u8>,
    began_ms: u64,
    ended_ms: Option<u64>,
    reason: Option<String>,
    #[serde(flatten)]
    details: DetailsJson<'a>,
}

/// What operations of a kind have.
#[derive(Serialize)]
#[serde(untagged)]
enum DetailsJson<'a> {
    Pull { current: u64, total: u64, layers: Vec<LayerJson<'a>> },
    Build { image: Option<&'a str>, step: u32, steps: u32, instruction: &'a str },
    Download { current: u64, total: Option<u64> },
    Recreation(RecreationJson<'a>),
}

#[derive(Serialize)]
struct RecreationJson<'a> {
    step: &'static str,
    /// The engine's word for the layer of which it spoke last.
    status: Option<&'a str>,
    current: u64,
    total: u64,
    layers: Vec<LayerJson<'a>>,
    container: &'a str,
    replacement: Option<&'a str>,
    image: &'a str,
    from: &'a str,
    to: Option<&'a str>,
    digest: Option<&'a str>,
    changed: bool,
    also: &'a [String],
    stopped_ms: Option<u64>,
    rolled_back: bool,
}

#[derive(Serialize)]
struct LayerJson<'a> {
    id: &'a str,
    status: &'a str,
    current: Option<u64>,
    total: Option<u64>,
}

/// The record of an operation as it stands at `moment`.
pub(in crate::capability::docker) fn operation(operation: &Operation, moment: &Moment, owned: bool) -> operations_read::Operation {
    let (state, failure) = match &moment.outcome {
        None => (OperationState::Running, None),
        Some(Outcome::Succeeded) => (OperationState::Succeeded, None),
        Some(Outcome::Failed(failure)) => (OperationState::Failed, Some(of_operation(failure).0)),
        Some(Outcome::Cancelled) => (OperationState::Cancelled, None),
    };
    operations_read::Operation {
        id: operation.id.clone(),
        kind: operation.subject.kind.to_owned(),
        subject: operation.subject.object.to_string(),
        owned,
        state,
        percent: moment.percent,
        began_ms: moment.began_ms,
        ended_ms: moment.ended_ms,
        failure,
        json: json(operation, moment),
    }
}

/// What is written when an operation is watched.
pub(in crate::capability::docker) fn progress(operation: &Operation, moment: &Moment, format: ProgressFormat) -> String {
    let json = json(operation, moment);
    match format {
        ProgressFormat::JsonLines => format!("{json}\n"),
        ProgressFormat::ServerSentEvents => format!("event: {}\ndata: {json}\n\n", moment.word()),
    }
}

/// On one line: JSON escapes the line breaks of texts.
fn json(operation: &Operation, moment: &Moment) -> String {
    let document = OperationJson {
        id: &operation.id,
        kind: operation.subject.kind,
        subject: operation.subject.object.to_string(),
        state: moment.word(),
        percent: moment.percent,
        began_ms: moment.began_ms,
        ended_ms: moment.ended_ms,
        reason: match &moment.outcome {
            Some(Outcome::Failed(failure)) => Some(of_operation(failure).1),
            _ => None,
        },
        details: details(&moment.details),
    };
    // Numbers and texts, which cannot fail.
    serde_json::to_string(&document).unwrap_or_default()
}

fn details(details: &Details) -> DetailsJson<'_> {
    match details {
        Details::Pull(layers) => {
            let (current, total) = layers.bytes();
            DetailsJson::Pull { current, total, layers: layers_json(layers) }
        }
        Details::Build(build) => {
            DetailsJson::Build { image: build.image.as_deref(), step: build.step, steps: build.steps, instruction: &build.instruction }
        }
        Details::Download(fetched) => DetailsJson::Download { current: fetched.current, total: fetched.total },
        Details::Recreation(recreating) => DetailsJson::Recreation(recreation(recreating)),
    }
}

fn recreation(recreating: &Recreating) -> RecreationJson<'_> {
    let pull = recreating.pull.as_ref();
    let (current, total) = pull.map_or((0, 0), Layers::bytes);
    RecreationJson {
        step: recreating.step.word(),
        status: pull.map(|layers| layers.status.as_str()).filter(|status| !status.is_empty()),
        current,
        total,
        layers: pull.map(layers_json).unwrap_or_default(),
        container: &recreating.container,
        replacement: recreating.replacement.as_deref(),
        image: &recreating.image,
        from: &recreating.from,
        to: recreating.to.as_deref(),
        digest: recreating.digest.as_deref(),
        changed: recreating.changed,
        also: &recreating.also,
        stopped_ms: recreating.stopped_ms,
        rolled_back: recreating.rolled_back,
    }
}

fn layers_json(layers: &Layers) -> Vec<LayerJson<'_>> {
    let layers = layers.layers.iter();
    layers.map(|layer| LayerJson { id: &layer.id, status: &layer.status, current: layer.current(), total: layer.total }).collect()
}
