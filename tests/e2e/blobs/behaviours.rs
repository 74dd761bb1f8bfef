//! What a store of blobs promises, told on both.

use std::io::Read;
use std::net::TcpStream;

use serde_json::json;
use wharf_harness::s3::S3;
use wharf_harness::wharf::Wharf;

use super::{Blobs, PART_BYTES, at, bytes, digest, keeping, left_out, names};
use crate::site::{escaped, eventually, host};

/// What a store does, and how that is seen.
type Behaviour = (&'static str, fn(&Wharf));

/// What is told on both stores.
const BEHAVIOURS: [Behaviour; 8] = [
    ("a blob is read as it was stored", read_as_stored),
    ("a range is read", ranges),
    ("one blob takes the place of another", replaced),
    ("names are names and nothing else", strange_names),
    ("a list is in order and in pages", listed),
    ("plugins see their own", own_space),
    ("the quota holds", quota),
    ("a client that breaks off leaves nothing", broken_off),
];

fn tell(wharf: &Wharf) {
    for (name, behaviour) in BEHAVIOURS {
        let blobs = Blobs::of(wharf, "keeper");
        let before = blobs.list("");
        assert_eq!(names(&before), [""; 0], "before: {name}");
        behaviour(wharf);
        let after = blobs.list("");
        blobs.ask("/delete", &names(&after));
    }
}

#[test]
fn blobs_in_a_directory_behave() {
    tell(&host(&keeping("")));
}

#[test]
fn blobs_at_s3_behave() {
    if left_out() {
        return;
    }
    let s3 = S3::start().unwrap();
    let wharf = at(&s3, &s3.endpoint());
    tell(&wharf);
    assert_eq!(s3.keys("").unwrap(), [""; 0], "digests go with their blobs");
    eventually("that nothing unfinished is left", || s3.unfinished().is_ok_and(|left| left.is_empty()));
}

fn read_as_stored(wharf: &Wharf) {
    let blobs = Blobs::of(wharf, "keeper");
    for size in [0, 1, 70_000, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 12_345] {
        let bytes = bytes(size, size);
        let stored = blobs.put("x", &bytes);
        assert_eq!((&stored["size"], &stored["digest"]), (&json!(size), &json!(digest(&bytes))), "{stored}");
        assert!(blobs.get("x", "").body == bytes, "{size}");
        assert_eq!(blobs.ask("/stat", &["x"]), json!([stored]));
        assert_eq!(blobs.list("")["blobs"], json!([stored]));
    }
    let written = blobs.send("PUT", "/written?name=y&chunks=9&size=1000000", b"").json().unwrap();
    assert_eq!(written["digest"], digest(&vec![b'x'; 9_000_000]));
    assert_eq!(blobs.send("PUT", "/written?name=z&chunks=9&size=1000000&drop", b"").json().unwrap(), "dropped");
    assert_eq!(blobs.ask("/stat", &["z"])[0]["error"], "not-found");
}

fn ranges(wharf: &Wharf) {
    let blobs = Blobs::of(wharf, "keeper");
    let all = bytes(PART_BYTES + 1000, 1);
    blobs.put("x", &all);
    blobs.put("empty", b"");
    for (first, length) in
        [(0, Some(1)), (PART_BYTES - 1, Some(2)), (PART_BYTES, None), (5, Some(0)), (all.len(), None), (9, Some(1 << 40))]
    {
        let further = length.map_or_else(|| format!("&first={first}"), |length| format!("&first={first}&length={length}"));
        let end = length.map_or(all.len(), |length| all.len().min(first + length));
        assert!(blobs.get("x", &further).body == all[first..end], "{further}");
    }
    assert_eq!(blobs.get("empty", "&first=0").body, b"");
    for (name, first, word) in [("x", all.len() + 1, "invalid"), ("empty", 1, "invalid"), ("absent", 0, "not-found")] {
        assert_eq!(blobs.get(name, &format!("&first={first}")).json().unwrap()["error"], word);
    }
    assert_eq!(blobs.get("absent", "").json().unwrap()["error"], "not-found");
}

fn replaced(wharf: &Wharf) {
    let blobs = Blobs::of(wharf, "keeper");
    let sizes = [10, PART_BYTES + 5, 20, PART_BYTES + 6, 0];
    for (seed, size) in sizes.into_iter().enumerate() {
        let bytes = bytes(size, seed);
        let stored = blobs.put("x", &bytes);
        assert_eq!(blobs.ask("/stat", &["x"]), json!([stored]));
        assert!(blobs.get("x", "").body == bytes);
    }
    let old = bytes(20 << 20, 7);
    blobs.put("x", &old);
    let (status, _, mut reader) = blobs.client.open("GET", "/keeper/blob?name=x", &[], b"").unwrap();
    let mut begun = vec![0; 1000];
    reader.read_exact(&mut begun).unwrap();
    blobs.put("x", b"new");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(status == 200 && [begun, rest].concat() == old, "who reads the old one goes on");
    assert_eq!(blobs.get("x", "").body, b"new");
    assert_eq!(blobs.ask("/delete", &["x", "x", "absent"]), 1);
    assert_eq!(blobs.get("x", "").json().unwrap()["error"], "not-found");
}

/// Names that lead nowhere on any store, and names that only look as if they did.
fn strange_names(wharf: &Wharf) {
    let blobs = Blobs::of(wharf, "keeper");
    let long = "n".repeat(513);
    let none = ["", ".", "..", "/", "/etc/passwd", "a/", "a//b", "a/../b", "../other/x", "a/./b", "a\0", "a\nb", "\u{7f}", "\u{85}", &long];
    for name in none {
        assert_eq!(blobs.put(name, b"x")["error"], "invalid", "{name:?}");
        assert_eq!(blobs.put(name, &bytes(70_000, 0))["error"], "invalid", "{name:?}, as a stream");
        assert_eq!(blobs.get(name, "").json().unwrap()["error"], "invalid", "{name:?}");
    }
    assert_eq!(names(&blobs.list("")), [""; 0]);
    let longest = "ä".repeat(256);
    let parts = "p/".repeat(255) + "p";
    let some = [
        "...",
        "..a",
        "a..",
        "a\\..\\b",
        "%2e%2e",
        "%2F",
        "C:",
        "~",
        "-rf",
        "CON",
        "a b",
        " a",
        "a ",
        "a+b",
        "a&b=c",
        "a?b",
        "a#b",
        "a;b",
        "a'b",
        "a\"b",
        "<a>",
        "a*",
        "ä/ö",
        "A",
        "a",
        "\u{10000}",
        "&amp;",
        "a|b",
        "{a}",
        "index.sqlite",
        "lock",
        "x'); DROP TABLE blob; --",
        &longest,
        &parts,
    ];
    for name in some {
        assert_eq!(blobs.put(name, name.as_bytes())["name"], name);
    }
    for name in some {
        assert_eq!(blobs.get(name, "").body, name.as_bytes(), "{name:?}");
    }
    let mut sorted = some.to_vec();
    sorted.sort_unstable();
    assert_eq!(names(&blobs.list("")), sorted);
}

fn listed(wharf: &Wharf) {
    let blobs = Blobs::of(wharf, "keeper");
    // UTF-16 would put the last but one behind the last.
    let all = ["A", "a", "a b+c", "a-b", "a/b", "a/c", "a/c/d", "ab", "b", "ä", "\u{ff5e}", "\u{10000}"];
    for name in all.iter().rev() {
        blobs.put(name, name.as_bytes());
    }
    for limit in [1, 3, 12, 5000] {
        for prefix in ["", "a", "a ", "a b+", "a/", "a/c", "c"] {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = blobs.list(&format!("prefix={}&limit={limit}{cursor}", escaped(prefix)));
                found.extend(names(&page).into_iter().map(str::to_owned));
                match page["cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={}", escaped(next)),
                    None => break,
                }
            }
            let expected: Vec<&str> = all.into_iter().filter(|name| name.starts_with(prefix)).collect();
            assert_eq!(found, expected, "{prefix} by {limit}");
        }
    }
    for wrong in ["limit=0", "prefix=%00", "cursor=%0A"] {
        assert_eq!(blobs.list(wrong)["error"], "invalid");
    }
}

fn own_space(wharf: &Wharf) {
    let (mine, theirs) = (Blobs::of(wharf, "keeper"), Blobs::of(wharf, "other"));
    mine.put("x", b"mine");
    assert_eq!(theirs.ask("/stat", &["x"])[0]["error"], "not-found");
    assert_eq!(names(&theirs.list("")), [""; 0]);
    assert_eq!(theirs.ask("/delete", &["x"]), 0);
    theirs.put("x", b"theirs");
    assert_eq!((mine.get("x", "").body.as_slice(), theirs.get("x", "").body.as_slice()), (b"mine".as_slice(), b"theirs".as_slice()));
    assert_eq!(theirs.ask("/delete", &["x"]), 1);
    assert_eq!(mine.get("x", "").body, b"mine");
}

/// 64 MiB, as `keeping` has it.
fn quota(wharf: &Wharf) {
    let blobs = Blobs::of(wharf, "keeper");
    let large = bytes(40 << 20, 0);
    blobs.put("x", &large);
    assert_eq!(blobs.put("y", &large)["error"], "quota-exceeded");
    assert_eq!(blobs.put("x", &large)["error"], "quota-exceeded", "the old one is there until the new one is");
    assert_eq!(blobs.ask("/stat", &["y"])[0]["error"], "not-found");
    assert!(blobs.get("x", "").body == large);
    assert_eq!(blobs.ask("/delete", &["x"]), 1);
    blobs.put("y", &large);
    blobs.put("y", b"small");
    assert_eq!(blobs.put("x", &large)["size"], large.len());
}

fn broken_off(wharf: &Wharf) {
    let blobs = Blobs::of(wharf, "keeper");
    blobs.put("x", b"old");
    let head = "PUT /keeper/blob?name=x HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n";
    let mut stream = TcpStream::connect(wharf.sites()).unwrap();
    std::io::Write::write_all(&mut stream, &[head.as_bytes(), &bytes(PART_BYTES + (2 << 20), 3)].concat()).unwrap();
    drop(stream);
    assert_eq!(blobs.get("x", "").body, b"old");
    // What it took of the quota comes back.
    let large = bytes(60 << 20, 4);
    eventually("that there is room again", || blobs.put("y", &large)["size"] == large.len());
    assert_eq!(names(&blobs.list("")), ["x", "y"]);
}
