//! The site vouches for an image that its vendor did not sign. Such an image shows as site-vouched, never
//! as signed.
//!
//! The word is that of approvers, two at the least, as nobody else has looked at the image. It counts on a
//! gateway that has countersigned it ([`Signed::countersigned`]), with a key that its TPM releases in approved
//! boot states only: approvals alone, on a stick, open nothing.

use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::signed::signers;
use super::{Content, DocumentError, MAX_LIST, Signed, field};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::identity::Slot;
use crate::trust::{Role, Threshold, TrustStore};

/// The site's word for one image; it ends with the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouch {
    /// The controllers it may go to, in order, none twice.
    pub controllers: Vec<Slot>,
    /// The image.
    pub image: Digest,
}

impl Content for Vouch {
    const KIND: &'static str = "vouch";
    const ROLE: Role = Role::Approver;
    const FOR_ANY_GATEWAY: bool = true;

    fn uses(&self) -> Option<u8> {
        None
    }

    fn needs(&self, role: Threshold) -> Threshold {
        role.or_more(Threshold::TWO)
    }

    fn check(&self) -> Result<(), DocumentError> {
        field::list("controllers", &self.controllers, MAX_LIST)
    }
}

impl Signed<Vouch> {
    /// As [`Signed::open`], for a document that this gateway has countersigned, too.
    pub fn countersigned(
        envelope: &Envelope,
        store: &TrustStore,
        gateway: &str,
        now: Wall,
    ) -> Result<Signed<Vouch>, DocumentError> {
        let signed = Signed::open(envelope, store, gateway, now)?;
        if signers(envelope, store.usable(Role::Gateway, now)).is_empty() {
            return Err(DocumentError::Unsigned { role: Role::Gateway });
        }
        Ok(signed)
    }
}
