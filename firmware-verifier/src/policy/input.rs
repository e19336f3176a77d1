//! What a policy sees: one document with everything that is known when it is asked. Its shape is a contract with whoever
//! writes policies; `docs/policy-input.schema.json` is its JSON Schema. Members are added, never changed.

use serde::Serialize;

use crate::advisory::known::{Hole, Of};
use crate::sbom::Component;
use crate::verdict::Evidence;

/// The document.
#[derive(Debug, Clone, Serialize)]
pub struct Input {
    /// Version of the document: 1.
    pub schema: u8,
    /// Milliseconds since 1970 (UTC); null where the clock is not trusted.
    pub now_ms: Option<i64>,
    /// Name of the gateway.
    pub gateway: String,
    /// Where the image is to go.
    pub controller: Controller,
    /// The image.
    pub image: Image,
    /// What the stages before this one saw.
    pub stages: Vec<Evidence>,
    /// The list of its parts, where one counts; null where none does.
    pub sbom: Option<Sbom>,
    /// What vendors tell of holes in it; null where no database was asked.
    pub vulnerabilities: Option<Vulnerabilities>,
}

/// The controller that an image is for.
#[derive(Debug, Clone, Serialize)]
pub struct Controller {
    /// Its id in the configuration.
    pub id: String,
    /// Its zone.
    pub zone: Option<String>,
    /// Its vendor, as configured.
    pub vendor: String,
    /// Its model, as configured.
    pub model: String,
    /// What it says its firmware is, where it was read.
    pub firmware: Option<String>,
}

/// An image.
#[derive(Debug, Clone, Serialize)]
pub struct Image {
    /// SHA-256 in hexadecimal; null where it is too large to be hashed.
    pub sha256: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Version, as stated.
    pub version: Option<String>,
    /// Security version, as stated.
    pub security_version: Option<u64>,
    /// `vendor-signed` or `site-vouched`; null where nobody stands behind it.
    pub basis: Option<String>,
    /// Who stands behind it.
    pub signers: Vec<Signer>,
}

/// Who stands behind an image.
#[derive(Debug, Clone, Serialize)]
pub struct Signer {
    /// Id of the trust anchor.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A list of parts.
#[derive(Debug, Clone, Serialize)]
pub struct Sbom {
    /// Format and version.
    pub format: String,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: Option<i64>,
    /// The parts.
    pub components: Vec<Part>,
}

/// A part.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Who makes it.
    pub supplier: Option<String>,
    /// Its package URL.
    pub purl: Option<String>,
    /// Its CPE name.
    pub cpe: Option<String>,
    /// SHA-256 of its file, in hexadecimal.
    pub sha256: Option<String>,
}

/// What an advisory database tells of an image.
#[derive(Debug, Clone, Serialize)]
pub struct Vulnerabilities {
    /// SHA-256 of the database in hexadecimal.
    pub database: String,
    /// When its newest source came out, in milliseconds since 1970.
    pub current_ms: i64,
    /// Whether it is past the time for which one may go by it.
    pub stale: bool,
    /// Whether it knows the product: of an unknown one, no finding says nothing.
    pub product_known: bool,
    /// How many of the parts it knows.
    pub components_known: usize,
    /// How many more findings there were, none of them worse.
    pub more: usize,
    /// What it tells, the worst first.
    pub findings: Vec<Weakness>,
}

/// What one advisory tells of one hole.
#[derive(Debug, Clone, Serialize)]
pub struct Weakness {
    /// The CVE, or another id where there is none.
    pub cve: String,
    /// The advisory.
    pub advisory: String,
    /// `affected`, `cannot-compare`, `under-investigation`, `fixed` or `not-affected`.
    pub answer: String,
    /// The CVSS base score.
    pub score: Option<f64>,
    /// In words of CVSS: `none`, `low`, `medium`, `high` or `critical`.
    pub severity: Option<String>,
    /// Whether it is known that somebody uses it.
    pub exploited: bool,
    /// The part that has it; null for the product as a whole.
    pub component: Option<String>,
    /// The version that was asked for.
    pub version: Option<String>,
}

impl From<&Hole> for Weakness {
    fn from(hole: &Hole) -> Weakness {
        let entry = &hole.finding.entry;
        let (component, version) = match &hole.of {
            Of::Product { version } => (None, version.clone()),
            Of::Component { name, version } => (Some(name.clone()), version.clone()),
        };
        Weakness {
            cve: entry.id.clone(),
            advisory: entry.advisory.clone(),
            answer: hole.finding.verdict.to_string().replace(' ', "-"),
            score: entry.score.map(|score| f64::from(score.tenths()) / 10.0),
            severity: entry.score.map(|score| score.severity().to_owned()),
            exploited: entry.is_exploited,
            component,
            version,
        }
    }
}

impl From<&Component> for Part {
    fn from(c: &Component) -> Part {
        Part {
            name: c.name.clone(),
            version: c.version.clone(),
            supplier: c.supplier.clone(),
            purl: c.purl.clone(),
            cpe: c.cpe.clone(),
            sha256: c.sha256.map(|digest| digest.to_hex()),
        }
    }
}

impl From<&crate::sbom::Sbom> for Sbom {
    fn from(sbom: &crate::sbom::Sbom) -> Sbom {
        Sbom {
            format: sbom.format(),
            made_ms: sbom.made().map(|made| made.ms),
            components: sbom.components().iter().map(Part::from).collect(),
        }
    }
}
