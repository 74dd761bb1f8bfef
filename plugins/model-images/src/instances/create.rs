//! `POST /instances`: starts a container of an image, or with `run=0` only records one.
//!
//! The row is inserted first, with the time in `starting_ms`, so that of two requests at once one stops there and the image cannot be deleted meanwhile. Nobody sees it before the container runs. A request
//! that is gone in between leaves such a row; see [`settle`](super::settle()).

use serde_json::{Map, Value, json};
use uuid::Uuid;
use wharf_sdk::docker::containers_create;
use wharf_sdk::storage::sql::{self, ToValue};
use wharf_sdk::tracing::info;
use wharf_sdk::{Error, Request, Response};

use super::{CONTAINER_TYPE, Instance, TOKEN_LABEL, ports, shown};
use crate::body::Fields;
use crate::database::{self, Obstacle, obstacle};
use crate::environments::{self, Environment};
use crate::failure::Failure;
use crate::images::Image;
use crate::kind::Kind;
use crate::query::switch;
use crate::settings::Settings;
use crate::{stored, time};

/// What a client wants.
struct Wanted {
    name: String,
    image: i64,
    environment: Option<i64>,
    params: Params,
    run: bool,
}

#[derive(Debug, Default)]
struct Params {
    container: Option<String>,
    ports: Option<Map<String, Value>>,
}

impl Wanted {
    fn read(request: &Request) -> Result<Wanted, Failure> {
        let mut fields = Fields::read(request)?;
        let (name, image, environment) = (fields.name("name"), fields.id("image_id"), fields.optional_id("environment_id"));
        let params = fields.object("params", Params::read);
        let run = fields.note(switch(request, "run", true));
        let mut params = params.unwrap_or_default();
        if run && params.container.is_none() && fields.is_right_so_far("name") {
            if !is_container(&name) {
                fields.refuse("name", "a container cannot have this name: say another one as `params.name`");
            }
            params.container = Some(name.clone());
        }
        fields.finish()?;
        Ok(Wanted { name, image, environment, params, run })
    }
}

impl Params {
    fn read(fields: &mut Fields) -> Params {
        let container = fields.optional_text("name");
        if container.as_deref().is_some_and(|name| !is_container(name)) {
            fields.refuse("name", "a container cannot have this name: two or more of letters, digits, `_`, `.` and `-`");
        }
        if let Some(kind) = fields.optional_text("type")
            && kind != CONTAINER_TYPE
        {
            fields.refuse("type", &format!("`{kind}` is no type of an instance: expected `{CONTAINER_TYPE}`"));
        }
        Params { container, ports: ports::read(fields) }
    }
}

/// The engine's own rule.
fn is_container(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() >= 2
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

pub(crate) fn create(request: &Request) -> Result<Response, Failure> {
    let wanted = Wanted::read(request)?;
    database::ready()?;
    let image: Image = stored::one(wanted.image)?;
    let environment: Environment = match wanted.environment {
        Some(id) => stored::one(id)?,
        None => environments::default()?,
    };
    if wanted.run && !environment.host.is_empty() {
        let Environment { name, host, .. } = environment;
        return Err(Failure::Refused(format!("the environment `{name}` is on `{host}`, and this site reaches no engine but its own")));
    }
    super::settle()?;
    let token = Uuid::new_v4().to_string();
    let instance = insert(&wanted, &environment, &token)?;
    if let Some(container) = instance.container.as_deref().filter(|_| wanted.run) {
        start(&instance, container, &image, &token)?;
    }
    Ok(shown(&instance)?.with_status(201))
}

fn insert(wanted: &Wanted, environment: &Environment, token: &str) -> Result<Instance, Failure> {
    let Params { container, ports } = &wanted.params;
    let ports = ports.as_ref().map(|ports| Value::Object(ports.clone()).to_string());
    let author = Settings::read()?.author;
    let values: [(&str, &dyn ToValue); 9] = [
        ("image_id", &wanted.image),
        ("environment_id", &environment.id),
        ("name", &wanted.name),
        ("author", &author),
        ("creation_date", &time::now()),
        ("container", container),
        ("ports", &ports),
        ("token", &token),
        ("starting_ms", &wanted.run.then(time::now_ms)),
    ];
    stored::insert(&values).map_err(|error| match obstacle(&error) {
        Some(Obstacle::Unique) => Failure::Exists(Kind::Instance, wanted.name.clone()),
        Some(Obstacle::Reference) => Failure::NoObject(Kind::Image, wanted.image.to_string()),
        None => error.into(),
    })
}

fn start(instance: &Instance, container: &str, image: &Image, token: &str) -> Result<(), Failure> {
    let reference = image.reference();
    let (exposed, bindings) = ports::published(instance.ports.as_ref().unwrap_or(&Map::new()));
    let specification = json!({
        "Image": reference,
        "Labels": {"wharf.plugin": env!("CARGO_PKG_NAME"), TOKEN_LABEL: token},
        "ExposedPorts": exposed,
        "HostConfig": {"PortBindings": bindings},
    });
    match containers_create::run(container, &specification) {
        Ok(_) => {
            info!(instance = instance.id, container, image = reference, "started a container");
            Ok(sql::execute("UPDATE instances SET starting_ms = NULL WHERE id = $1", &[&instance.id]).map(drop)?)
        }
        Err(error) => {
            sql::execute("DELETE FROM instances WHERE id = $1", &[&instance.id])?;
            Err(not_started(error, container, &reference))
        }
    }
}

fn not_started(error: Error, container: &str, image: &str) -> Failure {
    match error {
        Error::Denied => Failure::Refused(format!("the container `{container}`, its image or its ports are not allowed on this site")),
        // A port that is taken, above all: what the engine says is for whoever chose it.
        Error::Internal(reason) => Failure::NotDone(format!("the container was not started: {reason}")),
        other => Failure::of_engine(other, image),
    }
}
