//! Rows whose requests are gone, as a client that went away or a host that was killed leaves them.

use wharf_sdk::docker::images_pull;
use wharf_sdk::storage::sql;

use super::*;
use crate::build::BUILD_LABEL;
use crate::instances::TOKEN_LABEL;
use crate::time;

const HOUR_MS: i64 = 3600 * 1000;

/// Leaves the image 1, called `img:latest`, as one that was being built, with a label of its own.
fn leave_build(operation: Option<&str>, age_ms: i64) {
    check_status(fake::post("/images?skip_build=1").json(&json!({"name": "img", "model_id": 1})), 201);
    let sql = "UPDATE images SET building = 'img:latest', folder = 'f', operation = $1, began_ms = $2 WHERE id = 1";
    assert_eq!(sql::execute(sql, &[&operation, &(time::now_ms() - age_ms)]), Ok(1));
}

fn built(folder: &str) -> Image {
    Image::new("img:latest").details(json!({"Config": {"Labels": {BUILD_LABEL: folder}}}))
}

#[test]
fn an_image_that_was_built_is_there() {
    let host = site_with_model();
    leave_build(Some("forgotten"), 0);
    host.image(built("f"));
    assert_eq!(names("/images?task_id=1"), ["img:latest"]);
    assert_eq!(shown("/images/1")["id"], 1);
    check_status(fake::delete("/images/1"), 204);
    assert!(!host.tags().contains("img:latest"));
}

#[test]
fn an_image_that_was_not_built_has_no_row_and_its_name_is_free() {
    let host = site_with_model();
    leave_build(Some("forgotten"), 0);
    assert_eq!(names("/images?task_id=1"), [""; 0]);
    check_kept(1, 2);
    leave_build_again(&host);
    check_status(fake::post("/images?skip_build=1").json(&json!({"name": "img", "model_id": 1})), 201);
}

/// As [`leave_build`], where ids have gone on.
fn leave_build_again(host: &Host) {
    check_status(fake::post("/images?skip_build=1").json(&json!({"name": "img", "model_id": 1})), 201);
    sql::execute("UPDATE images SET building = 'img:latest', operation = 'forgotten'", &[]).unwrap();
    assert_eq!(host.calls_of("docker.images-remove.remove"), [""; 0]);
}

#[test]
fn a_tag_of_somebody_else_is_no_build_and_stays() {
    for image in [built("other"), Image::new("img:latest")] {
        let host = site_with_model();
        leave_build(Some("forgotten"), 0);
        host.image(image);
        assert_eq!(names("/images?task_id=1"), [""; 0]);
        assert!(host.tags().contains("img:latest"));
    }
}

/// Nobody sees the image 1, and nobody takes its name.
#[track_caller]
fn check_hidden() {
    assert_eq!(names("/images?task_id=1"), [""; 0]);
    let message = "Image with id 1 does not exist";
    check_refused(fake::get("/images/1"), 404, message);
    check_refused(fake::get("/images/1/log"), 404, message);
    check_refused(fake::patch("/images/1").json(&json!({"name": "x"})), 404, message);
    check_refused(fake::delete("/images/1?cascade=1"), 404, message);
    check_refused(fake::post("/instances").json(&json!({"name": "web", "image_id": 1})), 404, message);
    check_refused(fake::post("/images").json(&json!({"name": "img", "model_id": 1})), 400, "Image with name img:latest already exists");
    check_refused(fake::delete("/tasks/1?cascade=1"), 400, "Task t has foreign key and can not be deleted");
    check_refused(fake::delete("/models/1?cascade=1"), 400, "Model m has foreign key and can not be deleted");
}

#[test]
fn a_build_that_has_just_begun_is_left_alone() {
    site_with_model();
    leave_build(None, 0);
    check_hidden();
    // In another task the name is free, but not on the engine.
    made("/tasks", json!({"name": "other", "project_id": 1}));
    let upload = Upload::new().field("name", "n").field("task_id", "2").field("run_cmd", "x").artifact("a", b"");
    check_status(upload.build(), 201);
    check_refused(fake::post("/images").json(&json!({"name": "img", "model_id": 2})), 400, "Image img:latest is being built");
}

#[test]
fn a_build_that_never_began_is_given_up() {
    site_with_model();
    leave_build(None, HOUR_MS);
    assert_eq!(names("/images?task_id=1"), [""; 0]);
    check_status(fake::delete("/tasks/1?cascade=1"), 204);
}

#[test]
fn a_build_that_goes_on_is_left_alone_however_long_it_takes() {
    let host = site_with_model();
    host.hold_pulls();
    // Any operation will do.
    let operation = images_pull::begin("redis:7").unwrap();
    leave_build(Some(&operation), 100 * HOUR_MS);
    check_hidden();
    host.image(built("f"));
    check_hidden_still();
    host.finish_pulls();
    assert_eq!(names("/images?task_id=1"), ["img:latest"]);
}

#[track_caller]
fn check_hidden_still() {
    assert_eq!(names("/images?task_id=1"), [""; 0]);
}

#[test]
fn an_engine_that_is_away_settles_nothing() {
    let host = site_with_model();
    leave_build(Some("forgotten"), 0);
    host.fail("docker.images-read.inspect", Error::Unavailable("away".to_owned()));
    check_refused(fake::get("/images?task_id=1"), 520, "Unknown exception: unavailable: away");
    let left = sql::query_one("SELECT id FROM images WHERE building IS NOT NULL", &[]).unwrap();
    assert!(left.is_some());
}

/// Leaves the instance 1 of the image 1 as one that was being started, and answers its token.
fn leave_instance(age_ms: i64) -> String {
    check_status(fake::post("/images?skip_build=1").json(&json!({"name": "img", "model_id": 1})), 201);
    check_status(fake::post("/instances?run=0").json(&json!({"name": "web", "image_id": 1, "params": {"name": "web"}})), 201);
    sql::execute("UPDATE instances SET starting_ms = $1", &[&(time::now_ms() - age_ms)]).unwrap();
    sql::query_one("SELECT token FROM instances", &[]).unwrap().unwrap().get("token").unwrap()
}

#[test]
fn an_instance_that_was_started_is_there() {
    let host = site_with_model();
    let token = leave_instance(HOUR_MS);
    host.image(Image::new("img:latest"));
    host.container(Container::new("web").image("img:latest").label(TOKEN_LABEL, &token));
    check_refused(fake::delete("/images/1"), 400, "Image img:latest has foreign key and can not be deleted");
    assert_eq!(names("/instances?image_id=1"), ["web"]);
    check_status(fake::delete("/images/1?cascade=1"), 204);
    assert_eq!(host.containers(), [""; 0]);
}

#[test]
fn an_instance_that_was_not_started_has_no_row() {
    let host = site_with_model();
    leave_instance(HOUR_MS);
    host.container(Container::new("web"));
    check_status(fake::delete("/images/1"), 204);
    assert_eq!(host.containers(), ["web"]);
}

#[test]
fn an_instance_that_is_being_started_is_left_alone() {
    let host = site_with_model();
    leave_instance(0);
    assert_eq!(names("/instances?image_id=1"), [""; 0]);
    check_refused(fake::get("/instances/1"), 404, "Instance with id 1 does not exist");
    check_refused(fake::delete("/instances/1"), 404, "Instance with id 1 does not exist");
    let again = fake::post("/instances").json(&json!({"name": "web", "image_id": 1}));
    check_refused(again, 400, "Instance with name web already exists");
    check_refused(fake::delete("/images/1?cascade=1"), 400, "Image img:latest has foreign key and can not be deleted");
    assert_eq!(host.calls_of("docker.images-remove.remove"), [""; 0]);
}
