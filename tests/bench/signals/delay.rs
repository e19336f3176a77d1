//! How long a shift stays unseen: the one CUSUM bank against the best two-sided CUSUM for each shift.
//!
//! The best one is solved here (integral equation), both start from zero, their worst start, and both give one
//! false alarm in 1,000 values as measured in this run.

use sensor_monitor::detect::calibrate::Calibrator;
use sensor_monitor::detect::cusum::{Cusum, LANES};
use sensor_monitor::detect::{Limits, Noise};
use sensor_monitor::rng::Rng;

use crate::figure::{Bound, row};

/// False alarms at which delays are compared: one in so many values.
const ARL0: f64 = 1000.0;
/// Runs for each mean.
const RUNS: u32 = 8_000;

pub(crate) fn measure() {
    let rng = &mut Rng::new(20_261_122);
    let noise = Noise::normal(rng);
    // The measured ARL0 of the simulated bank sets the optimum it is held against.
    let limits = Calibrator::new(&noise, 1).cusum(ARL0);
    let (arl0, error) = run_length(limits.values(), 0.0, RUNS, rng);
    println!(
        "  one configuration for all shifts: one false alarm in {arl0:.0} +- {:.0} values",
        1.96 * error
    );
    println!("  the optimum knows the shift: two-sided CUSUM at the same rate; mean delay over {RUNS} runs");
    for (shift, bound) in [(0.25, 1.6), (0.5, 1.25), (1.0, 1.25), (2.0, 1.25), (3.0, 1.25)] {
        let best = optimum(shift, arl0);
        let (delay, error) = run_length(limits.values(), shift, RUNS, rng);
        let interval = ((delay - 1.96 * error) / best, (delay + 1.96 * error) / best);
        let more = format!(" ({delay:.2} values, at best {best:.2})");
        row(&format!("detect-delay-{shift}"), "ratio", delay / best, interval, Bound::AtMost(bound), &more);
    }
}

/// Mean values to the first alarm from zero, and its standard error.
fn run_length(limits: &[f64; LANES], shift: f64, runs: u32, rng: &mut Rng) -> (f64, f64) {
    let limits = Limits::fixed(*limits).expect("calibrated limits are positive");
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
