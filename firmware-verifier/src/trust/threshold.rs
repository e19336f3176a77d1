//! How many signers stand behind something. The one place that counts them.
//!
//! Two names for one key are one signer: counting signatures or names instead of keys is how other
//! verifiers let one signer reach a threshold of two. A [`Threshold`] cannot be compared with a number,
//! so whoever has one must ask here:
//!
//! ```compile_fail,E0308
//! let two = firmware_verifier::trust::Threshold::new(2).unwrap();
//! let signatures = 2;
//! assert!(two <= signatures);
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::anchor::Anchor;
use super::key::KeyId;
use super::role::Role;
use crate::identity::{Product, required};

/// Highest threshold: more people than that never sign one thing.
pub const MAX_THRESHOLD: u8 = 16;
/// Most vendors with a threshold of their own.
pub const MAX_VENDORS: usize = 64;

/// One good signature: whose it is, and the key that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    anchor: Anchor,
    key: Vec<u8>,
}

impl Signing {
    /// By the anchor's own key.
    pub fn by(anchor: Anchor) -> Signing {
        Signing { key: anchor.credential().identity(), anchor }
    }

    /// By the key in a certificate, as its subjectPublicKey has it.
    pub fn with_key(anchor: Anchor, key: &[u8]) -> Signing {
        Signing { anchor, key: key.to_vec() }
    }

    /// Whose it is.
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// The name of the key that made it, which may have been pinned or revoked by itself.
    pub fn key_id(&self) -> KeyId {
        KeyId::of(&self.key)
    }
}

/// The number of distinct keys and certified signers among `signers`, whatever their names or kinds.
pub fn distinct_keys<'a>(signers: impl IntoIterator<Item = &'a Anchor>) -> usize {
    groups(signers.into_iter().map(|anchor| BTreeSet::from([anchor.credential().identity()])))
}

/// How many there are that have neither key nor name in common, also by way of others.
fn groups(signers: impl Iterator<Item = BTreeSet<Vec<u8>>>) -> usize {
    let mut groups: Vec<BTreeSet<Vec<u8>>> = Vec::new();
    for mut signer in signers {
        groups.retain(|group| {
            let apart = group.is_disjoint(&signer);
            if !apart {
                signer.extend(group.iter().cloned());
            }
            apart
        });
        groups.push(signer);
    }
    groups.len()
}

/// How many distinct keys must sign: 1 to [`MAX_THRESHOLD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Threshold(u8);

impl Threshold {
    /// One signer.
    pub const ONE: Threshold = Threshold(1);
    /// Two signers: four eyes.
    pub const TWO: Threshold = Threshold(2);

    /// A threshold of `keys`; `None` for 0 and for more than [`MAX_THRESHOLD`].
    pub fn new(keys: u8) -> Option<Threshold> {
        (1..=MAX_THRESHOLD).contains(&keys).then_some(Threshold(keys))
    }

    /// The stricter of both.
    pub fn or_more(self, other: Threshold) -> Threshold {
        Threshold(self.0.max(other.0))
    }

    /// Whether `signers` are enough.
    pub fn check<'a>(self, signers: impl IntoIterator<Item = &'a Anchor>) -> Result<(), TooFew> {
        self.enough(distinct_keys(signers))
    }

    /// Whether these signatures are enough. A key counts once under however many names, and a name once with however
    /// many keys.
    pub fn check_signings<'a>(self, signings: impl IntoIterator<Item = &'a Signing>) -> Result<(), TooFew> {
        let both =
            |signing: &Signing| BTreeSet::from([signing.anchor.credential().identity(), signing.key.clone()]);
        self.enough(groups(signings.into_iter().map(both)))
    }

    fn enough(self, have: usize) -> Result<(), TooFew> {
        if have >= usize::from(self.0) { Ok(()) } else { Err(TooFew { have, need: self }) }
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<u8> for Threshold {
    type Error = &'static str;
    fn try_from(keys: u8) -> Result<Threshold, &'static str> {
        Threshold::new(keys).ok_or("a threshold is 1 to 16 keys")
    }
}

impl From<Threshold> for u8 {
    fn from(threshold: Threshold) -> u8 {
        threshold.0
    }
}

/// Fewer keys than the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{have} distinct key(s), and {need} are needed")]
pub struct TooFew {
    /// How many there are.
    pub have: usize,
    /// How many there must be.
    pub need: Threshold,
}

/// Thresholds of each role, and of single vendors. All are 1 by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    approver: Threshold,
    site: Threshold,
    vendor: Threshold,
    vendors: BTreeMap<String, Threshold>,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        let vendors = BTreeMap::new();
        Thresholds { approver: Threshold::ONE, site: Threshold::ONE, vendor: Threshold::ONE, vendors }
    }
}

impl Thresholds {
    /// The same, with another threshold for `role`.
    pub fn role(mut self, role: Role, threshold: Threshold) -> Thresholds {
        match role {
            Role::Vendor => self.vendor = threshold,
            Role::Site => self.site = threshold,
            Role::Approver => self.approver = threshold,
            Role::Gateway => {} // each has one key of its own
        }
        self
    }

    /// The same, with a threshold for the images of one vendor.
    pub fn vendor(mut self, vendor: &str, threshold: Threshold) -> Thresholds {
        self.vendors.insert(folded(vendor), threshold);
        self
    }

    /// What a document or a change needs.
    pub fn of(&self, role: Role) -> Threshold {
        match role {
            Role::Vendor => self.vendor,
            Role::Site => self.site,
            Role::Approver => self.approver,
            Role::Gateway => Threshold::ONE,
        }
    }

    /// Vendors with a threshold of their own, by name.
    pub fn vendors(&self) -> impl Iterator<Item = (&str, Threshold)> {
        self.vendors.iter().map(|(vendor, threshold)| (vendor.as_str(), *threshold))
    }

    /// What an image for `product` needs.
    pub fn of_product(&self, product: &Product) -> Threshold {
        self.vendors.get(&folded(product.vendor())).copied().unwrap_or(self.vendor)
    }

    /// Few enough vendors, each named as it is looked up.
    pub(super) fn is_sound(&self) -> bool {
        let named = |vendor: &String| required("vendor", vendor).is_ok() && folded(vendor) == *vendor;
        self.vendors.len() <= MAX_VENDORS && self.vendors.keys().all(named)
    }
}

/// One text for all that [`crate::identity::same`] calls the same.
fn folded(vendor: &str) -> String {
    vendor.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use hal::clock::Wall;

    use super::*;
    use crate::trust::{KeyKind, PublicKey, Scope};

    fn anchor(kind: KeyKind, seed: u8, name: &str) -> Anchor {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
        let scope = Scope::new("acme", &["*"]).unwrap();
        Anchor::new(PublicKey::new(kind, key).unwrap(), name, scope, Wall::trusted(0)).unwrap()
    }

    #[test]
    fn one_key_under_many_names_counts_once() {
        let minisign = KeyKind::Minisign { key_number: [1; 8] };
        let signers = [
            anchor(KeyKind::Ed25519, 1, "a"),
            anchor(KeyKind::Ed25519, 1, "b"),
            anchor(minisign, 1, "c"),
            anchor(KeyKind::Ed25519, 2, "d"),
        ];
        assert_eq!(distinct_keys(&signers), 2);
        assert_eq!(distinct_keys([]), 0);
        let three = Threshold::new(3).unwrap();
        assert_eq!(Threshold::TWO.check(&signers), Ok(()));
        assert_eq!(three.check(&signers), Err(TooFew { have: 2, need: three }));
        assert!(Threshold::ONE.check([]).is_err());
    }

    #[test]
    fn a_threshold_is_never_none_and_a_vendor_may_have_its_own() {
        assert!(Threshold::new(0).is_none() && Threshold::new(17).is_none());
        assert!(serde_json::from_str::<Threshold>("0").is_err());
        let thresholds =
            Thresholds::default().role(Role::Site, Threshold::TWO).vendor(" ACME", Threshold::TWO);
        let of = |vendor| thresholds.of_product(&Product::new(vendor, "m").unwrap());
        assert_eq!((of("acme "), of("other")), (Threshold::TWO, Threshold::ONE));
        assert_eq!(thresholds.of(Role::Site), Threshold::TWO);
        assert_eq!(thresholds.of(Role::Approver), Threshold::ONE);
        assert!(thresholds.is_sound());
    }

    /// The compiler keeps a [`Threshold`] from being compared; this keeps signers from being counted.
    #[test]
    fn no_other_file_counts_signers() {
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                seen += 1;
                if path.ends_with("trust/threshold.rs") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                for word in
                    ["distinct_keys(", "signers.len()", "signers().len()", "keys().count()", "u8::from("]
                {
                    assert!(!code.contains(word), "{} counts: {word}", path.display());
                }
                assert!(!code.contains("allowed.len()"), "{}", path.display());
            }
        }
        assert!(seen > 20, "{seen} files");
    }
}
