//! `headgate countersign`: approvers vouch for an image that nobody signed, and this gateway countersigns it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use firmware_verifier::digest::DigestStream;
use hal::clock::Wall;
use serde_json::json;

use super::trust::read_envelope;
use super::{Context, Said, open_image, write_new};
use crate::judge::{Answered, Failure, Request};

/// Most approvals of one image.
const MAX_APPROVALS: usize = 16;

#[derive(Debug, Args)]
pub(super) struct Countersign {
    /// The image, without a signature.
    image: PathBuf,
    /// A controller that it may go to. May be repeated.
    #[arg(long, value_name = "ID", required = true)]
    plc: Vec<String>,
    /// When the site's word ends, 2026-11-22 or 2026-11-22T10:15Z; a year at the most.
    #[arg(long, value_name = "TIME")]
    expires: Wall,
    /// The document, signed by approvers; copies that each of them signed may be given one after the other. Without
    /// it, the document is written for them to sign.
    #[arg(long, value_name = "FILE")]
    approval: Vec<PathBuf>,
    /// Where to write the document to sign; without it, standard output.
    #[arg(long, short, value_name = "FILE", conflicts_with = "approval")]
    out: Option<PathBuf>,
    /// Why the site vouches for it; approvers read it when they sign.
    #[arg(long, conflicts_with = "approval", value_parser = super::typed::line)]
    reason: Option<String>,
    /// Version, for people.
    #[arg(long, requires = "approval", value_parser = super::typed::line)]
    version: Option<String>,
    /// Security version, where the image is not to go below a floor.
    #[arg(long, requires = "approval", value_name = "N")]
    security_version: Option<u64>,
}

pub(super) fn countersign(context: &Context, v: Countersign) -> Result<Said, Failure> {
    let name = v.image.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if v.approval.is_empty() {
        return draft(context, v, &name);
    }
    if v.approval.len() > MAX_APPROVALS {
        let text = format!("{} approvals; at most {MAX_APPROVALS} are read", v.approval.len());
        return Err(Failure::usage(text));
    }
    let approvals = v.approval.iter().map(|path| read_envelope(path)).collect::<Result<_, _>>()?;
    let Countersign { image, plc: plcs, expires, version, security_version, .. } = v;
    let request = Request::Countersign { plcs, expires, name, version, security_version, approvals };
    context.ask_with_image(&request, &image)
}

fn draft(context: &Context, v: Countersign, name: &str) -> Result<Said, Failure> {
    if v.security_version.is_some() || v.version.is_some() {
        // Nobody signs them: taken here they would be forgotten without a word.
        return Err(Failure::usage("--version and --security-version are no part of what approvers sign")
            .next("leave them out now; give them with --approval, when the signed document is brought"));
    }
    let digest = digest(&v.image)?;
    let shown: String = name.chars().filter(|c| !super::print::is_control(*c)).take(60).collect();
    let reason = v.reason.unwrap_or_else(|| format!("{shown} comes without a signature"));
    let request = Request::VouchDraft { digest, plcs: v.plc.clone(), expires: v.expires, reason };
    let answer = context.answer(&request)?;
    let (Answered::Document { document }, Some(out)) = (&answer, v.out) else {
        return Ok(Said::Answer(Box::new(answer)));
    };
    write_new(&out, document.as_bytes(), false)?;
    let plcs: String = v.plc.iter().map(|plc| format!(" --plc {plc}")).collect();
    let words = format!(
        "written: {0}; nobody vouches for the image yet\neach approver, where the key is kept: headgate sign-document {0} --key PEM\n\
         then: headgate countersign {1}{plcs} --expires {2} --approval {0}",
        out.display(),
        v.image.display(),
        v.expires
    );
    Ok(Said::Words(words, json!({ "schema": 1, "document": out })))
}

/// SHA-256 of the image.
fn digest(image: &Path) -> Result<String, Failure> {
    let (mut file, _) = open_image(image)?;
    let (mut hash, mut piece) = (DigestStream::new(), vec![0; 64 << 10]);
    loop {
        let read = file.read(&mut piece);
        match read.map_err(|e| Failure::internal(format!("{}: {e}", image.display())))? {
            0 => return Ok(hash.finish().to_hex()),
            n => hash.update(&piece[..n]),
        }
    }
}
