//! The grant as an operator writes it.

use super::super::DockerGrant;
use super::super::reference::ImageReference;
use super::{EVERYTHING, grant};
use crate::settings::section::read_for_test;

/// `text` has one mistake, `message`, with what to do about it.
#[track_caller]
fn check_mistake(text: &str, message: &str, remedy: Option<&str>) {
    let (_, mistakes) = read_for_test(text, DockerGrant::read);
    let [mistake] = mistakes.as_slice() else { panic!("{mistakes:?}") };
    let (first, help) = mistake.split_once("\n    help: ").map_or((mistake.as_str(), None), |(first, help)| (first, Some(help)));
    // `wharf.toml:1:1: ` comes first.
    let found = first.splitn(4, ':').nth(3).map(str::trim_start);
    assert_eq!((found, help), (Some(message), remedy));
}

#[test]
fn an_empty_grant_allows_nothing_on_the_default_engine() {
    let grant = grant("");
    assert_eq!(grant.engine().value, "default");
    assert!(!grant.has("containers.read"));
    assert!(grant.covers_volume("any"));
    assert!(!grant.covers_network("bridge"));
    assert_eq!(grant.create.lowest_port, 1024);
}

#[test]
fn a_power_is_granted_by_its_word() {
    let grant = grant("engine = \"edge\"\nallow = [\"containers.read\", \"system.read\"]");
    assert_eq!(grant.engine().value, "edge");
    assert!(grant.has("containers.read") && grant.has("system.read"));
    assert!(!grant.has("containers.env") && !grant.has("containers") && !grant.has(""));
}

#[test]
fn each_mistake_says_what_to_write() {
    check_mistake("allow = [\"containers.raed\"]", "there is no power `containers.raed`", Some("did you mean `containers.read`?"));
    check_mistake("alow = []", "unknown key `alow` at the top level", Some("did you mean `allow`?"));
    check_mistake("[create]\npriviledged = true", "unknown key `priviledged` in `[create]`", Some("did you mean `privileged`?"));
    check_mistake("[containers]\nname = [\"x\"]", "unknown key `name` in `[containers]`", Some("did you mean `names`?"));
    check_mistake("[containers]\nlabels = [\"=x\"]", "`=x` is no label: expected `key` or `key=value`", None);
    check_mistake(
        "[create]\nhost_paths = [\"/srv/../etc\"]",
        "`/srv/../etc` is no absolute path without `.`, `..` and double slashes",
        None,
    );
    check_mistake("[create]\nlowest_port = 0", "`lowest_port`: `0` is out of range", Some("it may be from 1 to 65535"));
    let namespace = Some("write for example `network=host` or `pid=container:NAME`");
    check_mistake("[create]\nnamespaces = [\"host\"]", "`host` is no namespace to share", namespace);
    let registry = "the image pattern `redis:*` names no registry, so that it covers nothing";
    check_mistake("images = [\"redis:*\"]", registry, None);
    let registry = "the image pattern `redis` names no registry, so that it covers nothing";
    check_mistake("images = [\"redis\"]", registry, Some("write `docker.io/library/redis` or the like"));
}

#[track_caller]
fn check_image(patterns: &str, reference: &str, covered: bool) {
    let grant = grant(&format!("images = {patterns}"));
    let name = ImageReference::parse(reference).unwrap();
    assert_eq!(grant.image("read", &name).is_ok(), covered, "{patterns} {reference}");
}

#[test]
fn image_patterns_are_held_against_the_full_reference() {
    check_image(r#"["docker.io/library/*"]"#, "redis:7", true);
    check_image(r#"["docker.io/library/*"]"#, "grafana/grafana", false);
    check_image(r#"["docker.io/library/redis"]"#, "redis:7", true);
    check_image(r#"["docker.io/library/redis"]"#, "redis-evil:7", false);
    check_image(r#"["docker.io/library/redis:7*"]"#, "redis:7.2", true);
    check_image(r#"["docker.io/library/redis:7*"]"#, "redis:8", false);
    check_image(r#"["localhost:5000/**"]"#, "localhost:5000/a/b/c:1", true);
    check_image(r#"["localhost:5000/**"]"#, "localhost:5001/a", false);
    check_image("[]", "redis", false);
    // The engine goes by the digest and does not look at the tag, which could be any.
    let forged = format!("redis:7@sha256:{}", "a".repeat(64));
    check_image(r#"["docker.io/library/redis:7*"]"#, &forged, false);
    check_image(r#"["docker.io/library/redis"]"#, &forged, true);
}

#[test]
fn volumes_without_a_name_of_their_own_belong_to_their_container() {
    let generated = "e".repeat(64);
    assert!(!grant(EVERYTHING).covers_volume(&generated));
    assert!(grant("volumes = [\"data_*\"]").covers_volume("data_cache"));
    assert!(!grant("volumes = [\"data_*\"]").covers_volume("other"));
    assert!(!grant("volumes = []").covers_volume("data_cache"));
}
