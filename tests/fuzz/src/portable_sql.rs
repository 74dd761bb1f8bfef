//! Any text as a plugin's statement: it is refused, or written for both databases. What is written is what the database will see, so it says the same when it is read again: nothing of the text slips through as something else.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_sql::{Dialect, Mode, Schema, Value, write};

struct NoTables;

impl Schema for NoTables {
    fn is_not_null(&self, _: &str, _: &str) -> bool {
        false
    }

    fn is_serial(&self, _: &str, _: &str) -> bool {
        false
    }
}

fuzz_target!(|text: &str| {
    let parameters = [Value::Integer(1), Value::Text("text".to_owned()), Value::Null];
    for mode in [Mode::Rows, Mode::Migration] {
        for count in 0..=parameters.len() {
            let parameters = &parameters[..count];
            let sqlite = write(text, parameters, Dialect::Sqlite(&NoTables), mode);
            let postgres = write(text, parameters, Dialect::Postgres, mode);
            assert_eq!(sqlite.is_ok(), postgres.is_ok(), "only one database takes `{text}`");
            for written in sqlite.into_iter().chain(postgres) {
                assert!(!written.sql.contains(';') || text.contains(';'), "`{text}` became `{}`", written.sql);
            }
        }
    }
});
