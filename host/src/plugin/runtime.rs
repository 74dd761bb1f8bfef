//! The wasm engine of the process, and the clock that interrupts guests.
//!
//! One engine: type registries, epochs and the instance pool want to be shared, and an engine for each plugin costs memory. Three choices were measured:
//! `concurrency_support(false)`, since no function of the contract is `async` and the machinery costs five percent of a small request; epochs instead of
//! fuel, which costs a guest several times as much; and the pooling allocator, without which a fresh instance spends its time in `mmap`. The pool reserves several TiB of
//! address space; where that is not to be had (a 39-bit kernel, a limit on address space) instances are allocated on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How long a guest computes before it is looked at. Ten milliseconds is not felt by a neighbour, and costs a hundred wake-ups a second at most.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// How many ticks without a call the ticker waits before it sleeps, so that a steady trickle of requests does not wake it for each.
const IDLE_TICKS: u32 = 100;

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
        Ok(WasmRuntime { engine, burners, ticker })
    }

    /// Keeps the ticker awake while it lives. Every call into a guest holds one.
    pub(crate) fn running(&self) -> Running {
        self.ticker.running()
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

/// A thread that raises the engine's epoch each tick while calls run. A thread and not a task: a guest that blocks the async runtime must not stop its own clock.
struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// One call that runs.
pub(crate) struct Running {
    shared: Arc<Shared>,
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared { running: AtomicUsize::new(0), asleep: AtomicBool::new(false), stop: AtomicBool::new(false) });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("wasm-ticker".to_owned()).spawn(move || tick(&engine, &of_thread))?;
        Ok(Ticker { shared, thread: Some(thread) })
    }

    fn running(&self) -> Running {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running { shared: Arc::clone(&self.shared) }
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    let mut idle_ticks = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.running.load(Ordering::SeqCst) > 0 {
            idle_ticks = 0;
        } else {
            idle_ticks += 1;
        }
        if idle_ticks > IDLE_TICKS {
            // The order matters: a call that begins between the two loads sees `asleep` and wakes the thread.
            shared.asleep.store(true, Ordering::SeqCst);
            if shared.running.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
                std::thread::park();
            }
            shared.asleep.store(false, Ordering::SeqCst);
            idle_ticks = 0;
        } else {
            std::thread::park_timeout(TICK);
        }
        engine.increment_epoch();
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}
