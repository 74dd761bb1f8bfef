//! `wharf check`: would this configuration serve what it says?
//!
//! Everything that `serve` does before it listens, and a report: each plugin's imports beside what was granted. Exit code 0 when all is well, 1 with any mistake; warnings change nothing.
//!
//! It leaves nothing behind. Compiled code is used and kept only where the host has a cache already: an operator who checks as root must not be the one to whom the host's directory belongs.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::capability;
use crate::plugin::checks;
use crate::plugin::code_cache::CodeCache;
use crate::plugin::generation::SharedGeneration;
use crate::plugin::state::InstanceState;
use crate::serve::{self, Host};
use crate::settings;
use crate::site::{Plugin, PluginState, Site};

pub(super) fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let settings = settings::load(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sites, mistakes, problem) = runtime.block_on(async {
        let loader = serve::loader(CodeCache::open_existing(&settings.server.data_dir)?)?;
        let (sites, mistakes) = Host::load_sites(&loader, settings).await;
        anyhow::Ok((sites, mistakes, loader.storage.problem().await))
    })?;
    let mut out = std::io::stdout().lock();
    for site in &sites {
        report(&mut out, site)?;
    }
    if let Some(problem) = problem {
        writeln!(out, "warning: the database of `[storage]` cannot be used: {problem}")?;
    }
    for mistake in &mistakes {
        writeln!(out, "{mistake}")?;
    }
    match mistakes.len() {
        0 => writeln!(out, "{}: all is well", path.display())?,
        1 => writeln!(out, "{}: 1 mistake", path.display())?,
        count => writeln!(out, "{}: {count} mistakes", path.display())?,
    }
    Ok(if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(out: &mut impl Write, site: &Site) -> std::io::Result<()> {
    let hosts = if site.hosts.is_empty() { "every other host".to_owned() } else { site.hosts.join(", ") };
    writeln!(out, "site {} ({hosts})", site.name)?;
    for Plugin { name, mount, state, .. } in &site.plugins {
        let mount = if mount.is_empty() { "/" } else { mount };
        match state {
            PluginState::Loaded(generation) => loaded(out, name, mount, generation)?,
            PluginState::Failed(_) => writeln!(out, "  plugin {name} at {mount}: not loaded")?,
        }
    }
    Ok(())
}

fn loaded(out: &mut impl Write, name: &str, mount: &str, generation: &SharedGeneration) -> std::io::Result<()> {
    let description = &generation.description;
    writeln!(out, "  plugin {name} at {mount}: {} {} (sha256 {})", description.name, description.version, generation.digest)?;
    for import in &generation.imports {
        writeln!(out, "    imports {import:<45} {}", why(import, generation))?;
    }
    for warning in checks::warnings(&description.grants, &generation.imports, &generation.settings.grants, &generation.settings.at) {
        writeln!(out, "    warning: {}", warning.to_string().replace('\n', "\n    "))?;
    }
    Ok(())
}

/// Why an import of a loaded plugin is linked.
fn why(import: &str, generation: &SharedGeneration) -> String {
    let base = |name: &str| name.split_once('@').map_or(name, |(base, _)| base).to_owned();
    let granted = capability::rooms::<InstanceState>().into_iter().find_map(|room| {
        let interface = room.interfaces.iter().find(|interface| base(interface.name) == base(import))?;
        let power = interface.power?;
        generation.settings.grants.allows(room.name, power).then(|| format!("granted: `{power}` of grants.{}", room.name))
    });
    granted.unwrap_or_else(|| {
        if import.starts_with("wasi:") { "for every plugin: no files, environment or sockets" } else { "for every plugin" }.to_owned()
    })
}
