//! Rules for the contract in `wit/`.

use sha2::{Digest, Sha256};

use super::{files, none, read};

/// Where plugin authors read what changed.
const TABLE: &str = "sdk/COMPATIBILITY.md";

#[test]
fn whatever_has_a_name_of_its_own_is_documented() {
    const TYPES: [&str; 6] = ["enum ", "flags ", "interface ", "record ", "resource ", "variant "];
    let mut complaints = Vec::new();
    for file in files("wit", "wit") {
        let text = read(&file);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let described = lines[..index].iter().rev().find(|line| !line.starts_with('@')).is_some_and(|line| line.starts_with("///"));
            let is_function =
                [": func(", ": async func(", ": static func("].iter().any(|mark| line.contains(mark)) || line.starts_with("constructor(");
            let is_type = TYPES.iter().any(|word| line.starts_with(word));
            if (is_function || is_type) && !line.starts_with("//") && !described {
                complaints.push(format!("{file}:{}: {line}", index + 1));
            }
        }
    }
    none(complaints, "say before it what it is or does, in which units, what empty means and how it fails");
}

#[test]
fn an_error_can_say_that_a_plugin_may_not() {
    let mut complaints = Vec::new();
    for file in files("wit", "wit") {
        let text = read(&file);
        for body in text.split("variant error {").skip(1) {
            let cases = body.split_once('}').map_or(body, |(cases, _)| cases);
            if !cases.lines().any(|line| line.trim() == "denied,") {
                complaints.push(file.clone());
            }
        }
    }
    none(complaints, "a refusal is an answer: `denied` is a word of every package's error");
}

#[test]
fn a_change_of_the_contract_is_told_to_plugin_authors() {
    let (version, digest) = (version(), digest());
    let table = read(TABLE);
    let mut rows = table.lines().filter(|line| line.starts_with('|') && line.contains(&format!("| {version} |")));
    assert!(
        rows.next_back().is_some_and(|row| row.contains(&digest)),
        "\nthe contract in wit/ is not the one that {TABLE} tells plugin authors of.\n\
         Say there what changed for them, in the table's last row:\n\n| {version} | `{digest}` | … |\n\n\
         Replace the last row if its version was never released; add one if it was, with a new version in wit/ if anything was removed or altered.\n"
    );
}

/// The version that all packages have.
fn version() -> String {
    let files = files("wit", "wit");
    let mut versions: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let text = read(file);
            let package = text.lines().find(|line| line.starts_with("package "))?;
            Some(package.split_once('@')?.1.trim_end_matches(';').to_owned())
        })
        .collect();
    versions.dedup();
    assert_eq!(versions.len(), 1, "the packages in wit/ have one version: {versions:?}");
    versions.remove(0)
}

/// The first half of the sha256 of all files of the contract, with their names.
fn digest() -> String {
    let mut hash = Sha256::new();
    for file in files("wit", "wit") {
        hash.update(file.as_bytes());
        hash.update([0]);
        hash.update(read(&file).as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
