//! One loaded version of one plugin on one site. It never changes: a new version, or new settings, is a new generation.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::PoolConcurrencyLimitError;
use wasmtime::component::InstancePre;

use super::describe::Description;
use super::instance::{Exports, Instance, InstanceParts};
use super::outcome::Outcome;
use super::pool::Pool;
use super::state::InstanceState;
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
    /// The interfaces that the component imports, sorted.
    pub(crate) imports: Vec<String>,
    pub(crate) parts: InstanceParts,
    pub(crate) pre: InstancePre<InstanceState>,
    pub(crate) exports: Exports,
    pub(crate) pool: Pool<Instance>,
    pub(crate) metrics: PluginMetrics,
}

impl Generation {
    /// An instance: the one that was used last, or a new one.
    ///
    /// # Errors
    ///
    /// The outcome of a request for which none can be made.
    pub(crate) async fn instance(&self) -> Result<Instance, Outcome> {
        if let Some(instance) = self.pool.take() {
            return Ok(instance);
        }
        match self.parts.instantiate(&self.pre, &self.exports, self.retire_after()).await {
            Ok(instance) => {
                self.metrics.instantiated();
                Ok(instance)
            }
            Err(error) if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() => Err(Outcome::OverCapacity),
            Err(error) => Err(Outcome::NotLoaded(format!("no instance can be made: {error:#}"))),
        }
    }

    /// Keeps `instance`, which has answered, for the next request, if it may serve one.
    pub(crate) fn recycle(&self, instance: Instance) {
        if self.settings.isolation == Isolation::Pooled && instance.is_clean() {
            self.pool.put(instance, Instant::now());
        }
    }

    fn retire_after(&self) -> u32 {
        match self.settings.isolation {
            Isolation::Request => 1,
            Isolation::Pooled => fastrand::u32(REQUESTS_OF_AN_INSTANCE / 4 * 3..=REQUESTS_OF_AN_INSTANCE / 4 * 5),
        }
    }
}

/// A generation that others share.
pub(crate) type SharedGeneration = Arc<Generation>;
