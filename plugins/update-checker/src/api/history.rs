//! `GET /api/history`: the updates that have ended, the newest first; with `limit` at most so many.

use wharf_sdk::{Request, Response};

use super::{check_method, images};
use crate::document::Document;
use crate::failure::Failure;
use crate::history::History;

pub(crate) fn list(request: &Request) -> Result<Response, Failure> {
    check_method(request, "GET")?;
    let limit = match request.query().get("limit") {
        Some(limit) => limit.parse().map_err(|_| Failure::BadRequest)?,
        None => usize::MAX,
    };
    let mut history = History::read()?.0;
    history.truncate(limit);
    images::line(&history)
}
