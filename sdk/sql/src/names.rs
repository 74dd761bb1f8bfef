//! Names: which there may be, and which words are none. A name is written in quotes, so that no database takes it for a word of its own.

/// Words that are no names unless they are quoted.
const RESERVED: [&str; 66] = [
    "all",
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "check",
    "column",
    "conflict",
    "constraint",
    "create",
    "cross",
    "default",
    "delete",
    "desc",
    "distinct",
    "do",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "false",
    "filter",
    "foreign",
    "from",
    "full",
    "group",
    "having",
    "in",
    "index",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "set",
    "table",
    "then",
    "true",
    "union",
    "unique",
    "update",
    "using",
    "values",
];

/// The rest of them.
const RESERVED_TOO: [&str; 5] = ["when", "where", "window", "with", "nulls"];

/// What every table of one of the databases has beside its own columns.
const SYSTEM_COLUMNS: [&str; 9] = ["cmax", "cmin", "ctid", "oid", "rowid", "_rowid_", "tableoid", "xmax", "xmin"];

/// Tables of the databases and of the host.
const SYSTEM_PREFIXES: [&str; 3] = ["pg_", "sqlite_", "wharf_"];

/// The longest name: PostgreSQL cuts off what is longer.
const MAX_BYTES: usize = 63;

pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word) || RESERVED_TOO.contains(&word)
}

/// Whether `name` can be a name in both databases; else the rule that it breaks.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if !first || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        return Err(format!("`{name}` is no name: one has the characters a-z, 0-9 and `_`, also in quotes"));
    }
    if name.len() > MAX_BYTES {
        return Err(format!("the name `{name}` is longer than {MAX_BYTES} characters"));
    }
    Ok(())
}

pub(crate) fn check_relation(name: &str) -> Result<(), String> {
    match SYSTEM_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
        Some(prefix) => Err(format!("`{name}`: names that begin with `{prefix}` are not a plugin's")),
        None => Ok(()),
    }
}

pub(crate) fn check_column(name: &str) -> Result<(), String> {
    if SYSTEM_COLUMNS.contains(&name) {
        return Err(format!("`{name}` is a column that each table of one of the databases has"));
    }
    Ok(())
}

/// `names` as a list in parentheses.
pub(crate) fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("({})", names.join(", "))
}
