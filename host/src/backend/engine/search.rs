//! The engine's own search of an index: Docker Hub, or the one that the operator names.
//!
//! An engine takes what stands before the first slash of a term for an index if there is a dot or a port in it, and goes there. A term comes from a plugin; so an index is always put before it, and no term leads
//! the engine anywhere else.

use bytes::Bytes;

use super::{Engine, EngineError, Query};

/// Docker Hub, as engines call it.
const HUB: &str = "docker.io";
/// The most that an engine answers; more it refuses.
pub(crate) const MAX_RESULTS: u32 = 100;

impl Engine {
    /// `GET /images/search`: a JSON array of at most `limit` repositories, which must be from 1 to [`MAX_RESULTS`]. `index` is `host` or `host:port` of the index that is searched; none is Docker Hub.
    pub(crate) async fn search_images(&self, index: Option<&str>, term: &str, limit: u32) -> Result<Bytes, EngineError> {
        let mut query = Query::new();
        query.add("term", &format!("{}/{term}", index.unwrap_or(HUB)));
        query.add("limit", &limit.clamp(1, MAX_RESULTS).to_string());
        self.ask(&query.after("/images/search")).await
    }
}
