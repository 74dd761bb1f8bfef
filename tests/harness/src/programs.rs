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
/// The load generator.
pub const WRK: Program = Program { name: "wrk", package: "wrk" };

/// What a private engine with an image needs.
pub const ENGINE: &[Program] = &[DOCKERD, DOCKER_PROXY, CONTAINERD, IP, BUSYBOX];

impl Program {
    /// Where it is; none if it is not installed.
    pub fn find(self) -> Option<PathBuf> {
        let path = process::search_path(&[]).ok()?;
        let fits = |file: &PathBuf| file.is_file() && (self != BUSYBOX || is_static(file));
        std::env::split_paths(&path).map(|place| place.join(self.name)).find(fits)
    }
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
