//! Moments around writes to the TPM's permanent memory, so that a test can cut the power at each.

use std::sync::Arc;

use super::error::TpmError;

/// A moment around a write to the TPM's permanent memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The command, as Part 3 names it.
    pub command: &'static str,
    /// False before the command, true after it.
    pub done: bool,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", if self.done { "after" } else { "before" }, self.command)
    }
}

/// Called before and after each write; an error stops there, as a power cut would. For tests.
pub type Steps = Arc<dyn Fn(Step) -> Result<(), TpmError> + Send + Sync>;

/// Runs one write between its two moments.
pub(super) fn write(
    steps: &Steps,
    command: &'static str,
    run: impl FnOnce() -> Result<(), TpmError>,
) -> Result<(), TpmError> {
    steps(Step { command, done: false })?;
    run()?;
    steps(Step { command, done: true })
}
