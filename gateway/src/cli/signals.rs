//! `headgate signals`.

use clap::Subcommand;

use super::{Context, Said, signals_file};
use crate::judge::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Signals {
    /// Run a recorded file through the detectors and say what they find. Needs no configuration and no gateway.
    Replay(signals_file::Replay),
    /// Draw what `replay` finds into an SVG file.
    Plot(signals_file::Plot),
}

pub(super) fn signals(context: &Context, verb: Signals) -> Result<Said, Failure> {
    match verb {
        Signals::Replay(v) => signals_file::replay(context, &v),
        Signals::Plot(v) => signals_file::plot(context, &v),
    }
}
