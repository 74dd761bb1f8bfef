//! The room on a real SQLite file: what each grant allows, and what is refused before the database is asked. What the database answers is gone through in `e2e`, on both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use wasmtime::component::Resource;

use super::*;
use crate::bindings::wharf::storage::types::Error;
use crate::capability::call::testing::{self, Denials};
use crate::settings::section::read_for_test;

const EVERYTHING: &str = "allow = [\"sql\", \"keyvalue\", \"blobs\", \"sealed\"]";

/// One plugin, in the middle of one request.
struct Plugin {
    room: StorageRoom,
    call: CallContext,
    table: ResourceTable,
    denials: Arc<Denials>,
    _folder: TempDir,
}

impl Plugin {
    #[track_caller]
    fn with(grant: &str) -> Plugin {
        let (grant, mistakes) = read_for_test(grant, StorageGrant::read);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::default();
        storage.configure(&crate::settings::testing::storage(folder.path()));
        let (call, denials) = testing::request("catalog", 1_000);
        let owner = SpaceName { site: "plant".to_owned(), plugin: "catalog".to_owned() };
        Plugin { room: StorageRoom::new(Some(grant), &storage, owner), call, table: ResourceTable::new(), denials, _folder: folder }
    }

    fn storage(&mut self) -> StorageCtxView<'_> {
        StorageCtxView { room: &self.room, call: &mut self.call, table: &mut self.table }
    }
}

const FUNCTIONS: [&str; 18] = [
    "sql.migrate",
    "sql.query",
    "sql.execute",
    "sql.begin",
    "sql.transaction.query",
    "sql.transaction.execute",
    "sql.transaction.commit",
    "sql.transaction.rollback",
    "sql.open",
    "sql.cursor.next",
    "keyvalue.get",
    "keyvalue.set",
    "keyvalue.delete",
    "keyvalue.list",
    "keyvalue.compare-and-set",
    "keyvalue.increment",
    "sealed.seal",
    "sealed.open",
];

fn statement(sql: &str) -> sql::Statement {
    sql::Statement { sql: sql.to_owned(), parameters: Vec::new() }
}

/// What `function` answers to a call that nothing is wrong with.
async fn outcome(plugin: &mut Plugin, function: &str) -> Result<(), Error> {
    use keyvalue::Host as Keyvalue;
    use sealed::Host as Sealed;
    use sql::{Host as Sql, HostCursor, HostTransaction};

    let mut room = plugin.storage();
    match function {
        "sql.migrate" => room.migrate(Vec::new()).await.map(drop),
        "sql.query" => Sql::query(&mut room, statement("SELECT 1"), 1).await.map(drop),
        "sql.execute" => Sql::execute(&mut room, vec![statement("SELECT 1")]).await.map(drop),
        "sql.begin" => room.begin().await.map(drop),
        "sql.open" => Sql::open(&mut room, statement("SELECT 1"), 1).await.map(drop),
        "sql.cursor.next" => {
            let cursor = Sql::open(&mut room, statement("SELECT 1"), 1).await?;
            room.next(cursor, 1).await.map(drop)
        }
        "keyvalue.get" => room.get(vec!["k".to_owned()]).await.map(drop),
        "keyvalue.set" => room.set(vec![keyvalue::Entry { key: "k".to_owned(), value: Vec::new() }]).await,
        "keyvalue.delete" => Keyvalue::delete(&mut room, vec!["k".to_owned()]).await.map(drop),
        "keyvalue.list" => Keyvalue::list(&mut room, String::new(), None, 1).await.map(drop),
        "keyvalue.compare-and-set" => room.compare_and_set("k".to_owned(), None, None).await,
        "keyvalue.increment" => room.increment("k".to_owned(), 1).await.map(drop),
        "sealed.seal" => room.seal(b"x".to_vec()).await.map(drop),
        "sealed.open" => match Sealed::open(&mut room, b"x".to_vec()).await {
            // Nobody has sealed it.
            Err(Error::Invalid(_)) => Ok(()),
            other => other.map(drop),
        },
        of_transaction => {
            let transaction = room.begin().await?;
            match of_transaction {
                "sql.transaction.query" => HostTransaction::query(&mut room, transaction, statement("SELECT 1"), 1).await.map(drop),
                "sql.transaction.execute" => HostTransaction::execute(&mut room, transaction, Vec::new()).await.map(drop),
                "sql.transaction.commit" => room.commit(transaction).await,
                _ => room.rollback(transaction).await,
            }
        }
    }
}

/// The grants of the golden table.
const GRANTS: [(&str, &str); 5] = [
    ("nobody", ""),
    ("tables", "allow = [\"sql\"]"),
    ("values", "allow = [\"keyvalue\"]"),
    ("secrets", "allow = [\"sealed\"]"),
    ("all", EVERYTHING),
];

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how a developer asks for the file to be written anew")]
async fn the_golden_table_is_what_the_grants_allow() {
    let mut table =
        String::from("# What each grant allows: ✔ carried out, ✘ denied, ? another error. Written by the tests of the storage room.\n");
    for function in FUNCTIONS {
        let _ = write!(table, "{:<34}", format!("storage.{function}"));
        for (name, grant) in GRANTS {
            let mark = match outcome(&mut Plugin::with(grant), function).await {
                Ok(()) => '✔',
                Err(Error::Denied) => '✘',
                Err(_) => '?',
            };
            let _ = write!(table, "  {name}:{mark}");
        }
        table.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/storage.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(table, golden, "run the tests with UPDATE_GOLDEN=1 and read the difference of {}", path.display());
}

#[tokio::test]
async fn a_room_without_a_grant_denies_and_makes_nothing() {
    let storage = Storage::default();
    let (call, denials) = testing::request("catalog", 100);
    let room = StorageRoom::new(None, &storage, SpaceName::default());
    let mut plugin = Plugin { room, call, table: ResourceTable::new(), denials, _folder: tempfile::tempdir().unwrap() };
    for function in FUNCTIONS {
        assert!(matches!(outcome(&mut plugin, function).await, Err(Error::Denied)), "{function}");
    }
    assert_eq!(plugin.denials.count(), FUNCTIONS.len());
}

#[tokio::test]
async fn what_is_over_a_limit_is_not_asked_for() {
    let mut plugin = Plugin::with(EVERYTHING);
    let mut room = plugin.storage();
    let invalid = |answer: Result<(), Error>, what: &str| assert!(matches!(answer, Err(Error::Invalid(_))), "{what}: {answer:?}");
    let many = vec![statement("SELECT 1"); MAX_STATEMENTS + 1];
    invalid(sql::Host::execute(&mut room, many).await.map(drop), "statements");
    let migration = sql::Migration { version: 1, name: String::new(), statements: vec![String::new(); MAX_STATEMENTS + 1] };
    invalid(sql::Host::migrate(&mut room, vec![migration]).await.map(drop), "migrations");
    for value in [sql::Value::Real(f64::NAN), sql::Value::Text("a\0b".to_owned())] {
        let statement = sql::Statement { sql: "SELECT $1".to_owned(), parameters: vec![value] };
        invalid(sql::Host::query(&mut room, statement, 1).await.map(drop), "value");
    }
    invalid(keyvalue::Host::get(&mut room, vec!["k".to_owned(); MAX_KEYS + 1]).await.map(drop), "keys");
    invalid(keyvalue::Host::get(&mut room, vec![String::new()]).await.map(drop), "empty key");
    invalid(keyvalue::Host::increment(&mut room, "k".repeat(MAX_KEY_BYTES + 1), 1).await.map(drop), "long key");
    let entry = keyvalue::Entry { key: "k".to_owned(), value: vec![0; MAX_VALUE_BYTES + 1] };
    invalid(keyvalue::Host::set(&mut room, vec![entry]).await, "value");
    invalid(sealed::Host::seal(&mut room, vec![0; MAX_SEALED_BYTES + 1]).await.map(drop), "text");
    assert!(sealed::Host::seal(&mut room, vec![0; MAX_SEALED_BYTES]).await.is_ok());
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_undone_and_lets_the_next_one_begin() {
    use sql::{Host, HostTransaction};

    let mut plugin = Plugin::with(EVERYTHING);
    let mut room = plugin.storage();
    let table = sql::Migration { version: 1, name: String::new(), statements: vec!["CREATE TABLE t (x BIGINT)".to_owned()] };
    assert_eq!(room.migrate(vec![table]).await.unwrap(), 1);
    for _ in 0..3 {
        let transaction = room.begin().await.unwrap();
        let same = Resource::new_borrow(transaction.rep());
        HostTransaction::execute(&mut room, same, vec![statement("INSERT INTO t (x) VALUES (1)")]).await.unwrap();
        HostTransaction::drop(&mut room, transaction).await.unwrap();
    }
    let rows = Host::query(&mut room, statement("SELECT count(*) FROM t"), 1).await.unwrap();
    assert!(matches!(rows.rows[0][0], sql::Value::Integer(0)));
    assert!(plugin.table.is_empty());
}

/// Every interface that is linked by a word is one that the grant knows, and the other way round.
#[test]
fn every_word_of_the_grant_links_an_interface() {
    struct View;
    impl StorageView for View {
        fn storage(&mut self) -> StorageCtxView<'_> {
            unreachable!("nothing is called")
        }
    }
    let (grant, _) = read_for_test(EVERYTHING, StorageGrant::read);
    let words: BTreeMap<&str, bool> =
        interfaces::<View>().iter().filter_map(|interface| interface.power).map(|power| (power, grant.has(power))).collect();
    assert_eq!(words, BTreeMap::from([("blobs", true), ("keyvalue", true), ("sealed", true), ("sql", true)]));
}
