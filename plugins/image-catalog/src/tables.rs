//! The tables, and what is in them from the beginning.
//!
//! An image's tasks are in it twice: as a list in the order in which they were posted, to be shown, and as rows of their own, to be asked for. Both are written together.

use std::cell::Cell;

use wharf_sdk::storage::Error;
use wharf_sdk::storage::sql::{self, Migration, Statement};

use crate::reference_data::{CUDA, DOMAINS, FRAMEWORKS, HARDWARE, JOB_TYPES, LICENCES};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "images and what they lead to",
    statements: &[
        "CREATE TABLE hardware (pk BIGINT PRIMARY KEY, generation TEXT NOT NULL UNIQUE, min_compute_capability DOUBLE PRECISION NOT NULL, max_compute_capability DOUBLE PRECISION NOT NULL)",
        "CREATE TABLE cuda (pk BIGINT PRIMARY KEY, version DOUBLE PRECISION NOT NULL UNIQUE, full_version TEXT NOT NULL, min_driver_version DOUBLE PRECISION NOT NULL)",
        "CREATE TABLE frameworks (pk BIGINT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL)",
        "CREATE TABLE domains (pk BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL)",
        "CREATE TABLE licences (pk BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
        "CREATE TABLE job_types (pk BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
        "CREATE TABLE images (
            pk SERIAL PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, url TEXT NOT NULL, registry TEXT NOT NULL, registry_username TEXT, registry_password BYTEA,
            cuda_version BIGINT NOT NULL REFERENCES cuda (pk), min_hardware_generation BIGINT REFERENCES hardware (pk), cpu BOOLEAN NOT NULL,
            framework BIGINT NOT NULL REFERENCES frameworks (pk), domain BIGINT NOT NULL REFERENCES domains (pk), tasks TEXT NOT NULL,
            licence BIGINT NOT NULL REFERENCES licences (pk), creator BIGINT, creation_time TEXT NOT NULL, deletion_time TEXT)",
        "CREATE UNIQUE INDEX images_name_version ON images (name, version) WHERE deletion_time IS NULL",
        "CREATE INDEX images_framework ON images (framework)",
        "CREATE INDEX images_domain ON images (domain)",
        "CREATE INDEX images_creation_time ON images (creation_time)",
        "CREATE TABLE image_tasks (image BIGINT NOT NULL REFERENCES images (pk), job_type BIGINT NOT NULL REFERENCES job_types (pk), PRIMARY KEY (image, job_type))",
    ],
}];

/// Sees to it that the tables are there, once in the life of an instance.
pub(crate) fn ensure() -> Result<(), Error> {
    thread_local! {
        static SEEN: Cell<bool> = const { Cell::new(false) };
    }
    if SEEN.get() {
        return Ok(());
    }
    sql::migrate(MIGRATIONS)?;
    // Another instance may have done so, and nothing of it ever changes: a row that is there stays.
    sql::execute_all(&reference_rows())?;
    SEEN.set(cfg!(target_family = "wasm"));
    Ok(())
}

fn reference_rows() -> Vec<Statement> {
    let mut rows = Vec::new();
    let pks = || 1_i64..;
    for (pk, (generation, min, max)) in pks().zip(HARDWARE) {
        let sql = "INSERT INTO hardware (pk, generation, min_compute_capability, max_compute_capability) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        rows.push(Statement::new(sql, &[&pk, generation, min, max]));
    }
    for (pk, (version, full_version, driver)) in pks().zip(CUDA) {
        let sql = "INSERT INTO cuda (pk, version, full_version, min_driver_version) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        rows.push(Statement::new(sql, &[&pk, version, full_version, driver]));
    }
    for (pk, (name, version)) in pks().zip(FRAMEWORKS) {
        rows.push(Statement::new(
            "INSERT INTO frameworks (pk, name, version) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            &[&pk, name, version],
        ));
    }
    for (pk, (name, description)) in pks().zip(DOMAINS) {
        let sql = "INSERT INTO domains (pk, name, description) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        rows.push(Statement::new(sql, &[&pk, name, description]));
    }
    for (pk, name) in pks().zip(LICENCES) {
        rows.push(Statement::new("INSERT INTO licences (pk, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", &[&pk, name]));
    }
    for (pk, name) in pks().zip(JOB_TYPES) {
        rows.push(Statement::new("INSERT INTO job_types (pk, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", &[&pk, name]));
    }
    rows
}
