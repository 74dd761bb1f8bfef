//! Storage on both databases: the host's binary, a component that asks, SQLite and a real PostgreSQL server.
//!
//! What a plugin may rely on is one list, [`suite`], which is gone through on each. Then what belongs to one of them, and what is left when the host is killed.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::http::Client;
use wharf_harness::postgres::Postgres;
use wharf_harness::wharf::Wharf;
use wharf_harness::{poll, programs};
use wharf_tests::guests::STORAGE;

use crate::site::{eventually, host};

mod full_disk;
mod kill;
mod suite;

/// What every plugin here may do.
const GRANT: &str = "[site.plugin.grants.storage]\nallow = [\"sql\", \"keyvalue\", \"sealed\"]";

/// A plugin in its space.
#[derive(Clone)]
struct Store {
    client: Client,
    /// Its name, which is also its mount.
    name: String,
}

impl Store {
    fn new(wharf: &Wharf, name: &str) -> Store {
        Store { client: wharf.client(), name: name.to_owned() }
    }

    /// What the component heard of `function`.
    #[track_caller]
    fn ask(&self, function: &str, arguments: &Value) -> Value {
        self.client.post_json(&format!("/{}/{function}", self.name), arguments).unwrap().json().unwrap()
    }

    /// Runs `statements` as the plugin's one migration.
    #[track_caller]
    fn migrate(&self, statements: &[&str]) {
        assert_eq!(self.ask("sql.migrate", &json!({ "migrations": [statements] })), 1);
    }

    /// Carries out a statement; how many rows it has changed, or the error.
    #[track_caller]
    fn run(&self, sql: &str, parameters: &Value) -> Value {
        let answer = self.ask("sql.execute", &json!({ "statements": [[sql, parameters]] }));
        answer.get(0).cloned().unwrap_or(answer)
    }

    #[track_caller]
    fn query(&self, sql: &str, parameters: &Value) -> Value {
        self.ask("sql.query", &json!({ "sql": sql, "parameters": parameters, "limit": 100 }))
    }

    /// Checks the rows of a question.
    #[track_caller]
    fn check(&self, sql: &str, expected: &Value) {
        assert_eq!(self.query(sql, &json!([])), *expected, "{}: {sql}", self.name);
    }

    /// Checks the only column of the rows.
    #[track_caller]
    fn check_column(&self, sql: &str, expected: &[Value]) {
        self.check(sql, &expected.iter().map(|value| json!([value])).collect());
    }

    /// Checks the word of an error, and the beginning of what it says.
    #[track_caller]
    fn check_error(&self, answer: &Value, word: &str, reason: &str) {
        let said = answer["reason"].as_str().unwrap_or_default();
        assert!(answer["error"] == word && said.starts_with(reason), "{}: {answer}, expected {word}: {reason}", self.name);
    }
}

/// A `[[site]]` with a plugin for each of `names`, of which each is one's mount too.
fn site(names: &[&str], grant: &str) -> String {
    let plugin = |name: &&str| {
        format!(
            "[[site.plugin]]\nname = \"{name}\"\nsource = \"{STORAGE}\"\nmount = \"/{name}\"\nlimits = {{ cpu_ms = 20000, deadline_ms = 60000 }}\n{grant}\n"
        )
    };
    format!("[[site]]\nname = \"plant-a\"\n{}", names.iter().map(plugin).collect::<String>())
}

fn left_out() -> bool {
    programs::skip(&[programs::POSTGRES]).unwrap()
}

/// `[storage]` with `postgres`.
fn on(postgres: &Postgres) -> String {
    format!("[storage]\nurl = \"{}\"\n", postgres.url())
}

#[test]
fn sqlite_keeps_to_the_contract() {
    suite::go_through("[storage]\n");
}

#[test]
fn postgres_keeps_to_the_contract() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    suite::go_through(&on(&postgres));
}

/// Two plugins of one host, two sites, and two hosts: each has a space of its own, but for the same plugin of the same site on two hosts, which is what sharing a database is for.
#[test]
fn hosts_that_share_a_database_share_spaces_and_have_one_writer_at_a_time() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "0123456789abcdef0123456789abcdef").unwrap();
    let storage = format!("{}seal_key = {{ secret_file = \"{}\" }}\n", on(&postgres), key.path().display());
    let configuration = format!("{storage}{}", site(&["one", "two"], GRANT));
    let hosts = [host(&configuration), host(&configuration)];
    let [first, second] = hosts.each_ref().map(|wharf| Store::new(wharf, "one"));
    first.migrate(&["CREATE TABLE counters (name TEXT PRIMARY KEY, n BIGINT NOT NULL)", "INSERT INTO counters (name, n) VALUES ('a', 0)"]);
    assert_eq!(second.ask("sql.migrate", &json!({ "migrations": [["CREATE TABLE other (x TEXT)"]] }))["error"], "invalid");
    let add = json!({ "steps": [{ "query": ["SELECT n FROM counters", []] }, { "compute": 5 }, { "execute": ["UPDATE counters SET n = n + 1", []] }, "commit"] });
    std::thread::scope(|scope| {
        for store in [&first, &second] {
            let add = &add;
            scope.spawn(move || (0..10).for_each(|_| assert_eq!(store.ask("transaction", add)[3], "kept")));
        }
    });
    first.check_column("SELECT n FROM counters", &[json!(20)]);
    let sealed = first.ask("sealed.seal", &json!({ "text": "secret" }));
    assert_eq!(second.ask("sealed.open", &json!({ "bytes": sealed })), "secret");
    let neighbour = Store::new(&hosts[0], "two");
    neighbour.check_error(&neighbour.query("SELECT n FROM counters", &json!([])), "invalid", "");
    neighbour.check_error(&neighbour.ask("sealed.open", &json!({ "bytes": sealed })), "invalid", "it was not sealed for this plugin");
    // Whatever a statement could say, the role is not let into another's schema.
    let spaces = postgres.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'wharf\\_%' ORDER BY nspname").unwrap();
    let [one, two] = spaces.lines().collect::<Vec<_>>()[..] else { panic!("{spaces}") };
    let powers = format!(
        "SELECT has_schema_privilege('{two}', '{one}', 'USAGE'), pg_has_role('{two}', '{one}', 'MEMBER'), rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = '{two}'"
    );
    assert_eq!(postgres.ask(&powers).unwrap().trim(), "f|f|f");
}

/// A host with another seal key would lock out the one before.
#[test]
fn a_host_with_another_seal_key_is_told_so() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let configuration = format!("{}{}", on(&postgres), site(&["one"], GRANT));
    let first = host(&configuration);
    assert_eq!(Store::new(&first, "one").ask("keyvalue.increment", &json!({ "key": "n", "by": 1 })), 1);
    let second = host(&configuration);
    let store = Store::new(&second, "one");
    store.check_error(
        &store.ask("keyvalue.increment", &json!({ "key": "n", "by": 1 })),
        "unavailable",
        "the database `wharf` was used with another seal key",
    );
    assert_eq!(Store::new(&first, "one").ask("keyvalue.increment", &json!({ "key": "n", "by": 1 })), 2, "and the first goes on");
}

/// The database goes away and comes back, and hangs.
#[test]
fn a_database_that_is_away_is_an_answer_and_found_again() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let wharf = host(&format!("{}{}", on(&postgres), site(&["one"], GRANT)));
    let store = Store::new(&wharf, "one");
    store.migrate(&["CREATE TABLE t (x BIGINT)"]);
    // As a failover does: every connection is cut.
    postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'wharf %'").unwrap();
    let answered =
        poll(Duration::from_secs(10), || Ok((store.run("INSERT INTO t (x) VALUES (1)", &json!([])) == 1).then_some(()))).unwrap();
    assert!(answered.is_some());
    // It takes connections, and says nothing.
    postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'wharf %'").unwrap();
    postgres.pause();
    let answer = store.query("SELECT x FROM t", &json!([]));
    postgres.go_on();
    store.check_error(&answer, "unavailable", "");
    let found = poll(Duration::from_secs(10), || Ok(store.query("SELECT x FROM t", &json!([])).is_array().then_some(()))).unwrap();
    assert!(found.is_some());
}

#[test]
fn a_database_is_reached_over_its_socket_and_its_url_may_be_a_secret() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), postgres.socket_url()).unwrap();
    let storage = format!("[storage]\nurl = {{ secret_file = \"{}\" }}\n", secret.path().display());
    let wharf = host(&format!("{storage}{}", site(&["one"], GRANT)));
    assert_eq!(Store::new(&wharf, "one").ask("keyvalue.increment", &json!({ "key": "n", "by": 3 })), 3);
}

/// Where the connection is encrypted the server's certificate is checked.
#[test]
fn a_database_is_reached_over_tls_if_its_certificate_is_trusted() {
    if left_out() {
        return;
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let postgres = Postgres::start_with_tls(&certificate, &key.serialize_pem()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &certificate).unwrap();
    let asked = |url: &str, trust: &str| {
        let wharf = host(&format!("[storage]\nurl = \"{url}\"\n{trust}\n{}", site(&["one"], GRANT)));
        let answer = wharf.client().post_json("/one/keyvalue.increment", &json!({ "key": "n", "by": 1 })).unwrap();
        (answer, wharf)
    };
    let (secure, trust) = (format!("{}?sslmode=require", postgres.url()), format!("ca_file = \"{}\"", file.path().display()));
    let (answer, wharf) = asked(&secure, &trust);
    assert_eq!(answer.json().unwrap(), 1);
    let encrypted =
        "SELECT bool_and(ssl), count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'wharf%'";
    assert_eq!(postgres.ask(encrypted).unwrap().trim(), "t|t");
    drop(wharf);
    // Nobody knows the issuer; and the certificate is of another name.
    for (url, trust) in [(&secure, ""), (&secure.replace("127.0.0.1", "localhost"), trust.as_str())] {
        let (answer, wharf) = asked(url, trust);
        assert_eq!(answer.status, 503, "who has users cannot be seen either");
        eventually("that the log says why", || {
            let log = wharf.log();
            log.contains("failed to connect to the database") && log.contains("certificate")
        });
    }
    assert_eq!(postgres.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'wharf%'").unwrap().trim(), "0");
}

/// The wasm-side of [`Store`] for a host that is started again and again.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_wharf-under-test"))
}
