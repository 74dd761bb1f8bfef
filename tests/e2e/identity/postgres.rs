//! Users in PostgreSQL: those of all hosts of a site, and nobody's where the database does not answer.

use std::io::Write as _;

use serde_json::{Value, json};
use wharf_harness::postgres::Postgres;
use wharf_harness::programs;
use wharf_harness::wharf::Wharf;
use wharf_tests::guests::STORAGE;

use super::{call, check_user, configuration, eventually, host, login, status, users_come_and_go, wharf, with_session};

fn left_out() -> bool {
    programs::skip(&[programs::POSTGRES]).unwrap()
}

/// The site with its users in `postgres`, and `further` lines of `[storage]`.
fn shared(postgres: &Postgres) -> String {
    format!("[storage]\nurl = \"{}\"\n{}", postgres.url(), configuration())
}

/// The schema of the users of the only site that has some.
#[track_caller]
fn schema(postgres: &Postgres) -> String {
    let schemas = postgres.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'wharf\\_users\\_%'").unwrap();
    let [schema] = schemas.lines().collect::<Vec<_>>()[..] else { panic!("{schemas}") };
    schema.to_owned()
}

#[test]
fn a_user_in_postgres_is_added_to_a_running_host_logs_in_and_is_removed() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let host = host(&shared(&postgres));
    users_come_and_go(&host, || {
        let schema = schema(&postgres);
        let of = |table: &str| postgres.ask(&format!("SELECT row_to_json(t)::text, t::text FROM {schema}.{table} AS t")).unwrap();
        [of("users"), of("credentials")].concat().into_bytes()
    });
    assert!(!host.folder().join("data/storage").exists(), "all of it is in PostgreSQL, and none of it needs the host's key");
}

/// What one host begins the other knows, and what the one ends is at an end on the other.
#[test]
fn hosts_that_share_a_database_share_users_sessions_and_tokens() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let storage = format!(
        "[[site.plugin]]\nname = \"store\"\nsource = \"{STORAGE}\"\nmount = \"/store\"\nauth = \"plugin\"\n\
         [site.plugin.grants.storage]\nallow = [\"sql\", \"keyvalue\", \"sealed\"]\n"
    );
    let (one, other) = (host(&format!("{}{storage}", shared(&postgres))), host(&shared(&postgres)));
    assert_eq!((status(&one.client()), status(&other.client())), (200, 200), "without users everyone comes in");
    check_user(&one, &["add", "ann", "--role", "admin"], "a long password", true, "has the number 1");
    check_user(&other, &["add", "ann"], "a long password", false, "there is a user `ann` already");
    let listed = check_user(&other, &["list"], "", true, "ann");
    assert_eq!(listed.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(), ["1", "ann", "database", "admin"]);
    eventually("that both are closed", || (status(&one.client()), status(&other.client())) == (401, 401));

    let answer = login(&one, "a long password");
    let (at_one, at_other) = (with_session(&one, &answer), with_session(&other, &answer));
    assert_eq!((status(&at_one), status(&at_other)), (200, 200));
    assert_eq!(call(&at_other, "sessions.refresh", &json!({})).json().unwrap()["principal"]["name"], "ann");
    assert_eq!(call(&at_other, "sessions.logout", &json!({})).json().unwrap()["principal"]["name"], "ann");
    assert_eq!((status(&at_one), status(&at_other)), (401, 401), "at once, and everywhere");

    let requests = json!([["access", 600], ["refresh", 6000]]);
    let tokens =
        call(&one.client(), "tokens.login", &json!({"name": "ann", "password": "a long password", "requests": requests})).json().unwrap();
    let text = |index: usize| tokens[index]["text"].as_str().unwrap().to_owned();
    let program = |host: &Wharf| host.client().with_header("authorization", &format!("Bearer {}", text(0)));
    assert_eq!((status(&program(&one)), status(&program(&other))), (200, 200));
    let exchanged = call(&other.client(), "tokens.exchange", &json!({"token": text(1), "kind": "refresh", "requests": [["access", 60]]}));
    let exchanged = exchanged.json().unwrap()["text"].as_str().unwrap().to_owned();
    assert_eq!(call(&one.client(), "tokens.verify", &json!({"token": exchanged})).json().unwrap()["principal"]["name"], "ann");
    assert_eq!(call(&other.client(), "tokens.revoke", &json!({"token": text(0)})).json().unwrap(), Value::Null);
    assert_eq!(status(&program(&one)), 401);
    check_user(&other, &["password", "ann"], "a better password", true, "no sessions and tokens");
    assert_eq!(call(&one.client(), "tokens.verify", &json!({"token": exchanged})).json().unwrap()["error"], "not-found");

    // A site of another name has its own, and no plugin's role is let into anybody's.
    let apart = host(&shared(&postgres).replace("plant-a", "plant-b"));
    assert_eq!(status(&apart.client()), 200);
    check_user(&apart, &["list"], "", true, "site `plant-b` has no users");
    assert_eq!(one.client().post_json("/store/keyvalue.increment", &json!({"key": "n", "by": 1})).unwrap().json().unwrap(), 1);
    let users = schema(&postgres);
    let role = postgres.ask("SELECT rolname FROM pg_roles WHERE rolname LIKE 'wharf\\_plant%'").unwrap().trim().to_owned();
    let powers = format!(
        "SELECT has_schema_privilege('{role}', '{users}', 'USAGE'), has_table_privilege('{role}', '{users}.users', 'SELECT'), pg_has_role('{role}', 'wharf', 'MEMBER')"
    );
    assert_eq!(postgres.ask(&powers).unwrap().trim(), "f|f|f");
}

/// Several operators at once: one user of a name, and never none at all.
#[test]
fn commands_on_several_hosts_take_turns() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let hosts = [host(&shared(&postgres)), host(&shared(&postgres))];
    let at_once = |arguments: [&[&str]; 2]| {
        std::thread::scope(|scope| {
            let run = |index: usize| {
                let (folder, arguments) = (hosts[index].folder(), arguments[index]);
                scope.spawn(move || wharf(folder, arguments, "a long password").status.success())
            };
            [0, 1].map(run).map(|thread| thread.join().unwrap()).into_iter().filter(|succeeded| *succeeded).count()
        })
    };
    for name in ["ann", "bob", "eve"] {
        assert_eq!(at_once([&["user", "add", name], &["user", "add", name]]), 1, "{name}");
    }
    check_user(&hosts[0], &["remove", "eve"], "", true, "is removed");
    assert_eq!(at_once([&["user", "remove", "ann"], &["user", "remove", "bob"]]), 1, "the last one stays");
}

/// Nobody fills the disk with sessions, and those that have expired go.
#[test]
fn sessions_in_postgres_have_a_bound_and_are_swept() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let host = host(&shared(&postgres));
    for name in ["ann", "bob"] {
        check_user(&host, &["add", name], "a long password", true, "has the number");
    }
    let credentials = format!("{}.credentials", schema(&postgres));
    let fill = |user: u32, keys: &str, expires: &str| {
        let sql = format!(
            "INSERT INTO {credentials} SELECT sha256(('{user} ' || n)::bytea), 'a session', {user}, '\\x00', 1, {expires} FROM generate_series({keys}) AS n"
        );
        postgres.ask(&sql).unwrap();
    };
    fill(1, "1, 10000", "9000000000000 + n");
    fill(2, "1, 50", "n");
    let count = |condition: &str| postgres.ask(&format!("SELECT count(*) FROM {credentials} WHERE {condition}")).unwrap().trim().to_owned();
    assert_eq!((count("user_id = 1"), count("user_id = 2")), ("10000".to_owned(), "50".to_owned()));
    let session = with_session(&host, &login(&host, "a long password"));
    assert_eq!(
        (count("user_id = 1"), count("user_id = 2")),
        ("10000".to_owned(), "0".to_owned()),
        "one has made way, and the old are gone"
    );
    assert_eq!(count("expires_ms = 9000000000001"), "0", "it is the one that would have ended first");
    assert_eq!(status(&session), 200);
}

#[test]
fn a_database_that_does_not_answer_lets_nobody_in_and_is_found_again() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let host = host(&shared(&postgres));
    check_user(&host, &["add", "ann"], "a long password", true, "has the number 1");
    eventually("that the site is closed", || status(&host.client()) == 401);
    let session = with_session(&host, &login(&host, "a long password"));
    assert_eq!(status(&session), 200);
    // As a failover does: every connection is cut.
    let cut = || postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wharf users'").unwrap();
    cut();
    eventually("that the session is known again", || status(&session) == 200);
    // It takes connections, and says nothing.
    cut();
    postgres.pause();
    let answers = (status(&session), status(&host.client()));
    postgres.go_on();
    assert_eq!(answers, (503, 401), "a session cannot be looked up, and who has none is still nobody");
    eventually("that the session is known again", || status(&session) == 200);

    // A host that has never seen the database does not take a closed site for an open one.
    let nowhere = configuration().replace("[[site]]", "[storage]\nurl = \"postgres://wharf:secret@127.0.0.1:1/wharf\"\n[[site]]");
    let blind = super::host(&nowhere);
    assert_eq!((status(&blind.client()), blind.client().get("/open/whoami").unwrap().status), (503, 503));
    let said = check_user(&blind, &["add", "ann"], "a long password", false, "the database of users cannot be used");
    let checked = wharf(blind.folder(), &["check"], "");
    let report = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && report.contains("warning: the database of `[storage]` cannot be used"), "{report}");
    for text in [said, report, blind.log()] {
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn a_password_of_the_database_is_read_again_when_it_is_another() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    secret.write_all(postgres.url().as_bytes()).unwrap();
    let storage = format!("[storage]\nurl = {{ secret_file = \"{}\" }}\n", secret.path().display());
    let host = host(&format!("{storage}{}", configuration()));
    check_user(&host, &["add", "ann"], "a long password", true, "has the number 1");
    eventually("that the site is closed", || status(&host.client()) == 401);
    let session = with_session(&host, &login(&host, "a long password"));
    postgres.ask("ALTER ROLE wharf PASSWORD 'another'").unwrap();
    postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wharf users'").unwrap();
    eventually("that the old password is refused", || status(&session) == 503);
    let url = postgres.url();
    let (before, after) = (url.find("wharf:").unwrap() + 6, url.find('@').unwrap());
    std::fs::write(secret.path(), format!("{}another{}", &url[..before], &url[after..])).unwrap();
    eventually("that the new one is used", || status(&session) == 200);
}

#[test]
fn looking_at_a_configuration_makes_nothing_and_says_who_was_left_behind() {
    if left_out() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = "[server]\nlisten = \"0.0.0.0:0\"\nadmin = false\ndata_dir = \"data\"\n";
    let write = |text: &str| std::fs::write(folder.path().join("wharf.toml"), format!("{server}{text}")).unwrap();
    let check = || {
        let output = wharf(folder.path(), &["check"], "");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    write(&shared(&postgres));
    let (code, said) = check();
    assert!(code == Some(1) && said.contains("site `plant-a` has no users"), "{said}");
    assert_eq!(postgres.ask("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'wharf%'").unwrap().trim(), "0");
    assert!(!folder.path().join("data").exists());
    // Users that a site had before are not those that it has now.
    write(&configuration());
    assert!(wharf(folder.path(), &["user", "add", "ann"], "a long password").status.success());
    assert_eq!(check().0, Some(0));
    write(&shared(&postgres));
    assert!(wharf(folder.path(), &["user", "add", "bob"], "a long password").status.success());
    let (code, said) = check();
    assert!(
        code == Some(1) && said.contains("data/storage/plant-a/identity.db` do not count") && said.contains("wharf user add"),
        "{said}"
    );
    std::fs::remove_dir_all(folder.path().join("data/storage/plant-a")).unwrap();
    assert_eq!(check().0, Some(0), "{}", check().1);
}
