//! The API as its clients see it, on a host in memory with a real database.

use std::time::Duration;

use serde_json::{Value, json};
use wharf_sdk::fake::{self, Answer, Host, RequestBuilder};
use wharf_sdk::storage::Error;

use crate::ImageCatalog;

mod filters;

/// A site with an administrator and a worker.
fn site() -> Host {
    let host = Host::install();
    host.user("ann", "secret", &["admin"]);
    host.user("worker", "secret", &[]);
    host
}

fn send(request: RequestBuilder) -> Answer {
    fake::call::<ImageCatalog>(request)
}

fn body(name: &str, version: &str) -> Value {
    json!({
        "name": name, "version": version, "url": "https://x/y", "registry": "registry.local", "cuda_version": 1, "min_hardware_generation": 3, "framework": 5,
        "domain": "od", "tasks": ["predict", "train"], "licence": 2,
    })
}

#[track_caller]
fn created(body: &Value) -> Value {
    let answer = send(fake::post("/v1/docker/create").as_user("ann").json(body));
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

#[track_caller]
fn check(request: RequestBuilder, status: u16, expected: &Value) {
    let asked = format!("{request:?}");
    let answer = send(request);
    assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/json")), "{asked}: {}", answer.text());
    assert_eq!(answer.json(), *expected, "{asked}");
}

fn detail(text: &str) -> Value {
    json!({ "detail": text })
}

#[test]
fn an_image_is_created_and_shown_with_the_documented_fields_in_their_order() {
    let _host = site();
    let mut posted = body("yolo", "1");
    posted["registry_username"] = json!("me");
    posted["registry_password"] = json!("pass");
    let image = created(&posted);
    let time = image["creation_time"].as_str().unwrap().to_owned();
    let expected = format!(
        concat!(
            r#"{{"pk":1,"name":"yolo","version":"1","url":"https://x/y","registry":"registry.local","registry_username":"me","registry_password":"pass","#,
            r#""cuda_version":1,"min_hardware_generation":3,"cpu":false,"framework":5,"domain":"od","tasks":["predict","train"],"licence":2,"creator":1,"#,
            r#""creation_time":"{}","deletion_time":null}}"#
        ),
        time
    );
    for path in ["/v1/docker/1", "/v1/docker/1/"] {
        assert_eq!(send(fake::get(path).as_user("worker")).text(), expected);
    }
    assert_eq!(send(fake::post("/v1/docker/list").as_user("worker")).text(), format!("[{expected}]"));
}

#[test]
fn a_list_of_any_length_is_answered_whole() {
    let _host = site();
    for number in 0..1_001 {
        created(&body("yolo", &number.to_string()));
    }
    let listed = send(fake::post("/v1/docker/list").as_user("worker")).json();
    let pks: Vec<i64> = listed.as_array().unwrap().iter().map(|image| image["pk"].as_i64().unwrap()).collect();
    assert_eq!(pks, (1..=1_001).collect::<Vec<i64>>());
}

#[test]
fn a_password_is_not_in_the_database_as_it_is() {
    let host = site();
    let mut posted = body("yolo", "1");
    posted["registry_password"] = json!("pass");
    created(&posted);
    let stored = wharf_sdk::storage::sql::query_one("SELECT registry_password FROM images", &[]).unwrap().unwrap();
    let stored: Vec<u8> = stored.get(0).unwrap();
    assert!(!stored.windows(4).any(|window| window == b"pass"));
    assert!(!host.calls().iter().any(|call| call.about.contains("pass\"")));
}

#[test]
fn fields_that_are_wrong_are_told_and_nothing_is_created() {
    let _host = site();
    let create = |body: &Value| fake::post("/v1/docker/create").as_user("ann").json(body);
    let mut wrong = body("yolo", "1");
    wrong["licence"] = json!(99);
    wrong["name"] = json!("");
    check(
        create(&wrong),
        400,
        &json!({"name": ["This field may not be blank."], "licence": ["Invalid pk \"99\" - object does not exist."]}),
    );
    let mut wrong = body("yolo", "1");
    wrong["min_hardware_generation"] = Value::Null;
    check(create(&wrong), 400, &json!({"min_hardware_generation": ["This field may be null only if cpu is true."]}));
    wrong["cpu"] = json!(true);
    created(&wrong);
    check(create(&wrong), 400, &json!({"non_field_errors": ["The fields name, version must make a unique set."]}));
    let malformed = send(fake::post("/v1/docker/create").as_user("ann").body("{\"name\": "));
    assert!(malformed.status == 400 && malformed.text().starts_with(r#"{"detail":"JSON parse error - "#), "{}", malformed.text());
    let foreign = fake::post("/v1/docker/create").as_user("ann").header("content-type", "text/xml").body("<a/>");
    check(foreign, 415, &detail("Unsupported media type \"text/xml\" in request."));
    assert_eq!(send(fake::post("/v1/docker/list").as_user("ann")).json().as_array().unwrap().len(), 1);
}

#[test]
fn a_form_is_a_body_too() {
    let _host = site();
    let form = "name=a&version=1&url=u&registry=r&cuda_version=1&min_hardware_generation=1&framework=1&domain=ic&tasks=train&tasks=export&licence=1";
    let request = fake::post("/v1/docker/create").as_user("ann").header("content-type", "application/x-www-form-urlencoded").body(form);
    let image = send(request).json();
    assert_eq!((&image["tasks"], &image["framework"]), (&json!(["train", "export"]), &json!(1)));
}

#[test]
fn who_may_do_what() {
    let host = site();
    let image = created(&body("yolo", "1"));
    let everything = || {
        [
            fake::post("/v1/docker/list"),
            fake::get("/v1/docker/1"),
            fake::post("/v1/docker/create").json(&body("a", "1")),
            fake::put("/v1/docker/1").json(&body("a", "1")),
            fake::patch("/v1/docker/1").json(&json!({})),
            fake::delete("/v1/docker/1"),
            fake::get("/v1/docker/list"),
            fake::post("/v1/cuda/list"),
            fake::get("/v1/licences/1"),
        ]
    };
    for request in everything() {
        let answer = send(request);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer realm=\"api\"")));
        assert_eq!(answer.json(), detail("Authentication credentials were not provided."));
    }
    for request in everything().into_iter().skip(2).take(4) {
        check(request.as_user("worker"), 403, &detail("You do not have permission to perform this action."));
    }
    check(fake::get("/v1/docker/1").as_user("worker"), 200, &image);
    check(fake::get("/v1/docker/list").as_user("worker"), 405, &detail("Method \"GET\" not allowed."));
    host.remove_user("worker");
    let rejected = send(fake::get("/v1/docker/1").header("authorization", "Bearer nothing"));
    assert_eq!((rejected.status, &rejected.json()["code"]), (401, &json!("token_not_valid")));
}

#[test]
fn an_image_is_replaced_and_changed() {
    let _host = site();
    created(&body("yolo", "1"));
    created(&body("other", "1"));
    let mut replacement = body("yolo", "2");
    replacement["tasks"] = json!([]);
    let replaced = send(fake::put("/v1/docker/1").as_user("ann").json(&replacement)).json();
    assert_eq!((&replaced["version"], &replaced["tasks"], &replaced["creator"]), (&json!("2"), &json!([]), &json!(1)));
    let missing = send(fake::put("/v1/docker/1").as_user("ann").json(&json!({"name": "x"})));
    assert_eq!((missing.status, &missing.json()["url"]), (400, &json!(["This field is required."])));
    let patch = |body: Value| fake::patch("/v1/docker/1").as_user("ann").json(&body);
    let changed =
        send(patch(json!({"cpu": true, "min_hardware_generation": null, "registry_username": "me", "pk": 9, "tasks": ["export"]}))).json();
    assert_eq!((&changed["pk"], &changed["cpu"], &changed["min_hardware_generation"]), (&json!(1), &json!(true), &Value::Null));
    assert_eq!((&changed["registry_username"], &changed["tasks"]), (&json!("me"), &json!(["export"])));
    check(patch(json!({"cpu": false})), 400, &json!({"min_hardware_generation": ["This field may be null only if cpu is true."]}));
    check(
        patch(json!({"name": "other", "version": "1"})),
        400,
        &json!({"non_field_errors": ["The fields name, version must make a unique set."]}),
    );
    assert_eq!(send(patch(json!({}))).json(), changed);
    for pk in ["3", "99999999999999999999", "x", "-1", "1.0"] {
        check(fake::patch(&format!("/v1/docker/{pk}")).as_user("ann").json(&json!({})), 404, &detail("Not found."));
        check(fake::get(&format!("/v1/docker/{pk}")).as_user("ann"), 404, &detail("Not found."));
    }
}

#[test]
fn a_deleted_image_stays_marked_and_leaves_its_name() {
    let _host = site();
    created(&body("yolo", "1"));
    let delete = || send(fake::delete("/v1/docker/1").as_user("ann"));
    let answer = delete();
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    let load = || send(fake::get("/v1/docker/1").as_user("worker")).json();
    let deleted = load();
    assert!(deleted["deletion_time"].is_string());
    assert_eq!(delete().status, 204);
    assert_eq!(load(), deleted);
    check(fake::patch("/v1/docker/1").as_user("ann").json(&json!({"cpu": true})), 404, &detail("Not found."));
    check(fake::put("/v1/docker/1").as_user("ann").json(&body("a", "1")), 404, &detail("Not found."));
    check(fake::post("/v1/docker/list").as_user("ann"), 200, &json!([]));
    let all = send(fake::post("/v1/docker/list").as_user("ann").json(&json!({"include_inactive": true}))).json();
    assert_eq!(all, json!([deleted]));
    assert_eq!(created(&body("yolo", "1"))["pk"], 2);
    check(fake::delete("/v1/docker/3").as_user("ann"), 404, &detail("Not found."));
}

#[test]
fn tokens_are_obtained_refreshed_and_verified() {
    let host = site();
    let post = |path: &str, body: Value| send(fake::post(path).json(&body));
    check(
        fake::post("/v1/auth/obtain").json(&json!({"username": ""})),
        400,
        &json!({"username": ["This field may not be blank."], "password": ["This field is required."]}),
    );
    let wrong = post("/v1/auth/obtain", json!({"username": "ann", "password": "no"}));
    assert_eq!((wrong.status, wrong.json()), (401, detail("No active account found with the given credentials")));
    let pair = post("/v1/auth/obtain/", json!({"username": "ann", "password": "secret"})).json();
    let (access, refresh) = (pair["access"].as_str().unwrap(), pair["refresh"].as_str().unwrap());
    assert_eq!(post("/v1/auth/verify", json!({"token": access})).json(), json!({}));
    let renewed = post("/v1/auth/refresh", json!({"refresh": refresh})).json();
    assert_eq!(post("/v1/auth/verify", json!({"token": renewed["access"]})).status, 200);
    let invalid = json!({"detail": "Token is invalid or expired", "code": "token_not_valid"});
    check(fake::post("/v1/auth/refresh").json(&json!({"refresh": access})), 401, &invalid);
    check(fake::post("/v1/auth/verify").json(&json!({"token": "nothing"})), 401, &invalid);
    host.pass(Duration::from_secs(86_401));
    check(fake::post("/v1/auth/refresh").json(&json!({"refresh": refresh})), 401, &invalid);
}

#[test]
fn what_images_lead_to_can_be_read() {
    let _host = site();
    let get = |path: &str| send(fake::get(path).as_user("worker")).text();
    assert_eq!(get("/v1/cuda/2"), r#"{"pk":2,"version":"10.0","full_version":"10.0.130","min_driver_version":"410.48"}"#);
    assert_eq!(get("/v1/hardware/5"), r#"{"pk":5,"generation":"Volta","min_compute_capability":"7.0","max_compute_capability":"7.5"}"#);
    assert_eq!(get("/v1/frameworks/1"), r#"{"pk":1,"name":"tensorflow","version":"1.15"}"#);
    assert_eq!(get("/v1/domains/2"), r#"{"pk":2,"name":"od","description":"Object Detection"}"#);
    assert_eq!(get("/v1/licenses/1"), r#"{"pk":1,"name":"AGPL3"}"#);
    assert_eq!(get("/v1/licences/99"), r#"{"detail":"Not found."}"#);
    let filter = json!({"expressions": [{"type": "contains", "field": "name", "sub_string": "GPL"}], "order_by": [{"field": "name", "ascending": false}]});
    let found = send(fake::post("/v1/licences/list").as_user("worker").json(&filter)).json();
    let names: Vec<&str> = found.as_array().unwrap().iter().map(|licence| licence["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["LGPL3", "GPL3", "GPL2", "AGPL3"]);
}

#[test]
fn a_database_that_is_away_is_said_so() {
    let host = site();
    host.fail("storage.sql.query", Error::Unavailable("no route".to_owned()));
    check(fake::post("/v1/docker/list").as_user("ann"), 503, &detail("The catalogue cannot be reached."));
    check(fake::get("/v1/docker").as_user("ann"), 404, &detail("Not found."));
}
