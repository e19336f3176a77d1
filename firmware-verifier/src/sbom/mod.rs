//! Lists of parts (SBOM): what an image is made of, as its vendor says.
//!
//! A list counts only with a signature, and only for the image that it names; who checks that is the gauntlet. Here
//! bytes become parts, or a text that says why not.

mod component;
mod cyclonedx;
mod file;
mod hashes;
mod written;

pub use component::Component;
pub use cyclonedx::{MAX_COMPONENTS, MAX_FIELD, Sbom};
pub use file::{MAX_SBOM, SbomError, SbomFile};
pub use written::{Inspected, written};

/// Statements whose predicate is a list of parts that is read here (cyclonedx.org, "BOM" predicate of in-toto). Some
/// tools add the version.
pub(crate) fn is_predicate(kind: &str) -> bool {
    kind.strip_prefix(PREDICATE)
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix("/v").is_some_and(|v| !v.is_empty()))
}

/// What a statement about parts is called.
pub(crate) const PREDICATE: &str = "https://cyclonedx.org/bom";
