//! The reference: a server of its own process, as the host is one, built for use as well.
//!
//! It has what an honest server needs: a look at the token in a database of its own, connections for readers and one for the writer, off the event loop, statements prepared once, and the same settings of
//! SQLite, `synchronous = FULL` among them. It has no filter language, no checks of fields, no limits and no log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use rusqlite::Connection;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use wharf_harness::process::{Process, find_line};

use super::native::{Image, create, list, load, open};

/// How it says where it listens.
const LISTENING: &str = "listening on ";

/// A reference that runs. It ends with it.
pub(super) struct Server {
    address: SocketAddr,
    _process: Process,
}

impl Server {
    /// Starts one that serves the copy in `folder`.
    ///
    /// # Errors
    ///
    /// It does not listen within half a minute.
    pub(super) fn start(folder: &Path) -> anyhow::Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve-natively").arg(folder);
        let log = folder.join("log");
        let mut process = Process::start(command, log.clone())?;
        let look = || find_line(&log, |line| line.strip_prefix(LISTENING)?.parse().ok());
        let address = process.wait_until(Duration::from_secs(30), "listening", look)?;
        Ok(Server { address, _process: process })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves the copy in `folder` until SIGTERM.
///
/// # Errors
///
/// The files cannot be opened, or there is no address to listen on.
pub(crate) fn serve(folder: &Path) -> anyhow::Result<()> {
    let databases =
        Databases { readers: Mutex::default(), writer: Mutex::new(open(&folder.join("images.db"))?), folder: folder.to_owned() };
    let routes = Router::new()
        .route("/v1/docker/{pk}", get(serve_load))
        .route("/v1/docker/list", post(serve_list))
        .route("/v1/docker/create", post(serve_create))
        .with_state(Arc::new(databases));
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut told = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{LISTENING}{}", listener.local_addr()?);
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
        tokio::select! {
            served = axum::serve(listener, routes) => Ok(served?),
            _ = told.recv() => Ok(()),
        }
    })
}

struct Databases {
    readers: Mutex<Vec<(Connection, Connection)>>,
    writer: Mutex<Connection>,
    folder: PathBuf,
}

type Answer<T> = Result<T, StatusCode>;

impl Databases {
    /// Asks off the event loop, for whoever has `headers`.
    async fn read<T: Send + 'static>(
        self: Arc<Databases>,
        headers: &HeaderMap,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<T> {
        let token = token(headers)?;
        blocking(move || {
            let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let (images, tokens) = match kept {
                Some(kept) => kept,
                None => (open(&self.folder.join("images.db"))?, open(&self.folder.join("tokens.db"))?),
            };
            let known = is_known(&tokens, &token)?;
            let answer = if known { Ok(ask(&images)?) } else { Err(StatusCode::UNAUTHORIZED) };
            self.readers.lock().unwrap_or_else(PoisonError::into_inner).push((images, tokens));
            Ok(answer)
        })
        .await
    }
}

fn is_known(tokens: &Connection, token: &str) -> rusqlite::Result<bool> {
    tokens.prepare_cached("SELECT user_id FROM tokens WHERE text = ?1")?.exists([token])
}

fn token(headers: &HeaderMap) -> Answer<String> {
    let field = headers.get("authorization").and_then(|field| field.to_str().ok()).and_then(|field| field.strip_prefix("Bearer "));
    field.map(str::to_owned).ok_or(StatusCode::UNAUTHORIZED)
}

async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> rusqlite::Result<Answer<T>> + Send + 'static) -> Answer<T> {
    let answered = tokio::task::spawn_blocking(ask).await;
    answered.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?
}

async fn serve_load(
    State(databases): State<Arc<Databases>>,
    axum::extract::Path(pk): axum::extract::Path<u32>,
    headers: HeaderMap,
) -> Answer<Json<Image>> {
    let image = databases.read(&headers, move |database| load(database, pk)).await?;
    image.map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn serve_list(State(databases): State<Arc<Databases>>, headers: HeaderMap, Json(filter): Json<Value>) -> Answer<Json<Vec<Image>>> {
    let value = |pointer: &str| filter.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, framework) = (value("/expressions/0/value"), value("/expressions/1/value"));
    databases.read(&headers, move |database| list(database, &name, &framework)).await.map(Json)
}

async fn serve_create(
    State(databases): State<Arc<Databases>>,
    headers: HeaderMap,
    Json(image): Json<Value>,
) -> Answer<(StatusCode, Json<Image>)> {
    Arc::clone(&databases).read(&headers, |_| Ok(())).await?;
    let created = blocking(move || {
        let mut writer = databases.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(create(&mut writer, &image)?.ok_or(StatusCode::NOT_FOUND))
    });
    Ok((StatusCode::CREATED, Json(created.await?)))
}
