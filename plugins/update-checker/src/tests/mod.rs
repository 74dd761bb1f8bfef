//! The API as its clients see it, on a host in memory.

use serde_json::{Value, json};
use wharf_sdk::docker::Error;
use wharf_sdk::fake::{self, Answer, Container, Host, Image, RemoteImage, RequestBuilder};
use wharf_sdk::jobs::Work;

use crate::{UpdateChecker, clock};

mod account;
mod automatic;
mod checking;
mod endpoints;
mod updating;

/// When the clock of a new host stands.
const NOW: u64 = 1_704_067_200_000;

/// A new host.
fn install() -> Host {
    clock::set(NOW);
    Host::install()
}

/// A digest that is known by `digit`.
fn digest(digit: char) -> String {
    format!("sha256:{}", String::from(digit).repeat(64))
}

/// A digest as clients see it.
fn shown(digit: char) -> String {
    format!("sha256:{}", String::from(digit).repeat(10))
}

/// The id of an image that is known by `digit`.
fn image_id(digit: char) -> String {
    format!("sha256:{}", format!("{digit}f").repeat(32))
}

/// An image of `reference` that its registry knows by `digit`.
fn image(reference: &str, digit: char) -> Image {
    let repository = wharf_sdk::reference::split(reference).0;
    Image::new(&wharf_sdk::reference::with_tag(reference)).id(&image_id(digit)).digest(&format!("{repository}@{}", digest(digit)))
}

/// Lets `reference` lead to what is known by `digit`, at its registry and for who pulls it.
fn publish(host: &Host, reference: &str, digit: char) {
    host.remote_image(RemoteImage::new(reference).digest(&digest(digit)));
    host.registry_image(image(reference, digit));
}

/// Lets the container `name` run what `reference` leads to.
fn run(host: &Host, name: &str, reference: &str) -> String {
    host.container(Container::new(name).image(reference));
    id(host, name)
}

/// The short id of the container `name`.
#[track_caller]
fn id(host: &Host, name: &str) -> String {
    host.details(name).unwrap()["Id"].as_str().unwrap()[..12].to_owned()
}

/// A host on which `web` runs an `nginx` that has been published anew since, and its short id.
fn outdated() -> (Host, String) {
    let host = install();
    host.image(image("nginx:latest", '1'));
    publish(&host, "nginx", '2');
    let id = run(&host, "web", "nginx");
    check();
    (host, id)
}

/// A turn of the schedule.
#[track_caller]
fn check() {
    assert_eq!(fake::run_job::<UpdateChecker>(&Work::turn("check")), Ok(()));
}

fn send(request: RequestBuilder) -> Answer {
    fake::call::<UpdateChecker>(request)
}

fn images() -> Value {
    send(fake::get("/api/images")).json()
}

/// For each group its image, its status, and for each of its containers the name and the status.
fn statuses() -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let group = |group: &Value| {
        let containers = group["containers"].as_array().unwrap().iter();
        let containers: Vec<String> =
            containers.map(|item| format!("{} {}", text(&item["container_name"]), text(&item["status"]))).collect();
        format!("{} {}: {}", text(&group["image"]), text(&group["status"]), containers.join(", "))
    };
    images().as_array().unwrap().iter().map(group).collect()
}

fn act(id: &str, action: &str) -> Answer {
    send(fake::post(&format!("/api/images/{id}/{action}")))
}

/// The status of an update, or what is said where there is none.
fn progress(id: &str) -> String {
    let answer = send(fake::get(&format!("/api/images/{id}/progress")));
    if answer.status == 200 { answer.json()["status"].as_str().unwrap().to_owned() } else { format!("{} {}", answer.status, answer.text()) }
}

const NO_PROGRESS: &str = "404 no progress\n";
