//! Why the host did not do what a plugin asked for.
//!
//! Each package of the contract has an `error` of its own, all with the same words, which cannot grow within a version. They are therefore one type here:
//! a handler that reads settings and then asks the engine needs one `From` and not three.

/// Why a call was not carried out. Also known as `docker::Error`, `config::Error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The plugin's grants do not cover this object, which may or may not exist.
    #[error("the plugin's grants do not allow it")]
    Denied,
    /// There is no such object.
    #[error("not found")]
    NotFound,
    /// The arguments break a rule; the payload names the rule and the value.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The object's state does not allow it; the payload is the reason.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The other side (engine, client, file) did not answer; the payload says why. The same call may succeed later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The other side did not answer in time. What was asked for may still happen.
    #[error("no answer in time")]
    Timeout,
    /// A limit of the plugin was reached.
    #[error("a limit of the plugin was reached")]
    QuotaExceeded,
    /// The host or the other side failed, or answered what could not be understood. For the log; do not show it to a client.
    #[error("failed: {0}")]
    Internal(String),
}
