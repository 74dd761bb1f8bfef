//! The queue's tables, and every statement on jobs. Each function is one statement, or one transaction where that is said.
//!
//! A statement that changes a job names the state in which it must be, so that of two who change it at the same time, on whichever hosts, one does. `ended_ms` is NULL while a job waits or runs; two unique
//! indexes on such jobs keep keys and the turns of a schedule apart.

use std::sync::Arc;

use wharf_sql::{Error, Migration, Statement, Value};

use super::rows::{Columns, JOB, JOB_AND_CONTENT, job, job_and_content, number, optional_text, statement, text};
use super::{
    After, Content, Ended, INTERRUPTIONS, Job, JobsError, KEEP_DEAD_MS, KEEP_MS, NewJob, NotChanged, NotTaken, Purpose, State, pause,
};
use crate::backend::database::Space;

/// How many jobs one question answers with what they are about: 64 KiB each, and an answer has at most 16 MiB.
const WITH_CONTENT: usize = 100;

/// How many ended jobs are removed at a time.
const PRUNED: usize = 1_000;

/// The longest reason that is kept, in characters.
const MAX_REASON_CHARS: usize = 2_000;

const MIGRATION: [&str; 8] = [
    "CREATE TABLE jobs (
        id TEXT PRIMARY KEY, plugin TEXT NOT NULL, purpose TEXT NOT NULL, kind TEXT NOT NULL, payload BYTEA NOT NULL, content_type TEXT, lock_key TEXT, state TEXT NOT NULL,
        attempts BIGINT NOT NULL, most_attempts BIGINT NOT NULL, created_ms BIGINT NOT NULL, due_ms BIGINT NOT NULL, ended_ms BIGINT, reason TEXT,
        turn_ms BIGINT, turn_missed BIGINT, holder TEXT)",
    "CREATE UNIQUE INDEX jobs_by_key ON jobs (plugin, lock_key) WHERE lock_key IS NOT NULL AND ended_ms IS NULL",
    "CREATE UNIQUE INDEX jobs_by_schedule ON jobs (plugin, kind) WHERE turn_ms IS NOT NULL AND ended_ms IS NULL",
    "CREATE INDEX jobs_by_due ON jobs (plugin, purpose, due_ms) WHERE state = 'waiting'",
    "CREATE INDEX jobs_by_state ON jobs (state, created_ms)",
    "CREATE INDEX jobs_by_end ON jobs (ended_ms) WHERE ended_ms IS NOT NULL",
    "CREATE TABLE schedules (
        plugin TEXT NOT NULL, name TEXT NOT NULL, timing TEXT NOT NULL, nominal_ms BIGINT, next_ms BIGINT, last_ms BIGINT, missed BIGINT NOT NULL, skipped BIGINT NOT NULL,
        PRIMARY KEY (plugin, name))",
    "CREATE TABLE holders (id TEXT PRIMARY KEY, beat BIGINT NOT NULL)",
];

/// The queue of a site in its database, as one host has it.
pub(crate) struct Store {
    pub(super) space: Arc<dyn Space>,
    /// What this host is called: another name for each start.
    holder: String,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) state: Option<State>,
    pub(crate) plugin: Option<String>,
    pub(crate) limit: usize,
}

/// When the next of a plugin's waiting jobs of a purpose is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NextDue {
    pub(crate) plugin: String,
    pub(crate) purpose: Purpose,
    pub(crate) due_ms: u64,
}

/// What a host takes at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'a> {
    pub(crate) plugin: &'a str,
    pub(crate) purposes: &'a [Purpose],
    pub(crate) count: usize,
}

impl Store {
    /// The queue in `space` for the host `holder`. What runs there ran in a host that is gone, unless the database `is_shared`.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn open(space: Arc<dyn Space>, holder: &str, is_shared: bool, now_ms: u64) -> Result<Store, JobsError> {
        let statements = MIGRATION.iter().map(|sql| (*sql).to_owned()).collect();
        space.migrate(vec![Migration { version: 1, name: "jobs".to_owned(), statements }]).await?;
        let store = Store { space, holder: holder.to_owned() };
        if !is_shared {
            let others = store.rows(statement("SELECT DISTINCT holder FROM jobs WHERE state = 'running'", Vec::new()), usize::MAX).await?;
            for row in others {
                let other = Columns::of(row).text()?;
                if other != store.holder {
                    store.space.execute(releases(&other, None, now_ms).into()).await?;
                }
            }
        }
        Ok(store)
    }

    /// Takes a job into the queue, unless `quota` of the plugin's wait already (those that come at the same moment may be a few more), and answers its id.
    ///
    /// # Errors
    ///
    /// [`NotTaken`].
    pub(crate) async fn enqueue(&self, new: &NewJob, quota: u64, now_ms: u64) -> Result<String, NotTaken> {
        const WAITING: &str = "SELECT count(*) FROM jobs WHERE plugin = $1 AND state = 'waiting'";
        let waiting = self.rows(statement(WAITING, vec![text(&new.plugin)]), 1).await?;
        if waiting.into_iter().next().map(|row| Columns::of(row).number()).transpose()?.unwrap_or(0) >= quota {
            return Err(NotTaken::Quota);
        }
        // Whoever has the key may be over before it is asked for.
        for _ in 0..3 {
            let (id, insert) = insert(new, None, now_ms);
            match self.space.execute(vec![insert]).await {
                Ok(_) => return Ok(id),
                Err(Error::Conflict(reason)) if reason.starts_with("unique") => {}
                Err(error) => return Err(JobsError::from(error).into()),
            }
            if let Some((other, _)) = self.find(&new.plugin, new.key.as_deref().unwrap_or_default()).await? {
                return Err(NotTaken::Key(other.id));
            }
        }
        Err(JobsError::Internal("the key is taken, and by nobody".to_owned()).into())
    }

    /// The jobs of `plugin` among `ids`, in any order, but for messages to webhooks.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn get(&self, plugin: &str, ids: &[String]) -> Result<Vec<(Job, Content)>, JobsError> {
        let mut found = Vec::new();
        for ids in ids.chunks(WITH_CONTENT) {
            let parameters = (2..).zip(ids).map(|(index, _)| format!("${index}")).collect::<Vec<_>>().join(", ");
            let sql = format!("SELECT {JOB_AND_CONTENT} FROM jobs WHERE plugin = $1 AND purpose <> 'webhook' AND id IN ({parameters})");
            let values = std::iter::once(plugin).chain(ids.iter().map(String::as_str)).map(text).collect();
            let rows = self.rows(statement(sql, values), ids.len()).await?;
            found.extend(rows.into_iter().map(job_and_content).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(found)
    }

    /// The job of `plugin` that has `key` to itself.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn find(&self, plugin: &str, key: &str) -> Result<Option<(Job, Content)>, JobsError> {
        let sql = format!("SELECT {JOB_AND_CONTENT} FROM jobs WHERE plugin = $1 AND lock_key = $2 AND ended_ms IS NULL");
        let rows = self.rows(statement(sql, vec![text(plugin), text(key)]), 1).await?;
        rows.into_iter().next().map(job_and_content).transpose()
    }

    /// Cancels a job, unless it has ended; `plugin` none is any plugin's, and messages to webhooks too.
    ///
    /// # Errors
    ///
    /// [`NotChanged::NotFound`], [`NotChanged::Jobs`].
    pub(crate) async fn cancel(&self, plugin: Option<&str>, id: &str, now_ms: u64) -> Result<(), NotChanged> {
        let (whose, own) = match plugin {
            Some(plugin) => (" AND plugin = $2 AND purpose <> 'webhook'", vec![text(plugin)]),
            None => ("", Vec::new()),
        };
        let values = [vec![text(id)], own].concat();
        let at = values.len() + 1;
        let sql = format!("UPDATE jobs SET state = 'cancelled', ended_ms = ${at}, holder = NULL WHERE id = $1{whose} AND ended_ms IS NULL");
        if self.change(statement(sql, [values.clone(), vec![number(now_ms)]].concat())).await? > 0 {
            return Ok(());
        }
        let there = self.rows(statement(format!("SELECT 1 FROM jobs WHERE id = $1{whose}"), values), 1).await?;
        if there.is_empty() { Err(NotChanged::NotFound) } else { Ok(()) }
    }

    /// Runs a job again that is dead or was cancelled.
    ///
    /// # Errors
    ///
    /// [`NotChanged`].
    pub(crate) async fn retry(&self, id: &str, now_ms: u64) -> Result<(), NotChanged> {
        const AGAIN: &str = "UPDATE jobs SET state = 'waiting', attempts = 0, due_ms = $2, ended_ms = NULL, holder = NULL \
            WHERE id = $1 AND (state = 'dead' OR state = 'cancelled')";
        match self.space.execute(vec![statement(AGAIN, vec![text(id), number(now_ms)])]).await {
            Ok(changed) if changed.iter().sum::<u64>() > 0 => return Ok(()),
            Ok(_) => {}
            Err(Error::Conflict(reason)) if reason.starts_with("unique") => {
                return Err(NotChanged::Conflict("another job with its key, or of its schedule, waits or runs".to_owned()));
            }
            Err(error) => return Err(JobsError::from(error).into()),
        }
        let state = self.rows(statement("SELECT state FROM jobs WHERE id = $1", vec![text(id)]), 1).await?;
        match state.into_iter().next() {
            None => Err(NotChanged::NotFound),
            Some(row) => {
                let state = Columns::of(row).text()?;
                Err(NotChanged::Conflict(format!("it is {state}; only a job that is dead or cancelled is run again")))
            }
        }
    }

    /// Removes a job that has ended.
    ///
    /// # Errors
    ///
    /// [`NotChanged`].
    pub(crate) async fn remove(&self, id: &str) -> Result<(), NotChanged> {
        let values = || vec![text(id)];
        if self.change(statement("DELETE FROM jobs WHERE id = $1 AND ended_ms IS NOT NULL", values())).await? > 0 {
            return Ok(());
        }
        let there = self.rows(statement("SELECT 1 FROM jobs WHERE id = $1", values()), 1).await?;
        if there.is_empty() {
            return Err(NotChanged::NotFound);
        }
        Err(NotChanged::Conflict("it has not ended; cancel it first".to_owned()))
    }

    /// Jobs for the operator, the newest first.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn list(&self, filter: &Filter) -> Result<Vec<Job>, JobsError> {
        let mut sql = format!("SELECT {JOB} FROM jobs");
        let mut values = Vec::new();
        let conditions = [("state", filter.state.map(State::word)), ("plugin", filter.plugin.as_deref())];
        for (column, wanted) in conditions.into_iter().filter_map(|(column, wanted)| Some((column, wanted?))) {
            values.push(text(wanted));
            let word = if values.len() == 1 { "WHERE" } else { "AND" };
            sql += &format!(" {word} {column} = ${}", values.len());
        }
        sql += " ORDER BY created_ms DESC, id DESC";
        let rows = self.rows(statement(sql, values), filter.limit).await?;
        rows.into_iter().map(|row| job(&mut Columns::of(row))).collect()
    }

    /// When the next waiting job of each plugin and purpose is due.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn next_due(&self) -> Result<Vec<NextDue>, JobsError> {
        const NEXT: &str = "SELECT plugin, purpose, min(due_ms) FROM jobs WHERE state = 'waiting' GROUP BY plugin, purpose";
        let next = |row| {
            let mut columns = Columns::of(row);
            let (plugin, purpose, due_ms) = (columns.text()?, columns.text()?, columns.number()?);
            let purpose = Purpose::of_word(&purpose).ok_or_else(|| JobsError::Internal(format!("there is no purpose `{purpose}`")))?;
            Ok(NextDue { plugin, purpose, due_ms })
        };
        self.rows(statement(NEXT, Vec::new()), usize::MAX).await?.into_iter().map(next).collect()
    }

    /// Takes jobs that are due, those first that have waited the longest. They are this host's from now on.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn claim(&self, room: Room<'_>, now_ms: u64) -> Result<Vec<(Job, Content)>, JobsError> {
        let purposes = room.purposes.iter().map(|purpose| format!("'{}'", purpose.word())).collect::<Vec<_>>().join(", ");
        // The state is asked for twice: a host that waited for another's statement looks at the row again, but not for it again.
        let sql = format!(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, holder = $1 WHERE state = 'waiting' AND id IN \
             (SELECT id FROM jobs WHERE state = 'waiting' AND plugin = $2 AND purpose IN ({purposes}) AND due_ms <= $3 ORDER BY due_ms, id LIMIT $4) \
             RETURNING {JOB_AND_CONTENT}"
        );
        let values = vec![text(&self.holder), text(room.plugin), number(now_ms), number(room.count as u64)];
        self.rows(statement(sql, values), room.count).await?.into_iter().map(job_and_content).collect()
    }

    /// Says how the attempt of `job` has ended that this host has begun. `chance`, from 0 to 1, is that of the pause.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn finish(&self, job: &Job, ended: &Ended, now_ms: u64, chance: f64) -> Result<After, JobsError> {
        let (after, state, reason) = match ended {
            Ended::Succeeded => (After::Succeeded, State::Succeeded, None),
            Ended::Again(reason, _) if job.attempts < job.most_attempts => (After::Waiting, State::Waiting, Some(reason)),
            Ended::Again(reason, _) | Ended::Never(reason) => (After::Dead, State::Dead, Some(reason)),
        };
        let wait = match ended {
            Ended::Again(_, Some(least)) => pause(job.attempts, chance).max(*least),
            _ => pause(job.attempts, chance),
        };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let (ended_ms, due_ms) = match after {
            After::Waiting => (Value::Null, number(now_ms.saturating_add(wait_ms))),
            _ => (number(now_ms), number(job.due_ms)),
        };
        const FINISH: &str = "UPDATE jobs SET state = $1, ended_ms = $2, due_ms = $3, reason = coalesce($4, reason), holder = NULL \
            WHERE id = $5 AND state = 'running' AND holder = $6 AND attempts = $7";
        let reason = reason.map(|reason| plain(reason));
        let values = vec![
            text(state.word()),
            ended_ms,
            due_ms,
            optional_text(reason.as_deref()),
            text(&job.id),
            text(&self.holder),
            number(u64::from(job.attempts)),
        ];
        let changed = self.change(statement(FINISH, values)).await?;
        Ok(if changed > 0 { after } else { After::Lost })
    }

    /// Gives a job back whose attempt this host has not ended.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn release(&self, job: &Job, now_ms: u64) -> Result<(), JobsError> {
        self.space.execute(releases(&self.holder, Some(&job.id), now_ms).into()).await?;
        Ok(())
    }

    /// The ids of the jobs that are still this host's.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn own(&self) -> Result<Vec<String>, JobsError> {
        const OWN: &str = "SELECT id FROM jobs WHERE state = 'running' AND holder = $1";
        let own = self.rows(statement(OWN, vec![text(&self.holder)]), usize::MAX).await?;
        own.into_iter().map(|row| Columns::of(row).text()).collect()
    }

    /// Shows that this host lives, and answers what all hosts have shown.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn beat(&self) -> Result<Vec<(String, i64)>, JobsError> {
        const BEAT: &str = "INSERT INTO holders (id, beat) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET beat = holders.beat + 1";
        self.change(statement(BEAT, vec![text(&self.holder)])).await?;
        let beat = |row| {
            let mut columns = Columns::of(row);
            Ok((columns.text()?, columns.integer()?))
        };
        self.rows(statement("SELECT id, beat FROM holders", Vec::new()), usize::MAX).await?.into_iter().map(beat).collect()
    }

    /// Takes over what `holder` has begun, if it has shown nothing since `beat`. In one transaction; of several hosts one does.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn take_over(&self, holder: &str, beat: i64, now_ms: u64) -> Result<bool, JobsError> {
        let transaction = self.space.begin().await?;
        let gone = statement("DELETE FROM holders WHERE id = $1 AND beat = $2", vec![text(holder), Value::Integer(beat)]);
        if transaction.execute(vec![gone]).await?.iter().sum::<u64>() == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        transaction.execute(releases(holder, None, now_ms).into()).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Takes this host out, which begins nothing any more.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn leave(&self) -> Result<(), JobsError> {
        self.change(statement("DELETE FROM holders WHERE id = $1", vec![text(&self.holder)])).await.map(drop)
    }

    /// Removes jobs that ended long ago. Whether there may be more.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn prune(&self, now_ms: u64) -> Result<bool, JobsError> {
        let sql =
            |states: &str| format!("DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE ended_ms <= $1 AND {states} LIMIT {PRUNED})");
        let older = |ms: u64| vec![number(now_ms.saturating_sub(ms))];
        let ended = self.change(statement(sql("state <> 'dead'"), older(KEEP_MS))).await?;
        let dead = self.change(statement(sql("state = 'dead'"), older(KEEP_DEAD_MS))).await?;
        Ok(ended.max(dead) >= PRUNED as u64)
    }

    /// How many jobs of each plugin wait, run and are dead.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn counts(&self) -> Result<Vec<(String, State, u64)>, JobsError> {
        const COUNTS: &str =
            "SELECT plugin, state, count(*) FROM jobs WHERE state IN ('waiting', 'running', 'dead') GROUP BY plugin, state";
        let count = |row| {
            let mut columns = Columns::of(row);
            let (plugin, state, count) = (columns.text()?, columns.text()?, columns.number()?);
            let state = State::of_word(&state).ok_or_else(|| JobsError::Internal(format!("there is no state `{state}`")))?;
            Ok((plugin, state, count))
        };
        self.rows(statement(COUNTS, Vec::new()), usize::MAX).await?.into_iter().map(count).collect()
    }

    pub(super) async fn rows(&self, statement: Statement, limit: usize) -> Result<Vec<Vec<Value>>, JobsError> {
        Ok(self.space.query(statement, limit.min(10_000)).await?.rows)
    }

    /// Changes something by one statement, and answers how many rows.
    pub(super) async fn change(&self, statement: Statement) -> Result<u64, JobsError> {
        Ok(self.space.execute(vec![statement]).await?.iter().sum())
    }
}

/// A new job's id, and the statement that takes it into the queue; `turn` is when a schedule's was due and how many turns were left out before.
pub(super) fn insert(new: &NewJob, turn: Option<super::Turn>, now_ms: u64) -> (String, Statement) {
    const INSERT: &str = "INSERT INTO jobs (id, plugin, purpose, kind, payload, content_type, lock_key, state, attempts, most_attempts, created_ms, due_ms, turn_ms, turn_missed) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', 0, $8, $9, $10, $11, $12)";
    // The time first, so that the newest stand together in the index.
    let id = format!("{now_ms:012x}{:020x}", fastrand::u128(..) >> 48);
    let values = vec![
        text(&id),
        text(&new.plugin),
        text(new.purpose.word()),
        text(&new.kind),
        Value::Blob(new.payload.clone()),
        optional_text(new.content_type.as_deref()),
        optional_text(new.key.as_deref()),
        number(u64::from(new.attempts)),
        number(now_ms),
        number(now_ms.saturating_add(new.delay_ms)),
        super::rows::optional_number(turn.map(|turn| turn.due_ms)),
        super::rows::optional_number(turn.map(|turn| turn.missed)),
    ];
    (id, statement(INSERT, values))
}

/// Statements that give back what `holder` runs, or the job `only` of it. A job during which the host ended too often is dead.
fn releases(holder: &str, only: Option<&str>, now_ms: u64) -> [Statement; 2] {
    let whose = format!("state = 'running' AND holder = $1{}", if only.is_some() { " AND id = $3" } else { "" });
    let values = || [vec![text(holder), number(now_ms)], only.map(text).into_iter().collect()].concat();
    let dead = format!(
        "UPDATE jobs SET state = 'dead', ended_ms = $2, holder = NULL, reason = 'the host ended each time while it ran' \
         WHERE {whose} AND attempts >= most_attempts + {INTERRUPTIONS}"
    );
    let again =
        format!("UPDATE jobs SET state = 'waiting', due_ms = $2, holder = NULL, reason = 'the host ended while it ran' WHERE {whose}");
    [statement(dead, values()), statement(again, values())]
}

/// `reason` as both databases take it: without NUL, and no longer than anybody reads.
fn plain(reason: &str) -> String {
    reason.chars().filter(|character| *character != '\0').take(MAX_REASON_CHARS).collect()
}
