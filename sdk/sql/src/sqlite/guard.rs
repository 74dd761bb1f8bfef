//! The second gate in front of SQLite, and the clock.
//!
//! SQLite asks about everything that a statement would touch when it compiles it. A plugin's statement has passed the parser before, so that a refusal here is a mistake of the parser's; it is no way
//! out of the space all the same. The clock is looked at every few thousand steps of SQLite's machine, so that a question without an end has one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::error::database_error;
use crate::Error;
use crate::functions;

/// Steps of SQLite's machine between two looks at the clock: a fraction of a millisecond.
const STEPS: i32 = 4_000;

/// Whose statements are being compiled and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Ours.
    All,
    /// A plugin's, in a migration that makes or changes tables: these are read and written in SQLite's own tables.
    Tables,
    /// A plugin's, on rows.
    Rows,
}

/// What SQLite asks.
pub(super) struct Guard {
    trust: AtomicU8,
    /// Nanoseconds after `start`; zero is never.
    deadline: AtomicU64,
    start: Instant,
}

impl Default for Guard {
    fn default() -> Guard {
        Guard { trust: AtomicU8::new(Trust::All as u8), deadline: AtomicU64::new(0), start: Instant::now() }
    }
}

/// While it lives, statements are a plugin's.
pub(super) struct Trusted<'g>(&'g Guard);

impl Drop for Trusted<'_> {
    fn drop(&mut self) {
        self.0.trust.store(Trust::All as u8, Ordering::Relaxed);
    }
}

impl Guard {
    /// Lets SQLite ask.
    pub(super) fn watch(self: &Arc<Guard>, connection: &mut rusqlite::Connection) -> rusqlite::Result<()> {
        let guard = Arc::clone(self);
        connection.authorizer(Some(move |context: AuthContext<'_>| guard.judge(&context)))?;
        let guard = Arc::clone(self);
        connection.progress_handler(STEPS, Some(move || guard.is_late()))
    }

    /// Statements are of this kind until the answer is dropped.
    pub(super) fn trust(&self, trust: Trust) -> Trusted<'_> {
        self.trust.store(trust as u8, Ordering::Relaxed);
        Trusted(self)
    }

    /// Runs `work`, which is stopped at `deadline`.
    pub(super) fn until<T>(&self, deadline: Instant, work: impl FnOnce() -> rusqlite::Result<T>) -> Result<T, Error> {
        let after = deadline.saturating_duration_since(self.start).as_nanos();
        self.deadline.store(u64::try_from(after).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        let done = work().map_err(database_error);
        self.deadline.store(0, Ordering::Relaxed);
        done
    }

    fn is_late(&self) -> bool {
        match self.deadline.load(Ordering::Relaxed) {
            0 => false,
            deadline => self.start.elapsed().as_nanos() >= u128::from(deadline),
        }
    }

    fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        let trust = self.trust.load(Ordering::Relaxed);
        let allowed = if trust == Trust::All as u8 {
            true
        } else if trust == Trust::Tables as u8 {
            in_tables(&context.action)
        } else {
            in_rows(&context.action)
        };
        if allowed { Authorization::Allow } else { Authorization::Deny }
    }
}

/// What a statement that makes tables leads out with.
fn in_tables(action: &AuthAction<'_>) -> bool {
    // By this SQLite finds out whether the rows that are there keep to the rule of a column that is added.
    if matches!(action, AuthAction::Pragma { pragma_name: "quick_check", .. }) {
        return true;
    }
    !matches!(
        action,
        AuthAction::Unknown { .. }
            | AuthAction::Attach { .. }
            | AuthAction::Detach { .. }
            | AuthAction::Pragma { .. }
            | AuthAction::CreateVtable { .. }
            | AuthAction::DropVtable { .. }
            | AuthAction::CreateTrigger { .. }
            | AuthAction::CreateTempTrigger { .. }
            | AuthAction::CreateTempTable { .. }
            | AuthAction::CreateTempView { .. }
            | AuthAction::CreateView { .. }
            | AuthAction::Transaction { .. }
            | AuthAction::Savepoint { .. }
    )
}

fn in_rows(action: &AuthAction<'_>) -> bool {
    let own = |table: &str| !table.starts_with("sqlite_") && !table.starts_with("wharf_");
    match action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => own(table_name),
        AuthAction::Function { function_name } => functions::is_sqlite_function(function_name) || is_operator(function_name),
        _ => false,
    }
}

/// Functions by which SQLite carries out operators and conditions.
fn is_operator(function: &str) -> bool {
    ["like", "typeof"].contains(&function)
}
