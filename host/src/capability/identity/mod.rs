//! The room `identity`: who sent a request, sessions and tokens. WIT: `wit/identity`, one interface for each power. Grant: `[site.plugin.grants.identity]`, see [`grant`].
//!
//! Who sent a request was found out by the host before the plugin was called, and is in the call (`CallContext::caller`), never in the instance. Passwords, sessions and tokens are those of the site, in
//! `backend/users`: how they are kept, how often a password may be tried and what goes into the audit log is told there.
//!
//! Grant keys: `allow`.
//!
//! Limits: [`MAX_USERS`] and [`MAX_TOKENS`] in one call; a token lives a second to a year. Waiting for a login's turn and for its hash is not the plugin's time.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker};

use super::Interface;
use super::call::CallContext;
use crate::backend::users::SiteUsers;
use crate::bindings::wharf::identity::{principal, sessions, tokens, types};

mod convert;
mod error;
mod grant;
mod host;
#[cfg(test)]
mod tests;

pub(crate) use grant::IdentityGrant;

/// The most numbers of one call of `principal.users`.
pub(crate) const MAX_USERS: usize = 10_000;

/// The most tokens of one login.
pub(crate) const MAX_TOKENS: usize = 16;

/// The room of one plugin.
pub(crate) struct IdentityRoom {
    grant: IdentityGrant,
    /// Those of the plugin's site; none where nothing is granted.
    users: Option<Arc<SiteUsers>>,
}

impl IdentityRoom {
    /// The room of a plugin that has `grant`; without one, every function answers `denied`.
    pub(crate) fn new(grant: Option<IdentityGrant>, users: &Arc<SiteUsers>) -> IdentityRoom {
        IdentityRoom { grant: grant.unwrap_or_default(), users: Some(Arc::clone(users)) }
    }

    /// A room in which everything is denied.
    pub(crate) fn powerless() -> IdentityRoom {
        IdentityRoom { grant: IdentityGrant::default(), users: None }
    }
}

/// What the room needs of the instance that calls it.
pub(crate) trait IdentityView: Send {
    /// The room, for one call.
    fn identity(&mut self) -> IdentityCtxView<'_>;
}

/// The room as one call sees it.
pub(crate) struct IdentityCtxView<'a> {
    pub(crate) room: &'a IdentityRoom,
    pub(crate) call: &'a mut CallContext,
}

struct HasIdentity<T>(std::marker::PhantomData<T>);

impl<T: 'static> HasData for HasIdentity<T> {
    type Data<'a> = IdentityCtxView<'a>;
}

/// The room's interfaces.
pub(crate) fn interfaces<T: IdentityView + 'static>() -> Vec<Interface<T>> {
    macro_rules! interface {
        ($module:ident, $name:literal, $power:expr) => {
            Interface {
                name: concat!("wharf:identity/", $name, "@0.1.0"),
                power: $power,
                link: |linker: &mut Linker<T>| $module::add_to_linker::<T, HasIdentity<T>>(linker, T::identity),
            }
        };
    }
    vec![
        interface!(types, "types", None),
        interface!(principal, "principal", Some("principal")),
        interface!(sessions, "sessions", Some("sessions")),
        interface!(tokens, "tokens", Some("tokens")),
    ]
}
