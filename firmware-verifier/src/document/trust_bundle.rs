//! A change of trust as the site keys sign it. [`crate::trust::bundle`] applies it.

use serde::{Deserialize, Serialize};

use super::{Content, DocumentError, MAX_LIST, Moment, field};
use crate::digest::Digest;
use crate::trust::anchor::stored_credential;
use crate::trust::record::MAX_REASON;
use crate::trust::{Anchor, AnchorError, KeyId, Role, Scope, Thresholds};

/// One step of the trust store, in the order of its sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustBundle {
    /// Keys to trust.
    pub add: Vec<NewKey>,
    /// Security-version floors to raise.
    pub floors: Vec<NewFloor>,
    /// Keys to trust no longer.
    pub remove: Vec<KeyId>,
    /// Images that are never to be installed again.
    pub revoke_digests: Vec<RevokedDigest>,
    /// Keys that are never to be trusted again.
    pub revoke_keys: Vec<RevokedKey>,
    /// One more than the bundle before.
    pub sequence: u64,
    /// Thresholds from now on; `None` leaves them.
    pub thresholds: Option<Thresholds>,
}

/// A key to trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Who vouches for the identity in `signer`, for `sigstore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Its point in hexadecimal, or the certificate of an authority (DER), or the file with sigstore's keys.
    pub key: String,
    /// Minisign's number in hexadecimal.
    pub key_number: Option<String>,
    /// `ed25519`, `ecdsa-p256`, `minisign`, `x509` or `sigstore`.
    pub kind: String,
    /// Its models; the single `*` for all, and for roles that sign no images.
    pub models: Vec<String>,
    /// Whose it is.
    pub name: String,
    /// What it counts for.
    pub role: Role,
    /// The signer's name below an authority, for `x509`; the identity, for `sigstore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// The first moment it is trusted at.
    pub valid_from: Option<Moment>,
    /// The first moment it is no longer trusted at.
    pub valid_until: Option<Moment>,
    /// Its vendor; `*` for roles that sign no images.
    pub vendor: String,
}

impl NewKey {
    /// The anchor it becomes, once all of it is right.
    pub fn anchor(&self, added: hal::clock::Wall) -> Result<Anchor, AnchorError> {
        let NewKey { kind, key, key_number, signer, issuer, .. } = self;
        let named = (signer.as_deref(), issuer.as_deref());
        let key = stored_credential((kind, key), key_number.as_deref(), named)?;
        let scope = Scope::of_role(self.role, &self.vendor, &self.models)?;
        let anchor = Anchor::made(self.role, key, &self.name, scope, added)?;
        anchor.valid(self.valid_from.map(Moment::wall), self.valid_until.map(Moment::wall))
    }
}

/// A floor to raise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFloor {
    /// The model, or `*`.
    pub model: String,
    /// The lowest security version from now on.
    pub value: u64,
    /// The vendor.
    pub vendor: String,
}

/// A key to revoke; it need not be one that is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedKey {
    /// The key.
    pub key: KeyId,
    /// Why.
    pub reason: String,
}

/// An image to revoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedDigest {
    /// The image.
    pub image: Digest,
    /// Why.
    pub reason: String,
}

impl Content for TrustBundle {
    const KIND: &'static str = "trust-bundle";
    const ROLE: Role = Role::Site;
    const FOR_ANY_GATEWAY: bool = true;

    /// Its sequence number sees to that.
    fn uses(&self) -> Option<u8> {
        None
    }

    fn check(&self) -> Result<(), DocumentError> {
        let lists = [
            ("add", self.add.len()),
            ("floors", self.floors.len()),
            ("remove", self.remove.len()),
            ("revoke_digests", self.revoke_digests.len()),
            ("revoke_keys", self.revoke_keys.len()),
        ];
        for (name, len) in lists {
            if len > MAX_LIST {
                return Err(DocumentError::field(name, &format!("{len} entries")));
            }
        }
        let reasons = self.revoke_keys.iter().map(|r| &r.reason);
        for reason in reasons.chain(self.revoke_digests.iter().map(|r| &r.reason)) {
            field::text("reason", reason, MAX_REASON)?;
        }
        let wrong = |e: AnchorError| DocumentError::field("add", &e.to_string());
        self.add.iter().try_for_each(|key| key.anchor(hal::clock::Wall::trusted(0)).map(drop).map_err(wrong))
    }
}
