//! The grammar of portable SQL, as far as statements go, and the way it is written for each database.
//!
//! What is sent to a database is never the plugin's text: it is written here, piece by piece, while the text is read. What the grammar does not have is an error, so that nothing can pass by being
//! overlooked; and since every name is written in quotes and every operation in parentheses, both databases read it in the one way in which it was understood here. It is a parser of our own since the
//! ones that there are read the union of all dialects, of which all but a little would have to be found and refused again.

use crate::lexer::{Token, TokenKind, tokens};
use crate::names;
use crate::{Error, Value};

/// The longest statement, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// How deep parentheses, cases and questions within questions may go.
const MAX_DEPTH: usize = 40;
/// Operators in one expression: SQLite has a limit of 1,000 for the depth of what it makes of them.
const MAX_OPERATORS: usize = 900;
/// As many as SQLite has.
const MAX_PARAMETERS: usize = 32_766;

/// What a statement is written for.
#[derive(Clone, Copy)]
pub enum Dialect<'s> {
    /// SQLite, with the tables that there are.
    Sqlite(&'s dyn Schema),
    /// PostgreSQL.
    Postgres,
}

/// What has to be known of SQLite's tables. Names are in lower case; what is not there is neither.
pub trait Schema {
    /// Whether the column can never be NULL.
    fn is_not_null(&self, table: &str, column: &str) -> bool;
    /// Whether the column counts by itself.
    fn is_serial(&self, table: &str, column: &str) -> bool;
}

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reading and changing rows.
    Rows,
    /// Tables and indexes too.
    Migration,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It changes nothing.
    Read,
    /// It changes rows.
    Write,
    /// It changes tables.
    Define,
}

/// A statement that was found to be portable, in the words of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its text.
    pub sql: String,
    /// What it does.
    pub action: Action,
    /// Whether its answer is limited by its own words.
    pub has_limit: bool,
    /// Whether anything is compared with a pattern.
    pub has_like: bool,
    /// Which columns of the answer are BOOLEAN by the way they are computed, as far as they can be counted.
    pub booleans: Booleans,
    /// The parameters, counted from 0, that are values of columns and nothing else. A database may find out their types by itself.
    pub assigned: Vec<usize>,
}

/// Columns that are BOOLEAN, counted from the front up to the first `*`, and from the back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Booleans {
    pub(crate) front: Vec<bool>,
    pub(crate) back: Vec<bool>,
}

impl Booleans {
    /// Whether the column `index` of `count` is one.
    #[must_use]
    pub fn has(&self, index: usize, count: usize) -> bool {
        let from_back = count.checked_sub(index + 1).and_then(|index| self.back.get(index));
        self.front.get(index).or(from_back).copied().unwrap_or(false)
    }
}

/// Writes `sql`, whose parameters have the values `parameters`, for `dialect`.
///
/// # Errors
///
/// [`Error::Invalid`] if it is not portable; the text says what, and where.
pub fn write(sql: &str, parameters: &[Value], dialect: Dialect<'_>, mode: Mode) -> Result<Written, Error> {
    if sql.len() > MAX_BYTES {
        return Err(Error::Invalid(format!("a statement of {} bytes, at most {MAX_BYTES}", sql.len())));
    }
    if parameters.len() > MAX_PARAMETERS {
        return Err(Error::Invalid(format!("{} parameters, at most {MAX_PARAMETERS}", parameters.len())));
    }
    let mut parser = Parser {
        tokens: tokens(sql)?,
        next: 0,
        dialect,
        parameters,
        uses: vec![0; parameters.len()],
        assigned: vec![0; parameters.len()],
        depth: 0,
        operators: 0,
        scopes: Vec::new(),
        in_insert: false,
        named: Vec::new(),
        has_like: false,
    };
    let mut written = parser.statement(mode)?;
    parser.eat_symbol(";");
    if parser.next < parser.tokens.len() {
        return Err(parser.unexpected("the end of the statement"));
    }
    if let Some(unused) = parser.uses.iter().position(|uses| *uses == 0) {
        return Err(Error::Invalid(format!("the parameter ${} is not used", unused + 1)));
    }
    let alone = parser.uses.iter().zip(&parser.assigned).map(|(uses, assigned)| uses == assigned);
    written.has_like = parser.has_like;
    written.assigned = alone.enumerate().filter(|(_, alone)| *alone).map(|(index, _)| index).collect();
    Ok(written)
}

/// A statement that is being read and written.
pub(crate) struct Parser<'s> {
    tokens: Vec<Token>,
    next: usize,
    pub(crate) dialect: Dialect<'s>,
    pub(crate) parameters: &'s [Value],
    /// How often each parameter is used, and how often as the value of a column and nothing else.
    pub(crate) uses: Vec<usize>,
    pub(crate) assigned: Vec<usize>,
    depth: usize,
    pub(crate) operators: usize,
    /// The tables of the selections that are being read, the innermost last.
    pub(crate) scopes: Vec<Scope>,
    /// Whether a selection is the source of an INSERT.
    pub(crate) in_insert: bool,
    /// The names that a `WITH` has given so far. None of them is a table any more.
    pub(crate) named: Vec<String>,
    pub(crate) has_like: bool,
}

/// The tables of one selection.
#[derive(Default)]
pub(crate) struct Scope {
    /// By the name that they have here. None of a table is a question or one whose rows may be missing.
    pub(crate) tables: Vec<(String, Option<String>)>,
    /// Names given to columns of the answer.
    pub(crate) aliases: Vec<String>,
}

impl Parser<'_> {
    fn statement(&mut self, mode: Mode) -> Result<Written, Error> {
        let define = |sql| Parser::written(sql, Action::Define, false, Booleans::default());
        let word = self.peek_word().unwrap_or_default().to_owned();
        match (word.as_str(), mode) {
            ("create" | "alter" | "drop", Mode::Migration) => Ok(define(self.definition()?)),
            ("create" | "alter" | "drop", Mode::Rows) => {
                Err(self.wrong(&format!("`{}` has its place in a migration", word.to_uppercase())))
            }
            ("select" | "with" | "insert" | "update" | "delete", _) => self.rows(),
            _ => Err(self.unexpected("SELECT, INSERT, UPDATE, DELETE or WITH")),
        }
    }

    fn rows(&mut self) -> Result<Written, Error> {
        let with = self.with()?;
        let (sql, action, has_limit, booleans) = match self.peek_word() {
            Some("select") => {
                let selection = self.selection()?;
                (selection.sql, Action::Read, selection.has_limit, selection.booleans)
            }
            Some("insert") => self.insert()?,
            Some("update") => self.update()?,
            Some("delete") => self.delete()?,
            _ => return Err(self.unexpected("SELECT, INSERT, UPDATE or DELETE")),
        };
        Ok(Parser::written(with + &sql, action, has_limit, booleans))
    }

    /// What is known before the end.
    fn written(sql: String, action: Action, has_limit: bool, booleans: Booleans) -> Written {
        Written { sql, action, has_limit, has_like: false, booleans, assigned: Vec::new() }
    }

    fn insert(&mut self) -> Result<(String, Action, bool, Booleans), Error> {
        self.keywords(&["insert", "into"])?;
        let table = self.relation()?;
        let mut sql = format!("INSERT INTO \"{table}\"");
        self.scopes.push(Scope { tables: vec![(table.clone(), Some(table.clone()))], aliases: Vec::new() });
        if self.eat_word("as") {
            sql += &format!(" AS \"{}\"", self.relation()?);
        }
        if self.eat_words(&["default", "values"]) {
            sql += " DEFAULT VALUES";
        } else {
            if !self.is_symbol("(") {
                return Err(self.unexpected("the names of the columns, in parentheses"));
            }
            let columns = self.columns()?;
            columns.iter().try_for_each(|column| self.settable(&table, column))?;
            sql += &format!(" {}", names::list(&columns));
            sql += &self.source(columns.len())?;
        }
        if self.eat_words(&["on", "conflict"]) {
            sql += &self.on_conflict(&table)?;
        }
        let (returning, booleans) = self.returning()?;
        self.scopes.pop();
        Ok((sql + &returning, Action::Write, false, booleans))
    }

    /// What an INSERT puts in: rows, or the answer of a question.
    fn source(&mut self, width: usize) -> Result<String, Error> {
        if !self.eat_word("values") {
            let with = self.with()?;
            if self.peek_word() != Some("select") {
                return Err(self.unexpected("VALUES or SELECT"));
            }
            self.in_insert = true;
            let selection = self.selection()?;
            self.in_insert = false;
            return Ok(format!(" {with}{}", selection.sql));
        }
        let mut rows = Vec::new();
        loop {
            let values = self.in_parentheses(|parser| {
                let mut values = vec![parser.value_of_column()?];
                while parser.eat_symbol(",") {
                    values.push(parser.value_of_column()?);
                }
                Ok(values)
            })?;
            if values.len() != width {
                return Err(self.wrong(&format!("{} values for {width} columns", values.len())));
            }
            rows.push(format!("({})", values.join(", ")));
            if !self.eat_symbol(",") {
                return Ok(format!(" VALUES {}", rows.join(", ")));
            }
        }
    }

    fn on_conflict(&mut self, table: &str) -> Result<String, Error> {
        let mut sql = " ON CONFLICT".to_owned();
        let target = self.is_symbol("(");
        if target {
            sql += &format!(" {}", names::list(&self.columns()?));
            if self.eat_word("where") {
                sql += &format!(" WHERE {}", self.expression()?.sql);
            }
        }
        self.keywords(&["do"])?;
        if self.eat_word("nothing") {
            return Ok(sql + " DO NOTHING");
        }
        if !target {
            return Err(self.wrong("`ON CONFLICT DO UPDATE` needs the columns that are in conflict, in parentheses"));
        }
        self.keywords(&["update"])?;
        sql += &format!(" DO UPDATE {}", self.assignments(table)?);
        if self.eat_word("where") {
            sql += &format!(" WHERE {}", self.expression()?.sql);
        }
        Ok(sql)
    }

    fn update(&mut self) -> Result<(String, Action, bool, Booleans), Error> {
        self.keywords(&["update"])?;
        let table = self.relation()?;
        let alias = if self.eat_word("as") { Some(self.relation()?) } else { None };
        let mut sql = format!("UPDATE \"{table}\"");
        sql += &alias.as_ref().map(|alias| format!(" AS \"{alias}\"")).unwrap_or_default();
        self.scopes.push(Scope { tables: vec![(alias.unwrap_or_else(|| table.clone()), Some(table.clone()))], aliases: Vec::new() });
        sql += &format!(" {}", self.assignments(&table)?);
        sql += &self.condition()?;
        let (returning, booleans) = self.returning()?;
        self.scopes.pop();
        Ok((sql + &returning, Action::Write, false, booleans))
    }

    fn delete(&mut self) -> Result<(String, Action, bool, Booleans), Error> {
        self.keywords(&["delete", "from"])?;
        let table = self.relation()?;
        let alias = if self.eat_word("as") { Some(self.relation()?) } else { None };
        let mut sql = format!("DELETE FROM \"{table}\"");
        sql += &alias.as_ref().map(|alias| format!(" AS \"{alias}\"")).unwrap_or_default();
        self.scopes.push(Scope { tables: vec![(alias.unwrap_or_else(|| table.clone()), Some(table))], aliases: Vec::new() });
        sql += &self.condition()?;
        let (returning, booleans) = self.returning()?;
        self.scopes.pop();
        Ok((sql + &returning, Action::Write, false, booleans))
    }

    fn assignments(&mut self, table: &str) -> Result<String, Error> {
        self.keywords(&["set"])?;
        let mut assignments = Vec::new();
        loop {
            let column = self.column()?;
            self.settable(table, &column)?;
            self.symbol("=")?;
            assignments.push(format!("\"{column}\" = {}", self.value_of_column()?));
            if !self.eat_symbol(",") {
                return Ok(format!("SET {}", assignments.join(", ")));
            }
        }
    }

    fn condition(&mut self) -> Result<String, Error> {
        Ok(if self.eat_word("where") { format!(" WHERE {}", self.expression()?.sql) } else { String::new() })
    }

    fn returning(&mut self) -> Result<(String, Booleans), Error> {
        if !self.eat_word("returning") {
            return Ok((String::new(), Booleans::default()));
        }
        let (items, booleans) = self.items()?;
        Ok((format!(" RETURNING {items}"), booleans))
    }

    /// PostgreSQL refuses a value for a column that counts by itself; SQLite would take it.
    fn settable(&self, table: &str, column: &str) -> Result<(), Error> {
        match self.dialect {
            Dialect::Sqlite(schema) if schema.is_serial(table, column) => {
                Err(Error::Invalid(format!("`{column}` of `{table}` is SERIAL and has its values by itself")))
            }
            _ => Ok(()),
        }
    }
}

// The parts of the grammar that the other files share.
impl Parser<'_> {
    /// The name of a table, of an index, or of what stands for a table.
    pub(crate) fn relation(&mut self) -> Result<String, Error> {
        let name = self.name("the name of a table")?;
        if self.is_symbol(".") {
            return Err(self.wrong("a table has no name before its own: a plugin has one space"));
        }
        names::check_relation(&name).map_err(|rule| self.wrong_before(&rule))?;
        Ok(name)
    }

    /// The name of a column.
    pub(crate) fn column(&mut self) -> Result<String, Error> {
        let name = self.name("the name of a column")?;
        names::check_column(&name).map_err(|rule| self.wrong_before(&rule))?;
        Ok(name)
    }

    /// Names of columns in parentheses.
    pub(crate) fn columns(&mut self) -> Result<Vec<String>, Error> {
        self.in_parentheses(|parser| {
            let mut columns = vec![parser.column()?];
            while parser.eat_symbol(",") {
                columns.push(parser.column()?);
            }
            Ok(columns)
        })
    }

    /// A name of whatever kind, in lower case.
    fn name(&mut self, expected: &str) -> Result<String, Error> {
        let name = match self.peek() {
            Some(TokenKind::Word(word)) if !names::is_reserved(word) => word.clone(),
            Some(TokenKind::Quoted(name)) => name.clone(),
            _ => return Err(self.unexpected(expected)),
        };
        self.next += 1;
        names::check(&name).map_err(|rule| self.wrong_before(&rule))?;
        Ok(name)
    }

    /// What `read` reads, between parentheses.
    pub(crate) fn in_parentheses<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.symbol("(")?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong(&format!("it is nested deeper than {MAX_DEPTH}")));
        }
        let found = read(self)?;
        self.depth -= 1;
        self.symbol(")")?;
        Ok(found)
    }

    /// What `read` reads, one level deeper.
    pub(crate) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong(&format!("it is nested deeper than {MAX_DEPTH}")));
        }
        let found = read(self)?;
        self.depth -= 1;
        Ok(found)
    }

    /// Counts an operator of the expression that is being read.
    pub(crate) fn count_operator(&mut self) -> Result<(), Error> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(self.wrong(&format!("an expression has more than {MAX_OPERATORS} operators")));
        }
        Ok(())
    }

    pub(crate) fn peek(&self) -> Option<&TokenKind> {
        self.peek_at(0)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<&TokenKind> {
        self.tokens.get(self.next + ahead).map(|token| &token.kind)
    }

    pub(crate) fn peek_word(&self) -> Option<&str> {
        self.word_at(0)
    }

    pub(crate) fn word_at(&self, ahead: usize) -> Option<&str> {
        match self.peek_at(ahead) {
            Some(TokenKind::Word(word)) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn skip(&mut self) {
        self.next += 1;
    }

    pub(crate) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Some(TokenKind::Symbol(found)) if *found == symbol)
    }

    pub(crate) fn eat_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.next += usize::from(found);
        found
    }

    pub(crate) fn symbol(&mut self, symbol: &str) -> Result<(), Error> {
        if self.eat_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        self.eat_words(&[word])
    }

    /// Takes all of `words`, or nothing.
    pub(crate) fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(index, word)| self.word_at(index) == Some(word));
        self.next += if found { words.len() } else { 0 };
        found
    }

    pub(crate) fn keywords(&mut self, words: &[&str]) -> Result<(), Error> {
        for word in words {
            if !self.eat_word(word) {
                return Err(self.unexpected(&word.to_uppercase()));
            }
        }
        Ok(())
    }

    pub(crate) fn unexpected(&self, expected: &str) -> Error {
        let found = match self.peek() {
            None => return Error::Invalid(format!("expected {expected}, found the end of the statement")),
            Some(TokenKind::Word(text) | TokenKind::Integer(text) | TokenKind::Real(text)) => text.clone(),
            Some(TokenKind::Quoted(text)) => format!("\"{text}\""),
            Some(TokenKind::Text(_)) => "a text".to_owned(),
            Some(TokenKind::Parameter(number)) => format!("${number}"),
            Some(TokenKind::Symbol(symbol)) => (*symbol).to_owned(),
        };
        self.wrong(&format!("expected {expected}, found `{found}`"))
    }

    /// A mistake at the token that comes next.
    pub(crate) fn wrong(&self, message: &str) -> Error {
        self.wrong_at(self.next, message)
    }

    /// A mistake at the token that was read last.
    pub(crate) fn wrong_before(&self, message: &str) -> Error {
        self.wrong_at(self.next.saturating_sub(1), message)
    }

    fn wrong_at(&self, token: usize, message: &str) -> Error {
        match self.tokens.get(token) {
            Some(token) => Error::Invalid(format!("{message}, at character {}", token.at)),
            None => Error::Invalid(message.to_owned()),
        }
    }
}
