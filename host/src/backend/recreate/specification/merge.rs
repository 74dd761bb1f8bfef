//! What a container has of its user and what of its image.
//!
//! When it creates a container the engine merges the image's configuration into the user's and keeps the result alone, so nothing says afterwards who had said what. [`merge`] is the engine's
//! (`merge` and `mergeAndVerifyConfig` of moby, the same from 17.06 to 29), and [`intent`] its inverse against the image that the container was created from. Whoever copies the result instead pins the old image's
//! environment, command and labels for ever.
//!
//! One case cannot be told: a user who said what the image said anyway. It counts as the image's, and the preview shows it. All else is exact, and a property test holds
//! `merge(intent(merge(user, image), image), image) == merge(user, image)` but for the order of the environment.
//!
//! Null and `[]` are different in `Entrypoint`: null takes the image's, `[]` is none, and `[""]` is none that does not take the image's command either; the engine stores the last as null.

use serde_json::{Value, json};

use super::json::{Object, clean, entries, field, is_zero, items, object, put, remove, text, texts, without_nulls};

/// The parts of a health check, each of which is the image's if the user gave none.
const HEALTH_CHECK: [&str; 6] = ["Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"];

/// The configuration of a container that a user creates with `user` from an image with `image`, both `Config` of the API.
pub(super) fn merge(user: &Object, image: &Object) -> Object {
    let mut merged = without_nulls(user.clone());
    for key in ["User", "WorkingDir", "StopSignal"] {
        if text(&merged, key).is_empty() {
            take(&mut merged, image, key);
        }
    }
    for key in ["ExposedPorts", "Volumes"] {
        merge_keys(&mut merged, image, key);
    }
    merge_environment(&mut merged, image);
    let mut labels = object(field(image, "Labels"));
    labels.extend(object(field(&merged, "Labels")));
    merged.insert("Labels".to_owned(), Value::Object(labels));
    merge_command(&mut merged, image);
    merge_health_check(&mut merged, image);
    merged
}

/// What a user gave who got `merged` from an image with `image`.
pub(super) fn intent(merged: &Object, image: &Object) -> Object {
    let mut user = without_nulls(merged.clone());
    for key in ["User", "WorkingDir", "StopSignal"] {
        let (own, of_image) = (text(&user, key), text(image, key));
        // The engine keeps the directory cleaned.
        let is_same_directory = key == "WorkingDir" && !own.is_empty() && !of_image.is_empty() && clean(own) == clean(of_image);
        if own == of_image || is_same_directory {
            user.shift_remove(key);
        }
    }
    for key in ["ExposedPorts", "Volumes", "Labels"] {
        let of_image = field(image, key);
        let own = entries(field(&user, key)).filter(|(name, value)| of_image.get(name.as_str()) != Some(*value));
        let own: Object = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        put(&mut user, key, if own.is_empty() { Value::Null } else { Value::Object(own) });
    }
    let environment = own_environment(field(merged, "Env"), field(image, "Env"));
    put(&mut user, "Env", if environment.is_empty() { Value::Null } else { json!(environment) });
    invert_command(&mut user, image);
    invert_health_check(&mut user, image);
    user
}

/// The name of a variable in an entry of `Env`, which may have no value at all.
pub(super) fn variable(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// Gives `merged` what the image has of `key`.
fn take(merged: &mut Object, image: &Object, key: &str) {
    put(merged, key, field(image, key).clone());
}

fn merge_keys(merged: &mut Object, image: &Object, key: &str) {
    let mut union = object(field(merged, key));
    if union.is_empty() {
        take(merged, image, key);
        return;
    }
    for (name, value) in entries(field(image, key)) {
        union.entry(name).or_insert_with(|| value.clone());
    }
    merged.insert(key.to_owned(), Value::Object(union));
}

fn merge_environment(merged: &mut Object, image: &Object) {
    let mut environment: Vec<String> = texts(field(merged, "Env")).map(str::to_owned).collect();
    if environment.is_empty() {
        take(merged, image, "Env");
        return;
    }
    for entry in texts(field(image, "Env")) {
        if !environment.iter().any(|own| variable(own) == variable(entry)) {
            environment.push(entry.to_owned());
        }
    }
    merged.insert("Env".to_owned(), json!(environment));
}

fn merge_command(merged: &mut Object, image: &Object) {
    if items(field(merged, "Entrypoint")).is_empty() {
        if items(field(merged, "Cmd")).is_empty() {
            take(merged, image, "Cmd");
        }
        if field(merged, "Entrypoint").is_null() {
            take(merged, image, "Entrypoint");
        }
    }
    if is_none_at_all(field(merged, "Entrypoint")) {
        merged.shift_remove("Entrypoint");
    }
}

/// Whether this is `[""]`.
fn is_none_at_all(entrypoint: &Value) -> bool {
    matches!(items(entrypoint), [only] if only == "")
}

fn merge_health_check(merged: &mut Object, image: &Object) {
    let Some(of_image) = field(image, "Healthcheck").as_object() else { return };
    let Some(own) = field(merged, "Healthcheck").as_object() else {
        take(merged, image, "Healthcheck");
        return;
    };
    let mut check = own.clone();
    for part in HEALTH_CHECK {
        if is_zero(field(&check, part)) {
            take(&mut check, of_image, part);
        }
    }
    merged.insert("Healthcheck".to_owned(), Value::Object(check));
}

/// The entries of `merged` that are not of the image.
///
/// A variable that stands there several times, in either list, is a case of its own: the engine takes over the image's list as it is when the user has none, and only the first of each name otherwise.
fn own_environment(merged: &Value, image: &Value) -> Vec<String> {
    let of_image: Vec<&str> = texts(image).collect();
    let all: Vec<&str> = texts(merged).collect();
    if all == of_image {
        return Vec::new();
    }
    let first = |name: &str| of_image.iter().find(|entry| variable(entry) == name);
    let is_of_image = |entry: &str| first(variable(entry)) == Some(&entry);
    let is_alone = |entry: &str, list: &[&str]| list.iter().filter(|other| variable(other) == variable(entry)).count() == 1;
    let own: Vec<&str> = all.iter().copied().filter(|entry| !(is_of_image(entry) && is_alone(entry, &all))).collect();
    let own = match own.is_empty() {
        // Something must stay, or the engine would take over the image's doubles too.
        true => all.into_iter().filter(|entry| !is_alone(entry, &of_image)).collect(),
        false => own,
    };
    own.into_iter().map(str::to_owned).collect()
}

fn invert_command(user: &mut Object, image: &Object) {
    let (entrypoint, command) = (field(user, "Entrypoint"), field(user, "Cmd"));
    let is_images_command = items(command) == items(field(image, "Cmd"));
    let of_image = field(image, "Entrypoint");
    if entrypoint.is_null() && !of_image.is_null() && !is_none_at_all(of_image) {
        user.insert("Entrypoint".to_owned(), json!([""]));
        return;
    }
    let is_images_entrypoint = entrypoint == of_image || entrypoint.is_null();
    let drop: &[&str] = match (is_images_entrypoint, items(entrypoint).is_empty()) {
        (true, _) if is_images_command => &["Entrypoint", "Cmd"],
        // With the image's entrypoint left out its command would come back.
        (true, false) if items(command).is_empty() => &[],
        (true, _) => &["Entrypoint"],
        (false, true) if is_images_command => &["Cmd"],
        (false, _) => &[],
    };
    remove(user, drop);
}

fn invert_health_check(user: &mut Object, image: &Object) {
    let (Some(of_image), Some(own)) = (field(image, "Healthcheck").as_object(), field(user, "Healthcheck").as_object()) else { return };
    let mut check = own.clone();
    check.retain(|part, value| !is_zero(value) && field(of_image, part) != value);
    put(user, "Healthcheck", if check.is_empty() { Value::Null } else { Value::Object(check) });
}
