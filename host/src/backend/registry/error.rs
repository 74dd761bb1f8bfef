//! What can go wrong between the host and a registry, and which word each of these is to a plugin.
//!
//! Sorted by status and by where the wire broke, never by the text of a message. An error belongs to one image: nothing here ends the work on the others.

use std::time::Duration;

/// Why a registry did not answer what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RegistryError {
    /// 404.
    #[error("the registry does not have it")]
    NotFound,
    /// 401, after credentials or a token, or without a way to get one. Docker Hub says so of repositories that do not exist, too.
    #[error("the registry wants other credentials: {0}")]
    Unauthorized(String),
    /// 403.
    #[error("the registry refuses: {0}")]
    Forbidden(String),
    /// 429, or a 503 that says when to come again.
    #[error("the registry answers no more for now{}", shown(.retry_after))]
    RateLimited {
        /// How long the registry wants to be left alone; none if it did not say.
        retry_after: Option<Duration>,
    },
    /// No connection, or one that broke, or a 502, 503 or 504 of something between us and the registry.
    #[error("the registry is not reachable: {0}")]
    Unreachable(String),
    /// Nothing arrived for as long as we wait.
    #[error("the registry did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The host does not go there: see `outbound.rs`.
    #[error("the host does not connect there: {0}")]
    Refused(String),
    /// The certificate is not valid, or nobody whom we trust has signed it.
    #[error("the registry's certificate is not accepted: {0}")]
    Certificate(String),
    /// A redirect that leads nowhere, or in circles.
    #[error("the registry redirects without end or sense: {0}")]
    Redirected(String),
    /// The answer to a `HEAD` names no digest. The manifest itself would, but fetching it counts as a pull, and nobody asked for that.
    #[error("the registry does not say the digest, and only a pull would tell")]
    NoDigest,
    /// What arrived is not what its digest says.
    #[error("the content has the digest {actual}, expected {expected}")]
    DigestMismatch {
        /// What was asked for, or what the registry's header says.
        expected: String,
        /// That of the bytes, or of the header where there are no bytes.
        actual: String,
    },
    /// An answer that no registry gives, such as the page of a hotel's network.
    #[error("this is no registry's answer: {0}")]
    NotARegistry(String),
    /// A registry's answer that we cannot read, such as a manifest that is cut off.
    #[error("the registry's answer makes no sense: {0}")]
    Unintelligible(String),
    /// The index has nothing for the platform.
    #[error("there is no image for {wanted}, only for {offered}")]
    NoPlatform {
        /// The platform that was asked for.
        wanted: String,
        /// Those that there are, with commas between them; `none` when there is none.
        offered: String,
    },
    /// The answer is longer than the host holds.
    #[error("the registry's answer is longer than {limit_bytes} bytes")]
    TooLong {
        /// The most that the host holds.
        limit_bytes: usize,
    },
    /// Any other status.
    #[error("the registry failed with status {status}: {reason}")]
    Failed {
        /// The status.
        status: u16,
        /// The registry's words; empty for a `HEAD`.
        reason: String,
    },
    /// The credentials of this registry cannot be read.
    #[error("failed to read the credentials of registry `{registry}`: {reason}")]
    Credentials {
        /// The registry.
        registry: String,
        /// Why, without anything secret.
        reason: String,
    },
}

fn shown(retry_after: &Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |after| format!(", and says to come again in {} s", after.as_secs()))
}

impl RegistryError {
    /// The name of the error, for those who decide by it: one word of the contract.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            RegistryError::NotFound => "not-found",
            RegistryError::Unauthorized(_) => "unauthorized",
            RegistryError::Forbidden(_) => "forbidden",
            RegistryError::RateLimited { .. } => "rate-limited",
            RegistryError::Unreachable(_) => "unreachable",
            RegistryError::Timeout(_) => "timeout",
            RegistryError::Refused(_) => "refused",
            RegistryError::Certificate(_) => "certificate",
            RegistryError::Redirected(_) => "redirected",
            RegistryError::NoDigest => "no-digest",
            RegistryError::DigestMismatch { .. } => "digest-mismatch",
            RegistryError::NotARegistry(_) => "not-a-registry",
            RegistryError::Unintelligible(_) => "unintelligible",
            RegistryError::NoPlatform { .. } => "no-platform",
            RegistryError::TooLong { .. } => "too-long",
            RegistryError::Failed { .. } => "failed",
            RegistryError::Credentials { .. } => "credentials",
        }
    }

    /// The error that `status` stands for. `reason` is what the registry said, `retry_after` when to come again.
    pub(super) fn of_status(status: u16, reason: String, retry_after: Option<Duration>) -> RegistryError {
        match status {
            401 => RegistryError::Unauthorized(reason),
            403 => RegistryError::Forbidden(reason),
            404 => RegistryError::NotFound,
            429 => RegistryError::RateLimited { retry_after },
            503 if retry_after.is_some() => RegistryError::RateLimited { retry_after },
            502..=504 => RegistryError::Unreachable(format!("status {status} {reason}").trim_end().to_owned()),
            _ => RegistryError::Failed { status, reason },
        }
    }
}
