//! `POST /images`: what goes to the engine, and what is left when it fails.

use wharf_sdk::fake::Build;

use super::*;

fn build(body: Value) -> RequestBuilder {
    fake::post("/images").json(&body)
}

/// The one build that there was.
#[track_caller]
fn only_build(host: &Host) -> Build {
    let [build] = host.builds().try_into().unwrap();
    build
}

#[test]
fn an_image_is_built_of_the_files_of_its_model() {
    let host = site_with_model();
    let image = made("/images", json!({"name": "lab/img:1", "model_id": 1}));
    assert_eq!(shown("/images?task_id=1"), json!([image]));
    let build = only_build(&host);
    let paths: Vec<&str> = build.files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["Dockerfile", "app/data/words.txt", "app/model.bin", "app/requirements.txt", "app/run.sh"]);
    assert_eq!(build.text("Dockerfile"), "FROM base:1\nWORKDIR /app\nCOPY app/ /app/\nCMD [\"sh\",\"run.sh\"]\n");
    assert_eq!((build.text("app/run.sh"), build.text("app/requirements.txt")), ("httpd -f -p 9000\n", ""));
    assert_eq!((build.files["app/model.bin"].content.as_slice(), build.text("app/data/words.txt")), (&b"\x00\x01\r\n--"[..], "one\ntwo\n"));
    let executable: Vec<bool> = build.files.values().map(|file| file.executable).collect();
    assert_eq!(executable, [false, true, true, false, true]);
    assert_eq!((build.options.names, build.options.dockerfile.as_str()), (vec!["lab/img:1".to_owned()], "Dockerfile"));
    let label = |name: &str| build.options.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!((label("wharf.plugin"), label("wharf.model-images.model")), (Some("model-images"), Some("1")));
    assert_eq!((label("wharf.model-images.task"), label("wharf.model-images.image")), (Some("1"), Some("1")));
    assert!(host.tags().contains("lab/img:1"));
}

#[test]
fn requirements_are_installed_if_there_are_any() {
    let host = site_with_model();
    check_status(model("n").field("requirements", r#"["numpy==1.17", "six"]"#).build(), 201);
    made("/images", json!({"name": "img", "model_id": 2}));
    let build = only_build(&host);
    assert_eq!(build.text("app/requirements.txt"), "numpy==1.17\nsix\n");
    assert!(build.text("Dockerfile").contains("\nRUN [\"sh\",\"-c\",\"pip install -r requirements.txt\"]\n"));
}

#[test]
fn arguments_change_how_it_is_built() {
    let host = site_with_model();
    host.image(Image::new("other:2"));
    check_status(model("n").field("requirements", r#"["six"]"#).build(), 201);
    let arguments =
        json!({"base_image": "other:2", "run_cmd": "python x.py", "package_install_cmd": "pip3 install --no-index -r requirements.txt"});
    made("/images", json!({"name": "img", "model_id": 2, "builder_args": arguments}));
    let build = only_build(&host);
    let expected = [
        "FROM other:2",
        "WORKDIR /app",
        "COPY app/ /app/",
        r#"RUN ["sh","-c","pip3 install --no-index -r requirements.txt"]"#,
        r#"CMD ["sh","-c","python x.py"]"#,
    ];
    assert_eq!(build.text("Dockerfile").lines().collect::<Vec<_>>(), expected);
    assert_eq!(build.text("app/run.sh"), "httpd -f -p 9000\n");
}

#[test]
fn a_version_of_python_is_taken_where_the_site_has_a_place_for_it() {
    let host = site_with_model();
    let body = json!({"name": "img", "model_id": 1, "builder_args": {"python_version": "3.8"}});
    let place = json!(["builder_args", "python_version"]);
    let message = "this site builds on `base:1` whatever the version: name a `base_image`";
    check_invalid(build(body.clone()), &[(place, message, "value_error")]);
    assert_eq!((names("/images?task_id=1").len(), host.builds().len()), (0, 0));
    host.config(json!({"base_image": "python:{python_version}-slim", "python_version": "3.11"}));
    host.image(Image::new("python:3.8-slim"));
    made("/images", body);
    assert!(only_build(&host).text("Dockerfile").starts_with("FROM python:3.8-slim\n"));
}

#[test]
fn a_pipeline_has_the_artifacts_of_its_models_and_runs_the_first() {
    let host = site_with_model();
    let other = |name: &str, requirements: &str| {
        let upload = Upload::new().field("name", name).field("task_id", "1").field("run_cmd", name).field("requirements", requirements);
        upload.artifact(&format!("{name}.bin"), name.as_bytes()).artifact("model.bin", b"\x00\x01\r\n--")
    };
    check_status(other("second", r#"["six", "numpy"]"#).build(), 201);
    check_status(other("third", r#"["numpy", "pandas"]"#).build(), 201);
    let step = |name: &str| json!({"model_name": name, "method_name": "predict"});
    made("/pipelines", json!({"name": "pipe", "task_id": 1, "steps": [step("third"), step("m"), step("second"), step("m")]}));
    let image = made("/images", json!({"name": "piped", "pipeline_id": 1}));
    assert_eq!((&image["pipeline_id"], &image["task_id"]), (&json!(1), &json!(1)));
    let build = only_build(&host);
    let paths: Vec<&str> = build.files.keys().map(String::as_str).collect();
    let artifacts = ["app/data/words.txt", "app/model.bin", "app/requirements.txt", "app/run.sh", "app/second.bin", "app/third.bin"];
    assert_eq!(paths, [&["Dockerfile"], &artifacts[..]].concat());
    assert_eq!((build.text("app/run.sh"), build.text("app/requirements.txt")), ("third\n", "numpy\npandas\nsix\n"));
    assert!(build.options.labels.contains(&("wharf.model-images.pipeline".to_owned(), "1".to_owned())));
}

#[test]
fn a_pipeline_needs_its_models_and_a_step() {
    site_with_model();
    let pipeline = |steps: Value| fake::post("/pipelines").json(&json!({"name": "pipe", "task_id": 1, "steps": steps}));
    let place = json!(["steps", 1, "model_name"]);
    let steps = json!([{"model_name": "m", "method_name": "a"}, {"model_name": "x", "method_name": "b"}]);
    check_invalid(pipeline(steps), &[(place, "there is no model `x` in the task", "value_error")]);
    check_invalid(pipeline(json!([])), &[(json!(["steps"]), "a pipeline has 1 to 100 steps", "value_error")]);
    check_invalid(pipeline(json!({})), &[(json!(["steps"]), "value is not a valid list", "type_error.list")]);
    check_invalid(
        pipeline(json!([1, {"model_name": 1}])),
        &[
            (json!(["steps", 0]), "value is not a valid dict", "type_error.dict"),
            (json!(["steps", 1, "model_name"]), "str type expected", "type_error.str"),
            (json!(["steps", 1, "method_name"]), "field required", "value_error.missing"),
        ],
    );
    let elsewhere = json!({"name": "pipe", "task_id": 7, "steps": [{"model_name": "m", "method_name": "a"}]});
    check_refused(fake::post("/pipelines").json(&elsewhere), 404, "Task with id 7 does not exist");
    let right = json!({"name": "pipe", "task_id": 1, "steps": [{"model_name": "m", "method_name": "a"}]});
    made("/pipelines", right.clone());
    check_refused(fake::post("/pipelines").json(&right), 400, "Pipeline with name pipe already exists");
    check_status(fake::patch("/models/1").json(&json!({"name": "renamed"})), 204);
    assert_eq!(shown("/pipelines/1")["steps"], json!([{"model_name": "renamed", "method_name": "a"}]));
}

#[test]
fn models_that_cannot_be_in_one_image_are_refused() {
    let host = site_with_model();
    let step = |name: &str| json!({"model_name": name, "method_name": "predict"});
    for (number, (artifact, content)) in [("model.bin", "other"), ("data", "a file"), ("model.bin/x", "a file")].into_iter().enumerate() {
        let name = format!("n{number}");
        let upload = Upload::new().field("name", &name).field("task_id", "1").field("run_cmd", "x");
        check_status(upload.artifact(artifact, content.as_bytes()).build(), 201);
        let pipeline = made("/pipelines", json!({"name": name, "task_id": 1, "steps": [step("m"), step(&name)]}));
        let refused = check_status(build(json!({"name": name, "pipeline_id": pipeline["id"]})), 400);
        let said = refused["errormsg"].as_str().unwrap();
        assert!(said.starts_with(&format!("the artifact `{artifact}` of the model `{name}` and ")), "{said}");
    }
    assert_eq!((host.builds().len(), names("/images?task_id=1").len()), (0, 0));
}

#[test]
fn an_image_of_too_many_artifacts_is_refused_before_anything_is_made() {
    let host = site_with_model();
    let of_many = |name: &str| {
        let upload = Upload::new().field("name", name).field("task_id", "1").field("run_cmd", "x");
        let upload = (0..256).fold(upload, |upload, number| upload.artifact(&format!("{name}/{number}"), b"x"));
        check_status(upload.build(), 201);
        json!({"model_name": name, "method_name": "predict"})
    };
    let mut steps: Vec<Value> = ["a", "b", "c"].map(of_many).to_vec();
    made("/pipelines", json!({"name": "fits", "task_id": 1, "steps": steps}));
    made("/images", json!({"name": "fits", "pipeline_id": 1}));
    assert_eq!(only_build(&host).files.len(), 3 + 3 * 256);
    steps.push(of_many("d"));
    made("/pipelines", json!({"name": "does not", "task_id": 1, "steps": steps}));
    check_refused(build(json!({"name": "img", "pipeline_id": 2})), 400, "an image of 1024 artifacts: at most 900");
    assert_eq!((host.builds().len(), names("/images?task_id=1").len()), (1, 1));
}

#[test]
fn a_tag_is_taken_only_from_who_was_told_to_give_it() {
    let host = site_with_model();
    host.image(Image::new("img:latest").id("sha256:old"));
    let refused = "Image img:latest already exists on the engine, and `force_overwrite` is not true";
    check_refused(build(json!({"name": "img", "model_id": 1})), 400, refused);
    check_refused(build(json!({"name": "img", "model_id": 1, "builder_args": {"force_overwrite": false}})), 400, refused);
    assert_eq!((host.builds().len(), names("/images?task_id=1").len()), (0, 0));
    host.fail_builds("COPY", "no space");
    let forced = json!({"name": "img", "model_id": 1, "builder_args": {"force_overwrite": true}});
    check_status(build(forced.clone()), 520);
    assert_eq!(docker::images_read::inspect_one("img").unwrap().id, "sha256:old");
    let host = site_with_model();
    host.image(Image::new("img:latest").id("sha256:old"));
    made("/images", forced);
    assert_ne!(docker::images_read::inspect_one("img").unwrap().id, "sha256:old");
}

#[test]
fn an_image_that_is_only_recorded_is_not_built() {
    let host = site_with_model();
    for value in ["1", "2", "-1"] {
        check_status(
            fake::post(&format!("/images?skip_build={value}"))
                .json(&json!({"name": format!("img:{value}").replace('-', "m"), "model_id": 1})),
            201,
        );
    }
    assert_eq!((host.builds().len(), names("/images?task_id=1").len()), (0, 3));
    assert_eq!(host.calls_of("docker.images-read.inspect"), [""; 0]);
    for (value, name) in [("0", "a"), ("", "b")] {
        check_status(fake::post(&format!("/images?skip_build={value}")).json(&json!({"name": name, "model_id": 1})), 201);
    }
    assert_eq!(host.builds().len(), 2);
}

#[test]
fn the_log_of_a_build_is_kept_with_the_image() {
    site_with_model();
    made("/images", json!({"name": "img", "model_id": 1}));
    let answer = send(fake::get("/images/1/log"));
    assert_eq!((answer.status, answer.header("content-type"), answer.streamed), (200, Some("text/plain; charset=utf-8"), true));
    assert!(answer.text().starts_with("Step 1/4 : FROM base:1\n"), "{}", answer.text());
    check_status(fake::post("/images?skip_build=1").json(&json!({"name": "recorded", "model_id": 1})), 201);
    check_refused(fake::get("/images/2/log"), 404, "Image recorded:latest has no log of a build");
    check_refused(fake::get("/images/7/log"), 404, "Image with id 7 does not exist");
    check_status(fake::delete("/images/1"), 204);
    check_kept(1, 2);
}

#[test]
fn the_log_of_a_build_is_found_by_task_and_name() {
    let host = site_with_model();
    made("/images", json!({"name": "lab/img", "model_id": 1}));
    for name in ["lab/img", "lab/img:latest", "lab%2Fimg"] {
        let answer = send(fake::get(&format!("/images/log?task_id=1&name={name}")));
        assert_eq!((answer.status, answer.header("content-type"), answer.streamed), (200, Some("text/plain; charset=utf-8"), true));
        assert!(answer.text().starts_with("Step 1/4 : FROM base:1\n"), "{}", answer.text());
    }
    check_refused(fake::get("/images/log?task_id=1&name=img"), 404, "Image with name img:latest does not exist");
    check_refused(fake::get("/images/log?task_id=7&name=lab/img"), 404, "Task with id 7 does not exist");
    let missing = |key: &str| [(json!([key]), "field required", "value_error.missing")];
    check_invalid(fake::get("/images/log?name=img"), &missing("task_id"));
    check_invalid(fake::get("/images/log?task_id=1"), &missing("name"));
    assert_eq!(check_status(fake::get("/images/log?task_id=1&name=A"), 422)["errormsg"][0]["loc"], json!(["name"]));
    // One that is under way has no image yet.
    host.hold_builds();
    let file = wharf_sdk::docker::images_build::ContextFile::new("Dockerfile", "FROM base:1\n");
    let options = docker::images_build::BuildOptions {
        dockerfile: "Dockerfile".to_owned(),
        names: vec!["next:latest".to_owned()],
        labels: Vec::new(),
        arguments: Vec::new(),
    };
    let operation = docker::images_build::begin(vec![file], &options).unwrap();
    made("/images?skip_build=1", json!({"name": "next", "model_id": 1}));
    let under_way = |operation: Option<&str>| {
        let sql = "UPDATE images SET building = 'next:latest', operation = $1, began_ms = $2 WHERE name = 'next:latest'";
        wharf_sdk::storage::sql::execute(sql, &[&operation, &crate::time::now_ms()]).unwrap();
    };
    under_way(None);
    check_refused(fake::get("/images/log?task_id=1&name=next"), 404, "The build of next:latest has not begun");
    under_way(Some(&operation));
    let answer = send(fake::get("/images/log?task_id=1&name=next"));
    assert_eq!((answer.status, answer.text()), (200, "Step 1/1 : FROM base:1\n".into()));
}

#[test]
fn a_log_that_cannot_be_kept_is_no_reason_to_have_no_image() {
    let host = site_with_model();
    host.fail("storage.blobs.store", Error::QuotaExceeded);
    made("/images", json!({"name": "img", "model_id": 1}));
    assert_eq!(send(fake::get("/images/1/log")).status, 404);
}

/// The build is refused and leaves neither a row nor an image, and its name is free.
#[track_caller]
fn check_nothing_built(host: &Host, body: Value, status: u16, message: &str) {
    let said = check_status(build(body), status);
    assert!(said["errormsg"].as_str().unwrap().starts_with(message), "{said}");
    assert_eq!(wharf_sdk::storage::sql::query("SELECT id FROM images", &[], 10).unwrap().rows.len(), 0);
    assert!(!host.tags().contains("img:latest"));
    check_kept(1, 2);
    check_status(fake::post("/images?skip_build=1").json(&json!({"name": "img", "model_id": 1})), 201);
}

#[test]
fn a_build_that_fails_says_where_and_leaves_nothing() {
    let host = site_with_model();
    host.fail_builds("COPY", "no space left");
    let body = json!({"name": "img", "model_id": 1});
    check_nothing_built(
        &host,
        body.clone(),
        520,
        "the image was not built: step 3 of 4, `COPY app/ /app/`: no space left\nStep 1/4 : FROM base:1\nStep 2/4 : WORKDIR /app\n",
    );
    let host = site_with_model();
    let without = json!({"name": "img", "model_id": 1, "builder_args": {"base_image": "nowhere:1"}});
    check_nothing_built(&host, without, 400, "the image was not built: ");
    for (error, status, message) in [
        (Error::Denied, 400, "`img:latest` built on `base:1` is not allowed on this site"),
        (Error::NotFound, 400, "the engine does not hold `base:1`, and a build pulls nothing"),
        (Error::Invalid("a rule".to_owned()), 400, "a rule"),
        (Error::QuotaExceeded, 400, "the files are more than one build may have on this site, or too many builds are under way"),
        (Error::Unavailable("away".to_owned()), 520, "Unknown exception: unavailable: away"),
    ] {
        let host = site_with_model();
        host.fail("docker.images-build.begin", error);
        check_nothing_built(&host, body.clone(), status, message);
    }
    for error in [Error::Timeout, Error::NotFound] {
        let host = site_with_model();
        host.hold_builds();
        host.fail("docker.operations-read.wait", error.clone());
        let message = if error == Error::Timeout {
            "the image was not built in the time that this site gives to a build"
        } else {
            "Unknown exception"
        };
        check_nothing_built(&host, body.clone(), 520, message);
        // Nothing comes of it afterwards.
        host.finish_builds();
        assert!(!host.tags().contains("img:latest"));
    }
}

#[test]
fn a_long_log_is_shown_from_its_end() {
    let host = site_with_model();
    let long = "x".repeat(3000);
    host.fail_builds("CMD", &format!("{long}\n{}", "y".repeat(3000)));
    let said = check_status(build(json!({"name": "img", "model_id": 1})), 520)["errormsg"].as_str().unwrap().to_owned();
    let (_, log) = said.split_once("\nyyy").unwrap();
    assert!(said.len() < 2 * 6100 && log.ends_with('y') && !log.contains("Step 1/"), "{}", said.len());
}

#[test]
fn an_artifact_that_is_gone_is_told_of_and_leaves_nothing() {
    let host = site_with_model();
    host.fail("storage.blobs.read", Error::NotFound);
    check_nothing_built(&host, json!({"name": "img", "model_id": 1}), 520, "Unknown exception");
    let host = site_with_model();
    host.fail("storage.blobs.read", Error::QuotaExceeded);
    let refused = "the artifacts are more than one request may open on this site";
    check_nothing_built(&host, json!({"name": "img", "model_id": 1}), 400, refused);
}

#[test]
fn an_engine_that_is_away_is_told_of_before_anything_is_made() {
    let host = site_with_model();
    host.fail("docker.images-read.inspect", Error::Unavailable("away".to_owned()));
    check_refused(build(json!({"name": "img", "model_id": 1})), 520, "Unknown exception: unavailable: away");
    host.fail("docker.images-read.inspect", Error::Denied);
    check_refused(build(json!({"name": "img", "model_id": 1})), 400, "`img:latest` is not allowed on this site");
    assert_eq!((host.builds().len(), names("/images?task_id=1").len()), (0, 0));
}
