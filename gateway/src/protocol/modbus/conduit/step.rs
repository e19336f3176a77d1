//! Steps of an update, from the request that the engine judges to what the controller's answer means.

use std::time::Duration;

use hal::clock::Mono;

use super::{Conduit, SessionId};
use crate::protocol::modbus::pdu::{self, Exception, Request};
use crate::protocol::modbus::session::{Asked, Held};
use crate::protocol::modbus::update::{Seen, Step};
use crate::reasons as why;
use crate::transfer::event::{CaseId, Decision, Refusal, Station};

impl Conduit {
    /// A step that was held.
    fn step_again(&mut self, id: SessionId, held: Held, now: Mono) {
        let (Some(update), Ok(parsed)) = (&self.update, Request::parse(&held.pdu)) else { return };
        let seen = update.see(&parsed);
        self.step(id, held.request, &held.pdu, (&parsed, seen), held.seen, now);
    }

    /// Presents held steps again: the engine has news, or the step before them has been answered.
    pub(super) fn present_held(&mut self, now: Mono) {
        let news = self.engine_wants();
        self.engine_version = self.engine.version();
        if !news && self.step_sent.is_some() {
            return;
        }
        for id in std::mem::take(&mut self.holding) {
            let Some(held) = self.session_mut(id).and_then(|s| s.held.take()) else { continue };
            self.step_again(id, held, now);
            if self.session(id).is_some_and(|s| s.held.is_none()) {
                self.take_requests(id, now);
            }
        }
    }

    /// A step of an update: the engine decides.
    /// `again`: it has decided to hold it before.
    pub(super) fn step(
        &mut self,
        id: SessionId,
        asked: Asked,
        pdu: &[u8],
        (parsed, seen): (&Request<'_>, Seen<'_>),
        again: bool,
        now: Mono,
    ) {
        let Some(station) = self.session(id).map(|s| s.station) else { return };
        if self.step_sent.is_some() && self.settings.enforce {
            // One step at a time: what the controller took is known before the next is judged.
            return self.hold(id, asked, pdu, again);
        }
        let decision = match &seen {
            Seen::Process => return self.process(id, asked, station, parsed, pdu, now),
            Seen::Guarded(what) => self.guarded(station, what),
            Seen::Open { first, declared } => self.engine.open(station, *first, *declared, again, now),
            Seen::Chunks(chunks) => {
                worst(chunks.iter().map(|c| self.engine.chunk(station, c.offset, &c.data, now)))
            }
            Seen::Control(_) => self.engine.control(station, now),
            Seen::Commit => self.engine.commit(station, now),
            Seen::Finish => self.engine.finish(station, now),
            Seen::Abort => self.engine.abort(station, now),
        };
        match decision {
            Decision::Pass => {
                let step = seen.step();
                if !self.settings.enforce {
                    self.took(&step);
                }
                let limit = self.step_limit(&step);
                self.forward(id, asked, pdu, Some((step, limit)), now);
            }
            Decision::Acknowledge => {
                self.took(&seen.step());
                let reply = pdu::write_reply(pdu).unwrap_or(pdu);
                self.answer_station(id, asked, reply);
            }
            Decision::Hold => self.hold(id, asked, pdu, true),
            Decision::Refuse(refusal) => self.except(id, asked, pdu, exception_for(&refusal, pdu)),
        }
    }

    /// How long the controller may take for a step, by its profile.
    fn step_limit(&self, step: &Step) -> Duration {
        match (&self.update, step) {
            (Some(update), Step::Commit) => update.profile().timing.commit.min(update.profile().timing.tool),
            (Some(update), _) => update.profile().timing.block,
            (None, _) => Duration::ZERO,
        }
    }

    fn took(&mut self, step: &Step) {
        if let Some(update) = &mut self.update {
            update.took(step);
        }
    }

    pub(super) fn guarded(&mut self, station: Station, what: &str) -> Decision {
        let refusal = Refusal {
            code: why::WINDOW_PROTECTED,
            case: self.engine.case(),
            found: format!("{what} into the update registers"),
            expected: "a step of the transfer profile".into(),
        };
        let (found, expected) = (refusal.found.clone(), refusal.expected.clone());
        self.reports.refused(station, refusal.code, || (found, expected));
        let decides = self.settings.enforce || self.engine.is_delivering();
        if decides { Decision::Refuse(refusal) } else { Decision::Pass }
    }

    fn hold(&mut self, id: SessionId, request: Asked, pdu: &[u8], seen: bool) {
        if let Some(session) = self.session_mut(id) {
            session.held = Some(Held { request, pdu: pdu.to_vec(), seen });
            self.holding.push(id);
        }
    }

    /// What the controller said to the one update step under way.
    pub(super) fn step_answered(&mut self, reply: Option<&[u8]>, now: Mono) {
        let Some(step) = self.step_sent.take() else { return };
        let exception = match reply {
            Some([function, code, ..]) if function & 0x80 != 0 => Some(*code),
            Some(_) => None,
            None => return self.step_lost(&step, now),
        };
        let Some(update) = &mut self.update else { return };
        match (&step, exception) {
            (Step::Commit, _) => {
                self.engine.commit_answered(exception);
                let case = self.poll.committing.take();
                if exception.is_none() {
                    self.read_back(case, now);
                }
            }
            (Step::Open, _) => {
                self.engine.open_answered(exception.is_none());
                if exception.is_none() { update.took(&step) } else { update.lost(&step) }
            }
            (_, Some(_)) => update.lost(&step),
            (Step::Chunks(chunks), None) => {
                chunks.iter().for_each(|range| self.engine.chunk_landed(range.clone()));
                update.took(&step);
            }
            (_, None) => update.took(&step),
        }
    }

    /// An update step that got no answer: what the controller made of it is unknown.
    pub(super) fn step_lost(&mut self, step: &Step, now: Mono) {
        let Some(update) = &mut self.update else { return };
        update.lost(step);
        match step {
            Step::Open => self.engine.open_answered(false),
            Step::Commit => {
                self.engine.commit_lost();
                let case = self.poll.committing.take();
                self.read_back(case, now);
            }
            Step::Chunks(_) | Step::Control(_) | Step::Other => {}
        }
    }

    /// Asks the controller what it runs after `case`.
    pub(super) fn read_back(&mut self, case: Option<CaseId>, now: Mono) {
        if let (Some(case), Some(update)) = (case, &self.update) {
            self.poll.after(case, now, update.profile().timing.boot, false);
        }
    }
}

/// The strictest of several decisions on parts of one request.
fn worst(decisions: impl Iterator<Item = Decision>) -> Decision {
    let rank = |d: &Decision| match d {
        Decision::Pass => 0,
        Decision::Acknowledge => 1,
        Decision::Hold => 2,
        Decision::Refuse(_) => 3,
    };
    decisions.max_by_key(rank).unwrap_or(Decision::Hold)
}

/// How a refused update step is told to the station (`docs/protocols.md`).
pub(super) fn exception_for(refusal: &Refusal, pdu: &[u8]) -> Exception {
    match refusal.code {
        why::TRANSFER_BUSY | why::JUDGE_SILENT | why::NOT_READY => Exception::Busy,
        why::WINDOW_PROTECTED | why::NO_TRANSFER if pdu.first() == Some(&21) => Exception::IllegalFunction,
        why::WINDOW_PROTECTED | why::NO_TRANSFER => Exception::IllegalAddress,
        _ => Exception::DeviceFailure,
    }
}
