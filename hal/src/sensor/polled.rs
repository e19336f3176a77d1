//! A source that asks at a fixed period: sysfs attributes and slow converters.
//!
//! It neither sleeps nor reads a clock: the caller waits until [`Source::deadline`]. A poll that came too
//! late or failed is counted in the next block's `lost` and never repeated.

use std::time::Duration;

use super::{Block, Flaw, Quality, Source, SourceError};
use crate::clock::Mono;

/// Anything that gives one value when asked.
pub trait Measure: Send {
    /// One value in the channel's unit and what it is worth.
    ///
    /// # Errors
    /// [`SourceError`] when nothing usable was answered.
    fn measure(&mut self) -> Result<(f64, Quality), SourceError>;
}

/// Asks a [`Measure`] once each period.
#[derive(Debug)]
pub struct Polled<M> {
    measure: M,
    period_ns: u64,
    due: Option<Mono>,
    lost: u64,
}

impl<M: Measure> Polled<M> {
    /// The first poll is due at once; a period below 1 ns counts as 1 ns.
    pub fn new(measure: M, period: Duration) -> Polled<M> {
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
        Polled { measure, period_ns, due: None, lost: 0 }
    }
}

impl<M: Measure> Source for Polled<M> {
    fn read(&mut self, now: Mono, out: &mut Vec<Block>) -> Result<(), SourceError> {
        let due = self.due.unwrap_or(now);
        if now < due {
            return Ok(());
        }
        // The rhythm is kept: after a late poll the next one is due where it would have been.
        let missed = (now.0 - due.0) / self.period_ns;
        self.lost = self.lost.saturating_add(missed);
        self.due = Some(Mono(due.0.saturating_add(self.period_ns.saturating_mul(missed.saturating_add(1)))));
        match self.measure.measure() {
            Ok((value, mut quality)) => {
                if !value.is_finite() {
                    quality = quality.and(Quality::Bad(Flaw::NotFinite));
                }
                let lost = std::mem::take(&mut self.lost);
                if lost > 0 {
                    quality = quality.and(Quality::Uncertain(Flaw::Gap));
                }
                out.push(Block { lost, ..Block::single(now, value, quality) });
                Ok(())
            }
            Err(error) => {
                self.lost = self.lost.saturating_add(1);
                Err(error)
            }
        }
    }

    fn deadline(&self) -> Option<Mono> {
        self.due
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    struct Script(Vec<Result<f64, &'static str>>);

    impl Measure for Script {
        fn measure(&mut self) -> Result<(f64, Quality), SourceError> {
            match self.0.remove(0) {
                Ok(value) => Ok((value, Quality::Good)),
                Err(found) => Err(SourceError::unexpected("script", found, "a value")),
            }
        }
    }

    #[test]
    fn a_poll_comes_at_its_period_and_what_was_missed_or_failed_is_counted() {
        let script = Script(vec![Ok(1.0), Ok(2.0), Err("gone"), Ok(4.0), Ok(f64::NAN)]);
        let mut source = Polled::new(script, Duration::from_nanos(100));
        let mut out = Vec::new();
        for (now, blocks) in [(1000, 1), (1099, 0), (1100, 1)] {
            out.clear();
            source.read(Mono(now), &mut out).unwrap();
            assert_eq!(out.len(), blocks, "{now}");
        }
        assert_eq!(out[0], Block::single(Mono(1100), 2.0, Quality::Good));
        assert_eq!(source.deadline(), Some(Mono(1200)));
        assert!(source.read(Mono(1200), &mut out).is_err());
        out.clear();
        // 1300 and 1400 are missed, 1200 failed.
        source.read(Mono(1530), &mut out).unwrap();
        assert_eq!((out[0].lost, out[0].quality), (3, Quality::Uncertain(Flaw::Gap)));
        assert_eq!(source.deadline(), Some(Mono(1600)));
        source.read(Mono(1600), &mut out).unwrap();
        assert_eq!((out[1].lost, out[1].quality), (0, Quality::Bad(Flaw::NotFinite)));
    }

    #[test]
    fn no_time_makes_the_rhythm_overflow() {
        let mut source = Polled::new(Script(vec![Ok(1.0), Ok(2.0)]), Duration::ZERO);
        let mut out = Vec::new();
        source.read(Mono(0), &mut out).unwrap();
        source.read(Mono(u64::MAX), &mut out).unwrap();
        assert_eq!(out[1].lost, u64::MAX - 1);
    }
}
