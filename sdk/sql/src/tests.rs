//! The grammar as tables: what is written for each database, and what is refused.

use std::time::{Duration, Instant};

use crate::sqlite::Connection;
use crate::{Dialect, Error, Migration, Mode, Schema, Statement, Value, write};

/// A table `t` whose `id` counts and whose `n` is never NULL.
struct Known;

impl Schema for Known {
    fn is_not_null(&self, table: &str, column: &str) -> bool {
        table == "t" && ["id", "n"].contains(&column)
    }

    fn is_serial(&self, table: &str, column: &str) -> bool {
        table == "t" && column == "id"
    }
}

/// A value for each parameter of any test.
fn values(sql: &str) -> Vec<Value> {
    (1..).take_while(|number| sql.contains(&format!("${number}"))).map(|_| Value::Text("x".to_owned())).collect()
}

#[track_caller]
fn check(sql: &str, sqlite: &str, postgres: &str) {
    let written = |dialect| write(sql, &values(sql), dialect, Mode::Rows).unwrap().sql;
    assert_eq!(written(Dialect::Sqlite(&Known)), sqlite);
    assert_eq!(written(Dialect::Postgres), postgres);
}

#[track_caller]
fn check_migration(sql: &str, sqlite: &str, postgres: &str) {
    let written = |dialect| write(sql, &[], dialect, Mode::Migration).unwrap().sql;
    assert_eq!(written(Dialect::Sqlite(&Known)), sqlite);
    assert_eq!(written(Dialect::Postgres), postgres);
}

#[track_caller]
fn check_refused(sql: &str, expected: &str) {
    for dialect in [Dialect::Sqlite(&Known), Dialect::Postgres] {
        let Err(Error::Invalid(message)) = write(sql, &values(sql), dialect, Mode::Migration) else { panic!("accepted: {sql}") };
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn names_are_quoted_and_operations_have_parentheses() {
    check(
        "SELECT a.X AS y, \"user\" FROM t AS a WHERE a.x = $1 AND NOT b OR c IS NOT NULL;",
        "SELECT \"a\".\"x\" AS \"y\", \"user\" FROM \"t\" AS \"a\" WHERE (((\"a\".\"x\" = ?1) AND (NOT \"b\")) OR (\"c\" IS NOT NULL))",
        "SELECT \"a\".\"x\" AS \"y\", \"user\" FROM \"t\" AS \"a\" WHERE (((\"a\".\"x\" = ($1 COLLATE \"C\")) AND (NOT \"b\")) OR (\"c\" IS NOT NULL))",
    );
}

#[test]
fn numbers_and_texts_are_of_the_same_types_in_both() {
    check(
        "SELECT 1, -2, 1.5, 'it''s', 7 / n FROM t LIMIT 3 OFFSET 1",
        "SELECT (1), (-2), 1.5, 'it''s', ((7) / \"n\") FROM \"t\" LIMIT (3) OFFSET (1)",
        "SELECT ('1'::bigint), ('-2'::bigint), (1.5::float8), ('it''s' COLLATE \"C\"), (('7'::bigint) / NULLIF(\"n\", 0)) FROM \"t\" \
         LIMIT ('3'::bigint) OFFSET ('1'::bigint)",
    );
}

#[test]
fn nulls_come_last_in_both_and_an_index_is_used_where_there_are_none() {
    check(
        "SELECT * FROM t ORDER BY id, x, n DESC, y DESC NULLS LAST",
        "SELECT * FROM \"t\" ORDER BY \"id\", \"x\" NULLS LAST, \"n\" DESC, \"y\" DESC NULLS LAST",
        "SELECT * FROM \"t\" ORDER BY \"id\", \"x\", \"n\" DESC, \"y\" DESC NULLS LAST",
    );
    // Not that of the table: a name that was given, a row that may be missing, a question of the same name.
    check(
        "SELECT x AS n FROM t ORDER BY n",
        "SELECT \"x\" AS \"n\" FROM \"t\" ORDER BY \"n\" NULLS LAST",
        "SELECT \"x\" AS \"n\" FROM \"t\" ORDER BY \"n\"",
    );
    check(
        "SELECT 1 FROM a LEFT JOIN t ON TRUE ORDER BY t.n",
        "SELECT (1) FROM \"a\" LEFT JOIN \"t\" ON TRUE ORDER BY \"t\".\"n\" NULLS LAST",
        "SELECT ('1'::bigint) FROM \"a\" LEFT JOIN \"t\" ON TRUE ORDER BY \"t\".\"n\"",
    );
    check(
        "WITH t AS (SELECT x AS n FROM b) SELECT n FROM t ORDER BY n",
        "WITH \"t\" AS (SELECT \"x\" AS \"n\" FROM \"b\") SELECT \"n\" FROM \"t\" ORDER BY \"n\" NULLS LAST",
        "WITH \"t\" AS (SELECT \"x\" AS \"n\" FROM \"b\") SELECT \"n\" FROM \"t\" ORDER BY \"n\"",
    );
}

#[test]
fn functions_have_the_name_of_each_database() {
    check(
        "SELECT count(*), sum(DISTINCT n) FILTER (WHERE n > 0), avg(n), instr(x, 'a'), substr(x, 2), length(x), coalesce(x, 'y') FROM t",
        "SELECT count(*), sum(DISTINCT \"n\") FILTER (WHERE (\"n\" > (0))), avg(\"n\"), instr(\"x\", 'a'), substr(\"x\", (2)), length(\"x\"), \
         coalesce(\"x\", 'y') FROM \"t\"",
        "SELECT count(*), wharf.sum(DISTINCT \"n\") FILTER (WHERE (\"n\" > ('0'::bigint))), avg((\"n\")::float8), \
         (strpos(\"x\", ('a' COLLATE \"C\")))::bigint, substr(\"x\", (('2'::bigint))::integer), (length(\"x\"))::bigint, \
         coalesce(\"x\", ('y' COLLATE \"C\")) FROM \"t\"",
    );
    check(
        "SELECT row_number() OVER (PARTITION BY x ORDER BY x) FROM t",
        "SELECT row_number() OVER (PARTITION BY \"x\" ORDER BY \"x\" NULLS LAST) FROM \"t\"",
        "SELECT row_number() OVER (PARTITION BY \"x\" ORDER BY \"x\") FROM \"t\"",
    );
}

#[test]
fn rows_are_changed_in_both() {
    check(
        "INSERT INTO t (x, n) VALUES ($1, 1), ($2, 2) ON CONFLICT (x) DO UPDATE SET n = excluded.n WHERE t.n < 5 RETURNING id",
        "INSERT INTO \"t\" (\"x\", \"n\") VALUES (?1, (1)), (?2, (2)) ON CONFLICT (\"x\") DO UPDATE SET \"n\" = \"excluded\".\"n\" \
         WHERE (\"t\".\"n\" < (5)) RETURNING \"id\"",
        "INSERT INTO \"t\" (\"x\", \"n\") VALUES (($1 COLLATE \"C\"), ('1'::bigint)), (($2 COLLATE \"C\"), ('2'::bigint)) ON CONFLICT (\"x\") \
         DO UPDATE SET \"n\" = \"excluded\".\"n\" WHERE (\"t\".\"n\" < ('5'::bigint)) RETURNING \"id\"",
    );
    check(
        "INSERT INTO a (x) SELECT x FROM t ON CONFLICT DO NOTHING",
        "INSERT INTO \"a\" (\"x\") SELECT \"x\" FROM \"t\" WHERE TRUE ON CONFLICT DO NOTHING",
        "INSERT INTO \"a\" (\"x\") SELECT \"x\" FROM \"t\" WHERE TRUE ON CONFLICT DO NOTHING",
    );
    check(
        "DELETE FROM a WHERE x NOT IN (SELECT x FROM t) OR x LIKE $1",
        "DELETE FROM \"a\" WHERE ((\"x\" NOT IN (SELECT \"x\" FROM \"t\")) OR (\"x\" LIKE ?1))",
        "DELETE FROM \"a\" WHERE ((\"x\" NOT IN (SELECT \"x\" FROM \"t\")) OR (\"x\" LIKE ($1 COLLATE \"C\") ESCAPE ''))",
    );
}

#[test]
fn tables_have_the_types_of_each_database() {
    check_migration(
        "CREATE TABLE IF NOT EXISTS a (id SERIAL PRIMARY KEY, x TEXT NOT NULL UNIQUE, b BOOLEAN DEFAULT FALSE, t BIGINT REFERENCES t (id) ON DELETE CASCADE)",
        "CREATE TABLE IF NOT EXISTS \"a\" (\"id\" INTEGER PRIMARY KEY AUTOINCREMENT, \
         \"x\" TEXT CONSTRAINT \"wharf_type_x\" CHECK (typeof(\"x\") IN ('text', 'null')) NOT NULL UNIQUE, \
         \"b\" BOOLEAN CONSTRAINT \"wharf_type_b\" CHECK (\"b\" IN (0, 1)) DEFAULT (FALSE), \
         \"t\" BIGINT CONSTRAINT \"wharf_type_t\" CHECK (typeof(\"t\") IN ('integer', 'null')) REFERENCES \"t\" (\"id\") ON DELETE CASCADE)",
        "CREATE TABLE IF NOT EXISTS \"a\" (\"id\" BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \"x\" TEXT COLLATE \"C\" NOT NULL UNIQUE, \
         \"b\" BOOLEAN DEFAULT (FALSE), \"t\" BIGINT REFERENCES \"t\" (\"id\") ON DELETE CASCADE)",
    );
    check_migration(
        "CREATE UNIQUE INDEX i ON a (x DESC, lower(x)) WHERE b",
        "CREATE UNIQUE INDEX \"i\" ON \"a\" (\"x\" DESC, (lower(\"x\"))) WHERE \"b\"",
        "CREATE UNIQUE INDEX \"i\" ON \"a\" (\"x\" DESC, (lower(\"x\"))) WHERE \"b\"",
    );
    check_migration("ALTER TABLE a DROP COLUMN x", "ALTER TABLE \"a\" DROP COLUMN \"x\"", "ALTER TABLE \"a\" DROP COLUMN \"x\"");
}

#[test]
fn what_is_not_portable_or_leads_out_is_refused() {
    let refused = [
        ("", "found the end of the statement"),
        ("SELECT 1; SELECT 2", "expected the end of the statement, found `select`, at character 11"),
        ("ATTACH 'x' AS y", "expected SELECT, INSERT, UPDATE, DELETE or WITH, found `attach`"),
        ("DETACH y", "expected SELECT"),
        ("PRAGMA writable_schema = 1", "expected SELECT"),
        ("VACUUM INTO 'x'", "expected SELECT"),
        ("COPY t TO PROGRAM 'sh'", "expected SELECT"),
        ("BEGIN", "expected SELECT"),
        ("SET ROLE postgres", "expected SELECT"),
        ("SET search_path = other", "expected SELECT"),
        ("DO 'x'", "expected SELECT"),
        ("EXPLAIN SELECT 1", "expected SELECT"),
        ("VALUES (1)", "expected SELECT"),
        ("CREATE EXTENSION dblink", "expected TABLE or INDEX"),
        ("CREATE SCHEMA x", "expected TABLE or INDEX"),
        ("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "expected TABLE or INDEX"),
        ("CREATE TEMP TABLE x (a TEXT)", "expected TABLE or INDEX"),
        ("CREATE TABLE x AS SELECT 1", "expected `(`"),
        ("CREATE TABLE x (a VARCHAR(10))", "expected BOOLEAN"),
        ("CREATE TABLE x (a TEXT(10))", "a type has no length"),
        ("CREATE TABLE x (a TEXT COLLATE nocase)", "expected `)`"),
        ("CREATE TABLE x (a SERIAL)", "SERIAL stands in a new table"),
        ("CREATE TABLE x (a TEXT) STRICT", "expected the end"),
        ("CREATE TABLE pg_x (a TEXT)", "names that begin with `pg_`"),
        ("CREATE INDEX wharf_x ON t (a)", "names that begin with `wharf_`"),
        ("ALTER TABLE t ADD COLUMN a TEXT UNIQUE", "cannot be UNIQUE"),
        ("ALTER TABLE t OWNER TO x", "expected ADD, DROP or RENAME"),
        ("SELECT * FROM other.t", "a plugin has one space, at character 20"),
        ("SELECT other.t.x FROM t", "a plugin has one space"),
        ("SELECT * FROM pg_class", "`pg_class`: names that begin with `pg_`"),
        ("SELECT * FROM \"sqlite_schema\"", "names that begin with `sqlite_`"),
        ("SELECT * FROM wharf_keyvalue", "names that begin with `wharf_`"),
        ("SELECT rowid FROM t", "`rowid` is a column that each table"),
        ("SELECT ctid FROM t", "`ctid` is a column that each table"),
        ("SELECT pg_sleep(1)", "there is no function `pg_sleep`"),
        ("SELECT load_extension('x')", "there is no function `load_extension`"),
        ("SELECT current_setting('x')", "there is no function"),
        ("SELECT * FROM generate_series(1, 10)", "functions that make tables are not portable"),
        ("SELECT x::regclass FROM t", "a parameter is `$1`"),
        ("SELECT CAST(x AS regclass) FROM t", "expected BIGINT, DOUBLE PRECISION or TEXT"),
        ("SELECT x COLLATE nocase FROM t", "expected the end of the statement"),
        ("SELECT x FROM t FOR UPDATE", "expected the end of the statement"),
        ("SELECT x INTO y FROM t", "expected the end of the statement"),
        ("SELECT DISTINCT ON (x) x FROM t", "expected an expression"),
        ("SELECT x FROM t NATURAL JOIN a", "NATURAL join is not portable"),
        ("SELECT x FROM (SELECT 1)", "a name for what stands in the parentheses"),
        ("SELECT x FROM t ORDER BY 1", "a column is named, not counted"),
        ("SELECT x FROM t ORDER BY x, ((+1))", "a column is named, not counted"),
        ("SELECT x FROM t GROUP BY 1", "a column is named, not counted"),
        ("SELECT x FROM t LIMIT ALL", "expected a number or a parameter"),
        ("SELECT x FROM t WHERE x ILIKE 'a'", "not portable: compare with LIKE"),
        ("SELECT 1 UNION SELECT 2 INTERSECT SELECT 3", "INTERSECT stands beside another operator"),
        ("WITH a AS (DELETE FROM t RETURNING x) SELECT x FROM a", "expected SELECT"),
        ("WITH a AS MATERIALIZED (SELECT 1) SELECT 1 FROM a", "expected `(`"),
        ("INSERT INTO t VALUES (1)", "the names of the columns"),
        ("INSERT OR REPLACE INTO t (x) VALUES (1)", "expected INTO"),
        ("REPLACE INTO t (x) VALUES (1)", "expected SELECT"),
        ("INSERT INTO t (x) VALUES (1, 2)", "2 values for 1 columns"),
        ("INSERT INTO t (x) VALUES (1) ON CONFLICT DO UPDATE SET x = 1", "needs the columns that are in conflict"),
        ("UPDATE t SET x = 1 FROM a", "expected the end of the statement"),
        ("UPDATE t SET (x, y) = (1, 2)", "expected the name of a column"),
        ("DELETE FROM t USING a", "expected the end of the statement"),
        ("DELETE FROM t WHERE x = 1 LIMIT 1", "expected the end of the statement"),
        ("SELECT 9223372036854775808", "has no place in 64 bits"),
        ("SELECT \"Ä\"", "is no name"),
        ("SELECT ARRAY[1]", "expected the end of the statement"),
    ];
    for (sql, expected) in refused {
        check_refused(sql, expected);
    }
}

#[test]
fn every_parameter_is_used_and_has_a_value() {
    let message = |sql, parameters| write(sql, parameters, Dialect::Postgres, Mode::Rows).unwrap_err().to_string();
    assert!(message("SELECT $2", &[Value::Null]).contains("there is no value for $2"));
    assert!(message("SELECT $2", &[Value::Null, Value::Null]).contains("$1 is not used"));
    assert!(message("SELECT 1 FROM t WHERE x = $1", &[]).contains("there is no value for $1"));
}

#[test]
fn depth_and_length_have_an_end() {
    check_refused(&format!("SELECT {}1{}", "(".repeat(60), ")".repeat(60)), "nested deeper than");
    check_refused(&format!("SELECT {} TRUE", "NOT ".repeat(60)), "nested deeper than");
    check_refused(&format!("SELECT {}1", "- ".repeat(60)), "nested deeper than");
    check_refused(&format!("SELECT {} 1 END", "CASE WHEN ".repeat(60)), "nested deeper than");
    check_refused(&format!("SELECT x FROM t WHERE x = 1{}", " OR x = 1".repeat(10_000)), "more than 900 operators");
    check_refused(&format!("SELECT '{}'", "x".repeat(1 << 20)), "a statement of");
    check_refused(&format!("SELECT 1{}", " UNION SELECT 1".repeat(200)), "more than 100 selections");
}

/// Text of random tokens never panics, and what it is written as is read by SQLite as one statement or refused.
#[test]
fn whatever_is_written_here_is_one_statement() {
    let words: Vec<&str> = "select from where t a x n id ( ) , . ; * + - / % = < > || 'x' 'it''s' \"x\" 1 2.5 $1 and or not in like between is null true false \
        case when then else end cast as text bigint exists count sum distinct with recursive union all except order by desc nulls first last limit offset \
        insert into values on conflict do nothing update set delete returning join left using group having over filter -- /* */ \
        create table index drop alter primary key"
        .split_whitespace()
        .collect();
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, x, n); CREATE TABLE a (x, n)").unwrap();
    let mut seed = 7_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let starts = [
        "select",
        "select x from t where",
        "select x from t order by",
        "insert into t (x) values (",
        "update t set x =",
        "with a as (select",
    ];
    let mut accepted = 0;
    for _ in 0..100_000 {
        let mut sql = starts[random(starts.len())].to_owned();
        for _ in 0..random(9) {
            sql = format!("{sql} {}", words[random(words.len())]);
        }
        let parameters = values(&sql);
        let Ok(written) = write(&sql, &parameters, Dialect::Sqlite(&Known), Mode::Rows) else { continue };
        accepted += 1;
        match connection.prepare(&written.sql) {
            Ok(_) => {}
            // A syntax error would mean that SQLite has read something else than we have.
            Err(error) => assert!(!error.to_string().contains("syntax error"), "{sql} => {} => {error}", written.sql),
        }
    }
    assert!(accepted > 1_000, "{accepted}");
}

fn database(statements: &[&str]) -> Connection {
    let mut connection = Connection::in_memory().unwrap();
    let statements = statements.iter().map(|&text| text.to_owned()).collect();
    connection.migrate(&[Migration { version: 1, name: "tables".to_owned(), statements }], soon()).unwrap();
    connection
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn statement(sql: &str) -> Statement {
    Statement { sql: sql.to_owned(), parameters: Vec::new() }
}

#[test]
fn a_question_without_an_end_is_stopped() {
    let mut connection = database(&[]);
    let endless = statement("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n");
    let deadline = Instant::now() + Duration::from_millis(50);
    assert_eq!(connection.query(&endless, 1, deadline), Err(Error::Timeout));
    assert!(connection.query(&statement("SELECT 1"), 1, soon()).is_ok(), "the connection can be used again");
}

#[test]
fn only_questions_that_were_answered_quickly_hold_anybody_up() {
    let mut connection = database(&["CREATE TABLE t (x BIGINT)"]);
    let any_time = Duration::from_secs(60);
    let question = statement("SELECT 1");
    assert_eq!(connection.query_quickly(&question, 1, any_time), None, "nobody knows how long it takes");
    connection.query_timed(&question, 1, soon(), any_time).unwrap();
    let answer = connection.query_quickly(&question, 1, any_time).unwrap();
    assert_eq!(answer.rows, [[Value::Integer(1)]]);

    connection.query_timed(&question, 1, soon(), Duration::ZERO).unwrap();
    for _ in 0..8 {
        assert_eq!(connection.query_quickly(&question, 1, any_time), None, "it took long");
        connection.query_timed(&question, 1, soon(), any_time).unwrap();
    }
    assert!(connection.query_quickly(&question, 1, any_time).is_some());

    let endless = statement("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n");
    assert_eq!(connection.query_timed(&endless, 1, Instant::now(), any_time), Err(Error::Timeout));
    assert_eq!(connection.query_quickly(&endless, 1, Duration::from_millis(1)), None, "it is stopped");

    let change = statement("INSERT INTO t (x) VALUES (1) RETURNING x");
    connection.query_timed(&change, 1, soon(), any_time).unwrap();
    assert_eq!(connection.query_quickly(&change, 1, any_time), None);
    assert_eq!(connection.query(&statement("SELECT count(*) FROM t"), 1, soon()).unwrap().rows, [[Value::Integer(1)]]);
}

#[test]
fn booleans_are_known_by_their_column_or_by_how_they_are_computed() {
    let mut connection = database(&["CREATE TABLE b (x BOOLEAN, n BIGINT)"]);
    connection.execute(&[statement("INSERT INTO b (x, n) VALUES (TRUE, 1), (NULL, 0)")], soon()).unwrap();
    let rows = connection.query(&statement("SELECT *, x, n = 1, coalesce(x, FALSE), n FROM b ORDER BY n DESC"), 9, soon()).unwrap();
    let [yes, no] = [Value::Boolean(true), Value::Boolean(false)];
    assert_eq!(rows.rows[0], [yes.clone(), Value::Integer(1), yes.clone(), yes.clone(), yes, Value::Integer(1)]);
    assert_eq!(rows.rows[1], [Value::Null, Value::Integer(0), Value::Null, no.clone(), no, Value::Integer(0)]);
}

#[test]
fn a_space_does_not_grow_beyond_its_quota_and_can_be_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = Connection::open(&folder.path().join("x.sqlite"), 1 << 20).unwrap();
    let table = Migration { version: 1, name: "t".to_owned(), statements: vec!["CREATE TABLE t (x BYTEA)".to_owned()] };
    connection.migrate(&[table], soon()).unwrap();
    let insert = [Statement { sql: "INSERT INTO t (x) VALUES ($1)".to_owned(), parameters: vec![Value::Blob(vec![7; 100_000])] }];
    let full = (0..20).find_map(|_| connection.execute(&insert, soon()).err());
    assert_eq!(full, Some(Error::Full));
    connection.execute(&[statement("DELETE FROM t")], soon()).unwrap();
    connection.execute(&insert, soon()).unwrap();
}

#[test]
fn a_parameter_that_is_the_value_of_a_column_and_nothing_else_is_known() {
    let assigned = |sql: &str| write(sql, &values(sql), Dialect::Postgres, Mode::Rows).unwrap().assigned;
    assert_eq!(assigned("INSERT INTO t (x, n) VALUES ($1, $2), ($1, $3 + 1)"), [0, 1]);
    assert_eq!(assigned("INSERT INTO t (x, n) VALUES ($1, 1) ON CONFLICT (x) DO UPDATE SET n = $2, x = $3 || 'a' RETURNING $2"), [0]);
    assert_eq!(assigned("UPDATE t SET x = $1, n = ($2) WHERE x = $3"), [0]);
    assert_eq!(assigned("SELECT $1"), Vec::<usize>::new());
}
