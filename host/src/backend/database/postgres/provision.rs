//! What the operator's role makes for a plugin: its role, its schema, and once for the database what all plugins' statements use.
//!
//! Everything is in one transaction, and one host at a time does it. The functions give sums and casts the types that they have in SQLite, where there is no NUMERIC. The mark of the seal key stands in
//! the database: a host with another key would lock out the others, and is told so before it changes anything.

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, PoolBuilder, RecyclingMethod, Runtime};
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, Config};
use wharf_sql::Error;

use super::error::of_statement;
use super::{CONNECT, Server};
use crate::backend::database::{STATEMENT, SpaceName, WAIT};
use crate::backend::seal::Seals;

/// Connections of one plugin, and of the operator.
const CONNECTIONS: usize = 8;

/// What takes the lock in which hosts make things: any number that is always the same.
pub(super) const LOCK: i64 = 0x77_68_61_72_66;

const SHARED: &str = "
    CREATE SCHEMA IF NOT EXISTS wharf;
    GRANT USAGE ON SCHEMA wharf TO PUBLIC;
    CREATE TABLE IF NOT EXISTS wharf.seal (mark text PRIMARY KEY);
    DO $make$ BEGIN
        IF to_regprocedure('wharf.to_bigint(text)') IS NULL THEN
            CREATE FUNCTION wharf.to_bigint(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT $1';
            CREATE FUNCTION wharf.to_bigint(double precision) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT trunc($1)::bigint';
            CREATE FUNCTION wharf.to_bigint(boolean) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT $1::int::bigint';
            CREATE FUNCTION wharf.to_bigint(text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT $1::bigint';
            CREATE AGGREGATE wharf.sum(bigint) (sfunc = int8pl, stype = bigint, combinefunc = int8pl, parallel = safe);
            CREATE AGGREGATE wharf.sum(double precision) (sfunc = float8pl, stype = double precision, combinefunc = float8pl, parallel = safe);
        END IF;
    END $make$;";

const OWN: &str = "
    CREATE TABLE IF NOT EXISTS wharf_migrations (version bigint PRIMARY KEY, name text NOT NULL, hash text NOT NULL);
    CREATE TABLE IF NOT EXISTS wharf_keyvalue (key text COLLATE \"C\" PRIMARY KEY, value bytea NOT NULL);";

/// A space that is there.
pub(super) struct Provisioned {
    pub(super) pool: Pool,
    /// Of the schema, and of the role.
    pub(super) name: String,
    /// What takes the space's lock.
    pub(super) lock: i64,
}

/// Sees to it that the space of `owner` is there.
pub(super) async fn provision(server: &Server, seals: &Seals, owner: &SpaceName) -> Result<Provisioned, Error> {
    let config = server.config().await?;
    let mark = seals.mark().await.map_err(|error| Error::Unavailable(error.to_string()))?;
    let client = server.connect(config.clone()).await?;
    let making = tokio::time::timeout(STATEMENT + WAIT, make(&client, seals, owner, &mark)).await;
    let (name, password) = making.map_err(|_elapsed| Error::Unavailable("the database did not answer in time".to_owned()))??;
    let pool = own_pool(server, config, owner, &name, &password).await?;
    // The lock's number is the space's own: the first half of its name's digest.
    let lock = Sha256::digest(name.as_bytes()).iter().take(8).fold(0_i64, |lock, byte| lock << 8 | i64::from(*byte));
    Ok(Provisioned { pool, name, lock })
}

async fn make(client: &Client, seals: &Seals, owner: &SpaceName, mark: &str) -> Result<(String, String), Error> {
    let failed = |error: tokio_postgres::Error| explain(&error);
    client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})")).await.map_err(failed)?;
    let database = database(client).await?;
    client.batch_execute(SHARED).await.map_err(failed)?;
    let known = client.query_opt("SELECT mark FROM wharf.seal", &[]).await.map_err(failed)?;
    match known.map(|row| row.get::<_, String>(0)) {
        Some(known) if known != mark => {
            let message = format!(
                "the database `{database}` was used with another seal key: give this host the same one, by `seal_key` of `[storage]`"
            );
            return Err(Error::Unavailable(message));
        }
        Some(_) => {}
        None => drop(client.execute("INSERT INTO wharf.seal (mark) VALUES ($1)", &[&mark]).await.map_err(failed)?),
    }
    let name = name(&database, owner);
    let password = seals.password(&name).await.map_err(|error| Error::Unavailable(error.to_string()))?;
    let there = client.query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&name]).await.map_err(failed)?.is_some();
    let verb = if there { "ALTER" } else { "CREATE" };
    // Only what is made of it: statements may be logged.
    let verifier = tokio_postgres_password(&password);
    let role = format!(
        "{verb} ROLE {name} LOGIN PASSWORD '{verifier}'; CREATE SCHEMA IF NOT EXISTS {name}; GRANT USAGE, CREATE ON SCHEMA {name} TO {name};
         DO $grant$ BEGIN
             IF NOT has_database_privilege('{name}', current_database(), 'CONNECT') THEN
                 EXECUTE format('GRANT CONNECT ON DATABASE %I TO {name}', current_database());
             END IF;
         END $grant$; COMMIT"
    );
    client.batch_execute(&role).await.map_err(failed)?;
    Ok((name, password))
}

/// The name of the database, which keeps every text there is.
pub(super) async fn database(client: &Client) -> Result<String, Error> {
    let sql = "SELECT current_database()::text, current_setting('server_encoding')";
    let row = client.query_one(sql, &[]).await.map_err(|error| explain(&error))?;
    let (database, encoding): (String, String) = (row.get(0), row.get(1));
    if encoding != "UTF8" {
        return Err(Error::Unavailable(format!("the database `{database}` has the encoding {encoding}; make one with UTF8")));
    }
    Ok(database)
}

/// The name of a space's schema and role. A role belongs to all databases of a server, so that the database is part of it. It is made of what stands in SQL unquoted.
fn name(database: &str, owner: &SpaceName) -> String {
    let digest = short_digest(&format!("{database}\0{}\0{}", owner.site, owner.plugin));
    format!("wharf_{}_{}_{digest}", readable(&owner.site), readable(&owner.plugin))
}

/// The name of the schema of a site's users. No space is called so: its name ends with the digest of something else.
pub(super) fn users_schema(site: &str) -> String {
    format!("wharf_users_{}_{}", readable(site), short_digest(&format!("users\0{site}")))
}

/// What of `name` can be read in that of a schema.
fn readable(name: &str) -> String {
    name.chars().take(18).map(|letter| if letter == '-' { '_' } else { letter }).collect()
}

/// What tells names apart of which the same can be read.
fn short_digest(text: &str) -> String {
    Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Connections in the plugin's name.
async fn own_pool(server: &Server, mut config: Config, owner: &SpaceName, name: &str, password: &str) -> Result<Pool, Error> {
    config.user(name).password(password).application_name(format!("wharf {}/{}", owner.site, owner.plugin));
    let own = Hook::async_fn(|client, _| {
        Box::pin(async move {
            // Several connections may begin at the same time.
            let sql = format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK}); {OWN} COMMIT");
            client.batch_execute(&sql).await.map_err(HookError::Backend)
        })
    });
    pool(server, config, Some(name), |builder| builder.post_create(own)).await
}

/// Connections by `config`, which find what is unqualified in `schema`.
pub(super) async fn pool(
    server: &Server,
    mut config: Config,
    schema: Option<&str>,
    with: impl FnOnce(PoolBuilder) -> PoolBuilder,
) -> Result<Pool, Error> {
    let milliseconds = STATEMENT.as_millis();
    let path = schema.map(|schema| format!("-c search_path={schema} ")).unwrap_or_default();
    // `synchronous_commit`: what a commit has answered to is kept, whatever the database's own setting is.
    config.options(format!(
        "{path}-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds} -c synchronous_commit=on"
    ));
    let encryption = server.encryption.connector().await?;
    let manager = Manager::from_config(config, encryption, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let builder = Pool::builder(manager)
        .max_size(CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(CONNECT))
        .recycle_timeout(Some(CONNECT));
    with(builder).build().map_err(|error| Error::Internal(error.to_string()))
}

/// What an operator can do about a failure of making things.
pub(super) fn explain(error: &tokio_postgres::Error) -> Error {
    use tokio_postgres::error::SqlState;

    match error.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let reason = error.as_db_error().map_or("", tokio_postgres::error::DbError::message);
            let message = format!(
                "the role of `url` may not make roles or schemas ({reason}): give it CREATEROLE, and CREATE on the database, which it should own"
            );
            Error::Unavailable(message)
        }
        _ => match of_statement(error) {
            Error::Invalid(reason) | Error::Conflict(reason) => Error::Internal(reason),
            other => other,
        },
    }
}

/// What PostgreSQL keeps of `password`, so that the password itself is in no statement.
fn tokio_postgres_password(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}
