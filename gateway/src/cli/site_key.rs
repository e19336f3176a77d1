//! `headgate site-key new|sign`: for a machine that is not a gateway.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use firmware_verifier::trust::{Credential, PublicKey};
use hal::tpm::{ApprovalRequest, SiteKey, SiteKeyPublic};
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
            // The private half last: where the public one cannot be written, none is ever on the disk.
            write_new(public, pair.public().to_pem().as_bytes(), false)?;
            write_new(key, pem.as_bytes(), true).inspect_err(|_| {
                let _ = std::fs::remove_file(public);
            })?;
            let words = format!(
                "site key written: {} (private: never bring it to a gateway) and {} (for headgate init)",
                key.display(),
                public.display()
            );
            let print = PublicKey::from(&pair.public());
            let print = Credential::from(print).fingerprint();
            let words = format!("{words}\nfingerprint, to compare it by: {print}");
            Ok(Said::Words(words, json!({ "schema": 1, "key": key, "public": public, "fingerprint": print })))
        }
        SiteKeyVerb::Sign { request, key, out } => {
            let request: ApprovalRequest = serde_json::from_str(&read_text(request)?).map_err(|e| {
                Failure::usage(format!("{}: this is no approval request: {e}", request.display()))
                    .next("give the file that headgate init wrote on the gateway (approval-request.json)")
            })?;
            let key = private_half(key)?;
            let approval = key.sign(&request).map_err(|e| Failure::internal(e.to_string()))?;
            let text =
                serde_json::to_string_pretty(&approval).map_err(|e| Failure::internal(e.to_string()))?;
            write_new(out, text.as_bytes(), false)?;
            let shown = serde_json::to_string_pretty(&request).unwrap_or_default();
            Ok(Said::Words(
                format!(
                    "approved:\n{shown}\nsigned are the PCRs and the epoch; the gateway's name is not\nwritten: {}",
                    out.display()
                ),
                json!({ "schema": 1, "approval": out }),
            ))
        }
    }
}

/// The site key of a file, for signing.
fn private_half(path: &Path) -> Result<SiteKey, Failure> {
    let text = zeroize::Zeroizing::new(read_text(path)?);
    SiteKey::from_pem(&text).map_err(|_| {
        Failure::usage(format!(
            "{}: found {}, expected the private half of a site key (ECDSA P-256, PKCS#8 in PEM)",
            path.display(),
            what_is(&text)
        ))
        .next("give the file that headgate site-key new wrote (site.key)")
    })
}

/// The text of a site key's public half. The private one has no business on a gateway, so it is named.
pub(super) fn public_half(path: &Path) -> Result<String, Failure> {
    let text = read_text(path)?;
    if SiteKeyPublic::from_pem(&text).is_ok() {
        return Ok(text);
    }
    if SiteKey::from_pem(&text).is_ok() {
        return Err(Failure::usage(format!(
            "{} is the private half of a site key: whoever has it can approve any boot state, so it never \
             comes to a gateway",
            path.display()
        ))
        .next(
            "take it off this machine and give the public half, which headgate site-key new wrote beside it (site.pub)",
        ));
    }
    let failure = Failure::usage(format!(
        "{}: found {}, expected the public half of a site key (ECDSA P-256 in PEM)",
        path.display(),
        what_is(&text)
    ));
    Err(match text.contains("PRIVATE KEY") {
        true => failure.next(
            "give the file that headgate site-key new wrote (site.pub), and take this private key off the gateway",
        ),
        false => failure.next("give the file that headgate site-key new wrote (site.pub)"),
    })
}

/// What a key file holds, for an error text: nothing of the key itself is repeated.
pub(super) fn what_is(text: &str) -> String {
    let label = text.split_once("-----BEGIN ").and_then(|(_, rest)| rest.split_once("-----"));
    let Some((label, body)) = label.filter(|(label, _)| label.len() <= MAX_LABEL) else {
        return firmware_verifier::looks::Looks::of(text.as_bytes()).to_string();
    };
    let body = body.split("-----").next().unwrap_or_default();
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = zeroize::Zeroizing::new(STANDARD.decode(body).unwrap_or_default());
    let holds = |oid: &[u8]| der.windows(oid.len()).any(|w| w == oid);
    let kind = ALGORITHMS.iter().find(|(_, oid)| holds(oid)).map_or("", |(name, _)| name);
    let is_key = label.ends_with("PRIVATE KEY") || label.ends_with("PUBLIC KEY");
    let half = if label.ends_with("PRIVATE KEY") { "private" } else { "public" };
    match (is_key, kind) {
        (true, "") => format!("a {half} key of another kind ({label:?})"),
        (true, kind) => format!("a {half} key of kind {kind}"),
        _ => format!("a PEM block {label:?}"),
    }
}

/// Object identifiers as they stand in a key (DER): RFC 8410 §3, RFC 5480 §2.1.1.1, RFC 8017 A.1.
const ALGORITHMS: &[(&str, &[u8])] = &[
    ("Ed25519", &[0x06, 0x03, 0x2B, 0x65, 0x70]),
    ("ECDSA P-256", &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]),
    ("ECDSA P-384", &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22]),
    ("RSA", &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01]),
];
/// Longest PEM label that is repeated.
const MAX_LABEL: usize = 40;
