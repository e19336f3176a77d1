//! The last values of a series and when they were taken: a change that began so many values ago began at the time of
//! that one, whatever gaps and other rates lie between.

use std::collections::VecDeque;
use std::time::Duration;

use hal::clock::Mono;

/// The last [`KEPT`] values, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Past(VecDeque<(Mono, f64)>);

impl Past {
    pub(crate) fn new() -> Past {
        Past(VecDeque::with_capacity(KEPT))
    }

    /// A value was taken.
    pub(crate) fn note(&mut self, at: Mono, value: f64) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((at, value));
    }

    /// The time of the value `ago` before the last one; what is further back than is kept lies `interval` apart.
    pub(crate) fn back(&self, ago: u64, interval: Duration) -> Mono {
        let oldest = self.0.front().map_or(Mono(0), |(at, _)| *at);
        let beyond = ago.saturating_sub(self.0.len().saturating_sub(1) as u64);
        let place = usize::try_from(ago).ok().and_then(|ago| self.0.len().checked_sub(ago.saturating_add(1)));
        match place.and_then(|n| self.0.get(n)) {
            Some((at, _)) => *at,
            None => oldest - interval.saturating_mul(u32::try_from(beyond).unwrap_or(u32::MAX)),
        }
    }

    /// The values from the one `ago` before the last, as far as they are kept, oldest first.
    pub(crate) fn since(&self, ago: u64) -> Vec<f64> {
        let count = usize::try_from(ago).unwrap_or(usize::MAX).saturating_add(1);
        self.0.iter().skip(self.0.len().saturating_sub(count)).map(|(_, value)| *value).collect()
    }
}

/// 16 KiB for each series.
const KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_again_by_its_age_and_beyond_what_is_kept_by_the_interval() {
        let mut past = Past::new();
        assert_eq!(past.back(3, Duration::from_nanos(2)), Mono(0), "nothing was taken");
        for n in 0..2 * KEPT as u64 {
            // From 1500 on ten times as slow.
            past.note(Mono(if n < 1500 { 1000 + n } else { 2500 + 10 * (n - 1500) }), n as f64);
        }
        let rows = [(0, 2500 + 5470), (547, 2500), (548, 2499), (1023, 2024), (1033, 2004), (u64::MAX, 0)];
        for (ago, at) in rows {
            assert_eq!(past.back(ago, Duration::from_nanos(2)), Mono(at), "{ago}");
        }
        assert_eq!(past.since(1), [2046.0, 2047.0]);
        assert_eq!(past.since(u64::MAX).len(), KEPT, "no more is kept");
    }
}
