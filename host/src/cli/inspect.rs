//! `wharf plugin inspect FILE`: what a component asks for and what it says of itself, before anybody grants it anything.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use crate::backend::operations::Operations;
use crate::metrics::Metrics;
use crate::plugin::code_cache::CodeCache;
use crate::plugin::describe::Description;
use crate::plugin::load::{Compiled, Loader};
use crate::plugin::runtime::WasmRuntime;
use crate::settings::Location;

pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let scratch = std::env::temp_dir().join(format!("wharf-inspect-{}", std::process::id()));
    let inspected = inspect(file, &scratch);
    let _ = std::fs::remove_dir_all(&scratch);
    let (compiled, description) = inspected?;

    let mut out = std::io::stdout().lock();
    writeln!(out, "{} {}", description.name, description.version)?;
    writeln!(out, "  {}", description.summary)?;
    writeln!(out, "  sha256 {}", compiled.digest)?;
    for (word, names) in [("imports", &compiled.imports), ("exports", &compiled.exports)] {
        writeln!(out, "{word}")?;
        names.iter().try_for_each(|name| writeln!(out, "  {name}"))?;
    }
    writeln!(out, "paths")?;
    for (pattern, methods) in &description.paths {
        let methods = methods.as_object().map(|methods| methods.keys().map(|method| method.to_uppercase()).collect::<Vec<_>>().join(" "));
        writeln!(out, "  {pattern} {}", methods.unwrap_or_default())?;
    }
    if let Some(schema) = &description.config {
        writeln!(out, "config\n  {schema}")?;
    }
    if !description.grants.is_empty() {
        writeln!(out, "to grant it what it asks for, write below its [[site.plugin]]")?;
    }
    for (room, powers) in &description.grants {
        let powers = powers.iter().map(|power| format!("\"{power}\"")).collect::<Vec<_>>().join(", ");
        writeln!(out, "  [site.plugin.grants.{room}]\n  allow = [{powers}]")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(file: &Path, scratch: &Path) -> anyhow::Result<(Compiled, Description)> {
    let cache = CodeCache::open(scratch).with_context(|| format!("failed to make `{}`", scratch.display()))?;
    let wasm = WasmRuntime::new().map_err(|error| anyhow::anyhow!("failed to start the WebAssembly engine: {error:#}"))?;
    let loader = Loader::new(wasm, cache, Arc::new(Metrics::new()), Operations::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let compiled = loader.compile(file, None).await?;
        let place = Location { file: Arc::from(file), line: 1, column: 1 };
        let description = loader.describe(&compiled, &place).await?;
        Ok((compiled, description))
    })
}
