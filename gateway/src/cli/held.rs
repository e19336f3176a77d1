//! `headgate held list|show|approve|refuse`: releases that wait for approvers.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::trust::read_envelope;
use super::{Context, Said, write_new};
use crate::judge::{Answered, Failure, HeldRow, Request};

#[derive(Debug, Subcommand)]
pub(super) enum Held {
    /// Every release that waits.
    List,
    /// One of them: what was asked for, and who has approved it.
    Show {
        /// The case (C-000123).
        case: String,
    },
    /// Without --approval, write what its approvers are to sign; with it, count what they have signed.
    Approve {
        /// The case (C-000123).
        case: String,
        /// An approval, signed by one approver or several.
        #[arg(long, value_name = "FILE")]
        approval: Option<PathBuf>,
        /// Where to write the approval to sign; without it, standard output.
        #[arg(long, short, value_name = "FILE", conflicts_with = "approval")]
        out: Option<PathBuf>,
    },
    /// Give the release up. Whoever may use this gateway may refuse; approving takes a key.
    Refuse {
        /// The case (C-000123).
        case: String,
        /// Why, for the case.
        #[arg(long, value_parser = super::typed::line)]
        reason: String,
    },
}

pub(super) fn held(context: &Context, verb: Held) -> Result<Said, Failure> {
    let upper = |case: String| case.to_ascii_uppercase();
    context.ask(&match verb {
        Held::List => Request::HeldList,
        Held::Show { case } => Request::HeldShow { case: upper(case) },
        Held::Approve { case, approval: Some(approval), .. } => {
            Request::HeldApprove { case: upper(case), approval: read_envelope(&approval)? }
        }
        Held::Approve { case, out: Some(out), .. } => return draft(context, upper(case), out),
        Held::Approve { case, .. } => Request::HeldDraft { case: upper(case) },
        Held::Refuse { case, reason } => Request::HeldRefuse { case: upper(case), reason },
    })
}

fn draft(context: &Context, case: String, out: PathBuf) -> Result<Said, Failure> {
    let answer = context.answer(&Request::HeldDraft { case: case.clone() })?;
    let Answered::Document { document } = &answer else { return Ok(Said::Answer(Box::new(answer))) };
    write_new(&out, document.as_bytes(), false)?;
    let words = format!(
        "written: {0}; nothing is approved yet\neach approver, where the key is kept: headgate sign-document {0} --key PEM\n\
         then: headgate held approve {case} --approval {0}",
        out.display()
    );
    Ok(Said::Words(words, json!({ "schema": 1, "document": out, "case": case })))
}

/// Held releases for people.
pub(super) fn words(held: &[HeldRow]) -> String {
    held.iter().map(one).collect()
}

fn one(h: &HeldRow) -> String {
    let mut out =
        format!("{}  {}  approved by {} of {}, until {}\n", h.case, h.plc, h.have, h.need, h.expires);
    out += &format!("  image     sha256:{}  {}\n", h.digest, h.name);
    let stated = h.security_version.map_or("none stated".into(), |v| v.to_string());
    out += &format!("  security version  {stated}\n");
    let stations =
        if h.terms.stations.is_empty() { "any station".into() } else { h.terms.stations.join(", ") };
    let window = h.terms.window.map_or(String::new(), |(from, to)| format!(", window {from} to {to}"));
    let ticket = h.terms.ticket.as_ref().map_or(String::new(), |ticket| format!(", ticket {ticket}"));
    out += &format!("  asked by  {}: {stations}, {} use(s){window}{ticket}\n", h.asked_by, h.terms.uses);
    for a in &h.approvers {
        out += &format!("  approved  {}  {}  {}\n", a.at, a.key, a.name);
    }
    out
}
