//! The plugin's settings, with the names that the product's own installation uses.

use serde::Deserialize;

pub(crate) const NETWORK: &str = "lopco-network";
pub(crate) const DATA_CACHE_VOLUME: &str = "data_cache";

/// `config` of the plugin in `wharf.toml`.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// The network that deployed containers join, by name.
    pub(crate) network: String,
    /// The volume that deployed containers share, by name.
    pub(crate) data_cache_volume: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { network: NETWORK.to_owned(), data_cache_volume: DATA_CACHE_VOLUME.to_owned() }
    }
}
