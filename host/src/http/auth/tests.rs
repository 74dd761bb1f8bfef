//! Every credential at every kind of mount.

use std::time::Duration;

use http::HeaderMap;

use super::*;
use crate::backend::users::testing::TestSite;
use crate::backend::users::{TokenRequest, UsersError};

/// The credentials of one site's `ann`, by name.
struct Credentials {
    site: TestSite,
    session: String,
    access: String,
    refresh: String,
}

impl Credentials {
    async fn new() -> Credentials {
        let site = TestSite::with(&[("ann", &["admin"])]).await;
        let session = site.users.begin_session("ann", "ann's password", None).await.unwrap().unwrap();
        let request = |kind: &str| TokenRequest { kind: kind.to_owned(), lifetime: Duration::from_secs(60) };
        let requests = [request(ACCESS), request("refresh")];
        let tokens = site.users.login_tokens("ann", "ann's password", None, &requests).await.unwrap().unwrap();
        let text = |index: usize| tokens[index].text.expose().to_owned();
        Credentials { session: session.text.expose().to_owned(), access: text(0), refresh: text(1), site }
    }

    /// The fields of the credential `name`.
    fn fields(&self, name: &str) -> Vec<(&'static str, String)> {
        let (cookie, authorization) = ("cookie", "authorization");
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let session = |value: &str| format!("a=b; wharf-session-plant={value}");
        let absent = "A".repeat(43);
        match name {
            "nothing" => Vec::new(),
            "bearer" => vec![(authorization, format!("Bearer {}", self.access))],
            "bearer in small letters" => vec![(authorization, format!("bearer  {}", self.access))],
            "bearer of another kind" => vec![(authorization, format!("Bearer {}", self.refresh))],
            "bearer that is a session" => vec![(authorization, format!("Bearer {}", self.session))],
            "bearer that is none" => vec![(authorization, format!("Bearer wharf_{absent}"))],
            "bearer of somebody else's" => vec![(authorization, "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x".to_owned())],
            "bearer without a token" => vec![(authorization, "Bearer".to_owned())],
            "basic" => vec![(authorization, basic("ann:ann's password"))],
            "basic that is wrong" => vec![(authorization, basic("ann:wrong"))],
            "basic of nobody" => vec![(authorization, basic("bob:bob's password"))],
            "basic without a colon" => vec![(authorization, basic("ann"))],
            "basic that is not base64" => vec![(authorization, "Basic ?".to_owned())],
            "cookie" => vec![(cookie, session(&self.session))],
            "cookie that is none" => vec![(cookie, session(&absent))],
            "cookie of no form" => vec![(cookie, session("x"))],
            "cookie that is a token" => vec![(cookie, session(&self.access))],
            "cookie that was taken away" => vec![(cookie, session(""))],
            "cookie of TLS" => vec![(cookie, format!("__Host-wharf-session-plant={}", self.session))],
            "another scheme" => vec![(authorization, "Negotiate x".to_owned())],
            "another scheme and a cookie" => [self.fields("another scheme"), self.fields("cookie")].concat(),
            "bearer and a cookie that is none" => [self.fields("bearer"), self.fields("cookie that is none")].concat(),
            "bearer that is none and a cookie" => [self.fields("bearer that is none"), self.fields("cookie")].concat(),
            _ => panic!("no credential is called `{name}`"),
        }
    }

    /// What comes of a request with the credential `name` and further `fields`.
    async fn ask(&self, auth: Option<Auth>, method: &str, name: &str, fields: &[(&str, &str)]) -> Result<Admitted, Refused> {
        let mut request = http::Request::builder().method(method).uri("/x").header("host", "plant.local");
        for (name, value) in self.fields(name) {
            request = request.header(name, value);
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let gate = Gate { users: &self.site.users, auth, must_ask: false, proxies: &["127.0.0.1/32".parse().unwrap()] };
        // Each from another place, so that none waits for the failures of others.
        let remote = Some(SocketAddr::new(IpAddr::from(fastrand::u32(..).to_be_bytes()), 1));
        admit(&gate, &Asked { parts: &parts, remote }).await
    }
}

/// What came of it in a word.
fn word(outcome: &Result<Admitted, Refused>) -> String {
    match outcome {
        Ok(Admitted { caller: Caller { authentication, .. }, .. }) => match authentication {
            Authentication::Anonymous => "anonymous".to_owned(),
            Authentication::Known(principal) => principal.name.clone(),
            Authentication::Rejected(scheme) => format!("rejected {}", scheme.word()),
        },
        Err(refused) => refused.response("plant", "id").status().as_u16().to_string(),
    }
}

#[tokio::test]
async fn each_credential_at_each_kind_of_mount() {
    let credentials = Credentials::new().await;
    for (name, expected) in [
        ("nothing", ["401", "401", "anonymous", "anonymous"]),
        ("bearer", ["ann"; 4]),
        ("bearer in small letters", ["ann"; 4]),
        ("bearer of another kind", ["401", "401", "401", "rejected bearer"]),
        ("bearer that is a session", ["401", "401", "401", "rejected bearer"]),
        ("bearer that is none", ["401", "401", "401", "rejected bearer"]),
        ("bearer of somebody else's", ["401", "401", "401", "rejected bearer"]),
        ("bearer without a token", ["401", "401", "401", "rejected bearer"]),
        ("basic", ["ann"; 4]),
        ("basic that is wrong", ["401", "401", "401", "rejected basic"]),
        ("basic of nobody", ["401", "401", "401", "rejected basic"]),
        ("basic without a colon", ["401", "401", "401", "rejected basic"]),
        ("basic that is not base64", ["401", "401", "401", "rejected basic"]),
        ("cookie", ["ann"; 4]),
        ("cookie that is none", ["401", "401", "anonymous", "rejected cookie"]),
        ("cookie of no form", ["401", "401", "anonymous", "rejected cookie"]),
        ("cookie that is a token", ["401", "401", "anonymous", "rejected cookie"]),
        ("cookie that was taken away", ["401", "401", "anonymous", "anonymous"]),
        ("cookie of TLS", ["401", "401", "anonymous", "anonymous"]),
        ("another scheme", ["401", "401", "anonymous", "anonymous"]),
        ("another scheme and a cookie", ["ann"; 4]),
        ("bearer and a cookie that is none", ["ann"; 4]),
        ("bearer that is none and a cookie", ["401", "401", "401", "rejected bearer"]),
    ] {
        for (auth, expected) in [None, Some(Auth::Required), Some(Auth::Optional), Some(Auth::Plugin)].into_iter().zip(expected) {
            for method in ["GET", "POST"] {
                let outcome = credentials.ask(auth, method, name, &[]).await;
                assert_eq!(word(&outcome), expected, "{name} at {auth:?} with {method}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_by_what_a_browser_sends_by_itself() {
    let credentials = Credentials::new().await;
    let cross = [("origin", "http://evil.example")];
    let same_site = [("sec-fetch-site", "same-site")];
    let own = [("origin", "http://plant.local"), ("sec-fetch-site", "same-origin")];
    let trusted = [("origin", "https://console.example"), ("sec-fetch-site", "cross-site")];
    for auth in [Auth::Required, Auth::Optional, Auth::Plugin] {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
            let is_safe = ["GET", "HEAD", "OPTIONS"].contains(&method);
            for name in ["cookie", "basic", "bearer"] {
                for (fields, is_foreign) in [(&cross[..], true), (&same_site, true), (&own, false), (&trusted, false), (&[], false)] {
                    let outcome = credentials.ask(Some(auth), method, name, fields).await;
                    let expected = if is_foreign && !is_safe && name != "bearer" { "403" } else { "ann" };
                    assert_eq!(word(&outcome), expected, "{name} {method} {fields:?} at {auth:?}");
                    assert_eq!(outcome.is_ok_and(|admitted| admitted.caller.is_cross_origin), is_foreign && expected == "ann");
                }
            }
        }
    }
    assert_eq!(word(&credentials.ask(Some(Auth::Plugin), "POST", "nothing", &cross).await), "anonymous");
    assert_eq!(word(&credentials.ask(Some(Auth::Plugin), "POST", "cookie that is none", &cross).await), "403");
}

/// The fields that the plugin sees of `authorization` and `cookie`.
async fn shown(credentials: &Credentials, name: &str) -> Vec<String> {
    let admitted = credentials.ask(Some(Auth::Plugin), "GET", name, &[("x-own", "1")]).await.unwrap();
    let sent: HeaderMap =
        credentials.fields(name).into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let headers = admitted.headers.unwrap_or(sent);
    let field = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    ["authorization", "cookie"].into_iter().filter_map(field).collect()
}

#[tokio::test]
async fn a_plugin_does_not_see_what_the_host_took_as_its_own() {
    let credentials = Credentials::new().await;
    for name in ["bearer", "basic", "basic that is wrong", "basic without a colon"] {
        assert_eq!(shown(&credentials, name).await, Vec::<String>::new(), "{name}");
    }
    for name in ["cookie", "cookie that is none"] {
        assert_eq!(shown(&credentials, name).await, ["a=b"], "{name}");
    }
    assert_eq!(shown(&credentials, "cookie of TLS").await, Vec::<String>::new());
    assert_eq!(shown(&credentials, "bearer of somebody else's").await, ["Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"], "the plugin may know it");
    assert_eq!(shown(&credentials, "bearer that is none and a cookie").await.len(), 2);
    assert_eq!(shown(&credentials, "another scheme and a cookie").await, ["Negotiate x", "a=b"]);
}

#[tokio::test]
async fn a_site_without_users_is_open_unless_somebody_says_otherwise() {
    let site = TestSite::with(&[]).await;
    let (parts, ()) = http::Request::post("/x")
        .header("authorization", "Basic YTpi")
        .header("cookie", "wharf-session-plant=x")
        .header("origin", "http://evil.example")
        .body(())
        .unwrap()
        .into_parts();
    for (auth, must_ask, expected) in [
        (None, false, "anonymous"),
        (Some(Auth::Optional), false, "anonymous"),
        (Some(Auth::Plugin), false, "anonymous"),
        (Some(Auth::Required), false, "401"),
        (None, true, "401"),
        (Some(Auth::Plugin), true, "401"),
    ] {
        let gate = Gate { users: &site.users, auth, must_ask, proxies: &[] };
        let outcome = admit(&gate, &Asked { parts: &parts, remote: None }).await;
        assert_eq!(word(&outcome), expected, "{auth:?} {must_ask}");
        assert!(outcome.is_err() || outcome.is_ok_and(|admitted| admitted.headers.is_none()), "nothing is taken away");
    }
}

#[tokio::test]
async fn over_tls_there_is_another_cookie() {
    let credentials = Credentials::new().await;
    let secure = |name| {
        let mut request = http::Request::get("/x").header("x-forwarded-proto", "https").header("x-forwarded-for", "192.0.2.9");
        for (name, value) in credentials.fields(name) {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    };
    let proxies = ["127.0.0.1/32".parse().unwrap()];
    let gate = Gate { users: &credentials.site.users, auth: Some(Auth::Optional), must_ask: false, proxies: &proxies };
    let remote = Some(SocketAddr::from(([127, 0, 0, 1], 5)));
    let outcome = admit(&gate, &Asked { parts: &secure("cookie of TLS"), remote }).await;
    assert_eq!(word(&outcome), "ann");
    let caller = outcome.unwrap().caller;
    assert!(caller.is_secure && caller.peer == "192.0.2.9".parse().ok() && caller.session.is_some());
    assert_eq!(word(&admit(&gate, &Asked { parts: &secure("cookie"), remote }).await), "anonymous", "a neighbour may have set it");
}

#[tokio::test]
async fn who_fails_too_often_is_told_when_to_come_again() {
    let credentials = Credentials::new().await;
    let (parts, ()) =
        http::Request::get("/x").header("authorization", format!("Basic {}", STANDARD.encode("ann:wrong"))).body(()).unwrap().into_parts();
    let gate = Gate { users: &credentials.site.users, auth: Some(Auth::Plugin), must_ask: false, proxies: &[] };
    let asked = Asked { parts: &parts, remote: Some(SocketAddr::from(([192, 0, 2, 1], 5))) };
    for _ in 0..5 {
        assert_eq!(word(&admit(&gate, &asked).await), "rejected basic");
    }
    let refused = admit(&gate, &asked).await.map(drop).unwrap_err();
    let response = refused.response("plant", "id");
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "1"));
}

#[tokio::test]
async fn a_database_that_does_not_answer_lets_nobody_in() {
    let site = TestSite::failing(UsersError::Timeout).await;
    let ask = async |auth, fields: &[(&str, String)]| {
        let mut request = http::Request::get("/x");
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let gate = Gate { users: &site.users, auth: Some(auth), must_ask: false, proxies: &[] };
        word(&admit(&gate, &Asked { parts: &parts, remote: None }).await)
    };
    let text = "A".repeat(43);
    for auth in [Auth::Required, Auth::Optional, Auth::Plugin] {
        assert_eq!(ask(auth, &[("cookie", format!("wharf-session-plant={text}"))]).await, "503");
        assert_eq!(ask(auth, &[("authorization", format!("Bearer wharf_{text}"))]).await, "503");
        assert_eq!(ask(auth, &[("authorization", "Basic YTpi".to_owned())]).await, "503");
    }
    assert_eq!(ask(Auth::Plugin, &[]).await, "anonymous", "who says nothing is nobody, whatever the database");
    assert_eq!(ask(Auth::Required, &[]).await, "401");
}

#[test]
fn a_401_says_how_to_be_known() {
    let challenges = |scheme| {
        let response = Refused::Unknown(scheme).response("plant", "id");
        let fields = response.headers().get_all("www-authenticate").iter();
        fields.map(|field| field.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let basic = "Basic realm=\"plant\", charset=\"UTF-8\"";
    assert_eq!(challenges(None), ["Bearer realm=\"plant\"", basic]);
    assert_eq!(challenges(Some(Scheme::Bearer)), ["Bearer realm=\"plant\", error=\"invalid_token\"", basic]);
}
