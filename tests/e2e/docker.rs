//! The capability `docker` on a real engine, through a guest whose grant is narrower than the engine: what is inside is done, what is outside does not even look like being there.

use serde_json::{Value, json};
use wharf_harness::guest::DOCKER_POWERS;
use wharf_harness::http::Client;
use wharf_harness::registry::Registry;
use wharf_tests::guests::DOCKER;

use crate::deployments::push;
use crate::site::{NETWORK, SERVER, Site, VOLUME, eventually, host};

/// Every function: within the grant, outside of it, and for what is not there.
pub fn grant(site: &Site) {
    let registry = Registry::start(false).unwrap();
    let repository = format!("{}/team/app", registry.address());
    push(site, &repository, "1");
    site.docker().delete(&format!("/images/{repository}:1")).unwrap().success("removing the local tag").unwrap();
    let serving = json!({ "Image": SERVER, "Env": ["SECRET=1"], "HostConfig": { "NetworkMode": NETWORK } });
    site.create("web-1", &serving);
    site.create("store", &serving);
    let host = host(&configuration(site, &registry.address().to_string()));
    let guest = host.client();

    let harmless = json!({ "Image": SERVER, "HostConfig": { "NetworkMode": NETWORK } });
    let strange = json!({ "Image": "example.com/evil:1", "HostConfig": { "NetworkMode": NETWORK } });
    let absent = json!({ "Image": format!("{repository}:absent"), "HostConfig": { "NetworkMode": NETWORK } });
    let container = |name: &str| json!({ "name": name });
    let new = |name: &str, specification: &Value| json!({ "name": name, "specification": specification });
    let pulled = format!("{repository}:1");
    // In this order: what a row does is there for the next.
    for (function, arguments, expected) in [
        ("containers-lifecycle.start", container("store"), "denied"),
        ("containers-lifecycle.start", container("web-gone"), "not-found"),
        ("containers-lifecycle.start", container("web-1"), "done"),
        ("containers-lifecycle.start", container("web-1"), "done"),
        ("containers-remove.remove", container("web-1"), "conflict"),
        ("containers-lifecycle.stop", container("store"), "denied"),
        ("containers-lifecycle.stop", container("web-gone"), "not-found"),
        ("containers-lifecycle.stop", container("web-1"), "done"),
        ("containers-lifecycle.stop", container("web-1"), "done"),
        ("containers-remove.remove", container("store"), "denied"),
        ("containers-remove.remove", container("web-gone"), "not-found"),
        ("images-pull.pull", container("example.com/evil:1"), "denied"),
        ("images-pull.pull", container(&format!("{repository}:absent")), "not-found"),
        ("images-pull.pull", container(&pulled), "done"),
        ("containers-create.create", new("web-2", &harmless), "done"),
        ("containers-create.create", new("web-2", &harmless), "conflict"),
        ("containers-create.create", new("store-2", &harmless), "denied"),
        ("containers-create.create", new("web-3", &strange), "denied"),
        ("containers-create.create", new("web-3", &absent), "not-found"),
        ("containers-create.run", new("web-4", &harmless), "done"),
        ("containers-create.run", new("store-4", &harmless), "denied"),
        ("containers-create.run", new("web-5", &absent), "not-found"),
    ] {
        assert_eq!(word(&ask(&guest, function, &arguments)), expected, "{function} {arguments}");
        if function == "containers-lifecycle.start" && expected == "done" {
            eventually("the server's line", || guest.get("/log/web-1").unwrap().body == b"ready\n");
        }
    }
    for function in ["containers-read.inspect", "containers-env.inspect"] {
        let answers = ask(&guest, function, &json!({ "names": ["web-1", "store", "web-gone"] }));
        assert_eq!(
            (&answers[0]["name"], &answers[1]["error"], &answers[2]["error"]),
            (&json!("web-1"), &json!("denied"), &json!("not-found"))
        );
        let env = answers[0]["env"].to_string();
        assert_eq!(env.contains("SECRET=1"), function == "containers-env.inspect", "{function} {env}");
    }
    // By id, what is outside looks like what is not there.
    let ids = json!({ "names": [site.inspect("store")["Id"], "0".repeat(64), site.inspect("web-1")["Id"]] });
    let answers = ask(&guest, "containers-read.inspect", &ids);
    assert_eq!(
        (&answers[0]["error"], &answers[1]["error"], &answers[2]["name"]),
        (&json!("not-found"), &json!("not-found"), &json!("web-1"))
    );
    let images = ask(&guest, "images-read.inspect", &json!({ "names": [SERVER, "example.com/evil:1", format!("{repository}:absent")] }));
    assert!(images[0]["id"].as_str().unwrap().starts_with("sha256:"), "{images}");
    assert_eq!((&images[1]["error"], &images[2]["error"]), (&json!("denied"), &json!("not-found")));
    // The SDK answers a refusal as it answers an absence.
    for (name, status) in [("web-1", 200), ("store", 404), ("web-gone", 404)] {
        let log = guest.get(&format!("/log/{name}")).unwrap();
        assert_eq!((log.status, log.text().unwrap() == "ready\n"), (status, status == 200), "{name}: {}", log.text().unwrap());
    }
    let listed = ask(&guest, "containers-read.list", &json!({ "all": true }));
    let mut names: Vec<String> = listed.as_array().unwrap().iter().map(|found| found["names"][0].as_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["web-1", "web-2", "web-4"]);
    assert_eq!(ask(&guest, "networks-read.list", &json!({})), json!([NETWORK]));
    assert_eq!(ask(&guest, "volumes-read.list", &json!({})), json!([VOLUME]));
    assert_eq!(ask(&guest, "system-read.version", &json!({}))["version"], site.engine.version().unwrap());

    check_prefixes(site, &guest);
    check_by_image_id(site, &guest);
    check_harmful(site, &guest);
    for (name, force) in [("web-1", false), ("web-2", false), ("web-4", true)] {
        assert_eq!(ask(&guest, "containers-remove.remove", &json!({ "name": name, "force": force })), "done");
    }
    site.docker().delete("/containers/store?force=1").unwrap().success("removing").unwrap();
    site.docker().delete(&format!("/images/{pulled}")).unwrap().success("removing").unwrap();
}

/// A prefix that several ids have finds none of them, which engine 20.10 says with a 500 and engine 28 with a 400; a longer one finds its container.
#[track_caller]
fn check_prefixes(site: &Site, guest: &Client) {
    // One more than there are digits, so that two begin alike.
    let names: Vec<String> = (0..17).map(|number| format!("web-prefix-{number}")).collect();
    for name in &names {
        site.create(name, &json!({ "Image": SERVER }));
    }
    let ids: Vec<String> = names.iter().map(|name| site.inspect(name)["Id"].as_str().unwrap().to_owned()).collect();
    let shared = ids.iter().map(|id| &id[..1]).find(|digit| ids.iter().filter(|id| id.starts_with(digit)).count() > 1).unwrap();
    let status = site.docker().get(&format!("/containers/{shared}/json")).unwrap().status;
    assert_eq!(status, if site.engine.version().unwrap().starts_with("20.") { 500 } else { 400 });
    for function in ["containers-lifecycle.start", "containers-lifecycle.stop", "containers-remove.remove"] {
        assert_eq!(word(&ask(guest, function, &json!({ "name": shared }))), "not-found", "{function} {shared}");
    }
    let answers = ask(guest, "containers-read.inspect", &json!({ "names": [shared, &ids[0][..63]] }));
    assert_eq!((&answers[0]["error"], &answers[1]["name"]), (&json!("not-found"), &json!(names[0])));
    for name in &names {
        assert_eq!(ask(guest, "containers-remove.remove", &json!({ "name": name })), "done");
    }
}

/// An image that is named by a prefix of its id is used by its full id. What only newer engines know is refused on older ones, which would leave it out.
#[track_caller]
fn check_by_image_id(site: &Site, guest: &Client) {
    let images = ask(guest, "images-read.inspect", &json!({ "names": [SERVER] }));
    let id = images[0]["id"].as_str().unwrap();
    let specification = json!({ "Image": &id[..30], "HostConfig": { "NetworkMode": "none" } });
    assert_eq!(word(&ask(guest, "containers-create.create", &json!({ "name": "web-id", "specification": specification }))), "done");
    let made = site.inspect("web-id");
    assert_eq!((&made["Image"], &made["Config"]["Image"]), (&json!(id), &json!(id)));
    assert_eq!(made["Config"]["Labels"]["wharf.create"].as_str().unwrap().len(), 32);
    assert_eq!(ask(guest, "containers-remove.remove", &json!({ "name": "web-id" })), "done");

    let mount = json!({ "Type": "volume", "Source": VOLUME, "Target": "/data", "VolumeOptions": { "Subpath": "part" } });
    let specification = json!({ "Image": SERVER, "HostConfig": { "NetworkMode": "none", "Mounts": [mount] } });
    let answer = ask(guest, "containers-create.create", &json!({ "name": "web-part", "specification": specification }));
    if site.engine.version().unwrap().starts_with("20.") {
        assert_eq!(answer["reason"], "`HostConfig.Mounts.VolumeOptions.Subpath` needs API 1.45 and the engine has 1.41, which ignores it");
    } else {
        assert_eq!(word(&answer), "done");
        assert_eq!(ask(guest, "containers-remove.remove", &json!({ "name": "web-part" })), "done");
    }
}

/// One of each kind; the room's own tests have the whole table. The engine has no such container afterwards.
#[track_caller]
fn check_harmful(site: &Site, guest: &Client) {
    let socket = site.engine.socket();
    for harm in [
        json!({ "Privileged": true }),
        json!({ "privileged": true }),
        json!({ "Binds": [format!("{}:/docker.sock", socket.display())] }),
        json!({ "Mounts": [{ "Type": "bind", "Source": "/", "Target": "/host" }] }),
        json!({ "Mounts": [{ "Type": "volume", "Source": "other", "Target": "/data" }] }),
        json!({ "Devices": [{ "PathOnHost": "/dev/mem", "PathInContainer": "/dev/mem", "CgroupPermissions": "rwm" }] }),
        json!({ "CapAdd": ["SYS_ADMIN"] }),
        json!({ "PidMode": "host" }),
        json!({ "NetworkMode": "host" }),
        json!({ "NetworkMode": "container:store" }),
        json!({ "CpusetCpus": "0-4294967295" }),
        json!({ "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m", "max-file": "1000000" } } }),
        json!({ "SecurityOpt": ["seccomp=unconfined"] }),
        json!({ "PortBindings": { "80/tcp": [{ "HostPort": "80" }] } }),
    ] {
        let mut host = json!({ "NetworkMode": NETWORK });
        host.as_object_mut().unwrap().extend(harm.as_object().unwrap().clone());
        let specification = json!({ "Image": SERVER, "ExposedPorts": { "80/tcp": {} }, "HostConfig": host });
        for function in ["containers-create.create", "containers-create.run"] {
            let answer = word(&ask(guest, function, &json!({ "name": "web-harm", "specification": specification })));
            assert!(["denied", "invalid"].contains(&answer.as_str()), "{function} {harm}: {answer}");
        }
        assert_eq!(site.docker().get("/containers/web-harm/json").unwrap().status, 404, "{harm}");
    }
}

fn configuration(site: &Site, registry: &str) -> String {
    let scope = format!("containers = {{ names = [\"web-*\"] }}\nimages = [\"docker.io/wharf/*\", \"{registry}/team/*\"]");
    format!("{}{}", engine_and_site(site), guest("guest", "/", &scope))
}

/// The beginning of a configuration: the site's engine, and a site of the host's own.
pub fn engine_and_site(site: &Site) -> String {
    format!("[engine.default]\nurl = \"{}\"\n[[site]]\nname = \"plant-a\"\n", site.engine.url())
}

/// A plugin that has every power on the engine, within `scope` and the network and volume of the stories.
pub fn guest(name: &str, mount: &str, scope: &str) -> String {
    format!(
        r#"
[[site.plugin]]
name = "{name}"
source = "{DOCKER}"
mount = "{mount}"
[site.plugin.grants.docker]
allow = {DOCKER_POWERS:?}
networks = ["{NETWORK}"]
volumes = ["{VOLUME}"]
{scope}
"#
    )
}

/// What the guest hears from `function`.
#[track_caller]
pub fn ask(guest: &Client, function: &str, arguments: &Value) -> Value {
    guest.post_json(&format!("/{function}"), arguments).unwrap().success(function).unwrap().json().unwrap()
}

/// The word of an error; `done` for anything else.
pub fn word(answer: &Value) -> String {
    answer["error"].as_str().unwrap_or("done").to_owned()
}
