//! What a front-end's samples say of one frame: level, edges and the talker's clock.

use std::ops::Range;

use hal::sensor::{Flaw, Quality};

use crate::estimate::level::bus::{BusConfig, BusLevel, Level};
use crate::estimate::level::settle::settling;
use crate::estimate::timing::drift::DriftEstimator;

/// Most edges of one frame: 256 characters of 11 bits.
const MAX_EDGES: usize = 2816;
/// Edges that scatter more than this share of a bit are no comb: gaps between characters that are no whole bits.
const MAX_JITTER: f64 = 0.1;

/// What was measured of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Plateaus, and what they are worth.
    pub level: Level,
    /// What the edges lack after the crossing, seconds.
    pub settling: Option<f64>,
    /// How much longer than nominal the bits are, ppm.
    pub clock_ppm: Option<f64>,
}

impl Measured {
    /// Nothing: there is no front-end.
    pub const NOTHING: Measured =
        Measured { level: Level::bad(Flaw::NotMeasured), settling: None, clock_ppm: None };
}

/// Measures frames. Allocates when made, not afterwards.
#[derive(Debug, Clone)]
pub struct Probe {
    config: BusConfig,
    level: BusLevel,
    clock: DriftEstimator,
}

impl Probe {
    /// `None` when a rate, time or reference is not positive and finite.
    pub fn new(config: BusConfig) -> Option<Probe> {
        let clock = DriftEstimator::new(config.bit, MAX_EDGES)?;
        Some(Probe { config, level: BusLevel::new(config)?, clock })
    }

    /// The frame within `gate`, of the voltage `between` the wires.
    pub fn measure(&mut self, between: &[f64], gate: Range<usize>) -> Measured {
        let gate = gate.start.min(between.len())..gate.end.min(between.len());
        let level = self.level.measure(between, None, std::slice::from_ref(&gate));
        let Some(frame) = between.get(gate).filter(|_| level.quality == Quality::Good) else {
            return Measured { level, ..Measured::NOTHING };
        };
        let ends = (level.mark.min(level.space), level.mark.max(level.space));
        let BusConfig { rate, bit, .. } = self.config;
        let settling = settling(std::iter::once(frame), ends, rate, bit * rate);
        Measured { level, settling, clock_ppm: self.clock(frame, f64::midpoint(ends.0, ends.1)) }
    }

    /// Bit clock by least squares over the crossings of the middle.
    fn clock(&mut self, frame: &[f64], middle: f64) -> Option<f64> {
        self.clock.clear();
        for (at, pair) in frame.windows(2).enumerate() {
            let (a, b) = (pair[0] - middle, pair[1] - middle);
            if (a > 0.0) != (b > 0.0) {
                self.clock.push((at as f64 + a / (a - b)) / self.config.rate);
            }
        }
        let drift = self.clock.drift()?;
        (drift.jitter <= MAX_JITTER * self.config.bit).then_some(drift.ppm)
    }
}
