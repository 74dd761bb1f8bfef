//! The course of recreations on an engine in memory: what becomes of the containers when each request in turn fails, hangs, loses its answer, meets an engine that is restarted, or is the last before the host is killed.
//!
//! Whatever happens there is one container of each name in the end, which runs if it ran before, with its volumes and its restart policy, and nothing else.

mod faults;
mod journal;
mod model;
mod stories;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::*;
use crate::backend::engine::scripted::engine_within;
use crate::backend::operations::{Operations, Outcome, Owner};
use model::{Model, ModelEngine, NEW, OLD};

/// More than a busy machine needs for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where some answers never come.
const IMPATIENCE: Duration = Duration::from_millis(300);

/// Little time for all but for answers.
fn pace(patience: Duration) -> Pace {
    let short = Duration::from_millis(5);
    Pace {
        poll: short,
        patience,
        start: patience,
        stop_margin: patience,
        longest_stop: Duration::ZERO,
        after_stop: 4 * short,
        appears: 4 * short,
        pause: short,
        longest_pause: 4 * short,
        refusals: 4,
    }
}

/// An engine and a folder for journals, and the runs of the host on them.
struct World {
    engine: ModelEngine,
    folder: tempfile::TempDir,
    /// Of the engine.
    runtime: Runtime,
    /// How long the host waits for an answer.
    patience: Duration,
}

/// One run of the host.
struct Host {
    recreations: Arc<EngineRecreations>,
    operations: Operations,
}

fn owner() -> Owner {
    Owner { site: "plant".to_owned(), plugin: "updater".to_owned() }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl World {
    fn new(fill: impl FnOnce(&mut Model)) -> World {
        let runtime = runtime();
        let engine = runtime.block_on(async { ModelEngine::start() });
        fill(&mut engine.model.lock().unwrap());
        World { engine, folder: tempfile::tempdir().unwrap(), runtime, patience: PATIENCE }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.sqlite")
    }

    /// Lets a host live for as long as `life` takes, and kills it then.
    fn host<T>(&self, life: impl AsyncFnOnce(&Host) -> T) -> T {
        let runtime = runtime();
        let answer = runtime.block_on(async {
            let operations = Operations::default();
            let recreations = EngineRecreations::new(
                engine_within(&self.engine.socket, self.patience),
                operations.clone(),
                Some(self.journal()),
                pace(self.patience),
            );
            let host = Host { recreations: Arc::new(recreations), operations };
            life(&host).await
        });
        drop(runtime);
        answer
    }

    fn model<T>(&self, look: impl FnOnce(&mut Model) -> T) -> T {
        look(&mut self.engine.model.lock().unwrap())
    }
}

impl Host {
    /// Begins to recreate the container `name` on what the registry has for `redis:7`.
    async fn begin(&self, world: &World, name: &str, again: bool) -> Result<Arc<Operation>, RecreateError> {
        self.begin_as(world, name, RecreateOptions { pull: true, again, ..options() }).await
    }

    async fn begin_as(&self, world: &World, name: &str, options: RecreateOptions) -> Result<Arc<Operation>, RecreateError> {
        let id = world.model(|model| model.named(name).unwrap().id.clone());
        let image = ImageReference::parse("redis:7").unwrap();
        let engine = self.recreations.engine.clone();
        let pulled = (engine.clone(), image.clone());
        let pull = options.pull.then(|| Pull {
            engine: engine.address().clone(),
            image: image.clone(),
            auth: Box::pin(async { Ok(None) }),
            work: Box::new(move |auth, progress| {
                Box::pin(async move { pulled.0.pull(&pulled.1.repository(), "7", auth.as_ref(), &mut |line| progress.take(line)).await })
            }),
        });
        let request = Request {
            container: ContainerId::parse(&id).unwrap(),
            name: name.to_owned(),
            labels: Vec::new(),
            image,
            spelling: "redis:7".to_owned(),
            options,
            covers: Arc::new(|name, _| name != "secret"),
        };
        let reserved = self.operations.of_plugin(owner(), 8).reserve().unwrap();
        self.recreations.begin(request, pull, reserved, Duration::from_secs(30)).await
    }

    /// Recreates `name` to the end.
    async fn recreate(&self, world: &World, name: &str, again: bool) -> Result<Outcome, RecreateError> {
        Ok(self.begin(world, name, again).await?.ended().await)
    }

    /// Takes up what the host before has left, and waits until all of it is done.
    async fn take_up(&self) {
        self.recreations.take_up().await;
        self.operations.finished().await;
    }
}

/// Waits until the engine is as `is` says.
async fn world_until(world: &World, is: impl Fn(&Model) -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !world.model(|model| is(model)) {
        assert!(tokio::time::Instant::now() < deadline);
        sleep(Duration::from_millis(2)).await;
    }
}

fn options() -> RecreateOptions {
    RecreateOptions { pull: false, settle: Duration::from_millis(20), healthy: None, again: false }
}

/// Whether the record of a file says that nothing is left to do.
#[track_caller]
fn check_nothing_left(journal: &Path) {
    let (_, records) = Journal::open(journal).unwrap();
    let open: Vec<_> = records.iter().filter(|record| record.phase != Phase::Ended).map(|record| (record.phase, &record.name)).collect();
    assert_eq!(open, []);
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Failed(failure) => failure.to_string(),
        Outcome::Cancelled => "cancelled".to_owned(),
    }
}
