//! Hosts that are killed while they write blobs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use wharf_harness::http::Client;
use wharf_harness::poll;
use wharf_harness::s3::S3;

use super::{Blobs, PART_BYTES, at_s3, bytes, digest, host_with_secret, keeping, left_out, names};
use crate::site::host;

/// How often the host is killed while it writes.
const KILLS: usize = 12;

#[test]
fn a_host_that_is_killed_while_it_writes_has_kept_what_it_acknowledged_and_nothing_halves() {
    let folder = tempfile::tempdir().unwrap();
    killed(&keeping(&format!("[storage]\nblobs = \"{}\"", folder.path().display())), "");
    let wharf = host(&keeping(&format!("[storage]\nblobs = \"{}\"", folder.path().display())));
    let left = Blobs::of(&wharf, "keeper").list("");
    let files = std::fs::read_dir(folder.path().join("plant-a/keeper/bytes")).unwrap().count();
    assert_eq!(files, names(&left).len(), "what was being written is gone");
}

#[test]
fn a_host_that_is_killed_while_it_writes_to_s3_has_kept_what_it_acknowledged_and_nothing_halves() {
    if left_out() {
        return;
    }
    let s3 = S3::start().unwrap();
    killed(&keeping(&at_s3(&s3, &s3.endpoint())), s3.secret_access_key());
}

/// Kills hosts with `configuration` at moments that are spread over what four clients write, each the same names again and again, and looks at what the next one finds.
fn killed(configuration: &str, secret: &str) {
    // By name, the digests of all blobs that were sent, and which of them was the last acknowledged.
    let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut acknowledged: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen = 0;
    for round in 0..=KILLS {
        let wharf = host_with_secret(configuration, secret);
        let blobs = Blobs::of(&wharf, "keeper");
        let page = blobs.list("");
        for blob in page["blobs"].as_array().unwrap() {
            let (name, digest) = (blob["name"].as_str().unwrap(), blob["digest"].as_str().unwrap());
            let body = blobs.get(name, "").body;
            assert_eq!((self::digest(&body).as_str(), json!(body.len())), (digest, blob["size"].clone()), "round {round}: {name} is whole");
            let known = sent[name].iter().rposition(|sent| sent == digest);
            assert!(known >= acknowledged.get(name).copied(), "round {round}: {name} is older than what was acknowledged");
            seen += 1;
        }
        let found = names(&page);
        assert!(acknowledged.keys().all(|name| found.contains(&name.as_str())), "round {round}: {found:?} of {acknowledged:?}");
        if round == KILLS {
            break;
        }
        let stored = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (client, stored) = (wharf.client(), Arc::clone(&stored));
                std::thread::spawn(move || written_until_killed(&client, round, writer, &stored))
            })
            .collect();
        // In their first blobs or after several, and each time at another moment of those that are under way.
        let enough = || Ok((stored.load(Ordering::Relaxed) >= round % 4 * 3).then_some(()));
        assert!(poll(Duration::from_secs(120), enough).unwrap().is_some(), "round {round}: nothing is stored");
        let until = Instant::now() + Duration::from_millis(25 * u64::try_from(round).unwrap());
        poll(Duration::from_secs(10), || Ok((Instant::now() >= until).then_some(()))).unwrap();
        wharf.kill().unwrap();
        for writer in writers {
            for (name, digest, is_acknowledged) in writer.join().unwrap() {
                let of_name = sent.entry(name.clone()).or_default();
                of_name.push(digest);
                if is_acknowledged {
                    acknowledged.insert(name, of_name.len() - 1);
                }
            }
        }
    }
    assert!(acknowledged.len() == 8 && seen > 4 * KILLS, "it was killed too early to say anything: {acknowledged:?}, {seen}");
}

/// Small and large blobs in turn, each name by one writer, until the host is gone: names, digests, and whether each was acknowledged.
fn written_until_killed(client: &Client, round: usize, writer: usize, stored: &AtomicUsize) -> Vec<(String, String, bool)> {
    let mut sent = Vec::new();
    for count in 0.. {
        let size = if (count + writer).is_multiple_of(2) { 1000 } else { PART_BYTES + (1 << 20) };
        let bytes = bytes(size, round * 1000 + count * 7 + writer);
        let name = format!("{writer}-{}", count % 2);
        let answer = client.send("PUT", &format!("/keeper/blob?name={name}"), &[], &bytes);
        let answer = answer.ok().filter(|answer| answer.status == 200).and_then(|answer| answer.json().ok());
        let is_acknowledged = answer.is_some_and(|answer| answer["digest"] == digest(&bytes));
        sent.push((name, digest(&bytes), is_acknowledged));
        if !is_acknowledged {
            break;
        }
        stored.fetch_add(1, Ordering::Relaxed);
    }
    sent
}
