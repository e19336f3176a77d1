//! What people sign away from the gateway: approvals, tickets, vouching, break-glass, changes of trust.
//!
//! Each is the payload of a DSSE envelope ([`crate::dsse`]) of type `application/vnd.headgate.KIND.v1+json`,
//! canonical JSON, for one gateway, with a one-shot id and an end. Nothing of a payload is read before a
//! key of the right role has been found to have signed it. Invariant: a [`Signed`] is made here alone.

mod advisories;
mod approval;
mod break_glass;
mod config;
mod downgrade;
mod field;
mod program;
mod replacement;
pub(crate) mod signed;
mod trust_bundle;
mod vouch;

pub use advisories::AdvisoryRelease;
pub use approval::{Approval, Conditions, Decision, MAX_STATIONS, Scope, Subject, Tally};
pub use break_glass::{Action, BreakGlass, Cause, MAX_WINDOW_HOURS, Unverified};
pub use config::ConfigApproval;
pub use downgrade::{Downgrade, MAX_USES, Window};
pub use field::{DocumentId, Moment};
pub use program::Recorded;
pub use replacement::Replacement;
pub use signed::{DocumentError, Signed};
pub use trust_bundle::{NewFloor, NewKey, RevokedDigest, RevokedKey, TrustBundle};
pub use vouch::Vouch;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::dsse::Envelope;
use crate::identity::Slot;
use crate::trust::{Role, Threshold};

/// Longest time from issue to end.
pub const MAX_DAYS: i64 = 366;
/// Longest reason in bytes.
pub const MAX_REASON: usize = 500;
/// Most entries in one list of a document.
pub const MAX_LIST: usize = 256;
/// The gateway text that stands for every gateway, where the kind allows it.
pub const ANY_GATEWAY: &str = "*";

/// What one kind of document says, and who may say it.
pub trait Content: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + Clone {
    /// Its name in the payload type.
    const KIND: &'static str;
    /// Whose signatures count.
    const ROLE: Role;
    /// Whether it may be for every gateway.
    const FOR_ANY_GATEWAY: bool = false;

    /// How often it may be used; `None` as long as it has not expired.
    fn uses(&self) -> Option<u8> {
        Some(1)
    }

    /// Signers that it needs, where the trust store asks for `role` of its role.
    fn needs(&self, role: Threshold) -> Threshold {
        role
    }

    /// What its types alone cannot say.
    fn check(&self) -> Result<(), DocumentError>;
}

/// One document, signed or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "C: Content")]
pub struct Document<C> {
    /// What it says.
    pub content: C,
    /// The first moment it no longer counts at.
    pub expires: Moment,
    /// The gateway it is for, by its exact name.
    pub gateway: String,
    /// Its one-shot number.
    pub id: DocumentId,
    /// When it was made.
    pub issued: Moment,
    /// Why, for whoever reads the record.
    pub reason: String,
}

impl<C: Content> Document<C> {
    /// The type of its payload.
    pub fn payload_type() -> String {
        format!("application/vnd.headgate.{}.v1+json", C::KIND)
    }

    /// The envelope to sign; refuses what would be refused when it is read.
    pub fn to_envelope(&self) -> Result<Envelope, DocumentError> {
        self.check()?;
        Ok(Envelope::new(&Self::payload_type(), canonical::to_vec(self)?)?)
    }

    /// Reads a payload. Who signed it is not known here: use [`Signed::open`] for whatever is to count.
    pub fn parse(payload: &[u8]) -> Result<Document<C>, DocumentError> {
        let document: Document<C> = canonical::from_slice(payload)?.ok_or(DocumentError::NotCanonical)?;
        document.check()?;
        Ok(document)
    }

    fn check(&self) -> Result<(), DocumentError> {
        let days = self.expires.wall().ms.saturating_sub(self.issued.wall().ms);
        if days <= 0 || days > MAX_DAYS * 86_400_000 {
            return Err(DocumentError::Span { issued: self.issued, expires: self.expires });
        }
        // The gateway's name is made as a controller's id is.
        if !(C::FOR_ANY_GATEWAY && self.gateway == ANY_GATEWAY) && Slot::new(&self.gateway).is_err() {
            return Err(DocumentError::field("gateway", &self.gateway));
        }
        field::text("reason", &self.reason, MAX_REASON)?;
        self.content.check()
    }
}

/// Reads a payload of any kind, for tests of the parsers: its type, and its bytes as written again.
#[doc(hidden)]
pub fn round_trip(payload_type: &str, payload: &[u8]) -> Option<Vec<u8>> {
    fn one<C: Content>(payload_type: &str, payload: &[u8]) -> Option<Vec<u8>> {
        let mine = Document::<C>::payload_type() == payload_type;
        let document = mine.then(|| Document::<C>::parse(payload).ok()).flatten()?;
        Some(document.to_envelope().ok()?.payload().to_vec())
    }
    let readers = [
        one::<AdvisoryRelease>,
        one::<Approval>,
        one::<Downgrade>,
        one::<BreakGlass>,
        one::<ConfigApproval>,
        one::<Replacement>,
        one::<Vouch>,
        one::<TrustBundle>,
    ];
    readers.iter().find_map(|read| read(payload_type, payload))
}

#[cfg(test)]
pub(crate) mod tests;
