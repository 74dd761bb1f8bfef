//! `/instances`: containers of images.
//!
//! An instance of this API is a row, and its container is what `params.name` names. One that was only recorded and names no container has none.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use wharf_sdk::docker::containers_lifecycle;
use wharf_sdk::docker::containers_read::{self, ContainerFilter, ContainerSummary};
use wharf_sdk::docker::containers_remove::{self, RemoveOptions};
use wharf_sdk::storage::sql::Row;
use wharf_sdk::tracing::info;
use wharf_sdk::{Error, Request, Response};

use crate::database;
use crate::failure::Failure;
use crate::kind::Kind;
use crate::query::{self, path_id, switch};
use crate::removal;
use crate::stored::{self, Stored};

mod create;
mod ports;
mod settle;

pub(crate) use create::create;
pub(crate) use settle::settle;

/// The label that says which instance a container is.
pub(crate) const TOKEN_LABEL: &str = "wharf.model-images.instance";

const CONTAINER_TYPE: &str = "ebonite.build.docker.DockerContainer";

#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) id: i64,
    image_id: i64,
    environment_id: i64,
    author: String,
    creation_date: String,
    /// The container's name.
    pub(crate) container: Option<String>,
    /// The label of the container, if this plugin has started it.
    token: String,
    /// Ports of the machine by ports of the container.
    ports: Option<Map<String, Value>>,
}

impl Stored for Instance {
    const KIND: Kind = Kind::Instance;
    const COLUMNS: &'static str = "name, id, image_id, environment_id, author, creation_date, container, ports, token";

    fn read(row: &Row) -> Result<Instance, Error> {
        let ports = row.get::<Option<String>>("ports")?.map(|ports| serde_json::from_str(&ports)).transpose();
        Ok(Instance {
            name: row.get("name")?,
            id: row.get("id")?,
            image_id: row.get("image_id")?,
            environment_id: row.get("environment_id")?,
            author: row.get("author")?,
            creation_date: row.get("creation_date")?,
            container: row.get("container")?,
            token: row.get("token")?,
            ports: ports.map_err(|error| Error::Internal(format!("ports of an instance: {error}")))?,
        })
    }
}

/// An instance and how its container is.
struct Shown<'a> {
    instance: &'a Instance,
    /// None if it has no container.
    status: Option<&'static str>,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Instance { name, id, image_id, environment_id, author, creation_date, container, ports, .. } = self.instance;
        let mut params = Map::new();
        if let Some(container) = container {
            params.insert("name".to_owned(), json!(container));
        }
        if let Some(ports) = ports {
            params.insert("ports_mapping".to_owned(), json!(ports));
        }
        params.insert("type".to_owned(), json!(CONTAINER_TYPE));
        let mut shown = json!({
            "name": name,
            "id": id,
            "image_id": image_id,
            "environment_id": environment_id,
            "author": author,
            "creation_date": creation_date,
            "params": params,
        });
        if let (Some(status), Some(shown)) = (self.status, shown.as_object_mut()) {
            shown.insert("status".to_owned(), json!(status));
        }
        shown.serialize(serializer)
    }
}

/// `instances` with the state of their containers, for which the engine is asked once.
fn show(instances: &[Instance]) -> Result<Vec<Shown<'_>>, Failure> {
    let containers = if instances.iter().any(|instance| instance.container.is_some()) { containers()? } else { Vec::new() };
    let status = |instance: &Instance| {
        instance.container.as_ref()?;
        let is_up = instance.container_among(&containers).is_some_and(|container| container.state == "running");
        Some(if is_up { "ok" } else { "failed" })
    };
    Ok(instances.iter().map(|instance| Shown { instance, status: status(instance) }).collect())
}

/// All containers.
fn containers() -> Result<Vec<ContainerSummary>, Error> {
    containers_read::list(&ContainerFilter { all: true, labels: Vec::new() })
}

impl Instance {
    /// The one of `containers` that has the name of this instance's, unless it says that it is another instance's: then that one was started after this one's was taken away.
    fn container_among<'a>(&self, containers: &'a [ContainerSummary]) -> Option<&'a ContainerSummary> {
        let is_others =
            |container: &ContainerSummary| container.labels.iter().any(|(key, value)| key == TOKEN_LABEL && *value != self.token);
        let found = containers.iter().find(|container| container.names.iter().any(|name| Some(name) == self.container.as_ref()));
        found.filter(|container| !is_others(container))
    }
}

fn shown(instance: &Instance) -> Result<Response, Failure> {
    let shown = show(std::slice::from_ref(instance))?;
    Ok(Response::json(&shown.first()))
}

pub(crate) fn list(request: &Request) -> Result<Response, Failure> {
    let image = query::optional_id(request, "image_id", Kind::Image)?;
    let environment = query::optional_id(request, "environment_id", Kind::Environment)?;
    database::ready()?;
    let instances = match (image, environment) {
        (None, None) => return Err(Failure::NotFound("Image and environment were not provided to the function".to_owned())),
        (Some(image), None) => {
            stored::check(Kind::Image, image)?;
            stored::all::<Instance>("image_id = $1", &[&image])?
        }
        (None, Some(environment)) => {
            stored::check(Kind::Environment, environment)?;
            stored::all("environment_id = $1", &[&environment])?
        }
        (Some(image), Some(environment)) => {
            stored::check(Kind::Image, image)?;
            stored::check(Kind::Environment, environment)?;
            stored::all("image_id = $1 AND environment_id = $2", &[&image, &environment])?
        }
    };
    Ok(Response::json(&show(&instances)?))
}

pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Instance)?;
    database::ready()?;
    shown(&stored::one(id)?)
}

pub(crate) fn delete(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Instance)?;
    let meta_only = switch(request, "meta_only", false).map_err(Failure::invalid)?;
    database::ready()?;
    removal::instance(&stored::one(id)?, meta_only)?;
    Ok(Response::new(204))
}

/// Stops the container of `instance` and removes it. One that is not there is removed.
pub(crate) fn remove_container(instance: &Instance) -> Result<(), Failure> {
    let containers = if instance.container.is_some() { containers()? } else { Vec::new() };
    let Some(ContainerSummary { id, .. }) = instance.container_among(&containers) else { return Ok(()) };
    let stopped = containers_lifecycle::stop(id, None);
    let removed = stopped.and_then(|()| containers_remove::remove(id, RemoveOptions { force: true, volumes: true }));
    match removed {
        Ok(()) => info!(instance = instance.id, container = id, "removed a container"),
        Err(Error::NotFound) => {}
        Err(error) => return Err(Failure::of_engine(error, instance.container.as_deref().unwrap_or(id))),
    }
    Ok(())
}
