//! From blocks of samples to one number at a time: a value, a tone's frequency, a level, the mains frequency.
//!
//! Quality comes first. A block that runs back in time, comes at another rate than the signal was set up for,
//! or holds what is no number, gives a bad reading and never a guess; a gap empties the window.

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Block, Flaw, Quality};
use serde::{Deserialize, Serialize};

use crate::estimate::level::rms::{Rms, decibels};
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
    gather: Vec<f64>,
    quality: Quality,
    began: Mono,
    period_ns: u64,
    after: Option<Mono>,
    tool: Tool,
}

enum Tool {
    None,
    Tone(Box<ToneEstimator>),
    Mains(Box<PhasorEstimator>),
}

impl Meter {
    pub(crate) fn new(measure: Measure, window: Duration) -> Meter {
        let (began, after) = (Mono(0), None);
        Meter {
            measure,
            window,
            gather: Vec::new(),
            quality: Quality::Good,
            began,
            period_ns: 0,
            after,
            tool: Tool::None,
        }
    }

    /// Takes a block; appends what can be read by now. True when samples were lost before it.
    pub(crate) fn take(&mut self, block: &Block, out: &mut Vec<Reading>) -> bool {
        let bad = |at, flaw| Reading { at, value: 0.0, quality: Quality::Bad(flaw) };
        if self.after.is_some_and(|end| block.at < end) {
            self.empty();
            out.push(bad(block.at, Flaw::ClockBack));
            return true;
        }
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
        self.after = Some(block.time_of(last) + Duration::from_nanos(1));
        if self.is_direct() {
            for (n, sample) in block.samples.iter().take(hal::sensor::MAX_BLOCK).enumerate() {
                let quality = if sample.is_finite() { block.quality } else { Quality::Bad(Flaw::NotFinite) };
                let value = if sample.is_finite() { *sample } else { 0.0 };
                out.push(Reading { at: block.time_of(n), value, quality });
            }
            return gap;
        }
        // A single sample says nothing of the rate.
        if block.samples.len() > 1 && self.changed_rate(block.period_ns) {
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
        for (n, sample) in block.samples.iter().take(hal::sensor::MAX_BLOCK).enumerate() {
            self.sample(block.time_of(n), *sample, block.quality, out);
        }
        gap
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

    fn sample(&mut self, at: Mono, sample: f64, quality: Quality, out: &mut Vec<Reading>) {
        let quality = if sample.is_finite() { quality } else { Quality::Bad(Flaw::NotFinite) };
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
        if self.gather.is_empty() {
            self.began = at;
            self.quality = Quality::Good;
        }
        self.quality = self.quality.and(quality);
        self.gather.push(sample);
        let full = match &self.tool {
            Tool::Tone(tool) => tool.window(),
            _ => self.samples(),
        };
        if self.gather.len() >= full {
            let middle = Mono(self.began.0 + at.since(self.began).as_nanos() as u64 / 2);
            out.push(self.read(middle));
            self.gather.clear();
        }
    }

    fn read(&mut self, at: Mono) -> Reading {
        let n = self.gather.len() as f64;
        let value = match (&self.measure, &mut self.tool) {
            _ if matches!(self.quality, Quality::Bad(_)) => None,
            (Measure::Value, _) => Some(self.gather.iter().sum::<f64>() / n),
            (Measure::Level(reference), _) => {
                let mut rms = Rms::default();
                rms.push(&self.gather, self.quality);
                decibels(rms.take().0, *reference)
            }
            (Measure::Frequency, Tool::Tone(tool)) => tool.estimate(&self.gather).map(|t| t.frequency),
            _ => None,
        };
        match value.filter(|v| v.is_finite()) {
            Some(value) => Reading { at, value, quality: self.quality },
            None if matches!(self.quality, Quality::Bad(_)) => {
                Reading { at, value: 0.0, quality: self.quality }
            }
            None => Reading { at, value: 0.0, quality: Quality::Bad(Flaw::NotMeasured) },
        }
    }

    fn empty(&mut self) {
        self.gather.clear();
        self.quality = Quality::Good;
        if let Tool::Mains(estimator) = &mut self.tool {
            estimator.restart();
        }
    }
}
