//! Wharf: a host that serves the HTTP APIs of a container site from sandboxed WebAssembly components.
//!
//! The binary `wharf` is a thin layer over [`cli`]; tests use [`serve`] to run the same host inside their own process. `ARCHITECTURE.md` is the map.

mod backend;
mod bindings;
mod capability;
pub mod cli;
mod http;
mod metrics;
mod plugin;
pub mod recreation;
pub mod serve;
pub mod settings;
mod site;
#[cfg(test)]
mod testing;
