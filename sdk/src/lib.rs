//! What a plugin's author sees of Wharf.
//!
//! A plugin is a type that implements [`Plugin`]; [`export!`] turns the crate into a component. Everything that a plugin may ask of the host has a
//! module of the name that it has in the contract and in `wharf.toml`: [`docker`], [`registry`], [`storage`], [`identity`], [`jobs`], [`log`], [`config`]. On a native target these modules ask the in-memory host
//! of [`fake`] instead, so that plain `cargo test` covers a plugin's logic.
//!
//! The README follows; its plugin is built by the project's tests.
#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![expect(clippy::test_attr_in_doctest, reason = "the README shows how a plugin is tested; its plugin's own tests run in `examples/hello`")]

#[cfg(any(all(target_family = "wasm", not(target_feature = "atomics"), feature = "allocator"), test))]
mod allocator;
mod body;
mod description;
mod error;
mod export;
mod host;
mod problem;
mod request;
mod response;
mod router;
mod stream;

pub mod config;
pub mod docker;
pub mod identity;
pub mod jobs;
pub mod log;
pub mod reference;
pub mod registry;
pub mod storage;

#[cfg(not(target_family = "wasm"))]
pub mod fake;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
#[cfg(target_family = "wasm")]
mod imports;

pub use body::BodyError;
pub use description::Description;
pub use error::Error;
pub use export::{Exported, Package, Plugin};
pub use jobs::Jobs;
pub use problem::Problem;
pub use request::{Query, Request};
pub use response::{IntoResponse, Response};
pub use router::Router;
pub use stream::{BodyWriter, ByteStream};

/// The crate whose `Value` and `json!` stand in descriptions and specifications.
pub use serde_json;

/// The crate whose macros write to the host's log; see [`log`].
pub use tracing;

/// What [`export!`] needs. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::bindings;
    #[cfg(target_family = "wasm")]
    pub use crate::export::wasm::{Loaded, describe, handle, run};
}

/// `text` with its percent-encoding taken off once. Bytes that are not UTF-8 become U+FFFD.
///
/// [`Request::param`] has done so already; this is for APIs whose clients encode twice.
#[must_use]
pub fn percent_decode(text: &str) -> std::borrow::Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}
