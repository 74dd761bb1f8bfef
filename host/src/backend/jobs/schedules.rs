//! The turns of schedules in the database: when each is due, which one was begun last, and how many were left out.
//!
//! A turn is made in a transaction, which one host has alone: it reads the schedule's row, writes the next turn into it and takes the job into the queue, or counts the turn as left out while the one before
//! has not ended. So each turn is made once, on whichever host, and no two of a schedule run at a time.

use wharf_sql::Value;

use super::rows::{Columns, number, optional_number, statement, text};
use super::store::{Store, insert};
use super::timing::Timing;
use super::{JobsError, NewJob, Purpose, Schedule, Turn};

/// What a schedule's row says where it is off.
const OFF: &str = "off";

/// A schedule as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScheduleRow {
    pub(crate) plugin: String,
    pub(crate) name: String,
    /// As [`Timing`] is shown, or `off`.
    pub(crate) timing: String,
    /// None if it is off.
    pub(crate) next_ms: Option<u64>,
    pub(crate) last_ms: Option<u64>,
    /// Since the database is there.
    pub(crate) missed: u64,
}

/// What became of a turn that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fired {
    /// Its job is in the queue; so many turns were left out since the last one that was run.
    Begun { missed: u64 },
    /// The turn before has not ended, so that this one, and as many before it as there were, are left out.
    LeftOut { turns: u64 },
    /// Another host was first, or it is not due any more.
    Gone,
}

impl Schedule {
    /// As the contract shows its timing.
    pub(crate) fn shown(&self) -> String {
        self.timing.as_ref().map_or_else(|| OFF.to_owned(), Timing::to_string)
    }
}

impl Store {
    /// Puts `schedule` of `plugin` into force: its row is made or, where the timing is another now, counts from now on. `starting`: the host starts, which is a turn of some. `chance` is from 0 to 1.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn set_schedule(
        &self,
        plugin: &str,
        schedule: &Schedule,
        starting: bool,
        now_ms: u64,
        chance: f64,
    ) -> Result<(), JobsError> {
        let nominal_ms = schedule.timing.as_ref().and_then(|timing| timing.after(now_ms));
        let next_ms = schedule.timing.as_ref().zip(nominal_ms).map(|(timing, nominal_ms)| timing.due(nominal_ms, chance));
        let shown = schedule.shown();
        let row = || vec![text(plugin), text(&schedule.name), text(&shown), optional_number(nominal_ms), optional_number(next_ms)];
        const NEW: &str = "INSERT INTO schedules (plugin, name, timing, nominal_ms, next_ms, missed, skipped) VALUES ($1, $2, $3, $4, $5, 0, 0) ON CONFLICT (plugin, name) DO NOTHING";
        // A turn further away than one can be is of a clock that was wrong.
        const OTHER: &str = "UPDATE schedules SET timing = $3, nominal_ms = $4, next_ms = $5, skipped = 0 WHERE plugin = $1 AND name = $2 AND (timing <> $3 OR nominal_ms > $4)";
        self.change(statement(NEW, row())).await?;
        self.change(statement(OTHER, row())).await?;
        if starting && schedule.timing.as_ref().is_some_and(|timing| timing.at_start) {
            const NOW: &str = "UPDATE schedules SET nominal_ms = $3, next_ms = $3 WHERE plugin = $1 AND name = $2 AND next_ms > $3";
            self.change(statement(NOW, vec![text(plugin), text(&schedule.name), number(now_ms)])).await?;
        }
        Ok(())
    }

    /// Every schedule that the database knows of, by plugin and name. There may be some that nobody has any more.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn schedules(&self) -> Result<Vec<ScheduleRow>, JobsError> {
        const ALL: &str = "SELECT plugin, name, timing, next_ms, last_ms, missed FROM schedules ORDER BY plugin, name";
        let row = |row| {
            let mut columns = Columns::of(row);
            Ok(ScheduleRow {
                plugin: columns.text()?,
                name: columns.text()?,
                timing: columns.text()?,
                next_ms: columns.optional_number()?,
                last_ms: columns.optional_number()?,
                missed: columns.number()?,
            })
        };
        self.rows(statement(ALL, Vec::new()), usize::MAX).await?.into_iter().map(row).collect()
    }

    /// Makes the turn of the schedule `name` of `plugin` if it is due, in one transaction. `chance`, from 0 to 1, is that of the next one.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn fire(&self, plugin: &str, name: &str, timing: &Timing, now_ms: u64, chance: f64) -> Result<Fired, JobsError> {
        const DUE: &str = "SELECT nominal_ms, skipped FROM schedules WHERE plugin = $1 AND name = $2 AND timing = $3 AND next_ms <= $4";
        const OPEN: &str = "SELECT 1 FROM jobs WHERE plugin = $1 AND kind = $2 AND turn_ms IS NOT NULL AND ended_ms IS NULL";
        const BEGUN: &str = "UPDATE schedules SET nominal_ms = $3, next_ms = $4, missed = missed + $5, skipped = 0, last_ms = $6 WHERE plugin = $1 AND name = $2";
        const LEFT_OUT: &str = "UPDATE schedules SET nominal_ms = $3, next_ms = $4, missed = missed + $5, skipped = skipped + $5 WHERE plugin = $1 AND name = $2";
        let which = || vec![text(plugin), text(name)];
        let transaction = self.space.begin().await?;
        let due = [which(), vec![text(&timing.to_string()), number(now_ms)]].concat();
        let Some(row) = transaction.query(statement(DUE, due), 1).await?.rows.into_iter().next() else {
            transaction.rollback().await?;
            return Ok(Fired::Gone);
        };
        let mut columns = Columns::of(row);
        let (nominal_ms, skipped) = (columns.number()?, columns.number()?);
        let turns = timing.turns(nominal_ms, now_ms);
        let nominal_ms = timing.after(turns.last_ms);
        let next = || vec![optional_number(nominal_ms), optional_number(nominal_ms.map(|nominal_ms| timing.due(nominal_ms, chance)))];
        let left_out = |turns: u64| [which(), next(), vec![number(turns)]].concat();
        let is_open = !transaction.query(statement(OPEN, which()), 1).await?.rows.is_empty();
        let (statements, fired) = if is_open {
            let turns = turns.before + 1;
            (vec![statement(LEFT_OUT, left_out(turns))], Fired::LeftOut { turns })
        } else {
            let missed = skipped + turns.before;
            let job = NewJob {
                plugin: plugin.to_owned(),
                purpose: Purpose::Turn,
                kind: name.to_owned(),
                payload: Vec::new(),
                content_type: None,
                key: None,
                delay_ms: 0,
                // The next turn is its next attempt.
                attempts: 1,
            };
            let (_, insert) = insert(&job, Some(Turn { due_ms: turns.last_ms, missed }), now_ms);
            let begun: Vec<Value> = [left_out(turns.before), vec![number(now_ms)]].concat();
            (vec![statement(BEGUN, begun), insert], Fired::Begun { missed })
        };
        transaction.execute(statements).await?;
        transaction.commit().await?;
        Ok(fired)
    }
}
