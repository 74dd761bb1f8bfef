//! The users of a site in PostgreSQL: a schema for each site in the database of `[storage]`, which all hosts of the site share.
//!
//! The schema is the operator's and no plugin's role is let into it. What adds users, removes them or gives numbers takes the site's lock, so that of several hosts one does so at a time, as SQLite has one
//! writer; sessions and tokens of different users are not in each other's way. What was answered is on the disk (`synchronous_commit`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use wharf_sql::Error;

use super::{Credential, Hashed, MAX_CREDENTIALS, Purpose, Removed, Sha256Key, Stamp, UserRow, Users, UsersError};
use crate::backend::database::postgres::{Lease, Operator, within};

/// How long a question may take.
const ASK: Duration = Duration::from_secs(5);

/// How much is swept when something is added.
const SWEEP: i64 = 1_000;

/// The versions of the schema, each with what leads to it. Only added to. Numbers are not used again: a sequence does not go back.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE SCHEMA.users (
        id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name          text NOT NULL,
        password_hash text,
        roles         text[] NOT NULL,
        removed       boolean NOT NULL DEFAULT FALSE
    );
    CREATE UNIQUE INDEX users_by_name ON SCHEMA.users (name) WHERE NOT removed;
    CREATE TABLE SCHEMA.credentials (
        key        bytea PRIMARY KEY,
        purpose    text NOT NULL,
        user_id    bigint NOT NULL REFERENCES SCHEMA.users (id),
        stamp      bytea NOT NULL,
        began_ms   bigint NOT NULL,
        expires_ms bigint NOT NULL
    );
    CREATE INDEX credentials_by_end ON SCHEMA.credentials (expires_ms);
    CREATE INDEX credentials_by_user ON SCHEMA.credentials (user_id, expires_ms);
"];

const USER: &str = "users.id, users.name, users.password_hash, users.roles";

/// The database of one site.
pub(crate) struct PostgresUsers {
    operator: Arc<Operator>,
    schema: String,
}

impl PostgresUsers {
    /// Opens the database of `site`, and makes its schema if it is not there.
    ///
    /// # Errors
    ///
    /// [`UsersError`].
    pub(crate) async fn open(operator: Arc<Operator>, site: &str) -> Result<PostgresUsers, UsersError> {
        let schema = within(ASK, operator.make_users_schema(site, &MIGRATIONS)).await?;
        Ok(PostgresUsers { operator, schema })
    }

    /// Whether `site` has a database.
    ///
    /// # Errors
    ///
    /// [`UsersError`].
    pub(crate) async fn is_there(operator: &Operator, site: &str) -> Result<bool, UsersError> {
        Ok(within(ASK, operator.users_schema(site)).await?.is_some())
    }

    /// Asks one thing. `sql` has `SCHEMA` for the schema's name.
    async fn ask(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, UsersError> {
        let sql = sql.replace("SCHEMA", &self.schema);
        let asked = async {
            let lease = self.operator.lease().await?;
            let rows = lease.query(&sql, parameters).await;
            lease.done_unless_lost(rows)
        };
        Ok(within(ASK, asked).await?)
    }

    /// Changes one thing, and answers whether there was anything to change.
    async fn change(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<bool, UsersError> {
        let sql = sql.replace("SCHEMA", &self.schema);
        let changed = async {
            let lease = self.operator.lease().await?;
            let count = lease.execute(&sql, parameters).await;
            lease.done_unless_lost(count)
        };
        Ok(within(ASK, changed).await? > 0)
    }

    /// A transaction that has the site's lock if it is to be `alone`.
    async fn begin(&self, alone: bool) -> Result<Transaction<'_>, Error> {
        let lease = self.operator.lease().await?;
        let schema = &self.schema;
        let lock = if alone { format!("; SELECT pg_advisory_xact_lock(hashtextextended('{schema}', 0))") } else { String::new() };
        lease.batch(&format!("BEGIN ISOLATION LEVEL READ COMMITTED{lock}")).await?;
        Ok(Transaction { lease, schema })
    }
}

/// Several things that are done wholly or not at all. Dropping it undoes them.
struct Transaction<'s> {
    lease: Lease,
    schema: &'s str,
}

impl Transaction<'_> {
    /// Keeps what was done if `done` is a success, and undoes it otherwise.
    async fn end<T>(self, done: Result<T, Error>) -> Result<T, Error> {
        let ended = self.lease.batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
        let done = match (done, ended) {
            (done, Ok(())) => done,
            // It is not known what has become of it: the connection must not be used again.
            (_, Err(error)) => Err(Error::Unavailable(error.to_string())),
        };
        self.lease.done_unless_lost(done)
    }

    async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.lease.query(&sql.replace("SCHEMA", self.schema), parameters).await
    }

    async fn by_name(&self, name: &str) -> Result<Option<UserRow>, Error> {
        let sql = format!("SELECT {USER} FROM SCHEMA.users WHERE name = $1 AND NOT removed");
        self.query(&sql, &[&name]).await?.first().map(|row| user(row, 0)).transpose()
    }

    /// Adds a user, whose name is free, and answers the number.
    async fn insert(&self, name: &str, password_hash: Option<&str>, roles: &[String]) -> Result<u64, Error> {
        let sql = "INSERT INTO SCHEMA.users (name, password_hash, roles) VALUES ($1, $2, $3) RETURNING id";
        let rows = self.query(sql, &[&name, &password_hash, &roles]).await?;
        rows.first().map(|row| unsigned(row, 0)).ok_or_else(|| Error::Internal("a user has no number".to_owned()))?
    }

    /// Takes the user of this number away.
    async fn remove(&self, id: u64) -> Result<(), Error> {
        let id = signed(id);
        self.query("UPDATE SCHEMA.users SET removed = TRUE, password_hash = NULL WHERE id = $1", &[&id]).await?;
        self.query("DELETE FROM SCHEMA.credentials WHERE user_id = $1", &[&id]).await.map(drop)
    }

    async fn adopt(&self, name: &str) -> Result<UserRow, Error> {
        if let Some(known) = self.by_name(name).await? {
            return Ok(known);
        }
        let id = self.insert(name, None, &[]).await?;
        Ok(UserRow { id, name: name.to_owned(), password_hash: None, roles: Vec::new() })
    }

    async fn add(&self, name: &str, password_hash: &Hashed, roles: &[String]) -> Result<Option<u64>, Error> {
        match self.by_name(name).await? {
            Some(UserRow { password_hash: Some(_), .. }) => return Ok(None),
            Some(other) => self.remove(other.id).await?,
            None => {}
        }
        self.insert(name, Some(password_hash.expose()), roles).await.map(Some)
    }

    async fn remove_named(&self, name: &str, unless_last: bool) -> Result<Removed, Error> {
        const OTHERS: &str = "SELECT 1 FROM SCHEMA.users WHERE id <> $1 AND NOT removed AND password_hash IS NOT NULL LIMIT 1";
        let Some(UserRow { id, password_hash: Some(_), .. }) = self.by_name(name).await? else { return Ok(Removed::Unknown) };
        if unless_last && self.query(OTHERS, &[&signed(id)]).await?.is_empty() {
            return Ok(Removed::Last);
        }
        self.remove(id).await.map(|()| Removed::Done)
    }

    async fn issue(&self, credentials: &[Credential], now_ms: u64) -> Result<bool, Error> {
        // What another host is sweeping is not waited for.
        const EXPIRED: &str = "DELETE FROM SCHEMA.credentials WHERE key IN \
            (SELECT key FROM SCHEMA.credentials WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2 FOR UPDATE SKIP LOCKED)";
        // Until the end of the transaction the user is not removed, and nothing else is issued to the same one.
        const USER_IS_THERE: &str = "SELECT 1 FROM SCHEMA.users WHERE id = $1 AND NOT removed FOR NO KEY UPDATE";
        const TOO_MANY: &str = "DELETE FROM SCHEMA.credentials WHERE key IN \
            (SELECT key FROM SCHEMA.credentials WHERE user_id = $1 ORDER BY expires_ms DESC OFFSET $2)";
        const ADD: &str = "INSERT INTO SCHEMA.credentials (user_id, key, purpose, stamp, began_ms, expires_ms) \
            SELECT $1, * FROM unnest($2::bytea[], $3::text[], $4::bytea[], $5::bigint[], $6::bigint[])";
        self.query(EXPIRED, &[&signed(now_ms), &SWEEP]).await?;
        let Some(owner) = credentials.first().map(|credential| signed(credential.user)) else { return Ok(true) };
        if self.query(USER_IS_THERE, &[&owner]).await?.is_empty() {
            return Ok(false);
        }
        let room = signed(MAX_CREDENTIALS.saturating_sub(credentials.len()) as u64);
        self.query(TOO_MANY, &[&owner, &room]).await?;
        let keys: Vec<&[u8]> = credentials.iter().map(|credential| credential.key.0.as_slice()).collect();
        let purposes: Vec<String> = credentials.iter().map(|credential| credential.purpose.word()).collect();
        let stamps: Vec<&[u8]> = credentials.iter().map(|credential| credential.stamp.as_slice()).collect();
        let began: Vec<i64> = credentials.iter().map(|credential| signed(credential.began_ms)).collect();
        let expires: Vec<i64> = credentials.iter().map(|credential| signed(credential.expires_ms)).collect();
        self.query(ADD, &[&owner, &keys, &purposes, &stamps, &began, &expires]).await?;
        Ok(true)
    }
}

/// PostgreSQL has no unsigned numbers. A number that it does not have is nobody's, and a time that it does not have never comes.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row, column: usize) -> Result<u64, Error> {
    let number: i64 = row.try_get(column).map_err(|error| wrong(&error))?;
    u64::try_from(number).map_err(|error| wrong(&error))
}

/// The user in the columns of [`USER`], of which the first is `from`.
fn user(row: &Row, from: usize) -> Result<UserRow, Error> {
    let hash: Option<String> = row.try_get(from + 2).map_err(|error| wrong(&error))?;
    let hash = hash.map(|hash| Hashed::parse(&hash)).transpose().map_err(|reason| Error::Internal(reason.to_owned()))?;
    let name = row.try_get(from + 1).map_err(|error| wrong(&error))?;
    let roles = row.try_get(from + 3).map_err(|error| wrong(&error))?;
    Ok(UserRow { id: unsigned(row, from)?, name, password_hash: hash, roles })
}

/// The credential of `key` in the first columns, and its user in those that follow.
fn credential(key: Sha256Key, row: &Row) -> Result<(Credential, UserRow), Error> {
    let purpose = Purpose::of_word(row.try_get(0).map_err(|error| wrong(&error))?);
    let stamp: &[u8] = row.try_get(1).map_err(|error| wrong(&error))?;
    let stamp = Stamp::try_from(stamp).map_err(|error| wrong(&error))?;
    let owner = user(row, 4)?;
    Ok((Credential { key, purpose, user: owner.id, stamp, began_ms: unsigned(row, 2)?, expires_ms: unsigned(row, 3)? }, owner))
}

fn wrong(error: &dyn std::error::Error) -> Error {
    Error::Internal(format!("a row is not as it was written: {error}"))
}

impl From<Error> for UsersError {
    fn from(error: Error) -> UsersError {
        match error {
            Error::Timeout => UsersError::Timeout,
            Error::Unavailable(reason) => UsersError::Unavailable(reason),
            other => UsersError::Internal(other.to_string()),
        }
    }
}

#[async_trait]
impl Users for PostgresUsers {
    async fn any(&self) -> Result<bool, UsersError> {
        let sql = "SELECT 1 FROM SCHEMA.users WHERE NOT removed AND password_hash IS NOT NULL LIMIT 1";
        Ok(!self.ask(sql, &[]).await?.is_empty())
    }

    async fn adopt(&self, name: &str) -> Result<UserRow, UsersError> {
        if let Some(known) = self.by_name(name).await? {
            return Ok(known);
        }
        let adopted = async {
            let transaction = self.begin(true).await?;
            let done = transaction.adopt(name).await;
            transaction.end(done).await
        };
        Ok(within(ASK, adopted).await?)
    }

    async fn by_name(&self, name: &str) -> Result<Option<UserRow>, UsersError> {
        // PostgreSQL has no texts with it, and so nobody of this name.
        if name.contains('\0') {
            return Ok(None);
        }
        let sql = format!("SELECT {USER} FROM SCHEMA.users WHERE name = $1 AND NOT removed");
        Ok(self.ask(&sql, &[&name]).await?.first().map(|row| user(row, 0)).transpose()?)
    }

    async fn by_ids(&self, ids: &[u64]) -> Result<Vec<UserRow>, UsersError> {
        let ids: Vec<i64> = ids.iter().map(|id| signed(*id)).collect();
        let sql = format!("SELECT {USER} FROM SCHEMA.users WHERE id = ANY($1) AND NOT removed");
        Ok(self.ask(&sql, &[&ids]).await?.iter().map(|row| user(row, 0)).collect::<Result<_, _>>()?)
    }

    async fn all(&self) -> Result<Vec<UserRow>, UsersError> {
        let sql = format!("SELECT {USER} FROM SCHEMA.users WHERE NOT removed ORDER BY id");
        Ok(self.ask(&sql, &[]).await?.iter().map(|row| user(row, 0)).collect::<Result<_, _>>()?)
    }

    async fn add(&self, name: &str, password_hash: &Hashed, roles: &[String]) -> Result<Option<u64>, UsersError> {
        let added = async {
            let transaction = self.begin(true).await?;
            let done = transaction.add(name, password_hash, roles).await;
            transaction.end(done).await
        };
        Ok(within(ASK, added).await?)
    }

    async fn remove(&self, name: &str, unless_last: bool) -> Result<Removed, UsersError> {
        let removed = async {
            let transaction = self.begin(true).await?;
            let done = transaction.remove_named(name, unless_last).await;
            transaction.end(done).await
        };
        Ok(within(ASK, removed).await?)
    }

    async fn set_password(&self, name: &str, password_hash: &Hashed) -> Result<bool, UsersError> {
        let sql = "UPDATE SCHEMA.users SET password_hash = $2 WHERE name = $1 AND NOT removed AND password_hash IS NOT NULL";
        self.change(sql, &[&name, &password_hash.expose()]).await
    }

    async fn issue(&self, credentials: &[Credential], now_ms: u64) -> Result<bool, UsersError> {
        let issued = async {
            let transaction = self.begin(false).await?;
            let done = transaction.issue(credentials, now_ms).await;
            transaction.end(done).await
        };
        Ok(within(ASK, issued).await?)
    }

    async fn find(&self, key: &Sha256Key, now_ms: u64) -> Result<Option<(Credential, UserRow)>, UsersError> {
        let sql = format!(
            "SELECT purpose, stamp, began_ms, expires_ms, {USER} FROM SCHEMA.credentials JOIN SCHEMA.users ON users.id = user_id \
             WHERE key = $1 AND expires_ms > $2 AND NOT removed"
        );
        let rows = self.ask(&sql, &[&key.0.as_slice(), &signed(now_ms)]).await?;
        Ok(rows.first().map(|row| credential(*key, row)).transpose()?)
    }

    async fn put_off(&self, key: &Sha256Key, expires_ms: u64, now_ms: u64) -> Result<bool, UsersError> {
        let sql = "UPDATE SCHEMA.credentials SET expires_ms = $2 WHERE key = $1 AND expires_ms > $3";
        self.change(sql, &[&key.0.as_slice(), &signed(expires_ms), &signed(now_ms)]).await
    }

    async fn end(&self, key: &Sha256Key) -> Result<bool, UsersError> {
        self.change("DELETE FROM SCHEMA.credentials WHERE key = $1", &[&key.0.as_slice()]).await
    }
}
