//! The users of a site in SQLite: `<data_dir>/storage/<site>/identity.db`.
//!
//! WAL with `synchronous = FULL`: what was answered is on the disk. One connection writes and a few read beside it, all of them on the blocking pool but for one short question; commands such as `wharf user add` open the same file
//! from other processes, whose writers wait for each other. Every question is one transaction. The file is its owner's alone; where an administrator makes it for a host that runs as somebody
//! else, it belongs to whom the data directory belongs.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, params};

use super::{Credential, Hashed, MAX_CREDENTIALS, Purpose, Removed, Sha256Key, UserRow, Users, UsersError};

/// How long a writer waits for another process.
const BUSY: Duration = Duration::from_secs(5);

/// Connections that are kept for readers.
const READERS: usize = 4;

/// How much is swept when something is added.
const SWEEP: usize = 1_000;

/// The versions of the schema, each with what leads to it. Only added to.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE users (
        id            INTEGER PRIMARY KEY AUTOINCREMENT,
        name          TEXT NOT NULL,
        password_hash TEXT,
        roles         TEXT NOT NULL,
        removed       INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE UNIQUE INDEX users_by_name ON users (name) WHERE removed = 0;
    CREATE TABLE credentials (
        key        BLOB PRIMARY KEY,
        purpose    TEXT NOT NULL,
        user_id    INTEGER NOT NULL REFERENCES users (id),
        stamp      BLOB NOT NULL,
        began_ms   INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX credentials_by_end ON credentials (expires_ms);
    CREATE INDEX credentials_by_user ON credentials (user_id, expires_ms);
"];

const USER: &str = "users.id, users.name, users.password_hash, users.roles";

/// The database of one site.
#[derive(Clone)]
pub(crate) struct SqliteUsers(Arc<Connections>);

struct Connections {
    path: Box<Path>,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl SqliteUsers {
    /// Opens the database at `path`, and makes it if it is not there. Blocks.
    ///
    /// # Errors
    ///
    /// [`UsersError`].
    pub(crate) fn open(path: &Path) -> Result<SqliteUsers, UsersError> {
        prepare(path).map_err(|error| UsersError::Unavailable(format!("`{}`: {error}", path.display())))?;
        let mut writer = connect(path)?;
        migrate(&mut writer)?;
        Ok(SqliteUsers(Arc::new(Connections { path: path.into(), writer: Mutex::new(writer), readers: Mutex::default() })))
    }

    /// Asks something that changes nothing.
    async fn read<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    ) -> Result<R, UsersError> {
        let connections = Arc::clone(&self.0);
        blocking(move || {
            let idle = connections.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reader = idle.map_or_else(|| connect(&connections.path), Ok)?;
            let answer = ask(&reader)?;
            let mut idle = connections.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < READERS {
                idle.push(reader);
            }
            Ok(answer)
        })
        .await
    }

    /// As [`SqliteUsers::read`], on this thread; none if it would have to wait, for another process or for a connection to be opened.
    ///
    /// For what every request with a session or a token asks: the answer is in memory and takes some microseconds, less than waking the thread that it would be asked on.
    fn read_here<R>(&self, ask: impl FnOnce(&Connection) -> Result<R, rusqlite::Error>) -> Option<Result<R, UsersError>> {
        let idle = || self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = idle().pop()?;
        let answer = reader.busy_timeout(Duration::ZERO).and_then(|()| {
            let answer = ask(&reader);
            reader.busy_timeout(BUSY)?;
            answer
        });
        match answer.map_err(UsersError::from) {
            // Busy.
            Err(UsersError::Timeout) => None,
            answer => {
                idle().push(reader);
                Some(answer)
            }
        }
    }

    /// Changes something, wholly or not at all.
    async fn write<R: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    ) -> Result<R, UsersError> {
        let connections = Arc::clone(&self.0);
        blocking(move || {
            let mut writer = connections.writer.lock().unwrap_or_else(PoisonError::into_inner);
            // At once for writing: a reader that would become a writer fails when another was first.
            let transaction = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let answer = change(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
        .await
    }
}

async fn blocking<R: Send + 'static>(work: impl FnOnce() -> Result<R, UsersError> + Send + 'static) -> Result<R, UsersError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(UsersError::Internal(error.to_string())))
}

/// Makes the file and the folders above it, for their owner alone.
fn prepare(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let folders: Vec<&Path> = path.ancestors().skip(1).take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    let above = folders.last().unwrap_or(&path).parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let owner = above.metadata()?;
    for folder in folders.iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        give(folder, &owner)?;
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    give(path, &owner)?;
    // The names of a new file are on the disk when its folder is.
    File::open(path.parent().unwrap_or(above))?.sync_all()
}

/// Gives what the superuser made to `owner`. SQLite does the same with the files beside its own.
fn give(path: &Path, owner: &std::fs::Metadata) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, UsersError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Otherwise it plans a statement anew each time that it gets parameters, which takes longer than what most of them do.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), UsersError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: usize = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > MIGRATIONS.len() {
        return Err(UsersError::Unavailable(format!("its schema has the version {version}, a later one than this host knows")));
    }
    for migration in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}

impl From<rusqlite::Error> for UsersError {
    fn from(error: rusqlite::Error) -> UsersError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => UsersError::Timeout,
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::ApiMisuse) | None => {
                UsersError::Internal(error.to_string())
            }
            Some(_) => UsersError::Unavailable(error.to_string()),
        }
    }
}

/// The user in the columns of [`USER`], of which the first is `from`.
fn user(row: &Row<'_>, from: usize) -> rusqlite::Result<UserRow> {
    let wrong = |column, reason: String| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, reason.into());
    let hash: Option<String> = row.get(from + 2)?;
    let hash = hash.map(|hash| Hashed::parse(&hash)).transpose().map_err(|reason| wrong(from + 2, reason.to_owned()))?;
    let roles: String = row.get(from + 3)?;
    let roles = serde_json::from_str(&roles).map_err(|error| wrong(from + 3, error.to_string()))?;
    Ok(UserRow { id: row.get(from)?, name: row.get(from + 1)?, password_hash: hash, roles })
}

fn by_name(connection: &Connection, name: &str) -> rusqlite::Result<Option<UserRow>> {
    let sql = format!("SELECT {USER} FROM users WHERE name = ?1 AND removed = 0");
    connection.prepare_cached(&sql)?.query_row([name], |row| user(row, 0)).optional()
}

/// Takes the user of this number away.
fn remove(connection: &Connection, id: u64) -> rusqlite::Result<()> {
    connection.execute("UPDATE users SET removed = 1, password_hash = NULL WHERE id = ?1", [id])?;
    connection.execute("DELETE FROM credentials WHERE user_id = ?1", [id])?;
    Ok(())
}

#[async_trait]
impl Users for SqliteUsers {
    async fn any(&self) -> Result<bool, UsersError> {
        const SQL: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE removed = 0 AND password_hash IS NOT NULL)";
        self.read(|connection| connection.prepare_cached(SQL)?.query_row([], |row| row.get(0))).await
    }

    async fn adopt(&self, name: &str) -> Result<UserRow, UsersError> {
        let name = name.to_owned();
        let known = self.by_name(&name).await?;
        match known {
            Some(known) => Ok(known),
            None => {
                self.write(move |connection| {
                    if let Some(known) = by_name(connection, &name)? {
                        return Ok(known);
                    }
                    connection.execute("INSERT INTO users (name, roles) VALUES (?1, '[]')", [&name])?;
                    let id = u64::try_from(connection.last_insert_rowid()).unwrap_or_default();
                    Ok(UserRow { id, name, password_hash: None, roles: Vec::new() })
                })
                .await
            }
        }
    }

    async fn by_name(&self, name: &str) -> Result<Option<UserRow>, UsersError> {
        let name = name.to_owned();
        self.read(move |connection| by_name(connection, &name)).await
    }

    async fn by_ids(&self, ids: &[u64]) -> Result<Vec<UserRow>, UsersError> {
        // A number that is none in SQLite is nobody's.
        let ids: Vec<i64> = ids.iter().filter_map(|id| i64::try_from(*id).ok()).collect();
        let ids = serde_json::to_string(&ids).map_err(|error| UsersError::Internal(error.to_string()))?;
        self.read(move |connection| {
            let sql = format!("SELECT {USER} FROM users WHERE id IN (SELECT value FROM json_each(?1)) AND removed = 0");
            connection.prepare_cached(&sql)?.query_map([ids], |row| user(row, 0))?.collect()
        })
        .await
    }

    async fn all(&self) -> Result<Vec<UserRow>, UsersError> {
        self.read(|connection| {
            let sql = format!("SELECT {USER} FROM users WHERE removed = 0 ORDER BY id");
            connection.prepare_cached(&sql)?.query_map([], |row| user(row, 0))?.collect()
        })
        .await
    }

    async fn add(&self, name: &str, password_hash: &Hashed, roles: &[String]) -> Result<Option<u64>, UsersError> {
        let (name, hash) = (name.to_owned(), password_hash.expose().to_owned());
        let roles = serde_json::to_string(roles).map_err(|error| UsersError::Internal(error.to_string()))?;
        self.write(move |connection| {
            match by_name(connection, &name)? {
                Some(UserRow { password_hash: Some(_), .. }) => return Ok(None),
                Some(other) => remove(connection, other.id)?,
                None => {}
            }
            connection.execute("INSERT INTO users (name, password_hash, roles) VALUES (?1, ?2, ?3)", params![name, hash, roles])?;
            Ok(u64::try_from(connection.last_insert_rowid()).ok())
        })
        .await
    }

    async fn remove(&self, name: &str, unless_last: bool) -> Result<Removed, UsersError> {
        let name = name.to_owned();
        self.write(move |connection| {
            const OTHERS: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE id <> ?1 AND removed = 0 AND password_hash IS NOT NULL)";
            let Some(UserRow { id, password_hash: Some(_), .. }) = by_name(connection, &name)? else { return Ok(Removed::Unknown) };
            if unless_last && !connection.query_row(OTHERS, [id], |row| row.get(0))? {
                return Ok(Removed::Last);
            }
            remove(connection, id)?;
            Ok(Removed::Done)
        })
        .await
    }

    async fn set_password(&self, name: &str, password_hash: &Hashed) -> Result<bool, UsersError> {
        const SQL: &str = "UPDATE users SET password_hash = ?2 WHERE name = ?1 AND removed = 0 AND password_hash IS NOT NULL";
        let (name, hash) = (name.to_owned(), password_hash.expose().to_owned());
        self.write(move |connection| Ok(connection.execute(SQL, params![name, hash])? > 0)).await
    }

    async fn issue(&self, credentials: &[Credential], now_ms: u64) -> Result<bool, UsersError> {
        const EXPIRED: &str =
            "DELETE FROM credentials WHERE key IN (SELECT key FROM credentials WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2)";
        const TOO_MANY: &str = "DELETE FROM credentials WHERE key IN \
            (SELECT key FROM credentials WHERE user_id = ?1 ORDER BY expires_ms DESC LIMIT -1 OFFSET ?2)";
        const USER_IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE id = ?1 AND removed = 0)";
        const ADD: &str = "INSERT INTO credentials (key, purpose, user_id, stamp, began_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let credentials = credentials.to_vec();
        self.write(move |connection| {
            connection.execute(EXPIRED, params![now_ms, SWEEP])?;
            let Some(user) = credentials.first().map(|credential| credential.user) else { return Ok(true) };
            if !connection.query_row(USER_IS_THERE, [user], |row| row.get(0))? {
                return Ok(false);
            }
            connection.execute(TOO_MANY, params![user, MAX_CREDENTIALS.saturating_sub(credentials.len())])?;
            for Credential { key, purpose, user, stamp, began_ms, expires_ms } in &credentials {
                connection.prepare_cached(ADD)?.execute(params![key.0, purpose.word(), user, stamp, began_ms, expires_ms])?;
            }
            Ok(true)
        })
        .await
    }

    async fn find(&self, key: &Sha256Key, now_ms: u64) -> Result<Option<(Credential, UserRow)>, UsersError> {
        let key = *key;
        let ask = move |connection: &Connection| {
            let sql = format!(
                "SELECT purpose, user_id, stamp, began_ms, expires_ms, {USER} FROM credentials JOIN users ON users.id = user_id \
                 WHERE key = ?1 AND expires_ms > ?2 AND removed = 0"
            );
            let found = |row: &Row<'_>| {
                let purpose = Purpose::of_word(row.get(0)?);
                let credential =
                    Credential { key, purpose, user: row.get(1)?, stamp: row.get(2)?, began_ms: row.get(3)?, expires_ms: row.get(4)? };
                Ok((credential, user(row, 5)?))
            };
            connection.prepare_cached(&sql)?.query_row(params![key.0, now_ms], found).optional()
        };
        match self.read_here(ask) {
            Some(found) => found,
            None => self.read(ask).await,
        }
    }

    async fn put_off(&self, key: &Sha256Key, expires_ms: u64, now_ms: u64) -> Result<bool, UsersError> {
        const SQL: &str = "UPDATE credentials SET expires_ms = ?2 WHERE key = ?1 AND expires_ms > ?3";
        let key = *key;
        self.write(move |connection| Ok(connection.execute(SQL, params![key.0, expires_ms, now_ms])? > 0)).await
    }

    async fn end(&self, key: &Sha256Key) -> Result<bool, UsersError> {
        let key = *key;
        self.write(move |connection| Ok(connection.execute("DELETE FROM credentials WHERE key = ?1", [key.0])? > 0)).await
    }
}
