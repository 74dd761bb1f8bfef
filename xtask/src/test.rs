//! `cargo xtask test`: every test there is, after seeing to what the tests need.
//!
//! The tests themselves are ordinary: `cargo test --workspace` runs the same ones on a machine that has everything.

use wharf_harness::programs;

use crate::cargo::{cargo, show};
use crate::{packages, step, toolchain};

/// Runs every test.
///
/// # Errors
///
/// Something that the tests need is missing, or a test fails.
pub(crate) fn run(skip_engine: bool) -> anyhow::Result<()> {
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    if skip_engine {
        toolchain::ensure_wasm_target()?;
        step("the tests that need a Docker engine or a registry are LEFT OUT");
        tests.env("E2E", "skip");
    } else {
        prepare()?;
        tests.env_remove("E2E");
    }
    show(&mut tests)
}

/// Sees to everything that the tests need.
///
/// # Errors
///
/// Something is missing and cannot be installed; the message says what to do.
pub(crate) fn prepare() -> anyhow::Result<()> {
    toolchain::ensure_wasm_target()?;
    let wanted = [programs::ENGINE, &[programs::REGISTRY, programs::WRK]].concat();
    let otherwise = "or leave the tests that need them out with `cargo xtask test --skip-engine`";
    packages::ensure(&wanted, otherwise)?;
    anyhow::ensure!(programs::is_root(), "the tests' private engine needs root: run as root, {otherwise}");
    Ok(())
}
