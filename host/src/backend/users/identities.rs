//! The users of all sites of this process, and where their databases are.
//!
//! A site's [`SiteUsers`] is made once and stays over reloads, which tell it what the configuration says now, and where its database is: generations of plugins that go on running hold it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::issued::LoginObserver;
use super::password::Passwords;
use super::postgres::PostgresUsers;
use super::site::{Clock, SiteUsers};
use super::sqlite::SqliteUsers;
use super::{Users, UsersError};
use crate::backend::clock::now_ms;
use crate::backend::database::postgres::Operator;
use crate::settings::{AccessSettings, Mistake, StorageSettings};

/// Where the databases are.
#[derive(Clone, Default)]
pub(crate) enum Place {
    /// Nowhere: there are no users but those of the configuration, who are not served.
    #[default]
    Nowhere,
    /// In SQLite below this data directory.
    Directory(PathBuf),
    /// In this PostgreSQL database; and where it would be without.
    Database(Arc<Operator>, PathBuf),
    /// One of these two, but only those that are there: for a command that should leave nothing behind.
    Existing(Box<Place>),
    /// This one.
    #[cfg(test)]
    Given(Arc<dyn Users>),
}

impl Place {
    /// Where `storage` says, or else below `data_dir`.
    pub(crate) fn of(data_dir: &Path, storage: &StorageSettings) -> Place {
        match &storage.database {
            None => Place::Directory(data_dir.to_owned()),
            Some(source) => {
                let operator = Operator::new(source.clone(), storage.ca_file.clone());
                Place::Database(Arc::new(operator), data_dir.to_owned())
            }
        }
    }

    /// Whether `other` is the same, so that what is open here can be gone on with.
    pub(super) fn is_like(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::Nowhere, Place::Nowhere) => true,
            (Place::Directory(this), Place::Directory(other)) => this == other,
            (Place::Database(this, _), Place::Database(other, _)) => this.is_like(other),
            (Place::Existing(this), Place::Existing(other)) => this.is_like(other),
            #[cfg(test)]
            (Place::Given(this), Place::Given(other)) => Arc::ptr_eq(this, other),
            _ => false,
        }
    }

    /// What is wrong where `site` had users in SQLite before it was told to have them in PostgreSQL: they are nobody now, and without them everyone may come in.
    async fn left_behind(&self, site: &str) -> Option<Mistake> {
        let data_dir = match self {
            Place::Database(_, data_dir) => data_dir,
            Place::Existing(place) => return Box::pin(place.left_behind(site)).await,
            _ => return None,
        };
        let path = file(data_dir, site);
        if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return None;
        }
        let message =
            format!("the users of site `{site}` in `{}` do not count: `url` of `[storage]` says where they are now", path.display());
        let remedy = "add them there with `wharf user add`, and remove the file with its `-wal` and `-shm`".to_owned();
        Some(Mistake { at: None, message, remedy: Some(remedy) })
    }

    /// Whether users of the configuration get their numbers.
    pub(super) fn may_be_changed(&self) -> bool {
        !matches!(self, Place::Existing(_) | Place::Nowhere)
    }

    /// Whether `site` has a database, or would get one where it `is_needed`.
    pub(crate) async fn is_there(&self, site: &str, is_needed: bool) -> Result<bool, UsersError> {
        match self {
            Place::Nowhere => Ok(false),
            Place::Directory(_) | Place::Database(..) if is_needed => Ok(true),
            Place::Directory(data_dir) => {
                let path = file(data_dir, site);
                tokio::fs::try_exists(&path).await.map_err(|error| UsersError::Unavailable(format!("`{}`: {error}", path.display())))
            }
            Place::Database(operator, _) => PostgresUsers::is_there(operator, site).await,
            Place::Existing(place) => Box::pin(place.is_there(site, false)).await,
            #[cfg(test)]
            Place::Given(_) => Ok(true),
        }
    }
}

/// Opens the database of `site`, and makes it if it is not there.
///
/// # Errors
///
/// [`UsersError`].
pub(crate) async fn open(place: &Place, site: &str) -> Result<Arc<dyn Users>, UsersError> {
    match place {
        Place::Nowhere => Err(UsersError::Unavailable("there is none".to_owned())),
        Place::Directory(data_dir) => {
            let path = file(data_dir, site);
            let opened = tokio::task::spawn_blocking(move || SqliteUsers::open(&path)).await;
            Ok(Arc::new(opened.unwrap_or_else(|error| Err(UsersError::Internal(error.to_string())))?))
        }
        Place::Database(operator, _) => Ok(Arc::new(PostgresUsers::open(Arc::clone(operator), site).await?)),
        Place::Existing(place) => Box::pin(open(place, site)).await,
        #[cfg(test)]
        Place::Given(users) => Ok(Arc::clone(users)),
    }
}

fn file(data_dir: &Path, site: &str) -> PathBuf {
    data_dir.join("storage").join(site).join("identity.db")
}

/// The users of all sites.
pub(crate) struct Identities {
    place: Mutex<Place>,
    passwords: Passwords,
    observer: Arc<dyn LoginObserver>,
    sites: Mutex<HashMap<String, Arc<SiteUsers>>>,
}

impl Identities {
    /// Of no site yet.
    pub(crate) fn new(observer: Arc<dyn LoginObserver>) -> Identities {
        Identities { place: Mutex::default(), passwords: Passwords::default(), observer, sites: Mutex::default() }
    }

    /// Says where the databases are. It holds for sites that are asked for from now on; what is open in the same place stays open.
    pub(crate) fn configure(&self, place: Place) {
        let mut known = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.is_like(&place) {
            *known = place;
        }
    }

    /// The users of `site`, as the configuration has them now. Answers what is wrong with them too.
    pub(crate) async fn site(&self, site: &str, settings: &AccessSettings) -> (Arc<SiteUsers>, Vec<Mistake>) {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let new = || SiteUsers::new(site, place.clone(), self.passwords.clone(), Arc::clone(&self.observer), Arc::new(SystemClock));
        let users = {
            let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(sites.entry(site.to_owned()).or_insert_with(|| Arc::new(new())))
        };
        users.stand_on(&place);
        let mut mistakes = users.configure(settings).await;
        mistakes.extend(place.left_behind(site).await);
        (users, mistakes)
    }
}

/// The system's clocks.
struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        now_ms()
    }

    fn steady(&self) -> Instant {
        Instant::now()
    }
}
