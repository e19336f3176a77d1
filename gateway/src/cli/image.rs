//! `headgate verify|stage|vault|release|withdraw|deliver`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use firmware_verifier::advisory::csaf::Score;
use firmware_verifier::identity::{Product, Slot};
use firmware_verifier::sbom::MAX_SBOM;
use firmware_verifier::signature::SignatureFile;
use firmware_verifier::trust::{Anchor, Scope, TrustStore};
use firmware_verifier::version::VersionScheme;
use firmware_verifier::{AdvisorySource, Gauntlet, Papers, PolicyNo, SiteAdvisories, Verdict};
use hal::clock::{Clock, Wall};

use super::{Context, Said, open_image, read_small};
use crate::judge::failure::EvidenceRow;
use crate::judge::rows::{Terms, VerdictRow};
use crate::judge::{Answered, Failure, Named, Request, SbomGiven, walk};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The image.
    image: PathBuf,
    /// Check it as the gate would, for this controller.
    #[arg(long, value_name = "ID", required_unless_present = "anchor")]
    plc: Option<String>,
    /// Check it against this public key alone, without configuration, TPM or network. May be repeated.
    #[arg(long, value_name = "FILE", conflicts_with = "plc")]
    anchor: Vec<PathBuf>,
    #[command(flatten)]
    signer: super::trust::SignerArgs,
    /// Signature file; without it, IMAGE.minisig, .sig, .bundle, .sigstore.json, .intoto.jsonl or .p7s.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    sbom: SbomArgs,
    /// Version of the image, to compare by the version scheme of its controller; with --anchor, to ask --advisories for.
    #[arg(long, value_parser = super::typed::line)]
    version: Option<String>,
    #[command(flatten)]
    advisories: OfAdvisories,
    /// Security version of the image, to hold against the floor of its product.
    #[arg(long, value_name = "N", conflicts_with = "anchor")]
    security_version: Option<u64>,
}

/// Advisories for a check against given keys; with --plc the gateway asks those that it goes by.
#[derive(Debug, Args)]
struct OfAdvisories {
    /// Advisory database to ask for the parts in the SBOM and, with --vendor and --product, for the image itself.
    #[arg(long, value_name = "FILE", requires = "anchor")]
    advisories: Option<PathBuf>,
    /// Whose product the image is for.
    #[arg(long, value_parser = super::typed::line, requires_all = ["advisories", "product"])]
    vendor: Option<String>,
    /// The product, or its model or order number.
    #[arg(long, value_parser = super::typed::line, requires_all = ["advisories", "vendor"])]
    product: Option<String>,
    /// How its versions count; without it, numbers with dots and letters behind.
    #[arg(long, value_name = "SCHEME", value_parser = super::advisories::scheme, requires = "advisories")]
    version_scheme: Option<VersionScheme>,
}

impl OfAdvisories {
    fn product(&self) -> Result<Product, Failure> {
        let (vendor, product) = (self.vendor.as_deref(), self.product.as_deref());
        Product::new(vendor.unwrap_or(ANY), product.unwrap_or(ANY)).map_err(|e| Failure::usage(e.to_string()))
    }

    fn site(&self) -> Result<Option<SiteAdvisories>, Failure> {
        let Some(path) = &self.advisories else { return Ok(None) };
        Ok(Some(SiteAdvisories {
            source: AdvisorySource::Known(super::advisories::known(path)?),
            no: PolicyNo::Reject,
            required: true,
            until: None,
            max_age_days: None,
            min_score: Score::NONE,
        }))
    }
}

#[derive(Debug, Args)]
pub(super) struct Stage {
    /// The image.
    image: PathBuf,
    #[command(flatten)]
    of: super::OfPlc,
    /// Signature file; without it, IMAGE.minisig, .sig, .bundle, .sigstore.json, .intoto.jsonl or .p7s.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    sbom: SbomArgs,
    /// Version, for people, and to compare by the version scheme of the controller.
    #[arg(long, value_parser = super::typed::line)]
    version: Option<String>,
    /// Security version, where the image is not to go below a floor.
    #[arg(long, value_name = "N")]
    security_version: Option<u64>,
    /// Downgrade ticket, for an image below the floor; staging does not spend it.
    #[arg(long, value_name = "FILE")]
    ticket_file: Option<PathBuf>,
    /// What it is: firmware, which must be signed, or everyday logic for a route of class program, which is recorded and
    /// not verified.
    #[arg(long, value_name = "CLASS", default_value = "firmware", value_parser = PossibleValuesParser::new(CLASSES))]
    class: String,
    /// Keep and release it although nobody verified it: takes a break-glass document in force with pass-unverified.
    #[arg(long, conflicts_with_all = ["signature", "security_version", "ticket_file", "sbom"])]
    break_glass: bool,
}

/// The list of an image's parts.
#[derive(Debug, Args)]
pub(super) struct SbomArgs {
    /// The image's SBOM: CycloneDX JSON with a signature beside it, or in a signed in-toto statement.
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
    /// Signature file of the SBOM; without it, SBOM.minisig, .sig, .bundle, .sigstore.json, .intoto.jsonl or .p7s.
    #[arg(long, value_name = "FILE", requires = "sbom")]
    sbom_signature: Option<PathBuf>,
}

impl SbomArgs {
    fn read(&self) -> Result<Option<SbomGiven>, Failure> {
        let Some(path) = &self.sbom else { return Ok(None) };
        let file = super::read_at_most(path, MAX_SBOM as u64)?;
        Ok(Some(SbomGiven { file, signature: signature(path, self.sbom_signature.as_deref())? }))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum VaultVerb {
    /// Every image, staged and refused, and every release.
    List,
    /// The releases: all of them, or those of one image.
    Show {
        /// SHA-256, or its first digits, 8 or more.
        digest: Option<String>,
    },
    /// Copy an image out.
    Export {
        /// SHA-256, or its first digits, 8 or more.
        digest: String,
        /// A new file.
        to: PathBuf,
    },
    /// Remove an image.
    Rm {
        /// SHA-256, or its first digits, 8 or more.
        digest: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Release {
    /// SHA-256 of a staged image, or its first digits, 8 or more.
    digest: String,
    #[command(flatten)]
    of: super::OfPlc,
    /// Change ticket.
    #[arg(long, value_parser = super::typed::line)]
    ticket: Option<String>,
    /// Downgrade ticket, signed by approvers, for an image below the floor; it is spent.
    #[arg(long, value_name = "FILE")]
    ticket_file: Option<PathBuf>,
    /// When it may be delivered: FROM..TO, each 2026-11-22T10:15Z.
    #[arg(long, value_name = "FROM..TO", value_parser = window)]
    window: Option<(Wall, Wall)>,
    /// Station it may come from. May be repeated; without it, any.
    #[arg(long, value_name = "ADDRESS")]
    station: Vec<std::net::IpAddr>,
    /// How often it may be delivered.
    #[arg(long, default_value_t = 1)]
    uses: u32,
    /// When the release ends; without it, with the window or in a week.
    #[arg(long, value_name = "TIME")]
    expires: Option<Wall>,
}

#[derive(Debug, Args)]
pub(super) struct OnPlc {
    /// SHA-256 of the image, or its first digits, 8 or more.
    pub(super) digest: String,
    /// Controller id from the configuration.
    #[arg(long, value_name = "ID")]
    pub(super) plc: String,
}

pub(super) fn verify(context: &Context, v: Verify) -> Result<Said, Failure> {
    let signature = signature(&v.image, v.signature.as_deref())?;
    let sbom = v.sbom.read()?;
    let signer = v.signer.named();
    match v.plc {
        Some(_) if signer.is_some() => {
            Err(Failure::usage("with --plc the trust store says who may sign, and nothing else")
                .next("leave out --signer, --identity and --issuer, or give --anchor FILE in place of --plc"))
        }
        Some(plc) => {
            let Verify { version, security_version, .. } = v;
            let request = Request::Verify { plc, version, security_version, signature };
            context.ask_with(&request, &v.image, sbom)
        }
        None if v.version.is_some() && v.advisories.advisories.is_none() => {
            Err(Failure::usage("--version with --anchor: given keys compare no versions")
                .next("leave out --version, or give --advisories FILE, which is asked for that version"))
        }
        None => {
            let papers = Papers {
                version: v.version,
                scheme: v.advisories.version_scheme,
                advisories: v.advisories.site()?,
                ..Papers::default()
            };
            let of = (v.advisories.product()?, papers);
            against_anchors(&v.image, of, (signature, sbom), (&v.anchor, signer.as_ref()))
        }
    }
}

pub(super) fn stage(context: &Context, v: Stage) -> Result<Said, Failure> {
    let name = v.image.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if v.class == "program" {
        let other = [&v.signature, &v.ticket_file, &v.sbom.sbom].into_iter().any(Option::is_some);
        if other || v.security_version.is_some() || v.break_glass {
            return Err(Failure::usage("--class program takes no other option than --plc and --version")
                .next("a program that somebody has signed is staged without --class"));
        }
        let request = Request::StageProgram { plc: v.of.plc, name, version: v.version };
        return context.ask_with_image(&request, &v.image);
    }
    if v.break_glass {
        let request = Request::StageUnverified { plc: v.of.plc, name, version: v.version };
        return context.ask_with_image(&request, &v.image);
    }
    let signature = signature(&v.image, v.signature.as_deref())?;
    let sbom = v.sbom.read()?;
    let downgrade = v.ticket_file.as_deref().map(super::trust::read_envelope).transpose()?;
    let Stage { version, security_version, .. } = v;
    let request = Request::Stage { plc: v.of.plc, name, version, security_version, signature, downgrade };
    context.ask_with(&request, &v.image, sbom)
}

pub(super) fn vault(context: &Context, verb: VaultVerb) -> Result<Said, Failure> {
    context.ask(&match verb {
        VaultVerb::List => Request::VaultList,
        VaultVerb::Show { digest } => Request::ReleaseList { digest },
        VaultVerb::Rm { digest } => Request::VaultRemove { digest },
        VaultVerb::Export { digest, to } => {
            let to = std::path::absolute(&to).map_err(|e| Failure::usage(e.to_string()))?;
            Request::VaultExport { digest, to }
        }
    })
}

pub(super) fn release(context: &Context, v: Release) -> Result<Said, Failure> {
    let terms = Terms {
        stations: v.station.iter().map(ToString::to_string).collect(),
        ticket: v.ticket,
        window: v.window,
        uses: v.uses,
        expires: v.expires,
    };
    let downgrade = v.ticket_file.as_deref().map(super::trust::read_envelope).transpose()?;
    context.ask(&Request::Release { digest: v.digest, plc: v.of.plc, terms, downgrade })
}

/// A one-off check with given keys: the gate's own code, but not the gate's verdict.
fn against_anchors(
    image: &Path,
    (product, papers): (Product, Papers),
    (signature, sbom): (Option<Vec<u8>>, Option<SbomGiven>),
    (keys, signer): (&[PathBuf], Option<&Named>),
) -> Result<Said, Failure> {
    let now = Clock::system().wall();
    let usage = |e: &dyn std::fmt::Display| Failure::usage(e.to_string());
    let mut anchors = Vec::new();
    for path in keys {
        let credential = crate::judge::credential(&read_small(path)?, signer)
            .map_err(|e| Failure { text: format!("{}: {}", path.display(), e.text), ..e })?;
        let scope = Scope::new(product.vendor(), &["*"]).map_err(|e| usage(&e))?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        anchors.push(Anchor::new(credential, &name, scope, now).map_err(|e| usage(&e))?);
    }
    let store = TrustStore::with(1, anchors).map_err(|e| Failure::new(e.code(), e.to_string()))?;
    let signature =
        signature.map(|s| SignatureFile::parse(&s).map_err(|e| crate::judge::rejected(&e.rejection())));
    let request = firmware_verifier::Request {
        slot: Slot::new("none").map_err(|e| usage(&e))?,
        product,
        identity: None,
        signature: signature.transpose()?,
        policy_epoch: 0,
        state_counter: 0,
        expires: now,
    };
    let sbom = sbom.as_ref();
    let sbom = crate::judge::sbom_of(sbom.map(|s| &s.file), sbom.and_then(|s| s.signature.as_ref()));
    let papers = Papers { sbom: sbom.map_err(|r| crate::judge::rejected(&r))?, ..papers };
    let (mut file, size) = open_image(image)?;
    let read = |buffer: &mut [u8]| file.read(buffer);
    match walk(Gauntlet::with(request, papers, &store, now), read)
        .map_err(|e| Failure::internal(e.to_string()))?
    {
        Verdict::Verified(verified, evidence) => Ok(Said::Answer(Box::new(Answered::Verdict(VerdictRow {
            digest: verified.digest().to_hex(),
            size,
            plc: NO_PLC.into(),
            signer: format!("{} ({})", verified.signer().name, verified.signer().id),
            basis: verified.basis(),
            backing: verified.backing(),
            staged: false,
            evidence: evidence.iter().map(EvidenceRow::from).collect(),
        })))),
        verdict => Err(crate::judge::verdict_failure(&verdict)),
    }
}

/// The signature file: as given, else beside the image.
fn signature(image: &Path, given: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    if let Some(path) = given {
        return read_small(path).map(Some);
    }
    // A name is bytes, not always text.
    let beside = BESIDE.map(|end| {
        let mut name = image.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    });
    match beside.iter().find(|p| p.exists()) {
        Some(path) => read_small(path).map(Some),
        None => Ok(None),
    }
}

fn window(text: &str) -> Result<(Wall, Wall), String> {
    let (from, to) = text.split_once("..").ok_or("write FROM..TO, each 2026-11-22T10:15Z")?;
    let time = |t: &str| t.parse::<Wall>().map_err(|e| e.to_string());
    Ok((time(from)?, time(to)?))
}

/// How the names of signature files end, in the order in which they are looked for.
const BESIDE: [&str; 6] = [".minisig", ".sig", ".bundle", ".sigstore.json", ".intoto.jsonl", ".p7s"];
/// What an image can be.
const CLASSES: [&str; 2] = ["firmware", "program"];
/// Vendor and product where none is named.
const ANY: &str = "any";
/// In place of a controller, for an image that was checked against given keys.
pub(super) const NO_PLC: &str = "none: checked against the given keys only, not a verdict of the gate";
