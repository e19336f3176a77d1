//! From blocks of samples to one number at a time: a value, a tone's frequency, a level, the mains frequency.
//!
//! Quality comes first. A block that runs back in time, comes at another rate than the signal was set up for,
//! or holds what is no number, gives a bad reading and never a guess; a gap empties the window.

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Block, Flaw, Quality};
use serde::{Deserialize, Serialize};

use crate::baseline::MOST;
use crate::estimate::level::rms::{decibels, energy};
use crate::estimate::phasor::{Class, Nominal, PhasorConfig, PhasorEstimator};
use crate::estimate::tone::{MAX_SAMPLES, MIN_SAMPLES, ToneEstimator};

/// What is measured of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The samples themselves, or their mean over the window where one is set.
    Value,
    /// Frequency of the strongest tone in the window, in hertz.
    Frequency,
    /// Root mean square over the window, in dB against this reference (in the samples' unit).
    Level(f64),
    /// Mains frequency after IEC/IEEE 60255-118-1, ten readings a second.
    Mains(Mains),
}

/// How mains are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mains {
    /// Nominal frequency.
    pub nominal: Nominal,
    /// Performance class: how much is filtered out, and how late a reading is for it.
    pub class: Class,
}

/// One number and what it is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The middle of what it was taken from.
    pub at: Mono,
    /// In the signal's unit; 0 when bad.
    pub value: f64,
    /// What it is worth.
    pub quality: Quality,
}

/// Turns blocks into readings.
pub(crate) struct Meter {
    measure: Measure,
    window: Duration,
    gather: Gather,
    quality: Quality,
    began: Mono,
    /// The sample before, unless some were lost since, and how far the last two lay apart: a window of values
    /// needs no rate.
    before: Option<Mono>,
    step_ns: u64,
    period_ns: u64,
    after: Option<Mono>,
    tool: Tool,
}

/// What a window holds so far. Sums take as many samples as come; only a tone needs them all.
#[derive(Default)]
struct Gather {
    count: u64,
    sum: f64,
    squares: f64,
    samples: Vec<f64>,
}

impl Gather {
    fn clear(&mut self) {
        self.samples.clear();
        (self.count, self.sum, self.squares) = (0, 0.0, 0.0);
    }
}

enum Tool {
    None,
    Tone(Box<ToneEstimator>),
    Mains(Box<PhasorEstimator>),
}

impl Meter {
    pub(crate) fn new(measure: Measure, window: Duration) -> Meter {
        Meter {
            measure,
            window,
            gather: Gather::default(),
            quality: Quality::Good,
            began: Mono(0),
            before: None,
            step_ns: 0,
            period_ns: 0,
            after: None,
            tool: Tool::None,
        }
    }

    /// Takes a block; appends what can be read by now. True when samples were lost before it.
    pub(crate) fn take(&mut self, block: &Block, out: &mut Vec<Reading>) -> bool {
        let bad = |at, flaw| Reading { at, value: 0.0, quality: Quality::Bad(flaw) };
        let mut gap = block.lost > 0;
        if gap {
            self.empty();
        }
        let Some(last) = block.samples.len().checked_sub(1) else {
            if let Quality::Bad(flaw) = block.quality {
                out.push(bad(block.at, flaw));
            }
            return gap;
        };
        if self.after.is_some_and(|end| block.at < end) {
            self.empty();
            out.push(bad(block.at, Flaw::ClockBack));
            return true;
        }
        self.after = Some(block.time_of(last) + Duration::from_nanos(1));
        if self.is_direct() {
            for (n, sample) in block.samples.iter().take(hal::sensor::MAX_BLOCK).enumerate() {
                out.push(worth(block.time_of(n), *sample, block.quality));
            }
            return gap;
        }
        // A sample without a period says nothing of the rate.
        if block.period_ns > 0 && self.changed_rate(block.period_ns) {
            // The first block sets the rate; another one later is a fault of the source.
            if self.period_ns != 0 {
                self.gather.clear();
                self.quality = Quality::Good;
                out.push(bad(block.at, Flaw::RateChanged));
                gap = true;
            }
            self.period_ns = block.period_ns;
            self.tool = self.make_tool();
        }
        if let Tool::Tone(_) = self.tool {
            self.tone(block, out);
            return gap;
        }
        self.others(block, out);
        gap
    }

    /// Takes a block sample by sample, and at once those that no window begins or ends with.
    fn others(&mut self, block: &Block, out: &mut Vec<Reading>) {
        let mut left = &block.samples[..block.samples.len().min(hal::sensor::MAX_BLOCK)];
        let mut taken = 0;
        while let Some((first, rest)) = left.split_first() {
            self.sample(block.time_of(taken), *first, block, out);
            taken += 1;
            let (inside, rest) = rest.split_at(self.room(block, taken).min(rest.len()));
            if !inside.is_empty() {
                self.quality = self.quality.and(worst(inside, block.quality));
                self.gather.count += inside.len() as u64;
                self.gather.sum += total(inside);
                self.gather.squares += energy(inside);
                taken += inside.len();
                (self.before, self.step_ns) = (Some(block.time_of(taken - 1)), block.period_ns);
            }
            left = rest;
        }
    }

    /// How many samples from `next` on leave the window of values that has begun open; 0 where each has to be asked.
    fn room(&self, block: &Block, next: usize) -> usize {
        let is_asked = matches!(self.tool, Tool::Mains(_)) || self.gather.count == 0;
        let period = u128::from(block.period_ns);
        if is_asked || period == 0 {
            return 0;
        }
        let passed = block.time_of(next).since(self.began).as_nanos() + period + period / 2;
        let left = self.window.as_nanos().saturating_sub(passed);
        usize::try_from(left.div_ceil(period)).unwrap_or(usize::MAX)
    }

    /// Takes a block for the windows of a tone, as far as each reaches. A window that lies whole in the block is
    /// measured where it lies.
    fn tone(&mut self, block: &Block, out: &mut Vec<Reading>) {
        let Tool::Tone(tool) = &mut self.tool else { return };
        let mut left = &block.samples[..block.samples.len().min(hal::sensor::MAX_BLOCK)];
        let mut taken = 0;
        while !left.is_empty() {
            if self.gather.count == 0 {
                (self.began, self.quality) = (block.time_of(taken), Quality::Good);
            }
            let missing = tool.window().saturating_sub(self.gather.samples.len()).max(1);
            let (part, rest) = left.split_at(missing.min(left.len()));
            self.quality = self.quality.and(worst(part, block.quality));
            self.gather.count += part.len() as u64;
            (left, taken) = (rest, taken + part.len());
            let is_whole = self.gather.samples.is_empty() && part.len() == missing;
            if !is_whole {
                self.gather.samples.extend_from_slice(part);
            }
            if part.len() == missing {
                let window = if is_whole { part } else { &self.gather.samples };
                let is_bad = matches!(self.quality, Quality::Bad(_));
                let tone = if is_bad { None } else { tool.estimate(window) };
                let at = middle(self.began, block.time_of(taken - 1));
                out.push(judged(at, tone.map(|t| t.frequency), self.quality));
                self.gather.clear();
            }
        }
    }

    /// Whether each sample is a reading.
    fn is_direct(&self) -> bool {
        self.measure == Measure::Value && self.window.is_zero()
    }

    fn changed_rate(&self, period_ns: u64) -> bool {
        let tolerance = self.period_ns / 100;
        period_ns.abs_diff(self.period_ns) > tolerance
    }

    fn rate(&self) -> f64 {
        if self.period_ns == 0 { 0.0 } else { 1e9 / self.period_ns as f64 }
    }

    /// Samples of a tone's window.
    fn samples(&self) -> usize {
        let wanted = self.window.as_nanos().checked_div(u128::from(self.period_ns)).unwrap_or(1);
        usize::try_from(wanted).unwrap_or(MAX_SAMPLES).clamp(1, MAX_SAMPLES)
    }

    fn make_tool(&self) -> Tool {
        match self.measure {
            Measure::Frequency => ToneEstimator::new(self.samples().max(MIN_SAMPLES), self.rate())
                .map_or(Tool::None, |t| Tool::Tone(Box::new(t))),
            Measure::Mains(Mains { nominal, class }) => {
                let config = PhasorConfig { class, rate: self.rate(), nominal, reports: 10, start: 0.0 };
                PhasorEstimator::new(config).map_or(Tool::None, |p| Tool::Mains(Box::new(p)))
            }
            Measure::Value | Measure::Level(_) => Tool::None,
        }
    }

    fn sample(&mut self, at: Mono, sample: f64, block: &Block, out: &mut Vec<Reading>) {
        let quality = finite(sample, block.quality);
        if let Tool::Mains(estimator) = &mut self.tool {
            self.quality = self.quality.and(quality);
            // The estimator knows which of its windows hold a sample that cannot be used; the flaw stays until
            // none does.
            let is_bad = matches!(quality, Quality::Bad(_));
            if let Some(phasor) = estimator.push(if is_bad { f64::NAN } else { sample }) {
                let reach = (estimator.reach() * 1e9) as u64;
                let quality = match (phasor.quality, self.quality) {
                    (Quality::Bad(Flaw::NotFinite), Quality::Bad(_)) => self.quality,
                    _ => phasor.quality.and(std::mem::take(&mut self.quality)),
                };
                out.push(Reading { at: Mono(at.0.saturating_sub(reach)), value: phasor.frequency, quality });
            }
            return;
        }
        let step = self.step(at, block.period_ns);
        // A hole that nobody counted: a window across it would mix what was before and after.
        if self.gather.count > 0 && at.since(self.began) >= self.window && self.measure != Measure::Frequency
        {
            self.gather.clear();
        }
        if self.gather.count == 0 {
            (self.began, self.quality) = (at, Quality::Good);
        }
        self.quality = self.quality.and(quality);
        self.gather.count += 1;
        self.gather.sum += sample;
        self.gather.squares += sample * sample;
        if self.fills(at, step) {
            out.push(self.read(middle(self.began, at)));
            self.gather.clear();
        }
    }

    /// How far the next sample will be: the block's period, else the lesser of the last two steps, as the last
    /// one may be a hole.
    fn step(&mut self, at: Mono, period_ns: u64) -> u64 {
        let step = self.before.replace(at).map_or(0, |before| at.since(before).as_nanos() as u64);
        let last = self.step_ns;
        if step > 0 {
            self.step_ns = step;
        }
        match (period_ns, step, last) {
            (0, 0, known) | (0, known, 0) => known,
            (0, step, last) => step.min(last),
            (period, ..) => period,
        }
    }

    /// Whether a window of values is full with the sample at `at`. It ends where the next sample would begin
    /// another, to the nearest: by its time, so that a change of the rate changes no window's length.
    fn fills(&self, at: Mono, step: u64) -> bool {
        let passed = (at.since(self.began).as_nanos() as u64).saturating_add(step);
        u128::from(passed.saturating_add(step / 2)) >= self.window.as_nanos()
    }

    fn read(&self, at: Mono) -> Reading {
        let n = self.gather.count as f64;
        let value = match &self.measure {
            _ if matches!(self.quality, Quality::Bad(_)) => None,
            Measure::Value => Some(self.gather.sum / n),
            Measure::Level(reference) => decibels((self.gather.squares / n).sqrt(), *reference),
            Measure::Frequency | Measure::Mains(_) => None,
        };
        judged(at, value, self.quality)
    }

    fn empty(&mut self) {
        self.gather.clear();
        self.before = None;
        self.quality = Quality::Good;
        if let Tool::Mains(estimator) = &mut self.tool {
            estimator.restart();
        }
    }
}

/// Between the first and the last of a window.
fn middle(began: Mono, last: Mono) -> Mono {
    Mono(began.0 + last.since(began).as_nanos() as u64 / 2)
}

/// What a window gave.
fn judged(at: Mono, value: Option<f64>, quality: Quality) -> Reading {
    match value.filter(|v| v.is_finite()) {
        Some(value) => worth(at, value, quality),
        None if matches!(quality, Quality::Bad(_)) => Reading { at, value: 0.0, quality },
        None => Reading { at, value: 0.0, quality: Quality::Bad(Flaw::NotMeasured) },
    }
}

/// A value, or why it is none that can be judged.
fn worth(at: Mono, value: f64, quality: Quality) -> Reading {
    let quality = match finite(value, quality) {
        Quality::Bad(flaw) => Quality::Bad(flaw),
        _ if value.abs() > MOST => Quality::Bad(Flaw::TooLarge),
        quality => quality,
    };
    Reading { at, value: if matches!(quality, Quality::Bad(_)) { 0.0 } else { value }, quality }
}

/// What a number is worth; a flaw that its source knows says more than that it is none.
fn finite(value: f64, quality: Quality) -> Quality {
    match quality {
        Quality::Good | Quality::Uncertain(_) if !value.is_finite() => Quality::Bad(Flaw::NotFinite),
        quality => quality,
    }
}

/// What the worst of some samples is worth.
fn worst(samples: &[f64], quality: Quality) -> Quality {
    finite(nothing(samples), quality)
}

/// 0 of finite samples, else NaN: no sample is asked by itself, so that several go at once.
fn nothing(samples: &[f64]) -> f64 {
    sum_of(samples, |x| x * 0.0)
}

fn total(samples: &[f64]) -> f64 {
    sum_of(samples, |x| x)
}

fn sum_of(samples: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let (whole, rest) = samples.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for x in whole {
        for lane in 0..LANES {
            sums[lane] += of(x[lane]);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|x| of(*x)).sum::<f64>()
}

/// Sums that run side by side.
const LANES: usize = 8;

#[cfg(test)]
mod tests;
