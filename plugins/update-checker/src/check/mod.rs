//! A check: what runs, and what the registries have in its place.
//!
//! However many containers there are it is a handful of calls: one list of containers, one of images, one question to the registries for all references, and a few values of the storage. What does not change is found out
//! once and remembered: which reference a container was created with once the engine shows an id in its place, and whether two digests are the same image for a machine. At rest no container and no image is asked about
//! by itself.

use std::collections::{BTreeMap, BTreeSet};

use wharf_sdk::Error;
use wharf_sdk::docker::containers_read;
use wharf_sdk::jobs::queue;
use wharf_sdk::storage::keyvalue;
use wharf_sdk::tracing::warn;

use crate::clock;
use crate::document::{Document, read_both};
use crate::progress::{Ended, Update, Updates};
use crate::records::Records;
use crate::settings::Settings;
use crate::snapshot::{Snapshot, short_id};

pub(crate) mod automatic;
mod local;
mod remote;

/// Checks everything, keeps what was found, and orders the automatic updates that are due.
///
/// # Errors
///
/// The engine's and the storage's; what was found before is kept then. A registry that fails is no error but part of what was found.
pub(crate) fn run() -> Result<(), Error> {
    let settings = Settings::read()?;
    // Before anything is looked at: of two checks the one that began later has seen more.
    let sequence = Snapshot::next_sequence()?;
    let (previous, updates) = match read_both::<Snapshot, Updates>() {
        Err(error @ Error::Internal(_)) => {
            warn!(%error, "what was found before is lost");
            keyvalue::delete(Snapshot::KEY)?;
            (Snapshot::default(), Updates::read()?)
        }
        read => read?,
    };
    let engine = local::read(&settings, &previous)?;
    let groups = remote::compare(&engine.containers, &previous, clock::now_ms())?;
    let mut snapshot = Snapshot { sequence, replacements: previous.replacements, groups };
    snapshot.hold(&previous, &updates);
    snapshot.keep()?;
    let updates = tidy_updates(&engine.present)?;
    if !updates.is_busy() {
        forget_gone(&engine.present)?;
    }
    automatic::order(&settings)
}

/// Ends the entries of updates whose jobs have ended without doing so, and drops the failures of containers that are gone.
fn tidy_updates(present: &BTreeSet<String>) -> Result<Updates, Error> {
    let updates = Updates::read()?;
    if updates.0.is_empty() {
        return Ok(updates);
    }
    let jobs: BTreeSet<String> = updates.0.values().filter(|update| update.is_under_way()).map(|update| update.job.clone()).collect();
    let jobs: Vec<String> = jobs.into_iter().collect();
    let states: BTreeMap<&String, Option<Ended>> = jobs.iter().zip(queue::get(&jobs).into_iter().map(Ended::of)).collect();
    let shorts: BTreeSet<&str> = present.iter().map(|id| short_id(id)).collect();
    Updates::change(|updates| {
        updates.0.retain(|short, update| match (update.is_under_way(), states.get(&update.job)) {
            (false, _) => shorts.contains(short.as_str()),
            (true, Some(Some(Ended::Done))) => false,
            (true, Some(Some(Ended::Failed(reason)))) => {
                *update = Update { error: Some(reason.clone()), ..update.clone() };
                true
            }
            (true, None | Some(None)) => true,
        });
        updates.clone()
    })
}

/// Forgets the records of containers that are gone. Not while an update is under way, which may have taken one away to put another in its place.
fn forget_gone(present: &BTreeSet<String>) -> Result<(), Error> {
    let absent: Vec<String> = Records::read()?.ids().filter(|id| !present.contains(*id)).cloned().collect();
    if absent.is_empty() {
        return Ok(());
    }
    // The list is some time ago.
    let gone = absent.iter().zip(containers_read::inspect(&absent)).filter(|(_, found)| matches!(found, Err(Error::NotFound)));
    let gone: BTreeSet<String> = gone.map(|(id, _)| id.clone()).collect();
    if Updates::read()?.is_busy() {
        return Ok(());
    }
    Records::change(|records| records.forget(&gone))
}
