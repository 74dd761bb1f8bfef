//! Secrets that the configuration names: where they are kept is settings, what they are is read when they are used, so that a file may be rotated under a running host.
//!
//! Nothing here logs, and no error has a part of a secret.

use std::path::Path;

use crate::settings::SecretSource;

/// The secret at `source`. The trailing line break of a file is not part of it.
///
/// # Errors
///
/// Why it cannot be read.
pub(crate) async fn read(source: &SecretSource) -> Result<String, String> {
    match source {
        SecretSource::File(path) => from_file(path).await,
        SecretSource::Env(variable) => from_environment(variable),
    }
}

async fn from_file(path: &Path) -> Result<String, String> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|error| format!("failed to read the secret's file: {}", error.kind()))?;
    Ok(text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text).to_owned())
}

#[expect(clippy::disallowed_methods, reason = "a secret may be kept in an environment variable that wharf.toml names")]
fn from_environment(variable: &str) -> Result<String, String> {
    std::env::var(variable).map_err(|_| "the secret's environment variable is not set".to_owned())
}
