//! Counters and histograms that threads do not fight for.
//!
//! A counter that every thread raises for every request is a cache line that travels from core to core each time, and the library's histogram is a lock besides. Here each
//! thread has a place of its own (as long as there are no more threads than cores), and what was counted is added up when somebody asks. The library keeps the rest:
//! [`ShardedU64`] is the value of its `Counter`, [`Histogram`] a metric of its `Family`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Atomic;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds of the buckets in microseconds: from an answer out of memory to the default deadline. One more bucket takes what is above.
const BOUNDS_US: [u64; 13] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 10_000_000, 30_000_000];

/// One for each thread that may run at a time. Aligned to two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

#[derive(Debug)]
struct Shards<T>(Box<[Padded<T>]>);

impl<T: Default> Default for Shards<T> {
    fn default() -> Shards<T> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Shards((0..threads).map(|_| Padded::default()).collect())
    }
}

impl<T> Shards<T> {
    /// This thread's shard; none if there are no shards, which is never so.
    fn own(&self) -> Option<&T> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        // A thread that is ending counts in the first one's place.
        let thread = THREAD.try_with(|thread| *thread).unwrap_or_default();
        self.0.get(thread % self.0.len().max(1)).map(|Padded(shard)| shard)
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|Padded(shard)| shard)
    }
}

/// The value of a counter.
#[derive(Debug, Default)]
pub(crate) struct ShardedU64(Shards<AtomicU64>);

impl Atomic<u64> for ShardedU64 {
    fn inc(&self) -> u64 {
        self.inc_by(1)
    }

    /// Answers what this thread's shard had, which is all that can be known for nothing.
    fn inc_by(&self, value: u64) -> u64 {
        self.0.own().map_or(0, |shard| shard.fetch_add(value, Ordering::Relaxed))
    }

    fn get(&self) -> u64 {
        self.0.iter().map(|shard| shard.load(Ordering::Relaxed)).sum()
    }
}

/// A distribution of times over the fixed buckets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram(Arc<Shards<Times>>);

#[derive(Debug, Default)]
struct Times {
    /// Each time is counted in one bucket; the text adds up what is below.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Counts one time.
    pub(crate) fn observe(&self, time: Duration) {
        let Some(times) = self.0.own() else { return };
        let bucket = BOUNDS_US.partition_point(|bound| Duration::from_micros(*bound) < time);
        if let Some(bucket) = times.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        // Nanoseconds of 64 bits are 584 years.
        times.sum_ns.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = BOUNDS_US.into_iter().map(|bound| Duration::from_micros(bound).as_secs_f64()).chain([f64::INFINITY]);
        let buckets = bounds.enumerate().map(|(index, bound)| {
            let counts = self.0.iter().filter_map(|times| times.buckets.get(index));
            (bound, counts.map(|count| count.load(Ordering::Relaxed)).sum())
        });
        let buckets: Vec<(f64, u64)> = buckets.collect();
        // Of the buckets that were just read, so that the text never contradicts itself.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum_ns: u64 = self.0.iter().map(|times| times.sum_ns.load(Ordering::Relaxed)).sum();
        encoder.encode_histogram::<NoLabelSet>(Duration::from_nanos(sum_ns).as_secs_f64(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    #[test]
    fn what_many_threads_count_is_added_up() {
        let (value, times) = (ShardedU64::default(), Histogram::default());
        std::thread::scope(|scope| {
            for _ in 0..9 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        value.inc();
                        times.observe(Duration::from_millis(3));
                    }
                });
            }
        });
        assert_eq!(value.get(), 900);
        let text = text(times);
        assert!(text.contains("t_count 900\n") && text.contains("t_sum 2.7\n"), "{text}");
    }

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let times = Histogram::default();
        for micros in [0, 500, 501, 30_000_000, 30_000_001] {
            times.observe(Duration::from_micros(micros));
        }
        let text = text(times);
        let bucket = |bound: &str, below: u32| assert!(text.contains(&format!("t_bucket{{le=\"{bound}\"}} {below}\n")), "{bound}: {text}");
        bucket("0.0005", 2);
        bucket("0.001", 3);
        bucket("10.0", 3);
        bucket("30.0", 4);
        bucket("+Inf", 5);
    }

    fn text(times: Histogram) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register("t", "times", times);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }
}
