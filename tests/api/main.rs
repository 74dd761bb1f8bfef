//! The host with real components, in this process: no engine, no registry.
//!
//! One file for each capability and one for each promise of the host. A test says what `wharf.toml` says, what is asked and what is answered; `in_process` knows the rest.

mod admin;
mod bench;
mod blobs;
mod bodies;
mod builds;
mod capacity;
mod check;
mod config;
mod docker;
mod downloads;
mod hello;
mod identity;
mod in_process;
mod isolation;
mod jobs;
mod loading;
mod log;
mod misbehave;
mod operations;
mod pipe;
mod registry;
mod reload;
mod responses;
mod signals;
mod sites;
mod started;
mod storage;

/// Fails to compile when a guest has no test file of its name.
macro_rules! has_a_test {
    ($guest:ident) => {
        #[expect(unused_imports, reason = "that the name is there is all that is asked")]
        use self::$guest as _;
    };
}

wharf_tests::foreach_guest!(has_a_test);
