//! A secret as a configuration file names it: a table with the one key `secret_file` or `secret_env`. Only where it is kept is read here, never what it is.

use crate::settings::SecretSource;
use crate::settings::report::quoted;
use crate::settings::section::Section;
use crate::settings::tree::{Entry, Table, Value};

pub(super) const SECRET_KEYS: [&str; 2] = ["secret_file", "secret_env"];

/// Whether `table` has the form of a secret.
pub(super) fn is_secret(table: &Table) -> bool {
    matches!(table.entries.as_slice(), [entry] if SECRET_KEYS.contains(&entry.key.as_str()))
}

/// The secret that `table` is, which [`is_secret`].
pub(super) fn read(section: &Section<'_>, table: &Table) -> Option<SecretSource> {
    let Entry { key, node, .. } = table.entries.first()?;
    let at = section.locate(node);
    let Value::String(text) = &node.value else {
        section.wrong_type(key, "a string", node);
        return None;
    };
    match key.as_str() {
        "secret_file" if text.is_empty() => section.mistake(&at, "`secret_file` is empty", Some("write the path of a file".to_owned())),
        "secret_file" => return Some(SecretSource::File(section.resolve(text))),
        _ if text.is_empty() || text.contains(['=', '\0']) => {
            let message = format!("`secret_env`: {} cannot be the name of an environment variable", quoted(text));
            section.mistake(&at, message, Some("write the variable's name, not its value".to_owned()));
        }
        _ => return Some(SecretSource::Env(text.to_string())),
    }
    None
}

/// The secret at `key` of `section`, which is nothing but a secret: its value has no place in the file.
pub(crate) fn at(section: &mut Section<'_>, key: &str) -> Option<SecretSource> {
    let node = section.node(key)?;
    match node.value.as_table().filter(|table| is_secret(table)) {
        Some(table) => read(section, table),
        None => {
            let message = format!("{}: expected where a secret is kept, found {}", quoted(key), node.value.kind());
            let remedy = format!("write `{key} = {{ secret_file = \"path\" }}` or `{key} = {{ secret_env = \"NAME\" }}`");
            section.mistake(&section.locate(node), message, Some(remedy));
            None
        }
    }
}
