//! Key files as people have them: PEM from openssl, raw bytes, hexadecimal, minisign's `.pub`.
//!
//! Anything else is refused with a text that says what the file looks like. A private key is refused
//! loudly: it must not be on a gateway at all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hal::reason::ReasonCode;

use super::key::{KEY_LEN, KEY_NUMBER_LEN, KeyError, KeyKind, P256_LEN, PublicKey};
use crate::hex;
use crate::looks::{Looks, as_text};
use crate::reasons;

/// Largest key file read, in bytes. The longest accepted form, PEM with comments, is below 300.
pub const MAX_KEY_FILE: usize = 4 * 1024;
/// What [`PublicKey::parse`] takes, for error texts and help.
pub const ACCEPTED: &str = "an Ed25519 or ECDSA P-256 public key in PEM (openssl pkey -pubout, cosign.pub), the 32 raw \
                            bytes or 64 hexadecimal digits of an Ed25519 key, or a minisign .pub file";

impl PublicKey {
    /// Reads a key file: see [`ACCEPTED`].
    pub fn parse(bytes: &[u8]) -> Result<PublicKey, KeyFileError> {
        let looks = Looks::of(bytes);
        if looks == Looks::PrivateKey {
            return Err(KeyFileError::Private);
        }
        if bytes.len() > MAX_KEY_FILE {
            return Err(KeyFileError::TooLarge { found: bytes.len(), looks });
        }
        // 32 random bytes are text once in 10^13 keys; 32 characters given by mistake are common.
        match as_text(bytes) {
            Some(text) => parse_text(text.trim(), looks),
            None => match <[u8; KEY_LEN]>::try_from(bytes) {
                Ok(raw) => Ok(PublicKey::new(KeyKind::Ed25519, raw)?),
                Err(_) => Err(KeyFileError::Unknown { looks }),
            },
        }
    }
}

impl PublicKey {
    /// The SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7); a minisign key has none, as it signs in its own format only.
    pub fn to_spki(&self) -> Option<Vec<u8>> {
        let prefix = match self.kind() {
            KeyKind::Ed25519 => SPKI_ED25519,
            KeyKind::EcdsaP256 => SPKI_P256,
            KeyKind::Minisign { .. } => return None,
        };
        Some([prefix, self.as_bytes()].concat())
    }
}

fn parse_text(text: &str, looks: Looks) -> Result<PublicKey, KeyFileError> {
    if let Some(raw) = hex::decode::<KEY_LEN>(text) {
        return Ok(PublicKey::new(KeyKind::Ed25519, raw)?);
    }
    if let Some(body) = text.strip_prefix(PEM_BEGIN) {
        return parse_pem(body);
    }
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [comment, line] if comment.starts_with(COMMENT) => parse_minisign(line.trim(), looks),
        [line] => parse_minisign(line, looks),
        _ => Err(KeyFileError::Unknown { looks }),
    }
}

/// `body` follows the BEGIN line; there must be one block and nothing after it.
fn parse_pem(body: &str) -> Result<PublicKey, KeyFileError> {
    let base64 = body.strip_suffix(PEM_END).ok_or(KeyFileError::Pem)?;
    let packed: String = base64.lines().map(str::trim).collect();
    let der = STANDARD.decode(packed).map_err(|_| KeyFileError::Pem)?;
    for (prefix, kind, len) in
        [(SPKI_ED25519, KeyKind::Ed25519, KEY_LEN), (SPKI_P256, KeyKind::EcdsaP256, P256_LEN)]
    {
        if let Some(raw) = der.strip_prefix(prefix).filter(|raw| raw.len() == len) {
            return Ok(PublicKey::new(kind, raw)?);
        }
    }
    Err(KeyFileError::OtherAlgorithm { found: algorithm(&der) })
}

/// One base64 line: `Ed`, key number, key.
fn parse_minisign(line: &str, looks: Looks) -> Result<PublicKey, KeyFileError> {
    let unknown = || KeyFileError::Unknown { looks: looks.clone() };
    let bytes = STANDARD.decode(line).map_err(|_| unknown())?;
    let rest = bytes.strip_prefix(b"Ed").ok_or_else(unknown)?;
    let (number, key) = rest.split_first_chunk::<KEY_NUMBER_LEN>().ok_or_else(unknown)?;
    let key = <[u8; KEY_LEN]>::try_from(key).map_err(|_| unknown())?;
    Ok(PublicKey::new(KeyKind::Minisign { key_number: *number }, key)?)
}

/// The algorithm of a SubjectPublicKeyInfo, from the object identifier near its start.
fn algorithm(der: &[u8]) -> &'static str {
    let start = der.get(..32).unwrap_or(der);
    let has = |oid: &[u8]| start.windows(oid.len()).any(|w| w == oid);
    match () {
        () if has(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01") => "RSA",
        () if has(b"\x2a\x86\x48\xce\x3d\x02\x01") => {
            "ECDSA on another curve than P-256, or in another encoding"
        }
        () if has(b"\x06\x03\x2b\x65\x71") => "Ed448",
        () if has(b"\x06\x03\x2b\x65\x6e") => "X25519 (for key agreement, it cannot sign)",
        () => "an unknown algorithm",
    }
}

/// A file that holds no key to trust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// A private key.
    #[error(
        "this is a PRIVATE key: take it off this box, and give the public half only (openssl pkey -pubout)"
    )]
    Private,
    /// Over the limit.
    #[error(
        "{found} bytes are too many for a key file (at most {MAX_KEY_FILE}); it looks like {looks}; accepted is {ACCEPTED}"
    )]
    TooLarge {
        /// Its size.
        found: usize,
        /// What it seems to be.
        looks: Looks,
    },
    /// Not one of the accepted forms.
    #[error("not a public key: it looks like {looks}; accepted is {ACCEPTED}")]
    Unknown {
        /// What it seems to be.
        looks: Looks,
    },
    /// A public key in PEM that cannot be read.
    #[error("the PEM public key is damaged, or more than one is in the file; accepted is {ACCEPTED}")]
    Pem,
    /// A public key of another algorithm.
    #[error("the public key is for {found}; accepted is {ACCEPTED}")]
    OtherAlgorithm {
        /// Which one.
        found: &'static str,
    },
    /// The right form, but no key to trust.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl KeyFileError {
    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        match self {
            KeyFileError::Private => reasons::PRIVATE_KEY_GIVEN,
            _ => reasons::KEY_FILE_REFUSED,
        }
    }
}

const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";
const COMMENT: &str = "untrusted comment:";
/// RFC 8410 §4: SubjectPublicKeyInfo of Ed25519 up to the key itself.
const SPKI_ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// RFC 5480 §2: SubjectPublicKeyInfo of an uncompressed P-256 point up to the point itself.
const SPKI_P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8032 §7.1 TEST 1.
    const HEX: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    fn minisign(raw: &[u8]) -> String {
        STANDARD.encode([b"Ed12345678".as_slice(), raw].concat())
    }

    #[test]
    fn every_accepted_form_gives_the_same_key() {
        let raw: [u8; 32] = hex::decode(HEX).unwrap();
        let spki = pem("PUBLIC KEY", &[SPKI_ED25519, &raw].concat());
        let mini = minisign(&raw);
        let pubfile = format!("untrusted comment: minisign public key 3837363534333231\r\n{mini}\r\n");
        let forms: &[&[u8]] = &[
            &raw,
            HEX.as_bytes(),
            &[HEX.as_bytes(), b"\n"].concat(),
            spki.as_bytes(),
            mini.as_bytes(),
            pubfile.as_bytes(),
        ];
        for form in forms {
            let key = PublicKey::parse(form).unwrap();
            assert_eq!(key.as_bytes(), raw);
        }
        let kind = PublicKey::parse(mini.as_bytes()).unwrap().kind();
        assert_eq!(kind.to_string(), "minisign 3837363534333231");
    }

    #[test]
    fn a_refusal_says_what_the_file_looks_like() {
        let raw: [u8; 32] = hex::decode(HEX).unwrap();
        let twice = pem("PUBLIC KEY", &[SPKI_ED25519, &raw].concat()).repeat(2);
        let rsa = pem("PUBLIC KEY", b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01");
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (b"".into(), "an empty file"),
            (pem("PRIVATE KEY", &raw).into(), "PRIVATE key: take it off this box"),
            (pem("CERTIFICATE", &raw).into(), "X.509 certificate"),
            (rsa.into(), "is for RSA"),
            (twice.into(), "more than one"),
            (HEX[..32].into(), "hexadecimal digits of another length"),
            (b"ssh-ed25519 AAAAC3Nza".into(), "OpenSSH public key"),
            (vec![0; 31], "other binary data"),
            (vec![0; 32], "weak"),
            (minisign(&[0; 32]).into(), "weak"),
            ([b"\x7fELF".as_slice(), &[0; MAX_KEY_FILE]].concat(), "too many for a key file"),
        ];
        for (bytes, expected) in cases {
            let text = PublicKey::parse(&bytes).unwrap_err().to_string();
            assert!(text.contains(expected), "{text} lacks {expected}");
        }
    }
}
