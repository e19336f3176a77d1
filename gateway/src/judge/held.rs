//! Releases that wait: where a controller asks for approvals, a release is a case until enough approvers have signed.
//!
//! A held release opens nothing. It keeps its conditions as they were asked for, names the image to the vault, and ends
//! by itself when the release would have ended. Whose signatures count, and how many, is for [`super::four_eyes`].

use aws_lc_rs::rand;
use firmware_verifier::document::{
    Approval, Conditions, Content, Decision, Document, DocumentId, MAX_DAYS, Moment, Scope, Subject, Window,
};
use firmware_verifier::identity::Slot;
use firmware_verifier::trust::{Role, Threshold};
use firmware_verifier::{Digest, reasons};
use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::message::Answered;
use super::rows::Terms;
use super::trust::gate_failure;
use super::{Judge, OURSELVES, why};
use crate::audit::Kind;
use crate::receipt::plain;
use crate::state::case::{self, CaseNumber, CaseState, NewCase};
use crate::state::held::{self, Held};
use crate::transfer::event::CaseId;
use crate::vault::{self, Area, ImageDigest};

/// A held release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeldRow {
    /// `C-000123`.
    pub case: String,
    /// The controller.
    pub plc: String,
    /// SHA-256 of the image.
    pub digest: String,
    /// What its bringer called the image.
    pub name: String,
    /// One-shot number that every approval must carry.
    pub id: String,
    /// Who asked.
    pub asked_by: String,
    /// Until when it waits.
    pub expires: Wall,
    /// The conditions of the release.
    pub terms: Terms,
    /// The security version that the image was staged with.
    #[serde(default)]
    pub security_version: Option<u64>,
    /// How many approvers must sign.
    pub need: Threshold,
    /// How many have, as of now.
    pub have: usize,
    /// Whose signatures count now.
    pub approvers: Vec<ApproverRow>,
}

/// The conditions of a held release as they are kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    terms: Terms,
    /// Whether its approvals name them; those of releases that an earlier version held do not.
    #[serde(default)]
    signed: bool,
}

/// Somebody who has approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApproverRow {
    /// Key id.
    pub key: String,
    /// The name of the key.
    pub name: String,
    /// When the approval came.
    pub at: Wall,
}

impl Judge {
    /// Holds a release: opens its case, and says so with the code for it. One that was held for the same image and
    /// controller gives way.
    pub(super) fn hold(
        &mut self,
        (plc, digest): (&str, &ImageDigest),
        terms: &Terms,
        ticket: &str,
        need: Threshold,
    ) -> Result<Answered, Failure> {
        let mut id = [0; DocumentId::LEN];
        rand::fill(&mut id).map_err(|_| Failure::internal("no random numbers"))?;
        let now = self.now();
        let before: Vec<Held> = held::waiting(&self.db.rows())?;
        let before: Vec<CaseNumber> =
            before.iter().filter(|h| h.plc == plc && h.digest == *digest).map(|h| h.case).collect();
        let new = NewCase {
            plc: plc.into(),
            station: OURSELVES.into(),
            way: RELEASE.into(),
            class: self.class_of(plc, digest).into(),
            digest: Some(*digest),
        };
        let mut held = Held {
            case: CaseNumber::from_u64(0),
            plc: plc.into(),
            digest: *digest,
            id,
            terms: serde_json::to_string(&Kept { terms: terms.clone(), signed: true })
                .map_err(|e| Failure::internal(e.to_string()))?,
            ticket: ticket.into(),
            asked_by: self.caller.clone(),
            expires: terms.expires.unwrap_or(now),
            released: None,
        };
        self.step(&held)?.check().map_err(|e| Failure::usage(e.to_string()))?;
        let text = format!("the release was asked for by {} and waits for {need} approver(s)", self.caller);
        self.db.write("hold a release", |tx| {
            held.case = case::open(tx, &new, now)?;
            case::settle(tx, held.case, CaseState::Held, Some(why::HELD))?;
            case::tell(tx, held.case, now, &text)?;
            held::add(tx, &held)
        })?;
        let case = held.case;
        for old in before {
            let text = format!("{case} asks for the same release anew");
            self.end_case(plc, CaseId(old.as_u64()), CaseState::Aborted, None, &text);
        }
        self.note_with(Kind::Case, plc, &format!("{case}: {text}"), Some(why::HELD), Some(*digest));
        let mut found = format!("{case}: the release of sha256:{} for {plc}, ", vault::hex(digest));
        found += &format!("which {need} approver(s) must sign until {}", held.expires);
        let trusted = self.trust().map_err(gate_failure)?.usable(Role::Approver, now).count();
        Err(Failure::new(
            why::HELD,
            format!("held: {found}; {trusted} approver key(s) are trusted here. headgate held show {case}"),
        ))
    }

    /// Every held release.
    pub(super) fn held_list(&mut self) -> Result<Answered, Failure> {
        self.end_overdue_holds();
        let held = held::waiting(&self.db.rows())?;
        let rows = held.iter().map(|one| self.held_row(one)).collect::<Result<_, _>>()?;
        Ok(Answered::Held { held: rows })
    }

    /// One held release.
    pub(super) fn held_show(&mut self, case: &str) -> Result<Answered, Failure> {
        let held = self.waiting(case)?;
        Ok(Answered::Held { held: vec![self.held_row(&held)?] })
    }

    /// The approval of a held release, for its approvers to sign.
    pub(super) fn held_draft(&mut self, case: &str) -> Result<Answered, Failure> {
        let held = self.waiting(case)?;
        let now = self.now();
        if !now.trusted {
            let text = format!("an approval counts for a limited time, and the clock ({now}) is not trusted");
            return Err(Failure::new(reasons::CLOCK_UNTRUSTED, text));
        }
        let ticket = terms(&held)?.ticket.map_or(String::new(), |ticket| format!(", ticket {ticket}"));
        let longest = now.ms.saturating_add(MAX_DAYS * 86_400_000);
        let document = Document {
            content: self.step(&held)?,
            expires: Moment::new(Wall { ms: held.expires.ms.min(longest), ..now }),
            gateway: self.config.name.clone(),
            id: DocumentId::from_bytes(held.id),
            issued: Moment::new(now),
            reason: plain(&format!("release for {}, asked for by {}{ticket}", held.plc, held.asked_by)),
        };
        let envelope = document.to_envelope().map_err(|e| Failure::internal(e.to_string()))?;
        let document = envelope.to_json().map_err(|e| Failure::internal(e.to_string()))?;
        Ok(Answered::Document { document })
    }

    /// A person refuses it: the release is not given.
    pub(super) fn held_refuse(&mut self, case: &str, reason: &str) -> Result<Answered, Failure> {
        let held = self.waiting(case)?;
        if reason.trim().is_empty() {
            return Err(Failure::usage("--reason says why, for the case: it cannot be empty"));
        }
        let text = format!("refused by {}: {reason}", self.caller);
        self.refuse_held(&held, &text);
        Ok(Answered::Done { text: format!("{}: {text}", held.case) })
    }

    /// Ends a held release for good.
    pub(super) fn refuse_held(&mut self, held: &Held, text: &str) {
        let code = Some(why::APPROVAL_REFUSED);
        self.note_with(Kind::Approval, &held.plc, &format!("{}: {text}", held.case), code, Some(held.digest));
        self.end_case(&held.plc, CaseId(held.case.as_u64()), CaseState::Refused, code, text);
    }

    /// Ends what nobody has approved in time.
    pub(super) fn end_overdue_holds(&mut self) {
        let now = self.now();
        let waiting = held::waiting(&self.db.rows()).unwrap_or_default();
        for held in waiting.iter().filter(|h| now.trusted && now.ms >= h.expires.ms) {
            let text = format!("nobody else has approved it until {}", held.expires);
            self.end_case(&held.plc, CaseId(held.case.as_u64()), CaseState::Aborted, None, &text);
        }
    }

    /// The held release that a case names; it still waits.
    pub(super) fn waiting(&mut self, case: &str) -> Result<Held, Failure> {
        self.end_overdue_holds();
        let number: CaseNumber = case
            .parse()
            .map_err(|_| Failure::usage(format!("{case:?} is no case; cases look like C-000123")))?;
        let row = case::get(&self.db.rows(), number)?;
        let row = row.ok_or_else(|| Failure::not_found(format!("no case {number}")))?;
        match held::get(&self.db.rows(), number)? {
            Some(held) if row.state == CaseState::Held => Ok(held),
            _ => Err(Failure::usage(format!(
                "{number} is {}, not held; headgate held list shows what is",
                format!("{:?}", row.state).to_lowercase()
            ))),
        }
    }

    /// The case in which a release of any image for this controller waits; the newest.
    pub(super) fn held_for(&self, plc: &str) -> Option<Held> {
        let waiting = held::waiting(&self.db.rows()).unwrap_or_default();
        waiting.into_iter().rev().find(|held| held.plc == plc)
    }

    /// What an approver of a held release approves, no more and no less, as it was asked for.
    pub(super) fn step(&self, held: &Held) -> Result<Approval, Failure> {
        let Terms { stations, uses, window, .. } = terms(held)?;
        self.step_on(held, (stations, uses, window))
    }

    /// The same for a release that was given on these stations, uses and window.
    pub(super) fn step_on(
        &self,
        held: &Held,
        (stations, uses, window): (Vec<String>, u32, Option<(Wall, Wall)>),
    ) -> Result<Approval, Failure> {
        let conditions = kept(held)?.signed.then(|| Conditions {
            security_version: self.stated(&held.digest).and_then(|stated| stated.security_version),
            stations,
            uses,
            window: window.map(|(from, to)| Window { from: Moment::new(from), until: Moment::new(to) }),
        });
        let scope = if self.is_program(&held.plc, &held.digest) { Scope::Program } else { Scope::Release };
        Ok(Approval {
            controller: Slot::new(&held.plc).map_err(|e| Failure::internal(e.to_string()))?,
            decision: Decision::Approve,
            scope,
            subject: Subject::Held { case: held.case.to_string(), image: Digest::from_bytes(held.digest) },
            conditions,
        })
    }

    fn held_row(&self, held: &Held) -> Result<HeldRow, Failure> {
        let counted = self.count_approvals(held).map_err(gate_failure)?;
        let sidecar = self.vault.sidecar(Area::Vault, &held.digest).unwrap_or_default();
        let security_version = sidecar.security_version;
        Ok(HeldRow {
            security_version,
            case: held.case.to_string(),
            plc: held.plc.clone(),
            digest: vault::hex(&held.digest),
            name: sidecar.name,
            id: DocumentId::from_bytes(held.id).to_string(),
            asked_by: held.asked_by.clone(),
            expires: held.expires,
            terms: terms(held)?,
            need: counted.need,
            have: counted.have(),
            approvers: counted.approvers,
        })
    }
}

/// The conditions that a release was asked for on.
pub(super) fn terms(held: &Held) -> Result<Terms, Failure> {
    kept(held).map(|kept| kept.terms)
}

fn kept(held: &Held) -> Result<Kept, Failure> {
    serde_json::from_str(&held.terms)
        .map_err(|e| Failure::new(why::STATE_DAMAGED, format!("the conditions of {}: {e}", held.case)))
}

/// Way of a case that is about a release, and no transfer.
pub(super) const RELEASE: &str = "release";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn conditions_that_an_earlier_version_kept_are_read_and_no_approval_names_them() {
        let (from, to) = (Wall::trusted(5), Wall::trusted(9));
        let terms = Terms {
            stations: vec!["192.0.2.20".into()],
            ticket: Some("CHG-7".into()),
            window: Some((from, to)),
            uses: 2,
            expires: Some(to),
        };
        let before = serde_json::to_string(&terms).unwrap();
        let now = serde_json::to_string(&Kept { terms, signed: true }).unwrap();
        for (text, signed) in [(before, false), (now, true)] {
            let kept: Kept = serde_json::from_str(&text).unwrap();
            assert_eq!(
                (kept.signed, kept.terms.uses, kept.terms.window),
                (signed, 2, Some((from, to))),
                "{text}"
            );
        }
    }
}
