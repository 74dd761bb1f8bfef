//! `/api/images`: the list, and what is done with a container of it.
//!
//! Below it, what is wrong with a request is said in the order in which this API has always looked: the form of the path, the actions that read, the method, the container, the action.

use wharf_sdk::docker::operations_read::{self, ProgressFormat};
use wharf_sdk::jobs::queue;
use wharf_sdk::{Error, Request, Response, percent_decode};

use super::check_method;
use crate::document::{Document, read_both};
use crate::failure::Failure;
use crate::progress::{Ended, Progress, Update, Updates};
use crate::records::Records;
use crate::settings::Settings;
use crate::snapshot::{Item, Snapshot, short_id};
use crate::update::{self, Order};

/// The most containers of one job, whose order must not be longer than 64 KiB.
const MOST: usize = 900;

/// `GET /api/images`.
pub(crate) fn list(request: &Request) -> Result<Response, Failure> {
    check_method(request, "GET")?;
    let (snapshot, records) = read_both::<Snapshot, Records>()?;
    line(&snapshot.view(&records, Settings::read()?.auto_update_default))
}

/// `value` as JSON, with a line break behind it.
pub(super) fn line(value: &impl serde::Serialize) -> Result<Response, Failure> {
    let mut json = serde_json::to_vec(value).map_err(|error| Failure::Internal(error.to_string()))?;
    json.push(b'\n');
    Ok(Response::new(200).header("content-type", "application/json").body(json))
}

/// What an update that was asked for is answered with.
pub(super) fn updating() -> Response {
    Response::new(200).header("content-type", "application/json").body(r#"{"status":"updating"}"#.as_bytes())
}

/// Everything below `/api/images/`.
pub(crate) fn below(request: &Request) -> Result<Response, Failure> {
    let path = percent_decode(request.path());
    let below = path.strip_prefix("/api/images/").unwrap_or_default();
    let (id, action) = match below.split('/').collect::<Vec<_>>().as_slice() {
        [id, action] if !id.is_empty() && !action.is_empty() => (*id, *action),
        _ => return Err(Failure::BadPath),
    };
    match action {
        "progress" => return progress(request, id),
        "events" => return events(request, id),
        _ => {}
    }
    check_method(request, "POST")?;
    let snapshot = Snapshot::read()?;
    let (_, item) = snapshot.find(id).ok_or(Failure::NoContainer)?;
    match action {
        "update" => {
            order(&[item], &item.id)?;
            Ok(updating())
        }
        "auto-update" => toggle(item),
        _ => Err(Failure::UnknownAction),
    }
}

/// `GET /api/images/{id}/progress`.
fn progress(request: &Request, id: &str) -> Result<Response, Failure> {
    check_method(request, "GET")?;
    let updates = Updates::read()?;
    let update = updates.0.get(id).ok_or(Failure::NoProgress)?;
    Ok(Response::json(&Progress::of(update)?.ok_or(Failure::NoProgress)?))
}

/// `GET /api/images/{id}/events`: the progress of the host's operation, as it comes. A client whose update waits for its turn is told to come again, as browsers do by themselves.
fn events(request: &Request, id: &str) -> Result<Response, Failure> {
    check_method(request, "GET")?;
    let updates = Updates::read()?;
    let update = updates.0.get(id).ok_or(Failure::NoProgress)?;
    let watched = match &update.operation {
        Some(operation) if update.is_under_way() => operations_read::watch(operation, ProgressFormat::ServerSentEvents),
        Some(_) | None => Err(Error::NotFound),
    };
    let response = match watched {
        Ok(stream) => Response::stream(stream),
        Err(Error::NotFound) => {
            let progress = Progress::of(update)?.ok_or(Failure::NoProgress)?;
            let name = if progress.is_failure() { "failed" } else { "waiting" };
            let progress = serde_json::to_string(&progress).map_err(|error| Failure::Internal(error.to_string()))?;
            Response::new(200).body(format!("retry: 1000\nevent: {name}\ndata: {progress}\n\n").into_bytes())
        }
        Err(error) => return Err(error.into()),
    };
    Ok(response.header("content-type", "text/event-stream").header("cache-control", "no-store"))
}

/// `POST /api/images/{id}/auto-update`.
fn toggle(item: &Item) -> Result<Response, Failure> {
    let default = Settings::read()?.auto_update_default;
    let auto_update = Records::change(|records| records.toggle(&item.id, &item.name, default))?;
    Ok(Response::json(&serde_json::json!({"auto_update": auto_update})))
}

/// Orders the update of `items`, one after another, but for those that are being updated. `key` is what they have in common.
pub(super) fn order(items: &[&Item], key: &str) -> Result<(), Failure> {
    let updates = Updates::read()?;
    let busy = busy(items, &updates);
    let wanted: Vec<&Item> = items.iter().copied().filter(|item| !busy.contains(&short_id(&item.id))).collect();
    for (place, part) in wanted.chunks(MOST).enumerate() {
        let order = Order { containers: part.iter().map(|item| item.id.clone()).collect(), automatic: false };
        let key = if place == 0 { key.to_owned() } else { format!("{key} {place}") };
        let job = match update::enqueue(&order, &key) {
            Ok(job) => job,
            // It has been asked for a moment ago.
            Err(Error::Conflict(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        let noted = Updates::change(|updates| {
            for item in part {
                let entry = updates.0.entry(short_id(&item.id).to_owned()).or_default();
                // The job may have begun already, and even ended with a failure.
                if entry.job != job {
                    *entry = Update::of(&job);
                }
            }
        });
        // The job notes it too when it begins.
        if let Err(error) = noted {
            wharf_sdk::tracing::warn!(%error, job, "an update that was ordered could not be noted");
        }
    }
    Ok(())
}

/// The short ids of those of `items` whose updates are under way. What the job of one has left behind when it ended does not count.
fn busy<'i>(items: &[&'i Item], updates: &Updates) -> Vec<&'i str> {
    let shorts = items.iter().map(|item| short_id(&item.id));
    let entries: Vec<(&str, &Update)> = shorts.filter_map(|short| Some((short, updates.under_way(short)?))).collect();
    if entries.is_empty() {
        return Vec::new();
    }
    let jobs: Vec<String> = entries.iter().map(|(_, update)| update.job.clone()).collect();
    let states = queue::get(&jobs).into_iter().map(Ended::of);
    entries.iter().zip(states).filter(|(_, ended)| ended.is_none()).map(|((short, _), _)| *short).collect()
}
