//! What two rooms or more stand on: the engine, registries, Docker Hub, catalogues, the names of images, secrets, streams, operations, lines of the log.
//!
//! Nothing here knows WIT, grants or plugins. A room checks first and hands down only what it has checked.

pub(crate) mod catalog;
mod causes;
pub(crate) mod docker_hub;
pub(crate) mod engine;
pub(crate) mod lines;
pub(crate) mod operations;
pub(crate) mod pattern;
pub(crate) mod reference;
pub(crate) mod registry;
pub(crate) mod secret;
pub(crate) mod stream;
