//! Requests' bodies: small and whole, large and streamed, of unknown length, too long, cut short.

use crate::in_process::{InProcess, host, one_plugin};
use wharf_harness::http::exchange;
use wharf_tests::guests::MISBEHAVE;

fn reader() -> InProcess {
    host(&one_plugin(MISBEHAVE, "limits = { request_mib = 1 }"))
}

#[test]
fn a_body_arrives_whole_whatever_its_size() {
    let host = reader();
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 1 << 20] {
        let answer = host.client().send("POST", "/read", &[], &vec![b'x'; size]).unwrap();
        assert_eq!(answer.text().unwrap(), size.to_string());
    }
}

#[test]
fn a_body_over_the_limit_is_413_before_the_plugin_is_asked() {
    let answer = reader().client().send("POST", "/unread", &[], &vec![b'x'; (1 << 20) + 1]).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (413, Some("application/problem+json")));
}

/// Sends a chunked body of `chunks` times 64 KiB to `/read`, and perhaps the end of it; the answer's first line and the rest.
fn chunked(host: &InProcess, chunks: usize, ended: bool) -> String {
    let mut message = b"POST /read HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..chunks {
        message.extend_from_slice(b"10000\r\n");
        message.extend(std::iter::repeat_n(b'x', 0x10000));
        message.extend_from_slice(b"\r\n");
    }
    if ended {
        message.extend_from_slice(b"0\r\n\r\n");
    }
    String::from_utf8(exchange(host.address(), &message).unwrap()).unwrap()
}

#[test]
fn a_body_of_unknown_length_is_a_stream() {
    let answer = chunked(&reader(), 3, true);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&(3 * 0x10000).to_string()), "{answer}");
}

#[test]
fn a_stream_over_the_limit_is_413_in_the_plugins_words() {
    let answer = chunked(&reader(), 17, true);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// All that a client hears that sends `head` and nothing more.
fn heard(host: &InProcess, head: &str) -> String {
    String::from_utf8(exchange(host.address(), head.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_client_that_asks_first_is_not_asked_for_a_body_that_is_too_large() {
    let host = reader();
    let asks = |length: usize| format!("POST /read HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
    let answer = heard(&host, &asks((1 << 20) + 1));
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close\r\n"), "{answer}");
    let answer = heard(&host, &format!("{}abcdePOST /none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", asks(5)));
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"), "{answer}");
    assert!(answer.contains("HTTP/1.1 404"), "the connection goes on: {answer}");
}

#[test]
fn an_answer_does_not_wait_for_a_body_that_nobody_reads() {
    let host = reader();
    // Its head and a little more: what is whole would be waited for.
    let sent = "x".repeat(65 << 10);
    let answer = heard(&host, &format!("POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{sent}"));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("did not read it"), "{answer}");
}

#[test]
fn a_client_that_sends_everything_first_hears_an_answer_that_was_given_before() {
    let host = reader();
    let mut message = format!("POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 32 << 20).into_bytes();
    message.resize(message.len() + (32 << 20), b'x');
    let answer = exchange(host.address(), &message).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
}
