//! Site vouching: the one road for an image that its vendor did not sign.
//!
//! Approvers look at the image elsewhere and sign a document that names it, the controllers and an end. This gateway
//! countersigns it with a key that its TPM keeps sealed, as it keeps the key of the trust store, and that is open only
//! while it signs. The gauntlet asks for both at every use. Such an image is never called signed.
//!
//! Invariant: the private key is never on disk in clear; its public half counts because the trust store names it.

use ed25519_dalek::{Signer as _, SigningKey};
use firmware_verifier::document::{Document, DocumentError, DocumentId, Moment, Signed, Vouch};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::identity::Slot;
use firmware_verifier::trust::{Anchor, KeyKind, PublicKey, Role};
use firmware_verifier::verdict::Basis;
use firmware_verifier::{Digest, Verdict, reasons};
use hal::clock::Wall;
use hal::tpm::KeyBlobs;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Judge;
use super::failure::{EvidenceRow, Failure};
use super::four_eyes::revoked_signer;
use super::gate::{MAX_RECORD, TPM_TIMEOUT};
use super::message::Answered;
use super::mint::{SIGNATURE, VOUCH, verdict_failure};
use super::provision::tpm_failure;
use super::rows::VerdictRow;
use super::trust::gate_failure;
use crate::audit::Kind;
use crate::reasons as why;
use crate::vault::{self, Area, Attached, ImageDigest, ImageIntake, Sidecar, StagedImage};

/// The controllers that an image is vouched for, and until when.
pub(super) struct Word<'a> {
    pub(super) plcs: &'a [String],
    pub(super) expires: Wall,
}

/// The sealed key on disk. All of it is public, and of no use with another TPM.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    schema: String,
    sealed: KeyBlobs,
}

impl Judge {
    /// What approvers sign to vouch for an image.
    pub(super) fn vouch_draft(
        &mut self,
        digest: &str,
        word: &Word<'_>,
        reason: &str,
    ) -> Result<Answered, Failure> {
        let now = self.now();
        if !now.trusted {
            let text = format!("the site's word has an end, and the clock ({now}) is not trusted");
            return Err(Failure::new(reasons::CLOCK_UNTRUSTED, text));
        }
        let mut id = [0; DocumentId::LEN];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| Failure::internal("no random numbers"))?;
        let image =
            digest.parse::<Digest>().map_err(|_| Failure::usage(format!("{digest:?} is no SHA-256")))?;
        let document = Document {
            content: Vouch { controllers: self.controllers(word.plcs)?, image },
            expires: Moment::new(word.expires),
            gateway: self.config.name.clone(),
            id: DocumentId::from_bytes(id),
            issued: Moment::new(now),
            reason: reason.into(),
        };
        let envelope = document.to_envelope().map_err(|e| Failure::usage(e.to_string()))?;
        let document = envelope.to_json().map_err(|e| Failure::internal(e.to_string()))?;
        Ok(Answered::Document { document })
    }

    /// Countersigns what approvers have signed, and keeps the image.
    pub(super) fn countersign(
        &mut self,
        word: &Word<'_>,
        mut sidecar: Sidecar,
        approvals: &[String],
        intake: ImageIntake,
    ) -> Result<Answered, Failure> {
        self.gate_open().map_err(gate_failure)?;
        let mut envelope = together(approvals)?;
        let digest = intake.digest();
        if let Err(failure) = self.read_word(word, &envelope, &digest) {
            let text = format!("the site's word was refused: {}", failure.text);
            self.note_with(Kind::Verdict, &word.plcs.join(", "), &text, failure.code, Some(digest));
            return Err(failure);
        }
        let restated = self.may_restate(&digest, &sidecar)?;
        let key = self.own_key()?;
        let id = public(&key)?.id();
        let signature = key.sign(&envelope.message()).to_bytes();
        drop(key);
        let unsigned = |e: firmware_verifier::dsse::DsseError| Failure::usage(e.to_string());
        envelope.attach(&id.to_string(), &signature).map_err(unsigned)?;
        sidecar.attached.insert(VOUCH.into(), Attached(envelope.to_json().map_err(unsigned)?.into_bytes()));
        let staged = intake.finish(&sidecar)?;
        let kept = self.keep_vouched(word, &sidecar, &staged);
        if kept.is_err() && !staged.already_there() {
            self.vault.remove(Area::Vault, staged.digest())?;
        }
        kept.map(|row| {
            if let Some(restated) = &restated {
                self.note_restated(&row.plc, &digest, restated);
            }
            let text = format!("{}; until {}, countersigned by key {id}", row.backing, word.expires);
            self.note_with(Kind::Verdict, &row.plc, &text, None, Some(*staged.digest()));
            Answered::Verdict(row)
        })
    }

    /// Whether the document counts, and says of this image what it was asked to say.
    fn read_word(&self, word: &Word<'_>, envelope: &Envelope, image: &ImageDigest) -> Result<(), Failure> {
        let trust = self.trust().map_err(gate_failure)?;
        let signed = Signed::<Vouch>::open(envelope, trust, &self.config.name, self.now());
        let signed = signed.map_err(|e| match (&e, revoked_signer(envelope, trust)) {
            (DocumentError::Unsigned { .. } | DocumentError::TooFew { .. }, Some(revoked)) => {
                Failure::new(reasons::SIGNER_REVOKED, revoked)
            }
            _ => Failure::new(e.code(), e.to_string()),
        })?;
        let said = |controllers: &[Slot], until: Wall| {
            let names: Vec<&str> = controllers.iter().map(Slot::as_str).collect();
            format!("the site's word for {} until {until}", names.join(", "))
        };
        let (found, until) = (&signed.content().controllers, signed.document().expires.wall());
        let expected = self.controllers(word.plcs)?;
        if *found != expected || until.ms != word.expires.ms {
            let (found, expected) = (said(found, until), said(&expected, word.expires));
            let text = format!("found {found}, expected {expected}, as --plc and --expires say");
            return Err(Failure::new(reasons::VOUCH_ELSEWHERE, text));
        }
        match signed.content().image {
            found if found.as_bytes() == image => Ok(()),
            found => {
                let text = format!(
                    "found the site's word for {found}, expected one for sha256:{}",
                    vault::hex(image)
                );
                Err(Failure::new(reasons::VOUCH_ELSEWHERE, text))
            }
        }
    }

    /// Runs the gauntlet for each controller, and keeps the word beside the image.
    fn keep_vouched(
        &mut self,
        word: &Word<'_>,
        sidecar: &Sidecar,
        staged: &StagedImage,
    ) -> Result<VerdictRow, Failure> {
        let digest = *staged.digest();
        let before = self.vault.sidecar(Area::Vault, &digest).unwrap_or_default();
        if staged.already_there() && before.attached.contains_key(SIGNATURE) {
            let text = "the image is in the vault with its vendor's signature: nobody need vouch for it";
            return Err(Failure::usage(text));
        }
        let mut row = None;
        for plc in word.plcs {
            let mut stored = self.vault.image(&digest)?;
            let verdict = self.run_gauntlet(plc, (sidecar, None), &mut stored, word.expires);
            match verdict.map_err(gate_failure)? {
                Verdict::Verified(verified, evidence) if verified.basis() == Basis::SiteVouched => {
                    row = row.or(Some((verified.backing(), evidence)));
                }
                verdict => return Err(verdict_failure(&verdict)),
            }
        }
        let (backing, evidence) = row.ok_or_else(|| Failure::usage("name a controller with --plc"))?;
        if staged.already_there() {
            self.vault.replace_sidecar(&digest, sidecar)?;
        }
        if self.vault.list(Area::Quarantine).iter().any(|s| s.digest == digest) {
            self.vault.remove(Area::Quarantine, &digest)?; // somebody stands behind it now
        }
        Ok(VerdictRow {
            digest: vault::hex(&digest),
            size: staged.size(),
            plc: word.plcs.join(", "),
            signer: String::new(),
            basis: Basis::SiteVouched,
            backing,
            staged: true,
            evidence: evidence.iter().map(EvidenceRow::from).collect(),
        })
    }

    /// Controllers of the configuration, in order, none twice.
    fn controllers(&self, plcs: &[String]) -> Result<Vec<Slot>, Failure> {
        let slot = |id: &String| self.not_safety(id).and_then(|()| self.plc(id)).map(|plc| plc.slot.clone());
        let mut slots = plcs.iter().map(slot).collect::<Result<Vec<_>, _>>()?;
        slots.sort();
        slots.dedup();
        Ok(slots)
    }

    /// This gateway's own key: the one that is kept, or a new one where there is none or it was revoked. Its file is
    /// written before the trust store names it: after a cut between the two it is named the next time.
    fn own_key(&mut self) -> Result<SigningKey, Failure> {
        let kept = self.kept_key()?;
        let trust = self.trust().map_err(gate_failure)?;
        let usable = |key: &SigningKey| public(key).is_ok_and(|key| trust.revoked_key(key.id()).is_none());
        let key = match kept.filter(usable) {
            Some(key) => key,
            None => self.new_key()?,
        };
        let public = public(&key)?;
        let mut store = self.trust_copy()?;
        if store.find(public.id()).is_ok() {
            return Ok(key);
        }
        let name = format!("{} countersigns", self.config.name);
        let anchor = Anchor::with_role(Role::Gateway, public, &name, self.now());
        let anchor = anchor.map_err(|e| Failure::internal(e.to_string()))?;
        store.add(anchor).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        self.write_trust(store)?;
        let id = public.id().to_string();
        self.note(Kind::Trust, &id, &format!("trusted: key {id} ({name}), sealed in the TPM, as gateway"));
        Ok(key)
    }

    fn kept_key(&mut self) -> Result<Option<SigningKey>, Failure> {
        let Some(bytes) = self.store.read(KEY_FILE, MAX_RECORD)? else { return Ok(None) };
        let file = serde_json::from_slice::<KeyFile>(&bytes).ok().filter(|file| file.schema == KEY_SCHEMA);
        let Some(file) = file else {
            tracing::warn!(
                "{KEY_FILE} cannot be read: a new key is made, and what the old one signed still counts"
            );
            return Ok(None);
        };
        let provisioned = self.provisioned_or_failure()?;
        let (tpm, approvals) = (self.tpm_or_failure()?, self.approvals());
        let unsealed = tpm.unseal_another(&provisioned, &approvals, &file.sealed, TPM_TIMEOUT);
        unsealed.map(|unsealed| Some(signing_key(&unsealed.key))).map_err(|e| tpm_failure(&e))
    }

    fn new_key(&mut self) -> Result<SigningKey, Failure> {
        let provisioned = self.provisioned_or_failure()?;
        let sealed = self.tpm_or_failure()?.seal_another(&provisioned, TPM_TIMEOUT);
        let (sealed, secret) = sealed.map_err(|e| tpm_failure(&e))?;
        let file = KeyFile { schema: KEY_SCHEMA.into(), sealed };
        let bytes = serde_json::to_vec_pretty(&file).map_err(|e| Failure::internal(e.to_string()))?;
        self.store.write_atomic(KEY_FILE, &bytes)?;
        Ok(signing_key(&secret))
    }

    /// The site's word that lies beside an image of the vault; none where the image has a signature.
    pub(super) fn word_beside(&self, digest: &ImageDigest) -> Option<Attached> {
        let mut sidecar = self.vault.sidecar(Area::Vault, digest).ok()?;
        let signed = sidecar.attached.contains_key(SIGNATURE);
        sidecar.attached.remove(VOUCH).filter(|_| !signed)
    }
}

/// Copies of one document, each with the signatures of some, as one.
fn together(approvals: &[String]) -> Result<Envelope, Failure> {
    let parse = |text: &String| {
        Envelope::parse(text.as_bytes())
            .map_err(|e| Failure::new(reasons::DOCUMENT_UNREADABLE, e.to_string()))
    };
    let [first, more @ ..] = approvals else {
        return Err(Failure::new(why::HELD, "found no approval, expected those of the approvers"));
    };
    let mut envelope = parse(first)?;
    for text in more {
        let merged = envelope.merge(&parse(text)?);
        merged.map_err(|e| Failure::new(reasons::DOCUMENT_UNREADABLE, e.to_string()))?;
    }
    Ok(envelope)
}

/// A key of its own, whatever was sealed: what the TPM gives is never the key itself.
fn signing_key(secret: &Zeroizing<[u8; 32]>) -> SigningKey {
    let tagged = Zeroizing::new([b"headgate/countersign/v1".as_slice(), secret.as_slice()].concat());
    let seed = Zeroizing::new(*Digest::of(&tagged).as_bytes());
    SigningKey::from_bytes(&seed)
}

fn public(key: &SigningKey) -> Result<PublicKey, Failure> {
    PublicKey::new(KeyKind::Ed25519, key.verifying_key().as_bytes())
        .map_err(|e| Failure::internal(e.to_string()))
}

/// The sealed key.
pub(super) const KEY_FILE: &str = "countersign.json";
const KEY_SCHEMA: &str = "headgate/countersign-key/v1";
