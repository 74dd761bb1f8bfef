//! Which tables there are, as far as the parser has to know.

use std::collections::HashMap;

use crate::parser::Schema;

/// The tables, once they were asked for.
#[derive(Default)]
pub(super) struct Tables(Option<HashMap<(String, String), Column>>);

struct Column {
    not_null: bool,
    serial: bool,
}

impl Tables {
    /// Asks for them, unless that was done.
    pub(super) fn load(&mut self, connection: &rusqlite::Connection) -> rusqlite::Result<()> {
        if self.0.is_some() {
            return Ok(());
        }
        // Only `SERIAL` is written as INTEGER: it is the one that counts.
        let sql = "SELECT lower(t.name), lower(c.name), c.\"notnull\" OR c.pk, c.pk AND c.type = 'INTEGER'
            FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
        let mut compiled = connection.prepare(sql)?;
        let columns =
            compiled.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), Column { not_null: row.get(2)?, serial: row.get(3)? })))?;
        self.0 = Some(columns.collect::<rusqlite::Result<_>>()?);
        Ok(())
    }

    fn column(&self, table: &str, column: &str) -> Option<&Column> {
        self.0.as_ref()?.get(&(table.to_owned(), column.to_owned()))
    }
}

impl Schema for Tables {
    fn is_not_null(&self, table: &str, column: &str) -> bool {
        self.column(table, column).is_some_and(|column| column.not_null)
    }

    fn is_serial(&self, table: &str, column: &str) -> bool {
        self.column(table, column).is_some_and(|column| column.serial)
    }
}
