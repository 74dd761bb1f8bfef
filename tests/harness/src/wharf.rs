//! The host's binary with a configuration of the caller's, on addresses that the system chooses.
//!
//! The addresses are read from the log, which says for each listener `listening` with the fields `listener` (`sites` or `admin`) and `address`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::Client;
use crate::process::{Process, find_line};

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running host. Dropping it stops it; if a test is failing then, its last lines are printed.
#[derive(Debug)]
pub struct Wharf {
    process: Process,
    sites: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
}

impl Wharf {
    /// Starts `binary` and waits until it listens.
    ///
    /// `configuration` is `wharf.toml` without `[server]`, which is written here. Relative paths in it are of a folder that only this host has, see
    /// [`Wharf::folder`].
    ///
    /// # Errors
    ///
    /// The host ended, or did not listen within a minute; the message has the last lines of its log.
    pub fn start(binary: &Path, configuration: &str) -> anyhow::Result<Wharf> {
        Wharf::start_with(binary, configuration, &[])
    }

    /// As [`Wharf::start`], with further arguments of `wharf serve`.
    ///
    /// # Errors
    ///
    /// As [`Wharf::start`].
    pub fn start_with(binary: &Path, configuration: &str, arguments: &[&str]) -> anyhow::Result<Wharf> {
        let folder = tempfile::Builder::new().prefix("wharf-host-").tempdir()?;
        std::fs::write(folder.path().join("wharf.toml"), format!("{SERVER}\n{configuration}"))?;
        let (process, sites, admin) = launch(binary, folder.path(), arguments)?;
        Ok(Wharf { process, sites, admin, folder })
    }

    /// Kills the host with SIGKILL, in the middle of whatever it does, and starts it again with what it has left.
    ///
    /// # Errors
    ///
    /// As [`Wharf::start`].
    pub fn kill_and_start_again(&mut self, binary: &Path) -> anyhow::Result<()> {
        self.kill_and_start_again_after(binary, || {})
    }

    /// As [`Wharf::kill_and_start_again`], with something done while it does not run.
    ///
    /// # Errors
    ///
    /// As [`Wharf::start`].
    pub fn kill_and_start_again_after(&mut self, binary: &Path, between: impl FnOnce()) -> anyhow::Result<()> {
        self.process.kill()?;
        between();
        (self.process, self.sites, self.admin) = launch(binary, self.folder.path(), &[])?;
        Ok(())
    }

    /// Where the sites are served.
    pub fn sites(&self) -> SocketAddr {
        self.sites
    }

    /// A client of the sites. Without a `host` field of the caller's it asks the site that takes every host.
    pub fn client(&self) -> Client {
        Client::tcp(self.sites)
    }

    /// A client of the admin API.
    pub fn admin(&self) -> Client {
        Client::tcp(self.admin)
    }

    /// The folder of `wharf.toml`, where a test may put what its configuration names.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id, to look it up in `/proc`.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What the host has logged so far: one JSON object on a line.
    pub fn log(&self) -> String {
        self.process.log_text()
    }

    /// Stops the host with SIGTERM and answers how it ended.
    ///
    /// # Errors
    ///
    /// The system cannot say whether it ended.
    pub fn stop(self) -> anyhow::Result<ExitStatus> {
        Ok(self.end()?.0)
    }

    /// Kills the host with SIGKILL, so that it can do nothing any more, and waits for its end.
    ///
    /// # Errors
    ///
    /// The system cannot say whether it ended.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// As [`Wharf::stop`], and answers what it had logged by then too.
    ///
    /// # Errors
    ///
    /// As [`Wharf::stop`].
    pub fn end(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let status = self.process.stop()?;
        Ok((status, self.process.log_text()))
    }
}

/// Starts `binary` in `folder`, where its configuration is, and waits until it listens. Its process, and where the sites and the admin API are.
fn launch(binary: &Path, folder: &Path, arguments: &[&str]) -> anyhow::Result<(Process, SocketAddr, SocketAddr)> {
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(folder.join("wharf.toml")).args(arguments).current_dir(folder).env_remove("RUST_LOG");
    let log = folder.join("log");
    let mut process = Process::start(command, log.clone()).with_context(|| format!("is `{}` built?", binary.display()))?;
    let mut address = |listener: &str| process.wait_until(START_LIMIT, "listening", || find_line(&log, |line| listening(line, listener)));
    let (sites, admin) = (address("sites")?, address("admin")?);
    Ok((process, sites, admin))
}

const SERVER: &str = r#"[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
data_dir = "data"
log_format = "json"
"#;

/// The address of `listener`, if `line` announces it.
fn listening(line: &str, listener: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    if text("message") != Some("listening") || text("listener") != Some(listener) {
        return None;
    }
    text("address")?.parse().ok()
}
