//! What a registry says of its limits: `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 76;w=21600`, as Docker Hub sends them with every manifest, to a `HEAD` too.

use std::time::Duration;

use http::HeaderMap;

/// How much may be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Pulls in one window.
    pub(crate) limit: u64,
    /// Pulls left in this window.
    pub(crate) remaining: u64,
    /// The window; none if the registry does not say.
    pub(crate) window: Option<Duration>,
}

impl Quota {
    /// What `headers` say; none if they say nothing, which a registry without limits does.
    pub(super) fn read(headers: &HeaderMap) -> Option<Quota> {
        let (limit, window) = value(headers, "ratelimit-limit")?;
        let (remaining, other) = value(headers, "ratelimit-remaining")?;
        Some(Quota { limit, remaining, window: window.or(other) })
    }
}

fn value(headers: &HeaderMap, name: &str) -> Option<(u64, Option<Duration>)> {
    let text = headers.get(name)?.to_str().ok()?;
    let mut parts = text.split(';').map(str::trim);
    let number = parts.next()?.parse().ok()?;
    let window = parts.find_map(|part| part.strip_prefix("w=")?.parse().ok());
    Some((number, window.map(Duration::from_secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limit: &str, remaining: &str, expected: Option<(u64, u64, Option<u64>)>) {
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit-limit", limit.parse().unwrap());
        headers.insert("ratelimit-remaining", remaining.parse().unwrap());
        let expected = expected.map(|(limit, remaining, window)| Quota { limit, remaining, window: window.map(Duration::from_secs) });
        assert_eq!(Quota::read(&headers), expected);
    }

    #[test]
    fn a_quota_has_a_limit_a_rest_and_a_window() {
        check("100;w=21600", "76;w=21600", Some((100, 76, Some(21600))));
        check("200", " 0 ", Some((200, 0, None)));
        check("unlimited", "1", None);
        assert_eq!(Quota::read(&HeaderMap::new()), None);
    }
}
