//! The plugin's settings.

use serde::Deserialize;
use serde_json::{Value, json};
use wharf_sdk::{Error, config};

use crate::build;

/// What stands in `base_image` for the version of Python that a client asks for.
pub(crate) const VERSION_PLACE: &str = "{python_version}";

const BASE_IMAGE: &str = "python:{python_version}-slim";
const PYTHON_VERSION: &str = "3";
const AUTHOR: &str = "wharf";
const MAX_ARTIFACTS: usize = 256;

/// `config` of the plugin in `wharf.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// What images are built on unless the client names another. The engine must hold it: a build pulls nothing.
    pub(crate) base_image: String,
    /// What [`VERSION_PLACE`] in it is, unless the client says.
    pub(crate) python_version: String,
    /// Who everything is said to be made by.
    pub(crate) author: String,
    /// The most artifacts that a model may have.
    pub(crate) max_artifacts: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            base_image: BASE_IMAGE.to_owned(),
            python_version: PYTHON_VERSION.to_owned(),
            author: AUTHOR.to_owned(),
            max_artifacts: MAX_ARTIFACTS,
        }
    }
}

impl Settings {
    pub(crate) fn read() -> Result<Settings, Error> {
        config::get()
    }
}

/// What the host checks the settings against.
pub(crate) fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "base_image": {
                "type": "string",
                "minLength": 1,
                "default": BASE_IMAGE,
                "description": "What images are built on unless the client names another; `{python_version}` in it is the version that the client asks for. The engine must hold it.",
            },
            "python_version": {
                "type": "string",
                "minLength": 1,
                "default": PYTHON_VERSION,
                "description": "The version of Python where the client asks for none.",
            },
            "author": {
                "type": "string",
                "minLength": 1,
                "default": AUTHOR,
                "description": "Who everything is said to be made by.",
            },
            "max_artifacts": {
                "type": "integer",
                "minimum": 1,
                "maximum": build::MAX_ARTIFACTS,
                "default": MAX_ARTIFACTS,
                "description": "The most artifacts that a model may have.",
            },
        },
    })
}
