//! What a room may know of the call that it serves, and what it must do for each: count, refuse, wait.
//!
//! One value of [`CallContext`] lives in every instance and is set anew for each request, so that an instance that serves many requests
//! never answers with the identity of an earlier one. Rooms reach it through their views. The request's span is not in it: whatever a guest asks for is done inside the poll of its call, where
//! that span is entered, so that a line needs no more than to be written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::lines::LineMeter;
use crate::backend::users::Caller;

/// Which plugin is calling. The same for all requests of one generation.
#[derive(Debug)]
pub(crate) struct PluginIdentity {
    /// The site's name.
    pub(crate) site: String,
    /// The plugin's name on this site.
    pub(crate) plugin: String,
    /// Counts the versions of this plugin that this process has loaded, from 1.
    pub(crate) generation: u64,
}

/// The plugin has made as many host calls in this request as its `host_calls` limit allows.
#[derive(Debug)]
pub(crate) struct QuotaExceeded;

/// A refusal by a grant.
///
/// The plugin sees `denied` and nothing else, since the object may not even exist; the operator's log gets all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    /// What was to be done: `read`, `create`, …
    pub(crate) action: &'static str,
    /// The object, as the grant saw it: `container web-1`, `image docker.io/library/redis:7`.
    pub(crate) object: String,
    /// The line of configuration that would allow it, for example `containers.names = ["web-1"]`.
    pub(crate) remedy: String,
}

/// Where host calls and refusals are counted. Implemented by the metrics; rooms do not know them.
pub(crate) trait HostCallObserver: Send + Sync {
    /// `function` (`docker.containers-read.inspect`) was called by `plugin`.
    fn called(&self, plugin: &PluginIdentity, function: &'static str);
    /// `function` was refused to `plugin`.
    fn denied(&self, plugin: &PluginIdentity, function: &'static str);
}

/// The call that an instance is serving.
pub(crate) struct CallContext {
    pub(crate) identity: Arc<PluginIdentity>,
    /// Who sent the request; nobody while there is none.
    pub(crate) caller: Caller,
    /// How many host calls are left in this request.
    pub(crate) host_calls_left: u32,
    pub(crate) clock: Arc<WallClock>,
    /// How long one operation may take.
    pub(crate) operation_deadline: Duration,
    /// How many bytes the files of one build may have together.
    pub(crate) build_context_bytes: u64,
    pub(crate) observer: Arc<dyn HostCallObserver>,
    /// How many lines the plugin may still cause.
    pub(crate) lines: Arc<LineMeter>,
    /// The first function that was refused in this request because the host calls were used up, and how many calls were.
    pub(crate) over_quota: Option<(&'static str, u64)>,
}

impl CallContext {
    /// Counts one call of `function`, named `room.interface.function`.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`] when the plugin has used up its host calls; the call must not be carried out.
    pub(crate) fn begin(&mut self, function: &'static str) -> Result<(), QuotaExceeded> {
        self.observer.called(&self.identity, function);
        match self.host_calls_left.checked_sub(1) {
            Some(left) => {
                self.host_calls_left = left;
                Ok(())
            }
            None => {
                // Only counted: a guest that asks in a loop would fill the log.
                self.over_quota.get_or_insert((function, 0)).1 += 1;
                Err(QuotaExceeded)
            }
        }
    }

    /// Says once for the request what was refused over the quota. Also when the call is dropped.
    pub(crate) fn finish(&mut self) {
        if let Some((function, refused)) = self.over_quota.take()
            && self.lines.admits()
        {
            tracing::warn!(function, refused, "refused host calls over the limit `host_calls`");
        }
    }

    /// Counts a refusal, and writes it to the audit log unless the plugin has caused too many lines.
    pub(crate) fn refused(&self, function: &'static str, denied: &Denied) {
        self.observer.denied(&self.identity, function);
        if tracing::enabled!(target: "audit", tracing::Level::WARN) && self.lines.admits() {
            tracing::warn!(target: "audit", function, action = denied.action, object = denied.object,
                remedy = denied.remedy, "denied");
        }
    }

    /// Writes a permission to change something to the audit log. Call it before the act.
    pub(crate) fn permitted(&self, function: &'static str, object: &str) {
        tracing::info!(target: "audit", function, object, "allowed");
    }
}

impl Drop for CallContext {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How much of its wall time a call has left. It stands still while the call waits for an operation.
#[derive(Debug)]
pub(crate) struct WallClock(Mutex<ClockState>);

#[derive(Debug)]
struct ClockState {
    deadline: Instant,
    /// How many operations the call waits for, and since when.
    waiting: u32,
    since: Instant,
}

impl WallClock {
    /// A clock that runs out after `limit`.
    pub(crate) fn new(limit: Duration) -> WallClock {
        let now = Instant::now();
        WallClock(Mutex::new(ClockState { deadline: now + limit, waiting: 0, since: now }))
    }

    /// Gives the call `limit` from now on.
    pub(crate) fn restart(&self, limit: Duration) {
        self.state().deadline = Instant::now() + limit;
    }

    /// When the call is over; none while the clock stands still.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        (state.waiting == 0).then_some(state.deadline)
    }

    /// Stops the clock until the answer is dropped.
    pub(crate) fn pause(self: &Arc<Self>) -> Paused {
        let mut state = self.state();
        if state.waiting == 0 {
            state.since = Instant::now();
        }
        state.waiting += 1;
        drop(state);
        Paused(Arc::clone(self))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, ClockState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, the call's wall clock stands still.
pub(crate) struct Paused(Arc<WallClock>);

impl Drop for Paused {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting -= 1;
        if state.waiting == 0 {
            let stood_still = state.since.elapsed();
            state.deadline += stood_still;
        }
    }
}

/// For the tests of rooms: a plugin in the middle of a request.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How many refusals went into the audit log.
    #[derive(Default)]
    pub(crate) struct Denials(AtomicUsize);

    impl Denials {
        pub(crate) fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl HostCallObserver for Denials {
        fn called(&self, _: &PluginIdentity, _: &'static str) {}

        fn denied(&self, _: &PluginIdentity, _: &'static str) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request of `plugin` that may make `host_calls`, and what is refused to it.
    pub(crate) fn request(plugin: &str, host_calls: u32) -> (CallContext, Arc<Denials>) {
        let denials = Arc::new(Denials::default());
        let call = CallContext {
            identity: Arc::new(PluginIdentity { site: "plant".to_owned(), plugin: plugin.to_owned(), generation: 1 }),
            caller: Caller::default(),
            host_calls_left: host_calls,
            clock: Arc::new(WallClock::new(Duration::from_secs(30))),
            operation_deadline: Duration::from_secs(10),
            build_context_bytes: 1000,
            observer: Arc::clone(&denials) as Arc<dyn HostCallObserver>,
            lines: Arc::new(LineMeter::new(100)),
            over_quota: None,
        };
        (call, denials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_stands_still_while_one_operation_is_waited_for() {
        let clock = Arc::new(WallClock::new(Duration::from_secs(1)));
        let before = clock.deadline().unwrap();
        let first = clock.pause();
        let second = clock.pause();
        drop(first);
        assert_eq!(clock.deadline(), None);
        drop(second);
        assert!(clock.deadline().unwrap() >= before);
    }
}
