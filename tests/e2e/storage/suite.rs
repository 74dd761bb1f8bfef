//! What a plugin may rely on, whichever database the operator has: the answers are the same, to the letter.
//!
//! Each behaviour has a plugin, and so a space, of its own. Over 500 lines because it is one list, which is read from its beginning to its end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharf_harness::poll;

use super::{GRANT, Store, site};
use crate::site::host;

/// How long a transaction may live here.
const TRANSACTION_MS: u64 = 400;

/// Looks at one thing that storage is to do.
type Behaviour = fn(&Store);

const BEHAVIOURS: [(&str, Behaviour); 19] = [
    ("types", types),
    ("texts", texts),
    ("patterns", patterns),
    ("numbers", numbers),
    ("questions", questions),
    ("conflicts", conflicts),
    ("changes", changes),
    ("counting", counting),
    ("alterations", alterations),
    ("migrations", migrations),
    ("transactions", transactions),
    ("slow", slow_transactions),
    ("turns", turns),
    ("cursors", cursors),
    ("answers", large_answers),
    ("values", values_by_key),
    ("concurrent", concurrent_increments),
    ("refusals", refusals),
    ("sealed", sealed),
];

/// Goes through all behaviours on a host whose `[storage]` begins with `storage`.
pub(super) fn go_through(storage: &str) {
    let names: Vec<&str> = BEHAVIOURS.iter().map(|(name, _)| *name).collect();
    let spaces = site(&names, GRANT);
    let small = format!("{GRANT}\nquota_mib = 2");
    let quota =
        site(&["quota"], &small).replace("plant-a", "plant-b").replace("name = \"plant-b\"", "name = \"plant-b\"\nhosts = [\"b.local\"]");
    let wharf = host(&format!("{storage}transaction_ms = {TRANSACTION_MS}\n{spaces}\n{quota}"));
    for (name, behaviour) in BEHAVIOURS {
        behaviour(&Store::new(&wharf, name));
    }
    let mut full = Store::new(&wharf, "quota");
    full.client = full.client.with_header("host", "b.local");
    quota_is_kept(&full);
}

fn types(store: &Store) {
    store.migrate(&["CREATE TABLE t (id BIGINT PRIMARY KEY, b BOOLEAN, i INTEGER, r DOUBLE PRECISION, t TEXT, y BYTEA)"]);
    let values = json!([1, true, i64::MAX, 1.5, "ä'\\", { "blob": [0, 255] }]);
    assert_eq!(store.run("INSERT INTO t (id, b, i, r, t, y) VALUES ($1, $2, $3, $4, $5, $6)", &values), 1);
    assert_eq!(
        store.run("INSERT INTO t (id, b, i, r, t, y) VALUES ($1, $2, $3, $4, $5, $6)", &json!([2, null, null, null, null, null])),
        1
    );
    assert_eq!(store.run("INSERT INTO t (id, b, r) VALUES (3, FALSE, 2), (4, TRUE, -0.25)", &json!([])), 2);
    store.check(
        "SELECT id, b, i, r, t, y FROM t ORDER BY id",
        &json!([
            [1, true, i64::MAX, 1.5, "ä'\\", { "blob": [0, 255] }],
            [2, null, null, null, null, null],
            [3, false, null, 2.0, null, null],
            [4, true, null, -0.25, null, null]
        ]),
    );
    assert_eq!(store.query("SELECT id FROM t WHERE b = $1 AND r > $2", &json!([true, 1])), json!([[1]]));
    assert_eq!(store.query("SELECT id FROM t WHERE b ORDER BY id DESC", &json!([])), json!([[4], [1]]));
    assert_eq!(store.query("SELECT $1, $2, $3, $4", &json!([7, 1.5, "x", true])), json!([[7, 1.5, "x", true]]));
    assert_eq!(
        store.query("SELECT i = $1, b IS NULL, id IN (1, 2), NOT b FROM t WHERE id = 1", &json!([i64::MAX])),
        json!([[true, false, true, false]])
    );
    assert_eq!(store.query("SELECT id FROM t WHERE y = $1", &json!([{ "blob": [0, 255] }])), json!([[1]]));
    // A value of another kind has no place, unless it can be made one of this kind.
    assert_eq!(store.run("INSERT INTO t (id, i, r, t) VALUES ($1, $2, $3, $4)", &json!([5, 2.0, 3, 1.5])), 1);
    store.check("SELECT i, r, t FROM t WHERE id = 5", &json!([[2, 3.0, "1.5"]]));
    for (column, value) in
        [("i", json!("five")), ("b", json!("yes")), ("t", json!({ "blob": [1] })), ("y", json!(1)), ("r", json!("x")), ("i", json!(1.5))]
    {
        let sql = format!("INSERT INTO t (id, {column}) VALUES (9, $1)");
        store.check_error(&store.run(&sql, &json!([value])), "invalid", "");
    }
}

fn texts(store: &Store) {
    store.migrate(&["CREATE TABLE t (x TEXT UNIQUE, n BIGINT)", "CREATE INDEX t_n ON t (n, x DESC)"]);
    let words = ["b", "B", "a", "Z", "ä", "z", "é", "_", "1", "😀", ""];
    for (number, word) in words.iter().enumerate() {
        assert_eq!(store.run("INSERT INTO t (x, n) VALUES ($1, $2)", &json!([word, number])), 1);
    }
    let mut sorted = words;
    sorted.sort_unstable();
    let sorted: Vec<Value> = sorted.iter().map(|word| json!(word)).collect();
    store.check_column("SELECT x FROM t ORDER BY x", &sorted);
    store.check_column("SELECT x || 'q' AS y FROM t WHERE x > 'Z' AND x < 'a' ORDER BY y", &[json!("_q")]);
    store.check_column("SELECT max(x) FROM t", &[json!("😀")]);
    store.check_column("SELECT CASE WHEN n = 0 THEN 'a' ELSE 'B' END AS c FROM t WHERE n < 2 ORDER BY c", &[json!("B"), json!("a")]);
    store.check(
        "SELECT lower('ÄB'), upper('äb'), length('😀ä'), replace('aXbX', 'X', '-'), substr('äbcd', 2, 2), trim('  x '), instr('äbc', 'c')",
        &json!([["Äb", "äB", 2, "a-b-", "bc", "x", 3]]),
    );
    // NULL is larger than everything unless it is said.
    assert_eq!(store.run("INSERT INTO t (x, n) VALUES (NULL, 0)", &json!([])), 1);
    store.check_column("SELECT x FROM t WHERE n = 0 ORDER BY x", &[json!("b"), Value::Null]);
    store.check_column("SELECT x FROM t WHERE n = 0 ORDER BY x DESC", &[Value::Null, json!("b")]);
    store.check_column("SELECT x FROM t WHERE n = 0 ORDER BY x NULLS FIRST", &[Value::Null, json!("b")]);
    store.check_column("SELECT x FROM t WHERE n = 0 ORDER BY x DESC NULLS LAST", &[json!("b"), Value::Null]);
}

fn patterns(store: &Store) {
    store.migrate(&["CREATE TABLE t (x TEXT)"]);
    store.run("INSERT INTO t (x) VALUES ('Redis'), ('redis'), ('red\\is'), ('50%')", &json!([]));
    let like = |condition: &str, expected: &[&str]| {
        let expected: Vec<Value> = expected.iter().map(|text| json!(text)).collect();
        store.check_column(&format!("SELECT x FROM t WHERE x {condition} ORDER BY x"), &expected);
    };
    like("LIKE 'red%'", &["red\\is", "redis"]);
    like("NOT LIKE '%e%'", &["50%"]);
    like("LIKE 'red\\is'", &["red\\is"]);
    like("LIKE '%!%' ESCAPE '!'", &["50%"]);
    like("LIKE '_edis'", &["Redis", "redis"]);
    like("BETWEEN 'A' AND 'a'", &["Redis"]);
    assert_eq!(store.query("SELECT count(*) FROM t WHERE lower(x) LIKE $1", &json!(["redis"])), json!([[2]]));
}

fn numbers(store: &Store) {
    store.migrate(&["CREATE TABLE t (n BIGINT, r DOUBLE PRECISION)"]);
    store.run("INSERT INTO t (n, r) VALUES (7, 0.5), (-7, 1.5), (NULL, NULL)", &json!([]));
    store.check(
        "SELECT n / 2, n % 4, -n, n * 1.5, abs(n) FROM t WHERE n IS NOT NULL ORDER BY n",
        &json!([[-3, -3, 7, -10.5, 7], [3, 3, -7, 10.5, 7]]),
    );
    store.check(
        "SELECT 7 / 0, 7 % 0, 7.5 / 0, 2000000000 + 2000000000, 2000000000 * 4",
        &json!([[null, null, null, 4_000_000_000_i64, 8_000_000_000_i64]]),
    );
    store.check(
        "SELECT count(*), count(n), sum(n), avg(n), min(n), max(n), sum(r), avg(r) FROM t",
        &json!([[3, 2, 0, 0.0, -7, 7, 2.0, 1.0]]),
    );
    store.check("SELECT sum(n), avg(n), count(*) FROM t WHERE n > 100", &json!([[null, null, 0]]));
    store.check("SELECT sum(n) / 2 FROM t WHERE n > 0", &json!([[3]]));
    store
        .check("SELECT 1.5 + 1, 3 * 0.5, 1e3, -9223372036854775808, 9223372036854775807", &json!([[2.5, 1.5, 1000.0, i64::MIN, i64::MAX]]));
    store.check("SELECT CAST(2.9 AS BIGINT), CAST(-2.9 AS BIGINT), CAST('12' AS BIGINT), CAST(3 AS DOUBLE PRECISION), CAST(12 AS TEXT), CAST(TRUE AS BIGINT)", &json!([[2, -2, 12, 3.0, "12", 1]]));
    store.check_error(
        &store.query("SELECT sum(x.n) FROM (SELECT 9223372036854775807 AS n UNION ALL SELECT 1) AS x", &json!([])),
        "invalid",
        "",
    );
    assert_eq!(store.query("SELECT n FROM t WHERE n IS NOT NULL ORDER BY n LIMIT $1 OFFSET $2", &json!([1, 1])), json!([[7]]));
}

fn questions(store: &Store) {
    store.migrate(&[
        "CREATE TABLE a (id BIGINT PRIMARY KEY, parent BIGINT REFERENCES a (id), name TEXT NOT NULL)",
        "CREATE TABLE b (a BIGINT NOT NULL REFERENCES a (id) ON DELETE CASCADE, tag TEXT NOT NULL, PRIMARY KEY (a, tag))",
    ]);
    store.run("INSERT INTO a (id, parent, name) VALUES (1, NULL, 'root'), (2, 1, 'left'), (3, 1, 'right'), (4, 2, 'leaf')", &json!([]));
    store.run("INSERT INTO b (a, tag) VALUES (2, 'x'), (2, 'y'), (4, 'x')", &json!([]));
    store.check(
        "SELECT a.name, b.tag FROM a LEFT JOIN b ON b.a = a.id ORDER BY a.id, b.tag",
        &json!([["root", null], ["left", "x"], ["left", "y"], ["right", null], ["leaf", "x"]]),
    );
    store.check("SELECT tag, count(*) AS n FROM b GROUP BY tag HAVING count(*) > 1", &json!([["x", 2]]));
    store.check("SELECT name FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.a = a.id) AND id NOT IN (4)", &json!([["left"]]));
    store.check(
        "SELECT name, (SELECT count(*) FROM b WHERE b.a = a.id) AS n FROM a ORDER BY n DESC, name LIMIT 2",
        &json!([["left", 2], ["leaf", 1]]),
    );
    store.check(
        "WITH RECURSIVE below (id, depth) AS (SELECT id, 0 FROM a WHERE id = 1 UNION ALL SELECT a.id, below.depth + 1 FROM a JOIN below ON a.parent = below.id)
         SELECT id, depth FROM below ORDER BY depth, id",
        &json!([[1, 0], [2, 1], [3, 1], [4, 2]]),
    );
    store.check("SELECT 1 AS x UNION SELECT 2 UNION SELECT 1 ORDER BY x DESC", &json!([[2], [1]]));
    store.check("SELECT id FROM a EXCEPT SELECT a FROM b ORDER BY id", &json!([[1], [3]]));
    store.check("SELECT a, string_agg(tag, '+' ORDER BY tag DESC) FROM b GROUP BY a ORDER BY a", &json!([[2, "y+x"], [4, "x"]]));
    store.check(
        "SELECT name, row_number() OVER (ORDER BY name DESC), count(*) OVER () FROM a ORDER BY name LIMIT 2",
        &json!([["leaf", 4, 4], ["left", 3, 4]]),
    );
    store.check("SELECT count(DISTINCT tag), count(*) FILTER (WHERE tag = 'y') FROM b", &json!([[2, 1]]));
    store.check("SELECT id FROM a WHERE (parent, name) > (1, 'left') ORDER BY id", &json!([[3], [4]]));
    store.check(
        "SELECT coalesce(parent, 0), nullif(name, 'root'), parent IS DISTINCT FROM 1 FROM a WHERE id = 1",
        &json!([[0, null, true]]),
    );
    // A name is a column, whatever a database would make of it.
    store.check_error(&store.query("SELECT user FROM a", &json!([])), "invalid", "");
    store.check_error(&store.query("SELECT \"nothing\" FROM a", &json!([])), "invalid", "");
    store.check_error(&store.query("SELECT name FROM nowhere", &json!([])), "invalid", "");
}

fn conflicts(store: &Store) {
    store.migrate(&[
        "CREATE TABLE a (id BIGINT PRIMARY KEY, x TEXT NOT NULL UNIQUE, n BIGINT CONSTRAINT small CHECK (n < 10))",
        "CREATE TABLE b (a BIGINT REFERENCES a (id), k BIGINT, UNIQUE (a, k))",
        "CREATE TABLE c (p BIGINT, q TEXT, PRIMARY KEY (p, q))",
    ]);
    store.run("INSERT INTO a (id, x) VALUES (1, 'x')", &json!([]));
    store.run("INSERT INTO b (a, k) VALUES (1, 1)", &json!([]));
    let check = |sql: &str, reason: &str| store.check_error(&store.run(sql, &json!([])), "conflict", reason);
    check("INSERT INTO a (id, x) VALUES (2, 'x')", "unique: a.x");
    check("INSERT INTO a (id, x) VALUES (1, 'y')", "unique: a.id");
    check("INSERT INTO b (a, k) VALUES (1, 1)", "unique: b.a, b.k");
    check("INSERT INTO a (id, x) VALUES (2, NULL)", "not-null: a.x");
    check("INSERT INTO a (id) VALUES (2)", "not-null: a.x");
    check("INSERT INTO a (x) VALUES ('z')", "not-null: a.id");
    check("INSERT INTO c (p) VALUES (1)", "not-null: ");
    check("INSERT INTO a (id, x, n) VALUES (2, 'y', 10)", "check: small");
    check("INSERT INTO b (a) VALUES (7)", "foreign-key: ");
    check("DELETE FROM a", "foreign-key: ");
    store.check("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)", &json!([[1, 1]]));
}

fn changes(store: &Store) {
    store.migrate(&["CREATE TABLE t (k TEXT PRIMARY KEY, n BIGINT NOT NULL DEFAULT 5, f BOOLEAN DEFAULT TRUE)"]);
    let many = json!({ "statements": [["INSERT INTO t (k) VALUES ('a'), ('b'), ('c')", []], ["UPDATE t SET n = n + 1 WHERE k <> 'a'", []], ["DELETE FROM t WHERE k = 'c'", []], ["SELECT 1", []]] });
    assert_eq!(store.ask("sql.execute", &many), json!([3, 2, 1, 0]));
    let upsert =
        "INSERT INTO t (k, n) VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET n = t.n + excluded.n WHERE t.n < 100 RETURNING k, n, f";
    assert_eq!(store.query(upsert, &json!(["a", 10])), json!([["a", 15, true]]));
    assert_eq!(store.query(upsert, &json!(["d", 1])), json!([["d", 1, true]]));
    assert_eq!(store.run("INSERT INTO t (k) VALUES ('a'), ('e') ON CONFLICT DO NOTHING", &json!([])), 1);
    assert_eq!(store.run("INSERT INTO t (k, n) SELECT k || '2', n FROM t ON CONFLICT (k) DO NOTHING", &json!([])), 4);
    assert_eq!(store.run("UPDATE t AS x SET f = (x.n > 10)", &json!([])), 8);
    assert_eq!(store.query("UPDATE t SET n = 0 WHERE n = $1 RETURNING k", &json!([15])).as_array().unwrap().len(), 2);
    assert_eq!(store.query("DELETE FROM t WHERE f RETURNING k, n", &json!([])).as_array().unwrap().len(), 2);
    // All or nothing.
    let half = json!({ "statements": [["DELETE FROM t", []], ["INSERT INTO t (k, n) VALUES ('z', NULL)", []]] });
    store.check_error(&store.ask("sql.execute", &half), "conflict", "not-null: t.n");
    store.check("SELECT count(*) FROM t", &json!([[6]]));
    // More rows than are asked for are changed all the same.
    let all = store.ask("sql.query", &json!({ "sql": "DELETE FROM t RETURNING k", "limit": 2 }));
    assert_eq!((all.as_array().unwrap().len(), &all[2]), (3, &json!("more")));
    store.check("SELECT count(*) FROM t", &json!([[0]]));
}

fn counting(store: &Store) {
    store.migrate(&["CREATE TABLE t (id SERIAL PRIMARY KEY, x TEXT)"]);
    let add = || store.query("INSERT INTO t (x) VALUES ('a') RETURNING id", &json!([]));
    assert_eq!((add(), add(), add()), (json!([[1]]), json!([[2]]), json!([[3]])));
    assert_eq!(store.run("DELETE FROM t WHERE id > 1", &json!([])), 2);
    assert_eq!(add(), json!([[4]]), "a number is not used again");
    store.check_error(&store.run("INSERT INTO t (id, x) VALUES (9, 'a')", &json!([])), "invalid", "");
    store.check_error(&store.run("UPDATE t SET id = 9", &json!([])), "invalid", "");
}

fn alterations(store: &Store) {
    let steps = json!([
        ["CREATE TABLE t (id BIGINT PRIMARY KEY, x TEXT, y TEXT)", "INSERT INTO t (id, x) VALUES (1, 'a')"],
        [
            "ALTER TABLE t ADD COLUMN n BIGINT NOT NULL DEFAULT 7",
            "ALTER TABLE t ADD COLUMN f BOOLEAN",
            "ALTER TABLE t RENAME COLUMN x TO name",
            "ALTER TABLE t DROP COLUMN y"
        ],
        [
            "ALTER TABLE t RENAME TO things",
            "CREATE UNIQUE INDEX things_name ON things (lower(name)) WHERE n > 5",
            "UPDATE things SET f = (n = 7)"
        ],
        ["DROP INDEX things_name", "CREATE TABLE gone (a TEXT)", "DROP TABLE gone", "DROP TABLE IF EXISTS gone"],
    ]);
    let up_to = |count: usize| json!({ "migrations": steps.as_array().unwrap()[..count] });
    assert_eq!(store.ask("sql.migrate", &up_to(3)), 3);
    store.check("SELECT * FROM things", &json!([[1, "a", 7, true]]));
    store.check_error(&store.run("INSERT INTO things (id, name) VALUES (2, 'A')", &json!([])), "conflict", "unique: ");
    assert_eq!(store.ask("sql.migrate", &up_to(4)), 1);
    assert_eq!(store.run("INSERT INTO things (id, name) VALUES (2, 'A')", &json!([])), 1);
    store.check_error(&store.run("INSERT INTO things (id, name, n) VALUES (3, 'b', $1)", &json!(["x"])), "invalid", "");
    store.check_error(&store.query("SELECT a FROM gone", &json!([])), "invalid", "");
}

fn migrations(store: &Store) {
    let ask = |migrations: Value| store.ask("sql.migrate", &json!({ "migrations": migrations }));
    let (first, second) = (json!(["CREATE TABLE t (x TEXT)"]), json!(["INSERT INTO t (x) VALUES ('a')"]));
    assert_eq!(ask(json!([first])), 1);
    assert_eq!(ask(json!([first])), 0);
    // One that fails in the middle leaves nothing, and those before it stay.
    let broken = json!(["CREATE TABLE u (x TEXT)", "INSERT INTO u (x) VALUES ('a')", "INSERT INTO nowhere (x) VALUES ('a')"]);
    store.check_error(&ask(json!([first, second, broken])), "invalid", "migration 3 (`test`)");
    store.check_column("SELECT x FROM t", &[json!("a")]);
    store.check_error(&store.query("SELECT x FROM u", &json!([])), "invalid", "");
    assert_eq!(ask(json!([first, second])), 0);
    store.check_error(
        &ask(json!([first, ["INSERT INTO t (x) VALUES ('b')"]])),
        "invalid",
        "the migration 2 (`test`) was run before, with other statements",
    );
    assert_eq!(ask(json!([first])), 0, "an older plugin finds the tables of a newer one");
    for (statement, rule) in [
        ("DROP TABLE wharf_migrations", "names that begin with `wharf_`"),
        ("CREATE VIEW v AS SELECT 1", "expected TABLE or INDEX"),
        ("VACUUM", "expected SELECT"),
    ] {
        let answer = ask(json!([first, second, [statement]]));
        assert!(answer["error"] == "invalid" && answer["reason"].as_str().unwrap().contains(rule), "{answer}");
    }
    // Many that begin at the same time.
    let third = json!(["CREATE TABLE w (x TEXT)"]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| ask(json!([first, second, third])))).collect();
        let run: u64 = threads.into_iter().map(|thread| thread.join().unwrap().as_u64().unwrap()).sum();
        assert_eq!(run, 1);
    });
}

fn transactions(store: &Store) {
    store.migrate(&["CREATE TABLE t (x BIGINT UNIQUE)"]);
    let run = |steps: Value| store.ask("transaction", &json!({ "steps": steps }));
    let (add, read) = (json!({ "execute": ["INSERT INTO t (x) VALUES (1)", []] }), json!({ "query": ["SELECT x FROM t", []] }));
    let beside = json!({ "beside": "SELECT x FROM t" });
    assert_eq!(run(json!([add, read, beside, "rollback"])), json!([[1], [[1]], [], "undone"]));
    store.check("SELECT x FROM t", &json!([]));
    assert_eq!(run(json!([add, read])), json!([[1], [[1]]]));
    store.check("SELECT x FROM t", &json!([]));
    // A statement that fails undoes itself, and the transaction goes on.
    let (none, wrong) = (json!({ "query": ["SELECT x FROM nowhere", []] }), json!({ "execute": ["UPDATE t SET y = 1", []] }));
    let answers = run(json!([add, add, none, wrong, read, beside, "commit"]));
    let words: Vec<&Value> = answers.as_array().unwrap().iter().map(|answer| answer.get("error").unwrap_or(answer)).collect();
    assert_eq!(words, [&json!([1]), &json!("conflict"), &json!("invalid"), &json!("invalid"), &json!([[1]]), &json!([]), &json!("kept")]);
    store.check("SELECT x FROM t", &json!([[1]]));
}

/// A transaction that is held too long is undone, and whoever waits behind it is served.
fn slow_transactions(store: &Store) {
    store.migrate(&["CREATE TABLE t (x BIGINT)"]);
    let run = |steps: Value| store.ask("transaction", &json!({ "steps": steps }));
    let add = json!({ "execute": ["INSERT INTO t (x) VALUES (1)", []] });
    let answers = run(json!([add, { "compute": TRANSACTION_MS * 2 }, add, "commit"]));
    assert_eq!((&answers[0], &answers[2]["error"], &answers[3]["error"]), (&json!([1]), &json!("timeout"), &json!("timeout")), "{answers}");
    store.check("SELECT count(*) FROM t", &json!([[0]]));
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let began = Instant::now();
    let answers = run(json!([add, { "query": [endless, []] }, "commit"]));
    assert_eq!((&answers[1]["error"], &answers[2]["error"]), (&json!("timeout"), &json!("timeout")), "{answers}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| run(json!([add, { "compute": TRANSACTION_MS * 8 }, "commit"])));
        let waited = poll(Duration::from_secs(5), || {
            let began = Instant::now();
            assert_eq!(store.run("INSERT INTO t (x) VALUES (2)", &json!([])), 1);
            Ok((began.elapsed() > Duration::from_millis(TRANSACTION_MS / 4)).then(|| began.elapsed()))
        });
        let waited = waited.unwrap().expect("the transaction stood in nobody's way");
        assert!(waited < Duration::from_millis(TRANSACTION_MS * 5), "{waited:?}");
        assert!(!slow.is_finished(), "the other one still computes");
        assert_eq!(slow.join().unwrap()[2]["error"], "timeout");
    });
    store.check("SELECT count(*) FROM t WHERE x = 1", &json!([[0]]));
}

/// What a transaction has read does not change under it.
fn turns(store: &Store) {
    store.migrate(&["CREATE TABLE t (n BIGINT)", "INSERT INTO t (n) VALUES (0)"]);
    let steps = json!([{ "query": ["SELECT n FROM t", []] }, { "compute": 2 }, { "execute": ["UPDATE t SET n = n + 1", []] }, { "query": ["SELECT n FROM t", []] }, "commit"]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let answers = store.ask("transaction", &json!({ "steps": steps }));
                        let [before, after] = [0, 3].map(|step| answers[step][0][0].as_i64().unwrap());
                        assert_eq!(after, before + 1, "{answers}");
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    store.check("SELECT n FROM t", &json!([[20]]));
}

fn cursors(store: &Store) {
    store.migrate(&["CREATE TABLE t (n BIGINT)"]);
    let numbers = "INSERT INTO t (n) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i FROM n";
    assert_eq!(store.run(numbers, &json!([])), 3_000);
    let rows = store.ask("sql.query", &json!({ "sql": "SELECT n FROM t ORDER BY n", "limit": 2 }));
    assert_eq!(rows, json!([[1], [2], "more"]));
    let open = |more: Value| {
        let mut arguments = json!({ "sql": "SELECT n FROM t ORDER BY n", "limit": 2_500, "rows": 10_000 });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        store.ask("sql.open", &arguments)
    };
    let all = open(json!({}));
    assert_eq!((all.as_array().unwrap().len(), &all[2_499]), (2_500, &json!([2_500])));
    // What it shows is of the moment when it was opened.
    let all = open(json!({ "statements": [["DELETE FROM t WHERE n > 100", []]] }));
    assert_eq!(all.as_array().unwrap().len(), 2_500);
    assert_eq!(open(json!({})).as_array().unwrap().len(), 100);
    store.check_error(
        &store.ask("sql.open", &json!({ "sql": "DELETE FROM t RETURNING n", "limit": 9, "rows": 9 })),
        "invalid",
        "a cursor is for",
    );
    store.check_error(&store.ask("sql.open", &json!({ "sql": "SELECT x FROM t", "limit": 9, "rows": 9 })), "invalid", "");
    // Of more than there is room for, those end that were read the longest ago.
    let many = store.ask("sql.open-many", &json!({ "sql": "SELECT n FROM t ORDER BY n", "limit": 9, "times": 5 }));
    let words: Vec<&str> = many.as_array().unwrap().iter().map(|answer| answer["error"].as_str().unwrap_or("read")).collect();
    assert_eq!(words, ["timeout", "timeout", "read", "read", "read"], "{many}");
    store.check("SELECT count(*) FROM t", &json!([[100]]));
}

fn large_answers(store: &Store) {
    store.migrate(&["CREATE TABLE t (x TEXT)"]);
    for _ in 0..9 {
        assert_eq!(store.run("INSERT INTO t (x) VALUES ($1), ($1)", &json!([{ "long": 1_000_000 }])), 2);
    }
    store.check_error(&store.query("SELECT x FROM t", &json!([])), "quota-exceeded", "");
    store.check("SELECT sum(length(x)) FROM t", &json!([[18_000_000]]));
}

fn values_by_key(store: &Store) {
    let set = |entries: Value| store.ask("keyvalue.set", &json!({ "entries": entries }));
    let get = |keys: Value| store.ask("keyvalue.get", &json!({ "keys": keys }));
    assert_eq!(set(json!([["a/1", "x"], ["a/2", "y"], ["a0", "q"], ["b", "z"], ["a/ä", ""], ["b", "last"]])), "done");
    assert_eq!(get(json!(["b", "none", "a/1", "a/ä"])), json!(["last", null, "x", ""]));
    let list = |prefix: &str, cursor: Value, limit: u32| {
        store.ask("keyvalue.list", &json!({ "prefix": prefix, "cursor": cursor, "limit": limit }))
    };
    assert_eq!(list("a/", Value::Null, 2), json!([["a/1", "a/2"], "a/2"]));
    assert_eq!(list("a/", json!("a/2"), 2), json!([["a/ä"], null]));
    assert_eq!(list("", Value::Null, 10), json!([["a/1", "a/2", "a/ä", "a0", "b"], null]));
    assert_eq!(list("c", Value::Null, 10), json!([[], null]));
    let swap = |key: &str, expected: Value, new: Value| {
        store.ask("keyvalue.compare-and-set", &json!({ "key": key, "expected": expected, "new": new }))
    };
    assert_eq!(swap("b", json!("last"), json!("next")), "done");
    store.check_error(&swap("b", json!("last"), json!("other")), "conflict", "changed: ");
    store.check_error(&swap("b", Value::Null, json!("other")), "conflict", "changed: ");
    store.check_error(&swap("c", json!("x"), Value::Null), "conflict", "changed: ");
    assert_eq!(
        (swap("c", Value::Null, Value::Null), swap("c", Value::Null, json!("1")), swap("c", json!("1"), Value::Null)),
        (json!("done"), json!("done"), json!("done"))
    );
    assert_eq!(get(json!(["b", "c"])), json!(["next", null]));
    let add = |key: &str, by: i64| store.ask("keyvalue.increment", &json!({ "key": key, "by": by }));
    assert_eq!((add("n", 5), add("n", -8), add("n", 0)), (json!(5), json!(-3), json!(-3)));
    assert_eq!(get(json!(["n"])), json!(["-3"]));
    store.check_error(&add("b", 1), "invalid", "the value of `b` is no number");
    assert_eq!(add("max", i64::MAX), i64::MAX);
    store.check_error(&add("max", 1), "invalid", "the sum for `max`");
    assert_eq!(store.ask("keyvalue.delete", &json!({ "keys": ["a/1", "a/2", "none"] })), 2);
    for key in ["", &"k".repeat(513), "a\0b"] {
        store.check_error(&set(json!([[key, "x"]])), "invalid", "a key ");
    }
    store.check_error(&store.ask("keyvalue.set-large", &json!({ "key": "k", "times": (1 << 20) + 1 })), "invalid", "a value has");
    assert_eq!(store.ask("keyvalue.set-large", &json!({ "key": "k", "times": 1 << 20 })), "done");
}

fn concurrent_increments(store: &Store) {
    std::thread::scope(|scope| {
        let add = || assert!(store.ask("keyvalue.increment", &json!({ "key": "n", "by": 1, "times": 25 })).is_u64());
        (0..8).map(|_| scope.spawn(add)).collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(store.ask("keyvalue.get", &json!({ "keys": ["n"] })), json!(["200"]));
}

fn refusals(store: &Store) {
    store.migrate(&["CREATE TABLE t (x TEXT)"]);
    let refused = [
        ("ATTACH DATABASE '/tmp/x' AS y", "expected SELECT"),
        ("PRAGMA query_only = 0", "expected SELECT"),
        ("COPY t TO PROGRAM 'id'", "expected SELECT"),
        ("SET ROLE postgres", "expected SELECT"),
        ("SELECT 1; DELETE FROM t", "expected the end of the statement"),
        ("SELECT pg_sleep(10)", "there is no function `pg_sleep`"),
        ("SELECT load_extension('x')", "there is no function `load_extension`"),
        ("SELECT current_user", ""),
        ("SELECT version()", "there is no function `version`"),
        ("SELECT * FROM pg_catalog.pg_roles", "a table has no name before its own"),
        ("SELECT * FROM pg_roles", "`pg_roles`: names that begin with"),
        ("SELECT * FROM information_schema.tables", "a table has no name before its own"),
        ("SELECT * FROM sqlite_master", "`sqlite_master`: names that begin with"),
        ("SELECT * FROM wharf_keyvalue", "`wharf_keyvalue`: names that begin with"),
        ("DELETE FROM wharf_migrations", "`wharf_migrations`: names that begin with"),
        ("CREATE TABLE u (x TEXT)", "`CREATE` has its place in a migration"),
        ("DROP TABLE t", "`DROP` has its place in a migration"),
        ("SELECT $1 FROM t", "there is no value for $1"),
        ("", "expected SELECT"),
    ];
    for (sql, rule) in refused {
        store.check_error(&store.query(sql, &json!([])), "invalid", rule);
        store.check_error(&store.run(sql, &json!([])), "invalid", rule);
    }
    let terms = vec!["x = 'a'"; 10_000].join(" OR ");
    store.check_error(&store.query(&format!("SELECT x FROM t WHERE {terms}"), &json!([])), "invalid", "an expression has more than");
    let value = "'; DROP TABLE t; --\\' \" $1";
    assert_eq!(store.run("INSERT INTO t (x) VALUES ($1)", &json!([value])), 1);
    assert_eq!(store.query("SELECT x FROM t WHERE x = $1", &json!([value])), json!([[value]]));
}

fn sealed(store: &Store) {
    let sealed = store.ask("sealed.seal", &json!({ "text": "secret" }));
    assert_eq!(store.ask("sealed.open", &json!({ "bytes": sealed })), "secret");
    let mut changed = sealed;
    changed[30] = json!((changed[30].as_u64().unwrap() + 1) % 256);
    store.check_error(&store.ask("sealed.open", &json!({ "bytes": changed })), "invalid", "it was not sealed for this plugin");
}

/// A space that is full takes nothing more, and something can be deleted.
fn quota_is_kept(store: &Store) {
    store.migrate(&["CREATE TABLE t (x BYTEA)", "CREATE TABLE s (x TEXT)"]);
    // All or nothing, whether or not the database can go on after a statement that has no room.
    let small = json!({ "execute": ["INSERT INTO s (x) VALUES ('a')", []] });
    let large = json!({ "execute": ["INSERT INTO s (x) VALUES ($1)", [{ "long": 3_000_000 }]] });
    let answers = store.ask("transaction", &json!({ "steps": [small, large, small, "commit"] }));
    let kept = if answers[3] == "kept" { 2 } else { 0 };
    store.check("SELECT count(*) FROM s WHERE x = 'a'", &json!([[kept]]));
    assert!(answers[1] == json!([1]) || answers[1]["error"] == "quota-exceeded", "{answers}");
    assert_eq!(store.ask("sql.execute", &json!({ "statements": [["DELETE FROM s", []]] })).as_array().map(Vec::len), Some(1));
    // Bytes of chance: PostgreSQL would make others smaller.
    let chance = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(*state >> 24)
    };
    let chunk = json!([{ "blob": (0..20_000).scan(1, |state, _| chance(state)).collect::<Vec<u32>>() }]);
    let full = poll(Duration::from_secs(30), || {
        let answer = store.run("INSERT INTO t (x) VALUES ($1), ($1), ($1), ($1)", &chunk);
        Ok((answer != 4).then_some(answer))
    });
    store.check_error(&full.unwrap().expect("it is never full"), "quota-exceeded", "");
    store.check_error(&store.ask("keyvalue.set-large", &json!({ "key": "k", "times": 1 << 20 })), "quota-exceeded", "");
    assert!(store.run("DELETE FROM t", &json!([])).as_u64().unwrap() > 4);
    store.check("SELECT count(*) FROM t", &json!([[0]]));
}
