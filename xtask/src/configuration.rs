//! What `cargo xtask run` has to know of `wharf.toml` before the host is built, which is who reads it whole and says what is wrong with it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// A few of the settings, with the host's defaults.
#[derive(Debug, PartialEq)]
pub(crate) struct Configuration {
    /// Where the sites will be.
    pub(crate) sites: SocketAddr,
    /// Where the admin API will be; none if it is off.
    pub(crate) admin: Option<SocketAddr>,
    /// Where the engine `default` is, if the file says so.
    pub(crate) engine: Option<String>,
    /// How long a stop may wait for requests, and then once more for operations.
    pub(crate) grace: Duration,
}

impl Configuration {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or what is looked at is not what it should be.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Configuration> {
        let text = std::fs::read_to_string(file).with_context(|| format!("failed to read `{}`", file.display()))?;
        Configuration::parse(&text).with_context(|| format!("`{}`", file.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Configuration> {
        let document: toml::Table = text.parse().context("not TOML")?;
        let value = |path: &[&str]| {
            let (last, tables) = path.split_last()?;
            tables.iter().try_fold(&document, |table, name| table.get(*name)?.as_table())?.get(*last)
        };
        let address = |key: &str, usual: u16| match value(&["server", key]) {
            None => Ok(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, usual)))),
            Some(toml::Value::Boolean(false)) => Ok(None),
            Some(value) => {
                let address: Option<SocketAddr> = value.as_str().and_then(|text| text.parse().ok());
                let address = address.with_context(|| format!("`{key}` of `[server]` is not an address with a port: {value}"))?;
                anyhow::ensure!(address.port() != 0, "`{key}` of `[server]` leaves the port to the system, and nobody would know it");
                Ok(Some(address))
            }
        };
        let grace = value(&["server", "shutdown_grace_secs"]).and_then(toml::Value::as_integer).and_then(|secs| secs.try_into().ok());
        Ok(Configuration {
            sites: address("listen", 8080)?.context("`listen` of `[server]` cannot be off")?,
            admin: address("admin", 8081)?,
            engine: value(&["engine", "default", "url"]).and_then(toml::Value::as_str).map(str::to_owned),
            grace: Duration::from_secs(grace.unwrap_or(30)),
        })
    }

    /// Sees to it that the host will be able to listen.
    ///
    /// # Errors
    ///
    /// Somebody else does, or we may not; the message says where.
    pub(crate) fn check_free(&self) -> anyhow::Result<()> {
        // Held until all are tried: the two must not be the same.
        let mut held = Vec::new();
        for (key, address) in [("listen", Some(self.sites)), ("admin", self.admin)] {
            let Some(address) = address else { continue };
            held.push(TcpListener::bind(address).map_err(|error| {
                let remedy = match error.kind() {
                    ErrorKind::AddrInUse => "end what listens there, or write another address",
                    ErrorKind::PermissionDenied => "ports below 1024 are for root; write another",
                    _ => "write an address of this machine",
                };
                anyhow::Error::new(error).context(format!("nobody can listen on {address}, `{key}` of `[server]`: {remedy}"))
            })?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, sites: &str, admin: Option<&str>, engine: Option<&str>, grace_secs: u64) {
        let expected = Configuration {
            sites: sites.parse().unwrap(),
            admin: admin.map(|admin| admin.parse().unwrap()),
            engine: engine.map(str::to_owned),
            grace: Duration::from_secs(grace_secs),
        };
        assert_eq!(Configuration::parse(text).unwrap(), expected, "{text}");
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        assert_eq!(Configuration::parse(text).unwrap_err().to_string(), expected, "{text}");
    }

    #[test]
    fn what_is_left_out_is_as_the_host_has_it() {
        let (sites, admin) = ("127.0.0.1:8080", Some("127.0.0.1:8081"));
        check("", sites, admin, None, 30);
        check("[server]\nlisten = \"[::1]:80\"\nadmin = false\nshutdown_grace_secs = 2", "[::1]:80", None, None, 2);
        check("[engine.default]\nurl = \"tcp://x:1\"", sites, admin, Some("tcp://x:1"), 30);
    }

    #[test]
    fn an_address_is_an_address_with_a_port() {
        check_refused("[server]\nlisten = 8080", "`listen` of `[server]` is not an address with a port: 8080");
        check_refused("[server]\nlisten = false", "`listen` of `[server]` cannot be off");
        check_refused("[server]\nadmin = \"127.0.0.1:0\"", "`admin` of `[server]` leaves the port to the system, and nobody would know it");
    }

    #[test]
    fn an_address_that_is_taken_is_noticed_before_anything_is_built() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let configuration = Configuration { sites: taken.local_addr().unwrap(), admin: None, engine: None, grace: Duration::ZERO };
        let error = format!("{:#}", configuration.check_free().unwrap_err());
        assert!(error.contains("`listen` of `[server]`: end what listens there") && error.contains("in use"), "{error}");
    }
}
