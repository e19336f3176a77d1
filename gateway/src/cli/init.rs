//! `headgate init`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hal::clock::Clock;
use serde_json::json;

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
    /// Seal a new key although there is one; the trust store must then be made anew.
    #[arg(long)]
    again: bool,
}

pub(super) fn init(context: &Context, v: &Init) -> Result<Said, Failure> {
    let request = match &v.site_key {
        Some(site_key) if !v.request_only => {
            let site_key = public_half(site_key)?;
            let mut judge = Judge::open(Arc::new(context.load()?), Clock::system())?;
            let request = judge.init(&site_key, v.again)?;
            serde_json::to_string_pretty(&request).map_err(|e| Failure::internal(e.to_string()))?
        }
        _ => match context.answer(&Request::ApprovalRequest)? {
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

/// The text of a site key's public half. The private one has no business on a gateway, so it is named.
fn public_half(path: &Path) -> Result<String, Failure> {
    let text = read_text(path)?;
    if text.contains("PRIVATE KEY") {
        return Err(Failure::usage(format!(
            "{} is the private half of a site key: whoever has it can approve any boot state, so it never \
             comes to a gateway. Take it off this machine and give the public half, which headgate site-key new \
             wrote beside it (site.pub)",
            path.display()
        )));
    }
    Ok(text)
}
