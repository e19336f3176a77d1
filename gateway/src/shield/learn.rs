//! Learning: what stations do while a conduit observes, gathered into a proposal for the allow-list.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

/// One habit: a station uses a function on a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Habit {
    /// Unit id.
    pub unit: u8,
    /// Function code.
    pub function: u8,
    /// Station.
    pub station: IpAddr,
    /// Addresses, half open; `0..0` for functions without addresses.
    pub span: Range<u32>,
}

/// Habits seen since the last [`Learner::take`]. Bounded; what does not fit is counted.
#[derive(Debug, Default)]
pub struct Learner {
    seen: BTreeMap<(u8, u8, IpAddr, u32, u32), u64>,
    overflow: u64,
}

impl Learner {
    /// Most distinct habits kept between two takes.
    pub const MAX: usize = 4096;

    /// Notes one access.
    pub fn note(&mut self, unit: u8, function: u8, station: IpAddr, span: Range<u32>) {
        let key = (unit, function, station, span.start, span.end);
        if let Some(count) = self.seen.get_mut(&key) {
            *count += 1;
        } else if self.seen.len() < Self::MAX {
            self.seen.insert(key, 1);
        } else {
            self.overflow += 1;
        }
    }

    /// Hands over what was seen, with counts, and how many accesses did not fit.
    pub fn take(&mut self) -> (Vec<(Habit, u64)>, u64) {
        let habit = |((unit, function, station, start, end), n): ((u8, u8, IpAddr, u32, u32), u64)| {
            (Habit { unit, function, station, span: start..end }, n)
        };
        (std::mem::take(&mut self.seen).into_iter().map(habit).collect(), std::mem::take(&mut self.overflow))
    }
}

/// Joins ranges that touch or overlap: what a person reads and accepts.
pub fn join(mut spans: Vec<Range<u32>>) -> Vec<Range<u32>> {
    spans.sort_by_key(|s| (s.start, s.end));
    let mut out: Vec<Range<u32>> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn habits_are_counted_and_bounded() {
        let station = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut learner = Learner::default();
        learner.note(1, 3, station, 0..10);
        learner.note(1, 3, station, 0..10);
        let (habits, overflow) = learner.take();
        assert_eq!((habits.len(), habits[0].1, overflow), (1, 2, 0));
        (0..Learner::MAX as u32 + 7).for_each(|n| learner.note(1, 3, station, n..n + 1));
        assert_eq!(learner.take().1, 7);
    }

    #[test]
    fn touching_ranges_become_one() {
        assert_eq!(join(vec![5..7, 0..2, 2..4, 6..9]), vec![0..4, 5..9]);
    }
}
