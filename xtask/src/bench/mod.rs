//! `cargo xtask bench`: one file for each subject, and what they share.
//!
//! A measurement compares: what it is about and a reference, in one run on one machine, whose numbers mean nothing elsewhere. All of it is built for use, the reference and whoever asks too.

mod catalog;
mod http;
mod plain;
mod registry;
mod slow_proxy;
mod updates;

use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::cargo::cargo;

pub(crate) use catalog::{catalog, serve_natively};
pub(crate) use http::http;
pub(crate) use registry::registry;
pub(crate) use updates::updates;

/// Goes on only in a program that was built for use; one that was not is built so and takes over.
///
/// # Errors
///
/// Cargo cannot be started.
pub(crate) fn built_for_use() -> anyhow::Result<()> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let mut command = cargo(&["run", "--release", "--package", "xtask", "--"]);
    command.args(std::env::args_os().skip(1)).current_dir(std::env::current_dir()?);
    Err(command.exec()).context("failed to start cargo")
}

/// Shows `table`, and writes `report` to the file `json`, if there is one.
///
/// # Errors
///
/// The file cannot be written.
fn publish(table: &str, report: &impl Serialize, json: Option<&Path>) -> anyhow::Result<()> {
    print!("{table}");
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(report)?;
        std::fs::write(file, text + "\n").with_context(|| format!("failed to write `{}`", file.display()))?;
    }
    Ok(())
}

/// The one of `rounds` whose `key` is the middle one.
fn middle<R>(mut rounds: Vec<R>, key: impl Fn(&R) -> f64) -> Option<R> {
    rounds.sort_by(|one, other| key(one).total_cmp(&key(other)));
    (!rounds.is_empty()).then(|| rounds.swap_remove(rounds.len() / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_round_is_shown() {
        assert_eq!(middle(vec![3.0, 1.0, 2.0], |round| *round), Some(2.0));
        assert_eq!(middle(Vec::new(), |round| *round), None);
    }
}
