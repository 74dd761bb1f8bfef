//! A private PostgreSQL server: Debian's, with a data directory of its own, on a socket in it and on loopback.
//!
//! It sorts texts by the rules of English unless a statement says otherwise, as servers in the field do, and the role that the host is given is what an operator would make: the owner of one database, who may make
//! roles and is no superuser. Nothing here survives the server's machine, so that it does not wait for its disk: what tests kill is the host.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::process::{Process, output};
use crate::programs;

const START_LIMIT: Duration = Duration::from_secs(60);
/// The superuser.
const ADMINISTRATOR: &str = "postgres";
/// The role of the host, and its database.
const OPERATOR: &str = "wharf";
/// Of both.
const PASSWORD: &str = "correct horse";

/// A running server. Dropping it stops it and removes what it holds.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    /// Where its programs are.
    programs: PathBuf,
    port: u16,
    root: TempDir,
}

impl Postgres {
    /// Starts a server with one empty database.
    ///
    /// # Errors
    ///
    /// PostgreSQL is not installed, or it ended or did not answer within a minute; the message has the last lines of its log.
    pub fn start() -> anyhow::Result<Postgres> {
        Postgres::start_with(None)
    }

    /// As [`Postgres::start`]; over TCP it takes encrypted connections too, with this certificate and its key, PEM.
    ///
    /// # Errors
    ///
    /// As [`Postgres::start`].
    pub fn start_with_tls(certificate: &str, key: &str) -> anyhow::Result<Postgres> {
        Postgres::start_with(Some((certificate, key)))
    }

    fn start_with(tls: Option<(&str, &str)>) -> anyhow::Result<Postgres> {
        let program = programs::POSTGRES.find().context("PostgreSQL is not installed")?.canonicalize()?;
        let programs = program.parent().context("PostgreSQL has no folder")?.to_owned();
        let root = tempfile::Builder::new().prefix("wharf-postgres-").tempdir()?;
        // As root we must not run it; its user has to come through here.
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755))?;
        let data = root.path().join("data");
        std::fs::create_dir(&data)?;
        let password = root.path().join("password");
        std::fs::write(&password, PASSWORD)?;
        let user = user()?;
        if let Some((user, group)) = user {
            for path in [&data, &password] {
                chown(path, Some(user), Some(group))?;
            }
        }
        let mut initdb = as_user(programs.join("initdb"), user, root.path());
        initdb.arg("-D").arg(&data).args(["-U", ADMINISTRATOR, "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]);
        initdb.args(["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]).arg("--pwfile").arg(&password);
        output(&mut initdb)?;
        if let Some((certificate, key)) = tls {
            let folder = root.path();
            // Where nobody else can read the key, or the server does not take it.
            for (name, text) in [("certificate", certificate), ("key", key)] {
                let path = folder.join(name);
                std::fs::write(&path, text)?;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
                if let Some((user, group)) = user {
                    chown(&path, Some(user), Some(group))?;
                }
            }
            let settings = format!("ssl = on\nssl_cert_file = '{0}/certificate'\nssl_key_file = '{0}/key'\n", folder.display());
            std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf"))?.write_all(settings.as_bytes())?;
        }
        // Another program may take the port before the server does.
        let mut tries = 3;
        let (process, port) = loop {
            tries -= 1;
            match launch(&programs, &data, user, root.path()) {
                Ok(started) => break started,
                Err(error) if tries == 0 => return Err(error),
                Err(_) => {}
            }
        };
        let server = Postgres { process, programs, port, root };
        server.administer("postgres", &format!("CREATE ROLE {OPERATOR} LOGIN CREATEROLE PASSWORD '{PASSWORD}'"))?;
        server.administer("postgres", &format!("CREATE DATABASE {OPERATOR} OWNER {OPERATOR}"))?;
        Ok(server)
    }

    /// The URL of the database, over loopback.
    pub fn url(&self) -> String {
        format!("postgres://{OPERATOR}:{}@127.0.0.1:{}/{OPERATOR}", PASSWORD.replace(' ', "%20"), self.port)
    }

    /// The URL of the database, over the socket.
    pub fn socket_url(&self) -> String {
        let folder = self.root.path().join("data").display().to_string().replace('/', "%2F");
        format!("postgres://{OPERATOR}:{}@{folder}:{}/{OPERATOR}", PASSWORD.replace(' ', "%20"), self.port)
    }

    /// What the host's database answers to `sql`, asked by the superuser: a line for each row.
    ///
    /// # Errors
    ///
    /// It is no SQL, or the server is not there.
    pub fn ask(&self, sql: &str) -> anyhow::Result<String> {
        self.administer(OPERATOR, sql)
    }

    /// Lets it take connections and say nothing on them; those that are open go on. [`Postgres::go_on`] ends that.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets a paused server go on.
    pub fn go_on(&self) {
        self.process.go_on();
    }

    fn administer(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", ADMINISTRATOR, "-d", database, "-c", sql]);
        psql.arg("-p").arg(self.port.to_string()).env("PGPASSWORD", PASSWORD).env("PGOPTIONS", "");
        output(&mut psql)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGTERM alone would wait for the clients to go.
        self.process.interrupt();
    }
}

fn launch(programs: &Path, data: &Path, user: Option<(u32, u32)>, root: &Path) -> anyhow::Result<(Process, u16)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut server = as_user(programs.join("postgres"), user, root);
    server.arg("-D").arg(data).arg("-k").arg(data).arg("-p").arg(port.to_string()).args(["-h", "127.0.0.1"]);
    for setting in ["fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=64MB"] {
        server.arg("-c").arg(setting);
    }
    let mut process = Process::start(server, root.join("log"))?;
    let pid = data.join("postmaster.pid");
    // The last line of this file says when.
    let ready = || std::fs::read_to_string(&pid).ok().filter(|text| text.lines().last().is_some_and(|line| line.trim() == "ready"));
    process.wait_until(START_LIMIT, "ready", ready)?;
    Ok((process, port))
}

/// `program`, run by `user` if that is somebody else.
fn as_user(program: PathBuf, user: Option<(u32, u32)>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    // A developer's PGDATA and PGPORT must not reach into it.
    command.env_clear().env("LC_ALL", "C.UTF-8").current_dir(folder);
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command
}

/// The user and group that Debian's package has made for the server; none if we are not root, and are good enough ourselves.
fn user() -> anyhow::Result<Option<(u32, u32)>> {
    if !programs::is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let fields = users.lines().find_map(|line| line.strip_prefix("postgres:")).context("there is no user `postgres`")?;
    let mut fields = fields.split(':').skip(1);
    let mut number = || fields.next().and_then(|field| field.parse().ok()).context("the user `postgres` has no number");
    Ok(Some((number()?, number()?)))
}
