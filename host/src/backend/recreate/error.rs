//! Why a container is not recreated, or was not.

use crate::backend::engine::EngineError;
use crate::backend::operations::OperationError;

/// Why a recreation does not begin.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RecreateError {
    /// The container, or its state, does not allow it; or the journal does not.
    #[error("{0}")]
    Refused(String),
    /// It would take another container along, which the grant does not cover.
    #[error("the container `{dependent}` depends on it and would be recreated too")]
    NotCovered {
        /// The name of the other one.
        dependent: String,
    },
    /// The engine did not answer what was asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The host does not begin it.
    #[error(transparent)]
    Host(#[from] OperationError),
}

/// Why a recreation failed, and what is there now. It is told again after a restart of the host, so that it is text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct RecreationFailure {
    pub(crate) word: FailureWord,
    /// For people. It ends with what became of the old container.
    pub(crate) reason: String,
}

/// What kind of failure it is, by the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FailureWord {
    NotFound,
    Invalid,
    Conflict,
    Unavailable,
    Timeout,
    Internal,
}

impl FailureWord {
    /// The word for what an engine says.
    pub(crate) fn of_engine(error: &EngineError) -> FailureWord {
        match error {
            EngineError::NotFound(_) => FailureWord::NotFound,
            EngineError::Conflict(_) => FailureWord::Conflict,
            EngineError::Invalid(_) | EngineError::TooOld { .. } => FailureWord::Invalid,
            EngineError::Unavailable(_) | EngineError::Lost(_) => FailureWord::Unavailable,
            EngineError::Timeout(_) => FailureWord::Timeout,
            EngineError::Failed { .. } | EngineError::Unintelligible(_) | EngineError::TooLong { .. } => FailureWord::Internal,
        }
    }
}
