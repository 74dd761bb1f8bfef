//! `POST /deployments`: a new container, named by the plugin.
//!
//! The name is random and not the posted `id`, since there may be several instances of one adapter. Everything that can be wrong with the body is looked at
//! before the engine is asked for anything.

use serde_json::{Value, json};
use uuid::Uuid;
use wharf_sdk::docker::{Error, containers_create, images_pull, images_read};
use wharf_sdk::tracing::info;
use wharf_sdk::{Request, Response, config};

use crate::environment;
use crate::failure::Failure;
use crate::json::{Json, Object};
use crate::list::TYPE_LABEL;
use crate::ports::{self, Published};
use crate::settings::Settings;

/// The variable that tells a container its own name.
const INSTANCE_VARIABLE: &str = "DEP_INSTANCE";

/// What a client posts.
struct Deployment {
    /// The id of the worker or adapter in the product's registry; not the container's.
    id: String,
    image: String,
    /// Where the data cache is mounted in the container.
    data_cache_path: String,
    kind: Kind,
    /// `configs`, then `inputs`, which win.
    variables: Object,
    published: Published,
}

#[derive(Clone, Copy)]
enum Kind {
    Worker,
    ProtocolAdapter,
}

pub(crate) fn deploy(request: &Request) -> Result<Response, Failure> {
    let deployment = Deployment::read(request.json()?)?;
    let settings: Settings = config::get().map_err(Failure::Engine)?;
    let name = Uuid::new_v4().to_string();
    fetch(&deployment.image).map_err(Failure::Engine)?;
    containers_create::run(&name, &deployment.specification(&name, &settings)).map_err(Failure::Engine)?;
    info!(container = name, image = deployment.image, "deployed a container");
    Ok(Response::new(200).body(name.into_bytes()))
}

/// Pulls `image` if the engine does not hold it.
fn fetch(image: &str) -> Result<(), Error> {
    match images_read::inspect_one(image) {
        Ok(_) => Ok(()),
        Err(Error::NotFound) => images_pull::pull(image),
        Err(error) => Err(error),
    }
}

impl Deployment {
    fn read(body: Json) -> Result<Deployment, Failure> {
        let Json::Object(mut body) = body else {
            return Err(Failure::Malformed("the body is no object"));
        };
        let mut text = |key| match body.swap_remove(key) {
            Some(Json::Text(text)) => Ok(text),
            _ => Err(Failure::Malformed("`id`, `image`, `data_cache_path` or `type` is missing or no text")),
        };
        let (id, image, data_cache_path, kind) = (text("id")?, text("image")?, text("data_cache_path")?, text("type")?);
        let kind = match kind.as_str() {
            "worker" => Kind::Worker,
            "protocol-adapter" => Kind::ProtocolAdapter,
            _ => return Err(Failure::Malformed("`type` is neither `worker` nor `protocol-adapter`")),
        };
        if !matches!(body.get("name"), None | Some(Json::Null | Json::Text(_))) {
            return Err(Failure::Malformed("`name` is no text"));
        }
        let mut object = |key| match body.swap_remove(key) {
            None | Some(Json::Null) => Ok(Object::new()),
            Some(Json::Object(object)) => Ok(object),
            Some(_) => Err(Failure::Malformed("`configs`, `inputs` or `ports` is neither an object nor null")),
        };
        let mut variables = object("configs")?;
        variables.extend(object("inputs")?);
        let published = ports::published(&object("ports")?)?;
        Ok(Deployment { id, image, data_cache_path, kind, variables, published })
    }

    /// What the engine is asked for.
    fn specification(&self, name: &str, settings: &Settings) -> Value {
        let mut variables = Object::from([(INSTANCE_VARIABLE.to_owned(), Json::Text(name.to_owned()))]);
        variables.extend(self.variables.clone());
        let (kind, restart_policy) = match self.kind {
            Kind::Worker => ("worker", "no"),
            Kind::ProtocolAdapter => ("protocol-adapter", "unless-stopped"),
        };
        json!({
            "Image": self.image,
            "Env": environment::list(&variables),
            "Labels": {TYPE_LABEL: kind, "lopco-id": self.id},
            "ExposedPorts": self.published.exposed,
            "HostConfig": {
                "NetworkMode": settings.network,
                // Not `Binds`: there a colon in the path would begin an option.
                "Mounts": [{"Type": "volume", "Source": settings.data_cache_volume, "Target": self.data_cache_path, "ReadOnly": false}],
                "PortBindings": self.published.bindings,
                "RestartPolicy": {"Name": restart_policy},
            },
        })
    }
}
