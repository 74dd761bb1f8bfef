//! Who is asking: users of the site, their sessions and their tokens, as far as the operator grants it.
//!
//! Each module is one interface of `wharf:identity` and one word of the grant: [`sessions`] is `"sessions"` of `[site.plugin.grants.identity]`.
//!
//! The host looks at `Authorization: Bearer`, `Authorization: Basic` and the session's cookie before the plugin is called, and the mount's `auth` says what comes of it: with `required` the plugin is
//! called for known users alone, with `optional` for nobody in particular too, with `plugin` for everyone. What the host took as its own is not among the request's fields. A password reaches a plugin only in a
//! request of its own API, and goes from there to a `login`.
//!
//! ```
//! use wharf_sdk::identity::{self, principal::Authentication};
//! use wharf_sdk::{Plugin, Request, Response, Router, fake};
//!
//! struct Whoami;
//!
//! impl Plugin for Whoami {
//!     fn routes() -> Router {
//!         Router::new().get("/whoami", |_: &Request| -> Result<Response, identity::Error> {
//!             Ok(match identity::principal::current()? {
//!                 Authentication::Known(user) if user.has_role("admin") => Response::text(user.name),
//!                 Authentication::Known(_) => Response::new(403),
//!                 Authentication::Anonymous | Authentication::Rejected(_) => Response::new(401),
//!             })
//!         })
//!     }
//! }
//!
//! let host = fake::Host::install();
//! host.user("ann", "ann's password", &["admin"]);
//! assert_eq!(fake::call::<Whoami>(fake::get("/whoami").as_user("ann")).text(), "ann");
//! assert_eq!(fake::call::<Whoami>(fake::get("/whoami")).status, 401);
//! ```

pub use crate::error::Error;

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The number of the user in this site, from 1 on. It stays when the user is renamed, and is never used again.
    pub id: u64,
    /// The name.
    pub name: String,
    /// The roles, sorted; the words are the operator's.
    pub roles: Vec<String>,
}

impl Principal {
    /// Whether the user has `role`. `admin` is what plugins take for somebody who may change things.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|found| found == role)
    }
}

/// `principal`: who sent this request.
pub mod principal {
    use super::{Error, Principal};
    use crate::host::with;

    /// What came with the request.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Authentication {
        /// Nothing.
        Anonymous,
        /// A valid credential.
        Known(Principal),
        /// A credential that is not valid, such as a token that has expired: `bearer`, `basic` or `cookie`. Only at mounts with `auth = "plugin"`.
        Rejected(String),
    }

    /// Whether the site has users. Where it has none, APIs that have always been open stay open.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn has_users() -> Result<bool, Error> {
        with(|host| host.has_users())
    }

    /// Who sent this request.
    ///
    /// # Errors
    ///
    /// As [`has_users`].
    pub fn current() -> Result<Authentication, Error> {
        with(|host| host.principal_current())
    }

    /// Users by their numbers, in the order of `ids`: to show who made something. At most 10,000.
    ///
    /// # Errors
    ///
    /// Of each: [`Error::NotFound`] for who is gone, and as [`has_users`].
    #[must_use]
    pub fn users(ids: &[u64]) -> Vec<Result<Principal, Error>> {
        with(|host| host.principal_users(ids))
    }
}

/// `sessions`: logging people in and out, by a cookie that scripts of a page cannot read.
pub mod sessions {
    use super::{Error, Principal};
    use crate::host::with;

    /// A session.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Session {
        /// Who it belongs to.
        pub principal: Principal,
        /// The value of a `Set-Cookie` field that hands it to the client, or takes it from there.
        pub set_cookie: String,
        /// When it began, in milliseconds since 1970 (UTC).
        pub began_ms: u64,
        /// When it ends unless it is refreshed.
        pub expires_ms: u64,
    }

    /// Begins a session; none if there is no such user or the password is another.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`] after too many failures; [`Error::Denied`], also for a page of another origin; [`Error::Unavailable`], [`Error::Timeout`].
    pub fn login(name: &str, password: &str) -> Result<Option<Session>, Error> {
        with(|host| host.session_login(name, password))
    }

    /// Puts off the end of the session that the request came with.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if it came with none; [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn refresh() -> Result<Session, Error> {
        with(|host| host.session_refresh())
    }

    /// Ends the session that the request came with, on all hosts, and answers whose it was. Its `set_cookie` takes the cookie from the client.
    ///
    /// # Errors
    ///
    /// As [`refresh`].
    pub fn logout() -> Result<Session, Error> {
        with(|host| host.session_logout())
    }
}

/// `tokens`: texts that stand for a user, for programs.
///
/// A token has a *kind*, a word of the plugin's. Those of the kind [`ACCESS`](tokens::ACCESS) are accepted by the host as `Authorization: Bearer`; the others only mean something here.
pub mod tokens {
    use super::{Error, Principal};
    use crate::host::with;

    /// The kind of the tokens that the host accepts.
    pub const ACCESS: &str = "access";

    /// What to issue.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct TokenRequest {
        /// 1 to 32 characters of `a-z0-9-`.
        pub kind: String,
        /// How long it is valid, 1 second to a year.
        pub lifetime_secs: u64,
    }

    impl TokenRequest {
        /// A token of `kind` for so many seconds.
        #[must_use]
        pub fn new(kind: &str, lifetime_secs: u64) -> TokenRequest {
            TokenRequest { kind: kind.to_owned(), lifetime_secs }
        }
    }

    /// A token that was issued.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Token {
        /// The text, which is told only now: the host keeps a hash of it.
        pub text: String,
        /// As asked for.
        pub kind: String,
        /// When it ends, in milliseconds since 1970 (UTC).
        pub expires_ms: u64,
    }

    /// What a token is.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct TokenInfo {
        /// Whose it is.
        pub principal: Principal,
        /// Its kind.
        pub kind: String,
        /// When it ends.
        pub expires_ms: u64,
    }

    /// Issues tokens to the user `name`, one for each of `requests`, at most 16; none if there is no such user or the password is another.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a request that is none, [`Error::QuotaExceeded`] after too many failures; [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn login(name: &str, password: &str, requests: &[TokenRequest]) -> Result<Option<Vec<Token>>, Error> {
        with(|host| host.token_login(name, password, requests))
    }

    /// Issues a token to the one who has the valid `token` of the kind `kind`, as a refresh token is exchanged for an access token. `token` stays valid.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for a token that is none, or none of that kind; [`Error::Invalid`], [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn exchange(token: &str, kind: &str, request: &TokenRequest) -> Result<Token, Error> {
        with(|host| host.token_exchange(token, kind, request))
    }

    /// What `token` is.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for a token that is none; [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn verify(token: &str) -> Result<TokenInfo, Error> {
        with(|host| host.token_verify(token))
    }

    /// Ends `token` on all hosts. Succeeds if it has ended already.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn revoke(token: &str) -> Result<(), Error> {
        with(|host| host.token_revoke(token))
    }
}
