//! What a directory has beside the promises of every store.

use super::*;

#[tokio::test]
async fn what_a_crash_left_is_removed_and_what_was_stored_is_there() {
    let place = place(ROOMY);
    let blob = store(&place.space, "x", &bytes(10)).await;
    let mut writer = place.space.write(name("y")).await.unwrap();
    writer.write(bytes(BLOCK_BYTES)).await.unwrap();
    place.wait_for_files(2).await;
    // Nothing of the process does anything any more, not even remove what it was writing; and its lock is gone.
    let Place { blobs, space, folder } = place;
    std::mem::forget(writer);
    std::fs::write(folder.path().join("blobs/plant/shop/bytes/not ours"), "x").unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&folder.path().join("blobs"), &copy.path().join("blobs"));
    drop((blobs, space));
    let blobs = blobs_in(copy.path());
    let place = Place { space: blobs.space("plant", "shop", 11), blobs, folder: copy };
    assert_eq!(place.space.list("", None, 9).await.unwrap().blobs, [blob]);
    place.wait_for_files(1).await;
    assert_eq!(read(&place.space, "x").await, bytes(10));
    store(&place.space, "y", &bytes(1)).await;
    let more = place.space.store_all(name("z"), content(vec![bytes(1)], None)).await;
    assert_eq!(more, Err(BlobError::QuotaExceeded), "what was there before counts");
}

/// As the disk is when a process is killed.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn one_process_has_a_space_open() {
    let place = place(ROOMY);
    store(&place.space, "x", &Bytes::from("x")).await;
    let second = blobs_in(place.folder.path()).space("plant", "shop", ROOMY);
    let reason = "another process has the space open".to_owned();
    assert_eq!(second.list("", None, 9).await, Err(BlobError::Unavailable(reason)));
    drop((place.blobs, place.space));
    assert_eq!(read(&second, "x").await, "x");
}

#[tokio::test]
async fn a_file_that_lost_its_end_is_no_whole_blob() {
    let place = place(ROOMY);
    store(&place.space, "x", &bytes(10)).await;
    let file = std::fs::read_dir(place.files()).unwrap().next().unwrap().unwrap().path();
    std::fs::File::options().write(true).open(&file).unwrap().set_len(4).unwrap();
    let stream = place.space.read(&name("x"), None).await.unwrap();
    assert!(matches!(read_all(stream).await, Err(StreamError::Cut(_))));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(place.space.read(&name("x"), None).await.err(), Some(BlobError::Internal(_))));
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("blobs"), "a file").unwrap();
    let space = blobs_in(folder.path()).space("plant", "shop", ROOMY);
    assert!(matches!(space.write(name("x")).await.err(), Some(BlobError::Internal(_))));
    std::fs::remove_file(folder.path().join("blobs")).unwrap();
    store(&space, "x", &Bytes::from("x")).await;
}

#[tokio::test]
async fn many_writers_of_one_name_leave_one_blob() {
    let place = place(ROOMY);
    let writers = (0..16_usize).map(|at| {
        let space = place.space.clone();
        async move {
            let bytes = bytes(1000 + at);
            let blob = store(&space, "x", &bytes).await;
            (blob, bytes)
        }
    });
    let written = futures_util::future::join_all(writers).await;
    let present = place.space.stat(vec![name("x")]).await.remove(0).unwrap();
    let (_, bytes) = written.into_iter().find(|(blob, _)| *blob == present).unwrap();
    assert_eq!(read(&place.space, "x").await, bytes);
    place.wait_for_files(1).await;
    let exactly = place.blobs.space("plant", "shop", present.size + 1);
    store(&exactly, "y", &Bytes::from("y")).await;
}
