//! Journals that were cut short, changed, emptied or taken by another: nothing is recreated, the file stays as it is, and everything else goes on.

use serde_json::json;

use super::*;

/// A journal with an unfinished recreation and a finished one.
fn written() -> World {
    let world = World::new(|model| {
        model.add("web", "redis:7", json!({}), &["data"], true);
        model.add("db", "redis:7", json!({}), &[], true);
    });
    world.host(async |host| {
        host.recreate(&world, "db", false).await.unwrap();
        host.operations.finished().await;
        let long = RecreateOptions { pull: true, settle: Duration::from_secs(600), ..options() };
        host.begin_as(&world, "web", long).await.unwrap();
    });
    world
}

/// Whether the journal is refused, and left as it was.
#[track_caller]
fn check_refused(world: &World, bytes: &[u8], context: &str) {
    std::fs::write(world.journal(), bytes).unwrap();
    let refused = Journal::open(&world.journal()).map(|(_, records)| records.len());
    assert!(matches!(refused, Err(JournalError::Damaged { .. } | JournalError::Version { .. })), "{context}: {refused:?}");
    assert_eq!(std::fs::read(world.journal()).unwrap(), bytes, "{context}: it is evidence");
}

#[test]
fn a_journal_that_is_cut_short_is_refused() {
    let world = written();
    let whole = std::fs::read(world.journal()).unwrap();
    for length in (0..whole.len()).step_by(509) {
        check_refused(&world, &whole[..length], &format!("{length} of {} bytes", whole.len()));
    }
    std::fs::write(world.journal(), &whole).unwrap();
    assert_eq!(Journal::open(&world.journal()).unwrap().1.len(), 2);
}

#[test]
fn a_changed_byte_of_a_record_is_noticed() {
    let world = written();
    let whole = std::fs::read(world.journal()).unwrap();
    let place = whole.windows(8).position(|window| window == b"\"phase\":").unwrap();
    for offset in [0, 9, 200, 700] {
        let mut changed = whole.clone();
        changed[place + offset] ^= 1;
        check_refused(&world, &changed, &format!("{offset} bytes after"));
    }
    check_refused(&world, b"not a database at all, but long enough to be looked at as one", "text");
}

#[test]
fn with_a_damaged_journal_nothing_is_recreated_until_somebody_has_looked() {
    let world = written();
    let whole = std::fs::read(world.journal()).unwrap();
    std::fs::write(world.journal(), &whole[..whole.len() / 2]).unwrap();
    world.host(async |host| {
        host.recreations.take_up().await;
        let problem = lock(&host.recreations.problem).clone().unwrap();
        assert!(problem.starts_with("nothing is recreated on this engine: the journal"), "{problem}");
        for _ in 0..2 {
            let refused = host.begin(&world, "db", false).await.map(|operation| operation.id.clone()).unwrap_err();
            assert_eq!(refused.to_string(), problem);
        }
        assert_eq!(host.operations.recorded().len(), 0);
        // As soon as it is good again it is used, and what it holds is done first.
        std::fs::write(world.journal(), &whole).unwrap();
        assert!(host.begin(&world, "web", false).await.is_err(), "that one is being taken up");
        assert_eq!(lock(&host.recreations.problem).clone(), None);
        host.operations.cancel_all();
        host.operations.finished().await;
    });
    check_nothing_left(&world.journal());
}

/// Fills the disk when the new container is watched; `cancels` says whether the recreation is cancelled then. The old one comes back, now and in the next run of the host.
#[track_caller]
fn check_full(cancels: bool) {
    let world = World::new(|model| drop(model.add("web", "redis:7", json!({}), &["data"], true)));
    let old = world.model(|model| model.named("web").unwrap().id.clone());
    let is_old = |context: &str| {
        world.model(|model| {
            let web = model.named("web").unwrap_or_else(|| panic!("{context}: {:?}", model.requests));
            assert!(model.containers.len() == 1 && web.running && web.id == old, "{context}: {:?}", model.requests);
        });
    };
    world.host(async |host| {
        let settle = if cancels { Duration::from_secs(600) } else { Duration::from_millis(1500) };
        let operation = host.begin_as(&world, "web", RecreateOptions { pull: true, settle, ..options() }).await.unwrap();
        // It is looked at for the first time when it is in the journal that it is watched.
        let is_watched = |model: &Model| {
            let runs = model.named("web").is_some_and(|web| web.running && web.image == NEW);
            runs && model.requests.last().is_some_and(|line| line.starts_with("GET"))
        };
        world_until(&world, is_watched).await;
        host.recreations.journal.lock().await.as_ref().unwrap().fill();
        if cancels {
            operation.cancel();
        }
        let outcome = word(&operation.ended().await);
        let expected = if cancels { "cancelled" } else { "the journal cannot be read or written" };
        assert!(outcome.starts_with(expected), "{outcome}");
        host.operations.finished().await;
        is_old("at once");
        let refused = host.begin(&world, "web", true).await.map(|operation| operation.id.clone()).unwrap_err();
        assert!(refused.to_string().contains("the journal cannot be read or written"), "{refused}");
    });
    world.host(async |host| host.take_up().await);
    is_old("after the next run");
    check_nothing_left(&world.journal());
}

#[test]
fn a_disk_that_fills_up_brings_the_old_container_back() {
    check_full(true);
    check_full(false);
}

/// What a journal says of the new container's staying counts only as long as that is there.
#[test]
fn the_last_container_of_a_name_is_not_removed_whatever_the_journal_says() {
    let world = World::new(|model| drop(model.add("web", "redis:7", json!({}), &["data"], true)));
    let old = world.model(|model| model.named("web").unwrap().id.clone());
    world.host(async |host| {
        let long = RecreateOptions { pull: true, settle: Duration::from_secs(600), ..options() };
        host.begin_as(&world, "web", long).await.unwrap();
        world_until(&world, |model| model.named("web").is_some_and(|web| web.running && web.image == NEW)).await;
    });
    let (journal, mut records) = Journal::open(&world.journal()).unwrap();
    records[0].phase = Phase::Committed;
    journal.write(&records[0]).unwrap();
    drop(journal);
    world.model(|model| model.containers.retain(|container| container.id == old));
    world.host(async |host| host.take_up().await);
    world.model(|model| {
        assert_eq!(model.containers.len(), 1, "{:?}", model.requests);
        assert!(model.named("web").is_some_and(|web| web.running && web.id == old), "{:?}", model.requests);
    });
    check_nothing_left(&world.journal());
}

#[test]
fn one_process_has_it_at_a_time() {
    let world = written();
    let (first, _) = Journal::open(&world.journal()).unwrap();
    let second = Journal::open(&world.journal()).map(drop);
    assert!(matches!(second, Err(JournalError::InUse { .. })), "{second:?}");
    drop(first);
    assert!(Journal::open(&world.journal()).is_ok());
}

#[test]
fn a_folder_that_cannot_be_written_to_is_a_refusal() {
    let world = World::new(|model| drop(model.add("web", "redis:7", json!({}), &[], true)));
    std::fs::write(world.folder.path().join("file"), "").unwrap();
    let path = world.folder.path().join("file/journal.sqlite");
    assert!(matches!(Journal::open(&path), Err(JournalError::Io(_))));
}
