//! CMS signatures: signers whom a pinned authority certifies.

use hal::clock::Wall;

use super::Fault;
use super::signer::{mismatch, unknown};
use crate::digest::Digest;
use crate::reasons;
use crate::signature::cms::{Cms, CmsRefusal};
use crate::trust::{Anchor, Credential, Crl, Signing, TrustStore};
use crate::verdict::{Rejection, VerifierError};

/// A signature, and who may have made it: each with the list of its authority.
pub(super) struct CertifiedCheck {
    cms: Cms,
    candidates: Vec<(Anchor, Option<Crl>)>,
}

impl CertifiedCheck {
    pub(super) fn new(cms: Cms, store: &TrustStore) -> Result<CertifiedCheck, Fault> {
        let certified = |anchor: &&Anchor| matches!(anchor.credential(), Credential::Certified(_));
        let with_list = |anchor: &Anchor| {
            let list = match anchor.credential() {
                Credential::Certified(pinned) => store.crl(&pinned.authority_id()).cloned(),
                Credential::Key(_) | Credential::Keyless(_) => None,
            };
            (anchor.clone(), list)
        };
        let candidates: Vec<_> = store.anchors().iter().filter(certified).map(with_list).collect();
        match candidates.is_empty() {
            true => {
                Err(unknown("a CMS signature, and no certified signer among the trust anchors".to_owned()))
            }
            false => Ok(CertifiedCheck { cms, candidates }),
        }
    }

    /// Who of those that are pinned signed this image.
    pub(super) fn signers(self, image: &Digest, now: Wall) -> Result<Vec<Signing>, Fault> {
        let CertifiedCheck { cms, candidates } = self;
        let (mut signers, mut nearest) = (Vec::new(), None);
        for signer in cms.signers() {
            let (mut good, mut revoked) = (Vec::new(), false);
            for (anchor, list) in &candidates {
                let Credential::Certified(pinned) = anchor.credential() else { continue };
                match cms.check(signer, (pinned, list.as_ref()), image, now) {
                    Ok(()) => good.push(Signing::with_key(anchor.clone(), signer.key())),
                    Err(refusal) => {
                        revoked |= refusal == CmsRefusal::Revoked;
                        let fault = fault(&refusal, &signer.subject(), anchor, now);
                        keep_nearest(&mut nearest, nearness(&refusal), fault);
                    }
                }
            }
            // Whom one authority has revoked counts for no other one either.
            if !revoked {
                signers.extend(good);
            }
        }
        match nearest {
            Some((_, fault)) if signers.is_empty() => Err(fault),
            _ => Ok(signers),
        }
    }
}

/// Of several refusals the one that got furthest tells most.
fn keep_nearest(nearest: &mut Option<(u8, Fault)>, rank: u8, fault: Fault) {
    if nearest.as_ref().is_none_or(|(other, _)| rank > *other) {
        *nearest = Some((rank, fault));
    }
}

fn nearness(refusal: &CmsRefusal) -> u8 {
    match refusal {
        CmsRefusal::OtherSigner => 0,
        CmsRefusal::OtherImage { .. } => 1,
        CmsRefusal::Chain(_) => 2,
        CmsRefusal::Revoked => 4,
        _ => 3,
    }
}

fn fault(refusal: &CmsRefusal, subject: &str, anchor: &Anchor, now: Wall) -> Fault {
    let found = format!("{refusal}, signer {subject:?}");
    let rejected = |code, expected: String| Fault::from(Rejection::new(code, found.clone(), expected));
    match refusal {
        CmsRefusal::OtherImage { .. } | CmsRefusal::Signature => mismatch(found),
        CmsRefusal::OtherSigner => unknown(found),
        CmsRefusal::Chain(_) => {
            rejected(reasons::SIGNER_UNKNOWN, format!("a certificate below that of {anchor}"))
        }
        CmsRefusal::Expired => {
            rejected(reasons::SIGNER_EXPIRED, format!("a certificate that is valid at {now}"))
        }
        CmsRefusal::NotYet => {
            rejected(reasons::SIGNER_NOT_YET_VALID, format!("a certificate that is valid at {now}"))
        }
        CmsRefusal::Purpose => rejected(
            reasons::CERTIFICATE_PURPOSE,
            "a certificate without purposes, or with that of signing code".to_owned(),
        ),
        CmsRefusal::Revoked => {
            rejected(reasons::SIGNER_REVOKED, "a certificate that its authority has not revoked".to_owned())
        }
        CmsRefusal::ListExpired => VerifierError::ListExpired { anchor: anchor.to_string(), now }.into(),
        CmsRefusal::Clock => VerifierError::ClockUntrusted { anchor: anchor.to_string(), now }.into(),
    }
}
