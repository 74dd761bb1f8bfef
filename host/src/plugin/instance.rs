//! One instance of a plugin: a store, the component in it, and the way to call it.
//!
//! An instance serves one request at a time. Whether it serves another one afterwards is decided in `call.rs`; here is only what it takes to make one and to prepare it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{InstancePre, ResourceTable};
use wasmtime_wasi::WasiCtxBuilder;

use super::meter::{CpuMeter, DeadlinePassed, Metered};
use super::runtime::WasmRuntime;
use super::state::{InstanceState, MemoryCount, Outgoing, PluginRooms};
use super::stdio::{Output, Stdio};
use crate::backend::users::Caller;
use crate::bindings::exports::wharf::http::handler;
use crate::bindings::exports::wharf::jobs::handler as jobs;
use crate::bindings::exports::wharf::plugin::description;
use crate::capability::call::{CallContext, HostCallObserver, PluginIdentity, WallClock};
use crate::settings::Limits;

/// Handles that a request may hold at a time, in each of the two tables. A plugin that needs more has lost them.
const MAX_HANDLES: usize = 1_000;

/// What instances of one plugin are made from.
pub(crate) struct InstanceParts {
    pub(crate) runtime: Arc<WasmRuntime>,
    pub(crate) rooms: Arc<PluginRooms>,
    pub(crate) identity: Arc<PluginIdentity>,
    pub(crate) observer: Arc<dyn HostCallObserver>,
    pub(crate) limits: Limits,
}

/// The exports that the host calls, found once for all instances. An absent one means that the plugin does not offer it.
pub(crate) struct Exports {
    pub(crate) description: description::GuestIndices,
    pub(crate) handler: handler::GuestIndices,
    pub(crate) jobs: Option<jobs::GuestIndices>,
}

/// One instance.
pub(crate) struct Instance {
    pub(crate) store: Store<InstanceState>,
    pub(crate) handler: handler::Guest,
    instance: wasmtime::component::Instance,
    /// Requests served so far.
    pub(crate) served: u32,
    /// After so many requests it is retired.
    pub(crate) retire_after: u32,
    /// With so much memory it is retired.
    retire_at_bytes: usize,
}

impl InstanceParts {
    /// Makes an instance. Its start function runs within `start_deadline_ms`, and is metered like a request: one that computes for long holds a burner permit, and must not
    /// keep it when it is done.
    ///
    /// # Errors
    ///
    /// Wasmtime's reason: the pool is full, the component wants more memory than the limit, or its start trapped. Or it took too long.
    pub(crate) async fn instantiate(
        &self,
        pre: &InstancePre<InstanceState>,
        exports: &Exports,
        retire_after: u32,
    ) -> wasmtime::Result<Instance> {
        let mut store = self.store();
        let (cpu, clock) = (Arc::clone(&store.data().cpu), Arc::clone(&store.data().call.clock));
        let made = async move {
            let instance = pre.instantiate_async(&mut store).await?;
            let handler = exports.handler.load(&mut store, &instance)?;
            let memory = &store.data().memory;
            let retire_at_bytes = memory.used_bytes() + memory.left_bytes() / 4 * 3;
            Ok(Instance { store, instance, handler, served: 0, retire_after, retire_at_bytes })
        };
        let too_long =
            |_: DeadlinePassed| Err(wasmtime::Error::msg(format!("it did not start within {} ms", self.limits.start_deadline_ms)));
        Metered::new(made, cpu, clock).await.unwrap_or_else(too_long)
    }

    fn store(&self) -> Store<InstanceState> {
        let stdio = Stdio::new(Arc::clone(&self.rooms.lines));
        let wasi = WasiCtxBuilder::new().stdout(stdio.stream(Output::Stdout)).stderr(stdio.stream(Output::Stderr)).build();
        let start_deadline = Duration::from_millis(self.limits.start_deadline_ms);
        let cpu = Arc::new(CpuMeter::new(Arc::clone(&self.runtime.burners), self.runtime.clock()));
        cpu.restart(start_deadline);
        let call = CallContext {
            identity: Arc::clone(&self.identity),
            caller: Caller::default(),
            host_calls_left: u32::try_from(self.limits.host_calls).unwrap_or(u32::MAX),
            clock: Arc::new(WallClock::new(start_deadline)),
            operation_deadline: Duration::from_millis(self.limits.operation_deadline_ms),
            build_context_bytes: self.limits.build_context_mib.saturating_mul(1 << 20),
            observer: Arc::clone(&self.observer),
            lines: Arc::clone(&self.rooms.lines),
            over_quota: None,
        };
        let memory_bytes = usize::try_from(self.limits.memory_mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
        let state = InstanceState {
            wasi,
            wasi_table: ResourceTable::with_capacity(0),
            table: ResourceTable::with_capacity(0),
            memory: MemoryCount::new(memory_bytes),
            cpu,
            stdio,
            rooms: Arc::clone(&self.rooms),
            call,
            outgoing: Outgoing::default(),
        };
        let mut store = Store::new(&self.runtime.engine, state);
        store.data_mut().table.set_max_capacity(MAX_HANDLES);
        store.data_mut().wasi_table.set_max_capacity(MAX_HANDLES);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.crossing_bytes());
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| Ok(context.data().cpu.tick()?));
        store
    }
}

impl Instance {
    /// Asks the component what it is, within what its start has left of `start_deadline_ms`; none when that is over.
    ///
    /// # Errors
    ///
    /// Why the component trapped.
    pub(crate) async fn describe(mut self, exports: &Exports) -> Option<wasmtime::Result<String>> {
        let (cpu, clock) = (Arc::clone(&self.store.data().cpu), Arc::clone(&self.store.data().call.clock));
        let asked = async move {
            let description = exports.description.load(&mut self.store, &self.instance)?;
            description.call_describe(&mut self.store).await
        };
        Metered::new(asked, cpu, clock).await.ok()
    }

    /// Prepares the instance for one request: everything that belonged to the last one is replaced.
    pub(crate) fn begin(&mut self, limits: &Limits, caller: Caller) {
        self.store.set_epoch_deadline(1);
        let state = self.store.data_mut();
        state.cpu.restart(Duration::from_millis(limits.cpu_ms));
        state.outgoing.open();
        let call = &mut state.call;
        call.caller = caller;
        call.host_calls_left = u32::try_from(limits.host_calls).unwrap_or(u32::MAX);
        call.clock.restart(Duration::from_millis(limits.deadline_ms));
        self.served = self.served.saturating_add(1);
    }

    /// Prepares the instance, which is new, for one job.
    pub(crate) fn begin_job(&mut self, limits: &Limits) {
        self.begin(limits, Caller::default());
        let state = self.store.data_mut();
        state.cpu.restart(Duration::from_millis(limits.job_cpu_ms));
        state.call.clock.restart(Duration::from_millis(limits.job_deadline_ms));
        // There is no request to answer.
        state.outgoing = Outgoing::default();
    }

    /// Lets the component carry out `work`; none if it does not export the handler.
    ///
    /// # Errors
    ///
    /// Why the component trapped.
    pub(crate) async fn run(&mut self, exports: &Exports, work: &jobs::Work) -> wasmtime::Result<Option<Result<(), jobs::Failure>>> {
        let Some(jobs) = &exports.jobs else { return Ok(None) };
        let jobs = jobs.load(&mut self.store, &self.instance)?;
        jobs.call_run(&mut self.store, work).await.map(Some)
    }

    /// Whether the instance may serve another request: nothing of the last one is left in it, it is not due, and it has not used up three quarters of the memory that its start left it.
    /// Memory never shrinks: without the last an instance that leaks would sooner or later fail a request.
    pub(crate) fn is_clean(&self) -> bool {
        let state = self.store.data();
        let has_memory = !state.memory.refused && state.memory.used_bytes() <= self.retire_at_bytes;
        state.table.is_empty() && has_memory && self.served < self.retire_after
    }
}
