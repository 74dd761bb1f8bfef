//! Jobs on the host's binary: what the queue has taken is carried out however often the host is killed, and hosts that share a database share the work.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::http::Client;
use wharf_harness::postgres::Postgres;
use wharf_harness::wharf::Wharf;
use wharf_harness::{poll, programs};
use wharf_tests::guests::JOBS;

use crate::site::{eventually, host};

const KILLS: u64 = 6;

/// How long it may take until a host that was killed is taken for gone and its jobs were begun elsewhere.
const TAKEN_OVER: Duration = Duration::from_secs(120);

/// A site with the guest at `/`; `lines` are of the plugin's table.
fn site(lines: &str) -> String {
    format!(
        "[[site]]\nname = \"plant-a\"\n[[site.plugin]]\nname = \"subject\"\nsource = \"{JOBS}\"\nmount = \"/\"\n{lines}\n\
         [site.plugin.grants.jobs]\nallow = [\"queue\", \"schedules.read\", \"webhooks\"]\n[site.plugin.grants.storage]\nallow = [\"keyvalue\"]\n"
    )
}

fn enqueue(client: &Client, kind: &str, payload: &str) -> anyhow::Result<String> {
    let answer = client.post_json("/queue.enqueue", &json!({ "kind": kind, "payload": payload }))?.json()?;
    answer.as_str().map(str::to_owned).ok_or_else(|| anyhow::anyhow!("no id: {answer}"))
}

/// How often what is about `payload` was begun and done, and how many turns were left out before it.
#[track_caller]
fn counts(wharf: &Wharf, payload: &str) -> [i64; 3] {
    let counts = wharf.client().get(&format!("/counts/{payload}")).unwrap().json().unwrap();
    [0, 1, 2].map(|index| counts[index].as_i64().unwrap_or_else(|| panic!("no counts: {counts}")))
}

/// Lets the job of the kind `wait` about `payload` go on.
#[track_caller]
fn open(wharf: &Wharf, payload: &str) {
    assert_eq!(wharf.client().post(&format!("/open/{payload}")).unwrap().status, 204);
}

#[track_caller]
fn job(wharf: &Wharf, id: &str) -> Value {
    wharf.client().post_json("/queue.get", &json!({ "ids": [id] })).unwrap().json().unwrap()[0].clone()
}

/// The host is killed in the middle of a job and while clients put others into the queue, several times.
#[test]
fn what_the_queue_has_taken_is_carried_out_however_often_the_host_is_killed() {
    let mut wharf = host(&site("limits = { jobs = 8, host_calls = 100000 }"));
    let long = enqueue(&wharf.client(), "wait", "long").unwrap();
    let mut taken = Vec::new();
    for run in 1..=KILLS {
        eventually("that the long job runs", || counts(&wharf, "long")[0] == i64::try_from(run).unwrap());
        taken.extend(enqueue_until_killed(&mut wharf, run));
    }
    assert!(taken.len() as u64 >= KILLS * 10, "{}", taken.len());
    for (payload, id) in &taken {
        eventually("that each job is done", || job(&wharf, id)["state"] == "succeeded");
        let [begun, done, _] = counts(&wharf, payload);
        assert!(begun >= done && done >= 1, "{payload}: begun {begun} times and done {done} times");
    }
    open(&wharf, "long");
    eventually("that the long job is done", || job(&wharf, &long)["state"] == "succeeded");
    let runs = i64::try_from(KILLS + 1).unwrap();
    assert_eq!((counts(&wharf, "long"), &job(&wharf, &long)["attempts"]), ([runs, 1, 0], &json!(runs)));
}

/// Puts jobs into the queue until enough were taken, kills the host meanwhile and starts it again. What each is about, and its id.
fn enqueue_until_killed(wharf: &mut Wharf, run: u64) -> Vec<(String, String)> {
    let (killed, next, taken) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
    let client = wharf.client();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (client, killed, next, taken) = (client.clone(), &killed, &next, &taken);
            scope.spawn(move || {
                while !killed.load(Ordering::Relaxed) {
                    let payload = format!("{run}-{}", next.fetch_add(1, Ordering::Relaxed));
                    // Whoever hears nothing knows nothing.
                    let Ok(id) = enqueue(&client, "done", &payload) else { return };
                    taken.lock().unwrap().push((payload, id));
                }
            });
        }
        let enough = poll(Duration::from_secs(60), || Ok((taken.lock().unwrap().len() as u64 >= 10 + run * 7 % 20).then_some(()))).unwrap();
        wharf.kill_and_start_again(binary()).unwrap();
        killed.store(true, Ordering::Relaxed);
        assert!(enough.is_some(), "run {run}: too few jobs were taken");
    });
    taken.into_inner().unwrap()
}

/// A turn of a schedule as the admin API lists it: when it was due, and how many were left out before.
fn turns(wharf: &Wharf) -> Vec<(u64, u64)> {
    let entries = wharf.admin().get("/jobs?plugin=subject&limit=1000").unwrap().json().unwrap();
    let turns = entries.as_array().unwrap().iter().filter(|entry| entry["purpose"] == "turn");
    let mut turns: Vec<(u64, u64)> = turns
        .map(|entry| {
            assert_eq!((&entry["state"], &entry["attempts"]), (&json!("succeeded"), &json!(1)), "{entry}");
            (entry["turn"]["due_ms"].as_u64().unwrap(), entry["turn"]["missed"].as_u64().unwrap())
        })
        .collect();
    turns.sort_unstable();
    turns
}

/// Turns that this host has carried out.
fn carried_out(wharf: &Wharf) -> f64 {
    let text = wharf.admin().get("/metrics").unwrap();
    let series = "wharf_job_attempts_total{site=\"plant-a\",plugin=\"subject\",purpose=\"turn\",outcome=\"succeeded\"}";
    let value = text.text().unwrap().lines().find_map(|line| line.strip_prefix(series).map(str::to_owned));
    value.map_or(0.0, |value| value.trim().parse().unwrap())
}

/// Two hosts on one database: each turn is made once, and the job of one that is killed is carried out by the other.
#[test]
fn hosts_that_share_a_database_share_the_work() {
    if programs::skip(&[programs::POSTGRES]).unwrap() {
        return;
    }
    let postgres = Postgres::start().unwrap();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "0123456789abcdef0123456789abcdef").unwrap();
    let storage = format!("[storage]\nurl = \"{}\"\nseal_key = {{ secret_file = \"{}\" }}\n", postgres.url(), key.path().display());
    let configuration = format!("{storage}{}", site("limits = { host_calls = 100000 }\nschedules = { often = { every = \"1s\" } }"));
    let first = host(&configuration);
    // Nobody else is there who could run it.
    let long = enqueue(&first.client(), "wait", "long").unwrap();
    eventually("that the long job runs", || counts(&first, "long")[0] == 1);
    let second = host(&configuration);
    let both = [&first, &second];
    eventually("that there were turns", || counts(&second, "often")[1] >= 8);
    // No more turns, so that what is counted stands still.
    for wharf in both {
        let path = wharf.folder().join("wharf.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("schedules = { often = { every = \"1s\" } }", "schedules = { often = \"off\" }")).unwrap();
        assert_eq!(wharf.admin().post("/reload").unwrap().status, 200);
    }
    let is_off =
        |wharf: &Wharf| wharf.client().post_json("/schedules-read.list", &Value::Null).unwrap().json().unwrap()[0]["timing"] == "off";
    assert!(both.iter().all(|wharf| is_off(wharf)));
    eventually("that each turn was carried out once", || {
        let [begun, done, _] = counts(&second, "often");
        let sum: f64 = both.iter().map(|wharf| carried_out(wharf)).sum();
        begun == done && done >= 8 && (f64::from(i32::try_from(done).unwrap()) - sum).abs() < f64::EPSILON
    });
    let turns = turns(&second);
    assert_eq!(turns.len(), usize::try_from(counts(&second, "often")[0]).unwrap());
    for pair in turns.windows(2) {
        let [(before, _), (due, missed)] = pair[..] else { unreachable!() };
        assert_eq!(due, before + 1_000 * (missed + 1), "a turn was made twice, or was left out and nobody says so: {turns:?}");
    }

    assert_eq!(counts(&second, "long"), [1, 0, 0]);
    first.kill().unwrap();
    let begun = poll(TAKEN_OVER, || Ok((counts(&second, "long")[0] == 2).then_some(()))).unwrap();
    assert!(begun.is_some(), "the job of the host that was killed: {}", job(&second, &long));
    assert_eq!((&job(&second, &long)["attempts"], &job(&second, &long)["reason"]), (&json!(2), &json!("the host ended while it ran")));
    open(&second, "long");
    eventually("that the long job is done", || job(&second, &long)["state"] == "succeeded");
    assert_eq!(counts(&second, "long"), [2, 1, 0]);
}

/// The guest's host, for a host that is started again and again.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_wharf-under-test"))
}
