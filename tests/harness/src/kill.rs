//! Kills the host with SIGKILL while it writes, again and again, and looks each time whether everything is there that it had acknowledged.
//!
//! Several clients write at the same time until the host is gone: rows in pairs, of which both or none may be there, values by key, and a counter. What was never answered may be there or not.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::http::Client;
use crate::poll;
use crate::wharf::Wharf;

/// How long a run may take until enough was written.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the component is mounted.
const MOUNT: &str = "/store";

/// What was written, over all runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often the host was killed.
    pub kills: u64,
    /// Transactions of two rows, values by key and additions that it had acknowledged.
    pub acknowledged: u64,
    /// Those that it had not, since it was killed before, and that are there.
    pub unacknowledged: u64,
}

/// Who writes what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rows,
    Values,
    Counter,
}

const WRITERS: [Kind; 5] = [Kind::Rows, Kind::Rows, Kind::Values, Kind::Values, Kind::Counter];

/// Kills the host `binary` so many times. `component` is the guest `storage`; `storage` is `[storage]` of its configuration. After each time `progress` is told.
///
/// # Errors
///
/// Something that was acknowledged is not there, or half of a pair is; or the host does not start or answer.
pub fn kill_under_writes(
    binary: &Path,
    component: &str,
    storage: &str,
    kills: u64,
    mut progress: impl FnMut(Counts),
) -> anyhow::Result<Counts> {
    let plugin = format!("[[site.plugin]]\nname = \"store\"\nsource = \"{component}\"\nmount = \"{MOUNT}\"\n");
    let grant = "[site.plugin.grants.storage]\nallow = [\"sql\", \"keyvalue\", \"sealed\"]\nquota_mib = 1024\n";
    let mut wharf = Wharf::start(binary, &format!("{storage}\n[[site]]\nname = \"plant-a\"\n{plugin}{grant}"))?;
    let tables = json!([[
        "CREATE TABLE ones (run BIGINT, item BIGINT, PRIMARY KEY (run, item))",
        "CREATE TABLE twos (run BIGINT, item BIGINT, PRIMARY KEY (run, item))"
    ]]);
    let made = ask(&wharf.client(), "sql.migrate", &json!({ "migrations": tables }))?;
    ensure!(made == 1, "the tables were not made: {made}");
    let mut counts = Counts::default();
    for run in 1..=kills {
        let acknowledged = write_until_killed(&mut wharf, binary, run)?;
        counts.kills = run;
        counts.acknowledged += acknowledged.total();
        counts.unacknowledged += acknowledged.check(&wharf.client(), run)?;
        progress(counts);
    }
    // Once more over everything, from the first run on.
    let all = ask(
        &wharf.client(),
        "sql.query",
        &json!({ "sql": "SELECT (SELECT count(*) FROM ones), (SELECT count(*) FROM twos)", "limit": 1 }),
    )?;
    let both = [all.pointer("/0/0"), all.pointer("/0/1")].map(|count| count.and_then(Value::as_u64));
    ensure!(matches!(both, [Some(ones), Some(twos)] if ones == twos), "half of a pair is there: {all}");
    Ok(counts)
}

/// What one run has acknowledged.
#[derive(Default)]
struct Acknowledged {
    rows: BTreeSet<u64>,
    values: BTreeSet<u64>,
    additions: u64,
}

impl Acknowledged {
    fn total(&self) -> u64 {
        (self.rows.len() + self.values.len()) as u64 + self.additions
    }

    fn add(&mut self, kind: Kind, item: u64) {
        match kind {
            Kind::Rows => drop(self.rows.insert(item)),
            Kind::Values => drop(self.values.insert(item)),
            Kind::Counter => self.additions += 1,
        }
    }

    /// Checks that all of it is there, and answers how much more is.
    fn check(&self, client: &Client, run: u64) -> anyhow::Result<u64> {
        let ones = rows(client, "ones", run)?;
        let twos = rows(client, "twos", run)?;
        ensure!(ones == twos, "half of a pair is there: {:?}", ones.symmetric_difference(&twos).collect::<Vec<_>>());
        let values = values(client, run)?;
        for (what, acknowledged, found) in [("rows", &self.rows, &ones), ("values", &self.values, &values)] {
            let lost: Vec<_> = acknowledged.difference(found).collect();
            ensure!(lost.is_empty(), "run {run}: {} acknowledged {what} are lost: {lost:?}", lost.len());
        }
        let counter = ask(client, "keyvalue.increment", &json!({ "key": format!("counter/{run}"), "by": 0 }))?;
        let counter = counter.as_u64().with_context(|| format!("the counter cannot be read: {counter}"))?;
        ensure!(counter >= self.additions, "run {run}: the counter is {counter} after {} acknowledged additions", self.additions);
        Ok((ones.len() + values.len()) as u64 + counter - self.total())
    }
}

/// Writes until enough is acknowledged, kills the host meanwhile, and starts it again.
fn write_until_killed(wharf: &mut Wharf, binary: &Path, run: u64) -> anyhow::Result<Acknowledged> {
    let (killed, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let acknowledged = Mutex::new(Acknowledged::default());
    // Another moment in each run.
    let enough = 5 + run * 37 % 60;
    let client = wharf.client();
    std::thread::scope(|scope| {
        for kind in WRITERS {
            let (client, killed, next, acknowledged) = (client.clone(), &killed, &next, &acknowledged);
            scope.spawn(move || {
                while !killed.load(Ordering::Relaxed) {
                    let item = next.fetch_add(1, Ordering::Relaxed);
                    match (write(&client, kind, run, item), acknowledged.lock()) {
                        (Ok(true), Ok(mut acknowledged)) => acknowledged.add(kind, item),
                        (Ok(false), _) => {}
                        // Whoever hears nothing knows nothing.
                        _ => return,
                    }
                }
            });
        }
        let written = poll(PATIENCE, || Ok(acknowledged.lock().is_ok_and(|acknowledged| acknowledged.total() >= enough).then_some(())));
        let restarted = wharf.kill_and_start_again(binary);
        killed.store(true, Ordering::Relaxed);
        restarted?;
        written?.with_context(|| format!("run {run}: nothing was acknowledged within {} s:\n{}", PATIENCE.as_secs(), wharf.log()))
    })?;
    Ok(acknowledged.into_inner().unwrap_or_default())
}

/// Writes one thing; whether it was acknowledged.
fn write(client: &Client, kind: Kind, run: u64, item: u64) -> anyhow::Result<bool> {
    Ok(match kind {
        Kind::Rows => {
            let row = |table: &str| json!([format!("INSERT INTO {table} (run, item) VALUES ($1, $2)"), [run, item]]);
            ask(client, "sql.execute", &json!({ "statements": [row("ones"), row("twos")] }))? == json!([1, 1])
        }
        Kind::Values => ask(client, "keyvalue.set", &json!({ "entries": [[format!("value/{run}/{item}"), "x"]] }))? == "done",
        Kind::Counter => ask(client, "keyvalue.increment", &json!({ "key": format!("counter/{run}"), "by": 1 }))?.is_u64(),
    })
}

fn rows(client: &Client, table: &str, run: u64) -> anyhow::Result<BTreeSet<u64>> {
    let question = json!({ "sql": format!("SELECT item FROM {table} WHERE run = $1"), "parameters": [run], "limit": 10_000 });
    let answer = ask(client, "sql.query", &question)?;
    let rows = answer.as_array().with_context(|| format!("`{table}` cannot be read: {answer}"))?;
    Ok(rows.iter().filter_map(|row| row.get(0)?.as_u64()).collect())
}

fn values(client: &Client, run: u64) -> anyhow::Result<BTreeSet<u64>> {
    let prefix = format!("value/{run}/");
    let mut found = BTreeSet::new();
    let mut cursor = Value::Null;
    loop {
        let answer = ask(client, "keyvalue.list", &json!({ "prefix": prefix, "cursor": cursor, "limit": 1_000 }))?;
        let keys = answer.get(0).and_then(Value::as_array).with_context(|| format!("the values cannot be listed: {answer}"))?;
        found.extend(keys.iter().filter_map(|key| key.as_str()?.strip_prefix(&prefix)?.parse::<u64>().ok()));
        cursor = answer.get(1).cloned().unwrap_or_default();
        if cursor.is_null() {
            return Ok(found);
        }
    }
}

fn ask(client: &Client, function: &str, arguments: &Value) -> anyhow::Result<Value> {
    client.post_json(&format!("{MOUNT}/{function}"), arguments)?.json()
}
