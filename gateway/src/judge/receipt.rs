//! Receipts: what is gathered for one while an update goes, and the TPM's signature when it has landed.
//!
//! Nothing that a peer sends makes the TPM sign: a receipt is made for an update that has used up a person's release,
//! once. When the TPM does not sign now, the receipt waits in the database and is made when it does, also after a
//! restart.

use std::time::Duration;

use firmware_verifier::dsse;
use hal::clock::{Mono, Wall};
use hal::tpm::{AttestationKey, Provisioned};
use serde::Serialize;

use super::failure::Failure;
use super::gate::TPM_TIMEOUT;
use super::let_through::LetThrough;
use super::message::Answered;
use super::rows::ReceiptRow;
use super::trust::gate_failure;
use super::{Judge, OURSELVES};
use crate::audit::{Event, Kind as Audit};
use crate::reasons as why;
use crate::receipt::record::{
    Audit as AuditRecord, Bytes, Certified, Controller, Gateway, Quoted, Reading, Record, SCHEMA, Watch,
};
use crate::receipt::statement::{
    Resource, STATEMENT, SUMMARY, Sha256, Statement, Subject, Summary, Verifier,
};
use crate::receipt::{Said, check, envelope, plain};
use crate::state::Tx;
use crate::state::case::{self, Case, CaseNumber, CaseState};
use crate::state::identity::{self, Identity};
use crate::state::receipt::{self, Gathered, ReceiptState};
use crate::state::soak::{self, SoakState};
use crate::transfer::event::CaseId;
use crate::vault;

/// When receipts are looked at next.
#[derive(Debug, Default)]
pub(super) struct Due {
    next: Option<Mono>,
    /// The last case whose story says that it waits.
    told: Option<CaseNumber>,
}

impl Judge {
    /// What the controller said last, for a case that opens.
    pub(super) fn before(&self, plc: &str) -> Option<String> {
        let known = identity::get(&self.db.rows(), plc).ok().flatten()?;
        serde_json::to_string(&reading(&known.identity, known.at)).ok()
    }

    /// Has the receipts looked at as soon as the judge has time.
    pub(super) fn receipts_are_due(&mut self) {
        self.receipts.next = Some(self.clock.mono());
    }

    /// When [`Judge::keep_receipts`] has something to do.
    pub(super) fn receipts_in(&self) -> Option<Duration> {
        let now = self.clock.mono();
        self.receipts.next.map(|due| due.since(now))
    }

    /// Makes one receipt that is due.
    pub fn keep_receipts(&mut self) {
        if self.receipts_in().is_none_or(|wait| !wait.is_zero()) {
            return;
        }
        self.receipts.next = None;
        let waiting = receipt::waiting(&self.db.rows(), 1).unwrap_or_default();
        let Some(one) = waiting.first() else { return };
        match self.make_receipt(one) {
            Ok(()) => self.receipts_are_due(), // there may be more
            Err(text) => {
                self.receipts.next = Some(self.clock.mono() + RETRY);
                if self.receipts.told != Some(one.case) {
                    self.receipts.told = Some(one.case);
                    tracing::warn!(case = %one.case, %text, "a receipt waits");
                    let text = format!("its receipt waits until the TPM signs: {text}");
                    self.tell_case(CaseId(one.case.as_u64()), &text);
                }
            }
        }
    }

    /// Has the TPM sign the receipt of an update that has landed. Both steps may be cut off and done again: the file is
    /// replaced whole.
    fn make_receipt(&mut self, one: &Gathered) -> Result<(), String> {
        self.gate_open().map_err(|refusal| refusal.to_string())?;
        let provisioned = self.provisioned().map_err(|r| r.to_string())?.ok_or("not provisioned")?;
        let row = case::get(&self.db.rows(), one.case).map_err(|e| e.to_string())?.ok_or("no such case")?;
        let audit = self.log_of(&row, one)?;
        let mut statement = self.statement(&row, Some(one), &provisioned);
        statement.predicate.headgate.audit = Some(audit);
        let (tpm, approvals) = (self.tpm.clone().ok_or("no TPM")?, self.approvals());
        let said = |e: &dyn std::fmt::Display| e.to_string();
        let nonce = Statement::nonce(&statement.to_json().map_err(|e| said(&e))?).map_err(|e| said(&e))?;
        let quote = tpm.quote(&provisioned, &nonce, TPM_TIMEOUT).map_err(|e| said(&e))?;
        statement.predicate.headgate.quote = Some(quoted(&provisioned, quote)?);
        let payload = statement.to_json().map_err(|e| said(&e))?;
        let digest = envelope::to_sign(&payload).map_err(|e| said(&e))?;
        let signature = tpm.sign(&provisioned, &approvals, &digest, TPM_TIMEOUT).map_err(|e| said(&e))?;
        let key = statement.record().gateway.evidence_key.clone();
        let sealed = sha256(&payload);
        let file = envelope::signed(payload, &key, &signature).map_err(|e| said(&e))?;
        self.store.write_atomic(&file_name(one.case), file.as_bytes()).map_err(|e| said(&e))?;
        let now = self.now();
        let text = format!("its receipt is signed: headgate receipt {}", one.case);
        let kept = self.db.write("record a receipt", |tx| {
            receipt::signed(tx, one.case)?;
            case::tell(tx, one.case, now, &text)
        });
        kept.map_err(|e| said(&e))?;
        let text = format!("{}: its receipt is signed; the digest is the statement's", one.case);
        self.note_with(Audit::Case, &row.plc, &text, None, vault::from_hex(&sealed.sha256));
        Ok(())
    }

    /// The audit log's entry about the case, under a checkpoint where one can be signed.
    fn log_of(&mut self, row: &Case, one: &Gathered) -> Result<AuditRecord, String> {
        let known = one.entry.filter(|n| self.is_about(*n, row));
        // Cut off before it was written, or of a log that was set aside since.
        let index = match known {
            Some(index) => index,
            None => {
                let text = format!("{}: done: the update has landed", row.number);
                let event = Event::new(self.now(), Audit::Verdict, OURSELVES, &row.plc, &text);
                let index = self.write_down(Event { digest: row.digest, ..event });
                let index = index.ok_or("the audit log cannot be written")?;
                let kept =
                    self.db.write("name an audit entry", |tx| receipt::set_entry(tx, row.number, index));
                kept.map_err(|e| e.to_string())?;
                index
            }
        };
        self.entry_with_checkpoint(index)
    }

    fn is_about(&mut self, index: u64, row: &Case) -> bool {
        let entry = self.entry_at(index);
        entry.is_some_and(|e| {
            e.subject == row.plc && e.digest == row.digest && e.text.starts_with(&format!("{}:", row.number))
        })
    }

    /// What a case's statement says so far.
    fn statement(&self, row: &Case, gathered: Option<&Gathered>, provisioned: &Provisioned) -> Statement {
        let parse = |text: Option<&String>| text.and_then(|t| serde_json::from_str::<Reading>(t).ok());
        let let_through = gathered.and_then(|g| g.verdict.as_ref());
        let known: Option<LetThrough> = let_through.and_then(|text| serde_json::from_str(text).ok());
        let landed = row.state == CaseState::Done
            && gathered.is_some_and(|g| g.state != ReceiptState::Open)
            && known.is_some();
        let glass = known.as_ref().and_then(|k| k.break_glass.clone());
        let program = known.as_ref().and_then(|k| k.program.clone());
        let passed = landed && glass.is_none() && program.is_none();
        let after = parse(gathered.and_then(|g| g.after.as_ref()));
        let configured = self.config.plc(&row.plc);
        let product = |f: fn(&firmware_verifier::identity::Product) -> &str| {
            plain(configured.map_or("", |plc| f(&plc.product)))
        };
        let name = &self.config.name;
        let now_configured = Sha256 { sha256: vault::hex(self.config.digest().as_bytes()) };
        let configuration = known.as_ref().map_or(now_configured, |k| k.configuration.clone());
        let epoch = known.as_ref().map_or(1, |k| k.policy_epoch);
        let key = provisioned.evidence_key().map(|k| envelope::key_id(&k.to_der())).unwrap_or_default();
        Statement {
            kind: STATEMENT.into(),
            predicate_type: SUMMARY.into(),
            subject: vec![Subject {
                name: known.as_ref().map_or(String::new(), |k| k.name.clone()),
                digest: Sha256 { sha256: row.digest.map(|d| vault::hex(&d)).unwrap_or_default() },
            }],
            predicate: Summary {
                verifier: Verifier { id: format!("headgate/{name}") },
                time_verified: known.as_ref().map_or(row.opened.to_string(), |k| k.verified.clone()),
                resource_uri: format!("{name}/{}", row.plc),
                // The built-in rules are the program's; all they are given is the configuration.
                policy: Resource {
                    uri: format!("headgate:policy/built-in/{epoch}"),
                    digest: configuration.clone(),
                },
                input_attestations: known.as_ref().map(|k| k.attestations.clone()).unwrap_or_default(),
                verification_result: if passed { "PASSED" } else { "FAILED" }.into(),
                verified_levels: Vec::new(),
                headgate: Record {
                    schema: SCHEMA.into(),
                    case: format!("{name}/{}", row.number),
                    outcome: format!("{:?}", row.state).to_lowercase(),
                    code: row.code.map(|code| code.to_string()),
                    opened: row.opened.to_string(),
                    ended: gathered.and_then(|g| g.ended).map(|at| at.to_string()),
                    controller: Controller {
                        id: row.plc.clone(),
                        vendor: product(|p| p.vendor()),
                        model: product(|p| p.model()),
                        before: parse(gathered.and_then(|g| g.before.as_ref())),
                        read_back: if after.is_some() { "identity-only" } else { "none" }.into(),
                        after,
                    },
                    stages: known.as_ref().map(|k| k.stages.clone()).unwrap_or_default(),
                    signer: known.as_ref().filter(|k| !k.is_vouched()).and_then(|k| k.signer.clone()),
                    basis: known.as_ref().and_then(|k| k.basis.as_ref()).map(word),
                    break_glass: glass,
                    program,
                    vouched_by: known.as_ref().map(LetThrough::vouchers).unwrap_or_default(),
                    release: known.as_ref().and_then(|k| k.release.clone()),
                    configuration,
                    way: row.way.clone(),
                    station: plain(&row.station),
                    watch: self.watch_of(row.number),
                    delivered_bytes: known.as_ref().filter(|_| landed).map(|k| k.len),
                    gateway: Gateway {
                        name: name.clone(),
                        version: env!("CARGO_PKG_VERSION").into(),
                        evidence_key: key,
                    },
                    audit: None,
                    quote: None,
                },
            },
        }
    }

    /// What the watch on the controller's signals has found.
    fn watch_of(&self, case: CaseNumber) -> Option<Watch> {
        let soak = soak::get(&self.db.rows(), case).ok().flatten()?;
        (soak.state != SoakState::Open).then(|| Watch {
            state: format!("{:?}", soak.state).to_lowercase(),
            text: plain(&soak.text.unwrap_or_default()),
            at: soak.updated.to_string(),
        })
    }

    /// The watch after an update has ended: its receipt says so, too. Once for each update, as the watch itself.
    pub(super) fn sign_receipt_again(&mut self, case: CaseNumber) {
        let again = self.db.write("have a receipt signed again", |tx| receipt::again(tx, case));
        if matches!(again, Ok(true)) {
            self.receipts_are_due();
        }
        self.log(again.map(drop));
    }

    /// The receipt of a case, or what there is in its place.
    pub(super) fn receipt(&mut self, case: &str) -> Result<Answered, Failure> {
        let number: CaseNumber = case
            .parse()
            .map_err(|_| Failure::usage(format!("{case:?} is no case; cases look like C-000123")))?;
        let file = self.store.read(&file_name(number), dsse::MAX_ENVELOPE as u64)?;
        if let Some(signed) = file.and_then(|bytes| String::from_utf8(bytes).ok()) {
            let why = self.doubt(signed.as_bytes())?;
            let case = number.to_string();
            let row = ReceiptRow { case, signed: Some(signed), why, statement: None };
            return Ok(Answered::Receipt(Box::new(row)));
        }
        let row = case::get(&self.db.rows(), number)?;
        let row = row.ok_or_else(|| Failure::not_found(format!("no case {number}")))?;
        let gathered = receipt::get(&self.db.rows(), number)?;
        let why = match gathered.as_ref().map(|g| g.state) {
            Some(ReceiptState::Waiting) => "it waits until the TPM signs; headgate explain tells why".into(),
            Some(ReceiptState::Signed) => "it was signed, and its file is gone from receipts/".into(),
            _ if !row.state.ended() => "the case has not ended".into(),
            _ if row.state == CaseState::Done => "no receipt was made for this case".into(),
            _ => format!(
                "the case was {}: no image was let through",
                format!("{:?}", row.state).to_lowercase()
            ),
        };
        let statement = self.statement(&row, gathered.as_ref(), &self.provisioned_or_failure()?);
        let statement = serde_json::to_value(&statement).map_err(|e| Failure::internal(e.to_string()))?;
        let case = number.to_string();
        Ok(Answered::Receipt(Box::new(ReceiptRow { case, signed: None, why, statement: Some(statement) })))
    }

    /// The kept file of a case, as it lies on the disk.
    pub(super) fn receipt_file(&self, case: CaseNumber) -> Option<Vec<u8>> {
        self.store.read(&file_name(case), dsse::MAX_ENVELOPE as u64).ok().flatten()
    }

    /// What is wrong with a kept file; empty when all is well. It lies on a disk that others may have written to.
    fn doubt(&self, file: &[u8]) -> Result<String, Failure> {
        let Answered::Keys { evidence, attestation } = self.receipt_keys()? else { return Ok(String::new()) };
        let keys = envelope::key_from_pem(&evidence)
            .and_then(|evidence| Ok((evidence, envelope::key_from_pem(&attestation)?)));
        let (evidence, attestation) = keys.map_err(|e| Failure::internal(e.to_string()))?;
        if self.is_of_predecessor(file) {
            return Ok(String::new());
        }
        Ok(match check(file, &evidence, Some(&attestation)) {
            Ok(checked) => {
                let wrong = checked.findings.iter().find(|f| f.said == Said::Bad);
                wrong.map_or(String::new(), |f| {
                    format!("{}: {}; or by a key before headgate init --again", f.what, f.text)
                })
            }
            Err(e) => format!("its file was edited: {e}"),
        })
    }

    /// Whether a box whose place this one took has signed the file.
    fn is_of_predecessor(&self, file: &[u8]) -> bool {
        let signed = |key| check(file, &key, None).is_ok_and(|checked| checked.is_good());
        self.predecessor_keys().into_iter().any(signed)
    }

    /// The public keys that receipts are checked with, as PEM.
    pub(super) fn receipt_keys(&self) -> Result<Answered, Failure> {
        let provisioned = self.provisioned_or_failure()?;
        let failed = |e: hal::tpm::TpmError| Failure::new(why::NOT_PROVISIONED, e.to_string());
        Ok(Answered::Keys {
            evidence: provisioned.evidence_key().map_err(failed)?.to_pem(),
            attestation: provisioned.attestation_key().map_err(failed)?.to_pem(),
        })
    }

    pub(super) fn provisioned_or_failure(&self) -> Result<Provisioned, Failure> {
        self.provisioned().map_err(gate_failure)?.ok_or_else(|| self.no_record_failure())
    }
}

/// An update has landed. `after` is what the controller said when it was read back.
pub(super) fn landed(
    tx: &Tx<'_>,
    case: CaseNumber,
    after: Option<&Identity>,
    now: Wall,
) -> Result<bool, crate::state::StateError> {
    let after = after.and_then(|after| serde_json::to_string(&reading(after, now)).ok());
    receipt::land(tx, case, after.as_deref(), now)
}

fn reading(identity: &Identity, at: Wall) -> Reading {
    Reading {
        vendor: plain(&identity.vendor),
        product: plain(&identity.product),
        revision: plain(&identity.revision),
        at: at.to_string(),
    }
}

pub(super) fn quoted(provisioned: &Provisioned, quote: hal::tpm::Quote) -> Result<Quoted, String> {
    let missing = "headgate init made no signing keys; headgate init --again makes them";
    let public = |blobs: &Option<hal::tpm::KeyBlobs>| blobs.as_ref().map(|b| Bytes(b.public.clone()));
    let certification = provisioned.evidence_certification.as_ref().ok_or(missing)?;
    let ak: AttestationKey = provisioned.attestation_key().map_err(|e| e.to_string())?;
    Ok(Quoted {
        attest: Bytes(quote.attest),
        signature: Bytes(quote.signature),
        pcrs: quote.pcrs,
        attestation_key: ak.to_pem(),
        attestation_public: public(&provisioned.attestation).ok_or(missing)?,
        evidence_public: public(&provisioned.evidence).ok_or(missing)?,
        site_key: provisioned.site_key.to_pem(),
        certification: Certified {
            attest: Bytes(certification.attest.clone()),
            signature: Bytes(certification.signature.clone()),
        },
    })
}

/// A name of an enum, as it is written everywhere.
pub(super) fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

pub(super) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256 { sha256: firmware_verifier::Digest::of(bytes).to_hex() }
}

pub(super) fn file_name(case: CaseNumber) -> String {
    format!("{DIR}/{case}.json")
}

/// Folder of the receipts.
pub(super) const DIR: &str = "receipts";
/// Pause after the TPM refused to sign one.
const RETRY: Duration = Duration::from_secs(60);
