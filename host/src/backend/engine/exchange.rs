//! What an exchange of containers needs beside creating, starting, stopping and removing them: their names, their restart policies, their networks; and what an engine says of itself in full.
//!
//! Answers are the engine's JSON, as a value: what is read of it is for the caller to know.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::version::ApiVersion;
use super::wire::Letter;
use super::{ContainerId, Engine, EngineError, MAX_JSON_BYTES, Query, body, encoded};

/// From this version on an image that has several manifests lists them when it is asked to.
const MANIFESTS_SINCE: ApiVersion = ApiVersion::v1(48);

impl Engine {
    /// `GET /info`: a JSON object.
    pub(crate) async fn info(&self) -> Result<Value, EngineError> {
        value(&self.ask("/info").await?)
    }

    /// `GET /version`: a JSON object.
    pub(crate) async fn version_document(&self) -> Result<Value, EngineError> {
        value(&self.ask("/version").await?)
    }

    /// The version of the API that is spoken with it.
    pub(crate) async fn spoken(&self) -> Result<ApiVersion, EngineError> {
        self.wire.spoken().await
    }

    /// The container of this id or name, as a value.
    pub(crate) async fn container(&self, name: &str) -> Result<Value, EngineError> {
        value(&self.inspect_container(name).await?)
    }

    /// All containers as a list shows them: a JSON array.
    pub(crate) async fn containers(&self) -> Result<Value, EngineError> {
        value(&self.list_containers(true, &[]).await?)
    }

    /// The image of this id or name as a value, with its manifests where the engine tells of them.
    pub(crate) async fn image(&self, reference: &str) -> Result<Value, EngineError> {
        let manifests = if self.spoken().await? >= MANIFESTS_SINCE { "?manifests=1" } else { "" };
        value(&self.ask(&format!("/images/{}/json{manifests}", encoded(reference))).await?)
    }

    /// Gives a container another name.
    pub(crate) async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), EngineError> {
        let mut query = Query::new();
        query.add("name", name);
        self.post(&query.after(&format!("/containers/{}/rename", encoded(id.as_str()))), None).await
    }

    /// Gives a container another restart policy: `HostConfig.RestartPolicy` of an inspection.
    pub(crate) async fn set_restart_policy(&self, id: &ContainerId, policy: &Value) -> Result<(), EngineError> {
        self.post(&format!("/containers/{}/update", encoded(id.as_str())), Some(json!({ "RestartPolicy": policy }))).await
    }

    /// Connects a container to a network.
    pub(crate) async fn connect(&self, network: &str, id: &ContainerId, endpoint: &Value) -> Result<(), EngineError> {
        let body = json!({ "Container": id.as_str(), "EndpointConfig": endpoint });
        self.post(&format!("/networks/{}/connect", encoded(network)), Some(body)).await
    }

    /// Removes a volume that nothing uses. Never by force.
    pub(crate) async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let target = format!("/volumes/{}", encoded(name));
        self.wire.send(Letter::new(Method::DELETE, &target, self.wire.patience.head)).await.map(drop)
    }

    /// These change a row in the engine's memory, so that they have the patience of a question.
    async fn post(&self, target: &str, body: Option<Value>) -> Result<(), EngineError> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let response = self.wire.send(Letter { body, ..Letter::new(Method::POST, target, self.wire.patience.head) }).await?;
        body::whole(response.into_body(), self.wire.patience.idle, MAX_JSON_BYTES).await.map(drop)
    }
}

fn value(body: &[u8]) -> Result<Value, EngineError> {
    serde_json::from_slice(body).map_err(|error| EngineError::Unintelligible(error.to_string()))
}
