//! The tags of a repository, the newest first. The registry itself knows no age.
//!
//! Docker Hub gives them in pages of a hundred and says in `next` where the next one is. Whether there is one is all that is taken from it: the page is asked for by its number where the first one was, so
//! that nothing that is answered, by Docker Hub or by a proxy before it, leads the host to another place.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;

use super::{Hub, HubError, MAX_LIST_BYTES, MAX_TAGS, State, Unusable, results};
use crate::backend::registry::Wanted;

/// Tags of one page, the most that Docker Hub gives.
const PAGE: u32 = 100;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    next: Value,
    /// May be null, and must be there.
    #[serde(deserialize_with = "Option::deserialize")]
    results: Option<Vec<Value>>,
}

impl Hub {
    /// At most `limit` tags of the repository `path`: `library/redis`.
    pub(super) async fn fetch_tags(&self, state: &State, path: &str, limit: u32) -> Result<Arc<Vec<String>>, HubError> {
        let (Some(settings), Some((namespace, name))) = (&state.settings, path.split_once('/').filter(|(_, name)| !name.contains('/')))
        else {
            return Err(HubError::NotFound);
        };
        state.tags.over().map_err(error)?;
        let until = Instant::now() + self.0.patience.tags;
        let base = results::below(&settings.tags, &format!("v2/namespaces/{namespace}/repositories/{name}/tags"));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut tags = Vec::new();
        for number in 1..=MAX_TAGS / PAGE {
            let mut url = base.clone();
            url.query_pairs_mut().append_pair("page_size", &PAGE.to_string()).append_pair("page", &number.to_string());
            let left = until.saturating_duration_since(Instant::now());
            let wanted = Wanted { url, written: settings.tags.clone(), etag: None, limit_bytes: MAX_LIST_BYTES, limit: left };
            let page = self.0.registries.document(wanted).await;
            let page: Page = match page.and_then(|document| document.json()) {
                Ok(page) => page,
                Err(why) if why.is_not_found() && number == 1 => return Err(HubError::NotFound),
                // Between two pages tags were removed.
                Err(why) if why.is_not_found() => break,
                Err(why) => {
                    let why = Unusable::from(why);
                    // What is wrong with one repository is no reason not to ask about others.
                    if why.retry_after.is_some() || ["rate-limited", "unreachable", "timeout", "not-a-registry"].contains(&why.word) {
                        state.tags.begin("tags", &why);
                    }
                    return Err(error(why));
                }
            };
            let names = page.results.iter().flatten().filter_map(|item| item.get("name")?.as_str());
            tags.extend(names.map(str::to_owned));
            let is_last = page.next.is_null();
            if is_last || tags.len() >= limit {
                break;
            }
        }
        tags.truncate(limit);
        Ok(Arc::new(tags))
    }
}

fn error(why: Unusable) -> HubError {
    let reason = format!("Docker Hub's list of tags: {}", why.reason);
    match why.word {
        "timeout" => HubError::Timeout(reason),
        word => HubError::Unavailable { word, reason },
    }
}
