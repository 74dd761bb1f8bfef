//! The algebra of recreating a container, held against a real engine: each case is created, inspected, created once more as the algebra says, on the same image and on another one, and compared with what was meant. The last one
//! is then started in the place of the first.
//!
//! With `UPDATE_GOLDEN=1` the documents are kept in `tests/golden/inspect/<engine>/`, where the units read them: what engines really answer, for whoever has none. Capturing twice gives the same files. They are
//! not compared here, as another kernel or a newer engine answers otherwise.

mod cases;
mod normalise;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use wharf_harness::engine::{Engine, Network, ensure_volume};
use wharf_harness::http::Client;
use wharf_harness::{images, newer};
use wharf_host::recreation;

use crate::site::{Version, left_out};
use cases::{Case, MACVLAN, NETWORK, Place, SECOND_NETWORK, VOLUME, cases, new_entry, new_image, old_entry, old_image};
use normalise::Names;

/// On the engine of the distribution.
#[test]
fn a_container_is_created_anew_as_it_was_on_the_distributions_engine() {
    if !left_out() {
        recreate_all(&Engine::temporary(Network::Bridge).unwrap(), Version::Installed);
    }
}

/// On a newer one.
#[test]
fn a_container_is_created_anew_as_it_was_on_a_newer_engine() {
    if !left_out() {
        recreate_all(&newer::engine(Network::Bridge).unwrap(), Version::Newer);
    }
}

/// An engine with images and networks, asked in one version of its API.
struct Stage {
    client: Client,
    prefix: String,
    place: Place,
    info: Value,
    version: Value,
    names: Names,
}

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "how a developer asks for the files to be written anew")]
fn recreate_all(engine: &Engine, version: Version) {
    let mut stage = Stage::set(engine);
    let release = engine.version().unwrap();
    let folder = match version {
        Version::Installed => release.splitn(3, '.').take(2).collect::<Vec<_>>().join("."),
        Version::Newer => release.split('.').next().unwrap().to_owned(),
    };
    for case in cases(&stage.place) {
        let documents = stage.recreate(&case);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/inspect").join(&folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{}.json", case.name)), format!("{documents:#}\n")).unwrap();
        }
    }
}

impl Stage {
    fn set(engine: &Engine) -> Stage {
        let client = engine.client();
        let ask = |path: &str| client.get(path).unwrap().success(path).unwrap().json().unwrap();
        let (info, version) = (ask("/info"), ask("/version"));
        let newest: u32 = version["ApiVersion"].as_str().unwrap().trim_start_matches("1.").parse().unwrap();
        let api = newest.min(51);
        ensure_volume(&client, VOLUME).unwrap();
        let mut stage = Stage {
            prefix: format!("/v1.{api}"),
            place: Place { api, network_id: String::new(), subnet: String::new() },
            names: Names::default(),
            client,
            info,
            version,
        };
        stage.networks();
        stage.images();
        stage.names.machine(stage.info["Name"].as_str().unwrap());
        stage.names.text(stage.info["DockerRootDir"].as_str().unwrap().to_owned(), "/var/lib/docker".to_owned());
        stage
    }

    fn networks(&mut self) {
        let own = self.get("/networks/bridge");
        let (bridge, address) =
            (own["Options"]["com.docker.network.bridge.name"].clone(), own["IPAM"]["Config"][0]["Subnet"].as_str().unwrap());
        let index = address.split('.').nth(2).unwrap();
        self.place.subnet = format!("198.19.{index}");
        let subnet = format!("{}.0/27", self.place.subnet);
        let macvlan = json!({ "Config": [{ "Subnet": "198.51.100.0/24", "Gateway": "198.51.100.1" }] });
        for (name, driver, ipam, options) in [
            (NETWORK, "bridge", json!({ "Config": [{ "Subnet": subnet }] }), json!({})),
            (SECOND_NETWORK, "bridge", json!({}), json!({})),
            (MACVLAN, "macvlan", macvlan, json!({ "parent": bridge })),
        ] {
            let body = json!({ "Name": name, "Driver": driver, "IPAM": ipam, "Options": options });
            let id = self.post("/networks/create", &body)["Id"].as_str().unwrap().to_owned();
            self.names.id(&id, &format!("network {name}"));
            if name == NETWORK {
                self.place.network_id = id;
            }
        }
        for name in ["bridge", "host", "none"] {
            let id = self.get(&format!("/networks/{name}"))["Id"].as_str().unwrap().to_owned();
            self.names.id(&id, &format!("network {name}"));
        }
        self.names.text(format!("198.19.{index}."), "198.19.1.".to_owned());
        self.names.text(format!("198.18.{index}."), "198.18.1.".to_owned());
    }

    fn images(&mut self) {
        images::import(&self.client, "corpus/base:1", &["/bin/serve"]).unwrap();
        self.post("/containers/create?name=corpus-base", &json!({ "Image": "corpus/base:1" }));
        for (reference, config) in [
            ("corpus/plain:old", old_image()),
            ("corpus/plain:new", new_image()),
            ("corpus/entry:old", old_entry()),
            ("corpus/entry:new", new_entry()),
        ] {
            let (repository, tag) = reference.split_once(':').unwrap();
            let path = format!("/commit?container=corpus-base&repo={}&tag={tag}", repository.replace('/', "%2F"));
            let id = self.post(&path, &config)["Id"].as_str().unwrap().to_owned();
            self.names.id(&id, &format!("image {reference}"));
        }
    }

    /// Creates the case's container, and twice anew. Answers its documents.
    #[track_caller]
    fn recreate(&mut self, case: &Case) -> Value {
        let (name, old) = (case.name, format!("{}:old", case.repository));
        let mut others = Vec::new();
        if let Some(other) = &case.other {
            let other = self.run(&format!("{name}-other"), &old, other);
            others.push(other);
        }
        let id = self.create(name, &old, &case.body);
        for (network, endpoint) in &case.connect {
            self.post(&format!("/networks/{network}/connect"), &json!({ "Container": id, "EndpointConfig": endpoint }));
        }
        if let Some(network) = case.disconnect {
            self.post(&format!("/networks/{network}/disconnect"), &json!({ "Container": id }));
        }
        if case.runs {
            self.post(&format!("/containers/{id}/start"), &Value::Null);
        }
        let container = self.inspect(&id);
        let mut document = json!({
            "api": format!("1.{}", self.place.api), "info": self.info, "version": self.version, "container": container, "image": self.get(&format!("/images/{}/json", container["Image"].as_str().unwrap())), "others": others,
        });

        document["target"] = json!({ "reference": old, "image": document["image"] });
        let (same_id, same) = self.create_anew(&document, &format!("{name}-same"));
        self.remove(&same_id);
        let reference = format!("{}:new", case.repository);
        document["target"] = json!({ "reference": reference, "image": self.get(&format!("/images/{reference}/json")) });
        let (new_id, new) = self.create_anew(&document, &format!("{name}-new"));

        self.remove(&id);
        self.post(&format!("/containers/{new_id}/rename?name={name}"), &Value::Null);
        if case.runs {
            self.post(&format!("/containers/{new_id}/start"), &Value::Null);
            assert_eq!(self.inspect(&new_id)["State"]["Running"], true, "{name}");
        }
        self.check_volumes(&container, &new);
        self.check_again(&document, &new_id, name);
        if !matches!(name, "plain") {
            self.remove(&new_id);
        }
        document["same"] = same;
        document["new"] = new;
        self.normalised(&document)
    }

    /// Creates a container as the algebra says, and checks that it is what was meant. Answers its id and what the engine says of it.
    #[track_caller]
    fn create_anew(&mut self, document: &Value, name: &str) -> (String, Value) {
        let case = recreation::Case::read(document.clone()).unwrap();
        let specification = case.specification().unwrap();
        let created = self.post(&format!("/containers/create?name={name}"), &specification["body"]);
        let id = created["Id"].as_str().unwrap().to_owned();
        self.names.id(&id, &format!("container {name}"));
        for connection in specification["connect"].as_array().unwrap() {
            let path = format!("/networks/{}/connect", connection["network"].as_str().unwrap());
            self.post(&path, &json!({ "Container": id, "EndpointConfig": connection["endpoint"] }));
        }
        let inspected = self.inspect(&id);
        assert_eq!(case.differences(&inspected).unwrap(), [""; 0], "{name}: {specification:#}");
        (id, inspected)
    }

    /// No volume of the old container is missing in the new one.
    #[track_caller]
    fn check_volumes(&self, old: &Value, new: &Value) {
        let volumes = |container: &Value| -> Vec<Value> {
            let mounts = container["Mounts"].as_array().unwrap().iter().filter(|mount| mount["Type"] == "volume");
            // By where they lie: engine 28 does not name all of them.
            mounts.map(|mount| json!([mount["Source"], mount["Destination"], mount["RW"]])).collect()
        };
        let new = volumes(new);
        assert!(volumes(old).iter().all(|volume| new.contains(volume)), "{old:#} {new:#?}");
    }

    /// The new container, in its place and running, is one that can be recreated: on its own image nothing would change.
    #[track_caller]
    fn check_again(&self, document: &Value, id: &str, name: &str) {
        let mut again = document.clone();
        again["container"] = self.inspect(id);
        again["image"] = document["target"]["image"].clone();
        let preview = recreation::Case::read(again).unwrap().preview().unwrap();
        assert_eq!(preview, json!([]), "{name}");
    }

    fn run(&mut self, name: &str, image: &str, body: &Value) -> Value {
        let id = self.create(name, image, body);
        self.post(&format!("/containers/{id}/start"), &Value::Null);
        self.inspect(&id)
    }

    #[track_caller]
    fn create(&mut self, name: &str, image: &str, body: &Value) -> String {
        let mut body = body.clone();
        body["Image"] = json!(image);
        let id = self.post(&format!("/containers/create?name={name}"), &body)["Id"].as_str().unwrap().to_owned();
        self.names.id(&id, &format!("container {name}"));
        id
    }

    fn normalised(&mut self, document: &Value) -> Value {
        for document in
            [&document["container"], &document["same"], &document["new"]].into_iter().chain(document["others"].as_array().unwrap())
        {
            for mount in document["Mounts"].as_array().unwrap() {
                let source = mount["Source"].as_str().unwrap_or_default();
                if let Some(id) = source.strip_suffix("/_data").and_then(|folder| folder.rsplit('/').next()).filter(|name| name.len() == 64)
                {
                    self.names.id(id, &format!("volume {} {}", document["Name"], mount["Destination"]));
                }
            }
        }
        let container = |document: &Value| normalise::container(document, &self.names);
        json!({
            "api": document["api"],
            "info": normalise::engine(&document["info"], &self.names),
            "version": normalise::engine(&document["version"], &self.names),
            "container": container(&document["container"]),
            "image": normalise::image(&document["image"], &self.names),
            "others": document["others"].as_array().unwrap().iter().map(container).collect::<Vec<_>>(),
            "target": { "reference": document["target"]["reference"], "image": normalise::image(&document["target"]["image"], &self.names) },
            "same": container(&document["same"]),
            "new": container(&document["new"]),
        })
    }

    #[track_caller]
    fn inspect(&self, id: &str) -> Value {
        self.get(&format!("/containers/{id}/json"))
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.client.get(&format!("{}{path}", self.prefix)).unwrap().success(path).unwrap().json().unwrap()
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        let whole = format!("{}{path}", self.prefix);
        let answer = if body.is_null() { self.client.post(&whole) } else { self.client.post_json(&whole, body) };
        answer.unwrap().success(&format!("{path} {body}")).unwrap().json().unwrap_or_default()
    }

    #[track_caller]
    fn remove(&self, id: &str) {
        let path = format!("/containers/{id}?force=1");
        self.client.delete(&format!("{}{path}", self.prefix)).unwrap().success(&path).unwrap();
    }
}
