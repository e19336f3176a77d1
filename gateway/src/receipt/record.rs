//! What a receipt says besides the verification summary, under the one key `headgate`.
//!
//! Values only; [`super::Statement::parse`] holds them to their limits, [`super::check()`] says what to believe.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hal::tpm::PcrValues;
use serde::{Deserialize, Serialize};

use super::limits::MAX_BYTES;
use super::statement::Sha256;

/// `schema` of the record.
pub const SCHEMA: &str = "headgate/receipt/v1";

/// What a plant wants to know besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The case, worldwide: `<gateway>/C-000123`.
    pub case: String,
    /// What became of it: `done`; in an unsigned page any state of a case.
    pub outcome: String,
    /// Why, where there is a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When the transfer was opened, RFC 3339.
    pub opened: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// The controller, before and after.
    pub controller: Controller,
    /// What each stage of the gauntlet saw, in order.
    pub stages: Vec<Stage>,
    /// Who signed the image; absent where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// `vendor-signed` or `site-vouched`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// The document that let the image in, or its delivery go on, without a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BrokenGlass>,
    /// Of a program, which nobody verifies: who let it in, and how it differs from the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Who vouches for an image that nobody signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouched_by: Vec<Signer>,
    /// Who let it in, and on what terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Terms>,
    /// Digest of the configuration in force.
    pub configuration: Sha256,
    /// `match` or `stage`.
    pub way: String,
    /// The address it came from, or `gateway`.
    pub station: String,
    /// Bytes of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_bytes: Option<u64>,
    /// What the watch after the update has found, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// Who says all this.
    pub gateway: Gateway,
    /// Where the audit log says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// The TPM's word; its nonce is the digest of this statement without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quoted>,
}

/// How the watch on the controller's signals ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    /// `quiet`, `ended` before its time, `changed` or, by a person, `lifted`.
    pub state: String,
    /// What was found, in words.
    pub text: String,
    /// When, RFC 3339.
    pub at: String,
}

/// A controller and what it said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Controller {
    /// Its id in the configuration.
    pub id: String,
    /// Vendor by the configuration.
    pub vendor: String,
    /// Model by the configuration.
    pub model: String,
    /// Its last word when the transfer was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Reading>,
    /// Its word when it was read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Reading>,
    /// What reading back proves: `identity-only` (the controller says so, nobody compared its memory) or `none`.
    pub read_back: String,
}

/// What a controller said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Vendor; empty where registers are read.
    pub vendor: String,
    /// Product; empty where registers are read.
    pub product: String,
    /// Revision, or the registers in hexadecimal.
    pub revision: String,
    /// When, RFC 3339.
    pub at: String,
}

/// What one stage of the gauntlet saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Which.
    pub stage: String,
    /// `passed`, `failed`, `undecided`, `not-done`.
    pub outcome: String,
    /// Why it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// Age in whole seconds of what the image was compared with; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_age_seconds: Option<u64>,
}

/// A document of the site key, in the place of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenGlass {
    /// The document's number.
    pub id: String,
    /// `pass-unverified`, or `finish-delivery` for an image that was verified when its delivery began.
    pub action: String,
    /// Why, in the words of whoever signed.
    pub reason: String,
}

/// Whose key signed the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The key's id.
    pub id: String,
    /// The name its anchor has.
    pub name: String,
}

/// A release: who, when, on what terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Who asked for it, and where nobody had to approve it also gave it.
    pub by: String,
    /// Who approved it, each with a key of his own; empty where the controller asks for nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<Approver>,
    /// The case in which it was held until they had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// When, RFC 3339.
    pub given: String,
    /// Stations named; none: any.
    pub stations: Vec<String>,
    /// Change ticket, and the id of the downgrade ticket that the release has spent, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Maintenance window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How often it might be used.
    pub uses: u32,
    /// Until when, RFC 3339.
    pub expires: String,
}

/// Somebody who approved a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// The key's id.
    pub id: String,
    /// The name that its anchor had.
    pub name: String,
    /// When the approval came, RFC 3339.
    pub at: String,
}

/// From when to when, RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First moment inside.
    pub from: String,
    /// First moment after.
    pub to: String,
}

/// The gateway that made the receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Version of its program.
    pub version: String,
    /// SHA-256 of its evidence key (SubjectPublicKeyInfo, DER): the key that signs receipts.
    pub evidence_key: String,
}

/// The entry of the audit log about this case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The log's name.
    pub origin: String,
    /// The entry's index, from 0.
    pub index: u64,
    /// The entry, as the log has it.
    pub entry: String,
    /// A checkpoint that covers it, where one could be signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Proof that the checkpoint covers it (RFC 9162 §2.1.3), hashes in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proof: Vec<String>,
}

/// A quote and what is needed to check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quoted {
    /// TPMS_ATTEST: `tpm2_checkquote -m`.
    pub attest: Bytes,
    /// TPMT_SIGNATURE: `tpm2_checkquote -s`.
    pub signature: Bytes,
    /// What the PCRs held.
    pub pcrs: PcrValues,
    /// The attestation key in PEM: `tpm2_checkquote -u`.
    pub attestation_key: String,
    /// TPM2B_PUBLIC of the attestation key.
    pub attestation_public: Bytes,
    /// TPM2B_PUBLIC of the evidence key: with its Name, what it may be used for.
    pub evidence_public: Bytes,
    /// The site key in PEM, without whose approval the TPM does not use the evidence key.
    pub site_key: String,
    /// The attestation key's word that the evidence key lives in the same TPM.
    pub certification: Certified,
}

/// TPM2_Certify: statement and signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// TPMS_ATTEST.
    pub attest: Bytes,
    /// TPMT_SIGNATURE.
    pub signature: Bytes,
}

/// Bytes, in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub Vec<u8>);

impl TryFrom<String> for Bytes {
    type Error = String;
    fn try_from(text: String) -> Result<Bytes, String> {
        let bytes = STANDARD.decode(&text).map_err(|e| e.to_string())?;
        if bytes.len() > MAX_BYTES {
            return Err(format!("{} bytes, at most {MAX_BYTES} are taken", bytes.len()));
        }
        Ok(Bytes(bytes))
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> String {
        STANDARD.encode(&bytes.0)
    }
}
