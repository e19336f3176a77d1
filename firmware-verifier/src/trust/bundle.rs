//! Applying a trust bundle: one signed step of the trust store, shown before it is accepted.
//!
//! The rules are those of a TUF root (TUF specification §5.3): exactly the next number, signed by enough
//! of the old site keys and by enough of the new ones. Invariants: after it there are at least as many
//! usable site keys as their threshold; a key that is revoked is not trusted, whatever else the bundle
//! says; a floor never falls.

use std::collections::BTreeSet;

use hal::clock::Wall;
use hal::reason::ReasonCode;
use serde::Serialize;

use super::anchor::{Anchor, AnchorError};
use super::key::KeyId;
use super::record::{Floor, Revocation};
use super::role::Role;
use super::store::TrustStore;
use super::store_error::TrustStoreError;
use super::threshold::{Thresholds, TooFew};
use crate::digest::Digest;
use crate::document::{DocumentError, Signed, TrustBundle, signed as signers};
use crate::dsse::Envelope;
use crate::identity::IdentityError;
use crate::reasons;

/// What a bundle changes, for whoever accepts it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Changes {
    /// Its sequence number.
    pub sequence: u64,
    /// Keys that are trusted from now on.
    pub added: Vec<KeyChange>,
    /// Keys that are trusted no longer.
    pub removed: Vec<KeyChange>,
    /// Keys that the bundle would add and does not, as they are revoked.
    pub not_added: Vec<KeyChange>,
    /// Keys that are revoked from now on; with their anchor where there is one.
    pub revoked_keys: Vec<(KeyId, Option<KeyChange>, String)>,
    /// Images that are revoked from now on, and why.
    pub revoked_digests: Vec<(Digest, String)>,
    /// Floors: product, the value before, the value from now on.
    pub floors: Vec<(String, Option<u64>, u64)>,
    /// Thresholds before and from now on, where they change.
    pub thresholds: Option<(Thresholds, Thresholds)>,
}

/// A key as it is compared with what its owner says on the telephone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    /// Its id.
    pub id: KeyId,
    /// What its signatures are checked with, in words: the kind of key, or the signer and who stands behind him.
    pub credential: String,
    /// What two people compare; see [`super::Credential::fingerprint`].
    pub fingerprint: Digest,
    /// Whose it is.
    pub name: String,
    /// What it counts for.
    pub role: Role,
    /// For which products, or everything.
    pub scope: String,
    /// The first moment it is no longer trusted at.
    pub valid_until: Option<Wall>,
}

impl From<&Anchor> for KeyChange {
    fn from(anchor: &Anchor) -> KeyChange {
        KeyChange {
            id: anchor.id(),
            credential: anchor.credential().to_string(),
            fingerprint: anchor.credential().fingerprint(),
            name: anchor.name().to_owned(),
            role: anchor.role(),
            scope: anchor.scope().to_string(),
            valid_until: anchor.valid_until(),
        }
    }
}

impl TrustBundle {
    /// The store after the bundle, and what is different. Nothing counts until the caller has written the
    /// store; `store` itself stays as it is.
    pub fn apply(
        envelope: &Envelope,
        store: &TrustStore,
        gateway: &str,
        now: Wall,
    ) -> Result<(TrustStore, Changes), BundleError> {
        if store.usable(Role::Site, now).next().is_none() {
            return Err(BundleError::NoSiteKey);
        }
        let old = store.thresholds().of(Role::Site);
        let signed: Signed<TrustBundle> = signers::open(envelope, store.usable(Role::Site, now), |_| old)?;
        signed.counts(gateway, now)?;
        let bundle = signed.content();
        sequence(bundle.sequence, store.bundle())?;
        let mut next = store.clone();
        next.generation = store.generation.checked_add(1).ok_or(TrustStoreError::Worn)?;
        let changes = step(bundle, &mut next, now)?;
        next.check()?;
        let threshold = next.thresholds().of(Role::Site);
        threshold.check(next.usable(Role::Site, now)).map_err(|source| BundleError::TooFewLeft { source })?;
        let new = signers::signers(envelope, next.usable(Role::Site, now));
        threshold.check(&new).map_err(|source| BundleError::NewKeys { source })?;
        Ok((next, changes))
    }
}

/// Exactly the next one. An old one is named as such: it would bring back what was taken away.
fn sequence(found: u64, last: u64) -> Result<(), BundleError> {
    match last.checked_add(1) {
        Some(next) if found == next => Ok(()),
        _ if found <= last => Err(BundleError::Rollback { found, last }),
        _ => Err(BundleError::Gap { found, last }),
    }
}

/// Revokes first, so that what is added afterwards meets it.
fn step(bundle: &TrustBundle, next: &mut TrustStore, now: Wall) -> Result<Changes, BundleError> {
    let mut changes = Changes { sequence: bundle.sequence, ..Changes::default() };
    next.bundle = bundle.sequence;
    revoke(bundle, next, now, &mut changes);
    for id in &bundle.remove {
        changes.removed.push(KeyChange::from(&next.take(*id)?));
    }
    let revoked_here: BTreeSet<KeyId> = bundle.revoke_keys.iter().map(|r| r.key).collect();
    for key in &bundle.add {
        let anchor = key.anchor(now)?;
        let change = KeyChange::from(&anchor);
        if revoked_here.contains(&anchor.id()) {
            changes.not_added.push(change);
            continue;
        }
        if let Ok(there) = next.find(anchor.id()) {
            let name = there.name().to_owned();
            return Err(TrustStoreError::Duplicate { id: anchor.id(), name }.into());
        }
        next.insert(anchor)?;
        changes.added.push(change);
    }
    for floor in &bundle.floors {
        let by = format!("trust bundle {}", bundle.sequence);
        let new = Floor::new(&floor.vendor, &floor.model, floor.value, now, &by)?;
        let before = next.floors.iter().find(|f| f.key() == new.key()).map(Floor::value);
        changes.floors.push((format!("{} {}", floor.vendor, floor.model), before, floor.value));
        next.raise(new)?;
    }
    if let Some(thresholds) = bundle.thresholds.as_ref().filter(|t| *t != next.thresholds()) {
        changes.thresholds = Some((next.thresholds.clone(), thresholds.clone()));
        next.thresholds = thresholds.clone();
    }
    Ok(changes)
}

/// A revoked key keeps its anchor: an image it signed is refused by its name. The first revocation stays.
fn revoke(bundle: &TrustBundle, next: &mut TrustStore, now: Wall, changes: &mut Changes) {
    for revoked in &bundle.revoke_keys {
        let anchor = next.find(revoked.key).ok().map(KeyChange::from);
        let new = Revocation { at: now, reason: revoked.reason.clone() };
        if next.revoked_keys.contains_key(&revoked.key) {
            continue;
        }
        next.revoked_keys.insert(revoked.key, new);
        changes.revoked_keys.push((revoked.key, anchor, revoked.reason.clone()));
    }
    for revoked in &bundle.revoke_digests {
        let new = Revocation { at: now, reason: revoked.reason.clone() };
        if next.revoked_digests.contains_key(&revoked.image) {
            continue;
        }
        next.revoked_digests.insert(revoked.image, new);
        changes.revoked_digests.push((revoked.image, revoked.reason.clone()));
    }
}

/// Why a bundle is not applied. The store has not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Not signed, not for this gateway, not now, or not readable.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Nobody could have signed it.
    #[error(
        "no site key is trusted now, so no trust bundle can count; add the site key of this gateway first"
    )]
    NoSiteKey,
    /// One that was applied before, or an older one.
    #[error("trust bundle {found}, but {last} was applied already: an old bundle would undo what came later")]
    Rollback {
        /// Its number.
        found: u64,
        /// The number of the last.
        last: u64,
    },
    /// One is missing in between.
    #[error("trust bundle {found} does not follow {last}; apply those in between first")]
    Gap {
        /// Its number.
        found: u64,
        /// The number of the last.
        last: u64,
    },
    /// Nobody could change trust afterwards.
    #[error("after it there would be too few site keys: {source}")]
    TooFewLeft {
        /// How many.
        source: TooFew,
    },
    /// The old keys signed, the new ones did not.
    #[error(
        "the site keys as they would be have not signed it: {source}; the new keys must show that they can"
    )]
    NewKeys {
        /// How many did.
        source: TooFew,
    },
    /// A key that cannot be trusted.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] IdentityError),
    /// A change that cannot be made.
    #[error(transparent)]
    Store(#[from] TrustStoreError),
}

impl BundleError {
    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        match self {
            BundleError::Document(error) => error.code(),
            BundleError::Store(error) => error.code(),
            BundleError::Rollback { .. } => reasons::BUNDLE_ROLLBACK,
            BundleError::NewKeys { .. } => reasons::SIGNERS_TOO_FEW,
            BundleError::NoSiteKey
            | BundleError::Gap { .. }
            | BundleError::TooFewLeft { .. }
            | BundleError::Anchor(_)
            | BundleError::Name(_) => reasons::TRUST_CHANGE_REFUSED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::{GATEWAY, NOW, document, envelope, store};
    use crate::document::{NewFloor, NewKey, RevokedDigest, RevokedKey};
    use crate::dsse::tests::key;
    use crate::reasons as r;
    use crate::trust::Threshold;

    fn new_key(seed: u8, role: Role) -> NewKey {
        let (vendor, models) = match role {
            Role::Vendor => ("acme", "px"),
            Role::Site | Role::Approver | Role::Gateway => ("*", "*"),
        };
        NewKey {
            key: crate::hex::encode(key(seed).as_bytes()),
            key_number: None,
            kind: "ed25519".into(),
            models: vec![models.into()],
            name: format!("new {seed}"),
            role,
            issuer: None,
            signer: None,
            valid_from: None,
            valid_until: None,
            vendor: vendor.into(),
        }
    }

    fn revoke(seed: u8) -> RevokedKey {
        RevokedKey { key: key(seed).id(), reason: "stolen".into() }
    }

    fn apply(
        bundle: TrustBundle,
        seeds: &[u8],
        store: &TrustStore,
    ) -> Result<(TrustStore, Changes), ReasonCode> {
        let applied = TrustBundle::apply(&envelope(&document(bundle), seeds), store, GATEWAY, NOW);
        applied.map_err(|e| e.code())
    }

    fn first() -> TrustBundle {
        TrustBundle { sequence: 1, ..TrustBundle::default() }
    }

    #[test]
    fn a_bundle_is_one_step_and_shows_what_it_changes() {
        let bundle = TrustBundle {
            add: vec![new_key(3, Role::Vendor), new_key(4, Role::Approver)],
            remove: vec![key(1).id()],
            floors: vec![NewFloor { model: "px".into(), value: 7, vendor: "acme".into() }],
            revoke_digests: vec![RevokedDigest { image: Digest::of(b"bad"), reason: "a hole".into() }],
            revoke_keys: vec![revoke(22), revoke(99)],
            thresholds: Some(Thresholds::default().role(Role::Vendor, Threshold::TWO)),
            ..first()
        };
        let (next, changes) = apply(bundle.clone(), &[11], &store()).unwrap();
        assert_eq!((next.generation(), next.bundle()), (2, 1));
        let ids = |list: &[KeyChange]| list.iter().map(|k| k.id).collect::<Vec<_>>();
        assert_eq!(ids(&changes.added), [key(3).id(), key(4).id()]);
        assert_eq!(changes.added[0].fingerprint, Digest::of(&key(3).to_spki().unwrap()));
        assert_eq!(changes.added[0].credential, "ed25519");
        assert_eq!(ids(&changes.removed), [key(1).id()]);
        assert_eq!(changes.revoked_keys[0].1.as_ref().map(|k| k.name.as_str()), Some("approver 22"));
        assert_eq!(changes.revoked_keys[1], (key(99).id(), None, "stolen".into()));
        assert_eq!(changes.floors, [("acme px".into(), None, 7)]);
        assert!(changes.thresholds.is_some());
        assert_eq!(next.revoked_digest(&Digest::of(b"bad")).map(|r| r.at), Some(NOW));
        assert_eq!(next.usable(Role::Approver, NOW).count(), 2, "22 is revoked, 4 is new");
        assert_eq!(TrustStore::from_cbor(&next.to_cbor().unwrap()).unwrap(), next);
        assert_eq!(apply(bundle, &[11], &next), Err(r::BUNDLE_ROLLBACK), "the same bundle again");
    }

    #[test]
    fn what_breaks_a_rule_changes_nothing() {
        let with = |change: fn(&mut TrustBundle)| {
            let mut bundle = first();
            change(&mut bundle);
            bundle
        };
        let rows: Vec<(&str, TrustBundle, &[u8], ReasonCode)> = vec![
            ("nobody signed", first(), &[], r::DOCUMENT_NOT_SIGNED),
            ("an approver signed", first(), &[21], r::DOCUMENT_NOT_SIGNED),
            ("an old one", with(|b| b.sequence = 0), &[11], r::BUNDLE_ROLLBACK),
            ("one too far", with(|b| b.sequence = 2), &[11], r::TRUST_CHANGE_REFUSED),
            ("a key that is not there", with(|b| b.remove = vec![key(50).id()]), &[11], r::ANCHOR_NOT_FOUND),
            (
                "a key that is there",
                with(|b| b.add = vec![new_key(1, Role::Vendor)]),
                &[11],
                r::TRUST_CHANGE_REFUSED,
            ),
            ("a second role", with(|b| b.add = vec![new_key(1, Role::Site)]), &[11], r::TRUST_CHANGE_REFUSED),
            (
                "no site key left",
                with(|b| b.remove = vec![key(11).id(), key(12).id()]),
                &[11],
                r::TRUST_CHANGE_REFUSED,
            ),
            (
                "all site keys revoked",
                with(|b| b.revoke_keys = vec![revoke(11), revoke(12)]),
                &[11],
                r::TRUST_CHANGE_REFUSED,
            ),
            (
                "a threshold that nobody can reach",
                with(|b| {
                    b.thresholds = Some(Thresholds::default().role(Role::Site, Threshold::new(3).unwrap()))
                }),
                &[11, 12],
                r::TRUST_CHANGE_REFUSED,
            ),
            (
                "a threshold that has not signed",
                with(|b| b.thresholds = Some(Thresholds::default().role(Role::Site, Threshold::TWO))),
                &[11],
                r::SIGNERS_TOO_FEW,
            ),
        ];
        let store = store();
        for (what, bundle, seeds, code) in rows {
            assert_eq!(apply(bundle, seeds, &store).unwrap_err(), code, "{what}");
        }
        let mut raised = store.clone();
        raised.raise_floor(Floor::new("acme", "px", 7, NOW, "C-000001").unwrap()).unwrap();
        let lower =
            with(|b| b.floors = vec![NewFloor { model: "PX".into(), value: 6, vendor: "acme".into() }]);
        assert_eq!(apply(lower, &[11], &raised), Err(r::TRUST_CHANGE_REFUSED));
        let elsewhere = TrustBundle::apply(&envelope(&document(first()), &[11]), &store, "cell-5", NOW);
        assert_eq!(elsewhere.unwrap_err().code(), r::DOCUMENT_ELSEWHERE);
        let none = TrustBundle::apply(&envelope(&document(first()), &[11]), &TrustStore::new(), GATEWAY, NOW);
        assert!(matches!(none, Err(BundleError::NoSiteKey)));
    }

    /// Site keys 11 and 12 make way for 13 and 14, two of two before and after.
    #[test]
    fn new_site_keys_need_the_old_threshold_and_the_new_one() {
        let two = Thresholds::default().role(Role::Site, Threshold::TWO);
        let (store, _) =
            apply(TrustBundle { thresholds: Some(two), ..first() }, &[11, 12], &store()).unwrap();
        let rotation = || TrustBundle {
            sequence: 2,
            add: vec![new_key(13, Role::Site), new_key(14, Role::Site)],
            remove: vec![key(11).id(), key(12).id()],
            ..TrustBundle::default()
        };
        for (what, seeds) in [
            ("the old keys alone", &[11, 12][..]),
            ("the new keys alone", &[13, 14]),
            ("one old, both new", &[11, 13, 14]),
            ("both old, one new", &[11, 12, 13]),
            ("one old twice", &[11, 11, 13, 14]),
        ] {
            assert!(apply(rotation(), seeds, &store).is_err(), "{what}");
        }
        let (next, _) = apply(rotation(), &[11, 12, 13, 14], &store).unwrap();
        let third = TrustBundle { sequence: 3, ..TrustBundle::default() };
        assert_eq!(apply(third.clone(), &[11, 12], &next), Err(r::DOCUMENT_NOT_SIGNED));
        assert!(apply(third, &[13, 14], &next).is_ok());
    }

    #[test]
    fn revocation_wins_over_adding() {
        let both =
            TrustBundle { add: vec![new_key(3, Role::Vendor)], revoke_keys: vec![revoke(3)], ..first() };
        let (next, changes) = apply(both, &[11], &store()).unwrap();
        assert!(changes.added.is_empty() && next.find(key(3).id()).is_err());
        assert_eq!(changes.not_added[0].id, key(3).id());
        let later =
            TrustBundle { sequence: 2, add: vec![new_key(3, Role::Vendor)], ..TrustBundle::default() };
        assert_eq!(apply(later, &[11], &next), Err(r::SIGNER_REVOKED));
    }

    #[test]
    fn a_revoked_or_expired_site_key_signs_no_bundle() {
        let (next, _) =
            apply(TrustBundle { revoke_keys: vec![revoke(12)], ..first() }, &[11], &store()).unwrap();
        let second = TrustBundle { sequence: 2, ..TrustBundle::default() };
        assert_eq!(apply(second.clone(), &[12], &next), Err(r::DOCUMENT_NOT_SIGNED));
        assert!(apply(second, &[11], &next).is_ok());
    }
}
