//! For tests here and above: queues in folders of their own.

use std::path::Path;
use std::sync::Arc;

use super::{Queues, Schedule, SiteJobs, Store, Timing, TimingParts};
use crate::backend::database::{Databases, Space, SpaceName};
use crate::backend::seal::Seals;
use crate::settings::testing::storage;

/// When tests begin: 2023-11-14T22:13:20Z.
pub(crate) const BEGINNING_MS: u64 = 1_700_000_000_000;

/// The space of a queue below `folder`.
pub(crate) fn space(folder: &Path) -> Arc<dyn Space> {
    databases(folder).space(SpaceName { site: "plant".to_owned(), plugin: "_jobs".to_owned() }, 1 << 30)
}

fn databases(folder: &Path) -> Databases {
    let (databases, settings) = (Databases::default(), storage(folder));
    databases.configure(&settings, &Seals::default());
    databases
}

/// The queue in `space` for the host `holder`, beside others.
pub(crate) async fn store(space: &Arc<dyn Space>, holder: &str) -> Store {
    Store::open(Arc::clone(space), holder, true, BEGINNING_MS).await.unwrap()
}

/// The queue of the site `plant` below `folder`, which nobody works off.
pub(crate) fn site_jobs(folder: &Path) -> Arc<SiteJobs> {
    Queues::new(databases(folder)).site("plant")
}

/// A schedule of the name `check`.
pub(crate) fn every(interval: &str, at_start: bool) -> Schedule {
    let timing = Timing::try_from(TimingParts { every: Some(interval), at_start, ..TimingParts::default() });
    Schedule { name: "check".to_owned(), timing: Some(timing.unwrap()) }
}
