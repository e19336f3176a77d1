//! The trust store: every anchor of this gateway, and how often the set has changed.
//!
//! Its stored form is canonical CBOR (RFC 8949 §4.2) with a domain-separation tag and a schema number;
//! [`super::seal`] encrypts it. Invariant: anchors are sorted by key id, each id once, so equal stores
//! have equal bytes; and the generation grows by exactly one with each change.

use hal::reason::ReasonCode;
use serde::{Deserialize, Serialize};

use super::anchor::Anchor;
use super::key::KeyId;
use crate::reasons;

/// Most anchors in a store.
pub const MAX_ANCHORS: usize = 64;
/// Largest stored form in bytes. A full store with the longest names is below it.
pub const MAX_STORE: usize = 512 * 1024;

/// The anchors, and the generation of the set.
///
/// A caller that guards against old copies ties the generation to a counter that only grows: persist
/// each change before the next, as one change is one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustStore {
    generation: u64,
    anchors: Vec<Anchor>,
}

impl TrustStore {
    /// An empty store, generation 0.
    pub fn new() -> TrustStore {
        TrustStore::default()
    }

    /// A store of `anchors`, e.g. many at once as the one change `generation`.
    pub fn with(generation: u64, mut anchors: Vec<Anchor>) -> Result<TrustStore, TrustStoreError> {
        anchors.sort_by_key(Anchor::id);
        check(&anchors)?;
        Ok(TrustStore { generation, anchors })
    }

    /// How often the set has changed.
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

    /// Trusts one more key: the next generation. On an error nothing has changed.
    pub fn add(&mut self, anchor: Anchor) -> Result<(), TrustStoreError> {
        let mut anchors = self.anchors.clone();
        anchors.push(anchor);
        *self = TrustStore::with(self.next()?, anchors)?;
        Ok(())
    }

    /// Trusts a key no longer: the next generation. On an error nothing has changed.
    pub fn remove(&mut self, id: KeyId) -> Result<Anchor, TrustStoreError> {
        let next = self.next()?;
        let at = self.anchors.iter().position(|a| a.id() == id).ok_or(TrustStoreError::NotFound { id })?;
        self.generation = next;
        Ok(self.anchors.remove(at))
    }

    fn next(&self) -> Result<u64, TrustStoreError> {
        self.generation.checked_add(1).ok_or(TrustStoreError::Worn)
    }

    /// The stored form, not encrypted: equal stores have equal bytes.
    pub fn to_cbor(&self) -> Result<Vec<u8>, TrustStoreError> {
        let document = Document {
            tag: TAG.to_owned(),
            schema: SCHEMA,
            generation: self.generation,
            anchors: self.anchors.clone(),
        };
        // A `Value` keeps map keys in canonical order, whatever the order of the fields.
        let value = serde_cbor::value::to_value(document)?;
        Ok(serde_cbor::to_vec(&value)?)
    }

    /// Reads the stored form; refuses everything that [`TrustStore::to_cbor`] would not have written.
    pub fn from_cbor(bytes: &[u8]) -> Result<TrustStore, TrustStoreError> {
        if bytes.len() > MAX_STORE {
            return Err(TrustStoreError::TooLarge { found: bytes.len() });
        }
        let head: Head = serde_cbor::from_slice(bytes)?;
        if head.tag != TAG || head.schema != SCHEMA {
            let tag = head.tag.chars().take(40).collect();
            return Err(TrustStoreError::Schema { tag, schema: head.schema });
        }
        let document: Document = serde_cbor::from_slice(bytes)?;
        check(&document.anchors)?;
        let store = TrustStore { generation: document.generation, anchors: document.anchors };
        if store.to_cbor()? == bytes { Ok(store) } else { Err(TrustStoreError::NotCanonical) }
    }
}

/// Few enough, in order, none twice.
fn check(anchors: &[Anchor]) -> Result<(), TrustStoreError> {
    if anchors.len() > MAX_ANCHORS {
        return Err(TrustStoreError::Full);
    }
    for pair in anchors.windows(2) {
        let [a, b] = pair else { continue };
        if a.id() == b.id() {
            return Err(TrustStoreError::Duplicate { id: a.id(), name: a.name().to_owned() });
        }
        if a.id() > b.id() {
            return Err(TrustStoreError::NotCanonical);
        }
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
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

/// A change that cannot be made, or stored bytes that are no trust store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustStoreError {
    /// The key is there already.
    #[error("key {id} is trusted already as {name:?}; remove that anchor first to change its scope")]
    Duplicate {
        /// The key.
        id: KeyId,
        /// The name it has.
        name: String,
    },
    /// No anchor has this key.
    #[error("no anchor has key {id}; `trust show` lists them")]
    NotFound {
        /// The key asked for.
        id: KeyId,
    },
    /// The limit is reached.
    #[error("more than {MAX_ANCHORS} anchors; remove one that is no longer used")]
    Full,
    /// The generation cannot grow.
    #[error("the trust store's generation has reached its end")]
    Worn,
    /// Over the limit.
    #[error("{found} bytes are too many for a trust store (at most {MAX_STORE})")]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// Another kind of document, or another version of it.
    #[error(
        "found {tag:?} schema {schema}, expected {TAG:?} schema {SCHEMA}; a newer Headgate may have written it"
    )]
    Schema {
        /// Its tag.
        tag: String,
        /// Its schema number.
        schema: u32,
    },
    /// Readable, but not as it is written here.
    #[error("the trust store is not in its canonical form: it was not written by Headgate")]
    NotCanonical,
    /// No CBOR of this shape.
    #[error("the trust store cannot be read as CBOR: {0}")]
    Cbor(#[from] serde_cbor::Error),
}

impl TrustStoreError {
    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        use TrustStoreError::{Cbor, Duplicate, Full, NotCanonical, NotFound, Schema, TooLarge, Worn};
        match self {
            NotFound { .. } => reasons::ANCHOR_NOT_FOUND,
            Duplicate { .. } | Full | Worn => reasons::TRUST_CHANGE_REFUSED,
            TooLarge { .. } | Schema { .. } | NotCanonical | Cbor(_) => reasons::TRUST_STORE_UNREADABLE,
        }
    }
}

const TAG: &str = "headgate trust store";
const SCHEMA: u32 = 1;

#[cfg(test)]
pub(crate) mod tests {
    use hal::clock::Wall;

    use super::*;
    use crate::trust::anchor::MAX_MODELS;
    use crate::trust::{KeyKind, PublicKey, Scope};

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
        assert!(matches!(store.add(plain(99)), Err(TrustStoreError::Full)));
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
    fn what_would_not_be_written_is_not_read() {
        let write = |tag: &str, schema, anchors: Vec<Anchor>| {
            let document = Document { tag: tag.to_owned(), schema, generation: 7, anchors };
            serde_cbor::to_vec(&serde_cbor::value::to_value(document).unwrap()).unwrap()
        };
        let sorted = store(2).anchors().to_vec();
        let good = write(TAG, SCHEMA, sorted.clone());
        assert_eq!(TrustStore::from_cbor(&good).unwrap(), store(2));
        let reversed: Vec<Anchor> = sorted.iter().rev().cloned().collect();
        let fields_unsorted = serde_cbor::to_vec(&Document {
            tag: TAG.to_owned(),
            schema: SCHEMA,
            generation: 7,
            anchors: sorted.clone(),
        });
        let cases: &[(&str, Vec<u8>, &str)] = &[
            ("another schema", write(TAG, 2, sorted.clone()), "schema 2"),
            ("another tag", write("headgate policy", SCHEMA, sorted.clone()), "headgate policy"),
            ("out of order", write(TAG, SCHEMA, reversed), "canonical"),
            ("twice", write(TAG, SCHEMA, vec![plain(1), plain(1)]), "trusted already"),
            ("fields in another order", fields_unsorted.unwrap(), "canonical"),
            ("too many", write(TAG, SCHEMA, (0..65).map(plain).collect()), "more than 64"),
            ("trailing bytes", [good.as_slice(), &[0]].concat(), "CBOR"),
            ("nothing", vec![], "CBOR"),
            ("deep nesting", vec![0x81; 10_000], "CBOR"),
            ("too large", vec![0; MAX_STORE + 1], "too many"),
        ];
        for (what, bytes, expected) in cases {
            let text = TrustStore::from_cbor(bytes).unwrap_err().to_string();
            assert!(text.contains(expected), "{what}: {text}");
        }
    }
}
