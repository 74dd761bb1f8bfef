//! Tags of a repository, page by page: a registry says in `Link` where the next one is.
//!
//! The next page is asked for with the same token, so it must be the same list of the same registry.

use std::time::Instant;

use http::header::LINK;
use http::{HeaderMap, Method};
use serde::Deserialize;
use url::Url;

use super::Client;
use super::ask::{Ask, scope};
use super::content::at;
use super::error::RegistryError;
use crate::backend::reference::ImageReference;

/// The most tags of one repository that are answered.
pub(crate) const MAX_TAGS: usize = 10_000;
/// Tags of one page. Registries may give fewer.
const PAGE: usize = 1_000;
/// The most pages: a registry that gives few at a time is left at some point.
const MAX_PAGES: usize = 100;
const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Tags of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tags {
    /// In the registry's order, which means nothing: some sort by name, none by time.
    pub(crate) tags: Vec<String>,
    /// Whether these are all.
    pub(crate) complete: bool,
}

#[derive(Deserialize)]
struct Page {
    /// Absent or null for a repository without tags.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Client {
    /// At most `limit` tags of the repository of `reference`.
    pub(super) async fn tags(&self, reference: &ImageReference, limit: usize, until: Instant) -> Result<Tags, RegistryError> {
        let authority = self.authority(reference.registry())?;
        let path = format!("/v2/{}/tags/list", reference.path());
        let mut next = Some(at(&authority, &format!("{path}?n={}", PAGE.min(limit.max(1))))?);
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let Some(url) = next.take() else { break };
            let ask =
                Ask { method: Method::GET, url: url.clone(), accept: None, etag: None, scope: scope(reference), repeatable: true, until };
            let response = self.ask(&authority, &ask).await?;
            next = next_page(response.headers(), &url, &path)?;
            let body = self.wire.whole(response, until, MAX_PAGE_BYTES).await?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|error| RegistryError::NotARegistry(format!("its list of tags is not as it should be: {error}")))?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() >= limit {
                break;
            }
        }
        let complete = next.is_none() && tags.len() <= limit;
        tags.truncate(limit);
        Ok(Tags { tags, complete })
    }
}

/// The page after `current`; none if it is the last.
fn next_page(headers: &HeaderMap, current: &Url, path: &str) -> Result<Option<Url>, RegistryError> {
    let Some(target) = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(next_link) else { return Ok(None) };
    let next = current.join(target).ok().filter(|next| next.path() == path && *next != *current);
    // Registries behind a proxy that ends the encryption give themselves the scheme that they see.
    let same_server = next.filter(|next| (next.host(), next.port()) == (current.host(), current.port()));
    let Some(mut next) = same_server else {
        return Err(RegistryError::Unintelligible("the next page of its tags is elsewhere".to_owned()));
    };
    let _ = next.set_scheme(current.scheme());
    Ok(Some(next))
}

/// The target with `rel="next"` in a value of `Link`: `</v2/a/tags/list?last=b&n=2>; rel="next"`.
fn next_link(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, parameters) = after.split_once('>')?;
        let end = parameters.find('<').unwrap_or(parameters.len());
        let (own, others) = parameters.split_at(end);
        let is_next = own.split([';', ',']).any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            name.trim().eq_ignore_ascii_case("rel")
                && value.trim().trim_matches('"').split(' ').any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_other_links() {
        assert_eq!(next_link("</a?n=1>; rel=\"next\""), Some("/a?n=1"));
        assert_eq!(next_link("</z>; rel=\"prev\", </a>; title=\"x\"; REL=Next"), Some("/a"));
        assert_eq!(next_link("</a>; rel=\"first next\""), Some("/a"));
        for none in ["", "</a>", "</a>; rel=prev", "rel=next", "<", "</a; rel=next"] {
            assert_eq!(next_link(none), None, "`{none}`");
        }
    }

    #[track_caller]
    fn check_next(target: &str, expected: Result<Option<&str>, ()>) {
        let current = Url::parse("https://r.example/v2/a/tags/list?n=2").unwrap();
        let headers = HeaderMap::from_iter([(LINK, format!("<{target}>; rel=\"next\"").parse().unwrap())]);
        let next = next_page(&headers, &current, "/v2/a/tags/list").map(|next| next.map(|next| next.to_string()));
        assert_eq!(next.map_err(|_| ()), expected.map(|next| next.map(str::to_owned)), "{target}");
    }

    #[test]
    fn the_next_page_is_of_the_same_list() {
        let second = "https://r.example/v2/a/tags/list?last=b&n=2";
        check_next("/v2/a/tags/list?last=b&n=2", Ok(Some(second)));
        check_next("?last=b&n=2", Ok(Some(second)));
        check_next(second, Ok(Some(second)));
        check_next("http://r.example/v2/a/tags/list?last=b&n=2", Ok(Some(second)));
        check_next("https://evil.example/v2/a/tags/list?last=b", Err(()));
        check_next("/v2/b/tags/list?last=b", Err(()));
        check_next("?n=2", Err(()));
    }
}
