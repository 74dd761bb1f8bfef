//! `wharf serve`.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServeArguments;
use super::logging::{self, Log};
use crate::serve::{Options, Running, start_with};
use crate::settings;

pub(super) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.config.config;
    let settings = settings::load(path)?;
    // Declared first, so that it is the last to go.
    let mut log = logging::start(settings.server.log_format, &settings.server.log_filter);
    let options = Options { site: arguments.site.clone(), bench_routes: arguments.bench_routes };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything is started: a signal that nobody handles yet ends the process.
        let mut signals = Signals::listen()?;
        let running = start_with(path, settings, options).await?;
        signals.serve_until_stopped(&running, &mut log).await;
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// What an operator can tell the process.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let hang_up = signal(SignalKind::hangup())?;
        Ok(Signals { interrupt, terminate, hang_up })
    }

    /// Serves until SIGINT or SIGTERM; SIGHUP reads the configuration again.
    async fn serve_until_stopped(&mut self, running: &Running, log: &mut Log) {
        let mut lost = std::pin::pin!(log.report_lost());
        let mut reported = std::pin::pin!(running.report_engines());
        let mut is_reported = false;
        loop {
            tokio::select! {
                () = &mut reported, if !is_reported => is_reported = true,
                () = &mut lost => return,
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hang_up.recv() => drop(running.reload().await),
            }
        }
    }
}
