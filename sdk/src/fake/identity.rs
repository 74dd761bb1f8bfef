//! The users of the fake host: what they log in with, and what came of it. The rules are the host's own that plugins notice; its limits on failures are not here, since `fail` makes any of them.
//!
//! Time stands still unless the test moves it, with [`Host::pass`](super::Host::pass).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::world::Host;
use crate::error::Error;
use crate::host;
use crate::identity::Principal;
use crate::identity::principal::Authentication;
use crate::identity::sessions::Session;
use crate::identity::tokens::{ACCESS, Token, TokenInfo, TokenRequest};

/// When the clock of a new host stands: 2024-01-01T00:00:00Z.
pub(super) const BEGINNING_MS: u64 = 1_704_067_200_000;

/// How long a session lasts.
const SESSION_MS: u64 = 12 * 3_600_000;

/// What the cookie is called.
const COOKIE: &str = "wharf-session-fake";

/// Who sends a request, as a request says it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sender {
    /// Known by this name, whatever else there is.
    pub(super) user: Option<String>,
    pub(super) authorization: Option<String>,
    pub(super) cookie: Option<String>,
}

thread_local! {
    static SENDER: RefCell<Sender> = RefCell::default();
}

/// Lets `sender` be who sends the request, until the answer is dropped.
pub(super) fn send(sender: Sender) -> Sent {
    SENDER.set(sender);
    Sent
}

/// A request under way.
pub(super) struct Sent;

impl Drop for Sent {
    fn drop(&mut self) {
        SENDER.set(Sender::default());
    }
}

pub(super) struct Identity {
    /// By the number, less one.
    users: Vec<User>,
    /// By their texts.
    credentials: BTreeMap<String, Credential>,
    issued: u64,
    now_ms: u64,
}

struct User {
    principal: Principal,
    password: String,
    is_removed: bool,
}

struct Credential {
    user: u64,
    /// None for a session.
    kind: Option<String>,
    began_ms: u64,
    expires_ms: u64,
}

impl Default for Identity {
    fn default() -> Identity {
        Identity { users: Vec::new(), credentials: BTreeMap::new(), issued: 0, now_ms: BEGINNING_MS }
    }
}

impl Identity {
    pub(super) fn add_user(&mut self, name: &str, password: &str, roles: &[&str]) -> u64 {
        let mut roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        roles.sort();
        let id = self.users.len() as u64 + 1;
        self.remove_user(name);
        self.users.push(User {
            principal: Principal { id, name: name.to_owned(), roles },
            password: password.to_owned(),
            is_removed: false,
        });
        id
    }

    pub(super) fn remove_user(&mut self, name: &str) {
        self.users.iter_mut().filter(|user| user.principal.name == name).for_each(|user| user.is_removed = true);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now_ms = self.now_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub(super) fn has_users(&self) -> bool {
        self.users.iter().any(|user| !user.is_removed)
    }

    /// Who sends the request under way.
    pub(super) fn current(&self) -> Authentication {
        let sender = SENDER.with_borrow(Sender::clone);
        if let Some(name) = &sender.user {
            return match self.named(name) {
                Some(user) => Authentication::Known(user.principal.clone()),
                None => panic_without(name),
            };
        }
        if !self.has_users() {
            return Authentication::Anonymous;
        }
        let known = |principal: Option<Principal>, scheme: &str| match principal {
            Some(principal) => Authentication::Known(principal),
            None => Authentication::Rejected(scheme.to_owned()),
        };
        if let Some(token) = sender.authorization.as_deref().and_then(|field| field.strip_prefix("Bearer ")) {
            let info = self.verify(token).ok().filter(|info| info.kind == ACCESS);
            return known(info.map(|info| info.principal), "bearer");
        }
        match session_of(&sender) {
            Some(text) => known(self.session(&text).map(|session| session.principal), "cookie"),
            None => Authentication::Anonymous,
        }
    }

    pub(super) fn user(&self, id: u64) -> Result<Principal, Error> {
        let found = self.users.iter().find(|user| user.principal.id == id && !user.is_removed);
        found.map(|user| user.principal.clone()).ok_or(Error::NotFound)
    }

    pub(super) fn login(&mut self, name: &str, password: &str) -> Option<Session> {
        let user = self.with_password(name, password)?;
        let expires_ms = self.now_ms.saturating_add(SESSION_MS);
        let text = self.issue(user, None, expires_ms);
        self.session(&text)
    }

    pub(super) fn refresh(&mut self) -> Result<Session, Error> {
        let text = self.current_session()?;
        let expires_ms = self.now_ms.saturating_add(SESSION_MS);
        if let Some(credential) = self.credentials.get_mut(&text) {
            credential.expires_ms = expires_ms;
        }
        self.session(&text).ok_or(Error::NotFound)
    }

    pub(super) fn logout(&mut self) -> Result<Session, Error> {
        let text = self.current_session()?;
        let session = self.session(&text).ok_or(Error::NotFound)?;
        self.credentials.remove(&text);
        Ok(Session { set_cookie: set_cookie("", 0), ..session })
    }

    pub(super) fn login_tokens(&mut self, name: &str, password: &str, requests: &[TokenRequest]) -> Result<Option<Vec<Token>>, Error> {
        requests.iter().try_for_each(check)?;
        let Some(user) = self.with_password(name, password) else { return Ok(None) };
        Ok(Some(requests.iter().map(|request| self.token(user, request)).collect()))
    }

    pub(super) fn exchange(&mut self, token: &str, kind: &str, request: &TokenRequest) -> Result<Token, Error> {
        check(request)?;
        let info = self.verify(token)?;
        if info.kind != kind {
            return Err(Error::NotFound);
        }
        Ok(self.token(info.principal.id, request))
    }

    pub(super) fn verify(&self, token: &str) -> Result<TokenInfo, Error> {
        let credential = self.valid(token).ok_or(Error::NotFound)?;
        let kind = credential.kind.clone().ok_or(Error::NotFound)?;
        Ok(TokenInfo { principal: self.user(credential.user)?, kind, expires_ms: credential.expires_ms })
    }

    pub(super) fn revoke(&mut self, token: &str) {
        if self.verify(token).is_ok() {
            self.credentials.remove(token);
        }
    }

    fn named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.principal.name == name && !user.is_removed)
    }

    fn with_password(&self, name: &str, password: &str) -> Option<u64> {
        self.named(name).filter(|user| user.password == password).map(|user| user.principal.id)
    }

    fn token(&mut self, user: u64, request: &TokenRequest) -> Token {
        let expires_ms = self.now_ms.saturating_add(request.lifetime_secs.saturating_mul(1_000));
        let text = self.issue(user, Some(request.kind.clone()), expires_ms);
        Token { text, kind: request.kind.clone(), expires_ms }
    }

    fn issue(&mut self, user: u64, kind: Option<String>, expires_ms: u64) -> String {
        self.issued += 1;
        let text = match &kind {
            None => format!("session-{}", self.issued),
            Some(kind) => format!("wharf_{kind}-{}", self.issued),
        };
        self.credentials.insert(text.clone(), Credential { user, kind, began_ms: self.now_ms, expires_ms });
        text
    }

    fn valid(&self, text: &str) -> Option<&Credential> {
        self.credentials.get(text).filter(|credential| credential.expires_ms > self.now_ms)
    }

    fn session(&self, text: &str) -> Option<Session> {
        let credential = self.valid(text).filter(|credential| credential.kind.is_none())?;
        let Credential { user, began_ms, expires_ms, .. } = credential;
        let set_cookie = set_cookie(text, expires_ms.saturating_sub(self.now_ms) / 1_000);
        Some(Session { principal: self.user(*user).ok()?, set_cookie, began_ms: *began_ms, expires_ms: *expires_ms })
    }

    /// The session that the request under way came with.
    fn current_session(&self) -> Result<String, Error> {
        let sender = SENDER.with_borrow(Sender::clone);
        let text = session_of(&sender).filter(|_| sender.authorization.is_none()).ok_or(Error::NotFound)?;
        self.session(&text).map(|_| text).ok_or(Error::NotFound)
    }
}

impl Host {
    /// Adds a user of the site and answers the number. One of the same name is gone.
    pub fn user(&self, name: &str, password: &str, roles: &[&str]) -> u64 {
        self.identity().add_user(name, password, roles)
    }

    /// Removes the user `name`.
    pub fn remove_user(&self, name: &str) {
        self.identity().remove_user(name);
    }

    /// Lets time pass, by which sessions and tokens end. Of itself it stands still.
    pub fn pass(&self, time: Duration) {
        self.identity().pass(time);
    }

    /// Notes a call and answers with the users, unless the function was made to fail.
    fn call_identity<R>(&self, function: &str, about: &str, answer: impl FnOnce(&mut Identity) -> Result<R, Error>) -> Result<R, Error> {
        self.call(function, about, |_| Ok(()))?;
        answer(&mut self.identity())
    }
}

impl host::Identity for Host {
    fn has_users(&self) -> Result<bool, Error> {
        self.call_identity("identity.principal.has-users", "", |identity| Ok(identity.has_users()))
    }

    fn principal_current(&self) -> Result<Authentication, Error> {
        self.call_identity("identity.principal.current", "", |identity| Ok(identity.current()))
    }

    fn principal_users(&self, ids: &[u64]) -> Vec<Result<Principal, Error>> {
        let about = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let found =
            self.call_identity("identity.principal.users", &about, |identity| Ok(ids.iter().map(|id| identity.user(*id)).collect()));
        found.unwrap_or_else(|error| ids.iter().map(|_| Err(error.clone())).collect())
    }

    fn session_login(&self, name: &str, password: &str) -> Result<Option<Session>, Error> {
        self.call_identity("identity.sessions.login", name, |identity| Ok(identity.login(name, password)))
    }

    fn session_refresh(&self) -> Result<Session, Error> {
        self.call_identity("identity.sessions.refresh", "", Identity::refresh)
    }

    fn session_logout(&self) -> Result<Session, Error> {
        self.call_identity("identity.sessions.logout", "", Identity::logout)
    }

    fn token_login(&self, name: &str, password: &str, requests: &[TokenRequest]) -> Result<Option<Vec<Token>>, Error> {
        self.call_identity("identity.tokens.login", name, |identity| identity.login_tokens(name, password, requests))
    }

    fn token_exchange(&self, token: &str, kind: &str, request: &TokenRequest) -> Result<Token, Error> {
        self.call_identity("identity.tokens.exchange", kind, |identity| identity.exchange(token, kind, request))
    }

    fn token_verify(&self, token: &str) -> Result<TokenInfo, Error> {
        self.call_identity("identity.tokens.verify", "", |identity| identity.verify(token))
    }

    fn token_revoke(&self, token: &str) -> Result<(), Error> {
        self.call_identity("identity.tokens.revoke", "", |identity| {
            identity.revoke(token);
            Ok(())
        })
    }
}

#[expect(clippy::panic, reason = "a mistake of the test, which should fail")]
fn panic_without(name: &str) -> Authentication {
    panic!("the fake host has no user `{name}`: add one with `Host::user`")
}

fn session_of(sender: &Sender) -> Option<String> {
    let pairs = sender.cookie.as_deref()?.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(name, value)| *name == COOKIE && !value.is_empty()).map(|(_, value)| value.to_owned())
}

fn set_cookie(value: &str, secs: u64) -> String {
    format!("{COOKIE}={value}; Path=/; Max-Age={secs}; HttpOnly; SameSite=Lax")
}

fn check(request: &TokenRequest) -> Result<(), Error> {
    let TokenRequest { kind, lifetime_secs } = request;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=32).contains(&kind.len()) || !kind.bytes().all(allowed) {
        return Err(Error::Invalid("a kind has 1 to 32 of the characters a-z, 0-9 and `-`".to_owned()));
    }
    if !(1..=366 * 86_400).contains(lifetime_secs) {
        return Err(Error::Invalid(format!("a token is valid for 1 second to a year, not for {lifetime_secs} seconds")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Host, call, get, post};
    use crate::identity::principal::{self, Authentication};
    use crate::identity::tokens::{self, TokenRequest};
    use crate::identity::{Error, sessions};
    use crate::{IntoResponse, Plugin, Request, Response, Router};

    struct Console;

    impl Plugin for Console {
        fn routes() -> Router {
            let whoami = |_: &Request| -> Result<Response, Error> {
                Ok(Response::text(match principal::current()? {
                    Authentication::Known(user) => user.name,
                    Authentication::Anonymous => "nobody".to_owned(),
                    Authentication::Rejected(scheme) => scheme,
                }))
            };
            let login = |request: &Request| -> Result<Response, Error> {
                let password = request.header("x-password").unwrap_or_default().to_owned();
                Ok(match sessions::login("ann", &password)? {
                    Some(session) => Response::new(204).header("set-cookie", session.set_cookie),
                    None => Response::new(401),
                })
            };
            let logout = |_: &Request| -> Result<Response, Error> {
                Ok(Response::new(204).header("set-cookie", sessions::logout()?.set_cookie).into_response())
            };
            Router::new().get("/whoami", whoami).post("/login", login).post("/logout", logout)
        }
    }

    #[test]
    fn a_session_goes_from_one_request_to_the_next_until_it_ends() {
        let host = Host::install();
        assert_eq!(call::<Console>(get("/whoami")).text(), "nobody");
        host.user("ann", "right", &["admin"]);
        assert_eq!(call::<Console>(post("/login").header("x-password", "wrong")).status, 401);
        let login = call::<Console>(post("/login").header("x-password", "right"));
        assert_eq!(call::<Console>(get("/whoami").with_cookie_of(&login)).text(), "ann");
        assert_eq!(call::<Console>(get("/whoami")).text(), "nobody");
        let logout = call::<Console>(post("/logout").with_cookie_of(&login));
        assert_eq!(logout.status, 204);
        assert_eq!(call::<Console>(get("/whoami").with_cookie_of(&login)).text(), "cookie");
        assert_eq!(call::<Console>(get("/whoami").with_cookie_of(&logout)).text(), "nobody");
        assert_eq!(call::<Console>(post("/logout").with_cookie_of(&login)).status, 404);
        let login = call::<Console>(post("/login").header("x-password", "right"));
        host.pass(Duration::from_secs(12 * 3_600));
        assert_eq!(call::<Console>(get("/whoami").with_cookie_of(&login)).text(), "cookie");
    }

    #[test]
    fn a_token_is_what_it_was_issued_for() {
        let host = Host::install();
        let ann = host.user("ann", "right", &[]);
        let requests = [TokenRequest::new(tokens::ACCESS, 60), TokenRequest::new("refresh", 600)];
        assert_eq!(tokens::login("ann", "wrong", &requests), Ok(None));
        let issued = tokens::login("ann", "right", &requests).unwrap().unwrap();
        let bearer = |text: &str| get("/whoami").header("authorization", format!("Bearer {text}"));
        assert_eq!(call::<Console>(bearer(&issued[0].text)).text(), "ann");
        assert_eq!(call::<Console>(bearer(&issued[1].text)).text(), "bearer", "it is of another kind");
        host.pass(Duration::from_secs(60));
        assert_eq!(tokens::verify(&issued[0].text), Err(Error::NotFound));
        let next = tokens::exchange(&issued[1].text, "refresh", &requests[0]).unwrap();
        assert_eq!(tokens::verify(&next.text).map(|info| info.principal.id), Ok(ann));
        assert_eq!(tokens::exchange(&next.text, "refresh", &requests[0]), Err(Error::NotFound));
        assert!(matches!(tokens::login("ann", "right", &[TokenRequest::new("A", 1)]), Err(Error::Invalid(_))));
        assert_eq!((tokens::revoke(&next.text), tokens::revoke(&next.text)), (Ok(()), Ok(())));
        assert_eq!(tokens::verify(&next.text), Err(Error::NotFound));
        host.remove_user("ann");
        assert_eq!((tokens::verify(&issued[1].text), principal::users(&[ann])), (Err(Error::NotFound), vec![Err(Error::NotFound)]));
        assert_ne!(host.user("ann", "x", &[]), ann, "another person");
        host.fail("identity.tokens.verify", Error::Timeout);
        assert_eq!(tokens::verify(""), Err(Error::Timeout));
    }

    #[test]
    fn a_request_can_be_somebodys() {
        let host = Host::install();
        host.user("ann", "x", &["b", "a"]);
        assert_eq!(call::<Console>(get("/whoami").as_user("ann")).text(), "ann");
        assert_eq!(principal::has_users(), Ok(true));
        assert_eq!(principal::users(&[1]).remove(0).unwrap().roles, ["a", "b"]);
        assert_eq!(principal::current(), Ok(Authentication::Anonymous), "outside of a request");
    }
}
