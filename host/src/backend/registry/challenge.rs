//! How a registry wants to be asked: the `WWW-Authenticate` of its 401, parsed by `http-auth`.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use url::Url;

/// What a registry asks for. Of several challenges the one for a token goes before the one for a password, which then goes only to the token server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token of a token server.
    Bearer(TokenServer),
}

/// Where tokens are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenServer {
    /// Its address, as the registry gave it.
    pub(super) realm: Url,
    /// What it calls the registry.
    pub(super) service: Option<String>,
}

/// What a 401 says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) challenge: Challenge,
    /// What a token must be for, in the registry's words.
    pub(super) scope: Option<String>,
    /// Whether the token was good, but not for this.
    pub(super) insufficient: bool,
}

/// What `headers` ask for; none if they ask for nothing that we know.
pub(super) fn read(headers: &HeaderMap) -> Option<Wanted> {
    let mut basic = None;
    for value in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
        for challenge in http_auth::parse_challenges(value).unwrap_or_default() {
            let parameter = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty())
            };
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Wanted { challenge: Challenge::Basic, scope: None, insufficient: false });
            } else if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameter("realm").and_then(|realm| Url::parse(&realm).ok())
            {
                let insufficient = parameter("error").is_some_and(|error| error == "insufficient_scope");
                let challenge = Challenge::Bearer(TokenServer { realm, service: parameter("service") });
                return Some(Wanted { challenge, scope: parameter("scope"), insufficient });
            }
        }
    }
    basic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&str], expected: Option<(&str, Option<&str>, Option<&str>)>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        let found = read(&headers).map(|wanted| match wanted.challenge {
            Challenge::Basic => ("basic".to_owned(), None, wanted.scope),
            Challenge::Bearer(server) => (server.realm.to_string(), server.service, wanted.scope),
        });
        let expected = expected.map(|(realm, service, scope)| (realm.to_owned(), service.map(str::to_owned), scope.map(str::to_owned)));
        assert_eq!(found, expected, "{values:?}");
    }

    #[test]
    fn a_bearer_challenge_has_a_realm_and_may_have_a_service_and_a_scope() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/redis:pull,push""#;
        check(&[hub], Some(("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:library/redis:pull,push"))));
        check(&[r#"bearer Realm="http://127.0.0.1:5001/auth?a=b""#], Some(("http://127.0.0.1:5001/auth?a=b", None, None)));
        check(&[r#"Bearer realm="https://a.example/",service="""#], Some(("https://a.example/", None, None)));
    }

    #[test]
    fn a_token_goes_before_a_password_wherever_it_stands() {
        let expected = Some(("https://a.example/t", Some("s"), None));
        check(&[r#"Basic realm="x", Bearer realm="https://a.example/t",service="s""#], expected);
        check(&[r#"Basic realm="x""#, r#"Bearer realm="https://a.example/t",service="s""#], expected);
    }

    #[test]
    fn what_cannot_be_answered_is_no_challenge() {
        check(&[], None);
        check(&["Negotiate"], None);
        check(&[r#"Bearer realm="not a url""#], None);
        check(&["Bearer"], None);
        check(&["\"\"\"", "Basic realm=\"registry, with a comma\""], Some(("basic", None, None)));
    }
}
