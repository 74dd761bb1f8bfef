//! How much of what is allowed one container may ask for.
//!
//! Nothing here is a question of rights: a few hundred ports, a health check every millisecond or a list of processors up to 4,294,967,295 make the engine slow for everybody or use up its
//! memory, and it takes them. Each bound is far above what a container is made with in earnest, so whoever meets one has made a mistake and hears which.

use super::super::specification::Json;
use super::network::{is_container_port, published_ports};
use super::{Outcome, Refusal, invalid};

/// The most items in any list and keys in any object.
const MAX_ENTRIES: usize = 1_024;
/// The most ports of the machine, with every port of a range. Each is a process or a row of rules, set up one after the other while the engine holds the container's lock.
const MAX_PUBLISHED_PORTS: usize = 256;
/// The most ports that are only exposed: `PublishAllPorts` publishes them.
const MAX_EXPOSED_PORTS: usize = 256;
/// The most mounts of all kinds. Each is a mount in the kernel, and a volume without a name is a directory too.
const MAX_MOUNTS: usize = 128;
/// The most labels, and their bytes together: every list of containers has them all.
const MAX_LABELS: usize = 256;
const MAX_LABEL_BYTES: usize = 32 * 1024;
/// The most bytes of environment together. Kernels take about 2 MiB, and every inspection has it.
const MAX_ENVIRONMENT_BYTES: usize = 256 * 1024;
/// The most networks. Each is an endpoint with addresses and rules of its own.
const MAX_NETWORKS: usize = 32;
/// The longest that a container may ask to be waited for when it is stopped. The engine waits at its own end, too.
const MAX_STOP_TIMEOUT_SECS: i64 = 300;
/// The highest number of a processor or a memory node that is plausible. Engines make a set of all that a list names.
const MAX_CPU: u32 = 8_191;
/// The largest size of a terminal, in rows or columns.
const MAX_CONSOLE: i64 = 10_000;

/// In nanoseconds, as the engine has them. A check is a process in the container, which costs the engine tens of milliseconds.
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

/// Checks `tree`, a whole specification.
pub(super) fn check(tree: &Json) -> Outcome {
    let nothing = Json::Object(Vec::new());
    let host = tree.get("HostConfig").unwrap_or(&nothing);
    entries(tree)?;
    ports(tree, host)?;
    let mounts = host.list("Binds").len() + host.list("Mounts").len() + host.map("Tmpfs").len() + tree.map("Volumes").len();
    at_most("mounts", mounts, MAX_MOUNTS)?;
    let labels = tree.map("Labels");
    at_most("labels", labels.len(), MAX_LABELS)?;
    at_most("bytes of labels", labels.iter().map(|(key, value)| key.len() + value.as_text().len()).sum(), MAX_LABEL_BYTES)?;
    at_most("bytes of environment", tree.texts("Env").map(str::len).sum(), MAX_ENVIRONMENT_BYTES)?;
    at_most("networks", tree.get("NetworkingConfig").map_or(0, |networking| networking.map("EndpointsConfig").len()), MAX_NETWORKS)?;
    within(tree, "", "StopTimeout", 0, MAX_STOP_TIMEOUT_SECS, "seconds")?;
    health_check(tree.get("Healthcheck").unwrap_or(&nothing))?;
    for key in ["CpusetCpus", "CpusetMems"] {
        if !is_cpu_list(host.text(key)) {
            return invalid(&format!("HostConfig.{key}"), host.text(key), &format!("numbers and ranges up to {MAX_CPU}, as in `0-3,8`"));
        }
    }
    console_size(host.list("ConsoleSize"))
}

fn entries(json: &Json) -> Outcome {
    at_most("entries in one list or object", json.items().len().max(json.entries().len()), MAX_ENTRIES)?;
    json.items().iter().chain(json.entries().iter().map(|(_, value)| value)).try_for_each(entries)
}

fn ports(tree: &Json, host: &Json) -> Outcome {
    let exposed = tree.map("ExposedPorts");
    at_most("exposed ports", exposed.len(), MAX_EXPOSED_PORTS)?;
    // One key may say `1-65535`.
    if let Some((port, _)) = exposed.iter().find(|(port, _)| !is_container_port(port)) {
        return invalid("ExposedPorts", port, "`port` or `port/protocol`");
    }
    at_most("published ports", published_ports(host), MAX_PUBLISHED_PORTS)
}

/// Zero is the image's or the engine's own value. Engines take intervals from a millisecond.
fn health_check(check: &Json) -> Outcome {
    for key in ["Interval", "StartInterval"] {
        if check.integer(key) != Some(0) {
            within(check, "Healthcheck.", key, SECOND, DAY, "nanoseconds")?;
        }
    }
    for key in ["Timeout", "StartPeriod"] {
        within(check, "Healthcheck.", key, 0, DAY, "nanoseconds")?;
    }
    Ok(())
}

/// Rows and columns, both or neither: what stands behind the second an engine drops.
fn console_size(size: &[Json]) -> Outcome {
    let sound = size.iter().all(|side| matches!(side, Json::Integer(side) if (0..=MAX_CONSOLE).contains(side)));
    if matches!(size.len(), 0 | 2) && sound {
        return Ok(());
    }
    Err(Refusal::Invalid(format!("`HostConfig.ConsoleSize` is to be two numbers up to {MAX_CONSOLE}: rows and columns")))
}

/// `0-3,8`, or nothing.
fn is_cpu_list(text: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= MAX_CPU && !text.starts_with('+'));
    let is_range = |part: &str| match part.split_once('-') {
        None => number(part).is_some(),
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
    };
    text.is_empty() || text.split(',').all(is_range)
}

fn at_most(what: &str, count: usize, most: usize) -> Outcome {
    if count <= most { Ok(()) } else { Err(Refusal::Invalid(format!("{count} {what}, at most {most}"))) }
}

fn within(object: &Json, place: &str, key: &str, least: i64, most: i64, unit: &str) -> Outcome {
    match object.integer(key) {
        Some(value) if !(least..=most).contains(&value) => {
            invalid(&format!("{place}{key}"), &value.to_string(), &format!("{least} to {most} {unit}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::specification;
    use super::*;

    #[track_caller]
    fn check_text(fragment: &str, fits: bool) {
        let tree = specification::parse(&format!("{{{fragment}}}")).unwrap();
        let shown: String = fragment.chars().take(200).collect();
        assert_eq!(check(&tree).is_ok(), fits, "{shown}: {:?}", check(&tree));
    }

    /// `count` texts made by `item`, joined.
    fn many(count: usize, item: impl Fn(usize) -> String) -> String {
        (0..count).map(item).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn a_stop_is_waited_for_five_minutes_at_most() {
        for (secs, fits) in [("0", true), ("10", true), ("300", true), ("301", false), ("-1", false), ("9223372036854775807", false)] {
            check_text(&format!(r#""StopTimeout":{secs}"#), fits);
        }
    }

    #[test]
    fn ports_are_counted_with_their_ranges() {
        let bindings = |range: &str| format!(r#""HostConfig":{{"PortBindings":{{"80/tcp":[{{"HostPort":"{range}"}}]}}}}"#);
        check_text(&bindings("8000-8255"), true);
        check_text(&bindings("8000-8256"), false);
        check_text(&bindings("1-65535"), false);
        let each =
            |count| format!(r#""HostConfig":{{"PortBindings":{{{}}}}}"#, many(count, |port| format!(r#""{}/tcp":[{{}}]"#, port + 1)));
        check_text(&each(256), true);
        check_text(&each(257), false);
        let exposed = |count| format!(r#""ExposedPorts":{{{}}}"#, many(count, |port| format!(r#""{}/udp":{{}}"#, port + 1)));
        check_text(&exposed(256), true);
        check_text(&exposed(257), false);
        check_text(r#""ExposedPorts":{"1-65535/tcp":{}},"HostConfig":{"PublishAllPorts":true}"#, false);
    }

    #[test]
    fn what_every_list_and_inspection_carries_is_bounded() {
        let labels = |count, size: usize| format!(r#""Labels":{{{}}}"#, many(count, |key| format!(r#""{key:04}":"{}""#, "x".repeat(size))));
        check_text(&labels(256, 100), true);
        check_text(&labels(257, 0), false);
        check_text(&labels(1, 32 * 1024), false);
        let env = |count, size: usize| format!(r#""Env":[{}]"#, many(count, |key| format!(r#""{key:04}={}""#, "x".repeat(size))));
        check_text(&env(1024, 10), true);
        check_text(&env(1025, 1), false);
        check_text(&env(3, 100 * 1024), false);
        check_text(&format!(r#""HostConfig":{{"Dns":[{}]}}"#, many(1025, |_| "\"1.1.1.1\"".to_owned())), false);
        let volumes = |count| format!(r#""Volumes":{{{}}}"#, many(count, |path| format!(r#""/{path}":{{}}"#)));
        check_text(&volumes(128), true);
        check_text(&volumes(129), false);
        let networks =
            |count| format!(r#""NetworkingConfig":{{"EndpointsConfig":{{{}}}}}"#, many(count, |name| format!(r#""n{name}":{{}}"#)));
        check_text(&networks(32), true);
        check_text(&networks(33), false);
    }

    #[test]
    fn a_health_check_leaves_the_engine_time_for_others() {
        let health = |key: &str, value: i64| format!(r#""Healthcheck":{{"{key}":{value}}}"#);
        for key in ["Interval", "StartInterval"] {
            for (value, fits) in
                [(0, true), (SECOND, true), (DAY, true), (1_000_000, false), (SECOND - 1, false), (DAY + 1, false), (-1, false)]
            {
                check_text(&health(key, value), fits);
            }
        }
        for key in ["Timeout", "StartPeriod"] {
            for (value, fits) in [(0, true), (1_000_000, true), (DAY, true), (DAY + 1, false), (-1, false)] {
                check_text(&health(key, value), fits);
            }
        }
    }

    #[test]
    fn a_set_of_processors_is_no_larger_than_a_machine() {
        let set = |list: &str| format!(r#""HostConfig":{{"CpusetCpus":"{list}","CpusetMems":"0"}}"#);
        for (list, fits) in [
            ("", true),
            ("0", true),
            ("0-3,8", true),
            ("0-8191", true),
            ("0-4294967295", false),
            ("3-1", false),
            ("0-", false),
            ("+1", false),
            ("a", false),
        ] {
            check_text(&set(list), fits);
        }
        for (size, fits) in
            [("", true), ("0,0", true), ("24,80", true), ("24", false), ("1,2,3", false), ("-1,0", false), ("99999,1", false)]
        {
            check_text(&format!(r#""HostConfig":{{"ConsoleSize":[{size}]}}"#), fits);
        }
    }
}
