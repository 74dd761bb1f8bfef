//! One site's users: those of the configuration over those of the database, and what they are asked to show.
//!
//! A user of the configuration has a row in the database for the number alone; password and roles are the file's, and without its entry in the file the user is gone. Where both have a password the file's
//! counts. A site without any users has no database, and asking it for one does not make it.
//!
//! Every check of a session or token asks the database, so that what was ended anywhere is at an end. What is remembered here for a moment is whether there are users at all ([`LOOK`]), and that a password was
//! right (`verified.rs`), which is no credential by itself.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::OnceCell;
use tracing::{Span, dispatcher};

use super::identities::{Place, open};
use super::issued::{LoginError, LoginObserver, LoginOutcome, Session, Token, TokenInfo, TokenRequest};
use super::password::{Hashed, Passwords};
use super::throttle::Throttle;
use super::verified::Verified;
use super::{Credential, Principal, Purpose, SecretText, UserRow, Users, UsersError};
use crate::backend::secret;
use crate::settings::{AccessSettings, HashSource, Mistake};

/// How long it is believed that there are no users, or that there are, and how long a request waits to see it: the first user that a command adds closes the site after so long.
const LOOK: Duration = Duration::from_secs(1);

/// Says the time. Tests have one that they move.
pub(crate) trait Clock: Send + Sync {
    /// By which sessions and tokens end, on whichever host: in milliseconds since 1970 (UTC).
    fn wall_ms(&self) -> u64;
    /// By which this host counts how long something is ago.
    fn steady(&self) -> Instant;
}

/// A user who is there, and the password's hash.
struct User {
    principal: Principal,
    hash: Hashed,
}

/// What the configuration says, read.
struct Access {
    users: BTreeMap<String, Configured>,
    session: Duration,
    trusted_origins: Vec<String>,
}

struct Configured {
    /// None if it could not be read: then nobody has this password.
    hash: Option<Hashed>,
    roles: Vec<String>,
}

/// What they stand on.
struct Base {
    place: Place,
    /// Opened when somebody is asked for, and never if nobody is.
    store: OnceCell<Arc<dyn Users>>,
}

impl Base {
    fn at(place: Place) -> Base {
        Base { place, store: OnceCell::new() }
    }
}

/// One site's users.
pub(crate) struct SiteUsers {
    pub(crate) site: String,
    base: ArcSwap<Base>,
    access: ArcSwap<Access>,
    /// When it was last looked whether the database has users, in milliseconds from `began` on, twice, and one more if it has. Zero: never.
    looked: AtomicU64,
    began: Instant,
    passwords: Passwords,
    throttle: Throttle,
    verified: Verified,
    observer: Arc<dyn LoginObserver>,
    clock: Arc<dyn Clock>,
}

impl SiteUsers {
    /// Those of `site`, of whom nothing is known yet.
    pub(crate) fn new(
        site: &str,
        place: Place,
        passwords: Passwords,
        observer: Arc<dyn LoginObserver>,
        clock: Arc<dyn Clock>,
    ) -> SiteUsers {
        let access = Access { users: BTreeMap::new(), session: Duration::ZERO, trusted_origins: Vec::new() };
        SiteUsers {
            site: site.to_owned(),
            base: ArcSwap::from_pointee(Base::at(place)),
            access: ArcSwap::from_pointee(access),
            looked: AtomicU64::new(0),
            began: clock.steady(),
            passwords,
            throttle: Throttle::default(),
            verified: Verified::new(),
            observer,
            clock,
        }
    }

    /// Asks the database at `place` from now on. Nothing that was known of another one counts any more.
    pub(super) fn stand_on(&self, place: &Place) {
        if !self.base.load().place.is_like(place) {
            self.base.store(Arc::new(Base::at(place.clone())));
            self.looked.store(0, Ordering::Relaxed);
        }
    }

    /// Puts into force what the configuration says. Answers what is wrong; a user whose hash cannot be read is one whom no password lets in.
    pub(crate) async fn configure(&self, settings: &AccessSettings) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut users = BTreeMap::new();
        for (name, user) in &settings.users {
            let hash = match &user.password_hash {
                HashSource::Here(hash) => Ok(hash.clone()),
                HashSource::Secret(source) => secret::read(source).await.and_then(|text| {
                    Hashed::parse(text.trim()).map_err(|reason| format!("what is there {reason}; write what `wharf hash-password` prints"))
                }),
            };
            if let Err(reason) = &hash {
                let message = format!("the password of user `{name}` cannot be read: {reason}");
                mistakes.push(Mistake { at: Some(user.at.clone()), message, remedy: None });
            }
            users.insert(name.clone(), Configured { hash: hash.ok(), roles: user.roles.clone() });
        }
        let names: Vec<String> = users.keys().cloned().collect();
        let (session, trusted_origins) = (settings.session, settings.trusted_origins.clone());
        self.access.store(Arc::new(Access { users, session, trusted_origins }));
        let may_be_changed = self.base.load().place.may_be_changed();
        for name in names.into_iter().filter(|_| may_be_changed) {
            // The numbers are given in the order of the names, and not in that in which people come.
            if let Err(error) = self.by_name(&name).await {
                let message = format!("the users of site `{}` cannot be served: {error}", self.site);
                mistakes.push(Mistake { at: settings.users.get(&name).map(|user| user.at.clone()), message, remedy: None });
                break;
            }
        }
        mistakes
    }

    /// Whether the site has users. What was known last counts while the database does not answer.
    ///
    /// # Errors
    ///
    /// The database does not answer, and never has.
    pub(crate) async fn has_users(&self) -> Result<bool, UsersError> {
        if !self.access.load().users.is_empty() {
            return Ok(true);
        }
        let now = u64::try_from(self.clock.steady().saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX >> 1) + 1;
        let looked = self.looked.load(Ordering::Relaxed);
        let known = (looked != 0).then_some(looked & 1 == 1);
        if let Some(known) = known {
            if now.saturating_sub(looked >> 1) < LOOK.as_millis() as u64 {
                return Ok(known);
            }
            // One request looks; the others believe it meanwhile.
            self.looked.store(now << 1 | u64::from(known), Ordering::Relaxed);
        }
        let any = async {
            match self.store().await? {
                Some(store) => store.any().await,
                None => Ok(false),
            }
        };
        let any = match known {
            Some(_) => tokio::time::timeout(LOOK, any).await.unwrap_or(Err(UsersError::Timeout)),
            None => any.await,
        };
        match (any, known) {
            (Ok(any), _) => {
                self.looked.store(now << 1 | u64::from(any), Ordering::Relaxed);
                Ok(any)
            }
            (Err(error), Some(known)) => {
                tracing::warn!(site = self.site, %error, "cannot see whether there are users");
                Ok(known)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Whether pages of `origin`, in lower case, may change something here.
    pub(crate) fn trusts(&self, origin: &str) -> bool {
        self.access.load().trusted_origins.iter().any(|trusted| trusted == origin)
    }

    /// The time by which sessions and tokens end, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// Whose session `text` is.
    ///
    /// # Errors
    ///
    /// The database.
    pub(crate) async fn session(&self, text: &SecretText) -> Result<Option<Session>, UsersError> {
        let Some((credential, user)) = self.find(text, |purpose| *purpose == Purpose::Session).await? else { return Ok(None) };
        let Credential { began_ms, expires_ms, .. } = credential;
        Ok(Some(Session { principal: user.principal, text: text.clone(), began_ms, expires_ms }))
    }

    /// Whose password this is, as `Authorization: Basic` has it; none if it is nobody's.
    ///
    /// # Errors
    ///
    /// [`LoginError`].
    pub(crate) async fn basic(self: &Arc<Self>, name: &str, password: &str, peer: Option<IpAddr>) -> Result<Option<Principal>, LoginError> {
        Ok(self.verify(name, password, peer, "basic").await?.map(|user| user.principal))
    }

    /// Begins a session; none if there is no such user or the password is another.
    ///
    /// # Errors
    ///
    /// [`LoginError`].
    pub(crate) async fn begin_session(
        self: &Arc<Self>,
        name: &str,
        password: &str,
        peer: Option<IpAddr>,
    ) -> Result<Option<Session>, LoginError> {
        let Some(user) = self.verify(name, password, peer, "session").await? else { return Ok(None) };
        let text = SecretText::session().map_err(no_random)?;
        let (began_ms, expires_ms) = self.span_of(self.access.load().session);
        let credential = self.credential(&user, &text, Purpose::Session, began_ms, expires_ms);
        let is_there = self.known_store().await?.issue(&[credential], began_ms).await?;
        Ok(is_there.then_some(Session { principal: user.principal, text, began_ms, expires_ms }))
    }

    /// Puts off the end of the session `text`; none if it has ended.
    ///
    /// # Errors
    ///
    /// The database.
    pub(crate) async fn refresh_session(&self, text: &SecretText) -> Result<Option<Session>, UsersError> {
        let Some(session) = self.session(text).await? else { return Ok(None) };
        let (now_ms, expires_ms) = self.span_of(self.access.load().session);
        let is_there = self.known_store().await?.put_off(&text.key(), expires_ms, now_ms).await?;
        Ok(is_there.then_some(Session { expires_ms, ..session }))
    }

    /// Ends the session `text`, and answers what it was; none if it has ended.
    ///
    /// # Errors
    ///
    /// The database.
    pub(crate) async fn end_session(&self, text: &SecretText) -> Result<Option<Session>, UsersError> {
        let Some(session) = self.session(text).await? else { return Ok(None) };
        tracing::info!(target: "audit", site = self.site, user = session.principal.name, id = session.principal.id, "logged out");
        let was_there = self.known_store().await?.end(&text.key()).await?;
        Ok(was_there.then_some(session))
    }

    /// Issues tokens to the user `name`; none if there is no such user or the password is another.
    ///
    /// # Errors
    ///
    /// [`LoginError`].
    pub(crate) async fn login_tokens(
        self: &Arc<Self>,
        name: &str,
        password: &str,
        peer: Option<IpAddr>,
        requests: &[TokenRequest],
    ) -> Result<Option<Vec<Token>>, LoginError> {
        let Some(user) = self.verify(name, password, peer, "token").await? else { return Ok(None) };
        Ok(self.issue(&user, requests).await?)
    }

    /// Issues a token to the one who has the token `text` of the kind `kind`; none if it has ended.
    ///
    /// # Errors
    ///
    /// The database.
    pub(crate) async fn exchange(&self, text: &SecretText, kind: &str, request: TokenRequest) -> Result<Option<Token>, UsersError> {
        let is_meant = |purpose: &Purpose| matches!(purpose, Purpose::Token(found) if found == kind);
        let Some((_, user)) = self.find(text, is_meant).await? else { return Ok(None) };
        Ok(self.issue(&user, &[request]).await?.and_then(|mut tokens| tokens.pop()))
    }

    /// What the token `text` is.
    ///
    /// # Errors
    ///
    /// The database.
    pub(crate) async fn token(&self, text: &SecretText) -> Result<Option<TokenInfo>, UsersError> {
        let found = self.find(text, |purpose| matches!(purpose, Purpose::Token(_))).await?;
        Ok(found.and_then(|(credential, user)| match credential.purpose {
            Purpose::Token(kind) => Some(TokenInfo { principal: user.principal, kind, expires_ms: credential.expires_ms }),
            Purpose::Session => None,
        }))
    }

    /// Ends the token `text`, if there is one.
    ///
    /// # Errors
    ///
    /// The database.
    pub(crate) async fn revoke(&self, text: &SecretText) -> Result<(), UsersError> {
        let Some(info) = self.token(text).await? else { return Ok(()) };
        let TokenInfo { principal, kind, .. } = info;
        tracing::info!(target: "audit", site = self.site, user = principal.name, id = principal.id, kind, "revoked a token");
        self.known_store().await?.end(&text.key()).await.map(drop)
    }

    /// Users by their numbers, in the order of `ids`.
    ///
    /// # Errors
    ///
    /// The database.
    pub(crate) async fn users(&self, ids: &[u64]) -> Result<Vec<Option<Principal>>, UsersError> {
        let Some(store) = self.store().await? else { return Ok(ids.iter().map(|_| None).collect()) };
        let rows = store.by_ids(ids).await?.into_iter().filter_map(|row| self.current(row));
        let known: BTreeMap<u64, Principal> = rows.map(|user| (user.principal.id, user.principal)).collect();
        Ok(ids.iter().map(|id| known.get(id).cloned()).collect())
    }

    /// The user of this name and password. Counted, slowed down and written to the audit log; `by` says there how it came.
    async fn verify(
        self: &Arc<Self>,
        name: &str,
        password: &str,
        peer: Option<IpAddr>,
        by: &'static str,
    ) -> Result<Option<User>, LoginError> {
        let user = self.by_name(name).await?;
        // Only what is sent again with each request is remembered.
        let is_remembered = by == "basic";
        let known = |user: &Option<User>| {
            let is_known = |user: &User| self.verified.knows(name, password, &user.hash.stamp(), self.clock.steady());
            is_remembered && user.as_ref().is_some_and(is_known)
        };
        if known(&user) {
            return Ok(user);
        }
        self.admit(name, peer)?;
        let turn = self.passwords.turn().await.map_err(|_busy| {
            self.observer.login(&self.site, LoginOutcome::Busy);
            LoginError::Busy
        })?;
        // While this one waited, others may have found out.
        if known(&user) {
            return Ok(user);
        }
        self.admit(name, peer)?;
        let hash = user.as_ref().map(|user| user.hash.clone());
        let principal = user.as_ref().map(|user| user.principal.clone());
        let stamp = hash.as_ref().filter(|_| is_remembered).map(Hashed::stamp);
        let (this, span, log) = (Arc::clone(self), Span::current(), dispatcher::get_default(Clone::clone));
        let (name, tried) = (name.to_owned(), password.to_owned());
        // In the closure, since it is run to its end also for a client that does not wait for it.
        let found = turn.verify(password.to_owned(), hash, move |is_right| {
            let counted = || this.counted(&name, principal.as_ref(), peer, by, is_right);
            dispatcher::with_default(&log, || span.in_scope(counted));
            if let Some(stamp) = stamp.filter(|_| is_right) {
                this.verified.add(&name, &tried, stamp, this.clock.steady());
            }
            is_right
        });
        let is_right = found.await.map_err(UsersError::Internal)?;
        Ok(user.filter(|_| is_right))
    }

    fn admit(&self, name: &str, peer: Option<IpAddr>) -> Result<(), LoginError> {
        self.throttle.admit(name, peer, self.clock.steady()).map_err(|wait| {
            self.observer.login(&self.site, LoginOutcome::Throttled);
            LoginError::Throttled(wait)
        })
    }

    /// Counts and tells that a password was looked at. A name that nobody has is not written down: it may be a password in the wrong field.
    fn counted(&self, name: &str, principal: Option<&Principal>, peer: Option<IpAddr>, by: &'static str, is_right: bool) {
        let (user, id) = (principal.map(|user| &user.name), principal.map(|user| user.id));
        let peer_text = peer.map(|peer| peer.to_string());
        if is_right {
            self.throttle.succeeded(name, peer, self.clock.steady());
            self.observer.login(&self.site, LoginOutcome::Succeeded);
            tracing::info!(target: "audit", site = self.site, user, id, peer = peer_text, by, "logged in");
            return;
        }
        let brings_pause = self.throttle.failed(name, peer, self.clock.steady());
        self.observer.login(&self.site, LoginOutcome::Failed);
        tracing::warn!(target: "audit", site = self.site, user, id, peer = peer_text, by, brings_pause, "failed to log in");
    }

    async fn issue(&self, user: &User, requests: &[TokenRequest]) -> Result<Option<Vec<Token>>, UsersError> {
        let mut tokens = Vec::new();
        let mut credentials = Vec::new();
        let now_ms = self.now_ms();
        for TokenRequest { kind, lifetime } in requests {
            let text = SecretText::token().map_err(no_random)?;
            let (began_ms, expires_ms) = self.span_of(*lifetime);
            credentials.push(self.credential(user, &text, Purpose::Token(kind.clone()), began_ms, expires_ms));
            let Principal { id, name, .. } = &user.principal;
            tracing::info!(target: "audit", site = self.site, user = name, id, kind, expires_ms, "issued a token");
            tokens.push(Token { text, kind: kind.clone(), expires_ms });
        }
        Ok(self.known_store().await?.issue(&credentials, now_ms).await?.then_some(tokens))
    }

    fn credential(&self, user: &User, text: &SecretText, purpose: Purpose, began_ms: u64, expires_ms: u64) -> Credential {
        Credential { key: text.key(), purpose, user: user.principal.id, stamp: user.hash.stamp(), began_ms, expires_ms }
    }

    /// The credential of `text`, if it is one of those that are `meant` and its user is still the one it was given to.
    async fn find(&self, text: &SecretText, meant: impl Fn(&Purpose) -> bool) -> Result<Option<(Credential, User)>, UsersError> {
        let Some(store) = self.store().await? else { return Ok(None) };
        let Some((credential, row)) = store.find(&text.key(), self.now_ms()).await? else { return Ok(None) };
        let user = self.current(row).filter(|user| user.hash.stamp() == credential.stamp && meant(&credential.purpose));
        Ok(user.map(|user| (credential, user)))
    }

    async fn by_name(&self, name: &str) -> Result<Option<User>, UsersError> {
        let Some(store) = self.store().await? else { return Ok(None) };
        let is_configured = self.access.load().users.contains_key(name);
        let row = if is_configured { Some(store.adopt(name).await?) } else { store.by_name(name).await? };
        Ok(row.and_then(|row| self.current(row)))
    }

    /// The user of a row, with what the configuration says; none for one that only the configuration knew, and does not any more.
    fn current(&self, row: UserRow) -> Option<User> {
        let UserRow { id, name, password_hash, roles } = row;
        match self.access.load().users.get(&name) {
            Some(configured) => {
                let hash = configured.hash.clone()?;
                Some(User { principal: Principal { id, name, roles: configured.roles.clone() }, hash })
            }
            None => Some(User { principal: Principal { id, name, roles }, hash: password_hash? }),
        }
    }

    /// Now, and `lifetime` later.
    fn span_of(&self, lifetime: Duration) -> (u64, u64) {
        let now_ms = self.now_ms();
        (now_ms, now_ms.saturating_add(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The database; none if the site has none and needs none.
    async fn store(&self) -> Result<Option<Arc<dyn Users>>, UsersError> {
        let base = self.base.load_full();
        if let Some(store) = base.store.get() {
            return Ok(Some(Arc::clone(store)));
        }
        let is_needed = !self.access.load().users.is_empty();
        if !base.place.is_there(&self.site, is_needed).await? {
            return Ok(None);
        }
        base.store.get_or_try_init(|| open(&base.place, &self.site)).await.map(|store| Some(Arc::clone(store)))
    }

    /// The database of a site that has a user.
    async fn known_store(&self) -> Result<Arc<dyn Users>, UsersError> {
        self.store().await?.ok_or_else(|| UsersError::Internal("a user without a database".to_owned()))
    }
}

fn no_random(error: getrandom::Error) -> UsersError {
    UsersError::Internal(format!("the system has no random numbers: {error}"))
}
