//! Samples taken one right after the other: what a bus without a timer gives for a waveform.
//!
//! The program's own clock paces nothing here, so the spacing is measured instead. When one step took more
//! than twice the mean, the scheduler was elsewhere and the burst is uncertain: its samples are not evenly
//! spaced. For a rate that must be right, use a converter with a trigger ([`iio`](crate::sensor::iio)).

use std::time::Instant;

use crate::clock::Mono;
use crate::sensor::{Block, Flaw, MAX_BLOCK, Measure, Quality, Source, SourceError};

/// Each read is one burst. What lies between two bursts was not measured, and is not counted as lost.
#[derive(Debug)]
pub struct Burst<M> {
    measure: M,
    samples: usize,
}

impl<M: Measure> Burst<M> {
    /// Takes `samples` in a row, from 1 to [`MAX_BLOCK`]. At 20 us for a transfer a read of 10 000 takes 0.2 s.
    pub fn new(measure: M, samples: usize) -> Burst<M> {
        Burst { measure, samples: samples.clamp(1, MAX_BLOCK) }
    }
}

impl<M: Measure> Source for Burst<M> {
    fn read(&mut self, now: Mono, out: &mut Vec<Block>) -> Result<(), SourceError> {
        let mut samples = Vec::with_capacity(self.samples);
        let mut quality = Quality::Good;
        let started = Instant::now();
        let (mut last, mut longest) = (0, 0);
        for i in 0..self.samples {
            let (value, worth) = self.measure.measure()?;
            let finite = if value.is_finite() { Quality::Good } else { Quality::Bad(Flaw::NotFinite) };
            quality = quality.and(worth).and(finite);
            samples.push(value);
            let at = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            if i > 0 {
                longest = longest.max(at - last);
            }
            last = at;
        }
        // Each step but the first value's is measured from end to end.
        let steps = samples.len() as u64;
        let period_ns = if steps > 1 { (last / steps).max(1) } else { 0 };
        if longest > period_ns.saturating_mul(2) {
            quality = quality.and(Quality::Uncertain(Flaw::Gap));
        }
        out.push(Block { at: Mono(now.0.saturating_add(period_ns)), period_ns, samples, lost: 0, quality });
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Takes 1 ms for each value and one of them, once, 40 ms.
    struct Slow(u32, Option<u32>);

    impl Measure for Slow {
        fn measure(&mut self) -> Result<(f64, Quality), SourceError> {
            self.0 += 1;
            std::thread::sleep(Duration::from_millis(if self.1 == Some(self.0) { 40 } else { 1 }));
            Ok((f64::from(self.0), Quality::Good))
        }
    }

    #[test]
    fn a_burst_has_the_period_that_was_measured_and_shows_when_it_was_interrupted() {
        let mut out = Vec::new();
        Burst::new(Slow(0, None), 5).read(Mono(0), &mut out).unwrap();
        assert_eq!(out[0].samples, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(out[0].period_ns >= 1_000_000 && out[0].at.0 == out[0].period_ns, "{out:?}");
        Burst::new(Slow(0, Some(7)), 10).read(Mono(0), &mut out).unwrap();
        assert_eq!(out[1].quality, Quality::Uncertain(Flaw::Gap));
        Burst::new(Slow(0, None), 1).read(Mono(9), &mut out).unwrap();
        assert_eq!((out[2].period_ns, out[2].at, out[2].quality), (0, Mono(9), Quality::Good));
    }
}
