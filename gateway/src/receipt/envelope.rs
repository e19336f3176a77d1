//! The file: a DSSE envelope around one statement, with one signature.
//!
//! What the TPM signs is the SHA-256 of DSSE's pre-authentication encoding; that makes the signature ECDSA with
//! SHA-256 over the encoding, as everybody else's verifier has it.

use firmware_verifier::Digest;
use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::PublicKey;
use hal::tpm::SiteKeyPublic;

use super::error::ReceiptError;
use super::limits::MAX_RECEIPT;
use super::statement::Statement;

/// Type of the payload (in-toto attestation framework, envelope).
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The digest that the evidence key signs for this statement.
pub fn to_sign(payload: &[u8]) -> Result<[u8; 32], ReceiptError> {
    let envelope = Envelope::new(PAYLOAD_TYPE, payload.to_vec())?;
    Ok(*Digest::of(&envelope.message()).as_bytes())
}

/// The file: the statement with its signature (ECDSA in ASN.1 DER). `key_id` is a hint for other verifiers.
pub fn signed(payload: Vec<u8>, key_id: &str, signature: &[u8]) -> Result<String, ReceiptError> {
    let mut envelope = Envelope::new(PAYLOAD_TYPE, payload)?;
    envelope.attach(key_id, signature)?;
    Ok(envelope.to_json()? + "\n")
}

/// Reads a file. Nothing in it is believed by that.
pub fn open(file: &[u8]) -> Result<(Envelope, Statement), ReceiptError> {
    if file.len() > MAX_RECEIPT {
        return Err(ReceiptError::TooLarge { what: "a file", found: file.len(), max: MAX_RECEIPT });
    }
    let envelope = Envelope::parse(file)?;
    if envelope.payload_type() != PAYLOAD_TYPE {
        let found = envelope.payload_type().chars().take(60).collect();
        return Err(ReceiptError::Kind { what: "the payload's type", found, expected: PAYLOAD_TYPE });
    }
    let statement = Statement::parse(envelope.payload())?;
    Ok((envelope, statement))
}

/// Reads a P-256 public key in PEM, as OpenSSL writes it.
pub fn key_from_pem(pem: &str) -> Result<PublicKey, ReceiptError> {
    let key = SiteKeyPublic::from_pem(pem).map_err(|e| ReceiptError::Key(e.to_string()))?;
    Ok(PublicKey::from(&key))
}

/// How a receipt names a key: SHA-256 of its SubjectPublicKeyInfo in DER.
pub fn key_id(der: &[u8]) -> String {
    Digest::of(der).to_hex()
}
