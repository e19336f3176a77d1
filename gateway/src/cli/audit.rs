//! `headgate audit`.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Context, Said, read_text};
use crate::judge::rows::{AuditReport, AuditRow};
use crate::judge::{Failure, Request};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// The last entries.
    List {
        /// How many.
        #[arg(long, default_value_t = 50)]
        last: u64,
    },
    /// Read the whole log and check every hash and signature.
    Verify {
        /// A checkpoint that was kept elsewhere: the log must continue it. Tells a box that was put back in time, TPM and
        /// all.
        #[arg(long, value_name = "CHECKPOINT")]
        against: Option<PathBuf>,
    },
    /// Write the log, its checkpoints and its key into a new folder, for whoever checks it with other tools.
    Export {
        /// The folder; it must not be there.
        to: PathBuf,
    },
    /// Set a damaged log aside and begin another, so that the gate can open.
    SetAside {
        /// Why, for the new log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

pub(super) fn audit(context: &Context, verb: Audit) -> Result<Said, Failure> {
    context.ask(&match verb {
        Audit::List { last } => Request::AuditList { last },
        Audit::Verify { against } => {
            Request::AuditVerify { against: against.as_deref().map(read_checkpoint).transpose()? }
        }
        Audit::Export { to } => {
            // The gateway that runs has another working folder.
            let to =
                std::path::absolute(&to).map_err(|e| Failure::usage(format!("{}: {e}", to.display())))?;
            Request::AuditExport { to }
        }
        Audit::SetAside { reason } => Request::AuditSetAside { reason },
    })
}

/// The entries on lines of their own.
pub(super) fn list(entries: &[AuditRow]) -> String {
    let line = |e: &AuditRow| {
        let code = e.code.map_or(String::new(), |code| format!(" {code}"));
        let digest = e.digest.as_ref().map_or(String::new(), |digest| format!(" sha256:{}", &digest[..12]));
        let count = if e.count > 1 { format!(" ({} times)", e.count) } else { String::new() };
        format!(
            "{:>6} {} {:<18} {} {}{code}{digest}: {}{count}\n",
            e.n, e.at, e.kind, e.actor, e.subject, e.text
        )
    };
    entries.iter().map(line).collect()
}

/// What a whole log has.
pub(super) fn report(r: &AuditReport) -> String {
    format!(
        "whole: {} entries, {} checkpoints; {} entries are newer than the newest of them\nroot {}\n{}",
        r.entries,
        r.checkpoints,
        r.beyond,
        r.root,
        r.checkpoint.as_deref().unwrap_or("no checkpoint yet")
    )
}

/// A checkpoint as an export has it, or as the broker keeps it: then it is a field of JSON.
fn read_checkpoint(path: &Path) -> Result<String, Failure> {
    let text = read_text(path)?;
    let published = serde_json::from_str::<serde_json::Value>(&text).ok();
    let note =
        published.as_ref().and_then(|message| message.get("checkpoint")).and_then(|note| note.as_str());
    Ok(note.map_or(text.clone(), str::to_owned))
}
