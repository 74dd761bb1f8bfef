//! The host is killed while it recreates containers, and the engine fails it: one time for each thing that can be half done. `cargo xtask crash` does it at every call and at random, hundreds of times.

use std::path::Path;
use std::time::Duration;

use wharf_harness::crash::Event::{Fail, Hang, Kill, KillAfter, None, Restart};
use wharf_harness::crash::Kind::{Bad, Removed, Running, Shared, Stopped};
use wharf_harness::crash::{KINDS, Plan, Stage};
use wharf_harness::engine::{Engine, Network};
use wharf_harness::engine_proxy::Fault::{CutAfter, KeepAnswer, KeepCall, Refuse, RefuseAfter};
use wharf_harness::newer;
use wharf_tests::guests::DOCKER;

use crate::site::left_out;

#[test]
fn no_container_is_lost_when_the_host_is_killed_on_the_distributions_engine() {
    if !left_out() {
        recreate(Engine::temporary(Network::Bridge).unwrap());
    }
}

#[test]
fn no_container_is_lost_when_the_host_is_killed_on_a_newer_engine() {
    if !left_out() {
        recreate(newer::engine(Network::Bridge).unwrap());
    }
}

/// What is looked at after each time is in the harness.
#[track_caller]
fn recreate(engine: Engine) {
    let mut stage = Stage::set(engine, Path::new(env!("CARGO_BIN_EXE_wharf-under-test")), DOCKER).unwrap();
    for kind in KINDS {
        let renewed = stage.run(&Plan::new(kind, None)).unwrap().renewed;
        assert_eq!(renewed, kind != Bad, "{kind:?}");
    }
    // The calls of a running container: create, update its restart policy, stop, rename twice, start, remove.
    for plan in [
        Plan::new(Running, Kill(1, KeepAnswer)),
        Plan::new(Running, Kill(3, KeepAnswer)),
        Plan::new(Running, Kill(5, KeepCall)).then(Kill(1, KeepAnswer)),
        Plan::new(Running, Kill(6, KeepAnswer)).then(KillAfter(Duration::from_millis(50))),
        Plan::new(Running, Kill(7, KeepAnswer)),
        Plan::new(Running, Fail(1, RefuseAfter)),
        Plan::new(Running, Fail(6, CutAfter)),
        Plan::new(Running, Hang(3)),
        Plan::new(Stopped, Kill(3, KeepCall)),
        Plan::new(Shared, Kill(9, KeepAnswer)).then(Kill(2, KeepCall)),
        Plan::new(Shared, Fail(2, Refuse)),
        Plan::new(Removed, Kill(3, KeepAnswer)),
        Plan::new(Bad, Kill(8, KeepAnswer)),
        // The last, since most containers do not run after it.
        Plan::new(Running, Restart(4)),
    ] {
        stage.run(&plan).unwrap();
    }
}
