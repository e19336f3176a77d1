//! The update engine of one controller: which step of a transfer passes, waits, or is refused.
//!
//! It knows no protocol and no judge: steps come in as calls, questions go out through
//! [`Engine::take_events`], answers come back through [`Engine::answer`]. After any of them the caller
//! presents a held step again; presenting a step twice is harmless.
//!
//! Invariant: in `enforce` an image byte is passed only when it equals the byte of a [`Released`] image at
//! its own offset, and a commit only when every byte of one such image has landed.

use std::time::Duration;

use firmware_verifier::Digest;
use hal::clock::Mono;

use super::coverage::Coverage;
use super::event::{AbortReason, Answer, CaseId, Decision, Outcome, Question, Refusal, Station};
use super::image::{Padding, Released};
use crate::reasons as why;

/// How images reach this controller (`docs/protocols.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Each chunk must equal a released image and passes at once.
    Match,
    /// The gateway gathers the image, then delivers it itself.
    Stage,
}

/// What never changes while the gateway runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The route's way.
    pub way: Way,
    /// False: everything passes, and what would have been refused is only reported.
    pub enforce: bool,
    /// Longest image in bytes.
    pub max_image: u64,
    /// How a tool fills its last block.
    pub padding: Padding,
    /// The controller commits by itself after the last block.
    pub implicit_commit: bool,
    /// The commit is answered before delivery, and the station polls for the result.
    pub commit_polls: bool,
    /// Longest silence of a station within a transfer.
    pub idle: Duration,
    /// Longest time a station's commit may wait for the gateway before the tool gives up.
    pub patience: Duration,
}

/// What the engine wants done.
#[derive(Debug)]
pub enum Event {
    /// Carry this to the judge; the number comes back with the answer.
    Ask(u32, Question),
    /// Deliver this image to the controller.
    Deliver(CaseId, Released),
    /// The point of no return is on disk: delivery may go on.
    GoOn,
    /// Send the profile's abort to the controller.
    AbortController,
    /// Give up the delivery that waits for [`Event::GoOn`]; [`Engine::delivery_ended`] follows.
    GiveUp(Refusal),
    /// A refusal to count and report.
    Refused(Station, Refusal),
}

/// The engine of one controller slot.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    state: State,
    shut: Option<Refusal>,
    asked: u32,
    last_step: Mono,
    events: Vec<Event>,
    version: u64,
}

#[derive(Debug)]
enum State {
    Idle,
    Opening {
        owner: Station,
        since: Mono,
        /// While only observing nothing waits for the case: what passes is gathered here.
        early: Option<Box<Staging>>,
        /// The commit has passed as well.
        committed: bool,
    },
    Matching {
        owner: Station,
        case: CaseId,
        released: Vec<Released>,
        landed: Coverage,
        declared: Option<u64>,
        /// The controller has accepted the last opening step: what it holds is known.
        open: bool,
    },
    Staging(Staging),
    /// The judge has been asked; a step waits.
    Deciding {
        owner: Station,
        case: CaseId,
        since: Mono,
        what: Deciding,
    },
    /// The commit has been passed on; the controller has not answered yet.
    Committing {
        owner: Station,
        case: CaseId,
    },
    Delivering {
        owner: Option<Station>,
        case: CaseId,
        /// Since when the judge has been asked to record the point of no return.
        asked: Option<Mono>,
    },
    Done {
        owner: Station,
    },
    Refused {
        owner: Station,
        refusal: Refusal,
    },
}

/// An image being gathered.
#[derive(Debug)]
struct Staging {
    owner: Station,
    case: CaseId,
    released: Vec<(Digest, u64)>,
    image: Vec<u8>,
    seen: Coverage,
    declared: Option<u64>,
}

#[derive(Debug)]
enum Deciding {
    /// `match`: may the commit pass?
    Commit,
    /// `stage`: is this image released?
    Judge,
    /// `stage`: write down that delivery begins.
    Start(Box<Released>),
}

impl Engine {
    /// An engine with no transfer open.
    pub fn new(settings: Settings) -> Engine {
        Engine {
            settings,
            state: State::Idle,
            shut: None,
            asked: 0,
            last_step: Mono(0),
            events: Vec::new(),
            version: 0,
        }
    }

    /// Whether [`Engine::take_events`] would return anything.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What to do next; call after every other method.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Changes whenever a held step may get another decision.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether a delivery by the gateway is running.
    pub fn is_delivering(&self) -> bool {
        matches!(self.state, State::Delivering { .. })
    }

    /// Whether the gateway speaks for the controller towards `station`.
    pub fn is_staging(&self, station: Station) -> bool {
        self.settings.way == Way::Stage && self.settings.enforce && self.owner() == Some(station)
    }

    /// The phase a staged transfer shows to a tool that polls.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Idle | State::Opening { .. } => Phase::Idle,
            State::Staging(s) if s.seen.end() == 0 => Phase::Open,
            State::Staging(_) | State::Matching { .. } => Phase::Receiving,
            State::Deciding { .. } | State::Committing { .. } | State::Delivering { .. } => Phase::Busy,
            State::Done { .. } => Phase::Success,
            State::Refused { .. } => Phase::Failed,
        }
    }

    /// The case now open, if any.
    pub fn case(&self) -> Option<CaseId> {
        match &self.state {
            State::Matching { case, .. }
            | State::Deciding { case, .. }
            | State::Committing { case, .. }
            | State::Delivering { case, .. } => Some(*case),
            State::Staging(s) => Some(s.case),
            State::Idle | State::Opening { .. } | State::Done { .. } | State::Refused { .. } => None,
        }
    }

    /// The station whose transfer is open.
    pub fn owner(&self) -> Option<Station> {
        match &self.state {
            State::Idle => None,
            State::Opening { owner, .. }
            | State::Matching { owner, .. }
            | State::Deciding { owner, .. }
            | State::Committing { owner, .. }
            | State::Done { owner }
            | State::Refused { owner, .. } => Some(*owner),
            State::Staging(s) => Some(s.owner),
            State::Delivering { owner, .. } => *owner,
        }
    }

    /// A step that opens a transfer. `first`: it is the first such step of the profile, so after image
    /// bytes it begins another transfer. `declared`: announced size in bytes. `again`: the step has been held
    /// before, so a refusal meanwhile is meant for it.
    pub fn open(
        &mut self,
        from: Station,
        first: bool,
        declared: Option<u64>,
        again: bool,
        now: Mono,
    ) -> Decision {
        if let Some(refusal) = self.foreign(from) {
            return self.refuse(from, refusal);
        }
        if let State::Refused { owner, refusal } = &self.state
            && again
            && *owner == from
        {
            return self.or_pass(Decision::Refuse(refusal.clone()));
        }
        self.last_step = now;
        match &mut self.state {
            State::Opening { .. } => self.hold_or_pass(),
            State::Matching { landed, declared: known, open, .. } if !(first && landed.end() > 0) => {
                // What the controller makes of bytes it got before is its own affair: all are due again.
                (*landed, *open) = (Coverage::default(), false);
                *known = declared.or(*known);
                Decision::Pass
            }
            State::Staging(s) if !(first && s.seen.end() > 0) => {
                s.start_over(declared);
                self.staged()
            }
            State::Deciding { .. } | State::Committing { .. } | State::Delivering { .. } => {
                let refusal = self.busy();
                self.refuse(from, refusal)
            }
            _ => self.begin(from, declared, now),
        }
    }

    /// Image bytes at `offset`.
    pub fn chunk(&mut self, from: Station, offset: u64, data: &[u8], now: Mono) -> Decision {
        if let Some(refusal) = self.foreign(from) {
            return self.refuse(from, refusal);
        }
        self.last_step = now;
        let settings = self.settings;
        match &mut self.state {
            State::Opening { early, .. } => {
                if let Some(Err(refusal)) = early.as_mut().map(|s| s.take(offset, data, &settings)) {
                    *early = None;
                    self.events.push(Event::Refused(from, refusal));
                }
                self.hold_or_pass()
            }
            State::Matching { open: false, .. } => self.no_transfer(from),
            State::Matching { case, released, declared, .. } => {
                let end = offset.saturating_add(data.len() as u64);
                let verdict = within(end, *declared, &settings, *case)
                    .and_then(|()| keep_equal(released, offset, data, &settings, *case));
                match verdict {
                    Ok(()) => Decision::Pass,
                    Err(refusal) => self.reject(from, refusal, now),
                }
            }
            State::Staging(s) => match s.take(offset, data, &settings) {
                Ok(()) => self.after_chunk(now),
                Err(refusal) => self.reject(from, refusal, now),
            },
            State::Deciding { .. } | State::Delivering { .. } if settings.implicit_commit => Decision::Hold,
            State::Done { .. } if settings.implicit_commit => self.staged(),
            _ => self.no_transfer(from),
        }
    }

    /// A step within a transfer that carries no image bytes: a block number, "flash this block".
    pub fn control(&mut self, from: Station, now: Mono) -> Decision {
        if let Some(refusal) = self.foreign(from) {
            return self.refuse(from, refusal);
        }
        self.last_step = now;
        match &self.state {
            State::Opening { .. } => self.hold_or_pass(),
            State::Matching { open: true, .. } => Decision::Pass,
            State::Staging(_) => self.staged(),
            _ => self.no_transfer(from),
        }
    }

    /// The step that makes the image take effect.
    pub fn commit(&mut self, from: Station, now: Mono) -> Decision {
        if let Some(refusal) = self.foreign(from) {
            return self.refuse(from, refusal);
        }
        self.last_step = now;
        match &mut self.state {
            State::Opening { committed, .. } => {
                *committed = true;
                self.hold_or_pass()
            }
            State::Matching { .. } => self.commit_matched(from, now),
            State::Staging(_) => self.commit_staged(from, now),
            State::Committing { .. } => Decision::Pass,
            State::Deciding { .. } => self.hold_or_pass(),
            State::Delivering { .. } if self.settings.commit_polls => Decision::Acknowledge,
            State::Delivering { .. } => Decision::Hold,
            State::Done { .. } if self.settings.way == Way::Stage => self.staged(),
            _ => self.no_transfer(from),
        }
    }

    /// A step that follows the commit, such as "start the new firmware".
    pub fn finish(&mut self, from: Station, now: Mono) -> Decision {
        if self.owner() == Some(from) {
            self.last_step = now;
        }
        match &self.state {
            State::Done { owner } if *owner == from && self.settings.way == Way::Stage => self.staged(),
            State::Done { owner } if *owner == from => Decision::Pass,
            State::Delivering { owner, .. } if *owner == Some(from) => Decision::Hold,
            _ => self.no_transfer(from),
        }
    }

    /// The station gives up.
    pub fn abort(&mut self, from: Station, now: Mono) -> Decision {
        if let Some(refusal) = self.foreign(from) {
            return self.refuse(from, refusal);
        }
        self.last_step = now;
        match &self.state {
            State::Matching { .. } => {
                self.end(Outcome::Aborted(AbortReason::Station), State::Idle);
                Decision::Pass
            }
            State::Staging(_) => {
                self.end(Outcome::Aborted(AbortReason::Station), State::Idle);
                self.staged()
            }
            State::Refused { .. } => {
                self.go(State::Idle);
                Decision::Acknowledge
            }
            State::Delivering { .. } | State::Deciding { .. } | State::Committing { .. } => {
                let refusal = self.busy();
                self.refuse(from, refusal)
            }
            _ => self.no_transfer(from),
        }
    }

    /// The controller has answered a forwarded opening step, or did not (`accepted` false).
    pub fn open_answered(&mut self, accepted: bool) {
        if let State::Matching { open, .. } = &mut self.state {
            *open = accepted;
        }
    }

    /// The controller has accepted a forwarded chunk.
    pub fn chunk_landed(&mut self, offset: u64, len: u64) {
        if let State::Matching { landed, .. } = &mut self.state {
            // A transfer too scattered to be kept has gaps, so its commit is refused.
            let _ = landed.add(offset..offset + len);
        }
    }

    /// The controller has answered a forwarded commit; `refused` is its exception code, if any.
    pub fn commit_answered(&mut self, refused: Option<u8>) {
        let State::Committing { owner, case } = self.state else { return };
        match refused {
            None => self.end(Outcome::Delivered, State::Done { owner }),
            Some(code) => {
                let refusal = Refusal {
                    code: why::CONTROLLER_REFUSED,
                    case: Some(case),
                    found: format!("exception {code:02X} to the commit"),
                    expected: "the controller to accept it".into(),
                };
                self.end(Outcome::Refused(refusal.clone()), State::Refused { owner, refusal });
            }
        }
    }

    /// The controller has not answered a forwarded commit: it may have taken effect or not.
    pub fn commit_lost(&mut self) {
        let State::Committing { owner, case } = self.state else { return };
        let refusal = Refusal {
            code: why::DELIVERY_UNCONFIRMED,
            case: Some(case),
            found: "no answer to the commit".into(),
            expected: "the controller to say that it took the image".into(),
        };
        self.end(Outcome::Refused(refusal.clone()), State::Refused { owner, refusal });
    }

    /// Delivers a released image without a station: by command, or after a restart.
    pub fn deliver(&mut self, case: CaseId, released: Released) -> Result<(), Refusal> {
        if !matches!(self.state, State::Idle | State::Done { .. } | State::Refused { .. }) {
            return Err(self.busy());
        }
        self.go(State::Delivering { owner: None, case, asked: None });
        self.events.push(Event::Deliver(case, released));
        Ok(())
    }

    /// Delivery stands before the step that destroys the old firmware; [`Event::GoOn`] follows, or
    /// [`Event::GiveUp`] when the judge cannot write it down.
    pub fn at_no_return(&mut self, now: Mono) {
        if let State::Delivering { case, asked, .. } = &mut self.state {
            *asked = Some(now);
            let case = *case;
            self.ask(Question::PastNoReturn { case });
        }
    }

    /// Delivery has ended: the controller runs the image, or gave up before the point of no return.
    pub fn delivery_ended(&mut self, outcome: Outcome) {
        let State::Delivering { owner, .. } = self.state else { return };
        let next = match (&outcome, owner) {
            (_, None) => State::Idle,
            (Outcome::Refused(refusal), Some(owner)) => State::Refused { owner, refusal: refusal.clone() },
            (Outcome::Aborted(_) | Outcome::Ready(_), Some(_)) => State::Idle,
            (Outcome::Delivered, Some(owner)) => State::Done { owner },
        };
        self.end(outcome, next);
    }

    /// The judge's answer to question `id`. An answer to a question that no longer counts changes nothing;
    /// a case it opened is closed again.
    pub fn answer(&mut self, id: u32, answer: Answer, now: Mono) {
        let counts = id == self.asked;
        if let Answer::Opened { case, .. } = &answer
            && !(counts && matches!(self.state, State::Opening { .. }))
        {
            return self.ask_end(*case, Outcome::Aborted(AbortReason::StationSilent), None);
        }
        if !counts {
            return;
        }
        self.version += 1;
        match (std::mem::replace(&mut self.state, State::Idle), answer) {
            (State::Opening { owner, early, committed, .. }, Answer::Opened { case, released }) => {
                self.last_step = now;
                self.opened(owner, case, released, early);
                match &self.state {
                    State::Staging(_) if committed => drop(self.commit_staged(owner, now)),
                    State::Staging(_) => drop(self.after_chunk(now)),
                    _ => {}
                }
            }
            (State::Opening { owner, .. }, Answer::Refused(refusal)) => {
                self.events.push(Event::Refused(owner, refusal.clone()));
                self.state = State::Refused { owner, refusal };
            }
            (State::Deciding { owner, case, what: Deciding::Commit, .. }, Answer::Commit) => {
                self.state = State::Committing { owner, case };
            }
            (State::Deciding { owner, case, since, what: Deciding::Judge }, Answer::Deliver(released)) => {
                self.start_or_leave(owner, case, since, released, now);
            }
            (State::Deciding { owner, case, what: Deciding::Start(released), .. }, Answer::Recorded) => {
                self.state = State::Delivering { owner: Some(owner), case, asked: None };
                self.events.push(Event::Deliver(case, *released));
            }
            (State::Deciding { owner, case, what, .. }, Answer::Refused(refusal)) => {
                if matches!(what, Deciding::Commit) {
                    self.events.push(Event::AbortController);
                }
                self.events.push(Event::Refused(owner, refusal.clone()));
                self.ask_end(case, Outcome::Refused(refusal.clone()), None);
                self.state = State::Refused { owner, refusal };
            }
            (State::Delivering { owner, case, asked: Some(_) }, Answer::Recorded) => {
                self.state = State::Delivering { owner, case, asked: None };
                self.events.push(Event::GoOn);
            }
            (State::Delivering { owner, case, asked: Some(_) }, Answer::Refused(refusal)) => {
                self.state = State::Delivering { owner, case, asked: None };
                self.events.push(Event::GiveUp(refusal));
            }
            (state, _) => self.state = state,
        }
    }

    /// The gate shut for `refusal`, or opened again. A running delivery goes on.
    pub fn gate(&mut self, shut: Option<Refusal>) {
        self.shut = shut;
        let Some(refusal) = self.shut.clone() else { return };
        if !self.settings.enforce {
            return;
        }
        if let State::Opening { owner, .. } | State::Matching { owner, .. } | State::Deciding { owner, .. } =
            self.state
        {
            if self.settings.way == Way::Match {
                self.events.push(Event::AbortController);
            }
            self.end(Outcome::Aborted(AbortReason::GateShut), State::Refused { owner, refusal });
        } else if let State::Staging(s) = &self.state {
            let owner = s.owner;
            self.end(Outcome::Aborted(AbortReason::GateShut), State::Refused { owner, refusal });
        }
    }

    /// Whether the gate is shut, and why.
    pub fn shut(&self) -> Option<&Refusal> {
        self.shut.as_ref()
    }

    /// The last connection of `station` has closed.
    pub fn station_gone(&mut self, station: Station) {
        // Gathering and matching go on until the idle deadline: some tools connect anew for each request.
        if let State::Deciding { owner, case, what, .. } = &self.state
            && *owner == station
            && matches!(what, Deciding::Judge | Deciding::Start(_))
        {
            let ready = Outcome::Ready("the station went away before delivery began".into());
            let case = *case;
            self.ask_end(case, ready, None);
            self.go(State::Idle);
        }
    }

    /// The connection to the controller broke. What has landed is unknown, so matching starts over.
    pub fn controller_gone(&mut self) {
        let (State::Matching { owner, .. }
        | State::Committing { owner, .. }
        | State::Deciding { owner, what: Deciding::Commit, .. }) = &self.state
        else {
            return;
        };
        let (owner, case) = (*owner, self.case());
        let refusal = Refusal {
            code: why::CONTROLLER_SILENT,
            case,
            found: "the connection to the controller broke".into(),
            expected: "one unbroken transfer; begin again".into(),
        };
        self.end(Outcome::Aborted(AbortReason::ControllerSilent), State::Refused { owner, refusal });
    }

    /// When to call [`Engine::expire`] next.
    pub fn deadline(&self) -> Option<Mono> {
        match &self.state {
            State::Idle => None,
            State::Delivering { asked, .. } => asked.map(|at| at + JUDGE_TIMEOUT),
            State::Opening { since, .. } | State::Deciding { since, .. } => Some(*since + JUDGE_TIMEOUT),
            _ => Some(self.last_step + self.settings.idle),
        }
    }

    /// Ends what has waited too long. Calling it early does nothing.
    pub fn expire(&mut self, now: Mono) {
        if self.deadline().is_none_or(|at| now < at) {
            return;
        }
        match &mut self.state {
            State::Delivering { asked, .. } => {
                *asked = None;
                let refusal = self.judge_silent();
                self.events.push(Event::GiveUp(refusal));
                self.asked += 1;
            }
            State::Opening { owner, .. } | State::Deciding { owner, .. } => {
                let owner = *owner;
                let refusal = self.judge_silent();
                self.events.push(Event::Refused(owner, refusal.clone()));
                self.asked += 1; // a late answer finds no question
                self.end(Outcome::Refused(refusal.clone()), State::Refused { owner, refusal });
            }
            State::Matching { .. } => {
                self.events.push(Event::AbortController);
                self.end(Outcome::Aborted(AbortReason::StationSilent), State::Idle);
            }
            State::Committing { .. } => self.controller_gone(),
            State::Staging(_) => self.end(Outcome::Aborted(AbortReason::StationSilent), State::Idle),
            State::Done { .. } | State::Refused { .. } => self.go(State::Idle),
            State::Idle => {}
        }
    }

    fn begin(&mut self, from: Station, declared: Option<u64>, now: Mono) -> Decision {
        if self.settings.enforce
            && let Some(refusal) = self.shut.clone()
        {
            return self.refuse(from, refusal);
        }
        if let Some(len) = declared
            && self.settings.enforce
            && (len == 0 || len > self.settings.max_image)
        {
            let refusal = too_large(len, self.settings.max_image, None);
            return self.refuse(from, refusal);
        }
        if self.case().is_some() {
            self.end(Outcome::Aborted(AbortReason::Replaced), State::Idle);
        }
        let early = (!self.settings.enforce).then(|| Box::new(Staging::new(from, declared)));
        self.go(State::Opening { owner: from, since: now, early, committed: false });
        self.ask(Question::Open { station: from, declared, observe: !self.settings.enforce });
        self.hold_or_pass()
    }

    fn opened(&mut self, owner: Station, case: CaseId, released: Vec<Released>, early: Option<Box<Staging>>) {
        let matching = self.settings.way == Way::Match && self.settings.enforce;
        if matching && released.is_empty() {
            // The opening step itself must not reach the controller when nothing may follow it.
            let refusal = nothing_released(case);
            self.events.push(Event::Refused(owner, refusal.clone()));
            self.ask_end(case, Outcome::Refused(refusal.clone()), None);
            self.state = State::Refused { owner, refusal };
            return;
        }
        self.state = if matching {
            let landed = Coverage::default();
            State::Matching { owner, case, released, landed, declared: None, open: false }
        } else {
            let released = released.iter().map(|r| (r.verified.digest(), r.image.len())).collect();
            let gathered = early.map_or_else(|| Staging::new(owner, None), |s| *s);
            State::Staging(Staging { case, released, ..gathered })
        };
    }

    /// After a staged chunk: an implicit commit is due when the image equals a released one.
    fn after_chunk(&mut self, now: Mono) -> Decision {
        if self.settings.implicit_commit
            && let State::Staging(s) = &self.state
            && s.equals_a_released(self.settings.padding)
        {
            return self.ask_judge(now);
        }
        self.staged()
    }

    fn commit_matched(&mut self, from: Station, now: Mono) -> Decision {
        let State::Matching { case, released, landed, declared, .. } = &mut self.state else {
            return self.no_transfer(from);
        };
        let case = *case;
        let whole =
            |r: &Released| landed.is_whole(r.image.len()) && declared.is_none_or(|d| d == r.image.len());
        match released.iter().find(|r| whole(r)) {
            Some(r) => {
                let digest = r.verified.digest();
                self.go(State::Deciding { owner: from, case, since: now, what: Deciding::Commit });
                self.ask(Question::Commit { case, digest });
                Decision::Hold
            }
            None => {
                let refusal = incomplete(landed, released.first().map(|r| r.image.len()), case);
                self.reject(from, refusal, now)
            }
        }
    }

    fn commit_staged(&mut self, from: Station, now: Mono) -> Decision {
        let State::Staging(s) = &self.state else { return self.no_transfer(from) };
        let len = s.image_len(self.settings.padding);
        if s.seen.is_whole(len) {
            return self.ask_judge(now);
        }
        let refusal = incomplete(&s.seen, s.declared, s.case);
        self.reject(from, refusal, now)
    }

    fn ask_judge(&mut self, now: Mono) -> Decision {
        let State::Staging(s) = std::mem::replace(&mut self.state, State::Idle) else {
            return Decision::Hold;
        };
        let len = usize::try_from(s.image_len(self.settings.padding)).unwrap_or(usize::MAX);
        let (owner, case, mut image) = (s.owner, s.case, s.image);
        image.truncate(len);
        self.go(State::Deciding { owner, case, since: now, what: Deciding::Judge });
        self.ask(Question::Judge { case, image, observe: !self.settings.enforce });
        self.hold_or_pass()
    }

    fn start_or_leave(&mut self, owner: Station, case: CaseId, since: Mono, released: Released, now: Mono) {
        if !self.settings.enforce {
            return self.go(State::Idle);
        }
        if now.since(since) > self.settings.patience {
            self.ask_end(case, Outcome::Ready("the decision came after the tool's timeout".into()), None);
            return self.go(State::Idle);
        }
        let digest = released.verified.digest();
        self.state = State::Deciding { owner, case, since: now, what: Deciding::Start(Box::new(released)) };
        self.ask(Question::Start { case, digest });
    }

    fn judge_silent(&self) -> Refusal {
        Refusal {
            code: why::JUDGE_SILENT,
            case: self.case(),
            found: format!("no decision within {} s", JUDGE_TIMEOUT.as_secs()),
            expected: "a verdict".into(),
        }
    }

    /// Refuses `from` when another station's transfer is open.
    fn foreign(&self, from: Station) -> Option<Refusal> {
        match (&self.state, self.owner()) {
            (State::Done { .. } | State::Refused { .. } | State::Idle, _) => None,
            (_, Some(owner)) if owner == from => None,
            _ => Some(self.busy()),
        }
    }

    fn busy(&self) -> Refusal {
        Refusal {
            code: why::TRANSFER_BUSY,
            case: self.case(),
            found: "a step of another transfer".into(),
            expected: match self.owner() {
                Some(owner) => format!("one transfer at a time; {owner} has one open"),
                None => "one transfer at a time; the gateway is delivering".into(),
            },
        }
    }

    fn no_transfer(&mut self, from: Station) -> Decision {
        let refusal = match &self.state {
            State::Refused { refusal, .. } => return self.or_pass(Decision::Refuse(refusal.clone())),
            _ => Refusal {
                code: why::NO_TRANSFER,
                case: None,
                found: "a step of a transfer that is not open".into(),
                expected: "the profile's opening step first".into(),
            },
        };
        self.refuse(from, refusal)
    }

    /// Refuses one step; the transfer, if any, goes on.
    fn refuse(&mut self, from: Station, refusal: Refusal) -> Decision {
        self.events.push(Event::Refused(from, refusal.clone()));
        self.or_pass(Decision::Refuse(refusal))
    }

    /// Refuses a step and ends its transfer.
    fn reject(&mut self, from: Station, refusal: Refusal, now: Mono) -> Decision {
        self.last_step = now;
        self.events.push(Event::Refused(from, refusal.clone()));
        if matches!(self.state, State::Matching { .. }) && self.settings.enforce {
            self.events.push(Event::AbortController);
        }
        self.end(Outcome::Refused(refusal.clone()), State::Refused { owner: from, refusal: refusal.clone() });
        self.or_pass(Decision::Refuse(refusal))
    }

    fn hold_or_pass(&self) -> Decision {
        self.or_pass(Decision::Hold)
    }

    fn staged(&self) -> Decision {
        self.or_pass(Decision::Acknowledge)
    }

    /// While only watching everything passes, except into a delivery of our own.
    fn or_pass(&self, decision: Decision) -> Decision {
        if self.settings.enforce || self.is_delivering() { decision } else { Decision::Pass }
    }

    /// Ends the open case, if there is one, and moves on.
    fn end(&mut self, outcome: Outcome, next: State) {
        let case = self.case();
        let image = match std::mem::replace(&mut self.state, State::Idle) {
            State::Staging(s) if matches!(outcome, Outcome::Refused(_)) => Some(s.image),
            _ => None,
        };
        if let Some(case) = case {
            self.ask_end(case, outcome, image);
        }
        self.go(next);
    }

    fn ask_end(&mut self, case: CaseId, outcome: Outcome, image: Option<Vec<u8>>) {
        self.events.push(Event::Ask(0, Question::End { case, outcome, image }));
    }

    fn ask(&mut self, question: Question) {
        self.asked = self.asked.wrapping_add(1).max(1);
        self.events.push(Event::Ask(self.asked, question));
    }

    fn go(&mut self, state: State) {
        self.state = state;
        self.version += 1;
    }
}

/// What a tool that polls a staged transfer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No transfer.
    Idle,
    /// Open, no bytes yet.
    Open,
    /// Blocks are arriving.
    Receiving,
    /// Verifying or delivering.
    Busy,
    /// The controller runs the new image.
    Success,
    /// Refused.
    Failed,
}

impl Staging {
    /// Nothing gathered, for a case that has no number yet.
    fn new(owner: Station, declared: Option<u64>) -> Staging {
        let (image, seen) = (Vec::new(), Coverage::default());
        Staging { owner, case: CaseId(0), released: Vec::new(), image, seen, declared }
    }

    /// Another opening step: the controller would begin at the first byte again.
    fn start_over(&mut self, declared: Option<u64>) {
        self.image.clear();
        self.seen = Coverage::default();
        self.declared = declared.or(self.declared);
    }

    /// Stores a chunk; different bytes for the same place are an attack.
    fn take(&mut self, offset: u64, data: &[u8], settings: &Settings) -> Result<(), Refusal> {
        let end = offset.saturating_add(data.len() as u64);
        within(end, self.declared, settings, self.case)?;
        for range in self.seen.seen(offset..end) {
            let old = &self.image[range.start as usize..range.end as usize];
            let new = &data[(range.start - offset) as usize..(range.end - offset) as usize];
            if let Some(i) = (0..old.len()).find(|&i| old[i] != new[i]) {
                return Err(Refusal {
                    code: why::OVERLAP_DIFFERS,
                    case: Some(self.case),
                    found: format!("byte {:#04x} at offset {}", new[i], range.start + i as u64),
                    expected: format!("{:#04x}, as sent before", old[i]),
                });
            }
        }
        if self.seen.add(offset..end).is_err() {
            return Err(Refusal {
                code: why::TOO_SCATTERED,
                case: Some(self.case),
                found: format!("more than {} separate pieces", Coverage::MAX_RANGES),
                expected: "blocks that join".into(),
            });
        }
        let end = end as usize; // bounded by max_image above
        if self.image.len() < end {
            self.image.resize(end, 0);
        }
        self.image[offset as usize..end].copy_from_slice(data);
        Ok(())
    }

    /// The image's length without the fill of its last block.
    fn image_len(&self, padding: Padding) -> u64 {
        let end = self.seen.end();
        self.declared.unwrap_or_else(|| {
            let fits = |len: &u64| {
                *len <= end && end - len < padding.granule.max(1) && self.is_padding(*len, padding)
            };
            self.released.iter().map(|(_, len)| *len).filter(fits).max().unwrap_or(end)
        })
    }

    fn is_padding(&self, from: u64, padding: Padding) -> bool {
        self.image.get(from as usize..).is_some_and(|tail| tail.iter().all(|b| *b == padding.byte))
    }

    fn equals_a_released(&self, padding: Padding) -> bool {
        let len = self.image_len(padding);
        self.seen.is_whole(len)
            && self
                .released
                .iter()
                .any(|(digest, l)| *l == len && Digest::of(&self.image[..len as usize]) == *digest)
    }
}

/// Keeps the candidates that equal the chunk; refuses when none does.
fn keep_equal(
    released: &mut Vec<Released>,
    offset: u64,
    data: &[u8],
    settings: &Settings,
    case: CaseId,
) -> Result<(), Refusal> {
    let mut first = None;
    let mut equal: Vec<bool> = Vec::with_capacity(released.len());
    for r in released.iter_mut() {
        let outcome = r.compare(offset, data, settings.padding);
        equal.push(outcome.is_ok());
        first = first.or(outcome.err());
    }
    match first {
        Some(mismatch) if !equal.contains(&true) => Err(mismatch.refusal(Some(case))),
        None if equal.is_empty() => Err(nothing_released(case)),
        _ => {
            let mut keep = equal.into_iter();
            released.retain(|_| keep.next() == Some(true));
            Ok(())
        }
    }
}

fn nothing_released(case: CaseId) -> Refusal {
    Refusal {
        code: why::NOTHING_RELEASED,
        case: Some(case),
        found: "an image".into(),
        expected: "an image released for this controller".into(),
    }
}

fn within(end: u64, declared: Option<u64>, settings: &Settings, case: CaseId) -> Result<(), Refusal> {
    let limit = declared.map_or(settings.max_image, |d| d + settings.padding.granule.saturating_sub(1));
    if end <= limit.min(settings.max_image + settings.padding.granule) {
        Ok(())
    } else {
        Err(too_large(end, limit, Some(case)))
    }
}

fn too_large(found: u64, limit: u64, case: Option<CaseId>) -> Refusal {
    Refusal {
        code: why::IMAGE_TOO_LARGE,
        case,
        found: format!("{found} bytes"),
        expected: format!("1 to {limit} bytes"),
    }
}

fn incomplete(seen: &Coverage, len: Option<u64>, case: CaseId) -> Refusal {
    Refusal {
        code: why::INCOMPLETE,
        case: Some(case),
        found: format!("a commit with byte {} missing", seen.first_gap()),
        expected: match len {
            Some(len) => format!("all {len} bytes first"),
            None => "every byte first".into(),
        },
    }
}

/// Longest wait for the judge; a controller's own tool rarely waits longer for one reply.
const JUDGE_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
pub(crate) mod tests;
