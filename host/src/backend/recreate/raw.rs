//! Reading the engine's documents, as far as the course of a recreation depends on them. What is not there reads as empty.

use serde_json::Value;

/// The text at `pointer`; empty if there is none.
pub(super) fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether what is at `pointer` is true.
pub(super) fn flag(document: &Value, pointer: &str) -> bool {
    document.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The number at `pointer`; 0 if there is none.
pub(super) fn number(document: &Value, pointer: &str) -> i64 {
    document.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The items at `pointer`.
pub(super) fn items<'a>(document: &'a Value, pointer: &str) -> &'a [Value] {
    document.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The name of an inspected container, without its slash.
pub(super) fn name(container: &Value) -> &str {
    text(container, "/Name").trim_start_matches('/')
}

/// Whether an inspected container runs, or is about to be started again by the engine.
pub(super) fn is_up(container: &Value) -> bool {
    matches!(text(container, "/State/Status"), "running" | "restarting" | "paused") || flag(container, "/State/Running")
}

/// Whether an inspected container runs.
pub(super) fn is_running(container: &Value) -> bool {
    flag(container, "/State/Running") && !flag(container, "/State/Restarting")
}

/// Whether an inspected container was ever started.
pub(super) fn was_started(container: &Value) -> bool {
    let at = text(container, "/State/StartedAt");
    !at.is_empty() && !at.starts_with("0001-")
}

/// The labels of an inspected container.
pub(super) fn labels(container: &Value) -> Vec<(String, String)> {
    let labels = container.pointer("/Config/Labels").and_then(Value::as_object);
    labels.into_iter().flatten().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// The names of the volumes that an inspected container has.
pub(super) fn volumes(container: &Value) -> impl Iterator<Item = &str> {
    items(container, "/Mounts").iter().filter(|mount| text(mount, "/Type") == "volume").map(|mount| text(mount, "/Name"))
}
