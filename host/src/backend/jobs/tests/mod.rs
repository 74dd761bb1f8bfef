//! The queue's rules, on SQLite. Two hosts are two stores on one space. Time is passed in, and so is chance: half of what there may be.

use std::sync::Arc;
use std::time::Duration;

use super::testing::{BEGINNING_MS, space, store};
use super::*;
use crate::backend::database::Space;

mod schedules;

/// Two hosts' view of one queue, and its folder, which is there as long as this is.
struct Queue {
    a: Store,
    b: Store,
    space: Arc<dyn Space>,
    _folder: tempfile::TempDir,
}

async fn queue() -> Queue {
    let folder = tempfile::tempdir().unwrap();
    let space = space(folder.path());
    Queue { a: store(&space, "a").await, b: store(&space, "b").await, space, _folder: folder }
}

fn job(kind: &str) -> NewJob {
    let purpose = Purpose::Job;
    let (kind, payload) = (kind.to_owned(), b"about".to_vec());
    NewJob { plugin: "p".to_owned(), purpose, kind, payload, content_type: None, key: None, delay_ms: 0, attempts: ATTEMPTS }
}

fn with_key(key: &str) -> NewJob {
    NewJob { key: Some(key.to_owned()), ..job("x") }
}

/// `ms` after the beginning.
fn at(ms: u64) -> u64 {
    BEGINNING_MS + ms
}

/// Takes up to `count` jobs of the plugin `p`.
async fn claim(store: &Store, count: usize, now_ms: u64) -> Vec<Job> {
    let room = Room { plugin: "p", purposes: &[Purpose::Job, Purpose::Turn], count };
    store.claim(room, now_ms).await.unwrap().into_iter().map(|(job, _)| job).collect()
}

async fn claim_one(store: &Store, now_ms: u64) -> Job {
    claim(store, 1, now_ms).await.pop().expect("a job is due")
}

async fn state_of(store: &Store, id: &str) -> Job {
    store.get("p", &[id.to_owned()]).await.unwrap().pop().unwrap().0
}

async fn finish(store: &Store, job: &Job, ended: Ended, now_ms: u64) -> After {
    store.finish(job, &ended, now_ms, 0.5).await.unwrap()
}

fn again(reason: &str) -> Ended {
    Ended::Again(reason.to_owned(), None)
}

#[tokio::test]
async fn a_job_is_taken_when_it_is_due_by_one_host() {
    let Queue { a, b, _folder, .. } = queue().await;
    let late = a.enqueue(&NewJob { delay_ms: 1_000, ..job("late") }, 10, at(0)).await.unwrap();
    let early = b.enqueue(&job("early"), 10, at(5)).await.unwrap();
    let next = NextDue { plugin: "p".to_owned(), purpose: Purpose::Job, due_ms: at(5) };
    assert_eq!(a.next_due().await.unwrap(), [next]);
    let taken = claim(&a, 10, at(10)).await;
    assert_eq!(
        taken.iter().map(|job| (job.id.as_str(), job.state, job.attempts)).collect::<Vec<_>>(),
        [(early.as_str(), State::Running, 1)]
    );
    assert!(claim(&b, 10, at(10)).await.is_empty());
    assert_eq!(claim(&b, 10, at(1_000)).await[0].id, late);
    let found = a.get("p", &[late.clone(), "none".to_owned(), early.clone()]).await.unwrap();
    assert_eq!((found.len(), found[0].1.payload.as_slice()), (2, b"about".as_slice()));
    assert!(a.get("other", &[late, early]).await.unwrap().is_empty(), "it is none of another plugin's");
}

#[tokio::test]
async fn what_is_due_first_is_taken_first_and_only_for_its_purpose() {
    let Queue { a, _folder, .. } = queue().await;
    for (kind, delay_ms) in [("third", 30), ("first", 10), ("second", 20)] {
        a.enqueue(&NewJob { delay_ms, ..job(kind) }, 10, at(0)).await.unwrap();
    }
    let message = NewJob { purpose: Purpose::Webhook, content_type: Some("text/plain".to_owned()), ..job("hook") };
    let message = a.enqueue(&message, 10, at(0)).await.unwrap();
    let mut kinds: Vec<String> = claim(&a, 2, at(100)).await.into_iter().map(|job| job.kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["first", "second"]);
    assert!(a.get("p", std::slice::from_ref(&message)).await.unwrap().is_empty(), "a message is no job of the plugin's");
    let claimed = a.claim(Room { plugin: "p", purposes: &[Purpose::Webhook], count: 5 }, at(100)).await.unwrap();
    assert_eq!((claimed.len(), &claimed[0].0.id, claimed[0].1.content_type.as_deref()), (1, &message, Some("text/plain")));
}

#[tokio::test]
async fn a_job_that_fails_waits_longer_each_time_until_it_is_dead() {
    let Queue { a, _folder, .. } = queue().await;
    let id = a.enqueue(&NewJob { attempts: 3, ..job("x") }, 10, at(0)).await.unwrap();
    let mut now = at(0);
    for (attempt, pause_ms) in [(1, 10_000), (2, 20_000)] {
        let taken = claim_one(&a, now).await;
        assert_eq!(taken.attempts, attempt);
        assert_eq!(finish(&a, &taken, again("not now"), now).await, After::Waiting);
        assert!(claim(&a, 1, now + pause_ms - 1).await.is_empty());
        now += pause_ms;
    }
    let last = claim_one(&a, now).await;
    assert_eq!(finish(&a, &last, again("not \0ever"), now).await, After::Dead);
    let dead = state_of(&a, &id).await;
    assert_eq!((dead.state, dead.attempts, dead.ended_ms, dead.reason.as_deref()), (State::Dead, 3, Some(now), Some("not ever")));
    assert_eq!(a.counts().await.unwrap(), [("p".to_owned(), State::Dead, 1)]);
    a.retry(&id, now).await.unwrap();
    let taken = claim_one(&a, now).await;
    assert_eq!((taken.attempts, taken.ended_ms), (1, None));
    assert_eq!(finish(&a, &taken, Ended::Succeeded, now).await, After::Succeeded);
    assert!(matches!(a.retry(&id, now).await, Err(NotChanged::Conflict(reason)) if reason.contains("succeeded")));
    assert_eq!(a.retry("none", now).await, Err(NotChanged::NotFound));
}

#[tokio::test]
async fn what_will_never_succeed_is_dead_at_once_and_a_wish_to_be_left_alone_is_kept() {
    let Queue { a, _folder, .. } = queue().await;
    a.enqueue(&job("never"), 10, at(0)).await.unwrap();
    let taken = claim_one(&a, at(0)).await;
    assert_eq!(finish(&a, &taken, Ended::Never("gone".to_owned()), at(0)).await, After::Dead);
    let id = a.enqueue(&job("later"), 10, at(0)).await.unwrap();
    let taken = claim_one(&a, at(0)).await;
    let later = Ended::Again("busy".to_owned(), Some(Duration::from_secs(60)));
    assert_eq!(finish(&a, &taken, later, at(0)).await, After::Waiting);
    assert_eq!(state_of(&a, &id).await.due_ms, at(60_000));
}

#[tokio::test]
async fn a_key_belongs_to_one_job_while_it_waits_or_runs() {
    let Queue { a, b, _folder, .. } = queue().await;
    let first = a.enqueue(&with_key("k"), 10, at(0)).await.unwrap();
    assert_eq!(b.enqueue(&with_key("k"), 10, at(0)).await, Err(NotTaken::Key(first.clone())));
    assert!(a.enqueue(&NewJob { plugin: "other".to_owned(), ..with_key("k") }, 10, at(0)).await.is_ok());
    let taken = claim_one(&a, at(0)).await;
    assert_eq!(b.enqueue(&with_key("k"), 10, at(0)).await, Err(NotTaken::Key(first.clone())));
    assert_eq!(b.find("p", "k").await.unwrap().map(|(job, _)| job.id), Some(first.clone()));
    finish(&a, &taken, Ended::Never("gone".to_owned()), at(0)).await;
    assert_eq!(a.find("p", "k").await.unwrap(), None);
    a.enqueue(&with_key("k"), 10, at(0)).await.unwrap();
    assert!(matches!(a.retry(&first, at(0)).await, Err(NotChanged::Conflict(reason)) if reason.contains("another job with its key")));
}

#[tokio::test]
async fn a_plugin_has_no_more_waiting_than_it_may() {
    let Queue { a, _folder, .. } = queue().await;
    for _ in 0..3 {
        a.enqueue(&job("x"), 3, at(0)).await.unwrap();
    }
    assert_eq!(a.enqueue(&job("x"), 3, at(0)).await, Err(NotTaken::Quota));
    assert!(a.enqueue(&NewJob { plugin: "other".to_owned(), ..job("x") }, 3, at(0)).await.is_ok());
    claim_one(&a, at(0)).await;
    assert!(a.enqueue(&job("x"), 3, at(0)).await.is_ok(), "one that runs does not wait");
}

#[tokio::test]
async fn a_job_that_was_cancelled_is_over_whoever_runs_it() {
    let Queue { a, b, _folder, .. } = queue().await;
    let waiting = a.enqueue(&job("x"), 10, at(0)).await.unwrap();
    a.cancel(Some("p"), &waiting, at(1)).await.unwrap();
    assert!(claim(&a, 1, at(1)).await.is_empty());
    let running = a.enqueue(&job("x"), 10, at(0)).await.unwrap();
    let taken = claim_one(&a, at(1)).await;
    assert_eq!(a.own().await.unwrap(), std::slice::from_ref(&running));
    b.cancel(Some("p"), &running, at(2)).await.unwrap();
    assert!(a.own().await.unwrap().is_empty());
    assert_eq!(finish(&a, &taken, Ended::Succeeded, at(3)).await, After::Lost);
    assert_eq!((state_of(&a, &running).await.state, state_of(&a, &waiting).await.ended_ms), (State::Cancelled, Some(at(1))));
    assert_eq!(a.cancel(Some("p"), &running, at(4)).await, Ok(()), "it has ended already");
    assert_eq!(a.cancel(Some("other"), &running, at(4)).await, Err(NotChanged::NotFound));
    assert_eq!(a.cancel(None, "none", at(4)).await, Err(NotChanged::NotFound));
}

#[tokio::test]
async fn a_job_that_has_ended_can_be_removed_and_no_other() {
    let Queue { a, _folder, .. } = queue().await;
    let id = a.enqueue(&job("x"), 10, at(0)).await.unwrap();
    let refused = Err(NotChanged::Conflict("it has not ended; cancel it first".to_owned()));
    assert_eq!(a.remove(&id).await, refused, "it waits");
    let taken = claim_one(&a, at(0)).await;
    assert_eq!(a.remove(&id).await, refused, "it runs");
    finish(&a, &taken, Ended::Never("gone".to_owned()), at(1)).await;
    assert_eq!(a.remove(&id).await, Ok(()));
    assert!(a.get("p", std::slice::from_ref(&id)).await.unwrap().is_empty());
    assert_eq!(a.remove(&id).await, Err(NotChanged::NotFound));
}

#[tokio::test]
async fn the_jobs_of_a_host_that_is_gone_are_taken_over_once() {
    let Queue { a, b, _folder, .. } = queue().await;
    let id = a.enqueue(&NewJob { attempts: 1, ..job("x") }, 10, at(0)).await.unwrap();
    a.beat().await.unwrap();
    let taken = claim_one(&a, at(0)).await;
    let beats = b.beat().await.unwrap();
    let (_, beat) = beats.into_iter().find(|(holder, _)| holder == "a").unwrap();
    assert!(!b.take_over("a", beat + 1, at(5)).await.unwrap(), "it lives");
    assert!(b.take_over("a", beat, at(5)).await.unwrap());
    assert!(!b.take_over("a", beat, at(5)).await.unwrap(), "somebody was first");
    let again = claim_one(&b, at(5)).await;
    assert_eq!((again.id.as_str(), again.attempts), (id.as_str(), 2), "also one that may be begun once");
    assert_eq!(finish(&a, &taken, Ended::Succeeded, at(6)).await, After::Lost, "it comes back too late");
    assert_eq!(finish(&b, &again, Ended::Succeeded, at(6)).await, After::Succeeded);
}

#[tokio::test]
async fn a_host_alone_finds_what_ran_when_it_was_killed() {
    let Queue { a, space, _folder, .. } = queue().await;
    let id = a.enqueue(&job("x"), 10, at(0)).await.unwrap();
    claim_one(&a, at(0)).await;
    let after = Store::open(Arc::clone(&space), "c", false, at(9)).await.unwrap();
    let found = state_of(&after, &id).await;
    assert_eq!((found.state, found.due_ms, found.reason.as_deref()), (State::Waiting, at(9), Some("the host ended while it ran")));
    let taken = claim_one(&after, at(9)).await;
    drop(Store::open(Arc::clone(&space), "c", false, at(10)).await.unwrap());
    assert_eq!(finish(&after, &taken, Ended::Succeeded, at(11)).await, After::Succeeded, "its own it leaves alone");
}

#[tokio::test]
async fn a_job_that_brings_the_host_down_each_time_is_dead_in_the_end() {
    let Queue { a, _folder, .. } = queue().await;
    let id = a.enqueue(&NewJob { attempts: 1, ..job("x") }, 10, at(0)).await.unwrap();
    for attempt in 1..=INTERRUPTIONS + 1 {
        let taken = claim_one(&a, at(0)).await;
        assert_eq!(taken.attempts, attempt);
        a.release(&taken, at(0)).await.unwrap();
    }
    let dead = state_of(&a, &id).await;
    assert_eq!((dead.state, dead.reason.as_deref()), (State::Dead, Some("the host ended each time while it ran")));
}

#[tokio::test]
async fn jobs_that_ended_are_kept_for_a_day_and_dead_ones_for_thirty() {
    let Queue { a, _folder, .. } = queue().await;
    for ended in [Ended::Succeeded, Ended::Never("no".to_owned())] {
        a.enqueue(&job("x"), 10, at(0)).await.unwrap();
        let taken = claim_one(&a, at(0)).await;
        finish(&a, &taken, ended, at(0)).await;
    }
    a.enqueue(&job("waits"), 10, at(0)).await.unwrap();
    let left = async |ms: u64| {
        assert!(!a.prune(at(ms)).await.unwrap());
        a.list(&Filter { limit: 100, ..Filter::default() }).await.unwrap().len()
    };
    assert_eq!(left(KEEP_MS - 1).await, 3);
    assert_eq!(left(KEEP_MS).await, 2);
    assert_eq!(left(KEEP_DEAD_MS).await, 1);
}

#[tokio::test]
async fn the_operator_sees_the_newest_first_and_by_state_and_plugin() {
    let Queue { a, _folder, .. } = queue().await;
    for (number, plugin) in ["p", "q", "p"].into_iter().enumerate() {
        let new = NewJob { plugin: plugin.to_owned(), ..job(&number.to_string()) };
        a.enqueue(&new, 10, at(number as u64)).await.unwrap();
    }
    claim_one(&a, at(10)).await;
    let kinds = async |state: Option<State>, plugin: Option<&str>, limit| {
        let filter = Filter { state, plugin: plugin.map(str::to_owned), limit };
        a.list(&filter).await.unwrap().into_iter().map(|job| job.kind).collect::<Vec<_>>().concat()
    };
    assert_eq!(kinds(None, None, 10).await, "210");
    assert_eq!(kinds(None, None, 2).await, "21");
    assert_eq!(kinds(None, Some("p"), 10).await, "20");
    assert_eq!(kinds(Some(State::Running), None, 10).await, "0");
    assert_eq!(kinds(Some(State::Waiting), Some("p"), 10).await, "2");
}
