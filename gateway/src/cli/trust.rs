//! `headgate trust ...`.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use firmware_verifier::dsse::MAX_ENVELOPE;
use firmware_verifier::trust::Role;
use hal::clock::Wall;
use serde_json::json;

use super::{Context, Said, read_at_most, read_small, read_text, write_new};
use crate::judge::rows::{AnchorRow, ChangesRow, TrustRow};
use crate::judge::{Answered, Failure, Named, Request, threshold_words};

/// Who signs, where the file is no key of his own.
#[derive(Debug, Args)]
pub(super) struct SignerArgs {
    /// The file is an authority's certificate; the signer of this name below it: a common name, or a whole subject
    /// (CN=release,O=Acme).
    #[arg(long, value_name = "NAME", value_parser = super::typed::long_line, conflicts_with_all = ["identity", "issuer"])]
    signer: Option<String>,
    /// The file is the trusted_root.json of a sigstore instance; who signs without a key, by mail address or URI.
    #[arg(long, value_name = "WHO", value_parser = super::typed::long_line, requires = "issuer")]
    identity: Option<String>,
    /// The provider that vouches for the identity.
    #[arg(long, value_name = "URL", value_parser = super::typed::long_line, requires = "identity")]
    issuer: Option<String>,
}

impl SignerArgs {
    pub(super) fn named(self) -> Option<Named> {
        match (self.signer, self.identity, self.issuer) {
            (Some(signer), ..) => Some(Named::Certified(signer)),
            (None, Some(identity), Some(issuer)) => Some(Named::Keyless { identity, issuer }),
            (None, ..) => None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Trust {
    /// Keys, thresholds, floors and revocations.
    Show,
    /// Trust a public key: Ed25519 as PEM, 32 bytes or hexadecimal; P-256 as PEM; for a vendor a minisign key, too, or
    /// with --signer the certificate of an authority, with --identity sigstore's trusted_root.json. After the first site key, site keys and approvers come by a trust
    /// bundle alone.
    Add {
        /// The key file.
        key: PathBuf,
        #[command(flatten)]
        signer: SignerArgs,
        /// A name for people.
        #[arg(long, value_parser = super::typed::line)]
        name: String,
        /// What it counts for: images, changes of trust, or approvals.
        #[arg(long, default_value = "vendor", value_parser = PossibleValuesParser::new(ROLES).map(|r| role(&r)))]
        role: Role,
        /// Whose firmware it may sign; for a vendor's key only.
        #[arg(long, value_parser = super::typed::line)]
        vendor: Option<String>,
        /// Which models it may sign for; `*` for all of this vendor. May be repeated.
        #[arg(long, value_parser = super::typed::line)]
        model: Vec<String>,
        /// First moment of validity, 2026-11-22 or 2026-11-22T10:15Z.
        #[arg(long, value_name = "TIME")]
        from: Option<Wall>,
        /// First moment after its validity.
        #[arg(long, value_name = "TIME")]
        until: Option<Wall>,
    },
    /// Go by a revocation list (CRL) of an authority that is pinned. From then on it has to be renewed in time.
    Crl {
        /// The list, PEM or DER.
        list: PathBuf,
    },
    /// No longer trust a key.
    Remove {
        /// Key id, from `trust show`.
        id: String,
    },
    /// Show what a trust bundle changes; with --yes, change it.
    Import {
        /// The bundle, signed by the site keys.
        bundle: PathBuf,
        /// Accept the changes.
        #[arg(long)]
        yes: bool,
    },
    /// Write the next trust bundle, which revokes a key or an image once the site keys have signed it.
    Revoke {
        /// Key id from `trust show`, or the SHA-256 of an image.
        what: String,
        /// Why; people read it where the key or image is refused.
        #[arg(long, value_parser = super::typed::line)]
        reason: String,
        /// Where to write it; without it, standard output.
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// The boot states the site has approved, and what each is good for now.
    BootStates {
        /// Remove this one; it could be installed again.
        #[arg(long, value_name = "ID")]
        forget: Option<String>,
    },
    /// Revoke every boot state approved so far, for good: the TPM's epoch moves on.
    RevokeBootStates {
        /// Although no approval for the next epoch is installed, so that the gate shuts.
        #[arg(long)]
        shut: bool,
    },
    /// Install an approval that `headgate site-key sign` wrote.
    ApprovePcrs {
        /// The approval file.
        approval: PathBuf,
    },
}

pub(super) fn trust(context: &Context, verb: Trust) -> Result<Said, Failure> {
    context.ask(&match verb {
        Trust::Show => Request::TrustShow,
        Trust::Add { key, signer, name, role, vendor, model, from, until } => {
            let (vendor, models) = scope(role, vendor, model)?;
            let signer = signer.named();
            Request::TrustAdd { key: read_small(&key)?, signer, name, role, vendor, models, from, until }
        }
        Trust::Crl { list } => Request::TrustCrl { list: read_small(&list)? },
        Trust::Import { bundle, yes } => Request::TrustImport { bundle: read_envelope(&bundle)?, yes },
        Trust::Revoke { what, reason, out } => return revoke(context, what, reason, out),
        Trust::Remove { id } => Request::TrustRemove { id },
        Trust::BootStates { forget: None } => Request::BootStates,
        Trust::BootStates { forget: Some(id) } => Request::ForgetBootState { id },
        Trust::RevokeBootStates { shut } => Request::RevokeBootStates { shut },
        Trust::ApprovePcrs { approval } => Request::TrustApprove { approval: read_text(&approval)? },
    })
}

/// Reads a DSSE envelope.
pub(super) fn read_envelope(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_at_most(path, MAX_ENVELOPE as u64)?).map_err(|_| {
        Failure::usage(format!("{}: not a text file", path.display()))
            .next("give a DSSE envelope: JSON with payload, payloadType and signatures")
    })
}

/// Products for a vendor's key, everything for the others.
fn scope(role: Role, vendor: Option<String>, models: Vec<String>) -> Result<(String, Vec<String>), Failure> {
    match (role, vendor, models.is_empty()) {
        (Role::Vendor, Some(vendor), false) => Ok((vendor, models)),
        (Role::Vendor, ..) => {
            Err(Failure::usage("a vendor's key is trusted for products of its vendor only")
                .next("say whose firmware it may sign: --vendor NAME --model NAME"))
        }
        (_, None, true) => Ok(("*".into(), vec!["*".into()])),
        _ => Err(Failure::usage(format!("a key of role {role} signs no firmware"))
            .next("leave out --vendor and --model, or give --role vendor")),
    }
}

fn revoke(context: &Context, what: String, reason: String, out: Option<PathBuf>) -> Result<Said, Failure> {
    let answer = context.answer(&Request::TrustRevoke { what, reason })?;
    let (Answered::Document { document }, Some(out)) = (&answer, out) else {
        return Ok(Said::Answer(Box::new(answer)));
    };
    write_new(&out, document.as_bytes(), false)?;
    let words = format!(
        "written: {0}; nothing is revoked yet\nhave the site keys sign it: headgate sign-document {0} --key PEM\n\
         then: headgate trust import {0} --yes",
        out.display()
    );
    Ok(Said::Words(words, json!({ "schema": 1, "document": out })))
}

/// The trust store for people.
pub(super) fn store_words(store: &TrustRow) -> String {
    let mut out = format!("generation {}, trust bundle {}\n", store.generation, store.bundle);
    out += &format!("signers needed: {}\n", threshold_words(&store.thresholds));
    out += &store.anchors.iter().map(anchor_words).collect::<String>();
    for list in &store.lists {
        out += &format!("revocation list of {} for {}\n", list.issued, list.of.join(", "));
    }
    for floor in &store.floors {
        let crate::judge::rows::FloorRow { vendor, model, value, raised, by } = floor;
        out += &format!("floor {value} for {vendor} {model}, raised {raised} by {by}\n");
    }
    let (keys, images) = (&store.revoked_keys, &store.revoked_digests);
    out += &format!("revoked: {} keys, {} images\n", keys.len(), images.len());
    for revoked in keys.iter().chain(images) {
        out += &format!("  {}  {}  {}\n", revoked.id, revoked.at, revoked.reason);
    }
    out
}

fn anchor_words(a: &AnchorRow) -> String {
    let until = a.valid_until.map_or("no end".into(), |u| format!("until {u}"));
    let scope = match a.role {
        Role::Vendor => format!("{} {}  ", a.vendor, a.models.join(",")),
        Role::Site | Role::Approver | Role::Gateway => String::new(),
    };
    let signer = match (&a.signer, &a.issuer) {
        (Some(identity), Some(issuer)) => format!("identity {identity:?} of {issuer:?}  "),
        (Some(name), None) => format!("signer {name:?}  "),
        (None, _) => String::new(),
    };
    let signer = match a.signer {
        Some(_) => format!("{signer}fingerprint {}  ", a.fingerprint),
        None => signer,
    };
    format!("  {}  {:8}  {:10}  {}  {signer}{scope}{until}\n", a.id, a.role.to_string(), a.kind, a.name)
}

/// What a trust bundle changes, for people.
pub(super) fn changes_words(changes: &ChangesRow) -> String {
    let mut out = format!("trust bundle {}\n", changes.sequence);
    out += &changes.changes.iter().map(|change| format!("  {change}\n")).collect::<String>();
    out += match changes.applied {
        true => "applied\n",
        false => "nothing is changed yet: compare the fingerprints with their owners, then give --yes\n",
    };
    out
}

fn role(text: &str) -> Role {
    match text {
        "site" => Role::Site,
        "approver" => Role::Approver,
        _ => Role::Vendor,
    }
}

const ROLES: [&str; 3] = ["vendor", "site", "approver"];
