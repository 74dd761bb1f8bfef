//! Connections in the operator's own name, for what belongs to a site and to none of its plugins: its users.
//!
//! Their schemas belong to the role of the operator's URL, and no plugin's role is let into them. They need no key of the host's: `wharf user` can be run wherever the URL is known. All sites of a process share
//! the connections. The password in the URL may become another while the host runs, so that connections which cannot be made are asked for anew with what the URL says then.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use deadpool_postgres::{Pool, PoolError};
use wharf_sql::Error;

use super::Server;
use super::error::of_pool;
use super::lease::Lease;
use super::provision::{LOCK, database, explain, pool, users_schema};
use crate::settings::DatabaseSource;

/// The database, in the operator's name.
pub(crate) struct Operator {
    server: Server,
    ca_file: Option<PathBuf>,
    /// None before the first connection, and after one that could not be made.
    pool: Mutex<Option<Pool>>,
}

impl Operator {
    /// Connects when it is first asked.
    pub(crate) fn new(source: DatabaseSource, ca_file: Option<PathBuf>) -> Operator {
        Operator { server: Server::new(source, ca_file.clone()), ca_file, pool: Mutex::default() }
    }

    /// Whether `other` is the same database, reached in the same way.
    pub(crate) fn is_like(&self, other: &Operator) -> bool {
        self.server.source == other.server.source && self.ca_file == other.ca_file
    }

    /// A connection, when one is free.
    pub(crate) async fn lease(&self) -> Result<Lease, Error> {
        let pool = self.pool().await?;
        pool.get().await.map(Lease::of).map_err(|error| {
            if matches!(error, PoolError::Backend(_)) {
                *self.known() = None;
            }
            of_pool(&error)
        })
    }

    /// The schema of the users of `site`; none if nobody has made it.
    pub(crate) async fn users_schema(&self, site: &str) -> Result<Option<String>, Error> {
        let schema = users_schema(site);
        let lease = self.lease().await?;
        let found = lease.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema]).await;
        Ok(lease.done_unless_lost(found)?.first().map(|_| schema))
    }

    /// Sees to it that the schema of the users of `site` is there, and what `migrations` make in it: each runs once, in their order, with `SCHEMA` for its name. Answers the name.
    pub(crate) async fn make_users_schema(&self, site: &str, migrations: &[&str]) -> Result<String, Error> {
        let schema = users_schema(site);
        let lease = self.lease().await?;
        // One that fails closes the connection, and the server undoes what was done.
        make(&lease, &schema, migrations).await?;
        lease.done();
        Ok(schema)
    }

    async fn pool(&self) -> Result<Pool, Error> {
        if let Some(pool) = self.known().clone() {
            return Ok(pool);
        }
        let mut config = self.server.config().await?;
        config.application_name("wharf users");
        let made = pool(&self.server, config, None, |builder| builder).await?;
        // Whoever was first has made the one that counts.
        Ok(self.known().get_or_insert(made).clone())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Pool>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn make(lease: &Lease, schema: &str, migrations: &[&str]) -> Result<(), Error> {
    let client = lease.client()?;
    let failed = |error: tokio_postgres::Error| explain(&error);
    // Several hosts may begin at the same time.
    client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})")).await.map_err(failed)?;
    database(client).await?;
    let there = client.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema]).await.map_err(failed)?;
    if there.is_empty() {
        let sql = format!(
            "CREATE SCHEMA {schema}; CREATE TABLE {schema}.version (version bigint NOT NULL); INSERT INTO {schema}.version VALUES (0)"
        );
        client.batch_execute(&sql).await.map_err(failed)?;
    }
    let row = client.query_one(&format!("SELECT version FROM {schema}.version"), &[]).await.map_err(failed)?;
    let version: i64 = row.get(0);
    let missing = usize::try_from(version)
        .ok()
        .and_then(|version| migrations.get(version..))
        .ok_or_else(|| Error::Unavailable(format!("the schema `{schema}` has the version {version}, a later one than this host knows")))?;
    for migration in missing {
        client.batch_execute(&migration.replace("SCHEMA", schema)).await.map_err(failed)?;
    }
    client.batch_execute(&format!("UPDATE {schema}.version SET version = {}; COMMIT", migrations.len())).await.map_err(failed)
}
