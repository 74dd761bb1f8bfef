//! Rules for Rust sources.

use super::{files, none, read, rooms};

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
        let forbidden: Vec<String> = rooms.chain(["crate::http".to_owned(), "crate::plugin".to_owned()]).collect();
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
fn no_test_is_ignored_or_wants_a_panic() {
    let forbidden = ["#[ignore", "#[should_panic"];
    let lines = lines().into_iter().filter(|(_, line)| forbidden.iter().any(|attribute| line.trim_start().starts_with(attribute)));
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
            let found = forbidden.iter().find(|word| line.contains(word.as_str()));
            places.extend(found.map(|word| format!("{file}:{} has `{word}`", number + 1)));
        }
    }
    places
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
