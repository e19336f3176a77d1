//! A whole conduit: stations, a controller, a judge and time, all driven by the input.
//!
//! Nothing is ever released here. So, with process traffic allowed everywhere, these must hold:
//! - enforcing, no write to the profile's registers or files reaches the controller;
//! - the controller is sent nothing but what a station asked for, once, byte for byte, and our own reads and aborts;
//! - a station hears only answers to its own requests, in their order;
//! - what is kept is bounded, deadlines pass, and in the end every request has its answer.
#![no_main]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gateway::config::profiles;
use gateway::protocol::modbus::conduit::{Conduit, Event, SessionId, Settings};
use gateway::protocol::modbus::frame;
use gateway::protocol::modbus::pdu::{self, Request};
use gateway::protocol::modbus::profile::{Data, Profile, Role};
use gateway::protocol::modbus::update::Update;
use gateway::reasons;
use gateway::shield::allow::{AllowList, Rule};
use gateway::transfer::event::{Answer, CaseId, Question, Refusal, Station};
use hal::clock::Mono;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [first, second, program @ ..] = data else { return };
    let mut rig = Rig::new(*first, *second);
    let mut code = Code(program);
    while let Some(op) = code.byte() {
        rig.run(op, &mut code);
        rig.check();
    }
    rig.settle();
});

/// The input, byte by byte.
struct Code<'a>(&'a [u8]);

impl<'a> Code<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// A byte, 0 at the end.
    fn any(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    /// A length byte and as many bytes.
    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.any()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }
}

struct Rig {
    conduit: Conduit,
    profile: Arc<Profile>,
    guarded: Vec<Range<u32>>,
    enforce: bool,
    now: Mono,
    sockets: Vec<Option<Socket>>,
    /// Requests of stations, and whether the controller has seen them: (unit, PDU).
    asked: Vec<(u8, Vec<u8>)>,
    controller_up: bool,
    /// Bytes written to the controller and not yet whole.
    to_controller: Vec<u8>,
    /// What the controller has not answered: (transaction, unit, PDU).
    unanswered: VecDeque<(u16, u8, Vec<u8>)>,
    /// The newest question of each kind.
    question: u32,
    cases: u64,
    tid: u16,
}

/// A station's socket.
struct Socket {
    id: SessionId,
    sent: Vec<u8>,
    /// The header was bad: nothing after it is a request.
    garbled: bool,
    /// Requests without an answer: (transaction, unit, function).
    open: VecDeque<(u16, u8, u8)>,
    heard: Vec<u8>,
}

impl Rig {
    fn new(first: u8, second: u8) -> Rig {
        let profile = PROFILES[usize::from(first) % PROFILES.len()].clone();
        let way = profile.ways[usize::from(second >> 1) % profile.ways.len()];
        let enforce = second & 1 == 0;
        let settings = Settings {
            unit: UNIT,
            way,
            enforce,
            max_stations: STATIONS,
            safety: false,
            max_per_address: STATIONS,
            longest_transfer: Duration::from_secs(3600),
            in_flight: 1 + usize::from(second >> 2 & 3),
            reply: Duration::from_secs(1),
            poll_every: (second & 0x10 != 0).then_some(Duration::from_secs(3)),
        };
        let everything =
            Rule { unit: UNIT, functions: (1..128).collect(), addresses: vec![], stations: vec![] };
        let now = Mono(1);
        let update = Update::new(profile.clone(), Vec::new());
        Rig {
            conduit: Conduit::new(settings, AllowList::new(vec![everything]), Some(update), now),
            guarded: profile.guarded(),
            profile,
            enforce,
            now,
            sockets: (0..STATIONS).map(|_| None).collect(),
            asked: Vec::new(),
            controller_up: false,
            to_controller: Vec::new(),
            unanswered: VecDeque::new(),
            question: 0,
            cases: 0,
            tid: 0,
        }
    }

    fn run(&mut self, op: u8, code: &mut Code<'_>) {
        let who = usize::from(op >> 4) % STATIONS;
        match op & 0x0F {
            0 => self.connect(who),
            1 => self.disconnect(who),
            2 => {
                let bytes = code.bytes().to_vec();
                self.send(who, &bytes);
            }
            3 => {
                let (unit, pdu) =
                    (if code.any() & 7 == 0 { code.any() } else { UNIT }, code.bytes().to_vec());
                self.ask(who, unit, &pdu);
            }
            4 => {
                let pdu = self.step(code);
                self.ask(who, UNIT, &pdu);
            }
            5 => {
                let pdu = self.block(code);
                self.ask(who, UNIT, &pdu);
            }
            6 => {
                // A flood of one request.
                let pdu = [3, 0, code.any(), 0, 1];
                (0..200).for_each(|_| self.ask(who, UNIT, &pdu));
            }
            7 => {
                self.controller_up = !self.controller_up;
                self.to_controller.clear();
                self.unanswered.clear();
                match self.controller_up {
                    true => self.conduit.controller_connected(self.now),
                    false => self.conduit.controller_disconnected(self.now),
                }
            }
            8 => self.controller_answers(code.any()),
            9 => {
                let bytes = code.bytes();
                if self.controller_up {
                    self.conduit.controller_received(bytes, self.now);
                }
            }
            10 => self.pass(Duration::from_millis(u64::from(code.any()) * 40)),
            11 => {
                if let Some(due) = self.conduit.deadline() {
                    self.pass(due.since(self.now));
                }
            }
            12 => self.judge(code.any()),
            13 => {
                let shut = (code.any() & 1 == 0).then(|| refusal(None));
                self.conduit.gate(shut, self.now);
            }
            14 => {
                let case = (code.any() & 1 == 0).then(|| CaseId(self.cases));
                self.conduit.identify(case, self.now);
            }
            _ => self.write_out(),
        }
    }

    fn connect(&mut self, who: usize) {
        if self.sockets[who].is_some() {
            return;
        }
        // Two of the stations share one address.
        let address = Ipv4Addr::new(10, 0, 0, 1 + (who as u8).min(1));
        let id = self.conduit.station_connected(Station(IpAddr::V4(address)));
        let id = id.expect("there is a place for each");
        self.sockets[who] =
            Some(Socket { id, sent: vec![], garbled: false, open: VecDeque::new(), heard: vec![] });
    }

    fn disconnect(&mut self, who: usize) {
        if let Some(socket) = self.sockets[who].take() {
            self.conduit.station_closed(socket.id);
        }
    }

    fn ask(&mut self, who: usize, unit: u8, pdu: &[u8]) {
        if pdu.is_empty() {
            return;
        }
        self.tid = self.tid.wrapping_add(1);
        let mut adu = Vec::new();
        frame::append(&mut adu, self.tid, unit, pdu);
        self.send(who, &adu);
    }

    fn send(&mut self, who: usize, bytes: &[u8]) {
        self.connect(who);
        let Some(socket) = &mut self.sockets[who] else { return };
        if !self.conduit.wants_input(socket.id) {
            return;
        }
        // Note first what is asked, then ask.
        socket.sent.extend_from_slice(bytes);
        while !socket.garbled {
            match frame::first(&socket.sent) {
                Ok(Some((request, used))) => {
                    socket.open.push_back((request.tid, request.unit, request.pdu[0]));
                    self.asked.push((request.unit, request.pdu.to_vec()));
                    socket.sent.drain(..used);
                }
                Ok(None) => break,
                Err(_) => socket.garbled = true,
            }
        }
        self.conduit.station_received(socket.id, bytes, self.now);
    }

    /// One of the profile's own control writes, perhaps with another value.
    fn step(&self, code: &mut Code<'_>) -> Vec<u8> {
        let steps = &self.profile.steps;
        let Some(step) = steps.get(usize::from(code.any()) % steps.len().max(1)) else { return vec![] };
        let small = u32::from(code.any());
        let words = step.words(small * 16, small as u16, small * 2);
        write_registers(step.register, &words)
    }

    /// A block of image bytes.
    fn block(&self, code: &mut Code<'_>) -> Vec<u8> {
        let (at, len) = (code.any(), 2 + 2 * usize::from(code.any() % 100));
        let image: Vec<u8> = (0..len).map(|i| i as u8 ^ at).collect();
        match self.profile.data {
            Data::FileRecord { first_file, .. } => {
                let (file, record) = (first_file + u16::from(at >> 7), u16::from(at & 0x7F));
                let mut pdu = vec![21, (7 + len) as u8, 6];
                [file, record, (len / 2) as u16].iter().for_each(|w| pdu.extend_from_slice(&w.to_be_bytes()));
                pdu.extend_from_slice(&image);
                pdu
            }
            _ => {
                let windows = self.profile.windows();
                let window = &windows[usize::from(at) % windows.len()];
                let room = (2 * window.len()).min(len);
                let start = window.start as u16 + if at & 0x80 != 0 { u16::from(at & 0x7F) } else { 0 };
                write_registers(start, &image[..room])
            }
        }
    }

    /// The controller answers its oldest request, as a controller would or with an exception.
    fn controller_answers(&mut self, how: u8) {
        self.write_out();
        let place = usize::from(how >> 4).min(self.unanswered.len().saturating_sub(1));
        let Some((tid, unit, pdu)) = self.unanswered.remove(place) else { return };
        let reply = match (how & 3, pdu[0]) {
            (0, function) => vec![function | 0x80, 1 + (how >> 2 & 3)],
            (_, 3 | 4) => {
                let count = pdu.get(4).copied().unwrap_or(1).min(125);
                let mut reply = vec![pdu[0], 2 * count];
                reply.resize(2 + 2 * usize::from(count), how);
                reply
            }
            (_, 6 | 15 | 16) => pdu[..pdu.len().min(5)].to_vec(),
            _ => pdu,
        };
        let mut adu = Vec::new();
        frame::append(&mut adu, tid, unit, &reply);
        self.conduit.controller_received(&adu, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        // Much may be left to do, but not for ever.
        for _ in 0..1000 {
            self.conduit.expire(self.now);
            if self.conduit.deadline().is_none_or(|due| due > self.now) {
                return;
            }
        }
        panic!("due at {:?}, now {:?}", self.conduit.deadline(), self.now);
    }

    fn judge(&mut self, how: u8) {
        let id = self.question.wrapping_sub(u32::from(how >> 4 & 1));
        self.cases += 1;
        let answer = match how & 3 {
            0 => Answer::Opened { case: CaseId(self.cases), released: Vec::new() },
            1 => Answer::Refused(refusal(Some(CaseId(self.cases)))),
            2 => Answer::Commit,
            _ => Answer::Recorded,
        };
        self.conduit.answer(id, answer, self.now);
    }

    /// What the pump would do after every call, and what must hold.
    fn check(&mut self) {
        for event in self.conduit.take_events() {
            match event {
                Event::Ask(id, question) => {
                    let harmless = matches!(
                        question,
                        Question::Open { .. } | Question::Judge { .. } | Question::End { .. }
                    );
                    assert!(harmless, "asked with nothing released: {question:?}");
                    self.question = if id == 0 { self.question } else { id };
                }
                Event::Reconnect => {
                    self.controller_up = false;
                    self.to_controller.clear();
                    self.unanswered.clear();
                    self.conduit.controller_disconnected(self.now);
                }
                Event::Identity(..) | Event::Register(..) => {}
            }
        }
        assert!(self.conduit.controller_output().len() <= MOST);
        assert_eq!(self.conduit.is_controller_up(), self.controller_up);
        for who in 0..STATIONS {
            let Some(socket) = &self.sockets[who] else { continue };
            let output = self.conduit.station_output(socket.id).expect("its session lives");
            assert!(output.len() <= MOST, "{} bytes", output.len());
            if output.is_empty() && self.conduit.is_broken(socket.id) {
                self.disconnect(who);
            }
        }
        assert!(self.conduit.take_reports().len() <= 64);
        while self.conduit.next_touched().is_some() {}
    }

    /// Empties every socket and looks at what was written.
    fn write_out(&mut self) {
        let written = std::mem::take(self.conduit.controller_output());
        assert!(written.is_empty() || self.controller_up);
        self.to_controller.extend(written);
        let bytes = std::mem::take(&mut self.to_controller);
        let mut rest = &bytes[..];
        while let Some((request, used)) = frame::first(rest).expect("the gateway writes Modbus") {
            self.reached(request.unit, request.pdu);
            self.unanswered.push_back((request.tid, request.unit, request.pdu.to_vec()));
            rest = &rest[used..];
        }
        self.to_controller = rest.to_vec();
        for socket in self.sockets.iter_mut().flatten() {
            let Some(output) = self.conduit.station_output(socket.id) else { continue };
            socket.heard.append(output);
            while let Some((reply, used)) = frame::first(&socket.heard).expect("the gateway writes Modbus") {
                let answers = |(tid, unit, function): &(u16, u8, u8)| {
                    (*tid, *unit) == (reply.tid, reply.unit) && function & 0x7F == reply.pdu[0] & 0x7F
                };
                // What lies before it gets no answer at all.
                let place = socket.open.iter().position(answers);
                let place = place.unwrap_or_else(|| panic!("{reply:?} answers none of {:?}", socket.open));
                socket.open.drain(..=place);
                socket.heard.drain(..used);
            }
        }
    }

    /// Whether the gateway gives up a transfer: one of the profile's abort steps, with no values of anybody.
    fn is_abort(&self, pdu: &[u8]) -> bool {
        let steps = self.profile.steps(Role::Abort);
        self.enforce && steps.into_iter().any(|s| pdu == pdu::write_request(s.register, &s.words(0, 0, 0)))
    }

    /// A controller and a judge that answer, and time: every station gets what it is owed.
    fn settle(&mut self) {
        for _ in 0..2000 {
            self.check();
            self.write_out();
            if self.sockets.iter().flatten().all(|s| s.open.iter().all(is_unanswerable)) {
                return;
            }
            if !self.unanswered.is_empty() {
                self.controller_answers(1);
                continue;
            }
            self.judge(1);
            self.check();
            if let Some(due) = self.conduit.deadline() {
                self.pass(due.since(self.now));
            }
        }
        let owed: Vec<_> = self.sockets.iter().flatten().map(|s| &s.open).collect();
        panic!("never answered: {owed:?}");
    }

    /// A request at the controller.
    fn reached(&mut self, unit: u8, pdu: &[u8]) {
        if self.is_abort(pdu) {
            return;
        }
        let parsed = Request::parse(pdu);
        let place = self.asked.iter().position(|(u, p)| *u == unit && p == pdu);
        match place {
            Some(place) => drop(self.asked.swap_remove(place)),
            None => assert!(parsed.as_ref().is_ok_and(Request::is_read_only), "nobody asked for {pdu:02X?}"),
        }
        if !self.enforce {
            return;
        }
        assert_eq!(unit, UNIT, "no rule names it");
        let written = match parsed.expect("a malformed request is refused") {
            Request::WriteRegisters { span, .. } => span,
            Request::MaskWrite { address } => address..address + 1,
            Request::ReadWrite { write, .. } => write,
            Request::WriteFile(_) => {
                assert!(!matches!(self.profile.data, Data::FileRecord { .. }), "an image file: {pdu:02X?}");
                return;
            }
            Request::Other => panic!("an unknown function: {pdu:02X?}"),
            _ => return,
        };
        let touched = self.guarded.iter().find(|g| written.start < g.end && g.start < written.end);
        assert!(touched.is_none(), "{pdu:02X?} touches {touched:?}");
    }
}

/// Broadcasts, and "listen only" of function 8.
fn is_unanswerable((_, unit, function): &(u16, u8, u8)) -> bool {
    *unit == 0 || *function == 8
}

fn write_registers(register: u16, words: &[u8]) -> Vec<u8> {
    let ([a1, a2], count) = (register.to_be_bytes(), words.len() / 2);
    if let ([w1, w2], true) = (words, register & 1 == 0) {
        return vec![6, a1, a2, *w1, *w2];
    }
    let mut pdu = vec![16, a1, a2, 0, count as u8, words.len() as u8];
    pdu.extend_from_slice(words);
    pdu
}

fn refusal(case: Option<CaseId>) -> Refusal {
    Refusal { code: reasons::NOT_READY, case, found: "a fuzzer".into(), expected: "an operator".into() }
}

static PROFILES: LazyLock<Vec<Arc<Profile>>> =
    LazyLock::new(|| profiles::names().map(|id| profiles::find(id, &[]).expect("it ships")).collect());

const UNIT: u8 = 1;
const STATIONS: usize = 3;
/// Bytes that may wait for one socket: the limit at which it is no longer read, and what was read by then.
const MOST: usize = 64 * 1024 + 16 * 1024;
