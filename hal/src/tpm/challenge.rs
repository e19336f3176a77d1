//! A challenge as a verifier writes it: the file of `tpm2_makecredential`.
//!
//! ```text
//! offset  0            4          8
//!         | 0xBADCC0DE | version 1 | TPM2B_ID_OBJECT | TPM2B_ENCRYPTED_SECRET |
//! ```
//! Pure. For which endorsement key it was made, the size of the encrypted secret says: a block of RSA 2048, or a
//! point of one of the curves.

use super::endorsement::EkKind;
use super::error::TpmError;
use super::reader::Reader;

/// Longest file: integrity of SHA-512 and 64 encrypted bytes, and a secret of 512 bytes, each behind its length.
const MAX: usize = 8 + 2 + (2 + 64) + (2 + 64) + 2 + 512;

/// What only the TPM that has the endorsement key and our key beside it can open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    kind: EkKind,
    credential: Vec<u8>,
    secret: Vec<u8>,
}

impl Challenge {
    /// Reads the file.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] for bytes that are no such file.
    pub fn parse(file: &[u8]) -> Result<Challenge, TpmError> {
        let read = || {
            let mut reader = Reader::new(file);
            if (reader.u32()?, reader.u32()?) != (MAGIC, VERSION) {
                return None;
            }
            let credential = reader.sized()?;
            let secret = reader.sized().filter(|_| reader.left() == 0)?;
            let kind = kind(secret)?;
            Some(Challenge { kind, credential: with_len(credential), secret: with_len(secret) })
        };
        read().filter(|_| file.len() <= MAX).ok_or_else(|| TpmError::Malformed {
            what: "challenge",
            found: format!("{} bytes", file.len()),
            expected: "the file of tpm2_makecredential, for an endorsement key of this TPM",
        })
    }

    /// The endorsement key it was made for.
    pub fn kind(&self) -> EkKind {
        self.kind
    }

    /// TPM2B_ID_OBJECT, marshalled.
    pub fn credential(&self) -> &[u8] {
        &self.credential
    }

    /// TPM2B_ENCRYPTED_SECRET, marshalled.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

/// A block of RSA 2048, or a TPMS_ECC_POINT.
fn kind(secret: &[u8]) -> Option<EkKind> {
    if secret.len() == 256 {
        return Some(EkKind::Rsa2048);
    }
    let mut point = Reader::new(secret);
    let (x, y) = (point.sized()?.len(), point.sized()?.len());
    match (point.left(), x.max(y)) {
        (0, 1..=32) => Some(EkKind::P256),
        (0, 33..=48) => Some(EkKind::P384),
        _ => None,
    }
}

fn with_len(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

const MAGIC: u32 = 0xbadc_c0de;
const VERSION: u32 = 1;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(secret: &[u8]) -> Vec<u8> {
        [&MAGIC.to_be_bytes()[..], &VERSION.to_be_bytes(), &with_len(&[7; 60]), &with_len(secret)].concat()
    }

    fn point(len: usize) -> Vec<u8> {
        with_len(&vec![1; len]).repeat(2)
    }

    #[test]
    fn the_secret_says_which_key_it_is_for() {
        for (secret, kind) in
            [(vec![1; 256], EkKind::Rsa2048), (point(32), EkKind::P256), (point(48), EkKind::P384)]
        {
            let read = Challenge::parse(&file(&secret)).unwrap();
            assert_eq!((read.kind(), read.secret()[2..].to_vec()), (kind, secret));
        }
        for bad in [vec![], vec![1; 255], point(49), [point(32), vec![0]].concat()] {
            assert!(Challenge::parse(&file(&bad)).is_err(), "{} bytes", bad.len());
        }
    }

    #[test]
    fn every_cut_another_magic_and_a_byte_too_many_are_refused() {
        let good = file(&point(32));
        for len in 0..good.len() {
            assert!(Challenge::parse(&good[..len]).is_err(), "{len}");
        }
        assert!(Challenge::parse(&[good.clone(), vec![0]].concat()).is_err());
        for at in [0, 7] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Challenge::parse(&bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let framed = file(&bytes);
            for file in [&bytes, &framed] {
                if let Ok(read) = Challenge::parse(file) {
                    let again = [&file[..8], read.credential(), read.secret()].concat();
                    prop_assert_eq!(&again, file);
                }
            }
        }
    }
}
