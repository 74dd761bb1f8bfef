//! The plugin `image-catalog` as its clients use it, on both databases: users of the site, their tokens, and a catalogue that is still there when the host is.
//!
//! What each filter means is held against a plain evaluation in the plugin's own tests, on SQLite. Here the same questions go to both databases, and the answers must be the same to the letter.

use std::path::Path;

use serde_json::{Value, json};
use wharf_harness::http::{Client, Response};
use wharf_harness::postgres::Postgres;
use wharf_harness::programs;
use wharf_harness::wharf::Wharf;
use wharf_tests::plugins::IMAGE_CATALOG;

use crate::site::host;

/// `ann` is an administrator and `worker` is not; both have the password `a long password`.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$HU57XP3UkiAggPtoOKBz8Q$ecFVJOkGQPEvTRZhDWKdQQ9Z4fR2r+KSerYS9YXMGqE";

fn configuration(storage: &str) -> String {
    format!(
        r#"
{storage}
[[site]]
name = "lab"
[[site.user]]
name = "ann"
password_hash = "{HASH}"
roles = ["admin"]
[[site.user]]
name = "worker"
password_hash = "{HASH}"
[[site.plugin]]
name = "image-catalog"
source = "{IMAGE_CATALOG}"
mount = "/ufdl"
auth = "plugin"
[site.plugin.grants.storage]
allow = ["sql", "sealed"]
[site.plugin.grants.identity]
allow = ["principal", "tokens"]
"#
    )
}

/// A host with a catalogue, and the clients of who asks it.
struct Site {
    wharf: Wharf,
    ann: Client,
    worker: Client,
}

/// Access tokens.
struct Tokens {
    ann: String,
    worker: String,
}

impl Site {
    #[track_caller]
    fn start(storage: &str) -> (Site, Tokens) {
        let wharf = host(&configuration(storage));
        let token = |name: &str| obtain(&wharf.client(), name)["access"].as_str().unwrap().to_owned();
        let tokens = Tokens { ann: token("ann"), worker: token("worker") };
        (Site::new(wharf, &tokens), tokens)
    }

    fn new(wharf: Wharf, tokens: &Tokens) -> Site {
        let client = |token: &str| wharf.client().with_header("authorization", &format!("Bearer {token}"));
        let (ann, worker) = (client(&tokens.ann), client(&tokens.worker));
        Site { wharf, ann, worker }
    }

    #[track_caller]
    fn create(&self, image: &Value) -> Value {
        check(&self.ann.post_json("/ufdl/v1/docker/create", image).unwrap(), 201)
    }

    /// What `filter` lets through.
    #[track_caller]
    fn list(&self, filter: &Value) -> Value {
        check(&self.worker.post_json("/ufdl/v1/docker/list", filter).unwrap(), 200)
    }
}

#[track_caller]
fn check(answer: &Response, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text().unwrap());
    if answer.body.is_empty() { Value::Null } else { answer.json().unwrap() }
}

#[track_caller]
fn obtain(client: &Client, name: &str) -> Value {
    check(&client.post_json("/ufdl/v1/auth/obtain", &json!({"username": name, "password": "a long password"})).unwrap(), 200)
}

fn send(client: &Client, method: &str, path: &str, body: &Value) -> Response {
    client.send(method, path, &[("content-type", "application/json")], body.to_string().as_bytes()).unwrap()
}

fn image(name: &str, version: &str) -> Value {
    json!({
        "name": name, "version": version, "url": "registry.local/yolo:1", "registry": "https://registry.local", "cuda_version": 1, "min_hardware_generation": 3,
        "framework": 5, "domain": "od", "tasks": ["train", "predict"], "licence": 2,
    })
}

#[test]
fn a_catalogue_is_kept_on_sqlite() {
    tell("", |site| read_all(&site.wharf.folder().join("data/storage")));
}

#[test]
fn a_catalogue_is_kept_on_postgres() {
    if programs::skip(&[programs::POSTGRES]).unwrap() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    tell(&format!("[storage]\nurl = \"{}\"\n", postgres.url()), |_| {
        let tables = postgres.ask("SELECT quote_ident(schemaname) || '.images' FROM pg_tables WHERE tablename = 'images'").unwrap();
        postgres.ask(&format!("SELECT row_to_json(images) FROM {} AS images", tables.trim())).unwrap().into_bytes()
    });
}

/// All files in and below `folder`, one after the other.
fn read_all(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { read_all(&path) } else { std::fs::read(&path).unwrap() }).collect()
}

/// From the first login to the last look; `stored` is all that the database has.
#[track_caller]
fn tell(storage: &str, stored: impl Fn(&Site) -> Vec<u8>) {
    let (site, tokens) = Site::start(storage);
    check_tokens(&site);
    check_images(&site);
    let mut secret = image("sealed", "1");
    secret["registry_password"] = json!("a-word-that-nobody-guesses");
    let pk = site.create(&secret)["pk"].clone();
    let stored = stored(&site);
    let has = |text: &[u8]| stored.windows(text.len()).any(|found| found == text);
    assert!(has(b"sealed") && !has(b"a-word-that-nobody-guesses"));

    let before = site.list(&json!({"include_inactive": true}));
    let mut wharf = site.wharf;
    wharf.kill_and_start_again(Path::new(env!("CARGO_BIN_EXE_wharf-under-test"))).unwrap();
    let site = Site::new(wharf, &tokens);
    assert_eq!(site.list(&json!({"include_inactive": true})), before, "tokens and images outlive the host");
    assert_eq!(check(&site.worker.get(&format!("/ufdl/v1/docker/{pk}")).unwrap(), 200)["registry_password"], "a-word-that-nobody-guesses");
    assert!(site.wharf.stop().unwrap().success());
}

#[track_caller]
fn check_tokens(site: &Site) {
    let client = site.wharf.client();
    let auth = |name: &str, body: Value| client.post_json(&format!("/ufdl/v1/auth/{name}"), &body).unwrap();
    let wrong = auth("obtain", json!({"username": "ann", "password": "wrong"}));
    assert_eq!(check(&wrong, 401)["detail"], "No active account found with the given credentials");
    assert_eq!(check(&auth("obtain", json!({"username": "ann"})), 400), json!({"password": ["This field is required."]}));
    let tokens = obtain(&client, "worker");
    assert_eq!(check(&auth("verify", json!({"token": tokens["access"]})), 200), json!({}));
    let access = check(&auth("refresh", json!({"refresh": tokens["refresh"]})), 200)["access"].as_str().unwrap().to_owned();
    let refused = auth("refresh", json!({"refresh": access}));
    assert_eq!(check(&refused, 401), json!({"detail": "Token is invalid or expired", "code": "token_not_valid"}));

    let nobody = client.get("/ufdl/v1/docker/1").unwrap();
    assert_eq!(check(&nobody, 401)["detail"], "Authentication credentials were not provided.");
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer realm=\"api\""));
    let with = |credential: &str| client.clone().with_header("authorization", credential).get("/ufdl/v1/docker/1").unwrap();
    assert_eq!(check(&with(&format!("Bearer {access}")), 404), json!({"detail": "Not found."}));
    assert_eq!(check(&with("Bearer nonsense"), 401)["code"], "token_not_valid");
}

#[track_caller]
fn check_images(site: &Site) {
    let created = site.create(&image("yolo", "1"));
    assert_eq!((&created["pk"], &created["creator"], &created["tasks"]), (&json!(1), &json!(1), &json!(["train", "predict"])));
    let refused = site.worker.post_json("/ufdl/v1/docker/create", &image("yolo", "2")).unwrap();
    assert_eq!(check(&refused, 403)["detail"], "You do not have permission to perform this action.");
    let again = site.ann.post_json("/ufdl/v1/docker/create", &image("yolo", "1")).unwrap();
    assert_eq!(check(&again, 400), json!({"non_field_errors": ["The fields name, version must make a unique set."]}));
    assert_eq!(check(&site.worker.get("/ufdl/v1/docker/1/").unwrap(), 200), created);

    let path = "/ufdl/v1/docker/1";
    let changed = check(&send(&site.ann, "PATCH", path, &json!({"tasks": [], "cpu": true, "min_hardware_generation": null})), 200);
    assert_eq!((&changed["tasks"], &changed["min_hardware_generation"], &changed["url"]), (&json!([]), &Value::Null, &created["url"]));
    assert_eq!(check(&send(&site.ann, "PUT", path, &json!({"name": "yolo"})), 400)["version"], json!(["This field is required."]));
    let replaced = check(&send(&site.ann, "PUT", path, &image("yolo", "3")), 200);
    assert_eq!((&replaced["version"], &replaced["cpu"]), (&json!("3"), &json!(true)));

    assert_eq!(check(&site.ann.delete(path).unwrap(), 204), Value::Null);
    assert_eq!(site.list(&Value::Null), json!([]));
    let deleted = site.list(&json!({"include_inactive": true}))[0]["deletion_time"].clone();
    assert!(deleted.is_string());
    assert_eq!(check(&site.ann.delete(path).unwrap(), 204), Value::Null);
    assert_eq!(check(&site.worker.get(path).unwrap(), 200)["deletion_time"], deleted);
    assert_eq!(check(&send(&site.ann, "PATCH", path, &json!({"cpu": true})), 404), json!({"detail": "Not found."}));
    let next = site.create(&image("yolo", "3"));
    assert!(next["pk"].as_i64() > Some(1), "its name and version are free again: {next}");

    for (path, name) in
        [("cuda", "full_version"), ("hardware", "generation"), ("frameworks", "name"), ("domains", "name"), ("licenses", "name")]
    {
        let first = check(&site.worker.get(&format!("/ufdl/v1/{path}/1")).unwrap(), 200);
        let filter = json!({"expressions": [{"type": "exact", "field": name, "value": first[name]}]});
        let found = check(&site.worker.post_json(&format!("/ufdl/v1/{path}/list"), &filter).unwrap(), 200);
        assert_eq!(found[0], first, "{path}");
    }
}

#[test]
fn both_databases_give_the_same_answers() {
    if programs::skip(&[programs::POSTGRES]).unwrap() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let sites = ["", &format!("[storage]\nurl = \"{}\"\n", postgres.url())].map(|storage| Site::start(storage).0);
    let names = ["Zebra", "apple", "Äpfel", "äpfel", "a_b%", "A!b", "O'Neil", "\"; DROP TABLE images; --", "$1", "名前", "𝔘", "a\\b"];
    for (number, name) in names.iter().enumerate() {
        let mut posted = image(name, &number.to_string());
        posted["framework"] = json!(1 + number % 5);
        posted["domain"] = json!(["od", "ic", "sp"][number % 3]);
        posted["tasks"] = json!(["train", "predict", "export"][..number % 4]);
        posted["registry_username"] = [Value::Null, json!("me"), json!("Me")][number % 3].clone();
        for site in &sites {
            site.create(&posted);
        }
    }
    for (expression, order) in questions(&names) {
        let filter = json!({"expressions": expression, "order_by": order});
        let [sqlite, postgres] = sites.each_ref().map(|site| site.worker.post_json("/ufdl/v1/docker/list", &filter).unwrap());
        let pks = |answer: &Response| -> Value {
            let answer: Value = answer.json().unwrap();
            answer.as_array().map_or(answer.clone(), |images| images.iter().map(|image| image["pk"].clone()).collect())
        };
        assert_eq!((sqlite.status, pks(&sqlite)), (postgres.status, pks(&postgres)), "{filter}");
    }
}

/// Expressions and orders: those with the names in them, and those that databases are known to see differently.
fn questions(names: &[&str]) -> Vec<(Value, Value)> {
    let leaf = |kind: &str, field: &str, value: Value| json!({"type": kind, "field": field, "value": value});
    let mut questions = Vec::new();
    for name in names {
        let case_insensitive = json!({"type": "contains", "field": "name", "sub_string": name.to_uppercase(), "case_insensitive": true});
        questions.extend([
            (json!([leaf("exact", "name", json!(name))]), json!([])),
            (json!([leaf("contains", "name", json!(name))]), json!([])),
            (json!([case_insensitive]), json!([])),
            (json!([{"type": "compare", "field": "name", "operator": ">=", "value": name}]), json!([{"field": "name"}])),
        ]);
    }
    for nulls_first in [json!(true), json!(false)] {
        for ascending in [true, false] {
            let order = json!([{"field": "registry_username", "ascending": ascending, "nulls_first": nulls_first}, {"field": "name", "ascending": ascending}]);
            questions.push((json!([]), order));
        }
    }
    for field in ["framework.name", "framework.version", "domain.description", "tasks.name", "cuda_version.version", "creation_time", "cpu"]
    {
        questions.push((json!([{"type": "is_null", "field": field, "invert": true}]), json!([{"field": field}])));
    }
    let either = json!({"type": "or", "invert": true, "sub_expressions": [
        {"type": "exact", "field": "registry_username", "value": "me"},
        {"type": "and", "sub_expressions": [leaf("exact", "tasks.name", json!("train")), leaf("exact", "framework.name", json!("pytorch"))]},
    ]});
    questions.push((json!([either]), json!([])));
    for wrong in
        [leaf("exact", "pk", json!("1; DROP TABLE images")), leaf("exact", "nothing", json!(1)), leaf("exact", "name", json!("a\u{0}b"))]
    {
        questions.push((json!([wrong]), json!([])));
    }
    questions.push((json!([leaf("exact", "pk", json!(u64::MAX))]), json!([])));
    questions
}

#[test]
fn a_filter_of_ten_thousand_terms_and_one_that_is_too_deep_are_refused() {
    let (site, _) = Site::start("");
    for number in 0..3 {
        site.create(&image("yolo", &number.to_string()));
    }
    let terms: Vec<Value> = (0..10_000).map(|pk| json!({"type": "exact", "field": "pk", "value": pk})).collect();
    let filter = json!({"expressions": [{"type": "or", "sub_expressions": terms}]});
    let answer = site.worker.post_json("/ufdl/v1/docker/list", &filter).unwrap();
    assert!(matches!(answer.status, 400 | 413), "{}: {}", answer.status, answer.text().unwrap());
    let leaf = json!({"type": "exact", "field": "pk", "value": 1});
    let mut nested = leaf.clone();
    for _ in 0..100 {
        nested = json!({"type": "or", "sub_expressions": [leaf, nested]});
    }
    check(&site.worker.post_json("/ufdl/v1/docker/list", &json!({"expressions": [nested]})).unwrap(), 400);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = site.worker.send("POST", "/ufdl/v1/docker/list", &[("content-type", "application/json")], deep.as_bytes()).unwrap();
    check(&answer, 400);
    assert_eq!(site.list(&Value::Null).as_array().unwrap().len(), 3);
}
