//! A signature file: which kind it is, decided by its form alone.
//!
//! One form, one meaning: bytes that could be two things, or nearly one, are refused with a text that
//! says what they look like. Nothing here is trusted yet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cms::{Cms, CmsFault};
use super::cosign::{CosignBundle, CosignFault};
use super::ecdsa::EcdsaSignature;
use super::ed25519::SIGNATURE_LEN;
use super::minisign::Minisign;
use super::sigstore::{SigstoreBundle, SigstoreFault};
use crate::dsse::Envelope;
use crate::hex;
use crate::looks::{Looks, as_text};
use crate::reasons;
use crate::verdict::Rejection;
use hal::reason::ReasonCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Largest signature file read, in bytes. Provenance with its materials stays far below it.
pub const MAX_SIGNATURE_FILE: usize = 192 * 1024;
/// What [`SignatureFile::parse`] takes, for error texts and help.
pub const ACCEPTED: &str = "a minisign .minisig file, a detached Ed25519 signature as 64 raw bytes, 128 hexadecimal \
                            digits or base64, a detached ECDSA P-256 signature in DER or its base64 (cosign, \
                            openssl), a sigstore bundle, a cosign bundle with a key, an in-toto statement in a DSSE envelope, or a \
                            CMS signature in DER or PEM";

/// A signature, read but not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureFile {
    /// Detached Ed25519 over the image, as `openssl pkeyutl -sign -rawin` makes it.
    Ed25519([u8; SIGNATURE_LEN]),
    /// Minisign, prehashed.
    Minisign(Minisign),
    /// Detached ECDSA P-256 over the image's SHA-256, as cosign and openssl make it.
    Ecdsa(EcdsaSignature),
    /// The same with what a transparency log said of it, as cosign wrote it until version 3.
    Cosign(CosignBundle),
    /// A DSSE envelope with an in-toto statement about the image.
    Statement(Envelope),
    /// CMS signed data, detached or with the image inside.
    Cms(Box<Cms>),
    /// Sigstore bundle, with a key or an identity.
    Sigstore(Box<SigstoreBundle>),
}

impl SignatureFile {
    /// Reads a signature file: see [`ACCEPTED`].
    pub fn parse(bytes: &[u8]) -> Result<SignatureFile, SignatureFileError> {
        if bytes.len() > MAX_SIGNATURE_FILE {
            return Err(SignatureFileError::TooLarge { found: bytes.len(), looks: Looks::of(bytes) });
        }
        // 64 random bytes are never text; 64 characters are a key or a digest in hexadecimal.
        if let Some(text) = as_text(bytes) {
            return parse_text(text.trim(), bytes);
        }
        match raw(bytes) {
            Some(signature) => Ok(signature),
            None if is_cms(bytes) => Ok(SignatureFile::Cms(Box::new(Cms::parse(bytes)?))),
            None => Err(SignatureFileError::Unknown { looks: Looks::of(bytes) }),
        }
    }

    /// Its kind, in words.
    pub fn format(&self) -> &'static str {
        match self {
            SignatureFile::Ed25519(_) => "detached Ed25519 signature",
            SignatureFile::Minisign(_) => "minisign signature",
            SignatureFile::Ecdsa(_) => "detached ECDSA P-256 signature",
            SignatureFile::Cosign(_) => "cosign bundle",
            SignatureFile::Statement(_) => "in-toto statement in a DSSE envelope",
            SignatureFile::Cms(_) => "CMS signature",
            SignatureFile::Sigstore(_) => "sigstore bundle",
        }
    }
}

/// A SEQUENCE whose first element names CMS signed data: not every SEQUENCE, so that a key is called a key.
fn is_cms(bytes: &[u8]) -> bool {
    let start = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    bytes.first() == Some(&0x30) && start.windows(SIGNED_DATA.len()).any(|w| w == SIGNED_DATA)
}

/// 64 bytes of Ed25519, or DER. What could be both is neither.
fn raw(bytes: &[u8]) -> Option<SignatureFile> {
    match (<[u8; SIGNATURE_LEN]>::try_from(bytes), EcdsaSignature::from_der(bytes)) {
        (Ok(raw), None) => Some(SignatureFile::Ed25519(raw)),
        (Err(_), Some(der)) => Some(SignatureFile::Ecdsa(der)),
        _ => None,
    }
}

fn parse_text(text: &str, bytes: &[u8]) -> Result<SignatureFile, SignatureFileError> {
    if text.starts_with(MINISIGN) && text.lines().count() != MINISIGN_PUB_LINES {
        return Minisign::parse(text).map(SignatureFile::Minisign);
    }
    if let Some(label) =
        text.strip_prefix(PEM_BEGIN).and_then(|rest| rest.split_once("-----")).map(|(label, _)| label)
        && CMS_LABELS.contains(&label)
    {
        let der =
            x509_cert::der::pem::decode_vec(text.as_bytes()).map_err(|_| CmsFault::Damaged("its PEM"))?.1;
        return Ok(SignatureFile::Cms(Box::new(Cms::parse(&der)?)));
    }
    if text.starts_with('{') {
        return parse_json(text, bytes);
    }
    if let Some(raw) = hex::decode(text) {
        return Ok(SignatureFile::Ed25519(raw));
    }
    // `base64` of coreutils and openssl break lines, the standard alphabet has no blanks.
    let packed: String = text.lines().collect();
    let unknown = || SignatureFileError::Unknown { looks: Looks::of(bytes) };
    STANDARD.decode(packed).ok().and_then(|decoded| raw(&decoded)).ok_or_else(unknown)
}

/// JSON is told apart by the one field that its kind cannot be without. Two such fields are two meanings.
fn parse_json(text: &str, bytes: &[u8]) -> Result<SignatureFile, SignatureFileError> {
    let fields: Fields = serde_json::from_str(text).map_err(|_| SignatureFileError::Json)?;
    match (fields.payload_type, fields.base64_signature, fields.verification_material) {
        (None, None, Some(_)) => Ok(SignatureFile::Sigstore(Box::new(SigstoreBundle::parse(text)?))),
        (Some(_), None, None) => Envelope::parse(text.as_bytes())
            .map(SignatureFile::Statement)
            .map_err(|e| SignatureFileError::Envelope(e.to_string())),
        (None, Some(_), None) => Ok(SignatureFile::Cosign(CosignBundle::parse(text)?)),
        (None, None, None) => Err(SignatureFileError::Unknown { looks: Looks::of(bytes) }),
        _ => Err(SignatureFileError::Ambiguous),
    }
}

/// What is looked at to tell the kinds apart.
#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "payloadType")]
    payload_type: Option<IgnoredAny>,
    #[serde(rename = "base64Signature")]
    base64_signature: Option<IgnoredAny>,
    #[serde(rename = "verificationMaterial")]
    verification_material: Option<IgnoredAny>,
}

/// A file that is no signature this crate can check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFileError {
    /// Over the limit.
    #[error(
        "{found} bytes are too many for a signature file (at most {MAX_SIGNATURE_FILE}); it looks like {looks}"
    )]
    TooLarge {
        /// Its size.
        found: usize,
        /// What it seems to be.
        looks: Looks,
    },
    /// Not one of the accepted forms.
    #[error("it looks like {looks}")]
    Unknown {
        /// What it seems to be.
        looks: Looks,
    },
    /// Minisign without prehashing.
    #[error("a legacy minisign signature (Ed, not prehashed)")]
    Legacy,
    /// Minisign, but not four lines.
    #[error("a minisign signature of {found} lines, not 4")]
    MinisignLines {
        /// How many.
        found: usize,
    },
    /// Minisign with a line that cannot be read.
    #[error("a minisign signature whose line {line} is damaged")]
    MinisignLine {
        /// Which, from 1.
        line: u8,
    },
    /// Minisign with a comment beyond the limit.
    #[error("a minisign signature with a comment longer than minisign itself allows")]
    MinisignComment,
    /// No JSON.
    #[error("a JSON document that cannot be read")]
    Json,
    /// JSON that is an envelope and a bundle at once, or two bundles.
    #[error("a JSON document that is more than one of DSSE envelope, cosign bundle and sigstore bundle")]
    Ambiguous,
    /// An envelope that cannot be read.
    #[error("{0}")]
    Envelope(String),
    /// A cosign bundle that cannot be taken.
    #[error(transparent)]
    Cosign(#[from] CosignFault),
    /// A CMS signature that cannot be taken.
    #[error(transparent)]
    Cms(#[from] CmsFault),
    /// A sigstore bundle that cannot be taken.
    #[error(transparent)]
    Sigstore(#[from] SigstoreFault),
}

impl SignatureFileError {
    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        match self {
            SignatureFileError::TooLarge { .. }
            | SignatureFileError::Unknown { .. }
            | SignatureFileError::Ambiguous
            | SignatureFileError::Cms(
                CmsFault::Kind
                | CmsFault::Hash(_)
                | CmsFault::Algorithm(_)
                | CmsFault::NoCertificate
                | CmsFault::NoAttributes
                | CmsFault::TooMany { .. }
                | CmsFault::Alike,
            )
            | SignatureFileError::Cosign(CosignFault::EntryKind(_)) => reasons::SIGNATURE_FORMAT_UNKNOWN,
            SignatureFileError::Legacy | SignatureFileError::Cosign(CosignFault::Certificate) => {
                reasons::SIGNATURE_LEGACY
            }
            SignatureFileError::Cosign(CosignFault::OtherSignature) => reasons::LOG_ENTRY_ELSEWHERE,
            SignatureFileError::MinisignLines { .. }
            | SignatureFileError::MinisignLine { .. }
            | SignatureFileError::MinisignComment
            | SignatureFileError::Json
            | SignatureFileError::Envelope(_)
            | SignatureFileError::Cms(_)
            | SignatureFileError::Sigstore(_)
            | SignatureFileError::Cosign(CosignFault::Damaged(_)) => reasons::SIGNATURE_FILE_DAMAGED,
        }
    }

    /// The refusal that follows when an image comes with such a file.
    pub fn rejection(&self) -> Rejection {
        Rejection::new(self.code(), self.to_string(), ACCEPTED.to_owned())
    }
}

const PEM_BEGIN: &str = "-----BEGIN ";
/// PEM labels of signed data (RFC 7468 §8, §9).
const CMS_LABELS: [&str; 2] = ["CMS", "PKCS7"];
/// id-signedData (RFC 5652 §5.1), as an OBJECT IDENTIFIER.
const SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// Bytes before the end of it, at most: the SEQUENCE with a length of four bytes.
const MAX_HEAD: usize = 5 + SIGNED_DATA.len();
const MINISIGN: &str = "untrusted comment:";
/// A minisign public key starts as a signature does, but has two lines.
const MINISIGN_PUB_LINES: usize = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minisig(algorithm: &[u8; 2], comment: &str) -> String {
        let first = [algorithm.as_slice(), b"12345678", &[1; 64]].concat();
        let (first, second) = (STANDARD.encode(first), STANDARD.encode([2; 64]));
        format!("untrusted comment: x\n{first}\ntrusted comment: {comment}\n{second}\n")
    }

    #[test]
    fn every_accepted_form_is_recognised() {
        let raw = [0xa5; 64];
        let base64 = STANDARD.encode(raw);
        let wrapped = format!("{}\r\n{}\r\n", &base64[..64], &base64[64..]);
        let digits = hex::encode(&raw);
        let forms: &[&[u8]] = &[&raw, digits.as_bytes(), base64.as_bytes(), wrapped.as_bytes()];
        for form in forms {
            assert_eq!(SignatureFile::parse(form), Ok(SignatureFile::Ed25519(raw)));
        }
        for text in [minisig(b"ED", "t"), minisig(b"ED", "t").replace('\n', "\r\n")] {
            let Ok(SignatureFile::Minisign(m)) = SignatureFile::parse(text.as_bytes()) else {
                panic!("{text}")
            };
            assert_eq!((m.trusted_comment(), m.key_number_text().as_str()), ("t", "3837363534333231"));
        }
    }

    #[test]
    fn a_refusal_says_what_the_file_looks_like() {
        let good = minisig(b"ED", "t");
        let one_line = good.lines().nth(1).unwrap();
        let public = format!("untrusted comment: minisign public key\n{}\n", STANDARD.encode([0; 42]));
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (b"".into(), "an empty file"),
            (b"-----BEGIN CERTIFICATE-----\n".into(), "X.509 certificate"),
            (b"-----BEGIN PKCS7-----\n".into(), "a CMS signature: its PEM"),
            (b"\x30\x82\x01\x00".into(), "PKCS#7"),
            (b"{\"messageSignature\":{}}".into(), "sigstore bundle"),
            (b"\x7fELF\x02\x01\0".into(), "firmware image (ELF)"),
            (vec![0xa5; 63], "other binary data"),
            (vec![b'a'; 64], "64 hexadecimal digits"),
            (one_line.into(), "has four"),
            (public.into(), "minisign public key"),
            (minisig(b"Ed", "t").into(), "legacy"),
            (minisig(b"EX", "t").into(), "line 2"),
            (good.replace("trusted comment: t", "comment: t").into(), "line 3"),
            (good.replace("AgIC", "AgI").into(), "line 4"),
            (format!("{good}\nmore\n").into(), "of 6 lines"),
            (minisig(b"ED", &"x".repeat(8192)).into(), "longer than minisign"),
            (minisig(b"ED", "\u{1b}[2J").into(), "binary"),
            (vec![b' '; MAX_SIGNATURE_FILE + 1], "too many"),
        ];
        for (bytes, expected) in cases {
            let text = SignatureFile::parse(&bytes).unwrap_err().rejection().to_string();
            assert!(text.contains(expected) && text.contains(ACCEPTED), "{text} lacks {expected}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>, text: String) {
            let _ = SignatureFile::parse(&bytes);
            let _ = SignatureFile::parse(text.as_bytes());
            let _ = crate::trust::PublicKey::parse(&bytes);
            let _ = crate::trust::PublicKey::parse(text.as_bytes());
        }

        #[test]
        fn sixty_four_bytes_that_are_no_text_are_a_signature(mut raw in proptest::array::uniform32(any::<u8>())) {
            raw[0] = 0xff;
            let raw = [raw, raw].concat();
            prop_assert!(matches!(SignatureFile::parse(&raw), Ok(SignatureFile::Ed25519(r)) if r[..] == raw[..]));
        }
    }
}
