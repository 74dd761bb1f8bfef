//! The programs that we start but do not build, and Debian's packages that have them.
//!
//! A test without its program fails and says what to install. It is skipped only when `E2E=skip` is set, and then it says so: a green run
//! that silently tested nothing is worse than a red one.
//!
//! `cargo test` keeps what a passing test prints to itself, which is decided in `print!` and its kin; so the line is written to standard error directly.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::process;

/// A program and the Debian package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// The program's file name.
    pub name: &'static str,
    /// The package.
    pub package: &'static str,
}

/// The engine.
pub const DOCKERD: Program = Program { name: "dockerd", package: "docker.io" };
/// The engine's command line; part of its package.
pub const DOCKER: Program = Program { name: "docker", package: "docker.io" };
/// Carries the bytes of published ports; part of the engine's package.
pub const DOCKER_PROXY: Program = Program { name: "docker-proxy", package: "docker.io" };
/// Runs containers for the engine.
pub const CONTAINERD: Program = Program { name: "containerd", package: "containerd" };
/// Makes the private engine's bridge.
pub const IP: Program = Program { name: "ip", package: "iproute2" };
/// The registry.
pub const REGISTRY: Program = Program { name: "docker-registry", package: "docker-registry" };
/// What our images consist of.
pub const BUSYBOX: Program = Program { name: "busybox", package: "busybox-static" };
/// Makes the system that has a Python.
pub const DEBOOTSTRAP: Program = Program { name: "debootstrap", package: "debootstrap" };
/// The compiler of libFuzzer.
pub const CXX: Program = Program { name: "c++", package: "g++" };
/// The load generator.
pub const WRK: Program = Program { name: "wrk", package: "wrk" };

/// The database. Debian keeps the programs of each version in a folder of its own, beside `PATH`.
pub const POSTGRES: Program = Program { name: "postgres", package: "postgresql" };

/// Makes the environment of the stand-in for S3. Debian has Python without the means to make one.
pub const PYTHON: Program = Program { name: "python3", package: "python3-venv" };

/// What a private engine with an image needs.
pub const ENGINE: &[Program] = &[DOCKERD, DOCKER_PROXY, CONTAINERD, IP, BUSYBOX];

impl Program {
    /// Where it is; none if it is not installed.
    pub fn find(self) -> Option<PathBuf> {
        let path = process::search_path(&[]).ok()?;
        let fits = |file: &PathBuf| match self {
            BUSYBOX => file.is_file() && is_static(file),
            PYTHON => file.is_file() && makes_environments(file),
            _ => file.is_file(),
        };
        std::env::split_paths(&path).chain(databases()).map(|place| place.join(self.name)).find(fits)
    }
}

/// Where the programs of the installed versions of PostgreSQL are, the newest first.
fn databases() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> =
        versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))).collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, place)| place).collect()
}

/// Whether `file` runs in an image that has no loader: an ELF program without an interpreter. Most machines have a busybox that is not of this kind.
fn is_static(file: &Path) -> bool {
    let Ok(program) = std::fs::read(file) else { return false };
    let number = |at: usize, bytes: usize| {
        let field = program.get(at..at + bytes).unwrap_or_default();
        field.iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    // Offset, entry size and count of the program headers, in the two classes of ELF; 3 is PT_INTERP.
    let (table, size, count) = match program.get(..5) {
        Some([0x7f, b'E', b'L', b'F', 2]) => (number(32, 8), number(54, 2), number(56, 2)),
        Some([0x7f, b'E', b'L', b'F', 1]) => (number(28, 4), number(42, 2), number(44, 2)),
        _ => return false,
    };
    (0..count).all(|index| number(table + index * size, 4) != 3)
}

/// Whether the Python `file` has what `python3-venv` brings.
fn makes_environments(file: &Path) -> bool {
    std::process::Command::new(file).args(["-c", "import ensurepip"]).output().is_ok_and(|output| output.status.success())
}

/// Those of `programs` that are not installed.
pub fn missing(programs: &[Program]) -> Vec<Program> {
    programs.iter().copied().filter(|program| program.find().is_none()).collect()
}

/// The packages of `programs`, each once.
pub fn packages(programs: &[Program]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = programs.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Whether tests that need `programs` are to be left out: the environment says `E2E=skip`. If so, prints a line with the name of the test that asks, and adds the
/// line to the file that the variable `E2E_LEFT_OUT` names, if there is one.
///
/// # Errors
///
/// They are not to be left out, and a program is missing or we are not root, as the engine must be.
pub fn skip(programs: &[Program]) -> anyhow::Result<bool> {
    if process::environment("E2E").is_some_and(|value| value == "skip") {
        let thread = std::thread::current();
        let line = format!("{} (needs {})\n", thread.name().unwrap_or("a test"), packages(programs).join(", "));
        // In one piece: other tests write at the same time.
        std::io::stderr().write_all(format!("left out, since E2E=skip: {line}").as_bytes())?;
        if let Some(list) = process::environment("E2E_LEFT_OUT") {
            OpenOptions::new().create(true).append(true).open(list)?.write_all(line.as_bytes())?;
        }
        return Ok(true);
    }
    let hint = "or set E2E=skip to leave these tests out";
    let missing = packages(&missing(programs)).join(" ");
    anyhow::ensure!(missing.is_empty(), "programs are missing: run `apt-get install {missing}` as root, {hint}");
    anyhow::ensure!(!programs.contains(&DOCKERD) || is_root(), "a private engine needs root: run as root, {hint}");
    Ok(false)
}

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_not_static() {
        assert!(!is_static(&std::env::current_exe().unwrap()));
        assert!(!is_static(Path::new("/etc/hostname")) && !is_static(Path::new("/nowhere")));
    }
}
