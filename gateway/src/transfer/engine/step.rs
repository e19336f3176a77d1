//! Steps of a transfer as a station sends them: each gets one decision.

use hal::clock::Mono;

use super::staging::{Staging, incomplete, keep_equal, too_large, within};
use super::{Deciding, Engine, Event, State, Way};
use crate::reasons as why;
use crate::transfer::coverage::Coverage;
use crate::transfer::event::{AbortReason, Decision, Outcome, Question, Station};
use crate::transfer::image::Released;

impl Engine {
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
        // Whoever held the controller too long lets others have a turn first.
        if let State::Refused { owner, refusal } = &self.state
            && (again || refusal.code == why::TRANSFER_TOO_LONG)
            && *owner == from
        {
            return self.or_pass(Decision::Refuse(refusal.clone()));
        }
        self.last_step = now;
        match &mut self.state {
            State::Opening { .. } => self.hold_or_pass(),
            State::Matching { landed, declared: known, passed, open, .. } if !(first && landed.end() > 0) => {
                // What the controller makes of bytes it got before is its own affair: all are due again.
                (*landed, *passed, *open) = (Coverage::default(), true, false);
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
            State::Staging(s) => {
                match s.must_equal(offset, data, &settings).and_then(|()| s.take(offset, data, &settings)) {
                    Ok(()) => self.after_chunk(now),
                    Err(refusal) => self.reject(from, refusal, now),
                }
            }
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

    pub(super) fn begin(&mut self, from: Station, declared: Option<u64>, now: Mono) -> Decision {
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
        if self.case().is_none() {
            self.began = now;
        } else {
            self.end(Outcome::Aborted(AbortReason::Replaced), State::Idle);
        }
        let early = (!self.settings.enforce).then(|| Box::new(Staging::new(from, declared)));
        self.go(State::Opening { owner: from, since: now, early, committed: false });
        self.ask(Question::Open { station: from, declared, observe: !self.settings.enforce });
        self.hold_or_pass()
    }

    /// After a staged chunk: an implicit commit is due when the image equals a released one.
    pub(super) fn after_chunk(&mut self, now: Mono) -> Decision {
        if self.settings.implicit_commit
            && let State::Staging(s) = &self.state
            && s.equals_a_released(self.settings.padding)
        {
            return self.ask_judge(now);
        }
        self.staged()
    }

    pub(super) fn commit_matched(&mut self, from: Station, now: Mono) -> Decision {
        let State::Matching { case, released, landed, declared, .. } = &mut self.state else {
            return self.no_transfer(from);
        };
        let case = *case;
        let whole =
            |r: &Released| landed.is_whole(r.image.len()) && declared.is_none_or(|d| d == r.image.len());
        match released.iter().find(|r| whole(r)) {
            Some(r) => {
                let digest = r.warrant.digest();
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

    pub(super) fn commit_staged(&mut self, from: Station, now: Mono) -> Decision {
        let State::Staging(s) = &self.state else { return self.no_transfer(from) };
        let len = s.image_len(self.settings.padding);
        if s.seen.is_whole(len) {
            return self.ask_judge(now);
        }
        let refusal = incomplete(&s.seen, s.declared, s.case);
        self.reject(from, refusal, now)
    }

    pub(super) fn ask_judge(&mut self, now: Mono) -> Decision {
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
}
