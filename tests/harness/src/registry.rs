//! A private image registry: Debian's `docker-registry` on loopback, with a root of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::http::Client;
use crate::process::{Process, find_line, search_path};

const START_LIMIT: Duration = Duration::from_secs(60);

/// The user of a registry with a password.
pub const USER: &str = "wharf";
/// The password of [`USER`].
pub const PASSWORD: &str = "correct horse battery staple";
/// A line of htpasswd for the two, with the lowest cost that bcrypt has.
const HTPASSWD: &str = "wharf:$2y$04$wharfwharfwharfwharfwetHUeAInbgYmO6/j5tEPjmguXoVQIb7m\n";

/// A running registry. Dropping it stops it and removes what it holds.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    address: SocketAddr,
    _root: TempDir,
}

impl Registry {
    /// Starts a registry that anybody may use, or only [`USER`] if `password` is true.
    ///
    /// # Errors
    ///
    /// `docker-registry` is not installed, or it ended or did not answer within a minute; the message has the last lines of its log.
    pub fn start(password: bool) -> anyhow::Result<Registry> {
        let root = tempfile::Builder::new().prefix("wharf-registry-").tempdir()?;
        let config = root.path().join("config.yml");
        let users = root.path().join("htpasswd");
        std::fs::write(&users, HTPASSWD)?;
        std::fs::write(&config, configuration(&root.path().join("data"), password.then_some(&users)))?;
        let mut command = Command::new("docker-registry");
        command.env("PATH", search_path(&[])?).arg("serve").arg(&config);
        // A developer's environment must not reach into the configuration, as REGISTRY_HTTP_ADDR would.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_")) {
            command.env_remove(name);
        }
        let log = root.path().join("log");
        let mut process = Process::start(command, log.clone())?;
        let address = process.wait_until(START_LIMIT, "listening", || find_line(&log, announced))?;
        let expected = if password { 401 } else { 200 };
        let client = Client::tcp(address);
        process.wait_until(START_LIMIT, "ready", || client.get("/v2/").is_ok_and(|response| response.status == expected).then_some(()))?;
        Ok(Registry { process, address, _root: root })
    }

    /// Where it listens. Engines and clients take `127.0.0.1:PORT` as a registry without TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged so far, one line for each request it answered.
    pub fn log(&self) -> String {
        self.process.log_text()
    }
}

/// The registry's configuration. It is YAML, of which JSON is a part. Port 0 lets the system choose.
fn configuration(data: &Path, users: Option<&PathBuf>) -> String {
    let mut configuration = json!({
        "version": 0.1,
        "storage": { "filesystem": { "rootdirectory": data }, "delete": { "enabled": true } },
        "http": { "addr": "127.0.0.1:0" },
    });
    if let (Some(users), Some(fields)) = (users, configuration.as_object_mut()) {
        fields.insert("auth".to_owned(), json!({ "htpasswd": { "realm": "wharf", "path": users } }));
    }
    configuration.to_string()
}

/// The address that the system chose, from a line of the registry's log: `… msg="listening on 127.0.0.1:40317" …`.
fn announced(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split_once('"')?.0.parse().ok()
}
