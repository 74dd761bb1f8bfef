//! A newer Docker engine beside the one that the distribution installs, so that the tests run on both ends of what we support.
//!
//! Debian's next release has it, and its programs run on Debian 12: they need a C library of 2022. Only `runc` does not, so the installed one is used.
//! The packages come from Debian's mirror by apt with lists and a cache of its own, and are unpacked, not installed: nothing of the machine
//! changes. They are kept below the user's cache, and the next run asks nobody.
//!
//! No version is pinned: a release that is still being made holds only its newest packages, and a mirror forgets the others. So this is engine [`OLDEST`] or
//! whatever has followed it on the day of the download; the tests say which, and a machine keeps what it has until its folder is deleted.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::engine::{self, Engine, Network, Setup};
use crate::process::{environment, output, search_path};

/// What is unpacked: the engine, and a `containerd` of its time.
const PACKAGES: [&str; 2] = ["docker.io", "containerd"];
/// The release that has it: Debian's next.
const RELEASE: &str = "forky";
/// The first number of the oldest engine that counts as newer: the release had it when it was chosen.
pub const OLDEST: u32 = 28;

/// Starts the newer engine with a temporary root. The first time on a machine it downloads 50 MB.
///
/// # Errors
///
/// The packages cannot be had, have an engine that is older than [`OLDEST`], or as [`Engine::start`].
pub fn engine(network: Network) -> anyhow::Result<Engine> {
    engine_with(network, None)
}

/// As [`engine`], with a [`mirror`](Setup::mirror) of Docker Hub.
///
/// # Errors
///
/// As [`engine`].
pub fn engine_with(network: Network, mirror: Option<&str>) -> anyhow::Result<Engine> {
    let root = unpacked()?;
    let programs = [root.join("usr/sbin"), root.join("usr/bin")];
    let programs: Vec<&Path> = programs.iter().map(PathBuf::as_path).collect();
    let engine = Engine::start(&Setup { programs: &programs, network, data: None, mirror })?;
    let version = engine::version(&engine.client())?;
    anyhow::ensure!(version.major() >= OLDEST, "expected engine {OLDEST} or newer, `{}` has {version}; delete it", root.display());
    Ok(engine)
}

/// The folder with the unpacked packages, made if it is not there.
fn unpacked() -> anyhow::Result<PathBuf> {
    let place = cache()?.join("engines");
    let root = place.join(RELEASE);
    if root.join("usr/sbin/dockerd").is_file() {
        return Ok(root);
    }
    std::fs::create_dir_all(&place).with_context(|| format!("failed to make `{}`", place.display()))?;
    // Unpacked beside its place and then renamed: a run that is killed leaves nothing that looks whole.
    let work = tempfile::Builder::new().prefix("new-").tempdir_in(&place)?;
    let new = work.path().join("root");
    for package in download(work.path()).context("failed to fetch the newer engine from Debian's mirror")? {
        output(Command::new("dpkg").arg("-x").arg(&package).arg(&new))?;
    }
    if let Err(error) = std::fs::rename(&new, &root) {
        // Another test may have been faster.
        anyhow::ensure!(root.join("usr/sbin/dockerd").is_file(), "failed to make `{}`: {error}", root.display());
    }
    Ok(root)
}

/// Downloads the packages into `folder` and answers the files.
fn download(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let sources = folder.join("sources.list");
    let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
    std::fs::write(&sources, format!("deb [signed-by={key}] {} {RELEASE} main\n", mirror()))?;
    for part in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(folder.join(part))?;
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.current_dir(folder).env("PATH", search_path(&[])?);
        for (option, path) in [("Dir::Etc::SourceList", "sources.list"), ("Dir::State::Lists", "lists"), ("Dir::Cache", "cache")] {
            command.arg("-o").arg(format!("{option}={}", folder.join(path).display()));
        }
        // Neither further lists of the machine nor a sandbox user, who may not read below a home directory.
        output(command.args(["-o", "Dir::Etc::SourceParts=-", "-o", "APT::Sandbox::User=root", "-q"]).args(arguments))
    };
    apt(&["update"])?;
    apt(&[&["download"], PACKAGES.as_slice()].concat())?;
    let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
}

/// The mirror that this machine uses for Debian, or Debian's own.
pub(crate) fn mirror() -> String {
    let places = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    let text: String = places.iter().filter_map(|place| std::fs::read_to_string(place).ok()).collect();
    let words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    let mut mirrors = words.filter(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"));
    mirrors.next().unwrap_or("http://deb.debian.org/debian").to_owned()
}

/// Where this project keeps on a machine what is costly to make: `$XDG_CACHE_HOME/wharf` or `$HOME/.cache/wharf`.
///
/// # Errors
///
/// Neither variable is set.
pub fn cache() -> anyhow::Result<PathBuf> {
    let given = environment("XDG_CACHE_HOME").map(PathBuf::from);
    let usual = || environment("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Ok(given.or_else(usual).context("neither XDG_CACHE_HOME nor HOME is set")?.join("wharf"))
}
