//! A private image registry: Debian's `docker-registry` on loopback, with a root of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::http::Client;
use crate::process::{Process, find_line, search_path};

const START_LIMIT: Duration = Duration::from_secs(60);

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The user of a registry with a password.
pub const USER: &str = "wharf";
/// The password of [`USER`].
pub const PASSWORD: &str = "correct horse battery staple";
/// A line of htpasswd for the two, with the lowest cost that bcrypt has.
const HTPASSWD: &str = "wharf:$2y$04$wharfwharfwharfwharfwetHUeAInbgYmO6/j5tEPjmguXoVQIb7m\n";

/// How a registry is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Usual,
    Fast,
}

/// A running registry. Dropping it stops it and removes what it holds.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    address: SocketAddr,
    /// Who pushes, over connections that are kept.
    pusher: Client,
    _root: TempDir,
}

impl Registry {
    /// Starts a registry that anybody may use, or only [`USER`] if `password` is true.
    ///
    /// # Errors
    ///
    /// `docker-registry` is not installed, or it ended or did not answer within a minute; the message has the last lines of its log.
    pub fn start(password: bool) -> anyhow::Result<Registry> {
        Registry::launch(password, None, Pace::Usual)?.ready(password)
    }

    /// As [`Registry::start`], set up to answer as fast as it can, for measurements of what asks it.
    ///
    /// # Errors
    ///
    /// As [`Registry::start`].
    pub fn start_fast(password: bool) -> anyhow::Result<Registry> {
        Registry::launch(password, None, Pace::Fast)?.ready(password)
    }

    fn ready(self, password: bool) -> anyhow::Result<Registry> {
        let registry = self;
        let expected = if password { 401 } else { 200 };
        let client = registry.client(false);
        let ready = || Ok(client.get("/v2/").is_ok_and(|response| response.status == expected).then_some(()));
        crate::poll(START_LIMIT, ready)?.with_context(|| format!("the registry does not answer:\n{}", registry.log()))?;
        Ok(registry)
    }

    /// Starts a registry with TLS that anybody may use, with a certificate and its key as PEM. It listens, and whether it answers depends on these.
    ///
    /// # Errors
    ///
    /// As [`Registry::start`].
    pub fn start_with_tls(certificate: &str, key: &str) -> anyhow::Result<Registry> {
        Registry::launch(false, Some((certificate, key)), Pace::Usual)
    }

    fn launch(password: bool, tls: Option<(&str, &str)>, pace: Pace) -> anyhow::Result<Registry> {
        let root = tempfile::Builder::new().prefix("wharf-registry-").tempdir()?;
        let config = root.path().join("config.yml");
        let users = root.path().join("htpasswd");
        std::fs::write(&users, HTPASSWD)?;
        let mut document = configuration(&root.path().join("data"), password.then_some(&users));
        if let (Some((certificate, key)), Some(http)) = (tls, document.get_mut("http").and_then(Value::as_object_mut)) {
            let files = [root.path().join("certificate.pem"), root.path().join("key.pem")];
            for (file, text) in files.iter().zip([certificate, key]) {
                std::fs::write(file, text)?;
            }
            http.insert("tls".to_owned(), json!({ "certificate": files[0], "key": files[1] }));
        }
        if pace == Pace::Fast {
            hasten(&mut document);
        }
        std::fs::write(&config, document.to_string())?;
        let mut command = Command::new("docker-registry");
        command.env("PATH", search_path(&[])?).arg("serve").arg(&config);
        // A developer's environment must not reach into the configuration, as REGISTRY_HTTP_ADDR would.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_")) {
            command.env_remove(name);
        }
        if pace == Pace::Fast {
            // Half of its time goes to the collector, which runs every few megabytes.
            command.env("GOGC", "800");
        }
        let log = root.path().join("log");
        let mut process = Process::start(command, log.clone())?;
        let address = process.wait_until(START_LIMIT, "listening", || find_line(&log, announced))?;
        Ok(Registry { process, address, pusher: client(address, password), _root: root })
    }

    /// A client, in the name of [`USER`] if `password` is true.
    pub fn client(&self, password: bool) -> Client {
        client(self.address, password)
    }

    /// Pushes a blob to `repository` and answers its digest.
    ///
    /// # Errors
    ///
    /// The registry does not take it. So for all that pushes.
    pub fn push_blob(&self, repository: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let begun = self.pusher.post(&format!("/v2/{repository}/blobs/uploads/"))?.success("beginning an upload")?;
        let location = begun.header("location").context("an upload has no place")?;
        let target = location.split_once("/v2/").map(|(_, rest)| format!("/v2/{rest}")).context("an upload's place is elsewhere")?;
        let digest = digest(bytes);
        let separator = if target.contains('?') { '&' } else { '?' };
        let target = format!("{target}{separator}digest={digest}");
        self.pusher.send("PUT", &target, &[("content-type", "application/octet-stream")], bytes)?.success("uploading")?;
        Ok(digest)
    }

    /// Pushes a manifest or an index as `repository:tag` and answers its digest.
    ///
    /// # Errors
    ///
    /// As [`Registry::push_blob`].
    pub fn push_manifest(&self, repository: &str, tag: &str, manifest: &Value) -> anyhow::Result<String> {
        let media_type = manifest.get("mediaType").and_then(Value::as_str).context("a manifest has no type")?;
        let text = manifest.to_string();
        let target = format!("/v2/{repository}/manifests/{tag}");
        self.pusher.send("PUT", &target, &[("content-type", media_type)], text.as_bytes())?.success("pushing a manifest")?;
        Ok(digest(text.as_bytes()))
    }

    /// Pushes an image without layers for `architecture` and answers the descriptor that an index has of it.
    ///
    /// # Errors
    ///
    /// As [`Registry::push_blob`].
    pub fn push_image(&self, repository: &str, tag: &str, architecture: &str) -> anyhow::Result<Value> {
        let config = json!({ "os": "linux", "architecture": architecture, "config": { "Cmd": ["serve"] }, "rootfs": { "type": "layers", "diff_ids": [] } });
        let config = config.to_string();
        let config = json!({ "mediaType": CONFIG, "size": config.len(), "digest": self.push_blob(repository, config.as_bytes())? });
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [] });
        let digest = self.push_manifest(repository, tag, &manifest)?;
        let platform = json!({ "os": "linux", "architecture": architecture });
        Ok(json!({ "mediaType": MANIFEST, "size": manifest.to_string().len(), "digest": digest, "platform": platform }))
    }

    /// Pushes an index of what `descriptors` describe, all in `repository`, and answers its own descriptor.
    ///
    /// # Errors
    ///
    /// As [`Registry::push_blob`].
    pub fn push_index(&self, repository: &str, tag: &str, descriptors: &[Value]) -> anyhow::Result<Value> {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors });
        let digest = self.push_manifest(repository, tag, &index)?;
        Ok(json!({ "mediaType": INDEX, "size": index.to_string().len(), "digest": digest }))
    }

    /// Where it listens. Engines and clients take `127.0.0.1:PORT` as a registry without TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged so far, one line for each request it answered.
    pub fn log(&self) -> String {
        self.process.log_text()
    }
}

/// The registry's configuration. It is YAML, of which JSON is a part. Port 0 lets the system choose.
fn configuration(data: &Path, users: Option<&PathBuf>) -> Value {
    let mut configuration = json!({
        "version": 0.1,
        "storage": { "filesystem": { "rootdirectory": data }, "delete": { "enabled": true } },
        "http": { "addr": "127.0.0.1:0" },
    });
    if let (Some(users), Some(fields)) = (users, configuration.as_object_mut()) {
        fields.insert("auth".to_owned(), json!({ "htpasswd": { "realm": "wharf", "path": users } }));
    }
    configuration
}

/// Keeps descriptors of blobs in memory, as the package's own configuration does, and logs no access.
fn hasten(configuration: &mut Value) {
    let Some(fields) = configuration.as_object_mut() else { return };
    fields.insert("log".to_owned(), json!({ "accesslog": { "disabled": true } }));
    if let Some(storage) = fields.get_mut("storage").and_then(Value::as_object_mut) {
        storage.insert("cache".to_owned(), json!({ "blobdescriptor": "inmemory" }));
    }
}

fn client(registry: SocketAddr, password: bool) -> Client {
    let client = Client::tcp(registry);
    // `USER:PASSWORD` in base64.
    if password { client.with_header("authorization", "Basic d2hhcmY6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==") } else { client }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The address that the system chose, from a line of the registry's log: `… msg="listening on 127.0.0.1:40317" …`.
fn announced(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    // With TLS it says so behind the address.
    rest.split(['"', ',']).next()?.parse().ok()
}
