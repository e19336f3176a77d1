//! A 4-20 mA loop, read as the voltage over a shunt and classified after NAMUR NE 43.
//!
//! Pure. A transmitter that has failed says so by a current outside its measuring range. NE 43 takes that for
//! a failure only when it has lasted [`DEBOUNCE`]: until then the value is uncertain, from then on bad.

use std::time::Duration;

use super::{Block, Flaw, MAX_BLOCK, Quality, Source, SourceError};
use crate::clock::Mono;

/// NE 43: how long a current must lie in a failure range.
pub const DEBOUNCE: Duration = Duration::from_secs(4);
/// Below this, in mA, no live two-wire transmitter can be: the loop is open.
pub const OPEN_BELOW: f64 = 2.0;
/// NE 43 failure signal, in mA: at most.
pub const FAILURE_LOW: f64 = 3.6;
/// NE 43 measuring range, in mA: from.
pub const MEASURING_FROM: f64 = 3.8;
/// NE 43 measuring range, in mA: to.
pub const MEASURING_TO: f64 = 20.5;
/// NE 43 failure signal, in mA: at least.
pub const FAILURE_HIGH: f64 = 21.0;

/// Where a current lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Below 2 mA.
    Open,
    /// From 2 to 3.6 mA, or from 21 mA.
    Failure,
    /// Between 3.6 and 3.8 or between 20.5 and 21 mA: beyond the measuring range, and no failure signal.
    Saturated,
    /// From 3.8 to 20.5 mA.
    Measuring,
}

impl Zone {
    /// The zone of a current in mA; one that is no number is nobody's failure signal, see [`CurrentLoop`].
    pub fn of(milliamperes: f64) -> Zone {
        match milliamperes {
            ma if ma < OPEN_BELOW => Zone::Open,
            ma if ma <= FAILURE_LOW || ma >= FAILURE_HIGH => Zone::Failure,
            ma if !(MEASURING_FROM..=MEASURING_TO).contains(&ma) => Zone::Saturated,
            _ => Zone::Measuring,
        }
    }
}

/// How volts become milliamperes and these an engineering value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Ohms of the shunt.
    pub shunt: f64,
    /// The engineering value at 4 mA.
    pub at_4: f64,
    /// The engineering value at 20 mA.
    pub at_20: f64,
}

impl Scale {
    /// Milliamperes of `volts` over the shunt.
    pub fn milliamperes(&self, volts: f64) -> f64 {
        volts / self.shunt * 1000.0
    }

    /// The engineering value of a current in mA, also beyond 4 and 20 mA.
    pub fn value(&self, milliamperes: f64) -> f64 {
        self.at_4 + (milliamperes - 4.0) / 16.0 * (self.at_20 - self.at_4)
    }
}

/// One loop and since when it has been failing.
#[derive(Debug, Clone)]
pub struct CurrentLoop {
    scale: Scale,
    failing_since: Option<Mono>,
}

impl CurrentLoop {
    /// A loop that was not failing before its first value.
    pub fn new(scale: Scale) -> CurrentLoop {
        CurrentLoop { scale, failing_since: None }
    }

    /// The engineering value of `volts` measured at `at`, and what it is worth. `quality` is what the
    /// converter says; a bad value neither starts nor ends a failure.
    pub fn take(&mut self, at: Mono, volts: f64, quality: Quality) -> (f64, Quality) {
        let milliamperes = self.scale.milliamperes(volts);
        let value = self.scale.value(milliamperes);
        if !value.is_finite() {
            return (value, quality.and(Quality::Bad(Flaw::NotFinite)));
        }
        if matches!(quality, Quality::Bad(_)) {
            return (value, quality);
        }
        let flaw = match Zone::of(milliamperes) {
            Zone::Open => Flaw::OpenLoop,
            Zone::Failure => Flaw::FailureSignal,
            zone => {
                self.failing_since = None;
                let saturated = zone == Zone::Saturated;
                let here = if saturated { Quality::Uncertain(Flaw::Saturated) } else { Quality::Good };
                return (value, quality.and(here));
            }
        };
        // From open to failure signal and back is one failure: a broken wire that touches.
        let since = *self.failing_since.get_or_insert(at);
        let failed = at.since(since) >= DEBOUNCE;
        // A saturated converter says less than the reason why it is.
        (value, if failed { Quality::Bad(flaw) } else { Quality::Uncertain(flaw) })
    }

    /// Turns a block of volts into blocks of engineering values, split where the quality changes.
    pub fn block(&mut self, block: &Block, out: &mut Vec<Block>) {
        if block.samples.is_empty() {
            out.push(block.clone());
            return;
        }
        let mut open: Option<Block> = None;
        for (i, volts) in block.samples.iter().enumerate() {
            let at = block.time_of(i);
            let (value, quality) = self.take(at, *volts, block.quality);
            match &mut open {
                Some(now) if now.quality == quality && now.samples.len() < MAX_BLOCK => {
                    now.samples.push(value)
                }
                _ => {
                    out.extend(open.take());
                    let lost = if i == 0 { block.lost } else { 0 };
                    open =
                        Some(Block { at, period_ns: block.period_ns, samples: vec![value], lost, quality });
                }
            }
        }
        out.extend(open);
    }
}

/// A source of volts over a shunt, as a source of engineering values.
#[derive(Debug)]
pub struct LoopSource<S> {
    volts: S,
    current: CurrentLoop,
}

impl<S: Source> LoopSource<S> {
    /// `volts` gives the voltage over the shunt of `scale`.
    pub fn new(volts: S, scale: Scale) -> LoopSource<S> {
        LoopSource { volts, current: CurrentLoop::new(scale) }
    }
}

impl<S: Source> Source for LoopSource<S> {
    fn read(&mut self, now: Mono, out: &mut Vec<Block>) -> Result<(), SourceError> {
        let mut blocks = Vec::new();
        let result = self.volts.read(now, &mut blocks);
        blocks.iter().for_each(|block| self.current.block(block, out));
        result
    }

    fn deadline(&self) -> Option<Mono> {
        self.volts.deadline()
    }

    fn is_exhausted(&self) -> bool {
        self.volts.is_exhausted()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCALE: Scale = Scale { shunt: 250.0, at_4: -50.0, at_20: 150.0 };

    fn volts(milliamperes: f64) -> f64 {
        milliamperes * 0.25
    }

    #[test]
    fn a_current_lies_in_the_zone_of_namur_ne_43() {
        let rows = [
            (-1.0, Zone::Open),
            (0.0, Zone::Open),
            (1.99, Zone::Open),
            (2.0, Zone::Failure),
            (3.6, Zone::Failure),
            (3.61, Zone::Saturated),
            (3.79, Zone::Saturated),
            (3.8, Zone::Measuring),
            (12.0, Zone::Measuring),
            (20.5, Zone::Measuring),
            (20.51, Zone::Saturated),
            (20.99, Zone::Saturated),
            (21.0, Zone::Failure),
            (f64::INFINITY, Zone::Failure),
        ];
        for (milliamperes, zone) in rows {
            assert_eq!(Zone::of(milliamperes), zone, "{milliamperes} mA");
        }
    }

    #[test]
    fn a_failure_is_one_after_four_seconds_and_over_at_once() {
        use Flaw::{FailureSignal, OpenLoop, Saturated};
        let rows = [
            (0, 12.0, 50.0, Quality::Good, "half way"),
            (1000, 4.0, -50.0, Quality::Good, "4 mA"),
            (2000, 22.0, 175.0, Quality::Uncertain(FailureSignal), "not yet a failure"),
            (5999, 22.0, 175.0, Quality::Uncertain(FailureSignal), "1 ms short of 4 s"),
            (6000, 22.0, 175.0, Quality::Bad(FailureSignal), "4 s"),
            (6001, 0.0, -100.0, Quality::Bad(OpenLoop), "the same failure goes on"),
            (6002, 20.75, 159.375, Quality::Uncertain(Saturated), "saturated is no failure"),
            (6003, 0.0, -100.0, Quality::Uncertain(OpenLoop), "a new failure starts anew"),
            (6004, 20.0, 150.0, Quality::Good, "good at once"),
            (20_000, 3.0, -62.5, Quality::Uncertain(FailureSignal), "no earlier failure is remembered"),
        ];
        let mut current = CurrentLoop::new(SCALE);
        for (ms, milliamperes, value, quality, what) in rows {
            let at = Mono(ms * 1_000_000);
            assert_eq!(current.take(at, volts(milliamperes), Quality::Good), (value, quality), "{what}");
        }
    }

    #[test]
    fn what_the_converter_says_is_kept() {
        let mut current = CurrentLoop::new(SCALE);
        let bad = Quality::Bad(Flaw::SourceError);
        assert_eq!(current.take(Mono(0), volts(22.0), bad).1, bad);
        assert_eq!(current.take(Mono(1), f64::NAN, Quality::Good).1, Quality::Bad(Flaw::NotFinite));
        let gap = Quality::Uncertain(Flaw::Gap);
        assert_eq!(current.take(Mono(DEBOUNCE.as_nanos() as u64), volts(12.0), gap).1, gap);
        let shorted = Scale { shunt: 0.0, ..SCALE };
        assert_eq!(
            CurrentLoop::new(shorted).take(Mono(0), 1.0, Quality::Good).1,
            Quality::Bad(Flaw::NotFinite)
        );
    }

    #[test]
    fn a_block_is_split_where_its_worth_changes() {
        let samples = [12.0, 12.0, 22.0, 22.0, 12.0].map(volts).to_vec();
        let block = Block { at: Mono(5), period_ns: 4_000_000_000, samples, lost: 2, quality: Quality::Good };
        let mut out = Vec::new();
        CurrentLoop::new(SCALE).block(&block, &mut out);
        let shape: Vec<_> = out.iter().map(|b| (b.at.0, b.samples.len(), b.lost, b.quality)).collect();
        assert_eq!(
            shape,
            [
                (5, 2, 2, Quality::Good),
                (8_000_000_005, 1, 0, Quality::Uncertain(Flaw::FailureSignal)),
                (12_000_000_005, 1, 0, Quality::Bad(Flaw::FailureSignal)),
                (16_000_000_005, 1, 0, Quality::Good),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_sample_of_a_block_gets_lost(
            samples in proptest::collection::vec(prop_oneof![-1.0..7.0_f64, Just(f64::NAN)], 0..50),
        ) {
            let block = Block { at: Mono(0), period_ns: 1, lost: 0, quality: Quality::Good, samples };
            let mut out = Vec::new();
            CurrentLoop::new(SCALE).block(&block, &mut out);
            prop_assert_eq!(out.iter().map(|b| b.samples.len()).sum::<usize>(), block.samples.len());
        }
    }
}
