//! Whether a container that was started is any good: it runs for a while without a restart, and becomes healthy if it has a check.
//!
//! An engine that is restarted takes its containers with it, the good ones too. So a container that stopped while the engine was out of reach is started once more, and its time begins again.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{Pace, raw};
use crate::backend::engine::{ContainerId, Engine, EngineError};

/// What is expected of a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// How long it must run without a restart.
    pub(super) settle: Duration,
    /// How long it may take to become healthy; none is what its own check allows, and [`MARGIN`].
    pub(super) healthy: Option<Duration>,
}

/// Why a container is no good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What it did.
    Bad(String),
    /// Nobody can tell: the engine does not answer.
    Unknown(EngineError),
}

/// What is added to the time that a health check allows itself.
const MARGIN: Duration = Duration::from_secs(30);
/// What engines take where a check says nothing.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;
/// How often a container may be started anew by others than its restart policy: by an engine that is restarted, or a person.
const MAX_STARTS: u32 = 3;
/// How much is told of what a health check said last.
const MAX_OUTPUT_CHARACTERS: usize = 200;

/// Watches the container `id`, which was started, until it is `expected`.
pub(super) async fn verify(engine: &Engine, id: &ContainerId, expected: Expected, pace: &Pace) -> Result<(), Verdict> {
    let began = Instant::now();
    let mut watched = Watched { began, settled_from: began, started_at: None, starts: 0, out_of_reach: None, lost: false };
    loop {
        match engine.container(id.as_str()).await {
            Ok(container) => {
                watched.out_of_reach = None;
                match watched.judge(&container, expected)? {
                    Judgement::Good => return Ok(()),
                    Judgement::Wait => {}
                    Judgement::StartAgain => {
                        engine.start(id).await.map_err(|error| Verdict::Bad(format!("it does not start again: {error}")))?
                    }
                }
            }
            Err(EngineError::NotFound(_)) => return Err(Verdict::Bad("it is gone".to_owned())),
            Err(error) => {
                watched.lost = true;
                let since = *watched.out_of_reach.get_or_insert_with(Instant::now);
                if since.elapsed() >= pace.patience {
                    return Err(Verdict::Unknown(error));
                }
            }
        }
        sleep(pace.poll).await;
    }
}

struct Watched {
    began: Instant,
    /// Since when it has run without a restart.
    settled_from: Instant,
    started_at: Option<String>,
    starts: u32,
    /// Since when the engine does not answer.
    out_of_reach: Option<Instant>,
    /// Whether it did not answer, and what happened then is not the container's fault.
    lost: bool,
}

enum Judgement {
    Good,
    Wait,
    StartAgain,
}

impl Watched {
    fn judge(&mut self, container: &Value, expected: Expected) -> Result<Judgement, Verdict> {
        let bad = |reason: String| Err(Verdict::Bad(reason));
        let state = |key: &str| format!("/State/{key}");
        let restarts = raw::number(container, "/RestartCount");
        if !raw::is_running(container) && !raw::flag(container, &state("Restarting")) {
            if self.lost && self.starts < MAX_STARTS {
                (self.lost, self.starts) = (false, self.starts + 1);
                return Ok(Judgement::StartAgain);
            }
            let (code, error) = (raw::number(container, &state("ExitCode")), raw::text(container, &state("Error")));
            let reason = if error.is_empty() { String::new() } else { format!(": {error}") };
            return bad(format!("it exited with code {code}{reason}"));
        }
        let started_at = raw::text(container, &state("StartedAt"));
        if self.started_at.as_deref() != Some(started_at) {
            if self.started_at.is_some() {
                self.starts += 1;
                self.settled_from = Instant::now();
            }
            self.started_at = Some(started_at.to_owned());
        }
        if restarts > 0 || raw::flag(container, &state("Restarting")) {
            return bad(format!("it exited with code {} and was restarted", raw::number(container, &state("ExitCode"))));
        }
        if self.starts > MAX_STARTS {
            return bad("it was started again and again".to_owned());
        }
        let healthy = match raw::text(container, &state("Health/Status")) {
            "" | "none" | "healthy" => true,
            "unhealthy" => {
                let said = raw::items(container, &state("Health/Log")).last().map(|probe| raw::text(probe, "/Output").trim());
                let said: String = said.unwrap_or_default().chars().take(MAX_OUTPUT_CHARACTERS).collect();
                return bad(if said.is_empty() { "it is unhealthy".to_owned() } else { format!("it is unhealthy: {said}") });
            }
            _ => false,
        };
        let limit = expected.healthy.unwrap_or_else(|| patience_of_check(container));
        if !healthy && self.began.elapsed() >= limit.max(expected.settle) {
            return bad(format!("it did not become healthy within {} s", limit.max(expected.settle).as_secs_f64()));
        }
        let settled = self.settled_from.elapsed() >= expected.settle;
        Ok(if settled && healthy { Judgement::Good } else { Judgement::Wait })
    }
}

/// How long the health check of a container lets it be before it is unhealthy, and [`MARGIN`].
fn patience_of_check(container: &Value) -> Duration {
    let part = |key: &str| u64::try_from(raw::number(container, &format!("/Config/Healthcheck/{key}"))).unwrap_or_default();
    let time = |key: &str, default: Duration| Some(part(key)).filter(|nanos| *nanos > 0).map_or(default, Duration::from_nanos);
    let retries = u32::try_from(part("Retries")).ok().filter(|retries| *retries > 0).unwrap_or(RETRIES);
    let each = time("Interval", INTERVAL).saturating_add(time("Timeout", TIMEOUT));
    time("StartPeriod", Duration::ZERO).saturating_add(each.saturating_mul(retries)).saturating_add(MARGIN)
}
