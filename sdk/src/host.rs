//! Who a plugin's questions go to.
//!
//! In a component it is the contract's imports, and the calls are direct: a table of functions would keep every import alive, and the imports of a component are
//! its request for permission. On a native target it is whatever host the thread has, behind a trait: normally [`fake::Host`](crate::fake::Host).

use std::borrow::Cow;

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{Host, Identity, Jobs, Storage, with};

#[cfg(not(target_family = "wasm"))]
mod native {
    use super::Fields;
    use crate::docker::containers_create::Created;
    use crate::docker::containers_logs::LogOptions;
    use crate::docker::containers_read::{ContainerFilter, ContainerSummary};
    use crate::docker::containers_recreate::{Change, RecreateOptions};
    use crate::docker::containers_remove::RemoveOptions;
    use crate::docker::distribution_read::Distribution;
    use crate::docker::images_build::{BuildOptions, ContextFile};
    use crate::docker::images_prune::Pruned;
    use crate::docker::images_read::{Image, ImageSummary};
    use crate::docker::images_remove::Removal;
    use crate::docker::networks_read::Network;
    use crate::docker::operations_read::{Operation, ProgressFormat};
    use crate::docker::system_read::Engine;
    use crate::docker::volumes_read::Volume;
    use crate::docker::{Container, Grace};
    use crate::error::Error;
    use crate::fake::storage::{BlobWriter, Cursor, Transaction};
    use crate::identity::Principal;
    use crate::identity::principal::Authentication;
    use crate::identity::sessions::Session;
    use crate::identity::tokens::{Token, TokenInfo, TokenRequest};
    use crate::jobs::queue::{Job, JobOptions};
    use crate::jobs::schedules_read::Schedule;
    use crate::log::Level;
    use crate::registry::catalog_read::Catalog;
    use crate::registry::digests_read::{Head, Quota};
    use crate::registry::hub_read::SearchResults;
    use crate::registry::manifests_read::{ImageConfig, Manifest};
    use crate::registry::references::Reference;
    use crate::registry::tags_read::TagList;
    use crate::storage::{blobs, keyvalue, sql};
    use crate::stream::{BodyWriter, ByteStream};

    /// The functions of the contract, in its order. What each means is told where plugins call it.
    pub(crate) trait Host: Storage + Identity + Jobs {
        fn log(&self, level: Level, message: &str, fields: &[(String, String)]);
        fn config_document(&self) -> String;
        fn config_reveal(&self, name: &str) -> Result<String, Error>;
        fn start(&self, status: u16, headers: Fields) -> Result<BodyWriter, Error>;
        fn containers_list(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, Error>;
        fn containers_inspect(&self, names: &[String]) -> Vec<Result<Container, Error>>;
        fn containers_env_inspect(&self, names: &[String]) -> Vec<Result<Container, Error>>;
        fn containers_log(&self, container: &str, options: &LogOptions) -> Result<ByteStream, Error>;
        fn container_start(&self, container: &str) -> Result<(), Error>;
        fn container_stop(&self, container: &str, grace: Grace) -> Result<(), Error>;
        fn container_create(&self, name: &str, specification: &str) -> Result<Created, Error>;
        fn container_run(&self, name: &str, specification: &str) -> Result<Created, Error>;
        fn container_remove(&self, container: &str, options: RemoveOptions) -> Result<(), Error>;
        fn container_recreate_begin(&self, container: &str, options: &RecreateOptions) -> Result<String, Error>;
        fn container_recreate_preview(&self, container: &str, image: Option<&str>) -> Result<Vec<Change>, Error>;
        fn images_inspect(&self, references: &[String]) -> Vec<Result<Image, Error>>;
        fn images_list(&self) -> Result<Vec<ImageSummary>, Error>;
        fn image_pull(&self, reference: &str) -> Result<(), Error>;
        fn image_pull_begin(&self, reference: &str) -> Result<String, Error>;
        fn image_build_begin(&self, files: Vec<ContextFile>, options: &BuildOptions) -> Result<String, Error>;
        fn images_remove(&self, references: &[String]) -> Vec<Result<Removal, Error>>;
        fn images_prune(&self) -> Result<Pruned, Error>;
        fn distribution_inspect(&self, references: &[String]) -> Vec<Result<Distribution, Error>>;
        fn operations_list(&self) -> Result<Vec<Operation>, Error>;
        fn operations_get(&self, ids: &[String]) -> Vec<Result<Operation, Error>>;
        fn operation_wait(&self, id: &str) -> Result<Operation, Error>;
        fn operation_log(&self, id: &str) -> Result<ByteStream, Error>;
        fn operation_watch(&self, id: &str, format: ProgressFormat) -> Result<ByteStream, Error>;
        fn operation_cancel(&self, id: &str) -> Result<(), Error>;
        fn networks_list(&self) -> Result<Vec<Network>, Error>;
        fn volumes_list(&self) -> Result<Vec<Volume>, Error>;
        fn engine_version(&self) -> Result<Engine, Error>;
        fn registry_resolve(&self, reference: &str) -> Result<Reference, Error>;
        fn registry_heads(&self, references: &[String]) -> Vec<Result<Head, Error>>;
        fn registry_last_quota(&self, reference: &str) -> Result<Option<Quota>, Error>;
        fn registry_manifest(&self, reference: &str) -> Result<Manifest, Error>;
        fn registry_platform_manifest(&self, reference: &str, platform: Option<&str>) -> Result<Manifest, Error>;
        fn registry_config(&self, reference: &str, platform: Option<&str>) -> Result<ImageConfig, Error>;
        fn registry_tags(&self, reference: &str, limit: u32) -> Result<TagList, Error>;
        fn hub_search(&self, term: &str, limit: u32) -> Result<SearchResults, Error>;
        fn hub_tags(&self, repository: &str, limit: u32) -> Result<Vec<String>, Error>;
        fn catalog_list(&self, name: &str) -> Result<Catalog, Error>;
        fn catalog_download_begin(&self, catalog: &str, name: &str, version: Option<&str>, blob: &str) -> Result<String, Error>;
    }

    /// The functions of `storage`, in the order of the contract.
    pub(crate) trait Storage {
        fn sql_migrate(&self, migrations: &[sql::Migration]) -> Result<u32, Error>;
        fn sql_query(&self, statement: &sql::Statement, limit: u32) -> Result<sql::Rows, Error>;
        fn sql_execute(&self, statements: &[sql::Statement]) -> Result<Vec<u64>, Error>;
        fn sql_begin(&self) -> Result<Transaction, Error>;
        fn sql_open(&self, statement: &sql::Statement, limit: u64) -> Result<Cursor, Error>;
        fn keyvalue_get(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error>;
        fn keyvalue_set(&self, entries: &[(String, Vec<u8>)]) -> Result<(), Error>;
        fn keyvalue_delete(&self, keys: &[String]) -> Result<u64, Error>;
        fn keyvalue_list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<keyvalue::Page, Error>;
        fn keyvalue_compare_and_set(&self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Error>;
        fn keyvalue_increment(&self, key: &str, by: i64) -> Result<i64, Error>;
        fn blob_write(&self, name: &str) -> Result<BlobWriter, Error>;
        fn blob_store(&self, name: &str, content: ByteStream) -> Result<blobs::Blob, Error>;
        fn blob_read(&self, name: &str, range: Option<blobs::Range>) -> Result<ByteStream, Error>;
        fn blob_stat(&self, names: &[String]) -> Vec<Result<blobs::Blob, Error>>;
        fn blob_list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<blobs::Page, Error>;
        fn blob_delete(&self, names: &[String]) -> Result<u64, Error>;
        fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Error>;
        fn unseal(&self, sealed: &[u8]) -> Result<Vec<u8>, Error>;
    }

    /// The functions of `identity`, in the order of the contract.
    pub(crate) trait Identity {
        fn has_users(&self) -> Result<bool, Error>;
        fn principal_current(&self) -> Result<Authentication, Error>;
        fn principal_users(&self, ids: &[u64]) -> Vec<Result<Principal, Error>>;
        fn session_login(&self, name: &str, password: &str) -> Result<Option<Session>, Error>;
        fn session_refresh(&self) -> Result<Session, Error>;
        fn session_logout(&self) -> Result<Session, Error>;
        fn token_login(&self, name: &str, password: &str, requests: &[TokenRequest]) -> Result<Option<Vec<Token>>, Error>;
        fn token_exchange(&self, token: &str, kind: &str, request: &TokenRequest) -> Result<Token, Error>;
        fn token_verify(&self, token: &str) -> Result<TokenInfo, Error>;
        fn token_revoke(&self, token: &str) -> Result<(), Error>;
    }

    /// The functions of `jobs`, in the order of the contract.
    pub(crate) trait Jobs {
        fn job_enqueue(&self, kind: &str, payload: &str, options: &JobOptions) -> Result<String, Error>;
        fn jobs_get(&self, ids: &[String]) -> Vec<Result<Job, Error>>;
        fn job_find(&self, key: &str) -> Result<Option<Job>, Error>;
        fn job_cancel(&self, id: &str) -> Result<(), Error>;
        fn schedules_list(&self) -> Result<Vec<Schedule>, Error>;
        fn webhook_post(&self, name: &str, content_type: &str, body: &[u8]) -> Result<String, Error>;
    }

    /// Asks the host of this thread.
    pub(crate) fn with<R>(ask: impl FnOnce(&dyn Host) -> R) -> R {
        let host = crate::fake::current();
        ask(&*host)
    }
}

/// Header fields of a response.
pub(crate) type Fields = Vec<(Cow<'static, str>, Cow<'static, [u8]>)>;

/// Asks the host of this component.
#[cfg(target_family = "wasm")]
pub(crate) fn with<R>(ask: impl FnOnce(&crate::imports::Imports) -> R) -> R {
    ask(&crate::imports::Imports)
}
