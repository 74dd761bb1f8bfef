//! How often a password may be tried. In memory: each host counts for itself, and a restart forgets.
//!
//! The rule, for one site:
//!
//! 1. **A client at an account.** After 5 failures of one address at one account, this address waits before it may try this account again: one second, then twice as long each time, at most
//!    15 minutes. Nobody else waits: whoever keeps failing from one address cannot lock a user out who comes from another.
//! 2. **A client.** After 20 failures of one address, whatever the accounts, it waits in the same way before it may try any. A success takes nothing back: whoever has one account cannot use it to try others.
//! 3. **An account.** After 100 failures at one account from anywhere, of which one is forgotten each 36 seconds, addresses from which its user has not logged in since the host started share one
//!    try in 30 seconds. Those from which the user has (the last 8) are not concerned. So an attack from very many addresses is slowed down to 2,900 tries a day; while it lasts it can crowd out a
//!    login from a new place, never one from a known place, and it locks nobody out after it.
//!
//! Failures of rules 1 and 2 are forgotten an hour after the last. Who has to wait is told so without a look at the password. An address is an IPv4 address or an IPv6 network of 64 bits, which is what
//! one client has. The name need not be that of a user: those that nobody has are counted in the same way, and so they cannot be told from others.
//!
//! Behind a proxy every client has the proxy's address unless `trusted_proxies` names it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures without a pause: of an address at an account, and of an address.
const FREE_AT_ACCOUNT: u32 = 5;
const FREE_AT_ALL: u32 = 20;

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// After so long without a failure the earlier ones are forgotten.
const FORGET: Duration = Duration::from_secs(3_600);

/// Failures at an account from anywhere before those from new places are slowed down, and how fast they are forgotten.
const AT_ACCOUNT: f64 = 100.0;
const LEAK_PER_SEC: f64 = AT_ACCOUNT / 3_600.0;

/// How often an account that is under attack may be tried from a new place.
const NEW_PLACE: Duration = Duration::from_secs(30);

/// How many places an account is known to be used from.
const KNOWN_PLACES: usize = 8;

/// How much is remembered of each kind. When that is full, what was forgotten longest ago makes way.
const ENTRIES: usize = 20_000;

/// The failed logins of one site.
#[derive(Default)]
pub(crate) struct Throttle {
    /// Names are kept by their hash: whatever a client sends takes eight bytes.
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pairs: HashMap<(u64, Place), Strikes>,
    places: HashMap<Place, Strikes>,
    accounts: HashMap<u64, Account>,
}

/// What one client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Unknown,
    V4(u32),
    V6(u64),
}

#[derive(Clone, Copy)]
struct Strikes {
    failures: u32,
    last: Instant,
}

struct Account {
    /// Failures that are not forgotten, as of `at`.
    level: f64,
    at: Instant,
    /// When a new place was last let in while the level was high.
    let_in: Option<Instant>,
    known: VecDeque<Place>,
}

impl Throttle {
    /// Whether `name` may be tried from `peer` now.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub(crate) fn admit(&self, name: &str, peer: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let (account, place) = (self.account(name), Place::of(peer));
        let mut state = self.state();
        let pair = state.pairs.get(&(account, place)).map_or(Duration::ZERO, |strikes| strikes.wait(FREE_AT_ACCOUNT, now));
        let alone = state.places.get(&place).map_or(Duration::ZERO, |strikes| strikes.wait(FREE_AT_ALL, now));
        let wait = pair.max(alone);
        if !wait.is_zero() {
            return Err(wait);
        }
        state.accounts.get_mut(&account).map_or(Ok(()), |account| account.admit(place, now))
    }

    /// Counts a failed login. Answers whether this one brought a pause with it.
    pub(crate) fn failed(&self, name: &str, peer: Option<IpAddr>, now: Instant) -> bool {
        let (account, place) = (self.account(name), Place::of(peer));
        let mut state = self.state();
        let pair = strike(&mut state.pairs, (account, place), now).pause(FREE_AT_ACCOUNT);
        let alone = strike(&mut state.places, place, now).pause(FREE_AT_ALL);
        make_room(&mut state.accounts, |account| account.at);
        let account = state.accounts.entry(account).or_insert_with(|| Account::new(now));
        account.leak(now);
        account.level += 1.0;
        !pair.max(alone).is_zero()
    }

    /// Notes that `name` has logged in from `peer`.
    pub(crate) fn succeeded(&self, name: &str, peer: Option<IpAddr>, now: Instant) {
        let (account, place) = (self.account(name), Place::of(peer));
        let mut state = self.state();
        state.pairs.remove(&(account, place));
        make_room(&mut state.accounts, |account| account.at);
        let account = state.accounts.entry(account).or_insert_with(|| Account::new(now));
        account.leak(now);
        account.known.retain(|known| *known != place);
        account.known.push_front(place);
        account.known.truncate(KNOWN_PLACES);
    }

    fn account(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn of(peer: Option<IpAddr>) -> Place {
        match peer.map(|peer| peer.to_canonical()) {
            None => Place::Unknown,
            Some(IpAddr::V4(address)) => Place::V4(address.to_bits()),
            Some(IpAddr::V6(address)) => Place::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Strikes {
    /// How long whoever failed so often is to wait after the last time.
    fn pause(&self, free: u32) -> Duration {
        match self.failures.checked_sub(free) {
            None => Duration::ZERO,
            Some(over) => Duration::from_secs(1_u64 << over.min(20)).min(LONGEST),
        }
    }

    fn wait(&self, free: u32, now: Instant) -> Duration {
        self.pause(free).saturating_sub(now.saturating_duration_since(self.last))
    }
}

fn strike<K: Hash + Eq + Copy>(strikes: &mut HashMap<K, Strikes>, key: K, now: Instant) -> Strikes {
    make_room(strikes, |strikes| strikes.last);
    let strikes = strikes.entry(key).or_insert(Strikes { failures: 0, last: now });
    if now.saturating_duration_since(strikes.last) >= FORGET {
        strikes.failures = 0;
    }
    *strikes = Strikes { failures: strikes.failures.saturating_add(1), last: now };
    *strikes
}

/// Forgets the older half when `entries` are full, so that this is seldom done.
fn make_room<K: Hash + Eq + Copy, V>(entries: &mut HashMap<K, V>, age: impl Fn(&V) -> Instant) {
    if entries.len() < ENTRIES {
        return;
    }
    let mut ages: Vec<Instant> = entries.values().map(&age).collect();
    ages.sort_unstable();
    if let Some(middle) = ages.get(ENTRIES / 2).copied() {
        entries.retain(|_, entry| age(entry) > middle);
    }
}

impl Account {
    fn new(now: Instant) -> Account {
        Account { level: 0.0, at: now, let_in: None, known: VecDeque::new() }
    }

    fn leak(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level - passed * LEAK_PER_SEC).max(0.0);
        self.at = now;
    }

    fn admit(&mut self, place: Place, now: Instant) -> Result<(), Duration> {
        self.leak(now);
        if self.level < AT_ACCOUNT || self.known.contains(&place) {
            return Ok(());
        }
        let passed = self.let_in.map_or(NEW_PLACE, |let_in| now.saturating_duration_since(let_in));
        if passed < NEW_PLACE {
            return Err(NEW_PLACE - passed);
        }
        self.let_in = Some(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A throttle, and the time that it is told.
    struct Trial {
        throttle: Throttle,
        now: Instant,
    }

    impl Trial {
        fn new() -> Trial {
            Trial { throttle: Throttle::default(), now: Instant::now() }
        }

        fn wait(&self, name: &str, peer: &str) -> u64 {
            self.throttle.admit(name, Some(peer.parse().unwrap()), self.now).err().map_or(0, |wait| wait.as_secs())
        }

        fn fail(&self, name: &str, peer: &str) {
            self.throttle.failed(name, Some(peer.parse().unwrap()), self.now);
        }

        fn pass(&mut self, secs: u64) {
            self.now += Duration::from_secs(secs);
        }
    }

    #[test]
    fn an_address_waits_longer_and_longer_at_one_account_and_nobody_else_does() {
        let mut trial = Trial::new();
        (0..4).for_each(|_| trial.fail("ann", "192.0.2.1"));
        assert_eq!(trial.wait("ann", "192.0.2.1"), 0);
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            trial.fail("ann", "192.0.2.1");
            assert_eq!(trial.wait("ann", "192.0.2.1"), pause);
            assert_eq!((trial.wait("ann", "192.0.2.2"), trial.wait("bob", "192.0.2.1")), (0, 0), "only who fails waits");
            trial.pass(pause);
            assert_eq!(trial.wait("ann", "192.0.2.1"), 0);
        }
        trial.pass(3_600);
        trial.fail("ann", "192.0.2.1");
        assert_eq!(trial.wait("ann", "192.0.2.1"), 0, "an hour later it is forgotten");
    }

    #[test]
    fn an_address_that_tries_many_accounts_waits_for_all_of_them() {
        let trial = Trial::new();
        (0..20).for_each(|number| trial.fail(&format!("user-{number}"), "2001:db8:0:1::1"));
        assert_eq!(trial.wait("ann", "2001:db8:0:1::2"), 1, "one client has a whole network");
        assert_eq!(trial.wait("ann", "2001:db8:0:2::1"), 0);
    }

    #[test]
    fn a_success_is_forgiven_at_its_account_alone() {
        let trial = Trial::new();
        let peer = "::ffff:192.0.2.1".parse().ok();
        for number in 0..20 {
            trial.fail(&format!("user-{number}"), "192.0.2.1");
            trial.throttle.succeeded("own", peer, trial.now);
        }
        assert_eq!(trial.wait("ann", "192.0.2.1"), 1);
        let trial = Trial::new();
        (0..4).for_each(|_| trial.fail("ann", "192.0.2.1"));
        trial.throttle.succeeded("ann", peer, trial.now);
        (0..4).for_each(|_| trial.fail("ann", "192.0.2.1"));
        assert_eq!(trial.wait("ann", "192.0.2.1"), 0);
    }

    #[test]
    fn an_account_that_everybody_attacks_is_open_to_the_places_that_it_is_known_to_be_used_from() {
        let mut trial = Trial::new();
        trial.throttle.succeeded("ann", "198.51.100.7".parse().ok(), trial.now);
        (0..101).for_each(|number| trial.fail("ann", &format!("192.0.2.{number}")));
        assert_eq!(trial.wait("ann", "198.51.100.7"), 0, "the user's own place");
        assert_eq!(trial.wait("ann", "203.0.113.1"), 0, "one try");
        assert_eq!(trial.wait("ann", "203.0.113.2"), 30, "and no further one");
        trial.pass(30);
        assert_eq!(trial.wait("ann", "203.0.113.3"), 0);
        trial.pass(120);
        assert_eq!((trial.wait("ann", "203.0.113.4"), trial.wait("ann", "203.0.113.5")), (0, 0), "it is over soon after the attack");
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut trial = Trial::new();
        for number in 0..(ENTRIES as u32 + 10) {
            trial.now += Duration::from_millis(1);
            trial.throttle.failed(&number.to_string(), Some(IpAddr::from(number.to_be_bytes())), trial.now);
        }
        let state = trial.throttle.state();
        let lengths = [state.pairs.len(), state.places.len(), state.accounts.len()];
        assert!(lengths.iter().all(|length| (ENTRIES / 4..=ENTRIES).contains(length)), "{lengths:?}");
    }
}
