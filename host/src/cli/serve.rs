//! `wharf serve`.
//!
//! The first SIGINT or SIGTERM stops in order, at whatever moment it comes: while plugins are being loaded, while the configuration is read again. A second one, of an operator who has waited long enough
//! or a supervisor that is about to kill, ends the process at once. SIGHUPs that come during a reload are one, which is served when that is done.

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServeArguments;
use super::logging::{self, Log};
use crate::serve::{Options, Running, start_with};
use crate::settings::{self, Settings};

pub(super) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.config.config;
    let settings = settings::load(path)?;
    // Declared first, so that it is the last to go.
    let mut log = logging::start(settings.server.log_format, &settings.server.log_filter);
    let options = Options { site: arguments.site.clone(), bench_routes: arguments.bench_routes };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(path, settings, options, &mut log));
    // What a thread may still compile or read, nobody waits for; dropping the runtime would.
    runtime.shutdown_background();
    ended
}

async fn serve(path: &Path, settings: Settings, options: Options, log: &mut Log) -> anyhow::Result<ExitCode> {
    // Before anything is started: a signal that nobody handles yet ends the process.
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        running = start_with(path, settings, options) => running?,
        () = signals.stop.asked() => {
            tracing::info!("stopped before anything was served");
            return Ok(ExitCode::SUCCESS);
        }
    };
    signals.serve_until_stopped(&running, log).await;
    tokio::select! {
        () = running.stop() => Ok(ExitCode::SUCCESS),
        () = signals.stop.asked() => {
            tracing::warn!("stopping at once, at a second signal: what is under way is cut off");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What an operator can tell the process.
struct Signals {
    stop: StopSignals,
    hang_up: Signal,
}

struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        let stop = StopSignals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
        Ok(Signals { stop, hang_up: signal(SignalKind::hangup())? })
    }

    /// Serves until SIGINT or SIGTERM; SIGHUP reads the configuration again.
    async fn serve_until_stopped(&mut self, running: &Running, log: &mut Log) {
        let mut lost = std::pin::pin!(log.report_lost());
        let mut reported = std::pin::pin!(async { tokio::join!(running.report_engines(), running.report_storage()) });
        let mut is_reported = false;
        loop {
            tokio::select! {
                _ = &mut reported, if !is_reported => is_reported = true,
                () = &mut lost => return,
                () = self.stop.asked() => return,
                _ = self.hang_up.recv() => tokio::select! {
                    _ = running.reload() => {}
                    () = self.stop.asked() => return,
                },
            }
        }
    }
}

impl StopSignals {
    /// Waits for SIGINT or SIGTERM.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
