//! The SHA-256 digest of an image: the name it has everywhere (vault, receipts, releases).
//!
//! Printed as `sha256:<64 hex digits>`; read with or without the prefix. [`DigestStream`] hashes while
//! bytes arrive, so that no image has to be in memory as a whole.

use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::hex;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; Digest::LEN]);

impl Digest {
    /// Bytes in a digest (FIPS 180-4, SHA-256).
    pub const LEN: usize = 32;

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut stream = DigestStream::new();
        stream.update(bytes);
        stream.finish()
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; Digest::LEN]) -> Digest {
        Digest(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; Digest::LEN] {
        &self.0
    }

    /// The 64 hexadecimal digits without `sha256:`, e.g. for a file name.
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}", self.to_hex())
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let digits = text.strip_prefix(PREFIX).unwrap_or(text);
        hex::decode(digits).map(Digest).ok_or_else(|| DigestError { found: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Digest, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// Text that is no SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not an image digest; write sha256: and 64 hexadecimal digits")]
pub struct DigestError {
    /// The first 80 characters of what was given.
    pub found: String,
}

/// Hashes an image while it arrives.
pub struct DigestStream(Context);

impl DigestStream {
    /// Starts with no bytes.
    pub fn new() -> DigestStream {
        DigestStream(Context::new(&SHA256))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far.
    pub fn finish(self) -> Digest {
        let mut out = [0; Digest::LEN];
        // SHA-256 yields exactly `Digest::LEN` bytes, so `zip` drops nothing.
        out.iter_mut().zip(self.0.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Digest(out)
    }
}

impl Default for DigestStream {
    fn default() -> DigestStream {
        DigestStream::new()
    }
}

impl std::fmt::Debug for DigestStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigestStream")
    }
}

const PREFIX: &str = "sha256:";

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-4 example: SHA-256 of "abc".
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_standards_example_is_met_in_any_chunking() {
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
        let mut stream = DigestStream::new();
        stream.update(b"a");
        stream.update(b"");
        stream.update(b"bc");
        assert_eq!(stream.finish(), Digest::of(b"abc"));
    }

    #[test]
    fn it_reads_with_and_without_prefix_and_as_json() {
        let digest = Digest::of(b"abc");
        assert_eq!(ABC.parse(), Ok(digest));
        assert_eq!(digest.to_hex().to_uppercase().parse(), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{ABC}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "sha256:", "sha512:00", "sha256:sha256:", &ABC[..70], &format!("{ABC}0")] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
