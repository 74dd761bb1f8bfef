//! What must be known of a container and its surroundings before it is recreated, and what keeps it from being. Nothing is changed here.
//!
//! Who depends on a container is written in the others: a list shows the network that they share and nothing else of it. So all are inspected, but each of them once: what is asked of a container here does not change in its life, but for
//! its name, which the list has, and its links, for which it is asked again.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

use super::error::RecreateError;
use super::record::Member;
use super::specification::{Facts, Refusal, Subject, Target, dependents, specify};
use super::{EngineRecreations, Request, lock, own, raw};
use crate::backend::engine::{ContainerId, EngineError};

/// How many containers are inspected at once.
const CONCURRENT_QUESTIONS: usize = 16;

/// A container that can be recreated, and all that was asked about it.
pub(super) struct Prepared {
    pub(super) facts: Facts,
    /// What the engine calls itself.
    pub(super) engine: String,
    /// The container first, and then those that depend on it, each after those that it depends on itself.
    pub(super) members: Vec<Prepare>,
    /// What is needed of all containers of the engine.
    pub(super) others: Vec<Value>,
}

/// A container that will be recreated.
pub(super) struct Prepare {
    pub(super) member: Member,
    /// The image that it has, by its id.
    pub(super) image: Value,
}

impl Prepared {
    /// The container at `place`, for the algebra. `replaced` has the new ids of old containers.
    pub(super) fn subject<'a>(&'a self, member: &'a Prepare, replaced: &'a BTreeMap<String, String>) -> Subject<'a> {
        Subject { container: &member.member.inspected, image: &member.image, facts: &self.facts, others: &self.others, replaced }
    }
}

impl EngineRecreations {
    /// Asks all that must be known to recreate what `request` says.
    ///
    /// # Errors
    ///
    /// What keeps it from being recreated.
    pub(super) async fn prepare(&self, request: &Request) -> Result<Prepared, RecreateError> {
        let engine = &self.engine;
        let container = engine.container(request.container.as_str()).await?;
        let (info, version, api) = tokio::try_join!(engine.info(), engine.version_document(), engine.spoken())?;
        let own = own::container().await.map(String::from);
        let facts = Facts::read(api, &info, &version, own);
        let others = self.others().await?;
        let dependents = dependents(&container, &others);
        let mut documents = vec![container];
        for dependent in &dependents {
            documents.push(engine.container(&dependent.id).await?);
        }
        let (networks, volumes) = self.networks_and_volumes().await?;
        let mut members = Vec::new();
        for document in documents {
            let missing = missing(&document, &networks, &volumes);
            let image = self.image_of(&document).await?;
            let malformed = || RecreateError::Engine(EngineError::Unintelligible("a container without an id".to_owned()));
            let member = Member::new(document).ok_or_else(malformed)?;
            let is_main = members.is_empty();
            if !is_main && !(request.covers)(&member.name, &raw::labels(&member.inspected)) {
                return Err(RecreateError::NotCovered { dependent: member.name });
            }
            if let Some(reason) = missing {
                return Err(refused(is_main, &member.name, &reason));
            }
            members.push(Prepare { member, image });
        }
        let prepared = Prepared { facts, engine: raw::text(&info, "/ID").to_owned(), members, others };
        prepared.refuse()?;
        Ok(prepared)
    }

    /// The image that a container has, by its id, before anything is pulled.
    async fn image_of(&self, container: &Value) -> Result<Value, RecreateError> {
        match self.engine.image(raw::text(container, "/Image")).await {
            Ok(image) => Ok(image),
            Err(EngineError::NotFound(_)) => {
                let name = raw::name(container);
                Err(RecreateError::Refused(format!(
                    "the image of the container `{name}` is not there any more, so that nobody can tell what came from it"
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The names of all networks, with their ids, and of all volumes.
    async fn networks_and_volumes(&self) -> Result<(HashSet<String>, HashSet<String>), RecreateError> {
        let (networks, volumes) = tokio::try_join!(self.engine.list_networks(), self.engine.list_volumes())?;
        let read = |body: &[u8]| serde_json::from_slice::<Value>(body).map_err(|error| EngineError::Unintelligible(error.to_string()));
        let texts = |items: &[Value], keys: &[&str]| {
            items.iter().flat_map(|item| keys.iter().map(|key| raw::text(item, key).to_owned()).collect::<Vec<_>>()).collect()
        };
        let (networks, volumes) = (read(&networks)?, read(&volumes)?);
        Ok((texts(raw::items(&networks, ""), &["/Name", "/Id"]), texts(raw::items(&volumes, "/Volumes"), &["/Name"])))
    }

    /// What is needed of each container of the engine.
    async fn others(&self) -> Result<Vec<Value>, EngineError> {
        let listed = self.engine.containers().await?;
        let named: Vec<(String, Option<String>)> = raw::items(&listed, "").iter().map(listed_as).collect();
        let known = lock(&self.known).clone();
        let mut found = Vec::new();
        let mut questions = stream::iter(named.into_iter().map(|(id, name)| self.other(&known, id, name))).buffered(CONCURRENT_QUESTIONS);
        while let Some(other) = questions.next().await {
            found.extend(other?);
        }
        drop(questions);
        let lasting = found.iter().filter(|(_, document)| raw::items(document, "/HostConfig/Links").is_empty());
        *lock(&self.known) = lasting.cloned().collect();
        Ok(found.into_iter().map(|(_, document)| document).collect())
    }

    /// What is needed of the container `id`, which is called `name` now; none if it went meanwhile.
    async fn other(
        &self,
        known: &HashMap<String, Value>,
        id: String,
        name: Option<String>,
    ) -> Result<Option<(String, Value)>, EngineError> {
        let mut document = match known.get(&id) {
            Some(document) => document.clone(),
            None => match self.engine.container(&id).await {
                Ok(container) => extract(&container),
                Err(EngineError::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        if let (Some(fields), Some(name)) = (document.as_object_mut(), name) {
            fields.insert("Name".to_owned(), json!(name));
        }
        Ok(Some((id, document)))
    }
}

/// The id of a listed container, and its own name: those of links to it have a second slash.
fn listed_as(item: &Value) -> (String, Option<String>) {
    let mut names = raw::items(item, "/Names").iter().filter_map(Value::as_str);
    let own = names.find(|name| !name.trim_start_matches('/').contains('/'));
    (raw::text(item, "/Id").to_owned(), own.map(str::to_owned))
}

impl Prepared {
    /// Refuses containers that must not be recreated, whatever they would become.
    fn refuse(&self) -> Result<(), RecreateError> {
        let replaced = BTreeMap::new();
        for (place, member) in self.members.iter().enumerate() {
            let subject = self.subject(member, &replaced);
            let target = Target { reference: raw::text(subject.container, "/Config/Image"), image: subject.image };
            specify(&subject, &target).map_err(|refusal: Refusal| refused(place == 0, &member.member.name, &refusal.to_string()))?;
        }
        Ok(())
    }
}

pub(super) fn refused(is_main: bool, name: &str, reason: &str) -> RecreateError {
    RecreateError::Refused(if is_main {
        format!("the container `{name}` cannot be recreated: {reason}")
    } else {
        format!("the container `{name}` depends on it and cannot be recreated: {reason}")
    })
}

/// What of a container's surroundings is not there any more, if anything: the engine would find that out only after the old container was stopped, or would put something empty in its place.
fn missing(container: &Value, networks: &HashSet<String>, volumes: &HashSet<String>) -> Option<String> {
    let mode = raw::text(container, "/HostConfig/NetworkMode");
    let joined = container.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
    let mut joined = joined.into_iter().flatten().map(|(name, _)| name);
    if !mode.starts_with("container:")
        && let Some(network) = joined.find(|name| !networks.contains(*name))
    {
        return Some(format!("its network `{network}` is not there any more"));
    }
    let volume = raw::volumes(container).find(|name| !name.is_empty() && !volumes.contains(*name))?;
    Some(format!("its volume `{volume}` is not there any more"))
}

/// What is needed of an inspected container to know on whom it depends, and what it would share.
fn extract(container: &Value) -> Value {
    let host = container.get("HostConfig");
    let keys = ["NetworkMode", "IpcMode", "PidMode", "Cgroup", "VolumesFrom", "Links"];
    let host: serde_json::Map<String, Value> = keys.iter().filter_map(|key| Some(((*key).to_owned(), host?.get(key)?.clone()))).collect();
    json!({ "Id": container.get("Id"), "Name": container.get("Name"), "HostConfig": host, "Mounts": container.get("Mounts") })
}

/// The id of a container that was just inspected.
pub(super) fn id_of(container: &Value) -> Option<ContainerId> {
    ContainerId::parse(raw::text(container, "/Id"))
}
