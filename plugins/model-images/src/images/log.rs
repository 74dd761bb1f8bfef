//! What the engine says of builds: to be followed while one is under way, and to be read afterwards.
//!
//! `POST /images` answers when the build is over, and until then nobody knows the id of its row. So a build that is under way is found by what its client does know: the task and the name that it has asked for.

use wharf_sdk::docker::operations_read;
use wharf_sdk::storage::blobs;
use wharf_sdk::{Error, Request, Response};

use super::{Image, find, settle};
use crate::database;
use crate::failure::{Detail, Failure};
use crate::kind::Kind;
use crate::name::ImageName;
use crate::query;
use crate::stored;

/// `GET /images/{id}/log`: what the engine said when it built the image.
pub(crate) fn of_image(request: &Request) -> Result<Response, Failure> {
    kept(&find(request)?)
}

/// `GET /images/log?task_id=1&name=image_name`: what the engine says of the build of this name, until the build ends; of one that is over, what it said.
pub(crate) fn follow(request: &Request) -> Result<Response, Failure> {
    let task = query::id(request, "task_id", Kind::Task)?;
    let written = query::text(request, "name")?;
    let name = ImageName::parse(&written).map_err(|message| Failure::invalid(Detail::value(&["name".into()], message)))?.to_string();
    database::ready()?;
    stored::check(Kind::Task, task)?;
    settle()?;
    let sql = "SELECT operation FROM images WHERE task_id = $1 AND building = $2";
    if let Some(row) = database::rows(sql, &[&task, &name])?.first() {
        let Some(operation) = row.get::<Option<String>>("operation")? else {
            return Err(Failure::NotFound(format!("The build of {name} has not begun")));
        };
        return Ok(text(operations_read::log(&operation)?));
    }
    let image = stored::all::<Image>("task_id = $1 AND name = $2", &[&task, &name])?.into_iter().next();
    kept(&image.ok_or_else(|| Failure::NotFound(format!("Image with name {name} does not exist")))?)
}

/// What was kept of the build of `image`.
fn kept(image: &Image) -> Result<Response, Failure> {
    match blobs::read(&image.log(), None) {
        Ok(log) => Ok(text(log)),
        Err(Error::NotFound) => Err(Failure::NotFound(format!("Image {} has no log of a build", image.name))),
        Err(error) => Err(error.into()),
    }
}

/// The host sends it by itself, as it comes.
fn text(log: wharf_sdk::ByteStream) -> Response {
    Response::stream(log).header("content-type", "text/plain; charset=utf-8")
}
