//! What a policy sees: one document with everything that is known when it is asked. Its shape is a contract with whoever
//! writes policies; `docs/policy-input.schema.json` is its JSON Schema. Members are added, never changed.

use serde::Serialize;

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
