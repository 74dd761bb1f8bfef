//! What is known of an operation beside what all operations have: that of its kind.
//!
//! While it is under way the work itself writes it, and whoever looks takes a copy; with the end the last copy stays.

use std::sync::Arc;

use super::build::{BuildLog, BuildProgress, Steps};
use super::download::{DownloadProgress, Fetched};
use super::pull::{Layers, PullProgress};
use super::recreation::{Recreating, RecreationProgress};

/// How far an operation is that is under way.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    /// Which others may follow too.
    Pull(Arc<PullProgress>),
    Build(Arc<BuildProgress>),
    Download(Arc<DownloadProgress>),
    Recreation(Arc<RecreationProgress>),
}

/// How far an operation is, or was at its end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Details {
    Pull(Layers),
    Build(Steps),
    Download(Fetched),
    Recreation(Box<Recreating>),
}

impl Progress {
    /// How far it is now.
    pub(super) fn now(&self) -> Details {
        match self {
            Progress::Pull(progress) => Details::Pull(progress.now()),
            Progress::Build(progress) => Details::Build(progress.now()),
            Progress::Download(progress) => Details::Download(progress.now()),
            Progress::Recreation(progress) => Details::Recreation(Box::new(progress.now())),
        }
    }

    /// Where it is kept what the engine says; none if that is not kept.
    pub(super) fn log(&self) -> Option<Arc<BuildLog>> {
        match self {
            Progress::Pull(_) | Progress::Download(_) | Progress::Recreation(_) => None,
            Progress::Build(progress) => Some(Arc::clone(progress.log())),
        }
    }
}

impl Details {
    /// How much is done, up to 99; none as long as nobody can tell. It never goes back.
    pub(super) fn percent(&self) -> Option<u8> {
        match self {
            Details::Pull(layers) => layers.percent,
            Details::Build(steps) => steps.percent(),
            Details::Download(fetched) => fetched.percent(),
            Details::Recreation(recreating) => recreating.percent(),
        }
    }

    /// How many bytes were fetched; none where nothing is.
    pub(super) fn bytes(&self) -> Option<u64> {
        match self {
            Details::Pull(layers) => Some(layers.bytes().0),
            Details::Build(_) => None,
            Details::Download(fetched) => Some(fetched.current),
            Details::Recreation(recreating) => recreating.pull.as_ref().map(|layers| layers.bytes().0),
        }
    }

    /// At which instruction it was; none where there are none.
    pub(super) fn step(&self) -> Option<u32> {
        match self {
            Details::Pull(_) | Details::Download(_) | Details::Recreation(_) => None,
            Details::Build(steps) => Some(steps.step),
        }
    }
}
