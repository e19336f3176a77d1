//! From an envelope to a document that counts: type, signers, content, gateway, time, uses, in this order.

use hal::clock::Wall;
use hal::reason::ReasonCode;
use hal::tpm::SiteKeyPublic;

use super::{ANY_GATEWAY, Content, Document, Moment};
use crate::dsse::{DsseError, Envelope};
use crate::reasons;
use crate::trust::threshold::TooFew;
use crate::trust::{Anchor, AnchorError, PublicKey, Role, Threshold, TrustStore};

/// How far ahead of this gateway's clock a signer's clock may be, in milliseconds: clocks that nobody
/// synchronises are minutes apart.
pub(crate) const MAX_SKEW_MS: i64 = 5 * 60 * 1000;

/// A document that enough keys of its role have signed, for this gateway and this time.
#[derive(Debug, Clone, PartialEq)]
pub struct Signed<C> {
    document: Document<C>,
    signers: Vec<Anchor>,
}

impl<C: Content> Signed<C> {
    /// Checks an envelope against the trust store.
    pub fn open(
        envelope: &Envelope,
        store: &TrustStore,
        gateway: &str,
        now: Wall,
    ) -> Result<Signed<C>, DocumentError> {
        let signed = Signed::<C>::open_any(envelope, store, gateway, now)?;
        let (id, used) = (signed.document.id, store.used(&signed.document.id));
        match signed.document.content.uses() {
            Some(uses) if used >= uses => Err(DocumentError::Used { id, uses }),
            _ => Ok(signed),
        }
    }

    /// As [`Signed::open`], for a document one use of which was spent for this very purpose: that it may be
    /// used no more is no reason against it, and that it was never used is one.
    pub(crate) fn open_spent(
        envelope: &Envelope,
        store: &TrustStore,
        gateway: &str,
        now: Wall,
    ) -> Result<Signed<C>, DocumentError> {
        let signed = Signed::<C>::open_any(envelope, store, gateway, now)?;
        match store.used(&signed.document.id) {
            0 => Err(DocumentError::field("id", &format!("{}, which was not spent", signed.document.id))),
            _ => Ok(signed),
        }
    }

    fn open_any(
        envelope: &Envelope,
        store: &TrustStore,
        gateway: &str,
        now: Wall,
    ) -> Result<Signed<C>, DocumentError> {
        let signed = open(envelope, store.usable(C::ROLE, now), |content: &C| {
            content.needs(store.thresholds().of(C::ROLE))
        })?;
        signed.counts(gateway, now)?;
        // A document without a number of uses is ordered by a number of its own.
        match store.since().filter(|since| signed.document.issued.wall().ms < since.ms) {
            Some(since) if signed.document.content.uses().is_some() => {
                Err(DocumentError::Before { issued: signed.document.issued, since })
            }
            _ => Ok(signed),
        }
    }

    /// What it says.
    pub fn document(&self) -> &Document<C> {
        &self.document
    }

    /// What it is about.
    pub fn content(&self) -> &C {
        &self.document.content
    }

    /// Who signed it, each key once.
    pub fn signers(&self) -> &[Anchor] {
        &self.signers
    }

    /// Whether it is for this gateway and this time.
    pub(crate) fn counts(&self, gateway: &str, now: Wall) -> Result<(), DocumentError> {
        let Document { gateway: named, issued, expires, .. } = &self.document;
        if named != gateway && !(C::FOR_ANY_GATEWAY && named == ANY_GATEWAY) {
            return Err(DocumentError::Gateway { found: named.clone(), expected: gateway.to_owned() });
        }
        if !now.trusted {
            return Err(DocumentError::Clock { now });
        }
        if issued.wall().ms > now.ms.saturating_add(MAX_SKEW_MS) {
            return Err(DocumentError::Early { issued: *issued, now });
        }
        if now.ms >= expires.wall().ms {
            return Err(DocumentError::Expired { expires: *expires, now });
        }
        Ok(())
    }
}

impl<C: Content> Signed<C> {
    /// Checks an envelope against the site key that the gateway was provisioned with, without a trust store.
    pub(super) fn open_by(
        envelope: &Envelope,
        site_key: &SiteKeyPublic,
        gateway: &str,
        now: Wall,
    ) -> Result<Signed<C>, DocumentError> {
        let site = Anchor::with_role(Role::Site, PublicKey::from(site_key), "provisioned site key", now)?;
        let signed = open(envelope, [&site].into_iter(), |content: &C| content.needs(Threshold::ONE))?;
        signed.counts(gateway, now)?;
        Ok(signed)
    }
}

/// Type, then whether anybody who may sign did, and only then the payload and whether they are enough.
pub(crate) fn open<'a, C: Content>(
    envelope: &Envelope,
    keys: impl Iterator<Item = &'a Anchor>,
    threshold: impl FnOnce(&C) -> Threshold,
) -> Result<Signed<C>, DocumentError> {
    let expected = Document::<C>::payload_type();
    if envelope.payload_type() != expected {
        let found = envelope.payload_type().to_owned();
        return Err(DocumentError::Type { found, expected });
    }
    let signers = signers(envelope, keys);
    if signers.is_empty() {
        return Err(DocumentError::Unsigned { role: C::ROLE });
    }
    let document = Document::<C>::parse(envelope.payload())?;
    let too_few = |source| DocumentError::TooFew { role: C::ROLE, source };
    threshold(&document.content).check(&signers).map_err(too_few)?;
    Ok(Signed { document, signers })
}

/// Those of `keys` that signed.
pub(crate) fn signers<'a>(envelope: &Envelope, keys: impl Iterator<Item = &'a Anchor>) -> Vec<Anchor> {
    let keys: Vec<&Anchor> = keys.collect();
    let signed = envelope.verify(keys.iter().filter_map(|anchor| anchor.key()));
    keys.into_iter().filter(|anchor| anchor.key().is_some_and(|key| signed.contains(key))).cloned().collect()
}

/// Why a document does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// No envelope.
    #[error(transparent)]
    Envelope(#[from] DsseError),
    /// Another kind of document.
    #[error("a document of type {found:?}, expected {expected:?}; was another file given?")]
    Type {
        /// Its type.
        found: String,
        /// The type that was expected.
        expected: String,
    },
    /// Nobody signed it who may.
    #[error(
        "no signature by a {role} key that is trusted now; have it signed by one that `trust show` lists"
    )]
    Unsigned {
        /// The role that signs such documents.
        role: Role,
    },
    /// Not enough of those who may sign did.
    #[error("signed by too few {role} keys: {source}")]
    TooFew {
        /// The role that signs such documents.
        role: Role,
        /// How many, and how many are needed.
        source: TooFew,
    },
    /// No JSON of this shape.
    #[error("the document cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Readable, but not as it is written here.
    #[error("the document is not in canonical form (sorted keys, one line); it was not written by Headgate")]
    NotCanonical,
    /// A value that is none.
    #[error("{field} {found:?} is not one that a document can have")]
    Field {
        /// Which field.
        field: &'static str,
        /// Its beginning.
        found: String,
    },
    /// Ends before it begins, or too late.
    #[error("issued {issued}, expires {expires}: a document counts for up to {} days", super::MAX_DAYS)]
    Span {
        /// Its start.
        issued: Moment,
        /// Its end.
        expires: Moment,
    },
    /// For another gateway.
    #[error("the document is for gateway {found:?}, and this is {expected:?}")]
    Gateway {
        /// The name in it.
        found: String,
        /// The name of this one.
        expected: String,
    },
    /// The time is not known.
    #[error("the document counts for a limited time, and the clock ({now}) is not trusted; set the clock")]
    Clock {
        /// What the clock says.
        now: Wall,
    },
    /// Issued in the future.
    #[error("the document was issued {issued}, and it is {now}; check both clocks")]
    Early {
        /// When it says it was made.
        issued: Moment,
        /// The time here.
        now: Wall,
    },
    /// Past its end.
    #[error("the document expired {expires}, and it is {now}; have a new one signed")]
    Expired {
        /// Its end.
        expires: Moment,
        /// The time here.
        now: Wall,
    },
    /// Before or after the window that it names.
    #[error("the document is in force from {from} to {until}, and it is {now}")]
    Window {
        /// The first moment inside.
        from: Moment,
        /// The first moment after.
        until: Moment,
        /// The time here.
        now: Wall,
    },
    /// Used up.
    #[error("document {id} may be used {uses} time(s), and was; have a new one signed")]
    Used {
        /// Its number.
        id: super::DocumentId,
        /// How often it may be used.
        uses: u8,
    },
    /// From before this box took the place of another.
    #[error(
        "the document was issued {issued}, and this box took the place of another {since}: that one may have used it; \
         have a new one signed"
    )]
    Before {
        /// When it says it was made.
        issued: Moment,
        /// When the box took over.
        since: Wall,
    },
    /// A key that cannot sign documents.
    #[error(transparent)]
    Key(#[from] AnchorError),
}

impl DocumentError {
    pub(crate) fn field(field: &'static str, found: &str) -> DocumentError {
        DocumentError::Field { field, found: found.chars().take(80).collect() }
    }

    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        use DocumentError as E;
        match self {
            E::Envelope(_)
            | E::Type { .. }
            | E::Json(_)
            | E::NotCanonical
            | E::Field { .. }
            | E::Span { .. } => reasons::DOCUMENT_UNREADABLE,
            E::Unsigned { .. } | E::Key(_) => reasons::DOCUMENT_NOT_SIGNED,
            E::TooFew { .. } => reasons::SIGNERS_TOO_FEW,
            E::Gateway { .. } => reasons::DOCUMENT_ELSEWHERE,
            E::Clock { .. } => reasons::CLOCK_UNTRUSTED,
            E::Early { .. } | E::Expired { .. } | E::Window { .. } => reasons::DOCUMENT_EXPIRED,
            E::Used { .. } | E::Before { .. } => reasons::DOCUMENT_USED,
        }
    }
}
