//! The trust store's stored form: canonical CBOR (RFC 8949 §4.2) with a domain-separation tag and a schema
//! number. Schema 1 held anchors only; it is read, and written again as schema 2.
//!
//! Invariant: what is read is what would have been written, byte for byte.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::advisories::InstalledAdvisories;
use super::anchor::Anchor;
use super::crl::Crl;
use super::key::KeyId;
use super::record::{Floor, LogHead, Revocation, Used};
use super::role::Role;
use super::store::{MAX_STORE, TrustStore};
use super::store_error::TrustStoreError;
use super::threshold::Thresholds;
use crate::digest::Digest;
use crate::document::DocumentId;

/// What keeps these bytes from being read as anything else.
pub(super) const TAG: &str = "headgate trust store";
/// The schema that is written.
pub(super) const SCHEMA: u32 = 2;

impl TrustStore {
    /// The stored form, not encrypted: equal stores have equal bytes.
    pub fn to_cbor(&self) -> Result<Vec<u8>, TrustStoreError> {
        canonical(Document {
            tag: TAG.to_owned(),
            schema: SCHEMA,
            generation: self.generation,
            anchors: self.anchors.clone(),
            bundle: self.bundle,
            thresholds: self.thresholds.clone(),
            revoked_keys: self.revoked_keys.clone(),
            revoked_digests: self.revoked_digests.clone(),
            floors: self.floors.clone(),
            used: self.used.clone(),
            config: self.config,
            since: self.since,
            log: self.log,
            advisories: self.advisories,
            crls: self.crls.iter().map(|(of, list)| (*of, STANDARD.encode(list.der()))).collect(),
        })
    }

    /// Reads the stored form; refuses everything that this or an earlier version would not have written.
    pub fn from_cbor(bytes: &[u8]) -> Result<TrustStore, TrustStoreError> {
        if bytes.len() > MAX_STORE {
            return Err(TrustStoreError::TooLarge { found: bytes.len() });
        }
        let head: Head = serde_cbor::from_slice(bytes)?;
        match (head.tag.as_str(), head.schema) {
            (TAG, 1) => first(bytes),
            (TAG, SCHEMA) => second(bytes),
            (tag, schema) => Err(TrustStoreError::Schema { tag: tag.chars().take(40).collect(), schema }),
        }
    }
}

fn first(bytes: &[u8]) -> Result<TrustStore, TrustStoreError> {
    let read: DocumentOne = serde_cbor::from_slice(bytes)?;
    let store =
        TrustStore { generation: read.generation, anchors: read.anchors.clone(), ..TrustStore::new() };
    store.check()?;
    let vendors = read.anchors.iter().all(|a| a.role() == Role::Vendor);
    if vendors && canonical(read)? == bytes { Ok(store) } else { Err(TrustStoreError::NotCanonical) }
}

fn second(bytes: &[u8]) -> Result<TrustStore, TrustStoreError> {
    let read: Document = serde_cbor::from_slice(bytes)?;
    let store = TrustStore {
        generation: read.generation,
        anchors: read.anchors,
        bundle: read.bundle,
        thresholds: read.thresholds,
        revoked_keys: read.revoked_keys,
        revoked_digests: read.revoked_digests,
        floors: read.floors,
        used: read.used,
        config: read.config,
        since: read.since,
        log: read.log,
        advisories: read.advisories,
        crls: read.crls.into_iter().map(list).collect::<Result<_, _>>()?,
    };
    store.check()?;
    if store.to_cbor()? == bytes { Ok(store) } else { Err(TrustStoreError::NotCanonical) }
}

fn list((of, text): (Digest, String)) -> Result<(Digest, Crl), TrustStoreError> {
    let der = STANDARD.decode(text).ok();
    let list = der.and_then(|der| Crl::stored(der, of)).ok_or(TrustStoreError::NotCanonical)?;
    Ok((of, list))
}

/// A `Value` keeps map keys in canonical order, whatever the order of the fields.
fn canonical(document: impl Serialize) -> Result<Vec<u8>, TrustStoreError> {
    Ok(serde_cbor::to_vec(&serde_cbor::value::to_value(document)?)?)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    tag: String,
    schema: u32,
    generation: u64,
    anchors: Vec<Anchor>,
    bundle: u64,
    thresholds: Thresholds,
    revoked_keys: BTreeMap<KeyId, Revocation>,
    revoked_digests: BTreeMap<Digest, Revocation>,
    floors: Vec<Floor>,
    used: BTreeMap<DocumentId, Used>,
    config: Option<Digest>,
    /// Not there in a box that replaced none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Wall>,
    /// Not there before the first change of trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<LogHead>,
    /// Not there before the first was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    advisories: Option<InstalledAdvisories>,
    /// Revocation lists in base64, by the SHA-256 of their authority's certificate.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    crls: BTreeMap<Digest, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentOne {
    tag: String,
    schema: u32,
    generation: u64,
    anchors: Vec<Anchor>,
}

/// What every schema starts with, read first so that a newer store is named as such.
#[derive(Deserialize)]
struct Head {
    tag: String,
    schema: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Scope;
    use crate::trust::store::tests::{anchor, store};

    fn plain(seed: u8) -> Anchor {
        anchor(seed, Scope::new("acme", &["*"]).unwrap())
    }

    fn written(change: impl FnOnce(&mut Document)) -> Vec<u8> {
        let store = store(2);
        let mut document = Document {
            tag: TAG.to_owned(),
            schema: SCHEMA,
            generation: store.generation,
            anchors: store.anchors,
            bundle: 0,
            thresholds: Thresholds::default(),
            revoked_keys: BTreeMap::new(),
            revoked_digests: BTreeMap::new(),
            floors: vec![],
            used: BTreeMap::new(),
            config: None,
            since: None,
            log: None,
            advisories: None,
            crls: BTreeMap::new(),
        };
        change(&mut document);
        canonical(document).unwrap()
    }

    fn one(schema: u32, tag: &str, anchors: Vec<Anchor>) -> DocumentOne {
        DocumentOne { tag: tag.to_owned(), schema, generation: 7, anchors }
    }

    #[test]
    fn a_store_of_schema_1_is_read_and_has_the_defaults() {
        let old = canonical(one(1, TAG, store(3).anchors)).unwrap();
        let read = TrustStore::from_cbor(&old).unwrap();
        assert_eq!(read, store(3));
        assert_eq!((read.bundle(), read.thresholds()), (0, &Thresholds::default()));
        assert!(read.anchors().iter().all(|a| a.role() == Role::Vendor));
        let again = read.to_cbor().unwrap();
        assert_ne!(again, old);
        assert_eq!(TrustStore::from_cbor(&again).unwrap(), read);
        let site = Anchor::with_role(Role::Site, *plain(1).key().unwrap(), "site", Wall::trusted(0)).unwrap();
        let odd = canonical(one(1, TAG, vec![site])).unwrap();
        assert!(matches!(TrustStore::from_cbor(&odd), Err(TrustStoreError::NotCanonical)));
    }

    #[test]
    fn a_store_remembers_how_far_the_log_had_come_and_one_of_before_is_read_byte_for_byte() {
        let old = written(|_| ());
        let mut store = TrustStore::from_cbor(&old).unwrap();
        assert_eq!((store.log(), store.to_cbor().unwrap()), (None, old));
        let head = LogHead { entries: 136, root: Digest::of(b"root"), aside: 0 };
        store.remember_log(head);
        assert_eq!((store.log(), store.generation()), (Some(head), 7), "no change of its own");
        assert_eq!(TrustStore::from_cbor(&store.to_cbor().unwrap()).unwrap(), store);
        let anew = LogHead { entries: 1, aside: 9, ..head };
        store.begin_log(anew).unwrap();
        assert_eq!((store.log(), store.generation()), (Some(anew), 8));
        assert_eq!(TrustStore::from_cbor(&store.to_cbor().unwrap()).unwrap(), store);
    }

    #[test]
    fn what_would_not_be_written_is_not_read() {
        let sorted = store(2).anchors;
        let good = written(|_| ());
        assert_eq!(TrustStore::from_cbor(&good).unwrap(), store(2));
        let reversed: Vec<Anchor> = sorted.iter().rev().cloned().collect();
        let unsorted = serde_cbor::to_vec(&one(1, TAG, sorted.clone())).unwrap();
        let floor = |vendor: &str| Floor::new(vendor, "m", 1, Wall::trusted(0), "c").unwrap();
        let long = Revocation { at: Wall::trusted(0), reason: "r".repeat(201) };
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("another schema", canonical(one(3, TAG, sorted.clone())).unwrap(), "schema 3"),
            ("another tag", canonical(one(1, "headgate policy", sorted.clone())).unwrap(), "headgate policy"),
            ("schema 1 without the rest", canonical(one(2, TAG, sorted.clone())).unwrap(), "missing field"),
            ("schema 1 with the rest", written(|d| d.schema = 1), "unknown field"),
            ("out of order", written(|d| d.anchors = reversed), "canonical"),
            ("twice", written(|d| d.anchors = vec![plain(1), plain(1)]), "trusted already"),
            ("fields in another order", unsorted, "canonical"),
            ("too many", written(|d| d.anchors = (0..65).map(plain).collect()), "more than 64"),
            ("floors out of order", written(|d| d.floors = vec![floor("b"), floor("a")]), "canonical"),
            ("one product, two floors", written(|d| d.floors = vec![floor("A"), floor("a")]), "canonical"),
            ("a long reason", written(|d| drop(d.revoked_keys.insert(plain(1).id(), long))), "canonical"),
            ("trailing bytes", [good.as_slice(), &[0]].concat(), "CBOR"),
            ("nothing", vec![], "CBOR"),
            ("deep nesting", vec![0x81; 10_000], "CBOR"),
            ("too large", vec![0; MAX_STORE + 1], "too many"),
        ];
        for (what, bytes, expected) in cases {
            let text = TrustStore::from_cbor(&bytes).unwrap_err().to_string();
            assert!(text.contains(expected), "{what}: {text}");
        }
    }
}
