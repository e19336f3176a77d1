//! One tone whose nominal frequency is known: a mixer in place of the transform.
//!
//! One pass multiplies the window by a table and sums it in [`BLOCKS`] parts; the parts then give frequency, amplitude
//! and phase by least squares, with the image and the offset taken away. For a fixed line (mains ripple, a
//! commanded drive) this is several times as fast as [`super::ToneEstimator`] and as exact, as long as the
//! tone is within [`MAX_OFF_BINS`] of its nominal frequency and alone within `BLOCKS / 2` bins.

use std::f64::consts::PI;

use super::kernel::Grid;
use super::mixer::Complex;
use super::{FALSE_ALARM, MAX_SAMPLE, MAX_SAMPLES, MAX_SNR_DB, MIN_SAMPLES, Tone, wrap};

/// Parts of the window.
pub const BLOCKS: usize = 16;
/// Largest distance from the nominal frequency, in bins of `rate / n`; at the edge 0.2 dB is lost.
pub const MAX_OFF_BINS: f64 = 2.0;
/// Lowest nominal frequency and its distance from half the rate, in bins: nearer, the image stands in the
/// same parts as the tone.
pub const MIN_NOMINAL_BINS: f64 = 12.0;

const MAX_STEPS: usize = 30;
/// A change below this ends the steps. Each leaves up to a third of the one before, as image and offset are those of
/// the last step.
const ENOUGH_BINS: f64 = 1e-8;
/// Pairs of samples that are taken side by side.
const WIDE: usize = 4;

/// Follows one tone near a nominal frequency, window by window.
#[derive(Debug, Clone)]
pub struct ToneTracker {
    n: usize,
    rate: f64,
    angle: f64,
    length: usize,
    /// Cosine and sine of the nominal frequency about the middle of a part, in its first half: the second mirrors it,
    /// and every part is the same.
    cos: Vec<f64>,
    sin: Vec<f64>,
    /// `exp(-j angle t)` at the middle of each part, and of twice the angle: how offset and image turn from part to
    /// part.
    turns: [Complex; BLOCKS],
    image_turns: [Complex; BLOCKS],
    /// What a part holds of an offset of 1.
    offset_gain: f64,
    parts: [Complex; BLOCKS],
}

/// What the steps of one window move.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Radians per sample beside the nominal.
    off: f64,
    /// Half the complex amplitude at the middle of the used samples.
    positive: Complex,
    offset: f64,
}

impl ToneTracker {
    /// For windows of `n` samples at `rate` hertz and a tone near `nominal` hertz; `None` outside the limits.
    /// Of each window the last `n % BLOCKS` samples are not used.
    pub fn new(n: usize, rate: f64, nominal: f64) -> Option<ToneTracker> {
        let limits = (MIN_SAMPLES..=MAX_SAMPLES).contains(&n) && rate.is_finite() && rate > 0.0;
        let bins = nominal / rate * n as f64;
        if !limits || !(MIN_NOMINAL_BINS..=n as f64 / 2.0 - MIN_NOMINAL_BINS).contains(&bins) {
            return None;
        }
        let angle = 2.0 * PI * nominal / rate;
        let length = n / BLOCKS;
        let grid = Grid::new(length);
        let angles = || (0..length / 2).map(|i| angle * (i as f64 - grid.centre()));
        let turns = |angle: f64| std::array::from_fn(|b| Complex::polar(1.0, -angle * middle_of(b, length)));
        Some(ToneTracker {
            n,
            rate,
            angle,
            length,
            cos: angles().map(f64::cos).collect(),
            sin: angles().map(f64::sin).collect(),
            turns: turns(angle),
            image_turns: turns(2.0 * angle),
            offset_gain: grid.cos(angle),
            parts: [Complex::default(); BLOCKS],
        })
    }

    /// The tone of one window; `None` when `samples` is not one window, is not finite, or holds no such tone.
    pub fn estimate(&mut self, samples: &[f64]) -> Option<Tone> {
        if samples.len() != self.n {
            return None;
        }
        let used = self.length * BLOCKS;
        let samples = &samples[..used];
        let (mut total, mut energy) = (0.0, 0.0);
        let parts = self.parts.iter_mut().zip(&self.turns).zip(samples.chunks_exact(self.length));
        for ((part, turn), x) in parts {
            let sums = correlate(x, &self.cos, &self.sin);
            *part = sums.product * *turn;
            total += sums.total;
            energy += sums.energy;
        }
        if !total.is_finite() || !(1.0 / MAX_SAMPLE..MAX_SAMPLE).contains(&energy) {
            return None;
        }
        let grid = Grid::new(used);
        let bin = 2.0 * PI / used as f64;
        let mut state = State { off: self.coarse(), ..State::default() };
        for _ in 0..MAX_STEPS {
            let step = self.step(&mut state, grid, total)?;
            if step.abs() < ENOUGH_BINS * bin {
                break;
            }
        }
        self.answer(state, grid, energy)
    }

    /// Frequency from the turn between neighbouring parts.
    fn coarse(&self) -> f64 {
        let turn = self.parts.windows(2).fold(Complex::default(), |sum, p| sum + p[1] * p[0].conj());
        turn.angle() / self.length as f64
    }

    /// One step of least squares with the last image and offset taken away; the change of `off`.
    fn step(&self, state: &mut State, grid: Grid, total: f64) -> Option<f64> {
        let part = Grid::new(self.length);
        let gain = part.cos(state.off);
        let image = state.positive.conj().scale(part.cos(2.0 * self.angle + state.off));
        let offset = state.offset * self.offset_gain;
        let (mut sum, mut slope, mut spread) = (Complex::default(), Complex::default(), 0.0);
        let apart = self.length as f64;
        // The tone beside its nominal turns on from part to part.
        let mut at = Complex::polar(1.0, -state.off * middle_of(0, self.length));
        let turn = Complex::polar(1.0, -state.off * apart);
        for (b, z) in self.parts.iter().enumerate() {
            let centre = middle_of(b, self.length);
            let others = self.turns[b].scale(offset) + image * self.image_turns[b] * at;
            let clean = (*z - others) * at;
            sum = sum + clean;
            slope = slope + clean.scale(centre);
            spread += centre * centre;
            at = at * turn;
        }
        state.positive = sum.scale(1.0 / (gain * BLOCKS as f64));
        let p = state.positive;
        let power = p.re * p.re + p.im * p.im;
        let change = (p.conj() * slope).im / (gain * power * spread);
        if !change.is_finite() {
            return None;
        }
        let bin = 2.0 * PI / (apart * BLOCKS as f64);
        let change = change.clamp(-bin / 2.0, bin / 2.0);
        state.off += change;
        state.offset = (total - 2.0 * p.re * grid.cos(self.angle + state.off)) / (apart * BLOCKS as f64);
        Some(change)
    }

    fn answer(&self, state: State, grid: Grid, energy: f64) -> Option<Tone> {
        let used = (self.length * BLOCKS) as f64;
        let angle = self.angle + state.off;
        let amplitude = 2.0 * state.positive.size();
        let power = amplitude * amplitude / 2.0;
        // Energy of tone and offset with their cross term; what is left is noise.
        let p = state.positive;
        let tone = 2.0 * power / 2.0 * used + 2.0 * (p * p).re * grid.cos(2.0 * angle);
        let level = state.offset * (state.offset * used + 4.0 * p.re * grid.cos(angle));
        let noise = ((energy - tone - level) / (used - 4.0)).max(power * 10_f64.powf(-MAX_SNR_DB / 10.0));
        let near = state.off.abs() <= (MAX_OFF_BINS + 0.5) * 2.0 * PI / used;
        let is_tone = power * used / 2.0 > noise * (BLOCKS as f64 / FALSE_ALARM).ln();
        let tone = Tone {
            frequency: angle / (2.0 * PI) * self.rate,
            amplitude,
            phase: wrap(p.angle() - angle * grid.centre()),
            snr_db: 10.0 * (power / noise).log10(),
        };
        let finite = tone.frequency.is_finite() && tone.amplitude.is_finite() && tone.phase.is_finite();
        (near && is_tone && finite && tone.snr_db.is_finite()).then_some(tone)
    }
}

/// The middle of part `b` of those of `length`, in samples from the middle of the window.
fn middle_of(b: usize, length: usize) -> f64 {
    (b as f64 - (BLOCKS as f64 - 1.0) / 2.0) * length as f64
}

/// What one pass takes from a part.
struct Sums {
    /// `sum x (cos - j sin)`.
    product: Complex,
    total: f64,
    energy: f64,
}

/// One part, by mirrored pairs: they share their cosine, and their sine but for the sign. `cos` and `sin` are of its
/// first half.
fn correlate(part: &[f64], cos: &[f64], sin: &[f64]) -> Sums {
    let half = part.len() / 2;
    let (front, back) = (&part[..half], &part[part.len() - half..]);
    let (mut re, mut im) = ([0.0; WIDE], [0.0; WIDE]);
    let (mut total, mut energy) = ([0.0; WIDE], [0.0; WIDE]);
    let (front, front_rest) = front.as_chunks::<WIDE>();
    let (back_rest, back) = back.as_rchunks::<WIDE>();
    let (c, c_rest) = cos.as_chunks::<WIDE>();
    let (s, s_rest) = sin.as_chunks::<WIDE>();
    for (((a, b), c), s) in front.iter().zip(back.iter().rev()).zip(c).zip(s) {
        let even: [f64; WIDE] = std::array::from_fn(|lane| a[lane] + b[WIDE - 1 - lane]);
        let odd: [f64; WIDE] = std::array::from_fn(|lane| a[lane] - b[WIDE - 1 - lane]);
        for lane in 0..WIDE {
            re[lane] += even[lane] * c[lane];
        }
        for lane in 0..WIDE {
            im[lane] += odd[lane] * s[lane];
        }
        for lane in 0..WIDE {
            total[lane] += even[lane];
        }
        // The squares of sum and difference are twice those of the two.
        for lane in 0..WIDE {
            energy[lane] += even[lane] * even[lane] + odd[lane] * odd[lane];
        }
    }
    let rest = front_rest.iter().zip(back_rest.iter().rev()).zip(c_rest).zip(s_rest);
    for (lane, (((a, b), c), s)) in rest.enumerate() {
        re[lane] += (a + b) * c;
        im[lane] += (a - b) * s;
        total[lane] += a + b;
        energy[lane] += 2.0 * (a * a + b * b);
    }
    let middle = if part.len() % 2 == 1 { part[half] } else { 0.0 };
    let sum = |lanes: [f64; WIDE]| lanes.iter().sum::<f64>();
    Sums {
        product: Complex { re: sum(re) + middle, im: -sum(im) },
        total: sum(total) + middle,
        energy: sum(energy) / 2.0 + middle * middle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(n: usize, f: f64, offset: f64) -> Vec<f64> {
        (0..n).map(|i| offset + 2.0 * (2.0 * PI * f * i as f64 + 0.4).cos()).collect()
    }

    #[test]
    fn a_clean_tone_beside_its_nominal_is_found() {
        for n in [256, 1000, 4096] {
            for off in [-2.0, -0.4, 0.0, 0.7, 2.0] {
                let nominal = 0.13;
                let f = nominal + off / n as f64;
                let mut tracker = ToneTracker::new(n, 1.0, nominal).unwrap();
                let found = tracker.estimate(&tone(n, f, 0.5)).unwrap();
                assert!((found.frequency - f).abs() < 1e-9, "{n} {off} {}", found.frequency - f);
                assert!((found.amplitude - 2.0).abs() < 1e-6, "{n} {off} {found:?}");
                assert!((found.phase - 0.4).abs() < 1e-6 && found.snr_db > 80.0, "{n} {off} {found:?}");
            }
        }
    }

    #[test]
    fn what_is_not_the_tone_is_none() {
        let n = 1024;
        let mut tracker = ToneTracker::new(n, 1.0, 0.13).unwrap();
        for (what, x) in [
            ("zeros", vec![0.0; n]),
            ("a constant", vec![3.0; n]),
            ("another frequency", tone(n, 0.2, 0.0)),
            ("NaN", vec![f64::NAN; n]),
            ("infinity", vec![f64::INFINITY; n]),
            ("huge", vec![1e300; n]),
            ("short", tone(n - 1, 0.13, 0.0)),
        ] {
            assert_eq!(tracker.estimate(&x), None, "{what}");
        }
    }
}
