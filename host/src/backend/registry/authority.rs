//! What the host knows of one registry while it runs: how it wants to be asked, its tokens, what it says of its limits, and when it wants to be left alone.
//!
//! A registry is asked once, by `GET /v2/`, how it wants to be asked; whoever comes meanwhile waits for the answer. From then on requests carry what it wants at once, and a 401 is the exception: it says
//! that a token ran out early, a password was changed, or the registry wants something else for this repository.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::header::HeaderValue;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::challenge::{self, Challenge, Wanted};
use super::credential::Credential;
use super::error::RegistryError;
use super::quota::Quota;
use super::token::{Asking, Flight, Landed, Token, Tokens};
use super::wire::{Elsewhere, Letter, SharedWire};
use super::{RegistryEvent, SharedObserver};

/// How long a credential is used without looking at its source again.
const CREDENTIAL_LIFE: Duration = Duration::from_secs(60);
/// So many 429s in a row, more than the attempts for one image, and it is not the image but us that the registry is tired of.
const TIRED_AFTER: u32 = 8;
/// The longest that a registry is left alone without its asking for it.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// One registry.
pub(super) struct Authority {
    /// As references have it: `docker.io`.
    pub(super) name: String,
    /// Where it answers.
    pub(super) base: Url,
    wire: SharedWire,
    observer: SharedObserver,
    manner: Mutex<Option<Flight<Option<Challenge>>>>,
    tokens: Tokens,
    credential: tokio::sync::Mutex<Option<(Instant, Option<Credential>)>>,
    quota: Mutex<Option<Quota>>,
    pause: Mutex<Pause>,
}

#[derive(Default)]
struct Pause {
    refusals: u32,
    until: Option<Instant>,
}

/// What a request carried.
pub(super) enum Pass {
    Nothing,
    Password(HeaderValue),
    Token(Arc<Token>),
}

impl Pass {
    /// The value of `Authorization`.
    pub(super) fn value(&self) -> Option<HeaderValue> {
        match self {
            Pass::Nothing => None,
            Pass::Password(value) => Some(value.clone()),
            Pass::Token(token) => Some(token.value.clone()),
        }
    }
}

impl Authority {
    pub(super) fn new(name: &str, base: Url, wire: SharedWire, observer: SharedObserver) -> Authority {
        Authority {
            name: name.to_owned(),
            base,
            wire,
            observer,
            manner: Mutex::default(),
            tokens: Tokens::default(),
            credential: tokio::sync::Mutex::default(),
            quota: Mutex::default(),
            pause: Mutex::default(),
        }
    }

    /// What a request for `scope` is to carry.
    ///
    /// # Errors
    ///
    /// What kept the registry or its token server from saying so.
    pub(super) async fn pass(&self, scope: &str) -> Result<Pass, RegistryError> {
        match self.manner().await? {
            None => Ok(Pass::Nothing),
            Some(Challenge::Basic) => {
                let credential = self.credential().await?;
                let value = credential.as_ref().and_then(Credential::basic);
                value.map(Pass::Password).ok_or_else(|| RegistryError::Unauthorized("it wants a password, and there is none".to_owned()))
            }
            Some(Challenge::Bearer(server)) => {
                let asking = self.asking(server).await?;
                self.tokens.get(scope, &asking).await.map(Pass::Token)
            }
        }
    }

    /// Gets tokens for all of `scopes` at once, if the registry wants any. What goes wrong shows when they are used.
    pub(super) async fn prepare(&self, scopes: &[String]) {
        if let Ok(Some(Challenge::Bearer(server))) = self.manner().await
            && let Ok(asking) = self.asking(server).await
        {
            self.tokens.prepare(scopes, &asking).await;
        }
    }

    /// Takes notice of a 401 to a request for `scope` that carried `pass`. Answers the scope to try again with.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unauthorized`] when there is nothing else to try.
    pub(super) async fn rejected(&self, pass: &Pass, scope: &str, headers: &HeaderMap) -> Result<String, RegistryError> {
        let Some(Wanted { challenge, scope: other, insufficient }) = challenge::read(headers) else {
            return Err(RegistryError::Unauthorized("it does not say which".to_owned()));
        };
        if let Pass::Password(_) = pass {
            *self.credential.lock().await = None;
        }
        if let (Pass::Token(token), Challenge::Bearer(server)) = (pass, &challenge) {
            let asking = self.asking(server.clone()).await?;
            self.tokens.reject(scope, token, insufficient, &asking);
        }
        let learnt = async move { Landed::now(Ok(Some(challenge))) }.boxed().shared();
        // Landed at once, so that nobody takes it for one under way.
        let _ = learnt.clone().await;
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = Some(learnt);
        Ok(other.filter(|other| other.starts_with("repository:")).unwrap_or_else(|| scope.to_owned()))
    }

    /// The credential of this registry, from where its table says.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Credentials`].
    pub(super) async fn credential(&self) -> Result<Option<Credential>, RegistryError> {
        let source = self.wire.table_of_registry(&self.name).and_then(|table| table.credentials.as_ref());
        let Some(source) = source else { return Ok(None) };
        let mut kept = self.credential.lock().await;
        if let Some((_, credential)) = kept.as_ref().filter(|(read, _)| read.elapsed() < CREDENTIAL_LIFE) {
            return Ok(credential.clone());
        }
        let credential = Credential::read(source, &self.name).await?;
        *kept = Some((Instant::now(), credential.clone()));
        Ok(credential)
    }

    /// Takes notice of what every response says beside its content.
    pub(super) fn note(&self, status: StatusCode, headers: &HeaderMap) {
        if let Some(quota) = Quota::read(headers) {
            self.observer.observe(&self.name, RegistryEvent::Quota(quota));
            *self.quota.lock().unwrap_or_else(PoisonError::into_inner) = Some(quota);
        }
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        if status != StatusCode::TOO_MANY_REQUESTS {
            pause.refusals = 0;
            return;
        }
        pause.refusals = pause.refusals.saturating_add(1);
        if pause.refusals >= TIRED_AFTER {
            let asked = super::wire::retry_after(headers);
            let doubled = Duration::from_secs(1).saturating_mul(1 << (pause.refusals - TIRED_AFTER).min(5)).min(MAX_PAUSE);
            pause.until = Some(Instant::now() + asked.unwrap_or(doubled));
        }
    }

    /// Waits until the registry may be asked again.
    ///
    /// # Errors
    ///
    /// [`RegistryError::RateLimited`] when that is not before `until`.
    pub(super) async fn turn(&self, until: Instant) -> Result<(), RegistryError> {
        let resume = self.pause.lock().unwrap_or_else(PoisonError::into_inner).until;
        let Some(resume) = resume.filter(|resume| *resume > Instant::now()) else { return Ok(()) };
        if resume >= until {
            return Err(RegistryError::RateLimited { retry_after: Some(resume.saturating_duration_since(Instant::now())) });
        }
        tokio::time::sleep_until(resume.into()).await;
        Ok(())
    }

    /// What the registry said last of its limits.
    pub(super) fn quota(&self) -> Option<Quota> {
        *self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the registry wants to be asked; none if it asks for nothing.
    async fn manner(&self) -> Result<Option<Challenge>, RegistryError> {
        let flight = {
            let mut manner = self.manner.lock().unwrap_or_else(PoisonError::into_inner);
            let usable =
                manner.as_ref().filter(|flight| flight.peek().is_none_or(|landed| landed.outcome.is_ok() || landed.is_fresh_error()));
            match usable {
                Some(flight) => flight.clone(),
                None => {
                    let flight = probe(Arc::clone(&self.wire), self.base.clone(), Arc::clone(&self.observer), self.name.clone());
                    let flight = async move { Landed::now(flight.await) }.boxed().shared();
                    let driven = flight.clone();
                    self.wire.pool.run(async move {
                        driven.await;
                    });
                    *manner = Some(flight.clone());
                    flight
                }
            }
        };
        flight.await.outcome
    }

    async fn asking(&self, server: challenge::TokenServer) -> Result<Asking, RegistryError> {
        let (observer, name) = (Arc::clone(&self.observer), self.name.clone());
        Ok(Asking {
            wire: Arc::clone(&self.wire),
            server,
            credential: self.credential().await?,
            registry: self.base.clone(),
            counted: Arc::new(move || observer.observe(&name, RegistryEvent::TokenRequest)),
        })
    }
}

/// Asks how the registry wants to be asked. A registry that answers `/v2/` with anything but a 401 is asked without; what it wants for a repository shows there.
async fn probe(wire: SharedWire, base: Url, observer: SharedObserver, name: String) -> Result<Option<Challenge>, RegistryError> {
    let until = Instant::now() + wire.patience.head;
    let url = base.join("/v2/").map_err(|error| RegistryError::Unreachable(error.to_string()))?;
    let response = wire.send(Letter::new(Method::GET, url, until)).await?;
    observer.observe(&name, RegistryEvent::Request { method: "GET", status: response.status().as_u16() });
    let challenge = challenge::read(response.headers()).map(|wanted| wanted.challenge);
    let is_own = response.extensions().get::<Elsewhere>().is_none();
    let wanted = if response.status() == StatusCode::UNAUTHORIZED && is_own { challenge } else { None };
    // Read to its end, so that the connection is used again.
    let _ = wire.error_of(response, until).await;
    Ok(wanted)
}
