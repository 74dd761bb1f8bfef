//! Where the documentation of this API contradicts itself, row by row of the table in which it was decided what holds.

use super::*;

fn recorded(body: Value) -> RequestBuilder {
    fake::post("/images?skip_build=1").json(&body)
}

#[test]
fn images_are_listed_by_task_and_the_task_must_be_there() {
    site_with_model();
    assert_eq!(shown("/images?task_id=1"), json!([]));
    check_refused(fake::get("/images?task_id=7"), 404, "Task with id 7 does not exist");
}

#[test]
fn a_name_is_what_the_engine_calls_the_image() {
    site_with_model();
    let mut image = check_status(recorded(json!({"name": "image_name", "model_id": 1})), 201);
    assert_eq!(image["creation_date"].as_str().map(|date| (date.len(), date.ends_with(' '))), Some((27, true)));
    image.as_object_mut().unwrap().remove("creation_date");
    let registry = json!({"type": "ebonite.build.docker.DefaultDockerRegistry"});
    let params = json!({"type": "ebonite.build.docker.DockerImage", "name": "image_name", "tag": "latest", "registry": registry});
    assert_eq!(image, json!({"name": "image_name:latest", "id": 1, "model_id": 1, "author": "wharf", "params": params, "task_id": 1}));
    let image = check_status(recorded(json!({"name": "task_one/image_name:v2", "model_id": 1})), 201);
    assert_eq!(image["name"], "task_one/image_name:v2");
    let params = json!({
        "type": "ebonite.build.docker.DockerImage", "name": "image_name", "tag": "v2", "repository": "task_one", "registry": registry,
    });
    assert_eq!(image["params"], params);
    let text = send(fake::get("/images/2")).text();
    let places: Vec<_> =
        ["name", "id", "model_id", "author", "creation_date", "params"].map(|key| text.find(&format!("\"{key}\":"))).into();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{text}");
}

#[test]
fn a_new_name_is_kept_as_it_is_and_the_engines_image_is_left_alone() {
    let host = site_with_model();
    check_status(recorded(json!({"name": "image_name", "model_id": 1})), 201);
    let before = shown("/images/1");
    check_status(fake::patch("/images/1").json(&json!({"name": "first image", "params": {"tag": 7}, "task_id": "x"})), 204);
    let after = shown("/images/1");
    assert_eq!((&after["name"], &after["params"]), (&json!("first image"), &before["params"]));
    assert_eq!(host.calls_of("docker.images-remove.remove"), [""; 0]);
    check_refused(fake::patch("/images/7").json(&json!({"name": "x"})), 404, "Image with id 7 does not exist");
}

#[test]
fn an_image_of_a_pipeline_says_so() {
    site_with_model();
    let steps = json!([{"model_name": "m", "method_name": "predict"}]);
    let mut pipeline = made("/pipelines", json!({"name": "pipe", "task_id": 1, "steps": steps}));
    assert_eq!(pipeline["models"], json!({"m": shown("/models/1")}));
    assert_eq!(shown("/pipelines?task_id=1"), json!([pipeline]));
    assert_eq!(shown("/pipelines/1"), pipeline);
    for key in ["models", "creation_date"] {
        pipeline.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(pipeline, json!({"name": "pipe", "id": 1, "task_id": 1, "author": "wharf", "steps": steps}));
    let image = check_status(recorded(json!({"name": "piped", "pipeline_id": 1, "model_id": null})), 201);
    assert_eq!((&image["pipeline_id"], image.get("model_id"), &image["task_id"]), (&json!(1), None, &json!(1)));
}

#[test]
fn a_name_is_there_once_in_a_task() {
    let host = site_with_model();
    check_status(recorded(json!({"name": "img", "model_id": 1})), 201);
    check_status(Upload::new().field("name", "n").field("task_id", "1").field("run_cmd", "x").artifact("a", b"").build(), 201);
    for model in [1, 2] {
        check_refused(recorded(json!({"name": "img:latest", "model_id": model})), 400, "Image with name img:latest already exists");
        let forced = json!({"name": "img", "model_id": model, "builder_args": {"force_overwrite": true}});
        check_refused(fake::post("/images").json(&forced), 400, "Image with name img:latest already exists");
    }
    check_status(recorded(json!({"name": "img:2", "model_id": 1})), 201);
    check_refused(fake::patch("/images/2").json(&json!({"name": "img:latest"})), 400, "Image with name img:latest already exists");
    assert_eq!(host.calls_of("docker.images-build.begin"), [""; 0]);
}

#[test]
fn an_unknown_source_is_a_404() {
    site_with_model();
    check_refused(recorded(json!({"name": "a", "model_id": 7})), 404, "Model with id \"7\" does not exist");
    check_refused(recorded(json!({"name": "a", "pipeline_id": 7})), 404, "Pipeline with id \"7\" does not exist");
    check_refused(recorded(json!({"name": "a", "model_id": -1})), 404, "Model with id \"-1\" does not exist");
}

#[test]
fn an_image_has_one_source() {
    site_with_model();
    let none = (json!(["__root__"]), "one of `model_id` and `pipeline_id` is needed", "value_error");
    let both = (json!(["__root__"]), "`model_id` and `pipeline_id`: only one of them can be", "value_error");
    for body in [json!({"name": "a"}), json!({"name": "a", "model_id": null}), json!({"name": "a", "buildable": {"type": "x"}})] {
        check_invalid(recorded(body), std::slice::from_ref(&none));
    }
    for body in [
        json!({"name": "a", "model_id": 1, "pipeline_id": 1}),
        json!({"name": "a", "buildable": {"model_id": 1, "pipeline_id": 1}}),
        json!({"name": "a", "model_id": 1, "buildable": {"pipeline_id": 1}}),
        json!({"name": "a", "model_id": 1, "buildable": {"model_id": 1}}),
    ] {
        check_invalid(recorded(body), std::slice::from_ref(&both));
    }
}

#[test]
fn the_form_of_later_versions_is_taken_too() {
    site_with_model();
    let buildable = json!({"type": "ebonite.build.builder.base.X", "server_type": 5, "model_id": 1});
    let image = check_status(recorded(json!({"name": "a", "buildable": buildable, "builder_args": {}})), 201);
    assert_eq!((&image["model_id"], &image["name"]), (&json!(1), &json!("a:latest")));
    let place = json!(["buildable", "model_id"]);
    let wrong = json!({"name": "b", "buildable": {"model_id": "1"}});
    check_invalid(recorded(wrong), &[(place, "value is not a valid integer", "type_error.integer")]);
    let place = json!(["buildable"]);
    check_invalid(recorded(json!({"name": "b", "buildable": 1})), &[(place, "value is not a valid dict", "type_error.dict")]);
}

#[test]
fn what_breaks_the_shape_is_a_422_and_what_is_no_json_a_400() {
    let host = site_with_model();
    check_refused(fake::post("/images").body("{"), 400, "Bad Request");
    check_invalid(
        fake::post("/images?skip_build=x").json(&json!({"model_id": "1", "builder_args": {"force_overwrite": 1, "colour": 1}})),
        &[
            (json!(["name"]), "field required", "value_error.missing"),
            (json!(["model_id"]), "value is not a valid integer", "type_error.integer"),
            (json!(["builder_args", "force_overwrite"]), "value is not a valid boolean", "value_error.strictbool"),
            (json!(["builder_args", "colour"]), "extra fields not permitted", "value_error.extra"),
            (json!(["skip_build"]), "value is not a valid integer", "type_error.integer"),
        ],
    );
    for (name, message) in [
        ("Image", "`Image` is no part of an image's name: lower case letters and digits, and between them `.`, `_`, `__` or `-`"),
        ("a:", "`` is no tag"),
        ("a@sha256:0", "a digest cannot be chosen"),
    ] {
        check_invalid(recorded(json!({"name": name, "model_id": 1})), &[(json!(["name"]), message, "value_error")]);
        check_invalid(fake::post("/images").json(&json!({"name": name, "model_id": 7})), &[(json!(["name"]), message, "value_error")]);
    }
    assert_eq!(host.calls_of("docker.images-read.inspect"), [""; 0]);
    assert_eq!(shown("/images?task_id=1"), json!([]));
}

#[test]
fn an_answer_of_204_has_no_body() {
    site_with_model();
    check_status(recorded(json!({"name": "a", "model_id": 1})), 201);
    for request in [fake::patch("/images/1").json(&json!({"name": "b"})), fake::delete("/images/1")] {
        let answer = send(request);
        assert_eq!((answer.status, answer.body.len(), answer.header("content-type")), (204, 0, None));
    }
}
