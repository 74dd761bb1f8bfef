//! Carries out one call of the identity room for each request, and answers what came back as JSON: `POST /sessions.login` with the arguments as the body. A session's cookie is set as a console would set
//! it. `/whoami` shows who asks, and which fields of the request are left.

use serde::Deserialize;
use serde_json::{Value, json};
use wharf_sdk::identity::principal::{self, Authentication};
use wharf_sdk::identity::sessions::{self, Session};
use wharf_sdk::identity::tokens::{self, Token, TokenRequest};
use wharf_sdk::identity::{Error, Principal};
use wharf_sdk::{Description, Plugin, Request, Response, Router};

struct Identity;

impl Plugin for Identity {
    fn describe() -> Description {
        Description::new().wants("identity", &["principal", "sessions", "tokens"])
    }

    fn routes() -> Router {
        Router::new().get("/whoami", whoami).post("/whoami", whoami).post("/{function}", call)
    }
}

fn whoami(request: &Request) -> Response {
    let field = |name: &str| request.header(name).map(str::to_owned);
    let who = principal::current().map(authentication).unwrap_or_else(|error| error_json(&error));
    let (scheme, authorization, cookie) = (request.scheme(), field("authorization"), field("cookie"));
    Response::json(&json!({"who": who, "scheme": scheme, "authorization": authorization, "cookie": cookie}))
}

/// The arguments of every function, each with what it needs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    name: String,
    password: String,
    ids: Vec<u64>,
    token: String,
    kind: String,
    /// Kinds and lifetimes in seconds.
    requests: Vec<(String, u64)>,
}

fn call(request: &Request) -> Response {
    let arguments: Arguments = request.json().unwrap_or_default();
    let answer = carry_out(&request.param("function"), &arguments);
    let answer = answer.unwrap_or_else(|error| error_json(&error));
    match answer.get("set_cookie").and_then(Value::as_str).map(str::to_owned) {
        Some(cookie) => Response::json(&answer).header("set-cookie", cookie),
        None => Response::json(&answer),
    }
}

fn carry_out(function: &str, arguments: &Arguments) -> Result<Value, Error> {
    let Arguments { name, password, ids, token, kind, requests } = arguments;
    let requests: Vec<TokenRequest> = requests.iter().map(|(kind, secs)| TokenRequest::new(kind, *secs)).collect();
    let request = || requests.first().cloned().unwrap_or_else(|| TokenRequest::new(tokens::ACCESS, 60));
    Ok(match function {
        "principal.has-users" => json!(principal::has_users()?),
        "principal.current" => authentication(principal::current()?),
        "principal.users" => {
            principal::users(ids).into_iter().map(|user| user.map_or_else(|error| error_json(&error), principal_json)).collect()
        }
        "sessions.login" => json!(sessions::login(name, password)?.map(session)),
        "sessions.refresh" => session(sessions::refresh()?),
        "sessions.logout" => session(sessions::logout()?),
        "tokens.login" => {
            json!(tokens::login(name, password, &requests)?.map(|issued| issued.into_iter().map(token_json).collect::<Vec<_>>()))
        }
        "tokens.exchange" => token_json(tokens::exchange(token, kind, &request())?),
        "tokens.verify" => {
            let info = tokens::verify(token)?;
            json!({"principal": principal_json(info.principal), "kind": info.kind, "expires_ms": info.expires_ms})
        }
        "tokens.revoke" => json!(tokens::revoke(token)?),
        _ => json!("no such function"),
    })
}

fn authentication(authentication: Authentication) -> Value {
    match authentication {
        Authentication::Anonymous => json!("anonymous"),
        Authentication::Known(known) => principal_json(known),
        Authentication::Rejected(scheme) => json!({"rejected": scheme}),
    }
}

fn principal_json(principal: Principal) -> Value {
    json!({"id": principal.id, "name": principal.name, "roles": principal.roles})
}

fn session(session: Session) -> Value {
    let Session { principal, set_cookie, began_ms, expires_ms } = session;
    json!({"principal": principal_json(principal), "set_cookie": set_cookie, "lifetime_ms": expires_ms - began_ms})
}

fn token_json(token: Token) -> Value {
    json!({"text": token.text, "kind": token.kind, "expires_ms": token.expires_ms})
}

fn error_json(error: &Error) -> Value {
    let word = match error {
        Error::Denied => "denied",
        Error::NotFound => "not-found",
        Error::Timeout => "timeout",
        Error::QuotaExceeded => "quota-exceeded",
        Error::Invalid(_) => "invalid",
        Error::Conflict(_) => "conflict",
        Error::Unavailable(_) => "unavailable",
        Error::Internal(_) => "internal",
    };
    json!({"error": word, "reason": error.to_string()})
}

wharf_sdk::export!(Identity);
