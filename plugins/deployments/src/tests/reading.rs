//! Listing and showing containers.

use super::*;

fn worker(name: &str) -> Container {
    Container::new(name).image(ADAPTER_IMAGE).label("lopco-type", "worker").label("lopco-id", "7").label("other", "x")
}

#[test]
fn a_record_has_the_documented_fields_in_the_documented_order() {
    let host = site();
    let id = "b7166a134849b1198efefa62cb90c0a76652822c1e7ae89555ea3e9cbf76c363";
    host.container(worker("w").id(id).env(&["A=1=2", "EMPTY=", "BARE"]).ports(json!({"80/tcp": null})));
    let answer = send(fake::get("/deployments/w"));
    let hash = host.details("w").unwrap()["Image"].clone();
    let expected = format!(
        concat!(
            r#"{{"id":"{}","labels":{{"lopco-id":"7","lopco-type":"worker"}},"status":"running","#,
            r#""image":{{"name":"{}","hash":{}}},"ports":{{"80/tcp":null}},"#,
            r#""created":"2020-11-20T08:35:45.978139375Z","started":"2020-11-20T08:35:46.58210553Z","restarts":0,"#,
            r#""environment":{{"A":"1=2","EMPTY":"","BARE":null}}}}"#
        ),
        id, ADAPTER_IMAGE, hash
    );
    assert_eq!(answer.text(), expected);
    assert_eq!(get_json("/deployments"), json!({"w": answer.json()}));
}

#[test]
fn the_list_holds_labelled_containers_in_any_state_and_takes_three_calls() {
    let host = site();
    host.container(Container::new("unlabelled"));
    host.container(worker("done").state("exited"));
    host.container(Container::new("gui").image(ADAPTER_IMAGE).label("lopco-type", "core"));
    let names = |target| get_json(target).as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names("/deployments"), ["gui", "done"]);
    let functions: Vec<String> = host.calls().into_iter().map(|call| call.function).collect();
    assert_eq!(functions, ["docker.containers-read.list", "docker.containers-env.inspect", "docker.images-read.inspect"]);
    assert_eq!(names("/deployments?type=core"), ["gui"]);
    assert_eq!(names("/deployments?type=worker&x=1"), ["done"]);
    assert_eq!(names("/deployments?type=protocol-adapter"), [""; 0]);
    assert_eq!(names("/deployments?"), ["gui", "done"]);
}

#[test]
fn a_query_without_a_valid_type_is_refused() {
    site();
    for query in ["type=", "type", "type=other", "foo=1", "type=core&type=worker", "Type=core"] {
        check_empty(fake::get(&format!("/deployments?{query}")), 400);
    }
}

#[test]
fn a_container_that_vanishes_during_the_list_is_skipped() {
    let host = site();
    host.container(worker("stays"));
    host.container(worker("goes"));
    host.vanish("goes");
    assert_eq!(get_json("/deployments").as_object().unwrap().keys().collect::<Vec<_>>(), ["stays"]);
}

#[test]
fn a_deployment_is_found_by_name_id_and_prefix_without_its_label() {
    let host = site();
    host.container(Container::new("plain").id(&"ab".repeat(32)));
    for deployment in ["plain", "ab", &"ab".repeat(32)] {
        assert_eq!(get_json(&format!("/deployments/{deployment}"))["id"], "ab".repeat(32));
    }
    for deployment in ["nothing", "-x", "%20", "a%00b", "%ff"] {
        check_empty(fake::get(&format!("/deployments/{deployment}")), 404);
    }
}

#[test]
fn a_failing_engine_is_an_empty_500() {
    let errors = [Error::Unavailable(String::new()), Error::Timeout, Error::Internal(String::new()), Error::QuotaExceeded];
    let functions = ["docker.containers-read.list", "docker.containers-env.inspect", "docker.images-read.inspect"];
    for (function, error) in functions.iter().flat_map(|function| errors.iter().map(move |error| (function, error))) {
        let host = site();
        host.container(worker("w"));
        host.fail(function, error.clone());
        check_empty(fake::get("/deployments"), 500);
        if *function != "docker.containers-read.list" {
            check_empty(fake::get("/deployments/w"), 500);
        }
    }
}

#[test]
fn a_container_beyond_the_grant_is_not_there() {
    let host = site();
    host.container(worker("w"));
    for function in ["containers-env.inspect", "containers-lifecycle.start", "containers-lifecycle.stop", "containers-logs.read"] {
        host.fail(&format!("docker.{function}"), Error::Denied);
    }
    check_empty(fake::get("/deployments/w"), 404);
    check_empty(fake::get("/deployments/w/log"), 404);
    check_empty(fake::delete("/deployments/w"), 404);
    check_empty(fake::patch("/deployments/w").json(&json!({"status": "running"})), 404);
    assert_eq!(get_json("/deployments"), json!({}));
}

#[track_caller]
fn check_status(state: &str, status: &str) {
    let host = site();
    host.container(Container::new("c").state(state));
    assert_eq!(get_json("/deployments/c")["status"], status);
}

#[test]
fn there_are_two_words_for_all_states() {
    for state in ["created", "paused", "exited", "dead", "configured"] {
        check_status(state, "stopped");
    }
    for state in ["running", "restarting", "removing"] {
        check_status(state, "running");
    }
}

#[track_caller]
fn check_image_name(tags: &[&str], reference: &str, name: &str) {
    let host = Host::install();
    let id = format!("sha256:{}", "0123456789abcdef".repeat(4));
    if let Some((first, others)) = tags.split_first() {
        host.image(others.iter().fold(Image::new(first).id(&id), |image, tag| image.tag(tag)));
    }
    host.container(Container::new("c").details(json!({"Image": id, "Config": {"Image": reference}})));
    assert_eq!(get_json("/deployments/c")["image"], json!({"name": name, "hash": id}));
}

#[test]
fn an_image_has_the_name_it_was_deployed_by_while_it_has_it() {
    check_image_name(&["a:1", "b:2", "c:3"], "b:2", "b:2");
    check_image_name(&["b:latest", "c:3"], "b", "b:latest");
    check_image_name(&["busybox:latest", "c:3"], "docker.io/library/busybox", "docker.io/library/busybox:latest");
    check_image_name(&["docker.io/library/busybox:latest", "z:1"], "busybox", "busybox:latest");
    check_image_name(&["a:1", "c:3"], "b:2", "c:3");
    check_image_name(&["host:5000/a:latest", "z:1"], "host:5000/a", "host:5000/a:latest");
    check_image_name(&[""], "b:2", "0123456789");
    check_image_name(&[], "b:2", "0123456789");
}

#[test]
fn what_the_engine_leaves_out_breaks_nothing() {
    for details in [
        json!({"Config": null, "State": null, "NetworkSettings": null, "RestartCount": null, "Created": null, "Image": null}),
        json!({"Config": {"Env": null, "Image": null, "Tty": true}, "NetworkSettings": {"Ports": null}, "State": {"Status": "running", "StartedAt": null}}),
        json!({"RestartCount": "many", "Config": {"Env": "no list"}}),
        json!({"NetworkSettings": {"Ports": {"80/tcp": "odd", "81/tcp": [], "82/tcp": [null, {}]}}}),
    ] {
        let host = site();
        host.container(worker("w").details(details));
        assert_eq!(send(fake::get("/deployments/w")).status, 200);
        assert_eq!(send(fake::get("/deployments")).status, 200);
    }
}
