//! Logs that are longer than a host may hold.

use std::io::Read;
use std::time::Duration;

use wharf_harness::poll;
use wharf_harness::wharf::Wharf;

use crate::site::{Site, deployments, eventually, host, scripted};

const MIB: u64 = 1024 * 1024;
/// What the container writes; far more than the host may take for it.
const LOG_BYTES: u64 = 200 * MIB;
/// How much the host's memory may grow meanwhile.
const GROWTH_BYTES: u64 = 40 * MIB;
/// One line, with its end. The length divides no buffer's.
const LINE_BYTES: usize = 997;

/// The client reads a little, waits, and then reads everything. The host waits with it.
pub fn large(site: &Site) {
    let line = line();
    let script = format!("yes {line} | busybox head -c {LOG_BYTES}");
    let name = site.deploy(&scripted("worker", "large-log", &script));
    site.wait_for_end(&name);
    // A host of its own, so that nobody else's requests are measured.
    let host = host(&deployments(&site.engine));
    let path = format!("/deployments/{name}/log");
    assert_eq!(host.client().get(&format!("{path}?lines=1")).unwrap().status, 200);
    let before = memory(&host);

    let (status, _, mut log) = host.client().open("GET", &path, &[], &[]).unwrap();
    assert_eq!(status, 200);
    let expected = format!("{line}\n").repeat(2 + 64 * 1024 / LINE_BYTES);
    let mut chunk = vec![0; 64 * 1024];
    let mut most = 0;
    let mut seen = 0_u64;
    loop {
        let length = log.read(&mut chunk).unwrap();
        if length == 0 {
            break;
        }
        let phase = usize::try_from(seen % LINE_BYTES as u64).unwrap();
        assert!(chunk[..length] == expected.as_bytes()[phase..phase + length], "other bytes than were written, after {seen}");
        if seen == 0 {
            // A host that read ahead without end would have done so by now: the engine sends hundreds of MiB in this time.
            most = most.max(most_memory(&host, Duration::from_secs(2)));
        }
        if seen / MIB != (seen + length as u64) / MIB {
            most = most.max(memory(&host));
        }
        seen += length as u64;
    }
    assert_eq!(seen, LOG_BYTES);
    assert!(most < before + GROWTH_BYTES, "the host's memory grew from {} to {} MiB", before / MIB, most / MIB);
    eprintln!(
        "{:?}: a log of {} MiB; the host had {} MiB before and at most {} MiB",
        site.version,
        LOG_BYTES / MIB,
        before / MIB,
        most / MIB
    );
    site.delete(&name);
}

/// The engine is not kept waiting by a client that has gone, and the host gives back what it held.
pub fn left(site: &Site) {
    let script = format!("yes {} | busybox head -c {}", line(), 32 * MIB);
    let name = site.deploy(&scripted("worker", "left-log", &script));
    site.wait_for_end(&name);
    let host = host(&deployments(&site.engine));
    let before = sockets(&host);
    let logs: Vec<_> = (0..8)
        .map(|_| {
            let (status, _, mut log) = host.client().open("GET", &format!("/deployments/{name}/log"), &[], &[]).unwrap();
            let mut start = [0; 10];
            log.read_exact(&mut start).unwrap();
            assert_eq!(status, 200);
            log
        })
        .collect();
    // One to each client and one to the engine, of which some were there before.
    assert!(sockets(&host) > before + 8, "{} sockets, {before} before", sockets(&host));
    drop(logs);
    eventually("the end of all connections", || sockets(&host) <= before + 2);
    site.delete(&name);
}

fn line() -> String {
    "0123456789abcdefghijklmnopqrstuvwxyz".chars().cycle().take(LINE_BYTES - 1).collect()
}

/// The most memory that the host has within the next `time`.
#[track_caller]
fn most_memory(host: &Wharf, time: Duration) -> u64 {
    let mut most = 0;
    let probe = || {
        most = most.max(memory(host));
        Ok(None::<()>)
    };
    poll(time, probe).unwrap();
    most
}

/// The host's resident memory in bytes.
#[track_caller]
fn memory(host: &Wharf) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.id())).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The host's open sockets.
#[track_caller]
fn sockets(host: &Wharf) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", host.id())).unwrap();
    let targets = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}
