//! What two rooms or more stand on: the engine, streams, operations.
//!
//! Nothing here knows WIT, grants or plugins. A room checks first and hands down only what it has checked.

pub(crate) mod engine;
pub(crate) mod operations;
pub(crate) mod stream;
