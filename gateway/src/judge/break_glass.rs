//! Break-glass: documents of the site key that are in force, from the moment they are brought until a person closes them.
//!
//! They need no TPM and no trust store. A document is spent for good before anything is done on its word, and its
//! signature, gateway and window are checked anew at each use, so that a row of the database alone opens nothing. While
//! one is in force an alarm stands that nobody can acknowledge away. What it lets in is for [`super::unverified`].

use std::time::Duration;

use firmware_verifier::document::{Action, BreakGlass, Cause, DocumentError, DocumentId, Signed};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::reasons;
use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::message::Answered;
use super::{Judge, why};
use crate::audit::Kind;
use crate::receipt::plain;
use crate::state::alarm::Kind as Told;
use crate::state::break_glass::{self, BrokenGlass};
use crate::state::case::{self, Case};
use crate::state::soak;

/// A document that is in force.
pub(super) struct InForce {
    pub(super) signed: Signed<BreakGlass>,
    /// The case that it is bound to, where it is bound to one.
    pub(super) case: Option<Case>,
}

/// A break-glass document for people.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TicketRow {
    /// Its one-shot number.
    pub id: String,
    /// The controller.
    pub plc: String,
    /// The case or controller that it is bound to.
    pub cause: String,
    /// What it allows.
    pub actions: Vec<String>,
    /// Why, in the words of whoever signed.
    pub reason: String,
    /// When it was brought.
    pub accepted: Wall,
    /// Who brought it.
    pub by: String,
    /// When it ends by itself.
    pub until: Wall,
    /// `in-force`, `over` or `closed`.
    pub state: String,
    /// Who closed it and why.
    pub closing: Option<String>,
}

impl Judge {
    /// Takes a signed document, once, and does what it is for.
    pub(super) fn break_glass(&mut self, document: &str) -> Result<Answered, Failure> {
        let (glass, row) = self.accept(document).inspect_err(|failure| {
            let text = format!("a break-glass document was refused: {}", failure.told().0);
            self.note_with(Kind::Trust, "break-glass", &text, failure.code, None);
        })?;
        let text = words(&row, &glass.signed);
        if let Some(case) = &glass.case {
            self.tell_case(crate::transfer::event::CaseId(case.number.as_u64()), &text);
        }
        self.note_with(Kind::Trust, &row.plc, &text, Some(why::BREAK_GLASS), None);
        let logged =
            if self.unwritable().is_none() { "" } else { "; NOT in the audit log, which is damaged" };
        self.spend_in_trust(&glass.signed);
        tracing::error!(plc = row.plc, id = row.id, "break-glass is in force");
        self.enforce_glass(&row, &glass);
        self.tell_gate();
        self.resume_all();
        Ok(Answered::Done { text: format!("{text}{logged}") })
    }

    /// Checks a document and writes down that it is used up.
    fn accept(&mut self, document: &str) -> Result<(InForce, BrokenGlass), Failure> {
        let signed = self.open_glass(document)?;
        let (id, now) = (signed.document().id, self.now());
        let (plc, case) = self.place_of(&signed)?;
        self.not_safety(&plc)?;
        if let (Some(case), true) = (&case, signed.allows(Action::PassUnverified))
            && case.digest.is_none()
        {
            let text = format!("pass-unverified for {}, which knows no image", case.number);
            return Err(
                Failure::usage(text).next("have one signed for the controller: ticket break-glass --plc ID")
            );
        }
        if self.was_used(id)? {
            return Err(used(id));
        }
        let row = BrokenGlass {
            id: id.to_string(),
            plc,
            document: document.into(),
            by: self.caller.clone(),
            accepted: now,
            until: signed.document().ends(),
            ended: None,
            closed: None,
            closing: None,
        };
        match self.db.write_with_reserve("accept break-glass", |tx| break_glass::accept(tx, &row))? {
            true => Ok((InForce { signed, case }, row)),
            false => Err(used(id)),
        }
    }

    /// A document that counts now, by the site key that this gateway was provisioned with.
    fn open_glass(&self, document: &str) -> Result<Signed<BreakGlass>, Failure> {
        let provisioned = self.provisioned_or_failure()?;
        // Without a TPM the file is all there is to know the site key from. The evidence key, which the audit log and
        // receipts are signed with, was made under the policy of the same site key: both would have to be exchanged.
        provisioned.evidence_key().map_err(|e| Failure::new(why::TRUST_STORE, format!("tpm.json: {e}")))?;
        let site_key = provisioned.site_key;
        let envelope = Envelope::parse(document.as_bytes())
            .map_err(|e| Failure::new(reasons::DOCUMENT_UNREADABLE, e.to_string()))?;
        let signed = Signed::open_with(&envelope, &site_key, &self.config.name, self.now());
        signed.map_err(|e| match e {
            DocumentError::Unsigned { .. } => {
                let text = "found no signature by the site key that this gateway was provisioned with";
                Failure::new(e.code(), text)
                    .next("headgate sign-document FILE --key site.key, where that key is kept")
            }
            e => Failure::new(e.code(), e.to_string()),
        })
    }

    /// The controller that a document is about, and the case.
    fn place_of(&self, signed: &Signed<BreakGlass>) -> Result<(String, Option<Case>), Failure> {
        let case = match &signed.content().cause {
            Cause::Controller(slot) => {
                return self.plc(slot.as_str()).map(|plc| (plc.slot.to_string(), None));
            }
            Cause::Case(case) => case,
        };
        let number = case.parse().map_err(|_| Failure::usage(format!("{case:?} is no case")))?;
        let row = case::get(&self.db.rows(), number)?;
        let row = row.ok_or_else(|| Failure::not_found(format!("no case {number}")))?;
        self.plc(&row.plc)?;
        Ok((row.plc.clone(), Some(row)))
    }

    /// Whether anything remembers the document: the database, the trust store where it can be read, or the audit log, which
    /// may be newer than a database that was put back.
    fn was_used(&mut self, id: DocumentId) -> Result<bool, Failure> {
        let in_trust = self.trust().is_ok_and(|trust| trust.used(&id) > 0);
        let in_db = break_glass::get(&self.db.rows(), &id.to_string())?.is_some();
        Ok(in_trust || in_db || self.log_tells(&accepted_words(&id.to_string())))
    }

    /// Where the gate is open the trust store remembers it, too: it cannot go back with the disk. The document is spent
    /// already, so that a failure here takes nothing away.
    fn spend_in_trust(&mut self, signed: &Signed<BreakGlass>) {
        let Ok(mut store) = self.trust_copy() else { return };
        let document = signed.document();
        let spent = store.spend(document.id, 1, document.expires.wall(), self.now());
        let spent = spent.map_err(|e| Failure::new(e.code(), e.to_string()));
        match spent.and_then(|()| self.write_trust(store)) {
            Ok(()) => {
                let text = format!("the trust store remembers break-glass {} as used", document.id);
                self.note(Kind::Trust, "break-glass", &text);
            }
            Err(e) => tracing::warn!(error = %e, "the trust store does not remember a break-glass document"),
        }
    }

    /// Does what is to be done at once, and says what is in force. Saying or doing it again changes nothing.
    fn enforce_glass(&mut self, row: &BrokenGlass, glass: &InForce) {
        self.raise(Some(&row.plc), why::BREAK_GLASS, Told::Latched, &words(row, &glass.signed));
        let lock = soak::lock_of(&self.db.rows(), &row.plc).ok().flatten();
        let meant = |lock: &soak::Soak| {
            lock.updated.ms <= row.accepted.ms
                && glass.case.as_ref().is_none_or(|case| case.number == lock.case)
        };
        if glass.signed.allows(Action::LiftLock) && lock.as_ref().is_some_and(meant) {
            let reason = format!("break-glass {}: {}", row.id, glass.signed.document().reason);
            if let Err(e) = self.unlock(&row.plc, &reason) {
                tracing::error!(error = %e, plc = row.plc, "the lock could not be lifted");
            }
        }
    }

    /// After a restart: what was cut off is done, what is in force is told.
    pub(super) fn resume_break_glass(&mut self) {
        for row in break_glass::in_force(&self.db.rows()).unwrap_or_default() {
            if let Some(glass) = self.still(&row) {
                self.enforce_glass(&row, &glass);
            }
        }
    }

    /// The document of a row, where it counts now.
    fn still(&self, row: &BrokenGlass) -> Option<InForce> {
        let signed = self.open_glass(&row.document).ok()?;
        let (plc, case) = self.place_of(&signed).ok()?;
        let is_this = signed.document().id.to_string() == row.id && plc == row.plc;
        is_this.then_some(InForce { signed, case })
    }

    /// What is in force for a controller and allows this.
    pub(super) fn in_force(&self, plc: &str, action: Action) -> Option<InForce> {
        let rows = break_glass::in_force(&self.db.rows()).unwrap_or_default();
        let mut glasses = rows.iter().filter(|row| row.plc == plc).filter_map(|row| self.still(row));
        glasses.find(|glass| glass.signed.allows(action))
    }

    /// When [`Judge::keep_break_glass`] has something to do.
    pub(super) fn break_glass_in(&self) -> Option<Duration> {
        let rows = break_glass::in_force(&self.db.rows()).unwrap_or_default();
        let end = rows.iter().map(|row| row.until.ms).min()?;
        let ms = u64::try_from(end.saturating_sub(self.now().ms)).unwrap_or(0);
        Some(Duration::from_millis(ms).max(SHORTEST))
    }

    /// Ends what is over.
    pub(super) fn keep_break_glass(&mut self) {
        let now = self.now();
        let rows = break_glass::in_force(&self.db.rows()).unwrap_or_default();
        for row in rows.iter().filter(|row| now.trusted && now.ms >= row.until.ms) {
            self.end_glass(row, "its window is over");
        }
    }

    fn end_glass(&mut self, row: &BrokenGlass, text: &str) {
        let now = self.now();
        let ended = self.db.write_with_reserve("end break-glass", |tx| break_glass::end(tx, &row.id, now));
        if let Ok(true) = ended {
            let text = format!("break-glass {} is over: {text}", row.id);
            self.note_with(Kind::Trust, &row.plc, &text, Some(why::BREAK_GLASS), None);
            if !self.is_broken(&row.plc) {
                self.clear_alarm(Some(&row.plc), why::BREAK_GLASS);
            }
            self.tell_gate();
        }
        self.log(ended.map(drop));
    }

    fn is_broken(&self, plc: &str) -> bool {
        break_glass::in_force(&self.db.rows()).unwrap_or_default().iter().any(|row| row.plc == plc)
    }

    /// Whether the alarm may be acknowledged: not while it is in force.
    pub(super) fn may_close(&self, plc: &str) -> Result<(), Failure> {
        let rows = break_glass::in_force(&self.db.rows())?;
        let Some(row) = rows.iter().find(|row| row.plc == plc) else { return Ok(()) };
        let text =
            format!("break-glass {} is in force for {plc} until {}: its alarm stays", row.id, row.until);
        Err(Failure::new(why::BREAK_GLASS, text)
            .next("headgate ticket close ID --reason TEXT ends it before its time"))
    }

    /// The alarm of a controller was acknowledged: everything that is over is closed.
    pub(super) fn close_all(&mut self, plc: &str, text: &str) {
        let (now, text) = (self.now(), format!("{}: {text}", self.caller));
        let closed = self.db.write("close break-glass", |tx| {
            let open = break_glass::unclosed(tx, plc)?;
            open.iter().try_for_each(|row| break_glass::close(tx, &row.id, &text, now).map(drop))
        });
        self.log(closed);
    }

    /// A person closes one, and ends it before its time where it is in force.
    pub(super) fn close_ticket(&mut self, id: &str, reason: &str) -> Result<Answered, Failure> {
        let row = break_glass::get(&self.db.rows(), id)?.ok_or_else(|| {
            Failure::not_found(format!("no break-glass document {id:?}; headgate ticket list"))
        })?;
        if reason.trim().is_empty() {
            return Err(Failure::usage("--reason says why, for the record: it cannot be empty"));
        }
        if row.ended.is_none() {
            self.end_glass(&row, &format!("ended by {}: {reason}", self.caller));
        }
        let (now, text) = (self.now(), format!("{}: {}", self.caller, plain(reason)));
        if !self.db.write("close break-glass", |tx| break_glass::close(tx, id, &text, now))? {
            return Ok(Answered::Done { text: format!("{id} was closed before") });
        }
        self.note_with(
            Kind::Trust,
            &row.plc,
            &format!("break-glass {id} closed: {reason}"),
            Some(why::BREAK_GLASS),
            None,
        );
        if break_glass::unclosed(&self.db.rows(), &row.plc)?.is_empty() {
            self.acknowledge(&row.plc, why::BREAK_GLASS)?;
        }
        Ok(Answered::Done { text: format!("closed: break-glass {id} for {}", row.plc) })
    }

    /// The newest documents.
    pub(super) fn ticket_list(&self) -> Result<Answered, Failure> {
        let rows = break_glass::newest(&self.db.rows(), LISTED)?;
        Ok(Answered::Tickets { tickets: rows.iter().map(row_of).collect() })
    }

    /// What is in force for a controller, on one line.
    pub(super) fn break_glass_words(&self, plc: &str) -> Option<String> {
        let rows = break_glass::in_force(&self.db.rows()).unwrap_or_default();
        let row = rows.iter().find(|row| row.plc == plc)?;
        self.still(row).map(|glass| words(row, &glass.signed))
    }

    /// A safety controller takes nothing through this gateway, on nobody's word.
    pub(super) fn not_safety(&self, plc: &str) -> Result<(), Failure> {
        match self.plc(plc)?.safety {
            true => Err(Failure::new(
                why::SAFETY,
                format!("{plc} is of class \"safety\": nothing is delivered to it"),
            )),
            false => Ok(()),
        }
    }
}

/// How the audit log says that a document was accepted.
fn accepted_words(id: &str) -> String {
    format!("break-glass {id} accepted")
}

fn words(row: &BrokenGlass, signed: &Signed<BreakGlass>) -> String {
    let actions: Vec<&str> = signed.content().actions.iter().map(|a| a.name()).collect();
    let BrokenGlass { id, plc, until, .. } = row;
    let cause = match &signed.content().cause {
        Cause::Case(case) => format!(" ({case})"),
        Cause::Controller(_) => String::new(),
    };
    let (actions, accepted) = (actions.join(", "), accepted_words(id));
    format!("{accepted}: {actions} for {plc}{cause} until {until}: {}", plain(&signed.document().reason))
}

fn row_of(row: &BrokenGlass) -> TicketRow {
    let envelope = Envelope::parse(row.document.as_bytes()).ok();
    let read =
        envelope.and_then(|e| firmware_verifier::document::Document::<BreakGlass>::parse(e.payload()).ok());
    let state = match (row.ended, row.closed) {
        (None, _) => "in-force",
        (Some(_), None) => "over",
        (Some(_), Some(_)) => "closed",
    };
    TicketRow {
        id: row.id.clone(),
        plc: row.plc.clone(),
        cause: read.as_ref().map_or_else(String::new, |d| d.content.cause.to_string()),
        actions: read.iter().flat_map(|d| &d.content.actions).map(|a| a.name().into()).collect(),
        reason: read.map(|d| plain(&d.reason)).unwrap_or_default(),
        accepted: row.accepted,
        by: row.by.clone(),
        until: row.until,
        state: state.into(),
        closing: row.closing.clone(),
    }
}

fn used(id: DocumentId) -> Failure {
    let text = format!("break-glass {id} was used before, and is good for once; have a new one signed");
    Failure::new(reasons::DOCUMENT_USED, text)
}

/// Shortest wait for an end, also where the clock is not trusted and none can be told.
const SHORTEST: Duration = Duration::from_millis(200);
/// Most documents of one list.
const LISTED: u32 = 50;
