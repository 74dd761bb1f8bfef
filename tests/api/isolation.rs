//! Instances: kept between requests, or not.

use crate::in_process::{host, one_plugin};
use wharf_tests::guests::MISBEHAVE;

#[track_caller]
fn check(isolation: &str, served: [&str; 3]) {
    let host = host(&one_plugin(MISBEHAVE, &format!("isolation = \"{isolation}\"")));
    assert_eq!(served.map(|_| host.get("/served").text().unwrap().to_owned()), served);
}

#[test]
fn a_pooled_instance_serves_one_request_after_another() {
    check("pooled", ["0", "1", "2"]);
}

#[test]
fn with_isolation_by_request_nothing_is_kept() {
    check("request", ["0", "0", "0"]);
}

#[test]
fn an_instance_that_trapped_is_not_used_again() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    assert_eq!(host.get("/served").text().unwrap(), "0");
    assert_eq!(host.get("/panic").status, 500);
    assert_eq!(host.get("/served").text().unwrap(), "0");
}
