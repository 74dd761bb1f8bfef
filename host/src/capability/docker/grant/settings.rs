//! The grant as it stands in `wharf.toml`.
//!
//! Every mistake is reported at its place and reading goes on, so that an operator sees all of them at once. Words are checked against what there is, patterns for covering anything at all.

use super::super::super::powers::Powers;
use super::super::reference::ImageReference;
use super::{ContainerScope, CreateGrant, DockerGrant, FIRST_USER_PORT, LabelCondition, capability, is_plain_path, security_option};
use crate::backend::pattern::Pattern;
use crate::settings::location::Located;
use crate::settings::section::Section;

impl DockerGrant {
    /// Reads `[site.plugin.grants.docker]`. What is wrong is reported to the section; the answer is then not to be used.
    pub(crate) fn read(section: &mut Section<'_>) -> DockerGrant {
        let engine = section.string("engine").unwrap_or_else(|| Located { value: "default".to_owned(), at: section.at() });
        let powers = Powers::read(section);
        let containers = section.section("containers").map(read_container_scope).unwrap_or_default();
        let images =
            section.strings("images").map(|patterns| patterns.into_iter().map(|pattern| read_image_pattern(section, &pattern)).collect());
        let networks = values(section.strings("networks"));
        let volumes = section.strings("volumes").map(patterns);
        let create = section.section("create").map(read_create).unwrap_or_default();
        DockerGrant { engine, powers, containers, images, networks, volumes, create }
    }
}

fn read_container_scope(mut section: Section<'_>) -> ContainerScope {
    let names = section.strings("names").map(patterns);
    let labels = section.strings("labels").map(|labels| {
        for label in &labels {
            if label.value.is_empty() || label.value.starts_with('=') {
                section.mistake(&label.at, format!("`{}` is no label: expected `key` or `key=value`", label.value), None);
            }
        }
        labels.iter().map(|label| LabelCondition::parse(&label.value)).collect()
    });
    section.finish();
    ContainerScope { names, labels }
}

fn read_image_pattern(section: &Section<'_>, pattern: &Located<String>) -> Pattern {
    let registry = pattern.value.split('/').next().unwrap_or_default();
    let has_registry = pattern.value.contains('/') && (registry == "localhost" || registry.contains(['.', ':', '*']));
    if !has_registry && pattern.value != "**" {
        let full = ImageReference::parse(&pattern.value.replace('*', "")).map(|reference| reference.repository());
        let remedy = full.ok().map(|full| format!("write `{full}` or the like"));
        section.mistake(&pattern.at, format!("the image pattern `{}` names no registry, so that it covers nothing", pattern.value), remedy);
    }
    Pattern::new(&pattern.value)
}

fn read_create(mut section: Section<'_>) -> CreateGrant {
    let host_paths = section.strings("host_paths").unwrap_or_default();
    for path in &host_paths {
        if !is_plain_path(&path.value) {
            section.mistake(&path.at, format!("`{}` is no absolute path without `.`, `..` and double slashes", path.value), None);
        }
    }
    let namespaces = section.strings("namespaces").unwrap_or_default();
    for namespace in &namespaces {
        if !is_namespace(&namespace.value) {
            let remedy = Some("write for example `network=host` or `pid=container:NAME`".to_owned());
            section.mistake(&namespace.at, format!("`{}` is no namespace to share", namespace.value), remedy);
        }
    }
    let lowest_port = section.integer("lowest_port", 1..=u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
    let create = CreateGrant {
        privileged: section.flag("privileged").unwrap_or(false),
        host_paths: values(Some(host_paths)),
        namespaces: values(Some(namespaces)),
        devices: values(section.strings("devices")),
        device_requests: section.flag("device_requests").unwrap_or(false),
        capabilities: values(section.strings("capabilities")).iter().map(|name| capability(name)).collect(),
        security_options: values(section.strings("security_options")).iter().map(|option| security_option(option)).collect(),
        cgroup_parents: values(section.strings("cgroup_parents")),
        runtimes: values(section.strings("runtimes")),
        sysctls: values(section.strings("sysctls")),
        lowest_port: lowest_port.unwrap_or(FIRST_USER_PORT),
        guarded_socket: None,
    };
    section.finish();
    create
}

fn is_namespace(text: &str) -> bool {
    match text.split_once('=') {
        Some(("network" | "pid" | "ipc", mode)) => mode == "host" || mode.strip_prefix("container:").is_some_and(|name| !name.is_empty()),
        Some(("uts" | "userns" | "cgroupns", mode)) => mode == "host",
        _ => false,
    }
}

fn patterns(texts: Vec<Located<String>>) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(&text.value)).collect()
}

fn values(texts: Option<Vec<Located<String>>>) -> Vec<String> {
    texts.unwrap_or_default().into_iter().map(|text| text.value).collect()
}
