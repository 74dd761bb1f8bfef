//! `POST /models`, artifacts, and what stands in multipart bodies to do harm.

use super::*;

#[test]
fn a_model_is_posted_with_its_artifacts_and_shown() {
    site_with_model();
    let upload = model("n").field("requirements", r#"["numpy==1.17.3", "six"]"#).field("colour", "red");
    let mut posted = check_status(upload.build(), 201);
    assert_eq!(shown("/models/2"), posted);
    assert_eq!(shown("/models?task_id=1")[1], posted);
    posted.as_object_mut().unwrap().remove("creation_date");
    let artifacts = posted["artifacts"]["blobs"].as_object_mut().unwrap();
    for artifact in artifacts.values_mut() {
        let digest = artifact["digest"].as_str().unwrap();
        assert!(digest.starts_with("sha256:") && digest.len() == "sha256:".len() + 64, "{digest}");
        artifact.as_object_mut().unwrap().remove("digest");
    }
    assert_eq!(
        posted,
        json!({
            "name": "n",
            "id": 2,
            "task_id": 1,
            "author": "wharf",
            "requirements": ["numpy==1.17.3", "six"],
            "params": {"run_cmd": "httpd -f -p 9000"},
            "artifacts": {"type": "blobs", "blobs": {"model.bin": {"size": 6}, "data/words.txt": {"size": 8}}},
        })
    );
    check_kept(2, 4);
}

#[track_caller]
fn check_artifact(path: &str, content: &[u8]) {
    let answer = send(fake::get(path));
    assert_eq!((answer.status, answer.body.as_slice(), answer.streamed), (200, content, true));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("content-length"), Some(content.len().to_string().as_str()));
}

#[test]
fn an_artifact_is_sent_as_it_was_posted() {
    site_with_model();
    check_artifact("/models/1/artifacts/model.bin", b"\x00\x01\r\n--");
    check_artifact("/models/1/artifacts/data/words.txt", b"one\ntwo\n");
    check_artifact("/models/1/artifacts/data%2Fwords.txt", b"one\ntwo\n");
    check_refused(fake::get("/models/1/artifacts/words.txt"), 404, "Artifact with name words.txt does not exist");
    check_refused(fake::get("/models/1/artifacts/../1"), 404, "Artifact with name ../1 does not exist");
    check_refused(fake::get("/models/2/artifacts/model.bin"), 404, "Model with id 2 does not exist");
}

#[test]
fn a_body_arrives_in_pieces_of_any_length() {
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let bytes = model("big").artifact("big.bin", &content).artifact("empty", b"").bytes();
    for length in [1_000_003, 4096, 65_536] {
        site();
        made("/projects", json!({"name": "p"}));
        made("/tasks", json!({"name": "t", "project_id": 1}));
        let chunks: Vec<_> = bytes.chunks(length).map(|chunk| Ok(chunk.to_vec())).collect();
        check_status(Upload::request().stream(chunks), 201);
        check_artifact("/models/1/artifacts/big.bin", &content);
        check_artifact("/models/1/artifacts/empty", b"");
    }
    site();
    made("/projects", json!({"name": "p"}));
    made("/tasks", json!({"name": "t", "project_id": 1}));
    check_status(Upload::request().stream(model("small").bytes().into_iter().map(|byte| Ok(vec![byte]))), 201);
    check_artifact("/models/1/artifacts/model.bin", b"\x00\x01\r\n--");
}

/// The upload is refused and leaves nothing.
#[track_caller]
fn check_nothing_left(request: RequestBuilder, status: u16, message: &str) {
    let said = check_status(request, status);
    assert!(said["errormsg"].to_string().contains(message), "{said}");
    check_kept(1, 2);
    assert_eq!(names("/models?task_id=1"), ["m"]);
}

#[test]
fn a_body_that_is_cut_short_leaves_nothing() {
    site_with_model();
    let bytes = model("n").bytes();
    for length in 0..bytes.len() - 4 {
        check_nothing_left(Upload::request().body(&bytes[..length]), 400, "the body ends before its last part does");
    }
    let half = bytes[..bytes.len() / 2].to_vec();
    let broken = [Ok(half.clone()), Err(Error::Unavailable("gone".to_owned()))];
    check_nothing_left(Upload::request().stream(broken), 400, "the body was cut short");
    check_nothing_left(Upload::request().stream([Ok(half), Err(Error::QuotaExceeded)]), 413, "longer than this site takes");
}

#[test]
fn a_body_that_is_no_multipart_is_refused() {
    site_with_model();
    let bytes = model("n").bytes();
    for content_type in
        ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=x", "x", "multipart/form-data; boundary="]
    {
        let request = fake::post("/models").header("content-type", content_type).body(bytes.clone());
        check_nothing_left(request, 400, "");
    }
    let other = fake::post("/models").header("content-type", "multipart/form-data; boundary=other").body(bytes.clone());
    check_nothing_left(other, 400, "has not the boundary");
    check_nothing_left(fake::post("/models").body(bytes), 400, "the Content-Type is not");
    check_nothing_left(Upload::request().json(&json!({"name": "n"})), 400, "");
}

#[test]
fn what_is_missing_is_told_at_once() {
    site_with_model();
    let missing = |key: &str| (json!([key]), "field required", "value_error.missing");
    check_invalid(Upload::new().build(), &[missing("name"), missing("task_id"), missing("run_cmd"), missing("artifacts")]);
    check_invalid(Upload::new().artifact("a", b"x").build(), &[missing("name"), missing("task_id"), missing("run_cmd")]);
    let without = Upload::new().field("name", "n").field("task_id", "1").field("run_cmd", "x");
    check_invalid(without.build(), &[missing("artifacts")]);
    check_kept(1, 2);
}

#[test]
fn an_artifact_leads_nowhere_else() {
    site_with_model();
    for name in ["../../x", "/etc/passwd", "a/../../b", "a//b", ".", "a\\\\b", "a/", "./a"] {
        check_nothing_left(model("n").artifact(name, b"x").build(), 422, "");
    }
    check_nothing_left(model("n").artifact("", b"x").build(), 422, "1 to 255 bytes");
    check_nothing_left(model("n").artifact("run.sh", b"x").build(), 422, "written by the build");
    check_nothing_left(model("n").artifact("requirements.txt", b"x").build(), 422, "written by the build");
    let refused = check_status(model("n").artifact("../../x", b"x").build(), 422);
    let expected = json!([{"loc": ["artifacts", 2], "msg": "`../../x` is no path below the folder of the model", "type": "value_error"}]);
    assert_eq!(refused["errormsg"], expected);
}

#[test]
fn an_artifact_is_a_file_of_a_name_of_its_own() {
    site_with_model();
    check_nothing_left(model("n").artifact("model.bin", b"x").build(), 422, "there is more than one artifact `model.bin`");
    check_nothing_left(model("n").artifact("data", b"x").build(), 422, "there is more than one artifact `data`");
    check_nothing_left(model("n").artifact("model.bin/x", b"x").build(), 422, "cannot be an artifact and the folder");
    check_nothing_left(model("n").field("artifacts", "x").build(), 422, "its part needs a `filename`");
}

#[test]
fn too_much_is_refused() {
    let host = site_with_model();
    host.config(json!({"max_artifacts": 3}));
    check_nothing_left(model("n").artifact("a", b"").artifact("b", b"").build(), 400, "more than 3 artifacts");
    let mut many = model("n");
    for number in 0..40 {
        many = many.field(&format!("field{number}"), "x");
    }
    check_nothing_left(many.build(), 400, "more than 32 fields beside the artifacts");
    check_nothing_left(model("n").field("requirements", &"x".repeat(65_537)).build(), 422, "at most 65536 bytes");
    // A head, or what comes before the first part, that does not end.
    let endless = |start: &str| {
        let start = start.as_bytes().to_vec();
        std::iter::once(Ok(start)).chain(std::iter::repeat_n(Ok(vec![b'x'; 64 * 1024]), 100))
    };
    check_nothing_left(Upload::request().stream(endless("")), 400, "stand before the content of a part");
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"");
    check_nothing_left(Upload::request().stream(endless(&head)), 400, "stand before the content of a part");
}

#[test]
fn what_a_field_says_is_held_to_its_type() {
    site_with_model();
    let with = |name: &str, value: &str| {
        let fields = [("name", "n"), ("task_id", "1"), ("run_cmd", "x"), ("requirements", "[]")];
        let upload =
            fields.into_iter().fold(Upload::new(), |upload, (key, right)| upload.field(key, if key == name { value } else { right }));
        upload.artifact("a", b"x").build()
    };
    check_nothing_left(with("task_id", "one"), 422, "value is not a valid integer");
    check_nothing_left(with("requirements", "numpy"), 422, "the value is no JSON list");
    check_nothing_left(with("requirements", r#"["a\nb"]"#), 422, "each requirement is a text of one line");
    check_nothing_left(with("name", ""), 422, "at least 1 characters");
    check_nothing_left(with("task_id", "7"), 404, "Task with id 7 does not exist");
    check_nothing_left(model("m").build(), 400, "Model with name m already exists");
    check_nothing_left(model("n").field("name", "again").build(), 422, "the field stands there more than once");
    check_nothing_left(model("n").part("name=\"run_cmd\"", b"\xff").build(), 422, "");
}

#[test]
fn a_storage_that_fails_leaves_nothing() {
    let host = site_with_model();
    host.fail("storage.blobs.write", Error::QuotaExceeded);
    check_nothing_left(model("n").build(), 507, "no more space");
    let host = site_with_model();
    host.fail("storage.sql.execute", Error::Unavailable("away".to_owned()));
    check_nothing_left(model("n").build(), 520, "away");
}

#[test]
fn a_model_is_renamed() {
    site_with_model();
    check_status(fake::patch("/models/1").json(&json!({"name": "renamed", "task_id": 7})), 204);
    assert_eq!(names("/models?task_id=1"), ["renamed"]);
}

#[test]
fn an_upload_that_was_cut_off_by_a_crash_is_cleared_away_later() {
    site_with_model();
    let sql = "INSERT INTO leftovers (folder, since_ms) VALUES ($1, $2)";
    let now = crate::time::now_ms();
    for (folder, since) in [("old", now - 3 * 3600 * 1000), ("young", now)] {
        wharf_sdk::storage::sql::execute(sql, &[&folder, &since]).unwrap();
        let mut writer = wharf_sdk::storage::blobs::write(&format!("{folder}/1")).unwrap();
        writer.write(b"x").unwrap();
        writer.finish().unwrap();
    }
    check_status(model("n").build(), 201);
    let left = |prefix: &str| wharf_sdk::storage::blobs::list(prefix, None, 10).unwrap().blobs.len();
    assert_eq!((left("old/"), left("young/")), (0, 1));
}
