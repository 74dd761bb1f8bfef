//! Passwords: argon2id, with the first of the parameters that OWASP recommends (19 MiB, two passes, one lane), a few at a time.
//!
//! A hash costs tens of milliseconds of a processor and 19 MiB. So it is made on the blocking pool, at most half of the processors work on hashes, and few wait for a turn: a flood of logins leaves the
//! machine to everybody else, and those who ask for too much are told so. A permit is held until the hash is made, also when nobody waits for it any more.
//!
//! The hash is what takes the time of a login, so it is made for names that nobody has too.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Stamp;

/// The longest password. A longer one is nobody's.
pub(crate) const MAX_PASSWORD_BYTES: usize = 1024;

/// The shortest that a command sets, as NIST has it.
pub(crate) const MIN_PASSWORD_CHARS: usize = 8;

/// What a hash from elsewhere may cost at most: memory in KiB, and passes times memory. A mistake in a file must not take the machine at each login.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_WORK_KIB: u64 = 2 * 1024 * 1024;

/// How many logins may wait for a turn, and for how long.
const WAITING: usize = 64;
const WAIT: Duration = Duration::from_secs(10);

/// A hash with our parameters that no password has: what a login under a name that nobody has is held against.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The hash of a password, in the form `$argon2id$v=19$m=…`. It is not a secret like the password, but what it takes to guess one at leisure, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Hashed(String);

impl Hashed {
    /// Reads a hash that somebody wrote down.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without a part of it: it may be a password.
    pub(crate) fn parse(text: &str) -> Result<Hashed, &'static str> {
        let parsed = PasswordHash::new(text).map_err(|_| "is not the hash of a password")?;
        let is_argon2id = Algorithm::try_from(parsed.algorithm.as_str()).is_ok_and(|algorithm| algorithm == Algorithm::Argon2id);
        if !is_argon2id || parsed.salt.is_none() || parsed.hash.is_none() {
            return Err("is not an argon2id hash");
        }
        let params = Params::try_from(&parsed).map_err(|_| "has parameters that argon2id does not have")?;
        if params.m_cost() > MAX_MEMORY_KIB || u64::from(params.m_cost()) * u64::from(params.t_cost()) > MAX_WORK_KIB {
            return Err("costs too much: at most 256 MiB, and 2 GiB over all passes");
        }
        Ok(Hashed(text.to_owned()))
    }

    /// The hash of `password`. Takes tens of milliseconds.
    ///
    /// # Errors
    ///
    /// The system has no memory or no random numbers.
    pub(crate) fn of(password: &str) -> Result<Hashed, String> {
        Argon2::default().hash_password(password.as_bytes()).map(|hash| Hashed(hash.to_string())).map_err(|error| error.to_string())
    }

    /// As it is written down.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What sessions and tokens remember of the password that they were given for.
    pub(crate) fn stamp(&self) -> Stamp {
        let digest: [u8; 32] = Sha256::digest(&self.0).into();
        let mut stamp = Stamp::default();
        stamp.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        stamp
    }
}

impl std::fmt::Debug for Hashed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hashed(…)")
    }
}

/// Whether `password` is that of `hash`; that of nobody without one, and it takes as long. Takes tens of milliseconds.
fn verify(password: &str, hash: Option<&Hashed>) -> bool {
    let Ok(parsed) = PasswordHash::new(hash.map_or(NOBODYS, Hashed::expose)) else { return false };
    let is_too_long = password.len() > MAX_PASSWORD_BYTES;
    let tried = if is_too_long { "" } else { password };
    Argon2::default().verify_password(tried.as_bytes(), &parsed).is_ok() && hash.is_some() && !is_too_long
}

/// Too many are waiting to be looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// Where passwords are checked: one for the process.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    /// Those that may be checked at a time.
    working: Arc<Semaphore>,
    /// Those and the ones that may wait.
    places: Arc<Semaphore>,
}

/// The right to check one password.
pub(crate) struct Turn {
    _working: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Default for Passwords {
    fn default() -> Passwords {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let working = (cores / 2).clamp(1, 4);
        Passwords { working: Arc::new(Semaphore::new(working)), places: Arc::new(Semaphore::new(working + WAITING)) }
    }
}

impl Passwords {
    /// Waits for a turn.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub(crate) async fn turn(&self) -> Result<Turn, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let working = tokio::time::timeout(WAIT, Arc::clone(&self.working).acquire_owned()).await;
        let working = working.map_err(|_elapsed| Busy)?.map_err(|_| Busy)?;
        Ok(Turn { _working: working, _place: place })
    }
}

impl Turn {
    /// Checks `password`, and does `then` with what came out, whether or not anybody still waits for it.
    pub(crate) async fn verify<R: Send + 'static>(
        self,
        password: String,
        hash: Option<Hashed>,
        then: impl FnOnce(bool) -> R + Send + 'static,
    ) -> Result<R, String> {
        let work = move || {
            let answer = then(verify(&password, hash.as_ref()));
            drop(self);
            answer
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
impl Hashed {
    /// The hash of `password` at the least cost there is, for tests that are of something else.
    pub(crate) fn cheap(password: &str) -> Hashed {
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
        Hashed(argon2.hash_password(password.as_bytes()).unwrap().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_password_is_known_by_its_hash() {
        let hash = Hashed::of("correct horse").unwrap();
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.expose());
        assert_eq!(Hashed::parse(hash.expose()), Ok(hash.clone()));
        assert!(verify("correct horse", Some(&hash)));
        assert!(!verify("correct hors", Some(&hash)) && !verify("", Some(&hash)) && !verify("correct horse", None));
        assert_ne!(Hashed::of("correct horse").unwrap().stamp(), hash.stamp());
        assert_eq!(format!("{hash:?}"), "Hashed(…)");
        let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
        assert!(!verify(&long, Some(&Hashed::of(&long).unwrap())) && !verify(&long, Some(&Hashed::of("").unwrap())));
    }

    #[track_caller]
    fn check_refused(text: &str, reason: &str) {
        assert_eq!(Hashed::parse(text).map_err(|found| found.contains(reason)), Err(true), "{text}");
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        let rest = "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(Hashed::parse(NOBODYS).is_ok() && Hashed::parse(&format!("$argon2id$v=19$m=65536,t=3,p=4{rest}")).is_ok());
        check_refused("hunter2", "not the hash");
        check_refused("", "not the hash");
        check_refused(&format!("$argon2i$v=19$m=19456,t=2,p=1{rest}"), "not an argon2id");
        check_refused(&format!("$scrypt$ln=16,r=8,p=1{rest}"), "not an argon2id");
        check_refused("$argon2id$v=19$m=19456,t=2,p=1", "not an argon2id");
        check_refused(&format!("$argon2id$v=19$m=1,t=0,p=1{rest}"), "parameters");
        check_refused(&format!("$argon2id$v=19$m=1048576,t=1,p=1{rest}"), "costs too much");
        check_refused(&format!("$argon2id$v=19$m=19456,t=4294967295,p=1{rest}"), "costs too much");
    }

    /// The time of the fastest of a few, which noise only makes slower.
    fn time(hash: Option<&Hashed>) -> f64 {
        let tries = (0..5).map(|_| {
            let began = Instant::now();
            assert!(!verify("wrong", hash));
            began.elapsed()
        });
        tries.min().unwrap().as_secs_f64()
    }

    #[test]
    fn a_name_that_nobody_has_takes_as_long() {
        let hash = Hashed::of("right").unwrap();
        let (somebody, nobody) = (time(Some(&hash)), time(None));
        assert!((0.5..2.0).contains(&(somebody / nobody)), "{somebody} and {nobody} seconds");
    }

    #[tokio::test]
    async fn few_passwords_are_checked_at_a_time_and_few_wait() {
        let passwords = Passwords { working: Arc::new(Semaphore::new(1)), places: Arc::new(Semaphore::new(2)) };
        let first = passwords.turn().await.unwrap();
        let second = passwords.turn();
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(passwords.turn().await.map(drop), Err(Busy), "no place is left");
        assert_eq!(first.verify("x".to_owned(), None, |is_right| is_right).await, Ok(false));
        assert!(second.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let passwords = Passwords { working: Arc::new(Semaphore::new(0)), places: Arc::new(Semaphore::new(1)) };
        assert_eq!(passwords.turn().await.map(drop), Err(Busy));
        assert_eq!(passwords.places.available_permits(), 1);
    }
}
