//! Reading deployments: all of them, those of one type, or one.
//!
//! A list takes three calls however many containers there are: which there are, all their details at once, all their images at once.

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use wharf_sdk::docker::containers_read::{self, ContainerFilter};
use wharf_sdk::docker::{Container, Error, containers_env};
use wharf_sdk::tracing::debug;
use wharf_sdk::{Request, Response};

use crate::failure::Failure;
use crate::record::{Images, Record};

/// The label that makes a container a deployment, and says of which type.
pub(crate) const TYPE_LABEL: &str = "lopco-type";

/// Records by container name, in the engine's order.
struct Records(Vec<(String, Record)>);

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, record) in &self.0 {
            map.serialize_entry(name, record)?;
        }
        map.end()
    }
}

/// `GET /deployments`: every container with the label, in any state.
pub(crate) fn list(request: &Request) -> Result<Response, Failure> {
    let filter = ContainerFilter { all: true, labels: vec![label_condition(request)?] };
    let ids: Vec<String> = containers_read::list(&filter).map_err(Failure::Engine)?.into_iter().map(|summary| summary.id).collect();
    let containers = if ids.is_empty() { Vec::new() } else { still_there(containers_env::inspect(&ids))? };
    let records: Vec<(String, Record)> =
        containers.into_iter().map(|container| (container.name.clone(), Record::unnamed(&container))).collect();
    let images = Images::inspect(records.iter().map(|(_, record)| record.image_id()))?;
    Ok(Response::json(&Records(records.into_iter().map(|(name, record)| (name, record.named(&images))).collect())))
}

/// `GET /deployments/{deployment}`: any container, by name, id or a prefix of it.
pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    let container = containers_env::inspect_one(&request.param("deployment")).map_err(Failure::of_container)?;
    let record = Record::unnamed(&container);
    let images = Images::inspect([record.image_id()].into_iter())?;
    Ok(Response::json(&record.named(&images)))
}

/// Which label to list by. Parameters of other names do not matter once `type` is right.
fn label_condition(request: &Request) -> Result<String, Failure> {
    let query = request.query();
    if query.is_empty() {
        return Ok(TYPE_LABEL.to_owned());
    }
    let mut types = query.all("type");
    match (types.next().as_deref(), types.next()) {
        (Some(kind @ ("worker" | "protocol-adapter" | "core")), None) => Ok(format!("{TYPE_LABEL}={kind}")),
        _ => Err(Failure::Malformed("the query has no `type` of `worker`, `protocol-adapter` or `core`")),
    }
}

/// The containers that were there when their details were asked for. One may go away after it was listed.
fn still_there(answers: Vec<Result<Container, Error>>) -> Result<Vec<Container>, Failure> {
    let mut containers = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            Ok(container) => containers.push(container),
            Err(Error::NotFound | Error::Denied) => debug!("a listed container is gone"),
            Err(error) => return Err(Failure::Engine(error)),
        }
    }
    Ok(containers)
}
