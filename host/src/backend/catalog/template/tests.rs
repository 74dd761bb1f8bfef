//! What of an archive becomes a blob, where the host goes for one, and what is left when it is ended.

use std::collections::BTreeMap;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::backend::blobs::Blobs;
use crate::backend::catalog::{Kind, read};
use crate::backend::operations::{Operations, Outcome, Owner};
use crate::settings::BlobPlace;

const ARCHIVE: &[u8] = b"an archive";
const LIMIT: Duration = Duration::from_secs(60);

/// A server that sends the same bytes to everybody, and then closes the connection or waits.
struct Server {
    address: String,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(answer: Vec<u8>, waits: bool) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/archive.tar.xz", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await;
                stream.write_all(&answer).await.unwrap();
                if waits {
                    std::future::pending::<()>().await;
                }
            }
        });
        Server { address, _tasks: tasks }
    }

    /// One that announces `length` bytes and sends `body`.
    async fn sending(length: usize, body: &[u8]) -> Server {
        Server::start(answer("200 OK", length, body), false).await
    }
}

fn answer(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n").as_bytes(), body].concat()
}

/// A plugin's blobs in a directory.
struct Place {
    space: BlobSpace,
    folder: TempDir,
}

impl Place {
    fn new(quota_bytes: u64) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::default();
        blobs.configure(&BlobPlace::Directory(folder.path().join("blobs")));
        Place { space: blobs.space("plant", "shop", quota_bytes), folder }
    }

    /// The bytes of the blob; none if there is none.
    async fn bytes(&self) -> Option<Vec<u8>> {
        let mut stream = self.space.read(&blob(), None).await.ok()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.read(usize::MAX).await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        Some(bytes)
    }

    /// Waits until there are so many files: what is given up is removed behind whoever gave it up.
    async fn wait_for_files(&self, count: usize) {
        let files = || std::fs::read_dir(self.folder.path().join("blobs/plant/shop/bytes")).map_or(0, Iterator::count);
        let settled = async {
            while files() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), settled).await.is_ok(), "{} files instead of {count}", files());
    }
}

fn blob() -> BlobName {
    BlobName::parse("lxc/ubuntu").unwrap()
}

/// The template of a catalogue in a file of the operator's whose entry has these lines too.
fn template(url: &str, lines: &str) -> Template {
    in_catalog(url, lines, Some(&CatalogSource::File("catalog.json".into())))
}

fn in_catalog(url: &str, lines: &str, place: Option<&CatalogSource>) -> Template {
    let text = format!(r#"[{{"kind": "lxc", "name": "ubuntu", "version": "1", "archive_url": "{url}"{lines}}}]"#);
    let reading = read::catalog(text.as_bytes()).unwrap();
    let entry = reading.catalog.entries.first().unwrap_or_else(|| panic!("{:?}", reading.broken));
    assert_eq!(entry.kind, Kind::Lxc);
    Template::new("qnap", entry, Url::parse(url).unwrap(), place)
}

fn download(template: Template, place: &Place) -> Download {
    template.download(&Registries::for_test(BTreeMap::new()), place.space.clone(), blob(), LIMIT)
}

/// What comes of the archive that `server` sends, by an entry with `lines`: `stored`, or the word of the error, and then nothing is there.
async fn check(server: &Server, lines: &str, quota_bytes: u64, expected: &str) {
    let place = Place::new(quota_bytes);
    let outcome = download(template(&server.address, lines), &place).work.await;
    let word = match &outcome {
        Ok(()) => "stored",
        Err(crate::backend::operations::OperationFailure::Archive(error)) => error.word(),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(word, expected, "{lines}: {outcome:?}");
    let stored = place.bytes().await;
    assert_eq!(stored.as_deref(), (expected == "stored").then_some(ARCHIVE), "{lines}");
    place.wait_for_files(usize::from(expected == "stored")).await;
}

fn sha(algorithm: &str) -> String {
    let mut hasher = Hasher::like(Some(&format!("{algorithm}:")));
    hasher.update(ARCHIVE);
    hasher.digest()
}

#[tokio::test]
async fn an_archive_is_stored_when_it_is_all_that_the_catalogue_says() {
    let server = Server::sending(ARCHIVE.len(), ARCHIVE).await;
    let (sha256, sha512) = (sha("sha256"), sha("sha512"));
    check(&server, "", 100, "stored").await;
    check(&server, r#", "size": 10"#, 10, "stored").await;
    check(&server, &format!(r#", "size": 10, "archive_digest": "{sha256}""#), 100, "stored").await;
    check(&server, &format!(r#", "archive_digest": "{sha512}""#), 100, "stored").await;
    for wrong in [format!("sha256:{:064}", 0), format!("sha512:{:0128}", 0)] {
        check(&server, &format!(r#", "archive_digest": "{wrong}""#), 100, "digest-mismatch").await;
    }
    check(&server, r#", "size": 9"#, 100, "size-mismatch").await;
    check(&server, r#", "size": 11"#, 100, "size-mismatch").await;
    check(&server, "", 9, "store").await;
}

#[tokio::test]
async fn what_is_no_archive_or_not_all_of_it_is_not_stored() {
    check(&Server::sending(11, ARCHIVE).await, "", 100, "unreachable").await;
    check(&Server::sending(11, ARCHIVE).await, r#", "size": 10"#, 100, "size-mismatch").await;
    check(&Server::start(answer("404 Not Found", 0, b""), false).await, "", 100, "failed").await;
    check(&Server::start(answer("429 Too Many Requests", 0, b""), false).await, "", 100, "rate-limited").await;
    check(&Server::start(answer("206 Partial Content", 10, ARCHIVE), false).await, "", 100, "failed").await;
    check(&Server::sending(6, b"<html>").await, "", 100, "not-a-registry").await;
    // A server that does not say how much there is.
    let until_closed = |body: &[u8]| [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", body].concat();
    check(&Server::start(until_closed(ARCHIVE), false).await, "", 100, "stored").await;
    check(&Server::start(until_closed(b"an arch"), false).await, r#", "size": 10"#, 100, "size-mismatch").await;
    check(&Server::start(until_closed(b"an archive and more"), false).await, r#", "size": 10"#, 100, "size-mismatch").await;
    check(&Server::start(until_closed(ARCHIVE), false).await, "", 9, "store").await;
    let silent = Server::start(answer("200 OK", 10, b"an ar"), true).await;
    check(&silent, "", 100, "timeout").await;
}

/// Whether the host goes to `url` when a catalogue at `place` leads there. Nothing answers anywhere.
async fn check_place(place: Option<&str>, url: &str, expected: &str) {
    let of_file = CatalogSource::File("catalog.json".into());
    let place = place.map(|place| if place.is_empty() { of_file } else { CatalogSource::Url(Url::parse(place).unwrap()) });
    let outcome = download(in_catalog(url, "", place.as_ref()), &Place::new(100)).work.await;
    let Err(crate::backend::operations::OperationFailure::Archive(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.word(), expected, "{place:?} {url}: {error}");
}

#[tokio::test]
async fn a_catalogue_of_others_leads_nowhere_that_the_operator_did_not_name() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let here = format!("http://{closed}/a");
    for place in [None, Some(""), Some("http://10.255.255.1/catalog.json")] {
        for url in ["http://169.254.169.254/latest", "https://[fe80::1]/a", "http://0.0.0.0/a"] {
            check_place(place, url, "refused").await;
        }
    }
    check_place(Some(""), &here, "unreachable").await;
    check_place(Some(&here), &here, "unreachable").await;
    check_place(Some("http://127.0.0.1:1/catalog.json"), &here, "unreachable").await;
    check_place(Some("http://10.255.255.1/catalog.json"), &here, "refused").await;
    check_place(Some("https://10.255.255.1/catalog.json"), "https://10.255.255.2/a", "refused").await;
    check_place(Some("http://127.0.0.1:1/catalog.json"), "https://10.255.255.2/a", "refused").await;
    check_place(None, "https://10.255.255.2/a", "refused").await;
    check_place(Some("https://127.0.0.1:1/catalog.json"), "http://mirror.invalid/a", "refused").await;
}

#[tokio::test]
async fn an_address_is_shown_without_what_may_be_secret_in_it() {
    let outcome = download(template("http://user:pass@0.0.0.0/a?Signature=secret", ""), &Place::new(100)).work.await;
    let said = outcome.unwrap_err().to_string();
    assert!(said.starts_with("failed to fetch the archive from `http://user@0.0.0.0/a`: ") && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn one_that_is_cancelled_leaves_nothing_and_what_was_there_before_stays() {
    let place = Place::new(100);
    let mut before = place.space.write(blob()).await.unwrap();
    before.write(Bytes::from_static(b"before")).await.unwrap();
    before.finish().await.unwrap();
    let server = Server::start(answer("200 OK", 10, b"an ar"), true).await;
    let all = Operations::default();
    let plugin = all.of_plugin(Owner { site: "plant".to_owned(), plugin: "shop".to_owned() }, 1);
    let operation = plugin.download(download(template(&server.address, ""), &place), LIMIT).unwrap();
    let arrived = async {
        while operation.now().percent != Some(50) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), arrived).await.unwrap();
    operation.cancel();
    all.finished().await;
    assert!(matches!(operation.ended().await, Outcome::Cancelled));
    assert_eq!(place.bytes().await.as_deref(), Some(b"before".as_slice()));
    place.wait_for_files(1).await;
    // What it took counts no more, and neither does its permit.
    let mut after = place.space.write(blob()).await.unwrap();
    after.write(Bytes::from(vec![0; 94])).await.unwrap();
    assert_eq!(plugin.carry_through(LIMIT, async { 1 }).await.unwrap(), 1);
}

#[tokio::test]
async fn what_was_stored_in_the_moment_of_its_cancelling_goes_again() {
    let server = Server::sending(ARCHIVE.len(), ARCHIVE).await;
    let place = Place::new(100);
    let stored = download(template(&server.address, ""), &place);
    stored.work.await.unwrap();
    assert!(place.bytes().await.is_some());
    stored.undo.await;
    assert_eq!(place.bytes().await, None);
    // Unless another has taken its place.
    let replaced = download(template(&server.address, ""), &place);
    replaced.work.await.unwrap();
    let mut other = place.space.write(blob()).await.unwrap();
    other.write(Bytes::from_static(b"another")).await.unwrap();
    other.finish().await.unwrap();
    replaced.undo.await;
    assert_eq!(place.bytes().await.as_deref(), Some(b"another".as_slice()));
    // And one that never began has nothing to undo.
    let download = download(template(&server.address, ""), &place);
    drop(download.work);
    download.undo.await;
    assert_eq!(place.bytes().await.as_deref(), Some(b"another".as_slice()));
}
