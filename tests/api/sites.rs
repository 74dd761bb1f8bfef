//! Virtual hosts and mounts.

use crate::in_process::{InProcess, host, plugin};
use wharf_tests::guests::{BENCH, MISBEHAVE};

fn two_sites() -> InProcess {
    let a = format!(
        "[[site]]\nname = \"a\"\nhosts = [\"a.local\"]\n{}{}",
        plugin("root", BENCH, "/", ""),
        plugin("api", MISBEHAVE, "/api", "")
    );
    let b = format!("[[site]]\nname = \"b\"\nhosts = [\"b.local\"]\n{}", plugin("api", BENCH, "/api", ""));
    host(&format!("{a}{b}"))
}

#[track_caller]
fn check(host: &InProcess, authority: &str, path: &str, status: u16) {
    let answer = host.client().with_header("host", authority).get(path).unwrap();
    assert_eq!(answer.status, status, "{authority}{path}: {:?}", answer.text());
}

#[test]
fn a_request_goes_to_its_site_and_to_the_longest_mount() {
    let host = two_sites();
    check(&host, "a.local", "/", 200);
    check(&host, "a.local", "/api/served", 200);
    check(&host, "A.LOCAL:9999", "/api/served", 200);
    check(&host, "a.local", "/apis", 404);
    check(&host, "b.local", "/api", 200);
    check(&host, "b.local", "/api/served", 404);
    check(&host, "b.local", "/", 404);
}

#[test]
fn a_host_that_is_no_sites_is_misdirected() {
    check(&two_sites(), "c.local", "/", 421);
}
