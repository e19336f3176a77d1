//! Sigstore bundles: keys as everywhere, or identities below an instance whose keys are pinned.

use hal::clock::Wall;

use super::Fault;
use super::by_digest::Says;
use super::signer::{mismatch, unknown};
use crate::digest::Digest;
use crate::reasons;
use crate::signature::sigstore::{SigstoreBundle, SigstoreRefusal};
use crate::trust::{Anchor, Credential, KeyKind, TrustStore};
use crate::verdict::{Rejection, VerifierError};

/// A bundle, and who may have signed it.
pub(super) struct SigstoreCheck {
    bundle: SigstoreBundle,
    candidates: Vec<Anchor>,
}

impl SigstoreCheck {
    pub(super) fn new(bundle: SigstoreBundle, store: &TrustStore) -> Result<SigstoreCheck, Fault> {
        let by_key = bundle.by_key();
        let may = |anchor: &&Anchor| match anchor.credential() {
            Credential::Keyless(_) => !by_key,
            Credential::Key(key) => by_key && matches!(key.kind(), KeyKind::EcdsaP256 | KeyKind::Ed25519),
            Credential::Certified(_) => false,
        };
        let candidates: Vec<Anchor> = store.anchors().iter().filter(may).cloned().collect();
        let kind = if by_key { "key" } else { "sigstore identity" };
        match candidates.is_empty() {
            true => Err(unknown(format!("a sigstore bundle, and no {kind} for it among the trust anchors"))),
            false => Ok(SigstoreCheck { bundle, candidates }),
        }
    }

    pub(super) fn signers(self, image: &Digest, says: Says, now: Wall) -> Result<Vec<Anchor>, Fault> {
        if let Some(anchor) = self.candidates.first().filter(|_| !now.trusted && !self.bundle.by_key()) {
            return Err(VerifierError::ClockUntrusted { anchor: anchor.to_string(), now }.into());
        }
        let SigstoreCheck { bundle, candidates } = self;
        let (mut signers, mut nearest) = (Vec::new(), None);
        for anchor in candidates {
            let checked = match anchor.credential() {
                Credential::Key(key) => bundle.check_key(key, image),
                Credential::Keyless(pinned) => bundle.check_identity(pinned, image),
                Credential::Certified(_) => Err(SigstoreRefusal::OtherSigner),
            };
            match checked {
                Ok(()) => signers.push(anchor),
                Err(refusal) if nearest.as_ref().is_none_or(|(rank, _)| nearness(&refusal) > *rank) => {
                    nearest = Some((nearness(&refusal), fault(&refusal, &anchor)));
                }
                Err(_) => {}
            }
        }
        match (signers.is_empty(), nearest, bundle.envelope()) {
            (true, Some((_, fault)), _) => Err(fault),
            (true, None, _) => Err(unknown("a sigstore bundle".to_owned())),
            (false, _, Some((kind, payload))) => says.check(kind, payload, image).map(|()| signers),
            (false, _, None) => Ok(signers),
        }
    }
}

fn nearness(refusal: &SigstoreRefusal) -> u8 {
    match refusal {
        SigstoreRefusal::OtherSigner => 0,
        SigstoreRefusal::Instance(_) => 1,
        SigstoreRefusal::OtherIdentity(_) => 2,
        _ => 3,
    }
}

fn fault(refusal: &SigstoreRefusal, anchor: &Anchor) -> Fault {
    let found = refusal.to_string();
    match refusal {
        SigstoreRefusal::OtherSigner | SigstoreRefusal::Instance(_) | SigstoreRefusal::OtherIdentity(_) => {
            unknown(found)
        }
        SigstoreRefusal::LogEntry(_) => {
            let expected = format!("a log entry of this image by {anchor}");
            Rejection::new(reasons::LOG_ENTRY_ELSEWHERE, found, expected).into()
        }
        SigstoreRefusal::OtherImage(_) | SigstoreRefusal::Other(_) => mismatch(found),
    }
}
