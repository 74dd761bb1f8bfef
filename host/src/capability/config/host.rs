//! The functions of `wharf:config/config`.

use std::path::Path;

use super::ConfigCtxView;
use crate::bindings::wharf::config::config::{Error, Host};
use crate::settings::SecretSource;

impl Host for ConfigCtxView<'_> {
    fn document(&mut self) -> String {
        self.settings.document.clone()
    }

    async fn reveal(&mut self, name: String) -> Result<String, Error> {
        const FUNCTION: &str = "config.config.reveal";
        self.call.begin(FUNCTION).map_err(|_| Error::QuotaExceeded)?;
        let source = self.settings.config.secrets.get(&name).ok_or(Error::NotFound)?;
        self.call.permitted(FUNCTION, &format!("secret {name}"));
        match source {
            SecretSource::File(path) => from_file(path).await,
            SecretSource::Env(variable) => from_environment(variable),
        }
    }
}

async fn from_file(path: &Path) -> Result<String, Error> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|error| Error::Unavailable(format!("failed to read the secret's file: {}", error.kind())))?;
    Ok(text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text).to_owned())
}

#[expect(clippy::disallowed_methods, reason = "a secret may be kept in an environment variable that wharf.toml names")]
fn from_environment(variable: &str) -> Result<String, Error> {
    std::env::var(variable).map_err(|_| Error::Unavailable("the secret's environment variable is not set".to_owned()))
}
