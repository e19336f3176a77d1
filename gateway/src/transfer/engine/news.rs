//! What comes back: answers of the judge and of the controller, lost peers, deadlines.

use std::ops::Range;
use std::time::Duration;

use hal::clock::Mono;

use super::staging::{Staging, nothing_released};
use super::{Deciding, Engine, Event, State, Way};
use crate::reasons as why;
use crate::transfer::coverage::Coverage;
use crate::transfer::event::{AbortReason, Answer, CaseId, Outcome, Question, Refusal, Station};
use crate::transfer::image::Released;

impl Engine {
    /// The controller has answered a forwarded opening step, or did not (`accepted` false).
    pub fn open_answered(&mut self, accepted: bool) {
        if let State::Matching { open, .. } = &mut self.state {
            *open = accepted;
        }
    }

    /// The controller has accepted a forwarded chunk, these bytes of the image.
    pub fn chunk_landed(&mut self, bytes: Range<u64>) {
        if let State::Matching { landed, .. } = &mut self.state {
            // A transfer too scattered to be kept has gaps, so its commit is refused.
            let _ = landed.add(bytes);
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
            // Only observed: the judge has closed the case, and what the controller does is its own affair.
            (State::Deciding { owner, what: Deciding::Judge, .. }, Answer::Recorded) => {
                self.state = State::Done { owner };
            }
            (State::Deciding { what: Deciding::JudgeLeft, .. }, Answer::Recorded) => {}
            (State::Deciding { case, what: Deciding::JudgeLeft, .. }, Answer::Deliver(_)) => {
                self.left_ready(case);
            }
            (State::Deciding { owner, case, what: Deciding::Start(released), .. }, Answer::Recorded) => {
                self.state = State::Delivering { owner: Some(owner), case, asked: None };
                self.events.push(Event::Deliver(case, *released));
            }
            (State::Deciding { owner, case, what, .. }, Answer::Refused(refusal)) => {
                if matches!(what, Deciding::Commit) {
                    self.events.push(Event::AbortController); // only an opened controller gets this far
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
            self.abort_controller();
            self.end(Outcome::Aborted(AbortReason::GateShut), State::Refused { owner, refusal });
        } else if let State::Staging(s) = &self.state {
            let owner = s.owner;
            self.end(Outcome::Aborted(AbortReason::GateShut), State::Refused { owner, refusal });
        }
    }

    /// The last connection of `station` has closed.
    pub fn station_gone(&mut self, station: Station) {
        // Gathering and matching go on until the idle deadline: some tools connect anew for each request.
        let State::Deciding { owner, case, what, .. } = &mut self.state else { return };
        if *owner != station {
            return;
        }
        match what {
            Deciding::Judge => *what = Deciding::JudgeLeft,
            Deciding::Start(_) => {
                let case = *case;
                self.left_ready(case);
            }
            Deciding::Commit | Deciding::JudgeLeft => {}
        }
    }

    /// The image could be delivered, and nobody waits for it.
    fn left_ready(&mut self, case: CaseId) {
        self.ask_end(case, Outcome::Ready("the station went away before delivery began".into()), None);
        self.go(State::Idle);
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
            State::Matching { .. } | State::Staging(_) => {
                Some((self.last_step + self.settings.idle).min(self.began + self.settings.longest))
            }
            State::Committing { .. } | State::Done { .. } | State::Refused { .. } => {
                Some(self.last_step + self.settings.idle)
            }
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
            State::Matching { owner, .. } | State::Staging(Staging { owner, .. })
                if now >= self.began + self.settings.longest =>
            {
                let owner = *owner;
                let refusal = self.too_long();
                self.reject(owner, refusal, now);
            }
            State::Matching { .. } => {
                self.abort_controller();
                self.end(Outcome::Aborted(AbortReason::StationSilent), State::Idle);
            }
            State::Committing { .. } => self.controller_gone(),
            State::Staging(_) => self.end(Outcome::Aborted(AbortReason::StationSilent), State::Idle),
            State::Done { .. } | State::Refused { .. } => self.go(State::Idle),
            State::Idle => {}
        }
    }

    pub(super) fn opened(
        &mut self,
        owner: Station,
        case: CaseId,
        released: Vec<Released>,
        early: Option<Box<Staging>>,
    ) {
        let matching = self.settings.way == Way::Match && self.settings.enforce;
        let by_itself = self.settings.implicit_commit && self.settings.enforce;
        if (matching || by_itself) && released.is_empty() {
            // The opening step must not pass when nothing may follow it, nor be acknowledged when no later
            // step could tell the station that its image went nowhere.
            let refusal = nothing_released(case);
            self.events.push(Event::Refused(owner, refusal.clone()));
            self.ask_end(case, Outcome::Refused(refusal.clone()), None);
            self.state = State::Refused { owner, refusal };
            return;
        }
        let digests = released.iter().map(|r| (r.warrant.digest(), r.image.len())).collect();
        let gathered = early.map_or_else(|| Staging::new(owner, None), |s| *s);
        self.state = if matching {
            let landed = Coverage::default();
            State::Matching { owner, case, released, landed, declared: None, passed: false, open: false }
        } else {
            let only = if by_itself { released } else { Vec::new() };
            State::Staging(Staging { case, released: digests, only, ..gathered })
        };
    }

    pub(super) fn start_or_leave(
        &mut self,
        owner: Station,
        case: CaseId,
        since: Mono,
        released: Released,
        now: Mono,
    ) {
        if !self.settings.enforce {
            return self.go(State::Idle);
        }
        if now.since(since) > self.settings.patience {
            self.ask_end(case, Outcome::Ready("the decision came after the tool's timeout".into()), None);
            return self.go(State::Idle);
        }
        let digest = released.warrant.digest();
        self.state = State::Deciding { owner, case, since: now, what: Deciding::Start(Box::new(released)) };
        self.ask(Question::Start { case, digest });
    }

    fn too_long(&self) -> Refusal {
        Refusal {
            code: why::TRANSFER_TOO_LONG,
            case: self.case(),
            found: format!("no commit after {} s", self.settings.longest.as_secs()),
            expected: "a transfer that is over by then".into(),
        }
    }

    pub(super) fn judge_silent(&self) -> Refusal {
        Refusal {
            code: why::JUDGE_SILENT,
            case: self.case(),
            found: format!("no decision within {} s", JUDGE_TIMEOUT.as_secs()),
            expected: "a verdict".into(),
        }
    }
}

/// Longest wait for the judge; a controller's own tool rarely waits longer for one reply.
const JUDGE_TIMEOUT: Duration = Duration::from_secs(5);
