//! A plugin that misbehaves is contained: its request gets its documented status, the next one is served, and the neighbour never notices.

use std::thread;
use std::time::{Duration, Instant};

use crate::in_process::{InProcess, eventually, host, lines_of, one_plugin, plugin};
use wharf_tests::guests::{BENCH, MISBEHAVE};

fn beside_a_neighbour(lines: &str) -> InProcess {
    let neighbour = plugin("neighbour", BENCH, "/neighbour", "");
    let limits = if lines.is_empty() { "limits = { memory_mib = 16, cpu_ms = 200, deadline_ms = 1000 }" } else { lines };
    host(&format!("{}{neighbour}", one_plugin(MISBEHAVE, limits)))
}

/// `GET path` is answered `status`, counted as `kind`; afterwards both plugins answer.
#[track_caller]
fn check(path: &str, status: u16, kind: Option<&str>) {
    let host = beside_a_neighbour("");
    let answer = host.get(path);
    assert_eq!(answer.status, status, "{path}: {:?}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json().unwrap()["request_id"].as_str(), answer.header("x-request-id"));
    assert_eq!(host.get("/served").status, 200, "the next request of the same plugin");
    assert_eq!(host.get("/neighbour").text().unwrap(), "Hello, dock!");
    if let Some(kind) = kind {
        let series = format!(r#"wharf_traps_total{{site="test",plugin="subject",kind="{kind}"}}"#);
        assert!((host.metric(&series) - 1.0).abs() < f64::EPSILON, "{series}");
    }
}

#[test]
fn an_endless_loop_ends_at_its_processor_time() {
    check("/loop", 504, Some("cpu"));
}

#[test]
fn unbounded_memory_ends_at_the_limit_of_the_instance() {
    check("/memory", 500, Some("memory"));
}

#[test]
fn deep_recursion_ends_at_the_stack() {
    check("/recursion", 500, Some("stack"));
}

#[test]
fn a_panic_fails_its_own_request() {
    check("/panic", 500, Some("unreachable"));
}

#[test]
fn an_exit_ends_the_instance_and_not_the_host() {
    check("/exit", 500, Some("exit"));
}

#[test]
fn a_status_that_is_none_is_the_plugins_failure() {
    check("/status/99", 500, None);
    check("/status/101", 500, None);
    check("/status/600", 500, None);
}

#[test]
fn a_field_that_cannot_be_sent_is_the_plugins_failure() {
    check("/field-name", 500, None);
    check("/field-value", 500, None);
    check("/connection", 500, None);
    check("/fields", 500, None);
    check("/wrong-length", 500, None);
}

#[test]
fn a_plugin_that_traps_each_time_is_left_alone_and_asked_again() {
    let host = beside_a_neighbour("");
    assert!((0..20).all(|_| host.get("/panic").status == 500));
    let answer = host.get("/served");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{:?}", answer.text());
    assert_eq!(host.get("/neighbour").status, 200);
    eventually("an answer after the pause", || host.get("/served").status == 200);
    assert_eq!(host.get("/panic").status, 500, "it is closed again");
}

#[test]
fn a_giant_response_is_not_sent() {
    let host = beside_a_neighbour("limits = { response_mib = 16 }");
    assert_eq!(host.get("/giant").status, 500);
    assert_eq!(host.get("/served").status, 200);
}

#[test]
fn a_host_call_carries_no_more_than_a_response_may() {
    let host = beside_a_neighbour("limits = { response_mib = 1, request_mib = 1 }");
    assert_eq!(host.get("/push/1024").status, 200);
    let answer = host.get_as("pushed-too-much", "/push/3072");
    assert_eq!((answer.status, answer.header("content-type")), (500, Some("application/problem+json")));
    let lines = lines_of("pushed-too-much");
    assert!(lines.iter().any(|line| line["fields"]["reason"].as_str().is_some_and(|reason| reason.contains("too much data"))));
    assert_eq!(host.get("/served").status, 200);
}

#[test]
fn a_plugin_that_shouts_loses_lines_and_is_answered() {
    let host = beside_a_neighbour("limits = { log_lines_per_second = 50 }");
    assert_eq!(host.get_as("shouting", "/shout").text().unwrap(), "shouted");
    // How many seconds it takes depends on the machine; each lets 50 lines through.
    let lines = lines_of("shouting").iter().filter(|line| line["fields"]["message"] == "again").count();
    assert!((50..50_000).contains(&lines), "{lines} lines");
}

#[test]
fn a_body_that_is_never_read_harms_nobody() {
    let host = beside_a_neighbour("");
    let body = vec![b'x'; 1 << 20];
    for _ in 0..3 {
        assert_eq!(host.client().send("POST", "/unread", &[], &body).unwrap().text().unwrap(), "did not read it");
    }
    assert_eq!(host.get("/neighbour").status, 200);
}

#[test]
fn a_request_that_waits_too_long_ends_at_its_deadline() {
    // More processor time than wall time, so that it is the wall that ends it.
    let host = beside_a_neighbour("limits = { cpu_ms = 60000, deadline_ms = 100 }");
    assert_eq!(host.get("/loop").status, 504);
    let series = r#"wharf_traps_total{site="test",plugin="subject",kind="deadline"}"#;
    assert!((host.metric(series) - 1.0).abs() < f64::EPSILON);
    assert_eq!(host.get("/served").status, 200);
}

#[test]
fn sixty_four_endless_loops_leave_the_neighbour_its_share() {
    let host = beside_a_neighbour("limits = { cpu_ms = 60000, deadline_ms = 3000, concurrency = 64 }");
    let client = host.client();
    let mut times = Vec::new();
    thread::scope(|scope| {
        let loops: Vec<_> = (0..64).map(|_| scope.spawn(|| client.get("/loop").unwrap().status)).collect();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            let asked = Instant::now();
            assert_eq!(host.get("/neighbour").status, 200);
            times.push(asked.elapsed());
        }
        for ended in loops {
            assert_eq!(ended.join().unwrap(), 504);
        }
    });
    times.sort();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    // A figure for the reader; how fast a machine is, is no property of the code.
    eprintln!("neighbour of 64 endless loops: {} requests in 2 s, p99 {p99:?}", times.len());
    assert!(times.len() > 10, "the neighbour was starved");
}
