//! The policy stage: what the site says of an image that every other stage has passed. Of others it is not asked: they do
//! not pass whatever it says.

use hal::clock::Wall;

use super::papers::{Papers, PolicyNo, SitePolicy};
use super::signer::Backing;
use super::vulnerabilities::Told;
use super::{Finding, Request, Seen, Stepped};
use crate::digest::Digest;
use crate::policy::{Controller, Image, Input, Ruling, Signer, Vulnerabilities};
use crate::reasons;
use crate::sbom::Sbom;
use crate::verdict::{Basis, Evidence, Rejection, VerifierError};

/// What is known of the image by now.
pub(super) struct Known<'a> {
    pub(super) request: &'a Request,
    pub(super) papers: &'a Papers,
    pub(super) image: Digest,
    pub(super) len: u64,
    pub(super) backing: &'a Backing,
    pub(super) sbom: Option<&'a Sbom>,
    pub(super) told: Option<&'a Told>,
    pub(super) evidence: &'a [Evidence],
    pub(super) now: Wall,
}

/// What the policy says of it.
pub(super) fn check(site: &SitePolicy, known: &Known<'_>) -> Stepped {
    let now = known.now;
    if let Some(until) = site.until.filter(|until| !now.trusted || now.ms >= until.ms) {
        return Err(VerifierError::PolicyEnded { until, now }.into());
    }
    let ruling = site.policy.decide(&input(site, known));
    let ruling = ruling.map_err(|e| VerifierError::PolicyUndecided { found: e.to_string() })?;
    let (code, found) = match ruling {
        Ruling::Allowed => return Ok(Seen::Passed(finding(site, "the policy lets it pass".to_owned()))),
        Ruling::Denied(reasons) => (reasons::POLICY_DENIES, reasons.join("; ")),
        Ruling::NoMatch => (reasons::POLICY_NO_MATCH, "a policy without a rule for this image".to_owned()),
    };
    match site.no {
        PolicyNo::Reject => {
            let expected = format!("an image that the policy {} lets pass", site.policy.digest());
            Err(Rejection::new(code, found, expected).into())
        }
        PolicyNo::Hold => Err(VerifierError::PolicyHolds { reasons: found }.into()),
        PolicyNo::Warn => Ok(Seen::Passed(finding(site, format!("told only: {code}: {found}")))),
    }
}

fn finding(site: &SitePolicy, found: String) -> Finding {
    Finding { found, expected: format!("the policy {}", site.policy.digest()) }
}

fn input(site: &SitePolicy, known: &Known<'_>) -> Input {
    let Known { request, papers, image, len, backing, sbom, told, evidence, now } = known;
    let basis = match backing.basis {
        Basis::VendorSigned => "vendor-signed",
        Basis::SiteVouched => "site-vouched",
    };
    let signer = |anchor: &crate::trust::Anchor| Signer {
        id: anchor.id().to_string(),
        name: anchor.name().to_owned(),
    };
    Input {
        schema: 1,
        now_ms: now.trusted.then_some(now.ms),
        gateway: papers.gateway.clone(),
        controller: Controller {
            id: request.slot.to_string(),
            zone: site.zone.clone(),
            vendor: request.product.vendor().to_owned(),
            model: request.product.model().to_owned(),
            firmware: request.identity.as_ref().map(|read| read.value.revision().to_owned()),
        },
        image: Image {
            sha256: Some(image.to_hex()),
            size: *len,
            version: papers.version.clone(),
            security_version: papers.security_version,
            basis: Some(basis.to_owned()),
            signers: backing.signers.iter().map(signer).collect(),
        },
        stages: evidence.to_vec(),
        sbom: sbom.map(crate::policy::Parts::from),
        vulnerabilities: told.map(|told| Vulnerabilities {
            database: told.database.to_hex(),
            current_ms: told.current.ms,
            stale: told.is_stale,
            product_known: told.known.is_product_known,
            components_known: told.known.components_known,
            more: told.known.more,
            findings: told.known.findings.iter().map(crate::policy::Weakness::from).collect(),
        }),
    }
}
