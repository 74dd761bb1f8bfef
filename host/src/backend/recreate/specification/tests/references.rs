//! Other containers: whose namespaces and volumes a container shares, and who shares its own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::references::Dependence;
use super::super::{Subject, Target, dependents, specify};
use super::{ID, NEW, OTHER, container, engine};

fn named(id: &str, name: &str, host: Value) -> Value {
    json!({ "Id": id, "Name": format!("/{name}"), "HostConfig": host })
}

#[test]
fn a_namespace_of_a_recreated_container_is_that_of_the_new_one() {
    let host = json!({ "NetworkMode": format!("container:{OTHER}"), "PidMode": "container:other", "IpcMode": format!("container:{}", &OTHER[..12]), "Dns": ["1.1.1.1"], "PortBindings": { "80/tcp": [] } });
    let container = container(
        json!({ "Hostname": "of-other", "Domainname": "d", "ExposedPorts": { "80/tcp": {} }, "MacAddress": "02:42:ac:11:00:07" }),
        host,
    );
    let (image, facts, others) = (json!({ "Id": "sha256:old" }), engine(51), [named(OTHER, "other", json!({}))]);
    let specified = |replaced: BTreeMap<String, String>| {
        let subject = Subject { container: &container, image: &image, facts: &facts, others: &others, replaced: &replaced };
        specify(&subject, &Target { reference: "web:1", image: &image }).unwrap().body
    };
    let modes = |network: &str, pid: &str, ipc: &str| json!({ "NetworkMode": format!("container:{network}"), "PidMode": format!("container:{pid}"), "IpcMode": format!("container:{ipc}") });
    let body = specified(BTreeMap::new());
    assert_eq!(body, json!({ "Image": "web:1", "HostConfig": modes(OTHER, "other", &OTHER[..12]) }));
    let body = specified(BTreeMap::from([(OTHER.to_owned(), NEW.to_owned())]));
    assert_eq!(body["HostConfig"], modes(NEW, "other", NEW));
}

#[test]
fn volumes_of_another_container_are_taken_from_it_while_it_is_there() {
    let volume = |name: &str, place: &str| json!({ "Type": "volume", "Name": name, "Destination": place, "Driver": "local", "RW": false });
    let mut container = container(json!({}), json!({ "NetworkMode": "bridge", "VolumesFrom": [format!("{OTHER}:ro"), "gone"] }));
    let bind = json!({ "Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": true, "Propagation": "rprivate" });
    container["Mounts"] = json!([volume("shared", "/shared"), volume("lost", "/lost"), bind]);
    let mut other = named(OTHER, "other", json!({}));
    other["Mounts"] = json!([volume("shared", "/shared")]);
    let (image, facts, others) = (json!({ "Id": "sha256:old" }), engine(51), [other]);
    let replaced = BTreeMap::from([(OTHER.to_owned(), NEW.to_owned())]);
    let subject = Subject { container: &container, image: &image, facts: &facts, others: &others, replaced: &replaced };
    let host = specify(&subject, &Target { reference: "web:1", image: &image }).unwrap().body["HostConfig"].clone();
    assert_eq!(host["VolumesFrom"], json!([format!("{NEW}:ro")]));
    let expected = json!([
        { "Type": "volume", "Source": "lost", "Target": "/lost", "ReadOnly": true, "VolumeOptions": { "NoCopy": true } },
        { "Type": "bind", "Source": "/srv", "Target": "/srv", "BindOptions": { "Propagation": "rprivate" } },
    ]);
    assert_eq!(host["Mounts"], expected);
}

#[test]
fn a_volume_of_another_driver_is_mounted_by_it() {
    let mut container = container(json!({ "Volumes": { "/data": {} } }), json!({ "NetworkMode": "bridge" }));
    container["Mounts"] = json!([{ "Type": "volume", "Name": "far", "Destination": "/data/", "Driver": "nfs", "RW": true }]);
    let body = super::specified(&container, &engine(51)).body;
    let expected = json!([{ "Type": "volume", "Source": "far", "Target": "/data/", "VolumeOptions": { "NoCopy": true, "DriverConfig": { "Name": "nfs" } } }]);
    assert_eq!((&body["HostConfig"]["Mounts"], &body["Volumes"]), (&expected, &json!({ "/data": {} })));
}

#[test]
fn dependents_are_found_each_after_those_that_it_depends_on() {
    let id = |digit: char| digit.to_string().repeat(64);
    let web = container(json!({}), json!({}));
    let all = [
        web.clone(),
        // Of a dependent, and inspected before it.
        named(&id('a'), "third", json!({ "PidMode": "container:second" })),
        named(&id('b'), "second", json!({ "NetworkMode": format!("container:{ID}"), "VolumesFrom": [format!("{}:ro", &ID[..12])] })),
        named(&id('c'), "linked", json!({ "Links": ["/web:/linked/w"] })),
        // Names lead to the new container, and others are others.
        named(&id('d'), "by-name", json!({ "VolumesFrom": ["web"] })),
        named(&id('e'), "stranger", json!({ "NetworkMode": "container:website", "IpcMode": "private", "Links": ["/db:/stranger/web"] })),
    ];
    let found = dependents(&web, &all);
    let found: Vec<(&str, Vec<Dependence>)> =
        found.iter().map(|dependent| (dependent.name.as_str(), dependent.because.iter().copied().collect())).collect();
    let expected = [
        ("second", vec![Dependence::Namespace, Dependence::Volumes]),
        ("linked", vec![Dependence::Link]),
        ("third", vec![Dependence::Namespace]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn dependents_in_a_circle_are_each_found_once() {
    let id = |digit: char| digit.to_string().repeat(64);
    let web = container(json!({}), json!({ "Links": ["/one:/web/one"] }));
    let all = [
        web.clone(),
        named(&id('a'), "one", json!({ "Links": ["/web:/one/web", "/two:/one/two"] })),
        named(&id('b'), "two", json!({ "Links": ["/one:/two/one"] })),
    ];
    let names: Vec<String> = dependents(&web, &all).into_iter().map(|dependent| dependent.name).collect();
    assert_eq!(names, ["one", "two"]);
}
