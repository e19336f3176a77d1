//! One component of an SBOM, as far as it is matched against advisories.

use crate::digest::Digest;

/// What an SBOM says of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Who made it.
    pub supplier: Option<String>,
    /// Package URL.
    pub purl: Option<String>,
    /// CPE 2.3, or 2.2 as a URI.
    pub cpe: Option<String>,
    /// SHA-256 of its file.
    pub sha256: Option<Digest>,
}
