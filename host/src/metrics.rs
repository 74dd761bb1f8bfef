//! What the host counts, for `/metrics` of the admin API.
//!
//! Lies below everything, so that any part may count. Label sets are looked up once, when a plugin is published, and the handles are
//! kept ([`RouteMetrics`], [`PluginMetrics`]): on the path of a request nothing is hashed and no string is made. Label values come from configuration and
//! descriptions, never from requests, so that no client can make the set of series grow.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::capability::call::{HostCallObserver, PluginIdentity};

/// Upper bounds of the latency buckets in seconds: from an answer out of memory to the default deadline.
const LATENCY_BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    site: String,
    plugin: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    site: String,
    plugin: String,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    site: String,
    plugin: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrapLabels {
    site: String,
    plugin: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FunctionLabels {
    site: String,
    plugin: String,
    function: &'static str,
}

type Histograms<S> = Family<S, Histogram, fn() -> Histogram>;

/// Every series of one process.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<StatusLabels, Counter>,
    latency: Histograms<RouteLabels>,
    queue_wait: Histograms<PluginLabels>,
    instantiations: Family<PluginLabels, Counter>,
    traps: Family<TrapLabels, Counter>,
    memory_high_water: Family<PluginLabels, Gauge>,
    host_calls: Family<FunctionLabels, Counter>,
    denials: Family<FunctionLabels, Counter>,
}

impl Metrics {
    /// All series at zero.
    pub(crate) fn new() -> Metrics {
        let histogram: fn() -> Histogram = || Histogram::new(LATENCY_BUCKETS);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("wharf"),
            requests: Family::default(),
            latency: Family::new_with_constructor(histogram),
            queue_wait: Family::new_with_constructor(histogram),
            instantiations: Family::default(),
            traps: Family::default(),
            memory_high_water: Family::default(),
            host_calls: Family::default(),
            denials: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests answered, by plugin, route and status", metrics.requests.clone());
        let help = "Time from a request's head to its response's head";
        registry.register_with_unit("request_duration", help, Unit::Seconds, metrics.latency.clone());
        let help = "Time that requests waited for an instance, of those that had to";
        registry.register_with_unit("queue_wait", help, Unit::Seconds, metrics.queue_wait.clone());
        registry.register("instantiations", "Instances made", metrics.instantiations.clone());
        registry.register("traps", "Calls that ended in a trap or at a limit, by kind", metrics.traps.clone());
        let help = "Most memory that one instance has used";
        registry.register_with_unit("memory_high_water", help, Unit::Bytes, metrics.memory_high_water.clone());
        registry.register("host_calls", "Calls of the host by plugins, by function", metrics.host_calls.clone());
        registry.register("host_call_denials", "Calls of the host that a grant refused, by function", metrics.denials.clone());
        metrics
    }

    /// Everything as Prometheus text (OpenMetrics 1.0).
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The handles of one plugin.
    pub(crate) fn plugin(&self, site: &str, plugin: &str) -> PluginMetrics {
        let labels = PluginLabels { site: site.to_owned(), plugin: plugin.to_owned() };
        PluginMetrics {
            queue_wait: self.queue_wait.get_or_create_owned(&labels),
            instantiations: self.instantiations.get_or_create_owned(&labels),
            memory_high_water: self.memory_high_water.get_or_create_owned(&labels),
            traps: self.traps.clone(),
            labels,
        }
    }

    /// The handles of one route of a plugin, or of what the host answers itself.
    pub(crate) fn route(&self, site: &str, plugin: &str, route: &str) -> RouteMetrics {
        let labels = RouteLabels { site: site.to_owned(), plugin: plugin.to_owned(), route: route.to_owned() };
        RouteMetrics {
            latency: self.latency.get_or_create_owned(&labels),
            requests: self.requests.clone(),
            statuses: Mutex::new(Vec::new()),
            labels,
        }
    }
}

impl HostCallObserver for Metrics {
    fn called(&self, plugin: &PluginIdentity, function: &'static str) {
        self.host_calls.get_or_create(&function_labels(plugin, function)).inc();
    }

    fn denied(&self, plugin: &PluginIdentity, function: &'static str) {
        self.denials.get_or_create(&function_labels(plugin, function)).inc();
    }
}

fn function_labels(plugin: &PluginIdentity, function: &'static str) -> FunctionLabels {
    FunctionLabels { site: plugin.site.clone(), plugin: plugin.plugin.clone(), function }
}

/// What is counted for one plugin.
pub(crate) struct PluginMetrics {
    queue_wait: Histogram,
    instantiations: Counter,
    memory_high_water: Gauge,
    traps: Family<TrapLabels, Counter>,
    labels: PluginLabels,
}

impl PluginMetrics {
    /// A request had to wait for an instance.
    pub(crate) fn waited(&self, time: Duration) {
        self.queue_wait.observe(time.as_secs_f64());
    }

    /// An instance was made.
    pub(crate) fn instantiated(&self) {
        self.instantiations.inc();
    }

    /// An instance has used so much memory.
    pub(crate) fn memory_used(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let most = self.memory_high_water.inner();
        // Nearly always nothing to write, which leaves the line of cache with every processor.
        if most.load(Ordering::Relaxed) < bytes {
            most.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// A call ended in a trap or at a limit.
    pub(crate) fn trapped(&self, kind: &'static str) {
        let labels = TrapLabels { site: self.labels.site.clone(), plugin: self.labels.plugin.clone(), kind };
        self.traps.get_or_create(&labels).inc();
    }
}

/// What is counted for one route.
pub(crate) struct RouteMetrics {
    latency: Histogram,
    requests: Family<StatusLabels, Counter>,
    /// The statuses seen so far; few, so that a list is faster than a map.
    statuses: Mutex<Vec<(u16, Counter)>>,
    labels: RouteLabels,
}

impl RouteMetrics {
    /// A request was answered.
    pub(crate) fn answered(&self, status: u16, time: Duration) {
        self.latency.observe(time.as_secs_f64());
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = statuses.iter().find(|(seen, _)| *seen == status) {
            counter.inc();
            return;
        }
        let RouteLabels { site, plugin, route } = self.labels.clone();
        let counter = self.requests.get_or_create_owned(&StatusLabels { site, plugin, route, status });
        counter.inc();
        statuses.push((status, counter));
    }

    /// The route's pattern, for the log.
    pub(crate) fn pattern(&self) -> &str {
        &self.labels.route
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_plugin_route_and_status() {
        let metrics = Metrics::new();
        let route = metrics.route("plant-a", "deployments", "/deployments/{deployment}");
        route.answered(200, Duration::from_millis(3));
        route.answered(200, Duration::from_millis(3));
        route.answered(404, Duration::from_millis(3));
        let text = metrics.encode().unwrap();
        let series = |status| {
            format!(r#"wharf_requests_total{{site="plant-a",plugin="deployments",route="/deployments/{{deployment}}",status="{status}"}}"#)
        };
        assert!(text.contains(&format!("{} 2", series(200))), "{text}");
        assert!(text.contains(&format!("{} 1", series(404))), "{text}");
    }
}
