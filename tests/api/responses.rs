//! What of a plugin's response reaches the client, and what the host adds.

use std::io::Write;

use crate::in_process::{InProcess, eventually, host, lines_of, one_plugin};
use wharf_harness::http::exchange;
use wharf_tests::guests::{BENCH, MISBEHAVE};

/// All that a client hears of `method path`.
fn heard(host: &InProcess, method: &str, path: &str, body: &[u8]) -> String {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let answer = exchange(host.address(), &[head.as_bytes(), body].concat()).unwrap();
    String::from_utf8(answer).unwrap()
}

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

#[test]
fn a_length_without_a_body_is_that_of_the_answer_to_a_get() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    assert_eq!(host.get("/empty-length").status, 500, "a GET has what its length says");
    for (method, path, status) in [("HEAD", "/empty-length", "200"), ("GET", "/not-modified", "304")] {
        let answer = heard(&host, method, path, b"");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains("content-length: 5\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[test]
fn a_stream_is_as_long_as_its_length_or_breaks_off() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    let body = vec![b'x'; 100_000];
    let length = |said: usize| {
        let answer = heard(&host, "POST", &format!("/echo/{said}"), &body);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains(&format!("content-length: {said}")), "{head}");
        body.len()
    };
    assert_eq!(length(100_000), 100_000);
    assert!(length(100_001) < 100_001);
    assert!(length(99_999) < 99_999, "a client must not take the beginning for the whole");
}

#[test]
fn a_started_response_is_as_long_as_its_length_or_breaks_off() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    assert!(heard(&host, "GET", "/started-length/10", b"").ends_with("\r\n\r\n0123456789"));
    for said in ["9", "11"] {
        let answer = heard(&host, "GET", &format!("/started-length/{said}"), b"");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && body.starts_with("01234") && body.len() < said.parse().unwrap(), "{answer}");
    }
    assert_eq!(host.get("/started-length/x").status, 500);
}

#[test]
fn a_request_whose_client_goes_away_has_its_line_and_is_counted() {
    let host = host(&one_plugin(MISBEHAVE, "limits = { cpu_ms = 60000, deadline_ms = 60000 }"));
    let mut client = std::net::TcpStream::connect(host.address()).unwrap();
    client.write_all(b"GET /loop HTTP/1.1\r\nhost: x\r\nx-request-id: client-gone\r\n\r\n").unwrap();
    let line = |message: &str| lines_of("client-gone").into_iter().find(|line| line["fields"]["message"] == message);
    // A request whose client leaves before anyone has looked at it is none.
    eventually("the loop", || line("began to loop").is_some());
    drop(client);
    eventually("the line of a request whose client went away", || line("request").is_some());
    assert_eq!(line("request").unwrap()["fields"]["status"], 499);
    let series = r#"wharf_requests_total{site="test",plugin="subject",route="/loop",status="499"}"#;
    assert!((host.metric(series) - 1.0).abs() < f64::EPSILON);
}
