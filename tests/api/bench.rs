//! The plugin of the benchmark answers what the native routes answer.

use crate::in_process::{host, one_plugin};
use wharf_tests::guests::BENCH;

#[test]
fn the_bench_plugin_answers_twelve_bytes() {
    let host = host(&one_plugin(BENCH, ""));
    let answer = host.get("/");
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"Hello, dock!".as_slice()));
}
