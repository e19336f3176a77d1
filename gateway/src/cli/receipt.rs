//! `headgate receipt`: the page or the file of a case, the check of a file, the keys for it.

use std::path::{Path, PathBuf};

use clap::Args;
use firmware_verifier::trust::PublicKey;
use serde_json::json;

use super::{Context, Said, read_small, read_text, write_new};
use crate::judge::rows::ReceiptRow;
use crate::judge::{Answered, Failure, Request};
use crate::receipt::{self, Said as Found, Standing, Statement, envelope};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Receipt {
    /// A case (C-000123): prints its receipt on one page.
    #[arg(group = "what")]
    case: Option<String>,
    /// Write the signed file of the case instead; it must not be there.
    #[arg(short, long, value_name = "FILE", requires = "case")]
    out: Option<PathBuf>,
    /// Check the file of a receipt, without configuration, TPM or network.
    #[arg(long, group = "what", value_name = "FILE")]
    verify: Option<PathBuf>,
    /// The gateway's evidence key in PEM, as it was noted; without it the gateway of this machine is asked for its own.
    #[arg(long, requires = "verify", value_name = "PEM")]
    key: Option<PathBuf>,
    /// The gateway's attestation key in PEM, to be compared as well.
    #[arg(long, requires = "verify", value_name = "PEM")]
    attestation_key: Option<PathBuf>,
    /// Write the gateway's public keys, evidence.pem and attestation.pem, into a new folder.
    #[arg(long, group = "what", value_name = "FOLDER")]
    keys: Option<PathBuf>,
}

pub(super) fn receipt(context: &Context, v: &Receipt) -> Result<Said, Failure> {
    match (&v.verify, &v.keys, &v.case) {
        (Some(file), _, _) => verify(context, file, v),
        (_, Some(folder), _) => keys(context, folder),
        (_, _, Some(case)) => of_case(context, case, v.out.as_deref()),
        _ => Err(Failure::usage("give a case, --verify FILE or --keys FOLDER")),
    }
}

fn of_case(context: &Context, case: &str, out: Option<&Path>) -> Result<Said, Failure> {
    let answer = context.answer(&Request::Receipt { case: case.to_ascii_uppercase() })?;
    let Answered::Receipt(row) = &answer else { return Err(unexpected()) };
    let Some(out) = out else { return Ok(Said::Answer(Box::new(answer))) };
    match &row.signed {
        Some(file) => {
            write_new(out, file.as_bytes(), false)?;
            let text = format!("written: {}", out.display());
            Ok(Said::Words(text.clone(), json!({ "schema": 1, "answer": "done", "text": text })))
        }
        None => Err(Failure::not_found(format!("{} has no signed receipt: {}", row.case, row.why))),
    }
}

/// The page of a case, for [`super::print`].
pub(super) fn page(row: &ReceiptRow) -> String {
    let (statement, standing) = match &row.signed {
        Some(file) => match envelope::open(file.as_bytes()) {
            Ok((_, statement)) if !row.why.is_empty() => (statement, Standing::Unsigned(row.why.clone())),
            Ok((_, statement)) => {
                let key = statement.record().gateway.evidence_key.clone();
                (statement, Standing::Signed { key })
            }
            Err(e) => return format!("the receipt of {} cannot be read: {e} {}", row.case, row.why),
        },
        None => match row.statement.clone().map(serde_json::from_value::<Statement>) {
            Some(Ok(statement)) => (statement, Standing::Unsigned(row.why.clone())),
            _ => return format!("{} has no receipt: {}", row.case, row.why),
        },
    };
    receipt::page(&statement, &standing)
}

fn verify(context: &Context, file: &Path, v: &Receipt) -> Result<Said, Failure> {
    let bytes = read_small(file)?;
    let format = |e: receipt::ReceiptError| failure(11, format!("{}: {e}", file.display()));
    // A file that is no receipt is told before anybody is asked for a key.
    envelope::open(&bytes).map_err(format)?;
    let key = match &v.key {
        Some(key) => read_key(key)?,
        None => key_of_this_gateway(context)?,
    };
    let attestation = v.attestation_key.as_deref().map(read_key).transpose()?;
    let checked = receipt::check(&bytes, &key, attestation.as_ref()).map_err(format)?;
    let words = finding_lines(&checked.findings);
    if !checked.is_good() {
        return Err(failure(12, format!("{}: not to be believed\n{}", file.display(), words.trim_end())));
    }
    let standing = Standing::Signed { key: checked.key.clone() };
    let page = receipt::page(&checked.statement, &standing);
    let value = json!({
        "schema": 1, "answer": "receipt-checked", "key": checked.key, "findings": finding_rows(&checked.findings),
        "statement": checked.statement,
    });
    Ok(Said::Words(format!("{words}\n{page}"), value))
}

/// What was found, a line each.
pub(super) fn finding_lines(findings: &[receipt::Finding]) -> String {
    let line = |f: &receipt::Finding| format!("{:<11}{:<17}{}\n", word(f.said), f.what, f.text);
    findings.iter().map(line).collect()
}

/// The same as JSON.
pub(super) fn finding_rows(findings: &[receipt::Finding]) -> Vec<serde_json::Value> {
    let row = |f: &receipt::Finding| json!({ "what": f.what, "said": word(f.said), "text": f.text });
    findings.iter().map(row).collect()
}

fn word(said: Found) -> &'static str {
    match said {
        Found::Good => "ok",
        Found::Bad => "WRONG",
        Found::NotLooked => "not looked",
    }
}

pub(super) fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let said = |e: receipt::ReceiptError| failure(11, format!("{}: {e}", path.display()));
    envelope::key_from_pem(&read_text(path)?).map_err(said)
}

fn key_of_this_gateway(context: &Context) -> Result<PublicKey, Failure> {
    let none = |why: String| {
        Failure::usage(format!(
            "a receipt proves nothing without the gateway's key: give --key PEM, as headgate receipt --keys \
             wrote it on the gateway ({why})"
        ))
    };
    match context.answer(&Request::ReceiptKeys) {
        Ok(Answered::Keys { evidence, .. }) => {
            envelope::key_from_pem(&evidence).map_err(|e| none(e.to_string()))
        }
        Ok(_) => Err(unexpected()),
        Err(failure) => Err(none(failure.text)),
    }
}

fn keys(context: &Context, folder: &Path) -> Result<Said, Failure> {
    let Answered::Keys { evidence, attestation } = context.answer(&Request::ReceiptKeys)? else {
        return Err(unexpected());
    };
    std::fs::create_dir(folder).map_err(|e| Failure::usage(format!("{}: {e}", folder.display())))?;
    write_new(&folder.join("evidence.pem"), evidence.as_bytes(), false)?;
    write_new(&folder.join("attestation.pem"), attestation.as_bytes(), false)?;
    let text = format!("written: evidence.pem and attestation.pem in {}", folder.display());
    let value = json!({ "schema": 1, "answer": "keys", "evidence": evidence, "attestation": attestation });
    Ok(Said::Words(text, value))
}

pub(super) fn failure(exit: u8, text: String) -> Failure {
    Failure { code: None, exit, text, evidence: Vec::new() }
}

fn unexpected() -> Failure {
    Failure::internal("the gateway answered something else")
}
