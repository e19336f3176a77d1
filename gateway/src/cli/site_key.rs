//! `headgate site-key new|sign`: for a machine that is not a gateway.

use std::path::PathBuf;

use clap::Subcommand;
use hal::tpm::{ApprovalRequest, SiteKey};
use serde_json::json;

use super::{Said, read_text, write_new};
use crate::judge::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum SiteKeyVerb {
    /// Make a site key: a private file to lock away, and a public one for every gateway.
    New {
        /// Private half; must not exist yet.
        #[arg(long, value_name = "FILE", default_value = "site.key")]
        key: PathBuf,
        /// Public half; must not exist yet.
        #[arg(long, value_name = "FILE", default_value = "site.pub")]
        public: PathBuf,
    },
    /// Approve the boot state that a gateway asks for. Look at the PCRs it prints.
    Sign {
        /// The gateway's request.
        request: PathBuf,
        /// Private half of the site key.
        #[arg(long, value_name = "FILE", default_value = "site.key")]
        key: PathBuf,
        /// Where to write the approval.
        #[arg(long, value_name = "FILE", default_value = "approval.json")]
        out: PathBuf,
    },
}

pub(super) fn site_key(verb: &SiteKeyVerb) -> Result<Said, Failure> {
    match verb {
        SiteKeyVerb::New { key, public } => {
            let pair = SiteKey::generate().map_err(|e| Failure::internal(e.to_string()))?;
            let pem = pair.to_pem().map_err(|e| Failure::internal(e.to_string()))?;
            write_new(key, pem.as_bytes(), true)?;
            write_new(public, pair.public().to_pem().as_bytes(), false)?;
            let words = format!(
                "site key written: {} (private: never bring it to a gateway) and {} (for headgate init)",
                key.display(),
                public.display()
            );
            Ok(Said::Words(words, json!({ "schema": 1, "key": key, "public": public })))
        }
        SiteKeyVerb::Sign { request, key, out } => {
            let request: ApprovalRequest = serde_json::from_str(&read_text(request)?)
                .map_err(|e| Failure::usage(format!("this is no approval request: {e}")))?;
            let key = SiteKey::from_pem(&read_text(key)?).map_err(|e| Failure::usage(e.to_string()))?;
            let approval = key.sign(&request).map_err(|e| Failure::internal(e.to_string()))?;
            let text =
                serde_json::to_string_pretty(&approval).map_err(|e| Failure::internal(e.to_string()))?;
            write_new(out, text.as_bytes(), false)?;
            let shown = serde_json::to_string_pretty(&request).unwrap_or_default();
            Ok(Said::Words(
                format!("approved:\n{shown}\nwritten: {}", out.display()),
                json!({ "schema": 1, "approval": out }),
            ))
        }
    }
}
