//! Strict Ed25519, over bytes that arrive in pieces. The only place where a signature is checked.
//!
//! The profile is that of `verify_strict`: cofactorless, S below the group order, neither the key nor R
//! of small order, R compared by its encoding. Other verifiers disagree about such signatures; an image
//! must not be good here and bad in the controller, so all of them are refused.

use ed25519_dalek::StreamVerifier;
use ed25519_dalek::{Signature, VerifyingKey};

/// Bytes of a signature (RFC 8032 §5.1.6).
pub const SIGNATURE_LEN: usize = 64;

/// One signature under one key, and the message so far.
pub struct StrictStream(StreamVerifier);

impl StrictStream {
    /// Starts checking; refuses what no message could make good.
    pub fn new(key: &[u8; 32], signature: &[u8; SIGNATURE_LEN]) -> Result<StrictStream, SignatureFault> {
        let key = VerifyingKey::from_bytes(key).map_err(|_| SignatureFault::Key)?;
        if key.is_weak() {
            return Err(SignatureFault::Key);
        }
        let signature = Signature::from_bytes(signature);
        // R is encoded as a public key is, so the same call decodes it and tells its order.
        let r = VerifyingKey::from_bytes(signature.r_bytes()).map_err(|_| SignatureFault::R)?;
        if r.is_weak() {
            return Err(SignatureFault::R);
        }
        key.verify_stream(&signature).map(StrictStream).map_err(|_| SignatureFault::S)
    }

    /// Takes the next bytes of the message.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Whether the signature is one of the whole message.
    pub fn finish(self) -> Result<(), SignatureFault> {
        self.0.finalize_and_verify().map_err(|_| SignatureFault::Mismatch)
    }
}

impl std::fmt::Debug for StrictStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StrictStream")
    }
}

/// Checks a message that is there as a whole, in the parts given.
pub fn verify(
    key: &[u8; 32],
    signature: &[u8; SIGNATURE_LEN],
    parts: &[&[u8]],
) -> Result<(), SignatureFault> {
    let mut stream = StrictStream::new(key, signature)?;
    parts.iter().for_each(|part| stream.update(part));
    stream.finish()
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFault {
    /// The key is no point or of small order.
    #[error("the public key is weak or no point of the curve")]
    Key,
    /// R is no point or of small order.
    #[error("R of the signature is of small order or no point of the curve")]
    R,
    /// S is not below the group order: a changed copy of another signature.
    #[error("S of the signature is not below the group order")]
    S,
    /// A well-formed signature of something else, or by someone else.
    #[error("the signature is not one of these bytes by this key")]
    Mismatch,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    // RFC 8032 §7.1 TEST 2. More vectors are in `tests/vectors.rs`.
    const KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    #[test]
    fn only_the_signed_message_passes() {
        let (key, signature) = (hex::decode(KEY).unwrap(), hex::decode(SIGNATURE).unwrap());
        assert_eq!(verify(&key, &signature, &[&[], &[0x72], &[]]), Ok(()));
        assert_eq!(verify(&key, &signature, &[&[0x73]]), Err(SignatureFault::Mismatch));
        assert_eq!(verify(&key, &signature, &[]), Err(SignatureFault::Mismatch));
    }
}
