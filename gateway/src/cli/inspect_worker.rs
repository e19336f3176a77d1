//! `headgate inspect-worker`: not for people. The gateway starts it on an image that nobody trusts yet.
//!
//! It shuts itself in before it reads a byte, and answers on stdout (`hal::sandbox`). With `--attempt` it tries what it must
//! not get away with instead: the self-test of the sandbox.

use std::io::Write;

use clap::Args;
use hal::sandbox::{self, Attempt};

use super::Said;
use crate::inspect;
use crate::judge::Failure;

#[derive(Debug, Args)]
pub(super) struct InspectWorker {
    /// Bytes of memory it may use.
    #[arg(long)]
    memory: u64,
    /// Seconds it may compute.
    #[arg(long)]
    cpu: u64,
    /// What to try.
    #[arg(long, value_name = "WHAT", value_parser = attempt)]
    attempt: Option<Attempt>,
}

fn attempt(word: &str) -> Result<Attempt, String> {
    let found = Attempt::ALL.iter().find(|(name, _)| *name == word);
    found.map(|(_, attempt)| *attempt).ok_or_else(|| "no such attempt".into())
}

pub(super) fn work(of: &InspectWorker) -> Result<Said, Failure> {
    let confined =
        sandbox::enter(of.memory, of.cpu).map_err(|e| Failure::internal(format!("sandbox: {e}")))?;
    match of.attempt {
        Some(attempt) => match attempt.play(&confined) {
            Ok(done) => Ok(Said::Words(done, serde_json::Value::Null)),
            Err(e) => Err(Failure::internal(format!("refused: {e}"))),
        },
        None => {
            let report = inspect::work(&confined, std::io::stdin().lock());
            let said = report.and_then(|report| std::io::stdout().lock().write_all(&report));
            said.map(|()| Said::Nothing).map_err(|e| Failure::internal(e.to_string()))
        }
    }
}
