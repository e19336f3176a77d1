//! What a receipt says: in-toto Statement v1, SLSA verification summary v1, and our own record.
//!
//! <https://in-toto.io/Statement/v1>, <https://slsa.dev/verification_summary/v1>. Values are believed only after
//! [`super::check()`]. `verifiedLevels` is empty: a signature over an image says nothing of how it was built.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firmware_verifier::{Digest, canonical};
use hal::tpm::PcrValues;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ReceiptError;
use super::limits::{MAX_ATTESTATIONS, MAX_BYTES, MAX_LINES, MAX_PROOF, MAX_STAGES, MAX_STATIONS, is_plain};

/// `_type` of the statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of the statement.
pub const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
/// `schema` of our own record.
pub const SCHEMA: &str = "headgate/receipt/v1";

/// A whole statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Always [`STATEMENT`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// Always [`SUMMARY`].
    pub predicate_type: String,
    /// The image, alone.
    pub subject: Vec<Subject>,
    /// What is said of it.
    pub predicate: Summary,
}

/// An image by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// What its bringer called it; nobody vouches for that.
    pub name: String,
    /// Its name everywhere.
    pub digest: Sha256,
}

/// A digest set with the one algorithm used here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sha256 {
    /// 64 hexadecimal digits in lower case; empty in an unsigned page of a case whose image is not known.
    pub sha256: String,
}

/// SLSA verification summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Who verified: `headgate/<gateway>`.
    pub verifier: Verifier,
    /// When the image was verified, RFC 3339.
    pub time_verified: String,
    /// For what: `<gateway>/<controller>`.
    pub resource_uri: String,
    /// By which rules.
    pub policy: Resource,
    /// What came with the image and was looked at: signatures.
    pub input_attestations: Vec<Resource>,
    /// `PASSED` or `FAILED`.
    pub verification_result: String,
    /// Empty: no build was looked at.
    pub verified_levels: Vec<String>,
    /// Our own.
    pub headgate: Record,
}

/// Who verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifier {
    /// `headgate/<gateway>`.
    pub id: String,
}

/// Something by name and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// A name.
    pub uri: String,
    /// Its digest.
    pub digest: Sha256,
}

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
    /// Who signed the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
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
    /// Who says all this.
    pub gateway: Gateway,
    /// Where the audit log says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// The TPM's word; its nonce is the digest of this statement without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quoted>,
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
    /// Who gave it. One person: the gateway knows no second approver yet.
    pub by: String,
    /// When, RFC 3339.
    pub given: String,
    /// Stations named; none: any.
    pub stations: Vec<String>,
    /// Change ticket.
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

impl Statement {
    /// The statement in the form that is signed.
    pub fn to_json(&self) -> Result<Vec<u8>, ReceiptError> {
        Ok(canonical::to_vec(self)?)
    }

    /// Reads a statement in that form, and no other. Says nothing of who signed it.
    pub fn parse(bytes: &[u8]) -> Result<Statement, ReceiptError> {
        let value: Value = canonical::from_slice(bytes)?.ok_or(ReceiptError::NotCanonical)?;
        let statement: Statement = serde_json::from_value(value)?;
        statement.kinds()?;
        statement.within_limits()?;
        Ok(statement)
    }

    /// The nonce of its quote: SHA-256 of its canonical form without the quote.
    pub fn nonce(payload: &[u8]) -> Result<[u8; 32], ReceiptError> {
        let mut value: Value = serde_json::from_slice(payload)?;
        if let Some(record) = value.pointer_mut("/predicate/headgate").and_then(Value::as_object_mut) {
            record.remove("quote");
        }
        Ok(*Digest::of(&canonical::to_vec(&value)?).as_bytes())
    }

    /// Our own record.
    pub fn record(&self) -> &Record {
        &self.predicate.headgate
    }

    /// The image.
    pub fn image(&self) -> &Subject {
        &self.subject[0] // parse demands it, and whoever builds one names it
    }

    fn kinds(&self) -> Result<(), ReceiptError> {
        let kinds = [
            ("the statement's type", &self.kind, STATEMENT),
            ("the predicate's type", &self.predicate_type, SUMMARY),
            ("the record's schema", &self.predicate.headgate.schema, SCHEMA),
        ];
        for (what, found, expected) in kinds {
            if found != expected {
                return Err(ReceiptError::Kind { what, found: found.chars().take(60).collect(), expected });
            }
        }
        Ok(())
    }

    fn within_limits(&self) -> Result<(), ReceiptError> {
        let record = self.record();
        let stations = record.release.as_ref().map_or(0, |r| r.stations.len());
        let proof = record.audit.as_ref().map_or(0, |a| a.proof.len());
        for (what, found, max) in [
            ("a list of subjects", self.subject.len(), 1),
            ("a list of stages", record.stages.len(), MAX_STAGES),
            ("a list of stations", stations, MAX_STATIONS),
            ("a list of attestations", self.predicate.input_attestations.len(), MAX_ATTESTATIONS),
            ("a list of levels", self.predicate.verified_levels.len(), MAX_STAGES),
            ("a proof", proof, MAX_PROOF),
        ] {
            if found > max {
                return Err(ReceiptError::TooLarge { what, found, max });
            }
        }
        let field = |field, found: &str, expected| ReceiptError::Field {
            field,
            found: found.chars().take(60).collect(),
            expected,
        };
        let digest = self.subject.first().map(|s| s.digest.sha256.as_str()).unwrap_or_default();
        if digest.len() != 64 || !digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(field("subject", digest, "one image with 64 hexadecimal digits of SHA-256"));
        }
        if let Some(text) = self.texts().into_iter().find(|text| !is_plain(text)) {
            return Err(field("text", text, "at most 400 bytes, no control character"));
        }
        let lines = record.audit.iter().flat_map(|a| [Some(&a.entry), a.checkpoint.as_ref()]).flatten();
        let pems = record.quote.iter().flat_map(|q| [&q.attestation_key, &q.site_key]);
        match lines.chain(pems).map(String::len).max() {
            Some(found) if found > MAX_LINES => {
                Err(ReceiptError::TooLarge { what: "a block of lines", found, max: MAX_LINES })
            }
            _ => Ok(()),
        }
    }

    /// Every text that a page prints.
    fn texts(&self) -> Vec<&str> {
        let Summary { verifier, time_verified, resource_uri, policy, verification_result, headgate, .. } =
            &self.predicate;
        let Record { case, outcome, opened, controller, configuration, way, station, gateway, .. } = headgate;
        let Controller { id, vendor, model, before, after, read_back } = controller;
        let mut texts: Vec<&str> = vec![&verifier.id, time_verified, resource_uri, verification_result];
        let always: [&str; 15] = [
            &policy.uri,
            &policy.digest.sha256,
            case,
            outcome,
            opened,
            id,
            vendor,
            model,
            read_back,
            &configuration.sha256,
            way,
            station,
            &gateway.name,
            &gateway.version,
            &gateway.evidence_key,
        ];
        texts.extend(always);
        texts.extend(headgate.code.iter().chain(&headgate.ended).map(String::as_str));
        texts.extend(self.predicate.verified_levels.iter().map(String::as_str));
        for subject in &self.subject {
            texts.push(&subject.name);
        }
        for one in &self.predicate.input_attestations {
            texts.extend([one.uri.as_str(), &one.digest.sha256]);
        }
        for reading in before.iter().chain(after) {
            texts.extend([reading.vendor.as_str(), &reading.product, &reading.revision, &reading.at]);
        }
        for stage in &headgate.stages {
            texts.extend([stage.stage.as_str(), &stage.outcome, &stage.found, &stage.expected]);
            texts.extend(stage.code.as_deref());
        }
        if let Some(signer) = &headgate.signer {
            texts.extend([signer.id.as_str(), &signer.name]);
        }
        if let Some(release) = &headgate.release {
            texts.extend([release.by.as_str(), &release.given, &release.expires]);
            texts.extend(release.stations.iter().chain(&release.ticket).map(String::as_str));
            texts.extend(release.window.iter().flat_map(|w| [w.from.as_str(), &w.to]));
        }
        if let Some(audit) = &headgate.audit {
            texts.push(&audit.origin);
            texts.extend(audit.proof.iter().map(String::as_str));
        }
        texts
    }
}

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
