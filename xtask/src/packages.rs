//! Programs that we start but do not build: installed as root on Debian, asked for elsewhere.

use std::path::Path;
use std::process::Command;

use wharf_harness::programs::{self, Program};

use crate::cargo::show;

/// Sees to it that `wanted` are installed.
///
/// # Errors
///
/// Some are missing and we cannot install them; the message says what to do, and `otherwise` what else.
pub(crate) fn ensure(wanted: &[Program], otherwise: &str) -> anyhow::Result<()> {
    let missing = programs::missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let packages = programs::packages(&missing);
    let names = packages.join(" ");
    anyhow::ensure!(is_debian(), "programs are missing: install what Debian has as {names}, {otherwise}");
    anyhow::ensure!(programs::is_root(), "programs are missing: run `apt-get install {names}` as root, {otherwise}");
    show(apt_get().args(["-q", "update"]))?;
    show(apt_get().args(["-q", "install", "--yes", "--no-install-recommends"]).args(&packages))?;
    let still = programs::packages(&programs::missing(wanted));
    anyhow::ensure!(still.is_empty(), "installed {names}, but their programs are not to be found; missing: {}", still.join(" "));
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Debian and what is made from it.
fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && Program { name: "apt-get", package: "apt" }.find().is_some()
}
