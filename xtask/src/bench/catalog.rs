//! `cargo xtask bench catalog`: what the plugin `image-catalog` costs, with 100,000 images.
//!
//! The rows:
//!
//! - `sqlite`, `postgres`: the host's binary with the plugin, on each database. The client is logged in, so each request is one question to the database of users and one or more to the plugin's.
//! - `native`: the reference, an axum server ([`server`]) that puts the same questions to a copy of the same SQLite file by `rusqlite`, statements prepared and connections kept, and answers the same JSON.
//! - `statements`: the same without HTTP, a token and JSON: what SQLite alone takes.
//!
//! What is measured: creating, by eight clients at a time, how many a second; loading one by its key, and a list of a hundred images out of all of them, filtered by name and framework, ordered by time: the
//! time from a client's request to the answer's last byte, one after the other on one kept connection. Rows take turns, and each shows its middle round. All runs on one machine: the numbers are for comparing rows.
//!
//! The images are put into the tables directly; no client wants to wait for 100,000 requests. They have no passwords, as most images have none.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use wharf_harness::http::Client;
use wharf_harness::postgres::Postgres;
use wharf_harness::programs;
use wharf_harness::wharf::Wharf;

use super::{middle, publish};
use crate::stop::Stop;
use crate::{cargo, packages, step, toolchain};

mod native;
mod server;

pub(crate) use server::serve as serve_natively;

const IMAGES: u32 = 100_000;
/// Images of one name; each is another version.
const VERSIONS: u32 = 500;
/// How many of a name a list finds: those of one framework of five.
const FOUND: usize = 100;
const LOADS: u32 = 2_000;
const LISTS: u32 = 300;
const CREATES: u32 = 1_000;
const CREATORS: u32 = 8;
const ROWS: [&str; 4] = ["statements", "native", "sqlite", "postgres"];
const PASSWORD: &str = "a long password";

/// What the table shows.
#[derive(Serialize)]
struct Report {
    images: u32,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    #[serde(flatten)]
    measurement: Measurement,
    /// The middle times as a multiple of `native`'s.
    load_of_native: f64,
    list_of_native: f64,
}

/// Times in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Measurement {
    creates_per_second: f64,
    load: Times,
    list: Times,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Times {
    p50_us: f64,
    p99_us: f64,
}

impl Times {
    fn of(mut durations: Vec<Duration>) -> anyhow::Result<Times> {
        durations.sort();
        let at = |share: usize| durations.get((durations.len() * share / 100).min(durations.len().saturating_sub(1)));
        let us = |duration: Option<&Duration>| Ok::<_, anyhow::Error>(duration.context("nothing was measured")?.as_secs_f64() * 1e6);
        Ok(Times { p50_us: us(at(50))?, p99_us: us(at(99))? })
    }
}

/// Measures and prints; writes the same to `json`.
///
/// # Errors
///
/// Something is missing, a build or a request fails, an answer is not what it should be, or we were asked to stop. Whatever was started has ended in any case.
pub(crate) fn catalog(json: Option<&Path>, rounds: usize, stop: &Stop) -> anyhow::Result<()> {
    packages::ensure(&[programs::POSTGRES], "on which the catalogue is measured too", stop)?;
    toolchain::ensure_wasm_target(stop)?;
    let binary = cargo::build_host(stop)?;
    let component = cargo::build_components(&["image-catalog".to_owned()], stop)?.remove(0);

    step(&format!("{IMAGES} images in SQLite and PostgreSQL"));
    let server = Postgres::start()?;
    let on_sqlite = Catalogue::start(&binary, &component, "")?;
    let on_postgres = Catalogue::start(&binary, &component, &format!("[storage]\nurl = \"{}\"\n", server.url()))?;
    let file = on_sqlite.file()?;
    native::fill(&file, &fill())?;
    let schema = server.ask("SELECT quote_ident(schemaname) FROM pg_tables WHERE tablename = 'image_tasks'")?;
    server.ask(&format!("SET search_path TO {}; {}; ANALYZE", schema.trim(), fill().join("; ")))?;
    let runtime = Runtime::new()?;
    let copied = native::copy(&file)?;
    let native = server::Server::start(copied.path())?;

    step(&format!("{rounds} rounds of {} rows", ROWS.len()));
    let mut measured = ROWS.map(|_| Vec::new());
    for round in 0..rounds {
        stop.check()?;
        let statements = native::statements(copied.path(), u32::try_from(round)?)?;
        let over_http = |address: SocketAddr, token: &str| runtime.block_on(measure(address, token, u32::try_from(round)?));
        let round = [
            statements,
            over_http(native.address(), native::TOKEN)?,
            over_http(on_sqlite.host.sites(), &on_sqlite.token)?,
            over_http(on_postgres.host.sites(), &on_postgres.token)?,
        ];
        for (row, measurement) in measured.iter_mut().zip(round) {
            row.push(measurement);
        }
    }
    on_sqlite.host.stop()?;
    on_postgres.host.stop()?;
    let report = report(measured).context("no round was measured")?;
    publish(&table(&report), &report, json)
}

/// A host with the plugin, and who asks it.
struct Catalogue {
    host: Wharf,
    token: String,
}

impl Catalogue {
    fn start(binary: &Path, component: &Path, storage: &str) -> anyhow::Result<Catalogue> {
        let host = Wharf::start(binary, &configuration(binary, component, storage)?)?;
        let client = host.client();
        let answer = client.post_json("/v1/auth/obtain", &json!({"username": "ann", "password": PASSWORD}))?.success("logging in")?;
        let token = answer.json()?.get("access").and_then(Value::as_str).context("no token")?.to_owned();
        // The first question makes the tables.
        Client::with_header(client, "authorization", &format!("Bearer {token}")).post("/v1/docker/list")?.success("listing")?;
        Ok(Catalogue { host, token })
    }

    /// The file with the plugin's tables.
    fn file(&self) -> anyhow::Result<PathBuf> {
        let file = self.host.folder().join("data/storage/databases/bench/image-catalog/database.sqlite");
        anyhow::ensure!(file.is_file(), "the host has no SQLite file with the plugin's tables");
        Ok(file)
    }
}

fn configuration(binary: &Path, component: &Path, storage: &str) -> anyhow::Result<String> {
    let hash = hash(binary)?;
    Ok(format!(
        "{storage}[[site]]
name = \"bench\"

[[site.user]]
name = \"ann\"
password_hash = \"{hash}\"
roles = [\"admin\"]

[[site.plugin]]
name = \"image-catalog\"
source = \"{}\"
mount = \"/\"
auth = \"plugin\"

[site.plugin.grants.storage]
allow = [\"sql\", \"sealed\"]

[site.plugin.grants.identity]
allow = [\"principal\", \"tokens\"]
",
        component.display()
    ))
}

/// The password's hash, as an operator makes it.
fn hash(binary: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(binary);
    command.arg("hash-password").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("failed to start the host")?;
    child.stdin.take().context("no standard input")?.write_all(PASSWORD.as_bytes())?;
    let output = child.wait_with_output()?;
    anyhow::ensure!(output.status.success(), "`hash-password` ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What puts the images into the tables of either database: names of [`VERSIONS`] versions, five frameworks, each at a time of its own.
fn fill() -> [String; 2] {
    [
        format!(
            "WITH RECURSIVE numbers (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < {IMAGES})
            INSERT INTO images (name, version, url, registry, cuda_version, min_hardware_generation, cpu, framework, domain, tasks, licence, creator, creation_time)
            SELECT 'image-' || (i / {VERSIONS}), 'v' || (i % {VERSIONS}), 'registry.local/image:' || i, 'https://registry.local', 1 + i % 8, 1 + i % 8, i % 2 = 0,
                1 + i % 5, 1 + i % 4, '1 2', 1 + i % 14, 1, '2024-01-01T00:00:00.' || (100000 + i * 7919 % {IMAGES}) || 'Z' FROM numbers"
        ),
        "INSERT INTO image_tasks (image, job_type) SELECT images.pk, job_types.pk FROM images JOIN job_types ON job_types.pk <= 2".to_owned(),
    ]
}

/// The key of the image that is loaded next. Jumping, since neighbours are on one page.
fn key(number: u32, round: u32) -> u32 {
    1 + (number * 7_919 + round * 101) % IMAGES
}

/// The name whose images are listed next.
fn name(number: u32, round: u32) -> String {
    format!("image-{}", (number * 37 + round) % (IMAGES / VERSIONS))
}

/// An image that is not there yet; `who` makes it another one than that of everybody else.
fn new_image(who: &str, number: u32) -> Value {
    json!({
        "name": format!("new-{who}"), "version": number.to_string(), "url": "registry.local/new:1", "registry": "https://registry.local", "cuda_version": 1,
        "min_hardware_generation": 3, "framework": 5, "domain": "od", "tasks": ["train", "predict"], "licence": 2,
    })
}

/// Measures the server at `address` once.
async fn measure(address: SocketAddr, token: &str, round: u32) -> anyhow::Result<Measurement> {
    let mut asker = Asker::connect(address, token).await?;
    // Whoever comes first waits for what the others find ready.
    for number in 0..50 {
        asker.load(key(number, round + 50)).await?;
        asker.list(&name(number, round + 50)).await?;
    }
    let (mut loads, mut lists) = (Vec::new(), Vec::new());
    for number in 0..LOADS {
        loads.push(asker.load(key(number, round)).await?);
    }
    for number in 0..LISTS {
        lists.push(asker.list(&name(number, round)).await?);
    }
    let began = Instant::now();
    let mut creators = JoinSet::new();
    for creator in 0..CREATORS {
        let token = token.to_owned();
        creators.spawn(async move {
            let mut asker = Asker::connect(address, &token).await?;
            for number in 0..CREATES / CREATORS {
                asker.create(&new_image(&format!("{round}-{creator}"), number)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(created) = creators.join_next().await {
        created??;
    }
    let creates_per_second = f64::from(CREATES) / began.elapsed().as_secs_f64();
    Ok(Measurement { creates_per_second, load: Times::of(loads)?, list: Times::of(lists)? })
}

/// A connection to a server, with a token.
struct Asker {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    credential: String,
    // Ends with it.
    _connection: JoinSet<()>,
}

impl Asker {
    async fn connect(address: SocketAddr, token: &str) -> anyhow::Result<Asker> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut running = JoinSet::new();
        // One that breaks off fails the next request.
        running.spawn(async move { drop(connection.await) });
        Ok(Asker { sender, host: address.to_string(), credential: format!("Bearer {token}"), _connection: running })
    }

    async fn load(&mut self, pk: u32) -> anyhow::Result<Duration> {
        let (took, image) = self.ask("GET", &format!("/v1/docker/{pk}"), None, 200).await?;
        anyhow::ensure!(image.get("pk") == Some(&json!(pk)), "another image: {image}");
        Ok(took)
    }

    async fn list(&mut self, name: &str) -> anyhow::Result<Duration> {
        let filter = json!({
            "expressions": [{"type": "exact", "field": "name", "value": name}, {"type": "exact", "field": "framework.name", "value": "pytorch"}],
            "order_by": [{"field": "creation_time", "ascending": false}],
        });
        let (took, images) = self.ask("POST", "/v1/docker/list", Some(filter), 200).await?;
        let found = images.as_array().map_or(0, Vec::len);
        anyhow::ensure!(found == FOUND, "{found} images, expected {FOUND}");
        Ok(took)
    }

    async fn create(&mut self, image: &Value) -> anyhow::Result<()> {
        self.ask("POST", "/v1/docker/create", Some(image.clone()), 201).await.map(drop)
    }

    /// The time until the answer's last byte, and the answer.
    async fn ask(&mut self, method: &str, path: &str, body: Option<Value>, status: u16) -> anyhow::Result<(Duration, Value)> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header(HOST, &self.host).header(AUTHORIZATION, &self.credential);
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let began = Instant::now();
        let response = self.sender.send_request(request).await?;
        let answered = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let took = began.elapsed();
        anyhow::ensure!(answered == status, "`{path}`: {answered}: {}", String::from_utf8_lossy(&body));
        Ok((took, serde_json::from_slice(&body)?))
    }
}

fn report(measured: [Vec<Measurement>; ROWS.len()]) -> Option<Report> {
    // Each number is the middle one of its own rounds.
    let middles = measured.map(|rounds| {
        let of = |key: fn(&Measurement) -> f64| middle(rounds.clone(), key);
        Some(Measurement {
            creates_per_second: of(|round| round.creates_per_second)?.creates_per_second,
            load: of(|round| round.load.p50_us)?.load,
            list: of(|round| round.list.p50_us)?.list,
        })
    });
    let [_, native, ..] = middles;
    let native = native?;
    let rows = ROWS.into_iter().zip(middles).map(|(name, measurement)| {
        let measurement = measurement?;
        Some(Row {
            name,
            measurement,
            load_of_native: measurement.load.p50_us / native.load.p50_us,
            list_of_native: measurement.list.p50_us / native.list.p50_us,
        })
    });
    Some(Report { images: IMAGES, rows: rows.collect::<Option<_>>()? })
}

fn table(report: &Report) -> String {
    let mut table = format!(
        "\n{} images\n\n| row | creates/s | load p50 µs | p99 µs | of native | list of {FOUND} p50 µs | p99 µs | of native |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
        report.images
    );
    for Row { name, measurement: Measurement { creates_per_second, load, list }, load_of_native, list_of_native } in &report.rows {
        // Writing to a text cannot fail.
        let _infallible = writeln!(
            table,
            "| {name} | {creates_per_second:.0} | {:.0} | {:.0} | {load_of_native:.2} | {:.0} | {:.0} | {list_of_native:.2} |",
            load.p50_us, load.p99_us, list.p50_us, list.p99_us
        );
    }
    table
}
