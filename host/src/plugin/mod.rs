//! Plugins: from a file to something that answers requests.
//!
//! `source file -> load -> describe -> Generation -> call`. A [`generation::Generation`] is one loaded version of one plugin on one site: compiled code,
//! resolved imports, grants, settings, limits and a pool of instances. It never changes; a new version is a new generation. Nothing here knows axum or
//! listeners, and the rooms below know nothing of plugins.

pub(crate) mod background;
pub(crate) mod call;
pub(crate) mod checks;
pub(crate) mod circuit;
pub(crate) mod code_cache;
pub(crate) mod describe;
pub(crate) mod exchange;
pub(crate) mod generation;
pub(crate) mod instance;
pub(crate) mod load;
pub(crate) mod meter;
pub(crate) mod outcome;
pub(crate) mod pool;
pub(crate) mod runtime;
pub(crate) mod schedules;
pub(crate) mod state;
pub(crate) mod stdio;
