//! What the plugin is compared with: the same questions, put to a copy of the same SQLite file by `rusqlite`, as somebody would who writes this API and nothing else. [`server`](super::server) answers by them.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

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

pub(super) fn open(file: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open(file)?;
    database.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    database.pragma_update(None, "synchronous", "full")?;
    database.pragma_update(None, "foreign_keys", true)?;
    database.busy_timeout(Duration::from_secs(5))?;
    Ok(database)
}

/// An image as the API shows it.
#[derive(Serialize)]
pub(super) struct Image {
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

pub(super) fn load(database: &Connection, pk: u32) -> rusqlite::Result<Option<Image>> {
    let mut statement = database.prepare_cached(&format!("SELECT {COLUMNS} FROM images WHERE pk = ?1"))?;
    statement.query_row([pk], Image::read).optional()
}

pub(super) fn list(database: &Connection, name: &str, framework: &str) -> rusqlite::Result<Vec<Image>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM images JOIN frameworks ON frameworks.pk = images.framework WHERE images.deletion_time IS NULL AND images.name = ?1 AND frameworks.name = ?2 \
         ORDER BY images.creation_time DESC NULLS LAST, images.pk"
    );
    database.prepare_cached(&sql)?.query_map([name, framework], Image::read)?.collect()
}

/// Adds an image and its tasks, and answers it.
pub(super) fn create(database: &mut Connection, image: &Value) -> rusqlite::Result<Option<Image>> {
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
