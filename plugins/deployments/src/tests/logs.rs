//! `GET /deployments/{deployment}/log`.

use std::time::{Duration, SystemTime};

use super::*;

fn at(second: u64) -> SystemTime {
    // 2020-11-20T09:55:20Z
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_605_866_120 + second)
}

fn host_with_log() -> Host {
    let host = site();
    let container = Container::new("c").state("exited");
    host.container((0..5).fold(container, |container, second| container.log(at(second), format!("line {second}"))));
    host
}

#[track_caller]
fn check(query: &str, seconds: std::ops::Range<u64>) {
    host_with_log();
    let answer = send(fake::get(&format!("/deployments/c/log{query}")));
    let expected: String = seconds.map(|second| format!("line {second}\n")).collect();
    assert_eq!((answer.status, answer.text()), (200, expected));
    assert_eq!((answer.header("content-type"), answer.streamed), (Some("text/plain; charset=utf-8"), true));
}

#[test]
fn a_log_is_handed_on_whole_or_in_part() {
    check("", 0..5);
    check("?", 0..5);
    check("?lines=2", 3..5);
    check("?lines=0", 0..0);
    check("?lines=-0", 0..0);
    check("?lines=-1", 0..5);
    check("?lines=99999999999999999999", 0..5);
    check("?since=2020-11-20T9:55:22Z", 2..5);
    check("?until=2020-11-20T09:55:22Z", 0..2);
    check("?since=2020-11-20T9:55:21Z&until=2020-11-20T9:55:24Z", 1..4);
    check("?since=2020-11-20T9%3A55%3A22Z", 2..5);
    check("?since=1900-2-28T0:0:0Z", 0..5);
    check("?since=2024-02-29T23:59:59Z", 0..0);
    check("?until=1969-12-31T23:59:59Z", 0..0);
}

#[test]
fn other_parameters_are_refused() {
    host_with_log();
    for query in [
        "lines=",
        "lines=x",
        "lines=1.0",
        "lines=+1",
        "lines=-",
        "lines=1&lines=1",
        "lines=1&since=2020-11-20T9:55:22Z",
        "tail=1",
        "lines=1&x=",
        "since=",
        "since=2020-11-20",
        "since=2020-11-20T09:55:22",
        "since=2020-11-20T09:55:22.5Z",
        "since=2020-11-20T09:55:22%2B01:00",
        "since=2020-11-20 09:55:22Z",
        "since=2020-11-31T09:55:22Z",
        "since=2021-02-29T09:55:22Z",
        "since=2020-13-01T09:55:22Z",
        "since=2020-00-01T09:55:22Z",
        "since=2020-11-20T24:00:00Z",
        "since=2020-11-20T09:60:00Z",
        "since=2020-11-20T09:55:60Z",
        "since=20-11-20T09:55:22Z",
        "since=2020-11-20T009:55:22Z",
        "since=2020-11-20T09:55Z",
        "since=\u{662}020-11-20T09:55:22Z",
        "until=now",
        "since=2020-11-20T9:55:22Z&since=2020-11-20T9:55:22Z",
    ] {
        check_empty(fake::get(&format!("/deployments/c/log?{query}")), 400);
    }
}

#[test]
fn bytes_that_are_no_text_go_out_as_they_are() {
    let host = site();
    host.container(Container::new("c").log(at(0), [0xff, 0x00, 0xfe]));
    assert_eq!(send(fake::get("/deployments/c/log")).body, [0xff, 0x00, 0xfe, b'\n']);
}

#[test]
fn a_log_that_cannot_be_had_is_a_status() {
    let host = site();
    check_empty(fake::get("/deployments/c/log"), 404);
    host.container(Container::new("c"));
    host.fail("docker.containers-logs.read", Error::Unavailable(String::new()));
    check_empty(fake::get("/deployments/c/log"), 500);
}
