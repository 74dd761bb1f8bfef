//! Each function of the room: allowed, denied, gone, out of reach; and what of the arguments is refused.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::backend::jobs::testing::{every, site_jobs};
use crate::bindings::wharf::jobs::types::{Error, JobState};
use crate::capability::call::testing::{Denials, request};
use crate::settings::section::read_for_test;

/// Every function of the room.
const FUNCTIONS: [&str; 6] = ["queue.enqueue", "queue.get", "queue.find", "queue.cancel", "schedules-read.list", "webhooks.post"];

/// The grants of the golden table.
const GRANTS: [(&str, &str); 5] = [
    ("nobody", ""),
    ("worker", "allow = [\"queue\"]"),
    ("reader", "allow = [\"schedules.read\"]"),
    ("teller", "allow = [\"webhooks\"]\nwebhooks.outcome = { url = \"https://example.org\" }"),
    ("elsewhere", "allow = [\"webhooks\"]\nwebhooks.other = { url = \"https://example.org\" }"),
];

/// A plugin in the middle of a request.
struct Plugin {
    room: JobsRoom,
    call: CallContext,
    denials: Arc<Denials>,
    _folder: tempfile::TempDir,
}

fn plugin(grant: &str) -> Plugin {
    let folder = tempfile::tempdir().unwrap();
    plugin_in(grant, &site_jobs(folder.path()), folder)
}

fn plugin_in(grant: &str, jobs: &Arc<SiteJobs>, folder: tempfile::TempDir) -> Plugin {
    let (grant, mistakes) = read_for_test(grant, JobsGrant::read);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let (call, denials) = request("p", 100);
    Plugin { room: JobsRoom::new(Some(grant), "p", jobs, 3, vec![every("10m", false)]), call, denials, _folder: folder }
}

/// A plugin with every power and the webhook `outcome`.
fn trusted() -> Plugin {
    plugin("allow = [\"queue\", \"schedules.read\", \"webhooks\"]\nwebhooks.outcome = { url = \"https://example.org\" }")
}

impl Plugin {
    fn view(&mut self) -> JobsCtxView<'_> {
        JobsCtxView { room: &self.room, call: &mut self.call }
    }

    async fn enqueue(&mut self, kind: &str, payload: &str, options: queue::JobOptions) -> Result<String, String> {
        queue::Host::enqueue(&mut self.view(), kind.to_owned(), payload.to_owned(), options).await.map_err(word)
    }

    async fn get(&mut self, id: &str) -> Result<types::Job, String> {
        queue::Host::get(&mut self.view(), vec![id.to_owned()]).await.remove(0).map_err(word)
    }

    /// The id of the job that has `key`.
    async fn find(&mut self, key: &str) -> Result<Option<String>, String> {
        queue::Host::find(&mut self.view(), key.to_owned()).await.map(|found| found.map(|job| job.id)).map_err(word)
    }

    async fn cancel(&mut self, id: &str) -> Result<(), String> {
        queue::Host::cancel(&mut self.view(), id.to_owned()).await.map_err(word)
    }

    async fn schedules(&mut self) -> Result<Vec<schedules_read::Schedule>, String> {
        schedules_read::Host::list(&mut self.view()).await.map_err(word)
    }

    async fn post(&mut self, name: &str, content_type: &str, body: Vec<u8>) -> Result<String, String> {
        webhooks::Host::post(&mut self.view(), name.to_owned(), content_type.to_owned(), body).await.map_err(word)
    }

    /// Why each of [`FUNCTIONS`] did not do it; empty if it did.
    async fn each(&mut self) -> [String; 6] {
        let taken = self.enqueue("x", "", options()).await;
        let id = taken.clone().unwrap_or_default();
        [
            taken.err(),
            self.get(&id).await.err(),
            self.find("k").await.err(),
            self.cancel(&id).await.err(),
            self.schedules().await.err(),
            self.post("outcome", "text/plain", Vec::new()).await.err(),
        ]
        .map(Option::unwrap_or_default)
    }
}

/// The error's word, and of a conflict its payload.
fn word(error: Error) -> String {
    match error {
        Error::Denied => "denied".to_owned(),
        Error::NotFound => "not-found".to_owned(),
        Error::Invalid(_) => "invalid".to_owned(),
        Error::Conflict(id) => format!("conflict {id}"),
        Error::Unavailable(_) => "unavailable".to_owned(),
        Error::Timeout => "timeout".to_owned(),
        Error::QuotaExceeded => "quota-exceeded".to_owned(),
        Error::Internal(reason) => format!("internal {reason}"),
    }
}

fn is(word: &str) -> Result<String, String> {
    Err(word.to_owned())
}

fn options() -> queue::JobOptions {
    queue::JobOptions { key: None, delay_ms: 0, attempts: None }
}

fn with_key(key: &str) -> queue::JobOptions {
    queue::JobOptions { key: Some(key.to_owned()), ..options() }
}

#[tokio::test]
async fn a_job_is_taken_found_and_cancelled() {
    let mut plugin = trusted();
    let id = plugin.enqueue("x", "about", with_key("k")).await.unwrap();
    let job = plugin.get(&id).await.unwrap();
    assert_eq!((job.kind.as_str(), job.payload.as_str(), job.state, job.attempts), ("x", "about", JobState::Waiting, 0));
    assert_eq!(plugin.enqueue("x", "", with_key("k")).await, is(&format!("conflict {id}")));
    assert_eq!(plugin.find("k").await, Ok(Some(id.clone())));
    assert_eq!(plugin.cancel(&id).await, Ok(()));
    assert_eq!(plugin.get(&id).await.unwrap().state, JobState::Cancelled);
    assert_eq!(plugin.find("k").await, Ok(None));
    for none in ["none".to_owned(), "0".repeat(32), "\0".to_owned()] {
        assert_eq!(plugin.get(&none).await.err().as_deref(), Some("not-found"));
        assert_eq!(plugin.cancel(&none).await.err().as_deref(), Some("not-found"));
    }
}

#[tokio::test]
async fn a_plugin_sees_no_jobs_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = site_jobs(folder.path());
    let mut one = plugin_in("allow = [\"queue\"]", &jobs, tempfile::tempdir().unwrap());
    let id = one.enqueue("x", "", with_key("k")).await.unwrap();
    let mut other = plugin_in("allow = [\"queue\"]", &jobs, folder);
    other.room.plugin = "other".to_owned();
    assert_eq!(other.get(&id).await.err().as_deref(), Some("not-found"));
    assert_eq!(other.cancel(&id).await.err().as_deref(), Some("not-found"));
    assert_eq!(other.find("k").await, Ok(None));
}

#[tokio::test]
async fn messages_go_to_webhooks_of_the_grant_and_are_no_jobs_of_the_plugin() {
    let mut plugin = trusted();
    let id = plugin.post("outcome", "application/json", b"{}".to_vec()).await.unwrap();
    assert_eq!(plugin.get(&id).await.err().as_deref(), Some("not-found"));
    assert_eq!(plugin.post("other", "text/plain", Vec::new()).await, is("not-found"));
    for wrong in ["", "text/plain\r\nx: y", "é"] {
        assert_eq!(plugin.post("outcome", wrong, Vec::new()).await, is("invalid"), "{wrong:?}");
    }
    assert_eq!(plugin.post("outcome", "text/plain", vec![0; MAX_MESSAGE_BYTES + 1]).await, is("invalid"));
}

#[tokio::test]
async fn schedules_are_listed_before_anybody_has_made_their_rows() {
    let listed = trusted().schedules().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name.as_str(), listed[0].timing.as_str(), listed[0].next_ms, listed[0].missed), ("check", "every 10m", None, 0));
}

#[tokio::test]
async fn what_was_not_granted_is_denied() {
    let mut nothing = plugin("");
    assert_eq!(nothing.each().await, ["denied"; 6]);
    assert_eq!(nothing.denials.count(), 6);
    let (call, denials) = request("p", 100);
    let mut powerless = Plugin { room: JobsRoom::powerless(), call, denials, _folder: tempfile::tempdir().unwrap() };
    assert_eq!(powerless.each().await, ["denied"; 6]);
    let mut reader = plugin("allow = [\"schedules.read\"]");
    assert_eq!(reader.each().await, ["denied", "denied", "denied", "denied", "", "denied"]);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how a developer asks for the file to be written anew")]
async fn the_golden_table_is_what_the_grants_allow() {
    let mut table =
        "# What each grant allows: ✔ carried out, ✘ denied, ? another error. Written by the tests of the jobs room.\n".to_owned();
    let mut lines = FUNCTIONS.map(|function| format!("{:<42}", format!("jobs.{function}")));
    for (name, grant) in GRANTS {
        for (line, word) in lines.iter_mut().zip(plugin(grant).each().await) {
            let mark = match word.as_str() {
                "" => '✔',
                "denied" => '✘',
                _ => '?',
            };
            *line += &format!("  {name}:{mark}");
        }
    }
    for line in lines {
        table += line.trim_end();
        table.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/jobs.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(table, golden, "run the tests with UPDATE_GOLDEN=1 and read the difference of {}", path.display());
}

#[tokio::test]
async fn arguments_that_break_a_rule_are_refused() {
    let mut plugin = trusted();
    let long = "x".repeat(MAX_PAYLOAD_BYTES + 1);
    let refused: [(&str, &str, queue::JobOptions); 8] = [
        ("", "", options()),
        (&long[..=MAX_KIND_BYTES], "", options()),
        ("a\0b", "", options()),
        ("x", &long, options()),
        ("x", "", with_key("")),
        ("x", "", with_key(&long[..=MAX_KEY_BYTES])),
        ("x", "", queue::JobOptions { delay_ms: MAX_DELAY_MS + 1, ..options() }),
        ("x", "", queue::JobOptions { attempts: Some(0), ..options() }),
    ];
    for (kind, payload, options) in refused {
        assert_eq!(plugin.enqueue(kind, payload, options).await, is("invalid"));
    }
    let answers = queue::Host::get(&mut plugin.view(), vec![String::new(); MAX_IDS + 1]).await;
    assert!(answers.len() == MAX_IDS + 1 && answers.iter().all(|answer| matches!(answer, Err(Error::Invalid(_)))));
}

#[tokio::test]
async fn a_quota_is_a_quota_whichever_it_is() {
    let mut plugin = trusted();
    for _ in 0..3 {
        plugin.enqueue("x", "", options()).await.unwrap();
    }
    assert_eq!(plugin.enqueue("x", "", options()).await, is("quota-exceeded"));
    assert_eq!(plugin.post("outcome", "text/plain", Vec::new()).await, is("quota-exceeded"));
    plugin.call.host_calls_left = 0;
    assert_eq!(plugin.each().await, ["quota-exceeded"; 6]);
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("storage"), "a file where a folder should be").unwrap();
    let jobs = site_jobs(folder.path());
    let mut plugin = plugin_in("allow = [\"queue\", \"schedules.read\"]", &jobs, folder);
    assert_eq!(plugin.enqueue("x", "", options()).await, is("unavailable"));
    assert_eq!(plugin.get(&"0".repeat(32)).await.err().as_deref(), Some("unavailable"));
    assert_eq!(plugin.find("k").await, Err("unavailable".to_owned()));
    assert_eq!(plugin.cancel(&"0".repeat(32)).await, Err("unavailable".to_owned()));
    assert_eq!(plugin.schedules().await.err().as_deref(), Some("unavailable"));
}
