//! `headgate init`.

use std::path::{Path, PathBuf};

use clap::Args;
use firmware_verifier::Digest;
use serde_json::json;

use super::site_key::public_half;
use super::{Context, Said, read_text, write_new};
use crate::judge::{Answered, Failure, Judge, Request};

/// First set-up of a gateway, and requests to approve a changed boot state.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The public half of the site key.
    #[arg(long, value_name = "FILE", required_unless_present = "request_only")]
    site_key: Option<PathBuf>,
    /// Where to write the approval request.
    #[arg(long, value_name = "FILE", default_value = "approval-request.json")]
    request: PathBuf,
    /// Only write a request for the present boot state; seal nothing.
    #[arg(long)]
    request_only: bool,
    /// With --request-only: PCR values the boot state will have after an update, as tpm2_pcrread prints them. Those
    /// that are not in the file keep their present value.
    #[arg(long, value_name = "FILE", requires = "request_only")]
    pcrs: Option<PathBuf>,
    /// With --request-only: for the next epoch, which trust revoke-boot-states begins.
    #[arg(long, requires = "request_only")]
    next_epoch: bool,
    /// Seal a new key although there is one, or its record is damaged. Every approval of a boot state is revoked: it must
    /// be approved again and every anchor added again. Alarm HG-7022 stays until somebody acknowledges it.
    #[arg(long)]
    again: bool,
}

pub(super) fn init(context: &Context, v: &Init) -> Result<Said, Failure> {
    // Asked before anything is changed: a file in the way would leave a new key without its request.
    not_there(&v.request)?;
    let request = match &v.site_key {
        Some(site_key) if !v.request_only => {
            let site_key = public_half(site_key)?;
            let mut judge = super::open(context.load()?)?;
            if v.again {
                set_damaged_aside(&judge)?;
            }
            let request = judge.init(&site_key, v.again)?;
            serde_json::to_string_pretty(&request).map_err(|e| Failure::internal(e.to_string()))?
        }
        _ => match context.answer(&foreseen(v)?)? {
            Answered::ApprovalRequest { request } => request,
            _ => return Err(Failure::internal("another answer than asked for")),
        },
    };
    write_new(&v.request, request.as_bytes(), false)?;
    let path = v.request.display();
    let words = format!(
        "approval request written: {path}\nWhere the site key is kept, run:\n  headgate site-key sign {path} --key site.key --out approval.json\n\
         and here again:\n  headgate trust approve-pcrs approval.json"
    );
    Ok(Said::Words(words, json!({ "schema": 1, "request": path.to_string() })))
}

/// Refuses a path that something lies at, and a folder that is none.
fn not_there(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        let text = format!("{}: there is a file already; nothing was changed", path.display());
        return Err(Failure::usage(text)
            .next("nothing is overwritten: name another file with --request, or move this one away"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        return Ok(());
    }
    let text = format!("{}: no such folder; nothing was changed", folder.display());
    Err(Failure::usage(text).next("name a file in a folder that you may write to"))
}

/// The request for a boot state that is, or that will be.
fn foreseen(v: &Init) -> Result<Request, Failure> {
    let pcrs = match &v.pcrs {
        Some(path) => {
            let read = hal::tpm::parse_pcrs(&read_text(path)?);
            read.map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?
        }
        None => Vec::new(),
    };
    let pcrs = pcrs.into_iter().map(|(index, value)| (index, Digest::from_bytes(value))).collect();
    Ok(Request::ApprovalRequest { pcrs, next_epoch: v.next_epoch })
}

/// A record that cannot be read would keep a new key from being sealed. It is kept under another name.
fn set_damaged_aside(judge: &Judge) -> Result<(), Failure> {
    if judge.provisioned().is_err() {
        judge.store.rename(RECORD, DAMAGED)?;
    }
    Ok(())
}

/// What `headgate init` leaves in the data folder, and its name once it cannot be read.
const RECORD: &str = "tpm.json";
const DAMAGED: &str = "tpm.json.damaged";
