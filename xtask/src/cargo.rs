//! The build steps. Cargo's own progress is shown; nothing is built that is up to date.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use wharf_harness::process::{Process, environment};

use crate::stop::{Asked, Stop};
use crate::toolchain::WASM_TARGET;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A cargo command at the root.
///
/// What cargo has told us of our own package is not passed on. Build scripts ask to be run again when it changes (`ring`'s does), and everything above them would be compiled anew each time that a build by
/// `cargo xtask` follows one by hand.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(environment("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs `command`, with its output shown. If we are asked to stop, it and the compilers that it has started are ended.
///
/// # Errors
///
/// It cannot be started or ends without success, or we were asked to stop. It has ended in any case.
pub(crate) fn show(command: Command, stop: &Stop) -> anyhow::Result<()> {
    show_until(command, stop, Process::terminate_group)
}

/// As [`show`], with another way to tell it, after which it takes the time that it needs.
///
/// # Errors
///
/// As [`show`].
pub(crate) fn show_until(command: Command, stop: &Stop, tell: fn(&Process)) -> anyhow::Result<()> {
    stop.check()?;
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    let line = [program.to_string_lossy()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ");
    crate::step(&line);
    let mut process = Process::start_attached(command)?;
    let Some(status) = stop.wait_for(&mut process)? else {
        crate::step(&format!("stopping `{line}`"));
        tell(&process);
        process.wait()?;
        return Err(Asked.into());
    };
    anyhow::ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Builds the host for use and answers where the binary is.
///
/// # Errors
///
/// The build fails, or we were asked to stop.
pub(crate) fn build_host(stop: &Stop) -> anyhow::Result<PathBuf> {
    show(cargo(&["build", "--release", "--package", "wharf-host"]), stop)?;
    Ok(target().join("release/wharf"))
}

/// Builds the crates `packages` as components and answers the files, in that order.
///
/// # Errors
///
/// The build fails, or we were asked to stop.
pub(crate) fn build_components(packages: &[String], stop: &Stop) -> anyhow::Result<Vec<PathBuf>> {
    let mut command = cargo(&["build", "--profile", "plugin", "--target", WASM_TARGET]);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    show(command, stop)?;
    let folder = target().join(WASM_TARGET).join("plugin");
    Ok(packages.iter().map(|package| folder.join(format!("{}.wasm", package.replace('-', "_")))).collect())
}

/// Builds every plugin of the repository and puts the components where `wharf.toml` names them: `target/wharf/plugins/NAME.wasm`.
///
/// # Errors
///
/// The build fails, the folder cannot be written, or we were asked to stop.
pub(crate) fn build_plugins(stop: &Stop) -> anyhow::Result<()> {
    let plugins = plugins()?;
    let place = root().join("target/wharf/plugins");
    std::fs::create_dir_all(&place).with_context(|| format!("failed to make `{}`", place.display()))?;
    for (plugin, component) in plugins.iter().zip(build_components(&plugins, stop)?) {
        // Put in place by renaming: a running host that looks at the file sees the old one or the new one.
        let (file, draft) = (place.join(format!("{plugin}.wasm")), place.join(format!(".{plugin}.new")));
        std::fs::copy(&component, &draft).with_context(|| format!("failed to copy `{}`", component.display()))?;
        std::fs::rename(&draft, &file).with_context(|| format!("failed to write `{}`", file.display()))?;
    }
    Ok(())
}

/// The plugins of the repository by name: the folders under `plugins/` that are crates.
fn plugins() -> anyhow::Result<Vec<String>> {
    let folders = std::fs::read_dir(root().join("plugins"))?.collect::<Result<Vec<_>, _>>()?;
    let crates = folders.iter().filter(|folder| folder.path().join("Cargo.toml").is_file());
    let mut names: Vec<String> = crates.map(|folder| folder.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    environment("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_names_plugins_as_they_are_built() {
        let text = std::fs::read_to_string(root().join("wharf.toml")).unwrap();
        let sources = text.lines().filter_map(|line| line.strip_prefix("source = \"target/wharf/plugins/")?.strip_suffix(".wasm\""));
        let mut named: Vec<&str> = sources.collect();
        named.sort_unstable();
        assert_eq!(named, plugins().unwrap());
    }
}
