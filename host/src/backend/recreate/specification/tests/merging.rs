//! What is of the user and what of the image, by examples and by generated configurations.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::super::json::{Object, field, is_zero, items, object};
use super::super::merge::{intent, merge};

/// What `user` is after it went through the engine and back, on `image`, both as they are given to `merge`.
#[track_caller]
fn check_intent(merged: &Value, image: &Value, user: &Value) {
    assert_eq!(Value::Object(intent(&object(merged), &object(image))), *user);
}

#[test]
fn what_the_image_says_is_the_images() {
    let image = json!({ "User": "app", "WorkingDir": "/app/", "StopSignal": "SIGQUIT", "Env": ["PATH=/bin", "A=1"], "Labels": { "x": "1" }, "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/data": {} } });
    let merged = json!({ "User": "app", "WorkingDir": "/app", "StopSignal": "SIGQUIT", "Env": ["B=2", "A=3", "PATH=/bin"], "Labels": { "x": "1", "y": "2" },
        "ExposedPorts": { "80/tcp": {}, "81/tcp": {} }, "Volumes": { "/data": {}, "/own": {} }, "Tty": true });
    let user =
        json!({ "Env": ["B=2", "A=3"], "Labels": { "y": "2" }, "ExposedPorts": { "81/tcp": {} }, "Volumes": { "/own": {} }, "Tty": true });
    check_intent(&merged, &image, &user);
    check_intent(&image, &image, &json!({}));
}

#[test]
fn a_command_is_told_from_the_images() {
    let image = json!({ "Entrypoint": ["run"], "Cmd": ["serve"] });
    let check =
        |entrypoint: Value, command: Value, user: Value| check_intent(&json!({ "Entrypoint": entrypoint, "Cmd": command }), &image, &user);
    check(json!(["run"]), json!(["serve"]), json!({}));
    check(json!(["run"]), json!(["other"]), json!({ "Cmd": ["other"] }));
    // Given the image's entrypoint alone, a user gets no command.
    check(json!(["run"]), json!(null), json!({ "Entrypoint": ["run"] }));
    check(json!(["own"]), json!(["serve"]), json!({ "Entrypoint": ["own"], "Cmd": ["serve"] }));
    check(json!([]), json!(["serve"]), json!({ "Entrypoint": [] }));
    check(json!([]), json!(["other"]), json!({ "Entrypoint": [], "Cmd": ["other"] }));
    // The engine stores `[""]` as null.
    check(json!(null), json!(["serve"]), json!({ "Entrypoint": [""], "Cmd": ["serve"] }));
    check_intent(&json!({ "Entrypoint": null, "Cmd": ["x"] }), &json!({ "Cmd": ["x"] }), &json!({}));
    check_intent(&json!({ "Entrypoint": null, "Cmd": ["y"] }), &json!({ "Cmd": ["x"] }), &json!({ "Cmd": ["y"] }));
    check_intent(&json!({ "Entrypoint": [], "Cmd": ["y"] }), &json!({ "Cmd": ["x"] }), &json!({ "Entrypoint": [], "Cmd": ["y"] }));
}

#[test]
fn a_health_check_is_taken_apart() {
    let image = json!({ "Healthcheck": { "Test": ["CMD", "check"], "Interval": 5, "StartInterval": 1, "Retries": 3 } });
    let check = |merged: Value, user: Value| check_intent(&json!({ "Healthcheck": merged }), &image, &user);
    check(image["Healthcheck"].clone(), json!({}));
    let slower = json!({ "Test": ["CMD", "check"], "Interval": 9, "StartInterval": 1, "Retries": 3 });
    check(slower, json!({ "Healthcheck": { "Interval": 9 } }));
    let starting = json!({ "Test": ["CMD", "check"], "Interval": 5, "StartInterval": 2, "Retries": 3, "StartPeriod": 7 });
    check(starting, json!({ "Healthcheck": { "StartInterval": 2, "StartPeriod": 7 } }));
    let none = json!({ "Test": ["NONE"], "Interval": 5, "StartInterval": 1, "Retries": 3 });
    check(none, json!({ "Healthcheck": { "Test": ["NONE"] } }));
    check_intent(&json!({ "Healthcheck": { "Test": ["CMD", "own"] } }), &json!({}), &json!({ "Healthcheck": { "Test": ["CMD", "own"] } }));
}

#[test]
fn a_new_image_brings_what_is_its_own() {
    let (old, new) = (
        json!({ "Env": ["V=1", "GONE=1"], "Cmd": ["old"], "Labels": { "version": "1" } }),
        json!({ "Env": ["V=2"], "Cmd": ["new"], "Labels": { "version": "2" } }),
    );
    let container = json!({ "Env": ["OWN=x", "V=1", "GONE=1"], "Cmd": ["old"], "Labels": { "version": "1", "own": "y" } });
    let user = intent(&object(&container), &object(&old));
    let merged = merge(&user, &object(&new));
    assert_eq!(Value::Object(merged), json!({ "Env": ["OWN=x", "V=2"], "Cmd": ["new"], "Labels": { "version": "2", "own": "y" } }));
}

/// A value, null, or nothing at all.
fn maybe(value: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(Value::Null)), 4 => value.prop_map(Some)]
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Option<Value>> {
    maybe(select(words).prop_map(Value::from))
}

fn words(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    vec(select(words), 0..4).prop_map(Value::from)
}

fn keys(names: &'static [&'static str], values: &'static [&'static str]) -> impl Strategy<Value = Option<Value>> {
    let value = select(values).prop_map(|value| if value.is_empty() { json!({}) } else { json!(value) });
    maybe(btree_map(select(names).prop_map(str::to_owned), value, 0..3).prop_map(|map| json!(map)))
}

fn health_check() -> impl Strategy<Value = Option<Value>> {
    let test = maybe(select(vec![json!([]), json!(["NONE"]), json!(["CMD", "a"]), json!(["CMD-SHELL", "b"])]));
    let numbers = vec(option::of(0..3_i64), 5);
    maybe((test, numbers).prop_map(|(test, numbers)| {
        let names = ["Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"];
        let numbers = names.iter().zip(numbers).filter_map(|(name, number)| Some(((*name).to_owned(), json!(number?))));
        let check: Object = test.map(|test| ("Test".to_owned(), test)).into_iter().chain(numbers).collect();
        Value::Object(check)
    }))
}

/// A configuration of few words, so that a user and an image often say the same.
fn configuration() -> impl Strategy<Value = Object> {
    let entrypoint = select(vec![json!([]), json!([""]), json!(["run"]), json!(["run", "-x"]), json!(["own"])]);
    let command = select(vec![json!([]), json!(["serve"]), json!(["serve", "-x"]), json!([""])]);
    let parts = (
        (word(&["", "0", "app"]), word(&["", "/", "/app", "/srv"]), word(&["", "SIGTERM", "SIGINT"])),
        maybe(words(&["A=1", "A=2", "A", "B=", "B=x=y", "C=3", ""])),
        (maybe(entrypoint), maybe(command)),
        (keys(&["a", "b", "c"], &["1", "2"]), keys(&["80/tcp", "81/udp"], &[""]), keys(&["/data", "/more"], &[""])),
        health_check(),
        word(&["one", "two"]),
    );
    parts.prop_map(|((user, directory, signal), environment, (entrypoint, command), (labels, ports, volumes), health, domain)| {
        let names = [
            "User",
            "WorkingDir",
            "StopSignal",
            "Env",
            "Entrypoint",
            "Cmd",
            "Labels",
            "ExposedPorts",
            "Volumes",
            "Healthcheck",
            "Domainname",
        ];
        let values = [user, directory, signal, environment, entrypoint, command, labels, ports, volumes, health, domain];
        names.into_iter().zip(values).filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    })
}

/// The same for everything that the engine holds to be the same: nothing where a zero value stands (but for the entrypoint), and the environment in one order.
fn canonical(mut config: Object) -> Value {
    if let Some(Value::Array(environment)) = config.get_mut("Env") {
        environment.sort_by_key(Value::to_string);
    }
    if let Some(Value::Object(check)) = config.get_mut("Healthcheck") {
        check.retain(|_, value| !is_zero(value));
    }
    config.retain(|key, value| !value.is_null() && (key == "Entrypoint" || key == "Healthcheck" || !is_zero(value)));
    let sorted: std::collections::BTreeMap<String, Value> = config.into_iter().collect();
    json!(sorted)
}

/// Whether the engine refuses to create this container, as it runs nothing.
fn runs_nothing(merged: &Object) -> bool {
    items(field(merged, "Entrypoint")).is_empty() && items(field(merged, "Cmd")).is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn the_intent_merges_to_the_same_again(user in configuration(), image in configuration()) {
        let merged = merge(&user, &image);
        let intent = intent(&merged, &image);
        if !runs_nothing(&merged) {
            prop_assert_eq!(canonical(merge(&intent, &image)), canonical(merged), "by {:?}", intent);
        }
    }

    #[test]
    fn what_an_image_alone_says_is_nobodys_intent(image in configuration()) {
        let merged = merge(&Object::new(), &image);
        if !runs_nothing(&merged) {
            prop_assert_eq!(canonical(intent(&merged, &image)), json!({}));
        }
    }
}
