//! Downloads of the fake host: archives of templates become blobs, if they are as the catalogue says.

use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::engine::Engine;
use super::hub::Hub;
use super::storage::{Blobs, check_blob};
use crate::error::Error;
use crate::registry::catalog_read::{CatalogEntry, CatalogKind};

/// A download that was checked.
pub(super) struct Download {
    /// `catalogue/name:version`.
    pub(super) subject: String,
    pub(super) blob: String,
    entry: CatalogEntry,
    blobs: Blobs,
}

impl Download {
    /// Stores the archive.
    pub(super) fn carry_out(&self, hub: &Hub) -> Result<(), Error> {
        let url = self.entry.archive_url.as_deref().unwrap_or_default();
        let bytes = hub.archives.get(url).ok_or(Error::NotFound)?;
        if self.entry.size.is_some_and(|size| size != bytes.len() as u64) {
            return Err(Error::Unavailable(format!("size-mismatch: the archive has {} bytes", bytes.len())));
        }
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if self.entry.archive_digest.as_ref().is_some_and(|expected| *expected != format!("sha256:{digest}")) {
            return Err(Error::Unavailable(format!("digest-mismatch: the archive has the digest sha256:{digest}")));
        }
        self.blobs.borrow_mut().insert(self.blob.clone(), (bytes.clone(), SystemTime::now()));
        Ok(())
    }
}

impl Engine {
    pub(super) fn begin_download(
        &mut self,
        catalog: &str,
        name: &str,
        version: Option<&str>,
        blob: &str,
        blobs: Blobs,
    ) -> Result<String, Error> {
        check_blob(blob)?;
        let is_meant = |entry: &CatalogEntry| {
            entry.kind == CatalogKind::Lxc && entry.name == name && version.is_none_or(|version| entry.version == version)
        };
        let entry = self.hub.catalog(catalog)?.entries.into_iter().find(is_meant).ok_or(Error::NotFound)?;
        if entry.archive_url.is_none() {
            return Err(Error::Unavailable(format!("no-archive: `{name}` has no address")));
        }
        let subject = format!("{catalog}/{name}:{}", entry.version);
        self.begin_checked_download(Download { subject, blob: blob.to_owned(), entry, blobs })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Host;
    use crate::docker::operations_read::{self, OperationState};
    use crate::registry::catalog_read::{Catalog, CatalogEntry, CatalogKind};
    use crate::registry::{Error, catalog_download};
    use crate::storage::blobs;

    fn entry(name: &str, digest: Option<&str>) -> CatalogEntry {
        CatalogEntry {
            kind: CatalogKind::Lxc,
            name: name.to_owned(),
            version: "1".to_owned(),
            title: String::new(),
            description: String::new(),
            architecture: "amd64".to_owned(),
            icon: String::new(),
            location: String::new(),
            size: Some(5),
            archive_url: Some(format!("https://mirror.example/{name}")),
            archive_digest: digest.map(str::to_owned),
        }
    }

    fn state(id: &str) -> (OperationState, Option<Error>) {
        let operation = operations_read::get_one(id).unwrap();
        (operation.state, operation.failure)
    }

    #[test]
    fn an_archive_becomes_a_blob_if_it_is_what_the_catalogue_says() {
        let host = Host::install();
        let wrong = format!("sha256:{}", "0".repeat(64));
        let nowhere = CatalogEntry { archive_url: None, ..entry("nowhere", None) };
        host.catalog("qnap", Catalog { entries: vec![entry("a", None), entry("b", Some(&wrong)), entry("c", None), nowhere], skipped: 0 });
        host.archive("https://mirror.example/a", b"hello");
        host.archive("https://mirror.example/b", b"hello");
        let begin = |name: &str| catalog_download::begin("qnap", name, None, "lxc/x");
        host.hold_downloads();
        let first = begin("a").unwrap();
        host.advance_downloads(40);
        let seen = operations_read::get_one(&first).unwrap();
        assert_eq!((seen.kind.as_str(), seen.subject.as_str(), seen.percent), ("download", "qnap/a:1", Some(40)));
        assert_eq!(begin("a"), Ok(first.clone()));
        assert!(matches!(begin("b"), Err(Error::Conflict(_))));
        assert_eq!(blobs::stat("lxc/x"), Err(Error::NotFound));
        host.finish_downloads();
        assert_eq!((state(&first).0, blobs::stat("lxc/x").unwrap().size), (OperationState::Succeeded, 5));
        for (name, word) in [("b", "digest-mismatch: "), ("c", "")] {
            blobs::delete("lxc/x").unwrap();
            let id = begin(name).unwrap();
            host.finish_downloads();
            let (state, failure) = state(&id);
            assert!(state == OperationState::Failed && failure.is_some_and(|failure| failure.to_string().contains(word)), "{name}");
            assert_eq!(blobs::stat("lxc/x"), Err(Error::NotFound), "{name}");
        }
        assert!(matches!(begin("nowhere"), Err(Error::Unavailable(reason)) if reason.starts_with("no-archive")));
        assert_eq!((begin("other"), catalog_download::begin("qnap", "a", Some("2"), "x")), (Err(Error::NotFound), Err(Error::NotFound)));
        assert!(matches!(catalog_download::begin("qnap", "a", Some("1"), "../x"), Err(Error::Invalid(_))));
    }
}
