//! More requests than a plugin may serve at once: they wait, and then they are refused.

use std::thread;

use crate::in_process::{eventually, host, one_plugin, plugin};
use wharf_tests::guests::{BENCH, MISBEHAVE};

#[test]
fn a_plugin_over_capacity_answers_503_and_its_neighbour_goes_on() {
    let limits = "limits = { concurrency = 1, queue = 0 }";
    let host = host(&format!("{}{}", one_plugin(MISBEHAVE, limits), plugin("neighbour", BENCH, "/neighbour", "")));
    let (_, _, busy) = host.client().open("GET", "/started-endless", &[], &[]).unwrap();
    let refused = host.get("/served");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(host.get("/neighbour").status, 200);
    drop(busy);
    eventually("the end of the call that took its place", || host.get("/served").status == 200);
}

#[test]
fn a_request_waits_for_its_turn() {
    let limits = "limits = { concurrency = 1, queue = 8, queue_ms = 10000, cpu_ms = 10000 }";
    let host = host(&one_plugin(MISBEHAVE, limits));
    thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| host.get("/burn/100").status)).collect();
        for call in calls {
            assert_eq!(call.join().unwrap(), 200);
        }
    });
    assert!(host.metric(r#"wharf_queue_wait_seconds_sum{site="test",plugin="subject"}"#) > 0.0);
}
