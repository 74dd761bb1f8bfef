//! What a created container may have otherwise, and what not.

use serde_json::{Value, json};

use super::super::differences;
use super::{NEW, container, engine, specified};

/// What is found when a container that was specified from `config` and `host` has become one of `created_config` and `created_host`.
#[track_caller]
fn check(config: Value, host: Value, created_config: Value, created_host: Value, expected: &[&str]) {
    let facts = engine(51);
    let specification = specified(&container(config, host), &facts);
    let mut created = container(created_config, created_host);
    created["Id"] = json!(NEW);
    let found = differences(&specification, &json!({ "Id": "sha256:old", "Config": {} }), &created, &facts);
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

#[test]
fn what_engines_fill_in_is_no_difference() {
    let filled = json!({ "NetworkMode": "default", "ShmSize": 1000, "IpcMode": "private", "CgroupnsMode": "private", "Runtime": "crun", "MaskedPaths": ["/proc/x"], "ReadonlyPaths": [], "OomKillDisable": false,
        "LogConfig": { "Type": "local", "Config": {} }, "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 }, "MemorySwappiness": -1, "Ulimits": [{ "Name": "nofile" }], "ConsoleSize": [0, 0], "Dns": [], "Isolation": "default" });
    check(json!({}), json!({}), json!({ "Hostname": "333333333333", "Labels": {}, "Env": null, "Cmd": [] }), filled, &[]);
    check(json!({}), json!({ "Memory": 5 }), json!({}), json!({ "Memory": 5, "MemorySwap": 10 }), &[]);
    check(json!({}), json!({ "Memory": 5 }), json!({}), json!({ "Memory": 5, "MemorySwap": -1 }), &[]);
    check(json!({}), json!({ "Privileged": true }), json!({}), json!({ "Privileged": true, "SecurityOpt": ["label=disable"] }), &[]);
    check(json!({}), json!({ "CapAdd": ["NET_ADMIN"] }), json!({}), json!({ "CapAdd": ["CAP_NET_ADMIN"] }), &[]);
    let log = |config: Value| json!({ "LogConfig": { "Type": "json-file", "Config": config } });
    check(json!({}), log(json!({ "max-size": "1m" })), json!({}), log(json!({ "max-size": "1m", "max-file": "2" })), &[]);
    check(json!({ "WorkingDir": "/app/" }), json!({}), json!({ "WorkingDir": "/app" }), json!({}), &[]);
}

#[test]
fn anything_else_is_one() {
    check(json!({}), json!({}), json!({}), json!({ "MemorySwap": 10 }), &["`/HostConfig/MemorySwap` is `10` instead of `null`"]);
    check(
        json!({}),
        json!({ "Privileged": true }),
        json!({}),
        json!({ "Privileged": true, "MaskedPaths": ["/x"] }),
        &["`/HostConfig/MaskedPaths` is `[\"/x\"]` instead of `null`"],
    );
    check(
        json!({}),
        json!({ "MaskedPaths": [] }),
        json!({}),
        json!({ "MaskedPaths": ["/x"] }),
        &["`/HostConfig/MaskedPaths` is `[\"/x\"]` instead of `[]`"],
    );
    check(
        json!({}),
        json!({}),
        json!({}),
        json!({ "SecurityOpt": ["label=disable"] }),
        &["`/HostConfig/SecurityOpt` is `[\"label=disable\"]` instead of `[]`"],
    );
    check(json!({}), json!({ "Memory": 5 }), json!({}), json!({ "Memory": 6 }), &["`/HostConfig/Memory` is `6` instead of `5`"]);
    check(
        json!({ "Entrypoint": [] }),
        json!({}),
        json!({ "Entrypoint": null }),
        json!({}),
        &["`/Config/Entrypoint` is `null` instead of `[]`"],
    );
    let policy = |name: &str| json!({ "RestartPolicy": { "Name": name, "MaximumRetryCount": 0 } });
    check(json!({}), policy("always"), json!({}), policy("no"), &["`/HostConfig/RestartPolicy/Name` is `\"no\"` instead of `\"always\"`"]);
}

#[test]
fn values_of_the_environment_are_not_told() {
    check(
        json!({ "Env": ["A=secret", "B=1"] }),
        json!({}),
        json!({ "Env": ["B=1", "A=other", "C=x"] }),
        json!({}),
        &["`/Config/Env/A` is `\"A=\"` instead of `\"A=\"`", "`/Config/Env/C` is `\"C=\"` instead of `null`"],
    );
}

#[test]
fn a_volume_that_another_one_took_the_place_of_is_found() {
    let facts = engine(51);
    let mount = |name: &str| json!([{ "Type": "volume", "Name": name, "Destination": "/data", "Driver": "local", "RW": true }]);
    let mut old = container(json!({}), json!({}));
    old["Mounts"] = mount("kept");
    let specification = specified(&old, &facts);
    let created = |name: &str| {
        let mut created = container(json!({}), json!({ "Mounts": specification.body["HostConfig"]["Mounts"] }));
        created["Mounts"] = mount(name);
        differences(&specification, &json!({ "Id": "sha256:old" }), &created, &facts).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(created("kept"), [""; 0]);
    assert_eq!(created("new"), ["`/Mounts/~1data` is `\"new\"` instead of `\"kept\"`"]);
}
