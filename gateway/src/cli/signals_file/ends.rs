//! The ends of a converter's range. A CSV file does not say where they are: a person does (`--range`), and where
//! nobody did, values that stand at the highest or lowest for a while are pointed out. They are not taken for
//! saturated by guess: a machine that stands still looks the same, and must stay an alarm.

use std::collections::BTreeSet;

use hal::sensor::{Block, Flaw, Quality};
use sensor_monitor::anomaly::Figure;
use sensor_monitor::baseline::MOST;

/// Lowest and highest value that the converter can say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ends {
    low: f64,
    high: f64,
}

impl Ends {
    /// `None` unless there are two numbers, the lower one first.
    pub(super) fn of(range: &[f64]) -> Option<Ends> {
        match range {
            [low, high] if low < high && (high - low).is_finite() => Some(Ends { low: *low, high: *high }),
            _ => None,
        }
    }

    fn is_at(self, x: f64) -> bool {
        x <= self.low || x >= self.high
    }
}

/// The block in pieces, of which those at an end of the range say so, and those too large to be judged.
pub(super) fn marked(block: Block, ends: Option<Ends>) -> Vec<Block> {
    let worth = |x: f64| match ends {
        _ if x.abs() > MOST && x.is_finite() => Quality::Bad(Flaw::TooLarge),
        Some(ends) if ends.is_at(x) => Quality::Uncertain(Flaw::Saturated),
        _ => Quality::Good,
    };
    if block.samples.iter().all(|x| worth(*x).is_good()) {
        return vec![block];
    }
    let mut pieces = Vec::new();
    let mut from = 0;
    for samples in block.samples.chunk_by(|a, b| worth(*a) == worth(*b)) {
        pieces.push(Block {
            at: block.time_of(from),
            period_ns: block.period_ns,
            samples: samples.to_vec(),
            lost: if from == 0 { block.lost } else { 0 },
            quality: block.quality.and(worth(samples[0])),
        });
        from += samples.len();
    }
    pieces
}

/// How long a record stands at its highest and its lowest value.
#[derive(Default)]
pub(super) struct Plateaus {
    highest: Plateau,
    lowest: Plateau,
    /// Different values, as bits, up to [`FINE`].
    values: BTreeSet<u64>,
}

#[derive(Default, Clone, Copy)]
struct Plateau {
    /// Negated for the lowest, so that both are a maximum.
    value: Option<f64>,
    count: u64,
    run: u64,
    longest: u64,
}

impl Plateau {
    #[allow(clippy::float_cmp)] // an exact repeat is the point
    fn take(&mut self, x: f64) {
        match self.value {
            Some(most) if x < most => self.run = 0,
            Some(most) if x == most => {
                (self.count, self.run) = (self.count + 1, self.run + 1);
                self.longest = self.longest.max(self.run);
            }
            _ => *self = Plateau { value: Some(x), count: 1, run: 1, longest: 1 },
        }
    }
}

impl Plateaus {
    pub(super) fn take(&mut self, block: &Block) {
        if !block.quality.is_good() {
            return;
        }
        for x in &block.samples {
            if self.values.len() < FINE {
                self.values.insert(x.to_bits());
            }
            self.highest.take(*x);
            self.lowest.take(-x);
        }
    }

    /// What to point out. A signal of a few values stands at its ends by nature.
    pub(super) fn notes(&self) -> Vec<String> {
        let rows = [("highest", self.highest, 1.0), ("lowest", self.lowest, -1.0)];
        let told = rows.into_iter().filter(|(_, p, _)| self.values.len() >= FINE && p.longest >= LONG);
        told.filter_map(|(name, p, sign)| {
            Some(format!(
                "{} samples stand at the {name} value, {}, up to {} in a row: is that the end of the converter's \
                 range? --range LOW,HIGH counts such as saturated",
                p.count,
                Figure(sign * p.value?),
                p.longest
            ))
        })
        .collect()
    }
}

/// A signal that has as many different values is no switch.
const FINE: usize = 64;
/// So many times the same extreme value in a row are no chance.
const LONG: u64 = 5;
