//! The order of a record whose clock may run back: its rows follow each other as they were written, on one time
//! that never does.
//!
//! Each step back begins a new [`Stretch`], one period after the row before, so that what was recorded since is
//! still measured and judged. A record that runs back all the time has no such order, and ends the reading.

use std::collections::VecDeque;

use super::super::{Block, Flaw, Quality};
use crate::clock::{Mono, Wall};

/// Steps back in one record, at most.
pub const MAX_STEPS_BACK: usize = 256;

/// Rows that follow each other on one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// When its first row is, on the time of the blocks.
    pub at: Mono,
    /// The same instant as the file says it, in nanoseconds; since 1970 for dates.
    pub recorded_ns: i64,
}

/// Two neighbouring rows, the later of which says an earlier time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepBack {
    /// The number of the later record; the header is 1.
    pub record: u64,
    /// What the earlier row says, in nanoseconds.
    pub from_ns: i64,
    /// What the later row says.
    pub to_ns: i64,
}

impl std::fmt::Display for StepBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record {}: {} follows {}", self.record, Time(self.to_ns), Time(self.from_ns))
    }
}

/// A time of a file for people: a date from 1973 on, else seconds.
struct Time(i64);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            ns if ns >= FIRST_DATE_NS => write!(f, "{}", Wall::trusted(ns / 1_000_000)),
            ns => write!(f, "{} s", ns as f64 / 1e9),
        }
    }
}

/// Times from here on are dates; earlier ones are seconds from some start.
pub const FIRST_DATE_NS: i64 = 100_000_000_000_000_000;

/// Which way the times of a record go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    stretches: Vec<Stretch>,
    last_ns: Option<i64>,
    /// The end of the last block.
    end: Mono,
    forward: u64,
    still: u64,
    back: Vec<StepBack>,
    /// Rows after a step back whose block has not come yet.
    ahead: VecDeque<i64>,
}

impl Order {
    pub(super) fn new(start: Mono) -> Order {
        Order { end: start, ..Order::default() }
    }

    /// Each stretch with its start; empty before the first row.
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Each step back, and how many steps went forward.
    pub fn steps(&self) -> (&[StepBack], u64) {
        (&self.back, self.forward)
    }

    /// Rows with the time of the row before.
    pub const fn still(&self) -> u64 {
        self.still
    }

    /// The end of the last block.
    pub(super) const fn end(&self) -> Mono {
        self.end
    }

    /// Takes the time of a row; false when it has run back too often to go on.
    pub(super) fn row(&mut self, record: u64, ns: i64) -> bool {
        match self.last_ns.replace(ns) {
            Some(from_ns) if ns < from_ns => {
                if self.back.len() < MAX_STEPS_BACK {
                    self.back.push(StepBack { record, from_ns, to_ns: ns });
                    self.ahead.push_back(ns);
                    return true;
                }
                false
            }
            Some(from_ns) => {
                self.forward += u64::from(ns > from_ns);
                self.still += u64::from(ns == from_ns);
                true
            }
            None => true,
        }
    }

    /// Puts a block where it belongs, whose first sample is at `ns` of the file; `period_ns` is the usual step.
    pub(super) fn place(&mut self, block: &mut Block, ns: i64, period_ns: u64) {
        let is_marked = block.quality == Quality::Bad(Flaw::ClockBack);
        let has_stepped = is_marked && self.ahead.front() == Some(&ns);
        let stretch = match self.stretches.last() {
            Some(last) if !has_stepped => *last,
            last => {
                if has_stepped {
                    self.ahead.pop_front();
                }
                let after = last.map_or(0, |_| period_ns.max(1));
                let stretch = Stretch { at: Mono(self.end.0.saturating_add(after)), recorded_ns: ns };
                self.stretches.push(stretch);
                stretch
            }
        };
        let passed = i128::from(stretch.at.0) + i128::from(ns) - i128::from(stretch.recorded_ns);
        let at = Mono(u64::try_from(passed.max(0)).unwrap_or(u64::MAX));
        // The end of a block of many samples is rounded to their mean step: what comes after is after it.
        let least = match (is_marked, at == stretch.at) {
            (_, true) => at,
            (true, false) => self.end,
            (false, false) => Mono(self.end.0.saturating_add(1)),
        };
        block.at = at.max(least);
        self.end = block.time_of(block.samples.len().saturating_sub(1));
    }
}
