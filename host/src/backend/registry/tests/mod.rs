//! The client against registries that a test writes down, on loopback: what it asks, how often, and what it makes of the answers.

mod contents;
mod digests;
mod endpoints;
mod tokens;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::scripted::{Answer, Scripted};
use super::*;
use crate::settings::{CredentialSource, SecretSource};

/// Everything that was counted.
#[derive(Default)]
struct Counted(Mutex<Vec<(String, RegistryEvent)>>);

impl RegistryObserver for Counted {
    fn observe(&self, registry: &str, event: RegistryEvent) {
        self.0.lock().unwrap().push((registry.to_owned(), event));
    }
}

/// Long enough for a busy machine, short enough for a test that waits for its end.
const PATIENCE: Patience =
    Patience { connect: Duration::from_secs(2), head: Duration::from_secs(2), idle: Duration::from_secs(2), call: Duration::from_secs(10) };

fn client(tables: &[(&str, RegistrySettings)]) -> Registries {
    let tables = tables.iter().map(|(name, table)| ((*name).to_owned(), table.clone())).collect();
    Registries::with(tables, OwnListeners::default(), Arc::new(Counted::default()), PATIENCE)
}

fn reference(registry: &Scripted, rest: &str) -> ImageReference {
    ImageReference::parse(&format!("{}/{rest}", registry.address)).unwrap()
}

/// The digest of which every digit is `digit`.
fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// A table with a password, which is in `file`.
fn with_password(username: &str, file: &std::path::Path) -> RegistrySettings {
    let password = SecretSource::File(file.to_owned());
    let credentials = Some(CredentialSource::Password { username: username.to_owned(), password });
    RegistrySettings { credentials, ..RegistrySettings::default() }
}

/// What became of each: the digest, or the word of the error.
fn words(heads: &[Result<Head, RegistryError>]) -> Vec<String> {
    heads.iter().map(|head| head.as_ref().map_or_else(|error| error.word().to_owned(), |head| head.digest.clone())).collect()
}
