//! `cargo xtask fuzz`: libFuzzer on what is read of strangers. The targets are the binaries of `tests/fuzz`.
//!
//! Built by the stable compiler, with the coverage that libFuzzer needs and without sanitizers, which would take a nightly one: there is no unsafe code below these targets but SQLite's, and what is looked
//! for are panics and broken promises. What was found interesting is kept, so that the next run begins where this one ended.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use wharf_harness::programs;

use crate::cargo::{self, root};
use crate::stop::Stop;
use crate::{packages, step, toolchain};

/// The flags by which libFuzzer sees where a run has been.
const COVERAGE: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// The binaries of `tests/fuzz`.
const TARGETS: [&str; 2] = ["catalog-filter", "portable-sql"];

/// Fuzzes each target for `seconds`; `only` this one, if there is one.
///
/// # Errors
///
/// There is no such target, the C++ compiler is missing, the build fails, something was found (its input is kept, and where is said), or we were asked to stop.
pub(crate) fn run(seconds: u32, only: Option<&str>, stop: &Stop) -> anyhow::Result<()> {
    if let Some(only) = only {
        anyhow::ensure!(TARGETS.contains(&only), "there is no target `{only}`; there are {}", TARGETS.join(", "));
    }
    packages::ensure(&[programs::CXX], "which `cargo xtask fuzz` needs for libFuzzer", stop)?;
    let folder = root().join("target/fuzz");
    // Said explicitly, the target keeps these flags from build scripts and macros.
    let here = toolchain::host()?;
    let mut build =
        cargo::cargo(&["build", "--release", "--locked", "--manifest-path", "tests/fuzz/Cargo.toml", "--target", &here, "--target-dir"]);
    build.arg(folder.join("build")).env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}")).env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    cargo::show(build, stop)?;
    for target in TARGETS.into_iter().filter(|target| only.is_none_or(|only| only == *target)) {
        step(&format!("{seconds} seconds of `{target}`"));
        let (corpus, found) = (made(folder.join("corpus").join(target))?, made(folder.join("found"))?);
        let mut fuzz = Command::new(folder.join("build").join(&here).join("release").join(target));
        fuzz.arg(corpus).arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/{target}-", found.display()));
        fuzz.args(["-print_final_stats=1", "-verbosity=0", "-timeout=10"]);
        cargo::show(fuzz, stop).with_context(|| format!("`{target}` found something; its input is in `{}`", found.display()))?;
    }
    Ok(())
}

/// The folder `path`, made if it is not there.
fn made(path: PathBuf) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(&path).with_context(|| format!("failed to make `{}`", path.display()))?;
    Ok(path)
}
