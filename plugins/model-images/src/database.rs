//! The tables, and the few ways in which this plugin asks them.
//!
//! What must hold between two requests at once is held by the tables and not by the code: names are UNIQUE where they must not be twice, what something refers to cannot go away under it, and at most
//! one build of a tag is under way (`images.building`). All writes that belong together are one call, which is one transaction.

use wharf_sdk::Error;
use wharf_sdk::storage::conflict;
use wharf_sdk::storage::sql::{self, Migration, Row, ToValue};

/// The most rows of one answer.
const PAGE: u32 = 10_000;

/// What the tables are made by. Each stands for good once it was released; a change is one more.
const TABLES: &[&str] = &[
    "CREATE TABLE projects (id SERIAL PRIMARY KEY, name TEXT NOT NULL UNIQUE, author TEXT NOT NULL, creation_date TEXT NOT NULL)",
    "CREATE TABLE tasks (id SERIAL PRIMARY KEY, project_id BIGINT NOT NULL REFERENCES projects (id), name TEXT NOT NULL, author TEXT NOT NULL, creation_date TEXT NOT NULL,
        UNIQUE (project_id, name))",
    // `folder` is where the artifacts' bytes are.
    "CREATE TABLE models (id SERIAL PRIMARY KEY, task_id BIGINT NOT NULL REFERENCES tasks (id), name TEXT NOT NULL, author TEXT NOT NULL, creation_date TEXT NOT NULL,
        run_cmd TEXT NOT NULL, requirements TEXT NOT NULL, folder TEXT NOT NULL UNIQUE, UNIQUE (task_id, name))",
    "CREATE TABLE artifacts (model_id BIGINT NOT NULL REFERENCES models (id) ON DELETE CASCADE, place BIGINT NOT NULL, name TEXT NOT NULL, size BIGINT NOT NULL,
        digest TEXT NOT NULL, stored_as TEXT NOT NULL, PRIMARY KEY (model_id, place), UNIQUE (model_id, name))",
    // `token` finds a row that was just inserted.
    "CREATE TABLE pipelines (id SERIAL PRIMARY KEY, task_id BIGINT NOT NULL REFERENCES tasks (id), name TEXT NOT NULL, author TEXT NOT NULL, creation_date TEXT NOT NULL,
        token TEXT NOT NULL UNIQUE, UNIQUE (task_id, name))",
    "CREATE TABLE steps (pipeline_id BIGINT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE, place BIGINT NOT NULL, model_id BIGINT NOT NULL REFERENCES models (id),
        method_name TEXT NOT NULL, PRIMARY KEY (pipeline_id, place))",
    "CREATE INDEX steps_model ON steps (model_id)",
    "CREATE TABLE environments (id SERIAL PRIMARY KEY, name TEXT NOT NULL UNIQUE, author TEXT NOT NULL, creation_date TEXT NOT NULL, host TEXT NOT NULL)",
    // `building` is the tag while it is being built, and NULL from then on; `folder` is the label by which the engine's image is known, and where the build's log is.
    "CREATE TABLE images (id SERIAL PRIMARY KEY, task_id BIGINT NOT NULL REFERENCES tasks (id), model_id BIGINT REFERENCES models (id),
        pipeline_id BIGINT REFERENCES pipelines (id), name TEXT NOT NULL, author TEXT NOT NULL, creation_date TEXT NOT NULL, repository TEXT, image TEXT NOT NULL, tag TEXT NOT NULL,
        folder TEXT NOT NULL UNIQUE, building TEXT UNIQUE, operation TEXT, began_ms BIGINT NOT NULL, UNIQUE (task_id, name))",
    "CREATE INDEX images_model ON images (model_id)",
    "CREATE INDEX images_pipeline ON images (pipeline_id)",
    // `starting_ms` is when the container was asked for, and NULL once it is there; `token` is the label by which it is known.
    "CREATE TABLE instances (id SERIAL PRIMARY KEY, image_id BIGINT NOT NULL REFERENCES images (id), environment_id BIGINT NOT NULL REFERENCES environments (id),
        name TEXT NOT NULL, author TEXT NOT NULL, creation_date TEXT NOT NULL, container TEXT, ports TEXT, token TEXT NOT NULL UNIQUE, starting_ms BIGINT,
        UNIQUE (image_id, environment_id, name))",
    "CREATE INDEX instances_environment ON instances (environment_id)",
    "CREATE INDEX instances_starting ON instances (starting_ms)",
    // Folders of blobs to which no row leads: not yet, or not any more.
    "CREATE TABLE leftovers (folder TEXT PRIMARY KEY, since_ms BIGINT NOT NULL)",
    "CREATE INDEX leftovers_since ON leftovers (since_ms)",
];

/// Makes the tables if they are not there. Every handler begins with it; it is cheap when there is nothing to do.
pub(crate) fn ready() -> Result<(), Error> {
    sql::migrate(&[Migration { version: 1, name: "tables", statements: TABLES }]).map(drop)
}

/// Everything that a question finds, page by page if need be.
pub(crate) fn rows(sql: &str, parameters: &[&dyn ToValue]) -> Result<Vec<Row>, Error> {
    let found = sql::query(sql, parameters, PAGE)?;
    if found.more { sql::open(sql, parameters, u64::MAX)?.collect() } else { Ok(found.rows) }
}

/// What in the tables stands against a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// A value that may be there once is there already.
    Unique,
    /// What is referred to is not there, or what is to go is referred to.
    Reference,
}

/// The obstacle that `error` tells of, if it does.
pub(crate) fn obstacle(error: &Error) -> Option<Obstacle> {
    match conflict(error)?.0 {
        "unique" => Some(Obstacle::Unique),
        "foreign-key" => Some(Obstacle::Reference),
        _ => None,
    }
}
