//! Which containers are being recreated: no two recreations have one at a time, and nobody else changes it meanwhile.
//!
//! Kept in memory alone: it is filled from the journal when a host starts, before anything is served.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::Member;

/// What is locked on one engine.
#[derive(Debug, Default)]
pub(super) struct Locks(Mutex<Locked>);

#[derive(Debug, Default)]
struct Locked {
    /// The operation that has it, by the name and by the ids of containers.
    held: HashMap<String, String>,
    /// Names that containers have only for a while.
    aside: HashSet<String>,
}

/// What one operation has locked. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    locks: Arc<Locks>,
    operation: String,
}

impl Locks {
    /// Locks these names and ids for `operation`, all or none.
    ///
    /// # Errors
    ///
    /// Which one another operation has.
    pub(super) fn take(self: &Arc<Self>, operation: &str, keys: &[&str]) -> Result<Lock, String> {
        let lock = Lock { locks: Arc::clone(self), operation: operation.to_owned() };
        lock.add(keys)?;
        Ok(lock)
    }

    /// Whether the container of this name or id is being recreated.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.lock().held.contains_key(key)
    }

    /// Whether a container has this name only while another is recreated.
    pub(super) fn is_aside(&self, name: &str) -> bool {
        let locked = self.lock();
        !locked.aside.is_empty() && locked.aside.contains(name)
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lock {
    /// Locks `members` too.
    pub(super) fn extend(&self, members: &[Member]) -> Result<(), String> {
        let keys: Vec<&str> = members.iter().flat_map(|member| [member.name.as_str(), member.old.as_str()]).collect();
        self.add(&keys)
    }

    /// Locks a container that was made.
    pub(super) fn add(&self, keys: &[&str]) -> Result<(), String> {
        let mut locked = self.locks.lock();
        if let Some(key) = keys.iter().find(|key| locked.held.get(**key).is_some_and(|holder| *holder != self.operation)) {
            return Err(format!("the container `{key}` is being recreated"));
        }
        locked.held.extend(keys.iter().map(|key| ((*key).to_owned(), self.operation.clone())));
        Ok(())
    }

    /// Says which names containers have only for a while.
    pub(super) fn set_aside(&self, names: Vec<String>) {
        self.locks.lock().aside.extend(names);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A name aside ends with the mark of its operation, which is the beginning of the operation's id.
        let mut locked = self.locks.lock();
        locked.held.retain(|_, holder| *holder != self.operation);
        let mark = |name: &String| name.rsplit_once('-').is_some_and(|(_, mark)| self.operation.starts_with(mark));
        locked.aside.retain(|name| !mark(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_has_another_does_not_get() {
        let locks = Arc::<Locks>::default();
        let first = locks.take("aa11", &["web", "id-1"]).unwrap();
        first.set_aside(vec!["web.new-aa".to_owned()]);
        assert_eq!(locks.take("bb22", &["db", "web"]).unwrap_err(), "the container `web` is being recreated");
        assert!(!locks.holds("db"), "all or none");
        assert!(first.add(&["db", "web"]).is_ok(), "its own it may lock again");
        assert!(locks.holds("id-1") && locks.holds("db") && locks.is_aside("web.new-aa") && !locks.is_aside("web"));
        drop(first);
        assert!(!locks.holds("web") && !locks.is_aside("web.new-aa"));
        assert!(locks.take("bb22", &["web"]).is_ok());
    }
}
