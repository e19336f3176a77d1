//! Before against after an update: did a signal change, by how much, and how sure is that.
//!
//! A [`Watch`] is opened when an update was accepted, with the values from before it. It gathers the values
//! after and compares level and spread, with the signal's own correlation time taken into account: a thousand
//! readings that follow each other closely are worth far fewer independent ones. It looks at fixed points in
//! time only, each with its share of the error it may make, and ends by itself.

use std::time::Duration;

use hal::clock::Mono;
use serde::{Deserialize, Serialize};

use crate::estimate::grid::{self, Grouped};

/// The watch over one signal after one update.
#[derive(Debug, Clone)]
pub struct Watch {
    opened: Mono,
    settings: Settings,
    before: Sample,
    after: Vec<f64>,
    looks: u32,
    finding: Option<Finding>,
    /// Median and spread of what is usual, for a signal that was away from it before the update.
    usual: Option<(f64, f64)>,
}

/// How a watch judges.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How long after the update values count; the restart of the controller must fit in.
    pub lasts: Duration,
    /// Values this soon after the update are not looked at: the controller restarts, the machine runs up.
    pub settles: Duration,
    /// Chance of calling an unchanged signal changed, over all looks of one watch.
    pub alpha: f64,
    /// Smallest change that matters, in standard deviations of the signal before.
    pub min_effect: f64,
    /// Readings per independent reading (integrated autocorrelation time, 1 for white noise).
    pub correlation: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            lasts: Duration::from_secs(3600),
            settles: Duration::from_secs(30),
            alpha: 1e-4,
            min_effect: 0.5,
            correlation: 1.0,
        }
    }
}

/// What a watch has found so far, or at its end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Median after minus median before, in standard deviations of before.
    pub effect: f64,
    /// Ends of the 95 % interval of `effect`.
    pub interval: (f64, f64),
    /// Spread after over spread before.
    pub spread_ratio: f64,
    /// Independent readings (before, after) it rests on.
    pub independent: (f64, f64),
    /// Whether level or spread changed by more than matters, at the confidence asked for.
    pub changed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    median: f64,
    sigma: f64,
    independent: f64,
    /// Readings that count as one for the error of the spread's logarithm.
    spread_error: f64,
    /// The grid that the values are on, where it is coarse: its step, and from how far on a value is wild.
    grid: Option<(f64, f64)>,
}

impl Watch {
    /// Opens a watch. `before` are good readings from before the update, newest last; `None` when fewer than
    /// [`MIN_READINGS`] of them are finite, or they say nothing (no independent readings).
    pub fn open(opened: Mono, before: &[f64], settings: Settings) -> Option<Watch> {
        let correlation = settings.correlation.clamp(1.0, 1e6);
        let settings = Settings { correlation, ..settings };
        let mut values: Vec<f64> = before.iter().copied().filter(|v| v.is_finite()).collect();
        let before = Sample::of(&mut values, settings.correlation, None)?;
        Some(Watch { opened, settings, before, after: Vec::new(), looks: 0, finding: None, usual: None })
    }

    /// A watch over a signal that was away from its usual median and spread before the update: that it comes back
    /// to them is no change.
    #[must_use]
    pub fn away_from(self, median: f64, sigma: f64) -> Watch {
        Watch { usual: Some((median, sigma)), ..self }
    }

    /// Whether a level, known from so many readings after the update, is surely another than just before it.
    pub(crate) fn is_further(&self, level: f64, readings: u64) -> bool {
        let independent = (readings as f64 / self.settings.correlation).max(1.0);
        let error =
            (std::f64::consts::FRAC_PI_2 * (1.0 / self.before.independent + 1.0 / independent)).sqrt();
        let sure = normal_quantile(1.0 - self.settings.alpha / f64::from(4u32 << LOOKS)) * error;
        let effect = (level - self.before.median).abs() / self.before.sigma;
        let is_back = self
            .usual
            .is_some_and(|(median, sigma)| (level - median).abs() < self.settings.min_effect * sigma);
        effect > sure.max(self.settings.min_effect) && !is_back
    }

    /// Whether this is what is usual.
    fn is_back(&self, after: &Sample) -> bool {
        self.usual.is_some_and(|(median, sigma)| {
            let spread = after.sigma / sigma;
            (after.median - median).abs() < self.settings.min_effect * sigma && (0.5..=2.0).contains(&spread)
        })
    }

    /// Takes one good reading; gives a finding when this look settles that the signal changed.
    pub fn reading(&mut self, at: Mono, value: f64) -> Option<Finding> {
        let age = at.since(self.opened);
        if !value.is_finite() || at < self.opened || age < self.settings.settles || self.is_over(at) {
            return None;
        }
        if self.after.len() < MAX_READINGS {
            self.after.push(value);
        }
        // Looks at 1/64, 1/32, ... of the watch: the last one has half of the error allowed.
        let share = age.as_secs_f64() / self.settings.lasts.as_secs_f64();
        let due = (LOOKS as f64 + share.log2()).floor();
        if due < f64::from(self.looks) || self.finding.is_some_and(|f| f.changed) {
            return None;
        }
        let look = due.max(0.0) as u32;
        self.looks = look + 1;
        let alpha = self.settings.alpha / f64::from(1u32 << (LOOKS - look.min(LOOKS - 1)));
        self.finding = self.compare(alpha).or(self.finding);
        self.finding.filter(|f| f.changed)
    }

    /// Whether the watch has run its time.
    pub fn is_over(&self, now: Mono) -> bool {
        now.since(self.opened) >= self.settings.lasts
    }

    /// The last word: what all readings say together. `None` when there were too few.
    pub fn conclude(mut self) -> Option<Finding> {
        match self.finding {
            // By then more readings say how much.
            Some(finding) if finding.changed => {
                let last =
                    self.compare(self.settings.alpha / 2.0).map(|last| Finding { changed: true, ..last });
                last.or(Some(finding))
            }
            _ => {
                self.finding = self.compare(self.settings.alpha / 2.0);
                self.finding
            }
        }
    }

    fn compare(&mut self, alpha: f64) -> Option<Finding> {
        let mut values = self.after.clone();
        let after = Sample::of(&mut values, self.settings.correlation, self.before.grid)?;
        let before = self.before;
        // The medians' own error; a median needs pi/2 times the readings of a mean.
        let error = (std::f64::consts::FRAC_PI_2
            * (1.0 / before.independent + (after.sigma / before.sigma).powi(2) / after.independent))
            .sqrt();
        let effect = (after.median - before.median) / before.sigma;
        let ratio = after.sigma / before.sigma;
        let spread_error =
            (before.spread_error / before.independent + after.spread_error / after.independent).sqrt();
        let wide = normal_quantile(1.0 - alpha / 4.0); // two sides, two questions
        let moved = effect.abs() - wide * error > 0.0 && effect.abs() >= self.settings.min_effect;
        let spread = ratio.ln().abs() - wide * spread_error > 0.0 && !(0.5..=2.0).contains(&ratio);
        Some(Finding {
            effect,
            interval: (effect - 1.96 * error, effect + 1.96 * error),
            spread_ratio: ratio,
            independent: (before.independent, after.independent),
            changed: (moved || spread) && !self.is_back(&after),
        })
    }
}

impl Sample {
    /// Median and spread; a signal that stands still has a spread of its resolution, or of rounding. On a coarse grid
    /// mean and standard deviation, of wild values pulled back; `grid` is that of the sample it is compared with.
    fn of(values: &mut [f64], correlation: f64, grid: Option<(f64, f64)>) -> Option<Sample> {
        if values.len() < MIN_READINGS {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        let steps = values.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0.0);
        let resolution = steps.fold(f64::INFINITY, f64::min);
        let median = values[values.len() / 2];
        let mad = spread(values, median);
        let independent = values.len() as f64 / correlation;
        if independent < 4.0 {
            return None;
        }
        let step = grid.map_or_else(|| grid::step(values), |(step, _)| step);
        if grid.is_some() || grid::is_coarse(mad / grid::MAD_TO_SIGMA, step) {
            let own = grid::reach(mad / grid::MAD_TO_SIGMA, step);
            let reach = grid.map_or(own, |(_, reach)| reach.max(own));
            let grouped = Grouped::of(values, median, reach);
            // ln of a standard deviation has variance (kurtosis - 1) / 4 n.
            let spread_error = ((grouped.kurtosis - 1.0) / 4.0).max(SPREAD_ERROR);
            let sigma = grouped.sd.max(step / 12f64.sqrt());
            let grid = Some((step, reach));
            return Some(Sample { median: grouped.mean, sigma, independent, spread_error, grid });
        }
        let floor = if resolution.is_finite() { resolution / 12f64.sqrt() } else { median.abs() * 1e-6 };
        let sigma = mad.max(floor).max(f64::MIN_POSITIVE.sqrt());
        Some(Sample { median, sigma, independent, spread_error: SPREAD_ERROR, grid: None })
    }
}

/// Robust standard deviation of some values about their median, 1.4826 MAD.
pub(crate) fn spread(values: &[f64], median: f64) -> f64 {
    let mut distance: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
    distance.sort_unstable_by(f64::total_cmp);
    1.4826 * distance.get(distance.len() / 2).copied().unwrap_or(0.0)
}

/// Quantile of the standard normal distribution (Acklam's rational approximation, error below 1.2e-9).
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let p = p.clamp(1e-300, 1.0 - 1e-16);
    let tail = |q: f64| {
        let numerator = C.iter().fold(0.0, |sum, c| sum * q + c);
        numerator / (D.iter().fold(0.0, |sum, d| sum * q + d) * q + 1.0)
    };
    if p < 0.024_25 {
        tail((-2.0 * p.ln()).sqrt())
    } else if p > 1.0 - 0.024_25 {
        -tail((-2.0 * (1.0 - p).ln()).sqrt())
    } else {
        let (q, r) = (p - 0.5, (p - 0.5) * (p - 0.5));
        let numerator = A.iter().fold(0.0, |sum, a| sum * r + a) * q;
        numerator / (B.iter().fold(0.0, |sum, b| sum * r + b) * r + 1.0)
    }
}

/// ln of a MAD-based spread has variance 1.36 / n for normal values (Rousseeuw and Croux 1993: 37 %).
const SPREAD_ERROR: f64 = 1.36;
/// Fewest readings on either side.
pub const MIN_READINGS: usize = 16;
/// Most readings kept of one watch.
pub const MAX_READINGS: usize = 16_384;
/// Looks at a watch's readings: at 1/64 of its time, 1/32, ... and at its end.
const LOOKS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    /// Normal enough: a sum of twelve uniform numbers.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f64 {
            let mut uniform = || {
                self.0 =
                    self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.0 >> 11) as f64 / (1u64 << 53) as f64
            };
            (0..12).map(|_| uniform()).sum::<f64>() - 6.0
        }
    }

    fn watch(seed: u64, change: impl Fn(f64) -> f64, settings: Settings) -> Option<Finding> {
        let mut noise = Noise(seed);
        let before: Vec<f64> = (0..600).map(|_| noise.next()).collect();
        let mut watch = Watch::open(Mono(0), &before, settings).unwrap();
        for second in 0..3599u64 {
            let found = watch.reading(Mono(second * 1_000_000_000), change(noise.next()));
            if found.is_some() {
                return found;
            }
        }
        watch.conclude()
    }

    #[test]
    fn an_unchanged_signal_is_not_called_changed() {
        let settings = Settings { alpha: 0.01, min_effect: 0.0, ..Settings::default() };
        let called = (0..400).filter(|seed| watch(*seed, |v| v, settings).is_some_and(|f| f.changed)).count();
        assert!(called <= 12, "{called} of 400 at 1 %");
    }

    #[test]
    fn a_shift_and_a_changed_spread_are_found_with_their_size() {
        let shifted = watch(7, |v| v + 1.0, Settings::default()).unwrap();
        assert!(shifted.changed && (shifted.effect - 1.0).abs() < 0.5, "{shifted:?}");
        assert!(shifted.interval.0 > 0.0, "{shifted:?}");
        let quiet = watch(8, |v| v * 0.1, Settings::default()).unwrap();
        assert!(quiet.changed && quiet.spread_ratio < 0.2, "{quiet:?}");
    }

    #[test]
    fn a_change_too_small_to_matter_is_reported_but_not_called() {
        let small = watch(9, |v| v + 0.2, Settings::default()).unwrap();
        assert!(!small.changed && small.interval.0 > 0.0, "{small:?}");
    }

    #[test]
    fn readings_that_follow_each_other_count_for_fewer() {
        let settings = Settings { correlation: 200.0, ..Settings::default() };
        let mut noise = Noise(1);
        let before: Vec<f64> = (0..600).map(|_| noise.next()).collect();
        assert!(Watch::open(Mono(0), &before, settings).is_none(), "three independent readings are none");
    }

    #[test]
    fn what_is_no_number_does_not_count() {
        let mut before = vec![1.0; 20];
        before[3] = f64::NAN;
        let mut watch = Watch::open(Mono(0), &before, Settings::default()).unwrap();
        for second in 31..100 {
            watch.reading(Mono(second * 1_000_000_000), f64::INFINITY);
        }
        assert_eq!(watch.conclude(), None);
    }

    #[test]
    fn quantiles_are_those_of_the_normal_distribution() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.999_975, 4.055_626_98), (0.01, -2.326_347_874)]
        {
            assert!((normal_quantile(p) - z).abs() < 1e-6, "{p}");
        }
    }
}
