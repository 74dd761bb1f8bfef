//! Folders of blobs to which no row leads: of an upload that is under way, or of a thing that was deleted.
//!
//! Blobs and rows cannot change in one transaction. So a folder is noted before its first blob is written, and the transaction that inserts the row takes the note away; the transaction that deletes a row
//! makes the note again. At every moment a folder has a row or a note.

use wharf_sdk::Error;
use wharf_sdk::storage::blobs;
use wharf_sdk::storage::sql::{self, Statement};
use wharf_sdk::tracing::warn;

use crate::database;
use crate::time;

/// How long an upload may take; after that it is none any more. The host gives a request an hour at most.
const UPLOAD_MS: i64 = 2 * 3600 * 1000;

/// The most folders that one request clears away.
const AT_ONCE: usize = 10;

/// The most blobs of one part of a list.
const PAGE: u32 = 1000;

/// Notes that blobs will be written to `folder`.
pub(crate) fn note(folder: &str) -> Result<(), Error> {
    sql::execute("INSERT INTO leftovers (folder, since_ms) VALUES ($1, $2)", &[&folder, &time::now_ms()]).map(drop)
}

/// The statement that notes `folder` as nobody's, in the transaction that deletes what it belonged to.
pub(crate) fn discard(folder: &str) -> Statement {
    Statement::new("INSERT INTO leftovers (folder, since_ms) VALUES ($1, 0) ON CONFLICT DO NOTHING", &[&folder])
}

/// Deletes what was noted and has waited long enough.
pub(crate) fn sweep() -> Result<(), Error> {
    let sql = format!("SELECT folder FROM leftovers WHERE since_ms < $1 ORDER BY since_ms LIMIT {AT_ONCE}");
    for row in database::rows(&sql, &[&(time::now_ms() - UPLOAD_MS)])? {
        remove(&row.get::<String>("folder")?);
    }
    Ok(())
}

/// Deletes `folder` and its note. What cannot be deleted now stays noted.
pub(crate) fn remove(folder: &str) {
    let removed = delete_blobs(folder).and_then(|()| sql::execute("DELETE FROM leftovers WHERE folder = $1", &[&folder]));
    if let Err(error) = removed {
        warn!(folder, %error, "blobs that nothing leads to could not be deleted now");
    }
}

fn delete_blobs(folder: &str) -> Result<(), Error> {
    loop {
        let page = blobs::list(&format!("{folder}/"), None, PAGE)?;
        let names: Vec<&str> = page.blobs.iter().map(|blob| blob.name.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        blobs::delete_all(&names)?;
    }
}
