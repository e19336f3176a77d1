//! The trust store on disk: encrypted and authenticated with the key that only this gateway unseals.
//!
//! ```text
//! offset  0         8         10       22                      len-16
//!         | magic   | version | nonce  | AES-256-GCM ciphertext | tag |
//!         '------ authenticated ------'
//! ```
//! The AES key is HKDF-SHA256 of the unsealed key under a tag of its own, so the unsealed key may serve
//! other purposes too. The caller gives a nonce that it never uses twice: 12 random bytes for each change
//! are safe for 2^32 changes (NIST SP 800-38D §8.3).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use hal::reason::ReasonCode;
use zeroize::Zeroizing;

use super::store::{MAX_STORE, TrustStore};
use super::store_error::TrustStoreError;
use crate::reasons;

/// Bytes of the key that the TPM unseals.
pub const SEAL_KEY_LEN: usize = 32;
/// Largest sealed store in bytes.
pub const MAX_SEALED: usize = HEADER_LEN + MAX_STORE + MAX_TAG_LEN;

impl TrustStore {
    /// The sealed form. `nonce` must be fresh: never used before with this key.
    pub fn seal(&self, key: &[u8; SEAL_KEY_LEN], nonce: [u8; NONCE_LEN]) -> Result<Vec<u8>, SealError> {
        let mut body = Zeroizing::new(self.to_cbor()?);
        if body.len() > MAX_STORE {
            return Err(TrustStoreError::TooLarge { found: body.len() }.into());
        }
        let header = [MAGIC.as_slice(), &VERSION.to_be_bytes(), &nonce].concat();
        let nonce = Nonce::assume_unique_for_key(nonce);
        derive(key)
            .and_then(|aes| aes.seal_in_place_append_tag(nonce, Aad::from(&header), &mut *body))
            .map_err(|Unspecified| SealError::Cipher)?;
        Ok([header.as_slice(), &body].concat())
    }

    /// Opens the sealed form with the same key.
    pub fn unseal(bytes: &[u8], key: &[u8; SEAL_KEY_LEN]) -> Result<TrustStore, SealError> {
        if bytes.len() > MAX_SEALED {
            return Err(SealError::TooLarge { found: bytes.len() });
        }
        let short = SealError::Short { found: bytes.len() };
        if bytes.len() < HEADER_LEN + MAX_TAG_LEN {
            return Err(short);
        }
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Err(short) };
        let nonce = read_header(header)?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = derive(key)
            .map_err(|Unspecified| SealError::Cipher)?
            .open_in_place(nonce, Aad::from(header), &mut body)
            .map_err(|Unspecified| SealError::Open)?;
        Ok(TrustStore::from_cbor(plain)?)
    }
}

/// The nonce, once magic and version are right.
fn read_header(header: &[u8; HEADER_LEN]) -> Result<Nonce, SealError> {
    let rest = header.strip_prefix(MAGIC.as_slice()).ok_or(SealError::Magic)?;
    let [high, low, nonce @ ..] = rest else { return Err(SealError::Magic) };
    match u16::from_be_bytes([*high, *low]) {
        VERSION => Nonce::try_assume_unique_for_key(nonce).map_err(|Unspecified| SealError::Magic),
        found => Err(SealError::Version { found }),
    }
}

/// The AES key of the trust store, made from the unsealed key.
fn derive(key: &[u8; SEAL_KEY_LEN]) -> Result<LessSafeKey, Unspecified> {
    let master = Salt::new(HKDF_SHA256, SALT).extract(key);
    let mut derived = Zeroizing::new([0; SEAL_KEY_LEN]);
    master.expand(&[INFO], HKDF_SHA256)?.fill(derived.as_mut_slice())?;
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_slice())?))
}

/// Bytes that are no sealed trust store of this gateway.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Shorter than a header and a tag.
    #[error("sealed trust store cut short: {found} bytes, at least {} expected; restore the file", HEADER_LEN + MAX_TAG_LEN)]
    Short {
        /// Its size.
        found: usize,
    },
    /// Over the limit.
    #[error("{found} bytes are too many for a sealed trust store (at most {MAX_SEALED})")]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// Another kind of file.
    #[error("not a sealed trust store: it does not start with HGTRUST; was another file put here?")]
    Magic,
    /// Another version of the envelope.
    #[error(
        "sealed trust store of version {found}, expected {VERSION}; a newer Headgate may have written it"
    )]
    Version {
        /// Its version.
        found: u16,
    },
    /// Wrong key, or changed bytes: the cipher cannot tell which.
    #[error(
        "the sealed trust store does not open: it was changed, cut short, or sealed by another gateway; restore it"
    )]
    Open,
    /// The cipher itself failed.
    #[error("the cipher for the trust store failed; this is no fault of the file")]
    Cipher,
    /// Opened, but what is inside cannot be used.
    #[error(transparent)]
    Store(#[from] TrustStoreError),
}

impl SealError {
    /// The reason code: whatever is wrong with a sealed store, it cannot be used.
    pub fn code(&self) -> ReasonCode {
        reasons::TRUST_STORE_UNREADABLE
    }
}

const MAGIC: &[u8; 8] = b"HGTRUST\0";
const VERSION: u16 = 1;
const HEADER_LEN: usize = MAGIC.len() + size_of::<u16>() + NONCE_LEN;
const SALT: &[u8] = b"headgate";
const INFO: &[u8] = b"headgate trust store encryption v1";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::store::tests::store;
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn every_shorter_file_is_refused() {
        let sealed = store(3).seal(&KEY, [1; 12]).unwrap();
        for len in 0..sealed.len() {
            let error = TrustStore::unseal(&sealed[..len], &KEY).unwrap_err();
            assert!(error.to_string().contains("cut short"), "{len}: {error}");
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert!(matches!(TrustStore::unseal(&longer, &KEY), Err(SealError::Open)));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let sealed = store(2).seal(&KEY, [1; 12]).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(TrustStore::unseal(&changed, &KEY).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_key_another_file_and_another_version_are_told_apart() {
        let sealed = store(1).seal(&KEY, [1; 12]).unwrap();
        assert!(matches!(TrustStore::unseal(&sealed, &[8; 32]), Err(SealError::Open)));
        assert!(matches!(TrustStore::unseal(&[b'x'; 100], &KEY), Err(SealError::Magic)));
        let large = vec![0; MAX_SEALED + 1];
        assert!(matches!(TrustStore::unseal(&large, &KEY), Err(SealError::TooLarge { .. })));
        let mut newer = sealed;
        newer[9] = 2;
        assert!(matches!(TrustStore::unseal(&newer, &KEY), Err(SealError::Version { found: 2 })));
    }

    proptest! {
        #[test]
        fn what_is_sealed_unseals(count in 0u8..8, key: [u8; 32], nonce: [u8; 12]) {
            let sealed = store(count).seal(&key, nonce).unwrap();
            prop_assert_eq!(TrustStore::unseal(&sealed, &key).unwrap(), store(count));
        }

        #[test]
        fn arbitrary_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(TrustStore::unseal(&bytes, &KEY).is_err());
            let framed = [MAGIC.as_slice(), &VERSION.to_be_bytes(), &bytes].concat();
            prop_assert!(TrustStore::unseal(&framed, &KEY).is_err());
            prop_assert!(TrustStore::from_cbor(&bytes).is_err());
        }
    }
}
