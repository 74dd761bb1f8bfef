//! Who sent a request, as the host found out before a plugin was called. It belongs to one call, and to no instance.

use std::net::IpAddr;

use super::{Principal, SecretText};

/// Who sent a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) authentication: Authentication,
    /// The session that the request came with; none if it was let in by something else.
    pub(crate) session: Option<SecretText>,
    /// The client's address, if it is known.
    pub(crate) peer: Option<IpAddr>,
    /// Whether a browser says that a page of another origin sent it, and not one that the site trusts.
    pub(crate) is_cross_origin: bool,
    /// Whether it came over TLS.
    pub(crate) is_secure: bool,
}

/// What came with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Authentication {
    /// Nothing.
    #[default]
    Anonymous,
    /// A valid credential.
    Known(Principal),
    /// A credential that is not valid.
    Rejected(Scheme),
}

/// How a credential came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: Basic`.
    Basic,
    /// The session's cookie.
    Cookie,
}

impl Scheme {
    /// The word for it in the contract and in the log.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Scheme::Bearer => "bearer",
            Scheme::Basic => "basic",
            Scheme::Cookie => "cookie",
        }
    }
}
