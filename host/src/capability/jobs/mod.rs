//! The room `jobs`: work that a plugin gives itself, when its schedules run, and messages to webhooks. WIT: `wit/jobs`, one interface for each power. Grant: `[site.plugin.grants.jobs]`, see [`grant`].
//!
//! What is asked for here lands in the queue of the site, in `backend/jobs`; who carries it out is `plugin/background.rs`. A plugin sees jobs of its own and no others. A webhook is named and never addressed: where
//! it is, and what its messages are signed with, is the operator's.
//!
//! Grant keys: `allow`, `webhooks`.
//!
//! Limits: those below, and `jobs_waiting` of the plugin's limits.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker};

use super::Interface;
use super::call::CallContext;
use crate::backend::jobs::{Schedule, SiteJobs};
use crate::bindings::wharf::jobs::{queue, schedules_read, types, webhooks};

mod convert;
mod error;
mod grant;
mod host;
#[cfg(test)]
mod tests;

pub(crate) use grant::JobsGrant;

/// The longest kind, in bytes.
const MAX_KIND_BYTES: usize = 100;
/// The longest payload.
const MAX_PAYLOAD_BYTES: usize = 64 << 10;
/// The longest key.
const MAX_KEY_BYTES: usize = 255;
/// The longest time until a job is due: a year.
const MAX_DELAY_MS: u64 = 366 * 86_400_000;
/// How often a job may be begun at the most.
const MAX_ATTEMPTS: u32 = 100;
/// The most ids of one call.
const MAX_IDS: usize = 1_000;
/// The largest message to a webhook.
const MAX_MESSAGE_BYTES: usize = 256 << 10;
/// The longest `content-type`.
const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// The room of one plugin.
pub(crate) struct JobsRoom {
    grant: JobsGrant,
    /// The plugin's name.
    plugin: String,
    /// The queue of its site; none where nothing is granted.
    jobs: Option<Arc<SiteJobs>>,
    /// How many of its jobs may wait.
    waiting: u64,
    /// By name.
    schedules: Vec<Schedule>,
}

impl JobsRoom {
    /// The room of the plugin `plugin` that has `grant`, of which `waiting` jobs may wait; without a grant, every function answers `denied`.
    pub(crate) fn new(grant: Option<JobsGrant>, plugin: &str, jobs: &Arc<SiteJobs>, waiting: u64, schedules: Vec<Schedule>) -> JobsRoom {
        JobsRoom { grant: grant.unwrap_or_default(), plugin: plugin.to_owned(), jobs: Some(Arc::clone(jobs)), waiting, schedules }
    }

    /// A room in which everything is denied.
    pub(crate) fn powerless() -> JobsRoom {
        JobsRoom { grant: JobsGrant::default(), plugin: String::new(), jobs: None, waiting: 0, schedules: Vec::new() }
    }
}

/// What the room needs of the instance that calls it.
pub(crate) trait JobsView: Send {
    /// The room, for one call.
    fn jobs(&mut self) -> JobsCtxView<'_>;
}

/// The room as one call sees it.
pub(crate) struct JobsCtxView<'a> {
    pub(crate) room: &'a JobsRoom,
    pub(crate) call: &'a mut CallContext,
}

struct HasJobs<T>(std::marker::PhantomData<T>);

impl<T: 'static> HasData for HasJobs<T> {
    type Data<'a> = JobsCtxView<'a>;
}

/// The room's interfaces.
pub(crate) fn interfaces<T: JobsView + 'static>() -> Vec<Interface<T>> {
    macro_rules! interface {
        ($module:ident, $name:literal, $power:expr) => {
            Interface {
                name: concat!("wharf:jobs/", $name, "@0.1.0"),
                power: $power,
                link: |linker: &mut Linker<T>| $module::add_to_linker::<T, HasJobs<T>>(linker, T::jobs),
            }
        };
    }
    vec![
        interface!(types, "types", None),
        interface!(queue, "queue", Some("queue")),
        interface!(schedules_read, "schedules-read", Some("schedules.read")),
        interface!(webhooks, "webhooks", Some("webhooks")),
    ]
}
