//! Single rules, by tables.

use serde_json::json;

use super::super::{Facts, Refusal, Subject, Target, specify};
use super::{ID, NEW, check_host, container, engine, specified};

fn podman() -> Facts {
    Facts { podman: true, ..engine(41) }
}

#[test]
fn default_lists_of_paths_are_left_to_the_engine() {
    let old = [
        "/proc/asound",
        "/proc/acpi",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
    ];
    let new = [
        &old[..],
        &[
            "/sys/devices/virtual/powercap",
            "/proc/interrupts",
            "/sys/devices/system/cpu/cpu0/thermal_throttle",
            "/sys/devices/system/cpu/cpu17/thermal_throttle",
        ],
    ]
    .concat();
    let read_only = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
    let facts = engine(51);
    check_host(&facts, json!({ "MaskedPaths": old, "ReadonlyPaths": read_only }), json!({}));
    check_host(&facts, json!({ "MaskedPaths": new, "ReadonlyPaths": read_only }), json!({}));
    // What a user gave.
    let own = [&old[..], &["/proc/own"]].concat();
    for kept in [
        json!({ "MaskedPaths": [], "ReadonlyPaths": [] }),
        json!({ "MaskedPaths": own }),
        json!({ "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/sys"] }),
        json!({ "Privileged": true, "MaskedPaths": old }),
    ] {
        check_host(&facts, kept.clone(), kept);
    }
}

#[test]
fn limits_that_follow_from_others_are_left_to_the_engine() {
    let facts = engine(51);
    check_host(
        &facts,
        json!({ "Memory": 100, "MemorySwap": 200, "ShmSize": 67_108_864, "OomKillDisable": false, "Runtime": "runc", "ContainerIDFile": "/tmp/id" }),
        json!({ "Memory": 100 }),
    );
    for kept in [
        json!({ "Memory": 100, "MemorySwap": 150 }),
        json!({ "Memory": 100, "MemorySwap": -1 }),
        json!({ "MemorySwap": 0 }),
        json!({ "ShmSize": 1, "OomKillDisable": true, "Runtime": "nvidia" }),
        json!({ "IpcMode": "shareable", "CgroupnsMode": "host" }),
    ] {
        check_host(&facts, kept.clone(), kept);
    }
    check_host(&facts, json!({ "NanoCpus": 5, "CpuPeriod": 100_000, "CpuQuota": 50 }), json!({ "NanoCpus": 5 }));
    check_host(
        &facts,
        json!({ "NanoCpus": 0, "CpuPeriod": 100_000, "CpuQuota": 50 }),
        json!({ "NanoCpus": 0, "CpuPeriod": 100_000, "CpuQuota": 50 }),
    );
}

#[test]
fn swappiness_is_sent_only_where_there_is_one() {
    check_host(&engine(41), json!({ "MemorySwappiness": 0 }), json!({ "MemorySwappiness": 0 }));
    check_host(&engine(41), json!({ "MemorySwappiness": -1 }), json!({}));
    check_host(&engine(41), json!({ "MemorySwappiness": null }), json!({}));
    check_host(&podman(), json!({ "MemorySwappiness": 0 }), json!({}));
    check_host(&Facts { cgroup_v2: true, ..engine(41) }, json!({ "MemorySwappiness": 60 }), json!({}));
}

#[test]
fn devices_of_podman_get_their_permissions() {
    let devices = |permissions: &str| json!({ "Devices": [{ "PathOnHost": "/dev/dri", "PathInContainer": "/dev/dri", "CgroupPermissions": permissions }] });
    check_host(&podman(), devices(""), devices("rwm"));
    check_host(&podman(), devices("r"), devices("r"));
    check_host(&engine(51), devices(""), devices(""));
}

#[test]
fn labels_that_follow_from_the_modes_are_left_to_the_engine() {
    let facts = engine(51);
    let own = json!(["seccomp=unconfined", "label=disable"]);
    check_host(
        &facts,
        json!({ "SecurityOpt": own, "PidMode": "host" }),
        json!({ "SecurityOpt": ["seccomp=unconfined"], "PidMode": "host" }),
    );
    check_host(&facts, json!({ "SecurityOpt": ["label=disable"], "Privileged": true }), json!({ "Privileged": true }));
    check_host(&facts, json!({ "SecurityOpt": own }), json!({ "SecurityOpt": own }));
    let kept = json!({ "SecurityOpt": ["label=type:own_t"], "IpcMode": "host" });
    check_host(&facts, kept.clone(), kept);
    let of_other = json!(["label=user:u", "label=role:r", "label=type:t", "label=level:s0"]);
    check_host(&facts, json!({ "SecurityOpt": of_other, "IpcMode": "container:other" }), json!({ "IpcMode": "container:other" }));
}

#[test]
fn links_are_given_as_they_were() {
    check_host(
        &engine(51),
        json!({ "Links": ["/db/x", "/other:/web/alias", "/other:/web/a"] }),
        json!({ "Links": ["db/x:x", "other:a", "other:alias"] }),
    );
}

#[test]
fn what_nobody_knows_here_is_passed_on() {
    check_host(
        &engine(51),
        json!({ "OfTheFuture": { "a": [1] }, "Annotations": { "a": "b" } }),
        json!({ "OfTheFuture": { "a": [1] }, "Annotations": { "a": "b" } }),
    );
}

#[test]
fn sysctls_of_an_interface_move_to_its_endpoint() {
    let sysctls = json!({ "net.ipv4.conf.eth0.log_martians": "1", "net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "0" });
    let container = container(json!({}), json!({ "NetworkMode": "bridge", "Sysctls": sysctls }));
    let body = specified(&container, &engine(51)).body;
    assert_eq!(body["HostConfig"]["Sysctls"], json!({ "net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "0" }));
    let endpoint = &body["NetworkingConfig"]["EndpointsConfig"]["bridge"];
    assert_eq!(*endpoint, json!({ "DriverOpts": { "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1" } }));
    assert_eq!(specified(&container, &engine(47)).body["HostConfig"]["Sysctls"], sysctls);
}

#[test]
fn aliases_are_those_that_were_given() {
    let aliases = |api: u32| {
        let mut container = container(json!({ "Hostname": "own" }), json!({ "NetworkMode": "net" }));
        container["NetworkSettings"]["Networks"] = json!({ "net": { "Aliases": ["web", "111111111111", "own"] } });
        specified(&container, &engine(api)).body["NetworkingConfig"]["EndpointsConfig"]["net"]["Aliases"].clone()
    };
    assert_eq!((aliases(41), aliases(44), aliases(45)), (json!(["web"]), json!(["web"]), json!(["web", "own"])));
}

#[test]
fn a_hardware_address_goes_where_the_engine_looks_for_it() {
    let mut container = container(json!({ "MacAddress": "02:42:ac:11:00:07" }), json!({ "NetworkMode": "net" }));
    container["NetworkSettings"]["Networks"] =
        json!({ "a": { "MacAddress": "02:42:ac:11:00:01" }, "net": { "MacAddress": "02:42:ac:11:00:07" } });
    let old = specified(&container, &engine(43));
    assert_eq!(
        (&old.body["MacAddress"], &old.body["NetworkingConfig"]["EndpointsConfig"]),
        (&json!("02:42:ac:11:00:07"), &json!({ "net": {} }))
    );
    assert_eq!(json!(old.connect), json!([{ "network": "a", "endpoint": {} }]));
    let new = specified(&container, &engine(44));
    assert_eq!(
        (&new.body["MacAddress"], &new.body["NetworkingConfig"]["EndpointsConfig"]),
        (&json!(null), &json!({ "net": { "MacAddress": "02:42:ac:11:00:07" }, "a": {} }))
    );
    assert_eq!(new.connect, []);
}

#[test]
fn a_host_name_is_kept_when_somebody_chose_it() {
    let check = |name: &str, host: serde_json::Value, expected: serde_json::Value| {
        let container = container(json!({ "Hostname": name }), host);
        assert_eq!(specified(&container, &engine(51)).body.get("Hostname").cloned().unwrap_or_default(), expected, "{name}");
    };
    let bridge = json!({ "NetworkMode": "bridge" });
    check("chosen", bridge.clone(), json!("chosen"));
    check("machine", bridge.clone(), json!("machine"));
    check(&ID[..12], bridge.clone(), json!(null));
    // Of a container that it was made from by somebody else.
    check("222222222222", bridge, json!("222222222222"));
    check("machine", json!({ "NetworkMode": "host" }), json!(null));
    check("chosen", json!({ "NetworkMode": "host" }), json!("chosen"));
    check("chosen", json!({ "NetworkMode": "bridge", "UTSMode": "host" }), json!(null));
}

#[test]
fn compose_is_told_what_the_container_runs() {
    let label = |manifests: serde_json::Value| {
        let container =
            container(json!({ "Labels": { "com.docker.compose.image": "sha256:old", "com.docker.compose.config-hash": "x" } }), json!({}));
        let (old, new) =
            (json!({ "Id": "sha256:old" }), json!({ "Id": "sha256:new", "Os": "linux", "Architecture": "amd64", "Manifests": manifests }));
        let facts = engine(51);
        let subject = Subject { container: &container, image: &old, facts: &facts, others: &[], replaced: &Default::default() };
        let labels = specify(&subject, &Target { reference: "web:1", image: &new }).unwrap().body["Labels"].clone();
        assert_eq!(labels["com.docker.compose.config-hash"], "x");
        labels["com.docker.compose.image"].as_str().unwrap().to_owned()
    };
    let manifest = |id: &str, kind: &str, here: bool, architecture: &str| json!({ "ID": id, "Kind": kind, "Available": here, "ImageData": { "Platform": { "os": "linux", "architecture": architecture } } });
    assert_eq!(label(json!(null)), "sha256:new");
    let all = json!([
        manifest("a", "attestation", true, "amd64"),
        manifest("b", "image", false, "amd64"),
        manifest("c", "image", true, "arm64"),
        manifest("d", "image", true, "amd64")
    ]);
    assert_eq!(label(all), "d");
    assert_eq!(label(json!([manifest("c", "image", true, "arm64")])), "c");
    assert_eq!(label(json!([manifest("b", "image", false, "amd64")])), "sha256:new");
}

#[test]
fn what_others_own_is_refused() {
    let check = |config: serde_json::Value, change: &dyn Fn(&mut serde_json::Value), expected: &str| {
        let mut container = container(config, json!({}));
        change(&mut container);
        let (image, facts) = (json!({ "Id": "sha256:old" }), engine(51));
        let subject = Subject { container: &container, image: &image, facts: &facts, others: &[], replaced: &Default::default() };
        let refusal: Refusal = specify(&subject, &Target { reference: "web:1", image: &image }).unwrap_err();
        assert!(refusal.to_string().contains(expected), "{refusal}");
    };
    let same = |_: &mut serde_json::Value| {};
    check(json!({ "Labels": { "com.docker.swarm.task.id": "t" } }), &same, "Swarm");
    check(json!({ "Labels": { "io.kubernetes.pod.uid": "p" } }), &same, "Kubernetes");
    check(json!({ "Labels": { "PODMAN_SYSTEMD_UNIT": "web.service" } }), &same, "`web.service`");
    check(json!({}), &|container| container["State"]["Status"] = json!("paused"), "paused");
    check(json!({}), &|container| container["State"]["Status"] = json!("removing"), "being removed");
    check(json!({}), &|container| container["Id"] = json!(NEW), "host itself");
    check(json!({}), &|container| container["Platform"] = json!("windows"), "windows");
    check(json!({}), &|container| container["HostConfig"] = json!(null), "`HostConfig`");
    check(json!({}), &|container| container["HostConfig"]["PidMode"] = json!("container:gone"), "`PidMode` leads to the container `gone`");
    check(
        json!({}),
        &|container| {
            container["Mounts"] = json!([{ "Type": "volume", "Driver": "other", "Source": "/x/volumes/y/_data", "Destination": "/data" }])
        },
        "the volume at `/data`",
    );
}
