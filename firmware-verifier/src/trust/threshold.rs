//! How many signers stand behind an image. The one place that counts them.
//!
//! Two names for one key are one signer: counting signatures or names instead of keys is how other
//! verifiers let one signer reach a threshold of two.

use std::collections::BTreeSet;

use super::anchor::Anchor;

/// Signers that an image needs.
pub const THRESHOLD: usize = 1;

/// The number of distinct public keys among `signers`, whatever their names or kinds.
pub fn distinct_keys<'a>(signers: impl IntoIterator<Item = &'a Anchor>) -> usize {
    signers.into_iter().map(|anchor| anchor.key().as_bytes()).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use hal::clock::Wall;

    use super::*;
    use crate::trust::{KeyKind, PublicKey, Scope};

    #[test]
    fn one_key_under_many_names_counts_once() {
        let anchor = |kind, seed: u8, name| {
            let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
            let scope = Scope::new("acme", &["*"]).unwrap();
            Anchor::new(PublicKey::new(kind, key).unwrap(), name, scope, Wall::trusted(0)).unwrap()
        };
        let minisign = KeyKind::Minisign { key_number: [1; 8] };
        let signers = [
            anchor(KeyKind::Ed25519, 1, "a"),
            anchor(KeyKind::Ed25519, 1, "b"),
            anchor(minisign, 1, "c"),
            anchor(KeyKind::Ed25519, 2, "d"),
        ];
        assert_eq!(distinct_keys(&signers), 2);
        assert_eq!(distinct_keys([]), 0);
    }
}
