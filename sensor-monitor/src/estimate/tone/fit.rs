//! The joint least-squares fit of several tones and an offset: amplitude, phase and frequency of each.
//!
//! One step solves for all amplitudes and all frequency corrections together (the four-parameter fit of
//! IEEE Std 1057, for many tones). The data enter through two Fourier sums for each tone; the matrix is
//! known in closed form ([`Grid`]). With white noise the fixed point is the maximum-likelihood estimate.

use std::f64::consts::PI;

use super::WIDE;
use super::kernel::Grid;
use super::line::Line;
use super::mixer::Complex;
use crate::estimate::linear::Normal;

/// Most steps of one fit; from a start within a tenth of a bin three are enough.
const MAX_STEPS: usize = 8;
/// A correction below this share of a bin ends the fit: the next would be about its square.
const ENOUGH: f64 = 1e-5;
/// Largest correction in one step, in bins: beyond it the model is no longer linear.
const MAX_CORRECTION: f64 = 0.5;

/// One tone on the centred grid: `a cos(angle t) + b sin(angle t)`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Wave {
    /// Radians per sample, 0 to pi.
    pub(crate) angle: f64,
    /// Cosine part.
    pub(crate) a: f64,
    /// Sine part.
    pub(crate) b: f64,
}

impl Wave {
    /// Peak.
    pub(crate) fn amplitude(self) -> f64 {
        self.a.hypot(self.b)
    }

    /// Half the complex amplitude: what stands at the positive frequency.
    pub(crate) fn positive(self) -> Complex {
        Complex { re: self.a / 2.0, im: -self.b / 2.0 }
    }
}

/// One window as the fit reads it, scaled and without its mean.
#[derive(Debug, Clone)]
pub(super) struct Data {
    pub(super) samples: Vec<f64>,
    /// Sum of the samples: what rounding left of it.
    pub(super) total: f64,
    /// Sum of their squares.
    pub(super) energy: f64,
}

impl Data {
    /// `from` times `by`, less `mean`.
    pub(super) fn fill(&mut self, from: &[f64], by: f64, mean: f64) {
        let (mut total, mut energy) = ([0.0; WIDE], [0.0; WIDE]);
        let (to, to_rest) = self.samples.as_chunks_mut::<WIDE>();
        let (from, from_rest) = from.as_chunks::<WIDE>();
        for (to, from) in to.iter_mut().zip(from) {
            for lane in 0..WIDE {
                to[lane] = from[lane] * by - mean;
            }
            for lane in 0..WIDE {
                total[lane] += to[lane];
            }
            for lane in 0..WIDE {
                energy[lane] += to[lane] * to[lane];
            }
        }
        for (lane, (to, from)) in to_rest.iter_mut().zip(from_rest).enumerate() {
            *to = from * by - mean;
            total[lane] += *to;
            energy[lane] += *to * *to;
        }
        (self.total, self.energy) = (total.iter().sum(), energy.iter().sum());
    }
}

/// The fit, with its memory.
#[derive(Debug, Clone)]
pub(crate) struct Fit {
    grid: Grid,
    samples: usize,
    system: Normal,
    /// Level found beside the tones.
    pub(crate) offset: f64,
    /// Sum of squares left by the last fit.
    pub(crate) residual: f64,
}

impl Fit {
    /// A fit of at most `tones` tones to `samples` samples.
    pub(crate) fn new(samples: usize, tones: usize) -> Fit {
        Fit {
            grid: Grid::new(samples),
            samples,
            system: Normal::new(3 * tones + 1),
            offset: 0.0,
            residual: 0.0,
        }
    }

    /// Moves `waves` to the least-squares solution; `None` when two of them cannot be told apart or one has
    /// left the band. `lines` stand near `waves`.
    pub(super) fn solve(&mut self, data: &Data, lines: &mut [Line], waves: &mut [Wave]) -> Option<()> {
        for _ in 0..MAX_STEPS {
            let correction = self.step(data, lines, waves)?;
            if correction < ENOUGH {
                break;
            }
        }
        Some(())
    }

    /// One step; the largest correction of a frequency in bins.
    fn step(&mut self, data: &Data, lines: &mut [Line], waves: &mut [Wave]) -> Option<f64> {
        let n = self.samples as f64;
        let offset = 3 * waves.len();
        self.system.clear(offset + 1);
        self.system.set(offset, offset, n);
        self.system.set_right(offset, data.total);
        for (i, (wave, line)) in waves.iter().zip(lines).enumerate() {
            self.fill(i, waves, offset);
            line.approach(&data.samples, wave.angle);
            let (sum, slope) = line.sum_with_slope(&data.samples, wave.angle);
            // sum x cos, sum x sin, and the data along the frequency: t (b cos - a sin), t in windows.
            self.system.set_right(3 * i, sum.re);
            self.system.set_right(3 * i + 1, -sum.im);
            self.system.set_right(3 * i + 2, (wave.b * slope.re + wave.a * slope.im) / n);
        }
        let (x, explained) = self.system.solve()?;
        self.residual = (data.energy - explained).max(0.0);
        let mut largest = 0.0_f64;
        for (i, wave) in waves.iter_mut().enumerate() {
            (wave.a, wave.b) = (x[3 * i], x[3 * i + 1]);
            let bins = (x[3 * i + 2] / (2.0 * PI)).clamp(-MAX_CORRECTION, MAX_CORRECTION);
            wave.angle += bins * 2.0 * PI / n;
            if !(wave.angle > 0.0 && wave.angle < PI) {
                return None;
            }
            largest = largest.max(bins.abs());
        }
        self.offset = x[offset];
        Some(largest)
    }

    /// The products of the columns of wave `i` with those of the waves up to it and with the offset.
    fn fill(&mut self, i: usize, waves: &[Wave], offset: usize) {
        let n = self.samples as f64;
        let v = waves[i];
        for (j, w) in waves.iter().enumerate().take(i + 1) {
            let (minus, plus) = (self.grid.at(v.angle - w.angle), self.grid.at(v.angle + w.angle));
            let (row, column) = (3 * i, 3 * j);
            let even = (minus.cos + plus.cos) / 2.0;
            let odd = (minus.cos - plus.cos) / 2.0;
            // cos(v t) t sin(w t) and sin(v t) t cos(w t); with v and w exchanged the sign of `minus` turns.
            let cos_tsin = (plus.t_sin - minus.t_sin) / 2.0 / n;
            let sin_tcos = (plus.t_sin + minus.t_sin) / 2.0 / n;
            let tsin = (minus.tt_cos - plus.tt_cos) / 2.0 / (n * n);
            let tcos = (minus.tt_cos + plus.tt_cos) / 2.0 / (n * n);
            let (tsin_cos, tcos_sin) =
                ((plus.t_sin + minus.t_sin) / 2.0 / n, (plus.t_sin - minus.t_sin) / 2.0 / n);
            self.system.set(row, column, even);
            self.system.set(row + 1, column + 1, odd);
            self.system.set(row, column + 2, -w.a * cos_tsin);
            self.system.set(row + 1, column + 2, w.b * sin_tcos);
            self.system.set(row + 2, column, -v.a * tsin_cos);
            self.system.set(row + 2, column + 1, v.b * tcos_sin);
            self.system.set(row + 2, column + 2, v.a * w.a * tsin + v.b * w.b * tcos);
        }
        let alone = self.grid.at(v.angle);
        self.system.set(offset, 3 * i, alone.cos);
        self.system.set(offset, 3 * i + 2, -v.a * alone.t_sin / n);
    }
}
