//! Instances whose request is gone before their container was known to run.

use wharf_sdk::Error;
use wharf_sdk::docker::containers_read::{self, ContainerFilter};
use wharf_sdk::storage::sql;
use wharf_sdk::tracing::info;

use super::TOKEN_LABEL;
use crate::database;
use crate::time;

/// How long a container may take to be created and started. The host carries it through without the request.
const START_MS: i64 = 10 * 60 * 1000;

/// Finishes what nobody waits for any more: if the container is there the instance is, and else it is not.
pub(crate) fn settle() -> Result<(), Error> {
    let sql = "SELECT id, token FROM instances WHERE starting_ms < $1 ORDER BY starting_ms";
    for row in database::rows(sql, &[&(time::now_ms() - START_MS)])? {
        let (id, token): (i64, String) = (row.get("id")?, row.get("token")?);
        let filter = ContainerFilter { all: true, labels: vec![format!("{TOKEN_LABEL}={token}")] };
        let sql = if containers_read::list(&filter)?.is_empty() {
            info!(instance = id, "an instance came to nothing without its request");
            "DELETE FROM instances WHERE id = $1 AND starting_ms IS NOT NULL"
        } else {
            info!(instance = id, "an instance was started without its request");
            "UPDATE instances SET starting_ms = NULL WHERE id = $1"
        };
        sql::execute(sql, &[&id])?;
    }
    Ok(())
}
