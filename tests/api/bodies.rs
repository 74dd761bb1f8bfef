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
