//! Responses that a plugin writes while it works.

use std::io::Read;

use crate::in_process::{eventually, host, one_plugin};
use wharf_harness::http::exchange;
use wharf_tests::guests::MISBEHAVE;

#[test]
fn a_started_response_arrives_piece_by_piece() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    let answer = host.get("/started");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain")));
    assert_eq!(answer.text().unwrap(), "chunk 0\nchunk 1\nchunk 2\n");
}

#[test]
fn a_response_is_started_once() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    assert!(host.get("/started-twice").text().unwrap().contains("Conflict"));
}

#[test]
fn the_head_of_an_endless_response_arrives_at_once_and_the_plugin_waits_for_its_reader() {
    let host = host(&one_plugin(MISBEHAVE, "limits = { concurrency = 1, queue = 0, cpu_ms = 200 }"));
    let (status, _, mut body) = host.client().open("GET", "/started-endless", &[], &[]).unwrap();
    let mut start = [0; 16];
    body.read_exact(&mut start).unwrap();
    assert_eq!((status, &start), (200, b"chunk 0\nchunk 1\n"));
    assert_eq!(host.get("/served").status, 503, "its instance is busy as long as the client listens");
    drop(body);
    eventually("the end of a call whose client went away", || host.get("/served").status == 200);
}

#[test]
fn a_trap_in_the_middle_breaks_the_body_off() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    let answer = exchange(host.address(), b"GET /started-trap HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("so far so good"), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "a body that was cut off must not look whole: {answer}");
    assert_eq!(host.get("/served").status, 200);
}

#[test]
fn a_started_response_has_a_deadline_of_its_own() {
    let host = host(&one_plugin(MISBEHAVE, "limits = { deadline_ms = 60000, stream_deadline_ms = 200, cpu_ms = 60000 }"));
    let message = b"GET /started-endless HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = exchange(host.address(), message).unwrap();
    assert!(!answer.ends_with(b"0\r\n\r\n"));
}

#[test]
fn a_client_that_reads_nothing_does_not_keep_the_instance_past_the_deadline() {
    let host = host(&one_plugin(MISBEHAVE, "limits = { concurrency = 1, queue = 0, stream_deadline_ms = 300 }"));
    let (status, _, body) = host.client().open("GET", "/started-endless", &[], &[]).unwrap();
    assert_eq!((status, host.get("/served").status), (200, 503));
    eventually("the deadline of a response that nobody reads", || host.get("/served").status == 200);
    drop(body);
}
