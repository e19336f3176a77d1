//! IEC/IEEE 60255-118-1:2018 on one phase, test by test: the largest error over its limit.
//!
//! Each row is the worst of several nominal frequencies and rates of reports. Signals are computed and hold no
//! noise; time is the number of the sample, so phase is that of the algorithm and no converter's or clock's.

use std::f64::consts::{PI, TAU};

use sensor_monitor::estimate::phasor::{Class, Nominal, Phasor, PhasorConfig, PhasorEstimator};

use super::limits::{Limits, Three};
use super::step::Response;
use crate::figure::{Bound, row};

const RATE: f64 = 8_000.0;
pub(super) const PEAK: f64 = 100.0;

pub(crate) fn measure() {
    println!(
        "  IEC/IEEE 60255-118-1:2018, measured over limit, one phase, {RATE} samples each second, no noise"
    );
    println!(
        "  limits are recalled from C37.118.1-2011/1a-2014, not yet read again in the standard's own text"
    );
    println!(
        "  phase results are of the algorithm: there is no PPS here, so no clock and no converter is in them"
    );
    for (class, name, rates) in
        [(Class::P, "p", [[10, 50, 100], [10, 60, 120]]), (Class::M, "m", [[10, 25, 50], [10, 30, 60]])]
    {
        let nominal = [Nominal::Fifty, Nominal::Sixty];
        let setups = nominal
            .into_iter()
            .zip(rates)
            .flat_map(|(nominal, rates)| rates.map(|reports| Setup { class, nominal, reports }));
        let tables: Vec<Table> = std::thread::scope(|scope| {
            let runs: Vec<_> = setups.map(|setup| scope.spawn(move || Table::of(setup))).collect();
            runs.into_iter().map(|run| run.join().expect("a table")).collect()
        });
        for n in 0..tables[0].rows.len() {
            let at = |t: &Table| t.rows[n].measured / t.rows[n].limit;
            let worst = tables.iter().max_by(|a, b| at(a).total_cmp(&at(b))).expect("there are tables");
            let Row { test, unit, measured, limit } = &worst.rows[n];
            let setup = worst.setup;
            let more = format!(
                " ({measured:.5} of {limit:.5} {unit}, the worst of {} setups: {} Hz, {} reports/s)",
                tables.len(),
                setup.nominal.cycles(),
                setup.reports
            );
            let ratio = measured / limit;
            row(&format!("mains-{name}-{test}"), "ratio", ratio, (ratio, ratio), Bound::AtMost(1.0), &more);
        }
    }
}

/// What is true at an instant: peak, phase, hertz, hertz each second.
pub(super) struct Truth {
    pub(super) peak: f64,
    pub(super) phase: f64,
    pub(super) frequency: f64,
    pub(super) rocof: f64,
}

/// Largest errors: total vector error in percent, hertz, hertz each second.
#[derive(Clone, Copy, Default)]
pub(super) struct Errors {
    pub(super) tve: f64,
    pub(super) frequency: f64,
    pub(super) rocof: f64,
}

impl Errors {
    pub(super) fn of(p: &Phasor, truth: &Truth, nominal: f64) -> Errors {
        assert!(p.quality.is_good(), "{p:?}");
        let (is, should) = (p.angle, truth.phase - TAU * nominal * p.at);
        let (size, true_size) = (p.magnitude, truth.peak / 2_f64.sqrt());
        let (re, im) =
            (size * is.cos() - true_size * should.cos(), size * is.sin() - true_size * should.sin());
        Errors {
            tve: 100.0 * re.hypot(im) / true_size,
            frequency: (p.frequency - truth.frequency).abs(),
            rocof: (p.rocof - truth.rocof).abs(),
        }
    }

    fn worst(self, other: Errors) -> Errors {
        Errors {
            tve: self.tve.max(other.tve),
            frequency: self.frequency.max(other.frequency),
            rocof: self.rocof.max(other.rocof),
        }
    }
}

/// One instrument under test.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    pub(super) class: Class,
    pub(super) nominal: Nominal,
    pub(super) reports: u32,
}

impl Setup {
    pub(super) fn f0(self) -> f64 {
        self.nominal.hertz()
    }

    fn estimator(self) -> PhasorEstimator {
        let Setup { class, nominal, reports } = self;
        let config = PhasorConfig { class, rate: RATE, nominal, reports, start: 0.0 };
        PhasorEstimator::new(config).expect("within the limits")
    }

    /// Seconds on each side of a report's instant.
    pub(super) fn reach(self) -> f64 {
        self.estimator().reach()
    }

    /// Every report of `seconds` of `signal`.
    pub(super) fn run(self, seconds: f64, signal: impl Fn(f64) -> f64, mut each: impl FnMut(&Phasor)) {
        let mut estimator = self.estimator();
        let mut count = 0;
        for i in 0..(seconds * RATE) as usize {
            if let Some(p) = estimator.push(signal(i as f64 / RATE)) {
                each(&p);
                count += 1;
            }
        }
        assert!(count > 0, "{seconds} s give no report");
    }

    /// Largest errors against `truth`, with `added` on top of it, until `before`; `seconds` beyond the window.
    fn errors(
        self,
        (before, seconds): (f64, f64),
        truth: impl Fn(f64) -> Truth,
        added: impl Fn(f64) -> f64,
    ) -> Errors {
        let mut worst = Errors::default();
        let signal = |t: f64| {
            let now = truth(t);
            now.peak * now.phase.cos() + added(t)
        };
        self.run(2.0 * self.reach() + seconds, signal, |p| {
            if p.at <= before {
                worst = worst.worst(Errors::of(p, &truth(p.at), self.f0()));
            }
        });
        worst
    }
}

fn steady(f: f64, peak: f64, phase: f64) -> impl Fn(f64) -> Truth + Copy {
    move |t| Truth { peak, phase: TAU * f * t + phase, frequency: f, rocof: 0.0 }
}

/// What one setup gave in each test.
struct Table {
    setup: Setup,
    limits: Limits,
    rows: Vec<Row>,
}

struct Row {
    test: String,
    unit: &'static str,
    measured: f64,
    limit: f64,
}

impl Table {
    fn of(setup: Setup) -> Table {
        let limits = Limits::of(setup.class, setup.f0(), f64::from(setup.reports));
        let mut table = Table { setup, limits, rows: Vec::new() };
        table.steady_state();
        table.harmonics();
        table.out_of_band();
        table.modulation();
        table.ramp();
        table.steps();
        table.latency();
        table
    }

    fn row(&mut self, test: String, unit: &'static str, measured: f64, limit: f64) {
        self.rows.push(Row { test, unit, measured, limit });
    }

    fn rows(&mut self, test: &str, errors: Errors, (tve, fe, rfe): Three) {
        self.row(format!("{test}-tve"), "%", errors.tve, tve);
        self.row(format!("{test}-fe"), "Hz", errors.frequency, fe);
        if let Some(rfe) = rfe {
            self.row(format!("{test}-rfe"), "Hz/s", errors.rocof, rfe);
        }
    }

    fn steady_state(&mut self) {
        let f0 = self.setup.f0();
        let steps = (self.limits.range * 10.0).round() as i32;
        let mut worst = Errors::default();
        for i in -steps..=steps {
            let f = f0 + f64::from(i) * 0.1;
            worst = worst.worst(self.setup.errors(SHORT, steady(f, PEAK, f64::from(i)), none));
        }
        self.rows("frequency-range", worst, self.limits.steady);
        let mut worst = Errors::default();
        for percent in (self.limits.lowest..=120).step_by(10) {
            let peak = PEAK * f64::from(percent) / 100.0;
            worst = worst.worst(self.setup.errors(SHORT, steady(f0, peak, 0.2), none));
        }
        self.rows("magnitude-range", worst, self.limits.steady);
    }

    fn harmonics(&mut self) {
        let (size, limits) = self.limits.harmonic;
        let f0 = self.setup.f0();
        let among = |frequencies: &[f64]| {
            let mut worst = Errors::default();
            for f in frequencies {
                for h in 2..=50 {
                    for phase in [0.0, 1.0, PI / 2.0] {
                        let harmonic = |t: f64| size * PEAK * (TAU * f * f64::from(h) * t + phase).cos();
                        worst = worst.worst(self.setup.errors(SHORT, steady(*f, PEAK, 0.0), harmonic));
                    }
                }
            }
            worst
        };
        let (nominal, off) = (among(&[f0]), among(&[f0 - 2.0, f0 + 2.0]));
        self.rows("harmonics-2-to-50", nominal, limits);
        // The standard asks for nominal frequency; at the ends of class P's range it is our own, harder row.
        self.rows("harmonics-2-to-50-off-nominal", off, limits);
    }

    /// Interharmonics of 10 % from 10 Hz to twice nominal, but for half a report rate about nominal, with the
    /// mains at nominal and a tenth of that half beside it.
    fn out_of_band(&mut self) {
        let Some(limits) = self.limits.out_of_band else { return };
        let (f0, half) = (self.setup.f0(), f64::from(self.setup.reports) / 2.0);
        let mut worst = Errors::default();
        let spots = (0..=40).flat_map(|n| {
            let part = f64::from(n) / 40.0;
            [10.0 + part * (f0 - half - 10.0), f0 + half + part * (f0 - half)]
        });
        for other in spots {
            for (n, off) in [-0.1, 0.0, 0.1].into_iter().enumerate() {
                let added = |t: f64| 0.1 * PEAK * (TAU * other * t + n as f64).cos();
                worst = worst.worst(self.setup.errors(LONG, steady(f0 + off * half, PEAK, 0.0), added));
            }
        }
        self.rows("out-of-band", worst, limits);
    }

    fn modulation(&mut self) {
        let f0 = self.setup.f0();
        let (highest, limits) = self.limits.modulation;
        for (test, depth, turn) in [("amplitude-modulation", 0.1, 0.0), ("phase-modulation", 0.0, 0.1)] {
            let mut worst = Errors::default();
            let mut fm = 0.1;
            while fm <= highest + 1e-9 {
                let truth = |t: f64| {
                    let w = TAU * fm;
                    Truth {
                        peak: PEAK * (1.0 + depth * (w * t).cos()),
                        phase: TAU * f0 * t + turn * (w * t - PI).cos(),
                        frequency: f0 - turn * fm * (w * t - PI).sin(),
                        rocof: -turn * fm * w * (w * t - PI).cos(),
                    }
                };
                worst = worst.worst(self.setup.errors((99.0, (2.0 / fm).max(2.0)), truth, none));
                fm += if fm < 1.95 { 0.1 } else { 0.5 };
            }
            self.rows(test, worst, limits);
        }
    }

    fn ramp(&mut self) {
        let (f0, range) = (self.setup.f0(), self.limits.range);
        let mut worst = Errors::default();
        for rate in [1.0, -1.0] {
            let truth = |t: f64| Truth {
                peak: PEAK,
                phase: TAU * ((f0 - range * rate) * t + rate * t * t / 2.0),
                frequency: f0 - range * rate + rate * t,
                rocof: rate,
            };
            worst = worst.worst(self.setup.errors((2.0 * range, 2.0 * range), truth, none));
        }
        self.rows("ramp", worst, self.limits.ramp);
    }

    fn steps(&mut self) {
        for (what, size, angle) in [("magnitude", 0.1, 0.0), ("phase", 0.0, PI / 18.0)] {
            let seen = Response::of(self.setup, size, angle).worst(Response::of(self.setup, -size, -angle));
            let test = |row: &str| format!("step-{what}-{row}");
            let (tve, fe, rfe) = self.limits.response;
            let (delay, overshoot) = (self.limits.delay, self.limits.overshoot);
            self.row(test("tve-response"), "s", seen.tve, tve);
            self.row(test("fe-response"), "s", seen.frequency, fe);
            self.row(test("rfe-response"), "s", seen.rocof, rfe);
            self.row(test("delay"), "s", seen.delay, delay);
            self.row(test("overshoot"), "%", seen.overshoot * 100.0, overshoot * 100.0);
        }
    }

    /// From the instant of a report to the sample that completed it; what computing takes is not in it.
    fn latency(&mut self) {
        let mut estimator = self.setup.estimator();
        let mut worst = 0.0_f64;
        for i in 0..(3.0 * RATE) as usize {
            let t = i as f64 / RATE;
            if let Some(p) = estimator.push((TAU * self.setup.f0() * t).cos()) {
                worst = worst.max(t - p.at);
            }
        }
        self.row("latency".into(), "s", worst, self.limits.latency);
    }
}

fn none(_: f64) -> f64 {
    0.0
}

/// Until any time, and so many seconds beyond the first window.
const SHORT: (f64, f64) = (99.0, 0.3);
const LONG: (f64, f64) = (99.0, 1.0);
