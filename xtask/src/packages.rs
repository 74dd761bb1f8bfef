//! Programs that we start but do not build: installed as root on Debian, asked for elsewhere.
//!
//! Nobody sits at the keyboard for us: no package asks a question, the machine's own configuration files stay as they are, no service is started or
//! restarted. When we are asked to stop, only `apt-get` is told, which stops between two runs of `dpkg`: a package is never left half configured.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use wharf_harness::process::Process;
use wharf_harness::programs::{self, Program};

use crate::cargo::show_until;
use crate::step;
use crate::stop::Stop;

/// Sees to it that `wanted` are installed.
///
/// # Errors
///
/// Some are missing and we cannot install them, and the message says what to do, and `otherwise` what else; or we were asked to stop.
pub(crate) fn ensure(wanted: &[Program], otherwise: &str, stop: &Stop) -> anyhow::Result<()> {
    let missing = programs::missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let packages = programs::packages(&missing);
    let names = packages.join(" ");
    anyhow::ensure!(is_debian(), "programs are missing: install what Debian has as {names}, {otherwise}");
    anyhow::ensure!(programs::is_root(), "programs are missing: run `apt-get install {names}` as root, {otherwise}");
    if let Err(error) = apt_get(&["update"], stop) {
        stop.check()?;
        // Another apt may hold the lists, for which there is no waiting, or one of the machine's sources may be gone.
        step(&format!("{error:#}; trying with the lists that are there"));
    }
    let _quiet = NoServices::begin()?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages.as_slice()].concat(), stop)?;
    let still = programs::packages(&programs::missing(wanted));
    anyhow::ensure!(still.is_empty(), "installed {names}, but their programs are not to be found; missing: {}", still.join(" "));
    Ok(())
}

fn apt_get(arguments: &[&str], stop: &Stop) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").env("APT_LISTCHANGES_FRONTEND", "none");
    // Ubuntu's apt restarts services after an installation, and asks which.
    command.env("NEEDRESTART_SUSPEND", "1").env("NEEDRESTART_MODE", "l");
    // A machine that was just booted is often updating itself.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]);
    // A configuration file that was changed on this machine stays; without a change, the package's default is taken.
    command.args(["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]).args(arguments);
    show_until(command, stop, Process::interrupt)
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
