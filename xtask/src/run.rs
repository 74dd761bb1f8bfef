//! `cargo xtask run`: from a clone to a served site.
//!
//! Everything that can stand in the way is looked at before the build, which takes minutes: the configuration, another run, the addresses, the wasm target, the
//! engine (see `engine.rs`). Only things that are missing are made on the engine: one tiny image, the network and the volume that the default
//! configuration names. In the end, whatever that is, the host stops first and a private engine after it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use wharf_harness::http::Client;
use wharf_harness::process::Process;
use wharf_harness::{engine, images, poll, programs};

use crate::configuration::Configuration;
use crate::engine::ChosenEngine;
use crate::stop::Stop;
use crate::{cargo, lock, packages, step, toolchain};

/// There is no image to deploy without the internet, so one is made.
const IMAGE: &str = "wharf/busybox:latest";
/// What the default configuration names.
const NETWORK: &str = "lopco-network";
const VOLUME: &str = "data_cache";

/// Builds everything and serves the configuration in `file` until we are asked to stop.
///
/// # Errors
///
/// A step fails, and the message says which and why; or we were asked to stop. What was started is stopped.
pub(crate) fn run(file: &Path, data_dir: &Path, stop: &Stop) -> anyhow::Result<()> {
    let configuration = Configuration::read(file)?;
    let _only = lock::claim(data_dir)?;
    configuration.check_free()?;
    toolchain::ensure_wasm_target(stop)?;
    let mut engine = ChosenEngine::choose(configuration.engine.as_deref(), data_dir, stop).or_else(|error| stop.reason_of(error))?;
    let served = prepare(&engine.client, stop)
        .or_else(|error| stop.reason_of(error))
        .and_then(|()| cargo::build_host(stop))
        .and_then(|binary| cargo::build_plugins(stop).map(|()| binary))
        .and_then(|binary| serve(&binary, file, &configuration, &engine, stop));
    let stopped = engine.stop();
    served.and(stopped)
}

/// Makes on the engine what is missing of what the default site needs.
fn prepare(engine: &Client, stop: &Stop) -> anyhow::Result<()> {
    step(&format!("seeing to the image {IMAGE}, the network {NETWORK} and the volume {VOLUME}"));
    if engine.get(&format!("/images/{IMAGE}/json"))?.status != 200 {
        packages::ensure(&[programs::BUSYBOX], &format!("or put any image there as {IMAGE}"), stop)?;
        images::ensure(engine, IMAGE)?;
    }
    engine::ensure_network(engine, NETWORK)?;
    engine::ensure_volume(engine, VOLUME)?;
    Ok(stop.check()?)
}

/// Serves until we are asked to stop, which is an error like the others, and stops the host.
fn serve(binary: &PathBuf, file: &Path, configuration: &Configuration, engine: &ChosenEngine, stop: &Stop) -> anyhow::Result<()> {
    step(&format!("wharf serve --config {}", file.display()));
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(file).env("DOCKER_HOST", &engine.url);
    let mut host = Process::start_attached(command)?;
    let ended = match wait_until_healthy(&mut host, configuration, stop) {
        Ok(()) => {
            println!("{}", greeting(configuration, engine));
            stop.wait_for(&mut host)
        }
        Err(error) => Err(error),
    };
    step("stopping the host");
    // It waits once for requests and once for operations.
    host.stop_within(configuration.grace * 2 + Duration::from_secs(10))?;
    stop.check()?;
    match ended? {
        Some(status) => anyhow::bail!("`wharf serve` ended with {status}"),
        None => Ok(()),
    }
}

/// Waits until the host says that it is healthy, or ends, or we are asked to stop.
fn wait_until_healthy(host: &mut Process, configuration: &Configuration, stop: &Stop) -> anyhow::Result<()> {
    let (client, path) = match configuration.admin {
        Some(admin) => (Client::tcp(admin), "/health"),
        None => (Client::tcp(configuration.sites), "/"),
    };
    let client = client.with_patience(Duration::from_secs(5));
    let over = poll(Duration::from_secs(60), || {
        let over = stop.asked() || host.ended()?.is_some() || client.get(path).is_ok();
        Ok(over.then_some(()))
    })?;
    over.context("the host did not answer within 60 s")?;
    stop.check()?;
    match host.ended()? {
        Some(status) => anyhow::bail!("`wharf serve` ended with {status}"),
        None => Ok(()),
    }
}

fn greeting(configuration: &Configuration, engine: &ChosenEngine) -> String {
    let Configuration { sites, admin, .. } = configuration;
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

See which images there are, here and elsewhere:

  curl -s http://{sites}/images
  curl -s 'http://{sites}/api/v1/image/?category=official'

Ctrl-C stops everything.
",
        url = engine.url
    )
}
