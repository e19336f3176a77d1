//! `headgate trust ...`.

use std::path::PathBuf;

use clap::Subcommand;
use hal::clock::Wall;

use super::{Context, Said, read_small, read_text};
use crate::judge::{Failure, Request};

#[derive(Debug, Subcommand)]
pub(super) enum Trust {
    /// The anchors.
    Show,
    /// Trust a public key: Ed25519 as PEM, 32 bytes or hexadecimal, or a minisign key.
    Add {
        /// The key file.
        key: PathBuf,
        /// A name for people.
        #[arg(long, value_parser = super::typed::line)]
        name: String,
        /// Whose firmware it may sign.
        #[arg(long, value_parser = super::typed::line)]
        vendor: String,
        /// Which models it may sign for; `*` for all of this vendor. May be repeated.
        #[arg(long, required = true, value_parser = super::typed::line)]
        model: Vec<String>,
        /// First moment of validity, 2026-11-22 or 2026-11-22T10:15Z.
        #[arg(long, value_name = "TIME")]
        from: Option<Wall>,
        /// First moment after its validity.
        #[arg(long, value_name = "TIME")]
        until: Option<Wall>,
    },
    /// No longer trust a key.
    Remove {
        /// Key id, from `trust show`.
        id: String,
    },
    /// The boot states the site has approved, and what each is good for now.
    BootStates {
        /// Remove this one; it could be installed again.
        #[arg(long, value_name = "ID")]
        forget: Option<String>,
    },
    /// Revoke every boot state approved so far, for good: the TPM's epoch moves on.
    RevokeBootStates {
        /// Although no approval for the next epoch is installed, so that the gate shuts.
        #[arg(long)]
        shut: bool,
    },
    /// Install an approval that `headgate site-key sign` wrote.
    ApprovePcrs {
        /// The approval file.
        approval: PathBuf,
    },
}

pub(super) fn trust(context: &Context, verb: Trust) -> Result<Said, Failure> {
    context.ask(&match verb {
        Trust::Show => Request::TrustShow,
        Trust::Add { key, name, vendor, model, from, until } => {
            Request::TrustAdd { key: read_small(&key)?, name, vendor, models: model, from, until }
        }
        Trust::Remove { id } => Request::TrustRemove { id },
        Trust::BootStates { forget: None } => Request::BootStates,
        Trust::BootStates { forget: Some(id) } => Request::ForgetBootState { id },
        Trust::RevokeBootStates { shut } => Request::RevokeBootStates { shut },
        Trust::ApprovePcrs { approval } => Request::TrustApprove { approval: read_text(&approval)? },
    })
}
