//! Rules for Rust sources.

use super::{files, none, read, rooms, root};

/// Where our sources are.
const FOLDERS: [&str; 6] = ["host", "sdk", "plugins", "tests", "xtask", "examples"];

#[test]
fn a_file_opens_with_why_it_is_as_it_is() {
    let bare = sources().into_iter().filter(|(_, text)| !text.starts_with("//!"));
    none(
        bare.map(|(file, _)| file).collect(),
        "begin with a `//!` header: what this is, where its input comes from, what it must never do",
    );
}

#[test]
fn a_long_file_has_a_reason() {
    let long = sources().into_iter().filter(|(_, text)| {
        let header = text.lines().take_while(|line| line.starts_with("//!"));
        text.lines().count() > 500 && !header.map(str::to_owned).collect::<String>().contains("Over 500 lines because")
    });
    none(long.map(|(file, _)| file).collect(), "divide it, or say in its header: `Over 500 lines because …`");
}

#[test]
fn a_room_knows_neither_other_rooms_nor_what_is_above() {
    let rooms = rooms();
    let mut complaints = Vec::new();
    for room in &rooms {
        let others = rooms.iter().filter(|other| *other != room);
        let rooms = others.flat_map(|other| [format!("capability::{other}::"), format!("capability::{other};")]);
        // A list of paths would hide where it leads.
        let lists = ["crate::{", "capability::{", "capability::*"].map(str::to_owned);
        let forbidden: Vec<String> = rooms.chain(["crate::http".to_owned(), "crate::plugin".to_owned()]).chain(lists).collect();
        complaints.extend(uses(&format!("host/src/capability/{room}"), &forbidden));
    }
    complaints.extend(uses("host/src/plugin", &["crate::http".to_owned()]));
    complaints.extend(uses("host/src/backend", &["crate::http".to_owned(), "crate::plugin".to_owned()]));
    none(complaints, "knowledge flows one way, http -> plugin -> capability -> backend; what two rooms need lies in host/src/backend");
}

#[test]
fn the_engines_client_is_known_in_one_place() {
    let client = ["bollard", "::"].concat();
    let outside = sources().into_iter().filter(|(file, _)| !file.starts_with("host/src/backend/engine"));
    none(outside.filter(|(_, text)| text.contains(&client)).map(|(file, _)| file).collect(), "go through host/src/backend/engine");
}

#[test]
fn a_file_is_part_of_a_crate() {
    let declared = |file: &str| {
        let (folder, name) = file.rsplit_once('/').unwrap();
        let (parent, name) = match name {
            "mod.rs" => folder.rsplit_once('/').unwrap(),
            name => (folder, name.trim_end_matches(".rs")),
        };
        let parents = [format!("{parent}/mod.rs"), format!("{parent}/main.rs"), format!("{parent}/lib.rs"), format!("{parent}.rs")];
        parents.iter().any(|parent| read(parent).lines().any(|line| line.trim().ends_with(&format!("mod {name};"))))
    };
    // What cargo finds by itself, or is told of.
    let is_crate = |file: &str| {
        let (folder, name) = file.rsplit_once('/').unwrap();
        let package = folder.rsplit_once('/').map_or("", |(package, _)| package);
        matches!(name, "main.rs" | "lib.rs" | "build.rs")
            || read(&format!("{folder}/Cargo.toml")).contains(&format!("path = \"{name}\""))
            || read(&format!("{package}/Cargo.toml")).contains(&format!("path = \"src/{name}\""))
            || folder.ends_with("/tests") && root().join(package).join("Cargo.toml").is_file()
    };
    let lost = sources().into_iter().map(|(file, _)| file).filter(|file| !is_crate(file) && !declared(file));
    none(lost.collect(), "no `mod` names this file, so nobody compiles it and its tests do not run");
}

#[test]
fn no_test_is_ignored_or_wants_a_panic() {
    let words = ["ignore", "should_panic"];
    let lines = lines().into_iter().filter(|(_, line)| {
        let is_conditional = line.contains("cfg_attr(");
        words.iter().any(|word| line.contains(&format!("#[{word}")) || is_conditional && line.contains(word))
    });
    none(lines.map(|(place, _)| place).collect(), "a test runs and checks a value, or is not there");
}

#[test]
fn what_is_left_to_do_has_a_link() {
    let word = ["TO", "DO"].concat();
    let lines = lines().into_iter().filter(|(_, line)| line.contains(&word) && !line.contains("https://"));
    none(lines.map(|(place, _)| place).collect(), "name the issue by its address, or do it now");
}

/// The places below `folder` where a line of code has one of `forbidden`.
fn uses(folder: &str, forbidden: &[String]) -> Vec<String> {
    let mut places = Vec::new();
    for (file, text) in sources().into_iter().filter(|(file, _)| file.starts_with(&format!("{folder}/"))) {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let line = absolute(&file, line);
            let found = forbidden.iter().find(|word| line.contains(word.as_str()));
            places.extend(found.map(|word| format!("{file}:{} has `{word}`", number + 1)));
        }
    }
    places
}

/// `line` of the host's `file` with its first path from the crate's root, if it begins with `super`.
fn absolute(file: &str, line: &str) -> String {
    let Some(start) = line.find("super::") else { return line.to_owned() };
    let (before, mut path) = line.split_at(start);
    let module = file.trim_start_matches("host/src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let mut module: Vec<&str> = module.split('/').collect();
    while let Some(rest) = path.strip_prefix("super::") {
        module.pop();
        path = rest;
    }
    module.push(path);
    format!("{before}crate::{}", module.join("::"))
}

#[test]
fn a_path_that_begins_above_is_seen_through() {
    let file = "host/src/capability/docker/host/create.rs";
    assert_eq!(absolute(file, "use super::super::error::Failure;"), "use crate::capability::docker::error::Failure;");
    assert_eq!(absolute(file, "use super::super::super::log::Meter;"), "use crate::capability::log::Meter;");
    assert_eq!(absolute("host/src/capability/docker/mod.rs", "use super::log::Meter;"), "use crate::capability::log::Meter;");
    assert_eq!(absolute(file, "let x = 1;"), "let x = 1;");
}

/// Every source with its text.
fn sources() -> Vec<(String, String)> {
    let files: Vec<String> = FOLDERS.iter().flat_map(|folder| files(folder, "rs")).collect();
    assert!(files.len() > 30, "too few sources found to believe it: {}", files.len());
    files.into_iter().map(|file| (read(&file), file)).map(|(text, file)| (file, text)).collect()
}

/// Every line of every source with its place.
fn lines() -> Vec<(String, String)> {
    let numbered = |(file, text): (String, String)| {
        text.lines().enumerate().map(|(number, line)| (format!("{file}:{}", number + 1), line.to_owned())).collect::<Vec<_>>()
    };
    sources().into_iter().flat_map(numbered).collect()
}
