//! `headgate report`: evidence for an auditor, made of the receipts and the audit log.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use firmware_verifier::trust::{KeyKind, PublicKey};
use hal::clock::Wall;
use serde_json::json;

use super::{Context, Said, write_new};
use crate::judge::rows::{AuditRow, PeriodRow, PlcRow, TransferRow};
use crate::judge::{Answered, Failure, Request};
use crate::receipt::envelope;
use crate::report::{self, Asset, Change, Evidence, Log, Outside, Report, Transfer};

#[derive(Debug, Subcommand)]
pub(super) enum Reports {
    /// NERC CIP-010-4 R1 Part 1.6: source and integrity of software, verified before each change.
    #[command(name = "cip-010")]
    Cip010(Period),
}

#[derive(Debug, Args)]
pub(super) struct Period {
    /// First day or moment (2026-01-01 or 2026-01-01T06:00Z), in UTC.
    #[arg(long, value_name = "TIME")]
    from: Wall,
    /// First day or moment after the period.
    #[arg(long, value_name = "TIME")]
    to: Wall,
    /// Write one HTML page with every receipt in it; the file must not be there.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn report(context: &Context, verb: Reports) -> Result<Said, Failure> {
    let Reports::Cip010(period) = verb;
    let made = report::report(gather(context, &period)?);
    let value = serde_json::to_value(&made).map_err(|e| Failure::internal(e.to_string()))?;
    match &period.out {
        Some(out) => write(out, &made),
        None => Ok(Said::Words(words(&made), value)),
    }
}

fn write(out: &Path, made: &Report) -> Result<Said, Failure> {
    write_new(out, report::html(made).as_bytes(), false)?;
    let text = format!("{}written: {}", words(made), out.display());
    let value = json!({
        "schema": 1, "answer": "done", "complete": made.is_complete(), "changes": made.changes.len(), "text": text,
    });
    Ok(Said::Words(text, value))
}

fn gather(context: &Context, period: &Period) -> Result<Evidence, Failure> {
    let request = Request::Period { from: period.from, to: period.to };
    let Answered::Period(found) = context.answer(&request)? else { return Err(unexpected()) };
    let Answered::Keys { evidence, attestation } = context.answer(&Request::ReceiptKeys)? else {
        return Err(unexpected());
    };
    let key = envelope::key_from_pem(&evidence).map_err(|e| Failure::internal(e.to_string()))?;
    let PeriodRow { transfers, outside, plcs, log, forgotten, now, gateway, predecessors } = *found;
    let older = predecessors.iter().map(|point| PublicKey::new(KeyKind::EcdsaP256, point));
    let predecessors: Vec<PublicKey> =
        older.collect::<Result<_, _>>().map_err(|e| Failure::internal(e.to_string()))?;
    Ok(Evidence {
        gateway,
        from: period.from,
        to: period.to,
        made: now,
        key,
        predecessors,
        keys: [evidence, attestation],
        transfers: transfers.into_iter().map(|t| transfer(context, t)).collect::<Result<_, _>>()?,
        outside: outside.into_iter().map(seen_outside).collect(),
        controllers: plcs.into_iter().map(asset).collect(),
        log: Log { entries: log.entries, root: log.root, checkpoint: log.checkpoint },
        forgotten,
    })
}

fn transfer(context: &Context, row: TransferRow) -> Result<Transfer, Failure> {
    let TransferRow { case, landed } = row;
    let took_effect = case.state == "done";
    let (receipt, unsigned) = match took_effect {
        false => (None, String::new()),
        true => match context.answer(&Request::Receipt { case: case.case.clone() })? {
            Answered::Receipt(row) => (row.signed, row.why),
            _ => return Err(unexpected()),
        },
    };
    let why = case.code.map(|code| {
        let title = crate::reasons::find(code).map_or("", |r| r.title);
        format!("{code} {title}")
    });
    Ok(Transfer {
        case: case.case,
        controller: case.plc,
        station: case.station,
        opened: case.opened,
        ended: landed,
        state: case.state,
        why,
        took_effect,
        receipt,
        unsigned,
    })
}

fn seen_outside(row: AuditRow) -> Outside {
    Outside { at: row.at, controller: row.subject, text: row.text, entry: row.n }
}

fn asset(row: PlcRow) -> Asset {
    let runs = row.identity.zip(row.read_at);
    Asset { id: row.id, vendor: row.vendor, model: row.model, mode: row.mode, runs }
}

/// The report on a terminal.
fn words(made: &Report) -> String {
    let shown = made.changes.iter().filter(|c| c.is_shown()).count();
    let mut out = format!(
        "CIP-010-4 R1 Part 1.6, {} to {}: {} changes in effect, {shown} shown to be verified before; {} outside the \
         gate, {} refused or not completed\n",
        made.from,
        made.to,
        made.changes.len(),
        made.outside.len(),
        made.others.len()
    );
    made.changes.iter().for_each(|change| out += &line(change));
    for one in &made.outside {
        out += &format!("  {} {} changed outside the gate: {}\n", one.at, one.controller, one.text);
    }
    if let Some(forgotten) = &made.forgotten {
        out += &format!("  {forgotten}\n");
    }
    out
}

fn line(change: &Change) -> String {
    let Change { case, controller, at, source, integrity, before_change, evidence, .. } = change;
    let wanting =
        [("source", source), ("integrity", integrity), ("order", before_change), ("receipt", evidence)];
    let wanting = wanting.iter().filter(|(_, answer)| !answer.shown);
    let wanting: Vec<String> = wanting.map(|(what, answer)| format!("{what}: {}", answer.text)).collect();
    match wanting.is_empty() {
        true => format!("  {at} {case} {controller}: {}; {}\n", source.text, integrity.text),
        false => format!("  {at} {case} {controller}: NOT SHOWN: {}\n", wanting.join("; ")),
    }
}

fn unexpected() -> Failure {
    Failure::internal("the gateway answered something else")
}
