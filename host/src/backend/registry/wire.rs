//! One request on its way: which server it goes to and whether it may, redirects, and the reading of bodies.
//!
//! A secret goes to the server that it was made for and to no other: a redirect to another one takes `Authorization` off. What is not encrypted goes only to loopback and to hosts whose table says
//! `plain_http`, or whose whole address the operator wrote without encryption.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use url::Url;

use super::connect::{Origin, names_loopback};
use super::error::RegistryError;
use super::outbound::Errand;
use super::pool::{Body, Pool, Waits};
use super::{HUB, HUB_HOST, Patience};
use crate::settings::RegistrySettings;

/// How many redirects are followed. Registries redirect once, to where they keep their blobs.
const MAX_REDIRECTS: usize = 5;
/// How much of an error's body is read: it is one sentence.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// How much of a registry's own words is passed on.
const MAX_REASON_CHARS: usize = 300;
const OURS: HeaderValue = HeaderValue::from_static(concat!("wharf/", env!("CARGO_PKG_VERSION")));

/// The way to all registries.
pub(super) struct Wire {
    pub(super) pool: Pool,
    /// The `[registry]` tables, by host or `host:port`.
    pub(super) tables: BTreeMap<String, RegistrySettings>,
    pub(super) patience: Patience,
}

/// Marks a response that came from another server than was asked, after a redirect. What it says of credentials or limits is not the registry's word: a store that could name a token server would
/// be sent the registry's password.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elsewhere;

/// A request.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) authorization: Option<HeaderValue>,
    /// A form; empty for none.
    pub(super) form: String,
    /// What is sent where there is no form; empty for nothing.
    pub(super) body: Bytes,
    /// Who named the URL, if it was not the reference.
    pub(super) led_by: Option<Url>,
    /// The address of the operator's configuration for which this is asked: its server may be in a private network, and unencrypted if it is written so. None for what a reference names.
    pub(super) written: Option<Url>,
    /// When waiting is over.
    pub(super) until: Instant,
}

/// What a server says that does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) status: u16,
    /// Its own words, on one line and cut; may be empty.
    pub(crate) reason: String,
    /// How long it wants to be left alone; none if it does not say.
    pub(crate) retry_after: Option<Duration>,
}

impl Letter {
    /// A request without fields and body.
    pub(super) fn new(method: Method, url: Url, until: Instant) -> Letter {
        let (form, body) = (String::new(), Bytes::new());
        Letter { method, url, headers: HeaderMap::new(), authorization: None, form, body, led_by: None, written: None, until }
    }
}

impl Wire {
    /// Sends `letter`, follows redirects, and answers the last response, whatever its status. One of another server has [`Elsewhere`] among its extensions.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Refused`] when the host does not go there, [`RegistryError::Redirected`], and those of [`Pool::send`].
    pub(super) async fn send(&self, mut letter: Letter) -> Result<Response<Body>, RegistryError> {
        let mut origin = self.origin(&letter)?;
        let mut elsewhere = false;
        for _ in 0..=MAX_REDIRECTS {
            let waits = Waits { head: self.patience.head, until: letter.until };
            let mut response = self.pool.send(&origin, request(&letter)?, waits).await?;
            if elsewhere {
                response.extensions_mut().insert(Elsewhere);
            }
            let Some(target) = redirect(&response, &letter.url)? else { return Ok(response) };
            if !matches!(letter.method, Method::GET | Method::HEAD) {
                return Err(RegistryError::Redirected(format!("a {} to `{}`", letter.method, shown(&target))));
            }
            letter.led_by = Some(std::mem::replace(&mut letter.url, target));
            let next = self.origin(&letter)?;
            if !next.is_same_server(&origin) {
                letter.authorization = None;
                elsewhere = true;
            }
            origin = next;
        }
        Err(RegistryError::Redirected(format!("more than {MAX_REDIRECTS} times, last to `{}`", shown(&letter.url))))
    }

    /// The table that names the host of `url`.
    pub(super) fn table(&self, url: &Url) -> Option<&RegistrySettings> {
        let host = url.host_str()?;
        let registry = if host == HUB_HOST { HUB } else { host };
        let with_port = || self.tables.get(&format!("{host}:{}", url.port_or_known_default().unwrap_or_default()));
        let without = || url.port().is_none().then(|| self.tables.get(registry)).flatten();
        with_port().or_else(without)
    }

    /// The table that names the host of `url`, or whose `endpoint` it is. What such a table says of the way there holds; its credentials are for its own registry.
    fn table_of_server(&self, url: &Url) -> Option<&RegistrySettings> {
        let is_endpoint = |table: &&RegistrySettings| table.endpoint.as_ref().is_some_and(|endpoint| endpoint.origin() == url.origin());
        self.table(url).or_else(|| self.tables.values().find(is_endpoint))
    }

    /// The table of the registry `name`, as references have it.
    pub(super) fn table_of_registry(&self, name: &str) -> Option<&RegistrySettings> {
        self.tables.get(name).or_else(|| self.table(&Url::parse(&format!("https://{name}/")).ok()?))
    }

    /// Where the registry `name` answers: `https://ghcr.io/`, or what its table says.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unreachable`] when the name is none for a host.
    pub(super) fn base(&self, name: &str) -> Result<Url, RegistryError> {
        let table = self.table_of_registry(name);
        if let Some(endpoint) = table.and_then(|table| table.endpoint.clone()) {
            return Ok(endpoint);
        }
        let host = if name == HUB { HUB_HOST } else { name };
        let no_host = |error: url::ParseError| RegistryError::Unreachable(format!("`{name}` is no host: {error}"));
        let plain = Url::parse(&format!("http://{host}/")).map_err(no_host)?;
        let encrypted = Url::parse(&format!("https://{host}/")).map_err(no_host)?;
        Ok(if may_be_plain(table, &plain) { plain } else { encrypted })
    }

    /// Where `letter` goes.
    pub(super) fn origin(&self, letter: &Letter) -> Result<Origin, RegistryError> {
        let url = &letter.url;
        let table = self.table_of_server(url);
        let is_written = letter.written.as_ref().is_some_and(|written| written.origin() == url.origin());
        let encrypted = match url.scheme() {
            "https" => true,
            "http" if is_written || may_be_plain(table, url) => false,
            "http" => return Err(RegistryError::Refused(format!("`{}` is not encrypted, and no table says `plain_http`", shown(url)))),
            other => return Err(RegistryError::Refused(format!("the scheme `{other}`"))),
        };
        let (Some(host), Some(port)) = (url.host().map(|host| host.to_owned()), url.port_or_known_default()) else {
            return Err(RegistryError::Refused(format!("`{}` has no host", shown(url))));
        };
        let errand = match &letter.led_by {
            _ if is_written || table.is_some() => Errand::Configured,
            Some(by) if !names_loopback(by) => Errand::Led,
            _ => Errand::Named,
        };
        Ok(Origin { encrypted, host, port, errand, ca_file: table.and_then(|table| table.ca_file.clone()) })
    }

    /// The error that a response with an unwelcome status stands for. Reads what the registry says to it.
    pub(super) async fn error_of(&self, response: Response<Body>, until: Instant) -> RegistryError {
        let Complaint { status, reason, retry_after } = self.complaint(response, until).await;
        RegistryError::of_status(status, reason, retry_after)
    }

    /// What a response with an unwelcome status says.
    pub(super) async fn complaint(&self, response: Response<Body>, until: Instant) -> Complaint {
        let (head, body) = response.into_parts();
        let retry_after = retry_after(&head.headers);
        let body = body.whole(self.patience.idle, until, MAX_ERROR_BYTES).await.unwrap_or_default();
        Complaint { status: head.status.as_u16(), reason: reason(&body), retry_after }
    }

    /// The whole body of `response`.
    ///
    /// # Errors
    ///
    /// Those of [`Body::whole`].
    pub(super) async fn whole(&self, response: Response<Body>, until: Instant, limit_bytes: usize) -> Result<Bytes, RegistryError> {
        response.into_body().whole(self.patience.idle, until, limit_bytes).await
    }
}

/// Whether requests to `url` may go unencrypted: `table` says so, or it is this machine and no table speaks of certificates.
fn may_be_plain(table: Option<&RegistrySettings>, url: &Url) -> bool {
    match table {
        Some(RegistrySettings { plain_http: Some(plain), .. }) => *plain,
        Some(RegistrySettings { ca_file: Some(_), .. }) => false,
        _ => names_loopback(url),
    }
}

fn request(letter: &Letter) -> Result<Request<Full<Bytes>>, RegistryError> {
    let target = letter.url.query().map_or_else(|| letter.url.path().to_owned(), |query| format!("{}?{query}", letter.url.path()));
    let host = match (letter.url.host_str(), letter.url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let mut request = Request::builder().method(&letter.method).uri(target).header(HOST, host).header(USER_AGENT, OURS);
    if let Some(value) = &letter.authorization {
        request = request.header(AUTHORIZATION, value);
    }
    if !letter.form.is_empty() {
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let body = if letter.form.is_empty() { letter.body.clone() } else { Bytes::from(letter.form.clone()) };
    let mut request = request.body(Full::new(body)).map_err(|error| RegistryError::Unreachable(error.to_string()))?;
    for (name, value) in &letter.headers {
        request.headers_mut().append(name, value.clone());
    }
    Ok(request)
}

/// Where `response` redirects to; none if it does not.
fn redirect(response: &Response<Body>, from: &Url) -> Result<Option<Url>, RegistryError> {
    let followed = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !followed.contains(&response.status()) {
        return Ok(None);
    }
    let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok()).and_then(|target| from.join(target).ok());
    target.map(Some).ok_or_else(|| RegistryError::Redirected("to no address".to_owned()))
}

/// A URL without what may be secret in it: storage behind registries signs its queries.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// What `Retry-After` says, in seconds or as a date, or `X-Retry-After`, which Docker Hub's own API sends: a moment, in seconds since 1970. None if neither says anything that can be read.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let until = |moment: SystemTime| moment.duration_since(SystemTime::now()).unwrap_or_default();
    if let Some(value) = text("retry-after") {
        return match value.parse() {
            Ok(secs) => Some(Duration::from_secs(secs)),
            Err(_) => httpdate::parse_http_date(value).ok().map(until),
        };
    }
    let moment = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(text("x-retry-after")?.parse().ok()?))?;
    Some(until(moment))
}

/// What a registry says to its error: `{"errors": [{"code", "message"}]}`, or text.
fn reason(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<Item>,
    }
    #[derive(serde::Deserialize)]
    struct Item {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Errors>(body) {
        Ok(document) => document.errors.first().map(|item| format!("{} {}", item.code, item.message)).unwrap_or_default(),
        Err(_) if body.trim_ascii_start().starts_with(b"<") => "a web page".to_owned(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    text.trim().chars().filter(|character| !character.is_control()).take(MAX_REASON_CHARS).collect()
}

/// Shared by all that ask.
pub(super) type SharedWire = Arc<Wire>;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_retry_after(value: &str, expected: Option<u64>) {
        let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, value.parse().unwrap())]);
        assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        check_retry_after("3", Some(3));
        check_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", Some(0));
        check_retry_after("331µs", None);
        check_retry_after("-1", None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn docker_hub_names_the_moment_to_come_again() {
        let said = |value: String| retry_after(&HeaderMap::from_iter([("x-retry-after".parse().unwrap(), value.parse().unwrap())]));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let left = said((now + 90).to_string()).unwrap();
        assert!((80..=90).contains(&left.as_secs()), "{left:?}");
        assert_eq!(said("60".to_owned()), Some(Duration::ZERO), "a moment that has passed");
        assert_eq!((said(u64::MAX.to_string()), said("soon".to_owned())), (None, None));
    }

    #[test]
    fn a_registrys_reason_is_short_and_has_no_page_in_it() {
        assert_eq!(reason(br#"{"errors":[{"code":"DENIED","message":"no","detail":{}}]}"#), "DENIED no");
        assert_eq!(reason(b"  <!doctype html><html>"), "a web page");
        assert_eq!(reason(b"Too Many\r\nRequests\n"), "Too ManyRequests");
        assert_eq!(reason("é".repeat(900).as_bytes()).chars().count(), MAX_REASON_CHARS);
        assert_eq!(reason(b""), "");
    }

    #[test]
    fn what_a_url_may_hold_in_secret_is_not_shown() {
        let url = Url::parse("https://user:pass@store.example/blob?X-Signature=secret#f").unwrap();
        assert_eq!(shown(&url), "https://store.example/blob");
    }
}
