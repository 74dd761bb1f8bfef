//! `wharf serve`.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{ServeArguments, logging};
use crate::serve::{Options, Running, start_with};
use crate::settings;

pub(super) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.config.config;
    let settings = settings::load(path)?;
    logging::start(settings.server.log_format, &settings.server.log_filter);
    let options = Options { site: arguments.site.clone(), bench_routes: arguments.bench_routes };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = start_with(path, settings, options).await?;
        until_stopped(&running).await?;
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Serves until SIGINT or SIGTERM; SIGHUP reads the configuration again.
async fn until_stopped(running: &Running) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut reported = std::pin::pin!(running.report_engines());
    let mut is_reported = false;
    loop {
        tokio::select! {
            () = &mut reported, if !is_reported => is_reported = true,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => drop(running.reload().await),
        }
    }
}
