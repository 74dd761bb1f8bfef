//! An image, as this API shows it and as it is kept.

use serde::Serialize;
use wharf_sdk::storage::sql::{Row, Statement};
use wharf_sdk::storage::{Error, sealed};

use crate::body::Posted;
use crate::reference_data::{DOMAINS, JOB_TYPES};

/// The columns of [`Image::read`], in its order.
pub(crate) const COLUMNS: &str = "images.pk, images.name, images.version, images.url, images.registry, images.registry_username, images.registry_password, images.cuda_version, \
    images.min_hardware_generation, images.cpu, images.framework, images.domain, images.tasks, images.licence, images.creator, images.creation_time, images.deletion_time";

/// An image, in the order in which this API documents its fields.
#[derive(Debug, Serialize)]
pub(crate) struct Image<'r> {
    pk: i64,
    name: &'r str,
    version: &'r str,
    url: &'r str,
    registry: &'r str,
    registry_username: Option<&'r str>,
    /// In clear, for everybody who may read the catalogue: workers log in by it.
    registry_password: Option<String>,
    cuda_version: i64,
    pub(crate) min_hardware_generation: Option<i64>,
    pub(crate) cpu: bool,
    framework: i64,
    /// Two letters.
    domain: &'static str,
    /// Names of job types.
    tasks: Vec<&'static str>,
    licence: i64,
    creator: Option<i64>,
    creation_time: &'r str,
    pub(crate) deletion_time: Option<&'r str>,
}

impl<'r> Image<'r> {
    /// The image of a row with [`COLUMNS`].
    pub(crate) fn read(row: &'r Row) -> Result<Image<'r>, Error> {
        let password = row.get::<Option<&[u8]>>(6)?.map(sealed::open).transpose()?;
        let tasks: &str = row.get(12)?;
        Ok(Image {
            pk: row.get(0)?,
            name: row.get(1)?,
            version: row.get(2)?,
            url: row.get(3)?,
            registry: row.get(4)?,
            registry_username: row.get(5)?,
            registry_password: password.map(|password| String::from_utf8_lossy(&password).into_owned()),
            cuda_version: row.get(7)?,
            min_hardware_generation: row.get(8)?,
            cpu: row.get(9)?,
            framework: row.get(10)?,
            domain: name_of(row.get(11)?, DOMAINS.iter().map(|(name, _)| *name)),
            tasks: tasks.split_whitespace().filter_map(|key| key.parse().ok()).map(|key| name_of(key, JOB_TYPES.iter().copied())).collect(),
            licence: row.get(13)?,
            creator: row.get(14)?,
            creation_time: row.get(15)?,
            deletion_time: row.get(16)?,
        })
    }
}

/// The name of the key `key`.
fn name_of(key: i64, mut names: impl Iterator<Item = &'static str>) -> &'static str {
    let place = usize::try_from(key).ok().and_then(|key| key.checked_sub(1));
    place.and_then(|place| names.nth(place)).unwrap_or_default()
}

/// The keys of an image's tasks, as its row has them.
fn listed(tasks: &[i64]) -> String {
    tasks.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")
}

fn seal(password: &Option<String>) -> Result<Option<Vec<u8>>, Error> {
    password.as_ref().map(|password| sealed::seal(password.as_bytes())).transpose()
}

/// What adds an image that has everything it needs: first the row, which answers its key, and then its tasks.
pub(crate) fn insertion(posted: &Posted, creator: Option<i64>, now: &str) -> Result<Statement, Error> {
    let password = seal(&posted.registry_password.clone().flatten())?;
    let sql = "INSERT INTO images (name, version, url, registry, registry_username, registry_password, cuda_version, min_hardware_generation, cpu, framework, domain, tasks, licence, creator, \
        creation_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING pk";
    Ok(Statement::new(
        sql,
        &[
            &posted.name,
            &posted.version,
            &posted.url,
            &posted.registry,
            &posted.registry_username.clone().flatten(),
            &password,
            &posted.cuda_version,
            &posted.min_hardware_generation.flatten(),
            &posted.cpu.unwrap_or(false),
            &posted.framework,
            &posted.domain,
            &listed(posted.tasks.as_deref().unwrap_or_default()),
            &posted.licence,
            &creator,
            &now,
        ],
    ))
}

/// What sets the fields of the image `pk` that were posted, if it is not deleted. The first statement changes one row or none.
pub(crate) fn changes(pk: i64, posted: &Posted) -> Result<Vec<Statement>, Error> {
    let (username, password) = (posted.registry_username.clone(), posted.registry_password.clone());
    let sealed_password = seal(&password.clone().flatten())?;
    let sql = "UPDATE images SET name = coalesce($2, name), version = coalesce($3, version), url = coalesce($4, url), registry = coalesce($5, registry), \
        registry_username = CASE WHEN $6 THEN $7 ELSE registry_username END, registry_password = CASE WHEN $8 THEN $9 ELSE registry_password END, \
        cuda_version = coalesce($10, cuda_version), min_hardware_generation = CASE WHEN $11 THEN $12 ELSE min_hardware_generation END, cpu = coalesce($13, cpu), \
        framework = coalesce($14, framework), domain = coalesce($15, domain), tasks = coalesce($16, tasks), licence = coalesce($17, licence) \
        WHERE pk = $1 AND deletion_time IS NULL";
    let update = Statement::new(
        sql,
        &[
            &pk,
            &posted.name,
            &posted.version,
            &posted.url,
            &posted.registry,
            &username.is_some(),
            &username.flatten(),
            &password.is_some(),
            &sealed_password,
            &posted.cuda_version,
            &posted.min_hardware_generation.is_some(),
            &posted.min_hardware_generation.flatten(),
            &posted.cpu,
            &posted.framework,
            &posted.domain,
            &posted.tasks.as_deref().map(listed),
            &posted.licence,
        ],
    );
    let mut statements = vec![update];
    if let Some(tasks) = &posted.tasks {
        statements.push(Statement::new("DELETE FROM image_tasks WHERE image = $1", &[&pk]));
        statements.extend(task_rows(pk, tasks));
    }
    Ok(statements)
}

/// The rows of an image's tasks.
pub(crate) fn task_rows(pk: i64, tasks: &[i64]) -> Vec<Statement> {
    tasks.iter().map(|task| Statement::new("INSERT INTO image_tasks (image, job_type) VALUES ($1, $2)", &[&pk, task])).collect()
}
