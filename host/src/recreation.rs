//! The algebra of recreating containers, for the tests that hold it against real engines: they are a crate of their own, and what they have are documents.
//!
//! Nothing else uses this. What the host does with the algebra is in `backend/recreate/`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::backend::engine::ApiVersion;
use crate::backend::recreate::specification::{Facts, Subject, Target, differences, preview, specify};

/// A case: what an engine says of a container, of its image, of its other containers and of itself, and the image that the container is to be recreated on.
#[derive(Debug, Clone)]
pub struct Case {
    facts: Facts,
    document: Value,
    replaced: BTreeMap<String, String>,
}

impl Case {
    /// Reads `api` (`1.41`), `info` and `version` (the engine's answers to `GET /info` and `GET /version`), `container`, `image`, `others`, and `target` with its `reference` and `image`.
    ///
    /// # Errors
    ///
    /// `api` is no version.
    pub fn read(document: Value) -> Result<Case, String> {
        let api = document.get("api").and_then(Value::as_str).and_then(ApiVersion::parse).ok_or("`api` is no version")?;
        let part = |key: &str| document.get(key).cloned().unwrap_or_default();
        let facts = Facts::read(api, &part("info"), &part("version"), None);
        Ok(Case { facts, document, replaced: BTreeMap::new() })
    }

    /// How to create the container anew: `body` and `connect`.
    ///
    /// # Errors
    ///
    /// Why it is not to be recreated.
    pub fn specification(&self) -> Result<Value, String> {
        let specification = specify(&self.subject(), &self.target()).map_err(|refusal| refusal.to_string())?;
        serde_json::to_value(specification).map_err(|error| error.to_string())
    }

    /// What the recreation would change.
    ///
    /// # Errors
    ///
    /// As [`Case::specification`].
    pub fn preview(&self) -> Result<Value, String> {
        preview(&self.subject(), &self.target()).map(|changes| json!(changes)).map_err(|refusal| refusal.to_string())
    }

    /// What the inspect document `created`, of a container that was created as [`Case::specification`] says, has otherwise; each difference in words.
    ///
    /// # Errors
    ///
    /// As [`Case::specification`].
    pub fn differences(&self, created: &Value) -> Result<Vec<String>, String> {
        let specification = specify(&self.subject(), &self.target()).map_err(|refusal| refusal.to_string())?;
        let found = differences(&specification, self.target().image, created, &self.facts);
        Ok(found.iter().map(ToString::to_string).collect())
    }

    fn subject(&self) -> Subject<'_> {
        let others = self.part("/others").as_array().map(Vec::as_slice).unwrap_or_default();
        Subject { container: self.part("/container"), image: self.part("/image"), facts: &self.facts, others, replaced: &self.replaced }
    }

    fn target(&self) -> Target<'_> {
        Target { reference: self.part("/target/reference").as_str().unwrap_or_default(), image: self.part("/target/image") }
    }

    fn part(&self, pointer: &str) -> &Value {
        static NOTHING: Value = Value::Null;
        self.document.pointer(pointer).unwrap_or(&NOTHING)
    }
}
