//! How often a signal repeats itself by chance: the measure by which an exact repeat is judged.
//!
//! A coarse converter gives equal values all the time; a 24-bit one hardly ever. Neither histogram nor entropy
//! of single values is enough, because neighbours are alike: what counts is how likely a repeat goes on once
//! it has lasted a while.

use serde::{Deserialize, Serialize};

use super::BaselineError;

/// Longest lag looked at, in samples.
pub const MAX_LAG: usize = 4096;

/// Samples of the record looked at.
const LOOKED_AT: usize = 8192;

/// Repeats found in the record.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Repeats {
    /// Different values in the record.
    pub distinct: u64,
    /// One value over and over.
    pub same: Run,
    /// A stretch that equals an earlier one at a lag of 2..=[`MAX_LAG`], summed over lags.
    pub lagged: Run,
}

/// Runs of matches: how often they start, how they go on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Expected runs that start at one sample.
    pub start: f64,
    /// Probability that a run of at least `from` goes on by one more.
    pub goes_on: f64,
    /// Length from which `goes_on` was measured.
    pub from: u32,
    /// The longest run seen.
    pub longest: u32,
}

impl Repeats {
    /// Measures a record of raw values.
    pub(super) fn of(x: &[f64]) -> Repeats {
        let x = &x[x.len().saturating_sub(LOOKED_AT)..];
        let mut sorted = x.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.dedup();
        let most = MAX_LAG.min(x.len() / 2);
        let mut lengths = Lengths::default();
        lengths.count(x, 1);
        let same = lengths.run(x.len());
        let mut lengths = Lengths::default();
        (2..=most).for_each(|lag| lengths.count(x, lag));
        Repeats { distinct: sorted.len() as u64, same, lagged: lengths.run(x.len().saturating_sub(most / 2)) }
    }

    pub(super) fn check(&self) -> Result<(), BaselineError> {
        for run in [self.same, self.lagged] {
            for (what, found, most) in
                [("repeat rate", run.start, MAX_LAG as f64), ("repeat probability", run.goes_on, 1.0)]
            {
                if !(0.0..=most).contains(&found) {
                    return Err(BaselineError::OutOfRange { what, found });
                }
            }
        }
        Ok(())
    }
}

impl Run {
    /// The shortest run that comes by chance less than `rate` times for each sample; `None` when no run of at
    /// most `most` is that rare.
    pub fn length_for(&self, rate: f64, most: u32) -> Option<u32> {
        if rate.is_nan() || rate <= 0.0 || self.goes_on >= 1.0 {
            return None;
        }
        let beyond =
            if self.start <= rate { 0.0 } else { (rate / self.start).ln() / self.goes_on.max(1e-9).ln() };
        // A record that holds a longer run than chance explains repeats by its nature: stay clear of that too.
        let length =
            (f64::from(self.from) + beyond.ceil()).max(f64::from(self.longest.saturating_mul(2)) + 1.0);
        (length <= f64::from(most)).then_some(length as u32)
    }
}

/// How many runs were at least so long.
struct Lengths {
    reached: [u64; LONGEST],
    longest: u32,
}

/// Longer runs are counted as this long.
const LONGEST: usize = 64;
/// A probability needs at least so many runs.
const ENOUGH: u64 = 100;

impl Default for Lengths {
    fn default() -> Lengths {
        Lengths { reached: [0; LONGEST], longest: 0 }
    }
}

impl Lengths {
    #[allow(clippy::float_cmp)] // an exact repeat is the point
    fn count(&mut self, x: &[f64], lag: usize) {
        let mut run = 0usize;
        for (a, b) in x.iter().zip(x.iter().skip(lag)) {
            if a == b {
                self.reached[run.min(LONGEST - 1)] += u64::from(run < LONGEST);
                run += 1;
                self.longest = self.longest.max(run as u32);
            } else {
                run = 0;
            }
        }
    }

    /// The tail of the run lengths, from the greatest length that is still common enough to measure.
    fn run(&self, samples: usize) -> Run {
        let at = (0..LONGEST - 1).take_while(|&i| self.reached[i] >= ENOUGH).last().unwrap_or(0);
        let started = self.reached[at] as f64;
        // All that was so long or longer: few runs alone would not say how the next ones end.
        let reached = self.reached[at..LONGEST - 1].iter().sum::<u64>() as f64;
        let went_on = self.reached[at + 1..].iter().sum::<u64>() as f64;
        // Agresti and Coull: never certain from few.
        let goes_on = (went_on + 2.0) / (reached + 4.0);
        let goes_on = match self.reached[at] {
            0 => 1.0 / samples.max(2) as f64,
            1..ENOUGH => goes_on,
            // It is taken to a high power, so that it may not be too small.
            _ => (goes_on + 2.0 * (goes_on * (1.0 - goes_on) / (reached + 4.0)).sqrt()).min(1.0),
        };
        let start = (started + 1.0) / samples.max(1) as f64;
        Run { start, goes_on, from: at as u32 + 1, longest: self.longest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn coarse_data_need_a_longer_repeat_than_fine_data() {
        let mut rng = Rng::new(4);
        let mut record =
            |step: f64| (0..8192).map(|_| (rng.normal() / step).round() * step).collect::<Vec<f64>>();
        let fine = Repeats::of(&record(1e-9)).lagged.length_for(1e-8, 512).unwrap();
        let middle = Repeats::of(&record(0.2)).lagged.length_for(1e-8, 512).unwrap();
        let coarse = Repeats::of(&record(2.0)).lagged.length_for(1e-8, 512).unwrap();
        assert!(fine < middle && middle < coarse, "{fine} {middle} {coarse}");
        assert!(middle <= 21, "{middle}: a loop of 21 samples is found within two periods");
    }

    #[test]
    fn a_signal_that_repeats_by_nature_is_not_judged_by_repeats() {
        let square: Vec<f64> = (0..8192).map(|i| f64::from(i / 50 % 2)).collect();
        assert_eq!(Repeats::of(&square).lagged.length_for(1e-8, 512), None);
        assert_eq!(Repeats::of(&[1.0; 8192]).same.length_for(1e-8, 512), None);
    }
}
