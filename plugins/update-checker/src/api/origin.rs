//! Whether a browser says that a page of another origin sent a request, decided as the host decides it for sites with users.
//!
//! `Sec-Fetch-Site`, which no page can forge, says `same-origin`, or `none` for what the user typed; a browser without that field sends `Origin`, whose host must be that of the request. What has neither field was not sent
//! by a page: curl, scripts, other programs.

use wharf_sdk::Request;

/// Whether a page of another origin sent `request`, other than one of `trusted`.
pub(super) fn is_cross(request: &Request, trusted: &[String]) -> bool {
    is_foreign(field(request, "origin"), field(request, "sec-fetch-site"), request.authority(), trusted)
}

/// The field `name`; one that is not text is one that nobody trusts.
fn field<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let found = request.headers().find(|(field, _)| field.eq_ignore_ascii_case(name));
    found.map(|(_, value)| std::str::from_utf8(value).unwrap_or("?"))
}

fn is_foreign(origin: Option<&str>, site: Option<&str>, authority: &str, trusted: &[String]) -> bool {
    if origin.is_some_and(|origin| trusted.iter().any(|trusted| trusted.eq_ignore_ascii_case(origin))) {
        return false;
    }
    if let Some(site) = site {
        return !(site.eq_ignore_ascii_case("same-origin") || site.eq_ignore_ascii_case("none"));
    }
    let Some(origin) = origin else { return false };
    !origin.split_once("://").is_some_and(|(_, host)| host.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_says_where_a_request_comes_from() {
        let trusted = ["https://console.plant-a.local".to_owned()];
        for (origin, site, expected) in [
            (None, None, false),
            (None, Some("same-origin"), false),
            (None, Some("none"), false),
            (None, Some("same-site"), true),
            (None, Some("cross-site"), true),
            (None, Some(""), true),
            (Some("http://plant-a.local:8080"), None, false),
            (Some("https://PLANT-A.local:8080"), None, false),
            (Some("http://plant-a.local"), None, true),
            (Some("http://evil.example"), None, true),
            (Some("null"), None, true),
            (Some(""), None, true),
            (Some("http://evil.example"), Some("same-origin"), false),
            (Some("http://plant-a.local:8080"), Some("cross-site"), true),
            (Some("https://Console.plant-a.local"), Some("cross-site"), false),
            (Some("https://console.plant-a.local.evil.example"), None, true),
        ] {
            assert_eq!(is_foreign(origin, site, "plant-a.local:8080", &trusted), expected, "{origin:?} {site:?}");
        }
    }
}
