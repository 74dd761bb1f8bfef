//! `[storage]`: where plugins keep tables, values, blobs and sealed texts. Everything has a default: without the table it is SQLite and folders below the data directory.

use std::path::{Path, PathBuf};

use super::{blobs, secret};
use crate::settings::report::quoted;
use crate::settings::section::Section;
use crate::settings::tree::Value;
use crate::settings::{BlobPlace, DatabaseSource, SecretSource, StorageSettings};

/// How long a transaction may live, unless it is said: an answer of a fast API, and short enough that whoever waits behind it hardly notices.
const TRANSACTION_MS: u64 = 2_000;

/// What a database's URL looks like.
const URL_REMEDY: &str = "write `postgres://user:password@host/database`, or leave it out for SQLite below the data directory; `url = { secret_file = \"path\" }` keeps the password elsewhere";

/// `[storage]` before it is known where the data directory is.
#[derive(Default)]
pub(super) struct ReadStorage {
    database: Option<DatabaseSource>,
    ca_file: Option<PathBuf>,
    blobs: Option<BlobPlace>,
    seal_key: Option<SecretSource>,
    transaction_ms: Option<u64>,
}

impl ReadStorage {
    /// The settings, with the data directory.
    pub(super) fn below(self, data_dir: &Path) -> StorageSettings {
        let ReadStorage { database, ca_file, blobs, seal_key, transaction_ms } = self;
        let transaction_ms = transaction_ms.unwrap_or(TRANSACTION_MS);
        let folder = data_dir.join("storage");
        let blobs = blobs.unwrap_or_else(|| BlobPlace::Directory(folder.join("blobs")));
        StorageSettings { database, ca_file, blobs, seal_key, transaction_ms, folder }
    }
}

/// Reads `[storage]`.
pub(super) fn read(section: &mut Section<'_>) -> ReadStorage {
    ReadStorage {
        database: database(section),
        ca_file: ca_file(section),
        blobs: blobs::read(section),
        seal_key: section.has("seal_key").then(|| secret::at(section, "seal_key")).flatten(),
        transaction_ms: section.integer("transaction_ms", 10..=60_000),
    }
}

fn database(section: &mut Section<'_>) -> Option<DatabaseSource> {
    let node = section.node("url")?;
    if let Some(table) = node.value.as_table().filter(|table| secret::is_secret(table)) {
        return secret::read(section, table).map(DatabaseSource::Secret);
    }
    let Value::String(url) = &node.value else {
        section.wrong_type("url", "a string or where a secret is kept", node);
        return None;
    };
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("postgres" | "postgresql")) {
        // A password may stand in it, so that it is not shown.
        let message = match scheme {
            Some(scheme) => format!("`url`: unknown scheme {}", quoted(scheme)),
            None => "`url` is not a URL".to_owned(),
        };
        section.mistake(&section.locate(node), message, Some(URL_REMEDY.to_owned()));
        return None;
    }
    if let Err(error) = url.parse::<tokio_postgres::Config>() {
        section.mistake(&section.locate(node), format!("`url`: {error}"), Some(URL_REMEDY.to_owned()));
        return None;
    }
    Some(DatabaseSource::Url(url.to_string()))
}

fn ca_file(section: &mut Section<'_>) -> Option<PathBuf> {
    let path = section.string("ca_file")?;
    if path.value.is_empty() {
        section.mistake(&path.at, "`ca_file` is empty", Some("write the path of a file".to_owned()));
        return None;
    }
    Some(section.resolve(&path.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::section::read_for_test;

    #[test]
    fn a_database_has_a_url_or_a_secret_that_is_one() {
        let (read, mistakes) =
            read_for_test("url = \"postgres://wharf:x@db.local/wharf\"\nca_file = \"ca.pem\"\ntransaction_ms = 100", read);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let settings = read.below(Path::new("data"));
        assert_eq!(settings.database, Some(DatabaseSource::Url("postgres://wharf:x@db.local/wharf".to_owned())));
        assert_eq!((settings.transaction_ms, settings.folder.as_path()), (100, Path::new("data/storage")));
        let (read, mistakes) = read_for_test("url = { secret_env = \"URL\" }\nseal_key = { secret_env = \"KEY\" }", super::read);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(read.database, Some(DatabaseSource::Secret(SecretSource::Env("URL".to_owned()))));
        assert_eq!(read.seal_key, Some(SecretSource::Env("KEY".to_owned())));
        assert_eq!(ReadStorage::default().below(Path::new("")).transaction_ms, TRANSACTION_MS);
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mistakes = read_for_test(text, read).1;
        assert!(mistakes.len() == 1 && mistakes[0].contains(expected), "{mistakes:?}");
    }

    #[test]
    fn what_is_no_database_is_reported_without_its_password() {
        check(
            "url = \"mysql://wharf:secret@db.local/wharf\"",
            "wharf.toml:1:7: `url`: unknown scheme `mysql`\n    help: write `postgres://",
        );
        check("url = \"db.local\"", "wharf.toml:1:7: `url` is not a URL");
        check("url = \"postgres://wharf:secret@db.local/wharf?sslmode=maybe\"", "wharf.toml:1:7: `url`: ");
        check("url = 5", "`url`: expected a string or where a secret is kept, found an integer");
        check("seal_key = \"secret\"", "`seal_key`: expected where a secret is kept, found a string");
        check("transaction_ms = 1", "`transaction_ms`: `1` is out of range");
        check("ca_file = \"\"", "`ca_file` is empty");
        check("urll = \"x\"", "unknown key `urll`");
        let mistakes = read_for_test("url = \"postgres://wharf:secret@db.local/wharf?sslmode=maybe\"", read).1;
        assert!(!mistakes.concat().contains("secret@"), "{mistakes:?}");
    }
}
