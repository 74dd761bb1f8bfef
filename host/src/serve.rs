//! The running host: starts what the settings ask for, reloads, and stops in order.
//!
//! Start: settings -> engines -> plugins -> listeners. A plugin or an engine that is not there does not keep the rest from being served; a mistake in the settings, or an address that cannot be
//! listened on, does. Stop: no new connections and no new jobs, then the requests and jobs under way, then the operations that they began, all within `shutdown_grace_secs`; what can be cancelled is cancelled then, and jobs go back to their queue.
//!
//! A reload is a task of the host's own, one at a time: it is run to its end whether or not the one who asked for it still waits, and it reads the configuration after the one before it has published,
//! so that what is in force at the end is what the file said last. Nothing else waits for it: requests and the admin API read the last snapshots of table and engines.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use ipnet::IpNet;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::backend::jobs::JobObserver;
use crate::backend::operations::{Operation, Operations};
use crate::backend::registry::check_ca_files;
use crate::backend::users::{Place, UsersError};
use crate::http::dispatch::{SharedTable, dispatch};
use crate::http::server::{Server, Service};
use crate::http::table::Table;
use crate::http::{admin, bench, descriptors};
use crate::metrics::Metrics;
use crate::plugin::background::Background;
use crate::plugin::code_cache::{CodeCache, CodeCacheError};
use crate::plugin::load::Loader;
use crate::plugin::runtime::WasmRuntime;
use crate::settings::{self, Location, Mistake, Mistakes, Settings};
use crate::site::{Engines, NamedEngine, Site};

/// How long the admin API waits for an engine before it says that it does not answer.
const ENGINE_PROBE: Duration = Duration::from_secs(2);

/// How long a stop waits for operations that it has cancelled. They wait for nobody, but a build removes what it has made, and looks for five seconds whether the engine makes more.
const LAST_MOMENT: Duration = Duration::from_secs(8);

/// Clients of the admin API at a time: people and monitoring.
const ADMIN_CONNECTIONS: usize = 64;

/// What to serve, beyond what the settings say.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Serve only the site of this name.
    pub site: Option<String>,
    /// Serve the native routes of the benchmark too.
    pub bench_routes: bool,
}

/// Why the host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings have mistakes.
    #[error("{0}")]
    Settings(#[from] Mistakes),
    /// `--site` names no site.
    #[error("no site is called `{name}`; the configuration has {known}")]
    UnknownSite {
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    CodeCache(#[from] CodeCacheError),
    /// Wasmtime cannot run here.
    #[error("failed to start the WebAssembly engine: {0}")]
    Wasm(String),
    /// An address is taken or not ours.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What the listeners share.
pub(crate) struct Host {
    pub(crate) table: SharedTable,
    pub(crate) metrics: Arc<Metrics>,
    /// The engines of `table`, and those that no plugin uses.
    engines: ArcSwap<Engines>,
    loader: Loader,
    /// The jobs of the sites in `table`.
    pub(crate) background: Background,
    /// What the process was started with; a reload does not change it.
    server: settings::Server,
    /// As [`Settings::must_ask`] was then.
    must_ask: Option<Location>,
    path: PathBuf,
    options: Options,
    /// Held by the reload that is under way. Nobody else waits for it.
    reloading: Mutex<()>,
    /// Reloads, and the tidying after the start. Closed when the host stops.
    tasks: TaskTracker,
}

/// A host that serves.
pub struct Running {
    host: Arc<Host>,
    sites: Server,
    admin: Option<Server>,
    grace: Duration,
}

/// Starts serving what the configuration at `path` says.
///
/// # Errors
///
/// [`StartError`]. Plugins that cannot be loaded are no error: they are logged, and their mounts answer 503.
pub async fn start(path: &Path, options: Options) -> Result<Running, StartError> {
    let settings = settings::load(path)?;
    start_with(path, settings, options).await
}

/// As [`start`], with settings that were read already.
///
/// # Errors
///
/// As [`start`].
pub async fn start_with(path: &Path, settings: Settings, options: Options) -> Result<Running, StartError> {
    check_site(&settings, &options)?;
    let data_dir = &settings.server.data_dir;
    let loader = loader(CodeCache::open(data_dir)?)?;
    loader.identities.configure(Place::of(data_dir, &settings.storage));
    loader.recreations.configure(data_dir.join("recreations"));
    let reach = check_reach(&loader, &settings, settings.must_ask.as_ref(), options.site.as_deref()).await;
    if !reach.is_empty() {
        return Err(Mistakes(reach).into());
    }
    let metrics = Arc::clone(&loader.metrics);
    let table = Arc::new(ArcSwap::from_pointee(Table::new(Vec::new(), &metrics)));
    let server = settings.server.clone();
    let path = path.to_owned();
    let background = Background::new(loader.registries.clone(), Arc::clone(&metrics) as Arc<dyn JobObserver>);
    let host = Arc::new(Host {
        table,
        metrics,
        background,
        engines: ArcSwap::default(),
        loader,
        server: server.clone(),
        must_ask: settings.must_ask.clone(),
        path,
        options,
        reloading: Mutex::default(),
        tasks: TaskTracker::new(),
    });
    for mistake in host.publish(settings).await {
        tracing::error!("{mistake}");
    }
    let tidied = Arc::clone(&host);
    host.tasks.spawn_blocking(move || tidied.loader.sweep_cache());

    let descriptors = descriptors::raise();
    tracing::info!(descriptors, "files and sockets that may be open");
    let sites = listen("sites", server.listen, descriptors::connections(descriptors), host.service()).await?;
    let admin = match server.admin {
        Some(address) => Some(listen("admin", address, ADMIN_CONNECTIONS, admin::routes(Arc::clone(&host))).await?),
        None => None,
    };
    let own = host.loader.registries.own_listeners();
    own.add(sites.address);
    if let Some(admin) = &admin {
        own.add(admin.address);
    }
    Ok(Running { host, sites, admin, grace: Duration::from_secs(server.shutdown_grace_secs) })
}

/// A loader that keeps compiled code in `cache`.
///
/// # Errors
///
/// If the WebAssembly engine cannot run here.
pub(crate) fn loader(cache: CodeCache) -> Result<Loader, StartError> {
    let runtime = WasmRuntime::new().map_err(|error| StartError::Wasm(format!("{error:#}")))?;
    let metrics = Arc::new(Metrics::new());
    let operations = Operations::new(metrics.clone());
    Ok(Loader::new(runtime, cache, metrics, operations))
}

/// Puts into force how registries and Docker Hub are asked. Answers what is wrong with the files that this names: a registry whose file of certificates cannot be used is not reached, and the rest is.
async fn configure(loader: &Loader, settings: &Settings) -> Vec<Mistake> {
    loader.registries.configure(settings.registries.clone());
    loader.hub.configure(settings.docker_hub.clone());
    loader.storage.configure(&settings.storage);
    let files = settings.ca_files.clone();
    tokio::task::spawn_blocking(move || check_ca_files(&files)).await.unwrap_or_default()
}

/// What is wrong with `listen`, of which `must_ask` is the place if others can reach it and not everyone may come in: the sites that have no users. `wanted`: only this site is served.
///
/// PostgreSQL may come later than this host. What cannot be seen before it does is no mistake: nobody comes in meanwhile.
async fn check_reach(loader: &Loader, settings: &Settings, must_ask: Option<&Location>, wanted: Option<&str>) -> Vec<Mistake> {
    let Some(at) = must_ask else { return Vec::new() };
    let mut mistakes = Vec::new();
    for site in settings.sites.iter().filter(|site| wanted.is_none_or(|wanted| wanted == site.name.value)) {
        let (users, _) = loader.identities.site(&site.name.value, &site.access).await;
        let reason = match users.has_users().await {
            Ok(true) => continue,
            Ok(false) => "has no users".to_owned(),
            Err(UsersError::Timeout | UsersError::Unavailable(_)) if settings.storage.database.is_some() => continue,
            Err(error) => format!("has none that can be found: {error}"),
        };
        let name = &site.name.value;
        let message =
            format!("`listen` can be reached from other machines, and nobody would be asked who they are: site `{name}` {reason}");
        let remedy = format!(
            "add a `[[site.user]]` or `wharf user add NAME --site {name}`; or listen on loopback, behind a proxy that asks; or write `auth = \"none\"` beside it to let everyone in"
        );
        mistakes.push(Mistake { at: Some(at.clone()), message, remedy: Some(remedy) });
    }
    mistakes
}

fn check_site(settings: &Settings, options: &Options) -> Result<(), StartError> {
    let Some(name) = &options.site else { return Ok(()) };
    let names: Vec<&str> = settings.sites.iter().map(|site| site.name.value.as_str()).collect();
    if names.contains(&name.as_str()) {
        return Ok(());
    }
    let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Err(StartError::UnknownSite { name: name.clone(), known })
}

async fn listen(listener: &'static str, address: SocketAddr, max_connections: usize, service: impl Service) -> Result<Server, StartError> {
    let server = Server::start(address, max_connections, service).await.map_err(|source| StartError::Listen { address, source })?;
    tracing::info!(listener, address = %server.address, max_connections, "listening");
    Ok(server)
}

impl Running {
    /// Where the sites are served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.sites.address
    }

    /// Where the admin API is served; none if it is off.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// Asks each engine whether it is there, and says in the log which is not. Plugins are served all the same, and find it when it comes.
    pub async fn report_engines(&self) {
        for (engine, problem) in self.host.engine_problems().await {
            if let Some(problem) = problem {
                tracing::warn!(engine, problem, "an engine does not answer; set `url` of its table or DOCKER_HOST if it is elsewhere");
            }
        }
    }

    /// Asks the database whether it is there, and says in the log if it is not. Plugins are served all the same, and find it when it comes.
    pub async fn report_storage(&self) {
        if let Some(problem) = self.host.loader.storage.problem().await {
            tracing::warn!(problem, "the database of `[storage]` cannot be used");
        }
    }

    /// Reads the configuration again and puts into force what is right; the rest stays as it was. Answers what is wrong.
    ///
    /// It is carried through even if this future is dropped.
    pub async fn reload(&self) -> Vec<Mistake> {
        self.host.reload().await
    }

    /// Stops: takes no new connections, and waits for the requests, the reload and the operations under way. Begins at once, whatever else is going on.
    pub async fn stop(self) {
        tracing::info!("stopping");
        // One grace for all: whoever stops the host kills it when that has passed.
        let began = tokio::time::Instant::now();
        let tasks = &self.host.tasks;
        tasks.close();
        let background = self.host.background.stop(self.grace);
        let ((), reloaded, ()) = tokio::join!(self.sites.stop(self.grace), tokio::time::timeout(self.grace, tasks.wait()), background);
        if reloaded.is_err() {
            tracing::warn!("giving up a reload that is still under way");
        }
        let operations = &self.host.loader.operations;
        if tokio::time::timeout(self.grace.saturating_sub(began.elapsed()), operations.finished()).await.is_err() {
            tracing::warn!(under_way = operations.under_way(), "ending operations that are still under way");
            self.host.loader.recreations.leave();
            operations.cancel_all();
            // What has no record cannot be ended.
            if tokio::time::timeout(LAST_MOMENT, operations.finished()).await.is_err() {
                tracing::warn!(under_way = operations.under_way(), "leaving operations to the engine");
            }
        }
        // Nothing asks any more.
        self.host.loader.storage.close().await;
        if let Some(admin) = self.admin {
            admin.stop(Duration::from_secs(1)).await;
        }
        tracing::info!("stopped");
    }
}

impl Host {
    fn service(&self) -> Sites {
        let native = self.options.bench_routes.then(|| bench::routes(&self.metrics));
        Sites { table: Arc::clone(&self.table), proxies: self.server.trusted_proxies.clone().into(), native }
    }

    /// Reads the configuration again. What is wrong is logged and answered; what was loaded and is wrong now stays as it was.
    pub(crate) async fn reload(self: &Arc<Self>) -> Vec<Mistake> {
        let without_place = |message: String| vec![Mistake { at: None, message, remedy: None }];
        if self.tasks.is_closed() {
            return without_place("the host is stopping and reads no configuration".to_owned());
        }
        let host = Arc::clone(self);
        let reloaded = self.tasks.spawn(async move { host.reload_in_turn().await });
        reloaded.await.unwrap_or_else(|error| without_place(format!("the reload failed inside the host: {error}")))
    }

    async fn reload_in_turn(&self) -> Vec<Mistake> {
        // Before anything is read: what was read first must not be published last.
        let _turn = self.reloading.lock().await;
        let path = self.path.clone();
        let mistakes = match tokio::task::spawn_blocking(move || settings::load(&path)).await {
            Ok(Ok(settings)) => match check_site(&settings, &self.options) {
                Ok(()) => self.publish(settings).await,
                Err(error) => vec![Mistake { at: None, message: error.to_string(), remedy: None }],
            },
            Ok(Err(mistakes)) => mistakes.0,
            Err(error) => vec![Mistake { at: None, message: format!("failed to read the configuration: {error}"), remedy: None }],
        };
        for mistake in &mistakes {
            tracing::error!("{mistake}");
        }
        tracing::info!(mistakes = mistakes.len(), "reloaded");
        mistakes
    }

    /// Loads every site of `settings` without serving it. Answers what is wrong too.
    pub(crate) async fn load_sites(loader: &Loader, settings: Settings) -> (Vec<Site>, Vec<Mistake>) {
        let place = Place::of(&settings.server.data_dir, &settings.storage);
        loader.identities.configure(Place::Existing(Box::new(place)));
        let (engines, mut mistakes) = Engines::new(&settings.engines, &Engines::default());
        mistakes.extend(configure(loader, &settings).await);
        mistakes.extend(check_reach(loader, &settings, settings.must_ask.as_ref(), None).await);
        let mut sites = Vec::new();
        for site in settings.sites {
            let (users, found) = loader.identities.site(&site.name.value, &site.access).await;
            mistakes.extend(found);
            let (site, found) = Site::load(loader, &engines, users, site, None).await;
            sites.push(site);
            mistakes.extend(found);
        }
        (sites, mistakes)
    }

    /// Loads the sites of `settings` and puts them into force. One at a time.
    async fn publish(&self, settings: Settings) -> Vec<Mistake> {
        let (engines, mut mistakes) = Engines::new(&settings.engines, &self.engines.load());
        mistakes.extend(configure(&self.loader, &settings).await);
        self.loader.identities.configure(Place::of(&self.server.data_dir, &settings.storage));
        if settings.server != self.server {
            let message = "`[server]` has changed, and stays in force as it was when the process started".to_owned();
            mistakes.push(Mistake { at: None, message, remedy: Some("restart `wharf serve`".to_owned()) });
        }
        for (_, known) in engines.iter() {
            self.loader.recreations.take_up(&known.engine).await;
        }
        let before = self.table.load_full();
        let mut sites = Vec::new();
        let wanted = self.options.site.as_deref();
        mistakes.extend(check_reach(&self.loader, &settings, self.must_ask.as_ref(), wanted).await);
        for site in settings.sites.into_iter().filter(|site| wanted.is_none_or(|wanted| wanted == site.name.value)) {
            let previous = before.sites.iter().find(|known| known.name == site.name.value);
            let (users, found) = self.loader.identities.site(&site.name.value, &site.access).await;
            mistakes.extend(found);
            let (site, found) = Site::load(&self.loader, &engines, users, site, previous).await;
            sites.push(Site { must_ask: self.must_ask.is_some(), ..site });
            mistakes.extend(found);
        }
        let table = Arc::new(Table::new(sites, &self.metrics));
        self.table.store(Arc::clone(&table));
        self.background.publish(&self.loader.queues, table.sites.iter().map(|site| (site.name.as_str(), site.generations())));
        self.engines.store(Arc::new(engines));
        mistakes
    }

    /// The operations with a record, the newest first.
    pub(crate) fn operations(&self) -> Vec<Arc<Operation>> {
        self.loader.operations.recorded()
    }

    /// Why nothing can be recreated on an engine, by its name. Without those on which everything can.
    pub(crate) fn recreation_problems(&self) -> BTreeMap<String, String> {
        let engines = self.engines.load();
        let problem = |known: &NamedEngine| self.loader.recreations.problem(known.engine.address());
        engines.iter().filter_map(|(name, known)| Some((name.clone(), problem(known)?))).collect()
    }

    /// What is wrong with each engine; none for one that answers.
    pub(crate) async fn engine_problems(&self) -> BTreeMap<String, Option<String>> {
        let engines = self.engines.load_full();
        let asked = engines.iter().map(|(name, known)| async move {
            let problem = match tokio::time::timeout(ENGINE_PROBE, known.engine.version()).await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_elapsed) => Some(format!("no answer within {} s", ENGINE_PROBE.as_secs())),
            };
            (name.clone(), problem.map(|problem| format!("{}: {problem}", known.url)))
        });
        futures_util::future::join_all(asked).await.into_iter().collect()
    }
}

/// What answers the sites' listener: the route table, and for the benchmark its native routes before it.
#[derive(Clone)]
struct Sites {
    table: SharedTable,
    proxies: Arc<[IpNet]>,
    native: Option<Router>,
}

impl Service for Sites {
    async fn answer(&self, request: Request<Body>, remote: SocketAddr) -> Response<Body> {
        match &self.native {
            Some(native) if bench::is_native(request.uri().path()) => native.answer(request, remote).await,
            _ => dispatch(&self.table, &self.proxies, request, Some(remote)).await,
        }
    }
}
