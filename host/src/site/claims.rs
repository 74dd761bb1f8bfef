//! Who answers which path pattern of a site, when several plugins have one mount.
//!
//! Patterns are compared two by two ([`collide`]). So the owner that a message names is the true one, it makes no difference in which order the route table takes them up, and what does not collide
//! today does not when some of it is gone. A plugin claims all of its patterns or none.

use std::collections::BTreeMap;

use crate::plugin::describe::collide;

/// The patterns that are taken, by mount.
#[derive(Default)]
pub(super) struct Claims {
    mounts: BTreeMap<String, Vec<Claim>>,
}

struct Claim {
    pattern: String,
    plugin: String,
}

/// A pattern that another plugin has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The pattern that was asked for.
    pub(super) pattern: String,
    /// The one that it collides with.
    pub(super) with: String,
    /// Who has that.
    pub(super) owner: String,
}

impl Claims {
    /// Gives all of `patterns` below `mount` to `plugin`.
    ///
    /// # Errors
    ///
    /// The first that is taken; then none is given.
    pub(super) fn claim(&mut self, plugin: &str, mount: &str, patterns: &[String]) -> Result<(), Taken> {
        let claims = self.mounts.entry(mount.to_owned()).or_default();
        for pattern in patterns {
            if let Some(taken) = claims.iter().find(|claim| collide(&claim.pattern, pattern)) {
                return Err(Taken { pattern: pattern.clone(), with: taken.pattern.clone(), owner: taken.plugin.clone() });
            }
        }
        claims.extend(patterns.iter().map(|pattern| Claim { pattern: pattern.clone(), plugin: plugin.to_owned() }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claims each plugin's patterns in order, all below one mount. What the last one is told.
    #[track_caller]
    fn check(plugins: &[(&str, &[&str])], expected: Option<(&str, &str, &str)>) {
        let mut claims = Claims::default();
        let mut last = Ok(());
        for (plugin, patterns) in plugins {
            last = claims.claim(plugin, "/m", &patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>());
        }
        let expected =
            expected.map(|(pattern, with, owner)| Taken { pattern: pattern.to_owned(), with: with.to_owned(), owner: owner.to_owned() });
        assert_eq!(last.err(), expected);
    }

    #[test]
    fn a_pattern_has_one_owner_whatever_its_parameters_are_called() {
        check(&[("a", &["/x"]), ("b", &["/y", "/{z}"])], None);
        check(&[("a", &["/x"]), ("b", &["/y", "/x"])], Some(("/x", "/x", "a")));
        check(&[("a", &["/0"]), ("b", &["/x/{id}/y"]), ("c", &["/z", "/x/{name}/y"])], Some(("/x/{name}/y", "/x/{id}/y", "b")));
        check(&[("a", &["/a"]), ("b", &["/{*all}"]), ("c", &["/{*rest}"])], Some(("/{*rest}", "/{*all}", "b")));
    }

    #[test]
    fn the_owner_is_the_one_of_the_pattern_that_collides() {
        check(&[("a", &["/x/{id}"]), ("b", &["/x/{id}/log"]), ("c", &["/x/{key}"])], Some(("/x/{key}", "/x/{id}", "a")));
        check(&[("a", &["/x/{id}"]), ("b", &["/x/{id}/log"]), ("c", &["/x/{key}/log"])], Some(("/x/{key}/log", "/x/{id}/log", "b")));
        check(&[("a", &["/things/{id}"]), ("b", &["/thin{kind}"]), ("c", &["/thin{sort}"])], Some(("/thin{sort}", "/thin{kind}", "b")));
        // The matcher of all patterns names `/{q}/{x}` in both cases, which nobody has.
        check(&[("a", &["/{{q}}/{x}"]), ("b", &["/{{q}}/{y}"])], Some(("/{{q}}/{y}", "/{{q}}/{x}", "a")));
        check(&[("a", &["/b{y}/{x}b", "/{x}"]), ("b", &["/{{q}}/{x}"]), ("c", &["/{x}b/b{y}"])], Some(("/{x}b/b{y}", "/b{y}/{x}b", "a")));
    }

    #[test]
    fn a_plugin_that_is_refused_one_pattern_has_none() {
        check(&[("a", &["/x"]), ("b", &["/y", "/x"]), ("c", &["/y"])], None);
    }

    #[test]
    fn mounts_do_not_collide() {
        let mut claims = Claims::default();
        let patterns = ["/".to_owned()];
        assert_eq!(claims.claim("a", "", &patterns), Ok(()));
        assert_eq!(claims.claim("b", "/api", &patterns), Ok(()));
        assert!(claims.claim("c", "/api", &patterns).is_err());
    }
}
