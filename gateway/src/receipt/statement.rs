//! What a receipt says: in-toto Statement v1, SLSA verification summary v1, and our own record.
//!
//! <https://in-toto.io/Statement/v1>, <https://slsa.dev/verification_summary/v1>. Values are believed only after
//! [`super::check()`]. `verifiedLevels` is empty: a signature over an image says nothing of how it was built.

use firmware_verifier::{Digest, canonical};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ReceiptError;
use super::limits::{
    MAX_APPROVERS, MAX_ATTESTATIONS, MAX_LINES, MAX_PROOF, MAX_STAGES, MAX_STATIONS, is_plain,
};
use super::record::{Controller, Record, SCHEMA};

/// `_type` of the statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of the statement.
pub const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";

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
        let approvers = record.release.as_ref().map_or(0, |r| r.approvers.len());
        let proof = record.audit.as_ref().map_or(0, |a| a.proof.len());
        for (what, found, max) in [
            ("a list of subjects", self.subject.len(), 1),
            ("a list of stages", record.stages.len(), MAX_STAGES),
            ("a list of stations", stations, MAX_STATIONS),
            ("a list of those who vouch", record.vouched_by.len(), MAX_APPROVERS),
            ("a list of approvers", approvers, MAX_APPROVERS),
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
        if let Some(watch) = &headgate.watch {
            texts.extend([watch.state.as_str(), &watch.text, &watch.at]);
        }
        texts.extend(headgate.basis.as_deref());
        texts.extend(headgate.program.as_deref());
        texts.extend(headgate.break_glass.iter().flat_map(|g| [g.id.as_str(), &g.action, &g.reason]));
        for signer in headgate.signer.iter().chain(&headgate.vouched_by) {
            texts.extend([signer.id.as_str(), &signer.name]);
        }
        if let Some(release) = &headgate.release {
            texts.extend([release.by.as_str(), &release.given, &release.expires]);
            texts.extend(release.stations.iter().chain(&release.ticket).map(String::as_str));
            texts.extend(release.held.as_deref());
            texts.extend(release.approvers.iter().flat_map(|a| [a.id.as_str(), &a.name, &a.at]));
            texts.extend(release.window.iter().flat_map(|w| [w.from.as_str(), &w.to]));
        }
        if let Some(audit) = &headgate.audit {
            texts.push(&audit.origin);
            texts.extend(audit.proof.iter().map(String::as_str));
        }
        texts
    }
}
