//! The instances of one plugin: how many may work, who waits, and which one is next.
//!
//! Last in, first out: the instance that was used last has its memory in the processor's cache, and those at the bottom show how many are not needed.
//! After a burst those are dropped: what lay idle for the whole of a [`SWEEP`] was not needed. The pool as a whole is looked at, since under last in, first out no single
//! instance ever looks idle for long. Admission and storage are separate, since a plugin with `isolation = "request"` has the first without the second.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long instances may lie idle, while others work, before they are dropped.
const SWEEP: Duration = Duration::from_secs(10);

/// The pool of one generation. `I` is an instance.
pub(crate) struct Pool<I> {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    queue_time: Duration,
    idle: Mutex<Idle<I>>,
}

/// The instances that do not work.
struct Idle<I> {
    /// The one that was used last is at the end.
    instances: Vec<I>,
    /// The fewest that there were at a time since `since`: so many were not needed.
    spare: usize,
    since: Instant,
}

/// The right to work on one request.
pub(crate) struct Admitted {
    /// Returned when it is dropped.
    _permit: OwnedSemaphorePermit,
    /// How long the request waited.
    pub(crate) waited: Duration,
}

/// As many work and wait as may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<I> Pool<I> {
    /// A pool in which `concurrency` requests may work and `queue` may wait, each for `queue_time`.
    pub(crate) fn new(concurrency: usize, queue: usize, queue_time: Duration) -> Pool<I> {
        let permits = Arc::new(Semaphore::new(concurrency));
        Pool {
            permits,
            waiting: AtomicUsize::new(0),
            queue,
            queue_time,
            idle: Mutex::new(Idle { instances: Vec::new(), spare: 0, since: Instant::now() }),
        }
    }

    /// Waits for the right to work.
    ///
    /// # Errors
    ///
    /// [`Full`] when too many wait already, or when it took too long.
    pub(crate) async fn admit(&self) -> Result<Admitted, Full> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(Admitted { _permit: permit, waited: Duration::ZERO });
        }
        let _place = self.queue_up()?;
        let began = Instant::now();
        match tokio::time::timeout(self.queue_time, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Admitted { _permit: permit, waited: began.elapsed() }),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// The idle instance that was used last; none if there is none.
    pub(crate) fn take(&self) -> Option<I> {
        let mut idle = self.idle();
        let instance = idle.instances.pop();
        idle.spare = idle.spare.min(idle.instances.len());
        instance
    }

    /// Keeps `instance` for the next request, and drops those that nobody needed for a while before `now`.
    pub(crate) fn put(&self, instance: I, now: Instant) {
        let mut idle = self.idle();
        idle.instances.push(instance);
        if now.saturating_duration_since(idle.since) < SWEEP {
            return;
        }
        let spare = idle.spare.min(idle.instances.len());
        let unneeded: Vec<I> = idle.instances.drain(..spare).collect();
        idle.spare = idle.instances.len();
        idle.since = now;
        // Taking an instance down takes longer than anybody should hold the lock.
        drop(idle);
        drop(unneeded);
    }

    /// How many instances are idle.
    pub(crate) fn idle_count(&self) -> usize {
        self.idle().instances.len()
    }

    fn idle(&self) -> MutexGuard<'_, Idle<I>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue_up(&self) -> Result<Place<'_>, Full> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue { Err(Full) } else { Ok(place) }
    }
}

/// A place in the queue.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_over_concurrency_wait_and_those_over_the_queue_are_refused() {
        let pool = Pool::<()>::new(1, 1, Duration::from_secs(1));
        let first = pool.admit().await.unwrap();
        assert_eq!(first.waited, Duration::ZERO);
        let (waiting, refused) = tokio::join!(pool.admit(), pool.admit());
        assert!(waiting.is_err(), "it waited for its second");
        assert!(refused.is_err());
        drop(first);
        assert!(pool.admit().await.is_ok());
        assert_eq!(pool.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_instance_that_was_used_last_is_next() {
        let pool = Pool::new(1, 1, Duration::ZERO);
        pool.put("cold", Instant::now());
        pool.put("warm", Instant::now());
        assert_eq!((pool.take(), pool.take(), pool.take()), (Some("warm"), Some("cold"), None));
    }

    #[test]
    fn instances_that_nobody_needed_for_a_while_are_dropped() {
        let pool = Pool::new(9, 9, Duration::ZERO);
        let start = Instant::now();
        for instance in ["first", "second", "third", "fourth"] {
            pool.put(instance, start);
        }
        pool.put(pool.take().unwrap(), start + SWEEP);
        assert_eq!(pool.idle_count(), 4, "they were needed when they were made");
        let two = [pool.take().unwrap(), pool.take().unwrap()];
        two.into_iter().for_each(|instance| pool.put(instance, start + SWEEP));
        pool.put(pool.take().unwrap(), start + 2 * SWEEP);
        assert_eq!((pool.idle_count(), pool.take()), (2, Some("third")));
    }
}
