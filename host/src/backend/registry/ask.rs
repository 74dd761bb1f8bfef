//! A question to a registry: with what it wants to see, again after a 401 with a new token, and again after a while when it says so.

use std::time::{Duration, Instant};

use http::header::{ACCEPT, HeaderValue, IF_NONE_MATCH};
use http::{Method, Response, StatusCode};
use url::Url;

use super::authority::Authority;
use super::error::RegistryError;
use super::pool::Body;
use super::wire::{Elsewhere, Letter};
use super::{Client, RegistryEvent};
use crate::backend::reference::ImageReference;

/// How often one thing is asked for.
const ATTEMPTS: u32 = 3;
/// The first pause before asking again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The shortest pause, whatever a registry says: some count in microseconds.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// What is asked.
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    /// The media types that are understood; none accepts any.
    pub(super) accept: Option<&'static str>,
    /// What is known already.
    pub(super) etag: Option<HeaderValue>,
    /// What a token must be for.
    pub(super) scope: String,
    /// Whether it may be sent again when nobody knows whether it arrived. Not what is counted as a pull.
    pub(super) repeatable: bool,
    pub(super) until: Instant,
}

/// What a token must be for that reads `reference`.
pub(super) fn scope(reference: &ImageReference) -> String {
    format!("repository:{}:pull", reference.path())
}

impl Client {
    /// Asks, and answers a response of success, or 304.
    ///
    /// # Errors
    ///
    /// What the last attempt came to.
    pub(super) async fn ask(&self, authority: &Authority, ask: &Ask) -> Result<Response<Body>, RegistryError> {
        for attempt in 1.. {
            authority.turn(ask.until).await?;
            let error = match self.ask_once(authority, ask).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            match pause(&error, attempt, ask.repeatable) {
                Some(pause) if attempt < ATTEMPTS && Instant::now() + pause < ask.until => tokio::time::sleep(pause).await,
                _ => return Err(error),
            }
        }
        unreachable!("the attempts are counted")
    }

    async fn ask_once(&self, authority: &Authority, ask: &Ask) -> Result<Response<Body>, RegistryError> {
        let mut scope = ask.scope.clone();
        let mut may_renew = true;
        loop {
            let pass = authority.pass(&scope).await?;
            let mut letter = Letter::new(ask.method.clone(), ask.url.clone(), ask.until);
            letter.authorization = pass.value();
            letter.headers.extend(ask.accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept))));
            letter.headers.extend(ask.etag.clone().map(|etag| (IF_NONE_MATCH, etag)));
            let response = self.wire.send(letter).await?;
            let status = response.status();
            let is_own = response.extensions().get::<Elsewhere>().is_none();
            if is_own {
                authority.note(status, response.headers());
            }
            let method = if ask.method == Method::HEAD { "HEAD" } else { "GET" };
            self.observer.observe(&authority.name, RegistryEvent::Request { method, status: status.as_u16() });
            if status == StatusCode::UNAUTHORIZED && is_own && may_renew {
                may_renew = false;
                scope = authority.rejected(&pass, &scope, response.headers()).await?;
                // Read to its end, so that the connection is used again.
                let _ = self.wire.error_of(response, ask.until).await;
                continue;
            }
            if status == StatusCode::OK || status == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            return Err(self.wire.error_of(response, ask.until).await);
        }
    }
}

/// How long to wait before asking again after `error`; none when that is of no use. The jitter keeps those apart who were refused together.
fn pause(error: &RegistryError, attempt: u32, repeatable: bool) -> Option<Duration> {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(5));
    let jittered = doubled.mul_f64(0.5 + fastrand::f64() / 2.0);
    match error {
        RegistryError::RateLimited { retry_after: Some(after) } => Some((*after).max(LEAST_PAUSE) + jittered / 10),
        RegistryError::RateLimited { retry_after: None } => Some(jittered),
        RegistryError::Unreachable(_) if repeatable => Some(jittered),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_counted_is_not_sent_again() {
        let cut = RegistryError::Unreachable("cut".to_owned());
        assert!(pause(&cut, 1, true).is_some() && pause(&cut, 1, false).is_none());
        assert!(pause(&RegistryError::RateLimited { retry_after: None }, 1, false).is_some(), "it was refused, and so not counted");
        assert_eq!(pause(&RegistryError::NotFound, 1, true), None);
    }

    #[test]
    fn pauses_grow_and_the_registry_has_the_last_word() {
        let cut = RegistryError::Unreachable("cut".to_owned());
        for (attempt, least, most) in [(1, 100, 200), (2, 200, 400)] {
            let pause = pause(&cut, attempt, true).unwrap().as_millis();
            assert!((least..=most).contains(&pause), "{attempt}: {pause}");
        }
        let after = |secs| pause(&RegistryError::RateLimited { retry_after: Some(Duration::from_secs(secs)) }, 1, false).unwrap();
        assert!(after(7) >= Duration::from_secs(7) && after(0) >= LEAST_PAUSE);
    }
}
