//! Checks a receipt offline: with the gateway's public key, and with the attestation key where somebody noted it.
//!
//! Each finding is a line of its own, and all are looked at, so that one run shows everything that is wrong. Nothing
//! here knows the key from the receipt itself: a file proves nothing with a key that it brings along. The one
//! exception is the attestation key where none is given, and then the finding says so; the evidence key's signature
//! covers it all the same.

use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::PublicKey;
use hal::tpm::{
    Attest, AttestationKey, Attested, Certification, EvidenceKey, Quote, QuoteRefused, SiteKeyPublic,
};

use super::envelope;
use super::error::ReceiptError;
use super::record::{Audit, Quoted};
use super::statement::Statement;
use crate::audit::Entry;
use crate::audit::checkpoint::{LogKey, Note};
use crate::audit::tree::{self, Hash};

/// How a finding came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It holds.
    Good,
    /// It does not: the receipt is not to be believed.
    Bad,
    /// It could not be looked at, and nothing hangs on it.
    NotLooked,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it came out.
    pub said: Said,
    /// In words.
    pub text: String,
}

/// A receipt and what was found about it.
#[derive(Debug)]
pub struct Checked {
    /// What it says; to be believed when nothing is [`Said::Bad`].
    pub statement: Statement,
    /// Id of the key that was given.
    pub key: String,
    /// In the order of the checks.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Whether the receipt is to be believed.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|f| f.said != Said::Bad)
    }
}

/// Checks the file of a receipt. `key` is the gateway's evidence key and `attestation` its attestation key, both from
/// elsewhere than the file.
///
/// # Errors
/// [`ReceiptError`] for bytes that are no receipt; what is wrong with one that can be read is in the findings.
pub fn check(file: &[u8], key: &PublicKey, attestation: Option<&PublicKey>) -> Result<Checked, ReceiptError> {
    let (envelope, statement) = envelope::open(file)?;
    let der = [&SPKI[..], key.as_bytes()].concat();
    let id = envelope::key_id(&der);
    let mut findings = vec![signature(&envelope, key, &id), named(&statement, &id)];
    match &statement.record().quote {
        Some(quoted) => {
            let nonce = Statement::nonce(envelope.payload())?;
            findings.extend(quote(quoted, (&nonce, OF_STATEMENT), key, attestation));
        }
        None => findings.push(bad("quote", "there is none".into())),
    }
    findings.push(log(&statement, &der));
    Ok(Checked { statement, key: id, findings })
}

/// Id of a P-256 key: SHA-256 of its SubjectPublicKeyInfo.
pub fn id_of(key: &PublicKey) -> String {
    envelope::key_id(&der_of(key))
}

/// SubjectPublicKeyInfo of a P-256 key, in DER.
pub(crate) fn der_of(key: &PublicKey) -> Vec<u8> {
    [&SPKI[..], key.as_bytes()].concat()
}

fn signature(envelope: &Envelope, key: &PublicKey, id: &str) -> Finding {
    if envelope.verify([key]).contains(key) {
        good("signature", format!("of the gateway's key {}", short(id)))
    } else {
        bad("signature", format!("not of the gateway's key {}: edited, or another gateway's", short(id)))
    }
}

fn named(statement: &Statement, id: &str) -> Finding {
    let found = &statement.record().gateway.evidence_key;
    match found == id {
        true => good("key", "the statement names the same key".into()),
        false => bad("key", format!("the statement names key {}, not {}", short(found), short(id))),
    }
}

/// What there is to find about a quote. `words` say what a nonce that fits is, and one that does not.
pub(crate) fn quote(
    quoted: &Quoted,
    (nonce, words): (&[u8], [&str; 2]),
    key: &PublicKey,
    attestation: Option<&PublicKey>,
) -> Vec<Finding> {
    let ak = match attestation_key(quoted) {
        Ok(ak) => ak,
        Err(text) => return vec![bad("attestation key", text)],
    };
    let ak_id = envelope::key_id(&ak.to_der());
    let mut findings = vec![match attestation {
        Some(given) if ak.to_der().ends_with(given.as_bytes()) => {
            good("attestation key", format!("{}, the one that was given", short(&ak_id)))
        }
        Some(_) => bad("attestation key", format!("{}, not the one that was given", short(&ak_id))),
        None => {
            let text = format!("{}, of the file itself; --attestation-key compares it", short(&ak_id));
            Finding { what: "attestation key", said: Said::NotLooked, text }
        }
    }];
    let whole = Quote {
        attest: quoted.attest.0.clone(),
        signature: quoted.signature.0.clone(),
        pcrs: quoted.pcrs.clone(),
    };
    let verdict = whole.verify(&ak, nonce, &whole.pcrs);
    findings.push(match &verdict {
        Err(QuoteRefused::Signature(_) | QuoteRefused::Attest(_) | QuoteRefused::Kind { .. }) => {
            bad("quote", verdict_text(&verdict))
        }
        _ => good("quote", "signed by the attestation key".into()),
    });
    if let Ok(said) = Attest::parse(&quoted.attest.0) {
        findings.push(match said.extra_data == nonce {
            true => good("nonce", words[0].into()),
            false => bad("nonce", words[1].into()),
        });
        let holds = matches!(&said.attested, Attested::Quote { selection, digest }
            if *selection == whole.pcrs.selection() && *digest == whole.pcrs.digest());
        let pcrs = format!("PCRs {:?}", whole.pcrs.selection().indices());
        findings.push(match holds {
            true => good("pcrs", format!("{pcrs} as listed are the ones quoted")),
            false => bad("pcrs", format!("{pcrs} as listed are not the ones quoted")),
        });
    }
    findings.push(certified(quoted, &ak, key));
    findings
}

fn verdict_text<T>(verdict: &Result<T, QuoteRefused>) -> String {
    verdict.as_ref().err().map_or(String::new(), ToString::to_string)
}

fn attestation_key(quoted: &Quoted) -> Result<AttestationKey, String> {
    let ak = AttestationKey::from_public(&quoted.attestation_public.0).map_err(|e| e.to_string())?;
    match ak.to_pem() == quoted.attestation_key {
        true => Ok(ak),
        false => Err("its PEM is another key than its public area".into()),
    }
}

/// That the key which signed lives in the TPM that was quoted, and what the TPM lets it be used for.
fn certified(quoted: &Quoted, ak: &AttestationKey, key: &PublicKey) -> Finding {
    let evidence = SiteKeyPublic::from_pem(&quoted.site_key)
        .and_then(|site| Ok((EvidenceKey::from_public(&quoted.evidence_public.0, &site)?, site)));
    let (evidence, site) = match evidence {
        Ok(both) => both,
        Err(e) => return bad("evidence key", e.to_string()),
    };
    if !evidence.to_der().ends_with(key.as_bytes()) {
        return bad("evidence key", "its public area is of another key than the one given".into());
    }
    let certification = Certification {
        attest: quoted.certification.attest.0.clone(),
        signature: quoted.certification.signature.0.clone(),
    };
    match certification.verify(ak, &evidence) {
        Ok(()) => {
            let site = envelope::key_id(&[&SPKI[..], site.point()].concat());
            let text = format!(
                "in the TPM that was quoted; usable in boot states that site key {} approved, no others",
                short(&site)
            );
            good("evidence key", text)
        }
        Err(e) => bad("evidence key", e.to_string()),
    }
}

/// That the audit log has this case, under a checkpoint of the same key.
fn log(statement: &Statement, der: &[u8]) -> Finding {
    let Some(audit) = &statement.record().audit else {
        return not_looked("audit log", "the statement names no entry".into());
    };
    if audit.checkpoint.is_none() {
        let text = format!("entry {} of {}; no checkpoint came with it", audit.index, audit.origin);
        return not_looked("audit log", text);
    }
    match covered(statement, audit, der) {
        Ok(size) => good("audit log", format!("entry {} is under a checkpoint of {size}", audit.index)),
        Err(text) => bad("audit log", text),
    }
}

fn covered(statement: &Statement, audit: &Audit, der: &[u8]) -> Result<u64, String> {
    let record = statement.record();
    let key = LogKey::from_spki(&audit.origin, der).map_err(|e| e.to_string())?;
    let note = Note::parse(audit.checkpoint.as_deref().unwrap_or_default()).map_err(|e| e.to_string())?;
    let checkpoint = note.verify(&key).map_err(|e| e.to_string())?;
    let entry = Entry::parse(audit.entry.as_bytes()).map_err(|e| e.to_string())?;
    let digest = entry.event.digest.map(|d| crate::vault::hex(&d)).unwrap_or_default();
    let is_ours = entry.n == audit.index
        && entry.event.subject == record.controller.id
        && digest == statement.image().digest.sha256
        && record
            .case
            .rsplit('/')
            .next()
            .is_some_and(|case| entry.event.text.starts_with(&format!("{case}:")));
    if !is_ours {
        return Err(format!("entry {} is about something else", audit.index));
    }
    let proof: Option<Vec<Hash>> = audit.proof.iter().map(|hash| Hash::from_base64(hash)).collect();
    let proof = proof.ok_or("a hash of the proof is no hash")?;
    let leaf = Hash::of_leaf(audit.entry.as_bytes());
    tree::verify_inclusion(&leaf, audit.index, checkpoint.size, &proof, &checkpoint.root)
        .map_err(|e| e.to_string())?;
    Ok(checkpoint.size)
}

/// Enough of a key's id to compare it with one that was noted.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(16).collect()
}

pub(crate) fn good(what: &'static str, text: String) -> Finding {
    Finding { what, said: Said::Good, text }
}

pub(crate) fn bad(what: &'static str, text: String) -> Finding {
    Finding { what, said: Said::Bad, text }
}

pub(crate) fn not_looked(what: &'static str, text: String) -> Finding {
    Finding { what, said: Said::NotLooked, text }
}

/// What the nonce of a receipt's quote is.
const OF_STATEMENT: [&str; 2] =
    ["the digest of this very statement", "not the digest of this statement: a quote of another time"];
/// RFC 5480 §2: id-ecPublicKey, secp256r1, and the head of a bit string of 65 bytes.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
