//! Leave for one box to take the place of another: which backup, of whose, into which TPM.
//!
//! It is checked twice. The new box has no trust store yet and believes the site key that it was provisioned with
//! ([`Signed::open_with_site`]); the trust store in the backup may ask for more signers of the site, and then they must
//! be there too ([`Signed::satisfies`]).

use hal::clock::Wall;
use hal::tpm::SiteKeyPublic;
use serde::{Deserialize, Serialize};

use super::{Content, DocumentError, Moment, Signed, signed};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::trust::{Anchor, PublicKey, Role, Threshold, TrustStore};

/// One box for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// SHA-256 of the backup's manifest, which names everything else in it.
    pub backup: Digest,
    /// When the backup was made: what changed after it is lost.
    pub made: Moment,
    /// SHA-256 of the evidence key (SubjectPublicKeyInfo, DER) of the box that is retired.
    pub retires: Digest,
    /// TPM Name of the attestation key of the box that takes its place, in hexadecimal.
    pub takes_over: String,
}

impl Content for Replacement {
    const KIND: &'static str = "replacement";
    const ROLE: Role = Role::Site;

    fn check(&self) -> Result<(), DocumentError> {
        // TPMI_ALG_HASH of SHA-256, and the digest.
        let digits = self.takes_over.strip_prefix("000b").unwrap_or_default();
        let is_lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match digits.len() == 64 && digits.bytes().all(is_lower_hex) {
            true => Ok(()),
            false => Err(DocumentError::field("takes_over", &self.takes_over)),
        }
    }
}

impl Signed<Replacement> {
    /// Checks an envelope against the site key that the new box was provisioned with.
    pub fn open_with_site(
        envelope: &Envelope,
        site_key: &SiteKeyPublic,
        gateway: &str,
        now: Wall,
    ) -> Result<Signed<Replacement>, DocumentError> {
        let site = Anchor::with_role(Role::Site, PublicKey::from(site_key), "provisioned site key", now)?;
        let found = signed::open(envelope, [&site].into_iter(), |content: &Replacement| {
            content.needs(Threshold::ONE)
        })?;
        found.counts(gateway, now)?;
        Ok(found)
    }

    /// Whether it also counts in the trust store that the backup brings, where that knows a site key at all.
    pub fn satisfies(
        envelope: &Envelope,
        store: &TrustStore,
        gateway: &str,
        now: Wall,
    ) -> Result<(), DocumentError> {
        match store.anchors().iter().any(|anchor| anchor.role() == Role::Site) {
            true => Signed::<Replacement>::open(envelope, store, gateway, now).map(drop),
            false => Ok(()),
        }
    }
}
