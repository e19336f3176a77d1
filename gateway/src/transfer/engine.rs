//! The update engine of one controller: which step of a transfer passes, waits, or is refused.
//!
//! It knows no protocol and no judge: steps come in as calls, questions go out through
//! [`Engine::take_events`], answers come back through [`Engine::answer`]. After any of them the caller
//! presents a held step again; presenting a step twice is harmless.
//!
//! Invariant: in `enforce` an image byte is passed only when it equals the byte of a [`Released`] image at
//! its own offset, and a commit only when every byte of one such image has landed.

use std::time::Duration;

use hal::clock::Mono;

use super::coverage::Coverage;
use super::event::{CaseId, Decision, Outcome, Question, Refusal, Station};
use super::image::{Padding, Released};
use crate::reasons as why;

mod news;
mod staging;
mod step;

use staging::Staging;

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
    /// Longest transfer from its first step to its commit. It holds no commit and no delivery up.
    pub longest: Duration,
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
    /// Since when a station holds this controller; beginning anew does not make it later.
    began: Mono,
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
        /// An opening step has passed: the controller may have something to give up.
        passed: bool,
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

#[derive(Debug)]
enum Deciding {
    /// `match`: may the commit pass?
    Commit,
    /// `stage`: is this image released?
    Judge,
    /// As `Judge`, and the station has gone: the case gets its verdict, the controller nothing.
    JudgeLeft,
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
            began: Mono(0),
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

    /// Whether the gate is shut, and why.
    pub fn shut(&self) -> Option<&Refusal> {
        self.shut.as_ref()
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
        self.abort_controller();
        self.end(Outcome::Refused(refusal.clone()), State::Refused { owner: from, refusal: refusal.clone() });
        self.or_pass(Decision::Refuse(refusal))
    }

    /// Sends the profile's abort to a controller in which an update has been opened and not committed.
    fn abort_controller(&mut self) {
        let opened = match &self.state {
            State::Matching { passed, .. } => *passed,
            State::Deciding { what, .. } => matches!(what, Deciding::Commit),
            _ => false,
        };
        if opened && self.settings.enforce {
            self.events.push(Event::AbortController);
        }
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

#[cfg(test)]
pub(crate) mod tests;
