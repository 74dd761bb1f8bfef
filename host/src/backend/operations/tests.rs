//! What is carried through, with and without a record.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::stream::StreamExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;
use crate::backend::engine::{PullLine, RegistryAuth};
use crate::backend::operations::pull::{Layers, PullProgress};

fn owner(plugin: &str) -> Owner {
    Owner { site: "plant".to_owned(), plugin: plugin.to_owned() }
}

#[tokio::test]
async fn work_is_finished_when_nobody_waits_any_more() {
    let operations = Operations::default();
    let done = Arc::new(AtomicBool::new(false));
    let (go, wait) = oneshot::channel::<()>();
    let flag = Arc::clone(&done);
    let of_plugin = operations.of_plugin(owner("a"), 1);
    let caller = of_plugin.carry_through(Duration::from_secs(10), async move {
        let _ = wait.await;
        flag.store(true, Ordering::SeqCst);
    });
    // The caller polls once, so that the work begins, and goes away.
    assert!(tokio::time::timeout(Duration::from_millis(1), caller).await.is_err());
    assert_eq!(operations.under_way(), 1);
    go.send(()).unwrap();
    operations.finished().await;
    assert!(done.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn work_has_a_limit() {
    let operations = Operations::default().of_plugin(owner("a"), 1);
    let outcome = operations.carry_through(Duration::from_secs(1), std::future::pending::<()>()).await;
    assert!(matches!(outcome, Err(OperationError::Deadline { .. })));
}

#[tokio::test]
async fn work_that_nobody_waits_for_counts_until_it_ends() {
    let all = Operations::default();
    let operations = all.of_plugin(owner("a"), 2);
    let neighbour = all.of_plugin(owner("b"), 1);
    let mut ends = Vec::new();
    for _ in 0..2 {
        let (end, wait) = oneshot::channel::<()>();
        ends.push(end);
        let caller = operations.carry_through(Duration::from_secs(10), wait);
        assert!(tokio::time::timeout(Duration::from_millis(1), caller).await.is_err());
    }
    let quick = || async { 1 };
    let refused = operations.carry_through(Duration::from_secs(10), quick()).await;
    assert!(matches!(refused, Err(OperationError::TooMany { at_most: 2 })));
    // One after the other is never too many.
    for _ in 0..100 {
        assert_eq!(neighbour.carry_through(Duration::from_secs(10), quick()).await.unwrap(), 1);
    }
    drop(ends);
    all.finished().await;
    assert_eq!(operations.carry_through(Duration::from_secs(10), quick()).await.unwrap(), 1);
}

#[tokio::test]
async fn the_outcome_does_not_wait_for_the_rest_and_the_rest_keeps_its_permit() {
    let all = Operations::default();
    let operations = all.of_plugin(owner("a"), 1);
    let (end, wait) = oneshot::channel::<()>();
    let rest: Rest = Box::pin(async move {
        let _ = wait.await;
    });
    assert_eq!(operations.carry_through_with_rest(async move { (1, Some(rest)) }).await.unwrap(), 1);
    assert_eq!(all.under_way(), 1);
    let refused = operations.carry_through(Duration::from_secs(10), async { 2 }).await;
    assert!(matches!(refused, Err(OperationError::TooMany { .. })));
    end.send(()).unwrap();
    all.finished().await;
    assert_eq!(operations.carry_through(Duration::from_secs(10), async { 2 }).await.unwrap(), 2);
}

/// An engine that pulls until the test says how that ends.
struct Puller {
    /// The pulls that were begun, each with its progress.
    begun: Arc<Mutex<Vec<Arc<PullProgress>>>>,
    /// How many of them were dropped before their end.
    given_up: Arc<AtomicUsize>,
    end: watch::Sender<Option<Result<(), EngineError>>>,
}

/// Counts a pull that is dropped before its end.
struct Begun(Arc<AtomicUsize>, bool);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.fetch_add(usize::from(!self.1), Ordering::SeqCst);
    }
}

impl Puller {
    fn new() -> Puller {
        Puller { begun: Arc::default(), given_up: Arc::default(), end: watch::Sender::new(None) }
    }

    fn pull_from(&self, engine: &str, image: &str, auth: Result<Option<&str>, RegistryError>) -> Pull {
        let (begun, given_up, mut end) = (Arc::clone(&self.begun), Arc::clone(&self.given_up), self.end.subscribe());
        let auth = auth.map(|auth| auth.map(|auth| RegistryAuth::new(auth.to_owned())));
        Pull {
            engine: EngineAddress::Unix(engine.into()),
            image: ImageReference::parse(image).unwrap(),
            auth: Box::pin(async move { auth }),
            work: Box::new(move |_, progress| {
                Box::pin(async move {
                    begun.lock().unwrap().push(progress);
                    let mut guard = Begun(given_up, false);
                    let outcome = end.wait_for(Option::is_some).await.unwrap().clone().unwrap();
                    guard.1 = true;
                    outcome
                })
            }),
        }
    }

    fn pull(&self, image: &str) -> Pull {
        self.pull_from("/run/docker.sock", image, Ok(None))
    }

    /// How all pulls end that are under way or begin from now on; none lets the next ones wait again.
    fn end(&self, outcome: Option<Result<(), EngineError>>) {
        self.end.send_replace(outcome);
    }

    /// Waits until so many pulls were begun.
    async fn begun(&self, count: usize) {
        eventually(|| self.begun.lock().unwrap().len() == count).await;
    }

    fn given_up(&self) -> usize {
        self.given_up.load(Ordering::SeqCst)
    }

    /// A line about a layer of the first pull.
    fn says(&self, status: &str, current: u64, total: u64) {
        let line = PullLine { id: "layer".to_owned(), status: status.to_owned(), current: Some(current), total: Some(total) };
        self.begun.lock().unwrap().first().unwrap().take(line);
    }
}

/// Those of a pull.
fn layers(moment: &Moment) -> &Layers {
    let Details::Pull(layers) = &moment.details else { panic!("no pull") };
    layers
}

/// Lets the other tasks work until `probe` is true.
#[track_caller]
fn eventually(mut probe: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        for _ in 0..1000 {
            if probe() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("it did not come to pass at {caller}");
    }
}

const AN_HOUR: Duration = Duration::from_secs(3600);

fn failed() -> EngineError {
    EngineError::Failed { status: 200, reason: "no space".to_owned() }
}

#[tokio::test]
async fn all_who_pull_the_same_wait_for_one_pull() {
    let (all, puller) = (Operations::default(), Puller::new());
    let [first, second] = ["a", "b"].map(|plugin| all.of_plugin(owner(plugin), 8));
    let operations = [
        first.pull(puller.pull("redis"), AN_HOUR).unwrap(),
        second.pull(puller.pull("docker.io/library/redis:latest"), AN_HOUR).unwrap(),
        second.pull(puller.pull("index.docker.io/redis"), AN_HOUR).unwrap(),
    ];
    puller.begun(1).await;
    puller.says("Downloading", 50, 100);
    eventually(|| operations.iter().all(|operation| operation.now().percent == Some(25))).await;
    assert_eq!(all.0.pulls.count(), 1);
    let mut ids: Vec<&str> = operations.iter().map(|operation| operation.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    // The others have their own.
    second.pull(puller.pull("redis:7"), AN_HOUR).unwrap();
    second.pull(puller.pull_from("/run/other.sock", "redis", Ok(None)), AN_HOUR).unwrap();
    second.pull(puller.pull_from("/run/docker.sock", "redis", Ok(Some("other"))), AN_HOUR).unwrap();
    puller.begun(4).await;
    puller.end(Some(Ok(())));
    for operation in &operations {
        assert!(matches!(operation.ended().await, Outcome::Succeeded));
        assert_eq!((operation.now().word(), operation.now().percent), ("succeeded", Some(100)));
    }
    all.finished().await;
    assert_eq!((all.0.pulls.count(), puller.given_up()), (0, 0));
}

#[tokio::test]
async fn cancelling_one_leaves_the_others_and_the_last_one_ends_the_pull() {
    let (all, puller) = (Operations::default(), Puller::new());
    let [first, second] = ["a", "b"].map(|plugin| all.of_plugin(owner(plugin), 1).pull(puller.pull("redis"), AN_HOUR).unwrap());
    puller.begun(1).await;
    eventually(|| all.0.pulls.count() == 1).await;
    first.cancel();
    assert_eq!(first.now().word(), "cancelled", "it is so at once");
    eventually(|| all.under_way() == 1).await;
    assert_eq!((second.now().word(), puller.given_up()), ("running", 0));
    second.cancel();
    all.finished().await;
    assert_eq!((puller.given_up(), all.0.pulls.count()), (1, 0));
    // One that has ended stays as it is.
    second.cancel();
    assert!(matches!(second.ended().await, Outcome::Cancelled));
}

#[tokio::test]
async fn who_pulls_after_a_failure_begins_anew() {
    let (all, puller) = (Operations::default(), Puller::new());
    let plugin = all.of_plugin(owner("a"), 8);
    let waiting: Vec<_> = (0..4).map(|_| plugin.pull(puller.pull("redis"), AN_HOUR).unwrap()).collect();
    puller.begun(1).await;
    puller.end(Some(Err(failed())));
    let outcome = waiting.first().unwrap().ended().await;
    assert!(matches!(outcome, Outcome::Failed(OperationFailure::Engine(error)) if error == failed()));
    // Not all who waited for the first have heard of its end.
    puller.end(Some(Ok(())));
    let again = plugin.pull(puller.pull("redis"), AN_HOUR).unwrap();
    assert!(matches!(again.ended().await, Outcome::Succeeded));
    assert_eq!(puller.begun.lock().unwrap().len(), 2);
    all.finished().await;
    assert!(waiting.iter().all(|operation| operation.now().word() == "failed"));
}

#[tokio::test]
async fn a_pull_goes_on_when_nobody_looks_and_its_outcome_is_kept() {
    let (all, puller) = (Operations::default(), Puller::new());
    let id = all.of_plugin(owner("a"), 1).pull(puller.pull("redis"), AN_HOUR).unwrap().id.clone();
    puller.begun(1).await;
    puller.says("Downloading", 10, 10);
    puller.end(Some(Ok(())));
    all.finished().await;
    // A later generation of the plugin.
    let found = all.of_plugin(owner("a"), 1).find(&id).unwrap();
    let now = found.now();
    assert_eq!((now.word(), now.percent, layers(&now).bytes()), ("succeeded", Some(100), (10, 10)));
    assert!(now.ended_ms >= Some(now.began_ms));
    assert!(all.of_plugin(owner("a"), 1).owns(&found) && !all.of_plugin(owner("b"), 1).owns(&found));
}

#[tokio::test(start_paused = true)]
async fn an_operation_has_a_limit_of_its_own() {
    let (all, puller) = (Operations::default(), Puller::new());
    let plugin = all.of_plugin(owner("a"), 8);
    let short = plugin.pull(puller.pull("redis"), Duration::from_secs(1)).unwrap();
    let long = plugin.pull(puller.pull("redis"), AN_HOUR).unwrap();
    assert!(matches!(short.ended().await, Outcome::Failed(OperationFailure::Host(OperationError::Deadline { .. }))));
    assert_eq!((long.now().word(), puller.given_up()), ("running", 0));
}

#[tokio::test]
async fn a_permit_is_back_when_the_end_is_known() {
    let (all, puller) = (Operations::default(), Puller::new());
    let plugin = all.of_plugin(owner("a"), 1);
    let first = plugin.pull(puller.pull("redis"), AN_HOUR).unwrap();
    assert!(matches!(plugin.pull(puller.pull("redis"), AN_HOUR), Err(OperationError::TooMany { at_most: 1 })));
    assert!(matches!(plugin.carry_through(AN_HOUR, async {}).await, Err(OperationError::TooMany { .. })));
    first.cancel();
    let second = plugin.pull(puller.pull("redis"), AN_HOUR).unwrap();
    puller.end(Some(Ok(())));
    assert!(matches!(second.ended().await, Outcome::Succeeded));
    plugin.pull(puller.pull("redis"), AN_HOUR).unwrap();
}

#[tokio::test]
async fn a_credential_that_cannot_be_read_is_an_outcome() {
    let (all, puller) = (Operations::default(), Puller::new());
    let error = RegistryError::Credentials { registry: "docker.io".to_owned(), reason: "no such file".to_owned() };
    let pull = puller.pull_from("/run/docker.sock", "redis", Err(error.clone()));
    let operation = all.of_plugin(owner("a"), 1).pull(pull, AN_HOUR).unwrap();
    assert!(matches!(operation.ended().await, Outcome::Failed(OperationFailure::Registry(found)) if found == error));
    puller.begun(0).await;
}

#[tokio::test]
async fn a_mistake_in_the_host_is_a_failure() {
    let (all, puller) = (Operations::default(), Puller::new());
    let pull = Pull { work: Box::new(|_, _| Box::pin(async { panic!("a mistake") })), ..puller.pull("redis") };
    let operation = all.of_plugin(owner("a"), 1).pull(pull, AN_HOUR).unwrap();
    assert!(matches!(operation.ended().await, Outcome::Failed(OperationFailure::Host(OperationError::Panicked))));
    assert_eq!(all.0.pulls.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn records_are_kept_for_ten_minutes_and_not_too_many_of_one_plugin() {
    let (all, puller) = (Operations::default(), Puller::new());
    let [busy, other] = ["busy", "other"].map(|plugin| all.of_plugin(owner(plugin), 1000));
    let running = busy.pull(puller.pull("running"), AN_HOUR).unwrap();
    let quiet = other.pull(puller.pull("redis"), AN_HOUR).unwrap();
    quiet.cancel();
    for number in 0..500 {
        busy.pull(puller.pull(&format!("image:{number}")), AN_HOUR).unwrap().cancel();
    }
    let recorded = all.recorded();
    // The newest is first, and nobody else's is forgotten for them.
    assert_eq!(recorded.first().unwrap().subject.image().unwrap().0.tag(), Some("499"));
    assert!(recorded.len() < 140, "{}", recorded.len());
    let last: Vec<&str> = recorded.iter().rev().take(2).map(|operation| operation.id.as_str()).collect();
    assert_eq!(last, [running.id.as_str(), quiet.id.as_str()]);
    tokio::time::advance(Duration::from_secs(601)).await;
    let ids: Vec<String> = all.recorded().iter().map(|operation| operation.id.clone()).collect();
    assert_eq!(ids, std::slice::from_ref(&running.id), "one that runs is never forgotten");
    assert!(busy.find(&running.id).is_some() && busy.find(&quiet.id).is_none());
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_sees_the_present_state_some_changes_and_the_end() {
    let (all, puller) = (Operations::default(), Puller::new());
    let operation = all.of_plugin(owner("a"), 1).pull(puller.pull("redis"), AN_HOUR).unwrap();
    puller.begun(1).await;
    let states = operation.states();
    let began = Instant::now();
    let watching = states.map(|moment| (began.elapsed(), moment.word(), moment.percent)).collect::<Vec<_>>();
    // A thousand changes in ten seconds.
    let pulling = async {
        for current in 1..=1000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            puller.says("Downloading", current, 1000);
        }
        puller.end(Some(Ok(())));
    };
    let (seen, ()) = tokio::join!(watching, pulling);
    assert_eq!(seen.first().unwrap().1, "running");
    assert_eq!(seen.last().map(|(_, word, percent)| (*word, *percent)), Some(("succeeded", Some(100))));
    assert!((50..=102).contains(&seen.len()), "{}", seen.len());
    for pair in seen.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_millis(100), "{pair:?}");
        assert!(pair[1].2 >= pair[0].2 && (pair[0].2 < Some(100)), "{pair:?}");
    }
    // What has ended is seen once.
    assert_eq!(operation.states().count().await, 1);
}

#[tokio::test]
async fn what_is_left_when_the_host_stops_is_cancelled() {
    let (all, puller) = (Operations::default(), Puller::new());
    let plugin = all.of_plugin(owner("a"), 8);
    let operations = ["redis", "nginx"].map(|image| plugin.pull(puller.pull(image), AN_HOUR).unwrap());
    puller.begun(2).await;
    assert!(tokio::time::timeout(Duration::ZERO, all.finished()).await.is_err());
    all.cancel_all();
    all.finished().await;
    assert!(operations.iter().all(|operation| operation.now().word() == "cancelled"));
    assert_eq!(puller.given_up(), 2);
}

/// A build that ends as the test says, and what undoes it.
fn build(progress: &Arc<BuildProgress>, end: oneshot::Receiver<Result<(), OperationFailure>>, undo: Rest) -> Build {
    Build {
        engine: EngineAddress::Unix("/run/docker.sock".into()),
        image: ImageReference::parse("model").unwrap(),
        progress: Arc::clone(progress),
        work: Box::pin(async move { end.await.unwrap() }),
        undo,
    }
}

/// Waits until the test says so.
fn until(undone: oneshot::Receiver<()>) -> Rest {
    Box::pin(async move {
        let _ = undone.await;
    })
}

#[tokio::test(start_paused = true)]
async fn a_build_that_fails_has_ended_when_it_is_undone_or_when_that_takes_too_long() {
    for (undone_after, told_after) in [(3, 3), (3600, 10)] {
        let all = Operations::default();
        let plugin = all.of_plugin(owner("a"), 1);
        let (end, ended) = oneshot::channel();
        let undo = Box::pin(tokio::time::sleep(Duration::from_secs(undone_after)));
        let began = Instant::now();
        let operation = plugin.build(build(&Arc::default(), ended, undo), AN_HOUR).unwrap();
        end.send(Err(failed().into())).unwrap();
        assert!(matches!(operation.ended().await, Outcome::Failed(OperationFailure::Engine(_))));
        assert_eq!(began.elapsed().as_secs(), told_after);
        // The permit is back with the end of the undoing.
        let another = plugin.carry_through(AN_HOUR, async {}).await;
        assert_eq!(another.is_ok(), undone_after == told_after);
        all.finished().await;
        assert_eq!(began.elapsed().as_secs(), undone_after);
        plugin.carry_through(AN_HOUR, async {}).await.unwrap();
    }
}

#[tokio::test]
async fn a_build_that_is_cancelled_has_ended_at_once_and_is_undone() {
    let all = Operations::default();
    let plugin = all.of_plugin(owner("a"), 1);
    let ((end, ended), (undone, undo)) = (oneshot::channel(), oneshot::channel());
    let operation = plugin.build(build(&Arc::default(), ended, until(undo)), AN_HOUR).unwrap();
    operation.cancel();
    assert_eq!(operation.now().word(), "cancelled");
    eventually(|| end.is_closed()).await;
    assert!(matches!(plugin.carry_through(AN_HOUR, async {}).await, Err(OperationError::TooMany { .. })));
    undone.send(()).unwrap();
    all.finished().await;
    plugin.carry_through(AN_HOUR, async {}).await.unwrap();
}

#[tokio::test]
async fn a_build_that_is_cancelled_in_the_moment_of_its_success_is_undone() {
    let all = Operations::default();
    let plugin = all.of_plugin(owner("a"), 1);
    let ((end, ended), (undone, undo)) = (oneshot::channel(), oneshot::channel());
    let operation = plugin.build(build(&Arc::default(), ended, until(undo)), AN_HOUR).unwrap();
    let permit = plugin.permit().err();
    assert!(permit.is_some());
    end.send(Ok(())).unwrap();
    operation.cancel();
    assert!(tokio::time::timeout(Duration::from_millis(1), all.finished()).await.is_err());
    undone.send(()).unwrap();
    all.finished().await;
    assert_eq!(operation.now().word(), "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_build_is_watched_by_its_steps_and_its_log_is_read_by_many() {
    let all = Operations::default();
    let ((end, ended), (_undone, undo)) = (oneshot::channel(), oneshot::channel());
    let progress = Arc::new(BuildProgress::of(4));
    let operation = all.of_plugin(owner("a"), 1).build(build(&progress, ended, until(undo)), AN_HOUR).unwrap();
    progress.log().add("before\n");
    let [early, late] = [operation.said(), operation.said()].map(|said| said.map(|piece| String::from_utf8(piece.to_vec()).unwrap()));
    let states = operation.states().map(|moment| (moment.word(), moment.percent)).collect::<Vec<_>>();
    let building = async {
        for step in 1..=4 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            progress.begin(step, "RUN true");
            progress.log().add(&format!("step {step}\n"));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        end.send(Ok(())).unwrap();
    };
    let (states, early, ()) = tokio::join!(states, early.collect::<Vec<_>>(), building);
    let running = |percent| ("running", percent);
    assert_eq!(
        states,
        [running(None), running(Some(0)), running(Some(25)), running(Some(50)), running(Some(75)), ("succeeded", Some(100))]
    );
    assert_eq!(early, ["before\n", "step 1\n", "step 2\n", "step 3\n", "step 4\n"]);
    assert_eq!(late.collect::<Vec<_>>().await, ["before\nstep 1\nstep 2\nstep 3\nstep 4\n"]);
    // A pull has none.
    let pull = all.of_plugin(owner("b"), 1).pull(Puller::new().pull("redis"), AN_HOUR).unwrap();
    pull.cancel();
    assert_eq!(pull.said().count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn fewer_builds_are_remembered_than_pulls_because_of_their_logs() {
    let (all, puller) = (Operations::default(), Puller::new());
    let plugin = all.of_plugin(owner("a"), 1000);
    for number in 0..50 {
        plugin.pull(puller.pull(&format!("image:{number}")), AN_HOUR).unwrap().cancel();
        let ((_, ended), (_, undo)) = (oneshot::channel(), oneshot::channel());
        plugin.build(build(&Arc::default(), ended, until(undo)), AN_HOUR).unwrap().cancel();
    }
    let of_kind = |kind: &str| all.recorded().iter().filter(|operation| operation.subject.kind == kind).count();
    assert_eq!((of_kind("pull"), of_kind("build")), (50, 17));
}
