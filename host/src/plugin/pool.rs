//! The instances of one plugin: how many may work, who waits, and which one is next.
//!
//! Idle instances lie in one stack for each processor. Last in, first out: the instance that was used last has its memory in the cache, and those at the bottom show how many are not
//! needed. A stack for each processor: that cache is the processor's own, and an instance that wanders between two of them is slower than a fresh answer of the host. A thread whose
//! stack is empty takes from the others before a new instance is made. [`Pool::sweep`] drops what nobody needed for a while. Admission and storage are separate, since a plugin with
//! `isolation = "request"` has the first without the second.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::runtime::HoldsIdle;

/// How often instances are dropped that lay idle for the whole time since the last look: at least so long, at most twice, an instance is kept that nobody needs.
const SWEEP: Duration = Duration::from_secs(10);

/// The pool of one generation. `I` is an instance.
pub(crate) struct Pool<I> {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    queue_time: Duration,
    stacks: Box<[CachePadded<Mutex<Stack<I>>>]>,
}

/// Idle instances.
struct Stack<I> {
    /// The one that was used last is at the end.
    instances: Vec<I>,
    /// The fewest that there were at a time since the last sweep: so many were not needed.
    spare: usize,
}

/// The right to work on one request.
pub(crate) struct Admitted {
    /// Returned when it is dropped.
    _permit: OwnedSemaphorePermit,
    /// How long the request waited; none if there was room at once.
    pub(crate) waited: Option<Duration>,
}

/// As many work and wait as may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<I> Pool<I> {
    /// A pool in which `concurrency` requests may work and `queue` may wait, each for `queue_time`.
    pub(crate) fn new(concurrency: usize, queue: usize, queue_time: Duration) -> Pool<I> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Pool {
            permits: Arc::new(Semaphore::new(concurrency)),
            waiting: AtomicUsize::new(0),
            queue,
            queue_time,
            stacks: (0..processors).map(|_| CachePadded::new(Mutex::new(Stack { instances: Vec::new(), spare: 0 }))).collect(),
        }
    }

    /// Waits for the right to work.
    ///
    /// # Errors
    ///
    /// [`Full`] when too many wait already, or when it took too long.
    pub(crate) async fn admit(&self) -> Result<Admitted, Full> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(Admitted { _permit: permit, waited: None });
        }
        let _place = self.queue_up()?;
        let began = Instant::now();
        match tokio::time::timeout(self.queue_time, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Admitted { _permit: permit, waited: Some(began.elapsed()) }),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// An idle instance: the one that this thread used last, or another's; none if there is none.
    pub(crate) fn take(&self) -> Option<I> {
        let (others, own) = self.stacks.split_at(self.own());
        own.iter().chain(others).find_map(|stack| {
            let mut stack = lock(stack);
            let instance = stack.instances.pop();
            stack.spare = stack.spare.min(stack.instances.len());
            instance
        })
    }

    /// Keeps `instance` for the next request.
    pub(crate) fn put(&self, instance: I) {
        if let Some(stack) = self.stacks.get(self.own()) {
            lock(stack).instances.push(instance);
        }
    }

    /// Drops the instances that nobody needed since the last sweep, but for one: the next request should not have to make it.
    pub(crate) fn sweep(&self) {
        let mut keep = 1;
        for stack in &self.stacks {
            let mut stack = lock(stack);
            let kept = keep.min(stack.instances.len());
            let unneeded = stack.spare.min(stack.instances.len() - kept);
            keep -= kept;
            let unneeded: Vec<I> = stack.instances.drain(..unneeded).collect();
            stack.spare = stack.instances.len();
            // Taking an instance down takes longer than anybody should hold the lock.
            drop(stack);
            drop(unneeded);
        }
    }

    /// How many instances are idle.
    pub(crate) fn idle_count(&self) -> usize {
        self.stacks.iter().map(|stack| lock(stack).instances.len()).sum()
    }

    /// The index of this thread's stack.
    fn own(&self) -> usize {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed));
        THREAD.with(|thread| thread % self.stacks.len())
    }

    fn queue_up(&self) -> Result<Place<'_>, Full> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue { Err(Full) } else { Ok(place) }
    }
}

impl<I: Send + 'static> Pool<I> {
    /// Sweeps `pool` now and then until the answer is dropped, also while no requests come.
    pub(crate) fn keep_swept(pool: &Arc<Pool<I>>) -> AbortOnDropHandle<()> {
        let pool = Arc::downgrade(pool);
        #[expect(clippy::disallowed_methods, reason = "the generation holds the task, and ends it")]
        let sweeper = tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(pool) = pool.upgrade() else { return };
                pool.sweep();
            }
        });
        AbortOnDropHandle::new(sweeper)
    }
}

impl<I: Send> HoldsIdle for Pool<I> {
    fn drop_idle(&self) -> usize {
        let take = |stack: &CachePadded<Mutex<Stack<I>>>| {
            let mut stack = lock(stack);
            stack.spare = 0;
            std::mem::take(&mut stack.instances)
        };
        self.stacks.iter().map(|stack| take(stack).len()).sum()
    }
}

fn lock<I>(stack: &Mutex<Stack<I>>) -> MutexGuard<'_, Stack<I>> {
    stack.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(first.waited, None);
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
        pool.put("cold");
        pool.put("warm");
        assert_eq!((pool.take(), pool.take(), pool.take()), (Some("warm"), Some("cold"), None));
    }

    #[test]
    fn a_thread_without_an_instance_takes_anothers() {
        let pool = Pool::new(1, 1, Duration::ZERO);
        std::thread::scope(|scope| {
            (0..8).for_each(|thread| {
                drop(scope.spawn({
                    let pool = &pool;
                    move || pool.put(thread)
                }))
            })
        });
        let mut taken: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn instances_that_nobody_needed_for_a_while_are_dropped() {
        let pool = Pool::new(9, 9, Duration::ZERO);
        ["first", "second", "third", "fourth"].into_iter().for_each(|instance| pool.put(instance));
        pool.sweep();
        assert_eq!(pool.idle_count(), 4, "they were needed when they were made");
        let two = [pool.take().unwrap(), pool.take().unwrap()];
        two.into_iter().for_each(|instance| pool.put(instance));
        pool.sweep();
        assert_eq!((pool.idle_count(), pool.take()), (2, Some("third")));
        pool.sweep();
        pool.sweep();
        assert_eq!(pool.take(), Some("fourth"), "the last one is kept");
    }

    #[test]
    fn what_is_idle_can_be_had_back() {
        let pool = Pool::new(9, 9, Duration::ZERO);
        pool.put("first");
        pool.put("second");
        assert_eq!((pool.drop_idle(), pool.idle_count()), (2, 0));
    }
}
