//! The trust store: keys with their roles, thresholds, revocations, floors, used documents, and how often
//! all of it has changed.
//!
//! Its stored form is in [`super::stored`]; [`super::seal`] encrypts it. Invariant: anchors are sorted by
//! key id, each id once, so equal stores have equal bytes; every list is within its limit; and the
//! generation grows by exactly one with each change.

use std::collections::{BTreeMap, BTreeSet};

use hal::clock::Wall;

use super::advisories::InstalledAdvisories;
use super::anchor::Anchor;
use super::credential::{Certified, Credential};
use super::crl::Crl;
use super::key::KeyId;
use super::record::{Floor, LogHead, MAX_REASON, Revocation, Used};
use super::role::Role;
use super::store_error::TrustStoreError;
use super::threshold::Thresholds;
use crate::digest::Digest;
use crate::document::{ConfigApproval, Content, Document, DocumentId, Replacement, Signed};
use crate::identity::Product;

/// Most anchors in a store.
pub const MAX_ANCHORS: usize = 64;
/// Most revoked keys.
pub const MAX_REVOKED_KEYS: usize = 256;
/// Most revoked images.
pub const MAX_REVOKED_DIGESTS: usize = 1024;
/// Most products with a security-version floor.
pub const MAX_FLOORS: usize = 256;
/// Most one-shot documents remembered until they expire.
pub const MAX_USED: usize = 1024;
/// Most bytes of certificates and revocation lists together: their text is up to twice as long.
pub const MAX_WEIGHT: usize = 192 * 1024;
/// Largest stored form in bytes. A full store with the longest names is below it.
pub const MAX_STORE: usize = 1024 * 1024;

/// Everything that decides whose word counts, and the generation of it.
///
/// A caller that guards against old copies ties the generation to a counter that only grows: persist
/// each change before the next, as one change is one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustStore {
    pub(super) generation: u64,
    pub(super) anchors: Vec<Anchor>,
    pub(super) bundle: u64,
    pub(super) thresholds: Thresholds,
    pub(super) revoked_keys: BTreeMap<KeyId, Revocation>,
    pub(super) revoked_digests: BTreeMap<Digest, Revocation>,
    pub(super) floors: Vec<Floor>,
    pub(super) used: BTreeMap<DocumentId, Used>,
    pub(super) config: Option<Digest>,
    pub(super) since: Option<Wall>,
    pub(super) log: Option<LogHead>,
    pub(super) crls: BTreeMap<Digest, Crl>,
    pub(super) advisories: Option<InstalledAdvisories>,
}

impl TrustStore {
    /// An empty store, generation 0.
    pub fn new() -> TrustStore {
        TrustStore::default()
    }

    /// A store of `anchors`, e.g. many at once as the one change `generation`.
    pub fn with(generation: u64, mut anchors: Vec<Anchor>) -> Result<TrustStore, TrustStoreError> {
        anchors.sort_by_key(Anchor::id);
        let store = TrustStore { generation, anchors, ..TrustStore::default() };
        store.check()?;
        Ok(store)
    }

    /// How often the store has changed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All anchors, by key id.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// The anchor with this key.
    pub fn find(&self, id: KeyId) -> Result<&Anchor, TrustStoreError> {
        self.anchors.iter().find(|a| a.id() == id).ok_or(TrustStoreError::NotFound { id })
    }

    /// The anchors whose signature counts for `role` at `now`: within their span, not revoked.
    pub fn usable(&self, role: Role, now: Wall) -> impl Iterator<Item = &Anchor> {
        let counts = move |a: &&Anchor| a.role() == role && a.is_valid_at(now);
        self.anchors.iter().filter(counts).filter(|a| !self.revoked_keys.contains_key(&a.id()))
    }

    /// The sequence number of the trust bundle applied last; 0 before the first.
    pub fn bundle(&self) -> u64 {
        self.bundle
    }

    /// How many keys must sign what.
    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// When and why this key was revoked, if it was.
    pub fn revoked_key(&self, id: KeyId) -> Option<&Revocation> {
        self.revoked_keys.get(&id)
    }

    /// When and why this image was revoked, if it was.
    pub fn revoked_digest(&self, digest: &Digest) -> Option<&Revocation> {
        self.revoked_digests.get(digest)
    }

    /// Every revoked key, by id.
    pub fn revoked_keys(&self) -> impl Iterator<Item = (&KeyId, &Revocation)> {
        self.revoked_keys.iter()
    }

    /// Every revoked image, by digest.
    pub fn revoked_digests(&self) -> impl Iterator<Item = (&Digest, &Revocation)> {
        self.revoked_digests.iter()
    }

    /// How many keys and how many images are revoked.
    pub fn revocations(&self) -> (usize, usize) {
        (self.revoked_keys.len(), self.revoked_digests.len())
    }

    /// All floors, by vendor and model.
    pub fn floors(&self) -> &[Floor] {
        &self.floors
    }

    /// The floor of `product`: the highest of those that cover it.
    pub fn floor(&self, product: &Product) -> Option<&Floor> {
        self.floors.iter().filter(|floor| floor.covers(product)).max_by_key(|floor| floor.value())
    }

    /// How often a one-shot document was used.
    pub fn used(&self, id: &DocumentId) -> u8 {
        self.used.get(id).map_or(0, |used| used.count)
    }

    /// The digest of the configuration that was approved last.
    pub fn config(&self) -> Option<Digest> {
        self.config
    }

    /// The revocation list of an authority; see [`Certified::authority_id`].
    pub fn crl(&self, authority: &Digest) -> Option<&Crl> {
        self.crls.get(authority)
    }

    /// Every revocation list.
    pub fn crls(&self) -> impl Iterator<Item = &Crl> {
        self.crls.values()
    }

    /// Goes by a newer list of an authority that is pinned: the next generation.
    pub fn import_crl(&mut self, file: &[u8], now: Wall) -> Result<Crl, TrustStoreError> {
        let list = Crl::read(file, self.pinned(), now)?;
        if let Some(old) = self.crls.get(list.authority()).filter(|old| old.issued() >= list.issued()) {
            return Err(TrustStoreError::OldList { found: list.issued(), have: old.issued() });
        }
        self.change(|next| {
            next.crls.insert(*list.authority(), list.clone());
            Ok(list)
        })
    }

    fn pinned(&self) -> impl Iterator<Item = &Certified> {
        self.anchors.iter().filter_map(|anchor| match anchor.credential() {
            Credential::Certified(pinned) => Some(pinned.as_ref()),
            Credential::Key(_) | Credential::Keyless(_) => None,
        })
    }

    /// When this box took the place of another; one-shot documents from before do not count.
    pub fn since(&self) -> Option<Wall> {
        self.since
    }

    /// How far the audit log had come at the last change; `None` before the first.
    pub fn log(&self) -> Option<LogHead> {
        self.log
    }

    /// Remembers how far the audit log has come. It goes with the change that is about to be written, and is none itself.
    pub fn remember_log(&mut self, head: LogHead) {
        self.log = Some(head);
    }

    /// A person had the log set aside, and another has begun: the next generation.
    pub fn begin_log(&mut self, head: LogHead) -> Result<(), TrustStoreError> {
        self.change(|next| {
            next.log = Some(head);
            Ok(())
        })
    }

    /// Takes over what `old` holds, the store of the box that this one replaces, and remembers that the leave for it
    /// was used: one change. Everything is as it was when the backup was made, but one-shot documents that were issued
    /// before now count no more: what the other box has used since then, nobody knows. The log stays this box's own.
    pub fn take_over(
        &mut self,
        old: &TrustStore,
        leave: &Signed<Replacement>,
        now: Wall,
    ) -> Result<(), TrustStoreError> {
        let Document { id, expires, content, .. } = leave.document();
        let uses = content.uses().unwrap_or(1);
        let used_here = self.used.clone();
        self.change(|next| {
            let generation = next.generation;
            *next = TrustStore { generation, since: Some(now), log: next.log, ..old.clone() };
            next.used.extend(used_here);
            next.use_once_more(*id, uses, expires.wall(), now)
        })
    }

    /// Trusts one more key: the next generation. On an error nothing has changed. The first site key is
    /// added so, from what the TPM was provisioned with; from then on site keys and approvers come by a trust
    /// bundle alone: whoever has a shell on the gateway shall not make himself as many approvers as are needed.
    pub fn add(&mut self, anchor: Anchor) -> Result<(), TrustStoreError> {
        let site = self.anchors.iter().any(|a| a.role() == Role::Site);
        match anchor.role() {
            Role::Site if site => Err(TrustStoreError::SiteKey { id: anchor.id() }),
            Role::Approver if site => Err(TrustStoreError::Approver { id: anchor.id() }),
            _ => self.change(|next| next.insert(anchor)),
        }
    }

    /// Trusts a key no longer: the next generation. On an error nothing has changed.
    pub fn remove(&mut self, id: KeyId) -> Result<Anchor, TrustStoreError> {
        if self.find(id)?.role() == Role::Site {
            return Err(TrustStoreError::SiteKey { id });
        }
        self.change(|next| next.take(id))
    }

    /// Raises the floor of a product; a lower or equal value is an error, as nothing would change.
    pub fn raise_floor(&mut self, floor: Floor) -> Result<(), TrustStoreError> {
        self.change(|next| next.raise(floor))
    }

    /// Remembers the configuration that was approved, and that this approval was used. Both are one change: an
    /// approval that counted can never count again, so no older configuration comes back by it.
    pub fn approve_config(
        &mut self,
        approval: &Signed<ConfigApproval>,
        now: Wall,
    ) -> Result<(), TrustStoreError> {
        let Document { id, expires, content, .. } = approval.document();
        let uses = content.uses().unwrap_or(1);
        self.change(|next| {
            next.use_once_more(*id, uses, expires.wall(), now)?;
            next.config = Some(content.config);
            Ok(())
        })
    }

    /// Uses a document once more; it may be used `uses` times until it expires. What has expired by a
    /// trusted clock is forgotten.
    pub fn spend(
        &mut self,
        id: DocumentId,
        uses: u8,
        expires: Wall,
        now: Wall,
    ) -> Result<(), TrustStoreError> {
        self.change(|next| next.use_once_more(id, uses, expires, now))
    }

    fn use_once_more(
        &mut self,
        id: DocumentId,
        uses: u8,
        expires: Wall,
        now: Wall,
    ) -> Result<(), TrustStoreError> {
        self.used.retain(|_, used| !now.trusted || used.expires.ms > now.ms);
        let used = self.used.entry(id).or_insert(Used { count: 0, expires });
        if used.count >= uses {
            return Err(TrustStoreError::Spent { id, uses });
        }
        used.count += 1;
        Ok(())
    }

    /// One change: the next generation, checked as a whole, or nothing.
    pub(super) fn change<T>(
        &mut self,
        make: impl FnOnce(&mut TrustStore) -> Result<T, TrustStoreError>,
    ) -> Result<T, TrustStoreError> {
        let mut next = self.clone();
        next.generation = self.generation.checked_add(1).ok_or(TrustStoreError::Worn)?;
        let made = make(&mut next)?;
        // A list goes with the last anchor of its authority: nobody else could renew it.
        let pinned: BTreeSet<Digest> = next.pinned().map(Certified::authority_id).collect();
        next.crls.retain(|authority, _| pinned.contains(authority));
        next.check()?;
        *self = next;
        Ok(made)
    }

    pub(super) fn insert(&mut self, anchor: Anchor) -> Result<(), TrustStoreError> {
        if let Some(revoked) = self.revoked_keys.get(&anchor.id()) {
            return Err(TrustStoreError::Revoked { id: anchor.id(), found: revoked.to_string() });
        }
        if let Ok(there) = self.find(anchor.id()) {
            return Err(TrustStoreError::Duplicate { id: there.id(), name: there.name().to_owned() });
        }
        let at = self.anchors.partition_point(|a| a.id() < anchor.id());
        self.anchors.insert(at, anchor);
        Ok(())
    }

    pub(super) fn take(&mut self, id: KeyId) -> Result<Anchor, TrustStoreError> {
        let at = self.anchors.iter().position(|a| a.id() == id).ok_or(TrustStoreError::NotFound { id })?;
        Ok(self.anchors.remove(at))
    }

    pub(super) fn raise(&mut self, floor: Floor) -> Result<(), TrustStoreError> {
        let at = self.floors.partition_point(|f| f.key() < floor.key());
        match self.floors.get_mut(at).filter(|f| f.key() == floor.key()) {
            Some(old) if old.value() >= floor.value() => {
                Err(TrustStoreError::FloorNotRaised { value: floor.value(), old: old.to_string() })
            }
            Some(old) => {
                *old = floor;
                Ok(())
            }
            None => {
                self.floors.insert(at, floor);
                Ok(())
            }
        }
    }

    fn weight(&self) -> usize {
        let certificates: usize = self.anchors.iter().map(|a| a.credential().weight()).sum();
        self.crls.values().fold(certificates, |sum, list| sum.saturating_add(list.der().len()))
    }

    /// Few enough of everything, in order, none twice.
    pub(super) fn check(&self) -> Result<(), TrustStoreError> {
        use TrustStoreError::{Duplicate, Full, NotCanonical};
        for (what, found, max) in [
            ("anchors", self.anchors.len(), MAX_ANCHORS),
            ("revoked keys", self.revoked_keys.len(), MAX_REVOKED_KEYS),
            ("revoked images", self.revoked_digests.len(), MAX_REVOKED_DIGESTS),
            ("security-version floors", self.floors.len(), MAX_FLOORS),
            ("used documents", self.used.len(), MAX_USED),
            ("bytes of certificates and their lists", self.weight(), MAX_WEIGHT),
        ] {
            if found > max {
                return Err(Full { what, max });
            }
        }
        for pair in self.anchors.windows(2) {
            let [a, b] = pair else { continue };
            if a.id() == b.id() {
                return Err(Duplicate { id: a.id(), name: a.name().to_owned() });
            }
            if a.id() > b.id() {
                return Err(NotCanonical);
            }
        }
        let reasons = self.revoked_keys.values().chain(self.revoked_digests.values());
        let sorted = self.floors.windows(2).all(|pair| matches!(pair, [a, b] if a.key() < b.key()));
        let sound = sorted
            && self.floors.iter().all(Floor::is_sound)
            && self.thresholds.is_sound()
            && reasons.into_iter().all(|r| r.reason.len() <= MAX_REASON);
        if sound { Ok(()) } else { Err(NotCanonical) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hal::clock::Wall;

    use super::*;
    use crate::trust::anchor::MAX_MODELS;
    use crate::trust::{KeyKind, PublicKey, Scope, Threshold};

    /// An anchor whose key comes from `seed`.
    pub(crate) fn anchor(seed: u8, scope: Scope) -> Anchor {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
        let key = PublicKey::new(KeyKind::Ed25519, key).unwrap();
        Anchor::new(key, &format!("anchor {seed}"), scope, Wall::trusted(i64::from(seed))).unwrap()
    }

    fn plain(seed: u8) -> Anchor {
        anchor(seed, Scope::new("acme", &["*"]).unwrap())
    }

    /// A store of `count` anchors.
    pub(crate) fn store(count: u8) -> TrustStore {
        TrustStore::with(7, (0..count).map(plain).collect()).unwrap()
    }

    #[test]
    fn each_change_is_one_generation_and_a_refused_one_is_none() {
        let mut store = TrustStore::new();
        let id = plain(1).id();
        store.add(plain(1)).unwrap();
        assert!(matches!(store.add(plain(1)), Err(TrustStoreError::Duplicate { .. })));
        assert_eq!((store.generation(), store.find(id).unwrap().name()), (1, "anchor 1"));
        assert_eq!(store.remove(id).unwrap().id(), id);
        assert!(matches!(store.remove(id), Err(TrustStoreError::NotFound { .. })));
        assert_eq!((store.generation(), store.anchors().len()), (2, 0));
        let mut worn = TrustStore::with(u64::MAX, vec![]).unwrap();
        assert!(matches!(worn.add(plain(1)), Err(TrustStoreError::Worn)));
    }

    #[test]
    fn a_full_store_takes_no_more_and_still_fits() {
        let names: Vec<String> = (0..MAX_MODELS).map(|i| format!("{i:0>64}")).collect();
        let scope = Scope::new(&"v".repeat(64), &names).unwrap();
        let full: Vec<Anchor> = (0..64).map(|seed| anchor(seed, scope.clone())).collect();
        let mut store = TrustStore::with(0, full).unwrap();
        assert!(matches!(store.add(plain(99)), Err(TrustStoreError::Full { .. })));
        let revocation = || Revocation { at: Wall::trusted(i64::MAX), reason: "r".repeat(MAX_REASON) };
        let digest = |n: usize| Digest::of(&n.to_be_bytes());
        let id = |n: usize| KeyId::from_bytes(n.to_be_bytes());
        store.revoked_keys = (0..MAX_REVOKED_KEYS).map(|n| (id(n), revocation())).collect();
        store.revoked_digests = (0..MAX_REVOKED_DIGESTS).map(|n| (digest(n), revocation())).collect();
        let floor = |n: usize| {
            let (vendor, model, by) = ("v".repeat(64), format!("{n:0>64}"), "b".repeat(64));
            Floor::new(&vendor, &model, u64::MAX, Wall::trusted(i64::MAX), &by).unwrap()
        };
        store.floors = (0..MAX_FLOORS).map(floor).collect();
        let document = |n: usize| {
            let [.., a, b] = n.to_be_bytes();
            DocumentId::from_bytes([a, b, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0])
        };
        let used = Used { count: 5, expires: Wall::trusted(i64::MAX) };
        store.used = (0..MAX_USED).map(|n| (document(n), used)).collect();
        store.config = Some(digest(0));
        store.log = Some(LogHead { entries: u64::MAX, root: digest(0), aside: u64::MAX });
        for n in 0..64 {
            store.thresholds = store.thresholds.vendor(&format!("{n:0>64}"), Threshold::TWO);
        }
        store.check().unwrap();
        let full = store.clone();
        let fresh = DocumentId::from_bytes([0; 16]);
        let error = store.spend(fresh, 1, Wall::trusted(9), Wall::trusted(0)).unwrap_err();
        assert!(matches!(error, TrustStoreError::Full { what: "used documents", .. }), "{error}");
        assert_eq!(store, full);
        let bytes = store.to_cbor().unwrap();
        assert!(bytes.len() < MAX_STORE, "{}", bytes.len());
        assert_eq!(TrustStore::from_cbor(&bytes).unwrap(), store);
    }

    #[test]
    fn equal_stores_have_equal_bytes_in_any_order_of_adding() {
        let mut other = TrustStore::new();
        (0..5).rev().for_each(|seed| other.add(plain(seed)).unwrap());
        let other = TrustStore::with(7, other.anchors().to_vec()).unwrap();
        assert_eq!(other.to_cbor().unwrap(), store(5).to_cbor().unwrap());
    }

    #[test]
    fn site_keys_are_added_first_and_then_only_by_a_bundle() {
        let site = |seed: u8| {
            Anchor::with_role(Role::Site, *plain(seed).key().unwrap(), "site", Wall::trusted(0)).unwrap()
        };
        let other = |role, seed: u8| {
            Anchor::with_role(role, *plain(seed).key().unwrap(), "other", Wall::trusted(0)).unwrap()
        };
        let mut store = store(1);
        store.add(other(Role::Approver, 7)).unwrap();
        store.add(site(9)).unwrap();
        assert!(matches!(store.add(site(10)), Err(TrustStoreError::SiteKey { .. })));
        assert!(matches!(store.add(other(Role::Approver, 11)), Err(TrustStoreError::Approver { .. })));
        assert!(matches!(store.remove(site(9).id()), Err(TrustStoreError::SiteKey { .. })));
        assert_eq!((store.generation(), store.usable(Role::Site, Wall::trusted(0)).count()), (9, 1));
        store.remove(other(Role::Approver, 7).id()).unwrap();
        store.add(other(Role::Gateway, 12)).unwrap();
    }

    #[test]
    fn a_floor_only_rises_and_the_highest_that_covers_counts() {
        let mut store = TrustStore::new();
        let floor =
            |model: &str, value| Floor::new("Acme", model, value, Wall::trusted(1), "C-000001").unwrap();
        let product = |model: &str| Product::new("acme", model).unwrap();
        store.raise_floor(floor("PX", 3)).unwrap();
        store.raise_floor(floor("*", 5)).unwrap();
        assert_eq!(store.floor(&product("px")).map(Floor::value), Some(5));
        store.raise_floor(floor("px", 6)).unwrap();
        assert_eq!(store.floor(&product("px")).map(Floor::value), Some(6));
        assert_eq!(store.floor(&product("other")).map(Floor::value), Some(5));
        assert_eq!(store.floor(&Product::new("globex", "px").unwrap()), None);
        for value in [5, 6] {
            let error = store.raise_floor(floor("PX", value)).unwrap_err();
            assert!(matches!(error, TrustStoreError::FloorNotRaised { .. }), "{error}");
        }
        assert_eq!((store.generation(), store.floors().len()), (3, 2));
    }

    #[test]
    fn a_document_is_used_as_often_as_it_may_and_forgotten_when_it_has_expired() {
        let mut store = TrustStore::new();
        let (id, other) = (DocumentId::from_bytes([1; 16]), DocumentId::from_bytes([2; 16]));
        let at = Wall::trusted;
        store.spend(id, 2, at(100), at(1)).unwrap();
        store.spend(id, 2, at(100), at(2)).unwrap();
        assert!(matches!(store.spend(id, 2, at(100), at(3)), Err(TrustStoreError::Spent { .. })));
        assert_eq!((store.used(&id), store.generation()), (2, 2));
        store.spend(other, 1, at(200), Wall { ms: 150, trusted: false }).unwrap();
        assert_eq!(store.used(&id), 2, "an untrusted clock forgets nothing");
        assert!(matches!(store.spend(other, 1, at(200), at(100)), Err(TrustStoreError::Spent { .. })));
        store.spend(DocumentId::from_bytes([3; 16]), 1, at(200), at(100)).unwrap();
        assert_eq!((store.used(&id), store.used(&other)), (0, 1));
    }
}
