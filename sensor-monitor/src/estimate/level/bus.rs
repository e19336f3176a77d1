//! Levels of a differential bus (RS-485) while one talker's frame is on it.
//!
//! The input is the voltage between the wires, and the ranges of samples that belong to the frame. Between two
//! edges lies a run of equal bits; the first and last quarter of a bit at its ends are left out, and the level
//! is the mean of the middle half of the runs' means. One ringing edge or collision moves nothing.

use std::ops::Range;

use hal::sensor::{Flaw, Quality};

use super::edge::{self, Edges};
use super::rms::decibels;

/// Fewest samples in one bit: below it the plateaus cannot be told from the edges.
pub const MIN_SAMPLES_PER_BIT: f64 = 8.0;
/// Share of a bit left out at each end of a run.
pub const GUARD: f64 = 0.25;
/// Fewest runs of each kind.
pub const MIN_RUNS: usize = 2;
/// Most runs of each kind that one frame keeps; a Modbus frame has at most 2,816 bits.
pub const MAX_RUNS: usize = 2048;
/// Smallest swing between mark and space that is a signal, volts: the threshold of a receiver
/// (TIA/EIA-485-A, 200 mV to each side).
pub const MIN_SWING: f64 = 0.2;
/// Largest sample, volts; beyond it the value is no voltage on a bus.
pub const MAX_VOLTS: f64 = 1e6;

/// Times that the middle between the plateaus is taken from the plateaus about the former one.
const MIDDLES: usize = 3;

/// How a bus is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BusConfig {
    /// Samples each second.
    pub rate: f64,
    /// Seconds for one bit.
    pub bit: f64,
    /// Amplitude that is 0 dB, volts.
    pub reference: f64,
    /// Whether mark (logic 1, idle) is the lower voltage, as TIA/EIA-485-A has it for A - B.
    pub mark_is_low: bool,
}

/// The levels of one frame, volts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Plateau of logic 1.
    pub mark: f64,
    /// Plateau of logic 0.
    pub space: f64,
    /// Half of the swing between them.
    pub amplitude: f64,
    /// `amplitude` against [`BusConfig::reference`], dB.
    pub decibels: f64,
    /// Mean of both wires against ground within the frame, where it was measured.
    pub common: Option<f64>,
    /// Voltage between the wires outside the frame, where there was any.
    pub idle: Option<f64>,
    /// The edges, where the rate shows them.
    pub edges: Option<Edges>,
    /// What these are worth; they are zero and `None` when it is bad.
    pub quality: Quality,
}

impl Level {
    /// A frame without levels, and why.
    pub const fn bad(flaw: Flaw) -> Level {
        Level {
            mark: 0.0,
            space: 0.0,
            amplitude: 0.0,
            decibels: 0.0,
            common: None,
            idle: None,
            edges: None,
            quality: Quality::Bad(flaw),
        }
    }
}

/// Measures frames. Allocates when made, not afterwards.
#[derive(Debug, Clone)]
pub struct BusLevel {
    config: BusConfig,
    high: Vec<f64>,
    low: Vec<f64>,
    edges: edge::EdgeMeter,
}

impl BusLevel {
    /// `None` when a rate, time or reference is not positive and finite.
    pub fn new(config: BusConfig) -> Option<BusLevel> {
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let fits = positive(config.rate) && positive(config.bit) && positive(config.reference);
        fits.then(|| BusLevel {
            config,
            high: Vec::with_capacity(MAX_RUNS),
            low: Vec::with_capacity(MAX_RUNS),
            edges: edge::EdgeMeter::new(config.rate),
        })
    }

    /// The levels of one frame: `between` the wires, their mean against ground in `common` (the same samples),
    /// and the `gate`, ranges of samples that belong to the talker. Ranges outside the samples are cut.
    pub fn measure(&mut self, between: &[f64], common: Option<&[f64]>, gate: &[Range<usize>]) -> Level {
        let bit = self.config.bit * self.config.rate;
        if bit < MIN_SAMPLES_PER_BIT {
            return Level::bad(Flaw::NotMeasured);
        }
        let gated = || gate.iter().filter_map(|r| between.get(r.start..r.end.min(between.len())));
        let (mut sum, mut count) = (0.0, 0_usize);
        for x in gated().flatten() {
            if x.is_nan() || x.abs() > MAX_VOLTS {
                return Level::bad(Flaw::NotFinite);
            }
            (sum, count) = (sum + x, count + 1);
        }
        // The mean lies between the plateaus, whatever a spike does to the extremes; the runs about it give
        // the true middle.
        let mut middle = sum / count.max(1) as f64;
        for _ in 0..MIDDLES {
            self.high.clear();
            self.low.clear();
            gated().for_each(|x| self.runs(x, middle, bit));
            if self.high.len() < MIN_RUNS || self.low.len() < MIN_RUNS {
                return Level::bad(Flaw::NotMeasured);
            }
            middle = (middle_mean(&mut self.high) + middle_mean(&mut self.low)) / 2.0;
        }
        let (high, low) = (middle_mean(&mut self.high), middle_mean(&mut self.low));
        if high - low < MIN_SWING {
            return Level::bad(Flaw::NotMeasured);
        }
        let amplitude = (high - low) / 2.0;
        let Some(decibels) = decibels(amplitude, self.config.reference) else {
            return Level::bad(Flaw::NotMeasured);
        };
        self.edges.begin(low, high, bit);
        gated().for_each(|x| self.edges.add(x));
        let (mark, space) = if self.config.mark_is_low { (low, high) } else { (high, low) };
        Level {
            mark,
            space,
            amplitude,
            decibels,
            common: common.and_then(|c| self.mean_within(c, gate)),
            idle: self.mean_outside(between, gate, bit),
            edges: self.edges.finish(),
            quality: Quality::Good,
        }
    }

    /// Means of the runs of `samples` above and below `middle`, without their ends.
    fn runs(&mut self, samples: &[f64], middle: f64, bit: f64) {
        let guard = (GUARD * bit).ceil() as usize;
        for run in samples.chunk_by(|a, b| (*a > middle) == (*b > middle)) {
            let Some(inner) = run.get(guard..run.len().saturating_sub(guard)) else { continue };
            // Shorter than half a bit is a glitch.
            if inner.is_empty() || (run.len() as f64) < bit / 2.0 {
                continue;
            }
            let mean = inner.iter().sum::<f64>() / inner.len() as f64;
            let runs = if mean > middle { &mut self.high } else { &mut self.low };
            if runs.len() < MAX_RUNS {
                runs.push(mean);
            }
        }
    }

    /// Mean of `samples` within the gate, of pieces of equal length so that a spike moves one of them.
    fn mean_within(&mut self, samples: &[f64], gate: &[Range<usize>]) -> Option<f64> {
        self.high.clear();
        let piece = self.piece();
        for range in gate {
            let Some(x) = samples.get(range.start..range.end.min(samples.len())) else { continue };
            push_means(&mut self.high, x, piece);
        }
        (!self.high.is_empty()).then(|| middle_mean(&mut self.high))
    }

    /// Mean of `samples` that are at least a bit from every range of the gate.
    fn mean_outside(&mut self, samples: &[f64], gate: &[Range<usize>], bit: f64) -> Option<f64> {
        self.high.clear();
        let (away, piece) = (bit.ceil() as usize, self.piece());
        let mut from = 0;
        // Ranges in any order: walk from one to the next that begins after it.
        while from < samples.len() {
            let next = gate.iter().filter(|r| r.end.saturating_add(away) > from).min_by_key(|r| r.start);
            let until = next.map_or(samples.len(), |r| r.start.saturating_sub(away).min(samples.len()));
            if let Some(x) = samples.get(from..until) {
                push_means(&mut self.high, x, piece);
            }
            from = next.map_or(samples.len(), |r| r.end.saturating_add(away).max(from + 1));
        }
        (!self.high.is_empty()).then(|| middle_mean(&mut self.high))
    }

    fn piece(&self) -> usize {
        ((self.config.bit * self.config.rate) as usize).clamp(1, hal::sensor::MAX_BLOCK)
    }
}

/// Adds the means of pieces of `samples`; those that are no voltage are left out.
fn push_means(means: &mut Vec<f64>, samples: &[f64], piece: usize) {
    for x in samples.chunks(piece) {
        let fits = x.iter().all(|v| v.abs() <= MAX_VOLTS);
        if fits && means.len() < MAX_RUNS {
            means.push(x.iter().sum::<f64>() / x.len() as f64);
        }
    }
}

/// Mean of the middle half; of fewer than four values the mean of all. 0 of none.
fn middle_mean(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let quarter = values.len() / 4;
    let middle = &values[quarter..values.len() - quarter];
    middle.iter().sum::<f64>() / middle.len().max(1) as f64
}

#[cfg(test)]
mod tests;
