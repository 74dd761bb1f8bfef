//! What rooms and the host itself stand on: the engine, registries, Docker Hub, catalogues, databases, blobs, users, queues of jobs, the names of images, secrets, streams, operations, lines of the log.
//!
//! Nothing here knows WIT, grants or plugins. A room checks first and hands down only what it has checked.

pub(crate) mod blobs;
pub(crate) mod catalog;
pub(crate) mod causes;
pub(crate) mod clock;
pub(crate) mod database;
pub(crate) mod docker_hub;
pub(crate) mod engine;
pub(crate) mod jobs;
pub(crate) mod lines;
pub(crate) mod operations;
pub(crate) mod pattern;
pub(crate) mod recreate;
pub(crate) mod reference;
pub(crate) mod registry;
pub(crate) mod seal;
pub(crate) mod secret;
pub(crate) mod stream;
pub(crate) mod users;
