//! A private Docker engine: `dockerd` with a root of its own, on a Unix socket, beside whatever else runs on the machine.
//!
//! It has its own `containerd` too. An engine looks for the machine's at `/run/containerd` and takes it if it is there, and then two engines of different
//! versions would share one.
//!
//! What it does to the machine's network, and how it gets along with a firewall, is in [`crate::bridge`] and `firewall.rs`.
//!
//! Paths are short on purpose: a Unix socket's is limited to about 108 bytes, and the engine puts long names below ours.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bridge::Bridge;
use crate::http::Client;
use crate::process::{Process, search_path};

const START_LIMIT: Duration = Duration::from_secs(60);
/// How long one question lasts whether the engine answers. It takes connections before it can.
const PING_LIMIT: Duration = Duration::from_millis(500);
const NOT_WANTED: &str = "gave up waiting for the engine, which is not wanted any more";

/// Whether containers have a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// None, but what is inside each container. Nothing is made on the machine.
    None,
    /// A default network, named networks, published ports; see [`crate::bridge`].
    Bridge,
}

/// A running engine. Dropping it stops it and removes what it made.
#[derive(Debug)]
pub struct Engine {
    // In the order in which they end.
    dockerd: Process,
    containerd: Process,
    bridge: Option<Bridge>,
    /// Whether it has answered since it was started: one that never did need not be asked anything before its end.
    answers: bool,
    /// Folders of programs, before those of the system.
    programs: Vec<PathBuf>,
    /// What stands before Docker Hub.
    mirror: Option<String>,
    /// Where images and containers are.
    data: PathBuf,
    /// The engine's images and containers, when they are to be removed with it.
    temporary: Option<TempDir>,
    /// Sockets and process ids; always temporary.
    runtime: TempDir,
}

/// How to start an engine.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// Folders that hold the programs, before those of the system. Empty for the engine that is installed.
    pub programs: &'a [&'a Path],
    /// Whether containers have a network.
    pub network: Network,
    /// Where the engine keeps images and containers, to be found there the next time. None: in a temporary folder.
    pub data: Option<&'a Path>,
    /// A registry that is asked for the images of Docker Hub first, as `http://127.0.0.1:5000`. It has them under their whole names, `library/redis`. None: Docker Hub alone.
    pub mirror: Option<&'a str>,
}

impl Engine {
    /// Starts the engine that is installed, with a temporary root.
    ///
    /// # Errors
    ///
    /// As [`Engine::start`].
    pub fn temporary(network: Network) -> anyhow::Result<Engine> {
        Engine::start(&Setup { programs: &[], network, data: None, mirror: None })
    }

    /// Starts an engine and waits until it answers.
    ///
    /// # Errors
    ///
    /// A program is missing, we are not root, or the engine ended or did not answer within a minute; the message has the last lines of its
    /// log.
    pub fn start(setup: &Setup<'_>) -> anyhow::Result<Engine> {
        Engine::start_unless(setup, &|| false)
    }

    /// As [`Engine::start`], but gives up as soon as `unwanted` is true.
    ///
    /// # Errors
    ///
    /// As [`Engine::start`], and it was unwanted before it answered. Nothing is left running.
    pub fn start_unless(setup: &Setup<'_>, unwanted: &dyn Fn() -> bool) -> anyhow::Result<Engine> {
        let runtime = tempfile::Builder::new().prefix("wharf-").tempdir_in("/tmp")?;
        let temporary = match setup.data {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("wharf-data-").tempdir()?),
        };
        let data = match (setup.data, &temporary) {
            (Some(path), _) => path.to_path_buf(),
            (None, Some(folder)) => folder.path().to_path_buf(),
            (None, None) => runtime.path().join("data"),
        };
        std::fs::create_dir_all(&data).with_context(|| format!("failed to make `{}`", data.display()))?;
        let bridge = match (setup.network, setup.data) {
            (Network::None, _) => None,
            (Network::Bridge, None) => Some(Bridge::claim()?),
            (Network::Bridge, Some(_)) => Some(Bridge::lasting(&data.join("bridge"))?),
        };
        let programs: Vec<PathBuf> = setup.programs.iter().map(|folder| folder.to_path_buf()).collect();
        let containerd = start_containerd(&programs, &data, runtime.path(), unwanted)?;
        let mirror = setup.mirror.map(str::to_owned);
        let dockerd = start_dockerd(&programs, &data, runtime.path(), bridge.as_ref(), mirror.as_deref())?;
        let mut engine = Engine { dockerd, containerd, bridge, answers: false, programs, mirror, data, temporary, runtime };
        engine.wait_until_ready(unwanted)?;
        Ok(engine)
    }

    /// The engine's socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.path().join("docker.sock")
    }

    /// The engine's address, as `DOCKER_HOST` and `wharf.toml` have it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A client of the engine's API. Paths without a version are answered in the engine's newest.
    pub fn client(&self) -> Client {
        Client::unix(self.socket())
    }

    /// The engine's own version (`20.10.24+dfsg1`).
    ///
    /// # Errors
    ///
    /// The engine does not answer.
    pub fn version(&self) -> anyhow::Result<String> {
        Ok(version(&self.client())?.engine)
    }

    /// Makes the engine hang: it takes connections and answers nothing until [`Engine::go_on`].
    pub fn pause(&self) {
        self.dockerd.pause();
    }

    /// Lets a paused engine go on.
    pub fn go_on(&self) {
        self.dockerd.go_on();
    }

    /// Takes the engine away, as a restart of its service does: containers stop and nobody answers, until [`Engine::return_to_service`].
    ///
    /// # Errors
    ///
    /// The system cannot say whether it ended.
    pub fn take_away(&mut self) -> anyhow::Result<()> {
        self.dockerd.stop()?;
        self.answers = false;
        Ok(())
    }

    /// Starts an engine that was taken away, with everything that it had, at the same address.
    ///
    /// # Errors
    ///
    /// As [`Engine::start`].
    pub fn return_to_service(&mut self) -> anyhow::Result<()> {
        self.dockerd = start_dockerd(&self.programs, &self.data, self.runtime.path(), self.bridge.as_ref(), self.mirror.as_deref())?;
        self.wait_until_ready(&|| false)
    }

    fn wait_until_ready(&mut self, unwanted: &dyn Fn() -> bool) -> anyhow::Result<()> {
        let client = self.client().with_patience(PING_LIMIT);
        let answers = || client.get("/_ping").is_ok_and(|response| response.status == 200);
        wait_unless(unwanted, &mut self.dockerd, answers)?;
        self.answers = true;
        // The last ping may have waited for longer than the engine is wanted.
        anyhow::ensure!(!unwanted(), NOT_WANTED);
        Ok(())
    }

    /// Stops the engine and waits until it has stopped. What it keeps in a folder of ours is kept.
    ///
    /// # Errors
    ///
    /// The system cannot say whether a process ended.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if self.dockerd.ended()?.is_none() && self.answers {
            self.dockerd.go_on();
            self.tidy_up();
        }
        self.dockerd.stop()?;
        self.containerd.stop()?;
        self.bridge = None;
        Ok(())
    }

    /// Does before the end what the engine would take long for, or not do at all.
    fn tidy_up(&mut self) {
        let client = self.client().with_header("connection", "close");
        if self.temporary.is_some() {
            // Containers that do not listen to SIGTERM would hold up the end for ten seconds each.
            for id in ids(&client, "/containers/json?all=1") {
                let _ = client.delete(&format!("/containers/{id}?force=1"));
            }
        }
        if let Some(bridge) = &mut self.bridge {
            bridge.remove_networks_too(&ids(&client, "/networks?filters=%7B%22type%22%3A%5B%22custom%22%5D%7D"));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its own (`20.10.24+dfsg1`).
    pub engine: String,
    /// The newest of the API that it speaks (`1.41`).
    pub api: String,
}

impl Version {
    /// The first number of the engine's own; 0 if it does not begin with one, as that of an engine that was built without a release.
    pub fn major(&self) -> u32 {
        self.engine.split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (API {})", self.engine, self.api)
    }
}

/// Asks for the engine's version.
///
/// # Errors
///
/// The engine does not answer.
pub fn version(engine: &Client) -> anyhow::Result<Version> {
    let version = engine.get("/version")?.success("the engine's version")?.json()?;
    let text = |name: &str| version.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Version { engine: text("Version"), api: text("ApiVersion") })
}

/// Makes a network whose published ports are for this machine only, unless it is there.
///
/// # Errors
///
/// The engine does not answer or refuses.
pub fn ensure_network(engine: &Client, name: &str) -> anyhow::Result<()> {
    if engine.get(&format!("/networks/{name}"))?.status == 200 {
        return Ok(());
    }
    let options = json!({ "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1" });
    let network = json!({ "Name": name, "CheckDuplicate": true, "Driver": "bridge", "Options": options });
    engine.post_json("/networks/create", &network)?.success(&format!("making the network `{name}`"))?;
    Ok(())
}

/// Makes a volume, unless it is there.
///
/// # Errors
///
/// The engine does not answer or refuses.
pub fn ensure_volume(engine: &Client, name: &str) -> anyhow::Result<()> {
    engine.post_json("/volumes/create", &json!({ "Name": name }))?.success(&format!("making the volume `{name}`"))?;
    Ok(())
}

fn start_containerd(programs: &[PathBuf], data: &Path, runtime: &Path, unwanted: &dyn Fn() -> bool) -> anyhow::Result<Process> {
    let socket = runtime.join("containerd.sock");
    let config = runtime.join("containerd.toml");
    std::fs::write(&config, "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")?;
    let mut command = Command::new("containerd");
    command
        .env("PATH", search_path(programs)?)
        .arg("--config")
        .arg(&config)
        .arg("--root")
        .arg(data.join("containerd"))
        .arg("--state")
        .arg(runtime.join("c"))
        .arg("--address")
        .arg(&socket);
    let mut containerd = Process::start(command, runtime.join("containerd.log"))?;
    wait_unless(unwanted, &mut containerd, || socket.exists())?;
    Ok(containerd)
}

/// Waits until `process` is ready.
fn wait_unless(unwanted: &dyn Fn() -> bool, process: &mut Process, ready: impl Fn() -> bool) -> anyhow::Result<()> {
    let probe = || if unwanted() { Some(false) } else { ready().then_some(true) };
    let is_ready = process.wait_until(START_LIMIT, "ready", probe)?;
    anyhow::ensure!(is_ready, NOT_WANTED);
    Ok(())
}

fn start_dockerd(
    programs: &[PathBuf],
    data: &Path,
    runtime: &Path,
    bridge: Option<&Bridge>,
    mirror: Option<&str>,
) -> anyhow::Result<Process> {
    // The machine's own configuration is not for this engine, and engine 20.10 refuses `/dev/null`.
    let config = runtime.join("daemon.json");
    let configuration = mirror.map_or_else(|| json!({}), |mirror| json!({ "registry-mirrors": [mirror] }));
    std::fs::write(&config, configuration.to_string())?;
    let network = match bridge {
        Some(bridge) => bridge.engine_arguments(),
        None => ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"].map(str::to_owned).into(),
    };
    let mut command = Command::new("dockerd");
    command
        .env("PATH", search_path(programs)?)
        .env_remove("DOCKER_HOST")
        .arg("--config-file")
        .arg(&config)
        .arg("--data-root")
        .arg(data.join("docker"))
        .arg("--exec-root")
        .arg(runtime.join("x"))
        .arg("--pidfile")
        .arg(runtime.join("pid"))
        .arg("--host")
        .arg(format!("unix://{}", runtime.join("docker.sock").display()))
        .arg("--containerd")
        .arg(runtime.join("containerd.sock"))
        .args(network);
    Process::start(command, runtime.join("dockerd.log"))
}

/// The ids in a list of the engine; empty if it does not answer.
fn ids(client: &Client, path: &str) -> Vec<String> {
    let list = client.get(path).and_then(|response| response.json()).unwrap_or_default();
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| Some(item.get("Id")?.as_str()?.to_owned())).collect()
}
