//! The plugin's settings: `config` of its `[[site.plugin]]` in `wharf.toml`.
//!
//! The host has checked them against the schema of the plugin's [`Description`](crate::Description) before the plugin runs. They do not change during the life of
//! an instance, so a plugin that needs them for each request may keep what it read.

use serde::de::DeserializeOwned;

pub use crate::error::Error;
use crate::host::with;

/// Reads the settings. Secrets are not among them; see [`reveal`].
///
/// ```
/// use wharf_sdk::{Error, config, fake};
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     greeting: String,
///     #[serde(default)]
///     loud: bool,
/// }
///
/// fn greeting() -> Result<String, Error> {
///     let settings: Settings = config::get()?;
///     Ok(if settings.loud { settings.greeting.to_uppercase() } else { settings.greeting })
/// }
///
/// let host = fake::Host::install();
/// host.config(serde_json::json!({"greeting": "hi"}));
/// assert_eq!(greeting(), Ok("hi".to_owned()));
/// ```
///
/// # Errors
///
/// [`Error::Internal`] when they are not of the shape of `T`, which the plugin's schema should have kept away. Give each field that may be absent a
/// `#[serde(default)]`.
pub fn get<T: DeserializeOwned>() -> Result<T, Error> {
    let document = with(|host| host.config_document());
    serde_json::from_str(&document).map_err(|error| Error::Internal(format!("the plugin's settings are not what it reads: {error}")))
}

/// The value of the top-level setting `name`, which `wharf.toml` gives as `{ secret_file = "…" }` or `{ secret_env = "…" }`.
///
/// The trailing line break of a file is not part of it. Each call is written to the host's audit log, without the value.
///
/// # Errors
///
/// [`Error::NotFound`] when there is no secret of this name; [`Error::Unavailable`] when its file cannot be read.
pub fn reveal(name: &str) -> Result<String, Error> {
    with(|host| host.config_reveal(name))
}
