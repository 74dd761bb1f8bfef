//! Why a question was not answered: all of it for the operator's log, one word for the plugin.

use super::super::call::{CallContext, Denied, QuotaExceeded};
use crate::backend::catalog::CatalogError;
use crate::backend::docker_hub::HubError;
use crate::backend::operations::OperationError;
use crate::backend::registry::RegistryError;
use crate::bindings::wharf::registry::types::Error;

/// Why a question was not answered.
#[derive(Debug)]
pub(super) enum Failure {
    /// The host calls of this request are used up.
    Quota,
    /// The grant does not cover it.
    Denied(Denied),
    /// It is no reference, or no platform.
    Invalid(String),
    /// The registry, or the way there.
    Registry(RegistryError),
    /// Docker Hub, or whoever searches it.
    Hub(HubError),
    /// A catalogue.
    Catalog(CatalogError),
    /// A download was not begun.
    Operation(OperationError),
    /// The host.
    Internal(String),
}

impl From<QuotaExceeded> for Failure {
    fn from(_: QuotaExceeded) -> Failure {
        Failure::Quota
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Failure {
        Failure::Denied(denied)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        Failure::Registry(error)
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Failure {
        Failure::Hub(error)
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Failure {
        Failure::Catalog(error)
    }
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Failure {
        Failure::Operation(error)
    }
}

impl Failure {
    /// The plugin's word for it. A refusal goes into the audit log first, that of the host to go somewhere too.
    pub(super) fn answer(self, call: &CallContext, function: &'static str) -> Error {
        match self {
            Failure::Quota => Error::QuotaExceeded,
            Failure::Denied(denied) => {
                call.refused(function, &denied);
                Error::Denied
            }
            Failure::Invalid(rule) => Error::Invalid(rule),
            Failure::Registry(RegistryError::NotFound) | Failure::Hub(HubError::NotFound) | Failure::Catalog(CatalogError::NotFound) => {
                Error::NotFound
            }
            Failure::Registry(RegistryError::Timeout(_))
            | Failure::Hub(HubError::Timeout(_))
            | Failure::Catalog(CatalogError::Timeout(_)) => Error::Timeout,
            Failure::Hub(HubError::Unavailable { word, reason }) | Failure::Catalog(CatalogError::Unavailable { word, reason }) => {
                Error::Unavailable(format!("{word}: {reason}"))
            }
            Failure::Registry(error) => {
                if let RegistryError::Refused(reason) = &error
                    && tracing::enabled!(target: "audit", tracing::Level::WARN)
                    && call.lines.admits()
                {
                    tracing::warn!(target: "audit", function, reason, "did not connect");
                }
                Error::Unavailable(format!("{}: {error}", error.word()))
            }
            Failure::Operation(error @ OperationError::TooMany { .. }) => {
                tracing::warn!(function, %error, "refused an operation");
                Error::QuotaExceeded
            }
            Failure::Operation(error @ OperationError::Taken { .. }) => Error::Conflict(error.to_string()),
            // Those of operations that were begun, which nobody waits for here.
            Failure::Operation(error @ (OperationError::Deadline { .. } | OperationError::Panicked)) => Error::Internal(error.to_string()),
            Failure::Internal(reason) => Error::Internal(reason),
        }
    }
}
