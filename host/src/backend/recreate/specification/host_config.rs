//! `HostConfig` without what the engine baked in when it created the container.
//!
//! The engine stores its defaults of that day as if the user had chosen them. Those that guard the machine, or that an operator changes for all containers, must not be carried on: a list of masked paths from
//! before a security advisory would stay for ever. The rest is passed on as it is, keys that are not known here too. Names of containers are resolved in `references.rs`, mounts in `mounts.rs`, networks in `networks.rs`.

use serde_json::{Value, json};

use super::json::{Object, field, flag, is_zero, items, number, put, remove, text, texts, without_nulls};
use super::references::Directory;
use super::{Facts, Refusal};

/// What engines give `/dev/shm` unless their configuration says otherwise.
const SHM_SIZE: i64 = 64 * 1024 * 1024;

/// What every default list of masked paths since 18.09 has.
const MASKED_ALWAYS: [&str; 9] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

/// What some of them have; beside these there is one path for each processor, see [`is_thermal`].
const MASKED_SOMETIMES: [&str; 5] =
    ["/proc/asound", "/proc/interrupts", "/sys/devices/virtual/powercap", "/sys/dev/block", "/sys/fs/selinux"];

/// The one default list of read-only paths there has been.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What a specification of the same container has in `HostConfig`, but for mounts and networks.
pub(super) fn host_config(inspected: &Object, facts: &Facts, directory: &Directory<'_>) -> Result<Object, Refusal> {
    let mut host = without_nulls(inspected.clone());
    default_paths(&mut host);
    memory(&mut host, facts);
    processors(&mut host);
    if number(&host, "ShmSize") == SHM_SIZE {
        host.shift_remove("ShmSize");
    }
    let runtime = text(&host, "Runtime");
    if runtime.is_empty() || runtime == facts.default_runtime {
        host.shift_remove("Runtime");
    }
    security_options(&mut host);
    if facts.podman {
        device_permissions(&mut host);
    }
    links(&mut host);
    // A file of the client that created it.
    host.shift_remove("ContainerIDFile");
    directory.namespaces(&mut host)?;
    Ok(host)
}

/// Removes the engine's default lists. A list of the user's stays, and so does `[]`, which is `systempaths=unconfined`.
fn default_paths(host: &mut Object) {
    if flag(host, "Privileged") {
        // A privileged container has none, unless its user gave some.
        return;
    }
    let masked: Vec<&str> = texts(field(host, "MaskedPaths")).collect();
    let is_known = |path: &&str| MASKED_ALWAYS.contains(path) || MASKED_SOMETIMES.contains(path) || is_thermal(path);
    let is_default_masked = MASKED_ALWAYS.iter().all(|path| masked.contains(path)) && masked.iter().all(is_known);
    let read_only: Vec<&str> = texts(field(host, "ReadonlyPaths")).collect();
    let is_default_read_only = read_only.len() == READ_ONLY.len() && READ_ONLY.iter().all(|path| read_only.contains(path));
    if is_default_masked {
        host.shift_remove("MaskedPaths");
    }
    if is_default_read_only {
        host.shift_remove("ReadonlyPaths");
    }
}

/// Whether this is `/sys/devices/system/cpu/cpu7/thermal_throttle`: how many of them are masked depends on the machine.
fn is_thermal(path: &str) -> bool {
    let number = path.strip_prefix("/sys/devices/system/cpu/cpu").and_then(|rest| rest.strip_suffix("/thermal_throttle"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn memory(host: &mut Object, facts: &Facts) {
    let memory = number(host, "Memory");
    if memory > 0 && number(host, "MemorySwap") == memory.saturating_mul(2) {
        host.shift_remove("MemorySwap");
    }
    // A real value only with cgroups of version 1: with version 2 there is no such setting, and Podman shows 0 and refuses it.
    let is_set = host.get("MemorySwappiness").and_then(Value::as_i64).is_some_and(|swappiness| swappiness >= 0);
    if !is_set || facts.cgroup_v2 || facts.podman {
        host.shift_remove("MemorySwappiness");
    }
    // Gone from the API with 1.42, and refused by some engines even as 0.
    for key in ["KernelMemory", "KernelMemoryTCP"] {
        if number(host, key) == 0 {
            host.shift_remove(key);
        }
    }
    if !flag(host, "OomKillDisable") {
        host.shift_remove("OomKillDisable");
    }
}

/// The engine refuses both spellings of one limit; Podman shows both.
fn processors(host: &mut Object) {
    if number(host, "NanoCpus") > 0 {
        remove(host, &["CpuPeriod", "CpuQuota"]);
    }
}

/// Removes the labels that the engine derives from the container's modes, as it would add them again: `label=disable` where it shares a namespace of the machine, or the four of the container whose namespace it shares.
fn security_options(host: &mut Object) {
    let mut options: Vec<String> = texts(field(host, "SecurityOpt")).map(str::to_owned).collect();
    if flag(host, "Privileged") || text(host, "PidMode") == "host" || text(host, "IpcMode") == "host" {
        options.retain(|option| option != "label=disable");
    }
    if ["PidMode", "IpcMode"].iter().any(|key| text(host, key).starts_with("container:")) {
        let kinds = ["label=user:", "label=role:", "label=type:", "label=level:"];
        if kinds.iter().all(|kind| options.iter().any(|option| option.starts_with(kind))) {
            options.retain(|option| !kinds.iter().any(|kind| option.starts_with(kind)));
        }
    }
    put(host, "SecurityOpt", if options.is_empty() { Value::Null } else { json!(options) });
}

/// Podman leaves out the permissions that it gives to a device, and gives none if it is not told.
fn device_permissions(host: &mut Object) {
    let Some(devices) = host.get_mut("Devices").and_then(Value::as_array_mut) else { return };
    for device in devices.iter_mut().filter_map(Value::as_object_mut) {
        if text(device, "CgroupPermissions").is_empty() {
            device.insert("CgroupPermissions".to_owned(), json!("rwm"));
        }
    }
}

/// Inspected, a link is `/target:/self/alias`; given, it is `target:alias`.
fn links(host: &mut Object) {
    let mut links: Vec<String> = texts(field(host, "Links")).map(link).collect();
    // They come from a map, in any order.
    links.sort_unstable();
    put(host, "Links", if links.is_empty() { Value::Null } else { json!(links) });
}

/// One link, as a user gives it.
pub(super) fn link(inspected: &str) -> String {
    let (target, alias) = inspected.split_once(':').unwrap_or((inspected, inspected));
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    format!("{}:{alias}", target.trim_start_matches('/'))
}

/// Whether a created container may have `actual` in `key` where its specification said nothing: what the engine fills in, and nothing else.
pub(super) fn is_filled_in(key: &str, actual: &Value, host: &Object) -> bool {
    match key {
        // Its own defaults, which it may have changed since the old one was created.
        "ShmSize" | "IpcMode" | "CgroupnsMode" | "Runtime" | "LogConfig" | "ConsoleSize" | "Ulimits" => true,
        "MaskedPaths" | "ReadonlyPaths" => !flag(host, "Privileged"),
        // Or without a limit, where the machine's kernel knows none.
        "MemorySwap" => number(host, "Memory") > 0 && [Some(number(host, "Memory").saturating_mul(2)), Some(-1)].contains(&actual.as_i64()),
        "MemorySwappiness" => actual.as_i64() == Some(-1),
        "RestartPolicy" => {
            matches!(actual.get("Name").and_then(Value::as_str), Some("" | "no")) && number_in(actual, "MaximumRetryCount") == 0
        }
        "NetworkMode" => matches!(actual.as_str(), Some("default" | "bridge")),
        "Isolation" => actual == "default",
        "SecurityOpt" => items(actual).iter().all(|option| option.as_str().is_some_and(|option| is_derived(option, host))),
        _ => is_zero(actual),
    }
}

/// Whether the engine may have derived this security option from the container's modes.
pub(super) fn is_derived(option: &str, host: &Object) -> bool {
    let shares = |key: &str| text(host, key) == "host" || text(host, key).starts_with("container:");
    option.starts_with("label=") && (flag(host, "Privileged") || shares("PidMode") || shares("IpcMode"))
}

fn number_in(value: &Value, key: &str) -> i64 {
    value.get(key).and_then(Value::as_i64).unwrap_or_default()
}
