//! Builds whose request is gone: its client went away, or the host was stopped.
//!
//! Their rows are not seen, but hold a name and a tag. As long as the host carries the build through they are left alone; afterwards the image is there or not. That it is there counts only if it has the
//! label of this build, since the tag may be anybody's.
//!
//! An operation is known to the host that carries it through and to no other, so that a build of another host would be taken for one that is over. Hosts that share a database must not share a site with this
//! plugin.

use serde::Deserialize;
use wharf_sdk::Error;
use wharf_sdk::docker::images_read;
use wharf_sdk::docker::operations_read::{self, OperationState};
use wharf_sdk::tracing::info;

use super::create::{abandon, keep};
use crate::build::{self, BUILD_LABEL};
use crate::database;
use crate::time;

/// How long there may be a row without an operation: the time between two calls of one request.
const BEGIN_MS: i64 = 5 * 60 * 1000;

/// A row that is being built.
struct Unfinished {
    id: i64,
    reference: String,
    folder: String,
    operation: Option<String>,
    began_ms: i64,
}

/// Finishes what nobody waits for any more.
pub(crate) fn settle() -> Result<(), Error> {
    let sql = "SELECT id, building, folder, operation, began_ms FROM images WHERE building IS NOT NULL ORDER BY building";
    for row in database::rows(sql, &[])? {
        let unfinished = Unfinished {
            id: row.get("id")?,
            reference: row.get("building")?,
            folder: row.get("folder")?,
            operation: row.get("operation")?,
            began_ms: row.get("began_ms")?,
        };
        if unfinished.is_over()? {
            unfinished.finish()?;
        }
    }
    Ok(())
}

impl Unfinished {
    /// Whether nobody works on it any more.
    fn is_over(&self) -> Result<bool, Error> {
        let Some(operation) = &self.operation else { return Ok(time::now_ms() - self.began_ms > BEGIN_MS) };
        match operations_read::get_one(operation) {
            Ok(operation) => Ok(operation.state != OperationState::Running),
            // The host has forgotten it, or was started anew.
            Err(Error::NotFound | Error::Denied) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Its own request may do the same at this moment, and comes to the same end.
    fn finish(&self) -> Result<(), Error> {
        if self.is_built()? {
            info!(image = self.id, reference = self.reference, "a build was finished without its request");
            if let Some(operation) = &self.operation {
                build::keep_log(operation, &super::log_name(&self.folder));
            }
            keep(self.id)
        } else {
            info!(image = self.id, reference = self.reference, "a build came to nothing without its request");
            abandon(self.id, &self.folder)
        }
    }

    fn is_built(&self) -> Result<bool, Error> {
        match images_read::inspect_one(&self.reference) {
            Ok(image) => Ok(image.details::<Details>()?.has_label(&self.folder)),
            Err(Error::NotFound | Error::Denied) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The parts of the engine's inspect that are looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Details {
    config: Option<Config>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    labels: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Details {
    fn has_label(&self, folder: &str) -> bool {
        let labels = self.config.as_ref().and_then(|config| config.labels.as_ref());
        labels.and_then(|labels| labels.get(BUILD_LABEL)).is_some_and(|label| label == folder)
    }
}
