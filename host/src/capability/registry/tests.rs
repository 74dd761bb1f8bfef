//! What the room answers, function by function: allowed, denied, gone, unreachable. The registries are in memory.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::super::call::CallContext;
use super::super::call::testing::{self, Denials};
use super::error::Failure;
use super::grant::ReadableImage;
use super::*;
use crate::backend::blobs::{BlobName, Blobs};
use crate::backend::catalog::{Catalog, CatalogError, Entry, Kind, Template};
use crate::backend::docker_hub::{HubError, HubRepository, SearchResults};
use crate::backend::operations::{Download, Operations, Outcome, Owner};
use crate::backend::registry::{Head, ImageConfig, Manifest, Platform, Quota, RegistryError, Tags};
use crate::bindings::wharf::registry::types::Error;
use crate::bindings::wharf::registry::{catalog_download, catalog_read, digests_read, hub_read, manifests_read, references, tags_read};
use crate::settings::section::read_for_test;

const EVERYTHING: &str =
    "allow = [\"digests.read\", \"manifests.read\", \"tags.read\", \"hub.read\", \"catalog.read\", \"catalog.download\"]";

/// Every power but those over Docker Hub and catalogues.
const OTHERS: &str = "allow = [\"digests.read\", \"manifests.read\", \"tags.read\"]";

/// Has `redis` for linux/amd64 and nothing else; the registry `down.example` is down. Docker Hub, whose searches and catalogues go by names, is away for `down` and slow for `slow`.
#[derive(Default)]
struct MemoryRegistries(Mutex<Vec<String>>);

impl MemoryRegistries {
    fn find<T>(&self, image: &ReadableImage, found: T) -> Result<T, RegistryError> {
        let name = image.reference().to_string();
        self.0.lock().unwrap().push(name.clone());
        match name.as_str() {
            name if name.starts_with("down.example/") => Err(RegistryError::Unreachable("connection refused".to_owned())),
            "slow.example/a:latest" => Err(RegistryError::Timeout(Duration::from_secs(10))),
            "docker.io/library/redis:7" => Ok(found),
            _ => Err(RegistryError::NotFound),
        }
    }

    fn manifest() -> Manifest {
        let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        Manifest::read(media_type, "sha256:1".to_owned(), "{\"schemaVersion\":2}".into()).unwrap()
    }
}

#[async_trait]
impl Backend for MemoryRegistries {
    async fn heads(&self, images: &[ReadableImage]) -> Vec<Result<Head, RegistryError>> {
        let head = Head { digest: "sha256:1".to_owned(), media_type: "index".to_owned(), size: Some(7) };
        images.iter().map(|image| self.find(image, head.clone())).collect()
    }

    fn quota(&self, image: &ReadableImage) -> Option<Quota> {
        (image.reference().registry() == "docker.io").then_some(Quota { limit: 100, remaining: 7, window: Some(Duration::from_secs(60)) })
    }

    async fn manifest(&self, image: &ReadableImage) -> Result<Manifest, RegistryError> {
        self.find(image, MemoryRegistries::manifest())
    }

    async fn platform_manifest(&self, image: &ReadableImage, platform: &Platform) -> Result<Manifest, RegistryError> {
        let found = self.find(image, MemoryRegistries::manifest())?;
        let refused = RegistryError::NoPlatform { wanted: platform.to_string(), offered: "linux/amd64".to_owned() };
        if platform.architecture == "amd64" { Ok(found) } else { Err(refused) }
    }

    async fn config(&self, image: &ReadableImage, platform: &Platform) -> Result<ImageConfig, RegistryError> {
        let manifest = self.platform_manifest(image, platform).await?;
        Ok(ImageConfig { digest: "sha256:2".to_owned(), bytes: "{\"os\":\"linux\"}".into(), manifest })
    }

    async fn tags(&self, image: &ReadableImage, limit: usize) -> Result<Tags, RegistryError> {
        self.find(image, Tags { tags: ["6", "7"].iter().take(limit).map(|tag| (*tag).to_owned()).collect(), complete: limit >= 2 })
    }

    async fn search(&self, term: &str, limit: u32) -> Result<Arc<SearchResults>, HubError> {
        self.0.lock().unwrap().push(format!("search {term} {limit}"));
        match term {
            "down" => Err(HubError::Unavailable { word: "rate-limited", reason: "hub-v4: later".to_owned() }),
            "slow" => Err(HubError::Timeout("engine: no answer".to_owned())),
            _ => Ok(Arc::new(SearchResults { provider: "hub-v2", repositories: ["redis", "grafana/grafana"].map(repository).to_vec() })),
        }
    }

    async fn hub_tags(&self, image: &ReadableImage, limit: u32) -> Result<Arc<Vec<String>>, HubError> {
        self.0.lock().unwrap().push(format!("hub tags {} {limit}", image.reference()));
        match image.reference().path() {
            "library/redis" => Ok(Arc::new(vec!["7".to_owned(), "6".to_owned()])),
            "down/a" => Err(HubError::Unavailable { word: "unreachable", reason: "no route".to_owned() }),
            "slow/a" => Err(HubError::Timeout("no answer".to_owned())),
            _ => Err(HubError::NotFound),
        }
    }

    async fn catalog(&self, name: &str) -> Result<Arc<Catalog>, CatalogError> {
        match name {
            "mine" => Ok(Arc::new(Catalog { entries: vec![template()], skipped: 2 })),
            "down" => Err(CatalogError::Unavailable { word: "unreachable", reason: "no route".to_owned() }),
            "slow" => Err(CatalogError::Timeout("no answer".to_owned())),
            _ => Err(CatalogError::NotFound),
        }
    }

    async fn template(&self, catalog: &str, name: &str, version: Option<&str>) -> Result<Template, CatalogError> {
        let entries = self.catalog(catalog).await?;
        let entry = entries.entries.iter().find(|entry| entry.name == name && version.is_none_or(|version| version == entry.version));
        entry.map(|entry| Template::for_test(catalog, &entry.name, &entry.version)).ok_or(CatalogError::NotFound)
    }

    fn download(&self, template: Template, _: BlobSpace, blob: BlobName, _: Duration) -> Download {
        self.0.lock().unwrap().push(format!("download {} {}", template.name, blob.as_str()));
        Download {
            template: template.name,
            blob,
            progress: Arc::default(),
            work: Box::pin(std::future::pending()),
            undo: Box::pin(std::future::ready(())),
        }
    }
}

fn repository(name: &str) -> HubRepository {
    HubRepository {
        name: name.to_owned(),
        description: format!("about {name}"),
        stars: 7,
        official: name == "redis",
        trusted: name != "redis",
    }
}

fn template() -> Entry {
    let text = |text: &str| text.to_owned();
    Entry {
        kind: Kind::Lxc,
        name: text("debian-trixie"),
        version: text("13"),
        title: text("Debian"),
        description: text("A distribution."),
        architecture: text("arm64"),
        icon: text("i"),
        location: text("l"),
        size: Some(5),
        archive_url: Some(text("https://mirror.example/a.tar.xz")),
        archive_digest: Some(text("sha256:1")),
    }
}

/// One plugin, in the middle of one request.
struct Plugin {
    room: RegistryRoom,
    call: CallContext,
    registries: Arc<MemoryRegistries>,
    denials: Arc<Denials>,
    /// Those of all plugins.
    operations: Operations,
}

impl Plugin {
    #[track_caller]
    fn with(grant: &str) -> Plugin {
        let (grant, mistakes) = read_for_test(grant, RegistryGrant::read);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let registries = Arc::new(MemoryRegistries::default());
        let (call, denials) = testing::request("hub-search", 3);
        let operations = Operations::default();
        let store = Store {
            operations: operations.of_plugin(Owner { site: "plant".to_owned(), plugin: "hub-search".to_owned() }, 2),
            blobs: Some(Blobs::default().space("plant", "hub-search", 100)),
        };
        let room = RegistryRoom { grant, backend: Arc::clone(&registries) as Arc<dyn Backend>, store };
        Plugin { room, call, registries, denials, operations }
    }

    fn registry(&mut self) -> RegistryCtxView<'_> {
        RegistryCtxView { room: &self.room, call: &mut self.call }
    }
}

const FUNCTIONS: [&str; 11] = [
    "references.resolve",
    "digests-read.heads",
    "digests-read.last-quota",
    "manifests-read.fetch",
    "manifests-read.fetch-platform",
    "manifests-read.fetch-config",
    "tags-read.list",
    "hub-read.search",
    "hub-read.tags",
    "catalog-read.list",
    "catalog-download.begin",
];
/// Those that are asked about a repository of any registry.
const OF_REPOSITORIES: &[&str] = FUNCTIONS.split_at(7).0;

/// What `function` answers to a question about `reference`.
async fn outcome(plugin: &mut Plugin, function: &str, reference: &str) -> Result<(), Error> {
    let (mut room, reference) = (plugin.registry(), reference.to_owned());
    let platform = || Some("linux/amd64".to_owned());
    match function {
        "references.resolve" => references::Host::resolve(&mut room, reference).map(drop),
        "digests-read.heads" => digests_read::Host::heads(&mut room, vec![reference]).await.remove(0).map(drop),
        "digests-read.last-quota" => digests_read::Host::last_quota(&mut room, reference).map(drop),
        "manifests-read.fetch" => manifests_read::Host::fetch(&mut room, reference).await.map(drop),
        "manifests-read.fetch-platform" => manifests_read::Host::fetch_platform(&mut room, reference, platform()).await.map(drop),
        "manifests-read.fetch-config" => manifests_read::Host::fetch_config(&mut room, reference, platform()).await.map(drop),
        "tags-read.list" => tags_read::Host::list(&mut room, reference, 10).await.map(drop),
        "hub-read.search" => hub_read::Host::search(&mut room, reference, 10).await.map(drop),
        "hub-read.tags" => hub_read::Host::tags(&mut room, reference, 10).await.map(drop),
        "catalog-read.list" => catalog_read::Host::list(&mut room, reference).await.map(drop),
        _ => begin(plugin, &reference, "debian-trixie", None, "lxc/debian").await.map(drop),
    }
}

#[tokio::test]
async fn each_function_has_its_word_for_what_goes_wrong() {
    let down = Error::Unavailable("unreachable: the registry is not reachable: connection refused".to_owned());
    for function in &OF_REPOSITORIES[1..] {
        let of = |grant: &'static str, reference: &'static str| async move { outcome(&mut Plugin::with(grant), function, reference).await };
        assert!(of(EVERYTHING, "redis:7").await.is_ok(), "{function}");
        assert!(matches!(of(EVERYTHING, "Redis").await, Err(Error::Invalid(_))), "{function}");
        assert!(matches!(of("", "redis:7").await, Err(Error::Denied)), "{function}");
        let elsewhere = "allow = [\"digests.read\", \"manifests.read\", \"tags.read\"]\nrepositories = [\"ghcr.io/**\"]";
        assert!(matches!(of(elsewhere, "redis:7").await, Err(Error::Denied)), "{function}");
        // What was said of a limit is known or not; nobody is asked.
        if *function != "digests-read.last-quota" {
            assert!(matches!(of(EVERYTHING, "redis:8").await, Err(Error::NotFound)), "{function}");
            assert!(matches!(of(EVERYTHING, "slow.example/a").await, Err(Error::Timeout)), "{function}");
            assert_eq!(format!("{:?}", of(EVERYTHING, "down.example/a").await), format!("{:?}", Err::<(), _>(&down)), "{function}");
        }
    }
}

#[tokio::test]
async fn docker_hub_and_catalogues_have_their_words_too() {
    let rows = [
        ("hub-read.search", "redis", "Ok(())"),
        ("hub-read.search", " \t", "Err(Error::Invalid(\"the term is empty\"))"),
        ("hub-read.search", "down", "Err(Error::Unavailable(\"rate-limited: hub-v4: later\"))"),
        ("hub-read.search", "slow", "Err(Error::Timeout)"),
        ("hub-read.tags", "redis:6", "Ok(())"),
        ("hub-read.tags", "gone/a", "Err(Error::NotFound)"),
        ("hub-read.tags", "Redis", "Err(Error::Invalid(\"`Redis` is no image reference\"))"),
        ("hub-read.tags", "ghcr.io/a/b", "Err(Error::Invalid(\"`ghcr.io/a/b` is no repository of Docker Hub\"))"),
        ("hub-read.tags", "a/b/c", "Err(Error::Invalid(\"`a/b/c` is no repository of Docker Hub\"))"),
        ("hub-read.tags", "down/a", "Err(Error::Unavailable(\"unreachable: no route\"))"),
        ("hub-read.tags", "slow/a", "Err(Error::Timeout)"),
        ("catalog-read.list", "mine", "Ok(())"),
        ("catalog-read.list", "", "Err(Error::NotFound)"),
        ("catalog-read.list", "../mine", "Err(Error::NotFound)"),
        ("catalog-read.list", "down", "Err(Error::Unavailable(\"unreachable: no route\"))"),
        ("catalog-read.list", "slow", "Err(Error::Timeout)"),
        ("catalog-download.begin", "mine", "Ok(())"),
        ("catalog-download.begin", "other", "Err(Error::NotFound)"),
        ("catalog-download.begin", "down", "Err(Error::Unavailable(\"unreachable: no route\"))"),
        ("catalog-download.begin", "slow", "Err(Error::Timeout)"),
    ];
    for (function, argument, expected) in rows {
        let found = outcome(&mut Plugin::with(EVERYTHING), function, argument).await;
        assert_eq!(format!("{found:?}"), expected, "{function} {argument}");
        assert!(matches!(outcome(&mut Plugin::with(OTHERS), function, argument).await, Err(Error::Denied)), "{function}");
    }
    assert!(matches!(outcome(&mut Plugin::with(EVERYTHING), "hub-read.search", &"a".repeat(257)).await, Err(Error::Invalid(_))));
    assert!(outcome(&mut Plugin::with(EVERYTHING), "hub-read.search", &"a".repeat(256)).await.is_ok());
}

#[tokio::test]
async fn what_a_search_finds_is_narrowed_by_the_grant_and_nothing_of_it_is_a_refusal() {
    let mut plugin = Plugin::with("allow = [\"hub.read\"]\nrepositories = [\"docker.io/grafana/*\"]");
    let found = hub_read::Host::search(&mut plugin.registry(), " graf ".to_owned(), 5).await.unwrap();
    assert_eq!((found.provider.as_str(), found.repositories.len()), ("hub-v2", 1));
    let hub_read::HubRepository { name, description, stars, official, trusted } = &found.repositories[0];
    assert_eq!(
        (name.as_str(), description.as_str(), *stars, *official, *trusted),
        ("grafana/grafana", "about grafana/grafana", 7, false, true)
    );
    assert_eq!((plugin.denials.count(), plugin.registries.0.lock().unwrap().as_slice()), (0, ["search graf 5".to_owned()].as_slice()));
    assert!(matches!(outcome(&mut plugin, "hub-read.tags", "redis").await, Err(Error::Denied)));
    assert_eq!((plugin.denials.count(), plugin.registries.0.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn an_entry_of_a_catalogue_comes_whole() {
    let mut plugin = Plugin::with("allow = [\"catalog.read\"]\nrepositories = []");
    let catalog = catalog_read::Host::list(&mut plugin.registry(), "mine".to_owned()).await.unwrap();
    let [entry] = catalog.entries.as_slice() else { panic!("{:?}", catalog.entries) };
    let texts = [&entry.name, &entry.version, &entry.title, &entry.description, &entry.architecture, &entry.icon, &entry.location];
    assert_eq!(texts, ["debian-trixie", "13", "Debian", "A distribution.", "arm64", "i", "l"]);
    assert_eq!((entry.kind, entry.size, catalog.skipped), (catalog_read::CatalogKind::Lxc, Some(5), 2));
    assert_eq!(
        (entry.archive_url.as_deref(), entry.archive_digest.as_deref()),
        (Some("https://mirror.example/a.tar.xz"), Some("sha256:1"))
    );
}

/// Begins a download, and answers the id.
async fn begin(plugin: &mut Plugin, catalog: &str, name: &str, version: Option<&str>, blob: &str) -> Result<String, Error> {
    let (catalog, name, blob) = (catalog.to_owned(), name.to_owned(), blob.to_owned());
    catalog_download::Host::begin(&mut plugin.registry(), catalog, name, version.map(str::to_owned), blob).await
}

#[tokio::test]
async fn a_template_is_downloaded_by_an_operation_of_the_plugin() {
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.call.host_calls_left = 10;
    let id = begin(&mut plugin, "mine", "debian-trixie", Some("13"), "lxc/debian").await.unwrap();
    let recorded = plugin.operations.recorded();
    let [operation] = recorded.as_slice() else { panic!("{} operations", recorded.len()) };
    assert_eq!((operation.id.as_str(), operation.subject.kind), (id.as_str(), "download"));
    assert_eq!((operation.subject.object.to_string().as_str(), operation.owner.plugin.as_str()), ("mine/debian-trixie:13", "hub-search"));
    assert_eq!(begin(&mut plugin, "mine", "debian-trixie", None, "lxc/debian").await.unwrap(), id, "it is under way");
    let found = begin(&mut plugin, "mine", "debian-trixie", Some("12"), "lxc/debian").await;
    assert!(matches!(found, Err(Error::NotFound)), "{found:?}");
    for blob in ["", "../x", "a//b"] {
        assert!(matches!(begin(&mut plugin, "mine", "debian-trixie", None, blob).await, Err(Error::Invalid(_))), "{blob}");
    }
    begin(&mut plugin, "mine", "debian-trixie", None, "lxc/other").await.unwrap();
    let over = begin(&mut plugin, "mine", "debian-trixie", None, "lxc/third").await;
    assert!(matches!(over, Err(Error::QuotaExceeded)), "{over:?}");
    operation.cancel();
    assert!(matches!(operation.ended().await, Outcome::Cancelled));
    plugin.operations.cancel_all();
    plugin.operations.finished().await;
}

#[tokio::test]
async fn a_blob_is_becoming_one_template_at_a_time() {
    let mut plugin = Plugin::with(EVERYTHING);
    begin(&mut plugin, "mine", "debian-trixie", None, "lxc/debian").await.unwrap();
    let taken = plugin.room.store.operations.download(
        plugin.registries.download(
            Template::for_test("mine", "other", "1"),
            plugin.room.store.blobs.clone().unwrap(),
            BlobName::parse("lxc/debian").unwrap(),
            Duration::ZERO,
        ),
        Duration::from_secs(1),
    );
    let error = Failure::from(taken.map(drop).unwrap_err()).answer(&plugin.call, "registry.catalog-download.begin");
    let said = "`mine/debian-trixie:13` is being downloaded into the blob `lxc/debian`";
    assert!(matches!(&error, Error::Conflict(reason) if reason == said), "{error:?}");
}

#[tokio::test]
async fn a_download_needs_the_grant_for_blobs_too() {
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.room.store.blobs = None;
    let blob = BlobName::parse("lxc/debian").unwrap();
    let denied = plugin.room.blobs(&blob).map(drop).unwrap_err();
    assert_eq!((denied.object.as_str(), denied.remedy.as_str()), ("blob lxc/debian", "grants.storage.allow = [\"blobs\"]"));
    assert!(matches!(begin(&mut plugin, "mine", "debian-trixie", None, "lxc/debian").await, Err(Error::Denied)));
    assert_eq!((plugin.denials.count(), plugin.operations.recorded().len()), (1, 0));
    assert!(plugin.registries.0.lock().unwrap().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn each_of_many_references_has_its_own_answer() {
    let mut plugin = Plugin::with("allow = [\"digests.read\"]\nrepositories = [\"docker.io/**\", \"down.example/**\"]");
    let references = ["redis:7", "ghcr.io/a", "", "redis:8", "down.example/a", "redis:7"].map(str::to_owned).to_vec();
    let heads = digests_read::Host::heads(&mut plugin.registry(), references).await;
    let words: Vec<&str> = heads
        .iter()
        .map(|head| match head {
            Ok(_) => "found",
            Err(Error::Denied) => "denied",
            Err(Error::Invalid(_)) => "invalid",
            Err(Error::NotFound) => "not-found",
            Err(_) => "unavailable",
        })
        .collect();
    assert_eq!(words, ["found", "denied", "invalid", "not-found", "unavailable", "found"]);
    assert_eq!(plugin.registries.0.lock().unwrap().len(), 4, "nobody was asked about what is denied or no reference");
    assert_eq!(plugin.denials.count(), 1);
}

#[tokio::test]
async fn host_calls_are_counted_and_taking_a_reference_apart_is_free() {
    let mut plugin = Plugin::with(EVERYTHING);
    for _ in 0..5 {
        assert!(outcome(&mut plugin, "references.resolve", "redis").await.is_ok());
    }
    for _ in 0..3 {
        assert!(outcome(&mut plugin, "digests-read.heads", "redis:7").await.is_ok());
    }
    assert!(matches!(outcome(&mut plugin, "digests-read.heads", "redis:7").await, Err(Error::QuotaExceeded)));
}

#[tokio::test]
async fn too_many_references_are_not_asked_for() {
    let mut plugin = Plugin::with(EVERYTHING);
    let heads = digests_read::Host::heads(&mut plugin.registry(), vec!["redis:7".to_owned(); MAX_REFERENCES + 1]).await;
    assert!(heads.len() > MAX_REFERENCES && heads.iter().all(|head| matches!(head, Err(Error::Invalid(_)))));
    assert!(plugin.registries.0.lock().unwrap().is_empty());
}

#[test]
fn a_reference_is_taken_apart() {
    let resolved = references::Host::resolve(&mut Plugin::with("").registry(), "redis".to_owned()).unwrap();
    let parts = (resolved.full.as_str(), resolved.familiar.as_str(), resolved.registry.as_str(), resolved.repository.as_str());
    assert_eq!(parts, ("docker.io/library/redis:latest", "redis:latest", "docker.io", "library/redis"));
    assert_eq!((resolved.tag.as_deref(), resolved.digest), (Some("latest"), None));
}

#[tokio::test]
async fn a_platform_is_the_hosts_own_or_one_that_can_be_one() {
    let mut plugin = Plugin::with(EVERYTHING);
    let wrong = manifests_read::Host::fetch_config(&mut plugin.registry(), "redis:7".to_owned(), Some("amd64".to_owned())).await;
    assert!(matches!(wrong, Err(Error::Invalid(_))));
    let other = manifests_read::Host::fetch_config(&mut plugin.registry(), "redis:7".to_owned(), Some("linux/s390x".to_owned())).await;
    assert!(matches!(other, Err(Error::Unavailable(reason)) if reason.starts_with("no-platform: ")));
    let own = manifests_read::Host::fetch_platform(&mut plugin.registry(), "redis:7".to_owned(), None).await;
    assert_eq!(own.is_ok(), Platform::of_host().architecture == "amd64");
}

/// The grants of the golden table.
const GRANTS: [(&str, &str); 4] = [
    ("nobody", ""),
    ("checker", "allow = [\"digests.read\"]"),
    ("search", "allow = [\"manifests.read\", \"tags.read\", \"hub.read\", \"catalog.read\"]\nrepositories = [\"docker.io/**\"]"),
    (
        "elsewhere",
        "allow = [\"digests.read\", \"manifests.read\", \"tags.read\", \"hub.read\", \"catalog.read\", \"catalog.download\"]\nrepositories = [\"registry.local/**\"]",
    ),
];

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how a developer asks for the file to be written anew")]
async fn the_golden_table_is_what_the_grants_allow() {
    let mut table = String::from(
        "# What each grant allows: ✔ carried out, ✘ denied, ? another error. Written by the tests of the registry room; `elsewhere` has every power over other repositories.\n",
    );
    for function in FUNCTIONS {
        let _ = write!(table, "{:<42}", format!("registry.{function}"));
        for (name, grant) in GRANTS {
            let argument = if function.starts_with("catalog-") { "mine" } else { "redis:7" };
            let mark = match outcome(&mut Plugin::with(grant), function, argument).await {
                Ok(()) => '✔',
                Err(Error::Denied) => '✘',
                Err(_) => '?',
            };
            let _ = write!(table, "  {name}:{mark}");
        }
        table.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/registry.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(table, golden, "run the tests with UPDATE_GOLDEN=1 and read the difference of {}", path.display());
}

/// Every interface that is linked by a word is one that the grant knows, and the other way round.
#[test]
fn every_word_of_the_grant_links_an_interface() {
    struct View;
    impl RegistryView for View {
        fn registry(&mut self) -> RegistryCtxView<'_> {
            unreachable!("nothing is called")
        }
    }
    let words: BTreeMap<&str, bool> = interfaces::<View>()
        .iter()
        .filter_map(|interface| interface.power)
        .map(|power| (power, Plugin::with(EVERYTHING).room.grant.has(power)))
        .collect();
    assert_eq!(
        words,
        BTreeMap::from(
            ["catalog.download", "catalog.read", "digests.read", "hub.read", "manifests.read", "tags.read"].map(|word| (word, true))
        )
    );
}
