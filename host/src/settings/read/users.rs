//! Who may come into a site: `[[site.user]]`, `session_secs`, `trusted_origins`.
//!
//! What stands where a hash should is perhaps a password, so no message shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::secret;
use crate::backend::users::{Hashed, check_role, check_user_name};
use crate::settings::location::Located;
use crate::settings::report::quoted;
use crate::settings::section::Section;
use crate::settings::tree::Value;
use crate::settings::{AccessSettings, HashSource, UserSettings};

/// A working day: who comes in the morning is not asked again before the evening.
const SESSION_SECS: u64 = 12 * 3_600;

/// Reads what a `[[site]]` says of who may come in.
pub(super) fn read(section: &mut Section<'_>) -> AccessSettings {
    let session = section.integer("session_secs", 60..=366 * 86_400).unwrap_or(SESSION_SECS);
    let trusted_origins = section.strings("trusted_origins").unwrap_or_default();
    let trusted_origins = trusted_origins.iter().filter_map(|origin| read_origin(section, origin)).collect();
    let mut users = BTreeMap::<String, UserSettings>::new();
    for mut user in section.sections("user") {
        let Some((name, settings)) = read_user(&mut user) else { continue };
        if let Some(first) = users.get(&name.value) {
            let message = format!("there is a user {} already, at {}", quoted(&name.value), first.at);
            user.mistake(&name.at, message, Some("give one of the two another name".to_owned()));
            continue;
        }
        users.insert(name.value, settings);
    }
    AccessSettings { users, session: Duration::from_secs(session), trusted_origins }
}

fn read_user(section: &mut Section<'_>) -> Option<(Located<String>, UserSettings)> {
    let name = section.required_string("name", "name = \"admin\"");
    if let Some(name) = &name
        && let Err(rule) = check_user_name(&name.value)
    {
        section.mistake(&name.at, format!("{} cannot be the name of a user", quoted(&name.value)), Some(rule.to_owned()));
    }
    let password_hash = read_hash(section);
    let mut roles = Vec::new();
    for role in section.strings("roles").unwrap_or_default() {
        match check_role(&role.value) {
            Ok(()) => roles.push(role.value),
            Err(rule) => section.mistake(&role.at, format!("{} cannot be a role", quoted(&role.value)), Some(rule.to_owned())),
        }
    }
    roles.sort();
    roles.dedup();
    Some((name?, UserSettings { password_hash: password_hash?, roles, at: section.at() }))
}

fn read_hash(section: &mut Section<'_>) -> Option<HashSource> {
    const KEY: &str = "password_hash";
    const REMEDY: &str = "write what `wharf hash-password` prints, or where it is kept as `{ secret_file = \"path\" }`";
    if !section.has(KEY) {
        section.mistake(&section.at(), format!("missing `{KEY}` {}", section.place()), Some(REMEDY.to_owned()));
    }
    let node = section.node(KEY)?;
    match &node.value {
        Value::String(text) => match Hashed::parse(text) {
            Ok(hashed) => return Some(HashSource::Here(hashed)),
            Err(reason) => section.mistake(&section.locate(node), format!("`{KEY}` {reason}"), Some(REMEDY.to_owned())),
        },
        _ => return secret::at(section, KEY).map(HashSource::Secret),
    }
    None
}

/// An origin as browsers write it: a scheme, a host and a port that is not the scheme's own.
fn read_origin(section: &Section<'_>, origin: &Located<String>) -> Option<String> {
    let text = origin.value.to_ascii_lowercase();
    let parsed = url::Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let canonical = parsed.map(|url| url.origin().ascii_serialization());
    if canonical.as_deref() == Some(text.as_str()) {
        return canonical;
    }
    let message = format!("`trusted_origins`: {} is not an origin", quoted(&origin.value));
    let remedy = match canonical {
        Some(canonical) => format!("write {}", quoted(&canonical)),
        None => "write a scheme and a host such as `https://console.plant-a.local`, without a path".to_owned(),
    };
    section.mistake(&origin.at, message, Some(remedy));
    None
}
