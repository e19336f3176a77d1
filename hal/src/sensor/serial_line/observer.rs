//! Requests and answers on one line: what each unit does, and what goes wrong.
//!
//! Modbus has one conversation at a time, so an answer belongs to the last request. The observer knows no
//! register and no function: only who spoke, when, and whether it was whole.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rtu::{Frame, Framer};
use super::{Counters, Line};
use crate::clock::Mono;

/// Units that are kept count of: every address there is.
pub const MAX_UNITS: usize = 256;

/// Who sent a piece of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that asks.
    Station,
    /// The units that answer.
    Units,
}

/// One thing that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Mono,
    /// The unit that it is about; `None` when the line as a whole is meant.
    pub unit: Option<u8>,
    /// What.
    pub seen: Seen,
}

/// What can be seen on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen {
    /// A whole request.
    Request {
        /// Its function code.
        function: u8,
    },
    /// A whole answer, exceptions included: nanoseconds from the end of the request to its first character.
    Turnaround(u64),
    /// A whole answer that was read together with its request, so that nobody can say when it began.
    Untimed,
    /// The longest silence inside an answer that came in several pieces, in nanoseconds.
    Gap(u64),
    /// An exception answer and its code.
    Exception(u8),
    /// A frame with a wrong CRC, too short or too long. A request's unit is not believed.
    Broken(Side),
    /// The station sent the same request again before an answer came.
    Retry,
    /// No answer came in time. Told once for each request.
    Timeout,
    /// A whole answer that nobody had asked for, or from another unit than was asked.
    Stranger,
    /// What the kernel's driver has newly counted.
    Counted(Counters),
}

/// Sums over one unit since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "named as in `Seen`")]
pub struct Totals {
    pub requests: u64,
    pub answers: u64,
    pub exceptions: u64,
    pub broken: u64,
    pub retries: u64,
    pub timeouts: u64,
    pub strangers: u64,
}

/// Watches one line.
#[derive(Debug)]
pub struct Observer {
    timeout: Duration,
    character_ns: u64,
    station: Framer,
    units: Framer,
    asked: Option<Asked>,
    totals: BTreeMap<u8, Totals>,
    counters: Option<Counters>,
}

#[derive(Debug)]
struct Asked {
    unit: u8,
    function: u8,
    bytes: Vec<u8>,
    end: Mono,
    timed_out: bool,
}

impl Observer {
    /// `timeout` is how long the station waits for an answer.
    pub fn new(line: Line, timeout: Duration) -> Observer {
        Observer {
            timeout,
            character_ns: line.character_ns(),
            station: Framer::new(line),
            units: Framer::new(line),
            asked: None,
            totals: BTreeMap::new(),
            counters: None,
        }
    }

    /// Takes bytes of one side that had been read at `at`. Times must not run back.
    pub fn bytes(&mut self, side: Side, at: Mono, bytes: &[u8], out: &mut Vec<Event>) {
        if bytes.is_empty() {
            return;
        }
        let length = self.character_ns.saturating_mul(bytes.len() as u64);
        let start = Mono(at.0.saturating_sub(length));
        // One side speaks at a time: the other's frame is over.
        match side {
            Side::Station => {
                let ended = self.units.end();
                self.answered(ended, out);
                let done = self.station.push(at, bytes);
                self.requested(done, out);
                self.time_out(start, out);
            }
            Side::Units => {
                let ended = self.station.end();
                self.requested(ended, out);
                self.time_out(start, out);
                let done = self.units.push(at, bytes);
                self.answered(done, out);
            }
        }
    }

    /// Takes a whole frame that somebody else has cut off and knows the side of.
    pub(super) fn frame(&mut self, side: Side, frame: Frame, out: &mut Vec<Event>) {
        self.time_out(frame.start, out);
        match side {
            Side::Station => self.requested(Some(frame), out),
            Side::Units => self.answered(Some(frame), out),
        }
    }

    /// Whether a request waits for its answer.
    pub(super) fn waits(&self) -> bool {
        self.asked.as_ref().is_some_and(|a| !a.timed_out)
    }

    /// Whether a request to `unit` waits for an answer with `function`, exceptions included.
    pub(super) fn waits_for(&self, unit: u8, function: u8) -> bool {
        let fits = |a: &Asked| !a.timed_out && a.unit == unit && a.function == function & 0x7F;
        self.asked.as_ref().is_some_and(fits)
    }

    /// Whether `bytes` are the last request, which was not answered.
    pub(super) fn asked_last(&self, bytes: &[u8]) -> bool {
        self.asked.as_ref().is_some_and(|a| a.bytes == bytes)
    }

    /// The line was not heard for a while: no answer is waited for, and counting starts anew.
    pub(super) fn forget(&mut self) {
        self.asked = None;
        self.counters = None;
    }

    /// Takes what the kernel's driver has counted until `at`; what is new is told. The first reading is where
    /// counting starts.
    pub fn counters(&mut self, at: Mono, now: Counters, out: &mut Vec<Event>) {
        let new = self.counters.replace(now).map(|before| now.since(before));
        if let Some(new) = new.filter(|new| new.errors() > 0) {
            out.push(Event { at, unit: None, seen: Seen::Counted(new) });
        }
    }

    /// When to call [`Observer::expire`] next.
    pub fn deadline(&self) -> Option<Mono> {
        let answer = self.asked.as_ref().filter(|a| !a.timed_out).map(|a| a.end + self.timeout);
        [self.station.deadline(), self.units.deadline(), answer].into_iter().flatten().min()
    }

    /// Ends frames whose silence has passed, and requests whose answer has not come.
    pub fn expire(&mut self, now: Mono, out: &mut Vec<Event>) {
        if self.station.deadline().is_some_and(|d| d <= now) {
            let ended = self.station.end();
            self.requested(ended, out);
        }
        if self.units.deadline().is_some_and(|d| d <= now) {
            let ended = self.units.end();
            self.answered(ended, out);
        }
        self.time_out(now, out);
    }

    /// Sums of every unit that was asked or has answered.
    pub fn totals(&self) -> &BTreeMap<u8, Totals> {
        &self.totals
    }

    fn time_out(&mut self, now: Mono, out: &mut Vec<Event>) {
        let timeout = self.timeout;
        let late = self.asked.as_mut().filter(|a| !a.timed_out && a.end + timeout <= now);
        if let Some(asked) = late {
            asked.timed_out = true;
            let (at, unit) = (asked.end + timeout, asked.unit);
            self.tell(at, Some(unit), Seen::Timeout, out);
        }
    }

    fn requested(&mut self, frame: Option<Frame>, out: &mut Vec<Event>) {
        let Some(frame) = frame else { return };
        let Some((unit, function, _)) = frame.pdu() else {
            self.tell(frame.end, None, Seen::Broken(Side::Station), out);
            return;
        };
        match self.asked.take() {
            Some(before) if before.bytes == frame.bytes => self.tell(frame.end, Some(unit), Seen::Retry, out),
            Some(before) if !before.timed_out => self.tell(frame.end, Some(before.unit), Seen::Timeout, out),
            _ => {}
        }
        self.tell(frame.end, Some(unit), Seen::Request { function }, out);
        // Unit 0 is everybody: nobody answers (V1.02 §2.1).
        if unit != 0 {
            let Frame { bytes, end, .. } = frame;
            self.asked = Some(Asked { unit, function, bytes, end, timed_out: false });
        }
    }

    fn answered(&mut self, frame: Option<Frame>, out: &mut Vec<Event>) {
        let Some(frame) = frame else { return };
        let Some((unit, function, data)) = frame.pdu() else {
            // The unit that was asked is the one that speaks, as far as anybody can tell.
            let unit = self.asked.as_ref().map(|a| a.unit);
            self.tell(frame.end, unit, Seen::Broken(Side::Units), out);
            return;
        };
        let fits = |a: &Asked| a.unit == unit && a.function == function & 0x7F;
        if !self.asked.as_ref().is_some_and(fits) {
            self.tell(frame.end, Some(unit), Seen::Stranger, out);
            return;
        }
        let Some(asked) = self.asked.take() else { return };
        let seen = match frame.start.0.saturating_sub(asked.end.0) {
            0 => Seen::Untimed,
            turnaround => Seen::Turnaround(turnaround),
        };
        self.tell(frame.end, Some(unit), seen, out);
        if let Some(gap) = frame.gap_ns {
            self.tell(frame.end, Some(unit), Seen::Gap(gap), out);
        }
        if function & 0x80 != 0 {
            let code = data.first().copied().unwrap_or(0);
            self.tell(frame.end, Some(unit), Seen::Exception(code), out);
        }
    }

    fn tell(&mut self, at: Mono, unit: Option<u8>, seen: Seen, out: &mut Vec<Event>) {
        if let Some(unit) = unit {
            let totals = self.totals.entry(unit).or_default();
            let count = match seen {
                Seen::Request { .. } => Some(&mut totals.requests),
                Seen::Turnaround(_) | Seen::Untimed => Some(&mut totals.answers),
                Seen::Exception(_) => Some(&mut totals.exceptions),
                Seen::Broken(_) => Some(&mut totals.broken),
                Seen::Retry => Some(&mut totals.retries),
                Seen::Timeout => Some(&mut totals.timeouts),
                Seen::Stranger => Some(&mut totals.strangers),
                Seen::Gap(_) | Seen::Counted(_) => None,
            };
            count.into_iter().for_each(|n| *n = n.saturating_add(1));
        }
        out.push(Event { at, unit, seen });
    }
}

#[cfg(test)]
#[path = "observer_tests.rs"]
mod tests;
