//! The fake host itself: what it holds, what it was asked, and what it answers to the functions that are not the engine's.
//!
//! Over 500 lines because a trait is implemented in one piece, and this one has every function of the contract.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Value, json};

use super::builds::Build;
use super::engine::Engine;
use super::identity::Identity;
use super::jobs::Jobs;
use super::objects::{Container, Image};
use super::registry::{self, RemoteImage};
use super::storage::Storage;
use super::stream;
use crate::docker::Container as Inspected;
use crate::docker::Grace;
use crate::docker::containers_create::Created;
use crate::docker::containers_logs::LogOptions;
use crate::docker::containers_read::{ContainerFilter, ContainerSummary};
use crate::docker::containers_recreate::{Change, RecreateOptions};
use crate::docker::containers_remove::RemoveOptions;
use crate::docker::distribution_read::Distribution;
use crate::docker::images_build::{BuildOptions, ContextFile};
use crate::docker::images_prune::Pruned;
use crate::docker::images_read::{Image as InspectedImage, ImageSummary};
use crate::docker::images_remove::Removal;
use crate::docker::networks_read::Network;
use crate::docker::operations_read::{Operation, ProgressFormat};
use crate::docker::system_read;
use crate::docker::volumes_read::Volume;
use crate::error::Error;
use crate::host::{self, Fields};
use crate::log::Level;
use crate::registry::catalog_read::Catalog;
use crate::registry::digests_read::{Head, Quota};
use crate::registry::hub_read::{HubRepository, SearchResults};
use crate::registry::manifests_read::{ImageConfig, Manifest};
use crate::registry::references::Reference;
use crate::registry::tags_read::TagList;
use crate::stream::{BodyWriter, ByteStream};

/// A line in the host's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its level.
    pub level: Level,
    /// Its message.
    pub message: String,
    /// Its fields, in the order in which they were given.
    pub fields: Vec<(String, String)>,
}

/// One call of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The function, as the host's own log names it: `docker.containers-read.inspect`.
    pub function: String,
    /// What it was about: the names or references, with commas; empty when it is about nothing in particular.
    pub about: String,
}

/// A response that was begun with [`Response::start`](crate::Response::start).
pub(super) struct Started {
    pub(super) status: u16,
    pub(super) headers: Fields,
    pub(super) written: Rc<RefCell<Vec<u8>>>,
}

thread_local! {
    static STARTED: RefCell<Option<Started>> = const { RefCell::new(None) };
}

/// The response that was begun in the request before.
pub(super) fn take_started() -> Option<Started> {
    STARTED.take()
}

/// A host in memory. Its clones are the same host.
#[derive(Clone)]
pub struct Host(Rc<RefCell<State>>);

struct State {
    engine: Engine,
    storage: Storage,
    identity: Identity,
    jobs: Jobs,
    config: Value,
    secrets: BTreeMap<String, String>,
    failures: BTreeMap<String, Error>,
    calls: Vec<Call>,
    lines: Vec<Line>,
}

impl Host {
    /// A new host, which is this thread's from now on. It holds nothing; the engine has the networks `bridge`, `host` and `none`.
    #[must_use]
    pub fn install() -> Host {
        let host = Host::empty();
        super::install(&host);
        host
    }

    pub(super) fn empty() -> Host {
        Host(Rc::new(RefCell::new(State {
            engine: Engine::new(),
            storage: Storage::default(),
            identity: Identity::default(),
            jobs: Jobs::default(),
            config: json!({}),
            secrets: BTreeMap::new(),
            failures: BTreeMap::new(),
            calls: Vec::new(),
            lines: Vec::new(),
        })))
    }

    /// Adds a container, which is then the newest.
    pub fn container(&self, container: Container) {
        self.0.borrow_mut().engine.add_container(container);
    }

    /// Adds an image that the engine holds. Its tags are taken from other images, as the engine does.
    pub fn image(&self, image: Image) {
        self.0.borrow_mut().engine.add_image(image);
    }

    /// Adds an image that a pull of any of its tags fetches.
    pub fn registry_image(&self, image: Image) {
        self.0.borrow_mut().engine.registry.push(image);
    }

    /// Adds an image that a registry has, for the functions of [`registry`](crate::registry): from now on its reference leads to it. A pull does not know it.
    pub fn remote_image(&self, image: RemoteImage) {
        self.0.borrow_mut().engine.remote.push(image);
    }

    /// Holds back the pulls that are begun from now on: they stay under way until [`Host::finish_pulls`], or until a plugin waits for them.
    pub fn hold_pulls(&self) {
        self.0.borrow_mut().engine.holds_pulls = true;
    }

    /// Lets the pulls under way be at `percent`.
    pub fn advance_pulls(&self, percent: u8) {
        self.0.borrow_mut().engine.advance_pulls(percent);
    }

    /// Lets the pulls under way end: those that a pull can fetch succeed, the others fail.
    pub fn finish_pulls(&self) {
        self.0.borrow_mut().engine.finish_all_pulls();
    }

    /// Holds back the builds that are begun from now on: they stay under way until [`Host::finish_builds`], or until a plugin waits for them.
    pub fn hold_builds(&self) {
        self.0.borrow_mut().engine.holds_builds = true;
    }

    /// Lets the builds under way end.
    pub fn finish_builds(&self) {
        self.0.borrow_mut().engine.finish_all_builds();
    }

    /// Lets builds fail from now on, at the first instruction that begins with `instruction`, because of `reason`.
    pub fn fail_builds(&self, instruction: &str, reason: &str) {
        self.0.borrow_mut().engine.failing_builds = Some((instruction.to_owned(), reason.to_owned()));
    }

    /// What was handed over to be built, in its order.
    #[must_use]
    pub fn builds(&self) -> Vec<Build> {
        self.0.borrow().engine.builds()
    }

    /// Holds back the recreations that are begun from now on: they stay under way until [`Host::finish_recreations`] or [`Host::fail_recreations`], or until a plugin waits for them.
    pub fn hold_recreations(&self) {
        self.0.borrow_mut().engine.holds_recreations = true;
    }

    /// Lets the recreations under way be at `step`: a word of the contract, `pulling`, `creating`, `stopping`, `starting`, `verifying`, `removing`, `undoing`.
    pub fn advance_recreations(&self, step: &str) {
        self.0.borrow_mut().engine.advance_recreations(step);
    }

    /// Lets the pull of the recreations under way be at `current` of `total` bytes, with the engine's word for what it does: `Downloading`.
    pub fn advance_recreation_pulls(&self, status: &str, current: u64, total: u64) {
        self.0.borrow_mut().engine.advance_recreation_pulls(status, current, total);
    }

    /// Lets the recreations under way end. A container whose image is not the one that it runs has a new id then.
    pub fn finish_recreations(&self) {
        self.0.borrow_mut().engine.finish_all_recreations();
    }

    /// Lets the recreations under way, and those that are begun from now on, fail with `error`: everything is taken back. None lets them succeed again.
    pub fn fail_recreations(&self, error: Option<Error>) {
        self.0.borrow_mut().engine.fail_recreations(error);
    }

    /// Adds a repository that a search of Docker Hub finds.
    pub fn hub_repository(&self, repository: HubRepository) {
        self.0.borrow_mut().engine.hub.repositories.push(repository);
    }

    /// Sets the tags that Docker Hub has of `repository`, the newest first.
    pub fn hub_tags(&self, repository: &str, tags: &[&str]) {
        self.0.borrow_mut().engine.hub.set_tags(repository, tags);
    }

    /// Sets the catalogue `name`. Without this there is none.
    pub fn catalog(&self, name: &str, catalog: Catalog) {
        self.0.borrow_mut().engine.hub.catalogs.insert(name.to_owned(), catalog);
    }

    /// Sets what is fetched from the address `url` of a template's archive. Without this it is not found.
    pub fn archive(&self, url: &str, bytes: &[u8]) {
        self.0.borrow_mut().engine.hub.archives.insert(url.to_owned(), bytes.to_vec());
    }

    /// Holds back the downloads that are begun from now on: they stay under way until [`Host::finish_downloads`], or until a plugin waits for them.
    pub fn hold_downloads(&self) {
        self.0.borrow_mut().engine.holds_downloads = true;
    }

    /// Lets the downloads under way be at `percent`.
    pub fn advance_downloads(&self, percent: u8) {
        self.0.borrow_mut().engine.advance_downloads(percent);
    }

    /// Lets the downloads under way end: those whose archive is there, and as the catalogue says, become blobs.
    pub fn finish_downloads(&self) {
        self.0.borrow_mut().engine.finish_all_downloads();
    }

    /// Adds a network.
    pub fn network(&self, name: &str) {
        self.0.borrow_mut().engine.networks.insert(name.to_owned());
    }

    /// Adds a volume.
    pub fn volume(&self, name: &str) {
        self.0.borrow_mut().engine.volumes.insert(name.to_owned());
    }

    /// Sets the plugin's settings, an object.
    pub fn config(&self, config: Value) {
        self.0.borrow_mut().config = config;
    }

    /// Adds a secret.
    pub fn secret(&self, name: &str, value: &str) {
        self.0.borrow_mut().secrets.insert(name.to_owned(), value.to_owned());
    }

    /// Lets every call of `function` fail with `error` from now on. Functions are named as the host's own log names them:
    /// `docker.containers-create.run`, `config.reveal`, `http.outgoing.write`.
    pub fn fail(&self, function: &str, error: Error) {
        self.0.borrow_mut().failures.insert(function.to_owned(), error);
    }

    /// Ends what [`Host::fail`] began for `function`.
    pub fn mend(&self, function: &str) {
        self.0.borrow_mut().failures.remove(function);
    }

    /// Removes the container `name` behind the plugin's back: lists still show it, everything else says that it is gone.
    pub fn vanish(&self, name: &str) {
        self.0.borrow_mut().engine.vanish(name);
    }

    /// The names of all containers, the newest first.
    #[must_use]
    pub fn containers(&self) -> Vec<String> {
        self.0.borrow().engine.names()
    }

    /// What the engine answers to an inspect of the container `name`; none when there is no such container.
    #[must_use]
    pub fn details(&self, name: &str) -> Option<Value> {
        self.0.borrow().engine.find(name).ok().map(|container| container.details.clone())
    }

    /// All tags of the images that the engine holds, sorted.
    #[must_use]
    pub fn tags(&self) -> BTreeSet<String> {
        self.0.borrow().engine.images.iter().flat_map(|image| image.tags.iter().cloned()).collect()
    }

    /// Every call of a plugin so far, but for those of the log.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.0.borrow().calls.clone()
    }

    /// What the calls of `function` were about, in their order.
    #[must_use]
    pub fn calls_of(&self, function: &str) -> Vec<String> {
        let state = self.0.borrow();
        state.calls.iter().filter(|call| call.function == function).map(|call| call.about.clone()).collect()
    }

    /// Every line that was written to the log.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.0.borrow().lines.clone()
    }

    /// Notes a call and answers with the engine, unless the function was made to fail.
    pub(super) fn call<R>(&self, function: &str, about: &str, answer: impl FnOnce(&mut Engine) -> Result<R, Error>) -> Result<R, Error> {
        let mut state = self.0.borrow_mut();
        state.calls.push(Call { function: function.to_owned(), about: about.to_owned() });
        match state.failures.get(function) {
            Some(error) => Err(error.clone()),
            None => answer(&mut state.engine),
        }
    }

    /// Notes a call and answers with what is kept, unless the function was made to fail.
    pub(super) fn keep<R>(&self, function: &str, about: &str, answer: impl FnOnce(&mut Storage) -> Result<R, Error>) -> Result<R, Error> {
        self.call(function, about, |_| Ok(()))?;
        answer(&mut self.0.borrow_mut().storage)
    }

    /// The users, for the functions that ask about them; those note their calls here, too.
    pub(super) fn identity(&self) -> RefMut<'_, Identity> {
        RefMut::map(self.0.borrow_mut(), |state| &mut state.identity)
    }

    /// The queue, the schedules and the webhooks, likewise.
    pub(super) fn jobs(&self) -> RefMut<'_, Jobs> {
        RefMut::map(self.0.borrow_mut(), |state| &mut state.jobs)
    }

    /// The same for a function that is asked about many things.
    fn call_each<R>(
        &self,
        function: &str,
        about: &[String],
        answer: impl Fn(&mut Engine, &str) -> Result<R, Error>,
    ) -> Vec<Result<R, Error>> {
        match self.call(function, &about.join(","), |engine| Ok(about.iter().map(|name| answer(engine, name)).collect())) {
            Ok(answers) => answers,
            Err(error) => about.iter().map(|_| Err(error.clone())).collect(),
        }
    }
}

impl host::Host for Host {
    fn log(&self, level: Level, message: &str, fields: &[(String, String)]) {
        self.0.borrow_mut().lines.push(Line { level, message: message.to_owned(), fields: fields.to_vec() });
    }

    fn config_document(&self) -> String {
        self.0.borrow().config.to_string()
    }

    fn config_reveal(&self, name: &str) -> Result<String, Error> {
        let secret = self.0.borrow().secrets.get(name).cloned();
        self.call("config.reveal", name, |_| secret.ok_or(Error::NotFound))
    }

    fn start(&self, status: u16, headers: Fields) -> Result<BodyWriter, Error> {
        self.call("http.outgoing.start", "", |_| Ok(()))?;
        if STARTED.with_borrow(Option::is_some) {
            return Err(Error::Conflict("a response was started before".to_owned()));
        }
        let written = Rc::<RefCell<Vec<u8>>>::default();
        STARTED.set(Some(Started { status, headers, written: Rc::clone(&written) }));
        let failure = self.0.borrow().failures.get("http.outgoing.write").cloned();
        Ok(BodyWriter(std::mem::ManuallyDrop::new(stream::BodyWriter { written, failure })))
    }

    fn containers_list(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, Error> {
        self.call("docker.containers-read.list", &filter.labels.join(","), |engine| engine.list(filter))
    }

    fn containers_inspect(&self, names: &[String]) -> Vec<Result<Inspected, Error>> {
        self.call_each("docker.containers-read.inspect", names, |engine, name| engine.inspect(name, false))
    }

    fn containers_env_inspect(&self, names: &[String]) -> Vec<Result<Inspected, Error>> {
        self.call_each("docker.containers-env.inspect", names, |engine, name| engine.inspect(name, true))
    }

    fn containers_log(&self, container: &str, options: &LogOptions) -> Result<ByteStream, Error> {
        self.call("docker.containers-logs.read", container, |engine| engine.log(container, options))
    }

    fn container_start(&self, container: &str) -> Result<(), Error> {
        self.call("docker.containers-lifecycle.start", container, |engine| engine.start(container))
    }

    fn container_stop(&self, container: &str, _: Grace) -> Result<(), Error> {
        self.call("docker.containers-lifecycle.stop", container, |engine| engine.stop(container))
    }

    fn container_create(&self, name: &str, specification: &str) -> Result<Created, Error> {
        self.call("docker.containers-create.create", name, |engine| engine.create(name, specification))
    }

    fn container_run(&self, name: &str, specification: &str) -> Result<Created, Error> {
        self.call("docker.containers-create.run", name, |engine| engine.run(name, specification))
    }

    fn container_remove(&self, container: &str, options: RemoveOptions) -> Result<(), Error> {
        self.call("docker.containers-remove.remove", container, |engine| engine.remove(container, options))
    }

    fn container_recreate_begin(&self, container: &str, options: &RecreateOptions) -> Result<String, Error> {
        self.call("docker.containers-recreate.begin", container, |engine| engine.begin_recreation(container, options))
    }

    fn container_recreate_preview(&self, container: &str, image: Option<&str>) -> Result<Vec<Change>, Error> {
        self.call("docker.containers-recreate.preview", container, |engine| engine.preview_recreation(container, image))
    }

    fn images_inspect(&self, references: &[String]) -> Vec<Result<InspectedImage, Error>> {
        self.call_each("docker.images-read.inspect", references, |engine, reference| engine.inspect_image(reference))
    }

    fn image_pull(&self, reference: &str) -> Result<(), Error> {
        self.call("docker.images-pull.pull", reference, |engine| engine.pull(reference))
    }

    fn images_list(&self) -> Result<Vec<ImageSummary>, Error> {
        self.call("docker.images-read.list", "", |engine| Ok(engine.list_images()))
    }

    fn image_pull_begin(&self, reference: &str) -> Result<String, Error> {
        self.call("docker.images-pull.begin", reference, |engine| engine.begin_pull(reference))
    }

    fn image_build_begin(&self, files: Vec<ContextFile>, options: &BuildOptions) -> Result<String, Error> {
        self.call("docker.images-build.begin", &options.names.join(","), |engine| engine.begin_build(files, options))
    }

    fn images_remove(&self, references: &[String]) -> Vec<Result<Removal, Error>> {
        self.call_each("docker.images-remove.remove", references, Engine::remove_image)
    }

    fn images_prune(&self) -> Result<Pruned, Error> {
        self.call("docker.images-prune.prune", "", |engine| Ok(engine.prune_images()))
    }

    fn distribution_inspect(&self, references: &[String]) -> Vec<Result<Distribution, Error>> {
        self.call_each("docker.distribution-read.inspect", references, |engine, reference| engine.distribution(reference))
    }

    fn operations_list(&self) -> Result<Vec<Operation>, Error> {
        self.call("docker.operations-read.list", "", |engine| Ok(engine.list_operations()))
    }

    fn operations_get(&self, ids: &[String]) -> Vec<Result<Operation, Error>> {
        self.call_each("docker.operations-read.get", ids, |engine, id| engine.operation(id))
    }

    fn operation_wait(&self, id: &str) -> Result<Operation, Error> {
        self.call("docker.operations-read.wait", id, |engine| engine.wait_for_operation(id))
    }

    fn operation_log(&self, id: &str) -> Result<ByteStream, Error> {
        self.call("docker.operations-read.log", id, |engine| engine.log_of_operation(id))
    }

    fn operation_watch(&self, id: &str, format: ProgressFormat) -> Result<ByteStream, Error> {
        self.call("docker.operations-read.watch", id, |engine| engine.watch_operation(id, format))
    }

    fn operation_cancel(&self, id: &str) -> Result<(), Error> {
        self.call("docker.operations-cancel.cancel", id, |engine| engine.cancel_operation(id))
    }

    fn networks_list(&self) -> Result<Vec<Network>, Error> {
        self.call("docker.networks-read.list", "", |engine| Ok(engine.list_networks()))
    }

    fn volumes_list(&self) -> Result<Vec<Volume>, Error> {
        self.call("docker.volumes-read.list", "", |engine| Ok(engine.list_volumes()))
    }

    fn engine_version(&self) -> Result<system_read::Engine, Error> {
        self.call("docker.system-read.version", "", |_| {
            let text = str::to_owned;
            Ok(system_read::Engine { version: text("28.3.2"), api_version: text("1.51"), os: text("linux"), architecture: text("amd64") })
        })
    }

    fn registry_resolve(&self, reference: &str) -> Result<Reference, Error> {
        self.call("registry.references.resolve", reference, |_| registry::resolve(reference))
    }

    fn registry_heads(&self, references: &[String]) -> Vec<Result<Head, Error>> {
        self.call_each("registry.digests-read.heads", references, |engine, reference| registry::head(&engine.remote, reference))
    }

    fn registry_last_quota(&self, reference: &str) -> Result<Option<Quota>, Error> {
        self.call("registry.digests-read.last-quota", reference, |_| Ok(None))
    }

    fn registry_manifest(&self, reference: &str) -> Result<Manifest, Error> {
        self.call("registry.manifests-read.fetch", reference, |engine| registry::manifest(&engine.remote, reference))
    }

    fn registry_platform_manifest(&self, reference: &str, platform: Option<&str>) -> Result<Manifest, Error> {
        let about = "registry.manifests-read.fetch-platform";
        self.call(about, reference, |engine| registry::platform_manifest(&engine.remote, reference, platform))
    }

    fn registry_config(&self, reference: &str, _: Option<&str>) -> Result<ImageConfig, Error> {
        self.call("registry.manifests-read.fetch-config", reference, |engine| registry::config(&engine.remote, reference))
    }

    fn registry_tags(&self, reference: &str, limit: u32) -> Result<TagList, Error> {
        self.call("registry.tags-read.list", reference, |engine| registry::tags(&engine.remote, reference, limit))
    }

    fn hub_search(&self, term: &str, limit: u32) -> Result<SearchResults, Error> {
        self.call("registry.hub-read.search", term, |engine| engine.hub.search(term, limit))
    }

    fn hub_tags(&self, repository: &str, limit: u32) -> Result<Vec<String>, Error> {
        self.call("registry.hub-read.tags", repository, |engine| engine.hub.tags(repository, limit))
    }

    fn catalog_list(&self, name: &str) -> Result<Catalog, Error> {
        self.call("registry.catalog-read.list", name, |engine| engine.hub.catalog(name))
    }

    fn catalog_download_begin(&self, catalog: &str, name: &str, version: Option<&str>, blob: &str) -> Result<String, Error> {
        let blobs = Rc::clone(&self.0.borrow().storage.blobs);
        self.call("registry.catalog-download.begin", &format!("{catalog},{name},{},{blob}", version.unwrap_or_default()), |engine| {
            engine.begin_download(catalog, name, version, blob, blobs)
        })
    }
}
