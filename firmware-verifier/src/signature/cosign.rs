//! The bundle that `cosign sign-blob --bundle` wrote before sigstore bundles: a signature, and what the transparency
//! log said of it.
//!
//! The key is what counts. A log entry that comes along must be about this very signature, this image and this key: a
//! verifier that looked at each alone took an entry of something else for a witness (GHSA-8gw7-4j42-w388). Whether the
//! log itself has signed the entry is not asked here, as no log's key is among what a gateway trusts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::ecdsa::EcdsaSignature;
use crate::digest::Digest;
use crate::trust::PublicKey;

/// Largest entry of the log in bytes, decoded.
const MAX_ENTRY: usize = 16 * 1024;

/// A bundle, read but not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignBundle {
    signature: EcdsaSignature,
    entry: Option<LogEntry>,
}

/// What the log says was signed, by whom. Its signature was compared with the bundle's when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LogEntry {
    image: Digest,
    key: PublicKey,
}

impl CosignBundle {
    /// Reads the JSON.
    pub(super) fn parse(text: &str) -> Result<CosignBundle, CosignFault> {
        let read: BundleText = serde_json::from_str(text).map_err(|_| CosignFault::Damaged("the JSON"))?;
        if !read.cert.unwrap_or_default().trim().is_empty() {
            return Err(CosignFault::Certificate);
        }
        let signature = signature(&read.signature).ok_or(CosignFault::Damaged("base64Signature"))?;
        let entry = read.rekor_bundle.map(|log| log_entry(&log.payload.body, &signature)).transpose()?;
        Ok(CosignBundle { signature, entry })
    }

    /// The signature of the image.
    pub fn signature(&self) -> &EcdsaSignature {
        &self.signature
    }

    /// Whether the log's entry, where there is one, is about this image and this key.
    pub fn log_agrees(&self, key: &PublicKey, image: &Digest) -> bool {
        self.entry.as_ref().is_none_or(|entry| entry.image == *image && entry.key == *key)
    }
}

fn signature(text: &str) -> Option<EcdsaSignature> {
    EcdsaSignature::from_der(&STANDARD.decode(text.trim()).ok()?)
}

/// The entry in the log's answer; it must name the signature beside it.
fn log_entry(body: &str, of: &EcdsaSignature) -> Result<LogEntry, CosignFault> {
    let damaged = || CosignFault::Damaged("the log's entry");
    let json = STANDARD.decode(body).ok().filter(|json| json.len() <= MAX_ENTRY).ok_or_else(damaged)?;
    let read: EntryText = serde_json::from_slice(&json).map_err(|_| damaged())?;
    let EntryText { kind, api_version, spec: SpecText { data, signature: logged } } = read;
    if (kind.as_str(), api_version.as_str()) != ("hashedrekord", "0.0.1") {
        return Err(CosignFault::EntryKind(format!("{kind} {api_version}").chars().take(60).collect()));
    }
    if signature(&logged.content).as_ref() != Some(of) {
        return Err(CosignFault::OtherSignature);
    }
    let key = STANDARD.decode(&logged.public_key.content).map_err(|_| damaged())?;
    let key = PublicKey::parse(&key).map_err(|_| damaged())?;
    let sha256 = (data.hash.algorithm == "sha256").then_some(data.hash.value);
    let image = sha256.and_then(|hex| hex.parse().ok()).ok_or_else(damaged)?;
    Ok(LogEntry { image, key })
}

#[derive(Deserialize)]
struct BundleText {
    #[serde(rename = "base64Signature")]
    signature: String,
    cert: Option<String>,
    #[serde(rename = "rekorBundle")]
    rekor_bundle: Option<RekorText>,
}

#[derive(Deserialize)]
struct RekorText {
    #[serde(rename = "Payload")]
    payload: PayloadText,
}

#[derive(Deserialize)]
struct PayloadText {
    body: String,
}

#[derive(Deserialize)]
struct EntryText {
    kind: String,
    #[serde(rename = "apiVersion")]
    api_version: String,
    spec: SpecText,
}

#[derive(Deserialize)]
struct SpecText {
    data: DataText,
    signature: LoggedText,
}

#[derive(Deserialize)]
struct DataText {
    hash: HashText,
}

#[derive(Deserialize)]
struct HashText {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
struct LoggedText {
    content: String,
    #[serde(rename = "publicKey")]
    public_key: KeyText,
}

#[derive(Deserialize)]
struct KeyText {
    content: String,
}

/// Why a bundle is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CosignFault {
    /// A part that cannot be read.
    #[error("a cosign bundle in which {0} cannot be read")]
    Damaged(&'static str),
    /// Signed with a certificate for a few minutes: the old form cannot be checked without the log.
    #[error("a cosign bundle of the old form with a certificate instead of a key")]
    Certificate,
    /// An entry of a kind that says less.
    #[error("a cosign bundle with a log entry of kind {0:?}, not \"hashedrekord 0.0.1\"")]
    EntryKind(String),
    /// The entry of something else.
    #[error("a cosign bundle whose log entry is of another signature")]
    OtherSignature,
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// A bundle as cosign writes it; `change` edits the entry of the log.
    pub(crate) fn bundle(der: &[u8], pem: &str, image: &Digest, change: impl FnOnce(&mut Value)) -> String {
        let mut entry = json!({
            "apiVersion": "0.0.1", "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": image.to_hex()}},
                "signature": {"content": STANDARD.encode(der),
                              "publicKey": {"content": STANDARD.encode(pem)}},
            },
        });
        change(&mut entry);
        let body = STANDARD.encode(entry.to_string());
        json!({
            "base64Signature": STANDARD.encode(der),
            "cert": "",
            "rekorBundle": {
                "SignedEntryTimestamp": "MEU=",
                "Payload": {"body": body, "integratedTime": 1_700_000_000, "logIndex": 7, "logID": "c0d2"},
            },
        })
        .to_string()
    }

    /// The generator of P-256, as a public key.
    pub(crate) const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
        6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
        -----END PUBLIC KEY-----\n";
    const DER: &[u8] = &[0x30, 6, 2, 1, 1, 2, 1, 2];

    #[test]
    fn a_log_entry_of_something_else_is_no_witness() {
        let image = Digest::of(b"image");
        let read = |change: fn(&mut Value)| CosignBundle::parse(&bundle(DER, PEM, &image, change));
        let other = |v: &mut Value| v["spec"]["signature"]["content"] = json!("MAYCAQECAQM=");
        assert_eq!(read(other), Err(CosignFault::OtherSignature));
        assert!(matches!(read(|v| v["kind"] = json!("rekord")), Err(CosignFault::EntryKind(_))));
        let sha1 = |v: &mut Value| v["spec"]["data"]["hash"]["algorithm"] = json!("sha1");
        assert!(matches!(read(sha1), Err(CosignFault::Damaged(_))));
        let good = read(|_| ()).unwrap();
        let key = PublicKey::parse(PEM.as_bytes()).unwrap();
        assert!(good.log_agrees(&key, &image) && !good.log_agrees(&key, &Digest::of(b"other")));
        let ed25519 = crate::dsse::tests::key(1);
        assert!(!good.log_agrees(&ed25519, &image));
    }

    #[test]
    fn a_bundle_with_a_certificate_is_told_apart_from_a_damaged_one() {
        let text = bundle(DER, PEM, &Digest::of(b"x"), |_| ());
        let certified = text.replace("\"cert\":\"\"", "\"cert\":\"LS0t\"");
        assert_eq!(CosignBundle::parse(&certified), Err(CosignFault::Certificate));
        let damaged = text.replace("\"base64Signature\":\"MA", "\"base64Signature\":\"MB");
        assert_eq!(CosignBundle::parse(&damaged), Err(CosignFault::Damaged("base64Signature")));
        let alone = json!({"base64Signature": STANDARD.encode(DER)}).to_string();
        assert!(
            CosignBundle::parse(&alone).unwrap().log_agrees(&crate::dsse::tests::key(1), &Digest::of(b""))
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text: String, body: Vec<u8>) {
            let _ = CosignBundle::parse(&text);
            let of = EcdsaSignature::from_der(DER).unwrap();
            let _ = log_entry(&STANDARD.encode(body), &of);
        }
    }
}
