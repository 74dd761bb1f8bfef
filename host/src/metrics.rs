//! What the host counts, for `/metrics` of the admin API.
//!
//! Lies below everything, so that any part may count. Label sets are looked up once, when a plugin is published, and the handles are
//! kept ([`RouteMetrics`], [`PluginMetrics`]): on the path of a request nothing is hashed and no string is made. Label values come from configuration and
//! descriptions, never from requests, so that no client can make the set of series grow. What is counted for each request is counted by each thread for itself, see [`shards`].

use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use self::shards::{Histogram, ShardedU64};
use crate::backend::jobs::{JobObserver, Purpose, State};
use crate::backend::operations::OperationObserver;
use crate::backend::registry::{RegistryEvent, RegistryObserver};
use crate::backend::users::{LoginObserver, LoginOutcome};
use crate::capability::call::{HostCallObserver, PluginIdentity};

mod shards;

type Counter = counter::Counter<u64, ShardedU64>;

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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryLabels {
    registry: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryRequestLabels {
    registry: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabels {
    site: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    site: String,
    plugin: String,
    purpose: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobStateLabels {
    site: String,
    plugin: String,
    state: &'static str,
}

/// Every series of one process.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<StatusLabels, Counter>,
    latency: Family<RouteLabels, Histogram>,
    queue_wait: Family<PluginLabels, Histogram>,
    instantiations: Family<PluginLabels, Counter>,
    traps: Family<TrapLabels, Counter>,
    memory_high_water: Family<PluginLabels, Gauge>,
    host_calls: Family<FunctionLabels, Counter>,
    denials: Family<FunctionLabels, Counter>,
    operations_under_way: Family<KindLabels, Gauge>,
    operations: Family<OutcomeLabels, Counter>,
    registry_requests: Family<RegistryRequestLabels, Counter>,
    registry_tokens: Family<RegistryLabels, Counter>,
    registry_connections: Counter,
    registry_quota_limit: Family<RegistryLabels, Gauge>,
    registry_quota_remaining: Family<RegistryLabels, Gauge>,
    logins: Family<LoginLabels, Counter>,
    job_attempts: Family<JobLabels, Counter>,
    jobs: Family<JobStateLabels, Gauge>,
    turns_missed: Family<PluginLabels, Counter>,
}

impl Metrics {
    /// All series at zero.
    pub(crate) fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("wharf"),
            requests: Family::default(),
            latency: Family::default(),
            queue_wait: Family::default(),
            instantiations: Family::default(),
            traps: Family::default(),
            memory_high_water: Family::default(),
            host_calls: Family::default(),
            denials: Family::default(),
            operations_under_way: Family::default(),
            operations: Family::default(),
            registry_requests: Family::default(),
            registry_tokens: Family::default(),
            registry_connections: Counter::default(),
            registry_quota_limit: Family::default(),
            registry_quota_remaining: Family::default(),
            logins: Family::default(),
            job_attempts: Family::default(),
            jobs: Family::default(),
            turns_missed: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "requests",
            "Requests, by plugin, route and status; 499 is a client that went away before its answer",
            metrics.requests.clone(),
        );
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
        let help = "Long operations that plugins have under way, by kind";
        registry.register("operations_under_way", help, metrics.operations_under_way.clone());
        registry.register("operations", "Long operations of plugins that have ended, by kind and outcome", metrics.operations.clone());
        let help = "Requests that registries answered, by method and status; a GET of a manifest counts as a pull there";
        registry.register("registry_requests", help, metrics.registry_requests.clone());
        registry.register("registry_token_requests", "Requests to the token servers of registries", metrics.registry_tokens.clone());
        registry.register("registry_connections", "Connections made to registries", metrics.registry_connections.clone());
        let help = "Pulls that a registry allows in one window, as it said last";
        registry.register("registry_quota_limit", help, metrics.registry_quota_limit.clone());
        let help = "Pulls that a registry has left for us in this window, as it said last";
        registry.register("registry_quota_remaining", help, metrics.registry_quota_remaining.clone());
        let help = "Passwords that were looked at, or refused without a look, by outcome";
        registry.register("logins", help, metrics.logins.clone());
        let help =
            "Attempts of jobs that have ended on this host, by purpose (job, turn, webhook) and outcome; failed ones are tried again";
        registry.register("job_attempts", help, metrics.job_attempts.clone());
        let help = "Jobs that wait, run and are dead, on all hosts that share the database";
        registry.register("jobs", help, metrics.jobs.clone());
        let help = "Turns of schedules that were left out, because no host ran or because the turn before had not ended";
        registry.register("schedule_turns_missed", help, metrics.turns_missed.clone());
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
            statuses: Known::default(),
            labels,
        }
    }

    /// What counts the host calls of one plugin, and of no other.
    pub(crate) fn host_calls(&self) -> HostCallMetrics {
        HostCallMetrics {
            calls: FunctionCounters { family: self.host_calls.clone(), known: Known::default() },
            denials: FunctionCounters { family: self.denials.clone(), known: Known::default() },
        }
    }
}

/// Counters that were looked up before: few, so that a list is faster than a map, and read without a lock.
struct Known<K>(ArcSwap<Vec<(K, Counter)>>);

impl<K> Default for Known<K> {
    fn default() -> Known<K> {
        Known(ArcSwap::default())
    }
}

impl<K: Copy + PartialEq> Known<K> {
    /// Counts one for `key`, whose counter is looked up by `find` the first time.
    fn count(&self, key: K, find: impl FnOnce() -> Counter) {
        if let Some((_, counter)) = self.0.load().iter().find(|(known, _)| *known == key) {
            counter.inc();
            return;
        }
        let counter = find();
        counter.inc();
        // Two threads that meet the same key at the same time found the same counter, and one of the entries is never read.
        self.0.rcu(|known| known.iter().cloned().chain([(key, counter.clone())]).collect::<Vec<_>>());
    }
}

/// What is counted for the host calls of one plugin.
pub(crate) struct HostCallMetrics {
    calls: FunctionCounters,
    denials: FunctionCounters,
}

/// A counter for each function of the host that the plugin has called.
struct FunctionCounters {
    family: Family<FunctionLabels, Counter>,
    known: Known<&'static str>,
}

impl FunctionCounters {
    fn count(&self, plugin: &PluginIdentity, function: &'static str) {
        self.known.count(function, || {
            let labels = FunctionLabels { site: plugin.site.clone(), plugin: plugin.plugin.clone(), function };
            self.family.get_or_create_owned(&labels)
        });
    }
}

impl HostCallObserver for HostCallMetrics {
    fn called(&self, plugin: &PluginIdentity, function: &'static str) {
        self.calls.count(plugin, function);
    }

    fn denied(&self, plugin: &PluginIdentity, function: &'static str) {
        self.denials.count(plugin, function);
    }
}

impl OperationObserver for Metrics {
    fn began(&self, kind: &'static str) {
        self.operations_under_way.get_or_create(&KindLabels { kind }).inc();
    }

    fn ended(&self, kind: &'static str, outcome: &'static str) {
        self.operations_under_way.get_or_create(&KindLabels { kind }).dec();
        self.operations.get_or_create(&OutcomeLabels { kind, outcome }).inc();
    }
}

impl RegistryObserver for Metrics {
    fn observe(&self, registry: &str, event: RegistryEvent) {
        let labels = || RegistryLabels { registry: registry.to_owned() };
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        match event {
            RegistryEvent::Request { method, status } => {
                let labels = RegistryRequestLabels { registry: registry.to_owned(), method, status };
                self.registry_requests.get_or_create(&labels).inc();
            }
            RegistryEvent::TokenRequest => {
                self.registry_tokens.get_or_create(&labels()).inc();
            }
            RegistryEvent::Connection => {
                self.registry_connections.inc();
            }
            RegistryEvent::Quota(quota) => {
                self.registry_quota_limit.get_or_create(&labels()).set(gauge(quota.limit));
                self.registry_quota_remaining.get_or_create(&labels()).set(gauge(quota.remaining));
            }
        }
    }
}

impl LoginObserver for Metrics {
    fn login(&self, site: &str, outcome: LoginOutcome) {
        let outcome = match outcome {
            LoginOutcome::Succeeded => "succeeded",
            LoginOutcome::Failed => "failed",
            LoginOutcome::Throttled => "throttled",
            LoginOutcome::Busy => "busy",
        };
        self.logins.get_or_create(&LoginLabels { site: site.to_owned(), outcome }).inc();
    }
}

impl JobObserver for Metrics {
    fn ended(&self, site: &str, plugin: &str, purpose: Purpose, outcome: &'static str) {
        let labels = JobLabels { site: site.to_owned(), plugin: plugin.to_owned(), purpose: purpose.word(), outcome };
        self.job_attempts.get_or_create(&labels).inc();
    }

    fn counted(&self, site: &str, plugin: &str, state: State, count: u64) {
        let labels = JobStateLabels { site: site.to_owned(), plugin: plugin.to_owned(), state: state.word() };
        self.jobs.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn missed(&self, site: &str, plugin: &str, turns: u64) {
        let labels = PluginLabels { site: site.to_owned(), plugin: plugin.to_owned() };
        self.turns_missed.get_or_create(&labels).inc_by(turns);
    }
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
        self.queue_wait.observe(time);
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
    /// The statuses seen so far.
    statuses: Known<u16>,
    labels: RouteLabels,
}

impl RouteMetrics {
    /// A request was answered, or given up with what stands for a status.
    pub(crate) fn answered(&self, status: u16, time: Duration) {
        self.latency.observe(time);
        self.statuses.count(status, || {
            let RouteLabels { site, plugin, route } = self.labels.clone();
            self.requests.get_or_create_owned(&StatusLabels { site, plugin, route, status })
        });
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

    #[test]
    fn host_calls_of_two_generations_are_one_series() {
        let metrics = Metrics::new();
        let identity = |generation| PluginIdentity { site: "plant-a".to_owned(), plugin: "deployments".to_owned(), generation };
        for generation in 1..=2 {
            let calls = metrics.host_calls();
            calls.called(&identity(generation), "docker.system-read.version");
            calls.called(&identity(generation), "docker.system-read.version");
            calls.denied(&identity(generation), "docker.system-read.version");
        }
        let text = metrics.encode().unwrap();
        let labels = r#"{site="plant-a",plugin="deployments",function="docker.system-read.version"}"#;
        assert!(text.contains(&format!("wharf_host_calls_total{labels} 4\n")), "{text}");
        assert!(text.contains(&format!("wharf_host_call_denials_total{labels} 2\n")), "{text}");
    }
}
