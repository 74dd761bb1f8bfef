//! What is mounted in a container, so that the new one has all of it.
//!
//! `Binds`, `Mounts` and `Tmpfs` are carried on as they are. What was mounted without being named there is found in the container's own list, and named: **anonymous volumes**, which would be replaced by new, empty ones, those
//! that the old image declares and the new one does not among them; and what came from a container that is gone (`VolumesFrom`).
//!
//! A volume that gets its name here is not filled with what the image has at its place (`NoCopy`): it is a volume in use, the new container is created while the old one still runs, and what is empty in there was emptied.
//! Some engines show a volume without its name (28 does, for a bind that is a single path); then it is read from where the volume lies, and a container with one that cannot be named is refused.
//!
//! Being named, it is no longer removed with a container that removes itself (`AutoRemove`); nothing tells the engine both to take this volume and to remove it later.

use serde_json::{Value, json};

use super::Refusal;
use super::json::{Object, at, clean, entries, field, items, object, put, text, text_at, texts};
use super::references::{Directory, mounts_of_sources, volumes_from};

/// Puts into `host` what the inspected `container` has mounted.
pub(super) fn mounts(host: &mut Object, container: &Value, directory: &Directory<'_>) -> Result<(), Refusal> {
    let mounted = items(at(container, "/Mounts"));
    // A single path is an anonymous volume.
    let binds: Vec<Value> =
        items(field(host, "Binds")).iter().filter(|bind| bind.as_str().is_none_or(|bind| bind.contains(':'))).cloned().collect();
    put_list(host, "Binds", binds);
    let mut mounts: Vec<Value> = items(field(host, "Mounts")).to_vec();
    for mount in mounts.iter_mut().filter_map(Value::as_object_mut) {
        name(mount, mounted)?;
    }
    put_list(host, "Mounts", mounts);
    // In the words of before, so that the documents of before are found.
    let kept: Vec<Value> = mounts_of_sources(host, directory).cloned().collect();
    let sources = texts(field(host, "VolumesFrom")).filter_map(|entry| {
        let (container, mode) = volumes_from(entry);
        directory.current(container).map(|container| json!(format!("{container}{mode}")))
    });
    let sources: Vec<Value> = sources.collect();
    let is_from_a_source =
        |mount: &&Value| kept.iter().any(|other| ["/Type", "/Name", "/Destination"].iter().all(|key| at(other, key) == at(mount, key)));
    let named = destinations(host);
    let unnamed = mounted.iter().filter(|mount| !named.contains(&clean(text_at(mount, "/Destination"))) && !is_from_a_source(mount));
    let mut unnamed: Vec<&Value> = unnamed.collect();
    // The engine shows them in any order.
    unnamed.sort_unstable_by_key(|mount| text_at(mount, "/Destination"));
    let mut mounts = items(field(host, "Mounts")).to_vec();
    for mount in unnamed {
        mounts.extend(spelled_out(mount)?);
    }
    put_list(host, "Mounts", mounts);
    put_list(host, "VolumesFrom", sources);
    Ok(())
}

/// The places where `Binds`, `Mounts` and `Tmpfs` mount something.
fn destinations(host: &Object) -> Vec<String> {
    let binds = texts(field(host, "Binds")).filter_map(|bind| bind.split(':').nth(1));
    let mounts = items(field(host, "Mounts")).iter().map(|mount| text_at(mount, "/Target"));
    let tmpfs = entries(field(host, "Tmpfs")).map(|(path, _)| path.as_str());
    binds.chain(mounts).chain(tmpfs).map(clean).collect()
}

/// Gives a volume of `Mounts` without a source the name that it has.
fn name(mount: &mut Object, mounted: &[Value]) -> Result<(), Refusal> {
    if text(mount, "Type") != "volume" || !text(mount, "Source").is_empty() {
        return Ok(());
    }
    let place = clean(text(mount, "Target"));
    let is_it = |other: &&Value| text_at(other, "/Type") == "volume" && clean(text_at(other, "/Destination")) == place;
    let Some(volume) = mounted.iter().find(is_it) else { return Ok(()) };
    mount.insert("Source".to_owned(), json!(volume_name(volume)?));
    let mut options = object(field(mount, "VolumeOptions"));
    options.insert("NoCopy".to_owned(), json!(true));
    mount.insert("VolumeOptions".to_owned(), Value::Object(options));
    Ok(())
}

/// An item of `Mounts` for what a container's own list says; none for what holds nothing that lasts.
fn spelled_out(mount: &Value) -> Result<Option<Value>, Refusal> {
    let target = text_at(mount, "/Destination");
    let mut spelled = match text_at(mount, "/Type") {
        "volume" => {
            let options = volume_options(text_at(mount, "/Driver"));
            json!({ "Type": "volume", "Source": volume_name(mount)?, "Target": target, "VolumeOptions": options })
        }
        "bind" => {
            let options = json!({ "Propagation": text_at(mount, "/Propagation") });
            json!({ "Type": "bind", "Source": text_at(mount, "/Source"), "Target": target, "BindOptions": options })
        }
        _ => return Ok(None),
    };
    if at(mount, "/RW") == false
        && let Some(spelled) = spelled.as_object_mut()
    {
        spelled.insert("ReadOnly".to_owned(), json!(true));
    }
    Ok(Some(spelled))
}

/// The name of a mounted volume.
fn volume_name(mount: &Value) -> Result<&str, Refusal> {
    let (name, source) = (text_at(mount, "/Name"), text_at(mount, "/Source"));
    // `…/volumes/NAME/_data`, for volumes of the engine's own driver.
    let by_place = || source.strip_suffix("/_data").and_then(|folder| folder.rsplit_once("/volumes/")).map(|(_, name)| name);
    let name = if name.is_empty() && matches!(text_at(mount, "/Driver"), "" | "local") { by_place() } else { Some(name) };
    let is_name = |name: &&str| !name.is_empty() && !name.contains('/');
    name.filter(is_name).ok_or_else(|| Refusal::NamelessVolume { path: text_at(mount, "/Destination").to_owned() })
}

fn volume_options(driver: &str) -> Value {
    match driver {
        "" | "local" => json!({ "NoCopy": true }),
        driver => json!({ "NoCopy": true, "DriverConfig": { "Name": driver } }),
    }
}

fn put_list(host: &mut Object, key: &str, list: Vec<Value>) {
    put(host, key, if list.is_empty() { Value::Null } else { Value::Array(list) });
}
