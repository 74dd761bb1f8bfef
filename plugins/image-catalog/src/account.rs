//! Who is asking, and what that one may do: whoever is logged in reads, administrators write.

use wharf_sdk::identity::Principal;
use wharf_sdk::identity::principal::{self, Authentication};

use crate::failure::Failure;

/// The role that may change the catalogue.
const ADMINISTRATOR: &str = "admin";

/// Somebody who may do what was asked.
pub(crate) struct Account(Principal);

impl Account {
    /// The user's number, as records have it.
    pub(crate) fn key(&self) -> Option<i64> {
        i64::try_from(self.0.id).ok()
    }
}

/// Anybody who is logged in.
pub(crate) fn reader() -> Result<Account, Failure> {
    match principal::current()? {
        Authentication::Known(principal) => Ok(Account(principal)),
        Authentication::Rejected(_) => Err(Failure::TokenRejected),
        Authentication::Anonymous => Err(Failure::NotLoggedIn),
    }
}

/// An administrator.
pub(crate) fn administrator() -> Result<Account, Failure> {
    let account = reader()?;
    if account.0.has_role(ADMINISTRATOR) { Ok(account) } else { Err(Failure::NotAllowed) }
}
