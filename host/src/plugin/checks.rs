//! Whether a component fits this host's contract, what it was granted, and what it is configured with.
//!
//! Nothing here runs: the names of imports and what the component has said of itself are held against the settings. All that is wrong is found at once.

use std::collections::BTreeMap;

use super::describe::Description;
use super::state::InstanceState;
use crate::capability::{self, Grants};
use crate::settings::{Location, Mistake, Mistakes, PluginSettings};

/// The contract that this host offers, as the version of its packages.
pub(crate) const CONTRACT: &str = "0.1.0";

/// Whether everything that the component imports is offered and granted.
pub(super) fn check_imports(imports: &[String], settings: &PluginSettings) -> Result<(), Mistakes> {
    let mut mistakes = not_offered(imports);
    mistakes.iter_mut().for_each(|mistake| mistake.at = Some(settings.source.at.clone()));
    mistakes.extend(not_granted(imports, settings));
    if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes)) }
}

/// The imports that this host cannot meet, whatever is granted, as mistakes without a place.
pub(crate) fn not_offered(imports: &[String]) -> Vec<Mistake> {
    let rooms = capability::rooms::<InstanceState>();
    let offered: Vec<&str> = rooms.iter().flat_map(|room| room.interfaces.iter().map(|interface| interface.name)).collect();
    let mut mistakes = Vec::new();
    for import in imports.iter().filter(|import| import.starts_with("wharf:")) {
        let (base, version) = import.split_once('@').unwrap_or((import, ""));
        let shared = ["wharf:http/types", "wharf:http/outgoing"].contains(&base);
        let known = shared || offered.iter().any(|name| base_name(name) == base);
        let (message, remedy) = if !known {
            let message = format!("the component imports `{import}`, which this host does not have");
            (message, "build the plugin with an SDK that this host's README names, or use a newer host".to_owned())
        } else if !same_track(version) {
            let message = format!("the component imports `{import}`; this host offers {CONTRACT} of it");
            (message, format!("build the plugin with an SDK of the contract {CONTRACT}"))
        } else {
            continue;
        };
        mistakes.push(Mistake { at: None, message, remedy: Some(remedy) });
    }
    mistakes
}

/// The imports that need a grant and have none: a mistake for each room, with what to write.
fn not_granted(imports: &[String], settings: &PluginSettings) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for room in capability::rooms::<InstanceState>() {
        let imported =
            room.interfaces.iter().filter(|interface| imports.iter().any(|import| base_name(import) == base_name(interface.name)));
        let missing = imported.filter(|interface| interface.power.is_some_and(|power| !settings.grants.allows(room.name, power)));
        let (names, powers): (Vec<_>, Vec<_>) =
            missing.filter_map(|interface| Some((format!("`{}`", base_name(interface.name)), format!("\"{}\"", interface.power?)))).unzip();
        if names.is_empty() {
            continue;
        }
        let message = format!("plugin `{}` imports {} without a grant", settings.name.value, names.join(", "));
        let (table, powers) = (room.name, powers.join(", "));
        let remedy = if settings.grants.has(room.name) {
            format!("if it should have them, add to `allow` of its [site.plugin.grants.{table}]: {powers}")
        } else {
            format!("if it should have them, add below this plugin:\n    [site.plugin.grants.{table}]\n    allow = [{powers}]")
        };
        mistakes.push(Mistake { at: Some(settings.at.clone()), message, remedy: Some(remedy) });
    }
    mistakes
}

/// The name of an interface without its version.
fn base_name(interface: &str) -> &str {
    interface.split_once('@').map_or(interface, |(base, _)| base)
}

/// Whether an import of `version` can be met by [`CONTRACT`]: below 1.0 the minor number is the track.
fn same_track(version: &str) -> bool {
    let track = |version: &str| version.rsplit_once('.').map(|(track, _)| track.to_owned());
    track(version) == track(CONTRACT)
}

/// Whether the plugin's settings fit its schema.
pub(super) fn check_config(description: &Description, settings: &PluginSettings) -> Result<(), Mistakes> {
    let names: Vec<String> = settings.config.values.keys().chain(settings.config.secrets.keys()).map(|name| format!("`{name}`")).collect();
    if description.config.is_none() && !names.is_empty() {
        let message = format!("plugin `{}` has no settings, and `config` gives it {}", settings.name.value, names.join(", "));
        let at = settings.config.places.get("").unwrap_or(&settings.at);
        return Err(one(at, message, Some("take `config` out".to_owned())));
    }
    let validator = description.config_validator().map_err(|error| one(&settings.source.at, error.to_string(), None))?;
    let mut values = settings.config.values.clone();
    // To the schema a secret is the string that it will be.
    values.extend(settings.config.secrets.keys().map(|name| (name.clone(), serde_json::Value::from(""))));
    let values = serde_json::Value::Object(values);
    let mistakes: Vec<Mistake> = validator
        .iter_errors(&values)
        .map(|error| {
            let pointer = error.instance_path().to_string();
            let at = settings.config.places.get(&pointer).or_else(|| settings.config.places.get("")).unwrap_or(&settings.at);
            let key = pointer.trim_start_matches('/').replace('/', ".");
            let of = if key.is_empty() { "config".to_owned() } else { format!("config.{key}") };
            let remedy = description
                .config
                .as_ref()
                .and_then(|schema| schema.pointer("/properties"))
                .and_then(serde_json::Value::as_object)
                .map(|known| format!("the plugin knows {}", known.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")));
            Mistake { at: Some(at.clone()), message: format!("`{of}` of plugin `{}`: {error}", settings.name.value), remedy }
        })
        .collect();
    if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes)) }
}

/// What an operator should know of a plugin that can be loaded all the same.
pub(crate) fn warnings(wanted: &BTreeMap<String, Vec<String>>, imports: &[String], grants: &Grants, at: &Location) -> Vec<Mistake> {
    let mut warnings = Vec::new();
    for room in capability::rooms::<InstanceState>() {
        for interface in &room.interfaces {
            let Some(power) = interface.power else { continue };
            let base = base_name(interface.name);
            let imported = imports.iter().any(|import| base_name(import) == base);
            let wanted = wanted.get(room.name).is_some_and(|powers| powers.iter().any(|word| word == power));
            if grants.allows(room.name, power) && !imported {
                let message = format!("`{power}` of `grants.{}` is granted, and nothing in the component asks for it", room.name);
                warnings.push(Mistake { at: Some(at.clone()), message, remedy: Some("take it out of `allow`".to_owned()) });
            }
            if imported && !wanted {
                let message = format!("the component imports `{base}`, which its description does not account for");
                let remedy = Some("ask its author why; until then it has what it was granted".to_owned());
                warnings.push(Mistake { at: Some(at.clone()), message, remedy });
            }
        }
    }
    warnings
}

/// One mistake, at `at`.
pub(super) fn one(at: &Location, message: String, remedy: Option<String>) -> Mistakes {
    Mistakes(vec![Mistake { at: Some(at.clone()), message, remedy }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_of_the_same_track_is_accepted() {
        assert!(same_track("0.1.0") && same_track("0.1.7"));
        assert!(!same_track("0.2.0") && !same_track("1.1.0") && !same_track(""));
    }
}
