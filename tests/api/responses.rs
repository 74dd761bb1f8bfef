//! What of a plugin's response reaches the client, and what the host adds.

use crate::in_process::{host, one_plugin};
use wharf_harness::http::exchange;
use wharf_tests::guests::{BENCH, MISBEHAVE};

#[test]
fn a_response_carries_the_requests_id() {
    let host = host(&one_plugin(BENCH, ""));
    assert_eq!(host.get_as("job-7", "/").header("x-request-id"), Some("job-7"));
    assert_eq!(host.get("/").header("x-request-id").map(str::len), Some(16));
}

#[test]
fn a_right_content_length_is_sent_once() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    let answer = host.get("/right-length");
    assert_eq!((answer.status, answer.text().unwrap()), (200, "four"));
    assert_eq!(answer.headers.get_all("content-length").iter().count(), 1);
}

#[test]
fn a_head_request_is_answered_without_a_body() {
    let host = host(&one_plugin(BENCH, ""));
    let answer = exchange(host.address(), b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn what_is_no_http_is_refused() {
    let host = host(&one_plugin(BENCH, ""));
    let answer = exchange(host.address(), b"NOT HTTP\r\n\r\n").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(host.get("/").status, 200);
}

#[test]
fn empty_bodies_have_their_length() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    let answer = host.get("/status/404");
    assert_eq!((answer.status, answer.header("content-length")), (404, Some("0")));
}
