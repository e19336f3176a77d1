//! `headgate ticket break-glass|use|list|close`: acting without a verdict, on a document of the site key.

use std::path::PathBuf;

use aws_lc_rs::rand;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use firmware_verifier::document::{
    Action, BreakGlass, Cause, Document, DocumentError, DocumentId, Moment, Window,
};
use firmware_verifier::identity::Slot;
use hal::clock::{Clock, Wall};
use serde_json::json;

use super::trust::read_envelope;
use super::{Context, Said, write_new};
use crate::judge::{Failure, Request, TicketRow};

#[derive(Debug, Subcommand)]
pub(super) enum Ticket {
    /// Write a break-glass document, for the site key to sign; nothing is allowed by it before that.
    BreakGlass(Draft),
    /// Bring a signed break-glass document: it is in force at once, and is good for once.
    Use {
        /// The document.
        document: PathBuf,
    },
    /// The newest break-glass documents.
    List,
    /// Close one; one that is in force ends before its time.
    Close {
        /// Its number.
        id: String,
        /// Why, for the record.
        #[arg(long, value_parser = super::typed::line)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Draft {
    /// The controller that it is for.
    #[arg(long, value_name = "ID", required_unless_present = "case", conflicts_with = "case")]
    plc: Option<String>,
    /// The case that it is for (C-000123).
    #[arg(long, value_name = "CASE")]
    case: Option<String>,
    /// What it allows. May be repeated.
    #[arg(long, value_name = "ACTION", required = true, value_parser = PossibleValuesParser::new(ACTIONS))]
    action: Vec<String>,
    /// From when; without it, from now.
    #[arg(long, value_name = "TIME")]
    from: Option<Wall>,
    /// Until when; at most 72 hours after its begin.
    #[arg(long, value_name = "TIME")]
    until: Wall,
    /// Why, for the record and whoever signs.
    #[arg(long, value_parser = super::typed::line)]
    reason: String,
    /// Where to write it; must not exist yet.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn ticket(context: &Context, verb: Ticket) -> Result<Said, Failure> {
    context.ask(&match verb {
        Ticket::BreakGlass(draft) => return write(context, &draft),
        Ticket::Use { document } => Request::BreakGlass { document: read_envelope(&document)? },
        Ticket::List => Request::TicketList,
        Ticket::Close { id, reason } => Request::TicketClose { id, reason },
    })
}

/// Writes the document. Takes the configuration alone: the gateway may be in no state to be asked.
fn write(context: &Context, draft: &Draft) -> Result<Said, Failure> {
    let config = context.load()?;
    let cause = match (&draft.plc, &draft.case) {
        (Some(plc), _) if config.plc(plc).is_none() => {
            return Err(Failure::not_found(format!("no controller {plc:?} in the configuration"))
                .next("headgate plc list shows them"));
        }
        (Some(plc), _) => Cause::Controller(Slot::new(plc).map_err(|e| Failure::usage(e.to_string()))?),
        (None, case) => Cause::Case(case.clone().unwrap_or_default().to_ascii_uppercase()),
    };
    let now = Clock::system().wall();
    let mut id = [0; DocumentId::LEN];
    rand::fill(&mut id).map_err(|_| Failure::internal("no random numbers"))?;
    let document = document(draft, cause, (DocumentId::from_bytes(id), now), &config.name);
    let envelope =
        document.and_then(|d| d.to_envelope()).map_err(|e| Failure::new(e.code(), e.to_string()))?;
    let text = envelope.to_json().map_err(|e| Failure::internal(e.to_string()))?;
    write_new(&draft.out, text.as_bytes(), false)?;
    let out = draft.out.display();
    let words = format!(
        "written: {out}; nothing is allowed yet\nwhere the site key is kept: headgate sign-document {out} --key site.key\n\
         then, on the gateway: headgate ticket use {out}"
    );
    let id = DocumentId::from_bytes(id).to_string();
    Ok(Said::Words(words, json!({ "schema": 1, "document": draft.out, "id": id })))
}

fn document(
    draft: &Draft,
    cause: Cause,
    (id, now): (DocumentId, Wall),
    gateway: &str,
) -> Result<Document<BreakGlass>, DocumentError> {
    let mut actions = draft.action.iter().map(|a| a.parse()).collect::<Result<Vec<Action>, _>>()?;
    actions.sort_unstable();
    actions.dedup();
    let window = Window { from: Moment::new(draft.from.unwrap_or(now)), until: Moment::new(draft.until) };
    Ok(Document {
        content: BreakGlass { actions, cause, window },
        expires: window.until,
        gateway: gateway.into(),
        id,
        issued: Moment::new(now),
        reason: draft.reason.clone(),
    })
}

/// Documents for people.
pub(super) fn words(tickets: &[TicketRow]) -> String {
    tickets.iter().map(one).collect()
}

fn one(t: &TicketRow) -> String {
    let mut out = format!("{}  {}  {}  until {}\n", t.id, t.plc, t.state.to_uppercase(), t.until);
    out += &format!("  allows    {} for {}: {}\n", t.actions.join(", "), t.cause, t.reason);
    out += &format!("  brought   {}  by {}\n", t.accepted, t.by);
    if let Some(closing) = &t.closing {
        out += &format!("  closed    {closing}\n");
    }
    out
}

const ACTIONS: [&str; 3] = ["finish-delivery", "lift-lock", "pass-unverified"];
