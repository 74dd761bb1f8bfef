//! `[docker_hub]`: whom the host asks what Docker Hub tells beyond the protocol of registries, and where. Written once over all files.
//!
//! Each address can be replaced, for a site that reaches Docker Hub only through a proxy of its own, or not at all.

use url::Url;

use super::addresses::server_address;
use crate::backend::reference::is_domain;
use crate::settings::location::Located;
use crate::settings::report::{instead_of, quoted};
use crate::settings::section::Section;
use crate::settings::{DockerHubSettings, SearchProvider};

/// Where Docker Hub answers.
const HUB: &str = "https://hub.docker.com";

/// The providers by the words for them, in the order in which they are asked unless it is written.
const PROVIDERS: [(&str, SearchProvider); 3] = [("v4", SearchProvider::V4), ("v2", SearchProvider::V2), ("engine", SearchProvider::Engine)];

/// What holds without the table.
pub(super) fn defaults() -> DockerHubSettings {
    let Ok(hub) = Url::parse(HUB) else { unreachable!("the address of Docker Hub is one") };
    let search = PROVIDERS.map(|(_, provider)| provider).to_vec();
    DockerHubSettings { search, search_v4: hub.clone(), search_v2: hub.clone(), tags: hub, engine_index: None }
}

/// Reads `[docker_hub]`.
pub(super) fn read(section: &mut Section<'_>) -> DockerHubSettings {
    let mut settings = defaults();
    if let Some(words) = section.strings("search") {
        settings.search = read_providers(section, &words);
    }
    for (key, address) in [("search_v4", &mut settings.search_v4), ("search_v2", &mut settings.search_v2), ("tags", &mut settings.tags)] {
        if let Some(written) = section.string(key)
            && let Some(url) = server_address(section, key, &written)
        {
            *address = url;
        }
    }
    if let Some(index) = section.string("engine_index") {
        if index.value.contains(['.', ':']) && is_domain(&index.value) {
            settings.engine_index = Some(index.value);
        } else {
            let message = format!("`engine_index`: {} is not an index that an engine knows as one", quoted(&index.value));
            let remedy = "write its host with a dot or a port in it, such as `127.0.0.1:5000`, without a scheme".to_owned();
            section.mistake(&index.at, message, Some(remedy));
        }
    }
    settings
}

fn read_providers(section: &Section<'_>, words: &[Located<String>]) -> Vec<SearchProvider> {
    let mut providers = Vec::new();
    for word in words {
        match PROVIDERS.iter().find(|(known, _)| *known == word.value) {
            None => {
                let remedy = instead_of(&word.value, "providers", PROVIDERS.iter().map(|(known, _)| *known));
                section.mistake(&word.at, format!("`search`: there is no provider {}", quoted(&word.value)), Some(remedy));
            }
            Some((_, provider)) if providers.contains(provider) => {
                section.mistake(&word.at, format!("`search`: {} is there twice", quoted(&word.value)), Some("name it once".to_owned()));
            }
            Some((_, provider)) => providers.push(*provider),
        }
    }
    providers
}
