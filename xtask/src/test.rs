//! `cargo xtask test`: every test there is, after seeing to what the tests need.
//!
//! The tests themselves are ordinary: `cargo test --workspace` runs the same ones on a machine that has everything. What is left out is said before and,
//! test by test, after them.

use wharf_harness::programs;

use crate::cargo::{cargo, show};
use crate::stop::Stop;
use crate::{packages, step, toolchain};

/// Runs every test.
///
/// # Errors
///
/// Something that the tests need is missing, a test fails, or we were asked to stop.
pub(crate) fn run(skip_engine: bool, stop: &Stop) -> anyhow::Result<()> {
    prepare(skip_engine, stop)?;
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    if !skip_engine {
        tests.env_remove("E2E");
        return show(tests, stop);
    }
    step("the tests that need a Docker engine or a registry are LEFT OUT");
    let left_out = tempfile::NamedTempFile::new()?;
    tests.env("E2E", "skip").env("E2E_LEFT_OUT", left_out.path());
    let outcome = show(tests, stop);
    let text = std::fs::read_to_string(left_out.path())?;
    let mut names: Vec<&str> = text.lines().collect();
    names.sort_unstable();
    step(&format!("{} tests were LEFT OUT because of `--skip-engine`", names.len()));
    names.iter().for_each(|name| println!("    {name}"));
    outcome
}

/// Sees to everything that the tests need.
///
/// # Errors
///
/// Something is missing and cannot be installed, and the message says what to do; or we were asked to stop.
pub(crate) fn prepare(skip_engine: bool, stop: &Stop) -> anyhow::Result<()> {
    toolchain::ensure_wasm_target(stop)?;
    if skip_engine {
        return Ok(());
    }
    let others = [programs::REGISTRY, programs::WRK, programs::POSTGRES, programs::PYTHON, programs::DEBOOTSTRAP, programs::CXX];
    let wanted = [programs::ENGINE, &others].concat();
    let otherwise = "or leave the tests that need them out with `cargo xtask test --skip-engine`";
    anyhow::ensure!(programs::is_root(), "the tests' private engines need root: run with `sudo`, {otherwise}");
    packages::ensure(&wanted, otherwise, stop)
}
