//! The plugin of `cargo xtask bench http`, and the quiet neighbour of tests: it answers the 12 bytes that the native routes of the benchmark answer.

use wharf_sdk::{Plugin, Request, Router};

struct Bench;

impl Plugin for Bench {
    fn routes() -> Router {
        Router::new().get("/", |_: &Request| "Hello, dock!")
    }
}

wharf_sdk::export!(Bench);
