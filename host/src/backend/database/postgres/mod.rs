//! PostgreSQL: a schema and a login role of its own for each plugin of each site, so that whatever a statement says, the server shows a plugin nothing of another's.
//!
//! The role in the operator's URL makes these at first use (see [`provision`]) and else has only the users of the sites in its care (see [`operator`]). A role's password is derived from the host's seal key,
//! so that hosts which share a database know the same ones and none is written down.
//!
//! SQLite has one writer, and statements mean what they mean there because of it. Here a transaction takes a lock of its space that another transaction, or a call with several statements, waits for,
//! and that a single statement shares; so what a transaction has read does not change under it, on whichever host the other one runs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use wharf_sql::Error;

use super::{Space, SpaceName, Times};
use crate::backend::causes::chain;
use crate::backend::seal::Seals;
use crate::backend::secret;
use crate::settings::DatabaseSource;
use space::PostgresSpace;
use tls::Encryption;

pub(crate) use lease::{Lease, within};
pub(crate) use operator::Operator;

mod error;
mod held;
mod keyvalue;
mod lease;
mod operator;
mod provision;
mod run;
mod space;
mod tls;
mod values;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// One database, and the spaces in it.
pub(super) struct PostgresDatabase {
    server: Arc<Server>,
    seals: Seals,
    times: Arc<Times>,
    spaces: Mutex<HashMap<SpaceName, Weak<PostgresSpace>>>,
}

/// How the server is reached.
pub(super) struct Server {
    source: DatabaseSource,
    encryption: Encryption,
    stopping: AtomicBool,
}

impl PostgresDatabase {
    pub(super) fn new(source: DatabaseSource, ca_file: Option<PathBuf>, seals: Seals, times: Arc<Times>) -> PostgresDatabase {
        PostgresDatabase { server: Arc::new(Server::new(source, ca_file)), seals, times, spaces: Mutex::default() }
    }

    /// The space of `name`: the same one for as long as somebody holds it.
    pub(super) fn space(&self, name: SpaceName, quota_bytes: u64) -> Arc<dyn Space> {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(space) = spaces.get(&name).and_then(Weak::upgrade) {
            space.set_quota(quota_bytes);
            return space;
        }
        let space = Arc::new(PostgresSpace::new(name.clone(), quota_bytes, self));
        spaces.retain(|_, space| space.strong_count() > 0);
        spaces.insert(name, Arc::downgrade(&space));
        space
    }

    /// Why the server cannot be asked; none if it can.
    pub(super) async fn problem(&self) -> Option<String> {
        let asked = async {
            let config = self.server.config().await?;
            self.server.connect(config).await.map(drop)
        };
        asked.await.err().map(|error| error.to_string())
    }

    /// Closes all connections that nobody uses, and makes no new ones.
    pub(super) fn close(&self) {
        self.server.stopping.store(true, Ordering::Relaxed);
        let spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        spaces.values().filter_map(Weak::upgrade).for_each(|space| space.close());
    }
}

impl Server {
    fn new(source: DatabaseSource, ca_file: Option<PathBuf>) -> Server {
        Server { source, encryption: Encryption::new(ca_file), stopping: AtomicBool::new(false) }
    }

    /// How to reach it in the operator's name. A password is read anew each time.
    async fn config(&self) -> Result<Config, Error> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("the host is stopping".to_owned()));
        }
        let url = match &self.source {
            DatabaseSource::Url(url) => url.clone(),
            DatabaseSource::Secret(source) => secret::read(source).await.map_err(Error::Unavailable)?,
        };
        let mut config: Config = url.parse().map_err(|error| Error::Unavailable(format!("`url` of `[storage]`: {}", chain(&error))))?;
        config.connect_timeout(CONNECT).application_name("wharf");
        // Across a network nothing goes unencrypted unless the URL says so.
        if !url.contains("sslmode=") && !config.get_hosts().iter().all(is_here) {
            config.ssl_mode(SslMode::Require);
        }
        Ok(config)
    }

    /// A connection, which its own task keeps going until the client is dropped.
    async fn connect(&self, config: Config) -> Result<tokio_postgres::Client, Error> {
        let encryption = self.encryption.connector().await?;
        let connected = tokio::time::timeout(CONNECT, config.connect(encryption)).await;
        let connected =
            connected.map_err(|_elapsed| Error::Unavailable(format!("the database did not answer within {} s", CONNECT.as_secs())))?;
        let (client, connection) = connected.map_err(|error| error::of_connecting(&error))?;
        #[expect(clippy::disallowed_methods, reason = "it ends when its client is dropped")]
        tokio::spawn(async move {
            // Whoever asks over it hears what it ended with.
            let _ = connection.await;
        });
        Ok(client)
    }
}

/// Whether `host` is on this machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    }
}
