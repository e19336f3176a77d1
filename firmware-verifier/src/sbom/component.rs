//! One part of an image, as a list of parts names it.

use crate::digest::Digest;

/// A part: its names, as far as they are known. What looks for weaknesses compares hash, purl, CPE, and name with version,
/// in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Component {
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
    /// SHA-256 of its file.
    pub sha256: Option<Digest>,
}
