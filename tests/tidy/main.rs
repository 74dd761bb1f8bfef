//! The rules of the tree that no compiler checks. A reader may rely on them, and a change that breaks one is told which and why.
//!
//! Plain text is looked at, not syntax: a rule that needed a parser would not be read by anybody. What a rule forbids therefore does not
//! stand in this file in one piece.

mod contract;
mod sources;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Packages of the contract that are not rooms: how requests are carried, and what a plugin is.
const NOT_ROOMS: [&str; 2] = ["http", "plugin"];
/// Rooms that every plugin has, without a grant.
const WITHOUT_GRANT: [&str; 2] = ["log", "config"];
/// Providers behind other rooms: no plugin sees it, so it has neither WIT nor SDK.
const WITHOUT_CONTRACT: &str = "native";

/// A capability has the same name in five places.
#[test]
fn a_capability_is_in_all_five_places() {
    let rooms = rooms();
    let grants = read("host/src/capability/mod.rs");
    let mut complaints = Vec::new();
    for room in &rooms {
        let mut places = vec![format!("host/src/capability/{room}/mod.rs"), format!("tests/api/{room}.rs")];
        if room != WITHOUT_CONTRACT {
            places.extend([format!("wit/{room}/{room}.wit"), format!("sdk/src/{room}.rs")]);
        }
        complaints.extend(places.into_iter().filter(|place| !root().join(place).is_file()).map(|place| format!("`{room}` has no {place}")));
        if !WITHOUT_GRANT.contains(&room.as_str()) && !grants.contains(&format!("section(\"{room}\")")) {
            complaints.push(format!("`{room}` has no grant: host/src/capability/mod.rs does not read its section"));
        }
    }
    assert!(rooms.len() >= 3, "too few rooms found to believe it: {rooms:?}");
    none(complaints, "see `Adding a capability` in ARCHITECTURE.md");
}

/// Every guest and every plugin has a test that bears its name. For guests the compiler says so too, unless the file is not part of the target.
#[test]
fn a_guest_or_plugin_has_a_test() {
    let guests = folders("tests/guests").into_iter().map(|name| (format!("tests/guests/{name}"), name));
    let plugins = folders("plugins").into_iter().map(|name| (format!("plugins/{name}"), name));
    let untested = guests.chain(plugins).filter(|(folder, name)| {
        let name = name.replace('-', "_");
        let named =
            |tier: &str| root().join(format!("tests/{tier}/{name}.rs")).is_file() || read_folder(tier).contains(&format!("fn {name}("));
        root().join(folder).join("Cargo.toml").is_file() && !named("api") && !named("e2e")
    });
    none(untested.map(|(folder, name)| format!("{folder} has no test {name}")).collect(), "add tests/api/NAME.rs or tests/e2e/NAME.rs");
}

/// The rooms by name: whatever is a room in one of its places.
fn rooms() -> BTreeSet<String> {
    let contract = folders("wit").into_iter().filter(|name| !NOT_ROOMS.contains(&name.as_str()));
    folders("host/src/capability").into_iter().chain(contract).collect()
}

/// All test sources of one tier as one text.
fn read_folder(tier: &str) -> String {
    files(&format!("tests/{tier}"), "rs").iter().map(|file| read(file)).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file's text; empty if it is not there.
fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_default()
}

/// The folders in `folder` by name, sorted; none if it is not there.
fn folders(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The files below `folder` that end in `.extension`, from the root, sorted. What cargo built is not looked at.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut places = vec![root().join(folder)];
    while let Some(place) = places.pop() {
        let entries: Vec<PathBuf> = std::fs::read_dir(&place).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        places.extend(entries.iter().filter(|path| path.is_dir() && !path.ends_with("target")).cloned());
        found.extend(entries.into_iter().filter(|path| path.extension().is_some_and(|found| found == extension)));
    }
    let mut found: Vec<String> = found.iter().map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()).collect();
    found.sort();
    found
}

#[track_caller]
fn none(complaints: Vec<String>, remedy: &str) {
    assert!(complaints.is_empty(), "\n  {}\n{remedy}\n", complaints.join("\n  "));
}
