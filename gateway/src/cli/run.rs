//! `headgate run`.

use super::{Context, Said};
use crate::judge::Failure;

pub(super) fn run(context: &Context) -> Result<Said, Failure> {
    let config = context.to_run()?;
    let filter = tracing_subscriber::EnvFilter::try_from_env("HEADGATE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,rumqttc_v5=off"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    // A broker's file that is missing must not keep process traffic from passing: the feed says so, and tries again.
    if let Err(e) = config.find_files() {
        tracing::error!(error = %e, "a file of the configuration is missing or not what it should be");
    }
    // One thread serves every conduit: requests cross no thread on their way.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::internal(e.to_string()))?;
    runtime.block_on(crate::app::run(config))?;
    Ok(Said::Nothing)
}
