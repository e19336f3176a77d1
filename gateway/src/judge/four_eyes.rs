//! Four eyes: what approvers have signed for a held release, and whether it is enough.
//!
//! [`Approval::tally`] counts, on distinct keys; nothing here does. It is asked when an approval comes and again at each
//! use of the release, with the keys that are trusted then: an approver's key that is revoked, or an approval that has
//! expired, takes the release with it. Two shells on this box are no two keys.

use firmware_verifier::document::{Approval, Decision, DocumentError, DocumentId, Signed, Tally};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::reasons;
use firmware_verifier::trust::{Role, Threshold, TrustStore};
use hal::clock::Wall;
use hal::reason::ReasonCode;

use super::failure::Failure;
use super::held::{self as holding, ApproverRow};
use super::message::Answered;
use super::release::{Basis, Grant, life};
use super::trust::gate_failure;
use super::{Judge, refusal, why};
use crate::audit::Kind;
use crate::state::case::{self, CaseState};
use crate::state::held::{self, Held};
use crate::state::release::Release;
use crate::transfer::event::{CaseId, Refusal};
use crate::vault;

/// What the approvals of a held release come to now.
pub(super) struct Counted {
    pub(super) tally: Tally,
    pub(super) need: Threshold,
    /// Whose signatures count.
    pub(super) approvers: Vec<ApproverRow>,
    /// When the first of their documents ends.
    until: Option<Wall>,
    /// What was signed for another step than this one, and this one, in words.
    elsewhere: Option<(String, String)>,
}

impl Counted {
    /// How many have approved, for people to read.
    pub(super) fn have(&self) -> usize {
        match &self.tally {
            Tally::Waiting(few) => few.have,
            Tally::Approved | Tally::Refused(_) => self.approvers.len(),
        }
    }
}

impl Judge {
    /// Takes one signed approval, or refusal. The release is given with the last one that it needs.
    pub(super) fn held_approve(&mut self, case: &str, document: &str) -> Result<Answered, Failure> {
        self.gate_open().map_err(gate_failure)?;
        let held = self.waiting(case)?;
        let signed = match self.read_approval(&held, document) {
            Ok(signed) => signed,
            Err(failure) => {
                let text = format!("{}: an approval was refused: {}", held.case, failure.text);
                self.note_with(Kind::Approval, &held.plc, &text, failure.code, Some(held.digest));
                return Err(failure);
            }
        };
        let said = self.keep_approval(&held, &signed, document)?;
        let counted = self.count_approvals(&held).map_err(gate_failure)?;
        match &counted.tally {
            Tally::Refused(names) => {
                let text = format!("refused by {}: {}", names.join(", "), signed.document().reason);
                self.refuse_held(&held, &text);
                Ok(Answered::Done { text: format!("{}: {text}", held.case) })
            }
            Tally::Waiting(few) => {
                let text = format!("{}: {said}; {} of {} have approved", held.case, few.have, few.need);
                Ok(Answered::Done { text })
            }
            Tally::Approved => {
                let released = self.let_go(&held, &counted);
                if let Err(failure) = &released {
                    self.tell_case(
                        CaseId(held.case.as_u64()),
                        &format!("approved, but not released: {failure}"),
                    );
                }
                Ok(Answered::Done { text: format!("{}: {said}; {}", held.case, released?) })
            }
        }
    }

    /// An approval that counts, and that is for this very case.
    fn read_approval(&self, held: &Held, document: &str) -> Result<Signed<Approval>, Failure> {
        let unreadable = |e: String| Failure::new(reasons::DOCUMENT_UNREADABLE, e);
        let envelope = Envelope::parse(document.as_bytes()).map_err(|e| unreadable(e.to_string()))?;
        let trust = self.trust().map_err(gate_failure)?;
        let signed = Signed::<Approval>::open(&envelope, trust, &self.config.name, self.now());
        let signed = signed.map_err(|e| match (&e, revoked_signer(&envelope, trust)) {
            (DocumentError::Unsigned { .. }, Some(revoked)) => Failure::new(reasons::SIGNER_REVOKED, revoked),
            _ => Failure::new(e.code(), e.to_string()),
        })?;
        let step = self.step(held)?;
        let (id, content) = (DocumentId::from_bytes(held.id), signed.content());
        let elsewhere = |found: String, expected: String| {
            Failure::new(why::APPROVAL_ELSEWHERE, format!("found {found}, expected {expected}"))
        };
        if !step.is_step_of(content) {
            return Err(elsewhere(format!("an approval of {}", words(content)), words(&step)));
        }
        match signed.document().id {
            found if found == id => Ok(signed),
            found => Err(elsewhere(format!("an approval with the number {found}"), format!("{id}"))),
        }
    }

    /// Keeps it under each of its signers; says who that is.
    fn keep_approval(
        &mut self,
        held: &Held,
        signed: &Signed<Approval>,
        document: &str,
    ) -> Result<String, Failure> {
        let now = self.now();
        let decided = match signed.content().decision {
            Decision::Approve => "approved",
            Decision::Refuse => "refused",
        };
        let names: Vec<String> =
            signed.signers().iter().map(|a| format!("{} (key {})", a.name(), a.id())).collect();
        let text = format!("{decided} by {}", names.join(" and "));
        self.db.write("keep an approval", |tx| {
            for anchor in signed.signers() {
                let (key, name, document) = (anchor.id().to_string(), anchor.name().into(), document.into());
                held::sign(tx, held.case, &held::Approval { key, name, at: now, document })?;
            }
            case::tell(tx, held.case, now, &format!("{text}: {}", signed.document().reason))
        })?;
        let line = format!("{}: {text}", held.case);
        self.note_with(Kind::Approval, &held.plc, &line, None, Some(held.digest));
        Ok(text)
    }

    /// Counts what was signed for a held release, with the keys that are trusted now.
    pub(super) fn count_approvals(&self, held: &Held) -> Result<Counted, Refusal> {
        let step = self.step(held);
        self.count_for(
            held,
            &step.map_err(|f| refusal(why::STATE_DAMAGED, None, f.text, "a readable state"))?,
        )
    }

    /// The same for a release that was given: what was signed must be what it permits now.
    fn count_given(&self, held: &Held, release: &Release) -> Result<Counted, Refusal> {
        self.count_for(held, &self.step_given(held, release)?)
    }

    /// The step that a release is; its conditions are those that it has now.
    pub(super) fn step_given(&self, held: &Held, release: &Release) -> Result<Approval, Refusal> {
        let terms = &release.terms;
        let window = terms.window.map(|w| (w.from, w.to));
        let step = self.step_on(held, (terms.stations.clone(), terms.uses, window));
        step.map_err(|f| refusal(why::STATE_DAMAGED, None, f.text, "a readable state"))
    }

    fn count_for(&self, held: &Held, step: &Approval) -> Result<Counted, Refusal> {
        let damaged = |e: String| refusal(why::STATE_DAMAGED, None, e, "a readable state");
        let kept = held::approvals(&self.db.rows(), held.case).map_err(|e| damaged(e.to_string()))?;
        let opened = self.opened_approvals(held, &kept, self.now())?;
        let need = self.need_of(held)?;
        let tally = step.tally(&opened, need);
        let same = |d: &&Signed<Approval>| step.is_step_of(d.content());
        let approves = |key: &str| {
            let yes = opened.iter().filter(same).filter(|d| d.content().decision == Decision::Approve);
            yes.flat_map(Signed::signers).any(|anchor| anchor.id().to_string() == key)
        };
        let approvers = kept.iter().filter(|a| approves(&a.key));
        let row = |a: &held::Approval| ApproverRow { key: a.key.clone(), name: a.name.clone(), at: a.at };
        let other = opened.iter().find(|d| !same(d));
        Ok(Counted {
            tally,
            need,
            elsewhere: other.map(|d| (words(d.content()), words(step))),
            approvers: approvers.map(row).collect(),
            until: opened
                .iter()
                .filter(same)
                .map(|d| d.document().expires.wall())
                .min_by_key(|until| until.ms),
        })
    }

    /// What was signed for a held release, as far as it counts at `at` with the keys that are trusted now.
    pub(super) fn opened_approvals(
        &self,
        held: &Held,
        kept: &[held::Approval],
        at: Wall,
    ) -> Result<Vec<Signed<Approval>>, Refusal> {
        let trust = self.trust()?;
        let mut documents: Vec<&str> = kept.iter().map(|a| a.document.as_str()).collect();
        documents.sort_unstable();
        documents.dedup();
        let open = |text: &&str| {
            let envelope = Envelope::parse(text.as_bytes()).ok()?;
            Signed::<Approval>::open(&envelope, trust, &self.config.name, at).ok()
        };
        let ours = |signed: &Signed<Approval>| signed.document().id == DocumentId::from_bytes(held.id);
        Ok(documents.iter().filter_map(open).filter(ours).collect())
    }

    /// How many must approve a held release.
    pub(super) fn need_of(&self, held: &Held) -> Result<Threshold, Refusal> {
        let need = self.approvals_needed(&held.plc, &held.digest).unwrap_or(Threshold::ONE);
        Ok(need.or_more(self.trust()?.thresholds().of(Role::Approver)))
    }

    /// Everybody has approved: the image walks the gauntlet once more, and the release is given.
    fn let_go(&mut self, held: &Held, counted: &Counted) -> Result<String, Failure> {
        let terms = holding::terms(held)?;
        let (_, mut expires) = life(&terms, self.now())?;
        if let Some(until) = counted.until.filter(|until| until.ms < expires.ms) {
            expires = until;
        }
        let ticket = Some(held.ticket.as_str()).filter(|ticket| !ticket.is_empty());
        let basis = match self.is_program(&held.plc, &held.digest) {
            true => self.program_basis(held, expires)?,
            false => {
                let leave =
                    ticket.map(|t| self.leave_given((&held.plc, &held.digest), t, terms.uses)).transpose()?;
                let minted = self.mint_with(&held.plc, &held.digest, expires, leave);
                Basis::from(&minted.map_err(|f| f.into_failure())?.verified)
            }
        };
        let grant = Grant {
            plc: &held.plc,
            digest: held.digest,
            terms,
            by: held.asked_by.clone(),
            downgrade: ticket,
            held: Some(held.case),
        };
        let text = self.grant(grant, &basis)?;
        self.end_case(&held.plc, CaseId(held.case.as_u64()), CaseState::Done, None, "approved and released");
        Ok(text)
    }

    /// The case and the approvers that a release rests on; `None` where its controller asks for none. A release that
    /// was given before the controller asked for them, or whose approvals count no longer, opens nothing.
    pub(super) fn approvers(&self, release: &Release) -> Result<Option<(String, Vec<ApproverRow>)>, Refusal> {
        let Release { plc, digest, created, .. } = release;
        let Some(need) = self.approvals_needed(plc, digest) else { return Ok(None) };
        let damaged = |e: crate::state::StateError| {
            refusal(why::STATE_DAMAGED, None, e.to_string(), "a readable state")
        };
        let held = held::of_release(&self.db.rows(), plc, digest, *created).map_err(damaged)?;
        let image = format!("the release of sha256:{}", vault::hex(digest));
        let Some(held) = held else {
            let found = format!("{image}, which nobody has approved");
            let expected = format!("{need} approver(s): headgate release, again");
            return Err(refusal(why::HELD, None, found, expected));
        };
        let counted = self.count_given(&held, release)?;
        if let (Tally::Waiting(_), Some((found, expected))) = (&counted.tally, &counted.elsewhere) {
            let found = format!("{image}, approved in {} as {found}", held.case);
            let expected = format!("approvals of {expected}: headgate release, again");
            return Err(refusal(why::APPROVAL_ELSEWHERE, None, found, expected));
        }
        let (code, found) = match counted.tally {
            Tally::Approved => return Ok(Some((held.case.to_string(), counted.approvers))),
            Tally::Refused(names) => {
                (why::APPROVAL_REFUSED, format!("{image}, refused by {}", names.join(", ")))
            }
            Tally::Waiting(few) => {
                let found = format!(
                    "{image}; of its approvals in {} {} count now, others have expired or their keys are revoked",
                    held.case, few.have
                );
                (why::HELD, found)
            }
        };
        let expected = format!("{} approver(s): headgate release, again", counted.need);
        Err(refusal(code, None, found, expected))
    }
}

/// Which approver signed whose key is revoked.
pub(super) fn revoked_signer(envelope: &Envelope, trust: &TrustStore) -> Option<String> {
    let approvers = trust.anchors().iter().filter(|a| a.role() == Role::Approver);
    let revoked = approvers.filter_map(|a| trust.revoked_key(a.id()).map(|r| (a, r)));
    let mut signed = revoked.filter(|(a, _)| envelope.verify(a.key()).keys().next().is_some());
    let (anchor, revocation) = signed.next()?;
    Some(format!("found a signature by {anchor}, {revocation}; expected one by a key that is not revoked"))
}

/// What an approval is about.
fn words(approval: &Approval) -> String {
    let about = serde_json::to_string(&approval.subject).unwrap_or_default();
    let scope = serde_json::to_string(&approval.scope).unwrap_or_default();
    let on = approval.conditions.as_ref().map_or("no conditions".to_owned(), ToString::to_string);
    format!("the step {scope} on {} for {about} with {on}", approval.controller)
}

/// Why a release that is not there is not there: it waits.
pub(super) fn waits(held: &Held, counted: &Counted) -> (ReasonCode, String, String) {
    let (image, have) = (&vault::hex(&held.digest)[..12], counted.have());
    let found = format!("image sha256:{image} held in {}, approved by {have} of {}", held.case, counted.need);
    (why::HELD, found, format!("approvals: headgate held show {}", held.case))
}
