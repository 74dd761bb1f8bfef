//! What the room answers, function by function: allowed, denied, gone, unreachable.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::call::CallContext;
use super::super::call::testing::{self, Denials};
use super::*;
use crate::backend::users::testing::TestSite;
use crate::backend::users::{Authentication, Caller, Principal, Scheme, SecretText, UsersError};
use crate::bindings::wharf::identity::types::Error;
use crate::bindings::wharf::identity::{principal, sessions, tokens};
use crate::settings::section::read_for_test;

const EVERYTHING: &str = "allow = [\"principal\", \"sessions\", \"tokens\"]";

/// One plugin, in the middle of one request.
struct Plugin {
    room: IdentityRoom,
    call: CallContext,
    denials: Arc<Denials>,
}

impl Plugin {
    #[track_caller]
    fn with(grant: &str, site: &TestSite) -> Plugin {
        let (grant, mistakes) = read_for_test(grant, IdentityGrant::read);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let (call, denials) = testing::request("console", 9);
        Plugin { room: IdentityRoom::new(Some(grant), &site.users), call, denials }
    }

    fn identity(&mut self) -> IdentityCtxView<'_> {
        IdentityCtxView { room: &self.room, call: &mut self.call }
    }

    async fn login(&mut self, password: &str) -> Result<Option<sessions::Session>, Error> {
        sessions::Host::login(&mut self.identity(), "ann".to_owned(), password.to_owned()).await
    }
}

fn request(kind: &str, lifetime_secs: u64) -> tokens::TokenRequest {
    tokens::TokenRequest { kind: kind.to_owned(), lifetime_secs }
}

/// The session in a `Set-Cookie`.
fn text_of(set_cookie: &str) -> Option<SecretText> {
    SecretText::parse_session(set_cookie.split_once('=')?.1.split_once(';')?.0)
}

const FUNCTIONS: [&str; 10] = [
    "principal.has-users",
    "principal.current",
    "principal.users",
    "sessions.login",
    "sessions.refresh",
    "sessions.logout",
    "tokens.login",
    "tokens.exchange",
    "tokens.verify",
    "tokens.revoke",
];

/// What `function` answers when it is asked for what there is.
async fn outcome(grant: &str, function: &str, site: &TestSite) -> Result<(), Error> {
    let mut plugin = Plugin::with(grant, site);
    let (text, token) = match site.users.begin_session("ann", "ann's password", None).await {
        Ok(session) => {
            let lifetime = Duration::from_secs(60);
            let requests = [crate::backend::users::TokenRequest { kind: "refresh".to_owned(), lifetime }];
            let tokens = site.users.login_tokens("ann", "ann's password", None, &requests).await.unwrap().unwrap();
            (session.unwrap().text, tokens[0].text.clone())
        }
        Err(_) => (SecretText::session().unwrap(), SecretText::token().unwrap()),
    };
    plugin.call.caller.session = Some(text);
    let (name, password, token) = ("ann".to_owned(), "ann's password".to_owned(), token.expose().to_owned());
    let mut room = plugin.identity();
    match function {
        "principal.has-users" => principal::Host::has_users(&mut room).await.map(drop),
        "principal.current" => principal::Host::current(&mut room).await.map(drop),
        "principal.users" => principal::Host::users(&mut room, vec![1]).await.remove(0).map(drop),
        "sessions.login" => sessions::Host::login(&mut room, name, password).await.map(drop),
        "sessions.refresh" => sessions::Host::refresh(&mut room).await.map(drop),
        "sessions.logout" => sessions::Host::logout(&mut room).await.map(drop),
        "tokens.login" => tokens::Host::login(&mut room, name, password, vec![request("access", 1)]).await.map(drop),
        "tokens.exchange" => tokens::Host::exchange(&mut room, token, "refresh".to_owned(), request("access", 1)).await.map(drop),
        "tokens.verify" => tokens::Host::verify(&mut room, token).await.map(drop),
        _ => tokens::Host::revoke(&mut room, token).await,
    }
}

#[tokio::test]
async fn each_function_has_its_word_for_what_goes_wrong() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let slow = TestSite::failing(UsersError::Timeout).await;
    let down = TestSite::failing(UsersError::Unavailable("no route".to_owned())).await;
    let broken = TestSite::failing(UsersError::Internal("a bug".to_owned())).await;
    for function in FUNCTIONS {
        assert!(outcome(EVERYTHING, function, &site).await.is_ok(), "{function}");
        assert!(matches!(outcome("", function, &site).await, Err(Error::Denied)), "{function}");
        assert!(matches!(outcome("", function, &down).await, Err(Error::Denied)), "{function}");
        // Who asks was found out before, and the configuration has users.
        if !["principal.has-users", "principal.current"].contains(&function) {
            assert!(matches!(outcome(EVERYTHING, function, &slow).await, Err(Error::Timeout)), "{function}");
            let text = "the database of users cannot be used: no route";
            assert!(matches!(outcome(EVERYTHING, function, &down).await, Err(Error::Unavailable(reason)) if reason == text), "{function}");
            assert!(matches!(outcome(EVERYTHING, function, &broken).await, Err(Error::Internal(_))), "{function}");
        }
    }
}

#[tokio::test]
async fn who_asks_is_what_the_host_found_out() {
    let site = TestSite::with(&[("ann", &["admin"]), ("bob", &[])]).await;
    let mut plugin = Plugin::with(EVERYTHING, &site);
    let ann = Principal { id: 1, name: "ann".to_owned(), roles: vec!["admin".to_owned()] };
    for (authentication, shown) in [
        (Authentication::Anonymous, "Authentication::Anonymous".to_owned()),
        (Authentication::Known(ann), "ann".to_owned()),
        (Authentication::Rejected(Scheme::Basic), "Authentication::Rejected(\"basic\")".to_owned()),
    ] {
        plugin.call.caller = Caller { authentication, ..Caller::default() };
        let current = principal::Host::current(&mut plugin.identity()).await.unwrap();
        assert!(format!("{current:?}").contains(&shown), "{current:?}");
    }
    let users = principal::Host::users(&mut plugin.identity(), vec![2, 7, 1, 2]).await;
    let names: Vec<&str> = users.iter().map(|user| user.as_ref().map_or("-", |user| user.name.as_str())).collect();
    assert_eq!(names, ["bob", "-", "ann", "bob"]);
    assert!(matches!(users[1], Err(Error::NotFound)));
    let too_many = principal::Host::users(&mut plugin.identity(), vec![1; MAX_USERS + 1]).await;
    assert!(too_many.len() == MAX_USERS + 1 && matches!(too_many[0], Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_session_is_handed_out_refreshed_and_taken_back() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let mut plugin = Plugin::with(EVERYTHING, &site);
    assert!(plugin.login("wrong").await.unwrap().is_none());
    let session = plugin.login("ann's password").await.unwrap().unwrap();
    assert!(
        session.set_cookie.starts_with("wharf-session-plant=") && session.set_cookie.contains("; Max-Age=3600; HttpOnly; SameSite=Lax")
    );
    assert!(matches!(sessions::Host::refresh(&mut plugin.identity()).await, Err(Error::NotFound)), "the request came with none");
    plugin.call.caller.session = text_of(&session.set_cookie);
    site.pass(Duration::from_secs(600));
    let refreshed = sessions::Host::refresh(&mut plugin.identity()).await.unwrap();
    assert_eq!((refreshed.began_ms, refreshed.expires_ms), (session.began_ms, session.expires_ms + 600_000));
    assert_eq!(refreshed.set_cookie, session.set_cookie);
    let ended = sessions::Host::logout(&mut plugin.identity()).await.unwrap();
    assert!(ended.principal.name == "ann" && ended.set_cookie.starts_with("wharf-session-plant=; Path=/; Max-Age=0;"));
    assert!(matches!(sessions::Host::logout(&mut plugin.identity()).await, Err(Error::NotFound)));
    plugin.call.caller.is_secure = true;
    let secure = plugin.login("ann's password").await.unwrap().unwrap().set_cookie;
    assert!(secure.starts_with("__Host-wharf-session-plant=") && secure.ends_with("; Secure"), "{secure}");
}

#[tokio::test]
async fn a_page_of_another_origin_logs_nobody_in() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let mut plugin = Plugin::with(EVERYTHING, &site);
    plugin.call.caller.is_cross_origin = true;
    assert!(matches!(plugin.login("ann's password").await, Err(Error::Denied)));
    assert_eq!(plugin.denials.count(), 1);
    let (name, password) = ("ann".to_owned(), "ann's password".to_owned());
    let tokens = tokens::Host::login(&mut plugin.identity(), name, password, vec![request("access", 1)]).await;
    assert!(tokens.unwrap().is_some(), "a token does not come by itself");
}

#[tokio::test]
async fn too_many_failures_are_a_quota() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let mut plugin = Plugin::with(EVERYTHING, &site);
    for _ in 0..5 {
        assert!(plugin.login("wrong").await.unwrap().is_none());
    }
    assert!(matches!(plugin.login("ann's password").await, Err(Error::QuotaExceeded)));
}

#[tokio::test]
async fn a_token_has_a_kind_and_a_lifetime_that_can_be() {
    let site = TestSite::with(&[("ann", &[])]).await;
    for (kind, secs, is_valid) in [
        ("access", 1, true),
        ("a-1", 366 * 86_400, true),
        ("", 1, false),
        ("Access", 1, false),
        ("a session", 1, false),
        ("x", 0, false),
        ("x", u64::MAX, false),
        ("123456789012345678901234567890123", 1, false),
    ] {
        let mut plugin = Plugin::with(EVERYTHING, &site);
        let (name, password) = ("ann".to_owned(), "ann's password".to_owned());
        let issued = tokens::Host::login(&mut plugin.identity(), name, password, vec![request(kind, secs)]).await;
        assert_eq!(matches!(issued, Ok(Some(_))), is_valid, "{kind} {secs}");
        assert_eq!(matches!(issued, Err(Error::Invalid(_))), !is_valid, "{kind} {secs}");
    }
    let mut plugin = Plugin::with(EVERYTHING, &site);
    let many = (0..=MAX_TOKENS).map(|_| request("x", 1)).collect();
    assert!(matches!(tokens::Host::login(&mut plugin.identity(), String::new(), String::new(), many).await, Err(Error::Invalid(_))));
    for not_one in ["", "wharf_", "x", "a session"] {
        assert!(matches!(tokens::Host::verify(&mut plugin.identity(), not_one.to_owned()).await, Err(Error::NotFound)));
        assert!(tokens::Host::revoke(&mut plugin.identity(), not_one.to_owned()).await.is_ok());
    }
}

#[tokio::test]
async fn waiting_for_a_login_is_not_the_plugins_time() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let mut plugin = Plugin::with(EVERYTHING, &site);
    let clock = Arc::clone(&plugin.call.clock);
    let login = plugin.login("ann's password");
    tokio::pin!(login);
    assert!(futures_util::poll!(&mut login).is_pending());
    assert_eq!(clock.deadline(), None);
    login.await.unwrap();
    assert!(clock.deadline().is_some());
}

#[tokio::test]
async fn host_calls_are_counted_and_refused_over_their_limit() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let mut plugin = Plugin::with(EVERYTHING, &site);
    for _ in 0..9 {
        assert!(principal::Host::current(&mut plugin.identity()).await.is_ok());
    }
    assert!(matches!(principal::Host::current(&mut plugin.identity()).await, Err(Error::QuotaExceeded)));
}

/// The grants of the golden table.
const GRANTS: [(&str, &str); 4] = [
    ("nobody", ""),
    ("reader", "allow = [\"principal\"]"),
    ("console", "allow = [\"principal\", \"sessions\"]"),
    ("catalog", "allow = [\"principal\", \"tokens\"]"),
];

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how a developer asks for the file to be written anew")]
async fn the_golden_table_is_what_the_grants_allow() {
    let site = TestSite::with(&[("ann", &[])]).await;
    let mut table =
        "# What each grant allows: ✔ carried out, ✘ denied, ? another error. Written by the tests of the identity room.\n".to_owned();
    for function in FUNCTIONS {
        let mut line = format!("{:<42}", format!("identity.{function}"));
        for (name, grant) in GRANTS {
            let mark = match outcome(grant, function, &site).await {
                Ok(()) => '✔',
                Err(Error::Denied) => '✘',
                Err(_) => '?',
            };
            let _ = write!(line, "  {name}:{mark}");
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/identity.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(table, golden, "run the tests with UPDATE_GOLDEN=1 and read the difference of {}", path.display());
}
