//! The room `config`: a plugin's own settings. WIT: `wit/config`. No grant: they are the plugin's.
//!
//! Values come from `config` of `[[site.plugin]]` and were checked against the plugin's schema when it was loaded. Secrets are read when they are
//! revealed and not before, so that a file may be rotated under a running host.

use wasmtime::component::{HasData, Linker};

use super::Interface;
use super::call::CallContext;
use crate::bindings::wharf::config::config;
use crate::settings::PluginConfig;

mod host;
#[cfg(test)]
mod tests;

/// What the room needs of the instance that calls it.
pub(crate) trait ConfigView: Send {
    /// The room, for one call.
    fn config(&mut self) -> ConfigCtxView<'_>;
}

/// The room as one call sees it.
pub(crate) struct ConfigCtxView<'a> {
    pub(crate) settings: &'a PluginSettingsText,
    pub(crate) call: &'a mut CallContext,
}

/// A plugin's settings in the form in which they cross.
#[derive(Debug, Default)]
pub(crate) struct PluginSettingsText {
    document: String,
    config: PluginConfig,
}

impl PluginSettingsText {
    /// The settings of `config`; an empty one is `{}`.
    pub(crate) fn new(config: PluginConfig) -> PluginSettingsText {
        let document = serde_json::Value::Object(config.values.clone()).to_string();
        PluginSettingsText { document, config }
    }
}

struct HasConfig<T>(std::marker::PhantomData<T>);

impl<T: 'static> HasData for HasConfig<T> {
    type Data<'a> = ConfigCtxView<'a>;
}

/// The room's interfaces.
pub(crate) fn interfaces<T: ConfigView + 'static>() -> Vec<Interface<T>> {
    let link = |linker: &mut Linker<T>| config::add_to_linker::<T, HasConfig<T>>(linker, T::config);
    vec![Interface { name: "wharf:config/config@0.1.0", power: None, link }]
}
