//! How fast the samples of a record come, stretch by stretch: a rate that changes, told from times that jitter.

use hal::clock::Mono;

/// Gathers stretches between the places where the steps became others.
#[derive(Default)]
pub(super) struct Rhythm {
    /// From when on the samples lie how far apart.
    pub(super) rates: Vec<(Mono, u64)>,
    /// Such places with the same pace after as before.
    pub(super) jitters: u64,
    /// Where the present stretch began, and its step once it is known.
    began: Option<(Mono, Option<u64>)>,
    /// Samples and time before the present stretch.
    before: (u64, u64),
    /// Mean step of the last stretch that had one.
    mean: Option<f64>,
}

impl Rhythm {
    /// The steps became others at `at`, after so many samples, which cover so much time.
    pub(super) fn changed(&mut self, at: Mono, samples: u64, covered_ns: u64) {
        self.settle(samples, covered_ns);
        (self.began, self.before) = (Some((at, None)), (samples, covered_ns));
    }

    /// Samples follow each other at this step.
    pub(super) fn step(&mut self, period_ns: u64) {
        if let Some((_, period @ None)) = &mut self.began {
            *period = Some(period_ns);
        }
    }

    /// The present stretch is over.
    pub(super) fn settle(&mut self, samples: u64, covered_ns: u64) {
        let count = samples.saturating_sub(self.before.0);
        let mean = covered_ns.saturating_sub(self.before.1) as f64 / count.max(1) as f64;
        let is_long = count >= LEAST;
        let is_other = is_long && self.mean.is_some_and(|m| (mean - m).abs() > SAME * m);
        match self.began.take() {
            Some((at, Some(period_ns))) if is_other => {
                let room = MOST_RATES.saturating_sub(self.rates.len()).min(1);
                self.rates.extend(std::iter::repeat_n((at, period_ns), room));
            }
            Some(_) => self.jitters += 1,
            None => {}
        }
        if is_other || (is_long && self.mean.is_none()) {
            self.mean = Some(mean);
        }
    }
}

/// A stretch of fewer samples has no rate.
const LEAST: u64 = 16;
/// Mean steps that differ by no more than this share are one rate.
const SAME: f64 = 0.03;
/// Changes of the rate that are told.
const MOST_RATES: usize = 16;
