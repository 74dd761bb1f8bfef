//! For tests here and above: a site with users in a folder of its own and a clock that the test moves, and databases that do not answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::identities::Place;
use super::issued::{LoginObserver, LoginOutcome};
use super::password::{Hashed, Passwords};
use super::site::{Clock, SiteUsers};
use super::{Credential, Removed, Sha256Key, UserRow, Users, UsersError};
use crate::settings::{AccessSettings, HashSource, Location, UserSettings};

/// When tests begin.
pub(crate) const BEGINNING_MS: u64 = 1_700_000_000_000;

/// A site of the name `plant`.
pub(crate) struct TestSite {
    pub(crate) users: Arc<SiteUsers>,
    clock: Arc<TestClock>,
    pub(crate) logins: Arc<Logins>,
    pub(crate) folder: tempfile::TempDir,
}

/// A clock that stands still unless it is moved.
struct TestClock {
    began: Instant,
    passed_ms: AtomicU64,
}

impl TestClock {
    fn new() -> TestClock {
        TestClock { began: Instant::now(), passed_ms: AtomicU64::new(0) }
    }
}

impl Clock for TestClock {
    fn wall_ms(&self) -> u64 {
        BEGINNING_MS + self.passed_ms.load(Ordering::Relaxed)
    }

    fn steady(&self) -> Instant {
        self.began + Duration::from_millis(self.passed_ms.load(Ordering::Relaxed))
    }
}

/// How the logins ended.
#[derive(Default)]
pub(crate) struct Logins(pub(crate) Mutex<Vec<LoginOutcome>>);

impl LoginObserver for Logins {
    fn login(&self, _: &str, outcome: LoginOutcome) {
        self.0.lock().unwrap().push(outcome);
    }
}

impl TestSite {
    /// With these users of the configuration: name and roles. The password of each is the name and `'s password`.
    pub(crate) async fn with(users: &[(&str, &[&str])]) -> TestSite {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Directory(folder.path().join("data"));
        std::fs::create_dir(folder.path().join("data")).unwrap();
        TestSite::at(place, folder, users).await
    }

    /// As [`TestSite::with`], in the database of `other`: another host of the same site.
    pub(crate) async fn beside(other: &TestSite, users: &[(&str, &[&str])]) -> TestSite {
        let place = Place::Directory(other.folder.path().join("data"));
        TestSite::at(place, tempfile::tempdir().unwrap(), users).await
    }

    /// One whose database answers `error`, with the user `ann` of the configuration.
    pub(crate) async fn failing(error: UsersError) -> TestSite {
        TestSite::at(Place::Given(Arc::new(Failing(error))), tempfile::tempdir().unwrap(), &[("ann", &[])]).await
    }

    async fn at(place: Place, folder: tempfile::TempDir, users: &[(&str, &[&str])]) -> TestSite {
        let (clock, logins) = (Arc::new(TestClock::new()), Arc::new(Logins::default()));
        let observer: Arc<dyn LoginObserver> = logins.clone();
        let site = SiteUsers::new("plant", place, Passwords::default(), observer, clock.clone());
        site.configure(&access(users)).await;
        TestSite { users: Arc::new(site), clock, logins, folder }
    }

    /// Puts other users of the configuration into force.
    pub(crate) async fn configure(&self, users: &[(&str, &[&str])]) {
        assert!(self.users.configure(&access(users)).await.is_empty());
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.passed_ms.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl SiteUsers {
    /// A site that nobody asks for users.
    pub(crate) fn nobodys(site: &str) -> Arc<SiteUsers> {
        Arc::new(SiteUsers::new(site, Place::Nowhere, Passwords::default(), Arc::new(Logins::default()), Arc::new(TestClock::new())))
    }
}

/// The password of `name`.
pub(crate) fn password_of(name: &str) -> String {
    format!("{name}'s password")
}

fn access(users: &[(&str, &[&str])]) -> AccessSettings {
    let at = Location { file: std::path::Path::new("wharf.toml").into(), line: 1, column: 1 };
    let user = |(name, roles): &(&str, &[&str])| {
        let password_hash = HashSource::Here(stable(name));
        ((*name).to_owned(), UserSettings { password_hash, roles: roles.iter().map(|role| (*role).to_owned()).collect(), at: at.clone() })
    };
    let trusted_origins = vec!["https://console.example".to_owned()];
    AccessSettings { users: users.iter().map(user).collect(), session: Duration::from_secs(3_600), trusted_origins }
}

/// The hash of the password of `name`: the same each time, as it is in a file.
fn stable(name: &str) -> Hashed {
    static KNOWN: Mutex<Vec<(String, Hashed)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap();
    if let Some((_, hash)) = known.iter().find(|(known, _)| known == name) {
        return hash.clone();
    }
    let hash = Hashed::cheap(&password_of(name));
    known.push((name.to_owned(), hash.clone()));
    hash
}

/// A database that answers the same error to everything.
struct Failing(UsersError);

#[async_trait]
impl Users for Failing {
    async fn any(&self) -> Result<bool, UsersError> {
        Err(self.0.clone())
    }

    async fn adopt(&self, _: &str) -> Result<UserRow, UsersError> {
        Err(self.0.clone())
    }

    async fn by_name(&self, _: &str) -> Result<Option<UserRow>, UsersError> {
        Err(self.0.clone())
    }

    async fn by_ids(&self, _: &[u64]) -> Result<Vec<UserRow>, UsersError> {
        Err(self.0.clone())
    }

    async fn all(&self) -> Result<Vec<UserRow>, UsersError> {
        Err(self.0.clone())
    }

    async fn add(&self, _: &str, _: &Hashed, _: &[String]) -> Result<Option<u64>, UsersError> {
        Err(self.0.clone())
    }

    async fn remove(&self, _: &str, _: bool) -> Result<Removed, UsersError> {
        Err(self.0.clone())
    }

    async fn set_password(&self, _: &str, _: &Hashed) -> Result<bool, UsersError> {
        Err(self.0.clone())
    }

    async fn issue(&self, _: &[Credential], _: u64) -> Result<bool, UsersError> {
        Err(self.0.clone())
    }

    async fn find(&self, _: &Sha256Key, _: u64) -> Result<Option<(Credential, UserRow)>, UsersError> {
        Err(self.0.clone())
    }

    async fn put_off(&self, _: &Sha256Key, _: u64, _: u64) -> Result<bool, UsersError> {
        Err(self.0.clone())
    }

    async fn end(&self, _: &Sha256Key) -> Result<bool, UsersError> {
        Err(self.0.clone())
    }
}
