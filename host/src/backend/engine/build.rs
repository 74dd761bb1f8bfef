//! Builds by an engine's classic builder, and what concerns what they leave.
//!
//! The engine reads the whole context before it answers anything, unpacks it on its own disk, and then carries out one instruction after the other, each of which makes an image: the next one begins with it. The answer
//! has status 200 as soon as the engine has read the context, so that a build that fails says so inside the stream. The id of what was built comes in a message of its own (`aux`), which no command that the build runs can forge; what such a
//! command writes cannot be told apart from the builder's own words.
//!
//! Dropping the answer cancels the build: the engine sees the end of the connection, kills the container of the instruction that runs, and does not begin the next. It undoes nothing else. Seen on engines 20.10 and 28.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::stream::{StreamExt, TryStreamExt};
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::body::{self, Waiting};
use super::context::{ContextError, ContextFile, END, tar};
use super::error::EngineError;
use super::lines::Lines;
use super::{Engine, Query, encoded};

/// The longest path with a query that is sent: a URL of more than 64 KiB cannot be told.
const MAX_TARGET_BYTES: usize = 60 * 1024;

/// How to build, beside the files.
#[derive(Debug, Clone)]
pub(crate) struct BuildRequest {
    target: String,
}

/// What hears of a build in its course.
pub(crate) trait BuildObserver: Send + Sync {
    /// The end of the context is about to be sent, so that the engine begins.
    fn sent(&self);
    /// The builder, or a command that it runs, wrote this: a line, a part of one, or several.
    fn said(&self, text: &str);
}

/// Why nothing was built.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BuildError {
    /// The files are not what they were said to be.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The engine did not build it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    stream: Option<String>,
    /// Of what is no building: a pull.
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    aux: Option<Aux>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default, rename = "errorDetail")]
    error_detail: Option<ErrorDetail>,
}

#[derive(Deserialize)]
struct Aux {
    #[serde(default, rename = "ID")]
    id: Option<String>,
}

/// Its `code` is that of a command, and no status.
#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    message: Option<String>,
}

impl BuildRequest {
    /// A build by the file `dockerfile` of the context, which calls the image nothing. `labels` are taken as they are.
    ///
    /// # Errors
    ///
    /// That labels and arguments are too long.
    pub(crate) fn new(dockerfile: &str, labels: &[(String, String)], arguments: &[(String, String)]) -> Result<BuildRequest, String> {
        let object = |pairs: &[(String, String)]| -> String {
            let pairs: serde_json::Map<_, _> = pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            serde_json::Value::Object(pairs).to_string()
        };
        let mut query = Query::new();
        // Builder 1 is the classic one; 2 needs a session, which is a protocol of its own.
        for (key, value) in [("version", "1"), ("networkmode", "default"), ("dockerfile", dockerfile)] {
            query.add(key, value);
        }
        query.add("labels", &object(labels));
        query.add("buildargs", &object(arguments));
        for (key, value) in [("rm", true), ("forcerm", true), ("nocache", true), ("pull", false)] {
            query.add(key, if value { "1" } else { "0" });
        }
        let target = query.after("/build");
        if target.len() > MAX_TARGET_BYTES {
            return Err(format!("the labels and arguments have {} bytes as a URL has them, at most {MAX_TARGET_BYTES}", target.len()));
        }
        Ok(BuildRequest { target })
    }

    /// Path and query.
    #[cfg(test)]
    pub(crate) fn target(&self) -> &str {
        &self.target
    }
}

impl Engine {
    /// Builds an image of `files` and answers its id. Dropping the future cancels the build in the engine, which keeps what it has made so far.
    ///
    /// Nothing here limits how long it takes: an instruction may be silent for an hour.
    pub(crate) async fn build(
        &self,
        request: &BuildRequest,
        files: Vec<ContextFile>,
        observer: Arc<dyn BuildObserver>,
    ) -> Result<String, BuildError> {
        let failure: Arc<OnceLock<ContextError>> = Arc::default();
        let (of_body, of_sending) = (Arc::clone(&failure), Arc::clone(&observer));
        let pieces = tar(files).inspect_err(move |error| {
            let _first = of_body.set(error.clone());
        });
        // The engine needs no more than this to begin.
        let end = futures_util::stream::once(async move {
            of_sending.sent();
            Ok(Bytes::from_static(&END))
        });
        let body = StreamBody::new(pieces.chain(end).map_ok(Frame::data)).boxed_unsync();
        let built = async {
            let response = self.wire.send_stream(&request.target, "application/x-tar", body).await?;
            drain(response.into_body(), &*observer).await
        };
        let built = built.await;
        // An engine whose context breaks off says so in its own way, or sees no more than the end of the connection.
        match failure.get() {
            Some(error) => Err(BuildError::Context(error.clone())),
            None => Ok(built?),
        }
    }

    /// Gives the image `id` the name `repository:tag`, which no other image has from then on.
    pub(crate) async fn tag_image(&self, id: &str, repository: &str, tag: &str) -> Result<(), EngineError> {
        let mut query = Query::new();
        query.add("repo", repository);
        query.add("tag", tag);
        self.act(Method::POST, &query.after(&format!("/images/{}/tag", encoded(id)))).await.map(drop)
    }

    /// `GET /images/json` of all images with the label `key=value`, the intermediate ones of builds included: a JSON array.
    pub(crate) async fn list_images_with(&self, label: &str) -> Result<Bytes, EngineError> {
        let mut query = Query::new();
        query.flag("all", true);
        query.add("filters", &json!({ "label": [label] }).to_string());
        self.ask(&query.after("/images/json")).await
    }

    /// Removes a name, or an image by its id, and nothing on which it stands. Never by force.
    pub(crate) async fn remove_image_alone(&self, image: &str) -> Result<(), EngineError> {
        self.act(Method::DELETE, &format!("/images/{}?force=false&noprune=true", encoded(image))).await.map(drop)
    }
}

/// Reads the answer to its end, and answers the id of the last image of which it speaks.
async fn drain(body: Incoming, observer: &dyn BuildObserver) -> Result<String, EngineError> {
    let mut pieces = std::pin::pin!(body::pieces(body, Waiting { first: None, between: None }));
    let (mut lines, mut report) = (Lines::default(), Report::default());
    while let Some(piece) = pieces.next().await {
        lines.take(&piece?, &mut |line| report.read(line, observer))?;
    }
    report.read(&lines.rest(), observer);
    report.end()
}

/// What was read of the answer.
#[derive(Default)]
struct Report {
    image: Option<String>,
    first_error: Option<EngineError>,
}

impl Report {
    fn read(&mut self, line: &[u8], observer: &dyn BuildObserver) {
        if line.trim_ascii().is_empty() || self.first_error.is_some() {
            return;
        }
        let item = match serde_json::from_slice::<Item>(line) {
            Ok(item) => item,
            Err(error) => {
                self.first_error = Some(EngineError::Unintelligible(format!("a line of the build's progress: {error}")));
                return;
            }
        };
        if let Some(text) = item.stream {
            observer.said(&text);
        }
        if let Some(status) = item.status {
            observer.said(&format!("{status}\n"));
        }
        // Each stage has its image, and the last one is what was asked for.
        self.image = item.aux.and_then(|aux| aux.id).or(self.image.take());
        let reason = item.error_detail.and_then(|detail| detail.message).or(item.error);
        self.first_error = reason.map(|reason| EngineError::Failed { status: 200, reason });
    }

    fn end(self) -> Result<String, EngineError> {
        match self.first_error {
            Some(error) => Err(error),
            None => self.image.ok_or_else(|| EngineError::Unintelligible("a build that ended without an image".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::super::context::Content;
    use super::super::scripted::{Reply, ScriptedEngine, socket_path};
    use super::*;
    use crate::backend::stream::ByteStream;

    const OLD: (&str, &str) = ("1.41", "1.12");

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl BuildObserver for Heard {
        fn sent(&self) {
            self.0.lock().unwrap().push("sent".to_owned());
        }

        fn said(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }

    fn file(content: Content, size: u64) -> ContextFile {
        ContextFile { path: "Dockerfile".to_owned(), executable: false, size, content }
    }

    fn dockerfile() -> ContextFile {
        file(Content::Bytes(Bytes::from_static(b"FROM scratch")), 12)
    }

    fn request() -> BuildRequest {
        let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        BuildRequest::new("a b/Dockerfile", &pair("k", "it's \"x\""), &pair("A", "1&2")).unwrap()
    }

    async fn build(engine: &Engine, files: Vec<ContextFile>) -> (Result<String, BuildError>, Vec<String>) {
        let heard = Arc::new(Heard::default());
        let built = engine.build(&request(), files, Arc::clone(&heard) as Arc<dyn BuildObserver>).await;
        let heard = heard.0.lock().unwrap().clone();
        (built, heard)
    }

    /// What an engine's answer, in these pieces, amounts to, and what was heard of it.
    async fn check(pieces: &'static [&'static [u8]], expected: Result<&str, EngineError>, words: &[&str]) {
        let scripted = ScriptedEngine::start(OLD, |_, _| Reply::chunked(pieces));
        let (built, heard) = build(&scripted.engine(), vec![dockerfile()]).await;
        let found = match &built {
            Ok(id) => Ok(id.as_str()),
            Err(BuildError::Engine(error)) => Err(error.clone()),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected);
        assert_eq!(heard, words);
    }

    #[tokio::test]
    async fn what_is_asked_for_is_a_build_by_the_classic_builder_and_the_context_is_a_tar() {
        let scripted = ScriptedEngine::start(OLD, |_, _| Reply::chunked(&[br#"{"aux":{"ID":"sha256:1"}}"#]));
        let (built, heard) = build(&scripted.engine(), vec![dockerfile()]).await;
        assert_eq!((built.unwrap().as_str(), heard.as_slice()), ("sha256:1", ["sent".to_owned()].as_slice()));
        let seen = scripted.seen();
        assert_eq!(
            seen[0].line,
            "POST /v1.41/build?version=1&networkmode=default&dockerfile=a+b%2FDockerfile&labels=%7B%22k%22%3A%22it%27s+%5C%22x%5C%22%22%7D\
             &buildargs=%7B%22A%22%3A%221%262%22%7D&rm=1&forcerm=1&nocache=1&pull=0"
        );
        assert!(seen[0].body.starts_with("Dockerfile\0") && seen[0].body.contains("FROM scratch\0"));
        assert_eq!(seen[0].body.len(), 4 * 512);
        let long = vec![("k".to_owned(), "&".repeat(21_000))];
        assert!(BuildRequest::new("Dockerfile", &long, &[]).is_err());
    }

    #[tokio::test]
    async fn the_last_image_of_which_the_engine_speaks_is_what_was_built() {
        let pieces: &[&[u8]] = &[
            b"{\"stream\":\"Step 1/2 : FROM scratch\"}\r\n{\"aux\":{\"ID\":\"sha2",
            b"56:1\"}}\n{\"stream\":\"{\\\"aux\\\":{\\\"ID\\\":\\\"sha256:3\\\"}}\\n\"}\n{\"aux\":{}}\n",
            b"{\"status\":\"Pulling\"}\n{\"aux\":{\"ID\":\"sha256:2\"}}",
        ];
        check(pieces, Ok("sha256:2"), &["sent", "Step 1/2 : FROM scratch", "{\"aux\":{\"ID\":\"sha256:3\"}}\n", "Pulling\n"]).await;
        check(
            &[b"{\"stream\":\"x\"}\n"],
            Err(EngineError::Unintelligible("a build that ended without an image".to_owned())),
            &["sent", "x"],
        )
        .await;
    }

    #[tokio::test]
    async fn an_error_inside_the_stream_is_the_outcome_whatever_was_built_before() {
        let failed = |reason: &str| Err(EngineError::Failed { status: 200, reason: reason.to_owned() });
        // The code is the command's.
        let pieces: &[&[u8]] =
            &[b"{\"aux\":{\"ID\":\"sha256:1\"}}\n{\"errorDetail\":{\"code\":404,\"message\":\"no\"},\"error\":\"no\"}\n{\"stream\":\"x\"}"];
        check(pieces, failed("no"), &["sent"]).await;
        check(&[b"{\"error\":\"old engines\"}"], failed("old engines"), &["sent"]).await;
        let scripted = ScriptedEngine::start(OLD, |_, _| Reply::json(400, r#"{"message":"dockerfile parse error"}"#));
        let (built, _) = build(&scripted.engine(), vec![dockerfile()]).await;
        assert!(matches!(built, Err(BuildError::Engine(EngineError::Invalid(reason))) if reason == "dockerfile parse error"));
        let scripted = ScriptedEngine::start(OLD, |_, _| Reply::unfinished(&[b"{\"stream\":\"x\"}\n"]));
        let (built, _) = build(&scripted.engine(), vec![dockerfile()]).await;
        assert!(matches!(built, Err(BuildError::Engine(EngineError::Lost(_)))));
    }

    #[tokio::test]
    async fn a_build_may_be_silent_for_longer_than_anything_else() {
        let scripted = ScriptedEngine::start(OLD, |_, _| {
            let line = b"1a\r\n{\"aux\":{\"ID\":\"sha256:1\"}}\n\r\n0\r\n\r\n";
            Reply::unfinished(&[b"{\"stream\":\"x\"}\n"]).then_send_after(Duration::from_millis(600), line)
        });
        assert_eq!(build(&scripted.engine(), vec![dockerfile()]).await.0.unwrap(), "sha256:1");
    }

    #[tokio::test]
    async fn a_stream_of_another_length_ends_the_build_and_the_engine_never_has_the_whole_context() {
        for (size, expected) in [
            (4, "the file `Dockerfile` has more than the 4 bytes that were announced"),
            (99, "the file `Dockerfile` has 12 bytes, 99 were announced"),
        ] {
            let scripted = ScriptedEngine::start_reading(&socket_path(), OLD, |_, _| Reply::chunked(&[br#"{"aux":{"ID":"sha256:1"}}"#]));
            let content = Content::Stream(ByteStream::new(futures_util::stream::iter([Ok(Bytes::from_static(b"FROM scratch"))])));
            let (built, heard) = build(&scripted.engine(), vec![file(content, size)]).await;
            assert!(matches!(built, Err(BuildError::Context(error)) if error.to_string() == expected));
            assert_eq!((heard, scripted.seen().len()), (Vec::new(), 0));
        }
    }

    #[tokio::test]
    async fn what_a_build_made_is_named_found_and_removed() {
        let scripted = ScriptedEngine::start(OLD, |_, _| Reply::json(200, "[]"));
        let engine = scripted.engine();
        engine.tag_image("sha256:1", "localhost:5000/a", "7").await.unwrap();
        engine.list_images_with("wharf.build=1").await.unwrap();
        engine.remove_image_alone("sha256:1").await.unwrap();
        let seen = scripted.seen();
        let lines: Vec<&str> = seen.iter().map(|seen| seen.line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "POST /v1.41/images/sha256:1/tag?repo=localhost%3A5000%2Fa&tag=7",
                "GET /v1.41/images/json?all=true&filters=%7B%22label%22%3A%5B%22wharf.build%3D1%22%5D%7D",
                "DELETE /v1.41/images/sha256:1?force=false&noprune=true",
            ]
        );
    }
}
