//! The plugin of the SDK's README: a workspace of its own, built as a third party would.

use crate::in_process::{host, one_plugin};
use wharf_tests::examples::HELLO;

const README: &str = include_str!("../../sdk/README.md");
const MANIFEST: &str = include_str!("../../examples/hello/Cargo.toml");
const SOURCE: &str = include_str!("../../examples/hello/src/lib.rs");

/// The first block of `language` in the README.
fn block(language: &str) -> &'static str {
    let (_, after) = README.split_once(&format!("```{language}\n")).unwrap();
    after.split_once("```").unwrap().0
}

#[test]
fn the_readme_shows_the_example_that_is_built() {
    assert_eq!(block("toml"), MANIFEST);
    assert!(SOURCE.contains(block("rust").trim()), "examples/hello/src/lib.rs is not what sdk/README.md shows");
}

#[test]
fn it_answers_the_mount_that_a_line_of_configuration_gives_it() {
    let away = "[engine.default]\nurl = \"unix:///nowhere/docker.sock\"\n";
    let grant = "[site.plugin.grants.docker]\nallow = [\"containers.read\"]";
    let host = host(&format!("{away}{}", one_plugin(HELLO, grant)));
    assert_eq!(host.get("/hello/w%C3%B6rld").text().unwrap(), "hello wörld\n");
    let answer = host.get("/running");
    assert_eq!((answer.status, answer.header("content-type")), (503, Some("application/problem+json")), "the engine is away");
}
