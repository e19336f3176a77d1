//! What a trust store remembers besides keys: revocations, security-version floors, used documents.

use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::anchor::ANY_MODEL;
use crate::digest::Digest;
use crate::identity::{IdentityError, Product, required, same};

/// Longest reason or origin in bytes.
pub const MAX_REASON: usize = 200;

/// When and why a key or an image was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// When.
    pub at: Wall,
    /// Why, as the site wrote it.
    pub reason: String,
}

impl std::fmt::Display for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "revoked {}: {}", self.at, self.reason)
    }
}

/// How far the audit log had come when the store was written: what lies on the disk must begin with that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogHead {
    /// Number of entries.
    pub entries: u64,
    /// Root of the tree of these entries.
    pub root: Digest,
    /// Receipts of cases up to this number may be of an earlier log, such as one that a person has set aside.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub aside: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The lowest security version that a product may be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    by: String,
    model: String,
    raised: Wall,
    value: u64,
    vendor: String,
}

impl Floor {
    /// A floor for one model, or by `*` for all of the vendor's; `by` says which case or bundle raised it.
    pub fn new(
        vendor: &str,
        model: &str,
        value: u64,
        raised: Wall,
        by: &str,
    ) -> Result<Floor, IdentityError> {
        let (vendor, model) = (required("vendor", vendor)?, required("model", model)?);
        Ok(Floor { by: required("origin", by)?, model, raised, value, vendor })
    }

    /// The lowest version that passes.
    pub fn value(&self) -> u64 {
        self.value
    }

    /// When it was raised last.
    pub fn raised(&self) -> Wall {
        self.raised
    }

    /// The case or bundle that raised it.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Vendor and model, the model perhaps `*`.
    pub fn product(&self) -> (&str, &str) {
        (&self.vendor, &self.model)
    }

    /// Whether it holds for `product`.
    pub fn covers(&self, product: &Product) -> bool {
        let model = self.model == ANY_MODEL || same(&self.model, product.model());
        same(&self.vendor, product.vendor()) && model
    }

    /// Sorts floors, and tells when two are for one product.
    pub(super) fn key(&self) -> (String, String) {
        (self.vendor.to_lowercase(), self.model.to_lowercase())
    }

    /// Whether [`Floor::new`] would have made it.
    pub(super) fn is_sound(&self) -> bool {
        Floor::new(&self.vendor, &self.model, self.value, self.raised, &self.by).as_ref() == Ok(self)
    }
}

impl std::fmt::Display for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Floor { by, model, raised, value, vendor } = self;
        write!(f, "floor {value} for {vendor} {model}, raised {raised} by {by}")
    }
}

/// How often a signed document was used, and when nobody can use it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// How often.
    pub count: u8,
    /// When it expires; from then on it need not be remembered.
    pub expires: Wall,
}
