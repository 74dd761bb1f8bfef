//! The wasm engine of the process, and the clock that interrupts guests.
//!
//! One engine: type registries, epochs and the instance pool want to be shared, and an engine for each plugin costs memory. Three choices were measured:
//! `concurrency_support(false)`, since no function of the contract is `async` and the machinery costs five percent of a small request; epochs instead of
//! fuel, which costs a guest several times as much; and the pooling allocator, without which a fresh instance spends its time in `mmap`. The pool reserves several TiB of
//! address space; where that is not to be had (a 39-bit kernel, a limit on address space) instances are allocated on demand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How long a guest computes before it is looked at. Ten milliseconds is not felt by a neighbour, and costs a hundred wake-ups a second at most.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Ticks after which the ticker looks whether any guest has run meanwhile, and sleeps if none has: long enough that a trickle of requests does not wake it for each.
const ROUND: u32 = 100;

/// Instances that may exist at a time, over all plugins.
const MAX_INSTANCES: u32 = 1000;

/// Memory of a slot that is put back by hand when it is reused, where the kernel (Linux 6.7 or newer) can say which pages were touched; what is above goes back to the kernel and comes again as page
/// faults, which are most of what a fresh instance costs. A small plugin touches less than this.
const KEEP_RESIDENT_BYTES: usize = 512 * 1024;

/// Slots that keep such memory although nobody uses them.
const WARM_SLOTS: u32 = 32;

/// The wasm engine, its ticker and the permits of those that compute for long.
pub(crate) struct WasmRuntime {
    pub(crate) engine: Engine,
    /// Permits of calls that compute for longer than a tick: one fewer than there are cores, so that a core is always free for the others.
    pub(crate) burners: Arc<Semaphore>,
    ticker: Ticker,
    /// Who may hold idle instances. A pool that is gone is forgotten when the list is next looked at.
    idle: Mutex<Vec<Weak<dyn HoldsIdle>>>,
}

/// Something that keeps instances for later, and can do without.
pub(crate) trait HoldsIdle: Send + Sync {
    /// Drops every instance that does not work. Answers how many there were.
    fn drop_idle(&self) -> usize;
}

impl WasmRuntime {
    /// Makes the engine and starts its ticker.
    ///
    /// # Errors
    ///
    /// Wasmtime's reason when this machine cannot run it at all.
    pub(crate) fn new() -> wasmtime::Result<WasmRuntime> {
        let engine = match Engine::new(&config(true)) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::warn!(%error, "cannot reserve address space for the instance pool; allocating instances on demand");
                Engine::new(&config(false))?
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let burners = Arc::new(Semaphore::new(cores.saturating_sub(1).max(1)));
        let ticker = Ticker::start(engine.clone())?;
        Ok(WasmRuntime { engine, burners, ticker, idle: Mutex::default() })
    }

    /// What wakes the clock: for the meter of an instance.
    pub(crate) fn clock(&self) -> Arc<EpochClock> {
        Arc::clone(&self.ticker.clock)
    }

    /// Asks `holder` for its idle instances when there is no room for another one.
    pub(crate) fn register(&self, holder: Weak<dyn HoldsIdle>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|known| known.strong_count() > 0);
        idle.push(holder);
    }

    /// Drops the idle instances of all plugins. Answers how many there were.
    pub(crate) fn drop_idle(&self) -> usize {
        let holders: Vec<_> = self.idle.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect();
        holders.iter().map(|holder| holder.drop_idle()).sum()
    }
}

fn config(pooling: bool) -> Config {
    let mut config = Config::new();
    config.concurrency_support(false).epoch_interruption(true);
    if pooling {
        let mut pool = PoolingAllocationConfig::new();
        // A component of an interpreter holds dozens of core instances and large tables.
        pool.total_component_instances(MAX_INSTANCES)
            .total_core_instances(MAX_INSTANCES * 5)
            .total_memories(MAX_INSTANCES)
            .total_tables(MAX_INSTANCES * 2)
            .total_stacks(MAX_INSTANCES)
            .max_component_instance_size(10 << 20)
            .max_core_instance_size(10 << 20)
            .max_tables_per_module(10)
            .table_elements(100_000)
            .max_unused_warm_slots(WARM_SLOTS);
        if PoolingAllocationConfig::is_pagemap_scan_available() {
            pool.pagemap_scan(Enabled::Yes).linear_memory_keep_resident(KEEP_RESIDENT_BYTES).table_keep_resident(KEEP_RESIDENT_BYTES);
        }
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

/// A thread that raises the engine's epoch each tick while guests run. A thread and not a task: a guest that blocks the async runtime must not stop its own clock.
struct Ticker {
    clock: Arc<EpochClock>,
    thread: Option<JoinHandle<()>>,
}

/// Whether the epoch must advance.
///
/// Guests are not counted: on the path of every request the counter would be a line of cache that all processors fight over. A guest says that it runs, which writes nothing when
/// another has said so in this round; one that computes on through a round says it again at each of its ticks.
#[derive(Debug, Default)]
pub(crate) struct EpochClock {
    /// A guest has run in this round.
    needed: AtomicBool,
    asleep: AtomicBool,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
}

impl EpochClock {
    /// Says that a guest runs.
    pub(crate) fn need(&self) {
        if self.needed.load(Ordering::SeqCst) {
            return;
        }
        self.needed.store(true, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Ticker> {
        let clock = Arc::new(EpochClock::default());
        let of_thread = Arc::clone(&clock);
        let thread = std::thread::Builder::new().name("wasm-ticker".to_owned()).spawn(move || tick(&engine, &of_thread))?;
        let _ = clock.thread.set(thread.thread().clone());
        Ok(Ticker { clock, thread: Some(thread) })
    }
}

fn tick(engine: &Engine, clock: &EpochClock) {
    while !clock.stop.load(Ordering::SeqCst) {
        for _ in 0..ROUND {
            std::thread::park_timeout(TICK);
            engine.increment_epoch();
            if clock.stop.load(Ordering::SeqCst) {
                return;
            }
        }
        if clock.needed.swap(false, Ordering::SeqCst) {
            continue;
        }
        // The order matters: a guest that begins between the two lines sees `asleep` and wakes the thread.
        clock.asleep.store(true, Ordering::SeqCst);
        while !clock.needed.load(Ordering::SeqCst) && !clock.stop.load(Ordering::SeqCst) {
            std::thread::park();
        }
        clock.asleep.store(false, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.clock.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
