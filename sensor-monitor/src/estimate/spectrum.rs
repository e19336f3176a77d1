//! The spectrum for the eye, and distortion figures: THD, SNR and SINAD of a tone with harmonics.
//!
//! The picture is a Hann-windowed amplitude spectrum. The figures do not come from it: harmonics are fitted
//! by least squares at multiples of the estimated fundamental, so that neither the window nor the bins limit
//! them. The quantities are those of IEEE Std 1057.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{RealFftPlanner, RealToComplex};

use super::linear::Normal;
use super::tone::kernel::Grid;
use super::tone::{MAX_SAMPLE, MAX_SAMPLES, MAX_SNR_DB, MIN_BINS, MIN_SAMPLES, Tone, ToneEstimator, mixer};

/// Highest harmonic that can be asked for.
pub const MAX_HARMONIC: usize = 50;
/// What the picture shows for nothing, dB.
pub const FLOOR_DB: f64 = -300.0;
/// Times that fundamental and harmonics are fitted, each with the other taken away.
const ROUNDS: usize = 3;

/// The amplitude spectrum of windows of one length.
pub struct Spectrum {
    transform: Arc<dyn RealToComplex<f64>>,
    hann: Vec<f64>,
    work: Vec<f64>,
    bins: Vec<Complex64>,
    scratch: Vec<Complex64>,
    decibels: Vec<f64>,
}

impl std::fmt::Debug for Spectrum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spectrum").field("n", &self.work.len()).finish()
    }
}

impl Spectrum {
    /// For windows of `n` samples; `None` outside [`MIN_SAMPLES`] to [`MAX_SAMPLES`].
    pub fn new(n: usize) -> Option<Spectrum> {
        if !(MIN_SAMPLES..=MAX_SAMPLES).contains(&n) {
            return None;
        }
        let transform = RealFftPlanner::<f64>::new().plan_fft_forward(n);
        let hann = (0..n).map(|i| 0.5 - 0.5 * (2.0 * PI * i as f64 / n as f64).cos()).collect();
        let bins = transform.make_output_vec();
        let decibels = vec![FLOOR_DB; bins.len()];
        let scratch = transform.make_scratch_vec();
        Some(Spectrum { work: vec![0.0; n], hann, bins, scratch, decibels, transform })
    }

    /// Peak amplitude of each bin (`k rate / n` hertz) in dB against `reference`, at least [`FLOOR_DB`];
    /// `None` when `samples` is not one window, is not finite, or the reference not positive. A tone between
    /// two bins shows up to 1.4 dB low (scalloping of the Hann window).
    pub fn amplitudes(&mut self, samples: &[f64], reference: f64) -> Option<&[f64]> {
        let fits = samples.len() == self.work.len() && samples.iter().all(|x| x.abs() <= MAX_SAMPLE);
        let comparable = reference > 0.0 && reference.is_finite();
        if !fits || !comparable {
            return None;
        }
        for ((to, from), hann) in self.work.iter_mut().zip(samples).zip(&self.hann) {
            *to = from * hann;
        }
        self.transform.process_with_scratch(&mut self.work, &mut self.bins, &mut self.scratch).ok()?;
        // The mean of the window is a half; a line has half its peak on this side of zero.
        let n = self.hann.len();
        for (k, (db, bin)) in self.decibels.iter_mut().zip(&self.bins).enumerate() {
            let sides = if k == 0 || 2 * k == n { 1.0 } else { 2.0 };
            let level = 20.0 * (sides * 2.0 * (bin.re.hypot(bin.im) / n as f64) / reference).log10();
            *db = if level.is_nan() { FLOOR_DB } else { level.clamp(FLOOR_DB, -10.0 * FLOOR_DB) };
        }
        Some(&self.decibels)
    }
}

/// A tone and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distortion {
    /// The fundamental; its `snr_db` leaves the fitted harmonics out of the noise.
    pub fundamental: Tone,
    /// Root of the harmonics' power over the fundamental's, as a ratio (0.01 is one per cent).
    pub thd: f64,
    /// Fundamental over noise and distortion together, dB; at most [`MAX_SNR_DB`].
    pub sinad_db: f64,
    /// Harmonics fitted beside the fundamental: those below half the rate.
    pub harmonics: usize,
}

/// Measures [`Distortion`] of windows of one length.
#[derive(Debug)]
pub struct DistortionMeter {
    rate: f64,
    tone: ToneEstimator,
    grid: Grid,
    work: Vec<f64>,
    even: Normal,
    odd: Normal,
    /// Cosine and sine part of each multiple, the fundamental first.
    parts: [(f64, f64); MAX_HARMONIC],
    offset: f64,
}

impl DistortionMeter {
    /// For windows of `n` samples at `rate` hertz; `None` outside the limits of [`ToneEstimator::new`].
    pub fn new(n: usize, rate: f64) -> Option<DistortionMeter> {
        Some(DistortionMeter {
            rate,
            tone: ToneEstimator::new(n, rate)?,
            grid: Grid::new(n),
            work: vec![0.0; n],
            even: Normal::new(MAX_HARMONIC + 1),
            odd: Normal::new(MAX_HARMONIC),
            parts: [(0.0, 0.0); MAX_HARMONIC],
            offset: 0.0,
        })
    }

    /// Distortion with harmonics 2 to `highest` (at most [`MAX_HARMONIC`]); `None` when there is no tone.
    pub fn measure(&mut self, samples: &[f64], highest: usize) -> Option<Distortion> {
        let n = self.work.len() as f64;
        let mut fundamental = self.tone.estimate(samples)?;
        let mut count = 1;
        for round in 0..ROUNDS {
            let angle = 2.0 * PI * fundamental.frequency / self.rate;
            count = ((PI - 2.0 * PI * MIN_BINS / n) / angle).floor() as usize;
            count = count.min(highest.min(MAX_HARMONIC)).max(1);
            self.fit(samples, angle, count)?;
            if round + 1 < ROUNDS {
                self.work.copy_from_slice(samples);
                for (k, (a, b)) in self.parts[..count].iter().enumerate().skip(1) {
                    let angle = (k + 1) as f64 * angle;
                    mixer::subtract(&mut self.work, angle, -self.grid.centre(), *a, *b);
                }
                fundamental = self.tone.estimate(&self.work)?;
            }
        }
        self.answer(samples, fundamental, count)
    }

    /// Offset and `count` multiples of `angle`, by least squares. Cosines and sines decouple on centred time.
    fn fit(&mut self, samples: &[f64], angle: f64, count: usize) -> Option<()> {
        self.even.clear(count + 1);
        self.odd.clear(count);
        self.even.set(count, count, self.work.len() as f64);
        self.even.set_right(count, samples.iter().sum());
        for i in 0..count {
            let own = (i + 1) as f64 * angle;
            for j in 0..=i {
                let minus = self.grid.cos((i - j) as f64 * angle);
                let plus = self.grid.cos((i + j + 2) as f64 * angle);
                self.even.set(i, j, (minus + plus) / 2.0);
                self.odd.set(i, j, (minus - plus) / 2.0);
            }
            self.even.set(count, i, self.grid.cos(own));
            let (sum, _) = mixer::mix_with_slope(samples, own, -self.grid.centre());
            self.even.set_right(i, sum.re);
            self.odd.set_right(i, -sum.im);
        }
        let (cosines, _) = self.even.solve()?;
        let (sines, _) = self.odd.solve()?;
        for (part, (a, b)) in self.parts.iter_mut().zip(cosines.iter().zip(sines)) {
            *part = (*a, *b);
        }
        self.offset = cosines[count];
        Some(())
    }

    fn answer(&mut self, samples: &[f64], tone: Tone, count: usize) -> Option<Distortion> {
        let angle = 2.0 * PI * tone.frequency / self.rate;
        self.work.copy_from_slice(samples);
        for (k, (a, b)) in self.parts[..count].iter().enumerate() {
            mixer::subtract(&mut self.work, (k + 1) as f64 * angle, -self.grid.centre(), *a, *b);
        }
        let left: f64 = self.work.iter().map(|x| (x - self.offset) * (x - self.offset)).sum();
        let freedom = self.work.len().saturating_sub(2 * count + 2).max(1);
        let noise = left / freedom as f64;
        let power = |(a, b): (f64, f64)| (a * a + b * b) / 2.0;
        let own = power(self.parts[0]);
        let harmonics: f64 = self.parts[1..count].iter().map(|p| power(*p)).sum();
        let ratio_db = |of: f64| (10.0 * (own / of.max(own * 1e-300)).log10()).min(MAX_SNR_DB);
        let found = Distortion {
            fundamental: Tone { snr_db: ratio_db(noise), ..tone },
            thd: (harmonics / own).sqrt(),
            sinad_db: ratio_db(noise + harmonics),
            harmonics: count - 1,
        };
        let finite = found.thd.is_finite() && found.sinad_db.is_finite();
        (finite && found.fundamental.snr_db.is_finite()).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(n: usize, bins: f64, harmonics: &[(f64, f64)], offset: f64) -> Vec<f64> {
        let part = |t: f64, h: f64, a: f64| a * (2.0 * PI * bins * h * t / n as f64 + h).cos();
        (0..n).map(|i| offset + harmonics.iter().map(|(h, a)| part(i as f64, *h, *a)).sum::<f64>()).collect()
    }

    #[test]
    fn distortion_of_a_few_cycles_is_exact() {
        let n = 1000;
        let x = signal(n, 7.37, &[(1.0, 10.0), (2.0, 0.3), (3.0, 0.4), (7.0, 1.2)], 3.0);
        let found = DistortionMeter::new(n, 1000.0).unwrap().measure(&x, 50).unwrap();
        assert!((found.thd - 0.13).abs() < 1e-5, "{found:?}");
        assert!((found.sinad_db + 20.0 * 0.13_f64.log10()).abs() < 1e-3, "{found:?}");
        assert!((found.fundamental.frequency - 7.37).abs() < 1e-5 && found.harmonics == 49, "{found:?}");
    }

    #[test]
    fn a_line_on_a_bin_shows_its_peak() {
        let n = 512;
        let mut spectrum = Spectrum::new(n).unwrap();
        let shown = spectrum.amplitudes(&signal(n, 20.0, &[(1.0, 2.0)], 4.0), 1.0).unwrap();
        assert!((shown[20] - 6.0206).abs() < 1e-3 && (shown[0] - 12.0412).abs() < 1e-3);
        assert!(shown[60] < -200.0 && shown.iter().all(|db| *db >= FLOOR_DB));
    }

    #[test]
    fn what_cannot_be_shown_is_none() {
        let n = 128;
        let mut spectrum = Spectrum::new(n).unwrap();
        let mut meter = DistortionMeter::new(n, 1.0).unwrap();
        assert!(spectrum.amplitudes(&vec![0.0; n], 1.0).unwrap().iter().all(|db| *db == FLOOR_DB));
        for x in
            [vec![0.0; n], vec![7.0; n], vec![f64::NAN; n], vec![f64::INFINITY; n], vec![1e200; n], vec![]]
        {
            assert_eq!(meter.measure(&x, 50), None);
            let is_level = x.first().is_some_and(|v| v.abs() <= 7.0);
            assert_eq!(spectrum.amplitudes(&x, 1.0).is_some(), is_level);
        }
        assert!(spectrum.amplitudes(&vec![1.0; n], 0.0).is_none());
    }
}
