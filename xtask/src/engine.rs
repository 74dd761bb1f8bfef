//! Which engine `cargo xtask run` uses, decided and tried before anything is built.
//!
//! Whoever names one, in `wharf.toml` or in `DOCKER_HOST`, means that one. Else a private engine that an earlier run has started in the data directory is started
//! again, since what was deployed is there: the machine's own may have come up only because the earlier run installed it. Else the engine at the standard socket, if it
//! answers. Else a new private one, whose images, containers and volumes stay in the data directory for the next time.

use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_harness::engine::{self, Engine, Network, Setup};
use wharf_harness::http::Client;
use wharf_harness::process::environment;
use wharf_harness::programs;

use crate::stop::Stop;
use crate::{packages, step};

/// Where an engine is when nobody says otherwise.
const STANDARD: &str = "unix:///var/run/docker.sock";
/// An engine that works answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// The engine in use.
pub(crate) struct ChosenEngine {
    /// Its address, as `DOCKER_HOST` has it.
    pub(crate) url: String,
    pub(crate) client: Client,
    /// Ours to stop, if we started it.
    private: Option<Engine>,
}

impl ChosenEngine {
    /// Finds an engine that answers, or starts one. `configured` is the address that `wharf.toml` has.
    ///
    /// # Errors
    ///
    /// None can be had; the message says why and what to do.
    pub(crate) fn choose(configured: Option<&str>, data_dir: &Path, stop: &Stop) -> anyhow::Result<ChosenEngine> {
        let in_environment = environment("DOCKER_HOST").map(|url| ("DOCKER_HOST", url.to_string_lossy().into_owned()));
        let named = configured.map(|url| ("`url` of `[engine.default]`", url.to_owned())).or(in_environment);
        let data = std::path::absolute(data_dir)?.join("engine");
        if let Some((by, url)) = named {
            return match probe(&url) {
                Ok(client) => ChosenEngine::found(url, client),
                Err(problem @ (NoEngine::Malformed | NoEngine::Forbidden)) => anyhow::bail!("{by}: {}", problem.at(&url)),
                Err(problem) => anyhow::bail!("{by}: {}; without it a private engine is started", problem.at(&url)),
            };
        }
        if data.join("docker").is_dir() {
            let otherwise = "or use another engine by naming it in DOCKER_HOST";
            let why = format!("an earlier run has deployed to the private engine in `{}`", data.display());
            return ChosenEngine::start(&data, &why, "it", otherwise, stop);
        }
        match probe(STANDARD) {
            Ok(client) => ChosenEngine::found(STANDARD.to_owned(), client),
            Err(problem @ NoEngine::Forbidden) => anyhow::bail!("{}", problem.at(STANDARD)),
            Err(problem) => {
                let otherwise = "or start a Docker engine and name it in DOCKER_HOST";
                ChosenEngine::start(&data, &problem.at(STANDARD), &format!("a private one in `{}`", data.display()), otherwise, stop)
            }
        }
    }

    fn found(url: String, client: Client) -> anyhow::Result<ChosenEngine> {
        step(&format!("using the engine at {url}, {}", engine::version(&client)?));
        Ok(ChosenEngine { url, client, private: None })
    }

    /// Starts `what`, the private engine in `data`, for the reason `why`.
    fn start(data: &Path, why: &str, what: &str, otherwise: &str, stop: &Stop) -> anyhow::Result<ChosenEngine> {
        anyhow::ensure!(programs::is_root(), "{why}, and only root can start {what}: run with `sudo`, {otherwise}");
        packages::ensure(programs::ENGINE, otherwise, stop)?;
        step(&format!("{why}: starting {what}"));
        let setup = Setup { programs: &[], network: Network::Bridge, data: Some(data), mirror: None };
        let private = Engine::start_unless(&setup, &|| stop.asked());
        stop.check()?;
        let private = private?;
        let client = private.client();
        step(&format!("the private engine is {}", engine::version(&client)?));
        Ok(ChosenEngine { url: private.url(), client, private: Some(private) })
    }

    /// Stops the engine if it is ours.
    ///
    /// # Errors
    ///
    /// The system cannot say whether it ended.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(private) = &mut self.private {
            step("stopping the private engine");
            private.stop()?;
        }
        Ok(())
    }
}

/// Why there is no engine at an address.
#[derive(Debug)]
enum NoEngine {
    /// The address is none that the host can use.
    Malformed,
    /// It is there, but not for us.
    Forbidden,
    /// Nobody listens.
    Absent(io::Error),
    /// Somebody takes connections and gives no sensible answer.
    Unwell(String),
}

impl NoEngine {
    /// Why it could not be connected to.
    fn of(error: io::Error) -> NoEngine {
        match error.kind() {
            ErrorKind::PermissionDenied => NoEngine::Forbidden,
            _ => NoEngine::Absent(error),
        }
    }

    /// What to say of `url`.
    fn at(&self, url: &str) -> String {
        match self {
            NoEngine::Malformed => {
                let what = match url.split_once("://") {
                    None => "has no scheme".to_owned(),
                    Some(("unix" | "tcp" | "http", _)) => "has no address behind the scheme".to_owned(),
                    Some((scheme, _)) => format!("has the unknown scheme `{scheme}`"),
                };
                format!("`{url}` {what}: an engine is at `unix:///path`, `tcp://host:port` or `http://host:port`")
            }
            NoEngine::Forbidden => {
                let join = "`sudo usermod --append --groups docker $USER`, then log in anew";
                format!("a Docker engine is at {url}, but this user may not open it: join its group ({join}), or run with `sudo`")
            }
            NoEngine::Absent(error) => format!("no Docker engine is at {url} ({error})"),
            NoEngine::Unwell(problem) => format!("the Docker engine at {url} does not answer ({problem})"),
        }
    }
}

/// An address that the host can use.
enum Address {
    Unix(PathBuf),
    Tcp(String),
}

impl Address {
    fn parse(url: &str) -> Result<Address, NoEngine> {
        match url.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(PathBuf::from(path))),
            Some(("tcp" | "http", address)) if address.contains(':') => Ok(Address::Tcp(address.trim_end_matches('/').to_owned())),
            _ => Err(NoEngine::Malformed),
        }
    }

    /// Connects, to learn whether somebody listens and lets us in, and answers a client.
    fn connect(&self) -> io::Result<Client> {
        match self {
            Address::Unix(path) => UnixStream::connect(path).map(|_| Client::unix(path)),
            Address::Tcp(address) => {
                let mut problem = io::Error::new(ErrorKind::NotFound, "the name has no address");
                for address in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, PATIENCE) {
                        Ok(_) => return Ok(Client::tcp(address)),
                        Err(error) => problem = error,
                    }
                }
                Err(problem)
            }
        }
    }
}

/// A client of the engine at `url`, if it answers.
fn probe(url: &str) -> Result<Client, NoEngine> {
    let client = Address::parse(url)?.connect().map_err(NoEngine::of)?;
    match client.clone().with_patience(PATIENCE).get("/_ping") {
        Ok(response) if response.status == 200 => Ok(client),
        Ok(response) => Err(NoEngine::Unwell(format!("status {}: {}", response.status, String::from_utf8_lossy(&response.body).trim()))),
        Err(error) => Err(NoEngine::Unwell(format!("{error:#}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        let problem = probe(url).map(|_| ()).unwrap_err().at(url);
        assert!(problem.contains(expected), "{problem}");
    }

    #[test]
    fn an_address_that_is_none_is_called_so() {
        check("ssh://engine", "`ssh://engine` has the unknown scheme `ssh`: an engine is at `unix:///path`");
        check("/var/run/docker.sock", "`/var/run/docker.sock` has no scheme");
        check("unix://docker.sock", "has no address behind the scheme");
        check("tcp://engine", "has no address behind the scheme");
    }

    #[test]
    fn nobody_there_and_somebody_strange_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let url = format!("unix://{}", socket.display());
        check(&url, "no Docker engine is at unix:///");
        let listener = UnixListener::bind(&socket).unwrap();
        let strange = std::thread::spawn(move || drop(listener.incoming().take(2).collect::<Vec<_>>()));
        check(&url, "does not answer");
        strange.join().unwrap();
        check(&url, "Connection refused");
    }

    /// A test as root may open everything, so the kind of the error is given.
    #[test]
    fn a_socket_that_may_not_be_opened_is_not_taken_for_none() {
        let problem = NoEngine::of(ErrorKind::PermissionDenied.into()).at(STANDARD);
        assert!(problem.contains("this user may not open it") && problem.contains("--groups docker"), "{problem}");
    }
}
