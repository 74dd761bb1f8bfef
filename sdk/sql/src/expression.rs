//! The grammar of expressions. Operators bind as in PostgreSQL, and what was read is written with parentheses.
//!
//! For PostgreSQL, numbers are written with the one type that they have in SQLite, and texts with the collation `C`, so that they are computed and compared alike.

use crate::functions::{self, Function};
use crate::lexer::TokenKind;
use crate::parser::{Dialect, Parser};
use crate::{Error, Value, names};

/// An expression that was read.
pub(crate) struct Fragment {
    pub(crate) sql: String,
    /// Whether it is BOOLEAN by the way it is computed.
    pub(crate) boolean: bool,
    /// The column that it is, with the table that it names.
    pub(crate) column: Option<(Option<String>, String)>,
    /// Whether it is a number and nothing else.
    pub(crate) number: bool,
}

impl Fragment {
    pub(crate) fn new(sql: String) -> Fragment {
        Fragment { sql, boolean: false, column: None, number: false }
    }

    fn boolean(sql: String) -> Fragment {
        Fragment { boolean: true, ..Fragment::new(sql) }
    }
}

/// Whether the value of a column ends before `next`.
fn ends_value(next: Option<&TokenKind>) -> bool {
    match next {
        None | Some(TokenKind::Symbol("," | ")" | ";")) => true,
        Some(TokenKind::Word(word)) => matches!(word.as_str(), "where" | "returning"),
        Some(_) => false,
    }
}

/// A level of the grammar.
type Level<'s> = fn(&mut Parser<'s>) -> Result<Fragment, Error>;

impl<'s> Parser<'s> {
    /// An expression.
    pub(crate) fn expression(&mut self) -> Result<Fragment, Error> {
        let operators = std::mem::take(&mut self.operators);
        let found = self.any();
        self.operators = operators;
        found
    }

    /// Expressions with commas between them.
    pub(crate) fn expressions(&mut self) -> Result<Vec<String>, Error> {
        let mut expressions = vec![self.expression()?.sql];
        while self.eat_symbol(",") {
            expressions.push(self.expression()?.sql);
        }
        Ok(expressions)
    }

    /// An expression that is put into a column. It is noted whether that is a parameter and nothing else.
    pub(crate) fn value_of_column(&mut self) -> Result<String, Error> {
        let parameter = match (self.peek(), self.peek_at(1)) {
            (Some(TokenKind::Parameter(number)), next) if ends_value(next) => Some(*number),
            _ => None,
        };
        let value = self.expression()?.sql;
        if let Some(assigned) = parameter.and_then(|number| self.assigned.get_mut(number - 1)) {
            *assigned += 1;
        }
        Ok(value)
    }

    /// An expression that counts its operators with those around it.
    fn any(&mut self) -> Result<Fragment, Error> {
        self.words("or", " OR ", |parser| parser.words("and", " AND ", Self::negation))
    }

    fn words(&mut self, word: &str, written: &str, below: Level<'s>) -> Result<Fragment, Error> {
        let first = below(self)?;
        if self.peek_word() != Some(word) {
            return Ok(first);
        }
        let mut sql = format!("({}", first.sql);
        while self.eat_word(word) {
            self.count_operator()?;
            sql += &format!("{written}{}", below(self)?.sql);
        }
        Ok(Fragment::boolean(sql + ")"))
    }

    fn negation(&mut self) -> Result<Fragment, Error> {
        if self.eat_word("not") {
            self.count_operator()?;
            let negated = self.deeper(Self::negation)?;
            return Ok(Fragment::boolean(format!("(NOT {})", negated.sql)));
        }
        self.is()
    }

    fn is(&mut self) -> Result<Fragment, Error> {
        let mut found = self.comparison()?;
        while self.eat_word("is") {
            self.count_operator()?;
            let not = if self.eat_word("not") { "NOT " } else { "" };
            let what = match self.peek_word() {
                Some(word @ ("null" | "true" | "false")) => word.to_uppercase(),
                Some("distinct") => {
                    self.skip();
                    self.keywords(&["from"])?;
                    let other = self.comparison()?;
                    found = Fragment::boolean(format!("({} IS {not}DISTINCT FROM {})", found.sql, other.sql));
                    continue;
                }
                _ => return Err(self.unexpected("NULL, TRUE, FALSE or DISTINCT FROM")),
            };
            self.skip();
            found = Fragment::boolean(format!("({} IS {not}{what})", found.sql));
        }
        Ok(found)
    }

    fn comparison(&mut self) -> Result<Fragment, Error> {
        let left = self.range()?;
        let Some(operator) = self.operator(&["=", "<>", "!=", "<=", ">=", "<", ">"])? else { return Ok(left) };
        let operator = if operator == "!=" { "<>" } else { operator };
        let right = self.range()?;
        Ok(Fragment::boolean(format!("({} {operator} {})", left.sql, right.sql)))
    }

    fn range(&mut self) -> Result<Fragment, Error> {
        let left = self.joined()?;
        let not = self.peek_word() == Some("not") && matches!(self.word_at(1), Some("in" | "like" | "between"));
        if not {
            self.skip();
        }
        let (left, not) = (left, if not { "NOT " } else { "" });
        let sql = match self.peek_word() {
            Some("between") => {
                self.skip();
                let low = self.joined()?;
                self.keywords(&["and"])?;
                let high = self.joined()?;
                format!("({} {not}BETWEEN {} AND {})", left.sql, low.sql, high.sql)
            }
            Some("in") => {
                self.skip();
                let list = self.in_parentheses(|parser| match parser.peek_word() {
                    Some("select" | "with") => Ok(parser.question()?.sql),
                    _ => Ok(parser.expressions()?.join(", ")),
                })?;
                format!("({} {not}IN ({list}))", left.sql)
            }
            Some("like") => {
                self.skip();
                self.has_like = true;
                let pattern = self.joined()?;
                let escape = self.escape()?;
                format!("({} {not}LIKE {}{escape})", left.sql, pattern.sql)
            }
            Some("ilike" | "glob" | "similar" | "regexp" | "match") => {
                return Err(self.wrong("not portable: compare with LIKE, and with `lower(…)` where case makes no difference"));
            }
            _ => return Ok(left),
        };
        self.count_operator()?;
        Ok(Fragment::boolean(sql))
    }

    /// Without one, PostgreSQL would take the backslash.
    fn escape(&mut self) -> Result<String, Error> {
        if !self.eat_word("escape") {
            return Ok(if matches!(self.dialect, Dialect::Postgres) { " ESCAPE ''".to_owned() } else { String::new() });
        }
        let Some(TokenKind::Text(text)) = self.peek() else { return Err(self.unexpected("a text of one character")) };
        if text.chars().count() != 1 {
            return Err(self.wrong("ESCAPE takes a text of one character"));
        }
        let sql = format!(" ESCAPE {}", quoted(text));
        self.skip();
        Ok(sql)
    }

    fn joined(&mut self) -> Result<Fragment, Error> {
        self.chain(&["||"], Self::sum)
    }

    fn sum(&mut self) -> Result<Fragment, Error> {
        self.chain(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> Result<Fragment, Error> {
        self.chain(&["*", "/", "%"], Self::signed)
    }

    /// Operators of one rank, from left to right.
    fn chain(&mut self, operators: &[&'static str], below: Level<'s>) -> Result<Fragment, Error> {
        let first = below(self)?;
        let Some(mut operator) = self.operator(operators)? else { return Ok(first) };
        let mut sql = format!("({}", first.sql);
        loop {
            let right = below(self)?.sql;
            // Division by zero is NULL, as SQLite has it.
            let by_zero = matches!((operator, self.dialect), ("/" | "%", Dialect::Postgres));
            sql += &if by_zero { format!(" {operator} NULLIF({right}, 0)") } else { format!(" {operator} {right}") };
            match self.operator(operators)? {
                Some(next) => operator = next,
                None => return Ok(Fragment::new(sql + ")")),
            }
        }
    }

    fn operator(&mut self, operators: &[&'static str]) -> Result<Option<&'static str>, Error> {
        let found = operators.iter().find(|operator| self.is_symbol(operator)).copied();
        if found.is_some() {
            self.count_operator()?;
            self.skip();
        }
        Ok(found)
    }

    fn signed(&mut self) -> Result<Fragment, Error> {
        if self.eat_symbol("+") {
            return self.deeper(Self::signed);
        }
        if !self.eat_symbol("-") {
            return self.primary();
        }
        match self.peek() {
            Some(TokenKind::Integer(digits)) => {
                let digits = format!("-{digits}");
                self.skip();
                self.integer(&digits)
            }
            _ => {
                let negated = self.deeper(Self::signed)?;
                Ok(Fragment::new(format!("(- {})", negated.sql)))
            }
        }
    }

    fn primary(&mut self) -> Result<Fragment, Error> {
        let Some(token) = self.peek().cloned() else { return Err(self.unexpected("an expression")) };
        match token {
            TokenKind::Integer(digits) => {
                self.skip();
                self.integer(&digits)
            }
            TokenKind::Real(digits) => {
                self.skip();
                let typed = if matches!(self.dialect, Dialect::Postgres) { format!("({digits}::float8)") } else { digits };
                Ok(Fragment { number: true, ..Fragment::new(typed) })
            }
            TokenKind::Text(text) => {
                self.skip();
                Ok(Fragment::new(self.collated(&quoted(&text))))
            }
            TokenKind::Parameter(number) => self.parameter(number),
            TokenKind::Symbol("(") => self.in_parentheses(|parser| match parser.peek_word() {
                Some("select" | "with") => {
                    let question = parser.question()?;
                    Ok(Fragment::new(format!("({})", question.sql)))
                }
                _ => {
                    let first = parser.any()?;
                    if !parser.eat_symbol(",") {
                        return Ok(Fragment { column: None, sql: format!("({})", first.sql), ..first });
                    }
                    let rest = parser.expressions()?;
                    Ok(Fragment::new(format!("({}, {})", first.sql, rest.join(", "))))
                }
            }),
            TokenKind::Word(word) => self.word(&word),
            TokenKind::Quoted(_) => self.reference(),
            TokenKind::Symbol(_) => Err(self.unexpected("an expression")),
        }
    }

    fn word(&mut self, word: &str) -> Result<Fragment, Error> {
        match word {
            "null" => {
                self.skip();
                Ok(Fragment::new("NULL".to_owned()))
            }
            "true" | "false" => {
                self.skip();
                Ok(Fragment::boolean(word.to_uppercase()))
            }
            "case" => self.case(),
            "cast" => self.cast(),
            "exists" => {
                self.skip();
                let question = self.in_parentheses(Self::question)?;
                Ok(Fragment::boolean(format!("EXISTS ({})", question.sql)))
            }
            _ if names::is_reserved(word) => Err(self.unexpected("an expression")),
            _ if matches!(self.peek_at(1), Some(TokenKind::Symbol("("))) => match functions::find(word) {
                Some(function) => self.call(function),
                None => Err(self.wrong(&format!("there is no function `{word}` in portable SQL; there are {}", functions::listed()))),
            },
            _ => self.reference(),
        }
    }

    /// A column.
    fn reference(&mut self) -> Result<Fragment, Error> {
        let first = self.column()?;
        if !self.eat_symbol(".") {
            let sql = format!("\"{first}\"");
            return Ok(Fragment { column: Some((None, first)), ..Fragment::new(sql) });
        }
        let column = self.column()?;
        if self.is_symbol(".") {
            return Err(self.wrong("a table has no name before its own: a plugin has one space"));
        }
        let sql = format!("\"{first}\".\"{column}\"");
        Ok(Fragment { column: Some((Some(first), column)), ..Fragment::new(sql) })
    }

    fn integer(&self, digits: &str) -> Result<Fragment, Error> {
        let number: i64 = digits.parse().map_err(|_| self.wrong_before(&format!("the number {digits} has no place in 64 bits")))?;
        let sql = match self.dialect {
            // SQLite reads the lowest number as the negation of one that it does not have.
            Dialect::Sqlite(_) if number == i64::MIN => "(-9223372036854775807 - 1)".to_owned(),
            Dialect::Sqlite(_) => format!("({number})"),
            Dialect::Postgres => format!("('{number}'::bigint)"),
        };
        Ok(Fragment { number: true, ..Fragment::new(sql) })
    }

    fn parameter(&mut self, number: usize) -> Result<Fragment, Error> {
        let Some(value) = self.parameters.get(number - 1) else {
            return Err(self.wrong(&format!("there is no value for ${number}")));
        };
        self.skip();
        if let Some(uses) = self.uses.get_mut(number - 1) {
            *uses += 1;
        }
        let sql = match (self.dialect, value) {
            (Dialect::Sqlite(_), _) => format!("?{number}"),
            (Dialect::Postgres, Value::Text(_)) => self.collated(&format!("${number}")),
            (Dialect::Postgres, _) => format!("${number}"),
        };
        Ok(Fragment { boolean: matches!(value, Value::Boolean(_)), ..Fragment::new(sql) })
    }

    /// A text, compared by code point.
    fn collated(&self, text: &str) -> String {
        if matches!(self.dialect, Dialect::Postgres) { format!("({text} COLLATE \"C\")") } else { text.to_owned() }
    }

    fn case(&mut self) -> Result<Fragment, Error> {
        self.skip();
        self.deeper(|parser| {
            let mut sql = "(CASE".to_owned();
            if parser.peek_word() != Some("when") {
                sql += &format!(" {}", parser.any()?.sql);
            }
            let mut boolean = true;
            while parser.eat_word("when") {
                parser.count_operator()?;
                let condition = parser.any()?;
                parser.keywords(&["then"])?;
                let result = parser.any()?;
                boolean &= result.boolean;
                sql += &format!(" WHEN {} THEN {}", condition.sql, result.sql);
            }
            if parser.eat_word("else") {
                let result = parser.any()?;
                boolean &= result.boolean;
                sql += &format!(" ELSE {}", result.sql);
            }
            parser.keywords(&["end"])?;
            Ok(Fragment { boolean, ..Fragment::new(sql + " END)") })
        })
    }

    fn cast(&mut self) -> Result<Fragment, Error> {
        self.skip();
        self.in_parentheses(|parser| {
            let from = parser.any()?.sql;
            parser.keywords(&["as"])?;
            let postgres = matches!(parser.dialect, Dialect::Postgres);
            let sql = match parser.peek_word() {
                Some("bigint" | "integer" | "int") if postgres => format!("wharf.to_bigint({from})"),
                Some("bigint" | "integer" | "int") => format!("CAST({from} AS INTEGER)"),
                Some("text") => parser.collated(&format!("CAST({from} AS TEXT)")),
                Some("double" | "real") if postgres => format!("CAST({from} AS DOUBLE PRECISION)"),
                Some("double" | "real") => format!("CAST({from} AS REAL)"),
                _ => return Err(parser.unexpected("BIGINT, DOUBLE PRECISION or TEXT")),
            };
            let double = parser.peek_word() == Some("double");
            parser.skip();
            if double {
                parser.keywords(&["precision"])?;
            }
            Ok(Fragment::new(sql))
        })
    }

    /// A call of `function`.
    fn call(&mut self, function: &'static Function) -> Result<Fragment, Error> {
        let name = function.name;
        self.skip();
        let arguments = self.in_parentheses(|parser| parser.arguments(function))?;
        let mut boolean = false;
        let mut sql = if arguments.star {
            "count(*)".to_owned()
        } else {
            boolean = function.keeps_boolean && arguments.boolean;
            function.written(self.dialect, &arguments)
        };
        if self.peek_word() == Some("filter") {
            if !function.aggregate {
                return Err(self.wrong(&format!("`{name}` takes no FILTER")));
            }
            self.skip();
            let condition = self.in_parentheses(|parser| {
                parser.keywords(&["where"])?;
                parser.any()
            })?;
            sql += &format!(" FILTER (WHERE {})", condition.sql);
        }
        if self.eat_word("over") {
            if !function.window {
                return Err(self.wrong(&format!("`{name}` takes no OVER")));
            }
            sql += &self.window()?;
        } else if !function.aggregate && function.window {
            return Err(self.unexpected("OVER"));
        }
        Ok(Fragment { boolean, ..Fragment::new(function.finished(self.dialect, sql)) })
    }

    fn arguments(&mut self, function: &Function) -> Result<functions::Arguments, Error> {
        let mut arguments = functions::Arguments::default();
        if function.name == "count" && self.eat_symbol("*") {
            arguments.star = true;
            return Ok(arguments);
        }
        if self.eat_word("distinct") {
            if !function.aggregate || function.name == "string_agg" {
                return Err(self.wrong_before(&format!("`{}` takes no DISTINCT", function.name)));
            }
            arguments.distinct = true;
        }
        if !self.is_symbol(")") {
            loop {
                let argument = self.any()?;
                arguments.boolean |= argument.boolean;
                arguments.written.push(argument.sql);
                if !self.eat_symbol(",") {
                    break;
                }
            }
        }
        let count = arguments.written.len();
        if !function.arguments.contains(&count) {
            return Err(self.wrong(&format!("`{}` does not take {count} arguments", function.name)));
        }
        if function.name == "string_agg" && self.eat_words(&["order", "by"]) {
            arguments.order = Some(self.order()?);
        }
        Ok(arguments)
    }

    fn window(&mut self) -> Result<String, Error> {
        self.in_parentheses(|parser| {
            let mut parts = Vec::new();
            if parser.eat_words(&["partition", "by"]) {
                parts.push(format!("PARTITION BY {}", parser.expressions()?.join(", ")));
            }
            if parser.eat_words(&["order", "by"]) {
                parts.push(format!("ORDER BY {}", parser.order()?));
            }
            Ok(format!(" OVER ({})", parts.join(" ")))
        })
    }
}

/// `text` as a literal.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
