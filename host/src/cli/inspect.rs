//! `wharf plugin inspect FILE`: what a component asks for and what it says of itself, before anybody grants it anything.
//!
//! It runs under the default limits, and its code is compiled in memory: a cache in a directory that others share would be a place from which somebody else's machine code could be loaded.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::plugin::checks;
use crate::plugin::code_cache::CodeCache;
use crate::plugin::describe::Description;
use crate::plugin::load::Compiled;
use crate::serve;
use crate::settings::{Limits, Mistakes};

pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let (compiled, description) = inspect(file)?;
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

fn inspect(file: &Path) -> anyhow::Result<(Compiled, Description)> {
    let loader = serve::loader(CodeCache::in_memory())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let compiled = loader.compile(file, None).await.map_err(|error| Mistakes(vec![error.into_mistake()]))?;
        let cannot_be_used = || format!("`{}` cannot be used", file.display());
        let not_offered = checks::not_offered(&compiled.imports);
        if !not_offered.is_empty() {
            return Err(Mistakes(not_offered)).with_context(cannot_be_used);
        }
        let description = loader.describe(&compiled, &Limits::default()).await;
        let description = description.map_err(|mistake| Mistakes(vec![mistake])).with_context(cannot_be_used)?;
        Ok((compiled, description))
    })
}
