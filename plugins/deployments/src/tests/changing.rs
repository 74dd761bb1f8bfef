//! Starting, stopping and removing.

use super::*;

fn set(status: &str) -> RequestBuilder {
    fake::patch("/deployments/c").json(&json!({"status": status, "more": 1}))
}

fn host_with_c() -> Host {
    let host = site();
    host.container(Container::new("c"));
    host
}

#[test]
fn a_container_is_stopped_and_started_however_often() {
    let host = host_with_c();
    for (status, state) in [("running", "running"), ("stopped", "exited"), ("stopped", "exited"), ("running", "running")] {
        check_empty(set(status), 200);
        assert_eq!(host.details("c").unwrap()["State"]["Status"], state);
    }
}

#[track_caller]
fn check_patch(content_type: Option<&str>, body: &str, status: u16) {
    host_with_c();
    let request = fake::patch("/deployments/c").body(body);
    check_empty(content_type.into_iter().fold(request, |request, value| request.header("Content-Type", value)), status);
}

#[test]
fn only_json_of_the_right_shape_is_taken() {
    let body = r#"{"status":"stopped"}"#;
    check_patch(Some("application/json"), body, 200);
    check_patch(Some("Application/JSON ; charset=utf-8"), body, 200);
    check_patch(None, body, 415);
    check_patch(Some("text/plain"), body, 415);
    check_patch(Some("application/json-patch+json"), body, 415);
    for body in ["", "{", "[]", "null", "{}", r#"{"status":"paused"}"#, r#"{"status":1}"#] {
        check_patch(Some("application/json"), body, 400);
    }
}

#[test]
fn an_unknown_container_is_not_found_and_a_failed_start_is_a_500() {
    let host = site();
    check_empty(set("running"), 404);
    check_empty(fake::delete("/deployments/c"), 404);
    host.container(Container::new("c").state("exited"));
    host.fail("docker.containers-lifecycle.start", Error::Internal("port is already allocated".to_owned()));
    host.fail("docker.containers-lifecycle.stop", Error::Timeout);
    check_empty(set("running"), 500);
    check_empty(set("stopped"), 500);
    check_empty(fake::delete("/deployments/c"), 500);
}

#[test]
fn a_deletion_stops_and_removes() {
    for state in ["running", "exited"] {
        let host = site();
        host.container(Container::new("c").state(state));
        let id = wharf_sdk::docker::containers_read::inspect_one("c").unwrap().id;
        check_empty(fake::delete("/deployments/c"), 200);
        assert_eq!(host.containers(), [""; 0]);
        // By the id, whatever the name means by then.
        assert_eq!(host.calls_of("docker.containers-lifecycle.stop"), [id.as_str()]);
        assert_eq!(host.calls_of("docker.containers-remove.remove"), [id.as_str()]);
    }
}

#[test]
fn a_failing_removal_is_not_told() {
    let host = host_with_c();
    host.fail("docker.containers-remove.remove", Error::Conflict("removal is in progress".to_owned()));
    check_empty(fake::delete("/deployments/c"), 200);
}
