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

use hal::clock::Mono;

use super::deliver::Delivery;
use super::frame;
use super::link::{From, Link, Sent};
use super::pdu::{self, Exception};
use super::session::{MAX_INPUT, Session};
use super::update::{Step, Update};
use crate::reasons as why;
use crate::shield::allow::AllowList;
use crate::shield::learn::{Habit, Learner};
use crate::transfer::engine::Engine;
use crate::transfer::event::{Answer, CaseId, Question, Refusal, Station};
use crate::transfer::image::Released;

mod identity;
mod own;
mod report;
mod settings;
mod station;
mod step;
mod watched;

pub use identity::ControllerSays;
pub use report::Report;
pub use settings::Settings;
pub use watched::{MAX_WATCHED, Watched};

use identity::Poll;
use report::Reports;
use watched::Registers;

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
    /// What the controller says in watched register number `.0`.
    Register(usize, u16),
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
    registers: Registers,
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
            registers: Registers::default(),
            reports: Reports::default(),
            learner: Learner::default(),
            touched: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A station has connected; `None` when the conduit serves as many as it may, or as many of its address.
    pub fn station_connected(&mut self, station: Station) -> Option<SessionId> {
        let share = self.settings.max_per_address;
        if self.sessions.iter().flatten().filter(|s| s.station == station).count() >= share {
            let expected = format!("at most {share} connections from one address (max_per_address)");
            self.reports
                .refused(station, why::TOO_MANY_STATIONS, || ("one more connection".into(), expected));
            return None;
        }
        let free = self.sessions.iter().position(Option::is_none);
        let index = match free {
            Some(index) => index,
            None if self.sessions.len() < self.settings.max_stations => {
                self.sessions.push(None);
                self.generations.push(0);
                self.sessions.len() - 1
            }
            None => {
                let expected = format!("at most {} connections (max_stations)", self.settings.max_stations);
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

    /// Asks for the controller's identity as soon as possible. For a case it is read back, as after its
    /// update: the controller may still have to restart.
    pub fn identify(&mut self, case: Option<CaseId>, now: Mono) {
        if case.is_some() && !self.poll.is_reading_back() {
            self.read_back(case, now);
        }
        self.poll.soon(now);
    }

    /// Registers to read from now on, in the order their values are numbered.
    pub fn watch(&mut self, watched: Vec<Watched>, now: Mono) {
        self.registers = Registers::new(watched, now);
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
        let reads = self.link.up && !self.link.is_waiting(From::Watched);
        let watched = reads.then(|| self.registers.due()).flatten();
        let delivery = self.delivery.as_ref().and(self.poll.delivery_wake);
        [self.link.deadline(), self.engine.deadline(), hungry, poll, watched, delivery]
            .into_iter()
            .flatten()
            .min()
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
            From::Watched => {
                if let Some([value]) = reply.and_then(pdu::registers).as_deref() {
                    self.events.push(Event::Register(self.registers.asked(), *value));
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
        self.send_watched(now);
    }

    fn engine_wants(&self) -> bool {
        self.engine_version != self.engine.version()
    }
}

/// Replies that may stay away in a row before the connection is made anew.
const MAX_SILENCES: u32 = 3;

#[cfg(test)]
mod tests;
