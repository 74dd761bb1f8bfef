//! Programs that we start but do not build: installed as root on Debian, asked for elsewhere.

use std::os::unix::fs::PermissionsExt;
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
    let _quiet = NoServices::begin()?;
    show(apt_get().args(["-q", "install", "--yes", "--no-install-recommends"]).args(&packages))?;
    let still = programs::packages(&programs::missing(wanted));
    anyhow::ensure!(still.is_empty(), "installed {names}, but their programs are not to be found; missing: {}", still.join(" "));
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // A machine that was just booted is often updating itself.
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}

/// While it lives, packages that are installed start no services: an engine or a registry of the machine's own would outlive us, and stand in our way.
///
/// `policy-rc.d` is Debian's way to say so; a machine that has one keeps it.
struct NoServices {
    written: Option<&'static Path>,
}

impl NoServices {
    fn begin() -> anyhow::Result<NoServices> {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        if policy.exists() {
            return Ok(NoServices { written: None });
        }
        std::fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        std::fs::set_permissions(policy, std::fs::Permissions::from_mode(0o755))?;
        Ok(NoServices { written: Some(policy) })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = self.written {
            let _ = std::fs::remove_file(policy);
        }
    }
}

/// Debian and what is made from it.
fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && Program { name: "apt-get", package: "apt" }.find().is_some()
}
