//! One pull for all who want the same: the same image on the same engine in the same name.
//!
//! The pull is a future that they share, and each of them drives it. It is gone with the last of them that lets go of it, which drops the engine's stream, and by that the engine ends the pull. There is no task that could be
//! forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};

use super::progress::PullProgress;
use crate::backend::engine::{EngineAddress, EngineError, RegistryAuth};

type Done = Result<(), EngineError>;
/// A pull under way. Dropping all its clones ends it.
type Work = Shared<BoxFuture<'static, Done>>;

/// What makes two pulls the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) engine: EngineAddress,
    /// The full form, with the digest alone where there is one.
    pub(super) image: String,
    pub(super) auth: Option<RegistryAuth>,
}

/// The pulls under way.
#[derive(Clone, Default)]
pub(in crate::backend::operations) struct SharedPulls(Arc<Pulls>);

#[derive(Default)]
struct Pulls {
    entries: Mutex<HashMap<Key, Entry>>,
    numbers: AtomicU64,
}

struct Entry {
    /// No other entry has it.
    number: u64,
    work: WeakShared<BoxFuture<'static, Done>>,
    progress: Arc<PullProgress>,
}

/// A pull that somebody waits for.
pub(super) struct Joined {
    pub(super) work: Work,
    pub(super) progress: Arc<PullProgress>,
    /// Whether it was begun now.
    pub(super) began: bool,
}

impl SharedPulls {
    /// The pull of `key` that is under way, or the one that `begin` makes.
    pub(super) fn join(&self, key: Key, begin: impl FnOnce(Arc<PullProgress>) -> BoxFuture<'static, Done>) -> Joined {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(&key)
            && let Some(work) = entry.work.upgrade()
        {
            return Joined { work, progress: Arc::clone(&entry.progress), began: false };
        }
        let progress = Arc::new(PullProgress::default());
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let listed = Listed { pulls: self.clone(), key: key.clone(), number };
        let pulled = begin(Arc::clone(&progress));
        let work = async move {
            let done = pulled.await;
            // Whoever hears of the end may pull again, and must not join what has ended.
            drop(listed);
            done
        };
        let work = work.boxed().shared();
        if let Some(weak) = work.downgrade() {
            entries.insert(key, Entry { number, work: weak, progress: Arc::clone(&progress) });
        }
        Joined { work, progress, began: true }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are under way.
    #[cfg(test)]
    pub(in crate::backend::operations) fn count(&self) -> usize {
        self.entries().len()
    }
}

/// Takes a pull off the list when it has ended, or nobody wants it any more.
struct Listed {
    pulls: SharedPulls,
    key: Key,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut entries = self.pulls.entries();
        // Another may have been begun after everybody had let go of this one.
        if entries.get(&self.key).is_some_and(|entry| entry.number == self.number) {
            entries.remove(&self.key);
        }
    }
}
