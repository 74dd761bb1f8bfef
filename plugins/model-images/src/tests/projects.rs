//! What all kinds of things have in common, and projects, tasks, environments and healthchecks.

use super::*;

const NO_PATH: &str =
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.";

fn is_date(value: &Value) -> bool {
    let text = value.as_str().unwrap();
    text.len() == "1970-01-01 00:00:00.000000 ".len() && text.ends_with(' ')
}

#[test]
fn a_project_is_made_shown_renamed_and_deleted() {
    site();
    let mut project = made("/projects", json!({"name": "p", "id": 9, "author": "me"}));
    assert!(is_date(&project["creation_date"]));
    assert_eq!(shown("/projects/1"), project);
    assert_eq!(shown("/projects"), json!([project]));
    project.as_object_mut().unwrap().remove("creation_date");
    assert_eq!(project, json!({"name": "p", "id": 1, "author": "wharf"}));
    check_status(fake::patch("/projects/1").json(&json!({"name": "q"})), 204);
    assert_eq!(names("/projects"), ["q"]);
    check_status(fake::delete("/projects/1"), 204);
    assert_eq!(names("/projects"), [""; 0]);
    check_refused(fake::get("/projects/1"), 404, "Project with id 1 does not exist");
    assert_eq!(made("/projects", json!({"name": "p"}))["id"], 2);
}

#[test]
fn the_author_is_a_setting() {
    let host = site();
    host.config(json!({"author": "lab"}));
    assert_eq!(made("/projects", json!({"name": "p"}))["author"], "lab");
}

#[test]
fn a_name_is_there_once() {
    site_with_model();
    made("/projects", json!({"name": "q"}));
    made("/tasks", json!({"name": "t", "project_id": 2}));
    made("/tasks", json!({"name": "u", "project_id": 1}));
    check_refused(fake::post("/projects").json(&json!({"name": "p"})), 400, "Project with name p already exists");
    check_refused(fake::post("/tasks").json(&json!({"name": "t", "project_id": 1})), 400, "Task with name t already exists");
    check_refused(fake::patch("/projects/2").json(&json!({"name": "p"})), 400, "Project with name p already exists");
    check_refused(fake::patch("/tasks/3").json(&json!({"name": "t"})), 400, "Task with name t already exists");
    check_refused(model("m").build(), 400, "Model with name m already exists");
    let environment = json!({"name": "docker_localhost", "params": {"type": "ebonite.build.docker.DockerHost"}});
    check_refused(fake::post("/environments").json(&environment), 400, "Environment with name docker_localhost already exists");
}

#[test]
fn a_task_belongs_to_a_project() {
    site_with_model();
    made("/projects", json!({"name": "q"}));
    made("/tasks", json!({"name": "other", "project_id": 2}));
    assert_eq!(names("/tasks?project_id=1"), ["t"]);
    let mut task = shown("/tasks/1");
    task.as_object_mut().unwrap().remove("creation_date");
    assert_eq!(task, json!({"name": "t", "id": 1, "project_id": 1, "author": "wharf"}));
    check_refused(fake::get("/tasks?project_id=3"), 404, "Project with id 3 does not exist");
    check_refused(fake::post("/tasks").json(&json!({"name": "t", "project_id": 3})), 404, "Project with id 3 does not exist");
    // Whatever else a client sends with a name is ignored.
    check_status(fake::patch("/tasks/1").json(&json!({"name": "renamed", "project_id": 2})), 204);
    assert_eq!(shown("/tasks/1")["project_id"], 1);
}

#[test]
fn an_id_that_is_none_is_no_path_and_one_that_overflows_is_nobody() {
    site();
    for kind in ["projects", "tasks", "models", "pipelines", "images", "environments", "instances"] {
        for path in ["x", "-1", "1.0", "%31x", "0x1", "1/x"] {
            check_refused(fake::get(&format!("/{kind}/{path}")), 404, NO_PATH);
        }
        check_refused(fake::get(&format!("/{kind}/")), 404, NO_PATH);
        let word = &kind[..kind.len() - 1];
        let word = word[..1].to_uppercase() + &word[1..];
        let big = "99999999999999999999";
        for method in ["GET", "DELETE"] {
            check_refused(fake::request(method, &format!("/{kind}/{big}")), 404, &format!("{word} with id {big} does not exist"));
            check_refused(fake::request(method, &format!("/{kind}/007")), 404, &format!("{word} with id 7 does not exist"));
        }
        check_refused(fake::patch(&format!("/{kind}/7")).json(&json!({"name": "x"})), 404, &format!("{word} with id 7 does not exist"));
    }
    check_refused(fake::get("/"), 404, NO_PATH);
    check_refused(fake::put("/images/1"), 405, "The method is not allowed for the requested URL.");
    assert_eq!(send(fake::put("/images/1")).header("allow"), Some("DELETE, GET, HEAD, PATCH, OPTIONS"));
}

#[test]
fn an_id_in_a_query_is_needed_and_an_integer() {
    site();
    for (list, key, kind) in
        [("tasks", "project_id", "Project"), ("models", "task_id", "Task"), ("pipelines", "task_id", "Task"), ("images", "task_id", "Task")]
    {
        check_invalid(fake::get(&format!("/{list}")), &[(json!([key]), "field required", "value_error.missing")]);
        for value in ["", "x", "1.0", "null", "1;2"] {
            let integer = (json!([key]), "value is not a valid integer", "type_error.integer");
            check_invalid(fake::get(&format!("/{list}?{key}={value}")), &[integer]);
        }
        for value in ["7", "-1", "99999999999999999999"] {
            check_refused(fake::get(&format!("/{list}?{key}={value}")), 404, &format!("{kind} with id {value} does not exist"));
        }
    }
}

#[track_caller]
fn check_name_invalid(body: Value, message: &str, word: &str) {
    check_invalid(fake::post("/projects").json(&body), &[(json!(["name"]), message, word)]);
    made("/projects", json!({"name": "p"}));
    check_invalid(fake::patch("/projects/1").json(&body), &[(json!(["name"]), message, word)]);
    check_status(fake::delete("/projects/1"), 204);
}

#[test]
fn a_name_is_a_text_and_nothing_becomes_one() {
    for value in [json!(1), json!(true), json!([]), json!({})] {
        site();
        check_name_invalid(json!({"name": value}), "str type expected", "type_error.str");
    }
    for (body, message, word) in [
        (json!({}), "field required", "value_error.missing"),
        (json!({"name": null}), "none is not an allowed value", "type_error.none.not_allowed"),
        (json!({"name": ""}), "ensure this value has at least 1 characters", "value_error.any_str.min_length"),
        (json!({"name": "x".repeat(256)}), "ensure this value has at most 255 characters", "value_error.any_str.max_length"),
        (json!({"name": "a\0b"}), "a NUL has no place in a text", "value_error"),
    ] {
        site();
        check_name_invalid(body, message, word);
    }
    site();
    for name in ["ä".repeat(255), "'; DROP TABLE projects; --".to_owned(), "$1".to_owned(), " ".to_owned()] {
        assert_eq!(made("/projects", json!({"name": name}))["name"], name);
    }
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    site();
    for body in ["", "{", "nul", "{\"name\": \"a\"} x", "\u{feff}{}", "NaN", "{\"name\": \"\\ud800\"}"] {
        for path in ["/projects", "/tasks", "/pipelines", "/images", "/environments", "/instances"] {
            check_refused(fake::post(path).body(body), 400, "Bad Request");
        }
        check_refused(fake::patch("/projects/1").body(body), 400, "Bad Request");
    }
    for body in ["[]", "1", "null", "\"name\""] {
        check_invalid(fake::post("/projects").body(body), &[(json!(["__root__"]), "value is not a valid dict", "type_error.dict")]);
    }
    check_refused(fake::post("/projects").body("[".repeat(100_000)), 400, "Bad Request");
    check_refused(fake::post("/projects").stream([Err(Error::QuotaExceeded)]), 413, "the body is longer than this site takes");
    check_refused(
        fake::post("/projects").stream([Ok(b"{".to_vec()), Err(Error::Unavailable(String::new()))]),
        400,
        "the body was cut short",
    );
}

#[test]
fn a_document_has_a_length_that_can_be_read_whole() {
    site();
    let name = json!({"name": "x".repeat(256)}).to_string();
    let long = |bytes: usize| format!("{name}{}", " ".repeat(bytes - name.len()));
    let stream = |text: String| text.into_bytes().chunks(50_000).map(|chunk| Ok(chunk.to_vec())).collect::<Vec<_>>();
    let too_long = [(json!(["name"]), "ensure this value has at most 255 characters", "value_error.any_str.max_length")];
    check_invalid(fake::post("/projects").stream(stream(long(256 * 1024))), &too_long);
    let refused = "the body is longer than the 262144 bytes that a document may have";
    for path in ["/projects", "/tasks", "/pipelines", "/images", "/environments", "/instances"] {
        check_refused(fake::post(path).stream(stream(long(256 * 1024 + 1))), 413, refused);
    }
    // What is still to come is left where it is.
    let endless = std::iter::repeat_n(Ok(vec![b' '; 64 * 1024]), 10_000);
    check_refused(fake::patch("/projects/1").stream(endless), 413, refused);
}

/// What is a statement to a database that is asked carelessly is a text here, wherever a client may write one.
#[test]
fn a_statement_in_a_text_is_a_text() {
    let host = site_with_model();
    for nasty in ["x'; DROP TABLE models; --", "' OR 1=1 --", "\"; DELETE FROM images; --", "$1", "?1", "%_", "\\' --", "x\u{2019}"] {
        let project = made("/projects", json!({"name": nasty}));
        let task = made("/tasks", json!({"name": nasty, "project_id": project["id"]}));
        let upload = Upload::new().field("name", nasty).field("task_id", &task["id"].to_string()).field("run_cmd", nasty);
        let file = nasty.replace(['\\', '"'], "_");
        let upload = upload.field("requirements", &json!([nasty]).to_string()).artifact(&file, nasty.as_bytes());
        let model = check_status(upload.build(), 201);
        assert_eq!((&model["name"], &model["params"]["run_cmd"], &model["requirements"][0]), (&json!(nasty), &json!(nasty), &json!(nasty)));
        let steps = json!([{"model_name": nasty, "method_name": nasty}]);
        let pipeline = made("/pipelines", json!({"name": nasty, "task_id": task["id"], "steps": steps}));
        assert_eq!(shown(&format!("/pipelines/{}", pipeline["id"]))["steps"], steps);
        let params = json!({"type": "ebonite.build.docker.DockerHost", "host": nasty});
        let environment = made("/environments", json!({"name": nasty, "params": params}));
        assert_eq!(shown(&format!("/environments/{}", environment["id"]))["params"]["host"], nasty);
        let arguments = json!({"run_cmd": nasty, "package_install_cmd": nasty});
        let image = made("/images", json!({"name": format!("img:{}", task["id"]), "model_id": model["id"], "builder_args": arguments}));
        let image_path = format!("/images/{}", image["id"]);
        check_status(fake::patch(&image_path).json(&json!({"name": nasty})), 204);
        assert_eq!(shown(&image_path)["name"], nasty);
        let body = json!({"name": nasty, "image_id": image["id"], "params": {"name": "served"}});
        let instance = made("/instances", body);
        assert_eq!(shown(&format!("/instances?image_id={}", image["id"]))[0]["name"], nasty);
        for path in ["/projects/", "/tasks/", "/models/", "/images/", "/instances/"] {
            assert_eq!(send(fake::get(&format!("{path}1%27%20OR%201=1"))).status, 404);
        }
        check_status(fake::delete(&format!("/instances/{}", instance["id"])), 204);
        check_refused(
            fake::delete(&format!("/projects/{}", project["id"])),
            400,
            &format!("Project {nasty} has foreign key and can not be deleted"),
        );
        check_status(fake::delete(&format!("/projects/{}?cascade=1", project["id"])), 204);
        check_status(fake::delete(&format!("/environments/{}", environment["id"])), 204);
    }
    assert_eq!((names("/projects"), host.containers()), (vec!["p".to_owned()], Vec::new()));
    check_kept(1, 2);
}

#[test]
fn an_id_in_a_body_is_an_integer_and_nothing_becomes_one() {
    site_with_model();
    let place = json!(["project_id"]);
    for value in [json!("1"), json!(1.0), json!(true), json!([1]), json!(1e3)] {
        let integer = (place.clone(), "value is not a valid integer", "type_error.integer");
        check_invalid(fake::post("/tasks").json(&json!({"name": "x", "project_id": value})), &[integer]);
    }
    for digits in ["9223372036854775808", "-9223372036854775809", "99999999999999999999999"] {
        let body = format!(r#"{{"name": "x", "project_id": {digits}}}"#);
        check_invalid(
            fake::post("/tasks").body(body),
            &[(place.clone(), "the integer has no place in 64 bits", "value_error.number.not_le")],
        );
    }
    check_refused(
        fake::post("/tasks").json(&json!({"name": "x", "project_id": i64::MAX})),
        404,
        "Project with id 9223372036854775807 does not exist",
    );
    let missing = |key: &str| (json!([key]), "field required", "value_error.missing");
    check_invalid(fake::post("/tasks").json(&json!({})), &[missing("name"), missing("project_id")]);
}

#[test]
fn the_environment_of_the_sites_engine_is_there_from_the_first_look_on() {
    site();
    let mut environment = shown("/environments")[0].clone();
    assert!(is_date(&environment["creation_date"]));
    environment.as_object_mut().unwrap().remove("creation_date");
    let params = json!({"host": "", "type": "ebonite.build.docker.DockerHost"});
    assert_eq!(environment, json!({"name": "docker_localhost", "id": 1, "author": "wharf", "params": params}));
    assert_eq!(names("/environments"), ["docker_localhost"]);
    check_status(fake::delete("/environments/1"), 204);
    assert_eq!(shown("/environments")[0]["id"], 2);
    site();
    assert_eq!(shown("/environments/1")["name"], "docker_localhost");
}

#[test]
fn an_environment_is_recorded() {
    site();
    let params = json!({"host": "tcp://far:2375", "type": "ebonite.build.docker.DockerHost"});
    let environment = made("/environments", json!({"name": "far", "params": params}));
    assert_eq!(environment["params"], params);
    check_status(fake::patch("/environments/1").json(&json!({"name": "away"})), 204);
    assert_eq!(names("/environments"), ["away", "docker_localhost"]);
    let place = json!(["params", "type"]);
    let wrong = "`x` is no type of an environment: expected `ebonite.build.docker.DockerHost`";
    check_invalid(
        fake::post("/environments").json(&json!({"name": "e", "params": {"type": "x"}})),
        &[(place.clone(), wrong, "value_error")],
    );
    check_invalid(
        fake::post("/environments").json(&json!({"name": "e", "params": {}})),
        &[(place, "field required", "value_error.missing")],
    );
    let params = |value: Value| fake::post("/environments").json(&json!({"name": "e", "params": value}));
    check_invalid(params(json!([])), &[(json!(["params"]), "value is not a valid dict", "type_error.dict")]);
    check_invalid(params(Value::Null), &[(json!(["params"]), "none is not an allowed value", "type_error.none.not_allowed")]);
}

#[test]
fn what_this_stands_on_can_be_asked_after() {
    let host = site();
    for what in ["docker", "metadata", "artifact"] {
        assert_eq!(shown(&format!("/healthchecks/{what}")), json!({"msg": format!("Healthcheck of {what} successful")}));
    }
    check_refused(fake::get("/healthchecks/other"), 404, NO_PATH);
    host.fail("docker.containers-read.list", docker::Error::Timeout);
    host.fail("storage.sql.query", Error::Timeout);
    host.fail("storage.blobs.list", Error::Timeout);
    for what in ["docker", "metadata", "artifact"] {
        check_refused(fake::get(&format!("/healthchecks/{what}")), 404, &format!("Healthcheck of {what} failed"));
    }
}

#[test]
fn a_storage_that_is_away_is_a_520() {
    for (error, message) in [
        (Error::Unavailable("the database is away".to_owned()), "Unknown exception: unavailable: the database is away"),
        (Error::Internal("secret".to_owned()), "Unknown exception"),
        (Error::Timeout, "Unknown exception"),
        (Error::Denied, "Unknown exception"),
    ] {
        let host = site();
        host.fail("storage.sql.migrate", error);
        for path in [
            "/projects",
            "/tasks?project_id=1",
            "/models?task_id=1",
            "/pipelines?task_id=1",
            "/images?task_id=1",
            "/environments",
            "/instances?image_id=1",
        ] {
            check_refused(fake::get(path), 520, message);
        }
        check_refused(fake::post("/projects").json(&json!({"name": "p"})), 520, message);
    }
    let host = site();
    host.fail("storage.sql.query", Error::QuotaExceeded);
    check_refused(
        fake::post("/projects").json(&json!({"name": "p"})),
        507,
        "there is no more space for this plugin on this site, or this is more than one request may do",
    );
}

#[test]
fn the_description_says_what_the_plugin_wants() {
    site();
    let description = fake::describe::<ModelImages>();
    assert_eq!(description["grants"]["storage"], json!(["sql", "blobs"]));
    assert_eq!(description["config"]["properties"]["author"]["default"], "wharf");
}
