//! What unknown bytes look like, so that a refusal can name the mistake: the wrong file was given.
//!
//! Only for error texts: nothing is accepted because of what is found here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A guess at what a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Looks {
    /// No bytes, or only blanks.
    Empty,
    /// A private key of any kind.
    PrivateKey,
    /// A PEM block with this label.
    Pem(String),
    /// A kind of file with a name, e.g. `a JSON document`.
    Known(&'static str),
    /// Readable text.
    Text,
    /// Anything else.
    Binary,
}

impl Looks {
    /// Looks at `bytes`; reads no more than [`MAX_LOOK`] of them.
    pub fn of(bytes: &[u8]) -> Looks {
        let bytes = bytes.get(..MAX_LOOK).unwrap_or(bytes);
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Looks::Empty;
        }
        if is_private(bytes) {
            return Looks::PrivateKey;
        }
        if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return Looks::Known(name);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if is_text(text) => text_looks(text.trim()),
            _ => Looks::Binary,
        }
    }
}

impl std::fmt::Display for Looks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Looks::Empty => f.write_str("an empty file"),
            Looks::PrivateKey => f.write_str("a PRIVATE key"),
            Looks::Pem(label) => write!(f, "a PEM block {label:?}{}", pem_meaning(label)),
            Looks::Known(name) => f.write_str(name),
            Looks::Text => f.write_str("other text"),
            Looks::Binary => f.write_str("other binary data, perhaps the image itself"),
        }
    }
}

/// The text inside, when it is text without control characters.
pub(crate) fn as_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| is_text(text))
}

fn is_text(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

fn text_looks(text: &str) -> Looks {
    if let Some(rest) = text.split_once("-----BEGIN ").map(|(_, rest)| rest) {
        let label = rest.split_once("-----").map_or("", |(label, _)| label);
        return Looks::Pem(label.chars().take(40).collect());
    }
    if let Some((_, name)) = TEXT_STARTS.iter().find(|(start, _)| text.starts_with(start)) {
        return Looks::Known(name);
    }
    if text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Looks::Known(match text.len() {
            64 => "64 hexadecimal digits: a public key or a SHA-256 digest",
            128 => "128 hexadecimal digits: a signature or a SHA-512 digest",
            _ => "hexadecimal digits of another length",
        });
    }
    match STANDARD.decode(text).map(|bytes| (bytes.len(), bytes.get(..2).map(<[u8]>::to_vec))) {
        Ok((42, Some(alg))) if alg == b"Ed" => Looks::Known("a minisign public key"),
        Ok((74, Some(alg))) if alg.eq_ignore_ascii_case(b"ed") => {
            Looks::Known("one line of a minisign signature; the whole .minisig has four")
        }
        Ok((32, _)) => Looks::Known("base64 of 32 bytes: perhaps a key or a digest"),
        Ok((64, _)) => Looks::Known("base64 of 64 bytes: perhaps a signature"),
        Ok((70..=72, _)) => Looks::Known("base64 of an ECDSA signature, as cosign makes it"),
        _ => Looks::Text,
    }
}

/// A private key must be recognised wherever it hides: the reader has to take it away from here.
fn is_private(bytes: &[u8]) -> bool {
    let pem = bytes.windows(PRIVATE_PEM.len()).any(|w| w == PRIVATE_PEM);
    pem || bytes.starts_with(PRIVATE_DER) || is_minisign_secret(bytes)
}

/// A minisign secret key: base64 of `Ed`, a KDF name and 154 more bytes on the last line.
fn is_minisign_secret(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii().rsplit(|b| *b == b'\n').next().unwrap_or_default();
    STANDARD.decode(line).is_ok_and(|key| key.len() == 158 && key.starts_with(b"Ed"))
}

fn pem_meaning(label: &str) -> &'static str {
    match label {
        "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => " (an X.509 certificate)",
        "PKCS7" | "CMS" => " (a PKCS#7 or CMS signature)",
        "RSA PUBLIC KEY" => " (an RSA public key)",
        "PGP SIGNATURE" | "PGP PUBLIC KEY BLOCK" | "PGP SIGNED MESSAGE" => " (OpenPGP)",
        "SSH SIGNATURE" | "SSH2 PUBLIC KEY" => " (OpenSSH)",
        "CERTIFICATE REQUEST" => " (a request for a certificate)",
        _ => "",
    }
}

/// Bytes looked at: enough for every magic number and for a key behind a page of comments.
pub const MAX_LOOK: usize = 8 * 1024;
const PRIVATE_PEM: &[u8] = b"PRIVATE KEY-----";
/// RFC 8410: PKCS#8 of an Ed25519 private key starts so.
const PRIVATE_DER: &[u8] = &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

const MAGIC: &[(&[u8], &str)] = &[
    (b"\x7fELF", "a firmware image (ELF)"),
    (b"\x27\x05\x19\x56", "a firmware image (U-Boot uImage)"),
    (b"\xd0\x0d\xfe\xed", "a firmware image (U-Boot FIT or device tree)"),
    (b"\x3d\xb8\xf3\x96", "a firmware image (MCUboot)"),
    (b"hsqs", "a firmware image (SquashFS or RAUC)"),
    (b"MZ", "a program for Windows or UEFI"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"070701", "a cpio archive (SWUpdate image)"),
    (b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70", "an Ed25519 public key in DER; write it as PEM"),
    (b"\x30\x80", "DER data (a certificate, a key or a PKCS#7 signature)"),
    (b"\x30\x81", "DER data (a certificate, a key or a PKCS#7 signature)"),
    (b"\x30\x82", "DER data (a certificate, a key or a PKCS#7 signature)"),
    (b"\x30\x83", "DER data (a certificate, a key or a PKCS#7 signature)"),
];

const TEXT_STARTS: &[(&str, &str)] = &[
    ("{", "a JSON document, perhaps a sigstore bundle or a key in JWK"),
    ("[", "a JSON document"),
    ("ssh-", "an OpenSSH public key"),
    ("ecdsa-sha2-", "an OpenSSH public key"),
    ("untrusted comment: minisign public key", "a minisign public key"),
    ("untrusted comment:", "a minisign or signify text"),
    (":0", "a firmware image (Intel HEX)"),
    (":1", "a firmware image (Intel HEX)"),
    ("S0", "a firmware image (S-record)"),
    ("<", "an XML or HTML document"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_file_is_named() {
        let secret =
            format!("untrusted comment: x\n{}\n", STANDARD.encode([b"Ed".as_slice(), &[0; 156]].concat()));
        let cases: &[(&[u8], &str)] = &[
            (b"", "an empty file"),
            (b" \r\n", "an empty file"),
            (b"Bag Attributes\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "a PRIVATE key"),
            (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "a PRIVATE key"),
            (secret.as_bytes(), "a PRIVATE key"),
            (PRIVATE_DER, "a PRIVATE key"),
            (b"-----BEGIN CERTIFICATE-----\nMII", "a PEM block \"CERTIFICATE\" (an X.509 certificate)"),
            (b"-----BEGIN PKCS7-----\nMII", "a PEM block \"PKCS7\" (a PKCS#7 or CMS signature)"),
            (b"{\"mediaType\":1}", "a JSON document, perhaps a sigstore bundle or a key in JWK"),
            (b"\x7fELF\x02", "a firmware image (ELF)"),
            (b"\0\x01\x02", "other binary data, perhaps the image itself"),
            (b"hello", "other text"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Looks::of(bytes).to_string(), *text);
        }
    }
}
