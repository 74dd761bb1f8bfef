//! What real engines answered: `tests/golden/inspect/<engine>/<case>.json`, captured by the story `specifications` of the `e2e` tests with `UPDATE_GOLDEN=1`.
//!
//! Each has a container, its image, the other containers, and what the engine made of the specifications: `same` on the same image, `new` on another one. `tests/golden/specification/` has the specifications, which a reviewer reads when
//! they change: what is zero in `HostConfig` is left out there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::json::{is_zero, object, text_at};
use super::super::{Facts, Subject, Target, differences, preview, specify};
use crate::backend::engine::ApiVersion;

/// One file.
struct Case {
    engine: String,
    name: String,
    document: Value,
    facts: Facts,
    replaced: BTreeMap<String, String>,
}

impl Case {
    fn subject(&self) -> Subject<'_> {
        let Case { document, facts, replaced, .. } = self;
        Subject {
            container: &document["container"],
            image: &document["image"],
            facts,
            others: document["others"].as_array().unwrap(),
            replaced,
        }
    }

    fn same(&self) -> Target<'_> {
        Target { reference: text_at(&self.document, "/container/Config/Image"), image: &self.document["image"] }
    }

    fn target(&self) -> Target<'_> {
        Target { reference: text_at(&self.document, "/target/reference"), image: &self.document["target"]["image"] }
    }

    /// What was created, with what it should be.
    #[track_caller]
    fn differences(&self, target: &Target<'_>, created: &Value) -> Vec<String> {
        let specification = specify(&self.subject(), target).unwrap();
        differences(&specification, target.image, created, &self.facts).iter().map(ToString::to_string).collect()
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

/// All files.
#[track_caller]
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for engine in fs::read_dir(golden().join("inspect")).unwrap() {
        let engine = engine.unwrap();
        for file in fs::read_dir(engine.path()).unwrap() {
            let file = file.unwrap().path();
            let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let api = ApiVersion::parse(document["api"].as_str().unwrap()).unwrap();
            cases.push(Case {
                engine: engine.file_name().into_string().unwrap(),
                name: file.file_stem().unwrap().to_str().unwrap().to_owned(),
                facts: Facts::read(api, &document["info"], &document["version"], None),
                document,
                replaced: BTreeMap::new(),
            });
        }
    }
    cases.sort_by(|one, other| (&one.engine, &one.name).cmp(&(&other.engine, &other.name)));
    assert!(cases.len() > 60, "the corpus is not there");
    cases
}

/// `body` without what is zero in its `HostConfig`. `[]` stays: for some keys it is not the same as nothing.
fn shown(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(host) = body["HostConfig"].as_object_mut() {
        host.retain(|_, value| !is_zero(value) || value.is_array());
    }
    body
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how a developer asks for the files to be written anew")]
fn a_container_is_specified_as_its_user_had_meant_it() {
    for case in cases() {
        let specification = specify(&case.subject(), &case.target()).unwrap();
        let changes = preview(&case.subject(), &case.target()).unwrap();
        let text = format!("{:#}\n", json!({ "body": shown(&specification.body), "connect": specification.connect, "preview": changes }));
        let path = golden().join("specification").join(&case.engine).join(format!("{}.json", case.name));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, golden, "run the tests with UPDATE_GOLDEN=1 and read the difference of {}", path.display());
    }
}

#[test]
fn what_the_engine_made_is_what_was_meant() {
    for case in cases() {
        assert_eq!(case.differences(&case.same(), &case.document["same"]), [""; 0], "{} {}", case.engine, case.name);
        assert_eq!(case.differences(&case.target(), &case.document["new"]), [""; 0], "{} {}", case.engine, case.name);
    }
}

#[test]
fn on_its_own_image_nothing_changes() {
    for case in cases() {
        assert_eq!(preview(&case.subject(), &case.same()).unwrap(), [], "{} {}", case.engine, case.name);
        // Also the second time, from what the engine made the first time.
        let again = Subject { container: &case.document["same"], ..case.subject() };
        let first = specify(&case.subject(), &case.same()).unwrap();
        let second = specify(&again, &case.same()).unwrap();
        assert_eq!((shown(&first.body), &first.connect), (shown(&second.body), &second.connect), "{} {}", case.engine, case.name);
    }
}

#[test]
fn a_preview_shows_no_value_of_the_environment() {
    for case in cases() {
        let changes = serde_json::to_string(&preview(&case.subject(), &case.target()).unwrap()).unwrap();
        let secret = ["secret", "RELEASE=1", "RELEASE=2"].into_iter().find(|secret| changes.contains(secret));
        assert_eq!(secret, None, "{} {}", case.engine, case.name);
    }
}

/// Whatever a specification says and the container has not is found.
#[test]
fn what_is_missing_in_what_was_made_is_found() {
    for case in cases() {
        let specification = specify(&case.subject(), &case.target()).unwrap();
        let parts = [("Config", &specification.body), ("HostConfig", &specification.body["HostConfig"])];
        for (part, expected) in parts {
            for (key, value) in object(expected).iter().filter(|(_, value)| !is_zero(value)) {
                // These are looked at elsewhere, or stand for the engine's default.
                let is_elsewhere = matches!(key.as_str(), "HostConfig" | "NetworkingConfig");
                if is_elsewhere
                    || *value == json!([""])
                    || value == "bridge"
                    || value == "default"
                    || matches!(value["Name"].as_str(), Some("" | "no"))
                {
                    continue;
                }
                let mut created = case.document["new"].clone();
                created[part][key] = Value::Null;
                let found = case.differences(&case.target(), &created);
                assert!(!found.is_empty(), "{} {}: {part}.{key} is gone and nobody sees it", case.engine, case.name);
            }
        }
    }
}

/// What nobody asked for is found, too.
#[test]
fn what_was_made_and_not_meant_is_found() {
    for case in cases() {
        let additions = [
            ("/Config", "Env", json!(["OTHER=1"])),
            ("/Config", "User", json!("nobody")),
            ("/Config", "Tty", json!("yes")),
            ("/Config", "NotKnownYet", json!(1)),
            ("/HostConfig", "NotKnownYet", json!(true)),
            ("/HostConfig", "Binds", json!(["/:/machine"])),
            ("/HostConfig", "CapAdd", json!(["ALL"])),
            ("/HostConfig", "NetworkMode", json!("elsewhere")),
            ("/HostConfig", "UsernsMode", json!("host")),
            ("/NetworkSettings/Networks", "elsewhere", json!({})),
        ];
        for (part, key, value) in additions {
            let mut created = case.document["new"].clone();
            created.pointer_mut(part).unwrap()[key] = value;
            assert!(!case.differences(&case.target(), &created).is_empty(), "{} {}: {key} of {part} is not seen", case.engine, case.name);
        }
        let mut created = case.document["new"].clone();
        created["Image"] = json!("sha256:another");
        assert!(!case.differences(&case.target(), &created).is_empty());
    }
}
