//! The six ways in which a call ends, and what the client hears of each. The only place that maps them to statuses.

use std::time::Duration;

use axum::body::Body;
use http::{Response, StatusCode};

use super::meter::CpuExceeded;

/// How a call ended.
pub(crate) enum Outcome {
    /// The plugin answered; the response is the plugin's own.
    Answered(Response<Body>),
    /// The plugin returned an error or a response that cannot be sent. 500.
    GuestError(String),
    /// The plugin trapped. 500.
    Trap(TrapKind, String),
    /// The call used up its wall time or its processor time. 504.
    Deadline(DeadlineKind),
    /// Too many requests at once. 503 with Retry-After.
    OverCapacity,
    /// The plugin is not there: it could not be loaded, no instance of it could be made, or it fails each time and is left alone. 503.
    NotLoaded {
        /// Why, for the log.
        reason: String,
        /// When it is asked again; none if only a change of the configuration helps.
        retry_after: Option<Duration>,
    },
}

/// What made a guest trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrapKind {
    /// It ran into its memory limit before.
    Memory,
    /// It recursed too deeply.
    Stack,
    /// It panicked, or reached what its compiler thought unreachable.
    Unreachable,
    /// It left by `exit`.
    Exit,
    /// Anything else: an access out of bounds, a division by zero.
    Other,
}

/// Which time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeadlineKind {
    /// `deadline_ms` or `stream_deadline_ms`.
    Wall,
    /// `cpu_ms`.
    Cpu,
}

/// What the host answers in the plugin's place: a problem document's parts (RFC 9457).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    /// When the same request may succeed.
    pub(crate) retry_after: Option<Duration>,
}

impl Outcome {
    /// Sorts what wasmtime answered for a call that did not return. `out_of_memory`: the instance was refused memory.
    pub(crate) fn of_error(error: &wasmtime::Error, out_of_memory: bool) -> Outcome {
        if error.downcast_ref::<CpuExceeded>().is_some() {
            return Outcome::Deadline(DeadlineKind::Cpu);
        }
        let kind = match error.downcast_ref::<wasmtime::Trap>() {
            _ if out_of_memory => TrapKind::Memory,
            Some(wasmtime::Trap::StackOverflow) => TrapKind::Stack,
            Some(wasmtime::Trap::UnreachableCodeReached) => TrapKind::Unreachable,
            _ if error.downcast_ref::<wasmtime_wasi::I32Exit>().is_some() => TrapKind::Exit,
            _ => TrapKind::Other,
        };
        Outcome::Trap(kind, format!("{error:#}"))
    }

    /// The kind under which `/metrics` counts it among the traps; none for what is no trap.
    pub(crate) fn trap_kind(&self) -> Option<&'static str> {
        match self {
            Outcome::Trap(TrapKind::Memory, _) => Some("memory"),
            Outcome::Trap(TrapKind::Stack, _) => Some("stack"),
            Outcome::Trap(TrapKind::Unreachable, _) => Some("unreachable"),
            Outcome::Trap(TrapKind::Exit, _) => Some("exit"),
            Outcome::Trap(TrapKind::Other, _) => Some("other"),
            Outcome::Deadline(DeadlineKind::Wall) => Some("deadline"),
            Outcome::Deadline(DeadlineKind::Cpu) => Some("cpu"),
            Outcome::Answered(_) | Outcome::GuestError(_) | Outcome::OverCapacity | Outcome::NotLoaded { .. } => None,
        }
    }

    /// The plugin's response, or what the host answers instead. Writes what the client is not told to the log.
    pub(crate) fn into_response(self) -> Result<Response<Body>, Problem> {
        let problem = |status, title| Problem { status, title, retry_after: None };
        Err(match self {
            Outcome::Answered(response) => return Ok(response),
            Outcome::GuestError(reason) => {
                tracing::error!(reason, "the plugin answered an error");
                problem(StatusCode::INTERNAL_SERVER_ERROR, "The plugin failed")
            }
            Outcome::Trap(kind, reason) => {
                tracing::error!(?kind, reason, "the plugin trapped");
                problem(StatusCode::INTERNAL_SERVER_ERROR, "The plugin failed")
            }
            Outcome::Deadline(kind) => {
                let limit = match kind {
                    DeadlineKind::Wall => "deadline_ms",
                    DeadlineKind::Cpu => "cpu_ms",
                };
                tracing::error!(limit, "the plugin did not answer within its limit");
                problem(StatusCode::GATEWAY_TIMEOUT, "The plugin did not answer in time")
            }
            Outcome::OverCapacity => {
                tracing::warn!("refused a request over the limits `concurrency`, `queue` and `queue_ms`");
                let retry_after = Some(Duration::from_secs(1));
                Problem { retry_after, ..problem(StatusCode::SERVICE_UNAVAILABLE, "The plugin is busy") }
            }
            Outcome::NotLoaded { reason, retry_after } => {
                tracing::error!(reason, "the plugin is not available");
                Problem { retry_after, ..problem(StatusCode::SERVICE_UNAVAILABLE, "The plugin is not available") }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(outcome: Outcome, status: u16, retry_after: bool, counted_as: Option<&str>) {
        assert_eq!(outcome.trap_kind(), counted_as);
        let problem = outcome.into_response().unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.retry_after.is_some()), (status, retry_after));
    }

    #[test]
    fn each_outcome_has_its_status() {
        check(Outcome::GuestError(String::new()), 500, false, None);
        check(Outcome::Trap(TrapKind::Stack, String::new()), 500, false, Some("stack"));
        check(Outcome::Deadline(DeadlineKind::Wall), 504, false, Some("deadline"));
        check(Outcome::Deadline(DeadlineKind::Cpu), 504, false, Some("cpu"));
        check(Outcome::OverCapacity, 503, true, None);
        let not_loaded = |retry_after| Outcome::NotLoaded { reason: String::new(), retry_after };
        check(not_loaded(None), 503, false, None);
        check(not_loaded(Some(Duration::from_secs(2))), 503, true, None);
    }
}
