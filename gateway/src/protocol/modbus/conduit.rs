//! One conduit: many stations, one controller, and the gate between them. Bytes and `now` in, bytes out.
//!
//! ```text
//!   stations ──▶ Session ──▶ Update ─ step of a transfer? ─▶ Engine ──▶ judge
//!                   ▲           └──── process access? ────▶ AllowList
//!                   │                                          │
//!                   └───────────────── Link ◀──────────────────┘
//!                                       ▲ delivery, identity poll (one more station)
//! ```
//!
//! The conduit opens no socket: the pump hands it what arrived ([`Conduit::station_received`],
//! [`Conduit::controller_received`]), writes what [`Conduit::station_output`] and
//! [`Conduit::controller_output`] hold, and carries [`Event`]s to the judge and back.

use std::collections::VecDeque;
use std::time::Duration;

use hal::clock::Mono;

use super::deliver::{Delivery, Next};
use super::frame::{self, Frame};
use super::link::{From, Link, Sent};
use super::pdu::{self, Exception, Request};
use super::session::{Asked, Held, MAX_INPUT, Session};
use super::update::{Seen, Step, Update};
use crate::reasons as why;
use crate::shield::allow::{AllowList, Denied};
use crate::shield::learn::{Habit, Learner};
use crate::transfer::engine::{self, Engine};
use crate::transfer::event::{Answer, CaseId, Decision, Outcome, Question, Refusal, Station};
use crate::transfer::image::Released;

mod identity;
mod report;
mod settings;

pub use identity::ControllerSays;
pub use report::Report;
pub use settings::Settings;

use identity::Poll;
use report::Reports;

/// Names one connection of a station; never reused for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId {
    index: usize,
    generation: u32,
}

impl SessionId {
    /// Its slot, below [`Settings::max_stations`]; another connection may get the same slot later.
    pub fn index(self) -> usize {
        self.index
    }
}

/// What the conduit asks of the gateway around it.
#[derive(Debug)]
pub enum Event {
    /// Carry this to the judge; the number comes back with the answer.
    Ask(u32, Question),
    /// The controller's identity, read after `case` or by the regular poll.
    Identity(Option<CaseId>, ControllerSays),
    /// The connection to the controller cannot be used any more: close it and connect again.
    Reconnect,
}

/// One conduit's whole state.
#[derive(Debug)]
pub struct Conduit {
    settings: Settings,
    allow: AllowList,
    update: Option<Update>,
    engine: Engine,
    sessions: Vec<Option<Session>>,
    generations: Vec<u32>,
    link: Link,
    /// Sessions with requests that found no room.
    hungry: VecDeque<SessionId>,
    /// Sessions whose step waits for the engine.
    holding: Vec<SessionId>,
    engine_version: u64,
    /// The update step the controller has not answered yet.
    step_sent: Option<Step>,
    delivery: Option<(CaseId, Delivery)>,
    abort_steps: VecDeque<Vec<u8>>,
    poll: Poll,
    reports: Reports,
    learner: Learner,
    /// The latest time told.
    now: Mono,
    /// Sessions whose output grew since the last [`Conduit::next_touched`].
    touched: Vec<usize>,
    events: Vec<Event>,
}

impl Conduit {
    /// A conduit with no connections. `profile`: how this controller is updated, if this route carries
    /// updates; `guarded`: update registers of the controller's other profiles.
    pub fn new(settings: Settings, allow: AllowList, update: Option<Update>, now: Mono) -> Conduit {
        let engine = Engine::new(settings.engine(update.as_ref().map(|u| u.profile().as_ref())));
        Conduit {
            poll: Poll::new(settings.poll_every.filter(|_| update.is_some()), now),
            now,
            link: Link::new(settings.in_flight),
            engine,
            settings,
            allow,
            update,
            sessions: Vec::new(),
            generations: Vec::new(),
            hungry: VecDeque::new(),
            holding: Vec::new(),
            engine_version: 0,
            step_sent: None,
            delivery: None,
            abort_steps: VecDeque::new(),
            reports: Reports::default(),
            learner: Learner::default(),
            touched: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A station has connected; `None` when the conduit serves as many as it may.
    pub fn station_connected(&mut self, station: Station) -> Option<SessionId> {
        let free = self.sessions.iter().position(Option::is_none);
        let index = match free {
            Some(index) => index,
            None if self.sessions.len() < self.settings.max_stations => {
                self.sessions.push(None);
                self.generations.push(0);
                self.sessions.len() - 1
            }
            None => {
                let expected = format!("at most {} connections", self.settings.max_stations);
                self.reports
                    .refused(station, why::TOO_MANY_STATIONS, || ("one more connection".into(), expected));
                return None;
            }
        };
        self.sessions[index] = Some(Session::new(station));
        Some(SessionId { index, generation: self.generations[index] })
    }

    /// A station's connection has closed.
    pub fn station_closed(&mut self, id: SessionId) {
        let Some(session) = self.session_mut(id) else { return };
        let station = session.station;
        self.sessions[id.index] = None;
        self.generations[id.index] = self.generations[id.index].wrapping_add(1);
        self.holding.retain(|h| *h != id);
        self.hungry.retain(|h| *h != id);
        if !self.sessions.iter().flatten().any(|s| s.station == station) {
            self.engine.station_gone(station);
            self.after_engine(self.now);
        }
    }

    /// Bytes from a station.
    pub fn station_received(&mut self, id: SessionId, bytes: &[u8], now: Mono) {
        let Some(session) = self.session_mut(id) else { return };
        session.input.extend_from_slice(bytes);
        self.take_requests(id, now);
        self.after_engine(now);
    }

    /// Bytes from the controller.
    pub fn controller_received(&mut self, bytes: &[u8], now: Mono) {
        let mut input = std::mem::take(&mut self.link.input);
        input.extend_from_slice(bytes);
        let mut taken = 0;
        let broken = loop {
            match frame::first(&input[taken..]) {
                Ok(Some((reply, used))) => {
                    taken += used;
                    match self.link.claim(&reply) {
                        Ok(Some(sent)) => self.replied(sent, Some(reply.pdu), now),
                        Ok(None) => {}
                        Err(_) => break true,
                    }
                }
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        if broken {
            self.events.push(Event::Reconnect);
            return self.controller_disconnected(now);
        }
        input.drain(..taken);
        self.link.input = input;
        self.after_engine(now);
    }

    /// The connection to the controller is up.
    pub fn controller_connected(&mut self, now: Mono) {
        self.link.up = true;
        self.link.since = now;
        self.after_engine(now);
    }

    /// The connection to the controller is down. Stations get exception 0B for what was under way.
    pub fn controller_disconnected(&mut self, now: Mono) {
        for sent in self.link.drop_all(now) {
            self.replied(sent, None, now);
        }
        self.poll.disconnected();
        self.engine.controller_gone();
        self.abort_steps.clear();
        self.after_engine(now);
    }

    /// What is to be written to a station; the caller removes what it wrote.
    pub fn station_output(&mut self, id: SessionId) -> Option<&mut Vec<u8>> {
        self.session_mut(id).map(|s| &mut s.output)
    }

    /// What is to be written to the controller; the caller removes what it wrote.
    pub fn controller_output(&mut self) -> &mut Vec<u8> {
        &mut self.link.output
    }

    /// The slot of a session whose output grew since it was named here the last time.
    pub fn next_touched(&mut self) -> Option<usize> {
        self.touched.pop()
    }

    /// Whether a station's socket should be read.
    pub fn wants_input(&self, id: SessionId) -> bool {
        self.session(id).is_some_and(|s| {
            !s.broken && s.input.len() < MAX_INPUT && s.output.len() < super::link::MAX_OUTPUT
        })
    }

    /// Whether a station's connection is to be closed once its output is written.
    pub fn is_broken(&self, id: SessionId) -> bool {
        self.session(id).is_none_or(Session::is_over)
    }

    /// The judge's answer to question `id`.
    pub fn answer(&mut self, id: u32, answer: Answer, now: Mono) {
        self.engine.answer(id, answer, now);
        self.after_engine(now);
    }

    /// The gate shut for this reason, or opened (`None`).
    pub fn gate(&mut self, shut: Option<Refusal>, now: Mono) {
        self.engine.gate(shut);
        self.after_engine(now);
    }

    /// Delivers a released image now; `past`: its point of no return is on record already.
    pub fn deliver(
        &mut self,
        case: CaseId,
        released: Released,
        past: bool,
        now: Mono,
    ) -> Result<(), Refusal> {
        if self.update.is_none() {
            return Err(Refusal {
                code: why::CONTROLLER_REFUSED,
                case: Some(case),
                found: "a route without a transfer profile".into(),
                expected: "a profile that says how this controller is updated".into(),
            });
        }
        self.engine.deliver(case, released)?;
        self.after_engine_delivering(past, now);
        Ok(())
    }

    /// Asks for the controller's identity as soon as possible.
    pub fn identify(&mut self, now: Mono) {
        self.poll.soon(now);
    }

    /// What the gateway around must do. Call after every other method.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Refusals since the last call, counted by station and reason.
    pub fn take_reports(&mut self) -> Vec<Report> {
        self.reports.take()
    }

    /// Habits since the last call, while observing.
    pub fn take_habits(&mut self) -> (Vec<(Habit, u64)>, u64) {
        self.learner.take()
    }

    /// Bytes delivered and in all, while a delivery runs.
    pub fn progress(&self) -> Option<(CaseId, u64, u64)> {
        self.delivery.as_ref().map(|(case, d)| (*case, d.progress().0, d.progress().1))
    }

    /// Whether the controller is connected.
    pub fn is_controller_up(&self) -> bool {
        self.link.up
    }

    /// The engine, for the status page.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// When to call [`Conduit::expire`] next.
    pub fn deadline(&self) -> Option<Mono> {
        let hungry =
            (!self.link.up && !self.hungry.is_empty()).then_some(self.link.since + self.settings.reply);
        let poll = self.link.up.then(|| self.poll.due()).flatten();
        let delivery = self.delivery.as_ref().and(self.poll.delivery_wake);
        [self.link.deadline(), self.engine.deadline(), hungry, poll, delivery].into_iter().flatten().min()
    }

    /// Acts on deadlines that have passed. Calling it early does nothing.
    pub fn expire(&mut self, now: Mono) {
        for sent in self.link.overdue(now) {
            self.replied(sent, None, now);
        }
        if self.link.silences >= MAX_SILENCES {
            self.events.push(Event::Reconnect);
            self.controller_disconnected(now);
        }
        self.engine.expire(now);
        self.after_engine(now);
    }

    // === stations ===

    fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id.index)?.as_ref().filter(|_| self.generations[id.index] == id.generation)
    }

    fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let live = self.generations.get(id.index) == Some(&id.generation);
        self.sessions.get_mut(id.index)?.as_mut().filter(|_| live)
    }

    /// Takes as many requests as there is room for.
    fn take_requests(&mut self, id: SessionId, now: Mono) {
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
    fn feed_hungry(&mut self, now: Mono) {
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
            Err(_) if !self.settings.enforce => return self.forward(id, asked, request.pdu, None, now),
            Err(e) => {
                self.reports.refused(station, why::MALFORMED, || {
                    (e.to_string(), "a request as the standard defines it".into())
                });
                return self.except(id, asked, request.pdu, Exception::IllegalValue);
            }
        };
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

    /// A request that has nothing to do with updates: the allow-list decides.
    fn process(
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
            (
                format!("{} to unit {}", describe(parsed, function), asked.unit),
                "an access on the allow-list".into(),
            )
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

    /// A step that was held.
    fn step_again(&mut self, id: SessionId, held: Held, now: Mono) {
        let (Some(update), Ok(parsed)) = (&self.update, Request::parse(&held.pdu)) else { return };
        let seen = update.see(&parsed);
        self.step(id, held.request, &held.pdu, (&parsed, seen), held.seen, now);
    }

    /// A step of an update: the engine decides.
    /// `again`: it has decided to hold it before.
    fn step(
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

    fn guarded(&mut self, station: Station, what: &str) -> Decision {
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

    /// Sends a request on. `step`: it is a step of an update, and may take so long.
    fn forward(
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

    fn answer_station(&mut self, id: SessionId, asked: Asked, pdu: &[u8]) {
        if let Some(session) = self.session_mut(id) {
            session.reply(asked, pdu);
            let more = session.has_more();
            self.touched.push(id.index);
            if more && !self.hungry.contains(&id) {
                self.hungry.push_back(id); // its pipeline was full
            }
        }
    }

    fn except(&mut self, id: SessionId, asked: Asked, pdu: &[u8], exception: Exception) {
        let function = pdu.first().copied().unwrap_or(0);
        self.answer_station(id, asked, &pdu::exception(function, exception));
    }

    fn say_nothing(&mut self, id: SessionId, asked: Asked) {
        if let Some(session) = self.session_mut(id) {
            session.no_reply(asked);
            self.touched.push(id.index);
        }
    }

    // === the controller ===

    /// A reply to one of our requests, or `None` when none came.
    fn replied(&mut self, sent: Sent, reply: Option<&[u8]>, now: Mono) {
        match sent.from {
            From::Station { session, generation, asked, step } => {
                if step {
                    self.step_answered(reply, now);
                }
                let silent = pdu::exception(sent.function, Exception::TargetSilent);
                let id = SessionId { index: session, generation };
                self.answer_station(id, asked, reply.unwrap_or(&silent));
            }
            From::Poll => {
                let says = reply.and_then(ControllerSays::from_reply);
                if let Some((case, says)) = self.poll.replied(says, now) {
                    self.events.push(Event::Identity(case, says));
                }
            }
            From::Delivery => {
                if let Some((_, delivery)) = &mut self.delivery {
                    match reply {
                        Some(pdu) => delivery.reply(pdu, now),
                        None => delivery.silence(now),
                    }
                }
            }
            From::Abort => {}
        }
    }

    /// What the controller said to the one update step under way.
    fn step_answered(&mut self, reply: Option<&[u8]>, now: Mono) {
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
    fn step_lost(&mut self, step: &Step, now: Mono) {
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
    fn read_back(&mut self, case: Option<CaseId>, now: Mono) {
        if let (Some(case), Some(update)) = (case, &self.update) {
            self.poll.after(case, now, update.profile().timing.boot, false);
        }
    }

    // === the engine's wishes, our own requests ===

    fn after_engine(&mut self, now: Mono) {
        self.after_engine_delivering(false, now);
    }

    /// Carries out what the engine wants until it wants nothing more.
    fn after_engine_delivering(&mut self, past: bool, now: Mono) {
        self.now = self.now.max(now);
        loop {
            self.carry_out(past, now);
            self.drive_delivery(now);
            self.present_held(now);
            self.feed_hungry(now);
            if !self.engine.has_events() && !self.engine_wants() {
                break;
            }
        }
        self.send_aborts(now);
        self.send_poll(now);
    }

    fn engine_wants(&self) -> bool {
        self.engine_version != self.engine.version()
    }

    fn carry_out(&mut self, past: bool, now: Mono) {
        for event in self.engine.take_events() {
            match event {
                engine::Event::Ask(id, question) => {
                    if let Question::Commit { case, .. } = &question {
                        self.poll.committing = Some(*case);
                    }
                    self.events.push(Event::Ask(id, question));
                }
                engine::Event::Deliver(case, released) => {
                    if let Some(update) = &self.update {
                        self.poll.delivery_wake = Some(now);
                        self.poll.asked_no_return = false;
                        self.delivery = Some((case, Delivery::new(update.profile().clone(), released, past)));
                    }
                }
                engine::Event::GoOn => {
                    if let Some((_, delivery)) = &mut self.delivery {
                        delivery.go_on();
                        self.poll.asked_no_return = false;
                    }
                }
                engine::Event::AbortController => self.queue_abort(),
                engine::Event::GiveUp(refusal) => {
                    self.delivery = None;
                    self.queue_abort();
                    self.engine.delivery_ended(Outcome::Refused(refusal));
                }
                engine::Event::Refused(station, refusal) => {
                    let Refusal { code, found, expected, .. } = refusal;
                    self.reports.refused(station, code, || (found, expected));
                }
            }
        }
    }

    /// Presents held steps again: the engine has news, or the step before them has been answered.
    fn present_held(&mut self, now: Mono) {
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

    fn drive_delivery(&mut self, now: Mono) {
        let Some((case, delivery)) = &mut self.delivery else { return };
        if self.link.is_waiting(From::Delivery) || self.poll.asked_no_return {
            self.poll.delivery_wake = None;
            return;
        }
        if !self.link.up {
            self.poll.delivery_wake = (!delivery.is_past()).then_some(self.link.since + CONNECT_PATIENCE);
            if !delivery.is_past() && now.since(self.link.since) >= CONNECT_PATIENCE {
                let why = "the controller cannot be reached".to_string();
                let case = *case;
                self.delivery_failed(case, why);
            }
            return;
        }
        self.poll.delivery_wake = None;
        let case = *case;
        match delivery.next(now) {
            Next::Send(pdu) => {
                let limit = delivery.limit().max(self.settings.reply);
                self.link.send(self.settings.unit, &pdu, now + limit, From::Delivery)
            }
            Next::Wait(until) => self.poll.delivery_wake = Some(until),
            Next::PastNoReturn => {
                self.poll.asked_no_return = true;
                self.engine.at_no_return(now);
            }
            Next::Finished => {
                self.delivery = None;
                let boot = self.update.as_ref().map_or(Duration::ZERO, |u| u.profile().timing.boot);
                self.poll.after(case, now, boot, true);
                self.engine.delivery_ended(Outcome::Delivered);
            }
            Next::Failed(why) => self.delivery_failed(case, why),
        }
    }

    fn delivery_failed(&mut self, case: CaseId, found: String) {
        let past = self.delivery.take().is_some_and(|(_, d)| d.is_past());
        if !past {
            self.queue_abort();
        }
        let code = if past { why::DELIVERY_UNCONFIRMED } else { why::CONTROLLER_REFUSED };
        let expected = "the controller to take the image".into();
        self.engine.delivery_ended(Outcome::Refused(Refusal { code, case: Some(case), found, expected }));
    }

    fn queue_abort(&mut self) {
        let Some(update) = self.update.as_ref().filter(|_| self.link.up) else { return };
        let steps = update.profile().steps(super::profile::Role::Abort);
        self.abort_steps = steps.map(|s| pdu::write_request(s.register, &s.words(0, 0, 0))).collect();
    }

    fn send_aborts(&mut self, now: Mono) {
        while self.link.up
            && let Some(pdu) = self.abort_steps.pop_front()
        {
            self.link.send(self.settings.unit, &pdu, now + self.settings.reply, From::Abort);
        }
    }

    fn send_poll(&mut self, now: Mono) {
        if !self.poll.is_due(now) {
            return;
        }
        let quiet = self.engine.case().is_none() && self.delivery.is_none();
        let Some(profile) = self.update.as_ref().map(|u| u.profile().clone()) else { return };
        if quiet && self.link.up && !self.link.is_waiting(From::Poll) {
            let pdu = identity::request(&profile);
            self.link.send(self.settings.unit, &pdu, now + self.settings.reply, From::Poll);
            self.poll.sent(now);
        } else {
            self.poll.put_off(now);
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
fn exception_for(refusal: &Refusal, pdu: &[u8]) -> Exception {
    match refusal.code {
        why::TRANSFER_BUSY | why::JUDGE_SILENT | why::NOT_READY => Exception::Busy,
        why::WINDOW_PROTECTED | why::NO_TRANSFER if pdu.first() == Some(&21) => Exception::IllegalFunction,
        why::WINDOW_PROTECTED | why::NO_TRANSFER => Exception::IllegalAddress,
        _ => Exception::DeviceFailure,
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

/// Replies that may stay away in a row before the connection is made anew.
const MAX_SILENCES: u32 = 3;
/// How long a delivery that has destroyed nothing waits for the controller.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
