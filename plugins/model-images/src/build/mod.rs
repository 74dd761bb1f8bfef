//! Building: what goes to the engine, and what comes of it.

mod arguments;
mod context;
mod dockerfile;
mod run;

pub(crate) use arguments::Arguments;
pub(crate) use context::{Context, MAX_ARTIFACTS};
pub(crate) use run::{BUILD_LABEL, Plan, begin, finish, keep_log};
