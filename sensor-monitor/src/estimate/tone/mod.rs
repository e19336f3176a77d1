//! Frequency, amplitude and phase of sinusoids in a window of real samples.
//!
//! Coarse by a real Fourier transform, refined by interpolation at half bins (Aboutanios and Mulgrew, IEEE
//! Trans. Signal Processing 53(4), 2005) with the leakage of the negative frequency taken away, and ended by a
//! joint least-squares fit. In white noise its errors are those of the Cramer-Rao bound;
//! `make bench NAME=signal-tone` measures the ratio.
//!
//! Limits: window [`MIN_SAMPLES`] to [`MAX_SAMPLES`]; tones from [`MIN_BINS`] above zero and below half the
//! sampling rate, [`MIN_SPACING_BINS`] apart; at most [`MAX_TONES`]. What cannot be told from noise is no tone.

mod fit;
pub(crate) mod kernel;
mod line;
pub(crate) mod mixer;
pub mod track;

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{RealFftPlanner, RealToComplex};

pub(crate) use self::fit::Wave;
use self::fit::{Data, Fit};
use self::kernel::Grid;
use self::line::Line;
use self::mixer::Complex;

/// Shortest window, samples.
pub const MIN_SAMPLES: usize = 64;
/// Longest window, samples: one [`hal::sensor::MAX_BLOCK`].
pub const MAX_SAMPLES: usize = hal::sensor::MAX_BLOCK;
/// Most tones that one call tells apart.
pub const MAX_TONES: usize = 8;
/// Lowest tone, and its distance from half the sampling rate, in bins of `rate / n`: below it a tone and an
/// offset or its own image cannot be told apart.
pub const MIN_BINS: f64 = 1.5;
/// Nearest distance of two tones, in bins.
pub const MIN_SPACING_BINS: f64 = 1.25;
/// Largest signal-to-noise ratio that is reported, dB: beyond it rounding is the noise.
pub const MAX_SNR_DB: f64 = 140.0;
/// Chance that white noise alone is called a tone, for each window.
pub const FALSE_ALARM: f64 = 1e-4;
/// Largest sample, in the caller's unit; beyond it squares overflow. Its inverse is the smallest.
pub const MAX_SAMPLE: f64 = 1e150;

/// Variance below this share of the mean square is the rounding of a constant.
const CONSTANT: f64 = 1e-24;
/// Sums that run side by side in one pass of reading.
const WIDE: usize = 8;
/// Interpolations at half bins before the fit.
const INTERPOLATIONS: usize = 2;
/// Farthest that one interpolation moves, bins; at half a bin its formula is 0 / 0.
const MAX_OFF: f64 = 0.49;

/// One sinusoid: `amplitude * cos(2 pi frequency t + phase)`, `t` in seconds from the first sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// Hertz.
    pub frequency: f64,
    /// Peak, in the samples' unit.
    pub amplitude: f64,
    /// Radians at the first sample, -pi to pi.
    pub phase: f64,
    /// Power of this tone over the power of all that is not a found tone, dB; at most [`MAX_SNR_DB`].
    pub snr_db: f64,
}

/// The tones of one window, strongest first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tones {
    tones: [Tone; MAX_TONES],
    count: usize,
}

impl std::ops::Deref for Tones {
    type Target = [Tone];
    fn deref(&self) -> &[Tone] {
        &self.tones[..self.count]
    }
}

/// Estimates tones in windows of one length. Allocates when made, not afterwards.
pub struct ToneEstimator {
    rate: f64,
    grid: Grid,
    transform: Arc<dyn RealToComplex<f64>>,
    data: Data,
    /// The transform uses it up.
    work: Vec<f64>,
    spectrum: Vec<Complex64>,
    scratch: Vec<Complex64>,
    fit: Fit,
    waves: [Wave; MAX_TONES],
    /// Where each wave is, or is looked for.
    lines: [Line; MAX_TONES],
}

impl std::fmt::Debug for ToneEstimator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToneEstimator").field("n", &self.window()).field("rate", &self.rate).finish()
    }
}

impl ToneEstimator {
    /// For windows of `n` samples at `rate` hertz; `None` outside the limits of this module.
    pub fn new(n: usize, rate: f64) -> Option<ToneEstimator> {
        let ticks = rate.is_finite() && rate > 0.0;
        if !(MIN_SAMPLES..=MAX_SAMPLES).contains(&n) || !ticks {
            return None;
        }
        let transform = RealFftPlanner::<f64>::new().plan_fft_forward(n);
        Some(ToneEstimator {
            rate,
            grid: Grid::new(n),
            data: Data { samples: vec![0.0; n], total: 0.0, energy: 0.0 },
            work: vec![0.0; n],
            spectrum: transform.make_output_vec(),
            scratch: transform.make_scratch_vec(),
            transform,
            fit: Fit::new(n, MAX_TONES),
            waves: [Wave::default(); MAX_TONES],
            // A channel asks for one tone.
            lines: std::array::from_fn(|k| if k == 0 { Line::new(n) } else { Line::plain(n) }),
        })
    }

    /// Samples in a window.
    pub fn window(&self) -> usize {
        self.work.len()
    }

    /// The strongest tone; `None` when `samples` is not one window, holds what is not finite, or holds no tone.
    pub fn estimate(&mut self, samples: &[f64]) -> Option<Tone> {
        self.estimate_multi(samples, 1).first().copied()
    }

    /// Up to `most` tones (at most [`MAX_TONES`]), fitted together, strongest first.
    pub fn estimate_multi(&mut self, samples: &[f64], most: usize) -> Tones {
        let none = Tones { tones: [NO_TONE; MAX_TONES], count: 0 };
        let Some(scale) = self.take(samples) else { return none };
        let (mut count, mut refused) = (0, false);
        while count < most.min(MAX_TONES) {
            let Some(wave) = self.strongest_left(count) else { break };
            let before = self.waves;
            self.waves[count] = wave;
            if !self.solve(count + 1) || !self.tells_apart(count + 1) {
                self.waves = before;
                refused = true;
                break;
            }
            count += 1;
        }
        // The fit of a refused tone has also moved the offset and the noise.
        if refused && count > 0 && !self.solve(count) {
            return none;
        }
        self.answer(scale, count).unwrap_or(none)
    }

    fn solve(&mut self, count: usize) -> bool {
        let (lines, waves) = (&mut self.lines[..count], &mut self.waves[..count]);
        self.fit.solve(&self.data, lines, waves).is_some()
    }

    /// Takes the window, scaled to at most 2 and without its mean; the scale. Two passes: what is summed first says
    /// whether there is a number that is none.
    fn take(&mut self, samples: &[f64]) -> Option<f64> {
        if samples.len() != self.window() {
            return None;
        }
        let (most, sum) = extent(samples);
        // `most` passes over NaN; the sum does not.
        if !sum.is_finite() || !(1.0 / MAX_SAMPLE..=MAX_SAMPLE).contains(&most) {
            return None;
        }
        // A power of two, so that scaling rounds nothing.
        let scale = f64::from_bits(most.to_bits() & f64::INFINITY.to_bits());
        let n = samples.len() as f64;
        let mean = sum / scale / n;
        self.data.fill(samples, 1.0 / scale, mean);
        self.work.copy_from_slice(&self.data.samples);
        self.fit.offset = 0.0;
        (self.data.energy > CONSTANT * (self.data.energy + n * mean * mean)).then_some(scale)
    }

    /// The strongest line that the first `count` waves do not explain, interpolated.
    fn strongest_left(&mut self, count: usize) -> Option<Wave> {
        let n = self.window();
        if count > 0 {
            self.remains(count);
        }
        self.transform.process_with_scratch(&mut self.work, &mut self.spectrum, &mut self.scratch).ok()?;
        let (low, high) = (MIN_BINS.ceil() as usize, n / 2 - MIN_BINS as usize);
        let peak = low + strongest(self.spectrum.get(low..high)?)?;
        let bin = 2.0 * PI / n as f64;
        let mut wave = Wave { angle: peak as f64 * bin, a: 0.0, b: 0.0 };
        self.lines[count].gather(&self.data.samples, wave.angle);
        for _ in 0..INTERPOLATIONS {
            let (right, left) = (wave.angle + bin / 2.0, wave.angle - bin / 2.0);
            let image = wave.positive().conj();
            let [right, left] = [right, left].map(|angle| {
                let sum = self.lines[count].sum(&self.data.samples, angle);
                sum - self.explained(angle, count) - image.scale(self.grid.cos(angle + wave.angle))
            });
            let (difference, sum) = (right - left, right + left);
            let power = sum.re * sum.re + sum.im * sum.im;
            if !(power > 0.0 && power.is_finite()) {
                return None;
            }
            let off = (difference.re * sum.re + difference.im * sum.im) / (2.0 * power);
            let off = off.clamp(-MAX_OFF, MAX_OFF);
            wave.angle = (wave.angle + off * bin).clamp(bin, PI - bin);
            // The two half bins hold the amplitude too: cos(pi off) / (pi (1/4 - off^2)) of it together.
            let own = sum.scale(2.0 * PI * (0.25 - off * off) / ((PI * off).cos() * n as f64));
            (wave.a, wave.b) = (own.re, -own.im);
        }
        Some(wave)
    }

    /// Leaves in `work` what the offset and the first `count` waves do not explain.
    fn remains(&mut self, count: usize) {
        for (to, from) in self.work.iter_mut().zip(&self.data.samples) {
            *to = from - self.fit.offset;
        }
        for wave in &self.waves[..count] {
            mixer::subtract(&mut self.work, wave.angle, -self.grid.centre(), wave.a, wave.b);
        }
    }

    /// The part of the sum at `angle` that the offset and the first `count` waves explain.
    fn explained(&self, angle: f64, count: usize) -> Complex {
        let offset = Complex { re: self.fit.offset * self.grid.cos(angle), im: 0.0 };
        self.waves[..count].iter().fold(offset, |sum, wave| {
            let own = wave.positive();
            let (near, image) = (self.grid.cos(angle - wave.angle), self.grid.cos(angle + wave.angle));
            sum + own.scale(near) + own.conj().scale(image)
        })
    }

    /// Noise power for each sample beside `count` waves.
    fn noise(&self, count: usize) -> f64 {
        let freedom = self.window() - 3 * count - 1;
        self.fit.residual / freedom as f64
    }

    /// Whether the last of `count` waves is a tone of its own: inside the band, away from the others, and
    /// stronger than the largest of `n / 2` noise lines (exponential, one in `1 / FALSE_ALARM` windows).
    fn tells_apart(&self, count: usize) -> bool {
        let n = self.window() as f64;
        let bin = 2.0 * PI / n;
        let (others, last) = self.waves[..count].split_at(count - 1);
        let last = last[0];
        let power = last.amplitude() * last.amplitude() * n / 4.0;
        let inside = (MIN_BINS * bin..=PI - MIN_BINS * bin).contains(&last.angle);
        let apart = others.iter().all(|w| (w.angle - last.angle).abs() >= MIN_SPACING_BINS * bin);
        inside && apart && power > self.noise(count) * (n / 2.0 / FALSE_ALARM).ln()
    }

    /// The waves as tones in the caller's units.
    fn answer(&self, scale: f64, count: usize) -> Option<Tones> {
        let mut tones = [NO_TONE; MAX_TONES];
        let noise = self.noise(count);
        for (tone, wave) in tones.iter_mut().zip(&self.waves[..count]) {
            let phase = (-wave.b).atan2(wave.a) - wave.angle * self.grid.centre();
            let power = wave.amplitude() * wave.amplitude() / 2.0;
            let snr_db = 10.0 * (power / noise.max(power * 1e-300)).log10();
            *tone = Tone {
                frequency: wave.angle / (2.0 * PI) * self.rate,
                amplitude: wave.amplitude() * scale,
                phase: wrap(phase),
                snr_db: snr_db.min(MAX_SNR_DB),
            };
            let finite = tone.frequency.is_finite() && tone.amplitude.is_finite();
            if !(finite && tone.phase.is_finite() && tone.snr_db.is_finite()) {
                return None;
            }
        }
        tones[..count].sort_unstable_by(|a, b| b.amplitude.total_cmp(&a.amplitude));
        Some(Tones { tones, count })
    }
}

const NO_TONE: Tone = Tone { frequency: 0.0, amplitude: 0.0, phase: 0.0, snr_db: 0.0 };

/// The largest absolute value, and the sum.
fn extent(samples: &[f64]) -> (f64, f64) {
    let (whole, rest) = samples.as_chunks::<WIDE>();
    let (mut most, mut sums) = ([0.0_f64; WIDE], [0.0; WIDE]);
    for x in whole {
        for lane in 0..WIDE {
            sums[lane] += x[lane];
        }
        for lane in 0..WIDE {
            most[lane] = larger(x[lane].abs(), most[lane]);
        }
    }
    let last = rest.iter().fold(0.0, |most, x| larger(x.abs(), most));
    (most.into_iter().fold(last, larger), sums.iter().sum::<f64>() + rest.iter().sum::<f64>())
}

/// `a` where it is larger: one instruction, other than `f64::max`, which has a word for NaN.
#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// The place of the strongest.
fn strongest(bins: &[Complex64]) -> Option<usize> {
    let (whole, rest) = bins.as_chunks::<WIDE>();
    let mut most = [0.0; WIDE];
    for bins in whole {
        for lane in 0..WIDE {
            most[lane] = larger(bins[lane].norm_sqr(), most[lane]);
        }
    }
    let last = rest.iter().fold(0.0, |most, bin| larger(bin.norm_sqr(), most));
    let most = most.into_iter().fold(last, larger);
    bins.iter().position(|bin| bin.norm_sqr() >= most)
}

/// `angle` brought to -pi to pi.
pub(crate) fn wrap(angle: f64) -> f64 {
    angle - (angle / (2.0 * PI)).round() * 2.0 * PI
}

#[cfg(test)]
mod tests;
