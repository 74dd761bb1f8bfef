//! Where requests really go: the `endpoint` of a table, and addresses that stand in the configuration as a whole.

use http::Method;
use url::Url;

use super::super::connect::check_ca_files;
use super::super::outbound::Errand;
use super::super::wire::Letter;
use super::*;
use crate::settings::{Located, Location};

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// A table whose requests go to `endpoint`.
fn going_to(endpoint: &str) -> RegistrySettings {
    RegistrySettings { endpoint: Some(url(endpoint)), plain_http: Some(true), ..RegistrySettings::default() }
}

#[tokio::test]
async fn a_registry_is_asked_where_its_endpoint_is_and_in_its_own_name() {
    let mirror = Scripted::start(|asked| match asked.header("authorization") {
        // ci:pw
        "Basic Y2k6cHc=" => Answer::manifest(&digest('a')),
        _ => Answer::status(401).with("www-authenticate", "Basic realm=\"x\""),
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "pw").unwrap();
    let endpoint = Some(url(&format!("http://{}", mirror.address)));
    let client = client(&[("docker.io", RegistrySettings { endpoint, ..with_password("ci", file.path()) })]);
    let references =
        ["redis:7", "index.docker.io/redis:6", "registry-1.docker.io/library/redis:5"].map(|text| ImageReference::parse(text).unwrap());
    assert_eq!(words(&client.heads(&references).await), [digest('a'), digest('a'), digest('a')]);
    for tag in ["7", "6", "5"] {
        assert!(mirror.count(&format!("HEAD /v2/library/redis/manifests/{tag}")) >= 1, "{:?}", mirror.asked());
    }
    // Whoever names the mirror itself is not Docker Hub, and does not ask in its name.
    assert_eq!(words(&client.heads(&[reference(&mirror, "library/redis")]).await), ["unauthorized"]);
}

/// As which errand a request is sent to `target`, and whether it is encrypted; else the word for why not.
#[track_caller]
fn check_way(
    tables: &[(&str, RegistrySettings)],
    written: Option<&str>,
    target: &str,
    led_by: Option<&str>,
    expected: Result<(Errand, bool), &str>,
) {
    let client = client(tables);
    let wire = Arc::clone(&client.0.client.load().wire);
    let mut letter = Letter::new(Method::GET, url(target), Instant::now());
    letter.written = written.map(url);
    letter.led_by = led_by.map(url);
    let way = wire.origin(&letter).map(|origin| (origin.errand, origin.encrypted));
    assert_eq!(way.map_err(|error| error.word()), expected, "{target}");
}

#[test]
fn the_operator_has_named_an_endpoint_and_what_it_leads_to_is_not_named() {
    let tables = [("docker.io", going_to("http://mirror.local:5000"))];
    check_way(&tables, None, "http://mirror.local:5000/v2/", None, Ok((Errand::Configured, false)));
    check_way(&tables, None, "http://mirror.local:5000/token", Some("http://mirror.local:5000/"), Ok((Errand::Configured, false)));
    check_way(&tables, None, "https://mirror.local:5001/token", Some("http://mirror.local:5000/"), Ok((Errand::Led, true)));
    check_way(&tables, None, "http://mirror.local:5001/token", Some("http://mirror.local:5000/"), Err("refused"));
    check_way(&tables, None, "https://mirror.local:5000/v2/", None, Ok((Errand::Named, true)));
}

#[test]
fn the_operator_has_named_a_whole_address_and_what_it_leads_to_is_not_named() {
    let written = Some("http://hub.local:8000/hub");
    check_way(&[], written, "http://hub.local:8000/hub/api/search/v4?query=a", None, Ok((Errand::Configured, false)));
    check_way(&[], written, "http://hub.local:8000/login", written, Ok((Errand::Configured, false)));
    check_way(&[], written, "http://hub.local/login", written, Err("refused"));
    check_way(&[], written, "https://10.0.0.1/", written, Ok((Errand::Led, true)));
    check_way(&[], None, "http://hub.local:8000/v2/", None, Err("refused"));
}

#[tokio::test]
async fn a_document_does_not_lead_the_host_to_itself_or_into_a_private_network() {
    let own = OwnListeners::default();
    let server = Scripted::start(|asked| match asked.target.as_str() {
        "/private" => Answer::status(302).with("location", "http://10.0.0.1/"),
        "/metadata" => Answer::status(302).with("location", "https://169.254.169.254/"),
        "/elsewhere" => Answer::status(307).with("location", "/here"),
        "/long" => Answer::status(200).body("x".repeat(101)),
        "/unasked" => Answer::status(304),
        _ => Answer::status(200).with("etag", "\"1\"").body("here"),
    })
    .await;
    let client = Registries::with(BTreeMap::new(), own.clone(), Arc::new(Counted::default()), PATIENCE);
    let fetched = async |path: &str| {
        let url = url(&format!("http://{}{path}", server.address));
        let wanted = Wanted { written: url.clone(), url, etag: None, limit_bytes: 100, limit: Duration::from_secs(2) };
        match client.document(wanted).await {
            Ok(document) => String::from_utf8(document.body.unwrap().to_vec()).unwrap(),
            Err(error) => error.word().to_owned(),
        }
    };
    let rows = [("/elsewhere", "here"), ("/private", "refused"), ("/metadata", "refused"), ("/long", "too-long"), ("/unasked", "failed")];
    for (path, expected) in rows {
        assert_eq!(fetched(path).await, expected, "{path}");
    }
    own.add(server.address);
    // Not over the connection from before, which was made when it was none of ours.
    let client = Registries::with(BTreeMap::new(), own, Arc::new(Counted::default()), PATIENCE);
    let url = url(&format!("http://{}/", server.address));
    let wanted = Wanted { written: url.clone(), url, etag: None, limit_bytes: 100, limit: Duration::from_secs(2) };
    assert_eq!(client.document(wanted).await.unwrap_err().word(), "refused");
}

/// A root that signs itself, good until 2126.
const ROOT: &str = "-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUN2o0ptJmy9NaHWDIXtapteDab0IwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJdGVzdCByb290MCAXDTI2MTEyMTA4MTQxMVoYDzIxMjYxMDI4
MDgxNDExWjAUMRIwEAYDVQQDDAl0ZXN0IHJvb3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATM3PqWUmSt+AEU/81RmRrsUz7SSqwzw0XGVx9HisWrkQ40RNjlWXAW
MtKKs3D9a1k1R3+0Cleaei3Mpoj+v/58o1MwUTAdBgNVHQ4EFgQUjkMi0FMHB57A
dK87gzYxVLRpAW8wHwYDVR0jBBgwFoAUjkMi0FMHB57AdK87gzYxVLRpAW8wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEArLc/0JeBf3bYA7Lm47Tw
MXL5JIMmXaURemH9KSRszXoCIHZEqiEfHctJa00gm3krLasWd8fjc+U9K8e9AiD0
JOCo
-----END CERTIFICATE-----
";

#[test]
fn a_file_of_certificates_that_cannot_be_used_is_a_mistake_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let broken = ROOT.replace("MII", "MIJ");
    let rows = [
        ("good.pem", Some(ROOT), None),
        ("absent.pem", None, Some("No such file or directory")),
        ("empty.pem", Some(""), Some("has no certificate in it")),
        ("text.pem", Some("hello"), Some("has no certificate in it")),
        ("cut.pem", Some(&ROOT[..200]), Some("failed to read `ca_file`")),
        ("broken.pem", Some(&broken), Some("failed to read `ca_file`")),
    ];
    for (name, text, expected) in rows {
        let path = folder.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let at = Location { file: std::path::Path::new("wharf.toml").into(), line: 2, column: 11 };
        let mistakes: Vec<String> = check_ca_files(&[Located { value: path, at }]).iter().map(ToString::to_string).collect();
        match (expected, mistakes.as_slice()) {
            (None, []) => {}
            (Some(reason), [only]) => assert!(only.starts_with("wharf.toml:2:11: ") && only.contains(reason), "{only}"),
            _ => panic!("{name}: {mistakes:?}"),
        }
    }
}
