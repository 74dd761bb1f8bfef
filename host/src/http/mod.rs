//! HTTP: listeners, virtual hosts, dispatch, and what the host answers by itself.
//!
//! The way of a request: `server` accepts it, `dispatch` finds the plugin in the current [`table::Table`], `auth` who is asking, `plugin::call` runs it, `observe` counts and logs it. The admin API has a
//! listener of its own.

pub(crate) mod admin;
mod auth;
pub(crate) mod bench;
mod connection;
pub(crate) mod descriptors;
pub(crate) mod dispatch;
pub(crate) mod observe;
pub(crate) mod problem;
pub(crate) mod server;
pub(crate) mod table;
