//! What two rooms or more stand on: the engine, streams, operations, lines of the log.
//!
//! Nothing here knows WIT, grants or plugins. A room checks first and hands down only what it has checked.

pub(crate) mod engine;
pub(crate) mod lines;
pub(crate) mod operations;
pub(crate) mod stream;
