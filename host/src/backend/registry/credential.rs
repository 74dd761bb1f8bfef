//! With whose name the host asks a registry: read from where `[registry."host"]` says, used here and by pulls of the engine, and never seen by a plugin.
//!
//! Docker's `config.json` is read by `docker_credential`, for the one registry whose table names it. That crate runs a credential helper whenever the file mentions one; so unless `docker_config_helpers` allows
//! it, what mentions them is taken out first.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use docker_credential::{CredentialRetrievalError, DockerCredential};
use http::HeaderValue;
use serde_json::{Value, json};

use super::error::RegistryError;
use crate::backend::secret;
use crate::settings::CredentialSource;

/// Under which name `docker login` keeps the credential of Docker Hub.
const HUB_IN_DOCKER_CONFIG: &str = "https://index.docker.io/v1/";

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// By name and password.
    Password { username: String, password: String },
    /// By a token that a token server exchanges for others.
    IdentityToken(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credential(…)")
    }
}

impl Credential {
    /// Reads the credential of `registry`; none if Docker's file has none for it.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Credentials`], without anything secret.
    pub(super) async fn read(source: &CredentialSource, registry: &str) -> Result<Option<Credential>, RegistryError> {
        let failed = |reason: String| RegistryError::Credentials { registry: registry.to_owned(), reason };
        match source {
            CredentialSource::Password { username, password } => {
                let password = secret::read(password).await.map_err(failed)?;
                Ok(Some(Credential::Password { username: username.clone(), password }))
            }
            CredentialSource::IdentityToken(token) => Ok(Some(Credential::IdentityToken(secret::read(token).await.map_err(failed)?))),
            CredentialSource::DockerConfig { path, helpers } => from_docker_config(path.clone(), *helpers, registry).await.map_err(failed),
        }
    }

    /// The value of `Authorization`; none for a token that is not sent so, or a password that no header can hold.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let Credential::Password { username, password } = self else { return None };
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The value of `X-Registry-Auth`, by which an engine pulls in this name from `registry`.
    pub(super) fn for_engine(&self, registry: &str) -> String {
        let address = if registry == super::HUB { HUB_IN_DOCKER_CONFIG } else { registry };
        let document = match self {
            Credential::Password { username, password } => json!({"username": username, "password": password, "serveraddress": address}),
            Credential::IdentityToken(token) => json!({"identitytoken": token, "serveraddress": address}),
        };
        // Engines refuse the alphabet with `+` and `/`, and accept it for credentials that happen to have neither.
        URL_SAFE.encode(document.to_string())
    }
}

async fn from_docker_config(path: PathBuf, helpers: bool, registry: &str) -> Result<Option<Credential>, String> {
    let name = if registry == super::HUB { HUB_IN_DOCKER_CONFIG } else { registry }.to_owned();
    // A helper is a program that is waited for.
    let read = tokio::task::spawn_blocking(move || read_docker_config(&path, helpers, &name));
    read.await.map_err(|error| error.to_string())?
}

fn read_docker_config(path: &Path, helpers: bool, name: &str) -> Result<Option<Credential>, String> {
    let text = std::fs::read(path).map_err(|error| format!("failed to read `{}`: {}", path.display(), error.kind()))?;
    let mut document: Value = serde_json::from_slice(&text).map_err(|_| format!("`{}` is not JSON", path.display()))?;
    if let (false, Some(fields)) = (helpers, document.as_object_mut()) {
        fields.retain(|key, _| key != "credsStore" && key != "credHelpers");
    }
    match docker_credential::get_credential_from_reader(document.to_string().as_bytes(), name) {
        Ok(DockerCredential::UsernamePassword(username, password)) => Ok(Some(Credential::Password { username, password })),
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credential::IdentityToken(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // What a helper printed may be what it should have kept for itself.
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => Err(format!("the credential helper `{helper}` failed")),
        Err(other) => Err(format!("`{}`: {other}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_docker_config(text: &str, name: &str, expected: Result<Option<(&str, &str)>, &str>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let found =
            read_docker_config(file.path(), false, name).map_err(|error| error.replace(file.path().to_str().unwrap(), "config.json"));
        let expected = expected.map(|found| {
            found.map(|(username, password)| match username {
                "" => Credential::IdentityToken(password.to_owned()),
                _ => Credential::Password { username: username.to_owned(), password: password.to_owned() },
            })
        });
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn dockers_file_has_passwords_and_identity_tokens() {
        let auth = STANDARD.encode("ci:pass:word");
        let text = json!({"auths": {
            "localhost:5000": {"auth": auth},
            "https://index.docker.io/v1/": {"username": "me", "password": "hub"},
            "acr.example": {"auth": STANDARD.encode("x:"), "identitytoken": "refresh"},
        }})
        .to_string();
        check_docker_config(&text, "localhost:5000", Ok(Some(("ci", "pass:word"))));
        check_docker_config(&text, HUB_IN_DOCKER_CONFIG, Ok(Some(("me", "hub"))));
        check_docker_config(&text, "acr.example", Ok(Some(("", "refresh"))));
        check_docker_config(&text, "other.example", Ok(None));
    }

    #[test]
    fn a_helper_is_not_run_unless_that_is_allowed() {
        let helped = r#"{"credsStore": "wharf-test-absent", "credHelpers": {"a.example": "wharf-test-absent"}, "auths": {}}"#;
        check_docker_config(helped, "a.example", Ok(None));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), helped).unwrap();
        assert!(read_docker_config(file.path(), true, "a.example").is_err(), "the helper is not there");
    }

    #[test]
    fn a_broken_file_is_named_and_not_shown() {
        check_docker_config("{\"auths\": \"secret\"", "a.example", Err("`config.json` is not JSON"));
        check_docker_config(
            r#"{"auths": {"a.example": {"auth": "%%%secret"}}}"#,
            "a.example",
            Err("`config.json`: Unable to decode credential"),
        );
    }

    #[test]
    fn an_engine_gets_the_alphabet_that_it_reads() {
        let credential = Credential::Password { username: "ü>?".to_owned(), password: "~~~???>>>".to_owned() };
        let value = credential.for_engine("localhost:5000");
        assert!(!value.contains(['+', '/']), "{value}");
        let decoded: Value = serde_json::from_slice(&URL_SAFE.decode(value).unwrap()).unwrap();
        assert_eq!(decoded, json!({"username": "ü>?", "password": "~~~???>>>", "serveraddress": "localhost:5000"}));
        let hub = Credential::IdentityToken("t".to_owned()).for_engine("docker.io");
        let decoded: Value = serde_json::from_slice(&URL_SAFE.decode(hub).unwrap()).unwrap();
        assert_eq!(decoded, json!({"identitytoken": "t", "serveraddress": HUB_IN_DOCKER_CONFIG}));
    }

    #[test]
    fn a_credential_is_not_printed() {
        assert_eq!(format!("{:?}", Credential::IdentityToken("secret".to_owned())), "Credential(…)");
    }
}
