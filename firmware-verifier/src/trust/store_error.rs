//! Why the trust store was not changed or cannot be read.

use hal::clock::Wall;
use hal::reason::ReasonCode;

use super::crl::CrlError;
use super::key::KeyId;
use super::store::MAX_STORE;
use super::stored::{SCHEMA, TAG};
use crate::document::DocumentId;
use crate::reasons;

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
    /// No list to go by.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// A list that is not newer.
    #[error("the list was issued at {found} (seconds since 1970), and one of {have} counts already")]
    OldList {
        /// When it was issued.
        found: u64,
        /// When the one that counts was.
        have: u64,
    },
    /// No anchor has this key.
    #[error("no anchor has key {id}; `trust show` lists them")]
    NotFound {
        /// The key asked for.
        id: KeyId,
    },
    /// A limit is reached.
    #[error("more than {max} {what}; remove what is no longer used")]
    Full {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A site key changes by a signed trust bundle alone.
    #[error("key {id} is a site key; those change only by a trust bundle that the site keys have signed")]
    SiteKey {
        /// The key.
        id: KeyId,
    },
    /// Where there is a site key, an approver comes by a signed trust bundle alone.
    #[error("key {id} is an approver's; where there is a site key, those are added by a trust bundle alone")]
    Approver {
        /// The key.
        id: KeyId,
    },
    /// A revoked key is never trusted again.
    #[error("key {id} was {found}; have the signer make a new key")]
    Revoked {
        /// The key.
        id: KeyId,
        /// When and why.
        found: String,
    },
    /// A floor only rises.
    #[error("security version {value} is not above the {old}")]
    FloorNotRaised {
        /// The value asked for.
        value: u64,
        /// What there is.
        old: String,
    },
    /// Nothing goes back to older advisories.
    #[error(
        "advisories of {found}, given out {issued}; those installed are of {have}, given out {have_issued}"
    )]
    OldAdvisories {
        /// When the newest source of those that were given came out.
        found: Wall,
        /// When they were given out.
        issued: Wall,
        /// The same of those that are installed.
        have: Wall,
        /// The same.
        have_issued: Wall,
    },
    /// A document was used as often as it may be.
    #[error("document {id} may be used {uses} time(s), and was; have a new one signed")]
    Spent {
        /// The document.
        id: DocumentId,
        /// How often it may be used.
        uses: u8,
    },
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
        "found {tag:?} schema {schema}, expected {TAG:?} schema 1 to {SCHEMA}; a newer Headgate may have written it"
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
        use TrustStoreError as E;
        match self {
            E::NotFound { .. } => reasons::ANCHOR_NOT_FOUND,
            E::Revoked { .. } => reasons::SIGNER_REVOKED,
            E::OldAdvisories { .. } => reasons::ADVISORIES_OLDER,
            E::Spent { .. } => reasons::DOCUMENT_USED,
            E::Duplicate { .. }
            | E::Full { .. }
            | E::Worn
            | E::SiteKey { .. }
            | E::Approver { .. }
            | E::Crl(_)
            | E::OldList { .. }
            | E::FloorNotRaised { .. } => reasons::TRUST_CHANGE_REFUSED,
            E::TooLarge { .. } | E::Schema { .. } | E::NotCanonical | E::Cbor(_) => {
                reasons::TRUST_STORE_UNREADABLE
            }
        }
    }
}
