//! Downloads: the archive of a template on its way into a blob of the plugin.
//!
//! Nothing is shared between plugins, since each has blobs of its own. Of one plugin there is one download into a blob at a time: who asks for the same meanwhile gets the operation that is under way, which is decided
//! here, so that two requests at once do not fetch twice.
//!
//! What is stored in the moment in which it is cancelled has to go again, so that a download has an [`undo`](Download::undo).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::{Object, Operation, OperationError, OperationFailure, PluginOperations, Progress, Rest, Subject};
use crate::backend::blobs::BlobName;

/// Which template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateName {
    /// The name of the site's catalogue that has it.
    pub(crate) catalog: String,
    pub(crate) name: String,
    pub(crate) version: String,
}

/// `catalogue/name:version`.
impl fmt::Display for TemplateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}:{}", self.catalog, self.name, self.version)
    }
}

/// A download that is to begin.
pub(crate) struct Download {
    pub(crate) template: TemplateName,
    /// What it becomes.
    pub(crate) blob: BlobName,
    pub(crate) progress: Arc<DownloadProgress>,
    pub(crate) work: BoxFuture<'static, Result<(), OperationFailure>>,
    /// Removes what `work` has stored. Called for when that failed, or was dropped before its end.
    pub(crate) undo: Rest,
}

/// How far a download is. Written by its work.
#[derive(Debug, Default)]
pub(crate) struct DownloadProgress {
    current: AtomicU64,
    total: OnceLock<u64>,
    changed: watch::Sender<()>,
}

/// What is known of a download.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Bytes that have arrived.
    pub(crate) current: u64,
    /// Bytes that there are; none as long as nobody says.
    pub(crate) total: Option<u64>,
}

impl DownloadProgress {
    /// There are so many bytes. What was said first holds.
    pub(crate) fn expect(&self, total: u64) {
        let _known = self.total.set(total);
        self.changed.send_replace(());
    }

    /// So many more have arrived. Answers how many that are.
    pub(crate) fn add(&self, bytes: u64) -> u64 {
        let current = self.current.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.changed.send_replace(());
        current
    }

    /// How far it is now.
    pub(super) fn now(&self) -> Fetched {
        Fetched { current: self.current.load(Ordering::Relaxed), total: self.total.get().copied() }
    }
}

impl Fetched {
    /// How much has arrived, up to 99.
    pub(super) fn percent(&self) -> Option<u8> {
        let percent = u128::from(self.current) * 100 / u128::from(self.total?.max(1));
        u8::try_from(percent.min(99)).ok()
    }
}

impl PluginOperations {
    /// Begins to download, for at most `limit`, or answers the same download of this plugin that is under way. It goes on whether or not anybody looks at what this answers.
    ///
    /// # Errors
    ///
    /// [`OperationError::TooMany`]; [`OperationError::Taken`] when another template is becoming this blob. Everything else is the operation's outcome.
    pub(crate) fn download(&self, download: Download, limit: Duration) -> Result<Arc<Operation>, OperationError> {
        let Download { template, blob, progress, mut work, undo } = download;
        let _one_at_a_time = self.all.0.beginning_download.lock().unwrap_or_else(PoisonError::into_inner);
        let is_becoming = |operation: &Arc<Operation>| {
            self.owns(operation)
                && operation.now().outcome.is_none()
                && matches!(&operation.subject.object, Object::Template { blob: other, .. } if *other == blob)
        };
        let object = Object::Template { template, blob: blob.clone() };
        if let Some(under_way) = self.recorded().into_iter().find(is_becoming) {
            if under_way.subject.object == object {
                return Ok(under_way);
            }
            return Err(OperationError::Taken { under_way: under_way.subject.object.to_string(), blob: blob.into_string() });
        }
        let subject = Subject { kind: "download", object };
        let mut changes = progress.changed.subscribe();
        self.begin(subject, Progress::Download(progress), limit, Some(undo), |operation| async move {
            loop {
                tokio::select! {
                    outcome = &mut work => return outcome,
                    Ok(()) = changes.changed() => operation.touch(),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Operations, Owner};
    use super::*;

    /// `name` on its way into `blob`, without an end.
    fn download(name: &str, blob: &str) -> Download {
        let template = TemplateName { catalog: "qnap".to_owned(), name: name.to_owned(), version: "1".to_owned() };
        let (work, undo) = (Box::pin(std::future::pending()), Box::pin(std::future::ready(())));
        Download { template, blob: BlobName::parse(blob).unwrap(), progress: Arc::default(), work, undo }
    }

    #[tokio::test]
    async fn there_is_one_download_into_a_blob_of_a_plugin() {
        let all = Operations::default();
        let [plugin, other] = ["a", "b"].map(|name| all.of_plugin(Owner { site: "plant".to_owned(), plugin: name.to_owned() }, 8));
        let begin = |plugin: &PluginOperations, name, blob| plugin.download(download(name, blob), Duration::from_secs(60));
        let first = begin(&plugin, "ubuntu", "lxc/x").unwrap();
        assert_eq!(begin(&plugin, "ubuntu", "lxc/x").unwrap().id, first.id);
        let taken = begin(&plugin, "debian", "lxc/x").map(|operation| operation.id.clone()).unwrap_err();
        assert_eq!(taken.to_string(), "`qnap/ubuntu:1` is being downloaded into the blob `lxc/x`");
        for (plugin, name, blob) in [(&plugin, "ubuntu", "lxc/y"), (&other, "ubuntu", "lxc/x")] {
            assert_ne!(begin(plugin, name, blob).unwrap().id, first.id);
        }
        first.cancel();
        assert_ne!(begin(&plugin, "ubuntu", "lxc/x").unwrap().id, first.id, "what has ended is not under way");
        all.cancel_all();
        all.finished().await;
    }

    #[test]
    fn progress_is_in_bytes_and_done_only_at_the_end() {
        let progress = DownloadProgress::default();
        assert_eq!((progress.add(5), progress.now().percent()), (5, None));
        progress.expect(10);
        progress.expect(1_000);
        assert_eq!((progress.now(), progress.now().percent()), (Fetched { current: 5, total: Some(10) }, Some(50)));
        progress.add(u64::MAX / 2);
        assert_eq!(progress.now().percent(), Some(99));
        assert_eq!(Fetched { current: 0, total: Some(0) }.percent(), Some(0));
    }
}
