//! What the plugin is compared with: the same questions, put to a copy of the same SQLite file by `rusqlite`, as somebody would who writes this API and nothing else.
//!
//! It has what an honest server needs: a look at the token in a database of its own, connections for readers and one for the writer, off the event loop, statements prepared once, and the same settings of
//! SQLite, `synchronous = FULL` among them. It has no filter language, no checks of fields, no limits and no log.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{CREATES, FOUND, LISTS, LOADS, Measurement, Times, key, name, new_image};

/// What a client of the reference is known by.
pub(super) const TOKEN: &str = "token";

const COLUMNS: &str = "images.pk, images.name, images.version, images.url, images.registry, images.registry_username, images.registry_password, images.cuda_version, \
    images.min_hardware_generation, images.cpu, images.framework, images.domain, images.tasks, images.licence, images.creator, images.creation_time, images.deletion_time";
const DOMAINS: [&str; 5] = ["ic", "od", "sp", "is", "sc"];
const JOB_TYPES: [&str; 3] = ["train", "predict", "export"];

/// Carries out `statements` beside the host.
///
/// # Errors
///
/// SQLite refuses one of them.
pub(super) fn fill(file: &Path, statements: &[String]) -> anyhow::Result<()> {
    let mut database = open(file)?;
    let transaction = database.transaction()?;
    statements.iter().try_for_each(|statement| transaction.execute_batch(statement))?;
    Ok(transaction.commit()?)
}

/// A folder with a copy of the plugin's `file`, and a database of tokens.
///
/// # Errors
///
/// There is no room for it.
pub(super) fn copy(file: &Path) -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("wharf-bench-").tempdir()?;
    open(file)?.execute("VACUUM INTO ?1", [folder.path().join("images.db").display().to_string()])?;
    let tokens = open(&folder.path().join("tokens.db"))?;
    tokens.execute_batch("CREATE TABLE tokens (text TEXT PRIMARY KEY, user_id INTEGER NOT NULL) WITHOUT ROWID")?;
    tokens.execute("INSERT INTO tokens VALUES (?1, 1)", [TOKEN])?;
    Ok(folder)
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open(file)?;
    database.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    database.pragma_update(None, "synchronous", "full")?;
    database.pragma_update(None, "foreign_keys", true)?;
    database.busy_timeout(Duration::from_secs(5))?;
    Ok(database)
}

/// An image as the API shows it.
#[derive(Serialize)]
struct Image {
    pk: i64,
    name: String,
    version: String,
    url: String,
    registry: String,
    registry_username: Option<String>,
    registry_password: Option<Vec<u8>>,
    cuda_version: i64,
    min_hardware_generation: Option<i64>,
    cpu: bool,
    framework: i64,
    domain: &'static str,
    tasks: Vec<&'static str>,
    licence: i64,
    creator: Option<i64>,
    creation_time: String,
    deletion_time: Option<String>,
}

impl Image {
    fn read(row: &Row<'_>) -> rusqlite::Result<Image> {
        let tasks: String = row.get(12)?;
        let named = |names: &[&'static str], key: usize| names.get(key.wrapping_sub(1)).copied().unwrap_or_default();
        Ok(Image {
            pk: row.get(0)?,
            name: row.get(1)?,
            version: row.get(2)?,
            url: row.get(3)?,
            registry: row.get(4)?,
            registry_username: row.get(5)?,
            registry_password: row.get(6)?,
            cuda_version: row.get(7)?,
            min_hardware_generation: row.get(8)?,
            cpu: row.get(9)?,
            framework: row.get(10)?,
            domain: named(&DOMAINS, row.get::<_, usize>(11)?),
            tasks: tasks.split(' ').filter_map(|key| Some(named(&JOB_TYPES, key.parse().ok()?))).collect(),
            licence: row.get(13)?,
            creator: row.get(14)?,
            creation_time: row.get(15)?,
            deletion_time: row.get(16)?,
        })
    }
}

fn load(database: &Connection, pk: u32) -> rusqlite::Result<Option<Image>> {
    let mut statement = database.prepare_cached(&format!("SELECT {COLUMNS} FROM images WHERE pk = ?1"))?;
    statement.query_row([pk], Image::read).optional()
}

fn list(database: &Connection, name: &str, framework: &str) -> rusqlite::Result<Vec<Image>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM images JOIN frameworks ON frameworks.pk = images.framework WHERE images.deletion_time IS NULL AND images.name = ?1 AND frameworks.name = ?2 \
         ORDER BY images.creation_time DESC NULLS LAST, images.pk"
    );
    database.prepare_cached(&sql)?.query_map([name, framework], Image::read)?.collect()
}

/// Adds an image and its tasks, and answers it.
fn create(database: &mut Connection, image: &Value) -> rusqlite::Result<Option<Image>> {
    let transaction = database.transaction()?;
    let text = |field: &str| image[field].as_str().unwrap_or_default();
    let number = |field: &str| image[field].as_i64();
    let place = |names: &[&str], name: &str| names.iter().position(|known| *known == name).map_or(0, |place| place + 1);
    let tasks: Vec<usize> =
        image["tasks"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|task| place(&JOB_TYPES, task)).collect();
    let listed = tasks.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
    let sql = "INSERT INTO images (name, version, url, registry, cuda_version, min_hardware_generation, cpu, framework, domain, tasks, licence, creator, creation_time) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, ?10, 1, '2024-01-01T00:00:00.000000Z')";
    let (name, version, url, registry) = (text("name"), text("version"), text("url"), text("registry"));
    let (cuda, hardware, framework, licence) =
        (number("cuda_version"), number("min_hardware_generation"), number("framework"), number("licence"));
    let domain = place(&DOMAINS, text("domain"));
    transaction.prepare_cached(sql)?.execute(params![name, version, url, registry, cuda, hardware, framework, domain, listed, licence])?;
    let pk = u32::try_from(transaction.last_insert_rowid()).unwrap_or_default();
    for task in tasks {
        transaction.prepare_cached("INSERT INTO image_tasks (image, job_type) VALUES (?1, ?2)")?.execute(params![pk, task])?;
    }
    transaction.commit()?;
    load(database, pk)
}

/// Measures SQLite alone.
///
/// # Errors
///
/// A statement fails, or does not find what it should.
pub(super) fn statements(folder: &Path, round: u32) -> anyhow::Result<Measurement> {
    let mut database = open(&folder.join("images.db"))?;
    let (mut loads, mut lists) = (Vec::new(), Vec::new());
    for number in 0..LOADS {
        let began = Instant::now();
        let image = load(&database, key(number, round))?;
        loads.push(began.elapsed());
        anyhow::ensure!(image.is_some(), "an image is not there");
    }
    for number in 0..LISTS {
        let began = Instant::now();
        let images = list(&database, &name(number, round), "pytorch")?;
        lists.push(began.elapsed());
        anyhow::ensure!(images.len() == FOUND, "{} images, expected {FOUND}", images.len());
    }
    let began = Instant::now();
    for number in 0..CREATES {
        create(&mut database, &new_image(&format!("statements-{round}"), number))?;
    }
    let creates_per_second = f64::from(CREATES) / began.elapsed().as_secs_f64();
    Ok(Measurement { creates_per_second, load: Times::of(loads)?, list: Times::of(lists)? })
}

/// The reference, as a server. It ends with it.
pub(super) struct Native {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

struct Databases {
    readers: Mutex<Vec<(Connection, Connection)>>,
    writer: Mutex<Connection>,
    folder: std::path::PathBuf,
}

type Answer<T> = Result<T, StatusCode>;

impl Native {
    /// Serves the copy in `folder`.
    ///
    /// # Errors
    ///
    /// The files cannot be opened.
    pub(super) fn start(folder: &Path, runtime: &Runtime) -> anyhow::Result<Native> {
        let databases =
            Databases { readers: Mutex::default(), writer: Mutex::new(open(&folder.join("images.db"))?), folder: folder.to_owned() };
        let routes = Router::new()
            .route("/v1/docker/{pk}", get(serve_load))
            .route("/v1/docker/list", post(serve_list))
            .route("/v1/docker/create", post(serve_create))
            .with_state(Arc::new(databases));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let serving = runtime.spawn(async move {
            let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
            // It serves until it is dropped.
            drop(axum::serve(listener, routes).await);
        });
        Ok(Native { address, serving })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

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
