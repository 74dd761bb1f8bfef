//! A disk without room: the answer says so, what was acknowledged stays, nothing is half written, and with room again everything goes on.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use wharf_harness::programs;
use wharf_harness::wharf::Wharf;

use super::{GRANT, Store, binary, site};
use crate::site::{eventually, host};
use crate::small_disk::SmallDisk;

/// A disk of six MiB, of which four are taken until `filler` is removed.
fn nearly_full() -> (SmallDisk, std::path::PathBuf) {
    let disk = SmallDisk::new(6);
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![1; 4 << 20]).unwrap();
    (disk, filler)
}

/// A host whose databases are on `disk`.
fn on(disk: &SmallDisk, names: &[&str]) -> Wharf {
    let wharf = host(&site(names, GRANT));
    symlink(disk.path(), wharf.folder().join("data/storage")).unwrap();
    wharf
}

/// Only root can mount a small disk.
fn left_out() -> bool {
    programs::skip(programs::ENGINE).unwrap()
}

#[track_caller]
fn check_no_room(store: &Store, answer: &Value) {
    store.check_error(answer, "unavailable", "the disk of the database has no room");
}

#[test]
fn a_full_disk_is_an_answer_of_the_database_and_nothing_is_half_written() {
    if left_out() {
        return;
    }
    let (disk, filler) = nearly_full();
    let wharf = on(&disk, &["one"]);
    let store = Store::new(&wharf, "one");
    store.migrate(&["CREATE TABLE t (x TEXT)", "CREATE TABLE pairs (n BIGINT)"]);
    let mut kept = 0;
    let refused = loop {
        // Two in one call: both or none.
        let two = ["INSERT INTO t (x) VALUES ($1)"; 2].map(|sql| json!([sql, [{ "long": 50_000 }]]));
        let answer = store.ask("sql.execute", &json!({ "statements": two }));
        if answer != json!([1, 1]) {
            break answer;
        }
        kept += 2;
        assert!(kept < 200, "it is never full");
    };
    check_no_room(&store, &refused);
    assert!(kept > 2);
    let count = json!([[kept]]);
    store.check("SELECT count(*) FROM t", &count);
    check_no_room(&store, &store.ask("keyvalue.set-large", &json!({ "key": "k", "times": 1 << 20 })));
    assert_eq!(store.ask("keyvalue.get", &json!({ "keys": ["k"] })), json!([null]));
    check_no_room(
        &store,
        &store.ask("sql.migrate", &json!({ "migrations": [["CREATE TABLE t (x TEXT)", "CREATE TABLE pairs (n BIGINT)"], ["CREATE TABLE u (x TEXT)", "INSERT INTO u (x) SELECT x FROM t"]] })),
    );
    store.check_error(&store.query("SELECT x FROM u", &json!([])), "invalid", "");
    // A transaction is kept with all that is in it or not at all, whatever a guest does after an error.
    let small = json!({ "execute": ["INSERT INTO pairs (n) VALUES (1)", []] });
    let large = json!({ "execute": ["INSERT INTO t (x) VALUES ($1)", [{ "long": 900_000 }]] });
    let answers = store.ask("transaction", &json!({ "steps": [small, large, large, large, small, "commit"] }));
    assert_ne!(answers[5], "kept", "{answers}");
    store.check("SELECT count(*) FROM pairs", &json!([[0]]));
    store.check("SELECT count(*) FROM t", &count);

    std::fs::remove_file(filler).unwrap();
    assert_eq!(store.ask("transaction", &json!({ "steps": [small, large, small, "commit"] }))[3], "kept");
    store.check("SELECT (SELECT count(*) FROM pairs), (SELECT count(*) FROM t)", &json!([[2, kept + 1]]));
    assert_eq!(store.ask("keyvalue.set-large", &json!({ "key": "k", "times": 500_000 })), "done");
}

#[test]
fn a_space_and_users_cannot_be_made_on_a_full_disk_and_can_when_there_is_room() {
    if left_out() {
        return;
    }
    let (disk, filler) = nearly_full();
    let wharf = on(&disk, &["one"]);
    let rest = disk.path().join("rest");
    // To the last byte.
    let _ = std::fs::write(&rest, vec![1; 3 << 20]);
    let store = Store::new(&wharf, "one");
    let asked = || store.ask("keyvalue.increment", &json!({ "key": "n", "by": 1 }));
    check_no_room(&store, &asked());
    let add = || add_user(wharf.folder());
    let (succeeded, said) = add();
    assert!(!succeeded && said.contains("the database of users cannot be used"), "{said}");
    std::fs::remove_file(filler).unwrap();
    assert_eq!(asked(), 1);
    let (succeeded, said) = add();
    assert!(succeeded && said.contains("has the number 1"), "{said}");
    eventually("that the site is closed", || wharf.client().post_json("/one/x", &json!({})).unwrap().status == 401);
}

/// Runs `wharf user add` in `folder`: whether it succeeded, and what it said.
fn add_user(folder: &Path) -> (bool, String) {
    let mut command = std::process::Command::new(binary());
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), "a long password").unwrap();
    command.args(["user", "add", "ann"]).current_dir(folder).stdin(password.reopen().unwrap());
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}
