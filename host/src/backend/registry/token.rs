//! Tokens: one request to the token server however many ask, kept until shortly before they end, by scope.
//!
//! A token may cover many repositories, so for a list of references one is asked for all of them. Whether that works is the server's: it may refuse the whole for one repository that it does not show, find the
//! address too long, or make a token that no registry accepts as a header. In each of these cases the list is halved, and halved again, until every repository that can have a token has one.
//!
//! Whoever waits shares the result, the error too, which is kept for a moment: a token server that is down is not asked by each of 500 images.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::header::HeaderValue;
use http::{Method, StatusCode};
use serde::Deserialize;

use super::challenge::TokenServer;
use super::credential::Credential;
use super::error::RegistryError;
use super::wire::{Letter, SharedWire};

/// How long a token lives that does not say so, by the protocol.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// How long before its end a token is replaced, if it lives long enough.
const MARGIN: Duration = Duration::from_secs(15);
/// A longer one fits into no header that registries accept.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// The most of the scopes that one address may hold.
const MAX_SCOPES_BYTES: usize = 32 * 1024;
/// How many scopes are remembered for one registry. Plugins name them, so there is an end.
const MAX_SCOPES: usize = 10_000;
/// How long an error holds for those who come later.
pub(super) const ERROR_LIFE: Duration = Duration::from_secs(2);

/// What many wait for and one does.
pub(super) type Flight<T> = Shared<BoxFuture<'static, Landed<T>>>;

/// How a flight ended, and when.
#[derive(Debug, Clone)]
pub(super) struct Landed<T> {
    at: Instant,
    pub(super) outcome: Result<T, RegistryError>,
}

impl<T> Landed<T> {
    pub(super) fn now(outcome: Result<T, RegistryError>) -> Landed<T> {
        Landed { at: Instant::now(), outcome }
    }

    /// Whether it is an error that still holds.
    pub(super) fn is_fresh_error(&self) -> bool {
        self.outcome.is_err() && self.at.elapsed() < ERROR_LIFE
    }
}

/// A token of one registry.
pub(super) struct Token {
    /// For `Authorization`.
    pub(super) value: HeaderValue,
    /// When to get another.
    renew_at: Instant,
}

/// What one flight brought, by scope.
type Brought = Arc<HashMap<String, Result<Arc<Token>, RegistryError>>>;

/// The tokens of one registry.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, Flight<Brought>>>);

/// Whom to ask, and in whose name.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) wire: SharedWire,
    pub(super) server: TokenServer,
    pub(super) credential: Option<Credential>,
    /// The registry's address, which named the server.
    pub(super) registry: url::Url,
    /// Counts the requests.
    pub(super) counted: Arc<dyn Fn() + Send + Sync>,
}

impl Tokens {
    /// The token for `scope`, from the server if there is none that still holds.
    ///
    /// # Errors
    ///
    /// What the server answered instead.
    pub(super) async fn get(&self, scope: &str, asking: &Asking) -> Result<Arc<Token>, RegistryError> {
        let flight = self.flights(&[scope.to_owned()], asking).pop();
        let brought = match flight {
            Some(flight) => flight.await.outcome?,
            None => self.held(scope).ok_or_else(|| RegistryError::Unauthorized("no token".to_owned()))?,
        };
        brought.get(scope).cloned().unwrap_or_else(|| Err(RegistryError::Unauthorized("the token server gave no token".to_owned())))
    }

    /// Gets what is missing for `scopes`, in as few requests as the server allows.
    pub(super) async fn prepare(&self, scopes: &[String], asking: &Asking) {
        for flight in self.flights(scopes, asking) {
            flight.await;
        }
    }

    /// Replaces `token`, which the registry did not accept for `scope`: for this scope if it is `insufficient`, and else for all that it was for. One that came later stays.
    pub(super) fn reject(&self, scope: &str, token: &Arc<Token>, insufficient: bool, asking: &Asking) {
        let mut flights = self.lock();
        let is_of = |scope: &str, flight: &Flight<Brought>| {
            let brought = flight.peek().and_then(|landed| landed.outcome.as_ref().ok());
            brought.is_some_and(|brought| matches!(brought.get(scope), Some(Ok(held)) if Arc::ptr_eq(held, token)))
        };
        let rejected: Vec<String> = match insufficient {
            true => flights.get(scope).filter(|flight| is_of(scope, flight)).map(|_| scope.to_owned()).into_iter().collect(),
            false => flights.iter().filter(|(scope, flight)| is_of(scope, flight)).map(|(scope, _)| scope.clone()).collect(),
        };
        for scope in &rejected {
            flights.remove(scope);
        }
        drop(flights);
        // Under way before anybody else asks, so that nobody asks for its own scope alone.
        self.flights(&rejected, asking);
    }

    fn held(&self, scope: &str) -> Option<Brought> {
        self.lock().get(scope)?.peek()?.outcome.as_ref().ok().cloned()
    }

    /// The flights to wait for so that every one of `scopes` has its result: those under way, and new ones for what is missing. None for what is there.
    fn flights(&self, scopes: &[String], asking: &Asking) -> Vec<Flight<Brought>> {
        let mut known = self.lock();
        if known.len() + scopes.len() > MAX_SCOPES {
            known.retain(|_, flight| flight.peek().is_none());
        }
        let mut wait = Vec::new();
        let mut missing: Vec<String> = Vec::new();
        for scope in scopes {
            match known.get(scope) {
                Some(flight) => match flight.peek() {
                    None => wait.push(flight.clone()),
                    Some(landed) if holds(landed, scope) => {}
                    Some(_) => missing.push(scope.clone()),
                },
                None => missing.push(scope.clone()),
            }
        }
        for batch in batches(missing) {
            let (asked, for_flight) = (batch.clone(), asking.clone());
            let flight = async move { Landed::now(Ok(Arc::new(fetch(batch, for_flight).await))) }.boxed().shared();
            for scope in asked {
                known.insert(scope, flight.clone());
            }
            // It lands even if everybody who waits for it goes away, or those who come later would find it stuck.
            let driven = flight.clone();
            asking.wire.pool.run(async move {
                driven.await;
            });
            wait.push(flight);
        }
        wait
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Flight<Brought>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what a flight brought for `scope` still is the answer.
fn holds(landed: &Landed<Brought>, scope: &str) -> bool {
    match landed.outcome.as_ref().ok().and_then(|brought| brought.get(scope)) {
        Some(Ok(token)) => Instant::now() < token.renew_at,
        _ => landed.at.elapsed() < ERROR_LIFE,
    }
}

/// `scopes` in lists that each fit into one address.
fn batches(scopes: Vec<String>) -> Vec<Vec<String>> {
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut room = 0;
    for scope in scopes {
        let size = scope.len() + "&scope=".len();
        if size > room || batches.is_empty() {
            batches.push(Vec::new());
            room = MAX_SCOPES_BYTES;
        }
        room = room.saturating_sub(size);
        if let Some(batch) = batches.last_mut() {
            batch.push(scope);
        }
    }
    batches
}

/// A token for each of `scopes`, of as few requests as the server allows.
async fn fetch(scopes: Vec<String>, asking: Asking) -> HashMap<String, Result<Arc<Token>, RegistryError>> {
    let mut brought = HashMap::new();
    let mut waiting = vec![scopes];
    while let Some(mut scopes) = waiting.pop() {
        match fetch_one(&scopes, &asking).await {
            Err(TokenError::TooMuch(_)) if scopes.len() > 1 => {
                let half = scopes.split_off(scopes.len() / 2);
                waiting.extend([half, scopes]);
            }
            outcome => {
                let outcome = outcome.map(Arc::new).map_err(|(TokenError::TooMuch(error) | TokenError::Failed(error))| error);
                brought.extend(scopes.into_iter().map(|scope| (scope, outcome.clone())));
            }
        }
    }
    brought
}

/// Why a server gave no token.
enum TokenError {
    /// Possibly because the request asks for too much: fewer scopes may do.
    TooMuch(RegistryError),
    /// It would give none for fewer scopes either.
    Failed(RegistryError),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

async fn fetch_one(scopes: &[String], asking: &Asking) -> Result<Token, TokenError> {
    let until = Instant::now() + asking.wire.patience.head * 2;
    (asking.counted)();
    let response = asking.wire.send(letter(scopes, asking, until)).await.map_err(TokenError::Failed)?;
    let status = response.status();
    if status != StatusCode::OK {
        let error = asking.wire.error_of(response, until).await;
        let too_much = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
        return Err(if too_much { TokenError::TooMuch(error) } else { TokenError::Failed(error) });
    }
    let body = asking.wire.whole(response, until, MAX_ANSWER_BYTES).await.map_err(TokenError::Failed)?;
    let arrived = Instant::now();
    let no_token = || TokenError::Failed(RegistryError::Unintelligible("the token server's answer has no token".to_owned()));
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| no_token())?;
    let text = answer.token.or(answer.access_token).filter(|token| !token.is_empty()).ok_or_else(no_token)?;
    if text.len() > MAX_TOKEN_BYTES && scopes.len() > 1 {
        return Err(TokenError::TooMuch(RegistryError::TooLong { limit_bytes: MAX_TOKEN_BYTES }));
    }
    let mut value = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| no_token())?;
    value.set_sensitive(true);
    let life = answer.expires_in.filter(|secs| *secs > 0).map_or(DEFAULT_LIFE, Duration::from_secs);
    // Its age is counted here and from its arrival, so that no clock but ours matters; a registry whose clock runs ahead answers 401, and gets a new one.
    Ok(Token { value, renew_at: arrived + life.saturating_sub(MARGIN.min(life / 4)) })
}

/// The request: `GET` with the password, if there is one; a form for an identity token, by OAuth2.
fn letter(scopes: &[String], asking: &Asking, until: Instant) -> Letter {
    let Asking { server, credential, registry, .. } = asking;
    let mut url = server.realm.clone();
    let mut letter = match credential {
        Some(Credential::IdentityToken(token)) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token").append_pair("client_id", "wharf").append_pair("refresh_token", token);
            form.append_pair("service", server.service.as_deref().unwrap_or_default()).append_pair("scope", &scopes.join(" "));
            Letter { form: form.finish(), ..Letter::new(Method::POST, url, until) }
        }
        _ => {
            // A scope has no character that must be encoded in a query, and is a third shorter as it is.
            let mut query = url.query().map(str::to_owned).unwrap_or_default();
            if let Some(service) = &server.service {
                query = joined(query, "service", &form_urlencoded::byte_serialize(service.as_bytes()).collect::<String>());
            }
            for scope in scopes {
                query = joined(query, "scope", &scope.replace(' ', "%20").replace(['&', '#', '+'], ""));
            }
            url.set_query(Some(&query));
            let authorization = credential.as_ref().and_then(Credential::basic);
            Letter { authorization, ..Letter::new(Method::GET, url, until) }
        }
    };
    letter.led_by = Some(registry.clone());
    letter
}

fn joined(mut query: String, key: &str, value: &str) -> String {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(key);
    query.push('=');
    query.push_str(value);
    query
}
