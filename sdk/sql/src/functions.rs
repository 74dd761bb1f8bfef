//! The functions of portable SQL, and what they are called in each database.

use std::ops::RangeInclusive;

use crate::parser::Dialect;

/// A function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// How many arguments it takes.
    pub(crate) arguments: RangeInclusive<usize>,
    /// Whether it takes many rows.
    pub(crate) aggregate: bool,
    /// Whether it may have an OVER.
    pub(crate) window: bool,
    /// Whether it is BOOLEAN when an argument is.
    pub(crate) keeps_boolean: bool,
    /// Its name in SQLite.
    sqlite: &'static str,
    /// Its name in PostgreSQL.
    postgres: &'static str,
}

/// The arguments of a call, as they are written.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) written: Vec<String>,
    pub(crate) distinct: bool,
    pub(crate) order: Option<String>,
    pub(crate) boolean: bool,
    /// `*` in their place.
    pub(crate) star: bool,
}

const fn scalar(name: &'static str, arguments: RangeInclusive<usize>) -> Function {
    Function { name, arguments, aggregate: false, window: false, keeps_boolean: false, sqlite: name, postgres: name }
}

const fn aggregate(name: &'static str, postgres: &'static str) -> Function {
    Function { name, arguments: 1..=1, aggregate: true, window: true, keeps_boolean: false, sqlite: name, postgres }
}

const fn window(name: &'static str) -> Function {
    Function { name, arguments: 0..=0, aggregate: false, window: true, keeps_boolean: false, sqlite: name, postgres: name }
}

const FUNCTIONS: [Function; 21] = [
    scalar("abs", 1..=1),
    aggregate("avg", "avg"),
    Function { keeps_boolean: true, ..scalar("coalesce", 2..=100) },
    aggregate("count", "count"),
    window("dense_rank"),
    Function { postgres: "strpos", ..scalar("instr", 2..=2) },
    scalar("length", 1..=1),
    scalar("lower", 1..=1),
    scalar("ltrim", 1..=1),
    aggregate("max", "max"),
    aggregate("min", "min"),
    Function { keeps_boolean: true, ..scalar("nullif", 2..=2) },
    window("rank"),
    scalar("replace", 3..=3),
    window("row_number"),
    scalar("rtrim", 1..=1),
    Function { arguments: 2..=2, window: false, ..aggregate("string_agg", "string_agg") },
    scalar("substr", 2..=3),
    // PostgreSQL's own sum of BIGINT is a NUMERIC.
    aggregate("sum", "wharf.sum"),
    scalar("trim", 1..=1),
    scalar("upper", 1..=1),
];

pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Their names, for a message.
pub(crate) fn listed() -> String {
    FUNCTIONS.iter().map(|function| format!("`{}`", function.name)).collect::<Vec<_>>().join(", ")
}

/// What SQLite calls them.
pub(crate) fn is_sqlite_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|function| function.sqlite == name)
}

impl Function {
    /// The call, without what follows its parentheses.
    pub(crate) fn written(&self, dialect: Dialect<'_>, arguments: &Arguments) -> String {
        let postgres = matches!(dialect, Dialect::Postgres);
        let name = if postgres { self.postgres } else { self.sqlite };
        let argument = |(index, argument): (usize, &String)| match (self.name, index) {
            // PostgreSQL counts characters in 32 bits, and averages in decimals.
            ("substr", 1..) if postgres => format!("({argument})::integer"),
            ("avg", 0) if postgres => format!("({argument})::float8"),
            _ => argument.clone(),
        };
        let written: Vec<String> = arguments.written.iter().enumerate().map(argument).collect();
        let distinct = if arguments.distinct { "DISTINCT " } else { "" };
        let order = arguments.order.as_ref().map(|order| format!(" ORDER BY {order}")).unwrap_or_default();
        format!("{name}({distinct}{}{order})", written.join(", "))
    }

    /// The call with all that follows it: with the type that it has in SQLite.
    pub(crate) fn finished(&self, dialect: Dialect<'_>, sql: String) -> String {
        match (self.name, dialect) {
            ("length" | "instr", Dialect::Postgres) => format!("({sql})::bigint"),
            _ => sql,
        }
    }
}
