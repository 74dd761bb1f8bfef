//! Whether a browser says that a page of another origin sent a request.
//!
//! As Go's `CrossOriginProtection` decides it: an origin that the site trusts is its own; `Sec-Fetch-Site`, which no page can forge, says `same-origin`, or `none` for what the user typed; a browser without that
//! field sends `Origin`, whose host must be that of the request. What has neither field was not sent by a page: curl, scripts, other programs. A page of the same *site* is another origin
//! still: on a machine full of containers that is every application on another port.

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use http::request;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a page of another origin sent the request, other than one that the site `trusts`. Origins are given to it in lower case.
pub(super) fn is_cross(headers: &HeaderMap, parts: &request::Parts, trusts: impl FnOnce(&str) -> bool) -> bool {
    let field = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());
    let origin: Option<String> = field(ORIGIN);
    if origin.as_deref().is_some_and(trusts) {
        return false;
    }
    if let Some(site) = field(SEC_FETCH_SITE) {
        return !matches!(site.as_str(), "same-origin" | "none");
    }
    let Some(origin) = origin else { return false };
    let host = parts.uri.authority().map(|authority| authority.as_str().to_ascii_lowercase()).or_else(|| field(HOST));
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    of_origin.is_none() || of_origin != host.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&str, &str)], is_foreign: bool) {
        let mut request = http::Request::post("/x").header("host", "Plant-A.local:8080");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let trusts = |origin: &str| origin == "https://console.plant-a.local";
        assert_eq!(is_cross(&parts.headers, &parts, trusts), is_foreign, "{fields:?}");
    }

    #[test]
    fn a_browser_says_where_a_request_comes_from() {
        check(&[], false);
        check(&[("sec-fetch-site", "same-origin")], false);
        check(&[("sec-fetch-site", "none")], false);
        check(&[("sec-fetch-site", "same-site")], true);
        check(&[("sec-fetch-site", "cross-site")], true);
        check(&[("sec-fetch-site", "")], true);
        check(&[("origin", "http://plant-a.local:8080")], false);
        check(&[("origin", "https://PLANT-A.local:8080")], false);
        check(&[("origin", "http://plant-a.local")], true);
        check(&[("origin", "http://plant-a.local:9000")], true);
        check(&[("origin", "http://evil.example")], true);
        check(&[("origin", "null")], true);
        check(&[("origin", "")], true);
        // What a page cannot forge goes before what an old browser says.
        check(&[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], false);
        check(&[("origin", "http://plant-a.local:8080"), ("sec-fetch-site", "cross-site")], true);
        check(&[("origin", "https://Console.plant-a.local"), ("sec-fetch-site", "same-site")], false);
        check(&[("origin", "https://console.plant-a.local.evil.example")], true);
    }
}
