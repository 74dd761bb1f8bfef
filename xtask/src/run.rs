//! `cargo xtask run`: from a clone to a served site.
//!
//! It uses the engine that answers. Where none does, it starts a private one, whose images, containers and volumes stay in the data directory
//! for the next time. Only things that are missing are made on the engine: one tiny image, the network and the volume that the default
//! configuration names.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use wharf_harness::engine::{self, Engine, Network, Setup};
use wharf_harness::http::Client;
use wharf_harness::process::{Process, environment};
use wharf_harness::{images, poll, programs};

use crate::stop::Stop;
use crate::{cargo, packages, step, toolchain};

/// There is no image to deploy without the internet, so one is made.
const IMAGE: &str = "wharf/busybox:latest";
/// What the default configuration names.
const NETWORK: &str = "lopco-network";
const VOLUME: &str = "data_cache";

/// The engine in use.
struct ChosenEngine {
    url: String,
    client: Client,
    /// Ours to stop, if we started it.
    private: Option<Engine>,
}

/// Builds everything and serves `config` until we are asked to stop.
///
/// # Errors
///
/// A step fails; the message says which and why. What was started is stopped.
pub(crate) fn run(config: &Path, data_dir: &Path) -> anyhow::Result<()> {
    let addresses = Addresses::read(config)?;
    toolchain::ensure_wasm_target()?;
    let binary = cargo::build_host()?;
    cargo::build_plugins()?;

    let stop = Stop::listen()?;
    let mut engine = choose_engine(data_dir)?;
    prepare(&engine.client)?;

    step(&format!("wharf serve --config {}", config.display()));
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(config).env("DOCKER_HOST", &engine.url);
    let mut host = Process::start_attached(command)?;
    if wait_until_healthy(&mut host, &addresses, &stop)? {
        println!("{}", addresses.greeting(&engine));
        // Ends when we are asked to, or when the host ends by itself, having said why.
        while !stop.asked() && host.ended()?.is_none() {
            poll(Duration::from_secs(1), || Ok(stop.asked().then_some(())))?;
        }
    }

    step("stopping the host");
    let status = host.stop()?;
    if let Some(private) = &mut engine.private {
        step("stopping the private engine");
        private.stop()?;
    }
    anyhow::ensure!(stop.asked(), "`wharf serve` ended with {status}");
    Ok(())
}

/// Waits until the host says that it is healthy. False if we were asked to stop, or it ended, before.
fn wait_until_healthy(host: &mut Process, addresses: &Addresses, stop: &Stop) -> anyhow::Result<bool> {
    let (client, path) = match addresses.admin {
        Some(admin) => (Client::tcp(admin), "/health"),
        None => (Client::tcp(addresses.sites), "/"),
    };
    let healthy = poll(Duration::from_secs(60), || {
        if stop.asked() || host.ended()?.is_some() {
            return Ok(Some(false));
        }
        Ok(client.get(path).is_ok().then_some(true))
    })?;
    healthy.context("the host did not answer within 60 s")
}

/// The engine that answers at `DOCKER_HOST` or at the standard socket, or else a private one.
fn choose_engine(data_dir: &Path) -> anyhow::Result<ChosenEngine> {
    let named = environment("DOCKER_HOST").map(|url| url.to_string_lossy().into_owned());
    let url = named.clone().unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    if let Some(client) = client(&url)
        && client.get("/_ping").is_ok_and(|response| response.status == 200)
    {
        step(&format!("using the engine at {url}"));
        return Ok(ChosenEngine { url, client, private: None });
    }
    // Whoever names an engine means that one.
    anyhow::ensure!(named.is_none(), "no engine answers at DOCKER_HOST, {url}; without that variable a private one is started");
    let private = start_private(data_dir)?;
    Ok(ChosenEngine { url: private.url(), client: private.client(), private: Some(private) })
}

fn start_private(data_dir: &Path) -> anyhow::Result<Engine> {
    let otherwise = "or start a Docker engine and name it in DOCKER_HOST";
    packages::ensure(programs::ENGINE, otherwise)?;
    anyhow::ensure!(programs::is_root(), "no Docker engine answers, and only root can start one: run as root, {otherwise}");
    let data = std::path::absolute(data_dir)?.join("engine");
    step(&format!("starting a private Docker engine in {}", data.display()));
    Engine::start(&Setup { programs: &[], network: Network::Bridge, data: Some(&data) })
}

/// A client of the engine at `url`; none if it is reached by something else than a Unix socket or plain TCP.
fn client(url: &str) -> Option<Client> {
    match url.split_once("://")? {
        ("unix", path) => Some(Client::unix(PathBuf::from(path))),
        ("tcp" | "http", address) => Some(Client::tcp(address.trim_end_matches('/').to_socket_addrs().ok()?.next()?)),
        _ => None,
    }
}

/// Makes on the engine what is missing of what the default site needs.
fn prepare(engine: &Client) -> anyhow::Result<()> {
    step(&format!("seeing to the image {IMAGE}, the network {NETWORK} and the volume {VOLUME}"));
    if engine.get(&format!("/images/{IMAGE}/json"))?.status != 200 {
        packages::ensure(&[programs::BUSYBOX], &format!("or put any image there as {IMAGE}"))?;
        images::ensure(engine, IMAGE)?;
    }
    engine::ensure_network(engine, NETWORK)?;
    engine::ensure_volume(engine, VOLUME)
}

/// Where the host will listen, as the configuration has it.
struct Addresses {
    sites: SocketAddr,
    admin: Option<SocketAddr>,
}

impl Addresses {
    /// Reads `[server]` of `config`. The host checks the file; here only what is there is looked at.
    fn read(config: &Path) -> anyhow::Result<Addresses> {
        let text = std::fs::read_to_string(config).with_context(|| format!("failed to read `{}`", config.display()))?;
        let document: toml::Table = text.parse().with_context(|| format!("`{}` is not TOML", config.display()))?;
        let server = document.get("server").and_then(toml::Value::as_table);
        let address = |key: &str, usual: SocketAddr| match server.and_then(|server| server.get(key)) {
            None => Ok(Some(usual)),
            Some(toml::Value::Boolean(false)) => Ok(None),
            Some(value) => {
                let address = value.as_str().and_then(|text| text.parse().ok());
                address.map(Some).with_context(|| format!("`{key}` of `[server]` is not an address with a port: {value}"))
            }
        };
        let [listen, admin] = [8080, 8081].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let sites = address("listen", listen)?.context("`listen` of `[server]` cannot be off")?;
        Ok(Addresses { sites, admin: address("admin", admin)? })
    }

    fn greeting(&self, engine: &ChosenEngine) -> String {
        let Addresses { sites, admin } = self;
        let admin = admin.map_or_else(|| "off".to_owned(), |admin| format!("http://{admin}/health  /plugins  /metrics"));
        // A port that the engine chooses, so that the line works again when it is pasted again.
        let body = format!(
            r#"{{"id":"hello","image":"{IMAGE}","data_cache_path":"/data_cache","type":"protocol-adapter","ports":{{"80/tcp":{{"host_interface":"127.0.0.1","host_ports":null}}}}}}"#
        );
        format!(
            "
Wharf is up.
  sites   http://{sites}
  admin   {admin}
  engine  {url}

Deploy a container, list what there is, read its log:

  name=$(curl -s http://{sites}/deployments -d '{body}'); echo $name
  curl -s http://{sites}/deployments
  curl -s http://{sites}/deployments/$name/log

Ctrl-C stops everything.
",
            url = engine.url
        )
    }
}
