//! Turns of schedules, on two hosts.

use super::super::testing::every;
use super::*;

const SECOND: u64 = 1_000;

/// Puts `schedule` of the plugin `p` into force.
async fn set(store: &Store, schedule: &Schedule, starting: bool, now_ms: u64) {
    store.set_schedule("p", schedule, starting, now_ms, 0.5).await.unwrap();
}

async fn fire(store: &Store, schedule: &Schedule, now_ms: u64) -> Fired {
    store.fire("p", &schedule.name, schedule.timing.as_ref().unwrap(), now_ms, 0.5).await.unwrap()
}

async fn row(store: &Store) -> ScheduleRow {
    store.schedules().await.unwrap().pop().unwrap()
}

#[tokio::test]
async fn each_turn_is_made_once_whichever_host_is_first() {
    let Queue { a, b, _folder, .. } = queue().await;
    let check = every("10s", false);
    set(&a, &check, true, at(0)).await;
    set(&b, &check, true, at(3 * SECOND)).await;
    assert_eq!(row(&a).await.next_ms, Some(at(10 * SECOND)), "the second host changes nothing");
    assert_eq!(fire(&a, &check, at(10 * SECOND - 1)).await, Fired::Gone);
    let both = tokio::join!(fire(&a, &check, at(10 * SECOND)), fire(&b, &check, at(10 * SECOND)));
    assert!(matches!(both, (Fired::Begun { missed: 0 }, Fired::Gone) | (Fired::Gone, Fired::Begun { missed: 0 })), "{both:?}");
    let taken = claim_one(&a, at(10 * SECOND)).await;
    assert_eq!(
        (taken.purpose, taken.kind.as_str(), taken.turn),
        (Purpose::Turn, "check", Some(Turn { due_ms: at(10 * SECOND), missed: 0 }))
    );
    assert_eq!(row(&b).await.last_ms, Some(at(10 * SECOND)));
    assert_eq!(finish(&a, &taken, again("no"), at(11 * SECOND)).await, After::Dead, "the next turn is its next attempt");
    assert_eq!(fire(&b, &check, at(20 * SECOND)).await, Fired::Begun { missed: 0 });
}

#[tokio::test]
async fn a_turn_is_left_out_while_the_one_before_has_not_ended_and_the_next_one_knows() {
    let Queue { a, b, _folder, .. } = queue().await;
    let check = every("10s", false);
    set(&a, &check, true, at(0)).await;
    assert_eq!(fire(&a, &check, at(10 * SECOND)).await, Fired::Begun { missed: 0 });
    let taken = claim_one(&a, at(10 * SECOND)).await;
    assert_eq!(fire(&b, &check, at(20 * SECOND)).await, Fired::LeftOut { turns: 1 });
    assert_eq!(fire(&b, &check, at(30 * SECOND)).await, Fired::LeftOut { turns: 1 });
    finish(&a, &taken, Ended::Succeeded, at(31 * SECOND)).await;
    assert_eq!(fire(&a, &check, at(40 * SECOND)).await, Fired::Begun { missed: 2 });
    assert_eq!(claim_one(&a, at(40 * SECOND)).await.turn, Some(Turn { due_ms: at(40 * SECOND), missed: 2 }));
    assert_eq!(row(&a).await.missed, 2);
}

#[tokio::test]
async fn turns_that_no_host_made_are_counted_and_one_is_made() {
    let Queue { a, _folder, .. } = queue().await;
    let check = every("10s", false);
    set(&a, &check, true, at(0)).await;
    assert_eq!(fire(&a, &check, at(47 * SECOND)).await, Fired::Begun { missed: 3 });
    assert_eq!(claim_one(&a, at(47 * SECOND)).await.turn, Some(Turn { due_ms: at(40 * SECOND), missed: 3 }));
    let row = row(&a).await;
    assert_eq!((row.next_ms, row.last_ms, row.missed), (Some(at(50 * SECOND)), Some(at(47 * SECOND)), 3));
}

#[tokio::test]
async fn a_start_is_a_turn_where_the_schedule_says_so() {
    let Queue { a, b, _folder, .. } = queue().await;
    let check = every("10m", true);
    set(&a, &check, true, at(0)).await;
    assert_eq!(fire(&a, &check, at(0)).await, Fired::Begun { missed: 0 });
    assert_eq!(row(&a).await.next_ms, Some(at(600 * SECOND)));
    set(&a, &check, false, at(5 * SECOND)).await;
    assert_eq!(fire(&a, &check, at(5 * SECOND)).await, Fired::Gone, "a reload is no start");
    set(&b, &check, true, at(9 * SECOND)).await;
    assert_eq!(fire(&b, &check, at(9 * SECOND)).await, Fired::LeftOut { turns: 1 }, "the first has not ended");
}

#[tokio::test]
async fn another_timing_counts_from_now_on_and_off_has_no_turns() {
    let Queue { a, _folder, .. } = queue().await;
    let (often, seldom, off) = (every("10s", false), every("1h", false), Schedule { name: "check".to_owned(), timing: None });
    set(&a, &often, true, at(0)).await;
    set(&a, &seldom, false, at(5 * SECOND)).await;
    assert_eq!((row(&a).await.next_ms, row(&a).await.timing.as_str()), (Some(at(3_605 * SECOND)), "every 1h"));
    assert_eq!(fire(&a, &often, at(3_605 * SECOND)).await, Fired::Gone, "a host that has not heard of it yet");
    set(&a, &off, false, at(6 * SECOND)).await;
    assert_eq!((row(&a).await.next_ms, row(&a).await.timing.as_str()), (None, "off"));
    set(&a, &often, false, at(9 * SECOND)).await;
    assert_eq!(row(&a).await.next_ms, Some(at(19 * SECOND)));
    set(&a, &often, false, BEGINNING_MS - 3_600 * SECOND).await;
    assert_eq!(row(&a).await.next_ms, Some(BEGINNING_MS - 3_590 * SECOND), "a clock that was wrong");
}

#[tokio::test]
async fn a_turn_survives_its_host() {
    let Queue { a, space, _folder, .. } = queue().await;
    let check = every("10s", false);
    set(&a, &check, true, at(0)).await;
    fire(&a, &check, at(10 * SECOND)).await;
    let turn = claim_one(&a, at(10 * SECOND)).await.turn;
    let after = Store::open(Arc::clone(&space), "c", false, at(15 * SECOND)).await.unwrap();
    let taken = claim_one(&after, at(15 * SECOND)).await;
    assert_eq!((taken.turn, taken.attempts), (turn, 2));
}
