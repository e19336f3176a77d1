//! Minisign signatures, prehashed (`ED`): Ed25519 over BLAKE2b-512 of the image, and a second signature
//! that ties the trusted comment to the first.
//!
//! The file has four lines: a comment nobody signs, base64 of (`ED`, key number, signature), the trusted
//! comment, base64 of the signature over signature and trusted comment. The older `Ed` form signs the
//! image itself and is refused: minisign has written `ED` by default since 0.10.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};

use super::ed25519::{self, SIGNATURE_LEN, SignatureFault};
use super::file::SignatureFileError;
use crate::trust::key::{KEY_NUMBER_LEN, PublicKey, key_number_text};

/// Longest comment line in bytes: minisign's own TRUSTEDCOMMENTMAXBYTES.
pub const MAX_COMMENT: usize = 8192;

/// A minisign signature file, read but not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minisign {
    key_number: [u8; KEY_NUMBER_LEN],
    signature: [u8; SIGNATURE_LEN],
    trusted_comment: String,
    global: [u8; SIGNATURE_LEN],
}

impl Minisign {
    /// Reads the four lines of `text`, which starts as a minisign file does.
    pub(super) fn parse(text: &str) -> Result<Minisign, SignatureFileError> {
        let lines: Vec<&str> = text.lines().collect();
        let [untrusted, first, trusted, second] = lines.as_slice() else {
            return Err(SignatureFileError::MinisignLines { found: lines.len() });
        };
        let damaged = |line| SignatureFileError::MinisignLine { line };
        if untrusted.len() > MAX_COMMENT || trusted.len() > MAX_COMMENT {
            return Err(SignatureFileError::MinisignComment);
        }
        let trusted_comment = trusted.strip_prefix(TRUSTED).ok_or(damaged(3))?;
        let (key_number, signature) = parse_first(first)?;
        let global = STANDARD.decode(second).ok().and_then(|g| g.try_into().ok()).ok_or(damaged(4))?;
        Ok(Minisign { key_number, signature, trusted_comment: trusted_comment.to_owned(), global })
    }

    /// The number of the key pair that made it.
    pub fn key_number(&self) -> &[u8; KEY_NUMBER_LEN] {
        &self.key_number
    }

    /// The key number as minisign prints it.
    pub fn key_number_text(&self) -> String {
        key_number_text(&self.key_number)
    }

    /// The trusted comment; to be believed only once [`Minisign::verify`] has passed.
    pub fn trusted_comment(&self) -> &str {
        &self.trusted_comment
    }

    /// Checks both signatures under `key` for an image of this hash.
    pub fn verify(&self, key: &PublicKey, image: &MinisignHash) -> Result<(), MinisignFault> {
        let no_key = MinisignFault::Image(ed25519::SignatureFault::Key);
        let key = key.edwards().ok_or(no_key)?;
        ed25519::verify(key, &self.signature, &[&image.0]).map_err(MinisignFault::Image)?;
        let signed: [&[u8]; 2] = [&self.signature, self.trusted_comment.as_bytes()];
        ed25519::verify(key, &self.global, &signed).map_err(MinisignFault::Comment)
    }
}

/// The line that says algorithm, key number and signature.
fn parse_first(line: &str) -> Result<([u8; KEY_NUMBER_LEN], [u8; SIGNATURE_LEN]), SignatureFileError> {
    let damaged = || SignatureFileError::MinisignLine { line: 2 };
    let bytes = STANDARD.decode(line).map_err(|_| damaged())?;
    let (algorithm, rest) = bytes.split_first_chunk::<2>().ok_or_else(damaged)?;
    let (key_number, signature) = rest.split_first_chunk::<KEY_NUMBER_LEN>().ok_or_else(damaged)?;
    let signature = <[u8; SIGNATURE_LEN]>::try_from(signature).map_err(|_| damaged())?;
    match algorithm {
        b"ED" => Ok((*key_number, signature)),
        b"Ed" => Err(SignatureFileError::Legacy),
        _ => Err(damaged()),
    }
}

/// Hashes an image as minisign does, while it arrives.
#[derive(Debug, Clone, Default)]
pub struct MinisignStream(Blake2b512);

impl MinisignStream {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes so far.
    pub fn finish(self) -> MinisignHash {
        MinisignHash(self.0.finalize().into())
    }
}

/// BLAKE2b-512 of an image (RFC 7693).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinisignHash([u8; 64]);

/// Which of the two signatures does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MinisignFault {
    /// The one over the image.
    #[error("image: {0}")]
    Image(#[source] SignatureFault),
    /// The one over the trusted comment; that over the image is good.
    #[error("trusted comment: {0}")]
    Comment(#[source] SignatureFault),
}

const TRUSTED: &str = "trusted comment: ";

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;
    use crate::trust::KeyKind;

    fn hash(image: &[u8]) -> MinisignHash {
        let mut stream = MinisignStream::default();
        image.iter().for_each(|b| stream.update(&[*b]));
        stream.finish()
    }

    fn key(seed: u8) -> PublicKey {
        let bytes = SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
        PublicKey::new(KeyKind::Minisign { key_number: [1; 8] }, bytes).unwrap()
    }

    fn signed(image: &[u8], comment: &str) -> Minisign {
        let signer = SigningKey::from_bytes(&[1; 32]);
        let signature = signer.sign(&hash(image).0).to_bytes();
        let global = signer.sign(&[signature.as_slice(), comment.as_bytes()].concat()).to_bytes();
        Minisign { key_number: [1; 8], signature, trusted_comment: comment.to_owned(), global }
    }

    #[test]
    fn both_signatures_count() {
        let good = signed(b"image", "v2");
        let image = Err(MinisignFault::Image(SignatureFault::Mismatch));
        let comment = Err(MinisignFault::Comment(SignatureFault::Mismatch));
        assert_eq!(good.verify(&key(1), &hash(b"image")), Ok(()));
        assert_eq!(good.verify(&key(1), &hash(b"imagf")), image);
        assert_eq!(good.verify(&key(2), &hash(b"image")), image);
        let relabelled = Minisign { trusted_comment: "v3".to_owned(), ..good.clone() };
        assert_eq!(relabelled.verify(&key(1), &hash(b"image")), comment);
        let spliced = Minisign { global: signed(b"other", "v2").global, ..good };
        assert_eq!(spliced.verify(&key(1), &hash(b"image")), comment);
    }
}
