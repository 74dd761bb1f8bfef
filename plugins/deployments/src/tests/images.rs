//! Images, and the digests that registries have.

use wharf_sdk::fake::RemoteImage;

use super::*;

const GUI: &str = "platonam/lopco-gui:dev";
/// [`GUI`] as clients write it into a path.
const GUI_TWICE: &str = "platonam%252Flopco-gui%253Adev";

fn gui() -> Image {
    let details = json!({"Created": "2020-11-09T11:06:22.951522252Z", "Size": 15_503_091, "Architecture": "amd64"});
    Image::new(GUI).id("sha256:aa").digest("platonam/lopco-gui@sha256:bb").details(details)
}

#[test]
fn a_record_has_the_documented_fields_in_the_documented_order() {
    let host = Host::install();
    host.image(gui());
    let record = concat!(
        r#"{"hash":"sha256:aa","created":"2020-11-09T11:06:22.951522252Z","size":15503091,"architecture":"amd64","#,
        r#""digests":["platonam/lopco-gui@sha256:bb"]}"#
    );
    assert_eq!(send(fake::get(&format!("/images/{GUI_TWICE}"))).text(), record);
    assert_eq!(send(fake::get("/images")).text(), format!(r#"{{"{GUI}":{record}}}"#));
}

#[test]
fn each_tag_of_an_image_is_a_key_and_untagged_images_are_left_out() {
    let host = Host::install();
    assert_eq!(get_json("/images"), json!({}));
    host.image(Image::new("a:1").tag("b:latest"));
    host.image(Image::new("").id("sha256:untagged"));
    let list = get_json("/images");
    assert_eq!(list.as_object().unwrap().keys().collect::<Vec<_>>(), ["a:1", "b:latest"]);
    assert_eq!(list["a:1"], list["b:latest"]);
    assert_eq!(list["a:1"]["digests"], json!([]));
    assert_eq!(host.calls_of("docker.images-read.inspect").len(), 1);
}

#[test]
fn an_image_is_found_by_whatever_leads_to_it() {
    let host = Host::install();
    host.image(gui());
    host.image(Image::new("alpine:3.12").id("sha256:cc"));
    host.image(Image::new("busybox:latest").id("sha256:dd"));
    let hash = |image: &str| get_json(&format!("/images/{image}"))["hash"].clone();
    for image in [GUI_TWICE, "sha256:aa", "platonam%252Flopco-gui%2540sha256%253Abb"] {
        assert_eq!(hash(image), "sha256:aa", "{image}");
    }
    for image in ["alpine:3.12", "alpine%3A3.12", "alpine%253A3.12"] {
        assert_eq!(hash(image), "sha256:cc", "{image}");
    }
    assert_eq!(hash("busybox"), "sha256:dd");
    check_empty(fake::get("/images/nothing"), 404);
    check_empty(fake::get("/images/not%2520a%2520reference"), 500);
}

#[test]
fn a_failing_engine_is_an_empty_500() {
    for function in ["docker.images-read.list", "docker.images-read.inspect"] {
        let host = Host::install();
        host.image(gui());
        host.fail(function, Error::Timeout);
        check_empty(fake::get("/images"), 500);
    }
    let host = Host::install();
    host.image(gui());
    host.fail("docker.images-read.inspect", Error::Denied);
    check_empty(fake::get(&format!("/images/{GUI_TWICE}")), 404);
    assert_eq!(get_json("/images"), json!({}));
}

#[track_caller]
fn check_pulled(method: &str, body: &Value, reference: &str) {
    let host = Host::install();
    host.registry_image(Image::new(reference));
    check_empty(fake::request(method, "/images").json(body), 200);
    assert_eq!(host.tags().into_iter().collect::<Vec<_>>(), [reference]);
}

#[test]
fn an_image_is_pulled_by_post_and_as_the_documentation_has_it_by_patch() {
    for method in ["POST", "PATCH"] {
        check_pulled(method, &json!({"repository": "platonam/lopco-gui", "tag": "dev"}), GUI);
        check_pulled(method, &json!({"repository": "busybox", "tag": null}), "busybox:latest");
        check_pulled(method, &json!({"repository": "busybox", "tag": ""}), "busybox:latest");
        check_pulled(method, &json!({"repository": "localhost:5000/busybox:1", "tag": "2"}), "localhost:5000/busybox:2");
        check_pulled(method, &json!({"repository": "localhost:5000/busybox:1", "tag": null}), "localhost:5000/busybox:1");
        check_pulled(method, &json!({"repository": "localhost:5000/busybox", "tag": "2"}), "localhost:5000/busybox:2");
    }
}

#[test]
fn a_pull_that_cannot_be_is_refused_before_anybody_is_asked() {
    let host = Host::install();
    for method in ["POST", "PATCH"] {
        for body in ["{", "[]", "\"redis\"", r#"{"repository":"redis"}"#, r#"{"tag":"7"}"#, r#"{"repository":1,"tag":"7"}"#] {
            check_empty(fake::request(method, "/images").body(body), 400);
        }
        check_empty(fake::request(method, "/images").json(&json!({"repository": "redis", "tag": 7})), 400);
    }
    check_empty(fake::post("/images"), 400);
    check_empty(fake::post("/images").body("{}"), 400);
    assert_eq!(host.calls(), []);
}

#[test]
fn a_pull_that_fails_is_an_empty_500() {
    site();
    check_empty(fake::post("/images").json(&json!({"repository": "nothing", "tag": "1"})), 500);
    check_empty(fake::post("/images").json(&json!({"repository": "../x", "tag": "1"})), 500);
}

#[test]
fn a_patch_without_a_body_removes_what_no_name_leads_to() {
    for body in ["", " \n", "{}"] {
        let host = Host::install();
        host.image(Image::new("").id("sha256:untagged"));
        host.image(gui());
        check_empty(fake::patch("/images").body(body), 200);
        check_empty(fake::get("/images/sha256:untagged"), 404);
        assert_eq!(host.tags().into_iter().collect::<Vec<_>>(), [GUI]);
    }
    let host = Host::install();
    host.fail("docker.images-prune.prune", Error::Conflict("a prune is under way".to_owned()));
    check_empty(fake::patch("/images"), 500);
}

#[test]
fn a_remote_digest_is_asked_of_the_registry() {
    let host = Host::install();
    host.remote_image(RemoteImage::new(GUI).digest("sha256:bb"));
    assert_eq!(send(fake::get(&format!("/remote-digests/{GUI_TWICE}"))).text(), r#"{"digest":"sha256:bb"}"#);
    assert_eq!(host.calls_of("docker.distribution-read.inspect"), [""; 0]);
    check_empty(fake::get("/remote-digests/nothing"), 500);
    check_empty(fake::get("/remote-digests/..%252Fx"), 500);
    assert_eq!(host.calls_of("docker.distribution-read.inspect"), [""; 0]);
}

#[track_caller]
fn check_fallback(error: Error, status: u16) {
    let host = Host::install();
    host.remote_image(RemoteImage::new(GUI).digest("sha256:bb"));
    host.fail("registry.digests-read.heads", error);
    let answer = send(fake::get(&format!("/remote-digests/{GUI_TWICE}")));
    let expected = if status == 200 { r#"{"digest":"sha256:bb"}"# } else { "" };
    assert_eq!((answer.status, answer.text().as_str()), (status, expected));
}

#[test]
fn the_engine_is_asked_where_its_way_may_lead_further() {
    let unavailable = |reason: &str| Error::Unavailable(reason.to_owned());
    check_fallback(unavailable("unreachable: connection refused"), 200);
    check_fallback(unavailable("refused: 10.0.0.1 is private"), 200);
    check_fallback(unavailable("no-digest: the header is missing"), 200);
    check_fallback(Error::Timeout, 200);
    check_fallback(Error::Denied, 200);
    check_fallback(unavailable("rate-limited: come again"), 500);
    check_fallback(Error::NotFound, 500);
}

#[test]
fn a_remote_digest_that_nobody_has_is_an_empty_500() {
    let host = Host::install();
    host.fail("registry.digests-read.heads", Error::Timeout);
    host.fail("docker.distribution-read.inspect", Error::NotFound);
    check_empty(fake::get("/remote-digests/redis"), 500);
}
