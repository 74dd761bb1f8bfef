//! SQLite: a file for each plugin of each site. One connection writes and a few read, which in its write-ahead mode hold up nobody; they work on threads where they may block, but for questions that
//! are known to be short.
//!
//! A space is `<folder>/<site>/<plugin>/database.sqlite`, in folders that only the host's user may enter.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wharf_sql::sqlite::Connection;
use wharf_sql::{Action, Error, Migration, Rows, Statement};

use super::held::{Cursor, Cursors, Held, Served, Transaction};
use super::{CURSORS, MIGRATION, Migrated, STATEMENT, Space, SpaceName, Times, WAIT};
use pool::{Lent, Pool};

mod pool;

/// Questions that are answered at the same time. More would wait for the same disk.
const READERS: usize = 4;

/// For how long a question may hold up the thread of whoever asks it: a tenth of what a guest may compute there before it gives way to others. Most are answered sooner than another thread wakes up.
const QUICK: Duration = Duration::from_millis(1);

/// A disk with less than this has no room: SQLite needs a few pages for whatever it writes.
const NO_ROOM_BYTES: u64 = 256 << 10;

/// The files of all spaces.
pub(super) struct SqliteDatabase {
    /// None before anything was configured.
    folder: Option<PathBuf>,
    times: Arc<Times>,
    spaces: Mutex<HashMap<SpaceName, Weak<SqliteSpace>>>,
}

impl SqliteDatabase {
    pub(super) fn new(folder: Option<PathBuf>, times: Arc<Times>) -> SqliteDatabase {
        SqliteDatabase { folder, times, spaces: Mutex::default() }
    }

    /// The space of `name`: the same one for as long as somebody holds it.
    pub(super) fn space(&self, name: SpaceName, quota_bytes: u64) -> Arc<dyn Space> {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(space) = spaces.get(&name).and_then(Weak::upgrade) {
            space.files.quota_bytes.store(quota_bytes, Ordering::Relaxed);
            return space;
        }
        let path = self.folder.as_ref().map(|folder| folder.join(&name.site).join(&name.plugin).join("database.sqlite"));
        let files =
            Arc::new(Files { path, quota_bytes: AtomicU64::new(quota_bytes), changed: AtomicU64::new(0), making: Mutex::default() });
        let space = Arc::new(SqliteSpace {
            writer: Pool::new(1, Arc::clone(&files), Files::open_writer),
            readers: Pool::new(READERS, Arc::clone(&files), Files::open_reader),
            cursor_readers: Pool::new(CURSORS, Arc::clone(&files), Files::open_reader),
            cursors: Cursors::default(),
            migrated: Migrated::default(),
            times: Arc::clone(&self.times),
            files,
        });
        spaces.retain(|_, space| space.strong_count() > 0);
        spaces.insert(name, Arc::downgrade(&space));
        space
    }

    /// Closes every space. The last connection of a file works off its log.
    pub(super) async fn close(&self) {
        let spaces: Vec<_> = self.spaces.lock().unwrap_or_else(PoisonError::into_inner).values().filter_map(Weak::upgrade).collect();
        for space in spaces {
            let closed = tokio::task::spawn_blocking(move || {
                space.readers.close();
                space.cursor_readers.close();
                space.writer.close();
            });
            // One that panicked has nothing left to close.
            let _ = closed.await;
        }
    }
}

/// Where a space lies, and what its connections have to know.
struct Files {
    path: Option<PathBuf>,
    quota_bytes: AtomicU64,
    /// Counts the changes of the tables.
    changed: AtomicU64,
    /// Held while the file may be made, so that nobody reads one in which the host's own tables are not there yet.
    making: Mutex<()>,
}

impl Files {
    fn open_writer(&self) -> Result<Connection, Error> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.make()
    }

    fn make(&self) -> Result<Connection, Error> {
        let path = self.path()?;
        make_folder(path).map_err(|error| self.not_opened(Error::Unavailable(error.to_string())))?;
        Connection::open(path, self.quota_bytes.load(Ordering::Relaxed)).map_err(|error| self.not_opened(error))
    }

    fn open_reader(&self) -> Result<Connection, Error> {
        let making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.path()?.exists() {
            // Whoever asks first finds the host's own tables.
            drop(self.make()?);
        }
        drop(making);
        Connection::open_reader(self.path()?).map_err(|error| self.not_opened(error))
    }

    /// Where the file lies is the operator's to know.
    fn not_opened(&self, error: Error) -> Error {
        tracing::warn!(path = self.path.as_deref().map(|path| path.display().to_string()), %error, "failed to open a database");
        match error {
            Error::Unavailable(_) => Error::Unavailable("the database cannot be opened".to_owned()),
            other => other,
        }
    }

    /// What of `error` the plugin may know, and needs to: whether its quota or the disk is full, and no paths.
    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Full | Error::Unavailable(_) if self.disk_is_full() => {
                Error::Unavailable("the disk of the database has no room".to_owned())
            }
            Error::Full => Error::Quota,
            other => other,
        }
    }

    /// Whether the disk is full. A write-ahead log that did not fit keeps what it has taken, so that this still holds after an error.
    fn disk_is_full(&self) -> bool {
        let folder = self.path.as_deref().and_then(|path| path.ancestors().skip(1).find(|folder| folder.is_dir()));
        let disk = folder.and_then(|folder| rustix::fs::statvfs(folder).ok());
        disk.is_some_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < NO_ROOM_BYTES)
    }

    fn path(&self) -> Result<&Path, Error> {
        self.path.as_deref().ok_or_else(|| Error::Internal("no database is configured".to_owned()))
    }
}

/// Makes the folder that `file` lies in, for the host's user alone, and sees to it that it is there after a loss of power too. Blocks.
fn make_folder(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    let Some(folder) = file.parent() else { return Ok(()) };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for folder in folder.ancestors().take(4).filter(|folder| folder.is_dir()) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

struct SqliteSpace {
    files: Arc<Files>,
    writer: Arc<Pool>,
    readers: Arc<Pool>,
    cursor_readers: Arc<Pool>,
    cursors: Cursors,
    migrated: Migrated,
    times: Arc<Times>,
}

impl SqliteSpace {
    /// Reads with one of the readers.
    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
        self.readers.lend(WAIT).await?.run(work).await.1
    }

    /// Writes in a transaction.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, Instant) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let limit = self.times.transaction();
        let lent = self.writer().await?;
        let work = move |connection: &mut Connection| {
            connection.begin(false)?;
            let done = work(connection, Instant::now() + limit)?;
            connection.commit()?;
            Ok(done)
        };
        lent.run(work).await.1
    }

    async fn writer(&self) -> Result<Lent, Error> {
        self.writer.lend(WAIT + self.times.transaction()).await
    }
}

#[async_trait]
impl Space for SqliteSpace {
    async fn migrate(&self, migrations: Vec<Migration>) -> Result<u32, Error> {
        if self.migrated.is(&migrations) {
            return Ok(0);
        }
        let files = Arc::clone(&self.files);
        let work = move |connection: &mut Connection| {
            let run = connection.migrate(&migrations, Instant::now() + MIGRATION);
            files.changed.fetch_add(1, Ordering::Relaxed);
            run.map(|run| (run, migrations))
        };
        // Whoever else wants to migrate waits for as long as that may take.
        let (run, migrations) = self.writer.lend(WAIT + MIGRATION).await?.run(work).await.1?;
        self.migrated.remember(migrations);
        Ok(run)
    }

    async fn query(&self, statement: Statement, limit: usize) -> Result<Rows, Error> {
        if may_read(&statement.sql) {
            if let Some(rows) = self.readers.try_here(|connection| connection.query_quickly(&statement, limit, QUICK)) {
                return Ok(rows);
            }
            let work = move |connection: &mut Connection| match connection.action(&statement)? {
                Action::Read => Ok(Ok(connection.query_timed(&statement, limit, Instant::now() + STATEMENT, QUICK)?)),
                Action::Write | Action::Define => Ok(Err(statement)),
            };
            match self.read(work).await? {
                Ok(rows) => Ok(rows),
                Err(statement) => self.write(move |connection, deadline| connection.query(&statement, limit, deadline)).await,
            }
        } else {
            self.write(move |connection, deadline| connection.query(&statement, limit, deadline)).await
        }
    }

    async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
        self.write(move |connection, deadline| connection.execute(&statements, deadline)).await
    }

    async fn begin(&self) -> Result<Transaction, Error> {
        let (lent, begun) = self.writer().await?.run(|connection| connection.begin(false)).await;
        begun?;
        Ok(Transaction::new(Box::new(SqliteHeld { lent, undone: false }), self.times.transaction()))
    }

    async fn open(&self, statement: Statement, limit: u64) -> Result<Cursor, Error> {
        let (served, cursor) = self.cursors.begin(limit, CURSORS);
        let lent = self.cursor_readers.lend(WAIT).await?;
        let (opened, columns) = oneshot::channel();
        // The thread is the cursor's for as long as that is open: a statement that is being read cannot be handed on.
        let serving = tokio::task::spawn_blocking(move || lent.run_here(|connection| serve(connection, &statement, served, opened)));
        match columns.await {
            Ok(columns) => Ok(cursor(columns)),
            Err(_closed) => match serving.await {
                Ok(ended) => Err(ended.err().unwrap_or(Error::Timeout)),
                Err(error) => Err(Error::Internal(error.to_string())),
            },
        }
    }

    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.read(move |connection| {
            connection.begin(true)?;
            let found = connection.get(&keys);
            connection.rollback();
            found
        })
        .await
    }

    async fn set(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        self.write(move |connection, _| connection.set(&entries)).await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<u64, Error> {
        self.write(move |connection, _| connection.delete(&keys)).await
    }

    async fn list(&self, prefix: String, after: Option<String>, limit: usize) -> Result<Vec<String>, Error> {
        self.read(move |connection| connection.list(&prefix, after.as_deref(), limit)).await
    }

    async fn compare_and_set(&self, key: String, expected: Option<Vec<u8>>, new: Option<Vec<u8>>) -> Result<(), Error> {
        self.write(move |connection, _| connection.compare_and_set(&key, expected.as_deref(), new.as_deref())).await
    }

    async fn increment(&self, key: String, by: i64) -> Result<i64, Error> {
        self.write(move |connection, _| connection.increment(&key, by)).await
    }
}

/// Whether the first word of `sql` is one of a statement that may be only a question.
fn may_read(sql: &str) -> bool {
    let first = sql.trim_start().get(..4).unwrap_or_default().to_ascii_lowercase();
    first != "inse" && first != "upda" && first != "dele"
}

/// Serves a cursor until it is over. Blocks.
fn serve(
    connection: &mut Connection,
    statement: &Statement,
    mut served: Served,
    opened: oneshot::Sender<Vec<String>>,
) -> Result<(), Error> {
    if connection.action(statement)? != Action::Read {
        return Err(Error::Invalid("a cursor is for a statement that only reads".to_owned()));
    }
    let runtime = Handle::current();
    connection.walk(statement, |walk| {
        let _ = opened.send(walk.columns().to_vec());
        while let Some(ask) = runtime.block_on(served.ask()) {
            let rows = walk.next(ask.max, Instant::now() + STATEMENT);
            served.left -= rows.as_ref().map_or(0, Vec::len) as u64;
            let over = rows.is_err();
            let _ = ask.answer.send(rows);
            if over {
                break;
            }
        }
        Ok(())
    })
}

/// The writer, inside a transaction.
struct SqliteHeld {
    lent: Lent,
    /// Whether SQLite has undone all of it by itself, as it does when there is no room.
    undone: bool,
}

impl SqliteHeld {
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let work = move |connection: &mut Connection| {
            let done = work(connection);
            Ok((done, !connection.is_in_transaction()))
        };
        let (lent, done) = self.lent.take().run(work).await;
        self.lent = lent;
        let (done, undone) = done?;
        self.undone = undone;
        done
    }
}

#[async_trait]
impl Held for SqliteHeld {
    fn is_undone(&self) -> bool {
        self.undone
    }

    async fn query(&mut self, statement: Statement, limit: usize, deadline: Instant) -> Result<Rows, Error> {
        self.run(move |connection| connection.query(&statement, limit, deadline)).await
    }

    async fn execute(&mut self, statements: Vec<Statement>, deadline: Instant) -> Result<Vec<u64>, Error> {
        self.run(move |connection| connection.execute_or_undo(&statements, deadline)).await
    }

    async fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.run(Connection::commit).await
    }

    async fn rollback(mut self: Box<Self>) {
        let undone = |connection: &mut Connection| {
            connection.rollback();
            Ok(())
        };
        // What is not undone here is when the connection goes back.
        let _ = self.run(undone).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Databases;
    use super::*;
    use crate::backend::seal::Seals;
    use crate::settings::testing::storage;

    #[tokio::test]
    async fn a_question_that_was_quick_is_answered_where_it_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let databases = Databases::default();
        databases.configure(&storage(folder.path()), &Seals::default());
        let space = databases.space(SpaceName { site: "s".to_owned(), plugin: "p".to_owned() }, 1 << 20);
        let mut at_once = Vec::new();
        // On a busy machine it may take some turns until it was quick.
        while at_once.len() < 1_000 && !at_once.contains(&true) {
            let mut asked = space.query(Statement { sql: "SELECT 1".to_owned(), parameters: Vec::new() }, 1);
            at_once.push(futures_util::poll!(&mut asked).is_ready());
            if at_once.last() == Some(&false) {
                asked.await.unwrap();
            }
        }
        assert_eq!((at_once.first(), at_once.last()), (Some(&false), Some(&true)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_asks_while_a_space_is_made_finds_the_hosts_tables() {
        let folder = tempfile::tempdir().unwrap();
        let databases = Databases::default();
        databases.configure(&storage(folder.path()), &Seals::default());
        for site in 0..30 {
            let space = databases.space(SpaceName { site: format!("s{site}"), plugin: "p".to_owned() }, 1 << 20);
            let get = || space.get(vec!["k".to_owned()]);
            let (added, one, other, third) = tokio::join!(space.increment("k".to_owned(), 1), get(), get(), get());
            assert_eq!((added, one.err(), other.err(), third.err()), (Ok(1), None, None, None));
        }
    }
}
