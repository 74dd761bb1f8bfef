//! The `identity` grant: what a plugin may ask about users and do in their names.
//!
//! Read from `[site.plugin.grants.identity]` of `wharf.toml`. Pure. A power (`allow`) links an interface; nothing narrows it further, since the users are those of the plugin's own site and no call names another.
//! A check answers the site's users, which is all that there is to call.

use std::sync::Arc;

use super::super::call::Denied;
use super::super::powers::{self, Powers};
use super::IdentityRoom;
use crate::backend::users::{Caller, SiteUsers};
use crate::settings::section::Section;

/// One word of `allow`: it links one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Power {
    Principal,
    Sessions,
    Tokens,
}

impl powers::Power for Power {
    const ROOM: &'static str = "identity";
    const WORDS: &'static [(&'static str, Power)] =
        &[("principal", Power::Principal), ("sessions", Power::Sessions), ("tokens", Power::Tokens)];
}

/// What the operator allows one plugin with users. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct IdentityGrant {
    powers: Powers<Power>,
}

impl IdentityGrant {
    /// Reads `[site.plugin.grants.identity]`. What is wrong is reported to the section; the answer is then not to be used.
    pub(crate) fn read(section: &mut Section<'_>) -> IdentityGrant {
        let powers = Powers::read(section);
        IdentityGrant { powers }
    }

    /// Whether `power` was granted.
    pub(crate) fn has(&self, power: &str) -> bool {
        self.powers.has(power)
    }
}

impl IdentityRoom {
    /// The site's users, if `power` was granted.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(super) fn users(&self, power: Power) -> Result<Arc<SiteUsers>, Denied> {
        let users = self.users.as_ref().filter(|_| self.grant.powers.contains(power));
        users.cloned().ok_or_else(|| Powers::missing(power))
    }
}

/// Checks that a session may begin in answer to the request of `caller`: a page of another origin must not log whoever looks at it in under a name of its own choice.
///
/// # Errors
///
/// The refusal.
pub(super) fn may_begin_session(caller: &Caller) -> Result<(), Denied> {
    if !caller.is_cross_origin {
        return Ok(());
    }
    let remedy = "trusted_origins of [[site]], with the page's origin".to_owned();
    Err(Denied { action: "log in from a page of another origin", object: "session".to_owned(), remedy })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::section::read_for_test;

    #[track_caller]
    fn check(text: &str, powers: &[&str], mistakes: &[&str]) {
        let (grant, found) = read_for_test(text, IdentityGrant::read);
        assert_eq!(found, mistakes);
        let granted: Vec<&str> = ["principal", "sessions", "tokens", ""].into_iter().filter(|power| grant.has(power)).collect();
        assert_eq!(granted, powers);
    }

    #[test]
    fn a_grant_is_a_list_of_powers() {
        check("", &[], &[]);
        check("allow = [\"tokens\", \"principal\"]", &["principal", "tokens"], &[]);
        let wrong = "wharf.toml:1:10: there is no power `token`\n    help: did you mean `tokens`?";
        check("allow = [\"token\"]", &[], &[wrong]);
        let unknown = "wharf.toml:1:1: unknown key `users` at the top level\n    help: did you mean";
        let (_, found) = read_for_test("users = []", IdentityGrant::read);
        assert!(found.len() == 1 && found[0].starts_with(unknown.split(" at").next().unwrap()), "{found:?}");
    }

    #[test]
    fn a_page_of_another_origin_begins_no_session() {
        assert_eq!(may_begin_session(&Caller::default()), Ok(()));
        let refused = may_begin_session(&Caller { is_cross_origin: true, ..Caller::default() }).unwrap_err();
        assert!(refused.remedy.contains("trusted_origins"), "{refused:?}");
    }
}
