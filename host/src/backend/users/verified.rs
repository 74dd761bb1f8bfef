//! Passwords that were found right a moment ago, so that a client that sends `Authorization: Basic` with each request costs one argon2 in a minute and not one for each.
//!
//! What is kept is a hash under a key that this process made for itself. An entry says that the password was right for a stamp: whoever asks still has to see whether the user is there and has that stamp.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::Stamp;

/// How long an answer is believed.
const FOR: Duration = Duration::from_secs(60);

/// How many are kept. A site has few users.
const ENTRIES: usize = 1_024;

/// The passwords of one site that were found right.
pub(crate) struct Verified {
    /// None if the system had no random numbers: then nothing is remembered.
    key: Option<[u8; 32]>,
    entries: Mutex<HashMap<[u8; 32], (Stamp, Instant)>>,
}

impl Verified {
    /// Nothing yet.
    pub(crate) fn new() -> Verified {
        let mut key = [0; 32];
        let key = getrandom::fill(&mut key).is_ok().then_some(key);
        Verified { key, entries: Mutex::default() }
    }

    /// Notes that `password` is that of `name` as long as the stamp is `stamp`.
    pub(crate) fn add(&self, name: &str, password: &str, stamp: Stamp, now: Instant) {
        let Some(entry) = self.entry(name, password) else { return };
        let mut entries = self.entries();
        if entries.len() >= ENTRIES {
            entries.retain(|_, (_, until)| *until > now);
        }
        if entries.len() >= ENTRIES {
            entries.clear();
        }
        entries.insert(entry, (stamp, now + FOR));
    }

    /// Whether `password` was found to be that of `name` with `stamp`.
    pub(crate) fn knows(&self, name: &str, password: &str, stamp: &Stamp, now: Instant) -> bool {
        let Some(entry) = self.entry(name, password) else { return false };
        self.entries().get(&entry).is_some_and(|(known, until)| known == stamp && *until > now)
    }

    fn entry(&self, name: &str, password: &str) -> Option<[u8; 32]> {
        let length = (name.len() as u64).to_be_bytes();
        let digest = Sha256::new().chain_update(self.key?).chain_update(length).chain_update(name).chain_update(password).finalize();
        Some(digest.into())
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<[u8; 32], (Stamp, Instant)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_believed_for_a_minute_and_for_its_stamp() {
        let (verified, now) = (Verified::new(), Instant::now());
        verified.add("ann", "right", [1; 16], now);
        assert!(verified.knows("ann", "right", &[1; 16], now));
        assert!(!verified.knows("ann", "wrong", &[1; 16], now) && !verified.knows("annr", "ight", &[1; 16], now));
        assert!(!verified.knows("ann", "right", &[2; 16], now), "another password was set");
        assert!(!verified.knows("ann", "right", &[1; 16], now + FOR));
        (0..2 * ENTRIES).for_each(|number| verified.add(&number.to_string(), "x", [1; 16], now));
        assert!(verified.entries().len() <= ENTRIES);
    }
}
