//! The proof that an image has walked the gauntlet. Only the gauntlet can make one.
//!
//! Delivery takes a [`Verified`] by value, so one proof is used once. It cannot be copied:
//!
//! ```compile_fail,E0599
//! fn twice(verified: firmware_verifier::verdict::Verified) {
//!     let again: firmware_verifier::verdict::Verified = verified.clone();
//! }
//! ```
//!
//! nor made elsewhere:
//!
//! ```compile_fail,E0451
//! use firmware_verifier::verdict::Verified;
//! fn forge(real: Verified) -> Verified {
//!     Verified { len: 1, ..real }
//! }
//! ```
//!
//! ```compile_fail,E0624
//! fn forge(request: firmware_verifier::Request) {
//!     firmware_verifier::verdict::Verified::mint(todo!(), todo!(), todo!(), todo!(), &request);
//! }
//! ```
//!
//! nor read back from anywhere:
//!
//! ```compile_fail,E0277
//! let forged: firmware_verifier::verdict::Verified = serde_json::from_str("{}").unwrap();
//! ```

use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::Request;
use super::signer::Backing;
use crate::digest::Digest;
use crate::document::DocumentId;
use crate::identity::Slot;
use crate::reasons;
use crate::trust::KeyId;
use crate::verdict::Rejection;

/// An image that has passed every stage, for one slot, under one policy and state, until it expires.
#[derive(Debug)]
#[must_use = "a proof that is dropped releases nothing"]
pub struct Verified {
    digest: Digest,
    len: u64,
    slot: Slot,
    signer: Signer,
    others: Vec<Signer>,
    basis: Basis,
    spends: Option<Spend>,
    policy_epoch: u64,
    state_counter: u64,
    expires: Wall,
}

impl Verified {
    /// The one constructor: the gauntlet calls it after its last stage.
    pub(super) fn mint(
        digest: Digest,
        len: u64,
        backing: &Backing,
        spends: Option<Spend>,
        request: &Request,
    ) -> Option<Verified> {
        let mut signers = backing.signers.iter().map(|a| Signer { id: a.id(), name: a.name().to_owned() });
        let signer = signers.next()?;
        // No verdict outlives the documents that it rests on.
        let expires = backing.until.filter(|end| end.ms < request.expires.ms).unwrap_or(request.expires);
        Some(Verified {
            digest,
            len,
            slot: request.slot.clone(),
            signer,
            others: signers.collect(),
            basis: backing.basis,
            spends,
            policy_epoch: request.policy_epoch,
            state_counter: request.state_counter,
            expires,
        })
    }

    /// The image.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its size in bytes; never 0, so there is no `is_empty`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The slot it may go to.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Who signed it; the first, where several did. Read [`Verified::basis`] before saying so.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// All who signed it, or who vouch for it; see [`Verified::basis`].
    pub fn signers(&self) -> impl Iterator<Item = &Signer> {
        std::iter::once(&self.signer).chain(&self.others)
    }

    /// Who stands behind it and how, in words that never call a vouched image signed.
    pub fn backing(&self) -> String {
        let names: Vec<String> = self.signers().map(ToString::to_string).collect();
        match self.basis {
            Basis::VendorSigned => format!("signed by {}", names.join(" and ")),
            Basis::SiteVouched => format!("site-vouched, not signed: by {}", names.join(" and ")),
        }
    }

    /// Whether its vendor signed it, or the site vouches for it.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// The one-shot document that its use uses up: spend it in the trust store, durably, before the image
    /// is released.
    pub fn spends(&self) -> Option<Spend> {
        self.spends
    }

    /// The policy it was verified under.
    pub fn policy_epoch(&self) -> u64 {
        self.policy_epoch
    }

    /// The state it was verified in.
    pub fn state_counter(&self) -> u64 {
        self.state_counter
    }

    /// The first moment it no longer counts at.
    pub fn expires(&self) -> Wall {
        self.expires
    }

    /// Whether it still counts: same policy, same state, not expired by a trusted clock.
    pub fn is_current(&self, policy_epoch: u64, state_counter: u64, now: Wall) -> Result<(), Rejection> {
        let was = (self.policy_epoch, self.state_counter);
        if was != (policy_epoch, state_counter) {
            let found = format!("a verdict under policy epoch {} and state {}", was.0, was.1);
            let expected = format!("policy epoch {policy_epoch} and state {state_counter}");
            return Err(Rejection::new(reasons::VERDICT_OUTDATED, found, expected));
        }
        if !now.trusted {
            let found = format!("a clock ({now}) that is not trusted");
            let expected = format!("a trusted clock before {}", self.expires);
            return Err(Rejection::new(reasons::CLOCK_UNTRUSTED, found, expected));
        }
        if now.ms >= self.expires.ms {
            let expected = format!("delivery before {}", self.expires);
            return Err(Rejection::new(reasons::VERDICT_EXPIRED, format!("the time {now}"), expected));
        }
        Ok(())
    }
}

/// What a verdict rests on. The two are never shown as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Its vendor signed the image.
    VendorSigned,
    /// Nobody signed the image; the site vouches for it.
    SiteVouched,
}

/// One use of a document: what [`crate::trust::TrustStore::spend`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spend {
    /// The document.
    pub id: DocumentId,
    /// How often it may be used.
    pub uses: u8,
    /// When it expires.
    pub expires: Wall,
    /// When its window closes, at the latest when it expires.
    pub until: Wall,
}

/// Whose key signed an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key.
    pub id: KeyId,
    /// The name its anchor has.
    pub name: String,
}

impl std::fmt::Display for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (key {})", self.name, self.id)
    }
}
