//! Users of a site as an operator and a client meet them: the binary's commands, and a host that runs meanwhile, on both databases. No engine is needed, so that only what wants PostgreSQL is ever left out.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use wharf_harness::http::{Client, Response};
use wharf_harness::wharf::Wharf;
use wharf_tests::guests::IDENTITY;

use crate::site::{eventually, host};

mod postgres;

/// A site whose `/open` answers everyone, and whose `/closed` does not say.
fn configuration() -> String {
    let plugin = |name: &str, line: &str| {
        format!(
            "[[site.plugin]]\nname = \"{name}\"\nsource = \"{IDENTITY}\"\nmount = \"/{name}\"\n{line}\n\
             [site.plugin.grants.identity]\nallow = [\"principal\", \"sessions\", \"tokens\"]\n"
        )
    };
    format!("[[site]]\nname = \"plant-a\"\n{}{}", plugin("open", "auth = \"plugin\""), plugin("closed", ""))
}

/// Runs the binary in `folder` with `input` as its standard input.
fn wharf(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf-under-test"));
    command.args(arguments).current_dir(folder).env_remove("RUST_LOG").env_remove("DOCKER_HOST");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs `wharf user` for `host`, and checks that what it says contains `said`: on its output if it `succeeds`, else as its error.
#[track_caller]
fn check_user(host: &Wharf, arguments: &[&str], input: &str, succeeds: bool, said: &str) -> String {
    let output = wharf(host.folder(), &[&["user"], arguments].concat(), input);
    let text = String::from_utf8(if succeeds { output.stdout.clone() } else { output.stderr.clone() }).unwrap();
    assert!(output.status.success() == succeeds && text.contains(said), "{arguments:?}: {output:?}");
    text
}

fn call(client: &Client, function: &str, arguments: &Value) -> Response {
    client.post_json(&format!("/open/{function}"), arguments).unwrap()
}

fn status(client: &Client) -> u16 {
    client.get("/closed/whoami").unwrap().status
}

fn login(host: &Wharf, password: &str) -> Response {
    call(&host.client(), "sessions.login", &json!({"name": "ann", "password": password}))
}

/// A client with the session that `answer` began.
#[track_caller]
fn with_session(host: &Wharf, answer: &Response) -> Client {
    let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("no session: {answer:?}"));
    host.client().with_header("cookie", cookie.split(';').next().unwrap())
}

#[test]
fn a_user_in_sqlite_is_added_to_a_running_host_logs_in_and_is_removed() {
    let host = host(&configuration());
    users_come_and_go(&host, || read_all(&host.folder().join("data/storage/plant-a")));
}

/// What a user goes through, whichever database it is in. `database` is all that is in it.
fn users_come_and_go(host: &Wharf, database: impl Fn() -> Vec<u8>) {
    assert_eq!(status(&host.client()), 200, "without users everyone comes in");
    check_user(host, &["list"], "", true, "site `plant-a` has no users");
    check_user(host, &["remove", "ann"], "", false, "has no user `ann`");
    check_user(host, &["add", "ann", "--role", "admin", "--site", "plant-a"], "a long password\n", true, "has the number 1");
    check_user(host, &["add", "ann"], "a long password\n", false, "there is a user `ann` already");
    check_user(host, &["add", "bob"], "short\n", false, "needs 8 or more");
    check_user(host, &["add", "bob"], &"x".repeat(1025), false, "more than 1024 bytes");
    check_user(host, &["add", "bob", "--role", "a b"], "", false, "a role has 1 to 64");
    check_user(host, &["add", "b:b"], "a long password\n", false, "no colon");
    check_user(host, &["add", "bob", "--site", "plant-b"], "", false, "the configuration has `plant-a`");
    let listed = check_user(host, &["list"], "", true, "admin");
    assert_eq!(listed.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(), ["1", "ann", "database", "admin"]);

    eventually("that the site is closed", || status(&host.client()) == 401);
    assert_eq!(login(host, "another password").json().unwrap(), Value::Null);
    for nobody in ["", "ann\0", "' OR 1=1 --", "Ann", "ann "] {
        let arguments = json!({"name": nobody, "password": "a long password"});
        assert_eq!(call(&host.client(), "sessions.login", &arguments).json().unwrap(), Value::Null, "{nobody:?}");
    }
    let answer = login(host, "a long password");
    assert_eq!(answer.json().unwrap()["principal"], json!({"id": 1, "name": "ann", "roles": ["admin"]}));
    let (desk, phone) = (with_session(host, &answer), with_session(host, &answer));
    assert_eq!((status(&desk), status(&phone)), (200, 200));
    let arguments = json!({"name": "ann", "password": "a long password", "requests": [["access", 600]]});
    let token = call(&host.client(), "tokens.login", &arguments).json().unwrap()[0]["text"].as_str().unwrap().to_owned();
    let program = host.client().with_header("authorization", &format!("Bearer {token}"));
    assert_eq!(status(&program), 200);
    assert_eq!(call(&phone, "sessions.logout", &json!({})).status, 200);
    assert_eq!((status(&desk), status(&phone), status(&program)), (401, 401, 200), "logged out on the one is logged out on the other");

    let ids = call(&phone, "principal.users", &json!({"ids": [u64::MAX, 1, 99, i64::MAX]})).json().unwrap();
    assert_eq!(
        (&ids[1]["name"], &ids[0]["error"], &ids[2]["error"], &ids[3]["error"]),
        (&json!("ann"), &json!("not-found"), &json!("not-found"), &json!("not-found"))
    );
    let desk = with_session(host, &login(host, "a long password"));
    check_user(host, &["password", "ann"], "a better password\n", true, "no sessions and tokens");
    assert_eq!((status(&desk), status(&program)), (401, 401), "at once");
    let desk = with_session(host, &login(host, "a better password"));
    check_user(host, &["remove", "ann"], "", false, "--open-site");
    check_user(host, &["add", "bob"], "a long password", true, "has the number 2");
    check_user(host, &["remove", "ann"], "", true, "is removed");
    assert_eq!(status(&desk), 401);
    check_user(host, &["add", "ann"], "a long password", true, "has the number 3");

    let log = host.log();
    for message in ["logged in", "failed to log in", "issued a token", "logged out"] {
        assert!(log.contains(message), "no `{message}` in\n{log}");
    }
    let database = database();
    let session = answer.header("set-cookie").unwrap().split(['=', ';']).nth(1).unwrap().to_owned();
    for secret in ["a long password", "a better password", "another password", &session, &token] {
        assert!(!log.contains(secret), "`{secret}` is in\n{log}");
        assert!(!database.windows(secret.len()).any(|found| found == secret.as_bytes()), "`{secret}` is in the database");
    }
    assert!(database.windows(9).any(|found| found == b"$argon2id"));
}

/// All files of `folder`, one after the other.
fn read_all(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.collect::<Vec<_>>().concat()
}

#[test]
fn a_hash_is_made_for_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let hashed = wharf(folder.path(), &["hash-password"], "a long password\r\n");
    let hash = String::from_utf8(hashed.stdout).unwrap().trim().to_owned();
    assert!(hashed.status.success() && hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    let refused = wharf(folder.path(), &["hash-password"], "");
    assert!(!refused.status.success() && refused.stdout.is_empty());
    let user = format!("[[site]]\nname = \"plant-a\"\n[[site.user]]\nname = \"ann\"\npassword_hash = \"{hash}\"\nroles = [\"admin\"]\n");
    let host = host(&configuration().replace("[[site]]\nname = \"plant-a\"\n", &user));
    assert_eq!(status(&host.client()), 401);
    let basic = host.client().with_header("authorization", "Basic YW5uOmEgbG9uZyBwYXNzd29yZA==");
    assert_eq!(status(&basic), 200);
    let listed = check_user(&host, &["list"], "", true, "ann");
    assert_eq!(listed.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(), ["1", "ann", "configuration", "admin"]);
    for command in ["add", "remove", "password"] {
        check_user(&host, &[command, "ann"], "a long password", false, "is one of the configuration, at");
    }
}

#[test]
fn whoever_guesses_passwords_is_slowed_down() {
    let host = host(&configuration());
    check_user(&host, &["add", "ann"], "a long password", true, "number 1");
    eventually("that the site is closed", || status(&host.client()) == 401);
    let basic = |pair: &str| host.client().with_header("authorization", pair);
    let (right, wrong) = (basic("Basic YW5uOmEgbG9uZyBwYXNzd29yZA=="), basic("Basic YW5uOndyb25n"));
    let mut looked_at = 0;
    for _ in 0..30 {
        looked_at += u32::from(status(&wrong) == 401);
    }
    assert!((5..=8).contains(&looked_at), "{looked_at} of 30 guesses were looked at");
    assert_eq!(status(&right), 429, "not even the right one is");
    eventually("the end of the pause", || status(&right) == 200);
}

#[test]
fn a_site_that_others_can_reach_has_users_or_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let server = "[server]\nlisten = \"0.0.0.0:0\"\nadmin = false\ndata_dir = \"data\"\n";
    std::fs::write(folder.path().join("wharf.toml"), format!("{server}{}", configuration())).unwrap();
    for command in ["serve", "check"] {
        let output = wharf(folder.path(), &[command], "");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in ["wharf.toml:2:10: `listen`", "site `plant-a` has no users", "wharf user add NAME --site plant-a", "auth = \"none\""] {
            assert!(said.contains(part), "no `{part}` in\n{said}");
        }
    }
    assert!(!folder.path().join("data/storage").exists(), "looking makes nothing");
    let added = wharf(folder.path(), &["user", "add", "ann"], "a long password");
    assert!(added.status.success(), "{added:?}");
    let output = wharf(folder.path(), &["check"], "");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}
