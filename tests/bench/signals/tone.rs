//! Errors of the tone estimators over their Cramer-Rao bounds.
//!
//! Signal-to-noise ratios 0 to 60 dB, windows of 256 to 8,192 samples, tones on a bin and 0.05, 0.25 and 0.5
//! bins off. A row pools the cells of one window; it is kept only when no trial missed the tone and the worst
//! cell is within the bound and three of its standard errors.

use sensor_monitor::estimate::tone::{Tone, ToneEstimator, track::ToneTracker};
use sensor_monitor::rng::Rng;

use super::bound::{self, Part};
use crate::figure::{Bound, line};

const SNR_DB: [f64; 7] = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0];
const WINDOWS: [usize; 4] = [256, 1024, 4096, 8192];
const OFFSETS: [f64; 4] = [0.0, 0.05, 0.25, 0.5];
/// Where the tone stands, cycles per sample.
const CENTRE: f64 = 0.13;
/// Sets of phases in each cell.
const SCENES: usize = 25;
/// The limits: one tone, and one tone beside others.
const ALONE: f64 = 1.05;
const BESIDE: f64 = 1.20;

/// A family of cells.
struct Family {
    name: &'static str,
    limit: f64,
    trials: fn(usize) -> usize,
    /// Other tones, given the window and the first tone.
    others: fn(usize, Part) -> Vec<Part>,
    tracker: bool,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "single",
        limit: ALONE,
        trials: |n| if n < 4096 { 2000 } else { 1000 },
        others: |_, _| vec![],
        tracker: false,
    },
    Family {
        name: "tracker",
        limit: ALONE,
        trials: |n| if n < 4096 { 2000 } else { 1000 },
        others: |_, _| vec![],
        tracker: true,
    },
    Family {
        name: "two-3.3-bins",
        limit: BESIDE,
        trials: |n| if n < 4096 { 1000 } else { 250 },
        others: |n, p| vec![Part { frequency: p.frequency + 3.3 / n as f64, amplitude: 0.7, phase: 0.0 }],
        tracker: false,
    },
    Family {
        name: "two-2-bins",
        limit: BESIDE,
        trials: |n| if n < 4096 { 1000 } else { 250 },
        others: |n, p| vec![Part { frequency: p.frequency - 2.0 / n as f64, amplitude: 0.9, phase: 0.0 }],
        tracker: false,
    },
    Family {
        name: "harmonics-2-3",
        limit: BESIDE,
        trials: |n| if n < 4096 { 1000 } else { 250 },
        others: |_, p| {
            [(2.0, 0.3), (3.0, 0.2)]
                .map(|(h, amplitude)| Part { frequency: h * p.frequency, amplitude, phase: 0.0 })
                .to_vec()
        },
        tracker: false,
    },
];

/// What one cell gave.
struct Cell {
    frequency: f64,
    amplitude: f64,
    trials: usize,
    missed: usize,
    what: String,
}

pub(crate) fn measure() {
    for (number, family) in FAMILIES.iter().enumerate() {
        for n in WINDOWS {
            let cells: Vec<Cell> = std::thread::scope(|scope| {
                let of = |(i, snr): (usize, f64)| {
                    scope.spawn(move || {
                        let seed = (number * 1_000_000 + n * 100 + i * 10) as u64;
                        OFFSETS
                            .into_iter()
                            .zip(seed..)
                            .map(|(o, seed)| cell(family, n, snr, o, seed))
                            .collect()
                    })
                };
                let runs: Vec<_> = SNR_DB.into_iter().enumerate().map(of).collect();
                runs.into_iter().flat_map(|run| -> Vec<Cell> { run.join().expect("cells") }).collect()
            });
            report(family, n, &cells);
        }
    }
}

fn report(family: &Family, n: usize, cells: &[Cell]) {
    let missed: usize = cells.iter().map(|c| c.missed).sum();
    let all: usize = cells.iter().map(|c| c.trials).sum();
    for (what, of) in [
        ("frequency", (|c| c.frequency) as fn(&Cell) -> f64),
        ("amplitude", (|c| c.amplitude) as fn(&Cell) -> f64),
    ] {
        let worst = cells.iter().max_by(|a, b| of(a).total_cmp(&of(b))).expect("there are cells");
        let mean = (cells.iter().map(|c| of(c).powi(2)).sum::<f64>() / cells.len() as f64).sqrt();
        let error = |trials: usize| 1.0 / (2.0 * trials as f64).sqrt();
        let half = 1.96 * error(all);
        // The largest of 28 cells is expected two standard errors above the mean of its kind.
        let is_kept = missed == 0 && of(worst) <= family.limit + 3.0 * error(worst.trials);
        let (bound, interval) = (Bound::AtMost(family.limit), (mean - half, mean + half));
        let word = if is_kept { bound.word(mean, interval) } else { "short" };
        let more = format!(
            " (worst cell {:.3} se {:.3} at {}; missed {missed} of {all})",
            of(worst),
            error(worst.trials),
            worst.what,
        );
        let name = format!("tone-{}-{what}-{n}", family.name);
        line(&name, "ratio", mean, interval, bound, word, &more);
    }
}

fn cell(family: &Family, n: usize, snr_db: f64, offset: f64, seed: u64) -> Cell {
    let frequency = ((CENTRE * n as f64).round() + offset) / n as f64;
    let sigma = (0.5 / 10_f64.powf(snr_db / 10.0)).sqrt();
    let mut noise = Rng::new(seed);
    let mut estimator = ToneEstimator::new(n, 1.0).expect("within the limits");
    let mut tracker = ToneTracker::new(n, 1.0, (CENTRE * n as f64).round() / n as f64).expect("within");
    let mut samples = vec![0.0; n];
    let trials = (family.trials)(n);
    let scenes: Vec<Scene> = (0..SCENES).map(|_| scene(family, n, frequency, sigma, &mut noise)).collect();
    let (mut frequency_sum, mut amplitude_sum, mut missed) = (0.0, 0.0, 0);
    for trial in 0..trials {
        let scene = &scenes[trial % SCENES];
        for (x, clean) in samples.iter_mut().zip(&scene.clean) {
            *x = clean + sigma * noise.normal();
        }
        let found = if family.tracker {
            tracker.estimate(&samples)
        } else {
            nearest(&estimator.estimate_multi(&samples, scene.tones), frequency)
        };
        let Some(found) = found else {
            missed += 1;
            continue;
        };
        frequency_sum += ((found.frequency - frequency) / scene.frequency_bound).powi(2);
        amplitude_sum += ((found.amplitude - 1.0) / scene.amplitude_bound).powi(2);
    }
    let used = (trials - missed).max(1) as f64;
    Cell {
        frequency: (frequency_sum / used).sqrt(),
        amplitude: (amplitude_sum / used).sqrt(),
        trials,
        missed,
        what: format!("{snr_db} dB {offset} bin"),
    }
}

/// One set of phases: the bound depends on them, so each trial is measured by that of its own scene.
struct Scene {
    clean: Vec<f64>,
    tones: usize,
    frequency_bound: f64,
    amplitude_bound: f64,
}

fn scene(family: &Family, n: usize, frequency: f64, sigma: f64, noise: &mut Rng) -> Scene {
    let mut turn = || noise.uniform() * std::f64::consts::TAU;
    let first = Part { frequency, amplitude: 1.0, phase: turn() };
    let mut parts = vec![first];
    parts.extend((family.others)(n, first).into_iter().map(|p| Part { phase: turn(), ..p }));
    let clean = (0..n).map(|i| parts.iter().map(|p| p.at(i as f64)).sum()).collect();
    let (frequency_bound, amplitude_bound) = bound::first_of(&parts, n, sigma);
    Scene { clean, tones: parts.len(), frequency_bound, amplitude_bound }
}

fn nearest(tones: &[Tone], frequency: f64) -> Option<Tone> {
    let distance = |t: &Tone| (t.frequency - frequency).abs();
    tones.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b)))
}
