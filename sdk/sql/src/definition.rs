//! The grammar of migrations: tables and indexes.
//!
//! SQLite gives a column any value unless it is told otherwise, so that each column is written with a condition on its type. It has the name that [`TYPE_RULE`] begins, by which a value of another type
//! is told from one that breaks a rule of the plugin's.

use crate::Error;
use crate::lexer::TokenKind;
use crate::names;
use crate::parser::{Dialect, Parser, Scope};

/// How the name of a condition on a column's type begins in SQLite.
pub(crate) const TYPE_RULE: &str = "wharf_type_";

/// The name of the condition in SQLite that no part of a key is NULL.
pub(crate) const NULL_RULE: &str = "wharf_not_null";

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Boolean,
    Bigint,
    DoublePrecision,
    Text,
    Bytea,
    Serial,
}

/// What is wanted of a column that is added to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    NewTable,
    OldTable,
}

impl Parser<'_> {
    /// CREATE, ALTER or DROP.
    pub(crate) fn definition(&mut self) -> Result<String, Error> {
        let second = self.word_at(1).unwrap_or_default().to_owned();
        match (self.peek_word(), second.as_str()) {
            (Some("create"), "table") => self.create_table(),
            (Some("create"), "index" | "unique") => self.create_index(),
            (Some("alter"), "table") => self.alter_table(),
            (Some("drop"), kind @ ("table" | "index")) => {
                let kind = kind.to_uppercase();
                self.skip();
                self.skip();
                let exists = if self.eat_words(&["if", "exists"]) { "IF EXISTS " } else { "" };
                Ok(format!("DROP {kind} {exists}\"{}\"", self.relation()?))
            }
            _ => {
                self.skip();
                Err(self.unexpected("TABLE or INDEX"))
            }
        }
    }

    fn create_table(&mut self) -> Result<String, Error> {
        self.keywords(&["create", "table"])?;
        let exists = if self.eat_words(&["if", "not", "exists"]) { "IF NOT EXISTS " } else { "" };
        let table = self.relation()?;
        self.scopes.push(Scope::default());
        let parts = self.in_parentheses(|parser| {
            let mut parts = Vec::new();
            loop {
                let rule = matches!(parser.peek_word(), Some("constraint" | "primary" | "unique" | "check" | "foreign"));
                parts.push(if rule { parser.table_rule()? } else { parser.column_definition(Place::NewTable)? });
                if !parser.eat_symbol(",") {
                    return Ok(parts);
                }
            }
        })?;
        self.scopes.pop();
        Ok(format!("CREATE TABLE {exists}\"{table}\" ({})", parts.join(", ")))
    }

    fn create_index(&mut self) -> Result<String, Error> {
        self.keywords(&["create"])?;
        let unique = if self.eat_word("unique") { "UNIQUE " } else { "" };
        self.keywords(&["index"])?;
        let exists = if self.eat_words(&["if", "not", "exists"]) { "IF NOT EXISTS " } else { "" };
        let index = self.relation()?;
        self.keywords(&["on"])?;
        let table = self.relation()?;
        let terms = self.in_parentheses(|parser| {
            let mut terms = Vec::new();
            loop {
                let term = parser.expression()?;
                let direction = if parser.eat_word("desc") { " DESC" } else { "" };
                parser.eat_word("asc");
                let sql = if term.column.is_some() { term.sql } else { format!("({})", term.sql) };
                terms.push(format!("{sql}{direction}"));
                if !parser.eat_symbol(",") {
                    return Ok(terms);
                }
            }
        })?;
        let condition = if self.eat_word("where") { format!(" WHERE {}", self.expression()?.sql) } else { String::new() };
        Ok(format!("CREATE {unique}INDEX {exists}\"{index}\" ON \"{table}\" ({}){condition}", terms.join(", ")))
    }

    fn alter_table(&mut self) -> Result<String, Error> {
        self.keywords(&["alter", "table"])?;
        let table = self.relation()?;
        let change = match self.peek_word() {
            Some("add") => {
                self.skip();
                self.eat_word("column");
                format!("ADD COLUMN {}", self.column_definition(Place::OldTable)?)
            }
            Some("drop") => {
                self.skip();
                self.eat_word("column");
                format!("DROP COLUMN \"{}\"", self.column()?)
            }
            Some("rename") => {
                self.skip();
                if self.eat_word("to") {
                    format!("RENAME TO \"{}\"", self.relation()?)
                } else {
                    self.eat_word("column");
                    let old = self.column()?;
                    self.keywords(&["to"])?;
                    format!("RENAME COLUMN \"{old}\" TO \"{}\"", self.column()?)
                }
            }
            _ => return Err(self.unexpected("ADD, DROP or RENAME")),
        };
        Ok(format!("ALTER TABLE \"{table}\" {change}"))
    }

    fn column_definition(&mut self, place: Place) -> Result<String, Error> {
        let name = self.column()?;
        let of_type = self.of_type()?;
        if of_type == Type::Serial {
            if place == Place::OldTable || !self.eat_words(&["primary", "key"]) {
                return Err(self.wrong("SERIAL stands in a new table, as `SERIAL PRIMARY KEY`"));
            }
            return Ok(match self.dialect {
                Dialect::Sqlite(_) => format!("\"{name}\" INTEGER PRIMARY KEY AUTOINCREMENT"),
                Dialect::Postgres => format!("\"{name}\" BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
            });
        }
        let mut sql = self.typed(&name, of_type);
        loop {
            let constraint = if self.eat_word("constraint") { format!(" CONSTRAINT \"{}\"", self.relation()?) } else { String::new() };
            let rule = match self.peek_word() {
                Some("not") => {
                    self.keywords(&["not", "null"])?;
                    "NOT NULL".to_owned()
                }
                Some(word @ ("primary" | "unique")) if place == Place::OldTable => {
                    let message = format!("a column that is added cannot be {}: SQLite has no way to do that", word.to_uppercase());
                    return Err(self.wrong(&message));
                }
                Some("primary") => {
                    self.keywords(&["primary", "key"])?;
                    // SQLite lets NULL be a key unless it is said.
                    "PRIMARY KEY NOT NULL".to_owned()
                }
                Some("unique") => {
                    self.skip();
                    "UNIQUE".to_owned()
                }
                Some("default") => {
                    self.skip();
                    format!("DEFAULT ({})", self.expression()?.sql)
                }
                Some("check") => self.check()?,
                Some("references") => self.references()?,
                _ if constraint.is_empty() => return Ok(sql),
                _ => return Err(self.unexpected("a rule")),
            };
            sql += &format!("{constraint} {rule}");
        }
    }

    fn of_type(&mut self) -> Result<Type, Error> {
        let of_type = match self.peek_word() {
            Some("boolean") => Type::Boolean,
            Some("bigint" | "integer" | "int") => Type::Bigint,
            Some("double" | "real") => Type::DoublePrecision,
            Some("text") => Type::Text,
            Some("bytea" | "blob") => Type::Bytea,
            Some("serial") => Type::Serial,
            _ => return Err(self.unexpected("BOOLEAN, BIGINT, DOUBLE PRECISION, TEXT, BYTEA or SERIAL")),
        };
        let double = self.peek_word() == Some("double");
        self.skip();
        if double {
            self.keywords(&["precision"])?;
        }
        if matches!(self.peek(), Some(TokenKind::Symbol("("))) {
            return Err(self.wrong("a type has no length: use CHECK (length(…) <= …)"));
        }
        Ok(of_type)
    }

    /// The column `name` with its type.
    fn typed(&self, name: &str, of_type: Type) -> String {
        let (sqlite, kind, postgres) = match of_type {
            Type::Boolean => ("BOOLEAN", "", "BOOLEAN"),
            Type::Bigint | Type::Serial => ("BIGINT", "integer", "BIGINT"),
            Type::DoublePrecision => ("DOUBLE PRECISION", "real", "DOUBLE PRECISION"),
            Type::Text => ("TEXT", "text", "TEXT COLLATE \"C\""),
            Type::Bytea => ("BLOB", "blob", "BYTEA"),
        };
        match self.dialect {
            Dialect::Postgres => format!("\"{name}\" {postgres}"),
            Dialect::Sqlite(_) => {
                let is =
                    if kind.is_empty() { format!("\"{name}\" IN (0, 1)") } else { format!("typeof(\"{name}\") IN ('{kind}', 'null')") };
                // A name that is too long for PostgreSQL is none; SQLite knows no such limit.
                format!("\"{name}\" {sqlite} CONSTRAINT \"{TYPE_RULE}{name}\" CHECK ({is})")
            }
        }
    }

    fn table_rule(&mut self) -> Result<String, Error> {
        let constraint = if self.eat_word("constraint") { format!("CONSTRAINT \"{}\" ", self.relation()?) } else { String::new() };
        let rule = match self.peek_word() {
            Some("primary") => {
                self.keywords(&["primary", "key"])?;
                let columns = self.columns()?;
                let never_null: Vec<String> = columns.iter().map(|column| format!("\"{column}\" IS NOT NULL")).collect();
                // PostgreSQL has this condition by itself.
                match self.dialect {
                    Dialect::Sqlite(_) => {
                        format!("PRIMARY KEY {}, CONSTRAINT \"{NULL_RULE}\" CHECK ({})", names::list(&columns), never_null.join(" AND "))
                    }
                    Dialect::Postgres => format!("PRIMARY KEY {}", names::list(&columns)),
                }
            }
            Some("unique") => {
                self.skip();
                format!("UNIQUE {}", names::list(&self.columns()?))
            }
            Some("check") => self.check()?,
            Some("foreign") => {
                self.keywords(&["foreign", "key"])?;
                let columns = self.columns()?;
                format!("FOREIGN KEY {} {}", names::list(&columns), self.references()?)
            }
            _ => return Err(self.unexpected("PRIMARY KEY, UNIQUE, CHECK or FOREIGN KEY")),
        };
        Ok(constraint + &rule)
    }

    fn check(&mut self) -> Result<String, Error> {
        self.skip();
        let condition = self.in_parentheses(Self::expression)?;
        Ok(format!("CHECK ({})", condition.sql))
    }

    fn references(&mut self) -> Result<String, Error> {
        self.keywords(&["references"])?;
        let table = self.relation()?;
        let columns = if self.is_symbol("(") { format!(" {}", names::list(&self.columns()?)) } else { String::new() };
        let mut sql = format!("REFERENCES \"{table}\"{columns}");
        while self.eat_word("on") {
            let event = match self.peek_word() {
                Some(event @ ("delete" | "update")) => event.to_uppercase(),
                _ => return Err(self.unexpected("DELETE or UPDATE")),
            };
            self.skip();
            let actions: [(&[&str], &str); 4] =
                [(&["cascade"], "CASCADE"), (&["restrict"], "RESTRICT"), (&["set", "null"], "SET NULL"), (&["no", "action"], "NO ACTION")];
            let action = actions.iter().find(|(words, _)| self.eat_words(words));
            let (_, action) = action.ok_or_else(|| self.unexpected("CASCADE, RESTRICT, SET NULL or NO ACTION"))?;
            sql += &format!(" ON {event} {action}");
        }
        Ok(sql)
    }
}
