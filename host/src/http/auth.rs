//! Who is asking, found out before a plugin is called.
//!
//! On a site with users the first of these is the credential: `Authorization: Bearer` with a token of the kind `access`, `Authorization: Basic`, the session's cookie. What comes of it depends on the
//! mount's `auth`:
//!
//! | the request has | `required` | `optional` | `plugin` |
//! |---|---|---|---|
//! | nothing | 401 | anonymous | anonymous |
//! | a valid credential | known | known | known |
//! | a Bearer or Basic that is not valid | 401 | 401: who says who they are and is wrong must not be taken for nobody | the plugin is told |
//! | a cookie that is not valid | 401 | anonymous: browsers go on sending cookies that have expired, also to the page with the login | the plugin is told |
//! | a cookie or Basic, and it changes something for a page of another origin | 403 | 403 | 403 |
//!
//! Cookies and Basic are what browsers send by themselves, so the last row concerns these two; see [`origin`]. On a site without users everyone comes in as nobody, unless the mount says `required`, or others than
//! this machine's can reach the host and its settings do not say that everyone may: then nobody comes in until there is a user.
//!
//! What the host took as its own is not shown to the plugin: passwords of Basic and the session's cookie never, a Bearer if it was valid.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode, request};
use ipnet::IpNet;

use super::problem;
use crate::backend::users::{
    ACCESS, Authentication, Caller, LoginError, Principal, Scheme, SecretText, SiteUsers, UsersError, cookie_name, read_cookie,
    without_cookie,
};
use crate::plugin::outcome::Problem;
use crate::settings::Auth;

mod origin;
mod proxy;
#[cfg(test)]
mod tests;

/// A request, as far as it says who sent it.
pub(crate) struct Asked<'a> {
    pub(crate) parts: &'a request::Parts,
    /// The peer of the connection, if it is known.
    pub(crate) remote: Option<SocketAddr>,
}

/// What a mount lets in.
pub(crate) struct Gate<'a> {
    pub(crate) users: &'a Arc<SiteUsers>,
    /// None if the configuration does not say.
    pub(crate) auth: Option<Auth>,
    /// Whether nobody may come in while there are no users.
    pub(crate) must_ask: bool,
    pub(crate) proxies: &'a [IpNet],
}

/// A request that may be passed on.
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    /// The fields that the plugin may see, if they are others than the client sent.
    pub(crate) headers: Option<HeaderMap>,
}

/// Why a request is not passed on.
#[derive(Debug)]
pub(crate) enum Refused {
    /// 401. The scheme is that of a credential that is not valid.
    Unknown(Option<Scheme>),
    /// 403: a page of another origin.
    CrossOrigin,
    /// 429.
    Throttled(Duration),
    /// 503: too many passwords are being looked at, or the database does not answer.
    Unavailable,
}

/// A credential as it was sent.
enum Sent {
    /// None if it does not have the form of a token.
    Bearer(Option<SecretText>),
    /// None if it cannot be read.
    Basic(Option<(String, String)>),
    /// None if it does not have the form of a session.
    Cookie(Option<SecretText>),
}

/// Finds out who sent `asked`.
///
/// # Errors
///
/// [`Refused`].
pub(crate) async fn admit(gate: &Gate<'_>, asked: &Asked<'_>) -> Result<Admitted, Refused> {
    let (peer, is_secure) = proxy::client(asked, gate.proxies);
    let nobody = Caller { peer, is_secure, ..Caller::default() };
    if !gate.users.has_users().await.map_err(|error| unavailable(&error))? {
        let is_open = !gate.must_ask && gate.auth != Some(Auth::Required);
        return if is_open { Ok(Admitted { caller: nobody, headers: None }) } else { Err(Refused::Unknown(None)) };
    }
    let headers = &asked.parts.headers;
    let cookie = cookie_name(&gate.users.site, is_secure);
    let is_cross_origin = origin::is_cross(headers, asked.parts, |origin| gate.users.trusts(origin));
    let nobody = Caller { is_cross_origin, ..nobody };
    let sent = sent(headers, &cookie);
    let is_ambient = matches!(sent, Some(Sent::Basic(_) | Sent::Cookie(_)));
    if is_ambient && is_cross_origin && !asked.parts.method.is_safe() {
        tracing::warn!(target: "audit", peer = peer.map(|peer| peer.to_string()),
            remedy = "trusted_origins of [[site]], with the page's origin", "refused a change for a page of another origin");
        return Err(Refused::CrossOrigin);
    }
    let (scheme, known) = match &sent {
        None => (None, None),
        Some(Sent::Bearer(text)) => (Some(Scheme::Bearer), bearer(gate.users, text.as_ref()).await?),
        Some(Sent::Basic(pair)) => (Some(Scheme::Basic), basic(gate.users, pair.as_ref(), peer).await?),
        Some(Sent::Cookie(text)) => (Some(Scheme::Cookie), session(gate.users, text.as_ref()).await?),
    };
    let authentication = sort(gate.auth.unwrap_or(Auth::Required), scheme, known)?;
    let is_known = matches!(authentication, Authentication::Known(_));
    let session = match sent {
        Some(Sent::Cookie(text)) if is_known => text,
        _ => None,
    };
    let hides_authorization = match scheme {
        Some(Scheme::Basic) => true,
        Some(Scheme::Bearer) => is_known,
        Some(Scheme::Cookie) | None => false,
    };
    // The cookie of the site's other way in, with TLS or without, is as good as this one there.
    let cookies = [cookie, cookie_name(&gate.users.site, !is_secure)];
    let hides_cookie = cookies.iter().any(|cookie| read_cookie(headers, cookie).is_some());
    let headers = (hides_authorization || hides_cookie).then(|| {
        let mut shown = headers.clone();
        if hides_authorization {
            shown.remove(AUTHORIZATION);
        }
        cookies.iter().for_each(|cookie| without_cookie(&mut shown, cookie));
        shown
    });
    Ok(Admitted { caller: Caller { authentication, session, ..nobody }, headers })
}

/// The table above: what a credential of `scheme`, or none, comes to, that is of somebody `known`, or of nobody.
fn sort(auth: Auth, scheme: Option<Scheme>, known: Option<Principal>) -> Result<Authentication, Refused> {
    match (auth, scheme, known) {
        (_, Some(_), Some(known)) => Ok(Authentication::Known(known)),
        (Auth::Required, scheme, _) => Err(Refused::Unknown(scheme)),
        (Auth::Optional, Some(scheme @ (Scheme::Bearer | Scheme::Basic)), None) => Err(Refused::Unknown(Some(scheme))),
        (Auth::Optional, Some(Scheme::Cookie), None) | (_, None, _) => Ok(Authentication::Anonymous),
        (Auth::Plugin, Some(scheme), None) => Ok(Authentication::Rejected(scheme)),
    }
}

/// The credential of a request. Another scheme than the two is none of the host's.
fn sent(headers: &HeaderMap, cookie: &str) -> Option<Sent> {
    let field = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    // The schemes are ASCII; what follows is looked at by itself.
    let (scheme, value) = field.split_at(field.iter().position(|byte| *byte == b' ').unwrap_or(field.len()));
    let value = std::str::from_utf8(value).unwrap_or_default().trim();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(Sent::Bearer(SecretText::parse_token(value)));
    }
    if scheme.eq_ignore_ascii_case(b"basic") {
        let pair = STANDARD.decode(value).ok().and_then(|pair| String::from_utf8(pair).ok());
        let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
        return Some(Sent::Basic(pair.map(|(name, password)| (name.to_owned(), password.to_owned()))));
    }
    // An empty one is one that was taken away.
    let value = read_cookie(headers, cookie).filter(|value| !value.is_empty())?;
    Some(Sent::Cookie(SecretText::parse_session(value)))
}

async fn bearer(users: &SiteUsers, text: Option<&SecretText>) -> Result<Option<Principal>, Refused> {
    let Some(text) = text else { return Ok(None) };
    let token = users.token(text).await.map_err(|error| unavailable(&error))?;
    Ok(token.filter(|token| token.kind == ACCESS).map(|token| token.principal))
}

async fn basic(users: &Arc<SiteUsers>, pair: Option<&(String, String)>, peer: Option<IpAddr>) -> Result<Option<Principal>, Refused> {
    let Some((name, password)) = pair else { return Ok(None) };
    users.basic(name, password, peer).await.map_err(|error| match error {
        LoginError::Throttled(wait) => Refused::Throttled(wait),
        LoginError::Busy => Refused::Unavailable,
        LoginError::Users(error) => unavailable(&error),
    })
}

async fn session(users: &SiteUsers, text: Option<&SecretText>) -> Result<Option<Principal>, Refused> {
    let Some(text) = text else { return Ok(None) };
    let session = users.session(text).await.map_err(|error| unavailable(&error))?;
    Ok(session.map(|session| session.principal))
}

fn unavailable(error: &UsersError) -> Refused {
    tracing::error!(%error, "cannot find out who is asking");
    Refused::Unavailable
}

impl Refused {
    /// The answer of a site called `realm`.
    pub(crate) fn response(&self, realm: &str, request_id: &str) -> Response<Body> {
        let plain = |status, title| problem::response(&problem::of(status, title), request_id);
        let later = |status, title, after| problem::response(&Problem { status, title, retry_after: Some(after) }, request_id);
        match self {
            Refused::Unknown(scheme) => challenged(plain(StatusCode::UNAUTHORIZED, "This needs a user of the site"), realm, *scheme),
            Refused::CrossOrigin => plain(StatusCode::FORBIDDEN, "A page of another origin may not change anything here"),
            Refused::Throttled(wait) => later(StatusCode::TOO_MANY_REQUESTS, "Too many logins have failed", *wait),
            Refused::Unavailable => {
                later(StatusCode::SERVICE_UNAVAILABLE, "Who is asking cannot be found out at the moment", Duration::from_secs(1))
            }
        }
    }
}

/// `response` with the ways in which somebody can be known. A site's name needs no quoting.
fn challenged(mut response: Response<Body>, realm: &str, scheme: Option<Scheme>) -> Response<Body> {
    let error = if scheme == Some(Scheme::Bearer) { ", error=\"invalid_token\"" } else { "" };
    for challenge in [format!("Bearer realm=\"{realm}\"{error}"), format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")] {
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            response.headers_mut().append(WWW_AUTHENTICATE, challenge);
        }
    }
    response
}
