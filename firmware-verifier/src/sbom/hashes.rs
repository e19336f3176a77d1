//! Hashes as CycloneDX writes them: an algorithm by its name, and as many hexadecimal digits as it has.

use serde::Deserialize;

use crate::digest::Digest;

/// One hash (CycloneDX 1.6, `hash`).
#[derive(Deserialize)]
pub(super) struct HashText {
    alg: String,
    content: String,
}

/// The SHA-256 among `hashes`. What is not of its algorithm's length is refused, also of algorithms that say nothing here,
/// and so are two SHA-256.
pub(super) fn sha256(hashes: &[HashText]) -> Result<Option<Digest>, String> {
    let mut found = None;
    for HashText { alg, content } in hashes {
        let digits = DIGITS.iter().find(|(name, _)| name == alg).map(|(_, digits)| *digits);
        let digits = digits.ok_or_else(|| format!("a hash by {:?}, which CycloneDX has not", clip(alg)))?;
        if content.len() != digits || !content.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("{:?}, which is no hash by {alg}", clip(content)));
        }
        if alg != "SHA-256" {
            continue;
        }
        let digest: Digest = content.to_ascii_lowercase().parse().map_err(|_| "a SHA-256 that is none")?;
        match found {
            Some(other) if other != digest => return Err(format!("two SHA-256, {other} and {digest}")),
            _ => found = Some(digest),
        }
    }
    Ok(found)
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Algorithms (CycloneDX 1.6, `hash-alg`), and hexadecimal digits of each.
const DIGITS: [(&str, usize); 12] = [
    ("MD5", 32),
    ("SHA-1", 40),
    ("SHA-256", 64),
    ("SHA-384", 96),
    ("SHA-512", 128),
    ("SHA3-256", 64),
    ("SHA3-384", 96),
    ("SHA3-512", 128),
    ("BLAKE2b-256", 64),
    ("BLAKE2b-384", 96),
    ("BLAKE2b-512", 128),
    ("BLAKE3", 64),
];
