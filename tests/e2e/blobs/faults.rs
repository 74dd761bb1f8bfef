//! A store of blobs that fails: S3 that is away, refuses or stops halfway, a disk that is full.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::json;
use wharf_harness::fault_proxy::{Answer, Fault, FaultProxy};
use wharf_harness::programs;
use wharf_harness::s3::{BUCKET, S3};
use wharf_harness::wharf::Wharf;

use super::{Blobs, PART_BYTES, at, at_s3, bytes, digest, host_with_secret, keeping, left_out, names};
use crate::site::{eventually, host};
use crate::small_disk::SmallDisk;

/// What becomes of a request, by its method and target, and what that is called.
type Named<T> = (&'static str, fn(&str, &str) -> T);

/// A host whose blobs are at S3, and what does to each request there what `fault` says.
fn through_faults(s3: &S3, fault: impl Fn(&str, &str) -> Fault + Send + Sync + 'static) -> (FaultProxy, Wharf) {
    let proxy = FaultProxy::start(s3.address(), move |asked| fault(&asked.method, &asked.target)).unwrap();
    let wharf = at(s3, &format!("http://{}", proxy.address()));
    (proxy, wharf)
}

/// Every function of a store that fails in one way hears one word, soon.
#[test]
fn s3_that_is_away_or_refuses_is_unavailable() {
    if left_out() {
        return;
    }
    let s3 = S3::start().unwrap();
    let faults: [Named<Fault>; 4] = [
        ("refuses", |_, _| Fault::Instead(Answer::new(403, ""))),
        ("is broken", |_, _| Fault::Instead(Answer::new(500, ""))),
        ("is no S3", |_, _| Fault::Instead(Answer::new(400, "<html>hotel</html>"))),
        ("cuts", |_, _| Fault::Cut),
    ];
    for (what, fault) in faults {
        let (_proxy, wharf) = through_faults(&s3, fault);
        check_unavailable(&wharf, what);
    }
    let wharf = at(&s3, &s3.endpoint());
    let blobs = Blobs::of(&wharf, "keeper");
    blobs.put("x", b"x");
    s3.pause();
    let (began, answer) = (Instant::now(), blobs.ask("/stat", &["x"]));
    assert!(answer[0]["error"] == "timeout" && began.elapsed() < Duration::from_secs(25), "S3 hangs: {answer}");
    s3.go_on();
    assert_eq!(blobs.get("x", "").body, b"x");
    let wharf = at(&s3, &format!("http://127.0.0.1:{}", crate::site::free_port()));
    check_unavailable(&wharf, "is away");
    let log = wharf.log();
    assert!(log.contains("blobs: S3 failed to") && !log.contains(s3.secret_access_key()), "{log}");
    let wharf = host_with_secret(&keeping(&at_s3(&s3, &s3.endpoint())), "another secret");
    check_unavailable(&wharf, "does not know the host's key");
    assert!(!wharf.log().contains("another secret"));
}

#[track_caller]
fn check_unavailable(wharf: &Wharf, what: &str) {
    let blobs = Blobs::of(wharf, "keeper");
    let began = Instant::now();
    let answers = [
        blobs.put("x", b"small"),
        blobs.put("x", &bytes(70_000, 0)),
        blobs.get("x", "").json().unwrap(),
        blobs.get("x", "&first=1").json().unwrap(),
        blobs.ask("/stat", &["x"])[0].clone(),
        blobs.list(""),
        blobs.ask("/delete", &["x"]),
    ];
    for answer in &answers {
        assert_eq!(answer["error"], "unavailable", "S3 {what}: {answers:?}");
        let reason = answer["reason"].as_str().unwrap();
        assert!(!reason.contains("127.0.0.1") && !reason.contains(BUCKET), "S3 {what}: {reason}");
    }
    assert!(began.elapsed() < Duration::from_secs(60), "S3 {what}: {:?}", began.elapsed());
}

/// Each step of a blob in parts fails once the steps before it have not: nothing becomes visible, and S3 is told to forget the parts.
#[test]
fn a_blob_in_parts_that_fails_halfway_leaves_nothing() {
    if left_out() {
        return;
    }
    let s3 = S3::start().unwrap();
    let refused = || Fault::Instead(Answer::new(403, ""));
    let steps: [Named<bool>; 4] = [
        ("the beginning", |method, target| method == "POST" && target.contains("?uploads")),
        ("the second part", |method, target| method == "PUT" && target.contains("partNumber=2")),
        ("the digest", |method, target| method == "PUT" && target.contains("/digests/")),
        ("putting together", |method, target| method == "POST" && target.contains("uploadId=")),
    ];
    for (what, is_step) in steps {
        let (_proxy, wharf) = through_faults(&s3, move |method, target| if is_step(method, target) { refused() } else { Fault::None });
        let blobs = Blobs::of(&wharf, "keeper");
        blobs.put("x", b"old");
        assert_eq!(blobs.put("x", &bytes(3 * PART_BYTES, 0))["error"], "unavailable", "{what}");
        assert_eq!(blobs.get("x", "").body, b"old", "{what}");
        assert_eq!(names(&blobs.list("")), ["x"]);
        eventually("that nothing unfinished is left", || s3.unfinished().is_ok_and(|left| left.is_empty()));
    }
}

/// The answer to the last request is lost, and asking again finds no upload: S3 has the blob, and the plugin hears that it is stored.
#[test]
fn a_blob_whose_last_answer_is_lost_is_stored() {
    if left_out() {
        return;
    }
    let s3 = S3::start().unwrap();
    let (proxy, wharf) = through_faults(&s3, |method, target| {
        let is_last = method == "POST" && target.contains("uploadId=");
        if is_last { Fault::Altered(|_| Answer::new(404, "<Error><Code>NoSuchUpload</Code></Error>")) } else { Fault::None }
    });
    let blobs = Blobs::of(&wharf, "keeper");
    let large = bytes(2 * PART_BYTES, 0);
    let stored = blobs.put("x", &large);
    assert_eq!(stored["digest"], digest(&large), "{stored} {:?}", proxy.asked().len());
    assert!(blobs.get("x", "").body == large);
    assert_eq!(blobs.ask("/stat", &["x"]), json!([stored]));
}

/// S3 stops in the middle of a blob that is read, and in the middle of one that is written. The client sees a body that was cut, and an error.
#[test]
fn s3_that_stops_in_the_middle_cuts_what_is_read() {
    if left_out() {
        return;
    }
    let s3 = S3::start().unwrap();
    let (_proxy, wharf) =
        through_faults(&s3, |method, target| if method == "GET" && target.contains("/blobs/") { Fault::CutBody } else { Fault::None });
    let blobs = Blobs::of(&wharf, "keeper");
    blobs.put("x", &bytes(4 << 20, 0));
    let (status, _, mut reader) = blobs.client.open("GET", "/keeper/blob?name=x", &[], b"").unwrap();
    let cut = reader.read_to_end(&mut Vec::new());
    assert!(status == 200 && cut.is_err(), "{cut:?}");
}

/// Objects that somebody put into the bucket by other means are no blobs, and stand in nobody's way.
#[test]
fn what_others_put_into_the_bucket_is_no_blob() {
    if left_out() {
        return;
    }
    let s3 = S3::start().unwrap();
    let wharf = at(&s3, &s3.endpoint());
    let blobs = Blobs::of(&wharf, "keeper");
    let folder = "wharf/blobs/plant-a/keeper";
    for key in ["blobs/foreign", "blobs/folder/", "digests/foreign"] {
        s3.put(&format!("{folder}/{key}"), b"x").unwrap();
    }
    blobs.put("mine", b"mine");
    assert_eq!(names(&blobs.list("")), ["mine"]);
    assert_eq!(blobs.ask("/stat", &["foreign"])[0]["error"], "not-found");
    assert_eq!(blobs.get("foreign", "").json().unwrap()["error"], "not-found");
    assert_eq!(blobs.ask("/delete", &["foreign"]), 0);
    assert_eq!(blobs.put("foreign", b"now mine")["size"], 8);
    assert_eq!(names(&blobs.list("")), ["foreign", "mine"]);
    assert!(s3.keys(folder).unwrap().contains(&format!("{folder}/digests/foreign")));
}

/// What a host left that was killed: parts of a blob.
#[test]
fn unfinished_uploads_of_before_are_given_up() {
    if left_out() {
        return;
    }
    let s3 = S3::start().unwrap();
    for folder in ["wharf/blobs/plant-a/keeper", "others"] {
        s3.begin(&format!("{folder}/blobs/left")).unwrap();
    }
    assert_eq!(s3.unfinished().unwrap().len(), 2);
    let wharf = at(&s3, &s3.endpoint());
    Blobs::of(&wharf, "keeper").put("x", b"x");
    eventually("that it is given up", || s3.unfinished().is_ok_and(|left| left == ["others/blobs/left"]));
}

#[test]
fn a_full_disk_is_an_answer_and_what_is_there_stays() {
    // Only root can mount it.
    if programs::skip(programs::ENGINE).unwrap() {
        return;
    }
    let disk = SmallDisk::new(12);
    let wharf = host(&keeping(&format!("[storage]\nblobs = \"{}\"", disk.path().join("blobs").display())));
    let blobs = Blobs::of(&wharf, "keeper");
    let kept = bytes(3 << 20, 1);
    blobs.put("kept", &kept);
    for name in ["large", "kept", "large"] {
        let refused = blobs.put(name, &bytes(20 << 20, 2));
        assert_eq!(refused["error"], "unavailable", "{refused}");
        let reason = refused["reason"].as_str().unwrap();
        assert!(reason.contains("write a blob") && !reason.contains('/'), "{reason}");
    }
    assert_eq!(names(&blobs.list("")), ["kept"]);
    assert!(blobs.get("kept", "").body == kept);
    eventually("that there is room again", || blobs.put("small", &bytes(4 << 20, 3))["size"] == 4 << 20);
    assert_eq!(blobs.ask("/delete", &["kept", "small"]), 2);
    assert_eq!(blobs.put("large", &bytes(8 << 20, 4))["size"], 8 << 20);
}
