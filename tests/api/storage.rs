//! The capability `storage` from inside a component, on SQLite: what the grant keeps from it, whose space it is, and what a reload and a restart leave.
//!
//! What it may rely on is gone through in `e2e`, on both databases.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::in_process::{InProcess, host, plugin};
use wharf_tests::guests::STORAGE;

const ALL: &str = "[site.plugin.grants.storage]\nallow = [\"sql\", \"keyvalue\", \"sealed\"]";

/// A name for a site that no other test has: they share a data directory.
fn fresh() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("storage-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn site(name: &str, hosts: &str, plugins: &str) -> String {
    format!("[[site]]\nname = \"{name}\"\n{hosts}\n{plugins}\n")
}

/// A plugin at the mount that is its name.
fn store(name: &str) -> String {
    plugin(name, STORAGE, &format!("/{name}"), ALL)
}

fn set(host: &InProcess, plugin: &str, value: &str) -> Value {
    host.call(&format!("/{plugin}/keyvalue.set"), &json!({ "entries": [["k", value]] }))
}

fn get(host: &InProcess, plugin: &str) -> Value {
    host.call(&format!("/{plugin}/keyvalue.get"), &json!({ "keys": ["k"] }))
}

#[test]
fn a_component_is_not_loaded_without_a_grant_for_each_interface() {
    let grant = "[site.plugin.grants.storage]\nallow = [\"sql\", \"sealed\"]";
    let host = host(&site(&fresh(), "", &plugin("one", STORAGE, "/", grant)));
    let reason = host.plugin("one")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("imports `wharf:storage/keyvalue` without a grant"), "{reason}");
    assert!(reason.contains("[site.plugin.grants.storage]") && reason.contains("\"keyvalue\""), "{reason}");
}

#[test]
fn plugins_and_sites_have_spaces_of_their_own() {
    let (first, second) = (fresh(), fresh());
    let plugins = [store("one"), store("two")].concat();
    let host = host(&[site(&first, "", &plugins), site(&second, "hosts = [\"b.local\"]", &plugins)].concat());
    let elsewhere = host.client().with_header("host", "b.local");
    let migrate = json!({ "migrations": [["CREATE TABLE t (x TEXT)", "INSERT INTO t (x) VALUES ('mine')"]] });
    assert_eq!(set(&host, "one", "mine"), "done");
    assert_eq!(host.call("/one/sql.migrate", &migrate), 1);
    let sealed = host.call("/one/sealed.seal", &json!({ "text": "mine" }));
    let question = json!({ "sql": "SELECT x FROM t", "limit": 9 });
    let ask_elsewhere =
        |function: &str, arguments: &Value| elsewhere.post_json(&format!("/one/{function}"), arguments).unwrap().json().unwrap();
    assert_eq!((get(&host, "one"), get(&host, "two")), (json!(["mine"]), json!([null])));
    assert_eq!(ask_elsewhere("keyvalue.get", &json!({ "keys": ["k"] })), json!([null]));
    assert_eq!(host.call("/one/sql.query", &question), json!([["mine"]]));
    assert_eq!(
        (host.call("/two/sql.query", &question)["error"].clone(), ask_elsewhere("sql.query", &question)["error"].clone()),
        (json!("invalid"), json!("invalid"))
    );
    assert_eq!(host.call("/one/sealed.open", &json!({ "bytes": sealed })), "mine");
    assert_eq!(host.call("/two/sealed.open", &json!({ "bytes": sealed }))["error"], "invalid");
    assert_eq!(ask_elsewhere("sealed.open", &json!({ "bytes": sealed }))["error"], "invalid");
}

#[test]
fn what_is_kept_is_there_after_a_reload_and_after_a_stop() {
    let name = fresh();
    let configuration = site(&name, "", &store("one"));
    let first = host(&configuration);
    assert_eq!(set(&first, "one", "kept"), "done");
    // Another limit is another generation, in the same space.
    let generation = |host: &InProcess| host.plugin("one")["generation"].as_u64().unwrap();
    let before = generation(&first);
    assert!(first.reload(&format!("[storage]\ntransaction_ms = 500\n{configuration}")).is_empty());
    assert_eq!((generation(&first), get(&first, "one")), (before, json!(["kept"])), "nothing has changed for the plugin");
    assert!(first.reload(&configuration.replace("mount = \"/one\"", "mount = \"/one\"\nlimits = { host_calls = 99 }")).is_empty());
    assert_eq!((generation(&first), get(&first, "one")), (before + 1, json!(["kept"])));
    first.stop();
    assert_eq!(get(&host(&configuration), "one"), json!(["kept"]));
}

#[test]
fn host_calls_are_counted_and_handles_end_with_the_request() {
    let limited = format!("limits = {{ host_calls = 5 }}\n{ALL}");
    let host = host(&site(&fresh(), "", &plugin("one", STORAGE, "/one", &limited)));
    let add = |times: u64| host.call("/one/keyvalue.increment", &json!({ "key": "n", "by": 1, "times": times }));
    assert_eq!((add(5), add(9)["error"].clone()), (json!(5), json!("quota-exceeded")));
    // A transaction that is left open is undone at the end of its request.
    assert_eq!(host.call("/one/sql.migrate", &json!({ "migrations": [["CREATE TABLE t (x BIGINT)"]] })), 1);
    let left = json!({ "steps": [{ "execute": ["INSERT INTO t (x) VALUES (1)", []] }] });
    assert_eq!(host.call("/one/transaction", &left), json!([[1]]));
    assert_eq!(host.call("/one/sql.query", &json!({ "sql": "SELECT count(*) FROM t", "limit": 1 })), json!([[0]]));
}

#[test]
fn a_client_that_goes_away_in_a_transaction_holds_up_nobody() {
    let host = host(&format!("[storage]\ntransaction_ms = 60000\n{}", site(&fresh(), "", &store("one"))));
    assert_eq!(host.call("/one/sql.migrate", &json!({ "migrations": [["CREATE TABLE t (x BIGINT)"]] })), 1);
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT count(*) FROM n";
    let steps = json!({ "steps": [{ "execute": ["INSERT INTO t (x) VALUES (1)", []] }, { "query": [endless, []] }, { "query": [endless, []] }, { "query": [endless, []] }, "commit"] });
    let impatient = host.client().with_patience(std::time::Duration::from_millis(300));
    assert!(impatient.post_json("/one/transaction", &steps).is_err());
    assert_eq!(host.call("/one/sql.execute", &json!({ "statements": [["INSERT INTO t (x) VALUES (2)", []]] })), json!([1]));
    assert_eq!(host.call("/one/sql.query", &json!({ "sql": "SELECT x FROM t", "limit": 9 })), json!([[2]]));
}

#[test]
fn a_database_that_is_not_there_is_an_answer_and_keeps_nobody_from_being_served() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    // The configuration has a user, so that it is known without the database that the site has some.
    let user = "[[site.user]]\nname = \"ann\"\npassword_hash = \"$argon2id$v=19$m=16,t=1,p=1$nHyWm9qpmoK8JQVs0UNmdw$MGDra0P2YqeHQj1xKGBFYc/mJH6QJJ1rEkABrgUuiV0\"";
    let open = plugin("one", STORAGE, "/one", &format!("auth = \"optional\"\n{ALL}"));
    let host = host(&format!("[storage]\nurl = \"postgres://wharf:secret@{address}/wharf\"\n{}", site(&fresh(), user, &open)));
    let answer = get(&host, "one");
    assert!(answer["error"] == "unavailable" && !answer["reason"].as_str().unwrap().contains("secret"), "{answer}");
}
