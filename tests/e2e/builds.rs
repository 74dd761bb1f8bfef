//! Images built on a real engine, through a guest whose grant names the base and what may be built.

use std::collections::BTreeSet;
use std::io::Read;

use serde_json::{Value, json};
use wharf_harness::guest::DOCKER_POWERS;
use wharf_harness::http::Client;
use wharf_harness::wharf::Wharf;
use wharf_tests::guests::DOCKER;

use crate::site::{SCRIPT, SERVER, Site, eventually, host};

/// What every story builds on.
const BASE: &str = SERVER;

/// A host with the guest on the engine of `site`.
fn builder(site: &Site) -> Wharf {
    host(&format!(
        r#"shutdown_grace_secs = 1
[engine.default]
url = "{}"
[[site]]
name = "plant-a"
[[site.plugin]]
name = "builder"
source = "{DOCKER}"
mount = "/"
limits = {{ build_context_mib = 41, request_mib = 64 }}
[site.plugin.grants.docker]
allow = {DOCKER_POWERS:?}
images = ["docker.io/{BASE}", "docker.io/team/*"]
"#,
        site.engine.url()
    ))
}

/// What the guest hears from `function`.
#[track_caller]
fn ask(guest: &Client, function: &str, arguments: &Value) -> Value {
    guest.post_json(&format!("/{function}"), arguments).unwrap().success(function).unwrap().json().unwrap()
}

/// Begins to build by `dockerfile` an image that is called `name`, of it and `files`, and answers the id of the operation.
#[track_caller]
fn begin(guest: &Client, name: &str, dockerfile: &str, files: &[(&str, &str)]) -> String {
    let files: Vec<_> = files.iter().copied().chain([("Dockerfile", dockerfile)]).collect();
    let answer = ask(guest, "images-build.begin", &json!({ "names": [name], "files": files }));
    answer.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// The record of an operation when it has ended.
#[track_caller]
fn wait(guest: &Client, id: &str) -> Value {
    ask(guest, "operations-read.wait", &json!({ "name": id }))
}

#[track_caller]
fn log(guest: &Client, id: &str) -> String {
    guest.get(&format!("/operation-log/{id}")).unwrap().text().unwrap().to_owned()
}

/// What the engine holds: the ids of all images, the intermediate ones included, of all containers, and the names of images.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    images: BTreeSet<String>,
    containers: BTreeSet<String>,
    names: BTreeSet<String>,
}

#[track_caller]
fn held(site: &Site) -> Held {
    let list = |path: &str| site.docker().get(path).unwrap().success(path).unwrap().json().unwrap().as_array().unwrap().clone();
    let ids = |items: &[Value]| items.iter().map(|item| item["Id"].as_str().unwrap().to_owned()).collect();
    let (images, containers) = (list("/images/json?all=1"), list("/containers/json?all=1"));
    let names = images.iter().filter_map(|image| image["RepoTags"].as_array()).flatten();
    Held { images: ids(&images), containers: ids(&containers), names: names.map(|name| name.as_str().unwrap().to_owned()).collect() }
}

#[track_caller]
fn image(site: &Site, name: &str) -> Value {
    site.docker().get(&format!("/images/{name}/json")).unwrap().success(name).unwrap().json().unwrap()
}

/// What a container of `image` writes.
#[track_caller]
fn output(site: &Site, image: &str) -> String {
    let specification = json!({ "Image": image, "HostConfig": { "NetworkMode": "none" }, "Tty": true });
    site.create("output", &specification);
    site.docker().post("/containers/output/start").unwrap().success("starting").unwrap();
    site.docker().post("/containers/output/wait").unwrap().success("waiting").unwrap();
    let written = site.docker().get("/containers/output/logs?stdout=1&stderr=1").unwrap().success("the log").unwrap();
    site.docker().delete("/containers/output?force=1").unwrap().success("removing").unwrap();
    written.text().unwrap().replace('\r', "")
}

/// Everything of a Dockerfile that the classic builder knows, and what became of it.
pub fn built(site: Site) {
    let host = builder(&site);
    let guest = host.client();
    let before = image(&site, SCRIPT)["Id"].clone();
    // A name that another image has until the end.
    site.docker().post(&format!("/images/{SCRIPT}/tag?repo=team/model&tag=1")).unwrap().success("tagging").unwrap();

    let dockerfile = format!(
        "# syntax=docker/dockerfile:1\nARG BASE=nothing\nFROM ${{BASE}} AS made\nRUN echo made > /made \\\n    && echo \"over several lines\"\n\
         FROM {BASE}\nARG GREETING\nENV GREETING=$GREETING\nCOPY --from=made /made /model/made\nCOPY . /model/\nADD [\"a b\", \"/model/\"]\n\
         WORKDIR /model\nRUN ls -l run.sh Dockerfile | cat && echo $GREETING > greeting\nUSER 1000:1000\nCMD [\"/model/run.sh\"]\n"
    );
    let arguments = json!({
        "names": ["team/model:1", "team/model"],
        "files": [
            ["Dockerfile", dockerfile], ["run.sh", "#!/bin/sh\ncat made greeting\nls -a | cat\n"], ["data/deep/x", "1"], ["a b", "2"],
            [".dockerignore", "*"],
        ],
        "executable": ["run.sh"],
        "build_labels": [["made.by", "it's \"wharf\", $HOME\nand so on"]],
        "arguments": [["BASE", BASE], ["GREETING", "hello & good-bye"]],
    });
    let answer = ask(&guest, "images-build.begin", &arguments);
    let id = answer.as_str().unwrap_or_else(|| panic!("{answer}"));
    // Followed while it is built.
    let followed = log(&guest, id);
    let ended = wait(&guest, id);
    assert_eq!(
        (&ended["state"], &ended["percent"], &ended["step"], &ended["steps"]),
        (&json!("succeeded"), &json!(100), &json!(13), &json!(13)),
        "{ended}\n{followed}"
    );
    let made = image(&site, "team/model:1");
    assert_eq!((&made["Id"], &image(&site, "team/model:latest")["Id"]), (&ended["image"], &ended["image"]));
    let config = &made["Config"];
    assert_eq!(
        (&config["Cmd"], &config["User"], &config["WorkingDir"]),
        (&json!(["/model/run.sh"]), &json!("1000:1000"), &json!("/model"))
    );
    assert_eq!(config["Labels"]["made.by"], "it's \"wharf\", $HOME\nand so on");
    assert_eq!(config["Labels"]["wharf.build"].as_str().unwrap().len(), 32);
    for line in [
        "Step 1/13 : ARG BASE=nothing",
        "Step 2/13 : FROM ${BASE} AS made",
        "Step 3/13 : RUN echo made > /made     && echo \"over several lines\"",
        "over several lines",
        "Step 13/13 : CMD [\"/model/run.sh\"]",
        "Named docker.io/team/model:1",
    ] {
        assert!(followed.lines().any(|found| found == line), "`{line}` is not in\n{followed}");
    }
    assert!(!followed.contains("wharf.build") && followed.contains("-rwxr-xr-x") && followed.contains("-rw-r--r--"), "{followed}");
    assert_eq!(log(&guest, id), followed, "the whole of it is there afterwards");
    // The context as it was handed over: the Dockerfile of the plugin, and nothing of the host's.
    assert_eq!(output(&site, "team/model:1"), "made\nhello & good-bye\n.\n..\nDockerfile\na b\ndata\ngreeting\nmade\nrun.sh\n");
    // The name has moved, and the stage that nothing stands on is gone.
    assert_ne!(made["Id"], before);
    let dangling: Value = site.docker().get("/images/json?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D").unwrap().json().unwrap();
    assert_eq!(dangling, json!([]));
    // Built once more it is another image, of which nothing is left of the first but its name.
    let again = wait(&guest, &begin(&guest, "team/model:1", &format!("FROM {BASE}\nRUN true"), &[]));
    assert_eq!(again["state"], "succeeded");
    assert_eq!(image(&site, "team/model:latest")["Id"], made["Id"]);
    assert_eq!(image(&site, "team/model:1")["Id"], again["image"]);
    // On what was built, by its id, which is covered by its name; and from nothing at all.
    let on_id =
        wait(&guest, &begin(&guest, "team/more:1", &format!("FROM {}\nRUN cat /model/greeting", made["Id"].as_str().unwrap()), &[]));
    assert_eq!(on_id["state"], "succeeded", "{on_id}");
    let from_nothing = wait(
        &guest,
        &begin(
            &guest,
            "team/nothing:1",
            &format!("FROM scratch\nCOPY --from={BASE} /bin/busybox /busybox\nCMD [\"/busybox\", \"echo\", \"here\"]"),
            &[],
        ),
    );
    assert_eq!(from_nothing["state"], "succeeded", "{from_nothing}");
    assert_eq!(output(&site, "team/nothing:1"), "here\n");
    check_streamed(&site, &guest);
}

/// A request's body becomes a file of an image without passing through the plugin.
#[track_caller]
fn check_streamed(site: &Site, guest: &Client) {
    let length = 40 << 20;
    let body: Vec<u8> = (0..length).map(|place: u32| place.to_le_bytes()[0]).collect();
    let path = |size: usize, name: &str| {
        let dockerfile = format!("FROM%20{BASE}%0ACOPY%20model%20/m%0ACMD%20%5B%22/bin/busybox%22,%22md5sum%22,%22/m%22%5D");
        format!("/build-with-body/{size}?name={name}&dockerfile={dockerfile}")
    };
    let ended: Value = guest.send("POST", &path(body.len(), "team/large:1"), &[], &body).unwrap().json().unwrap();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let small: Value = guest.send("POST", &path(body.len(), "team/large:2"), &[], &body).unwrap().json().unwrap();
    assert_eq!(small["state"], "succeeded", "{small}");
    let (first, second) = (output(site, "team/large:1"), output(site, "team/large:2"));
    assert_eq!((first.len(), &first), (32 + "  /m\n".len(), &second));
    let before = held(site);
    for size in [body.len() - 1, body.len() + 1] {
        let ended: Value = guest.send("POST", &path(size, "team/wrong:1"), &[], &body).unwrap().json().unwrap();
        assert_eq!((&ended["state"], &ended["failure"]["error"]), (&json!("failed"), &json!("invalid")), "{ended}");
    }
    assert_eq!(held(site), before);
}

/// What fails leaves nothing: no image, no container, no name.
pub fn failed(site: Site) {
    let host = builder(&site);
    let guest = host.client();
    let with_triggers = format!("FROM {BASE}\nONBUILD COPY --from={SCRIPT} / /stolen\n");
    build_directly(&site, "team/triggers", &with_triggers);
    let before = held(&site);
    for (dockerfile, step, word, reason) in [
        (
            format!("FROM {BASE}\nRUN echo 1 > /x\nRUN echo about to fail; false\nRUN true"),
            3,
            "internal",
            "step 3 of 4, `RUN echo about to fail; false`: ",
        ),
        (
            format!("FROM {BASE} AS a\nRUN true\nFROM {BASE}\nRUN true\nCOPY --from=a /missing /"),
            5,
            "internal",
            "step 5 of 5, `COPY --from=a /missing /`: ",
        ),
        (format!("FROM {BASE}\nCOPY missing /"), 2, "internal", "step 2 of 2, `COPY missing /`: "),
        (format!("FROM {BASE}\nRUN true\nUSER\n"), 0, "invalid", "the engine refused the arguments: "),
        (format!("FROM {BASE}\nRUN true\nWORKDIR /bin/busybox"), 3, "internal", "step 3 of 3, `WORKDIR /bin/busybox`: "),
        ("FROM team/missing:1\nRUN true".to_owned(), 1, "not-found", "step 1 of 2, `FROM team/missing:1`: "),
        (
            "FROM team/triggers\nRUN true".to_owned(),
            0,
            "invalid",
            "the base image `docker.io/team/triggers:latest` has ONBUILD instructions",
        ),
        (format!("FROM --platform=linux/s390x {BASE}"), 0, "invalid", &*format!("the base image `docker.io/{BASE}` is of linux/")),
    ] {
        let id = begin(&guest, "team/model:1", &dockerfile, &[("here", "1")]);
        let ended = wait(&guest, &id);
        assert_eq!(
            (&ended["state"], &ended["failure"]["error"], &ended["step"]),
            (&json!("failed"), &json!(word), &json!(step)),
            "{dockerfile}: {ended}"
        );
        let (found, told) = (ended["reason"].as_str().unwrap(), log(&guest, &id));
        assert!(found.starts_with(reason), "{dockerfile}: {found}");
        assert!(told.ends_with(&format!("{found}\n")), "{told}");
        // Whoever hears of it finds nothing.
        assert_eq!(held(&site), before, "{dockerfile}");
    }
    let refused = |arguments: &Value| ask(&guest, "images-build.begin", arguments)["error"].as_str().unwrap().to_owned();
    let build = |name: &str, dockerfile: &str| json!({ "names": [name], "files": [["Dockerfile", dockerfile]] });
    assert_eq!(refused(&build("team/model", &format!("FROM {SCRIPT}"))), "denied");
    assert_eq!(refused(&build("team/model", &format!("FROM scratch\nCOPY --from={SCRIPT} / /"))), "denied");
    assert_eq!(refused(&build("other/model", &format!("FROM {BASE}"))), "denied");
    // Whether it exists or not.
    for id in [image(&site, SCRIPT)["Id"].as_str().unwrap(), &format!("sha256:{}", "0".repeat(64))] {
        assert_eq!(refused(&build("team/model", &format!("FROM {id}"))), "not-found");
    }
    assert_eq!(refused(&build("team/model", &format!("FROM {BASE}\nADD http://127.0.0.1:1/ /x"))), "invalid");
    assert_eq!(refused(&build("team/model", &format!("FROM {BASE}\nRUN cat <<EOF\nFROM {SCRIPT}\nEOF"))), "invalid");
    assert_eq!(
        refused(&json!({ "names": ["team/model"], "files": [["Dockerfile", format!("FROM {BASE}")], ["../../x", "1"]] })),
        "invalid"
    );
    let body = vec![0; 42 << 20];
    let path = format!("/build-with-body/{}?name=team/model&dockerfile=FROM%20{BASE}", body.len());
    let too_large = guest.send("POST", &path, &[], &body).unwrap();
    assert_eq!((too_large.status, host.log().contains("more than the limit `build_context_mib`")), (500, true));
    assert_eq!(held(&site), before);
}

/// An image that the host would not build.
#[track_caller]
fn build_directly(site: &Site, name: &str, dockerfile: &str) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "Dockerfile", dockerfile.as_bytes()).unwrap();
    let body = archive.into_inner().unwrap();
    let fields = [("content-type", "application/x-tar")];
    let answer = site.docker().send("POST", &format!("/build?version=1&t={name}"), &fields, &body).unwrap().success("building").unwrap();
    assert!(answer.text().unwrap().contains("Successfully built"), "{}", answer.text().unwrap());
}

/// A build that is cancelled, or whose host is stopped, ends in the engine, and nothing of it is left.
pub fn cancelled(site: Site) {
    let host = builder(&site);
    let guest = host.client();
    let before = held(&site);
    let dockerfile = format!("FROM {BASE}\nRUN echo 1 > /x\nRUN echo going to sleep; sleep 1000\nRUN true");
    let sleeping = |guest: &Client| {
        let id = begin(guest, "team/model:1", &dockerfile, &[]);
        let (_, _, mut log) = guest.open("GET", &format!("/operation-log/{id}"), &[], &[]).unwrap();
        let (mut told, mut byte) = (Vec::new(), [0]);
        while !told.ends_with(b"\ngoing to sleep\n") {
            log.read_exact(&mut byte).unwrap();
            told.push(byte[0]);
        }
        id
    };
    let id = sleeping(&guest);
    assert_ne!(held(&site), before);
    assert_eq!(ask(&guest, "operations-cancel.cancel", &json!({ "name": id })), "done");
    let ended = wait(&guest, &id);
    assert_eq!((&ended["state"], &ended["step"], &ended["image"]), (&json!("cancelled"), &json!(3), &json!(null)));
    eventually("the end of the build in the engine", || held(&site) == before);
    // As when the host is stopped in the middle of one.
    sleeping(&guest);
    assert_ne!(held(&site), before);
    let (_, told) = host.end().unwrap();
    assert!(told.contains("ending operations that are still under way") && !told.contains("leaving operations to the engine"), "{told}");
    assert_eq!(held(&site), before);
}
