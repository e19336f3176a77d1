//! Everything of one history: stations, links, gateway, judge, controller, and time moved by hand.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gateway::protocol::modbus::conduit::{Conduit, Event, SessionId, Settings, Watched};
use gateway::protocol::modbus::frame;
use gateway::protocol::modbus::update::Update;
use gateway::reasons;
use gateway::shield::allow::{AllowList, Functions, Rule};
use gateway::sim::Controller;
use gateway::sim::flash::Write;
use gateway::transfer::event::{Answer, Refusal, Station};
use hal::clock::Mono;

use super::images::{Family, families, profile};
use super::judge::Judge;
use super::plan::{Plan, Script, What};
use super::random::Random;
use super::tool::Act;

/// What was reached, summed over histories.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub histories: u64,
    pub commits: u64,
    pub sealed: u64,
    pub delivered: u64,
    pub ready: u64,
    pub resumed: u64,
    pub gateway_cuts: u64,
    pub controller_cuts: u64,
    pub reads_answered: u64,
    pub positive_reads: u64,
    pub booted_new: u64,
    pub watched: u64,
    pub refusals: BTreeMap<String, u64>,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.histories += other.histories;
        self.commits += other.commits;
        self.sealed += other.sealed;
        self.delivered += other.delivered;
        self.ready += other.ready;
        self.resumed += other.resumed;
        self.gateway_cuts += other.gateway_cuts;
        self.controller_cuts += other.controller_cuts;
        self.reads_answered += other.reads_answered;
        self.positive_reads += other.positive_reads;
        self.booted_new += other.booted_new;
        self.watched += other.watched;
        for (code, n) in &other.refusals {
            *self.refusals.entry(code.clone()).or_default() += n;
        }
    }
}

/// One end of a station's connection, and what it does.
struct Tool {
    script: Script,
    id: Option<SessionId>,
    next: usize,
    polls: u32,
    idle_until: Mono,
    /// Transaction id, when, what, and whether the standard defines no reply to it.
    outstanding: VecDeque<(u16, Mono, Vec<u8>, bool)>,
    to_gateway: VecDeque<(Mono, Vec<u8>)>,
    to_tool: VecDeque<(Mono, Vec<u8>)>,
    input: Vec<u8>,
    tid: u16,
    /// Reads the process again and again.
    watches: bool,
    stopped: bool,
    /// It has sent what is no Modbus and no longer knows which reply is whose.
    deaf: bool,
}

pub struct World {
    plan: Plan,
    family: &'static Family,
    pub now: Mono,
    random: Random,
    conduit: Conduit,
    judge: Judge,
    answers: Vec<(Mono, u32, Answer)>,
    controller: Controller,
    /// The connection's number at the controller while it is up.
    wire: Option<u64>,
    connect_at: Mono,
    to_controller: VecDeque<(Mono, Vec<u8>)>,
    to_gateway: VecDeque<(Mono, Vec<u8>)>,
    controller_input: Vec<u8>,
    tools: Vec<Tool>,
    timed: Vec<(Mono, Timed)>,
    shadow: Vec<Vec<u8>>,
    spins: u32,
    quiet: bool,
    last_gate: Option<Refusal>,
    pub tally: Tally,
    pub trace: Option<Vec<String>>,
    broken: Option<String>,
}

#[derive(Debug, Clone)]
enum Timed {
    Trouble(What),
    ControllerOn,
    Fast,
    GateOpens,
    Resume,
}

const UNIT: u8 = 1;
const BOOT: Duration = Duration::from_millis(300);
const REPLY: Duration = Duration::from_millis(1000);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl World {
    pub fn new(plan: Plan, trace: bool) -> World {
        let family = &families(plan.kind)[plan.family];
        let now = Mono(1_000_000_000);
        let conduit = conduit(&plan, now);
        let released = plan.released.iter().map(|n| family.good[*n].clone()).collect();
        let controller = Controller::new(plan.kind, UNIT, &family.old.bytes, BOOT);
        let banks = if controller.flash().target() == 0 { 1 } else { 2 };
        let mut shadow = vec![Vec::new(); banks];
        shadow[0] = family.old.bytes.clone();
        let watcher = Script { address: 3, starts: ms(1), acts: Vec::new(), depth: 1, polite: false };
        let tools = plan.stations.iter().map(|s| (s.clone(), false)).chain([(watcher, true)]);
        let tools = tools.map(|(script, watches)| Tool::new(script, watches, now)).collect();
        let timed = plan.troubles.iter().map(|t| (now + t.at, Timed::Trouble(t.what.clone()))).collect();
        World {
            judge: Judge::new(released, plan.judge),
            random: Random::new(plan.seed ^ 0xBEEF),
            family,
            now,
            conduit,
            answers: Vec::new(),
            controller,
            wire: None,
            connect_at: now,
            to_controller: VecDeque::new(),
            to_gateway: VecDeque::new(),
            controller_input: Vec::new(),
            tools,
            timed,
            shadow,
            spins: 0,
            quiet: false,
            last_gate: None,
            tally: Tally { histories: 1, ..Tally::default() },
            trace: trace.then(Vec::new),
            broken: None,
            plan,
        }
    }

    /// Plays the whole history; an error names the part of the invariant that broke.
    pub fn play(&mut self) -> Result<(), String> {
        let limit = self.now + Duration::from_secs(120);
        while self.broken.is_none() && self.now < limit && !self.scripts_done() {
            self.step(limit);
        }
        self.settle();
        self.check_end();
        self.tally.delivered = self.judge.delivered;
        self.tally.ready = self.judge.ready;
        self.tally.watched = self.judge.watched;
        for report in self.conduit.take_reports() {
            *self.tally.refusals.entry(report.code.to_string()).or_default() += report.count;
        }
        match self.broken.take() {
            Some(what) => Err(what),
            None => Ok(()),
        }
    }

    fn scripts_done(&self) -> bool {
        self.timed.is_empty() && self.tools.iter().all(|t| t.watches || t.is_done())
    }

    /// All troubles end; what has to finish gets its time.
    fn settle(&mut self) {
        self.note("settling");
        self.quiet = true;
        self.judge.manner = super::plan::JudgeManner { slow_ms: 20, mute: 0, refuses: 0 };
        *self.controller.faults() = Default::default();
        self.timed.clear();
        self.last_gate = None;
        self.conduit.gate(None, self.now);
        if !self.controller.flash().is_powered() {
            self.controller.power_on(self.now);
        }
        self.tools.iter_mut().for_each(|t| t.stopped |= !t.watches);
        self.resume();
        let limit = self.now + Duration::from_secs(600);
        let mut calm = self.now + Duration::from_secs(3);
        while self.broken.is_none() && self.now < limit {
            self.step(limit.min(calm));
            let busy = self.conduit.engine().is_delivering()
                || !self.answers.is_empty()
                || self.judge.record.as_ref().is_some_and(|r| r.past)
                || (self.plan.enforce && self.controller.booted(self.now).is_none());
            if busy {
                calm = self.now + Duration::from_secs(3);
                self.resume();
            } else if self.now >= calm {
                break;
            }
        }
    }

    fn check_end(&mut self) {
        let now = self.now;
        let runs = self.controller.booted(now).map(<[u8]>::to_vec);
        let allowed = runs.as_ref().is_some_and(|image| {
            *image == self.family.old.bytes || self.judge.released.iter().any(|b| is_build(image, &b.bytes))
        });
        if let (Some(build), Some(image)) = (&self.judge.installed, &runs)
            && !is_build(image, &build.bytes)
        {
            self.fail("an image was called delivered, and the controller does not run it");
        }
        match runs {
            _ if !self.plan.enforce => {}
            None => self.fail("the controller does not boot"),
            Some(_) if !allowed => self.fail("the controller runs what was never verified"),
            Some(image) => self.tally.booted_new += u64::from(image != self.family.old.bytes),
        }
        if self.judge.record.as_ref().is_some_and(|r| r.past) {
            self.fail("a delivery past the point of no return never ended");
        }
        if self.plan.enforce && self.controller.is_tampered() {
            self.fail("settings were wiped");
        }
        if !self.plan.enforce {
            return;
        }
        if let Some(case) = self.judge.open.first().filter(|_| self.conduit.engine().case().is_none()) {
            let what = format!("case {case} stays open at the judge, and the engine has none");
            self.fail(&what);
        }
    }

    fn fail(&mut self, what: &str) {
        if self.broken.is_none() {
            self.note(&format!("BROKEN: {what}"));
            self.broken = Some(format!("{what} (at {} ms)", self.now.0 / 1_000_000));
        }
    }

    fn note(&mut self, what: &str) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>8.1} {what}", self.now.0 as f64 / 1e6));
        }
    }

    // === time ===

    /// Moves to the next thing that happens, at most to `limit`, and lets it happen.
    fn step(&mut self, limit: Mono) {
        self.carry();
        let deadline = self.conduit.deadline().map(|at| at.max(self.now + Duration::from_micros(500)));
        let mut next = limit;
        let mut soon = |at: Option<Mono>| next = at.map_or(next, |at| next.min(at));
        soon(deadline);
        soon(self.wire.is_none().then_some(self.connect_at));
        soon(self.to_controller.front().map(|w| w.0));
        soon(self.to_gateway.front().map(|w| w.0));
        self.answers.iter().for_each(|a| soon(Some(a.0)));
        self.timed.iter().for_each(|t| soon(Some(t.0)));
        for tool in &self.tools {
            soon(tool.wakes());
        }
        // A silent restart is seen by the far end within this time.
        if self.wire.is_some() {
            soon(Some(self.now + ms(250)));
        }
        let forward = next > self.now;
        self.now = self.now.max(next);
        self.spins = if forward { 0 } else { self.spins + 1 };
        if self.spins > 10_000 {
            self.fail("time stands still: something asks to be woken for ever");
        }
        self.happen();
    }

    fn happen(&mut self) {
        let now = self.now;
        while let Some(at) = self.timed.iter().position(|t| t.0 <= now) {
            let what = self.timed.swap_remove(at).1;
            self.trouble(what);
        }
        while let Some(at) = self.answers.iter().position(|a| a.0 <= now) {
            let (_, id, answer) = self.answers.remove(at);
            self.note(&format!("answer {id}: {}", brief(&answer)));
            self.conduit.answer(id, answer, now);
            self.carry();
        }
        if self.wire.is_some_and(|w| self.controller.connections(now) != w) {
            self.note("the controller hangs up");
            self.lose_wire();
        }
        if self.wire.is_none() && self.connect_at <= now {
            if self.controller.is_reachable(now) {
                self.wire = Some(self.controller.connections(now));
                self.note("connected to the controller");
                self.conduit.controller_connected(now);
            } else {
                self.connect_at = now + ms(200);
            }
            self.carry();
        }
        while self.to_controller.front().is_some_and(|w| w.0 <= now) {
            let Some((_, bytes)) = self.to_controller.pop_front() else { break };
            self.controller_takes(&bytes);
        }
        while self.to_gateway.front().is_some_and(|w| w.0 <= now) {
            let Some((_, bytes)) = self.to_gateway.pop_front() else { break };
            self.conduit.controller_received(&bytes, now);
            self.carry();
        }
        for n in 0..self.tools.len() {
            self.tool(n);
        }
        if self.conduit.deadline().is_some_and(|at| at <= now) {
            self.conduit.expire(now);
            self.carry();
            let again = self.conduit.deadline().is_some_and(|at| at <= now);
            self.spins += if again { 500 } else { 0 };
            if again && self.spins > 5_000 {
                self.fail("a deadline that passed does not move");
            }
        }
    }

    // === the gateway ===

    /// Does what the pump does: moves outputs to the wires and events to the judge.
    fn carry(&mut self) {
        let now = self.now;
        for event in self.conduit.take_events() {
            match event {
                Event::Ask(id, question) => {
                    self.note(&format!("ask {id}: {}", brief_question(&question)));
                    let commit = matches!(question, gateway::transfer::event::Question::Commit { .. });
                    self.tally.commits += u64::from(commit);
                    if let Some((after, answer)) = self.judge.ask(question, &mut self.random) {
                        self.answers.push((now + ms(after), id, answer));
                    }
                }
                Event::Identity(..) | Event::Register(..) => {}
                Event::Reconnect => {
                    self.note("the gateway reconnects");
                    self.wire = None;
                    self.connect_at = now + ms(200);
                    self.to_controller.clear();
                    self.to_gateway.clear();
                    self.controller_input.clear();
                }
            }
        }
        let output = std::mem::take(self.conduit.controller_output());
        if output.len() > 128 * 1024 {
            self.fail("output to the controller grows without bound");
        }
        if !output.is_empty() && self.wire.is_some() {
            self.to_controller.push_back((now + ms(1), output));
        }
        for n in 0..self.tools.len() {
            let Some(id) = self.tools[n].id else { continue };
            let Some(output) = self.conduit.station_output(id) else { continue };
            if output.len() > 1 << 20 {
                self.fail("output to a station grows without bound");
                return;
            }
            let output = std::mem::take(output);
            let cuts = if self.plan.cut { 1 + self.random.below(3) as usize } else { 1 };
            if !output.is_empty() {
                let size = output.len().div_ceil(cuts).max(1);
                output.chunks(size).for_each(|c| self.tools[n].to_tool.push_back((now + ms(1), c.to_vec())));
            }
            if self.conduit.is_broken(id) {
                self.note(&format!("the gateway closes station {}", self.tools[n].script.address));
                self.conduit.station_closed(id);
                self.tools[n].hang_up();
            }
        }
        self.check_flash();
    }

    fn lose_wire(&mut self) {
        self.wire = None;
        self.connect_at = self.now + ms(200);
        self.to_controller.clear();
        self.to_gateway.clear();
        self.controller_input.clear();
        self.conduit.controller_disconnected(self.now);
        self.carry();
    }

    fn gateway_power_cut(&mut self) {
        self.tally.gateway_cuts += 1;
        self.note("the gateway loses power");
        for report in self.conduit.take_reports() {
            *self.tally.refusals.entry(report.code.to_string()).or_default() += report.count;
        }
        self.conduit = conduit(&self.plan, self.now);
        self.answers.clear();
        self.judge.open.clear();
        self.wire = None;
        self.connect_at = self.now + ms(200);
        self.to_controller.clear();
        self.to_gateway.clear();
        self.controller_input.clear();
        self.tools.iter_mut().for_each(Tool::hang_up);
        self.conduit.gate(self.last_gate.clone(), self.now);
        if self.judge.record.as_ref().is_some_and(|r| !r.past) {
            self.judge.record = None;
        }
        self.timed.push((self.now + ms(50), Timed::Resume));
    }

    /// What a gateway does with a delivery on record that nobody carries out.
    fn resume(&mut self) {
        self.carry();
        let Some(record) = self.judge.record.clone().filter(|r| r.past) else { return };
        if self.conduit.engine().is_delivering() {
            return;
        }
        let (case, released) = (record.case, record.build.release());
        if self.conduit.deliver(case, released, true, self.now).is_ok() {
            self.tally.resumed += 1;
            self.note("delivery resumed");
        } else if !self.quiet {
            self.timed.push((self.now + ms(500), Timed::Resume));
        }
        self.carry();
    }

    // === the controller ===

    fn controller_takes(&mut self, bytes: &[u8]) {
        let mut input = std::mem::take(&mut self.controller_input);
        input.extend_from_slice(bytes);
        let mut taken = 0;
        while let Ok(Some((request, used))) = frame::first(&input[taken..]) {
            taken += used;
            let reply = self.controller.request(request.unit, request.pdu, self.now);
            if self.trace.is_some() && request.pdu[0] != 3 {
                self.note(&format!("  > {:02x?} => {:02x?}", head(request.pdu), reply.as_deref().map(head)));
            }
            if let Some(pdu) = reply {
                let mut adu = Vec::new();
                frame::append(&mut adu, request.tid, request.unit, &pdu);
                let at = self.now + ms(1) + self.controller.faults().delay;
                let at = self.to_gateway.back().map_or(at, |b| b.0.max(at));
                let half = if self.plan.cut { self.random.below(adu.len() as u64) as usize } else { 0 };
                let rest = adu.split_off(half);
                self.to_gateway.push_back((at, adu));
                self.to_gateway.push_back((at + ms(u64::from(half > 0)), rest));
            }
            self.check_flash();
        }
        input.drain(..taken);
        self.controller_input = input;
        if !self.controller.flash().is_powered() {
            self.note("the controller has lost power");
            self.tally.controller_cuts += 1;
            let off = ms(self.random.below(1_500));
            self.timed.push((self.now + off, Timed::ControllerOn));
        }
    }

    /// Every write of flash, as it happens: released bytes at their own place, whole images only.
    fn check_flash(&mut self) {
        if self.controller.flash().log().is_empty() {
            return;
        }
        let log = self.controller.flash_mut().take_log();
        // What comes after may put something else there, before it is said to have ended.
        self.judge.installed = None;
        if !self.plan.enforce {
            return;
        }
        for write in log {
            match write {
                Write::Erase { bank } => self.shadow[bank].clear(),
                Write::Bytes { bank, offset, data } => {
                    if !self.judge.released.iter().any(|b| fits(&b.bytes, offset, &data)) {
                        let what = format!(
                            "{} bytes at {offset} of bank {bank} belong to no verified image",
                            data.len()
                        );
                        self.fail(&what);
                    }
                    let bytes = &mut self.shadow[bank];
                    if bytes.len() < offset + data.len() {
                        bytes.resize(offset + data.len(), 0xFF);
                    }
                    bytes[offset..offset + data.len()].copy_from_slice(&data);
                }
                Write::Seal { bank, len } => {
                    self.tally.sealed += 1;
                    let image = self.shadow[bank].get(..len).unwrap_or_default();
                    if !self.judge.released.iter().any(|b| is_build(image, &b.bytes)) {
                        self.fail("the controller took an image that is no whole verified one");
                    }
                }
                Write::Activate { .. } => {}
            }
        }
    }

    fn trouble(&mut self, what: Timed) {
        self.note(&format!("{what:?}"));
        let now = self.now;
        match what {
            Timed::Trouble(What::GatewayPowerCut) => self.gateway_power_cut(),
            Timed::Trouble(What::ControllerPowerCut { off_ms }) => {
                self.tally.controller_cuts += 1;
                self.controller.power_cut();
                self.timed.push((now + ms(off_ms), Timed::ControllerOn));
            }
            Timed::Trouble(What::ControllerCutAfterWrites(n)) => self.controller.flash_mut().cut_after(n),
            Timed::Trouble(What::ConnectionBreaks { ms: pause }) => {
                if self.wire.is_some() {
                    self.lose_wire();
                    self.connect_at = now + ms(pause);
                }
            }
            Timed::Trouble(What::DropReplies(n)) => self.controller.faults().drop_replies = n,
            Timed::Trouble(What::DropRequests(n)) => self.controller.faults().drop_requests = n,
            Timed::Trouble(What::Refuse(codes)) => self.controller.faults().refuse = codes.into(),
            Timed::Trouble(What::Slow { ms: delay, for_ms }) => {
                self.controller.faults().delay = ms(delay);
                self.timed.push((now + ms(for_ms), Timed::Fast));
            }
            Timed::Trouble(What::GateShuts { ms: pause }) => {
                let refusal = Refusal {
                    code: reasons::TPM_UNAVAILABLE,
                    case: None,
                    found: "no TPM".into(),
                    expected: "a TPM".into(),
                };
                self.last_gate = Some(refusal.clone());
                self.conduit.gate(Some(refusal), now);
                self.timed.push((now + ms(pause), Timed::GateOpens));
            }
            Timed::Trouble(What::Deliver(n)) => {
                let build = self.family.good[n].clone();
                let case = self.judge.new_case();
                if self.judge.record.is_none()
                    && self.last_gate.is_none()
                    && self.conduit.deliver(case, build.release(), false, now).is_ok()
                {
                    self.judge.record = Some(super::judge::Record { case, build, past: false });
                    self.judge.open.push(case);
                }
            }
            Timed::ControllerOn => self.controller.power_on(now),
            Timed::Fast => self.controller.faults().delay = Duration::ZERO,
            Timed::GateOpens => {
                self.last_gate = None;
                self.conduit.gate(None, now);
            }
            Timed::Resume => self.resume(),
        }
        self.carry();
    }

    // === stations ===

    fn tool(&mut self, n: usize) {
        let now = self.now;
        if now < self.tools[n].script_start() {
            return;
        }
        if self.tools[n].id.is_none()
            && (self.tools[n].watches || !self.tools[n].is_done())
            && now >= self.tools[n].idle_until
        {
            let address = self.tools[n].script.address;
            let station = Station(IpAddr::V4(Ipv4Addr::new(127, 0, 0, address)));
            self.tools[n].id = self.conduit.station_connected(station);
        }
        while self.tools[n].to_gateway.front().is_some_and(|w| w.0 <= now) {
            let Some((_, bytes)) = self.tools[n].to_gateway.pop_front() else { break };
            let Some(id) = self.tools[n].id else { break };
            if !self.conduit.wants_input(id) {
                self.tools[n].to_gateway.push_front((now + ms(5), bytes));
                break;
            }
            self.conduit.station_received(id, &bytes, now);
            self.carry();
        }
        while self.tools[n].to_tool.front().is_some_and(|w| w.0 <= now) {
            let Some((_, bytes)) = self.tools[n].to_tool.pop_front() else { break };
            if !self.tools[n].deaf {
                self.tool_reads(n, &bytes);
            }
        }
        if let Some((tid, _, pdu, _)) =
            self.tools[n].outstanding.front().filter(|o| now.since(o.1) >= PATIENCE)
        {
            let what = format!(
                "station {}: request {tid} ({:02x?}) got no answer in {} s",
                self.tools[n].script.address,
                head(pdu),
                PATIENCE.as_secs()
            );
            self.fail(&what);
        }
        self.tool_sends(n);
    }

    fn tool_reads(&mut self, n: usize, bytes: &[u8]) {
        let mut input = std::mem::take(&mut self.tools[n].input);
        input.extend_from_slice(bytes);
        let mut taken = 0;
        loop {
            match frame::first(&input[taken..]) {
                Ok(Some((reply, used))) => {
                    taken += used;
                    let pdu = reply.pdu.to_vec();
                    self.tool_answered(n, reply.tid, reply.unit, &pdu);
                }
                Ok(None) => break,
                Err(e) => {
                    self.fail(&format!("the gateway breaks the framing: {e}"));
                    break;
                }
            }
        }
        input.drain(..taken);
        self.tools[n].input = input;
    }

    fn tool_answered(&mut self, n: usize, tid: u16, unit: u8, pdu: &[u8]) {
        let tool = &mut self.tools[n];
        // What the standard gives no reply may be skipped; nothing else.
        while tool.outstanding.front().is_some_and(|o| o.3 && o.0 != tid) {
            tool.outstanding.pop_front();
        }
        let Some((expected, _, asked, _)) = tool.outstanding.pop_front() else {
            return self.fail("a reply nobody asked for");
        };
        if expected != tid || unit != UNIT || pdu[0] & 0x7F != asked[0] & 0x7F {
            let what =
                format!("reply {tid} ({:02x?}) where {expected} ({:02x?}) was due", head(pdu), head(&asked));
            return self.fail(&what);
        }
        if tool.watches {
            self.tally.reads_answered += 1;
            self.tally.positive_reads += u64::from(pdu[0] == 3);
            return;
        }
        let tool = &mut self.tools[n];
        if let Some(Act::Poll { pdu: poll, until }) = tool.script.acts.get(tool.next)
            && asked == *poll
        {
            let word = (pdu.len() == 4).then(|| u16::from_be_bytes([pdu[2], pdu[3]]));
            tool.polls += 1;
            if word.is_some_and(|w| until.contains(&w)) || tool.polls >= 60 {
                (tool.next, tool.polls) = (tool.next + 1, 0);
            }
            tool.idle_until = self.now + ms(100);
            return;
        }
        let again = pdu[0] & 0x80 != 0 && matches!(pdu.get(1), Some(6 | 0x0B));
        if pdu[0] & 0x80 != 0 && tool.script.polite && !again {
            tool.stopped = true;
        }
        let text = format!("station {} < {:02x?}", self.tools[n].script.address, head(pdu));
        self.note(&text);
    }

    fn tool_sends(&mut self, n: usize) {
        let now = self.now;
        loop {
            let cut = self.plan.cut;
            let tool = &mut self.tools[n];
            if tool.id.is_none() || now < tool.idle_until {
                return;
            }
            if tool.watches {
                if tool.outstanding.is_empty() {
                    tool.send(&[3, 0, 0, 0, 2], now, cut, &mut self.random);
                    tool.idle_until = now + ms(if self.quiet { 1_000 } else { 300 });
                }
                return;
            }
            if tool.is_done() || tool.outstanding.len() >= tool.script.depth {
                return;
            }
            let Some(act) = tool.script.acts.get(tool.next).cloned() else { return };
            match act {
                Act::Ask(_, pdu) => {
                    tool.send(&pdu, now, cut, &mut self.random);
                    tool.next += 1;
                    if self.trace.is_some() {
                        let text = format!("station {} > {:02x?}", self.tools[n].script.address, head(&pdu));
                        self.note(&text);
                    }
                }
                Act::Poll { pdu, .. } => {
                    if !tool.outstanding.is_empty() {
                        return;
                    }
                    tool.send(&pdu, now, cut, &mut self.random);
                    return;
                }
                Act::Raw(bytes) => {
                    tool.to_gateway.push_back((now + ms(1), bytes));
                    tool.next += 1;
                    // Whatever follows is read at the wrong place: the conversation is over.
                    tool.script.acts.truncate(tool.next);
                    tool.outstanding.clear();
                    (tool.stopped, tool.deaf) = (true, true);
                    let at = now + ms(2);
                    tool.idle_until = at;
                    return;
                }
                Act::Reconnect => {
                    let id = tool.id.take();
                    tool.next += 1;
                    tool.hang_up();
                    tool.idle_until = now + ms(5);
                    if let Some(id) = id {
                        self.conduit.station_closed(id);
                        self.carry();
                    }
                    return;
                }
                Act::Wait(pause) => {
                    if !tool.outstanding.is_empty() {
                        return;
                    }
                    tool.next += 1;
                    tool.idle_until = now + ms(pause);
                    return;
                }
            }
        }
    }
}

impl Tool {
    fn new(script: Script, watches: bool, now: Mono) -> Tool {
        Tool {
            idle_until: now + script.starts,
            script,
            id: None,
            next: 0,
            polls: 0,
            outstanding: VecDeque::new(),
            to_gateway: VecDeque::new(),
            to_tool: VecDeque::new(),
            input: Vec::new(),
            tid: 100,
            watches,
            stopped: false,
            deaf: false,
        }
    }

    fn script_start(&self) -> Mono {
        if self.next == 0 && self.id.is_none() { self.idle_until } else { Mono(0) }
    }

    fn is_done(&self) -> bool {
        (self.stopped || self.next >= self.script.acts.len())
            && self.outstanding.is_empty()
            && self.to_gateway.is_empty()
    }

    fn wakes(&self) -> Option<Mono> {
        let wire = [self.to_gateway.front(), self.to_tool.front()];
        let wire = wire.into_iter().flatten().map(|w| w.0).min();
        let patience = self.outstanding.front().map(|o| o.1 + PATIENCE);
        let room = self.outstanding.len() < self.script.depth && (self.watches || !self.is_done());
        let acts = (room && !self.stopped && (self.outstanding.is_empty() || !self.watches))
            .then_some(self.idle_until)
            .filter(|_| self.outstanding.is_empty() || self.id.is_none());
        [wire, patience, acts].into_iter().flatten().min()
    }

    fn send(&mut self, pdu: &[u8], now: Mono, cut: bool, random: &mut Random) {
        self.tid = self.tid.wrapping_add(1);
        let mut adu = Vec::new();
        frame::append(&mut adu, self.tid, UNIT, pdu);
        let silent = pdu[0] == 8;
        self.outstanding.push_back((self.tid, now, pdu.to_vec(), silent));
        let half = if cut { random.below(adu.len() as u64) as usize } else { 0 };
        let rest = adu.split_off(half);
        if half > 0 {
            self.to_gateway.push_back((now + ms(1), adu));
        }
        self.to_gateway.push_back((now + ms(1 + u64::from(half > 0)), rest));
    }

    fn hang_up(&mut self) {
        self.id = None;
        self.outstanding.clear();
        self.to_gateway.clear();
        self.to_tool.clear();
        self.input.clear();
    }
}

fn conduit(plan: &Plan, now: Mono) -> Conduit {
    let rule = |functions: Functions, addresses| Rule { unit: UNIT, functions, addresses, stations: vec![] };
    let allow = AllowList::new(vec![
        rule(Functions::reads(), vec![]),
        rule([5, 6, 15, 16, 22, 23].into_iter().collect(), vec![std::ops::Range { start: 0, end: 100 }]),
    ]);
    let settings = Settings {
        unit: UNIT,
        way: plan.way,
        enforce: plan.enforce,
        max_stations: 8,
        safety: false,
        max_per_address: 8,
        longest_transfer: Duration::from_secs(3600),
        in_flight: plan.in_flight,
        reply: REPLY,
        poll_every: plan.poll.then_some(Duration::from_secs(2)),
    };
    let mut conduit = Conduit::new(settings, allow, Some(Update::new(profile(plan.kind), vec![])), now);
    if plan.poll {
        let watched = |address, every| Watched { function: 4, address, every };
        conduit.watch(vec![watched(40, ms(700)), watched(3, Duration::from_secs(3))], now);
    }
    conduit
}

/// Whether flash holds exactly `build`, filled up with 0xFF to less than one block.
fn is_build(image: &[u8], build: &[u8]) -> bool {
    image.len() >= build.len() && image.len() - build.len() < 136 && fits(build, 0, image)
}

/// Whether `data` is what `build`, filled up with 0xFF, has at `offset`.
fn fits(build: &[u8], offset: usize, data: &[u8]) -> bool {
    let end = offset + data.len();
    let inside = build.get(offset.min(build.len())..end.min(build.len())).unwrap_or_default();
    end < build.len() + 136 && data.starts_with(inside) && data[inside.len()..].iter().all(|b| *b == 0xFF)
}

fn head(pdu: &[u8]) -> &[u8] {
    &pdu[..pdu.len().min(12)]
}

fn brief(answer: &Answer) -> String {
    match answer {
        Answer::Opened { case, released } => format!("opened {case}, {} released", released.len()),
        Answer::Commit => "commit".into(),
        Answer::Deliver(_) => "deliver".into(),
        Answer::Recorded => "recorded".into(),
        Answer::Refused(r) => format!("refused {}", r.code),
    }
}

fn brief_question(question: &gateway::transfer::event::Question) -> String {
    let text = format!("{question:?}");
    text.chars().take(160).collect()
}

/// Longer than any request may wait: a held step, a judge that is slow, a delivery.
const PATIENCE: Duration = Duration::from_secs(100);
