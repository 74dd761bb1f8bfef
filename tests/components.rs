//! Where the compiled components are: a constant for each guest under `tests/guests/`, each plugin under `plugins/` and each example under `examples/`.
//!
//! `build.rs` compiles them and writes the constants. The guest `endless-loop` is `guests::ENDLESS_LOOP`, the path of its component;
//! the plugin `deployments` is `plugins::DEPLOYMENTS`.
//! [`foreach_guest!`] and [`foreach_plugin!`] call a macro with each name (`endless_loop`), from which a test target makes a list of what must
//! have a test.

include!(concat!(env!("OUT_DIR"), "/components.rs"));
