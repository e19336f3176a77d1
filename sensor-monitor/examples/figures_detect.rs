//! Figures of the detectors, one line each: `bench NAME ratio=R [lo..hi] bound=B ok|short`.
//!
//! Delay: mean delay of the one CUSUM bank over that of the best two-sided CUSUM for each shift (integral
//! equation, solved here), both from zero, their worst start, both at one false alarm in 1,000 values as
//! measured in this run. False alarms: measured over asked rate of a whole channel; every baseline is learned
//! from its own record of 16,384 samples, so the error of learning is in the ratio. Intervals are 95 %.

use sensor_monitor::baseline::{Baseline, Learning, Model};
use sensor_monitor::detect::calibrate::{Calibrator, Tuning, Wanted};
use sensor_monitor::detect::cusum::{Cusum, LANES};
use sensor_monitor::detect::suite::Suite;
use sensor_monitor::detect::{Detector, Noise};
use sensor_monitor::rng::Rng;

const RECORD: u32 = 16_384;

fn main() {
    let mut rng = Rng::new(20_261_122);
    delays(&mut rng);
    let cases: [(&str, Kind, f64, usize); 6] = [
        ("white", Kind::Ar(0.0), 4000.0, 30),
        ("ar-0.3", Kind::Ar(0.3), 4000.0, 30),
        ("ar-0.5", Kind::Ar(0.5), 4000.0, 30),
        ("ar-0.8", Kind::Ar(0.8), 4000.0, 30),
        ("student-t3", Kind::Student, 4000.0, 30),
        ("white-rare", Kind::Ar(0.0), 200_000.0, 30),
    ];
    let mut slowest: f64 = 0.0;
    for (name, kind, asked, baselines) in cases {
        slowest = slowest.max(false_alarms(name, kind, asked, baselines, &mut rng));
    }
    line("detect-calibrate-seconds", slowest, slowest, slowest, 2.0);
}

fn line(name: &str, ratio: f64, low: f64, high: f64, bound: f64) {
    let ok = if high <= bound { "ok" } else { "short" };
    println!("bench {name} ratio={ratio:.3} [{low:.3}..{high:.3}] bound={bound:.2} {ok}");
}

// --- delay ---

/// False alarms at which delays are compared: one in so many values.
const ARL0: f64 = 1000.0;

fn delays(rng: &mut Rng) {
    let noise = Noise::normal(rng);
    // The measured ARL0 of the simulated bank sets the optimum it is held against.
    let limits = Calibrator::new(&noise, 1).cusum(ARL0);
    let (arl0, error) = run_length(limits.values(), 0.0, 8_000, rng);
    println!("# bank: one false alarm in {arl0:.0} +- {:.0} values", 1.96 * error);
    for (shift, bound) in [(0.25, 1.6), (0.5, 1.25), (1.0, 1.25), (2.0, 1.25), (3.0, 1.25)] {
        let best = optimum(shift, arl0);
        let (delay, error) = run_length(limits.values(), shift, 8_000, rng);
        let (low, high) = ((delay - 1.96 * error) / best, (delay + 1.96 * error) / best);
        line(&format!("detect-delay-{shift}"), delay / best, low, high, bound);
    }
}

/// Mean values to the first alarm from zero, and its standard error.
fn run_length(limits: &[f64; LANES], shift: f64, runs: u32, rng: &mut Rng) -> (f64, f64) {
    let limits = sensor_monitor::detect::Limits::fixed(*limits).expect("calibrated limits are positive");
    let mut bank = Cusum::new(limits);
    let (mut sum, mut square) = (0.0, 0.0);
    for _ in 0..runs {
        bank.clear();
        let mut steps = 1.0;
        while bank.step(rng.normal() + shift).is_none() {
            steps += 1.0;
        }
        sum += steps;
        square += steps * steps;
    }
    let n = f64::from(runs);
    let mean = sum / n;
    (mean, ((square / n - mean * mean) / n).sqrt())
}

/// Mean delay of the two-sided CUSUM tuned to `shift`, at one false alarm in `arl0` values.
fn optimum(shift: f64, arl0: f64) -> f64 {
    let k = shift / 2.0;
    let two_sided = |h: f64, d: f64| 1.0 / (1.0 / one_sided(k, h, d) + 1.0 / one_sided(k, h, -d));
    let (mut low, mut high) = (0.1, 25.0);
    for _ in 0..40 {
        let h = 0.5 * (low + high);
        if two_sided(h, 0.0) < arl0 { low = h } else { high = h }
    }
    two_sided(low, shift)
}

/// Mean run length from zero of a one-sided CUSUM for values of mean `d`: Page's integral equation, by a
/// Markov chain of midpoints (Brook and Evans 1972) with an atom at zero.
fn one_sided(k: f64, h: f64, d: f64) -> f64 {
    const STATES: usize = 160;
    let w = h / STATES as f64;
    let at = |i: usize| if i == 0 { 0.0 } else { (i as f64 - 0.5) * w };
    let n = STATES + 1;
    let mut m = vec![vec![0.0; n + 1]; n];
    for (i, row) in m.iter_mut().enumerate() {
        for (j, p) in row.iter_mut().enumerate().take(n) {
            let to = |s: f64| normal_cdf(s - at(i) + k - d);
            *p = if j == 0 { -to(0.0) } else { -(to(j as f64 * w) - to((j - 1) as f64 * w)) };
        }
        row[i] += 1.0;
        row[n] = 1.0;
    }
    solve(m)[0].max(1.0)
}

fn solve(mut m: Vec<Vec<f64>>) -> Vec<f64> {
    let n = m.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|&a, &b| m[a][i].abs().total_cmp(&m[b][i].abs())).expect("not empty");
        m.swap(i, pivot);
        let row = m[i].clone();
        for other in m.iter_mut().skip(i + 1) {
            let f = other[i] / row[i];
            if f != 0.0 {
                other.iter_mut().zip(&row).skip(i).for_each(|(a, b)| *a -= f * b);
            }
        }
    }
    let mut x = vec![0.0; n];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| m[i][j] * x[j]).sum();
        x[i] = (m[i][n] - known) / m[i][i];
    }
    x
}

/// Abramowitz and Stegun 26.2.17 is not exact enough for run lengths; this series and continued fraction is
/// (26.2.11 and 26.2.14).
fn normal_cdf(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x.abs() < 3.0 {
        let (mut term, mut sum, mut i) = (x, x, 1.0);
        while term.abs() > 1e-17 {
            i += 2.0;
            term *= x * x / i;
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let fraction = (1..=60).rev().fold(x.abs(), |f, i| x.abs() + f64::from(i) / f);
    if x > 0.0 { 1.0 - density / fraction } else { density / fraction }
}

// --- false alarms ---

#[derive(Clone, Copy)]
enum Kind {
    Ar(f64),
    Student,
}

/// A simulated channel of its own level and spread.
struct Source {
    kind: Kind,
    last: f64,
}

impl Source {
    fn next(&mut self, rng: &mut Rng) -> f64 {
        let z = match self.kind {
            Kind::Ar(phi) => {
                self.last = phi * self.last + rng.normal();
                self.last
            }
            Kind::Student => {
                let s: f64 = (0..3).map(|_| rng.normal().powi(2)).sum();
                rng.normal() / (s / 3.0).sqrt()
            }
        };
        50.0 + 0.02 * z
    }
}

/// Measured over asked rate; gives the seconds of the slowest calibration.
fn false_alarms(name: &str, kind: Kind, asked: f64, baselines: usize, rng: &mut Rng) -> f64 {
    // Short runs on many baselines: the error of learning is between baselines.
    let length = if asked > 10_000.0 { 800_000 } else { (10.0 * asked) as usize };
    let wanted = Wanted { false_alarms_per_year: 31_557_600.0 / asked, interval_s: 1.0 };
    let (mut counts, mut blocks, mut slowest): (Vec<f64>, u32, f64) = (Vec::new(), 0, 0.0);
    let mut by = [0u32; 4];
    for seed in 0..baselines {
        let mut source = Source { kind, last: 0.0 };
        let model = learned(&mut source, rng);
        let start = std::time::Instant::now();
        let tuning = Tuning::find(&model, wanted, seed as u64).expect("the rate can be had");
        slowest = slowest.max(start.elapsed().as_secs_f64());
        let mut suite = Suite::new(&model, wanted, tuning).expect("found for this model");
        let mut count = 0.0;
        for _ in 0..length {
            if let Some(change) = suite.step(source.next(rng)) {
                count += 1.0;
                by[match change.detector {
                    Detector::Cusum => 0,
                    Detector::Drift => 1,
                    Detector::Variance => 2,
                    _ => 3,
                }] += 1;
            }
        }
        counts.push(count / (length as f64 / asked));
        blocks = blocks.max(model.block());
    }
    let n = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / n;
    let sd = (counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    // Between baselines: both chance and the error of learning are in it.
    let half = 1.96 * sd / n.sqrt();
    counts.sort_by(f64::total_cmp);
    let expected = n * length as f64 / asked;
    println!(
        "# {name}: {baselines} baselines of {RECORD} samples, {expected:.0} events expected, cusum {} drift {} \
         variance {} repeat {}, block <= {blocks}; single baselines {:.2} (5 %) to {:.2} (95 %), chance included",
        by[0],
        by[1],
        by[2],
        by[3],
        counts[counts.len() / 20],
        counts[counts.len() * 19 / 20],
    );
    let ok = if mean - half >= 0.5 && mean + half <= 2.0 { "ok" } else { "short" };
    println!(
        "bench false-alarms-{name} ratio={mean:.3} [{:.3}..{:.3}] bound=2.00 {ok}",
        mean - half,
        mean + half
    );
    slowest
}

fn learned(source: &mut Source, rng: &mut Rng) -> Model {
    let learning = Learning::new(RECORD, 1024, 0.0).expect("a valid setting");
    let mut baseline = Baseline::new(learning);
    (0..500).for_each(|_| {
        source.next(rng);
    });
    loop {
        if baseline.learn(source.next(rng)) {
            return baseline.model().expect("it is ready").clone();
        }
    }
}
