//! How an image is named: its SHA-256 and the hexadecimal text of it.

use std::fmt::Write as _;

/// SHA-256 of a whole image.
pub type ImageDigest = [u8; 32];

/// Lower-case hexadecimal, 64 characters.
pub fn hex(digest: &ImageDigest) -> String {
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

/// Reads what [`hex`] writes, and nothing else.
pub fn from_hex(text: &str) -> Option<ImageDigest> {
    let nibble = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let mut digest = [0; 32];
    if pairs.len() != digest.len() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(digest)
}

/// SHA-256 of `bytes`.
pub(super) fn sha256(bytes: &[u8]) -> ImageDigest {
    finish(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

/// The value of a finished hash.
pub(super) fn finish(digest: &aws_lc_rs::digest::Digest) -> ImageDigest {
    let mut value = [0; 32];
    value.copy_from_slice(digest.as_ref()); // SHA-256 is 32 bytes long
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_as_it_prints() {
        let digest: ImageDigest = std::array::from_fn(|i| (i * 9) as u8);
        assert_eq!(from_hex(&hex(&digest)), Some(digest));
        assert_eq!(
            hex(&sha256(b"abc")), // FIPS 180-4 example
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let good = hex(&digest);
        for bad in ["", "ab", &good.to_uppercase(), &format!("{good}0"), &format!("{good}00"), &good[1..]] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
