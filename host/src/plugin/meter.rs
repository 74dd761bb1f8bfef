//! Time: how much of it one call may use, of the wall's and of the processor's.
//!
//! [`Metered`] drives a call's future. Processor time is the time spent inside `poll`, so that waiting is free and nothing depends on ticks being on time. A guest that
//! computes past a tick is stopped by its epoch ([`CpuMeter::tick`]), gives way to others, and goes on when it holds one of the burner permits of
//! [`WasmRuntime`](super::runtime::WasmRuntime): guests in endless loops share those, and the threads beside them stay free for everybody else. The permit is returned
//! whenever the call waits for something.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use wasmtime::UpdateDeadline;

use super::runtime::{EpochClock, TICK};
use crate::capability::call::WallClock;

/// The call has used up its processor time.
#[derive(Debug, thiserror::Error)]
#[error("the call used more than its {limit_ms} ms of processor time")]
pub(crate) struct CpuExceeded {
    limit_ms: u128,
}

/// The call has used up its wall time.
#[derive(Debug)]
pub(crate) struct DeadlinePassed;

/// The processor time of one instance's current call.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    state: Mutex<CpuState>,
    burners: Arc<Semaphore>,
    epoch: Arc<EpochClock>,
}

#[derive(Debug)]
struct CpuState {
    limit: Duration,
    spent: Duration,
    /// When the poll under way began; none between polls.
    polled_since: Option<Instant>,
    permit: Option<OwnedSemaphorePermit>,
}

impl CpuMeter {
    /// A meter with nothing spent and no time to spend.
    pub(crate) fn new(burners: Arc<Semaphore>, epoch: Arc<EpochClock>) -> CpuMeter {
        let state = CpuState { limit: Duration::ZERO, spent: Duration::ZERO, polled_since: None, permit: None };
        CpuMeter { state: Mutex::new(state), burners, epoch }
    }

    /// Begins a call that may use `limit`.
    pub(crate) fn restart(&self, limit: Duration) {
        let mut state = self.state();
        state.limit = limit;
        state.spent = Duration::ZERO;
    }

    /// What the guest's epoch asks: may it go on, and when?
    ///
    /// # Errors
    ///
    /// [`CpuExceeded`], which ends the call as a trap.
    pub(crate) fn tick(self: &Arc<Self>) -> Result<UpdateDeadline, CpuExceeded> {
        self.epoch.need();
        let mut state = self.state();
        let used = state.spent + state.polled_since.map_or(Duration::ZERO, |since| since.elapsed());
        if used > state.limit {
            return Err(CpuExceeded { limit_ms: state.limit.as_millis() });
        }
        // The first tick comes whenever it comes: only who has used up a whole one gives way.
        if state.permit.is_none() && state.polled_since.is_none_or(|since| since.elapsed() < TICK) {
            return Ok(UpdateDeadline::Continue(1));
        }
        state.permit = None;
        drop(state);
        let meter = Arc::clone(self);
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(async move { meter.wait_for_permit().await })))
    }

    async fn wait_for_permit(&self) {
        // A permit that is free at once would let this guest keep its thread; others come first.
        tokio::task::yield_now().await;
        if let Ok(permit) = Arc::clone(&self.burners).acquire_owned().await {
            self.state().permit = Some(permit);
        }
    }

    fn poll_begins(&self) {
        self.epoch.need();
        self.state().polled_since = Some(Instant::now());
    }

    fn poll_ends(&self) {
        let mut state = self.state();
        if let Some(since) = state.polled_since.take() {
            state.spent += since.elapsed();
        }
        state.permit = None;
    }

    fn state(&self) -> MutexGuard<'_, CpuState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's future, stopped when its wall clock runs out, its processor time counted.
pub(crate) struct Metered<F> {
    call: Pin<Box<F>>,
    cpu: Arc<CpuMeter>,
    clock: Arc<WallClock>,
    /// Made at the first poll that finds the call waiting: most calls never wait.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Metered<F> {
    /// Meters `call` by its instance's meter and clock.
    pub(crate) fn new(call: F, cpu: Arc<CpuMeter>, clock: Arc<WallClock>) -> Metered<F> {
        Metered { call: Box::pin(call), cpu, clock, alarm: None }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = Result<F::Output, DeadlinePassed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let metered = &mut *self;
        metered.cpu.poll_begins();
        let outcome = metered.call.as_mut().poll(context);
        metered.cpu.poll_ends();
        if let Poll::Ready(outcome) = outcome {
            return Poll::Ready(Ok(outcome));
        }
        // While the clock stands still an operation is waited for, which has a limit of its own.
        let Some(deadline) = metered.clock.deadline() else { return Poll::Pending };
        let deadline = tokio::time::Instant::from_std(deadline);
        let alarm = metered.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        alarm.as_mut().poll(context).map(|()| Err(DeadlinePassed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a guest does that computes past a tick.
    async fn compute(cpu: &Arc<CpuMeter>) {
        loop {
            match cpu.tick() {
                Ok(UpdateDeadline::YieldCustom(_, turn)) => return turn.await,
                Ok(UpdateDeadline::Continue(_)) => std::hint::spin_loop(),
                _ => panic!("no turn"),
            }
        }
    }

    fn meter(burners: &Arc<Semaphore>) -> (Arc<CpuMeter>, Arc<WallClock>) {
        let cpu = Arc::new(CpuMeter::new(Arc::clone(burners), Arc::default()));
        cpu.restart(Duration::from_secs(10));
        (cpu, Arc::new(WallClock::new(Duration::from_secs(10))))
    }

    #[tokio::test]
    async fn a_call_holds_a_permit_only_while_it_computes() {
        let burners = Arc::new(Semaphore::new(1));
        let (cpu, clock) = meter(&burners);
        let (of_call, left) = (Arc::clone(&cpu), Arc::clone(&burners));
        let call = async move {
            compute(&of_call).await;
            assert_eq!(left.available_permits(), 0, "it computes");
            tokio::task::yield_now().await;
            assert_eq!(left.available_permits(), 1, "it waited");
            compute(&of_call).await;
        };
        Metered::new(call, cpu, clock).await.unwrap();
        assert_eq!(burners.available_permits(), 1, "it is done");
    }
}
