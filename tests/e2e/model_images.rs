//! The plugin `model-images` as its clients use it: models are uploaded, built into images by a real engine, run and called.
//!
//! The base image is busybox, whose web server is what the models serve with, so that nothing is fetched during a build; what a real Python does is told by [`python`].

use std::io::Read as _;
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::engine::{Engine, Network};
use wharf_harness::http::{Client, Response};
use wharf_harness::postgres::Postgres;
use wharf_harness::wharf::Wharf;
use wharf_harness::{images, newer, programs, python};
use wharf_tests::plugins::MODEL_IMAGES;

use crate::site::{SERVER, Version, eventually, free_port, host, left_out, page};

/// Everything that a story needs, in the order in which it ends.
struct Site {
    wharf: Wharf,
    engine: Engine,
    _database: Option<Postgres>,
}

/// A multipart body of fields and artifacts.
#[derive(Default)]
struct Upload(Vec<u8>);

const BOUNDARY: &str = "------------------------d74496d66958873e";

impl Upload {
    fn model(name: &str, run_cmd: &str) -> Upload {
        Upload::default().field("name", name).field("task_id", "1").field("run_cmd", run_cmd)
    }

    fn part(mut self, head: &str, content: &[u8]) -> Upload {
        self.0.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n").bytes());
        self.0.extend(content);
        self.0.extend(b"\r\n");
        self
    }

    fn field(self, name: &str, value: &str) -> Upload {
        self.part(&format!("name=\"{name}\""), value.as_bytes())
    }

    fn artifact(self, name: &str, content: &[u8]) -> Upload {
        self.part(&format!("name=\"artifacts\"; filename=\"{name}\""), content)
    }

    fn send(mut self, api: &Client) -> Response {
        self.0.extend(format!("--{BOUNDARY}--\r\n").bytes());
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        api.send("POST", "/models", &[("content-type", &content_type)], &self.0).unwrap()
    }
}

/// A model that serves `text` on port 9000.
fn serving(name: &str, text: &str) -> Upload {
    let run_cmd = "trap 'exit 0' TERM INT\nhttpd -p 9000 -h /app/www\nwhile :; do sleep 3600 & wait; done";
    Upload::model(name, run_cmd).artifact("www/index.html", text.as_bytes())
}

impl Site {
    #[track_caller]
    fn start(version: Version, base_image: &str, database: Option<Postgres>) -> Site {
        let engine = match version {
            Version::Installed => Engine::temporary(Network::Bridge),
            Version::Newer => newer::engine(Network::Bridge),
        };
        let engine = engine.unwrap();
        let storage = database.as_ref().map_or_else(String::new, |database| format!("[storage]\nurl = \"{}\"\n", database.url()));
        let wharf = host(&format!("{storage}{}", configuration(&engine, base_image)));
        let site = Site { wharf, engine, _database: database };
        site.post("/projects", &json!({ "name": "project" }), 201);
        site.post("/tasks", &json!({ "name": "task", "project_id": 1 }), 201);
        site
    }

    fn api(&self) -> Client {
        self.wharf.client()
    }

    #[track_caller]
    fn check(&self, answer: &Response, status: u16) -> Value {
        assert_eq!(answer.status, status, "{}\n{}", answer.text().unwrap(), self.wharf.log());
        if answer.body.is_empty() { Value::Null } else { answer.json().unwrap() }
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value, status: u16) -> Value {
        self.check(&self.api().post_json(path, body).unwrap(), status)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.check(&self.api().get(path).unwrap(), 200)
    }

    #[track_caller]
    fn delete(&self, path: &str, status: u16) -> Value {
        self.check(&self.api().delete(path).unwrap(), status)
    }

    /// What the engine says at `path`; null if there is nothing.
    #[track_caller]
    fn engine(&self, path: &str) -> Value {
        let answer = self.engine.client().get(path).unwrap();
        if answer.status == 404 { Value::Null } else { answer.json().unwrap() }
    }

    fn has_image(&self, reference: &str) -> bool {
        !self.engine(&format!("/images/{reference}/json")).is_null()
    }

    /// How many images the engine has, those without a name included.
    #[track_caller]
    fn images(&self) -> usize {
        self.engine("/images/json").as_array().unwrap().len()
    }

    #[track_caller]
    fn names(&self) -> Vec<String> {
        let list = self.get("/images?task_id=1");
        list.as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap().to_owned()).collect()
    }
}

fn configuration(engine: &Engine, base_image: &str) -> String {
    format!(
        r#"
[engine.default]
url = "{engine}"
[[site]]
name = "lab"
[[site.plugin]]
name = "model-images"
source = "{MODEL_IMAGES}"
mount = "/"
config = {{ base_image = "{base_image}" }}
limits = {{ request_mib = 256, memory_mib = 32, cpu_ms = 60000, deadline_ms = 120000 }}
[site.plugin.grants.docker]
allow = ["images.read", "images.build", "images.remove", "operations.read", "operations.cancel", "containers.read", "containers.create", "containers.lifecycle", "containers.remove"]
networks = ["bridge"]
[site.plugin.grants.storage]
allow = ["sql", "blobs"]
"#,
        engine = engine.url(),
    )
}

#[test]
fn models_are_built_run_and_deleted_on_the_distributions_engine() {
    tell(Version::Installed, None);
}

#[test]
fn models_are_built_run_and_deleted_on_a_newer_engine() {
    tell(Version::Newer, None);
}

#[test]
fn models_are_built_run_and_deleted_with_postgresql() {
    if !programs::skip(&[programs::POSTGRES]).unwrap() {
        tell(Version::Installed, Some(Postgres::start().unwrap()));
    }
}

fn tell(version: Version, database: Option<Postgres>) {
    if left_out() {
        return;
    }
    let site = Site::start(version, SERVER, database);
    images::ensure(&site.engine.client(), SERVER).unwrap();
    check_model(&site);
    check_followed(&site);
    check_failed_build(&site);
    check_overwriting(&site);
    check_pipeline(&site);
    check_two_at_once(&site);
    check_left_alone(&site);
    check_large(&site);
    site.delete("/projects/1?cascade=1", 204);
    assert!(site.wharf.stop().unwrap().success());
}

/// From the upload to the deletion.
#[track_caller]
fn check_model(site: &Site) {
    let model = site.check(&serving("first", "the first model").field("requirements", r#"["six"]"#).send(&site.api()), 201);
    let artifact = site.api().get("/models/1/artifacts/www/index.html").unwrap();
    assert_eq!((artifact.status, artifact.text().unwrap()), (200, "the first model"));
    let arguments = json!({ "package_install_cmd": "cat requirements.txt; cat requirements.txt > installed" });
    let image = site.post("/images", &json!({ "name": "lab/first", "model_id": model["id"], "builder_args": arguments }), 201);
    assert_eq!((&image["name"], &image["params"]["repository"]), (&json!("lab/first:latest"), &json!("lab")));

    let built = site.engine("/images/lab/first/json");
    let labels = &built["Config"]["Labels"];
    assert_eq!((&labels["wharf.plugin"], &labels["wharf.model-images.model"]), (&json!("model-images"), &json!("1")), "{labels}");
    assert_eq!((&labels["wharf.model-images.task"], &labels["wharf.model-images.image"]), (&json!("1"), &json!("1")), "{labels}");
    assert_eq!((&built["Config"]["Cmd"], &built["Config"]["WorkingDir"]), (&json!(["sh", "run.sh"]), &json!("/app")));
    let log = site.api().get("/images/1/log").unwrap();
    assert!(log.status == 200 && log.text().unwrap().contains("six"), "{}", log.text().unwrap());

    let port = free_port();
    let params = json!({ "name": "first-server", "ports_mapping": { "9000": port } });
    let instance = site.post("/instances", &json!({ "name": "server", "image_id": 1, "params": params }), 201);
    assert_eq!((&instance["status"], &instance["environment_id"]), (&json!("ok"), &json!(1)));
    eventually("an answer of the model", || page(port, "/") == "the first model");
    let taken = site.post("/instances", &json!({ "name": "other", "image_id": 1, "params": params }), 400);
    assert!(taken["errormsg"].is_string(), "{taken}");

    let refused = site.delete("/images/1", 400);
    assert_eq!(refused["errormsg"], "Image lab/first:latest has foreign key and can not be deleted");
    assert_eq!(page(port, "/"), "the first model");
    site.delete("/images/1?cascade=1", 204);
    assert_eq!((page(port, "/").as_str(), site.has_image("lab/first"), site.names().len()), ("", false, 0));
    assert_eq!(site.engine("/containers/first-server/json"), Value::Null);
}

/// What the engine says of a build is heard while it is said, by whoever knows what is built.
#[track_caller]
fn check_followed(site: &Site) {
    let log = "/images/log?task_id=1&name=lab/followed";
    assert_eq!(site.api().get(log).unwrap().status, 404);
    let install = "echo going to wait; for second in $(seq 60); do test -e /app/goes-on && exit 0; sleep 1; done";
    let body = json!({ "name": "lab/followed", "model_id": 1, "builder_args": { "package_install_cmd": format!("{install}; exit 3") } });
    std::thread::scope(|scope| {
        let built = scope.spawn(|| site.api().post_json("/images", &body).unwrap());
        let mut heard = None;
        eventually("a build under way", || {
            let (status, _, log) = site.api().open("GET", log, &[], &[]).unwrap();
            heard = (status == 200).then_some(log);
            heard.is_some()
        });
        let (mut told, mut byte, mut heard) = (Vec::new(), [0], heard.unwrap());
        while !told.ends_with(b"\ngoing to wait\n") {
            heard.read_exact(&mut byte).unwrap();
            told.push(byte[0]);
        }
        assert!(!built.is_finished());
        // The container of the step goes on as soon as there is a file in it. It can be heard before the engine says that it runs.
        let mut id = String::new();
        eventually("the container of the step", || {
            id = site.engine("/containers/json")[0]["Id"].as_str().unwrap_or_default().to_owned();
            !id.is_empty()
        });
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_data(&mut tar::Header::new_gnu(), "goes-on", std::io::empty()).unwrap();
        let archive = archive.into_inner().unwrap();
        let fields = [("content-type", "application/x-tar")];
        site.engine
            .client()
            .send("PUT", &format!("/containers/{id}/archive?path=/app"), &fields, &archive)
            .unwrap()
            .success("a file")
            .unwrap();
        heard.read_to_end(&mut told).unwrap();
        let image = site.check(&built.join().unwrap(), 201);
        let told = String::from_utf8(told).unwrap();
        assert!(told.ends_with("Named docker.io/lab/followed:latest\n"), "{told}");
        // And afterwards by both ways.
        for path in [log.to_owned(), format!("/images/{}/log", image["id"])] {
            assert_eq!(site.api().get(&path).unwrap().text().unwrap(), told);
        }
        site.delete(&format!("/images/{}", image["id"]), 204);
    });
}

/// A build that fails leaves neither an image nor a row, and says at which step it failed.
#[track_caller]
fn check_failed_build(site: &Site) {
    let before = site.images();
    let build = |arguments: Value| json!({ "name": "broken", "model_id": 1, "builder_args": arguments });
    let failed = site.post("/images", &build(json!({ "package_install_cmd": "echo nearly there; exit 7" })), 520);
    let said = failed["errormsg"].as_str().unwrap();
    assert!(said.contains("step 4 of 5") && said.contains("exit 7") && said.contains("nearly there"), "{said}");
    let refused = site.post("/images", &build(json!({ "base_image": "wharf/nowhere:1" })), 400);
    assert!(refused["errormsg"].as_str().unwrap().contains("wharf/nowhere:1"), "{refused}");
    assert_eq!((site.images(), site.names().len(), site.has_image("broken")), (before, 0, false));
}

/// A tag is taken away only from who was told to give it.
#[track_caller]
fn check_overwriting(site: &Site) {
    site.post("/images", &json!({ "name": "served", "model_id": 1, "builder_args": { "package_install_cmd": "true" } }), 201);
    let first = site.engine("/images/served/json")["Id"].clone();
    site.post("/tasks", &json!({ "name": "other", "project_id": 1 }), 201);
    site.check(&serving("second", "the second model").field("task_id", "2").send(&site.api()), 422);
    let second = Upload::default().field("name", "second").field("task_id", "2").field("run_cmd", "true").artifact("a", b"a");
    let second = site.check(&second.send(&site.api()), 201)["id"].clone();
    let mut body = json!({ "name": "served", "model_id": second });
    let refused = site.post("/images", &body, 400);
    assert!(refused["errormsg"].as_str().unwrap().contains("already exists on the engine"), "{refused}");
    body["builder_args"] = json!({ "force_overwrite": true, "base_image": "wharf/nowhere:1" });
    site.post("/images", &body, 400);
    assert_eq!(site.engine("/images/served/json")["Id"], first, "a build that failed has taken nothing away");
    body["builder_args"] = json!({ "force_overwrite": true });
    let image = site.post("/images", &body, 201);
    assert_ne!(site.engine("/images/served/json")["Id"], first);
    site.delete(&format!("/images/{}?meta_only=1", image["id"]), 204);
    assert!(site.has_image("served"));
    site.delete("/tasks/2?cascade=1", 204);
    for image in site.get("/images?task_id=1").as_array().unwrap() {
        site.delete(&format!("/images/{}", image["id"]), 204);
    }
    assert!(!site.has_image("served"));
}

/// A pipeline has the artifacts of all its models and runs the first.
#[track_caller]
fn check_pipeline(site: &Site) {
    site.check(&Upload::model("helper", "exit 1").artifact("www/helper.html", b"a helper").send(&site.api()), 201);
    let steps = json!([{ "model_name": "first", "method_name": "predict" }, { "model_name": "helper", "method_name": "help" }]);
    let pipeline = site.post("/pipelines", &json!({ "name": "line", "task_id": 1, "steps": steps }), 201);
    let arguments = json!({ "package_install_cmd": "true" });
    let image = site.post("/images", &json!({ "name": "line", "pipeline_id": pipeline["id"], "builder_args": arguments }), 201);
    let port = free_port();
    let params = json!({ "ports_mapping": { "9000": port } });
    site.post("/instances", &json!({ "name": "line", "image_id": image["id"], "params": params }), 201);
    eventually("an answer of the pipeline", || page(port, "/") == "the first model");
    assert_eq!(page(port, "/helper.html"), "a helper");
    site.delete(&format!("/pipelines/{}", pipeline["id"]), 400);
    site.delete(&format!("/pipelines/{}?cascade=1", pipeline["id"]), 204);
    assert_eq!((page(port, "/").as_str(), site.has_image("line")), ("", false));
}

/// Of two that want one name at once, one gets it.
#[track_caller]
fn check_two_at_once(site: &Site) {
    let body = json!({ "name": "twice", "model_id": 1, "builder_args": { "package_install_cmd": "sleep 2" } });
    let ask = || site.api().post_json("/images", &body).unwrap().status;
    let statuses = std::thread::scope(|scope| {
        let asked = [scope.spawn(ask), scope.spawn(ask)];
        let mut statuses = asked.map(|asked| asked.join().unwrap());
        statuses.sort_unstable();
        statuses
    });
    assert_eq!((statuses, site.names()), ([201, 400], vec!["twice:latest".to_owned()]));
}

/// A client that goes away leaves its build to the host, and finds it when it comes back.
#[track_caller]
fn check_left_alone(site: &Site) {
    let body = json!({ "name": "left", "model_id": 1, "builder_args": { "package_install_cmd": "sleep 3" } });
    let impatient = site.api().with_patience(Duration::from_secs(1));
    impatient.post_json("/images", &body).unwrap_err();
    assert!(!site.names().contains(&"left:latest".to_owned()));
    eventually("the image of a client that went away", || site.names().contains(&"left:latest".to_owned()));
    assert!(site.has_image("left"));
    let failing = json!({ "name": "gone", "model_id": 1, "builder_args": { "package_install_cmd": "sleep 3; false" } });
    impatient.post_json("/images", &failing).unwrap_err();
    // The name is free as soon as the build has failed.
    let again = json!({ "name": "gone", "model_id": 1, "builder_args": { "package_install_cmd": "true" } });
    eventually("the name of a build that failed", || site.api().post_json("/images", &again).unwrap().status == 201);
}

/// An artifact passes through a plugin that has a fraction of its size as memory.
#[track_caller]
fn check_large(site: &Site) {
    let content: Vec<u8> = (0..100_000_000_u32).map(|number| (number % 251) as u8).collect();
    let model = site.check(&Upload::model("large", "true").artifact("large.bin", &content).send(&site.api()), 201);
    let path = format!("/models/{}/artifacts/large.bin", model["id"]);
    assert!(site.api().get(&path).unwrap().body == content, "the artifact is not what was uploaded");
    site.post("/images", &json!({ "name": "large", "model_id": model["id"] }), 201);
    assert!(site.engine("/images/large/json")["Size"].as_u64().unwrap() > 100_000_000);
}

/// Requirements are really installed: by Debian's Python and pip, from wheels that came with the model, and by nobody else.
#[test]
fn requirements_are_installed_from_a_folder_of_wheels() {
    if left_out() || programs::skip(&[programs::DEBOOTSTRAP]).unwrap() {
        return;
    }
    let site = Site::start(Version::Installed, python::IMAGE, None);
    python::import(&site.engine.client()).unwrap();
    let serve = "import greeting, http.server\nclass Greeting(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200)\n        self.end_headers()\n        self.wfile.write(greeting.TEXT.encode())\nhttp.server.HTTPServer(('', 9000), Greeting).serve_forever()\n";
    let wheel = python::wheel("greeting", "1.2", "TEXT = 'hello from a wheel'\n");
    let model = |name: &str, requirement: &str| {
        Upload::model(name, "exec python3 serve.py")
            .field("requirements", &json!([requirement]).to_string())
            .artifact("serve.py", serve.as_bytes())
            .artifact("wheels/greeting-1.2-py3-none-any.whl", &wheel)
            .send(&site.api())
    };
    let install = "pip install --break-system-packages --no-index --find-links wheels -r requirements.txt";
    let build =
        |name: &str, model: &Value| json!({ "name": name, "model_id": model["id"], "builder_args": { "package_install_cmd": install } });
    let fits = site.check(&model("greets", "greeting==1.2"), 201);
    let image = site.post("/images", &build("greets", &fits), 201);
    let log = site.api().get("/images/1/log").unwrap();
    assert!(log.text().unwrap().contains("Successfully installed greeting-1.2"), "{}", log.text().unwrap());
    let port = free_port();
    let params = json!({ "ports_mapping": { "9000": port } });
    site.post("/instances", &json!({ "name": "greets", "image_id": image["id"], "params": params }), 201);
    eventually("an answer of the model", || page(port, "/") == "hello from a wheel");
    site.delete("/images/1?cascade=1", 204);

    let misses = site.check(&model("misses", "greeting==9"), 201);
    let failed = site.post("/images", &build("misses", &misses), 520);
    let said = failed["errormsg"].as_str().unwrap();
    assert!(said.contains("step 4 of 5") && said.contains("No matching distribution found for greeting==9"), "{said}");
    assert_eq!((site.names().len(), site.has_image("misses")), (0, false));
}
