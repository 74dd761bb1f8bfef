//! The policy, function by function, as a table that an operator can judge: `tests/golden/grants.txt`.
//!
//! `UPDATE_GOLDEN=1` writes it anew; then read the difference as a reviewer would.

use std::fmt::Write;
use std::path::Path;

use super::functions::{FUNCTIONS, outcome};
use super::operations::{OPERATIONS, on_operation};
use super::{DockerRoom, EVERYTHING, Plugin};
use crate::bindings::wharf::docker::containers_create::Host;
use crate::bindings::wharf::docker::types::Error;

/// The grants of the table.
const GRANTS: [(&str, &str); 8] = [
    ("nobody", ""),
    ("reader", "allow = [\"containers.read\", \"images.read\", \"networks.read\", \"volumes.read\", \"system.read\"]"),
    ("operator", "allow = [\"containers.read\", \"containers.logs\", \"containers.lifecycle\", \"system.read\"]"),
    (
        "deployer",
        "allow = [\"containers.read\", \"containers.env\", \"containers.logs\", \"containers.lifecycle\", \"containers.create\", \"containers.remove\", \
         \"images.read\", \"images.pull\"]\nnetworks = [\"lopco-network\"]\nvolumes = [\"data_cache\"]",
    ),
    (
        "keeper",
        "allow = [\"images.read\", \"images.pull\", \"images.remove\", \"images.prune\", \"distribution.read\", \"operations.read\", \"operations.cancel\"]",
    ),
    ("updater", "allow = [\"containers.read\", \"containers.recreate\", \"operations.read\", \"operations.cancel\"]"),
    ("builder", "allow = [\"images.build\", \"operations.read\", \"operations.cancel\"]"),
    ("elsewhere", ""),
];

/// What a new container may ask for, one of each kind.
const SPECIFICATIONS: [(&str, &str); 14] = [
    ("volume of the grant", r#""Binds":["data_cache:/data"]"#),
    ("port 8080", r#""PortBindings":{"80/tcp":[{"HostPort":"8080"}]}"#),
    ("volume of another", r#""Binds":["other:/data"]"#),
    ("default network", r#""NetworkMode":"bridge""#),
    ("port 80", r#""PortBindings":{"80/tcp":[{"HostPort":"80"}]}"#),
    ("privileged", r#""Privileged":true"#),
    ("host path", r#""Binds":["/srv/data:/data"]"#),
    ("host network", r#""NetworkMode":"host""#),
    ("device", r#""Devices":[{"PathOnHost":"/dev/ttyUSB0"}]"#),
    ("capability", r#""CapAdd":["NET_ADMIN"]"#),
    ("security option", r#""SecurityOpt":["seccomp=unconfined"]"#),
    ("sysctl", r#""Sysctls":{"net.core.somaxconn":"1"}"#),
    ("engine's socket", r#""Binds":["/run/docker.sock:/x"]"#),
    ("another's volumes", r#""VolumesFrom":["db"]"#),
];

/// The create grants of the table. The last has every entry that there is.
const CREATE_GRANTS: [(&str, &str); 3] = [
    ("nobody", ""),
    ("deployer", "allow = [\"containers.create\"]\nnetworks = [\"lopco-network\"]\nvolumes = [\"data_cache\"]"),
    (
        "trusted",
        "allow = [\"containers.create\"]\nnetworks = [\"lopco-network\", \"bridge\"]\n[create]\nprivileged = true\nhost_paths = [\"/srv/data\", \"/run\"]\n\
         namespaces = [\"network=host\"]\ndevices = [\"/dev/ttyUSB0\"]\ncapabilities = [\"NET_ADMIN\"]\nsecurity_options = [\"seccomp=unconfined\"]\n\
         sysctls = [\"net.core.somaxconn\"]\nlowest_port = 1",
    ),
];

fn mark(outcome: &Result<(), Error>) -> char {
    match outcome {
        Ok(()) => '✔',
        Err(Error::Denied) => '✘',
        // The object lies outside of the grant and looks absent.
        Err(Error::NotFound) => '–',
        Err(_) => '?',
    }
}

fn plugin(name: &str, grant: &str) -> Plugin {
    match name {
        "nobody" => Plugin::in_room(|_| DockerRoom::powerless()),
        "elsewhere" => Plugin::with(&format!("{EVERYTHING}\nimages = [\"registry.local/**\"]\n[containers]\nnames = [\"other-*\"]")),
        _ => Plugin::with(grant),
    }
}

async fn table() -> String {
    let mut table = String::from(
        "# What each grant allows: ✔ carried out, ✘ denied, ? another error. Written by the tests of the docker room; `elsewhere` has every power over other objects.\n",
    );
    for (function, object) in FUNCTIONS {
        let _ = write!(table, "{:<42}", format!("docker.{function}"));
        for (name, grant) in GRANTS {
            let _ = write!(table, "  {name}:{}", mark(&outcome(plugin(name, grant), function, object).await));
        }
        table.push('\n');
    }
    table.push_str("\n# Operations, one of each plugin's own and one of another's, both of which pull an image.\n");
    for (function, whose) in OPERATIONS {
        let _ = write!(table, "{:<42}", format!("docker.{function} {whose}").trim_end());
        for (name, grant) in GRANTS {
            let _ = write!(table, "  {name}:{}", mark(&on_operation(&mut plugin(name, grant), function, whose).await));
        }
        table.push('\n');
    }
    table.push_str("\n# What a new container may have. `trusted` has every entry of `grants.docker.create`.\n");
    for (what, fragment) in SPECIFICATIONS {
        let network = if fragment.contains("NetworkMode") { "" } else { r#""NetworkMode":"lopco-network","# };
        let specification = format!(r#"{{"Image":"redis:7","HostConfig":{{{network}{fragment}}}}}"#);
        let _ = write!(table, "{:<42}", format!("docker.create with {what}"));
        for (name, grant) in CREATE_GRANTS {
            let mut plugin = plugin(name, grant);
            let created = Host::create(&mut plugin.docker(), "web-2".to_owned(), specification.clone()).await;
            let _ = write!(table, "  {name}:{}", mark(&created.map(drop)));
        }
        table.push('\n');
    }
    table
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how a developer asks for the file to be written anew")]
async fn the_golden_table_is_what_the_grants_allow() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/grants.txt");
    let table = table().await;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(table, golden, "run the tests with UPDATE_GOLDEN=1 and read the difference of {}", path.display());
}
