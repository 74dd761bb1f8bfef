//! Containers that are recreated on another image, on a real engine, from a real registry: what they keep, what brings them back, and which are refused. What is left when the host is killed or the engine fails in the middle is in
//! [`crate::crashes`].

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::engine_proxy::{EngineProxy, Fault};
use wharf_harness::http::Client;
use wharf_harness::registry::Registry;
use wharf_harness::wharf::Wharf;

use crate::docker::{ask, guest, word};
use crate::site::{NETWORK, SERVER, Site, VOLUME, escaped, eventually, free_port, host, page};

/// How long a new container has to run.
const SETTLE_MS: u64 = 700;

/// An engine behind a proxy, a host before it, and a registry.
struct Scene {
    // In the order in which they end.
    wharf: Wharf,
    proxy: EngineProxy,
    site: Site,
    registry: Registry,
}

impl Scene {
    fn new(site: Site) -> Scene {
        let proxy = EngineProxy::start(&site.engine.socket()).unwrap();
        let configuration =
            format!("[engine.default]\nurl = \"{}\"\n[[site]]\nname = \"plant-a\"\n{}", proxy.url(), guest("guest", "/", ""));
        Scene { wharf: host(&configuration), proxy, site, registry: Registry::start(false).unwrap() }
    }

    /// The name of the image, the same for all that is published.
    fn image(&self) -> String {
        format!("{}/team/app:1", self.registry.address())
    }

    /// Publishes an image made by `changes` (`ENV A=1`), which the engine then does not have under that name.
    #[track_caller]
    fn publish(&self, changes: &[&str]) {
        let docker = self.site.docker();
        self.site.create("to-be-committed", &json!({ "Image": SERVER, "HostConfig": { "NetworkMode": "none" } }));
        let repository = format!("{}/team/app", self.registry.address());
        let changes: String = changes.iter().map(|change| format!("&changes={}", escaped(change))).collect();
        let path = format!("/commit?container=to-be-committed&repo={}&tag=1{changes}", escaped(&repository));
        docker.post_json(&path, &json!({})).unwrap().success("committing").unwrap();
        let pushed = docker.send("POST", &format!("/images/{repository}/push?tag=1"), &[("x-registry-auth", "e30=")], &[]).unwrap();
        assert!(pushed.text().unwrap().contains("digest: sha256:"), "{}", pushed.text().unwrap());
        docker.delete("/containers/to-be-committed?force=1").unwrap().success("removing").unwrap();
        docker.delete(&format!("/images/{repository}:1")).unwrap().success("removing").unwrap();
    }

    /// Publishes an image, pulls it, makes `name` of it as `specification` says, without its image, and starts it.
    #[track_caller]
    fn run(&self, name: &str, changes: &[&str], specification: &Value) {
        self.pull(changes);
        self.make(name, specification);
        self.start(name);
    }

    /// Publishes an image and pulls it.
    #[track_caller]
    fn pull(&self, changes: &[&str]) {
        self.publish(changes);
        let path = format!("/images/create?fromImage={}&tag=1", escaped(&format!("{}/team/app", self.registry.address())));
        self.site.docker().post(&path).unwrap().success("pulling").unwrap();
    }

    #[track_caller]
    fn make(&self, name: &str, specification: &Value) {
        let mut specification = specification.clone();
        specification["Image"] = json!(self.image());
        self.site.create(name, &specification);
    }

    #[track_caller]
    fn start(&self, name: &str) {
        self.site.docker().post(&format!("/containers/{name}/start")).unwrap().success("starting").unwrap();
    }

    fn guest(&self) -> Client {
        self.wharf.client()
    }

    /// Begins to recreate `name` on what was published last.
    #[track_caller]
    fn begin(&self, name: &str) -> String {
        let options = json!({ "name": name, "pull": true, "settle_ms": SETTLE_MS });
        let id = ask(&self.guest(), "containers-recreate.begin", &options);
        id.as_str().unwrap_or_else(|| panic!("{id}\n{}", self.wharf.log())).to_owned()
    }

    #[track_caller]
    fn wait(&self, id: &str) -> Value {
        ask(&self.guest(), "operations-read.wait", &json!({ "name": id }))
    }

    /// Recreates `name`, which must end in `state`.
    #[track_caller]
    fn recreate(&self, name: &str, state: &str) -> Value {
        let ended = self.wait(&self.begin(name));
        assert_eq!(ended["state"], state, "{ended}\n{}", self.wharf.log());
        ended
    }

    /// What is left when `name` is not to be recreated: nothing has happened to anything.
    #[track_caller]
    fn refuse(&self, name: &str, reason: &str) {
        let before = self.site.inspect(name);
        let refused = ask(&self.guest(), "containers-recreate.begin", &json!({ "name": name, "pull": true }));
        assert_eq!(refused["error"], "conflict", "{refused}");
        assert!(refused["reason"].as_str().unwrap_or_default().contains(reason), "{refused}");
        assert_eq!(self.site.inspect(name)["State"], before["State"]);
    }

    /// The names of all containers, as the engine has them.
    fn names(&self) -> Vec<String> {
        let all = self.site.docker().get("/containers/json?all=1").unwrap().json().unwrap();
        let name = |container: &Value| container["Names"][0].as_str().unwrap().trim_start_matches('/').to_owned();
        let mut names: Vec<String> = all.as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    }

    fn volumes(&self) -> usize {
        self.site.docker().get("/volumes").unwrap().json().unwrap()["Volumes"].as_array().map_or(0, Vec::len)
    }

    #[track_caller]
    fn remove(&self, names: &[&str]) {
        for name in names {
            self.site.docker().delete(&format!("/containers/{name}?force=1&v=1")).unwrap().success("removing").unwrap();
        }
    }
}

/// What `docker exec` prints.
#[track_caller]
fn exec(site: &Site, container: &str, command: &[&str]) -> String {
    let docker = site.docker();
    let made =
        docker.post_json(&format!("/containers/{container}/exec"), &json!({ "AttachStdout": true, "Tty": true, "Cmd": command })).unwrap();
    let id = made.success("exec").unwrap().json().unwrap()["Id"].as_str().unwrap().to_owned();
    let answer = docker.post_json(&format!("/exec/{id}/start"), &json!({ "Tty": true })).unwrap();
    String::from_utf8_lossy(&answer.body).trim().to_owned()
}

/// A network with a place for static addresses.
///
/// The engine publishes ports by the first network in the order of their names, which is to be the other one.
const ADDRESSES: &str = "with-addresses";

/// Makes [`ADDRESSES`] and answers an address of it.
#[track_caller]
fn network_with_addresses(site: &Site) -> String {
    // No two engines at a time have the same third number in their networks, and an engine gives the low ones of the fourth away itself.
    let own = site.docker().get("/networks/bridge").unwrap().json().unwrap();
    let index = own["IPAM"]["Config"][0]["Subnet"].as_str().unwrap().split('.').nth(2).unwrap().to_owned();
    let ipam = json!({ "Config": [{ "Subnet": format!("198.19.{index}.192/27") }] });
    let made = site.docker().post_json("/networks/create", &json!({ "Name": ADDRESSES, "Driver": "bridge", "IPAM": ipam }));
    made.unwrap().success("creating a network").unwrap();
    format!("198.19.{index}.201")
}

const OLD: [&str; 4] = ["ENV GREETING=old", "LABEL release=1", "VOLUME /anonymous", "CMD [\"/bin/serve\"]"];
const NEW: [&str; 4] = ["ENV GREETING=new", "LABEL release=2", "VOLUME /anonymous", "CMD [\"/bin/serve\"]"];

/// Ports, environment, mounts, networks, names: what was set stays, and what was the image's is the new image's.
pub fn kept(site: Site) {
    let scene = Scene::new(site);
    let (port, address) = (free_port(), network_with_addresses(&scene.site));
    let specification = json!({
        "Env": ["OWN=1"],
        "Labels": { "own": "yes" },
        "ExposedPorts": { "80/tcp": {} },
        "StopTimeout": 3,
        "Healthcheck": { "Test": ["CMD", "ls", "/anonymous"], "Interval": 500_000_000, "Retries": 5 },
        "HostConfig": {
            "NetworkMode": NETWORK,
            "PortBindings": { "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": port.to_string() }] },
            "Binds": [format!("{VOLUME}:/data")],
            "RestartPolicy": { "Name": "always" },
        },
        "NetworkingConfig": { "EndpointsConfig": { NETWORK: { "Aliases": ["greeter"] } } },
    });
    scene.pull(&OLD);
    scene.make("web", &specification);
    let endpoint = json!({ "IPAMConfig": { "IPv4Address": address }, "Aliases": ["second"] });
    let joined = scene
        .site
        .docker()
        .post_json(&format!("/networks/{ADDRESSES}/connect"), &json!({ "Container": "web", "EndpointConfig": endpoint }));
    joined.unwrap().success("joining").unwrap();
    scene.start("web");
    eventually("the old page", || !page(port, "/").is_empty());
    exec(&scene.site, "web", &["sh", "-c", "echo kept > /anonymous/file"]);
    let before = scene.site.inspect("web");
    scene.publish(&NEW);

    let changes = ask(&scene.guest(), "containers-recreate.preview", &json!({ "name": "web" }));
    assert_eq!(changes["error"], "not-found", "the engine does not have it yet: {changes}");
    let id = scene.begin("web");
    // Whoever looks meanwhile sees one container of that name, and may not change it.
    eventually("the swap", || scene.names().len() == 2);
    for _ in 0..20 {
        let listed = ask(&scene.guest(), "containers-read.list", &json!({ "all": true }));
        assert!(listed.as_array().unwrap().len() <= 1, "{listed}");
    }
    assert_eq!(word(&ask(&scene.guest(), "containers-remove.remove", &json!({ "name": "web", "force": true }))), "conflict");
    assert_eq!(word(&ask(&scene.guest(), "containers-recreate.begin", &json!({ "name": "web" }))), "conflict");
    let ended = scene.wait(&id);
    assert_eq!((&ended["state"], &ended["changed"], &ended["rolled_back"]), (&json!("succeeded"), &json!(true), &json!(false)), "{ended}");

    let after = scene.site.inspect("web");
    assert_eq!((&ended["container"], &ended["replacement"]), (&before["Id"], &after["Id"]));
    assert_eq!((&ended["from"], &ended["to"]), (&before["Image"], &after["Image"]));
    assert!(ended["digest"].as_str().unwrap().starts_with("sha256:"), "{ended}");
    assert!(ended["stopped_ms"].as_u64().unwrap() < 20_000, "{ended}");
    assert_ne!(before["Image"], after["Image"]);
    assert_eq!(after["State"]["Running"], true);
    let env = after["Config"]["Env"].to_string();
    assert!(env.contains("OWN=1") && env.contains("GREETING=new") && !env.contains("GREETING=old"), "{env}");
    assert_eq!((&after["Config"]["Labels"]["own"], &after["Config"]["Labels"]["release"]), (&json!("yes"), &json!("2")));
    for pointer in [
        "/Name",
        "/Config/Image",
        "/Config/StopTimeout",
        "/Config/Healthcheck",
        "/Config/ExposedPorts",
        "/HostConfig/PortBindings",
        "/HostConfig/Binds",
        "/HostConfig/RestartPolicy",
        "/HostConfig/NetworkMode",
    ] {
        assert_eq!(before.pointer(pointer), after.pointer(pointer), "{pointer}");
    }
    assert_eq!(after["State"]["Health"]["Status"], "healthy", "it was waited for");
    let networks = &after["NetworkSettings"]["Networks"];
    for (network, alias) in [(NETWORK, "greeter"), (ADDRESSES, "second")] {
        let aliases = networks[network]["Aliases"].to_string();
        assert!(aliases.contains(alias), "{aliases}");
    }
    assert_eq!((&networks[ADDRESSES]["IPAddress"], networks.as_object().unwrap().len()), (&json!(address), 2));
    eventually("the new page", || !page(port, "/").is_empty());
    assert_eq!(exec(&scene.site, "web", &["cat", "/anonymous/file"]), "kept");
    assert_eq!(scene.names(), ["web"]);

    // Again there is nothing to do.
    let again = scene.recreate("web", "succeeded");
    assert_eq!((&again["changed"], &scene.site.inspect("web")["Id"]), (&json!(false), &after["Id"]));
    let operations = scene.wharf.admin().get("/operations").unwrap().text().unwrap().to_owned();
    assert!(operations.contains("\"kind\":\"recreate\"") && operations.contains("\"subject\":\"web\""), "{operations}");
    let log = scene.wharf.log();
    assert!(log.contains("docker.containers-recreate.begin") && log.contains("\"audit\""), "{log}");
    scene.remove(&["web"]);
}

/// One that dies, one that is never healthy, one whose command is not there: the same old container runs again, and the image is not tried again unasked.
pub fn bad(site: Site) {
    let scene = Scene::new(site);
    let specification = json!({ "HostConfig": { "NetworkMode": NETWORK, "RestartPolicy": { "Name": "unless-stopped" }, "Binds": [format!("{VOLUME}:/data")] } });
    scene.run("web", &OLD, &specification);
    let before = scene.site.inspect("web");
    let volumes = scene.volumes();
    for (changes, reason) in [
        (vec!["CMD [\"sh\", \"-c\", \"sleep 0.2; exit 3\"]", "VOLUME /another"], "exited with code 3"),
        (vec!["HEALTHCHECK --interval=1s --retries=1 CMD [\"false\"]", "CMD [\"/bin/serve\"]"], "it is unhealthy"),
        (vec!["CMD [\"/no/such/program\"]"], "failed to start the new container"),
    ] {
        scene.publish(&changes);
        let ended = scene.recreate("web", "failed");
        let text = ended["reason"].as_str().unwrap();
        assert!(text.contains(reason) && text.ends_with("the old container is there again"), "{text}");
        assert_eq!(ended["rolled_back"], true, "{ended}");
        let after = scene.site.inspect("web");
        assert_eq!((&before["Id"], &before["HostConfig"], &after["State"]["Running"]), (&after["Id"], &after["HostConfig"], &json!(true)));
        assert_eq!((scene.names(), scene.volumes()), (vec!["web".to_owned()], volumes), "{ended}");
        let known = ask(&scene.guest(), "containers-recreate.begin", &json!({ "name": "web" }));
        assert_eq!(known["error"], "conflict", "{known}");
    }
    // A good one is welcome.
    scene.publish(&NEW);
    scene.recreate("web", "succeeded");
    scene.remove(&["web"]);
}

/// A stopped one is made and not started; one that is removed when it stops keeps its volumes; one in another's network follows it.
pub fn kinds(site: Site) {
    let scene = Scene::new(site);
    scene.run("stopped", &OLD, &json!({ "HostConfig": { "NetworkMode": "none" } }));
    scene.site.docker().post("/containers/stopped/stop?t=1").unwrap().success("stopping").unwrap();
    scene.make("vanishing", &json!({ "HostConfig": { "NetworkMode": NETWORK, "AutoRemove": true } }));
    scene.start("vanishing");
    exec(&scene.site, "vanishing", &["sh", "-c", "echo kept > /anonymous/file"]);
    scene.make("front", &json!({ "HostConfig": { "NetworkMode": NETWORK } }));
    scene.start("front");
    let front = scene.site.inspect("front")["Id"].as_str().unwrap().to_owned();
    scene.make(
        "behind",
        &json!({ "Cmd": ["sleep", "3600"], "StopTimeout": 1, "HostConfig": { "NetworkMode": format!("container:{front}") } }),
    );
    scene.start("behind");
    scene.publish(&NEW);

    let ended = scene.recreate("stopped", "succeeded");
    assert_eq!((&ended["changed"], &ended["stopped_ms"]), (&json!(true), &Value::Null), "{ended}");
    assert_eq!(scene.site.inspect("stopped")["State"]["Status"], "created");

    let before = scene.site.inspect("vanishing");
    scene.recreate("vanishing", "succeeded");
    let after = scene.site.inspect("vanishing");
    assert_eq!((&after["HostConfig"]["AutoRemove"], &after["State"]["Running"]), (&json!(true), &json!(true)));
    assert_ne!(before["Image"], after["Image"]);
    assert_eq!(exec(&scene.site, "vanishing", &["cat", "/anonymous/file"]), "kept");

    let behind = scene.site.inspect("behind");
    let ended = scene.recreate("front", "succeeded");
    assert_eq!(ended["also"], json!(["behind"]), "{ended}");
    let (front, follower) = (scene.site.inspect("front"), scene.site.inspect("behind"));
    assert_eq!(follower["HostConfig"]["NetworkMode"], format!("container:{}", front["Id"].as_str().unwrap()));
    assert_eq!((&follower["State"]["Running"], &follower["Image"]), (&json!(true), &behind["Image"]), "on its own image");
    assert_eq!(follower["Config"]["Image"], behind["Config"]["Image"], "and known by its name");
    assert_eq!(scene.names(), ["behind", "front", "stopped", "vanishing"]);

    // What cannot be returned to by itself is returned to by another one.
    scene.publish(&["CMD [\"false\"]"]);
    scene.recreate("vanishing", "failed");
    assert_eq!(exec(&scene.site, "vanishing", &["cat", "/anonymous/file"]), "kept");
    let returned = scene.site.inspect("vanishing");
    assert_eq!((&returned["Image"], &returned["State"]["Running"]), (&after["Image"], &json!(true)));
    scene.recreate("front", "failed");
    assert_eq!(scene.site.inspect("front")["Id"], front["Id"]);
    assert_eq!(scene.site.inspect("behind")["Id"], follower["Id"]);
    assert!(["front", "behind"].iter().all(|name| scene.site.inspect(name)["State"]["Running"] == true));
    assert_eq!(scene.names(), ["behind", "front", "stopped", "vanishing"]);
    scene.remove(&["behind", "front", "stopped", "vanishing"]);
}

/// What must not be recreated is refused at once, and what turns out to be impossible leaves the old one untouched.
pub fn refused(site: Site) {
    let scene = Scene::new(site);
    scene.pull(&OLD);
    let alone = json!({ "NetworkMode": "none" });
    for (name, label) in [("task", "com.docker.swarm.task.id"), ("unit", "PODMAN_SYSTEMD_UNIT"), ("pod", "io.kubernetes.pod.uid")] {
        scene.make(name, &json!({ "Labels": { label: "x" }, "HostConfig": alone }));
    }
    scene.refuse("task", "Swarm");
    scene.refuse("unit", "systemd");
    scene.refuse("pod", "Kubernetes");
    scene.remove(&["task", "unit", "pod"]);

    // The registry answers another machine's image under the same name.
    scene.make("web", &json!({ "HostConfig": alone }));
    scene.start("web");
    let before = scene.site.inspect("web");
    let architecture = if cfg!(target_arch = "aarch64") { "amd64" } else { "arm64" };
    scene.registry.push_image("team/app", "1", architecture).unwrap();
    let ended = scene.recreate("web", "failed");
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.contains(architecture) && reason.ends_with("; the old container was not touched"), "{ended}");
    // And then none at all.
    let absent = json!({ "name": "web", "image": format!("{}/team/app:2", scene.registry.address()), "pull": true });
    let id = ask(&scene.guest(), "containers-recreate.begin", &absent);
    let ended = scene.wait(id.as_str().unwrap_or_else(|| panic!("{id}")));
    assert!(ended["reason"].as_str().unwrap().starts_with("failed to pull the image"), "{ended}");
    let after = scene.site.inspect("web");
    assert_eq!((&after["Id"], &after["State"]), (&before["Id"], &before["State"]));
    assert_eq!(scene.names(), ["web"]);
    scene.remove(&["web"]);
}

/// Somebody takes the port in the moment in which nobody has it: the old one comes back as soon as it can.
pub fn port_taken(site: Site) {
    let scene = Scene::new(site);
    let port = free_port();
    let ports = json!({ "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": port.to_string() }] });
    let specification = json!({ "ExposedPorts": { "80/tcp": {} }, "HostConfig": { "NetworkMode": NETWORK, "PortBindings": ports } });
    scene.run("web", &OLD, &specification);
    eventually("the old page", || !page(port, "/").is_empty());
    let before = scene.site.inspect("web");
    scene.pull(&NEW);
    // Create, stop, rename, rename, start.
    scene.proxy.arm(5, Fault::Wait);
    let options = json!({ "name": "web", "settle_ms": SETTLE_MS });
    let id = ask(&scene.guest(), "containers-recreate.begin", &options);
    let id = id.as_str().unwrap_or_else(|| panic!("{id}"));
    assert!(scene.proxy.wait(Duration::from_secs(60)), "{:?}", scene.proxy.calls());
    assert!(scene.proxy.calls()[4].contains("/start"), "{:?}", scene.proxy.calls());
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    scene.proxy.release();
    eventually("an attempt to return", || scene.proxy.calls().iter().filter(|call| call.contains("/start")).count() >= 2);
    drop(taken);
    let ended = scene.wait(id);
    let reason = ended["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("failed to start the new container of `web`") && reason.ends_with("the old container is there again"),
        "{ended}"
    );
    let after = scene.site.inspect("web");
    assert_eq!((&after["Id"], &after["State"]["Running"]), (&before["Id"], &json!(true)));
    eventually("the old page again", || !page(port, "/").is_empty());
    assert_eq!(scene.names(), ["web"]);
    scene.remove(&["web"]);
}

/// A journal of which a part is missing: everything but recreating goes on, `/health` says so, and what was begun is taken up when the whole is back.
pub fn damaged_journal(site: Site) {
    let mut scene = Scene::new(site);
    scene.run("web", &OLD, &json!({ "StopTimeout": 1, "HostConfig": { "NetworkMode": NETWORK } }));
    let before = scene.site.inspect("web");
    scene.pull(&NEW);
    // Killed when the old one is stopped: create, stop, rename.
    scene.proxy.arm(3, Fault::KeepCall);
    let id = ask(&scene.guest(), "containers-recreate.begin", &json!({ "name": "web", "settle_ms": SETTLE_MS }));
    assert!(scene.proxy.wait(Duration::from_secs(60)), "{id} {:?}", scene.proxy.calls());
    let binary = Path::new(env!("CARGO_BIN_EXE_wharf-under-test"));
    let (path, mut whole) = (journal(&scene.wharf), Vec::new());
    scene.proxy.arm(0, Fault::Wait);
    let cut = || {
        whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    };
    scene.wharf.kill_and_start_again_after(binary, cut).unwrap();

    let health = scene.wharf.admin().get("/health").unwrap().json().unwrap();
    let said = health["recreations_refused"]["default"].as_str().unwrap_or_else(|| panic!("{health}"));
    assert!(health["status"] == "degraded" && said.contains("is damaged"), "{health}");
    let refused = ask(&scene.guest(), "containers-recreate.begin", &json!({ "name": "web" }));
    assert_eq!((&refused["error"], refused["reason"].as_str().unwrap()), (&json!("conflict"), said));
    let listed = ask(&scene.guest(), "containers-read.list", &json!({ "all": true }));
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "both are there for whoever looks: {listed}");
    assert_eq!(std::fs::read(&path).unwrap().len(), whole.len() / 2, "it is evidence");

    scene.wharf.kill_and_start_again_after(binary, || std::fs::write(&path, &whole).unwrap()).unwrap();
    scene.wait(id.as_str().unwrap());
    let after = scene.site.inspect("web");
    assert_eq!((&after["Id"], &after["State"]["Running"]), (&before["Id"], &json!(true)));
    assert_eq!(scene.names(), ["web"]);
    let health = scene.wharf.admin().get("/health").unwrap().json().unwrap();
    assert_eq!((&health["status"], &health["recreations_refused"]), (&json!("ok"), &json!({})));
    scene.remove(&["web"]);
}

/// Where the host has the journal of its only engine.
#[track_caller]
fn journal(wharf: &Wharf) -> PathBuf {
    let found = std::fs::read_dir(wharf.folder().join("data/recreations")).unwrap();
    let mut journals: Vec<PathBuf> =
        found.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "sqlite")).collect();
    assert_eq!(journals.len(), 1, "{journals:?}");
    journals.remove(0)
}
