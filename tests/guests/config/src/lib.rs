//! Shows its settings as they cross, and reveals a secret by name.

use serde_json::{Value, json};
use wharf_sdk::config::{self, Error};
use wharf_sdk::{Description, Plugin, Request, Response, Router};

struct Config;

impl Plugin for Config {
    fn describe() -> Description {
        Description::new().config_schema(json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "greeting": {"type": "string"},
                "count": {"type": "integer", "minimum": 1},
                "nested": {"type": "object"},
                "password": {"type": "string"},
            },
        }))
    }

    fn routes() -> Router {
        Router::new().get("/document", document).get("/reveal/{name}", reveal)
    }
}

fn document(_: &Request) -> Result<Response, Error> {
    Ok(Response::json(&config::get::<Value>()?))
}

fn reveal(request: &Request) -> Result<String, Error> {
    config::reveal(&request.param("name"))
}

wharf_sdk::export!(Config);
