//! DSSE: a payload, its type, and signatures over both (secure-systems-lab/dsse, protocol.md 1.0.2,
//! envelope.md 1.0.0).
//!
//! What an envelope carries is not to be read before [`Envelope::verify`] has said whose signature holds.
//! Key ids are hints by the specification; here they are not even that: every key given is tried with
//! every signature, so what a key id says can change nothing. Invariant: a [`Signers`] is made here alone
//! and names each key once, however often it signed.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::signature::ed25519::{self, SIGNATURE_LEN};
use crate::trust::{KeyKind, PublicKey};

/// Largest payload in bytes. The longest document, a full trust bundle, is below it.
pub const MAX_PAYLOAD: usize = 256 * 1024;
/// Most signatures in one envelope.
pub const MAX_SIGNATURES: usize = 16;
/// Longest payload type in bytes.
pub const MAX_TYPE: usize = 128;
/// Longest signature in bytes, also of algorithms unknown here: room for RSA-4096.
pub const MAX_SIGNATURE: usize = 512;
/// Longest key id in bytes, whoever wrote it.
pub const MAX_KEY_ID: usize = 128;
/// Largest envelope in bytes: payload and signatures in base64, and room for fields that are ignored.
pub const MAX_ENVELOPE: usize = MAX_PAYLOAD / 3 * 4 + MAX_SIGNATURES * 1024 + 4096;

/// A payload and its signatures, read but not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    key_id: String,
    bytes: Vec<u8>,
}

/// The distinct keys whose signature holds, over exactly one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signers(BTreeSet<PublicKey>);

impl Signers {
    /// Whether this key signed.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.0.contains(key)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter()
    }
}

impl Envelope {
    /// An envelope without signatures; sign [`Envelope::message`] and [`Envelope::attach`] the result.
    pub fn new(payload_type: &str, payload: Vec<u8>) -> Result<Envelope, DsseError> {
        Envelope::within(payload_type, payload, MAX_PAYLOAD)
    }

    /// As [`Envelope::new`], for a payload of up to `max` bytes.
    pub(crate) fn within(payload_type: &str, payload: Vec<u8>, max: usize) -> Result<Envelope, DsseError> {
        limit("payload type", payload_type.len(), MAX_TYPE)?;
        limit("payload", payload.len(), max)?;
        Ok(Envelope { payload_type: payload_type.to_owned(), payload, signatures: vec![] })
    }

    /// Reads the JSON envelope. Unknown fields are ignored, as the specification demands.
    pub fn parse(bytes: &[u8]) -> Result<Envelope, DsseError> {
        limit("envelope", bytes.len(), MAX_ENVELOPE)?;
        Envelope::read(bytes, MAX_PAYLOAD)
    }

    /// As [`Envelope::parse`], for an envelope of up to `max` bytes whose payload is no document.
    pub(crate) fn parse_within(bytes: &[u8], max: usize) -> Result<Envelope, DsseError> {
        limit("envelope", bytes.len(), max)?;
        Envelope::read(bytes, max)
    }

    fn read(bytes: &[u8], max: usize) -> Result<Envelope, DsseError> {
        let text: EnvelopeText = serde_json::from_slice(bytes)?;
        limit("list of signatures", text.signatures.len(), MAX_SIGNATURES)?;
        let mut envelope = Envelope::within(&text.payload_type, decode("payload", &text.payload)?, max)?;
        for SignatureText { key_id, sig } in text.signatures {
            envelope.attach(key_id.as_deref().unwrap_or_default(), &decode("sig", &sig)?)?;
        }
        Ok(envelope)
    }

    /// The JSON envelope: sorted keys, one line, standard base64.
    pub fn to_json(&self) -> Result<String, DsseError> {
        let signature = |s: &Signature| SignatureText {
            key_id: (!s.key_id.is_empty()).then(|| s.key_id.clone()),
            sig: STANDARD.encode(&s.bytes),
        };
        let text = EnvelopeText {
            payload: STANDARD.encode(&self.payload),
            payload_type: self.payload_type.clone(),
            signatures: self.signatures.iter().map(signature).collect(),
        };
        // Canonical JSON is UTF-8: it was made of strings.
        Ok(String::from_utf8_lossy(&canonical::to_vec(&text)?).into_owned())
    }

    /// Adds a signature: 64 bytes of Ed25519, or ECDSA in ASN.1. `key_id` is a hint for other verifiers.
    pub fn attach(&mut self, key_id: &str, signature: &[u8]) -> Result<(), DsseError> {
        limit("list of signatures", self.signatures.len() + 1, MAX_SIGNATURES)?;
        limit("key id", key_id.len(), MAX_KEY_ID)?;
        limit("signature", signature.len(), MAX_SIGNATURE)?;
        self.signatures.push(Signature { key_id: key_id.to_owned(), bytes: signature.to_vec() });
        Ok(())
    }

    /// Takes in the signatures of another copy of the same document.
    pub fn merge(&mut self, other: &Envelope) -> Result<(), DsseError> {
        if (&self.payload_type, &self.payload) != (&other.payload_type, &other.payload) {
            return Err(DsseError::Another);
        }
        for signature in &other.signatures {
            if !self.signatures.iter().any(|s| s.bytes == signature.bytes) {
                self.attach(&signature.key_id, &signature.bytes)?;
            }
        }
        Ok(())
    }

    /// What the payload is said to be.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The bytes that are signed.
    pub fn message(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// Which of `keys` signed this payload as this type.
    pub fn verify<'a>(&self, keys: impl IntoIterator<Item = &'a PublicKey>) -> Signers {
        let message = self.message();
        let signed = |key: &&PublicKey| self.signatures.iter().any(|s| holds(key, &message, &s.bytes));
        Signers(keys.into_iter().filter(signed).copied().collect())
    }
}

/// How every message that is signed for an envelope starts.
pub const PAE_START: &[u8] = b"DSSEv1 ";

/// Pre-authentication encoding: both parts with their lengths, so that neither can pass for the other.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// A minisign key signs in its own format only, never an envelope.
fn holds(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    match (key.kind(), key.edwards()) {
        (KeyKind::Ed25519, Some(point)) => <&[u8; SIGNATURE_LEN]>::try_from(signature)
            .is_ok_and(|signature| ed25519::verify(point, signature, &[message]).is_ok()),
        (KeyKind::EcdsaP256, _) => {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.as_bytes());
            key.verify(message, signature).is_ok()
        }
        _ => false,
    }
}

/// Standard or URL-safe, padded or not; a mixture is neither.
fn decode(what: &'static str, text: &str) -> Result<Vec<u8>, DsseError> {
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    engine.decode(text).map_err(|source| DsseError::Base64 { what, source })
}

fn limit(what: &'static str, found: usize, max: usize) -> Result<(), DsseError> {
    if found > max { Err(DsseError::TooLarge { what, found, max }) } else { Ok(()) }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvelopeText {
    payload: String,
    payload_type: String,
    signatures: Vec<SignatureText>,
}

#[derive(Serialize, Deserialize)]
struct SignatureText {
    #[serde(rename = "keyid", default, skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    sig: String,
}

/// Bytes that are no envelope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DsseError {
    /// Over a limit.
    #[error("{what} of {found}, at most {max} is taken")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size in bytes, or in signatures.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// No JSON of this shape.
    #[error("not a DSSE envelope: {0}; give the .dsse.json file as it was signed")]
    Json(#[from] serde_json::Error),
    /// Another document than the one before.
    #[error("the files are of different documents; give copies of one, each with the signatures of some")]
    Another,
    /// No base64.
    #[error("{what} of the DSSE envelope is not base64: {source}")]
    Base64 {
        /// Which field.
        what: &'static str,
        /// Why.
        source: base64::DecodeError,
    },
}

const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

#[cfg(test)]
pub(crate) mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    use super::*;

    /// The Ed25519 key of `seed`.
    pub(crate) fn key(seed: u8) -> PublicKey {
        let bytes = SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
        PublicKey::new(KeyKind::Ed25519, bytes).unwrap()
    }

    /// Signs `envelope` with the Ed25519 key of `seed`.
    pub(crate) fn sign(envelope: &mut Envelope, seed: u8) {
        let signature = SigningKey::from_bytes(&[seed; 32]).sign(&envelope.message()).to_bytes();
        envelope.attach(&key(seed).id().to_string(), &signature).unwrap();
    }

    fn signed(seeds: &[u8]) -> Envelope {
        let mut envelope = Envelope::new("text/x", b"hello".to_vec()).unwrap();
        seeds.iter().for_each(|seed| sign(&mut envelope, *seed));
        envelope
    }

    fn who(envelope: &Envelope) -> Vec<u8> {
        let keys: Vec<PublicKey> = (1..5).map(key).collect();
        let signers = envelope.verify(&keys);
        (1..5).filter(|seed| signers.contains(&key(*seed))).collect()
    }

    /// protocol.md, "Test Vectors": P-256 with r and s joined, which is put into ASN.1 here.
    #[test]
    fn the_specifications_vector_verifies() {
        let json = r#"{"payload": "aGVsbG8gd29ybGQ=",
            "payloadType": "http://example.com/HelloWorld",
            "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}"#;
        let parsed = Envelope::parse(json.as_bytes()).unwrap();
        assert_eq!(parsed.message(), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        let point = decimal_point(
            "46950820868899156662930047687818585632848591499744589407958293238635476079160",
            "5640078356564379163099075877009565129882514886557779369047442380624545832820",
        );
        let key = PublicKey::new(KeyKind::EcdsaP256, point).unwrap();
        assert_eq!(parsed.verify([&key]).keys().count(), 0, "joined r and s are another format");
        let raw = &parsed.signatures[0].bytes;
        let (r, s) = raw.split_at(32);
        assert!(r[0] < 0x80 && s[0] < 0x80, "no sign byte is needed");
        let asn1 = [&[0x30, 68, 2, 32], r, &[2, 32], s].concat();
        let mut envelope = Envelope::new(&parsed.payload_type, parsed.payload.clone()).unwrap();
        envelope.attach("", &asn1).unwrap();
        assert!(envelope.verify([&key]).contains(&key));
    }

    /// 04, x, y from decimal numbers.
    fn decimal_point(x: &str, y: &str) -> Vec<u8> {
        let number = |text: &str| {
            let mut bytes = [0u8; 32];
            for digit in text.bytes() {
                let mut carry = u32::from(digit - b'0');
                for byte in bytes.iter_mut().rev() {
                    let sum = u32::from(*byte) * 10 + carry;
                    *byte = sum.to_le_bytes()[0];
                    carry = sum >> 8;
                }
            }
            bytes
        };
        [vec![4], number(x).to_vec(), number(y).to_vec()].concat()
    }

    #[test]
    fn each_key_counts_once_and_only_where_its_signature_holds() {
        let other_type = {
            let mut other = signed(&[1]);
            other.payload_type = "text/y".to_owned();
            other
        };
        let shifted = {
            let mut other = signed(&[1]);
            (other.payload_type, other.payload) = ("text/x 5 hello".to_owned(), b"".to_vec());
            other
        };
        let wrong_hint = {
            let mut other = signed(&[1]);
            other.signatures[0].key_id = key(2).id().to_string();
            other
        };
        let unknown_hint = {
            let mut other = signed(&[3]);
            other.signatures[0].key_id = "nobody".to_owned();
            other
        };
        let long = {
            let mut other = signed(&[1]);
            other.signatures[0].bytes.push(0);
            other
        };
        let rows: Vec<(&str, Envelope, &[u8])> = vec![
            ("no signature", signed(&[]), &[]),
            ("one", signed(&[1]), &[1]),
            ("the same signature twice", signed(&[1, 1]), &[1]),
            ("two keys", signed(&[2, 1]), &[1, 2]),
            ("a key that was not given", signed(&[9]), &[]),
            ("another type", other_type, &[]),
            ("type and payload shifted", shifted, &[]),
            ("another key's id", wrong_hint, &[1]),
            ("an id that nobody has", unknown_hint, &[3]),
            ("a byte after the signature", long, &[]),
        ];
        for (what, envelope, expected) in rows {
            assert_eq!(who(&envelope), expected, "{what}");
            let json = envelope.to_json().unwrap();
            assert_eq!(Envelope::parse(json.as_bytes()).unwrap(), envelope, "{what}");
        }
        let key = key(1);
        assert_eq!(signed(&[1]).verify([&key, &key]).keys().count(), 1, "a key given twice");
    }

    #[test]
    fn copies_of_one_document_are_put_together_and_others_are_not() {
        let (mut both, copy) = (signed(&[1]), signed(&[2, 1]));
        both.merge(&copy).unwrap();
        both.merge(&copy).unwrap();
        assert_eq!((who(&both).as_slice(), both.signatures.len()), ([1, 2].as_slice(), 2));
        let mut other = Envelope::new("text/x", b"hullo".to_vec()).unwrap();
        sign(&mut other, 3);
        assert!(matches!(both.merge(&other), Err(DsseError::Another)));
        other.payload = b"hello".to_vec();
        other.payload_type = "text/y".to_owned();
        assert!(matches!(both.merge(&other), Err(DsseError::Another)));
        let mut full = signed(&[4]);
        (0..MAX_SIGNATURES - 1).for_each(|n| full.attach("", &[n as u8]).unwrap());
        assert!(matches!(both.merge(&full), Err(DsseError::TooLarge { .. })));
    }

    #[test]
    fn a_minisign_key_signs_no_envelope_and_a_p256_key_does() {
        let minisign = KeyKind::Minisign { key_number: [1; 8] };
        let same = PublicKey::new(minisign, key(1).as_bytes()).unwrap();
        assert_eq!(signed(&[1]).verify([&same]).keys().count(), 0);
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let public = PublicKey::new(KeyKind::EcdsaP256, pair.public_key().as_ref()).unwrap();
        let mut envelope = signed(&[1]);
        let signature = pair.sign(&SystemRandom::new(), &envelope.message()).unwrap();
        envelope.attach("", signature.as_ref()).unwrap();
        assert_eq!(envelope.verify([&public, &key(1), &key(2)]).keys().count(), 2);
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        let sig = r#"{"sig":""}"#;
        let envelope = |payload: &str, signatures: &str| {
            format!(r#"{{"payload":"{payload}","payloadType":"t","signatures":[{signatures}]}}"#)
        };
        let many = vec![sig; MAX_SIGNATURES + 1].join(",");
        let rows: Vec<(&str, String, &str)> = vec![
            ("nothing", String::new(), "not a DSSE"),
            ("trailing bytes", envelope("", sig) + "x", "trailing"),
            ("a second envelope", envelope("", sig).repeat(2), "trailing"),
            (
                "a key twice",
                r#"{"payload":"","payload":"","payloadType":"t","signatures":[]}"#.into(),
                "duplicate",
            ),
            ("a key twice below", envelope("", r#"{"sig":"","sig":""}"#), "duplicate"),
            ("no payload", r#"{"payloadType":"t","signatures":[]}"#.into(), "missing field `payload`"),
            ("no sig", envelope("", "{}"), "missing field `sig`"),
            ("no base64", envelope("a b", sig), "not base64"),
            ("two alphabets", envelope("-/+_", sig), "not base64"),
            ("loose bits", envelope("aGVsbG9=", sig), "not base64"),
            ("a large payload", envelope(&"AAAA".repeat(MAX_PAYLOAD / 3 + 1), sig), "payload of"),
            ("too many signatures", envelope("", &many), "list of signatures of 17"),
            ("a large envelope", " ".repeat(MAX_ENVELOPE + 1), "envelope of"),
            ("deep nesting", "[".repeat(100_000), "not a DSSE"),
        ];
        for (what, json, expected) in rows {
            let text = Envelope::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(text.contains(expected), "{what}: {text}");
        }
    }

    #[test]
    fn both_alphabets_and_unknown_fields_are_read() {
        let standard = r#"{"payload":"+/8=","payloadType":"t","signatures":[{"keyid":"","sig":"+/8="}]}"#;
        let url_safe =
            r#"{"more":1,"signatures":[{"sig":"-_8","cert":"x"}],"payloadType":"t","payload":"-_8="}"#;
        let read = Envelope::parse(standard.as_bytes()).unwrap();
        assert_eq!(read, Envelope::parse(url_safe.as_bytes()).unwrap());
        assert_eq!(read.payload(), [0xfb, 0xff]);
        let written = r#"{"payload":"+/8=","payloadType":"t","signatures":[{"sig":"+/8="}]}"#;
        assert_eq!(read.to_json().unwrap(), written);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            kind in "[a-z/+.é]{0,40}", payload: Vec<u8>,
            signatures in proptest::collection::vec(("[a-f0-9]{0,16}", any::<[u8; 70]>()), 0..MAX_SIGNATURES),
        ) {
            let mut envelope = Envelope::new(&kind, payload).unwrap();
            signatures.iter().for_each(|(id, bytes)| envelope.attach(id, bytes).unwrap());
            let json = envelope.to_json().unwrap();
            prop_assert_eq!(json.lines().count(), 1);
            prop_assert_eq!(Envelope::parse(json.as_bytes()).unwrap(), envelope);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            prop_assert!(Envelope::parse(&bytes).is_err());
        }

        #[test]
        fn any_flipped_bit_of_the_payload_loses_every_signer(bit in 0usize..40) {
            let mut envelope = signed(&[1, 2]);
            envelope.payload[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(who(&envelope), Vec::<u8>::new());
        }
    }
}
