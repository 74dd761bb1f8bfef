//! The admin API, on a listener of its own: health, plugins, operations, jobs, schedules, metrics, reload.
//!
//! For the operator and for monitoring. It shows names, digests and counts, never settings or secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::backend::operations::{Details, Operation, Outcome};
use crate::plugin::generation::SharedGeneration;
use crate::serve::Host;
use crate::settings::Isolation;
use crate::site::{Plugin, PluginState};

mod jobs;

/// The admin API of `host`.
pub(crate) fn routes(host: Arc<Host>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/plugins", get(plugins))
        .route("/operations", get(operations))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{id}", delete(jobs::remove))
        .route("/jobs/{id}/retry", post(jobs::retry))
        .route("/jobs/{id}/cancel", post(jobs::cancel))
        .route("/schedules", get(jobs::schedules))
        .route("/metrics", get(metrics))
        .route("/reload", post(reload))
        .with_state(host)
}

/// The host is up: 200, with what is not as it should be. An engine that is away and a plugin that is not loaded are no reason to restart the host.
async fn health(State(host): State<Arc<Host>>) -> Response {
    let table = host.table.load();
    let named = |is_meant: fn(&Plugin) -> bool| -> Vec<String> {
        let plugins = table.sites.iter().flat_map(|site| site.plugins.iter().map(move |plugin| (site, plugin)));
        plugins.filter(|(_, plugin)| is_meant(plugin)).map(|(site, plugin)| format!("{}/{}", site.name, plugin.name)).collect()
    };
    let failed = named(|plugin| matches!(plugin.state, PluginState::Failed(_)));
    let kept = named(|plugin| plugin.kept_because.is_some());
    let problems = host.engine_problems().await;
    let recreations = host.recreation_problems();
    let as_it_should_be = failed.is_empty() && kept.is_empty() && problems.values().all(Option::is_none) && recreations.is_empty();
    let status = if as_it_should_be { "ok" } else { "degraded" };
    let engines: BTreeMap<String, String> =
        problems.into_iter().map(|(name, problem)| (name, problem.unwrap_or_else(|| "ok".to_owned()))).collect();
    Json(serde_json::json!({ "status": status, "plugins_not_loaded": failed, "plugins_kept_back": kept, "engines": engines, "recreations_refused": recreations }))
        .into_response()
}

#[derive(Serialize)]
struct PluginEntry<'a> {
    site: &'a str,
    name: &'a str,
    mount: &'a str,
    state: &'static str,
    /// Why it is not loaded; of one that is, why what the configuration has now was not loaded in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(flatten)]
    loaded: Option<LoadedEntry<'a>>,
}

#[derive(Serialize)]
struct LoadedEntry<'a> {
    version: &'a str,
    described_as: &'a str,
    summary: &'a str,
    generation: u64,
    sha256: &'a str,
    source: String,
    isolation: &'static str,
    imports: &'a [String],
    paths: Vec<&'a str>,
    idle_instances: usize,
}

/// Every plugin of every site.
async fn plugins(State(host): State<Arc<Host>>) -> Response {
    let table = host.table.load();
    let entries: Vec<PluginEntry<'_>> = table
        .sites
        .iter()
        .flat_map(|site| {
            site.plugins.iter().map(|plugin| {
                let (state, reason, loaded) = match &plugin.state {
                    PluginState::Loaded(generation) => ("loaded", plugin.kept_because.as_deref(), Some(loaded(generation))),
                    PluginState::Failed(reason) => ("failed", Some(reason.as_str()), None),
                };
                let mount = if plugin.mount.is_empty() { "/" } else { &plugin.mount };
                PluginEntry { site: &site.name, name: &plugin.name, mount, state, reason, loaded }
            })
        })
        .collect();
    Json(entries).into_response()
}

fn loaded(generation: &SharedGeneration) -> LoadedEntry<'_> {
    let description = &generation.description;
    LoadedEntry {
        version: &description.version,
        described_as: &description.name,
        summary: &description.summary,
        generation: generation.parts.identity.generation,
        sha256: &generation.digest,
        source: generation.settings.source.value.display().to_string(),
        isolation: match generation.settings.isolation {
            Isolation::Pooled => "pooled",
            Isolation::Request => "request",
        },
        imports: &generation.imports,
        paths: description.paths.keys().map(String::as_str).collect(),
        idle_instances: generation.instances.pool.idle_count(),
    }
}

#[derive(Serialize)]
struct OperationEntry<'a> {
    id: &'a str,
    kind: &'static str,
    subject: String,
    site: &'a str,
    plugin: &'a str,
    /// None of what concerns no engine.
    engine: Option<String>,
    state: &'static str,
    percent: Option<u8>,
    #[serde(flatten)]
    details: DetailsEntry,
    began_ms: u64,
    ended_ms: Option<u64>,
    /// Why it failed.
    reason: Option<String>,
}

/// What operations of a kind have.
#[derive(Serialize)]
#[serde(untagged)]
enum DetailsEntry {
    /// Bytes that were fetched, and that there are to fetch, as far as is known.
    Pull { current: u64, total: u64 },
    /// At which of how many instructions it is.
    Build { step: u32, steps: u32 },
    /// As of a pull; the total none if nobody says it.
    Download { current: u64, total: Option<u64> },
    /// The step, ids of containers and images, and what became of it.
    Recreation {
        step: &'static str,
        container: String,
        replacement: Option<String>,
        image: String,
        from: String,
        to: Option<String>,
        also: Vec<String>,
        stopped_ms: Option<u64>,
        rolled_back: bool,
    },
}

/// The operations of all plugins that are under way or have ended lately, the newest first.
async fn operations(State(host): State<Arc<Host>>) -> Response {
    let operations = host.operations();
    let entries: Vec<OperationEntry<'_>> = operations.iter().map(|operation| operation_entry(operation)).collect();
    Json(entries).into_response()
}

fn operation_entry(operation: &Operation) -> OperationEntry<'_> {
    let Operation { id, subject, owner, .. } = operation;
    let now = operation.now();
    OperationEntry {
        id,
        kind: subject.kind,
        subject: subject.object.to_string(),
        site: &owner.site,
        plugin: &owner.plugin,
        engine: subject.engine().map(ToString::to_string),
        state: now.word(),
        percent: now.percent,
        details: match &now.details {
            Details::Pull(layers) => {
                let (current, total) = layers.bytes();
                DetailsEntry::Pull { current, total }
            }
            Details::Build(build) => DetailsEntry::Build { step: build.step, steps: build.steps },
            Details::Download(fetched) => DetailsEntry::Download { current: fetched.current, total: fetched.total },
            Details::Recreation(recreating) => DetailsEntry::Recreation {
                step: recreating.step.word(),
                container: recreating.container.clone(),
                replacement: recreating.replacement.clone(),
                image: recreating.image.clone(),
                from: recreating.from.clone(),
                to: recreating.to.clone(),
                also: recreating.also.clone(),
                stopped_ms: recreating.stopped_ms,
                rolled_back: recreating.rolled_back,
            },
        },
        began_ms: now.began_ms,
        ended_ms: now.ended_ms,
        reason: match &now.outcome {
            Some(Outcome::Failed(failure)) => Some(failure.to_string()),
            _ => None,
        },
    }
}

/// Everything that is counted, as OpenMetrics text, which Prometheus reads.
async fn metrics(State(host): State<Arc<Host>>) -> Response {
    match host.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Reads the configuration again. 200 when all of it is in force; 422 with the mistakes when something was left as it was.
async fn reload(State(host): State<Arc<Host>>) -> Response {
    let mistakes: Vec<String> = host.reload().await.iter().map(ToString::to_string).collect();
    let status = if mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    (status, Json(serde_json::json!({ "mistakes": mistakes }))).into_response()
}
