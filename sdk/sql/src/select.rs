//! The grammar of questions.

use crate::Error;
use crate::expression::Fragment;
use crate::lexer::TokenKind;
use crate::names;
use crate::parser::{Booleans, Dialect, Parser, Scope};

/// A question that was read.
pub(crate) struct Selection {
    pub(crate) sql: String,
    pub(crate) has_limit: bool,
    pub(crate) booleans: Booleans,
}

impl Parser<'_> {
    /// `WITH …`, if it is there.
    pub(crate) fn with(&mut self) -> Result<String, Error> {
        if !self.eat_word("with") {
            return Ok(String::new());
        }
        let recursive = if self.eat_word("recursive") { "RECURSIVE " } else { "" };
        let mut tables = Vec::new();
        loop {
            let name = self.relation()?;
            let columns = if self.is_symbol("(") { format!(" {}", names::list(&self.columns()?)) } else { String::new() };
            self.keywords(&["as"])?;
            self.named.push(name.clone());
            let question = self.in_parentheses(Self::question)?;
            tables.push(format!("\"{name}\"{columns} AS ({})", question.sql));
            if !self.eat_symbol(",") {
                return Ok(format!("WITH {recursive}{} ", tables.join(", ")));
            }
        }
    }

    /// A question within another statement.
    pub(crate) fn question(&mut self) -> Result<Selection, Error> {
        let in_insert = std::mem::replace(&mut self.in_insert, false);
        let with = self.with()?;
        if self.peek_word() != Some("select") {
            return Err(self.unexpected("SELECT"));
        }
        let mut selection = self.selection()?;
        self.in_insert = in_insert;
        selection.sql.insert_str(0, &with);
        Ok(selection)
    }

    /// One selection or several put together, in their order and with their limit.
    pub(crate) fn selection(&mut self) -> Result<Selection, Error> {
        let operators = std::mem::take(&mut self.operators);
        let (mut sql, booleans, mut scope) = self.core()?;
        let mut parts: Vec<&str> = Vec::new();
        loop {
            let operator = match self.peek_word() {
                Some("union") if self.word_at(1) == Some("all") => "UNION ALL",
                Some("union") => "UNION",
                Some("except") => "EXCEPT",
                Some("intersect") => "INTERSECT",
                _ => break,
            };
            // INTERSECT binds more tightly in PostgreSQL, and not in SQLite.
            if parts.iter().any(|part| (*part == "INTERSECT") != (operator == "INTERSECT")) {
                return Err(self.wrong("INTERSECT stands beside another operator: use a `WITH` for one of the two"));
            }
            parts.push(operator);
            if parts.len() > 100 {
                return Err(self.wrong("more than 100 selections are put together"));
            }
            self.skip();
            self.eat_word("all");
            sql += &format!(" {operator} {}", self.core()?.0);
            // The columns of several selections are those of none.
            scope = Scope::default();
        }
        self.scopes.push(scope);
        if self.eat_words(&["order", "by"]) {
            sql += &format!(" ORDER BY {}", self.order()?);
        }
        self.scopes.pop();
        let has_limit = self.eat_word("limit");
        if has_limit {
            sql += &format!(" LIMIT {}", self.count()?);
            if self.eat_word("offset") {
                sql += &format!(" OFFSET {}", self.count()?);
            }
        }
        self.operators = operators;
        Ok(Selection { sql, has_limit, booleans })
    }

    /// One selection, without order and limit.
    fn core(&mut self) -> Result<(String, Booleans, Scope), Error> {
        self.keywords(&["select"])?;
        let distinct = if self.eat_word("distinct") { "DISTINCT " } else { "" };
        self.eat_word("all");
        // What is selected is written before it is known of what.
        self.scopes.push(Scope::default());
        let (items, booleans) = self.items()?;
        let mut sql = format!("SELECT {distinct}{items}");
        let has_from = self.eat_word("from");
        if has_from {
            sql += &format!(" FROM {}", self.tables()?);
        }
        if self.eat_word("where") {
            sql += &format!(" WHERE {}", self.expression()?.sql);
        } else if self.in_insert && has_from {
            // SQLite would take the `ON` of an `ON CONFLICT` that follows for that of a join.
            sql += " WHERE TRUE";
        }
        if self.eat_words(&["group", "by"]) {
            let mut terms = Vec::new();
            loop {
                let term = self.expression()?;
                self.check_term(&term)?;
                terms.push(term.sql);
                if !self.eat_symbol(",") {
                    break;
                }
            }
            sql += &format!(" GROUP BY {}", terms.join(", "));
        }
        if self.eat_word("having") {
            sql += &format!(" HAVING {}", self.expression()?.sql);
        }
        Ok((sql, booleans, self.scopes.pop().unwrap_or_default()))
    }

    /// What is selected or returned.
    pub(crate) fn items(&mut self) -> Result<(String, Booleans), Error> {
        let mut items = Vec::new();
        // None for a `*`.
        let mut kinds = Vec::new();
        loop {
            let (item, kind) = self.item()?;
            items.push(item);
            kinds.push(kind);
            if !self.eat_symbol(",") {
                break;
            }
        }
        let front = kinds.iter().map_while(|kind| *kind).collect();
        let back = kinds.iter().rev().map_while(|kind| *kind).collect();
        Ok((items.join(", "), Booleans { front, back }))
    }

    fn item(&mut self) -> Result<(String, Option<bool>), Error> {
        if self.eat_symbol("*") {
            return Ok(("*".to_owned(), None));
        }
        let dot = |kind: Option<&TokenKind>, symbol: &str| matches!(kind, Some(TokenKind::Symbol(found)) if *found == symbol);
        if dot(self.peek_at(1), ".") && dot(self.peek_at(2), "*") {
            let table = self.column()?;
            self.skip();
            self.skip();
            return Ok((format!("\"{table}\".*"), None));
        }
        let Fragment { mut sql, boolean, .. } = self.expression()?;
        if let Some(alias) = self.alias()? {
            sql += &format!(" AS \"{alias}\"");
            if let Some(scope) = self.scopes.last_mut() {
                scope.aliases.push(alias);
            }
        }
        Ok((sql, Some(boolean)))
    }

    /// A name that is given, with or without `AS`.
    fn alias(&mut self) -> Result<Option<String>, Error> {
        let bare = match self.peek() {
            Some(TokenKind::Word(word)) => !names::is_reserved(word),
            Some(TokenKind::Quoted(_)) => true,
            _ => false,
        };
        if self.eat_word("as") || bare { Ok(Some(self.column()?)) } else { Ok(None) }
    }

    fn tables(&mut self) -> Result<String, Error> {
        let mut sql = self.table(false)?;
        loop {
            if self.eat_symbol(",") {
                sql += &format!(", {}", self.table(false)?);
                continue;
            }
            let (join, outer) = match self.peek_word() {
                Some("join" | "inner") => (" JOIN ", false),
                Some("left") => (" LEFT JOIN ", true),
                Some("cross") => (" CROSS JOIN ", false),
                Some(word @ ("right" | "full" | "natural")) => {
                    return Err(self.wrong(&format!("a {} join is not portable", word.to_uppercase())));
                }
                _ => return Ok(sql),
            };
            if !self.eat_word("join") {
                self.skip();
                self.eat_word("outer");
                self.keywords(&["join"])?;
            }
            sql += &format!("{join}{}", self.table(outer)?);
            if join == " CROSS JOIN " {
                continue;
            }
            if self.eat_word("using") {
                sql += &format!(" USING {}", names::list(&self.columns()?));
            } else {
                self.keywords(&["on"])?;
                sql += &format!(" ON {}", self.expression()?.sql);
            }
        }
    }

    /// A table or a question that stands for one. `outer`: its rows may be missing.
    fn table(&mut self, outer: bool) -> Result<String, Error> {
        let (mut sql, table) = if self.is_symbol("(") {
            let question = self.in_parentheses(Self::question)?;
            (format!("({})", question.sql), None)
        } else {
            let name = self.relation()?;
            if self.is_symbol("(") {
                return Err(self.wrong_before(&format!("`{name}` is no table, and functions that make tables are not portable")));
            }
            (format!("\"{name}\""), Some(name))
        };
        let alias = self.alias()?;
        if let Some(alias) = &alias {
            names::check_relation(alias).map_err(|rule| self.wrong_before(&rule))?;
            sql += &format!(" AS \"{alias}\"");
        }
        let Some(name) = alias.or_else(|| table.clone()) else {
            return Err(self.unexpected("a name for what stands in the parentheses"));
        };
        if let Some(scope) = self.scopes.last_mut() {
            let is_table = |table: &String| !outer && !self.named.contains(table);
            scope.tables.push((name, table.filter(is_table)));
        }
        Ok(sql)
    }

    /// The terms of an order.
    pub(crate) fn order(&mut self) -> Result<String, Error> {
        let mut terms = Vec::new();
        loop {
            let term = self.expression()?;
            self.check_term(&term)?;
            let descending = self.eat_word("desc");
            if !descending {
                self.eat_word("asc");
            }
            let nulls_first = match (self.eat_word("nulls"), self.eat_word("first")) {
                (true, true) => Some(true),
                (true, false) => {
                    self.keywords(&["last"])?;
                    Some(false)
                }
                _ => None,
            };
            terms.push(self.ordered(&term, descending, nulls_first));
            if !self.eat_symbol(",") {
                return Ok(terms.join(", "));
            }
        }
    }

    /// A term of an order. Unless it is said, NULL is larger than everything, as PostgreSQL has it; what SQLite needs to be told for that keeps it from using an index, so it is told only
    /// where there may be a NULL.
    fn ordered(&self, term: &Fragment, descending: bool, nulls_first: Option<bool>) -> String {
        let direction = if descending { " DESC" } else { "" };
        let nulls_first = match (self.dialect, nulls_first) {
            (Dialect::Sqlite(_), _) if self.is_never_null(term) => None,
            (Dialect::Sqlite(_), None) => Some(descending),
            (_, said) => said,
        };
        let nulls = match nulls_first {
            Some(true) => " NULLS FIRST",
            Some(false) => " NULLS LAST",
            None => "",
        };
        format!("{}{direction}{nulls}", term.sql)
    }

    /// Whether `term` is a column of a table in which it cannot be NULL.
    fn is_never_null(&self, term: &Fragment) -> bool {
        let (Dialect::Sqlite(schema), Some((table, column)), Some(scope)) = (self.dialect, &term.column, self.scopes.last()) else {
            return false;
        };
        if table.is_none() && scope.aliases.contains(column) {
            return false;
        }
        let mut tables = scope.tables.iter().filter(|(name, _)| table.as_ref().is_none_or(|wanted| wanted == name));
        match (tables.next(), tables.next()) {
            (Some((_, Some(table))), None) => schema.is_not_null(table, column),
            _ => false,
        }
    }

    /// A number alone would be the number of a column.
    fn check_term(&self, term: &Fragment) -> Result<(), Error> {
        if term.number { Err(self.wrong_before("a column is named, not counted")) } else { Ok(()) }
    }

    /// How many rows: a number or a parameter.
    fn count(&mut self) -> Result<String, Error> {
        match self.peek() {
            Some(TokenKind::Integer(_) | TokenKind::Parameter(_)) => Ok(self.expression()?.sql),
            _ => Err(self.unexpected("a number or a parameter")),
        }
    }
}
