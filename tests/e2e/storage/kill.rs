//! Nothing that was acknowledged is lost when the host is killed. `cargo xtask kill` does the same for longer.

use wharf_harness::kill::kill_under_writes;
use wharf_harness::postgres::Postgres;
use wharf_tests::guests::STORAGE;

use super::{binary, left_out, on};

const KILLS: u64 = 12;

#[test]
fn sqlite_loses_nothing_when_the_host_is_killed() {
    check("");
}

#[test]
fn postgres_loses_nothing_when_the_host_is_killed() {
    if left_out() {
        return;
    }
    check(&on(&Postgres::start().unwrap()));
}

#[track_caller]
fn check(storage: &str) {
    let counts = kill_under_writes(binary(), STORAGE, storage, KILLS, |_| {}).unwrap();
    assert!(counts.kills == KILLS && counts.acknowledged >= KILLS * 5, "{counts:?}");
}
