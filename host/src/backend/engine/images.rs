//! Images of an engine: which there are, fetching and removing them, and what it finds when it asks a registry.
//!
//! A reference goes into a path as the engine shows it, encoded; whoever calls has made sure that no engine takes it for an id.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};

use super::pull::{self, PullLine};
use super::wire::Letter;
use super::{Engine, EngineError, MAX_JSON_BYTES, Query, RegistryAuth, body, encoded};

impl Engine {
    /// `GET /images/json`: a JSON array, without the intermediate layers of builds.
    pub(crate) async fn list_images(&self) -> Result<Bytes, EngineError> {
        self.ask("/images/json?all=false").await
    }

    /// `GET /images/{reference}/json`: a JSON object.
    pub(crate) async fn inspect_image(&self, reference: &str) -> Result<Bytes, EngineError> {
        self.ask(&format!("/images/{}/json", encoded(reference))).await
    }

    /// Pulls an image and waits for it. `tag` is a tag or a digest; `seen` hears of each step. Dropping the future cancels the pull in the engine.
    pub(crate) async fn pull(
        &self,
        repository: &str,
        tag: &str,
        registry_auth: Option<&RegistryAuth>,
        seen: &mut (dyn FnMut(PullLine) + Send),
    ) -> Result<(), EngineError> {
        let mut query = Query::new();
        query.add("fromImage", repository);
        query.add("tag", tag);
        let target = query.after("/images/create");
        let letter = Letter { registry_auth, ..Letter::new(Method::POST, &target, self.wire.patience.act) };
        let response = self.wire.send(letter).await?;
        pull::drain(response.into_body(), self.wire.patience.pull_idle, seen).await
    }

    /// Removes a name, and with the last one the image: a JSON array of what is gone. Never by force.
    pub(crate) async fn remove_image(&self, reference: &str) -> Result<Bytes, EngineError> {
        self.act(Method::DELETE, &format!("/images/{}?force=false&noprune=false", encoded(reference))).await
    }

    /// Removes the images without a name that no container uses: a JSON object of what is gone.
    pub(crate) async fn prune_images(&self) -> Result<Bytes, EngineError> {
        let mut query = Query::new();
        query.add("filters", r#"{"dangling":["true"]}"#);
        self.act(Method::POST, &query.after("/images/prune")).await
    }

    /// `GET /distribution/{reference}/json`: a JSON object.
    pub(crate) async fn distribution(&self, reference: &str, registry_auth: Option<&RegistryAuth>) -> Result<Bytes, EngineError> {
        let target = format!("/distribution/{}/json", encoded(reference));
        let letter = Letter { registry_auth, ..Letter::new(Method::GET, &target, self.wire.patience.head) };
        let response = self.wire.send_any(letter).await?;
        // What an engine says of a reference is JSON. A plain 404 is said of the path: there is no such function, as in Podman.
        let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if response.status() == StatusCode::NOT_FOUND && !is_json {
            return Err(EngineError::Failed { status: 404, reason: "the engine has no such function".to_owned() });
        }
        body::whole(self.wire.successful(response).await?.into_body(), self.wire.patience.idle, MAX_JSON_BYTES).await
    }

    pub(super) async fn act(&self, method: Method, target: &str) -> Result<Bytes, EngineError> {
        let response = self.wire.send(Letter::new(method, target, self.wire.patience.act)).await?;
        body::whole(response.into_body(), self.wire.patience.idle, MAX_JSON_BYTES).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Reply, ScriptedEngine};
    use super::*;

    const OLD: (&str, &str) = ("1.41", "1.12");

    #[tokio::test]
    async fn names_are_encoded_and_credentials_sent_where_a_registry_is_asked() {
        let scripted = ScriptedEngine::start(OLD, |_, _| Reply::json(200, "{}"));
        let engine = scripted.engine();
        let auth = RegistryAuth::new("c2VjcmV0_-==".to_owned());
        engine.list_images().await.unwrap();
        engine.remove_image("localhost:5000/a/b:1").await.unwrap();
        engine.prune_images().await.unwrap();
        engine.distribution("localhost:5000/a/b:1", Some(&auth)).await.unwrap();
        engine.distribution("a?b#c", None).await.unwrap();
        engine.pull("docker.io/library/redis", "7", Some(&auth), &mut |_| {}).await.unwrap();
        let seen = scripted.seen();
        let lines: Vec<(&str, bool)> = seen.iter().map(|seen| (seen.line.as_str(), seen.registry_auth.is_some())).collect();
        assert_eq!(
            lines,
            [
                ("GET /v1.41/images/json?all=false", false),
                ("DELETE /v1.41/images/localhost:5000/a/b:1?force=false&noprune=false", false),
                ("POST /v1.41/images/prune?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D", false),
                ("GET /v1.41/distribution/localhost:5000/a/b:1/json", true),
                ("GET /v1.41/distribution/a%3Fb%23c/json", false),
                ("POST /v1.41/images/create?fromImage=docker.io%2Flibrary%2Fredis&tag=7", true),
            ]
        );
        assert_eq!(seen.last().unwrap().registry_auth.as_deref(), Some("c2VjcmV0_-=="));
        assert_eq!(format!("{auth:?}"), "RegistryAuth(…)");
    }

    #[tokio::test]
    async fn an_engine_without_the_function_is_no_registry_without_the_image() {
        let json = "Content-Type: application/json\r\n";
        for (fields, body, expected) in [
            (json, r#"{"message":"manifest unknown"}"#, EngineError::NotFound("manifest unknown".to_owned())),
            // Podman, for a path that it does not know.
            (
                "Content-Type: text/plain; charset=utf-8\r\n",
                "404 page not found\n",
                EngineError::Failed { status: 404, reason: "the engine has no such function".to_owned() },
            ),
        ] {
            let scripted = ScriptedEngine::start(OLD, move |_, _| Reply::with_fields(404, fields, body));
            assert_eq!(scripted.engine().distribution("redis:7", None).await, Err(expected));
        }
    }
}
