//! What a configuration says, and what is said of one with mistakes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::*;
use crate::settings::document::Found;
use crate::settings::{CatalogSource, CredentialSource, Isolation, LogFormat, SearchProvider, SecretSource};
use url::Url;

mod any_input;
mod mistakes;
mod users;

/// The configuration at the top of the repository.
const DEFAULT: &str = include_str!("../../../../wharf.toml");

/// One with every key there is.
const FULL: &str = r#"
include = []
[server]
listen = "[::1]:80"
admin = false
auth = "none"
admin_auth = "none"
data_dir = "data"
shutdown_grace_secs = 5
log_format = "json"
log_filter = "warn,wharf_host=debug"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
[engine.default]
url = "unix:///run/docker.sock"
[engine.far]
url = "tcp://engine.local:2375"
[registry."Registry.local:5000"]
username = "ci"
password = { secret_file = "secrets/registry" }
ca_file = "ca.pem"
plain_http = false
[registry."index.docker.io"]
docker_config = "config.json"
docker_config_helpers = true
endpoint = "https://mirror.local"
[registry.localhost]
identity_token = { secret_env = "TOKEN" }
[docker_hub]
search = ["engine", "v2"]
search_v4 = "http://hub.local:8000/v4"
search_v2 = "https://hub.local"
tags = "https://tags.local/"
engine_index = "127.0.0.1:5099"
[[site]]
name = "plant-a"
hosts = ["Plant-A.local", "[2001:db8::1]"]
session_secs = 600
trusted_origins = ["https://Console.plant-a.local"]
[site.catalog.official]
file = "catalogs/official.json"
[site.catalog.ours]
url = "http://catalogs.local/ours?format=json"
[[site.user]]
name = "ann"
password_hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
roles = ["guest", "admin", "guest"]
[[site.user]]
name = "bob"
password_hash = { secret_file = "secrets/bob" }
[[site.plugin]]
name = "deployments"
source = "plugins/deployments.wasm"
sha256 = "ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD"
mount = "/api/"
auth = "plugin"
isolation = "request"
limits = { memory_mib = 128, queue = 0 }
[site.plugin.config]
network = "n~/1"
big = 18446744073709551615
ratio = 0.5
on = true
since = 2024-05-01T00:00:00Z
list = [1, { a = "b" }]
password = { secret_file = "secrets/password" }
token = { secret_env = "TOKEN" }
"a/b~c" = 1
[[site]]
name = "rest"
"#;

/// Reads `files`, of which the one named `wharf.toml` is the first.
fn read_files(files: &[(&str, &[u8])], docker_host: Option<&str>) -> Result<Settings, Mistakes> {
    let files: BTreeMap<PathBuf, &[u8]> = files.iter().map(|(path, bytes)| (PathBuf::from(path), *bytes)).collect();
    let find = |path: &Path| match files.get(path) {
        Some(bytes) => Ok(Found { identity: path.to_owned(), bytes: bytes.to_vec() }),
        None => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    read(Path::new("wharf.toml"), &find, docker_host.map(str::to_owned))
}

#[track_caller]
fn settings(text: &str) -> Settings {
    match read_files(&[("wharf.toml", text.as_bytes())], None) {
        Ok(settings) => settings,
        Err(mistakes) => panic!("unexpected mistakes:\n{mistakes}"),
    }
}

fn plugin(lines: &str) -> String {
    format!("[[site]]\nname = \"a\"\n[[site.plugin]]\nname = \"p\"\nsource = \"p.wasm\"\n{lines}")
}

#[track_caller]
fn check_mount(mount: &str, expected: &str) {
    let settings = settings(&plugin(&format!("mount = \"{mount}\"")));
    assert_eq!(settings.sites[0].plugins[0].mount.value, expected);
}

#[test]
fn the_default_configuration_has_no_mistakes() {
    let settings = settings(DEFAULT);
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.server.admin.unwrap().to_string(), "127.0.0.1:8081");
    let site = &settings.sites[0];
    assert_eq!((site.name.value.as_str(), site.hosts.len()), ("local", 0));
    let plugin = &site.plugins[0];
    assert_eq!((plugin.name.value.as_str(), plugin.mount.value.as_str()), ("deployments", ""));
    assert_eq!(plugin.source.value, Path::new("target/wharf/plugins/deployments.wasm"));
    assert_eq!(plugin.limits, super::super::Limits::default());
    assert_eq!(
        serde_json::Value::Object(plugin.config.values.clone()),
        serde_json::json!({"network": "lopco-network", "data_cache_volume": "data_cache"})
    );
}

#[test]
fn every_key_is_read() {
    let settings = settings(FULL);
    let server = &settings.server;
    assert_eq!((server.listen.to_string(), server.admin, server.shutdown_grace_secs), ("[::1]:80".to_owned(), None, 5));
    assert_eq!((server.log_format, server.log_filter.as_str()), (LogFormat::Json, "warn,wharf_host=debug"));
    assert_eq!(server.data_dir, Path::new("data"));
    let urls: Vec<_> = settings.engines.iter().map(|(name, engine)| format!("{name} {}", engine.url)).collect();
    assert_eq!(urls, ["default unix:///run/docker.sock", "far tcp://engine.local:2375"]);
    assert_eq!(settings.sites[0].hosts, ["plant-a.local", "[2001:db8::1]"]);
    let names: Vec<_> = settings.registries.keys().map(String::as_str).collect();
    assert_eq!(names, ["docker.io", "localhost", "registry.local:5000"]);
    let registry = &settings.registries["registry.local:5000"];
    assert_eq!((registry.ca_file.as_deref(), registry.plain_http), (Some(Path::new("ca.pem")), Some(false)));
    let password = SecretSource::File("secrets/registry".into());
    assert_eq!(registry.credentials, Some(CredentialSource::Password { username: "ci".to_owned(), password }));
    let config = CredentialSource::DockerConfig { path: "config.json".into(), helpers: true };
    assert_eq!(settings.registries["docker.io"].credentials, Some(config));
    assert_eq!(settings.registries["docker.io"].endpoint.as_ref().map(Url::as_str), Some("https://mirror.local/"));
    let ca_files: Vec<_> = settings.ca_files.iter().map(|file| format!("{} {}", file.value.display(), file.at)).collect();
    assert_eq!(ca_files, ["ca.pem wharf.toml:20:11"]);
    let hub = &settings.docker_hub;
    assert_eq!(
        (hub.search.as_slice(), hub.engine_index.as_deref()),
        (&[SearchProvider::Engine, SearchProvider::V2][..], Some("127.0.0.1:5099"))
    );
    let addresses = [hub.search_v4.as_str(), hub.search_v2.as_str(), hub.tags.as_str()];
    assert_eq!(addresses, ["http://hub.local:8000/v4", "https://hub.local/", "https://tags.local/"]);
    let catalogs = &settings.sites[0].catalogs;
    assert_eq!(catalogs["official"].value, CatalogSource::File("catalogs/official.json".into()));
    assert_eq!(catalogs["ours"].value, CatalogSource::Url("http://catalogs.local/ours?format=json".parse().unwrap()));
    assert_eq!((catalogs.len(), settings.sites[1].catalogs.len()), (2, 0));
    let token = CredentialSource::IdentityToken(SecretSource::Env("TOKEN".to_owned()));
    assert_eq!(settings.registries["localhost"].credentials, Some(token));
    let plugin = &settings.sites[0].plugins[0];
    assert_eq!(plugin.source.value, Path::new("plugins/deployments.wasm"));
    assert_eq!(plugin.sha256.as_deref().unwrap(), "abcdef".repeat(10) + "abcd");
    assert_eq!((plugin.mount.value.as_str(), plugin.isolation), ("/api", Isolation::Request));
    assert_eq!((plugin.limits.memory_mib, plugin.limits.queue, plugin.limits.concurrency), (128, 0, 64));
    assert_eq!(plugin.at.to_string(), "wharf.toml:50:1");
}

#[test]
fn settings_of_a_plugin_become_json_in_the_order_of_the_file_and_without_the_secrets() {
    let settings = settings(FULL);
    let config = &settings.sites[0].plugins[0].config;
    assert_eq!(
        serde_json::to_string(&config.values).unwrap(),
        r#"{"network":"n~/1","big":18446744073709551615,"ratio":0.5,"on":true,"since":"2024-05-01T00:00:00Z","list":[1,{"a":"b"}],"a/b~c":1}"#
    );
    let secrets: Vec<_> = config.secrets.clone().into_iter().collect();
    let file = SecretSource::File("secrets/password".into());
    assert_eq!(secrets, [("password".to_owned(), file), ("token".to_owned(), SecretSource::Env("TOKEN".to_owned()))]);
    let places: Vec<_> = config.places.iter().map(|(pointer, at)| format!("{pointer} {}:{}", at.line, at.column)).collect();
    let expected = [" 58:1", "/a~1b~0c 67:11", "/big 60:7", "/list 64:8", "/list/0 64:9", "/list/1 64:12", "/list/1/a 64:18"];
    assert_eq!(places[..7], expected);
    assert_eq!(places[7..], ["/network 59:11", "/on 62:6", "/password 65:12", "/ratio 61:9", "/since 63:9", "/token 66:9"]);
}

#[test]
fn a_plugin_without_settings_still_has_a_place_for_what_is_missing() {
    let settings = settings(&plugin("mount = \"/\""));
    assert_eq!(settings.sites[0].plugins[0].config.places[""].to_string(), "wharf.toml:3:1");
}

#[test]
fn a_mount_loses_its_last_slash() {
    check_mount("/", "");
    check_mount("/api", "/api");
    check_mount("/api/", "/api");
    check_mount("/api/v1.0/~me@home/...", "/api/v1.0/~me@home/...");
}

#[test]
fn what_is_left_out_has_its_default() {
    let settings = settings("[[site]]\nname = \"a\"");
    let server = settings.server;
    assert_eq!((server.listen.to_string(), server.admin.unwrap().to_string()), ("127.0.0.1:8080".to_owned(), "127.0.0.1:8081".to_owned()));
    assert_eq!((server.data_dir.as_path(), server.shutdown_grace_secs), (Path::new("wharf-data"), 30));
    assert_eq!((server.log_format, server.log_filter.as_str()), (LogFormat::Pretty, "info"));
    assert_eq!(settings.engines["default"].url, "unix:///var/run/docker.sock");
    let hub = settings.docker_hub;
    assert_eq!(hub.search, [SearchProvider::V4, SearchProvider::V2, SearchProvider::Engine]);
    assert_eq!([hub.search_v4, hub.search_v2, hub.tags].map(String::from), ["https://hub.docker.com/"; 3]);
    assert_eq!((hub.engine_index, settings.sites[0].catalogs.len(), settings.ca_files.len()), (None, 0, 0));
}

#[test]
fn the_default_engine_is_where_the_file_says_and_else_where_the_environment_says() {
    let default_url =
        |text: &str, docker_host| read_files(&[("wharf.toml", text.as_bytes())], docker_host).unwrap().engines["default"].url.clone();
    let site = "[[site]]\nname = \"a\"\n";
    assert_eq!(default_url(site, Some("tcp://10.0.0.1:2375")), "tcp://10.0.0.1:2375");
    assert_eq!(default_url(site, Some("")), "unix:///var/run/docker.sock");
    let named = format!("{site}[engine.default]\nurl = \"http://[::1]:2375\"");
    assert_eq!(default_url(&named, Some("tcp://10.0.0.1:2375")), "http://[::1]:2375");
}

#[test]
fn a_listener_beyond_loopback_is_fine_with_the_word_for_it() {
    let text = "[server]\nlisten = \"0.0.0.0:80\"\nauth = \"none\"\nadmin = \"[::]:81\"\nadmin_auth = \"none\"\n[[site]]\nname = \"a\"";
    assert_eq!(settings(text).server.listen.to_string(), "0.0.0.0:80");
    let mapped = "[server]\nlisten = \"[::ffff:127.0.0.1]:80\"\n[[site]]\nname = \"a\"";
    assert_eq!(settings(mapped).server.listen.port(), 80);
}

#[test]
fn included_files_are_read_in_order_and_resolve_their_own_paths() {
    let plugin = "[[site.plugin]]\nname = \"p\"\nsource = \"p.wasm\"\nmount = \"/\"\nconfig.key.secret_file = \"key\"\n";
    let settings = read_files(
        &[
            ("wharf.toml", b"include = [\"sites/b.toml\", \"c.toml\"]\n[[site]]\nname = \"a\"\n"),
            ("sites/b.toml", format!("include = [\"d/d.toml\"]\n[[site]]\nname = \"b\"\nhosts = [\"b\"]\n{plugin}").as_bytes()),
            ("sites/d/d.toml", b"[server]\ndata_dir = \"here\"\n[engine.x]\nurl = \"http://x:1\""),
            ("c.toml", b"[[site]]\nname = \"c\"\nhosts = [\"c\"]\n"),
        ],
        None,
    )
    .unwrap();
    let names: Vec<_> = settings.sites.iter().map(|site| site.name.value.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(settings.files, ["wharf.toml", "sites/b.toml", "sites/d/d.toml", "c.toml"].map(PathBuf::from));
    let plugin = &settings.sites[1].plugins[0];
    assert_eq!(plugin.source.value, Path::new("sites/p.wasm"));
    assert_eq!(plugin.config.secrets["key"], SecretSource::File("sites/key".into()));
    assert_eq!(settings.server.data_dir, Path::new("sites/d/here"));
    assert!(settings.engines.contains_key("x"));
}

#[test]
fn a_link_to_a_file_is_that_file() {
    let directory = tempfile::tempdir().unwrap();
    let first = directory.path().join("wharf.toml");
    std::fs::write(&first, "include = [\"loop/wharf.toml\"]\n[[site]]\nname = \"a\"\n").unwrap();
    std::os::unix::fs::symlink(".", directory.path().join("loop")).unwrap();
    let mistakes = read(&first, &document::on_disk, None).unwrap_err();
    assert_eq!(mistakes.0.len(), 1);
    assert!(mistakes.0[0].message.ends_with("loop/wharf.toml` includes itself"), "{mistakes}");
}
