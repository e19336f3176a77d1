//! Mains phasor, frequency and rate of change of frequency (ROCOF) of one voltage or current, at fixed
//! instants: IEC/IEEE 60255-118-1:2018 class P or M, from a single phase.
//!
//! The reference filter of Annex D is meant for three phases, whose sum has no image. With one phase the
//! negative frequency leaks in as soon as the mains is off nominal; here it is solved for and taken away, and
//! a second pass fits mixing frequency and window to the frequency of the first. All passes look at the
//! same instant: no report depends on another one.
//!
//! It reads no clock: time is the number of the sample over the rate, from the `start` that the caller gives.
//! `make bench NAME=signal-mains` measures it against the limits of its class as recalled, without noise.

mod class;
mod window;

use std::f64::consts::PI;

use hal::sensor::{Flaw, Quality};
use serde::{Deserialize, Serialize};

pub use self::class::Class;
use self::class::{Plan, Span};
use self::window::Window;
use super::tone::mixer::Complex;
use super::tone::wrap;

/// Fewest samples in one nominal cycle.
pub const MIN_SAMPLES_PER_CYCLE: f64 = 32.0;
/// Most samples each second.
pub const MAX_RATE: f64 = 1e6;
/// Fewest reports each second.
pub const MIN_REPORTS: u32 = 10;
/// Frequencies farther than this from nominal, in hertz, are reported as uncertain: the 5 Hz of class M, and
/// what rounding and interference add at their end.
pub const MAX_DEVIATION: f64 = 5.2;
/// Smallest r.m.s. value that has a phase, as a share of the largest sample in the window.
pub const MIN_SHARE: f64 = 1e-3;
/// Largest sample; beyond it squares overflow.
pub const MAX_SAMPLE: f64 = 1e150;

/// Hertz each second up to which gain and image follow a ramp; what is faster is a step of phase, where
/// following would overshoot. Islands reach 2.5 Hz/s.
const MAX_CHIRP: f64 = 5.0;
/// Passes over the image and the gain for each window.
const IMAGE_PASSES: usize = 6;

/// Nominal mains frequency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nominal {
    /// 50 Hz.
    #[serde(rename = "50")]
    Fifty,
    /// 60 Hz.
    #[serde(rename = "60")]
    Sixty,
}

impl Nominal {
    /// Cycles each second.
    pub const fn cycles(self) -> u32 {
        match self {
            Nominal::Fifty => 50,
            Nominal::Sixty => 60,
        }
    }

    /// Hertz.
    pub fn hertz(self) -> f64 {
        f64::from(self.cycles())
    }
}

/// How one phase is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhasorConfig {
    /// Performance class.
    pub class: Class,
    /// Samples each second, as the converter's clock really is.
    pub rate: f64,
    /// Nominal mains frequency.
    pub nominal: Nominal,
    /// Reports each second, [`MIN_REPORTS`] to the nominal frequency, or twice that in class P.
    pub reports: u32,
    /// Seconds from a report instant (a whole second of UTC) to the first sample; 0 or more.
    pub start: f64,
}

/// One report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phasor {
    /// The instant it is of, seconds on the time line of [`PhasorConfig::start`].
    pub at: f64,
    /// Root mean square, in the samples' unit.
    pub magnitude: f64,
    /// Radians against a cosine of nominal frequency that peaks at time 0 (a synchrophasor's angle).
    pub angle: f64,
    /// Hertz.
    pub frequency: f64,
    /// Hertz each second.
    pub rocof: f64,
    /// What these are worth; they are zero when it is bad.
    pub quality: Quality,
}

/// Makes phasors of one phase. Allocates when made, not afterwards.
#[derive(Debug, Clone)]
pub struct PhasorEstimator {
    config: PhasorConfig,
    plan: Plan,
    window: Window,
    /// Number of the next report on the time line.
    next: u64,
    /// The number after that of the last sample that was not finite.
    unfit_until: u64,
    /// Largest sample lately, halved every second or so.
    largest: f64,
}

/// What one pass finds.
#[derive(Debug, Clone, Copy)]
struct Found {
    phasor: Complex,
    frequency: f64,
    rocof: f64,
}

impl PhasorEstimator {
    /// `None` when `config` is outside the limits of this module.
    pub fn new(config: PhasorConfig) -> Option<PhasorEstimator> {
        let nominal = config.nominal.hertz();
        let rates = (MIN_SAMPLES_PER_CYCLE * nominal..=MAX_RATE).contains(&config.rate);
        if !rates || config.reports < MIN_REPORTS || !(0.0..86_400.0).contains(&config.start) {
            return None;
        }
        let plan = Plan::new(config.class, config.nominal, config.reports)?;
        let mut made = PhasorEstimator {
            config,
            plan,
            window: Window::new(config.rate, 0.0),
            next: 0,
            unfit_until: 0,
            largest: 0.0,
        };
        made.window = Window::new(config.rate, 2.0 * made.reach());
        made.next = made.first();
        Some(made)
    }

    /// Begins anew, as when made, with the next sample at `start`. Allocates nothing.
    pub fn restart(&mut self) {
        self.window.clear();
        (self.next, self.unfit_until, self.largest) = (self.first(), 0, 0.0);
    }

    /// Number of the first report that has a whole window.
    fn first(&self) -> u64 {
        ((self.config.start + self.reach()) * f64::from(self.config.reports)).ceil() as u64
    }

    /// Seconds of samples needed on each side of a report's instant: the latency.
    pub fn reach(&self) -> f64 {
        self.plan.reach(self.config.nominal)
    }

    /// Takes the next sample; a report when its window is complete.
    pub fn push(&mut self, sample: f64) -> Option<Phasor> {
        let fit = sample.abs() <= MAX_SAMPLE;
        let number = self.window.push(if fit { sample } else { 0.0 });
        if !fit {
            self.unfit_until = number + 1;
        } else {
            self.largest = sample.abs().max(self.largest * (1.0 - 1.0 / self.config.rate));
        }
        let at = self.next as f64 / f64::from(self.config.reports);
        let centre = (at - self.config.start) * self.config.rate;
        let reach = self.reach() * self.config.rate;
        if (number as f64) < centre + reach {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let clean = self.unfit_until as f64 <= centre - reach;
        Some(self.report(number, at, centre, clean))
    }

    fn report(&self, number: u64, at: f64, centre: f64, clean: bool) -> Phasor {
        let bad = |flaw| Phasor {
            at,
            magnitude: 0.0,
            angle: 0.0,
            frequency: 0.0,
            rocof: 0.0,
            quality: Quality::Bad(flaw),
        };
        if !clean {
            return bad(Flaw::NotFinite);
        }
        let nominal = self.config.nominal.hertz();
        let Plan { first, next, times } = self.plan;
        let mut found = self.pass(centre, nominal, nominal, first);
        if !found.frequency.is_finite() || found.phasor.size() <= MIN_SHARE * self.largest {
            return bad(Flaw::NotMeasured);
        }
        for _ in 0..times {
            let follow = found.frequency.clamp(nominal - next.follow, nominal + next.follow);
            found = self.pass(centre, follow, found.frequency, next);
        }
        // Whole cycles of the reference until `at`, in integers: exact after any time.
        let reports = u64::from(self.config.reports);
        let part = (number % reports) * u64::from(self.config.nominal.cycles()) % reports;
        let reference = 2.0 * PI * part as f64 / reports as f64;
        let phasor = Phasor {
            at,
            magnitude: found.phasor.size(),
            angle: wrap(found.phasor.angle() - reference),
            frequency: found.frequency,
            rocof: found.rocof,
            quality: match (found.frequency - nominal).abs() <= MAX_DEVIATION {
                true => Quality::Good,
                false => Quality::Uncertain(Flaw::NotMeasured),
            },
        };
        let finite = phasor.magnitude.is_finite() && phasor.angle.is_finite();
        if finite && phasor.frequency.is_finite() && phasor.rocof.is_finite() {
            phasor
        } else {
            bad(Flaw::NotMeasured)
        }
    }

    /// Three windows about `centre`, mixed at `mixing` hertz, with gain and image corrected for the frequency
    /// that they show together, near `expected`.
    fn pass(&self, centre: f64, mixing: f64, expected: f64, span: Span) -> Found {
        let (shape, apart) = (span.shape(1.0 / mixing), span.apart(1.0 / mixing));
        let times = [-apart, 0.0, apart];
        let mixed = times.map(|t| self.window.mix(centre + t * self.config.rate, mixing, expected, shape));
        // The outer windows turn by this much against the middle one, were the signal at `mixing`.
        let turn = 2.0 * PI * mixing * apart;
        let mut found = Found { phasor: mixed[1].raw, frequency: expected, rocof: 0.0 };
        for _ in 0..IMAGE_PASSES {
            let chirp = 2.0 * PI * found.rocof.clamp(-MAX_CHIRP, MAX_CHIRP);
            let x: [Complex; 3] = std::array::from_fn(|i| {
                let off = 2.0 * PI * (found.frequency - expected) + chirp * times[i];
                without_image(
                    mixed[i].raw,
                    mixed[i].direct.gain(off, chirp),
                    mixed[i].image.gain(-off, -chirp),
                )
            });
            let back = wrap((x[1] * x[0].conj()).angle() - turn);
            let on = wrap((x[2] * x[1].conj()).angle() - turn);
            found = Found {
                phasor: x[1],
                frequency: mixing + (on + back) / (4.0 * PI * apart),
                rocof: (on - back) / (2.0 * PI * apart * apart),
            };
        }
        found
    }
}

/// Solves `raw = gain x + image conj(x)`.
fn without_image(raw: Complex, gain: Complex, image: Complex) -> Complex {
    let determinant = gain.re * gain.re + gain.im * gain.im - image.re * image.re - image.im * image.im;
    if determinant.abs() < 1e-3 {
        return raw;
    }
    (raw * gain.conj() - raw.conj() * image).scale(1.0 / determinant)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: PhasorConfig =
        PhasorConfig { class: Class::P, rate: 10_000.0, nominal: Nominal::Fifty, reports: 50, start: 0.0 };

    fn run(config: PhasorConfig, seconds: f64, signal: impl Fn(f64) -> f64) -> Vec<Phasor> {
        let mut estimator = PhasorEstimator::new(config).unwrap();
        (0..(seconds * config.rate) as usize)
            .filter_map(|i| estimator.push(signal(config.start + i as f64 / config.rate)))
            .collect()
    }

    #[test]
    fn off_nominal_mains_of_one_phase_is_measured() {
        for (nominal, reports) in [(Nominal::Fifty, 50), (Nominal::Fifty, 100), (Nominal::Sixty, 60)] {
            for off in [-2.0, 0.0, 1.3] {
                let config = PhasorConfig { nominal, reports, start: 0.1234, ..CONFIG };
                let f = nominal.hertz() + off;
                let signal = |t: f64| 325.0 * (2.0 * PI * f * t + 0.3).cos();
                let all = run(config, 0.5, signal);
                assert!(all.len() > 15);
                for p in all {
                    assert!((p.frequency - f).abs() < 1e-3 && p.rocof.abs() < 0.05, "{f} {p:?}");
                    assert!((p.magnitude / (325.0 / 2_f64.sqrt()) - 1.0).abs() < 1e-4, "{f} {p:?}");
                    let angle = wrap(2.0 * PI * off * p.at + 0.3 - p.angle);
                    assert!(angle.abs() < 1e-4 && p.quality.is_good(), "{f} {p:?} {angle}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_mains_says_so() {
        type Signal = fn(f64) -> f64;
        let cases: &[(&str, Signal, Flaw)] = &[
            ("zero", |_| 0.0, Flaw::NotMeasured),
            ("a constant", |_| 5.0, Flaw::NotMeasured),
            ("NaN", |_| f64::NAN, Flaw::NotFinite),
            ("infinity", |_| f64::INFINITY, Flaw::NotFinite),
            ("huge", |_| -1e200, Flaw::NotFinite),
        ];
        for (what, signal, flaw) in cases {
            let all = run(CONFIG, 0.3, signal);
            assert!(!all.is_empty());
            for p in all {
                assert_eq!((p.quality, p.magnitude, p.frequency), (Quality::Bad(*flaw), 0.0, 0.0), "{what}");
            }
        }
    }

    #[test]
    fn one_bad_sample_spoils_its_windows_only() {
        let all =
            run(CONFIG, 1.0, |t| if (t - 0.5).abs() < 1e-5 { f64::NAN } else { (2.0 * PI * 50.0 * t).cos() });
        let reach = PhasorEstimator::new(CONFIG).unwrap().reach();
        for p in all {
            assert_eq!(p.quality.is_good(), (p.at - 0.5).abs() > reach, "{p:?}");
        }
    }

    #[test]
    fn a_configuration_outside_the_limits_makes_no_estimator() {
        for config in [
            PhasorConfig { rate: 100.0, ..CONFIG },
            PhasorConfig { rate: f64::NAN, ..CONFIG },
            PhasorConfig { reports: 9, ..CONFIG },
            PhasorConfig { reports: 101, ..CONFIG },
            PhasorConfig { class: Class::M, reports: 51, ..CONFIG },
            PhasorConfig { start: -1.0, ..CONFIG },
            PhasorConfig { start: f64::NAN, ..CONFIG },
        ] {
            assert!(PhasorEstimator::new(config).is_none(), "{config:?}");
        }
    }
}
