//! Blobs in a directory, as the rooms above see them, and what only a directory has: files that a crash left, a second process, a file that lost its end. What both stores promise is shown on both by
//! the tests of the whole, in `tests/e2e`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::stream;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::writer::BLOCK_BYTES;
use super::*;

mod directory;

/// A directory and the space of the plugin `shop` in it.
struct Place {
    blobs: Blobs,
    space: BlobSpace,
    folder: TempDir,
}

/// Room for whatever a test writes.
const ROOMY: u64 = 1 << 30;

fn place(quota_bytes: u64) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs_in(folder.path());
    Place { space: blobs.space("plant", "shop", quota_bytes), blobs, folder }
}

/// As a process that was just started has them.
fn blobs_in(folder: &Path) -> Blobs {
    let blobs = Blobs::default();
    blobs.configure(&BlobPlace::Directory(folder.join("blobs")));
    blobs
}

impl Place {
    /// The folder with the files of the space.
    fn files(&self) -> PathBuf {
        self.folder.path().join("blobs/plant/shop/bytes")
    }

    /// Waits until the space has so many files: what is given up is removed behind whoever gave it up.
    async fn wait_for_files(&self, count: usize) {
        let files = || std::fs::read_dir(self.files()).map_or(0, Iterator::count);
        let settled = async {
            while files() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), settled).await;
        assert!(in_time.is_ok(), "{} files instead of {count}", files());
    }
}

fn name(text: &str) -> BlobName {
    BlobName::parse(text).unwrap()
}

/// Bytes that are not the same everywhere.
fn bytes(count: usize) -> Bytes {
    (0..count).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// A stream of `chunks`, with `error` at its end.
fn content(chunks: Vec<Bytes>, error: Option<StreamError>) -> ByteStream {
    let chunks = chunks.into_iter().map(Ok).chain(error.map(Err));
    ByteStream::new(stream::iter(chunks.collect::<Vec<_>>()))
}

async fn read_all(mut stream: ByteStream) -> Result<Bytes, StreamError> {
    let mut whole = Vec::new();
    while let Some(chunk) = stream.read(usize::MAX).await? {
        assert!(chunk.len() <= BLOCK_BYTES);
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

async fn store(space: &BlobSpace, text: &str, bytes: &Bytes) -> Blob {
    space.store_all(name(text), content(vec![bytes.clone()], None)).await.unwrap()
}

async fn read(space: &BlobSpace, text: &str) -> Bytes {
    read_all(space.read(&name(text), None).await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_blob_is_read_as_it_was_stored_with_its_size_and_digest() {
    let place = place(ROOMY);
    for size in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 7] {
        let bytes = bytes(size);
        // In pieces that fit to nothing.
        let chunks = bytes.chunks(70_001).map(Bytes::copy_from_slice).collect();
        let blob = place.space.store_all(name("a/b"), content(chunks, None)).await.unwrap();
        assert_eq!(blob.size, size as u64);
        assert_eq!(blob.digest.0, <[u8; 32]>::from(Sha256::digest(&bytes)));
        assert_eq!(place.space.stat(vec![name("a/b")]).await, [Ok(blob)]);
        assert!(read(&place.space, "a/b").await == bytes, "{size}");
    }
    place.wait_for_files(1).await;
}

#[tokio::test]
async fn a_writer_takes_what_it_is_given_and_stores_it_once() {
    let place = place(ROOMY);
    let mut writer = place.space.write(name("log")).await.unwrap();
    for piece in ["one ", "", "two ", "three"] {
        writer.write(Bytes::from(piece)).await.unwrap();
    }
    assert_eq!(place.space.stat(vec![name("log")]).await, [Err(BlobError::NotFound)], "it is not finished");
    assert!(matches!(writer.write(bytes(BLOCK_BYTES + 1)).await, Err(BlobError::Invalid(_))));
    let blob = writer.finish().await.unwrap();
    assert_eq!(blob.size, 13);
    assert_eq!(read(&place.space, "log").await, "one two three");
    assert_eq!(writer.finish().await, Err(BlobError::Finished));
    assert_eq!(writer.write(Bytes::from("more")).await, Err(BlobError::Finished));
}

#[track_caller]
fn check_range(first: u64, length: Option<u64>, size: u64, expected: Option<(u64, u64)>) {
    assert_eq!(ByteRange::within(Some(ByteRange { first, length }), size).ok(), expected);
}

#[test]
fn a_range_ends_with_the_blob_and_begins_no_later() {
    check_range(0, None, 10, Some((0, 10)));
    check_range(3, Some(4), 10, Some((3, 4)));
    check_range(3, Some(u64::MAX), 10, Some((3, 7)));
    check_range(3, Some(0), 10, Some((3, 0)));
    check_range(10, None, 10, Some((10, 0)));
    check_range(11, None, 10, None);
    check_range(u64::MAX, Some(u64::MAX), 10, None);
    check_range(0, Some(1), 0, Some((0, 0)));
}

#[tokio::test]
async fn a_range_is_read_from_the_file() {
    let place = place(ROOMY);
    let all = bytes(2 * BLOCK_BYTES);
    store(&place.space, "x", &all).await;
    for (first, length) in [(0, Some(1)), (BLOCK_BYTES - 1, Some(2)), (700_000, None), (2 * BLOCK_BYTES, None)] {
        let range = ByteRange { first: first as u64, length: length.map(|length| length as u64) };
        let stream = place.space.read(&name("x"), Some(range)).await.unwrap();
        let end = length.map_or(all.len(), |length| first + length);
        assert!(read_all(stream).await.unwrap() == all[first..end], "{range:?}");
    }
}

#[tokio::test]
async fn readers_go_on_in_the_blob_that_was_replaced_or_deleted() {
    let place = place(ROOMY);
    let (old, new) = (bytes(3 * BLOCK_BYTES), Bytes::from("new"));
    store(&place.space, "x", &old).await;
    let mut reader = place.space.read(&name("x"), None).await.unwrap();
    let first = reader.read(1).await.unwrap().unwrap();
    store(&place.space, "x", &new).await;
    let mut second = place.space.read(&name("x"), None).await.unwrap();
    assert_eq!(place.space.delete(vec![name("x"), name("x"), name("y")]).await, Ok(1));
    place.wait_for_files(0).await;
    let rest = read_all(reader).await.unwrap();
    assert!([first, rest].concat() == old);
    assert_eq!(second.read(9).await.unwrap().unwrap(), "new");
    assert!(matches!(place.space.read(&name("x"), None).await.err(), Some(BlobError::NotFound)));
}

#[tokio::test]
async fn what_breaks_off_or_is_dropped_leaves_nothing_and_replaces_nothing() {
    let place = place(ROOMY);
    store(&place.space, "x", &Bytes::from("old")).await;
    let cut = content(vec![bytes(3 * BLOCK_BYTES)], Some(StreamError::Cut("gone".to_owned())));
    let broken = place.space.store_all(name("x"), cut).await;
    let reason = "what was to be stored broke off: the stream was cut short: gone";
    assert_eq!(broken, Err(BlobError::Unavailable(reason.to_owned())));
    let mut writer = place.space.write(name("x")).await.unwrap();
    writer.write(bytes(BLOCK_BYTES)).await.unwrap();
    place.wait_for_files(2).await;
    drop(writer);
    let waits = ByteStream::new(stream::iter([Ok(bytes(2 * BLOCK_BYTES))]).chain(stream::pending()));
    let given_up = tokio::time::timeout(Duration::from_millis(50), place.space.store_all(name("x"), waits)).await;
    assert!(given_up.is_err());
    place.wait_for_files(1).await;
    assert_eq!(read(&place.space, "x").await, "old");
}

#[tokio::test]
async fn the_quota_counts_what_is_being_written_and_what_is_replaced() {
    let place = place(100);
    store(&place.space, "x", &bytes(60)).await;
    let too_much = place.space.store_all(name("y"), content(vec![bytes(30), bytes(30)], None)).await;
    assert_eq!(too_much, Err(BlobError::QuotaExceeded));
    let mut writer = place.space.write(name("y")).await.unwrap();
    writer.write(bytes(40)).await.unwrap();
    let beside = place.space.store_all(name("z"), content(vec![bytes(1)], None)).await;
    assert_eq!(beside, Err(BlobError::QuotaExceeded), "it is being written");
    assert_eq!(writer.write(bytes(1)).await, Err(BlobError::QuotaExceeded));
    assert_eq!(writer.finish().await, Err(BlobError::Finished), "it was given up");
    store(&place.space, "x", &bytes(40)).await;
    store(&place.space, "y", &bytes(60)).await;
    assert_eq!(place.space.delete(vec![name("y")]).await, Ok(1));
    store(&place.space, "z", &bytes(60)).await;
    // The same space with another quota, as after a reload.
    let larger = place.blobs.space("plant", "shop", 101);
    store(&larger, "one more", &bytes(1)).await;
    let other = place.blobs.space("plant", "other", 100);
    store(&other, "x", &bytes(100)).await;
}

#[tokio::test]
async fn a_list_is_in_the_order_of_code_points_and_comes_in_pages() {
    let place = place(ROOMY);
    // UTF-16 would put the last but one behind the last.
    let names = ["A", "a", "a/b", "a/c", "a/c/d", "ab", "a\u{7e}", "b", "ä", "\u{ff5e}", "\u{10000}"];
    for text in names.iter().rev() {
        store(&place.space, text, &Bytes::from_static(b"x")).await;
    }
    let list = async |prefix: &str, limit| {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = place.space.list(prefix, cursor.as_deref(), limit).await.unwrap();
            assert!(page.blobs.len() <= limit && !(page.blobs.is_empty() && page.cursor.is_some()));
            found.extend(page.blobs.into_iter().map(|blob| blob.name.into_string()));
            cursor = page.cursor;
            if cursor.is_none() {
                return found;
            }
        }
    };
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    for limit in [1, 2, 3, names.len(), 5000] {
        assert_eq!(list("", limit).await, sorted);
        assert_eq!(list("a/", limit).await, ["a/b", "a/c", "a/c/d"]);
        assert_eq!(list("a/c", limit).await, ["a/c", "a/c/d"]);
        assert!(list("c", limit).await.is_empty());
    }
    assert_eq!(place.space.list("a", Some("a/c"), 1).await.unwrap().blobs[0].name.as_str(), "a/c/d");
    assert_eq!(place.space.list("a", Some("A"), 1).await.unwrap().blobs[0].name.as_str(), "a");
    assert!(place.space.list("a", Some("b"), 9).await.unwrap().blobs.is_empty());
    for (prefix, cursor, limit) in [("", None, 0), ("a\n", None, 1), ("", Some("\0"), 1)] {
        assert!(matches!(place.space.list(prefix, cursor, limit).await, Err(BlobError::Invalid(_))));
    }
}

#[tokio::test]
async fn nobody_sees_the_blobs_of_another() {
    let place = place(ROOMY);
    store(&place.space, "x", &Bytes::from("mine")).await;
    for (site, plugin) in [("plant", "other"), ("other", "shop"), ("plant-", "shop")] {
        let other = place.blobs.space(site, plugin, ROOMY);
        assert_eq!(other.stat(vec![name("x")]).await, [Err(BlobError::NotFound)]);
        assert_eq!(other.list("", None, 9).await.unwrap(), Page::default());
        assert_eq!(other.delete(vec![name("x")]).await, Ok(0));
    }
    let same = place.blobs.space("plant", "shop", ROOMY);
    assert_eq!(read(&same, "x").await, "mine");
}

#[tokio::test]
async fn a_plugin_that_begins_more_than_it_may_hears_so() {
    let place = place(ROOMY);
    let mut writers = Vec::new();
    for at in 0..WRITERS {
        writers.push(place.space.write(name(&format!("{at}"))).await.unwrap());
    }
    assert!(matches!(place.space.write(name("x")).await.err(), Some(BlobError::Unavailable(_))));
    store(&place.space, "x", &Bytes::from("stored all the same")).await;
    drop(writers.pop());
    drop(place.space.write(name("x")).await.unwrap());
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(place.space.read(&name("x"), None).await.unwrap());
    }
    assert!(matches!(place.space.read(&name("x"), None).await.err(), Some(BlobError::Unavailable(_))));
    readers.clear();
    read(&place.space, "x").await;
}

#[tokio::test]
async fn without_settings_there_are_no_blobs() {
    let space = Blobs::default().space("plant", "shop", ROOMY);
    assert!(matches!(space.list("", None, 1).await, Err(BlobError::Internal(_))));
}
