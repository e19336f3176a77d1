//! The revocation stage: what the site has revoked is refused before anything else is asked, however many
//! good signatures stand beside it.

use super::{Finding, Seen, Stepped};
use crate::digest::Digest;
use crate::reasons;
use crate::trust::{Signing, TrustStore};
use crate::verdict::Rejection;

/// Refuses the image, and every key among `signed`, that is revoked. `signed` are all whose signature
/// holds, allowed or not.
pub(super) fn check(store: &TrustStore, digest: &Digest, signed: &[Signing]) -> Stepped {
    if let Some(revocation) = store.revoked_digest(digest) {
        let expected = "an image that the site has not revoked".to_owned();
        return Err(
            Rejection::new(reasons::IMAGE_REVOKED, format!("{digest}, {revocation}"), expected).into()
        );
    }
    for signing in signed {
        let anchor = signing.anchor();
        let revoked = store.revoked_key(anchor.id()).or_else(|| store.revoked_key(signing.key_id()));
        if let Some(revocation) = revoked {
            let found = format!("a good signature by {anchor}, {revocation}");
            let expected = "signatures by keys that the site has not revoked".to_owned();
            return Err(Rejection::new(reasons::SIGNER_REVOKED, found, expected).into());
        }
    }
    let (keys, images) = store.revocations();
    let found = "neither image nor signer is revoked".to_owned();
    let expected = format!("none of {keys} keys and {images} images that are revoked");
    Ok(Seen::Passed(Finding { found, expected }))
}
