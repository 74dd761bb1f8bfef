//! The wasm target of the toolchain that `rust-toolchain.toml` names.
//!
//! Rustup installs it with the toolchain, but not for one that was there before or that is not rustup's.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use wharf_harness::process::{environment, output};

use crate::stop::Stop;

/// What plugins are compiled for.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";

/// Sees to it that plugins can be compiled.
///
/// # Errors
///
/// The target is missing and rustup cannot add it, and the message says what to do; or we were asked to stop.
pub(crate) fn ensure_wasm_target(stop: &Stop) -> anyhow::Result<()> {
    if has_wasm_target()? {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", WASM_TARGET]).current_dir(crate::cargo::root());
    let added = crate::cargo::show(rustup, stop);
    stop.check()?;
    let problem = added.err().map(|error| format!(" ({error:#})")).unwrap_or_default();
    anyhow::ensure!(
        has_wasm_target()?,
        "the Rust target {WASM_TARGET} is missing and could not be added{problem}: plugins cannot be compiled. \
         With rustup and a connection to its server run `rustup target add {WASM_TARGET}`; \
         with a toolchain that is not rustup's install that toolchain's package of the target"
    );
    Ok(())
}

/// The target that this machine is.
///
/// # Errors
///
/// The compiler does not answer.
pub(crate) fn host() -> anyhow::Result<String> {
    let mut rustc = Command::new(environment("RUSTC").unwrap_or_else(|| "rustc".into()));
    let host = output(rustc.args(["--print", "host-tuple"]).current_dir(crate::cargo::root()));
    Ok(host.context("the Rust compiler does not answer")?.trim().to_owned())
}

/// Whether the compiler has the target's standard library. It answers the folder whether or not it is there.
fn has_wasm_target() -> anyhow::Result<bool> {
    let mut rustc = Command::new(environment("RUSTC").unwrap_or_else(|| "rustc".into()));
    let folder = output(rustc.args(["--print", "target-libdir", "--target", WASM_TARGET]).current_dir(crate::cargo::root()));
    Ok(Path::new(folder.context("the Rust compiler does not answer")?.trim()).is_dir())
}
