//! The stations' side of a conduit: requests are taken in turn, and each is a step of an update or process
//! traffic for the allow-list.

use std::time::Duration;

use hal::clock::Mono;

use super::step::exception_for;
use super::{Conduit, SessionId};
use crate::protocol::modbus::frame::{self, Frame};
use crate::protocol::modbus::link::From;
use crate::protocol::modbus::pdu::{self, Exception, Request};
use crate::protocol::modbus::session::{Asked, Session};
use crate::protocol::modbus::update::{Seen, Step};
use crate::reasons as why;
use crate::shield::allow::Denied;
use crate::transfer::event::{Decision, Refusal, Station};

impl Conduit {
    pub(super) fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id.index)?.as_ref().filter(|_| self.generations[id.index] == id.generation)
    }

    pub(super) fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let live = self.generations.get(id.index) == Some(&id.generation);
        self.sessions.get_mut(id.index)?.as_mut().filter(|_| live)
    }

    /// Takes as many requests as there is room for.
    pub(super) fn take_requests(&mut self, id: SessionId, now: Mono) {
        while self.take_request(id, now) {}
        if let Some(session) = self.session_mut(id) {
            session.compact();
        }
    }

    /// Takes one request; false when there is none or no room.
    fn take_request(&mut self, id: SessionId, now: Mono) -> bool {
        let room = self.has_room(now);
        let Some(session) = self.session_mut(id) else { return false };
        if !session.may_ask() {
            return false;
        }
        let input = std::mem::take(&mut session.input);
        let taken = session.taken;
        let more = match frame::first(&input[taken..]) {
            Ok(None) => false,
            Ok(Some(_)) if !room => {
                if !self.hungry.contains(&id) {
                    self.hungry.push_back(id);
                }
                false
            }
            Ok(Some((request, used))) => {
                session.taken += used;
                self.request(id, request, now);
                true
            }
            Err(e) => {
                session.broken = true;
                let station = session.station;
                self.reports.refused(station, why::MALFORMED, || (e.to_string(), "Modbus/TCP".into()));
                self.touched.push(id.index);
                false
            }
        };
        if let Some(session) = self.session_mut(id) {
            session.input = input;
        }
        more
    }

    /// Whether a request may be taken: it can be sent, or answered at once for a controller that is lost.
    fn has_room(&self, now: Mono) -> bool {
        let lost = !self.link.up && now.since(self.link.since) >= self.settings.reply;
        self.link.has_room() || lost
    }

    /// Gives room to the sessions that found none, one request each in turn.
    pub(super) fn feed_hungry(&mut self, now: Mono) {
        while self.has_room(now)
            && let Some(id) = self.hungry.pop_front()
        {
            if self.take_request(id, now) && !self.hungry.contains(&id) {
                self.hungry.push_back(id);
            }
            if let Some(session) = self.session_mut(id) {
                session.compact();
            }
        }
    }

    /// One whole request.
    fn request(&mut self, id: SessionId, request: Frame<'_>, now: Mono) {
        let Some(session) = self.session_mut(id) else { return };
        let station = session.station;
        let asked = session.ask(request.tid, request.unit);
        let parsed = match Request::parse(request.pdu) {
            Ok(parsed) => parsed,
            Err(_) if !self.settings.enforce && self.unproven().is_none() => {
                return self.forward(id, asked, request.pdu, None, now);
            }
            Err(e) => {
                self.reports.refused(station, why::MALFORMED, || {
                    (e.to_string(), "a request as the standard defines it".into())
                });
                return self.except(id, asked, request.pdu, Exception::IllegalValue);
            }
        };
        if let Some(refusal) = self.unproven().filter(|_| self.could_be_firmware(&parsed)).cloned() {
            let (found, expected) = (refusal.found.clone(), refusal.expected.clone());
            self.reports.refused(station, refusal.code, || (found, expected));
            return self.except(id, asked, request.pdu, exception_for(&refusal, request.pdu));
        }
        if let Some(update) = &self.update {
            let seen = update.see(&parsed);
            if seen != Seen::Process && request.unit != self.settings.unit {
                // Many controllers do not look at the unit id: the window is shut under every name.
                return match self.guarded(station, "a write to another unit") {
                    Decision::Refuse(r) => {
                        self.except(id, asked, request.pdu, exception_for(&r, request.pdu))
                    }
                    _ => self.forward(id, asked, request.pdu, None, now),
                };
            }
            if seen != Seen::Process {
                return self.step(id, asked, request.pdu, (&parsed, seen), false, now);
            }
            if self.engine.is_staging(station)
                && let Some(reply) = update.staged_reply(&parsed, self.engine.phase())
            {
                return self.answer_station(id, asked, &reply);
            }
        }
        self.process(id, asked, station, &parsed, request.pdu, now);
    }

    /// Why not even `observe` lets firmware pass: nobody can prove that the site has approved it.
    fn unproven(&self) -> Option<&Refusal> {
        self.engine.shut().filter(|shut| !self.settings.enforce && shut.code == why::CONFIG_LOST)
    }

    /// Whether a request is a step of an update, touches its registers, or can reprogram a controller.
    fn could_be_firmware(&self, parsed: &Request<'_>) -> bool {
        matches!(parsed, Request::Other | Request::Diagnostics { sub: 1 })
            || self.update.as_ref().is_some_and(|update| update.see(parsed) != Seen::Process)
    }

    /// A request that has nothing to do with updates: the allow-list decides.
    pub(super) fn process(
        &mut self,
        id: SessionId,
        asked: Asked,
        station: Station,
        parsed: &Request<'_>,
        pdu: &[u8],
        now: Mono,
    ) {
        let function = pdu.first().copied().unwrap_or(0);
        if !self.settings.enforce {
            self.learn(station, asked.unit, function, parsed);
        }
        let Err((code, reply)) = self.judge_process(station, asked.unit, function, parsed) else {
            return self.forward(id, asked, pdu, None, now);
        };
        self.reports.refused(station, code, || {
            (format!("{} to unit {}", describe(parsed, function), asked.unit), expected(code).into())
        });
        match reply {
            _ if !self.settings.enforce => self.forward(id, asked, pdu, None, now),
            Some(exception) => self.except(id, asked, pdu, exception),
            None => self.say_nothing(id, asked),
        }
    }

    fn judge_process(
        &self,
        station: Station,
        unit: u8,
        function: u8,
        parsed: &Request<'_>,
    ) -> Result<(), (hal::reason::ReasonCode, Option<Exception>)> {
        let broadcast = unit == 0 && self.settings.unit != 0 && !parsed.is_read_only();
        if broadcast || matches!(parsed, Request::Diagnostics { sub: 4 }) {
            return Err((why::DROPPED, None));
        }
        if self.settings.safety
            && matches!(parsed, Request::Other | Request::WriteFile(_) | Request::Diagnostics { sub: 1 })
        {
            return Err((why::SAFETY, Some(Exception::IllegalFunction)));
        }
        if matches!(parsed, Request::Other | Request::Diagnostics { sub: 1 }) {
            return Err((why::FUNCTION_DENIED, Some(Exception::IllegalFunction)));
        }
        let allowed = match parsed {
            Request::Read { span, .. }
            | Request::WriteCoils { span }
            | Request::WriteRegisters { span, .. } => {
                self.allow.check(station.0, unit, function, std::slice::from_ref(span))
            }
            Request::MaskWrite { address } => {
                self.allow.check(station.0, unit, function, std::slice::from_ref(&(*address..*address + 1)))
            }
            Request::ReadWrite { read, write, .. } => {
                self.allow.check(station.0, unit, function, &[read.clone(), write.clone()])
            }
            _ => self.allow.check(station.0, unit, function, &[]),
        };
        allowed.map_err(|denied| match denied {
            Denied::Unit => (why::NO_ROUTE, Some(Exception::PathUnavailable)),
            Denied::Function => (why::PROCESS_DENIED, Some(Exception::IllegalFunction)),
            Denied::Address => (why::PROCESS_DENIED, Some(Exception::IllegalAddress)),
        })
    }

    fn learn(&mut self, station: Station, unit: u8, function: u8, parsed: &Request<'_>) {
        let span = match parsed {
            Request::Read { span, .. }
            | Request::WriteCoils { span }
            | Request::WriteRegisters { span, .. } => span.clone(),
            Request::MaskWrite { address } => *address..*address + 1,
            Request::ReadWrite { write, .. } => write.clone(),
            _ => 0..0,
        };
        self.learner.note(unit, function, station.0, span);
    }

    /// Sends a request on. `step`: it is a step of an update, and may take so long.
    pub(super) fn forward(
        &mut self,
        id: SessionId,
        asked: Asked,
        pdu: &[u8],
        step: Option<(Step, Duration)>,
        now: Mono,
    ) {
        let from =
            From::Station { session: id.index, generation: id.generation, asked, step: step.is_some() };
        let (step, limit) = step.unzip();
        let step = step.filter(|_| self.settings.enforce);
        if !self.link.up {
            if let Some(step) = step {
                self.step_lost(&step, now);
            }
            return self.except(id, asked, pdu, Exception::TargetSilent);
        }
        if step.is_some() {
            self.step_sent = step;
        }
        self.link.send(asked.unit, pdu, now + limit.unwrap_or_default().max(self.settings.reply), from);
    }

    pub(super) fn answer_station(&mut self, id: SessionId, asked: Asked, pdu: &[u8]) {
        if let Some(session) = self.session_mut(id) {
            session.reply(asked, pdu);
            let more = session.has_more();
            self.touched.push(id.index);
            if more && !self.hungry.contains(&id) {
                self.hungry.push_back(id); // its pipeline was full
            }
        }
    }

    pub(super) fn except(&mut self, id: SessionId, asked: Asked, pdu: &[u8], exception: Exception) {
        let function = pdu.first().copied().unwrap_or(0);
        self.answer_station(id, asked, &pdu::exception(function, exception));
    }

    fn say_nothing(&mut self, id: SessionId, asked: Asked) {
        if let Some(session) = self.session_mut(id) {
            session.no_reply(asked);
            self.touched.push(id.index);
        }
    }
}

/// What would have passed in place of what was refused for `code`.
fn expected(code: hal::reason::ReasonCode) -> &'static str {
    match code {
        why::SAFETY => "process traffic alone: a safety controller is programmed at the controller itself",
        why::FUNCTION_DENIED => "a function that an allow-list can name; this one never passes",
        why::DROPPED => "a request that the standard answers",
        why::NO_ROUTE => "a unit that the allow-list names",
        _ => "an access on the allow-list",
    }
}

fn describe(request: &Request<'_>, function: u8) -> String {
    match request {
        Request::Read { span, .. } | Request::WriteCoils { span } | Request::WriteRegisters { span, .. } => {
            format!("function {function} on addresses {} to {}", span.start, span.end - 1)
        }
        Request::MaskWrite { address } => format!("function {function} on address {address}"),
        Request::ReadWrite { read, write, .. } => format!(
            "function {function} reading {} to {} and writing {} to {}",
            read.start,
            read.end - 1,
            write.start,
            write.end - 1
        ),
        Request::Diagnostics { sub } => format!("function 8 sub-function {sub:#06x}"),
        _ => format!("function {function}"),
    }
}
