//! Whether the container that the engine made is the one that was meant.
//!
//! Everything that the specification says must be there, with nothing beside it but what engines are known to fill in (`is_filled_in` of `host_config.rs`, and what they say of endpoints). Whatever else differs is something that this
//! host has not understood, and the old container stays.

use std::fmt;

use serde_json::{Value, json};

use super::host_config::{is_derived, is_filled_in, link};
use super::json::{Object, at, clean, entries, field, is_zero, items, object, step, text, text_at, texts};
use super::networks::{aliases, is_default};
use super::preview::{environment, without_value};
use super::{Facts, Specification, effective_config};

/// Something that the created container has otherwise than it was meant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// A JSON pointer into the inspect document, with a name instead of a place in `Env`.
    pub(crate) path: String,
    /// What was meant; null for nothing. Of an environment variable only `NAME=`.
    pub(crate) expected: Value,
    /// What there is, as `expected`.
    pub(crate) actual: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is `{}` instead of `{}`", self.path, self.actual, self.expected)
    }
}

/// What `created`, the inspect document of a container that was created from `specification` on the inspected `image`, connected and not started yet, has otherwise than it should. Empty if it may be used.
pub(crate) fn differences(specification: &Specification, image: &Value, created: &Value, facts: &Facts) -> Vec<Difference> {
    let mut found = Found { created, facts, differences: Vec::new() };
    found.check("/Image", at(image, "/Id"), at(created, "/Image"));
    let mut endpoints = object(at(&specification.body, "/NetworkingConfig/EndpointsConfig"));
    let hardware_address = endpoints.values().find_map(|endpoint| endpoint.get("MacAddress")).cloned();
    endpoints.extend(specification.connect.iter().map(|connection| (connection.network.clone(), connection.endpoint.clone())));
    let mut config = effective_config(specification, image);
    if let Some(address) = hardware_address {
        config.insert("MacAddress".to_owned(), address);
    }
    let host = object(at(&specification.body, "/HostConfig"));
    found.config(&config, &host);
    found.host_config(&host);
    found.networks(&endpoints, &host);
    found.volumes(&host);
    found.differences
}

struct Found<'a> {
    created: &'a Value,
    facts: &'a Facts,
    differences: Vec<Difference>,
}

impl Found<'_> {
    fn push(&mut self, path: &str, expected: &Value, actual: &Value) {
        self.differences.push(Difference { path: path.to_owned(), expected: expected.clone(), actual: actual.clone() });
    }

    /// Compares any two values. What is zero on one side may be absent on the other.
    fn check(&mut self, path: &str, expected: &Value, actual: &Value) {
        match (expected, actual) {
            (Value::Object(expected), Value::Object(actual)) => {
                for (key, _) in expected.iter().chain(actual.iter().filter(|(key, _)| !expected.contains_key(*key))) {
                    self.check(&step(path, key), field(expected, key), field(actual, key));
                }
            }
            (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
                for (index, (expected, actual)) in one.iter().zip(other).enumerate() {
                    self.check(&format!("{path}/{index}"), expected, actual);
                }
            }
            (expected, actual) if expected == actual || is_zero(expected) && is_zero(actual) => {}
            (expected, actual) => self.push(path, expected, actual),
        }
    }

    /// Compares two lists as sets of texts.
    fn check_set(&mut self, path: &str, mut expected: Vec<String>, mut actual: Vec<String>) {
        expected.sort_unstable();
        actual.sort_unstable();
        expected.dedup();
        actual.dedup();
        if expected != actual {
            self.push(path, &json!(expected), &json!(actual));
        }
    }

    fn config(&mut self, expected: &Object, host: &Object) {
        let actual = object(at(self.created, "/Config"));
        for (key, _) in expected.iter().chain(actual.iter().filter(|(key, _)| !expected.contains_key(*key))) {
            let path = step("/Config", key);
            let (expected, actual) = (field(expected, key), field(&actual, key));
            match key.as_str() {
                // The engine gives one to whom has none.
                "Hostname" if expected.is_null() => {}
                "Domainname" if text(host, "NetworkMode").starts_with("container:") => {}
                // Null and `[]` mean different things.
                "Entrypoint" if expected.is_null() != actual.is_null() => self.push(&path, expected, actual),
                "Env" => self.environment(expected, actual),
                "MacAddress" => {
                    let lower = |address: &Value| json!(address.as_str().unwrap_or_default().to_lowercase());
                    self.check(&path, &lower(expected), &lower(actual));
                }
                "WorkingDir" => {
                    let cleaned =
                        |path: &Value| path.as_str().filter(|path| !path.is_empty()).map_or(Value::Null, |path| json!(clean(path)));
                    self.check(&path, &cleaned(expected), &cleaned(actual));
                }
                _ => self.check(&path, expected, actual),
            }
        }
    }

    fn environment(&mut self, expected: &Value, actual: &Value) {
        let (expected, actual) = (object(&environment(expected)), object(&environment(actual)));
        for (name, _) in expected.iter().chain(actual.iter().filter(|(name, _)| !expected.contains_key(*name))) {
            let (one, other) = (field(&expected, name), field(&actual, name));
            if one != other {
                self.push(&step("/Config/Env", name), &without_value(one), &without_value(other));
            }
        }
    }

    fn host_config(&mut self, expected: &Object) {
        let actual = object(at(self.created, "/HostConfig"));
        for (key, _) in expected.iter().chain(actual.iter().filter(|(key, _)| !expected.contains_key(*key))) {
            let path = step("/HostConfig", key);
            let (one, other) = (field(expected, key), field(&actual, key));
            match key.as_str() {
                // `[]` lifts what null leaves to the engine.
                "MaskedPaths" | "ReadonlyPaths" if one.is_array() => {
                    if one != other {
                        self.push(&path, one, other);
                    }
                }
                "NetworkMode" if is_default(text(expected, key)) && is_default(text(&actual, key)) => {}
                "Links" => {
                    let links = |list: &Value| texts(list).map(link).collect();
                    self.check_set(&path, links(one), links(other));
                }
                "CapAdd" | "CapDrop" => {
                    let names = |list: &Value| texts(list).map(|name| name.trim_start_matches("CAP_").to_uppercase()).collect();
                    self.check_set(&path, names(one), names(other));
                }
                "SecurityOpt" => {
                    let given: Vec<String> = texts(one).map(str::to_owned).collect();
                    let is_new = |option: &&str| !given.iter().any(|given| given == option) && is_derived(option, expected);
                    let without = texts(other).filter(|option| !is_new(option)).map(str::to_owned).collect();
                    self.check_set(&path, given.clone(), without);
                }
                "LogConfig" if !is_zero(at(one, "/Type")) => {
                    self.check(&step(&path, "Type"), at(one, "/Type"), at(other, "/Type"));
                    // The engine adds its own options.
                    for (option, value) in entries(at(one, "/Config")) {
                        self.check(&step(&step(&path, "Config"), option), value, at(other, "/Config").get(option).unwrap_or(&Value::Null));
                    }
                }
                "RestartPolicy" => {
                    let named = |policy: &Value| {
                        let name = Some(text_at(policy, "/Name")).filter(|name| !name.is_empty()).unwrap_or("no");
                        json!({ "Name": name, "MaximumRetryCount": at(policy, "/MaximumRetryCount") })
                    };
                    self.check(&path, &named(one), &named(other));
                }
                key if is_zero(one) && is_filled_in(key, other, expected) => {}
                _ => self.check(&path, one, other),
            }
        }
    }

    fn networks(&mut self, expected: &Object, host: &Object) {
        let mode = text(host, "NetworkMode");
        let actual = object(at(self.created, "/NetworkSettings/Networks"));
        for (name, _) in expected.iter().chain(actual.iter().filter(|(name, _)| !expected.contains_key(*name))) {
            // The two that are none.
            if mode == name && matches!(mode, "host" | "none") {
                continue;
            }
            let path = step("/NetworkSettings/Networks", name);
            let (Some(one), Some(other)) = (field(expected, name).as_object(), field(&actual, name).as_object()) else {
                self.push(&path, field(expected, name), field(&actual, name));
                continue;
            };
            for key in ["IPAMConfig", "Links", "DriverOpts", "GwPriority"] {
                self.check(&step(&path, key), field(one, key), field(other, key));
            }
            let given = |endpoint: &Object| aliases(endpoint, self.created, self.facts).map(str::to_owned).collect();
            self.check_set(&step(&path, "Aliases"), given(one), given(other));
        }
    }

    /// Each volume that is mounted by its name is that volume.
    fn volumes(&mut self, host: &Object) {
        let mounted = items(at(self.created, "/Mounts"));
        for mount in items(field(host, "Mounts")).iter().filter(|mount| text_at(mount, "/Type") == "volume") {
            let place = clean(text_at(mount, "/Target"));
            let actual = mounted.iter().find(|mount| clean(text_at(mount, "/Destination")) == place);
            let name = actual.map_or(Value::Null, |mount| at(mount, "/Name").clone());
            if *at(mount, "/Source") != name {
                self.push(&step("/Mounts", &place), at(mount, "/Source"), &name);
            }
        }
    }
}
