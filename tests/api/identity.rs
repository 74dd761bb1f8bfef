//! The capability `identity` from inside a component, and what the host does with credentials before one is called.
//!
//! Each test has users of its own, in a data directory of its own. The rules for each credential are in the tests of `http/auth.rs`; here is what it comes to on the wire.

use std::path::Path;

use serde_json::{Value, json};
use wharf_harness::http::{Client, Response};

use crate::in_process::{InProcess, eventually, host, host_with_data, lines_of, one_plugin, plugin, whole_log};
use wharf_tests::guests::{CONFIG, IDENTITY};

/// The hashes of `ann's password` and `bob's password`, at little cost.
const USERS: &str = r#"[[site.user]]
name = "ann"
password_hash = "$argon2id$v=19$m=16,t=1,p=1$nHyWm9qpmoK8JQVs0UNmdw$MGDra0P2YqeHQj1xKGBFYc/mJH6QJJ1rEkABrgUuiV0"
roles = ["admin"]
[[site.user]]
name = "bob"
password_hash = "$argon2id$v=19$m=16,t=1,p=1$nUNGOEaXtXuZOhyK+y8/eA$9E3EnR6etBC3w48QJrgDykWgz9hm6mO8Y0cm1GGxIlI"
"#;

const GRANT: &str = "[site.plugin.grants.identity]\nallow = [\"principal\", \"sessions\", \"tokens\"]\n";

/// `ann:ann's password`, and a wrong one.
const BASIC: &str = "Basic YW5uOmFubidzIHBhc3N3b3Jk";
const WRONG: &str = "Basic YW5uOndyb25n";

/// A site with users, and mounts of each kind: `/required`, `/optional`, `/plugin`, and `/default`, which does not say.
fn mounts() -> String {
    let mount = |auth: &str, line: &str| plugin(auth, IDENTITY, &format!("/{auth}"), &format!("{line}\n{GRANT}"));
    let said = ["required", "optional", "plugin"].map(|auth| mount(auth, &format!("auth = \"{auth}\""))).concat();
    format!("[[site]]\nname = \"test\"\ntrusted_origins = [\"https://console.example\"]\n{USERS}{said}{}", mount("default", ""))
}

fn with_users(data_dir: &Path) -> InProcess {
    host_with_data(data_dir, &mounts())
}

fn call(client: &Client, function: &str, arguments: &Value) -> (Response, Value) {
    let response = client.post_json(&format!("/plugin/{function}"), arguments).unwrap();
    let json = response.json().unwrap();
    (response, json)
}

/// Logs ann in, and answers the cookie.
#[track_caller]
fn login(client: &Client) -> String {
    let (response, session) = call(client, "sessions.login", &json!({"name": "ann", "password": "ann's password"}));
    assert_eq!(session["principal"], json!({"id": 1, "name": "ann", "roles": ["admin"]}));
    let cookie = response.header("set-cookie").unwrap().to_owned();
    let (_, attributes) = cookie.split_once("; Path=/; Max-Age=").unwrap();
    let (lifetime, attributes) = attributes.split_once(';').unwrap();
    // Less than twelve hours by as much as the login has taken.
    assert!((43_140..=43_200).contains(&lifetime.parse::<u32>().unwrap()) && attributes == " HttpOnly; SameSite=Lax", "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

/// Who the plugin at `mount` says that the client is, or the status.
#[track_caller]
fn check(client: &Client, mount: &str, who: &Value) {
    let response = client.get(&format!("{mount}/whoami")).unwrap();
    let found = if response.status == 200 { response.json().unwrap()["who"].clone() } else { json!(response.status) };
    assert_eq!(found, *who, "at `{mount}`");
}

#[test]
fn a_mount_lets_in_whom_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let host = with_users(folder.path());
    let ann = json!({"id": 1, "name": "ann", "roles": ["admin"]});
    let as_is = host.client();
    let field = |value: &str| as_is.clone().with_header("authorization", value);
    let expired = format!("wharf-session-test={}", "A".repeat(43));
    for (client, expected) in [
        (as_is.clone(), [json!(401), json!(401), json!("anonymous"), json!("anonymous")]),
        (field(BASIC), [&ann; 4].map(Clone::clone)),
        (field(WRONG), [json!(401), json!(401), json!(401), json!({"rejected": "basic"})]),
        (field("Bearer x"), [json!(401), json!(401), json!(401), json!({"rejected": "bearer"})]),
        (as_is.clone().with_header("cookie", &expired), [json!(401), json!(401), json!("anonymous"), json!({"rejected": "cookie"})]),
        (as_is.clone().with_header("cookie", &login(&as_is)), [&ann; 4].map(Clone::clone)),
    ] {
        for (mount, who) in ["/default", "/required", "/optional", "/plugin"].into_iter().zip(&expected) {
            check(&client, mount, who);
        }
    }
    let refused = as_is.get("/required/whoami").unwrap();
    let challenges: Vec<&str> = refused.headers.get_all("www-authenticate").iter().map(|field| field.to_str().unwrap()).collect();
    assert_eq!(challenges, ["Bearer realm=\"test\"", "Basic realm=\"test\", charset=\"UTF-8\""]);
    let problem = refused.json().unwrap();
    assert_eq!((refused.header("content-type"), &problem["status"]), (Some("application/problem+json"), &json!(401)));
    assert_eq!(problem["request_id"].as_str(), refused.header("x-request-id"));
}

#[test]
fn a_session_lasts_until_it_is_ended_on_any_host() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (with_users(folder.path()), with_users(folder.path()));
    let (_, failed) = call(&one.client(), "sessions.login", &json!({"name": "ann", "password": "wrong"}));
    assert_eq!(failed, Value::Null);
    let cookie = login(&one.client());
    let [client, at_other] = [&one, &other].map(|host| host.client().with_header("cookie", &cookie));
    check(&at_other, "/required", &json!({"id": 1, "name": "ann", "roles": ["admin"]}));
    let (_, refreshed) = call(&at_other, "sessions.refresh", &json!({}));
    assert_eq!(refreshed["principal"]["name"], "ann");
    let (response, ended) = call(&at_other, "sessions.logout", &json!({}));
    assert_eq!(ended["principal"]["name"], "ann");
    assert_eq!(response.header("set-cookie"), Some("wharf-session-test=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
    check(&client, "/required", &json!(401));
    assert_eq!(call(&client, "sessions.logout", &json!({})).1["error"], "not-found");
    assert_eq!(call(&other.client(), "sessions.refresh", &json!({})).1["error"], "not-found", "it came with none");
}

#[test]
fn a_token_is_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let host = with_users(folder.path());
    let client = host.client();
    let arguments = json!({"name": "bob", "password": "bob's password", "requests": [["access", 600], ["refresh", 6000]]});
    let (_, tokens) = call(&client, "tokens.login", &arguments);
    let text = |index: usize| tokens[index]["text"].as_str().unwrap().to_owned();
    let bearer = |text: &str| client.clone().with_header("authorization", &format!("Bearer {text}"));
    let bob = json!({"id": 2, "name": "bob", "roles": []});
    check(&bearer(&text(0)), "/required", &bob);
    check(&bearer(&text(1)), "/required", &json!(401));
    let (_, info) = call(&client, "tokens.verify", &json!({"token": text(1)}));
    assert_eq!((&info["principal"], &info["kind"]), (&bob, &json!("refresh")));
    let (_, next) = call(&client, "tokens.exchange", &json!({"token": text(1), "kind": "refresh", "requests": [["access", 60]]}));
    check(&bearer(next["text"].as_str().unwrap()), "/required", &bob);
    assert_eq!(call(&client, "tokens.exchange", &json!({"token": text(1), "kind": "access"})).1["error"], "not-found");
    assert_eq!(call(&client, "tokens.revoke", &json!({"token": text(0)})).1, Value::Null);
    check(&bearer(&text(0)), "/required", &json!(401));
    assert_eq!(call(&client, "tokens.verify", &json!({"token": text(0)})).1["error"], "not-found");
    let (_, users) = call(&client, "principal.users", &json!({"ids": [2, 3, 1]}));
    assert_eq!((&users[0], &users[1]["error"], &users[2]["name"]), (&bob, &json!("not-found"), &json!("ann")));
    assert_eq!(call(&client, "principal.has-users", &json!({})).1, json!(true));
}

#[test]
fn who_asks_belongs_to_the_request_and_never_to_the_instance() {
    let folder = tempfile::tempdir().unwrap();
    let host = with_users(folder.path());
    let (ann, nobody) = (host.client().with_header("authorization", BASIC), host.client());
    for _ in 0..20 {
        check(&ann, "/optional", &json!({"id": 1, "name": "ann", "roles": ["admin"]}));
        check(&nobody, "/optional", &json!("anonymous"));
    }
    assert_eq!(host.plugin("optional")["idle_instances"], 1, "one instance has answered them all");
}

#[test]
fn a_page_of_another_origin_changes_nothing_and_logs_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let host = with_users(folder.path());
    let client = host.client().with_header("cookie", &login(&host.client()));
    let post = |client: &Client, fields: &[(&str, &str)]| client.send("POST", "/required/whoami", fields, b"{}").unwrap().status;
    let evil = ("origin", "http://evil.example");
    assert_eq!(post(&client, &[]), 200, "as curl sends it");
    assert_eq!(post(&client, &[evil]), 403);
    assert_eq!(post(&client, &[("sec-fetch-site", "cross-site")]), 403);
    assert_eq!(post(&client, &[("sec-fetch-site", "same-origin")]), 200);
    assert_eq!(post(&client, &[("origin", "https://console.example"), ("sec-fetch-site", "cross-site")]), 200);
    assert_eq!(client.send("GET", "/required/whoami", &[evil], &[]).unwrap().status, 200);
    let password = json!({"name": "ann", "password": "ann's password"}).to_string();
    let login = |fields: &[(&str, &str)]| host.client().send("POST", "/plugin/sessions.login", fields, password.as_bytes()).unwrap();
    let refused = login(&[("x-request-id", "login-csrf"), evil]);
    assert_eq!((refused.json().unwrap()["error"].as_str(), refused.header("set-cookie")), (Some("denied"), None));
    assert!(login(&[("sec-fetch-site", "same-origin")]).header("set-cookie").is_some());
    let said = lines_of("login-csrf").into_iter().find(|line| line["target"] == "audit").unwrap();
    assert!(said["fields"]["remedy"].as_str().unwrap().contains("trusted_origins"), "{said}");
}

#[test]
fn a_plugin_sees_neither_passwords_nor_sessions_and_the_log_says_who_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let host = with_users(folder.path());
    let shown = |client: &Client| client.get("/plugin/whoami").unwrap().json().unwrap();
    let basic = shown(&host.client().with_header("authorization", BASIC).with_header("cookie", "a=b"));
    assert_eq!((&basic["authorization"], &basic["cookie"]), (&Value::Null, &json!("a=b")));
    assert_eq!(shown(&host.client().with_header("authorization", WRONG))["authorization"], Value::Null);
    let cookie = login(&host.client());
    assert_eq!(shown(&host.client().with_header("cookie", &cookie))["cookie"], Value::Null);
    assert_eq!(shown(&host.client().with_header("authorization", "Bearer own"))["authorization"], "Bearer own");
    host.client().send("GET", "/required/whoami", &[("x-request-id", "who-was-it"), ("authorization", BASIC)], &[]).unwrap();
    let said = lines_of("who-was-it").into_iter().find(|line| line["fields"]["message"] == "request").unwrap();
    assert_eq!(said["span"]["user"], "ann (1)");
    let log = whole_log();
    assert!(!log.contains("ann's password") && !log.contains(BASIC.trim_start_matches("Basic ")), "a password is in the log");
}

#[test]
fn whoever_tries_many_passwords_waits() {
    let folder = tempfile::tempdir().unwrap();
    let host = with_users(folder.path());
    let asked = |basic: &str| host.client().send("GET", "/required/whoami", &[("authorization", basic)], &[]).unwrap();
    let failed = || host.metric("wharf_logins_total{site=\"test\",outcome=\"failed\"}");
    // After seven the pause is four seconds, long enough for a busy machine to see it.
    eventually("seven failures", || asked(WRONG).status != 200 && failed() >= 7.0);
    let refused = asked(BASIC);
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 4);
    let (_, refused) = call(&host.client(), "sessions.login", &json!({"name": "ann", "password": "ann's password"}));
    assert_eq!(refused["error"], "quota-exceeded");
    let (_, other) = call(&host.client(), "sessions.login", &json!({"name": "bob", "password": "bob's password"}));
    assert_eq!(other["principal"]["name"], "bob", "others do not wait");
    eventually("the end of the pause", || asked(BASIC).status == 200);
    assert_eq!(failed(), 7.0);
    assert!(host.metric("wharf_logins_total{site=\"test\",outcome=\"throttled\"}") >= 2.0);
}

#[test]
fn a_site_without_users_is_open_as_ever_and_has_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let host = host_with_data(folder.path(), &one_plugin(IDENTITY, GRANT));
    let client = host.client().with_header("authorization", BASIC);
    let response = client.send("POST", "/whoami", &[("origin", "http://evil.example")], b"{}").unwrap();
    let shown = response.json().unwrap();
    assert_eq!((&shown["who"], &shown["authorization"]), (&json!("anonymous"), &json!(BASIC)));
    let login = host.call("/sessions.login", &json!({"name": "ann", "password": "x"}));
    assert_eq!((login, host.call("/principal.has-users", &json!({}))), (Value::Null, json!(false)));
    assert!(!folder.path().join("storage").exists());
}

#[test]
fn users_come_and_go_with_a_reload() {
    let open = one_plugin(IDENTITY, GRANT);
    let site = format!("[[site]]\nname = \"{}\"\n", unique("reload"));
    let open = open.replace("[[site]]\nname = \"test\"\n", &site);
    let closed = open.replace(&site, &format!("{site}{USERS}"));
    let host = host(&open);
    check(&host.client(), "", &json!("anonymous"));
    let generation = host.plugin("subject")["generation"].clone();
    assert!(host.reload(&closed).is_empty());
    check(&host.client(), "", &json!(401));
    assert_eq!(host.plugin("subject")["generation"], generation, "the plugin goes on");
    assert!(host.reload(&closed.replace("mount = \"/\"", "mount = \"/\"\nauth = \"optional\"")).is_empty());
    check(&host.client(), "", &json!("anonymous"));
    assert_eq!(host.call("/principal.has-users", &json!({})), json!(true));
    assert!(host.reload(&open).is_empty());
    assert_eq!(host.call("/principal.has-users", &json!({})), json!(false));
}

/// A name that no earlier run of the tests has used.
fn unique(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{name}-{}-{}", std::process::id(), now.as_nanos())
}

#[test]
fn a_component_is_not_loaded_without_a_grant_for_each_interface() {
    let host = host(&one_plugin(IDENTITY, "[site.plugin.grants.identity]\nallow = [\"principal\"]"));
    let reason = host.plugin("subject")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("`wharf:identity/sessions`") && !reason.contains("principal`"), "{reason}");
    assert!(reason.contains("[site.plugin.grants.identity]") && reason.contains("\"tokens\""), "{reason}");
    // One that asks for nothing of it needs nothing.
    let other = crate::in_process::host(&one_plugin(CONFIG, ""));
    assert_eq!(other.plugin("subject")["state"], "loaded");
}
