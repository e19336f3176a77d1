//! From raw values to about independent ones with spread 1: mean of a block, robust z, autoregressive filter,
//! winsorised at [`WINSOR`](super::WINSOR).
//!
//! Which of these are used is the baseline's choice. Once in about `1 / (1 - sum ar)` values the filter has
//! forgotten where it began; until then its first values are its own.

use super::winsorised;
use crate::baseline::{LEVEL_BOUND, MAX_ORDER, Model};

/// The filter for one baseline. Not kept over a restart: it fills again within a few blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Whiten {
    median: f64,
    scale: f64,
    block: u32,
    ar: [f64; MAX_ORDER],
    order: usize,
    centre: f64,
    sigma: f64,
    sum: f64,
    taken: u32,
    past: [f64; MAX_ORDER],
    filled: usize,
}

impl Whiten {
    /// The filter that `model` chose.
    pub fn new(model: &Model) -> Whiten {
        let mut ar = [0.0; MAX_ORDER];
        ar.iter_mut().zip(&model.ar).for_each(|(to, from)| *to = *from);
        Whiten {
            median: model.median,
            scale: model.scale,
            block: model.block,
            ar,
            order: model.ar.len().min(MAX_ORDER),
            centre: model.centre,
            sigma: model.sigma,
            sum: 0.0,
            taken: 0,
            past: [0.0; MAX_ORDER],
            filled: 0,
        }
    }

    /// Takes one raw value; gives a whitened one at the end of each block, none while the filter fills. A
    /// value that is not finite changes nothing.
    pub fn step(&mut self, x: f64) -> Option<f64> {
        if !x.is_finite() {
            return None;
        }
        self.sum += x / f64::from(self.block);
        self.taken += 1;
        if self.taken < self.block {
            return None;
        }
        let level = ((self.sum - self.median) / self.scale).clamp(-LEVEL_BOUND, LEVEL_BOUND);
        (self.sum, self.taken) = (0.0, 0);
        let predicted: f64 = self.ar.iter().zip(&self.past).map(|(a, p)| a * p).sum();
        self.past.rotate_right(1);
        self.past[0] = level;
        self.filled = (self.filled + 1).min(MAX_ORDER + 1);
        if self.filled <= self.order {
            return None;
        }
        winsorised((level - predicted - self.centre) / self.sigma)
    }

    /// Forgets the values before a gap.
    pub fn clear(&mut self) {
        (self.sum, self.taken, self.filled) = (0.0, 0, 0);
    }
}
