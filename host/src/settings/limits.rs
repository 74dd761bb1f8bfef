//! What one plugin may use, with the default of each limit and its reason. The keys of `limits` in `wharf.toml` are the names of the fields.
//!
//! A plugin over a limit harms no other plugin: its request ends in one of the six outcomes of `plugin/outcome.rs`.

use std::ops::RangeInclusive;

/// The limits of one plugin on one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Memory of one instance, all its linear memories and tables together, in MiB.
    pub memory_mib: u64,
    /// Processor time of one request, in milliseconds. Waiting is free.
    pub cpu_ms: u64,
    /// Time from the first call into the plugin to its answer, in milliseconds. Waiting for an operation does not count.
    pub deadline_ms: u64,
    /// Time that a response may take which the plugin writes piece by piece, in milliseconds.
    pub stream_deadline_ms: u64,
    /// Time that one operation (a pull, a stop, a create) may take, in milliseconds.
    pub operation_deadline_ms: u64,
    /// Operations under way at the same time, those included whose request is gone. One more is answered `quota-exceeded`.
    pub operations: u64,
    /// Bytes of all files of one image that is to be built, in MiB. With more, building it is answered `quota-exceeded`.
    pub build_context_mib: u64,
    /// Time to instantiate and describe the plugin, in milliseconds.
    pub start_deadline_ms: u64,
    /// Requests served at the same time, each by an instance of its own.
    pub concurrency: u64,
    /// Requests that may wait for an instance. The next one is answered 503.
    pub queue: u64,
    /// How long a request may wait for an instance, in milliseconds. After that it is answered 503.
    pub queue_ms: u64,
    /// Size of a request's body, in MiB. A larger one is answered 413.
    pub request_mib: u64,
    /// Size of a response's body that crosses whole, in MiB. Streams have no limit: the host never holds them. What one host call may carry follows from it.
    pub response_mib: u64,
    /// Host calls of one request.
    pub host_calls: u64,
    /// Jobs carried out at the same time on one host, each in an instance of its own beside those of requests.
    pub jobs: u64,
    /// Jobs and messages to webhooks that may wait. One more is answered `quota-exceeded`.
    pub jobs_waiting: u64,
    /// Time of one attempt of a job, in milliseconds. Waiting for an operation does not count.
    pub job_deadline_ms: u64,
    /// Processor time of one attempt of a job, in milliseconds. Waiting is free.
    pub job_cpu_ms: u64,
    /// Lines of log, standard output and standard error, for each second.
    pub log_lines_per_second: u64,
}

/// One limit as `wharf.toml` gives it.
pub(crate) struct LimitKey {
    pub(crate) key: &'static str,
    pub(crate) range: RangeInclusive<u64>,
    pub(crate) field: fn(&mut Limits) -> &mut u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // A Rust plugin needs 2, one with a Python interpreter inside about 40.
            memory_mib: 64,
            // A request that computes for two seconds is stuck on the machines this runs on.
            cpu_ms: 2_000,
            // Reverse proxies give up after 60 s; answer before they do.
            deadline_ms: 30_000,
            // A client that follows a log for an hour should reconnect.
            stream_deadline_ms: 3_600_000,
            // An image of several GiB over a slow line.
            operation_deadline_ms: 3_600_000,
            // One for each request that is served, and as many again whose clients have gone. Each may hold a connection to the engine and a specification of 1 MiB.
            operations: 128,
            // A model with its weights. The host holds none of it; the engine holds it on its disk once, while it builds, and once more in the image.
            build_context_mib: 4_096,
            // An interpreter's start takes a second on a small machine.
            start_deadline_ms: 10_000,
            // The engine answers no faster when more ask it at once.
            concurrency: 64,
            // A burst of clients that all poll at once.
            queue: 256,
            // Longer than this and a client has given up.
            queue_ms: 5_000,
            // API bodies are small; uploads raise it.
            request_mib: 8,
            // It is in the plugin's memory and once more in the host's.
            response_mib: 16,
            // Ten thousand containers, a thousand at a time, with room to spare; a loop of calls ends.
            host_calls: 1_000,
            // Work that nobody waits for should not be felt by those who do.
            jobs: 2,
            // A day of one job every ten seconds; one that gives itself two in its place comes to an end.
            jobs_waiting: 10_000,
            // A check of a few hundred images at registries that answer slowly.
            job_deadline_ms: 600_000,
            // A job looks at more than a request does, and not at ten times as much.
            job_cpu_ms: 10_000,
            // More than this is a loop, and nobody reads it.
            log_lines_per_second: 500,
        }
    }
}

/// What may cross beside a body: a head of many fields, a list of names, a specification.
const BESIDE_A_BODY_BYTES: u64 = 1 << 20;

impl Limits {
    /// The most that the guest may hand to the host in one call, or in its answer: a response, or a request's body that it holds whole, and what goes beside it. Without a bound a list that
    /// names one string a million times would be a million strings in the host. A guest that hands over more traps.
    pub(crate) fn crossing_bytes(&self) -> usize {
        let body_mib = self.response_mib.max(self.request_mib.min(self.memory_mib));
        usize::try_from(body_mib.saturating_mul(1 << 20).saturating_add(BESIDE_A_BODY_BYTES)).unwrap_or(usize::MAX)
    }

    /// Every limit with the values it may have.
    pub(crate) const KEYS: &'static [LimitKey] = &[
        LimitKey { key: "memory_mib", range: 1..=4096, field: |limits| &mut limits.memory_mib },
        LimitKey { key: "cpu_ms", range: 10..=3_600_000, field: |limits| &mut limits.cpu_ms },
        LimitKey { key: "deadline_ms", range: 1..=3_600_000, field: |limits| &mut limits.deadline_ms },
        LimitKey { key: "stream_deadline_ms", range: 1..=86_400_000, field: |limits| &mut limits.stream_deadline_ms },
        LimitKey { key: "operation_deadline_ms", range: 1..=86_400_000, field: |limits| &mut limits.operation_deadline_ms },
        LimitKey { key: "operations", range: 1..=10_000, field: |limits| &mut limits.operations },
        LimitKey { key: "build_context_mib", range: 0..=1_048_576, field: |limits| &mut limits.build_context_mib },
        LimitKey { key: "start_deadline_ms", range: 1..=600_000, field: |limits| &mut limits.start_deadline_ms },
        LimitKey { key: "concurrency", range: 1..=1_000, field: |limits| &mut limits.concurrency },
        LimitKey { key: "queue", range: 0..=100_000, field: |limits| &mut limits.queue },
        LimitKey { key: "queue_ms", range: 0..=600_000, field: |limits| &mut limits.queue_ms },
        LimitKey { key: "request_mib", range: 0..=1_048_576, field: |limits| &mut limits.request_mib },
        LimitKey { key: "response_mib", range: 1..=1_024, field: |limits| &mut limits.response_mib },
        LimitKey { key: "host_calls", range: 0..=1_000_000, field: |limits| &mut limits.host_calls },
        LimitKey { key: "jobs", range: 1..=100, field: |limits| &mut limits.jobs },
        LimitKey { key: "jobs_waiting", range: 1..=1_000_000, field: |limits| &mut limits.jobs_waiting },
        LimitKey { key: "job_deadline_ms", range: 1..=86_400_000, field: |limits| &mut limits.job_deadline_ms },
        LimitKey { key: "job_cpu_ms", range: 10..=3_600_000, field: |limits| &mut limits.job_cpu_ms },
        LimitKey { key: "log_lines_per_second", range: 0..=1_000_000, field: |limits| &mut limits.log_lines_per_second },
    ];
}
