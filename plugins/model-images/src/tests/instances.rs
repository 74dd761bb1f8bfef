//! Containers of images.

use super::*;

/// A site with the image 1, which the engine holds.
fn site_with_image() -> Host {
    let host = site_with_model();
    made("/images?skip_build=1", json!({"name": "img", "model_id": 1}));
    host.image(Image::new("img:latest"));
    host
}

fn instance(name: &str) -> Value {
    json!({"name": name, "image_id": 1, "params": {"ports_mapping": {"9000": 8080}}})
}

#[test]
fn an_instance_is_a_container_of_the_image() {
    let host = site_with_image();
    let mut posted = made("/instances", instance("web"));
    assert_eq!(shown("/instances/1"), posted);
    for list in ["image_id=1", "environment_id=1", "image_id=1&environment_id=1"] {
        assert_eq!(shown(&format!("/instances?{list}")), json!([posted]));
    }
    posted.as_object_mut().unwrap().remove("creation_date");
    let params = json!({"name": "web", "ports_mapping": {"9000": 8080}, "type": "ebonite.build.docker.DockerContainer"});
    assert_eq!(
        posted,
        json!({"name": "web", "id": 1, "image_id": 1, "environment_id": 1, "author": "wharf", "params": params, "status": "ok"})
    );
    let details = host.details("web").unwrap();
    assert_eq!(details["Config"]["Image"], "img:latest");
    assert_eq!(details["Config"]["Labels"]["wharf.plugin"], "model-images");
    assert_eq!(details["HostConfig"], json!({"PortBindings": {"9000/tcp": [{"HostPort": "8080"}]}}));
    assert_eq!(details["NetworkSettings"]["Ports"]["9000/tcp"][0]["HostPort"], "8080");
    check_status(fake::delete("/instances/1"), 204);
    assert_eq!(host.containers(), [""; 0]);
    check_refused(fake::get("/instances/1"), 404, "Instance with id 1 does not exist");
}

#[test]
fn the_container_may_have_a_name_of_its_own() {
    let host = site_with_image();
    let posted = made("/instances", json!({"name": "The first!", "image_id": 1, "params": {"name": "first"}}));
    assert_eq!((&posted["name"], &posted["params"]["name"]), (&json!("The first!"), &json!("first")));
    assert_eq!(host.containers(), ["first"]);
    check_status(fake::patch("/instances/1").json(&json!({"name": "second"})), 204);
    assert_eq!(names("/instances?image_id=1"), ["second"]);
    check_status(fake::delete("/instances/1"), 204);
    assert_eq!(host.containers(), [""; 0]);
}

#[test]
fn an_instance_can_be_recorded_without_a_container() {
    let host = site_with_image();
    let posted = made("/instances?run=0", json!({"name": "The first!", "image_id": 1}));
    assert_eq!(posted["params"], json!({"type": "ebonite.build.docker.DockerContainer"}));
    assert_eq!(posted.get("status"), None);
    assert_eq!(host.calls_of("docker.containers-create.run"), [""; 0]);
    check_status(fake::delete("/instances/1"), 204);
    assert_eq!(host.calls_of("docker.containers-remove.remove"), [""; 0]);
    // One that runs already.
    host.container(Container::new("elsewhere").image("img:latest"));
    let posted = made("/instances?run=0", json!({"name": "x", "image_id": 1, "params": {"name": "elsewhere"}}));
    assert_eq!(posted["status"], "ok");
    check_status(fake::delete("/instances/2"), 204);
    assert_eq!(host.containers(), [""; 0]);
}

#[test]
fn the_status_is_that_of_the_container() {
    let host = site_with_image();
    made("/instances", instance("web"));
    docker::containers_lifecycle::stop("web", None).unwrap();
    assert_eq!(shown("/instances/1")["status"], "failed");
    host.vanish("web");
    assert_eq!(shown("/instances/1")["status"], "failed");
    // What is missing counts as removed.
    check_status(fake::delete("/instances/1"), 204);
}

#[test]
fn an_instance_is_there_once() {
    let host = site_with_image();
    made("/instances", instance("web"));
    check_refused(fake::post("/instances").json(&instance("web")), 400, "Instance with name web already exists");
    assert_eq!(host.calls_of("docker.containers-create.run"), ["web"]);
    // The name of a container is one for all images.
    made("/images?skip_build=1", json!({"name": "img:2", "model_id": 1}));
    host.image(Image::new("img:2"));
    let other = json!({"name": "web", "image_id": 2});
    check_refused(fake::post("/instances").json(&other), 400, "the name `web` is taken");
    assert_eq!(names("/instances?image_id=2"), [""; 0]);
}

#[test]
fn a_container_of_another_instance_is_none_of_its_own() {
    let host = site_with_image();
    made("/images?skip_build=1", json!({"name": "img:2", "model_id": 1}));
    host.image(Image::new("img:2").id("sha256:two"));
    made("/instances", instance("web"));
    // Somebody removes the container by hand, and its name goes to another instance.
    let by_force = docker::containers_remove::RemoveOptions { force: true, volumes: false };
    docker::containers_remove::remove("web", by_force).unwrap();
    made("/instances", json!({"name": "web", "image_id": 2}));
    assert_eq!((&shown("/instances/1")["status"], &shown("/instances/2")["status"]), (&json!("failed"), &json!("ok")));
    check_status(fake::delete("/images/1?cascade=1"), 204);
    assert_eq!((host.containers(), &shown("/instances/2")["status"]), (vec!["web".to_owned()], &json!("ok")));
    check_status(fake::delete("/images/2?cascade=1"), 204);
    assert_eq!(host.containers(), [""; 0]);
}

#[test]
fn a_container_that_cannot_be_started_leaves_nothing() {
    let host = site_with_image();
    made("/instances", instance("web"));
    check_refused(fake::post("/instances").json(&instance("web2")), 520, "the container was not started: port 8080 is already allocated");
    assert_eq!((host.containers(), names("/instances?image_id=1")), (vec!["web".to_owned()], vec!["web".to_owned()]));
    made("/images?skip_build=1", json!({"name": "nowhere", "model_id": 1}));
    check_refused(fake::post("/instances").json(&json!({"name": "web3", "image_id": 2})), 400, "the engine does not hold `nowhere:latest`");
    host.fail("docker.containers-create.run", Error::Denied);
    let denied = "the container `web4`, its image or its ports are not allowed on this site";
    check_refused(fake::post("/instances").json(&instance("web4")), 400, denied);
    host.fail("docker.containers-create.run", Error::Timeout);
    check_refused(fake::post("/instances").json(&instance("web4")), 520, "Unknown exception");
    assert_eq!(names("/instances?environment_id=1"), ["web"]);
}

#[test]
fn an_instance_is_of_an_image_in_an_environment() {
    let host = site_with_image();
    check_refused(fake::post("/instances").json(&json!({"name": "ab", "image_id": 7})), 404, "Image with id 7 does not exist");
    let elsewhere = json!({"name": "ab", "image_id": 1, "environment_id": 7});
    check_refused(fake::post("/instances").json(&elsewhere), 404, "Environment with id 7 does not exist");
    let far = json!({"name": "far", "params": {"host": "tcp://far", "type": "ebonite.build.docker.DockerHost"}});
    let far = made("/environments", far)["id"].clone();
    let there = json!({"name": "ab", "image_id": 1, "environment_id": far});
    let message = "the environment `far` is on `tcp://far`, and this site reaches no engine but its own";
    check_refused(fake::post("/instances").json(&there), 400, message);
    made("/instances?run=0", there);
    assert_eq!(host.containers(), [""; 0]);
    check_refused(fake::get("/instances"), 404, "Image and environment were not provided to the function");
    check_refused(fake::get("/instances?image_id=7"), 404, "Image with id 7 does not exist");
    check_refused(fake::get("/instances?environment_id=7"), 404, "Environment with id 7 does not exist");
    check_invalid(fake::get("/instances?image_id=x"), &[(json!(["image_id"]), "value is not a valid integer", "type_error.integer")]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let host = site_with_image();
    let body = json!({"image_id": "1", "environment_id": 1.5, "params": {"name": "-", "type": "x", "ports_mapping": {"0": 1, "80": 0}}});
    let container = "a container cannot have this name: two or more of letters, digits, `_`, `.` and `-`";
    let kind = "`x` is no type of an instance: expected `ebonite.build.docker.DockerContainer`";
    check_invalid(
        fake::post("/instances?run=x").json(&body),
        &[
            (json!(["name"]), "field required", "value_error.missing"),
            (json!(["image_id"]), "value is not a valid integer", "type_error.integer"),
            (json!(["environment_id"]), "value is not a valid integer", "type_error.integer"),
            (json!(["params", "name"]), container, "value_error"),
            (json!(["params", "type"]), kind, "value_error"),
            (json!(["params", "ports_mapping", "0"]), "the key is no port: 1 to 65535", "value_error"),
            (json!(["params", "ports_mapping", "80"]), "the value is no port: 1 to 65535", "value_error"),
            (json!(["run"]), "value is not a valid integer", "type_error.integer"),
        ],
    );
    for name in ["a", "-ab", "a b", "ä", "a/b", "../x"] {
        let message = "a container cannot have this name: say another one as `params.name`";
        check_invalid(fake::post("/instances").json(&json!({"name": name, "image_id": 1})), &[(json!(["name"]), message, "value_error")]);
    }
    assert_eq!(host.calls_of("docker.containers-create.run"), [""; 0]);
}
