//! A host inside the test's process: `wharf.toml` in, requests and answers out, log lines on the side.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tracing_subscriber::fmt::MakeWriter;
use wharf_harness::http::{Client, Response};
use wharf_host::serve::{Options, Running, start};

/// A running host.
pub struct InProcess {
    runtime: Runtime,
    running: Option<Running>,
    folder: TempDir,
    client: Client,
    admin: Client,
}

/// What precedes the configuration of a test. All tests share a data directory, so that each component is compiled once.
const SERVER: &str = concat!(
    "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshutdown_grace_secs = 5\ndata_dir = \"",
    env!("CARGO_TARGET_TMPDIR"),
    "/api-data\"\n"
);

/// `[[site]]` with one plugin at `/`: `component`, and further lines of its table.
pub fn one_plugin(component: &str, lines: &str) -> String {
    format!("[[site]]\nname = \"test\"\n{}", plugin("subject", component, "/", lines))
}

/// A `[[site.plugin]]`.
pub fn plugin(name: &str, component: &str, mount: &str, lines: &str) -> String {
    format!("[[site.plugin]]\nname = \"{name}\"\nsource = \"{component}\"\nmount = \"{mount}\"\n{lines}\n")
}

/// The whole of `wharf.toml`: `configuration` after `[server]`.
pub fn file(configuration: &str) -> String {
    format!("{SERVER}{configuration}")
}

/// Starts a host with `configuration`, which lacks only `[server]`.
#[track_caller]
pub fn host(configuration: &str) -> InProcess {
    start_in(tempfile::tempdir().unwrap(), &file(configuration))
}

/// The same, with a data directory that not all tests share: whose users are its own, or another host's.
#[track_caller]
pub fn host_with_data(data_dir: &Path, configuration: &str) -> InProcess {
    let server = SERVER.replace(concat!(env!("CARGO_TARGET_TMPDIR"), "/api-data"), data_dir.to_str().unwrap());
    start_in(tempfile::tempdir().unwrap(), &format!("{server}{configuration}"))
}

#[track_caller]
fn start_in(folder: TempDir, text: &str) -> InProcess {
    capture_log();
    let path = folder.path().join("wharf.toml");
    std::fs::write(&path, text).unwrap();
    // Two threads, as on the smallest machine that it is made for.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let running = runtime.block_on(start(&path, Options::default())).unwrap_or_else(|error| panic!("the host does not start: {error}"));
    let client = Client::tcp(running.address());
    let admin = Client::tcp(running.admin_address().unwrap());
    InProcess { runtime, running: Some(running), folder, client, admin }
}

impl InProcess {
    /// `GET path`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.client.get(path).unwrap()
    }

    /// `GET path` with a request id, for [`lines_of`].
    #[track_caller]
    pub fn get_as(&self, id: &str, path: &str) -> Response {
        self.client.send("GET", path, &[("x-request-id", id)], &[]).unwrap()
    }

    /// `POST path` with a JSON body; the answer's JSON.
    #[track_caller]
    pub fn call(&self, path: &str, body: &Value) -> Value {
        self.client.post_json(path, body).unwrap().json().unwrap()
    }

    /// A client of the sites.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client of the admin API.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// Where the sites are served.
    pub fn address(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().address()
    }

    /// Where the admin API is served.
    pub fn admin_address(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().admin_address().unwrap()
    }

    /// The folder of `wharf.toml`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes another configuration and reloads. What is wrong with it, as an operator reads it.
    pub fn reload(&self, configuration: &str) -> Vec<String> {
        std::fs::write(self.folder.path().join("wharf.toml"), file(configuration)).unwrap();
        let mistakes = self.runtime.block_on(self.running.as_ref().unwrap().reload());
        mistakes.iter().map(ToString::to_string).collect()
    }

    /// As [`InProcess::reload`], but nobody waits for its end once `begun` is true.
    pub fn reload_and_leave(&self, configuration: &str, begun: impl FnMut() -> bool + Send + 'static) {
        std::fs::write(self.folder.path().join("wharf.toml"), file(configuration)).unwrap();
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.running.as_ref().unwrap().reload() => panic!("the reload has ended"),
                begun = tokio::task::spawn_blocking(|| eventually("the beginning", begun)) => begun.unwrap(),
            }
        });
    }

    /// What the admin API says of the plugin `name`.
    #[track_caller]
    pub fn plugin(&self, name: &str) -> Value {
        let plugins = self.admin.get("/plugins").unwrap().json().unwrap();
        plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap().clone()
    }

    /// The value of a series of `/metrics` whose line begins with `series`; zero if it is not there.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.admin.get("/metrics").unwrap();
        let line = text.text().unwrap().lines().find_map(|line| line.strip_prefix(series).map(str::to_owned));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

impl InProcess {
    /// Stops the host and answers how long that took.
    pub fn stop(mut self) -> Duration {
        let began = std::time::Instant::now();
        self.runtime.block_on(self.running.take().unwrap().stop());
        began.elapsed()
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

/// Asks `probe` until it is true, at most ten seconds.
#[track_caller]
pub fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let found = wharf_harness::poll(Duration::from_secs(10), || Ok(probe().then_some(()))).unwrap();
    assert!(found.is_some(), "{what} did not come to pass");
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The log lines of the request `id`, as JSON. Every test has ids of its own, since the log is the process's.
pub fn lines_of(id: &str) -> Vec<Value> {
    let log = String::from_utf8_lossy(&log()).into_owned();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.pointer("/span/request_id").and_then(Value::as_str) == Some(id)).collect()
}

/// The values of `field` in the log lines with this message, of all tests.
pub fn logged(message: &str, field: &str) -> Vec<Value> {
    let log = String::from_utf8_lossy(&log()).into_owned();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let fields = lines.filter_map(|line| line.get("fields").cloned());
    fields.filter(|fields| fields["message"] == message).map(|fields| fields[field].clone()).collect()
}

/// The whole log, of all tests.
pub fn whole_log() -> String {
    String::from_utf8_lossy(&log()).into_owned()
}

fn log() -> MutexGuard<'static, Vec<u8>> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn capture_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let builder = tracing_subscriber::fmt().json().with_current_span(true).with_span_list(false);
        builder.with_max_level(tracing::Level::DEBUG).with_writer(Capture).init();
    });
}

struct Capture;

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        log().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Capture {
    type Writer = Capture;

    fn make_writer(&self) -> Capture {
        Capture
    }
}
