//! The session's cookie.
//!
//! `HttpOnly`, so that no script of a page reads it; `SameSite=Lax`, so that a page that somebody comes to by a link knows them, and a form of another site does not carry it; `Path=/`, and no `Domain`.
//! Cookies know no ports, so the site's name is in that of the cookie: two hosts on one machine do not take each other's. Over TLS it is `Secure` and has the prefix `__Host-`, which no neighbour on
//! another subdomain can set; the other name is then not looked at.

use std::time::Duration;

use http::header::{COOKIE, HeaderMap, HeaderValue};

use super::SecretText;

/// What the cookie of the site is called.
pub(crate) fn cookie_name(site: &str, is_secure: bool) -> String {
    let prefix = if is_secure { "__Host-" } else { "" };
    format!("{prefix}wharf-session-{site}")
}

/// A `Set-Cookie` that gives `session` to the client, which keeps it for `lifetime`, in whole seconds and never less; none takes the cookie away.
pub(crate) fn set_cookie(site: &str, is_secure: bool, session: Option<(&SecretText, Duration)>) -> String {
    let (value, lifetime) = session.map_or(("", Duration::ZERO), |(text, lifetime)| (text.expose(), lifetime));
    let secure = if is_secure { "; Secure" } else { "" };
    let name = cookie_name(site, is_secure);
    format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", lifetime.as_millis().div_ceil(1000))
}

/// The value of the cookie `name`; the first if there are several.
pub(crate) fn read_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(';')).find_map(|pair| named(pair, name))
}

/// Takes the cookie `name` out of `headers`.
pub(crate) fn without_cookie(headers: &mut HeaderMap, name: &str) {
    let others = |field: &HeaderValue| -> Option<HeaderValue> {
        // A field that is not ASCII has not been looked at, and stays.
        let Ok(text) = field.to_str() else { return Some(field.clone()) };
        let others: Vec<&str> = text.split(';').map(str::trim).filter(|pair| !pair.is_empty() && named(pair, name).is_none()).collect();
        if others.is_empty() { None } else { HeaderValue::from_str(&others.join("; ")).ok() }
    };
    let left: Vec<HeaderValue> = headers.get_all(COOKIE).iter().filter_map(others).collect();
    headers.remove(COOKIE);
    for field in left {
        headers.append(COOKIE, field);
    }
}

fn named<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = pair.trim().split_once('=')?;
    (found.trim_end() == name).then(|| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_has_the_attributes_that_keep_it() {
        let session = SecretText::session().unwrap();
        let given = set_cookie("plant-a", false, Some((&session, Duration::from_secs(60))));
        assert_eq!(given, format!("wharf-session-plant-a={}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax", session.expose()));
        let taken = set_cookie("plant-a", true, None);
        assert_eq!(taken, "__Host-wharf-session-plant-a=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure");
    }

    #[track_caller]
    fn check(fields: &[&str], value: Option<&str>, left: &[&str]) {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(COOKIE, HeaderValue::from_str(field).unwrap());
        }
        assert_eq!(read_cookie(&headers, "s"), value);
        without_cookie(&mut headers, "s");
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), left);
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name_and_taken_out_alone() {
        check(&[], None, &[]);
        check(&["s=1"], Some("1"), &[]);
        check(&["a=1; s=2;b=3"], Some("2"), &["a=1; b=3"]);
        check(&["ss=1", "s=\"2\"", "xs=3"], Some("2"), &["ss=1", "xs=3"]);
        check(&["S=1; s"], None, &["S=1; s"]);
        check(&["s=1; s=2"], Some("1"), &[]);
    }
}
