//! Any bytes as the filter of `POST /v1/docker/list`: the answer is a list, or what is wrong with the filter. A statement that the database does not take would be an answer of 500.
//!
//! It goes through the whole plugin and SQLite in memory, so that what the parser lets through is also carried out.

#![no_main]

use image_catalog::ImageCatalog;
use libfuzzer_sys::fuzz_target;
use wharf_sdk::fake::{self, Host};

thread_local! {
    static SITE: Host = site();
}

/// A site with a user and one image.
fn site() -> Host {
    let host = Host::install();
    host.user("ann", "secret", &["admin"]);
    let image = r#"{"name": "yolo", "version": "1", "url": "https://x/y", "registry": "registry.local", "cuda_version": 1, "min_hardware_generation": 3,
        "framework": 5, "domain": "od", "tasks": ["predict"], "licence": 2}"#;
    let created =
        fake::call::<ImageCatalog>(fake::post("/v1/docker/create").as_user("ann").header("content-type", "application/json").body(image));
    assert_eq!(created.status, 201, "{}", created.text());
    host
}

fuzz_target!(|bytes: &[u8]| {
    SITE.with(|_| {
        let list = fake::post("/v1/docker/list").as_user("ann").header("content-type", "application/json");
        let answer = fake::call::<ImageCatalog>(list.body(bytes));
        assert!(matches!(answer.status, 200 | 400), "{}: {}", answer.status, answer.text());
    });
});
