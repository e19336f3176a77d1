//! `headgate config check|digest|approve`.

use std::path::PathBuf;

use aws_lc_rs::rand;
use clap::Subcommand;
use firmware_verifier::document::{ConfigApproval, Document, DocumentId, Moment};
use hal::clock::{Clock, Wall};
use serde_json::json;

use super::trust::read_envelope;
use super::{Context, Said, print, write_new};
use crate::config::Config;
use crate::judge::rows::ConfigRow;
use crate::judge::{Answered, Failure, Request};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Read and check everything; say what is wrong and where.
    Check,
    /// The digest of the files and profiles, what differs from the approved configuration, and what of it weakens
    /// enforcement.
    Digest {
        /// Write an approval of it for the approvers to sign.
        #[arg(long, value_name = "FILE", requires = "reason")]
        draft: Option<PathBuf>,
        /// Why; approvers and the audit log read it.
        #[arg(long, value_parser = super::typed::line)]
        reason: Option<String>,
        /// Write the canonical form that is digested: sha256sum of it is the digest.
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take the approvers' signatures: what the files say now is the approved configuration from here on.
    Approve {
        /// The approval that `config digest --draft` wrote, signed with `sign-document`.
        approval: PathBuf,
    },
}

pub(super) fn config(context: &Context, verb: ConfigVerb) -> Result<Said, Failure> {
    match verb {
        ConfigVerb::Check => check(context),
        ConfigVerb::Digest { draft, reason, out } => digest(context, draft, reason, out),
        ConfigVerb::Approve { approval } => {
            let config = context.load_whole()?;
            let (approval, document) = (read_envelope(&approval)?, document(&config)?);
            context.ask(&Request::ConfigApprove { approval, document })
        }
    }
}

fn check(context: &Context) -> Result<Said, Failure> {
    let config = context.load_whole()?;
    let routes: usize = config.plcs.iter().map(|p| p.routes.len()).sum();
    if !context.json {
        config.warnings.iter().for_each(|warning| print::warning(warning));
    }
    let words = format!("good: gateway {}, {} controllers, {routes} routes", config.name, config.plcs.len());
    Ok(Said::Words(
        words,
        json!({
            "schema": 1, "gateway": config.name, "controllers": config.plcs.len(), "routes": routes,
            "warnings": config.warnings,
        }),
    ))
}

fn digest(
    context: &Context,
    draft: Option<PathBuf>,
    reason: Option<String>,
    out: Option<PathBuf>,
) -> Result<Said, Failure> {
    let config = context.load_whole()?;
    if let Some(out) = &out {
        write_new(out, config.effective.bytes(), false)?;
    }
    let Some(row) = compared(context, &config, draft.is_some())? else {
        let words = format!("{}  what the files say; nothing to compare it with here", config.digest());
        return Ok(Said::Words(words, json!({ "schema": 1, "given": config.digest().to_string() })));
    };
    let mut words = self::words(&row);
    if let (Some(path), Some(reason)) = (&draft, reason) {
        let approval = ConfigApproval { config: config.digest(), weakens: !row.weakens.is_empty() };
        write_new(path, drafted(&row.gateway, approval, reason)?.as_bytes(), false)?;
        words += &format!(
            "written: {0}\nhave {1} sign it: headgate sign-document {0} --key PEM\nthen: headgate config approve {0}",
            path.display(),
            if row.weakens.is_empty() { "the approvers" } else { "two distinct approvers" }
        );
    }
    let mut value = print::as_json(&Answered::Config(Box::new(row)));
    value["draft"] = json!(draft);
    Ok(Said::Words(words, value))
}

/// What the gateway says of it; `None` where it cannot say anything and nobody needs it to.
fn compared(context: &Context, config: &Config, needed: bool) -> Result<Option<ConfigRow>, Failure> {
    match context.answer(&Request::ConfigCompare { document: document(config)? }) {
        Ok(Answered::Config(row)) => Ok(Some(*row)),
        Ok(_) => Err(Failure::internal("another answer than asked for")),
        // Before the first `headgate init`, and without the TPM, a digest is still a digest.
        Err(failure) if failure.exit == 71 && !needed => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The canonical form as text, as it travels.
fn document(config: &Config) -> Result<String, Failure> {
    String::from_utf8(config.effective.bytes().to_vec()).map_err(|e| Failure::internal(e.to_string()))
}

fn drafted(gateway: &str, content: ConfigApproval, reason: String) -> Result<String, Failure> {
    let now = Clock::system().wall();
    let mut id = [0; DocumentId::LEN];
    rand::fill(&mut id).map_err(|_| Failure::internal("no random numbers"))?;
    let document = Document {
        content,
        expires: Moment::new(Wall { ms: now.ms.saturating_add(DRAFT_LIFE_MS), ..now }),
        gateway: gateway.into(),
        id: DocumentId::from_bytes(id),
        issued: Moment::new(now),
        reason,
    };
    let envelope = document.to_envelope().map_err(|e| Failure::usage(e.to_string()))?;
    envelope.to_json().map_err(|e| Failure::internal(e.to_string()))
}

/// A configuration beside the approved one, for people.
pub(super) fn words(row: &ConfigRow) -> String {
    let ConfigRow { gateway: _, runs, approved, given, differs, weakens } = row;
    let mut out = format!("files     {given}\nruns      {runs}\n");
    out += &format!("approved  {}\n", approved.as_deref().unwrap_or("none yet"));
    let list = |rows: &[String]| rows.iter().map(|row| format!("  {row}\n")).collect::<String>();
    if !differs.is_empty() {
        out += &format!("the files differ from what was approved:\n{}", list(differs));
    }
    if !weakens.is_empty() {
        out += &format!("weaker, which two distinct approvers must sign:\n{}", list(weakens));
    }
    out
}

/// How long a drafted approval may be on its way between those who sign it.
const DRAFT_LIFE_MS: i64 = 30 * 86_400_000;
