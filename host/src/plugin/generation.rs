//! One loaded version of one plugin on one site. It never changes: a new version, or new settings, is a new generation.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use wasmtime::PoolConcurrencyLimitError;
use wasmtime::component::InstancePre;

use super::circuit::Circuit;
use super::describe::Description;
use super::instance::{Exports, Instance, InstanceParts};
use super::outcome::Outcome;
use super::pool::Pool;
use super::state::InstanceState;
use crate::backend::engine::Engine;
use crate::backend::jobs::Schedule;
use crate::metrics::PluginMetrics;
use crate::settings::{Isolation, PluginSettings};

/// About how many requests an instance serves. Each one's own number lies up to a quarter above or below, so that no plugin comes to rely on it and instances are not all
/// replaced at once.
const REQUESTS_OF_AN_INSTANCE: u32 = 10_000;

/// A plugin that can be called.
pub(crate) struct Generation {
    pub(crate) description: Description,
    /// The component's sha256 in lower-case hex.
    pub(crate) digest: String,
    /// What the operator wrote.
    pub(crate) settings: PluginSettings,
    /// The engine that its docker grant named when it was loaded; none without the grant. The pointer is its identity: the same name may mean another engine by now.
    pub(crate) engine: Option<Arc<Engine>>,
    /// Which storage it stands on, as the loader counts them; none without a storage grant.
    pub(crate) storage: Option<u64>,
    /// By name; those that are off too.
    pub(crate) schedules: Vec<Schedule>,
    /// The interfaces that the component imports, sorted.
    pub(crate) imports: Vec<String>,
    pub(crate) parts: InstanceParts,
    pub(crate) pre: InstancePre<InstanceState>,
    pub(crate) exports: Exports,
    pub(crate) instances: Instances,
    pub(crate) circuit: Circuit,
    pub(crate) metrics: PluginMetrics,
}

/// The pool of a generation, and what looks after it.
pub(crate) struct Instances {
    pub(crate) pool: Arc<Pool<Instance>>,
    _sweeper: AbortOnDropHandle<()>,
}

impl Instances {
    /// An empty pool for `parts`. Must be called in an async runtime, which runs its sweeper.
    pub(crate) fn new(parts: &InstanceParts) -> Instances {
        let limits = &parts.limits;
        let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        let pool = Arc::new(Pool::new(size(limits.concurrency), size(limits.queue), Duration::from_millis(limits.queue_ms)));
        let holder: Weak<Pool<Instance>> = Arc::downgrade(&pool);
        parts.runtime.register(holder);
        Instances { _sweeper: Pool::keep_swept(&pool), pool }
    }
}

impl Generation {
    /// An instance: the one that was used last, or a new one.
    ///
    /// # Errors
    ///
    /// The outcome of a request for which none can be made.
    pub(crate) async fn instance(&self) -> Result<Instance, Outcome> {
        match self.instances.pool.take() {
            Some(instance) => Ok(instance),
            None => self.fresh_instance().await,
        }
    }

    /// A new instance.
    ///
    /// # Errors
    ///
    /// The outcome of a request for which none can be made.
    pub(crate) async fn fresh_instance(&self) -> Result<Instance, Outcome> {
        let mut made = self.instantiate().await;
        if is_no_room(&made) && self.parts.runtime.drop_idle() > 0 {
            made = self.instantiate().await;
        }
        if is_no_room(&made) {
            tracing::error!("every instance that this machine has room for is at work");
            return Err(Outcome::OverCapacity);
        }
        made.inspect(|_| self.metrics.instantiated())
            .map_err(|error| Outcome::NotLoaded { reason: format!("no instance can be made: {error:#}"), retry_after: None })
    }

    async fn instantiate(&self) -> wasmtime::Result<Instance> {
        self.parts.instantiate(&self.pre, &self.exports, self.retire_after()).await
    }

    /// Keeps `instance`, which has answered, for the next request, if it may serve one.
    pub(crate) fn recycle(&self, instance: Instance) {
        if self.settings.isolation == Isolation::Pooled && instance.is_clean() {
            self.instances.pool.put(instance);
        }
    }

    fn retire_after(&self) -> u32 {
        match self.settings.isolation {
            Isolation::Request => 1,
            Isolation::Pooled => fastrand::u32(REQUESTS_OF_AN_INSTANCE / 4 * 3..=REQUESTS_OF_AN_INSTANCE / 4 * 5),
        }
    }
}

/// Whether there is no room for another instance over all plugins, which those that lie idle may be taking.
fn is_no_room(made: &wasmtime::Result<Instance>) -> bool {
    made.as_ref().is_err_and(|error| error.downcast_ref::<PoolConcurrencyLimitError>().is_some())
}

/// A generation that others share.
pub(crate) type SharedGeneration = Arc<Generation>;
