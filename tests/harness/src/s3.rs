//! A stand-in for S3: `moto`'s server on loopback, which keeps its objects in memory and checks every signature. It is no S3, and where it is known to differ the tests say so.
//!
//! It comes from PyPI into a Python environment below the user's cache, made once with Debian's `python3-venv`; nothing of the machine changes. Its version is pinned, and those of the web framework that it
//! stands on: what it answers is what the tests hold the host to, and a newer one may answer otherwise on a day on which nothing of ours has changed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::http::Client;
use crate::newer::cache;
use crate::process::{Process, find_line, output, search_path};
use crate::programs;

const START_LIMIT: Duration = Duration::from_secs(60);

/// The pinned versions. The folder is called by them, so that another pin is another folder.
const VERSION: &str = "moto-5.2.5";
const PACKAGES: [&str; 4] = ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5", "werkzeug==3.1.9"];

/// The bucket that is there from the beginning.
pub const BUCKET: &str = "wharf-blobs";

/// How many requests it takes without a signature at first: those that make the user with its right and its key, and the bucket.
const UNSIGNED: usize = 4;
/// What the one user may do: everything with every bucket.
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;

/// A running server. Dropping it stops it, and with it goes what it holds.
#[derive(Debug)]
pub struct S3 {
    process: Process,
    address: SocketAddr,
    access_key_id: String,
    secret_access_key: String,
    _root: TempDir,
}

impl S3 {
    /// Starts a server with an empty [`BUCKET`] and one user. The first time on a machine it downloads 40 MB.
    ///
    /// # Errors
    ///
    /// Python's environments are not installed, the packages cannot be had, or the server ended or did not answer within a minute.
    pub fn start() -> anyhow::Result<S3> {
        let environment = environment().context("failed to fetch the stand-in for S3 from PyPI")?;
        let root = tempfile::Builder::new().prefix("wharf-s3-").tempdir()?;
        let mut command = Command::new(environment.join("bin/python"));
        // A developer's AWS_… and MOTO_… must not reach into it.
        command.env_clear().env("PATH", search_path(&[])?).env("HOME", root.path()).current_dir(root.path());
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", UNSIGNED.to_string());
        command.args(["-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]);
        let log = root.path().join("log");
        let mut process = Process::start(command, log.clone())?;
        let address = process.wait_until(START_LIMIT, "listening", || find_line(&log, announced))?;
        let mut s3 = S3 { process, address, access_key_id: String::new(), secret_access_key: String::new(), _root: root };
        s3.users("Action=CreateUser&UserName=wharf")?;
        let policy: String = form_urlencoded::byte_serialize(POLICY.as_bytes()).collect();
        s3.users(&format!("Action=PutUserPolicy&UserName=wharf&PolicyName=all&PolicyDocument={policy}"))?;
        let key = s3.users("Action=CreateAccessKey&UserName=wharf")?;
        s3.access_key_id = elements(&key, "AccessKeyId").pop().context("there is no id in a new key")?;
        s3.secret_access_key = elements(&key, "SecretAccessKey").pop().context("there is no secret in a new key")?;
        s3.client().send("PUT", &format!("/{BUCKET}"), &[], b"")?.success("making a bucket")?;
        Ok(s3)
    }

    /// Asks what knows the users, which is chosen by the service in the field.
    fn users(&self, form: &str) -> anyhow::Result<String> {
        let service = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x";
        let headers = [("authorization", service), ("content-type", "application/x-www-form-urlencoded")];
        let answer = self.client().send("POST", "/", &headers, format!("{form}&Version=2010-05-08").as_bytes())?;
        Ok(answer.success("asking for a user")?.text()?.to_owned())
    }

    /// What a configuration calls the `endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of the user's key.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The secret of the user's key.
    pub fn secret_access_key(&self) -> &str {
        &self.secret_access_key
    }

    /// Puts an object into the bucket by other means than the host.
    ///
    /// # Errors
    ///
    /// It does not take it.
    pub fn put(&self, key: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.unsigned("PUT", &format!("/{BUCKET}/{key}"), bytes).map(drop)
    }

    /// Begins an object in parts by other means than the host.
    ///
    /// # Errors
    ///
    /// It does not take it.
    pub fn begin(&self, key: &str) -> anyhow::Result<()> {
        self.unsigned("POST", &format!("/{BUCKET}/{key}?uploads"), b"").map(drop)
    }

    fn client(&self) -> Client {
        Client::tcp(self.address)
    }

    /// Sends a request that is not signed, after asking for one to be let through. If another one came first, and was let through instead, we ask again.
    fn unsigned(&self, method: &str, target: &str, body: &[u8]) -> anyhow::Result<String> {
        let attempt = || {
            self.client().send("POST", "/moto-api/reset-auth", &[], b"1")?.success("asking for a request without a signature")?;
            let answer = self.client().send(method, target, &[], body)?;
            Ok(if answer.status == 403 { None } else { Some(answer.success("asking S3")?.text()?.to_owned()) })
        };
        crate::poll(Duration::from_secs(30), attempt)?.with_context(|| format!("`{method} {target}` is refused"))
    }

    /// The keys of the bucket that begin with `prefix`, which needs no escaping in a query; at most a thousand.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub fn keys(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        Ok(elements(&self.unsigned("GET", &format!("/{BUCKET}?list-type=2&prefix={prefix}"), b"")?, "Key"))
    }

    /// The keys of blobs of which parts are there and were not put together.
    ///
    /// # Errors
    ///
    /// It does not answer.
    /// The stand-in also fails to list while one of them ends.
    pub fn unfinished(&self) -> anyhow::Result<Vec<String>> {
        Ok(elements(&self.unsigned("GET", &format!("/{BUCKET}?uploads"), b"")?, "Key"))
    }

    /// Lets it keep its connections and answer nothing. [`S3::go_on`] ends that.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets a paused server go on.
    pub fn go_on(&self) {
        self.process.go_on();
    }
}

/// The texts of the elements `name` in `answer`. Those of tests need no unescaping.
fn elements(answer: &str, name: &str) -> Vec<String> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    answer.split(&begin).skip(1).filter_map(|rest| Some(rest.split_once(&end)?.0.to_owned())).collect()
}

/// The folder of the Python environment, made if it is not there.
fn environment() -> anyhow::Result<PathBuf> {
    let place = cache()?.join("s3");
    let environment = place.join(VERSION);
    if environment.join("bin/python").exists() {
        return Ok(environment);
    }
    std::fs::create_dir_all(&place).with_context(|| format!("failed to make `{}`", place.display()))?;
    // Made beside its place and then renamed: a run that is killed leaves nothing that looks whole. Only its own programs know where it was made, and `python` is none of those.
    let work = tempfile::Builder::new().prefix("new-").tempdir_in(&place)?;
    let new = work.path().join("environment");
    let python = programs::PYTHON.find().context("`python3-venv` is not installed")?;
    output(Command::new(python).arg("-m").arg("venv").arg(&new))?;
    install(&new)?;
    if let Err(error) = std::fs::rename(&new, &environment) {
        // Another test may have been faster.
        anyhow::ensure!(environment.join("bin/python").exists(), "failed to make `{}`: {error}", environment.display());
    }
    Ok(environment)
}

fn install(environment: &Path) -> anyhow::Result<()> {
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]).args(PACKAGES);
    output(&mut pip)?;
    Ok(())
}

/// The address in the line that announces it.
fn announced(line: &str) -> Option<SocketAddr> {
    line.split_once("Running on http://")?.1.trim().parse().ok()
}
