//! What Docker Hub tells beyond the protocol of registries: its search, and the tags of a repository by age.
//!
//! None of it is documented as stable, and where a search answers at all depends on who asks: one and the same address gives results here, a 404 there, and a page that is meant for people elsewhere. So several
//! providers are asked one after the other, in the order of `[docker_hub]`, until one answers; the last is an engine, which has a search of its own. A provider that does not answer as it should
//! is left alone for a while ([`pause`]), and nothing that it said is passed on as a result.
//!
//! Answers are kept for [`KEPT`], and a question that many ask at once is asked once. Errors are not kept, but for the pause of each provider. A caller that goes away leaves the question to the next who waits for it.
//!
//! It is asked without a name: what it tells is public. Which of the repositories a plugin may hear of is the room's to decide.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use moka::future::Cache;
use serde_json::Value;
use url::Url;

use crate::backend::engine::{Engine, EngineAddress, EngineError};
use crate::backend::reference::ImageReference;
use crate::backend::registry::{DocumentError, Registries, Wanted};
use crate::settings::{DockerHubSettings, SearchProvider};

mod pause;
mod results;
mod tags;
#[cfg(test)]
mod tests;

use pause::Pause;

/// The most repositories of one search.
pub(crate) const MAX_REPOSITORIES: u32 = 100;
/// The most tags of one repository.
pub(crate) const MAX_TAGS: u32 = 1_000;
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(600);
/// How much is kept of either kind. An answer counts as [`LEAST_KEPT_BYTES`] if it is shorter, so that there is also an end to how many are kept.
const MAX_KEPT_BYTES: u64 = 8 * 1024 * 1024;
const LEAST_KEPT_BYTES: usize = 4 * 1024;
/// The longest list that is read. A hundred repositories have about 200 KiB.
const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For one provider of the search. Three of them fit into a plugin's default deadline.
    provider: Duration,
    /// For all pages of tags.
    tags: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { provider: Duration::from_secs(8), tags: Duration::from_secs(25) }
    }
}

/// A repository that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubRepository {
    /// As people write it, without a tag: `redis`, `grafana/grafana`.
    pub(crate) name: String,
    /// One line; may be empty.
    pub(crate) description: String,
    pub(crate) stars: u64,
    pub(crate) official: bool,
    /// Its publisher is verified, or Docker builds it from its source.
    pub(crate) trusted: bool,
}

/// What a search found, and who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SearchResults {
    /// `hub-v4`, `hub-v2` or `engine`.
    pub(crate) provider: &'static str,
    /// In the provider's order.
    pub(crate) repositories: Vec<HubRepository>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HubError {
    /// There is no such repository.
    #[error("Docker Hub does not have it")]
    NotFound,
    /// Nobody answered in time.
    #[error("{0}")]
    Timeout(String),
    /// Nobody can be used: a word of the contract, and a sentence for people.
    #[error("{reason}")]
    Unavailable {
        /// The word.
        word: &'static str,
        /// The sentence.
        reason: String,
    },
}

/// Why one provider cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unusable {
    /// A word of the contract, or `timeout`.
    word: &'static str,
    reason: String,
    /// How long it wants to be left alone; none if it does not say.
    retry_after: Option<Duration>,
    /// Whether another question may be answered all the same.
    only_this: bool,
}

impl From<DocumentError> for Unusable {
    fn from(error: DocumentError) -> Unusable {
        let only_this = matches!(&error, DocumentError::Status(complaint) if matches!(complaint.status, 400 | 414 | 422));
        Unusable { word: error.word(), reason: error.to_string(), retry_after: error.retry_after(), only_this }
    }
}

impl From<EngineError> for Unusable {
    fn from(error: EngineError) -> Unusable {
        let word = match &error {
            EngineError::Unavailable(_) | EngineError::Lost(_) => "unreachable",
            EngineError::Timeout(_) => "timeout",
            EngineError::Unintelligible(_) => "unintelligible",
            EngineError::TooLong { .. } => "too-long",
            EngineError::Failed { status: 429, .. } => "rate-limited",
            _ => "failed",
        };
        Unusable { word, reason: error.to_string(), retry_after: None, only_this: matches!(error, EngineError::Invalid(_)) }
    }
}

/// The way to Docker Hub. Cheap to clone; all clones share what they know.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Shared>);

struct Shared {
    registries: Registries,
    /// Replaced whole when `[docker_hub]` changes: what others have answered is not to be used.
    state: ArcSwap<State>,
    patience: Patience,
}

struct State {
    /// None before the first [`Hub::configure`]: nobody is asked then.
    settings: Option<DockerHubSettings>,
    v4: Pause,
    v2: Pause,
    tags: Pause,
    searches: Cache<Question, Arc<SearchResults>>,
    tag_lists: Cache<(String, u32), Arc<Vec<String>>>,
}

/// What a search is kept by. Engines may see different things, so the one that would be asked is part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    term: String,
    limit: u32,
    engine: Option<EngineAddress>,
}

/// The engine that searches for one plugin, if Docker Hub's own searches do not.
pub(crate) struct SearchEngine {
    engine: Arc<Engine>,
    pause: Pause,
}

impl SearchEngine {
    /// `engine`, which was not asked yet.
    pub(crate) fn new(engine: Arc<Engine>) -> SearchEngine {
        SearchEngine { engine, pause: Pause::default() }
    }
}

impl State {
    fn new(settings: Option<DockerHubSettings>) -> State {
        let searches = Cache::builder().max_capacity(MAX_KEPT_BYTES).time_to_live(KEPT);
        let tag_lists = Cache::builder().max_capacity(MAX_KEPT_BYTES).time_to_live(KEPT);
        State {
            settings,
            v4: Pause::default(),
            v2: Pause::default(),
            tags: Pause::default(),
            searches: searches.weigher(|_, found: &Arc<SearchResults>| weight(found.repositories.iter().map(size_of_repository))).build(),
            tag_lists: tag_lists
                .weigher(|_, tags: &Arc<Vec<String>>| weight(tags.iter().map(|tag| size_of::<String>() + tag.len())))
                .build(),
        }
    }
}

fn size_of_repository(repository: &HubRepository) -> usize {
    size_of::<HubRepository>() + repository.name.len() + repository.description.len()
}

fn weight(sizes: impl Iterator<Item = usize>) -> u32 {
    u32::try_from(sizes.sum::<usize>().max(LEAST_KEPT_BYTES)).unwrap_or(u32::MAX)
}

impl Hub {
    /// A hub that asks nobody yet. It goes out by `registries`.
    pub(crate) fn new(registries: Registries) -> Hub {
        Hub::with(registries, Patience::default())
    }

    fn with(registries: Registries, patience: Patience) -> Hub {
        Hub(Arc::new(Shared { registries, state: ArcSwap::from_pointee(State::new(None)), patience }))
    }

    /// Puts `settings` into force. Questions under way finish with those before.
    pub(crate) fn configure(&self, settings: DockerHubSettings) {
        if self.0.state.load().settings.as_ref() != Some(&settings) {
            self.0.state.store(Arc::new(State::new(Some(settings))));
        }
    }

    /// Searches for `term`, at most `limit` repositories and at most [`MAX_REPOSITORIES`]. `engine` is asked where the settings say `engine`; without one that provider is passed over.
    ///
    /// # Errors
    ///
    /// [`HubError::Timeout`] and [`HubError::Unavailable`], which names each provider and why.
    pub(crate) async fn search(&self, term: &str, limit: u32, engine: Option<&SearchEngine>) -> Result<Arc<SearchResults>, HubError> {
        let state = self.0.state.load_full();
        let limit = limit.min(MAX_REPOSITORIES);
        let address = engine.map(|engine| engine.engine.address().clone());
        let question = Question { term: term.to_owned(), limit, engine: address };
        let found = state.searches.try_get_with(question, self.ask_in_turn(&state, term, limit, engine)).await;
        found.map_err(|error| HubError::clone(&error))
    }

    /// The tags of `repository`, whose registry must be Docker Hub, the newest first: at most `limit` and at most [`MAX_TAGS`].
    ///
    /// # Errors
    ///
    /// [`HubError`].
    pub(crate) async fn tags(&self, repository: &ImageReference, limit: u32) -> Result<Arc<Vec<String>>, HubError> {
        let state = self.0.state.load_full();
        let limit = limit.min(MAX_TAGS);
        let path = repository.path();
        let tags = state.tag_lists.try_get_with((path.to_owned(), limit), self.fetch_tags(&state, path, limit)).await;
        tags.map_err(|error| HubError::clone(&error))
    }

    async fn ask_in_turn(
        &self,
        state: &State,
        term: &str,
        limit: u32,
        engine: Option<&SearchEngine>,
    ) -> Result<Arc<SearchResults>, HubError> {
        let mut unusable = Vec::new();
        for provider in state.settings.iter().flat_map(|settings| &settings.search) {
            let name = name_of(*provider);
            match self.ask_one(state, *provider, term, limit, engine).await {
                Some(Ok(repositories)) => return Ok(Arc::new(SearchResults { provider: name, repositories })),
                Some(Err(why)) => unusable.push((name, why)),
                None => {}
            }
        }
        Err(none_left(&unusable))
    }

    /// Asks `provider`, unless it is to be left alone; none if there is none.
    async fn ask_one(
        &self,
        state: &State,
        provider: SearchProvider,
        term: &str,
        limit: u32,
        engine: Option<&SearchEngine>,
    ) -> Option<Result<Vec<HubRepository>, Unusable>> {
        let settings = state.settings.as_ref()?;
        let (pause, asked): (&Pause, BoxFuture<'_, Result<Vec<HubRepository>, Unusable>>) = match provider {
            SearchProvider::V4 => (&state.v4, self.search_v4(settings, term, limit).boxed()),
            SearchProvider::V2 => (&state.v2, self.search_v2(settings, term, limit).boxed()),
            SearchProvider::Engine => {
                let SearchEngine { engine, pause } = engine?;
                (pause, search_engine(engine, settings, term, limit).boxed())
            }
        };
        if let Err(why) = pause.over() {
            return Some(Err(why));
        }
        let limit_of_one = self.0.patience.provider;
        let answer = tokio::time::timeout(limit_of_one, asked).await.unwrap_or_else(|_elapsed| {
            let reason = format!("no answer within {} ms", limit_of_one.as_millis());
            Err(Unusable { word: "timeout", reason, retry_after: None, only_this: false })
        });
        if let Err(why) = &answer
            && !why.only_this
        {
            pause.begin(name_of(provider), why);
        }
        Some(answer.map(|mut repositories| {
            repositories.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            repositories
        }))
    }

    async fn search_v4(&self, settings: &DockerHubSettings, term: &str, limit: u32) -> Result<Vec<HubRepository>, Unusable> {
        results::of_v4(&self.fetch(results::v4(&settings.search_v4, term, limit)).await?)
    }

    async fn search_v2(&self, settings: &DockerHubSettings, term: &str, limit: u32) -> Result<Vec<HubRepository>, Unusable> {
        results::of_v2(&self.fetch(results::v2(&settings.search_v2, term, limit)).await?)
    }

    /// A list of one of Docker Hub's searches.
    async fn fetch(&self, (url, written): (Url, Url)) -> Result<Value, Unusable> {
        let wanted = Wanted { url, written, etag: None, limit_bytes: MAX_LIST_BYTES, limit: self.0.patience.provider };
        Ok(self.0.registries.document(wanted).await?.json()?)
    }
}

async fn search_engine(engine: &Engine, settings: &DockerHubSettings, term: &str, limit: u32) -> Result<Vec<HubRepository>, Unusable> {
    results::of_engine(&engine.search_images(settings.engine_index.as_deref(), term, limit).await?)
}

fn name_of(provider: SearchProvider) -> &'static str {
    match provider {
        SearchProvider::V4 => "hub-v4",
        SearchProvider::V2 => "hub-v2",
        SearchProvider::Engine => "engine",
    }
}

/// What to answer when no provider can be used. The word is that of the last.
fn none_left(unusable: &[(&'static str, Unusable)]) -> HubError {
    let Some((_, last)) = unusable.last() else {
        let reason = "the host searches nowhere: no provider that `search` of `[docker_hub]` names is there for this plugin".to_owned();
        return HubError::Unavailable { word: "refused", reason };
    };
    let each: Vec<String> = unusable.iter().map(|(name, why)| format!("{name}: {}", why.reason)).collect();
    let reason = format!("no provider of Docker Hub's search can be used: {}", each.join("; "));
    match last.word {
        "timeout" => HubError::Timeout(reason),
        word => HubError::Unavailable { word, reason },
    }
}
