//! Requests on the wire: one pool of connections, the version in front of each path, and statuses turned into errors.
//!
//! Our own requests and bollard's both end here. bollard 0.21.1 loses the version on its way (it joins an absolute path onto its URL, which replaces the
//! prefix), and later releases do send it; so what bollard has in front is taken off and ours is put there, and the wire sees exactly one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Builder;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;

use super::super::causes::chain;
use super::address::{Connector, EngineAddress};
use super::body;
use super::context::ContextError;
use super::error::EngineError;
use super::version::{Agreement, ApiVersion, Requirement, VersionAnswer};
use super::{MAX_JSON_BYTES, Patience, RegistryAuth};

/// How long a connection is kept that nobody uses. Shorter than the idle limits of the proxies that people put before the socket.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// The field in which an engine is told in whose name to ask a registry.
const REGISTRY_AUTH: &str = "x-registry-auth";
/// How much of an error's body is read: it is one sentence.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// What is sent: from memory, or as it is made.
type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, ContextError>>;

/// The way to one engine.
#[derive(Debug)]
pub(super) struct Wire {
    client: Client<Connector, Body>,
    authority: String,
    /// None until the engine was asked, and again after it was out of reach: it may have been upgraded meanwhile.
    agreement: Mutex<Option<Agreement>>,
    pub(super) patience: Patience,
}

/// A request, before it is on the wire.
pub(super) struct Letter<'a> {
    pub(super) method: Method,
    /// Path and query without a version.
    pub(super) target: &'a str,
    /// JSON, or empty.
    pub(super) body: Bytes,
    /// How long to wait for the header of the answer.
    pub(super) limit: Duration,
    /// What the engine must know.
    pub(super) requirement: Option<&'a Requirement>,
    /// In whose name the engine asks a registry for it.
    pub(super) registry_auth: Option<&'a RegistryAuth>,
}

impl<'a> Letter<'a> {
    /// A request without a body or anything else.
    pub(super) fn new(method: Method, target: &'a str, limit: Duration) -> Letter<'a> {
        Letter { method, target, body: Bytes::new(), limit, requirement: None, registry_auth: None }
    }
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) error: EngineError,
    /// Whether any of it was sent.
    pub(super) sent: bool,
}

/// The body of an answer that is no success.
#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

impl Wire {
    pub(super) fn new(address: &EngineAddress, patience: Patience) -> Wire {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(Connector(address.clone()));
        Wire { client, authority: address.authority().to_owned(), agreement: Mutex::new(None), patience }
    }

    /// Sends one request and answers the engine's, if its status is a success or 304.
    ///
    /// # Errors
    ///
    /// The error that the status stands for; [`EngineError::Timeout`] when no header arrives within the limit; [`EngineError::Unavailable`] when there is no
    /// connection; [`EngineError::Lost`] when it breaks.
    pub(super) async fn send(&self, letter: Letter<'_>) -> Result<Response<Incoming>, EngineError> {
        self.successful(self.send_any(letter).await?).await
    }

    /// As [`Wire::send`], with every status.
    pub(super) async fn send_any(&self, letter: Letter<'_>) -> Result<Response<Incoming>, EngineError> {
        self.deliver(letter).await.map_err(|undelivered| undelivered.error)
    }

    /// As [`Wire::send_any`]; the error says whether the engine may have read it.
    pub(super) async fn deliver(&self, letter: Letter<'_>) -> Result<Response<Incoming>, Undelivered> {
        let not_sent = |error| Undelivered { error, sent: false };
        let sent = |error| Undelivered { error, sent: true };
        let agreement = self.agreement().await.map_err(not_sent)?;
        agreement.meets(letter.requirement).map_err(not_sent)?;
        let response = self.exchange(&letter, &versioned(agreement.spoken, letter.target)).await.map_err(sent)?;
        if !is_another_engine(&agreement, &response) {
            return Ok(response);
        }
        self.forget_agreement();
        // The engine was exchanged without our noticing. It refuses a version that it does not have before it does anything, so asking again is safe.
        if response.status() == StatusCode::BAD_REQUEST {
            let agreement = self.agreement().await.map_err(not_sent)?;
            agreement.meets(letter.requirement).map_err(not_sent)?;
            return self.exchange(&letter, &versioned(agreement.spoken, letter.target)).await.map_err(sent);
        }
        Ok(response)
    }

    /// Posts a body that is made on its way, and waits for the header of the answer for as long as that takes. It can be sent only once, so that an engine that was exchanged without our
    /// noticing is an error.
    ///
    /// # Errors
    ///
    /// As [`Wire::send`], but for the limit.
    pub(super) async fn send_stream(
        &self,
        target: &str,
        media_type: &str,
        body: UnsyncBoxBody<Bytes, ContextError>,
    ) -> Result<Response<Incoming>, EngineError> {
        let agreement = self.agreement().await?;
        let request = self.request(&Method::POST, &versioned(agreement.spoken, target)).header(CONTENT_TYPE, media_type);
        let response = self.carry_out(request, Either::Right(body), Duration::MAX).await?;
        if is_another_engine(&agreement, &response) {
            self.forget_agreement();
        }
        self.successful(response).await
    }

    /// Asks the engine for its versions, and agrees on one anew.
    pub(super) async fn ask_version(&self) -> Result<VersionAnswer, EngineError> {
        let response = self.exchange(&Letter::new(Method::GET, "/version", self.patience.head), "/version").await?;
        let response = self.successful(response).await?;
        let body = body::whole(response.into_body(), self.patience.idle, MAX_JSON_BYTES).await?;
        let answer: VersionAnswer = serde_json::from_slice(&body).map_err(|error| EngineError::Unintelligible(error.to_string()))?;
        let agreement = answer.agree()?;
        *self.agreement.lock().unwrap_or_else(PoisonError::into_inner) = Some(agreement);
        Ok(answer)
    }

    /// The version that is spoken with the engine, agreed on first if need be.
    pub(super) async fn spoken(&self) -> Result<ApiVersion, EngineError> {
        Ok(self.agreement().await?.spoken)
    }

    async fn agreement(&self) -> Result<Agreement, EngineError> {
        let known = self.agreement.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(agreement) => Ok(agreement),
            None => self.ask_version().await?.agree(),
        }
    }

    fn forget_agreement(&self) {
        *self.agreement.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sends `letter` to `target`, which has the version.
    async fn exchange(&self, letter: &Letter<'_>, target: &str) -> Result<Response<Incoming>, EngineError> {
        let Letter { method, body, limit, registry_auth, .. } = letter;
        let mut request = self.request(method, target);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(auth) = registry_auth {
            request = request.header(REGISTRY_AUTH, auth.header()?);
        }
        self.carry_out(request, Either::Left(Full::new(body.clone())), *limit).await
    }

    fn request(&self, method: &Method, target: &str) -> Builder {
        Request::builder().method(method).uri(format!("http://{}{target}", self.authority)).header(HOST, &self.authority)
    }

    async fn carry_out(&self, request: Builder, body: Body, limit: Duration) -> Result<Response<Incoming>, EngineError> {
        let request = request.body(body).map_err(|error| EngineError::Invalid(error.to_string()))?;
        let outcome = match tokio::time::timeout(limit, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(EngineError::Unavailable(chain(&error))),
            Ok(Err(error)) => Err(EngineError::Lost(chain(&error))),
            Err(_elapsed) => Err(EngineError::Timeout(limit)),
        };
        if outcome.as_ref().is_err_and(EngineError::lost_contact) {
            self.forget_agreement();
        }
        outcome
    }

    /// `response`, if its status is a success or 304.
    pub(super) async fn successful(&self, response: Response<Incoming>) -> Result<Response<Incoming>, EngineError> {
        let status = response.status();
        // 304 is the engine's word for "started already" and "stopped already": success to whoever wanted it so.
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let body = body::whole(response.into_body(), self.patience.idle, MAX_ERROR_BYTES).await.unwrap_or_default();
        let reason = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(error) => error.message,
            Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
        };
        let reason = if reason.is_empty() { format!("status {status}") } else { reason };
        Err(EngineError::of_status(status.as_u16(), reason))
    }

    /// Behaves as if these versions had been agreed on.
    #[cfg(test)]
    pub(super) fn pretend(&self, spoken: &str, newest_of_engine: &str) {
        let agreement = ApiVersion::parse(spoken).map(|spoken| Agreement { spoken, newest_of_engine: newest_of_engine.to_owned() });
        *self.agreement.lock().unwrap_or_else(PoisonError::into_inner) = agreement;
    }

    /// Serves a request of bollard's. It judges the status itself; its limits are those of the caller, who waits for the whole of bollard's call.
    pub(super) async fn carry(&self, request: bollard::BollardRequest) -> Result<Response<Incoming>, bollard::errors::Error> {
        let (head, body) = request.into_parts();
        // What the calls used here send is in memory, so that collecting it neither waits nor fails.
        let body = body.collect().await.map_err(|error| bollard::errors::Error::IOError { err: std::io::Error::other(error) })?.to_bytes();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let letter = Letter { body, ..Letter::new(head.method, without_version(target), Duration::MAX) };
        let outcome = self.send_any(letter).await;
        outcome.map_err(|error| bollard::errors::Error::IOError { err: std::io::Error::other(error) })
    }
}

fn versioned(version: ApiVersion, target: &str) -> String {
    format!("/v{version}{target}")
}

/// `target` without a version in front, if there is one.
fn without_version(target: &str) -> &str {
    let Some((first, rest)) = target.strip_prefix("/v").and_then(|after| after.split_once('/')) else { return target };
    match ApiVersion::parse(first) {
        // The slash before `rest` belongs to the answer.
        Some(_) => target.split_at(target.len() - rest.len() - 1).1,
        None => target,
    }
}

/// Whether `response` comes from an engine with other versions than the one with which `agreement` was made. An answer without the field says nothing.
fn is_another_engine(agreement: &Agreement, response: &Response<Incoming>) -> bool {
    response.headers().get("api-version").is_some_and(|newest| newest.as_bytes() != agreement.newest_of_engine.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_version_remains() {
        assert_eq!(without_version("/containers/x/start?t=1"), "/containers/x/start?t=1");
        assert_eq!(without_version("/v1.53/containers/x/start"), "/containers/x/start");
        assert_eq!(without_version("/volumes/v1.53/x"), "/volumes/v1.53/x");
        assert_eq!(without_version("/version"), "/version");
        assert_eq!(without_version("/v1/x"), "/v1/x");
    }
}
