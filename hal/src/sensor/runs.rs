//! Samples that each carry a time, put together into evenly spaced blocks.
//!
//! A block is closed by a step that is not one period long, by another quality, and at [`MAX_BLOCK`]. What a
//! step says (samples lost, time ran back, another rate) marks the one sample after it, as a block of its
//! own; the following samples are as good as they say they are. Nothing is ever filled in.

use super::{Block, Flaw, MAX_BLOCK, Quality};
use crate::clock::Mono;

/// How evenly the times of a source lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spacing {
    /// Nanoseconds from one sample to the next; `None` takes the first step that is seen.
    pub period_ns: Option<u64>,
    /// Share of the period by which a step may be longer or shorter; at most one half.
    pub tolerance: f64,
}

/// Builds blocks from single samples.
#[derive(Debug)]
pub struct Runs {
    period_ns: Option<u64>,
    tolerance: f64,
    last: Option<Mono>,
    open: Option<Open>,
    /// The last step that was not one period, and how many such steps came in a row.
    odd: (u64, u32),
}

#[derive(Debug)]
struct Open {
    at: Mono,
    end: Mono,
    samples: Vec<f64>,
    quality: Quality,
}

/// Equal steps in a row after which they are the new period.
const RATE_RUN: u32 = 8;
/// Steps within a tenth of each other count as equal when a new period is looked for.
const RATE_SAME: u64 = 10;

enum Step {
    Even,
    Uneven,
    Marked(Flaw, u64),
}

impl Runs {
    /// Nothing seen yet.
    pub fn new(spacing: Spacing) -> Runs {
        let tolerance = if spacing.tolerance.is_finite() { spacing.tolerance.clamp(0.0, 0.5) } else { 0.5 };
        let period_ns = spacing.period_ns.filter(|p| *p > 0);
        Runs { period_ns, tolerance, last: None, open: None, odd: (0, 0) }
    }

    /// The period in use, in nanoseconds; `None` until two samples were seen.
    pub fn period_ns(&self) -> Option<u64> {
        self.period_ns
    }

    /// Takes the next sample. A value that is not finite is bad whatever `quality` says.
    pub fn push(&mut self, at: Mono, value: f64, quality: Quality, out: &mut Vec<Block>) {
        let finite = if value.is_finite() { Quality::Good } else { Quality::Bad(Flaw::NotFinite) };
        let quality = quality.and(finite);
        let step = self.last.map_or(Step::Uneven, |last| self.step(last, at));
        self.last = Some(at);
        if let Step::Marked(flaw, lost) = step {
            self.flush(out);
            // Nobody knows when a sample was taken whose time is not after the last one.
            let worth = if flaw == Flaw::ClockBack { Quality::Bad(flaw) } else { Quality::Uncertain(flaw) };
            let quality = quality.and(worth);
            out.push(Block { lost, ..Block::single(at, value, quality) });
            return;
        }
        let goes_on = |open: &Open| open.quality == quality && open.samples.len() < MAX_BLOCK;
        if !matches!(step, Step::Even) || !self.open.as_ref().is_some_and(goes_on) {
            self.flush(out);
            self.open = Some(Open { at, end: at, samples: Vec::new(), quality });
        }
        if let Some(open) = &mut self.open {
            open.samples.push(value);
            open.end = at;
        }
    }

    /// Closes what is open, so that it can be handed over; the next sample may still continue the rhythm.
    pub fn flush(&mut self, out: &mut Vec<Block>) {
        if let Some(Open { at, end, samples, quality }) = self.open.take() {
            // The mean step of this block: truer than the nominal rate of the converter.
            let steps = samples.len() as u64 - 1;
            let period_ns = (end.0 - at.0 + steps / 2).checked_div(steps).unwrap_or(0);
            out.push(Block { at, period_ns, samples, lost: 0, quality });
        }
    }

    fn step(&mut self, last: Mono, at: Mono) -> Step {
        if at <= last {
            return Step::Marked(Flaw::ClockBack, 0);
        }
        let delta = at.0 - last.0;
        let period = *self.period_ns.get_or_insert(delta);
        let off = delta.abs_diff(period);
        if off as f64 <= period as f64 * self.tolerance {
            self.odd = (0, 0);
            return Step::Even;
        }
        let (before, count) = self.odd;
        let same = count > 0 && delta.abs_diff(before) <= before / RATE_SAME;
        self.odd = (delta, if same { count + 1 } else { 1 });
        if self.odd.1 >= RATE_RUN {
            self.period_ns = Some(delta);
            self.odd = (0, 0);
            return Step::Marked(Flaw::RateChanged, 0);
        }
        // Rounded to whole periods; two and more mean that samples are missing.
        match (delta.saturating_add(period / 2) / period).saturating_sub(1) {
            0 => Step::Uneven,
            lost => Step::Marked(Flaw::Gap, lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn play(spacing: Spacing, times: &[u64]) -> Vec<Block> {
        let (mut runs, mut out) = (Runs::new(spacing), Vec::new());
        for (i, at) in times.iter().enumerate() {
            runs.push(Mono(*at), i as f64, Quality::Good, &mut out);
        }
        runs.flush(&mut out);
        out
    }

    fn shape(blocks: &[Block]) -> Vec<(u64, u64, usize, u64, Quality)> {
        blocks.iter().map(|b| (b.at.0, b.period_ns, b.samples.len(), b.lost, b.quality)).collect()
    }

    const EXACT: Spacing = Spacing { period_ns: None, tolerance: 0.01 };
    const GOOD: Quality = Quality::Good;

    #[test]
    fn a_step_says_what_happened_and_marks_one_sample() {
        let gap = Quality::Uncertain(Flaw::Gap);
        let back = Quality::Bad(Flaw::ClockBack);
        type Row = (&'static str, &'static [u64], Vec<(u64, u64, usize, u64, Quality)>);
        let rows: [Row; 5] = [
            ("even samples are one block", &[0, 100, 200], vec![(0, 100, 3, 0, GOOD)]),
            (
                "missing samples are counted",
                &[0, 100, 400, 500],
                vec![(0, 100, 2, 0, GOOD), (400, 0, 1, 2, gap), (500, 0, 1, 0, GOOD)],
            ),
            (
                "a repeated time is time that stood still",
                &[0, 100, 100, 200],
                vec![(0, 100, 2, 0, GOOD), (100, 0, 1, 0, back), (200, 0, 1, 0, GOOD)],
            ),
            (
                "an uneven step closes a block and loses nothing",
                &[0, 100, 220, 320],
                vec![(0, 100, 2, 0, GOOD), (220, 100, 2, 0, GOOD)],
            ),
            ("one sample has no period", &[7], vec![(7, 0, 1, 0, GOOD)]),
        ];
        for (what, times, expected) in rows {
            assert_eq!(shape(&play(EXACT, times)), expected, "{what}");
        }
    }

    #[test]
    fn a_new_rate_is_taken_over_after_eight_equal_steps() {
        let slow = |from: u64, n: u64| (1..=n).map(move |i| from + i * 400);
        let times: Vec<u64> = (0..10).map(|i| i * 100).chain(slow(900, 20)).collect();
        let blocks = play(EXACT, &times);
        let changed: Vec<&Block> =
            blocks.iter().filter(|b| b.quality == Quality::Uncertain(Flaw::RateChanged)).collect();
        assert_eq!((changed.len(), changed[0].at), (1, Mono(900 + 8 * 400)));
        let last = blocks.last().expect("blocks were made");
        assert_eq!((last.period_ns, last.samples.len(), last.quality), (400, 12, GOOD));
    }

    #[test]
    fn a_block_is_never_longer_than_allowed() {
        let times: Vec<u64> = (0..MAX_BLOCK as u64 + 3).collect();
        let blocks = play(Spacing { period_ns: Some(1), tolerance: 0.0 }, &times);
        assert_eq!(blocks.iter().map(|b| b.samples.len()).collect::<Vec<_>>(), [MAX_BLOCK, 3]);
    }

    proptest! {
        #[test]
        fn every_sample_is_handed_over_once_and_in_order(
            times in proptest::collection::vec(prop_oneof![0..5000_u64, any::<u64>()], 0..200),
            period in proptest::option::of(0..500_u64),
            tolerance in prop_oneof![0.0..0.6, Just(f64::NAN)],
        ) {
            let blocks = play(Spacing { period_ns: period, tolerance }, &times);
            let all: Vec<f64> = blocks.iter().flat_map(|b| b.samples.clone()).collect();
            prop_assert_eq!(all, (0..times.len()).map(|i| i as f64).collect::<Vec<_>>());
            for block in &blocks {
                prop_assert!(!block.samples.is_empty());
                prop_assert_eq!(block.period_ns == 0, block.samples.len() == 1);
            }
        }
    }
}
