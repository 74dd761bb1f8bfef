//! Deleting, with what belongs to it and without.

use super::*;

/// A site with the image 1 called `img:latest`, which the engine holds, and with the instance 1, a container called `web`.
fn site_with_instance() -> Host {
    let host = site_with_model();
    made("/images?skip_build=1", json!({"name": "img", "model_id": 1}));
    host.image(Image::new("img:latest"));
    made("/instances", json!({"name": "web", "image_id": 1}));
    host
}

fn has_tag(host: &Host, tag: &str) -> bool {
    host.tags().contains(tag)
}

#[test]
fn an_image_with_instances_stays_unless_they_go_too() {
    let host = site_with_instance();
    for target in ["/images/1", "/images/1?cascade=0", "/images/1?cascade=", "/images/1?meta_only=1"] {
        check_refused(fake::delete(target), 400, "Image img:latest has foreign key and can not be deleted");
    }
    assert_eq!((host.containers(), has_tag(&host, "img:latest")), (vec!["web".to_owned()], true));
    check_status(fake::delete("/images/1?cascade=1"), 204);
    assert_eq!((host.containers(), has_tag(&host, "img:latest")), (Vec::new(), false));
    check_refused(fake::get("/images/1"), 404, "Image with id 1 does not exist");
    check_refused(fake::get("/instances/1"), 404, "Instance with id 1 does not exist");
    check_refused(fake::delete("/images/1?cascade=1"), 404, "Image with id 1 does not exist");
}

#[test]
fn a_recorded_instance_stands_against_it_too() {
    let host = site_with_instance();
    check_status(fake::delete("/instances/1"), 204);
    made("/instances?run=0", json!({"name": "only recorded", "image_id": 1}));
    check_refused(fake::delete("/images/1"), 400, "Image img:latest has foreign key and can not be deleted");
    check_status(fake::delete("/images/1?cascade=1"), 204);
    assert!(!has_tag(&host, "img:latest"));
}

#[test]
fn meta_only_keeps_what_the_engine_has() {
    let host = site_with_instance();
    check_status(fake::delete("/images/1?cascade=1&meta_only=1"), 204);
    assert_eq!((host.containers(), has_tag(&host, "img:latest")), (vec!["web".to_owned()], true));
    assert_eq!(names("/images?task_id=1"), [""; 0]);
    let host = site_with_instance();
    check_status(fake::delete("/instances/1?meta_only=1"), 204);
    assert_eq!(host.containers(), ["web"]);
}

#[test]
fn an_image_that_is_missing_on_the_engine_counts_as_removed() {
    let host = site_with_model();
    made("/images?skip_build=1", json!({"name": "img", "model_id": 1}));
    check_status(fake::delete("/images/1?meta_only=0"), 204);
    assert_eq!(host.calls_of("docker.images-remove.remove"), ["img:latest"]);
}

#[test]
fn an_image_is_found_by_what_it_was_made_as() {
    let host = site_with_model();
    made("/images?skip_build=1", json!({"name": "lab/img:3", "model_id": 1}));
    host.image(Image::new("lab/img:3"));
    host.image(Image::new("other:latest"));
    check_status(fake::patch("/images/1").json(&json!({"name": "other:latest"})), 204);
    check_status(fake::delete("/images/1"), 204);
    assert_eq!((has_tag(&host, "lab/img:3"), has_tag(&host, "other:latest")), (false, true));
}

#[test]
fn an_image_that_others_use_stays_with_its_row() {
    let host = site_with_model();
    made("/images?skip_build=1", json!({"name": "img", "model_id": 1}));
    host.image(Image::new("img:latest"));
    host.container(Container::new("foreign").image("img:latest"));
    let message = "unable to remove repository reference \"img:latest\": a container is using it";
    check_refused(fake::delete("/images/1"), 400, message);
    check_refused(fake::delete("/images/1?cascade=1"), 400, message);
    assert_eq!(names("/images?task_id=1"), ["img:latest"]);
    check_status(fake::delete("/images/1?meta_only=1"), 204);
}

#[test]
fn an_engine_that_fails_leaves_the_rows() {
    let host = site_with_instance();
    host.fail("docker.images-remove.remove", Error::Unavailable("away".to_owned()));
    check_refused(fake::delete("/images/1?cascade=1"), 520, "Unknown exception: unavailable: away");
    assert_eq!(names("/images?task_id=1"), ["img:latest"]);
    // What was done stays done, and the same call goes on where it stopped.
    assert_eq!(names("/instances?image_id=1"), [""; 0]);
    let host = site_with_instance();
    host.fail("docker.containers-lifecycle.stop", Error::Denied);
    check_refused(fake::delete("/instances/1"), 400, "`web` is not allowed on this site");
    check_refused(fake::delete("/images/1?cascade=1"), 400, "`web` is not allowed on this site");
    assert_eq!((names("/instances?image_id=1"), has_tag(&host, "img:latest")), (vec!["web".to_owned()], true));
}

#[test]
fn a_switch_is_an_integer() {
    site_with_instance();
    let wrong = |key: &str| (json!([key]), "value is not a valid integer", "type_error.integer");
    for value in ["x", "true", "1.0", "on", "0x1"] {
        check_invalid(fake::delete(&format!("/images/1?cascade={value}&meta_only={value}")), &[wrong("cascade"), wrong("meta_only")]);
        check_invalid(fake::delete(&format!("/instances/1?meta_only={value}")), &[wrong("meta_only")]);
        for kind in ["projects", "tasks", "models", "pipelines", "environments"] {
            check_invalid(fake::delete(&format!("/{kind}/1?cascade={value}")), &[wrong("cascade")]);
        }
    }
    for value in ["2", "-1", "99999999999999999999", "%201"] {
        site_with_instance();
        check_status(fake::delete(&format!("/images/1?cascade={value}")), 204);
    }
}

/// Everything of the API is there: a project with a task that has two models, a pipeline, an image of each and an instance.
fn full_site() -> Host {
    let host = site_with_instance();
    check_status(Upload::new().field("name", "n").field("task_id", "1").field("run_cmd", "x").artifact("n.bin", b"n").build(), 201);
    made("/pipelines", json!({"name": "pipe", "task_id": 1, "steps": [{"model_name": "n", "method_name": "predict"}]}));
    made("/images?skip_build=1", json!({"name": "piped", "pipeline_id": 1}));
    host.image(Image::new("piped:latest"));
    host
}

#[test]
fn what_others_belong_to_stays_unless_they_go_too() {
    let host = full_site();
    for (path, message) in [
        ("/projects/1", "Project p has foreign key and can not be deleted"),
        ("/tasks/1?cascade=0", "Task t has foreign key and can not be deleted"),
        ("/models/1", "Model m has foreign key and can not be deleted"),
        ("/models/2", "Model n has foreign key and can not be deleted"),
        ("/pipelines/1", "Pipeline pipe has foreign key and can not be deleted"),
        ("/environments/1", "Environment docker_localhost has foreign key and can not be deleted"),
    ] {
        check_refused(fake::delete(path), 400, message);
    }
    check_kept(2, 3);
    assert_eq!((host.containers().len(), has_tag(&host, "img:latest"), has_tag(&host, "piped:latest")), (1, true, true));
}

#[test]
fn a_project_goes_with_everything() {
    let host = full_site();
    check_status(fake::delete("/projects/1?cascade=1"), 204);
    check_kept(0, 0);
    assert_eq!((host.containers().len(), has_tag(&host, "img:latest"), has_tag(&host, "piped:latest")), (0, false, false));
    for kind in ["tasks", "models", "pipelines", "images", "instances"] {
        assert_eq!(send(fake::get(&format!("/{kind}/1"))).status, 404);
    }
    assert_eq!(names("/environments"), ["docker_localhost"]);
}

#[test]
fn a_model_goes_with_its_images_and_pipelines() {
    let host = full_site();
    check_status(fake::delete("/models/2?cascade=1"), 204);
    check_kept(1, 2);
    assert_eq!((names("/pipelines?task_id=1"), names("/images?task_id=1")), (Vec::new(), vec!["img:latest".to_owned()]));
    assert!(!has_tag(&host, "piped:latest"));
    check_status(fake::delete("/images/1?cascade=1"), 204);
    check_status(fake::delete("/models/1"), 204);
    check_kept(0, 0);
}

#[test]
fn a_pipeline_goes_with_its_images_and_an_environment_with_its_instances() {
    let host = full_site();
    check_status(fake::delete("/pipelines/1?cascade=1"), 204);
    assert_eq!((names("/images?task_id=1"), names("/models?task_id=1").len()), (vec!["img:latest".to_owned()], 2));
    check_status(fake::delete("/environments/1?cascade=1"), 204);
    assert_eq!(host.containers(), [""; 0]);
    check_status(fake::delete("/images/1"), 204);
}
