//! Samples each second of one core.

use std::hint::black_box;
use std::time::{Duration, Instant};

use realfft::RealFftPlanner;
use sensor_monitor::estimate::level::rms::energy;
use sensor_monitor::estimate::tone::{ToneEstimator, track::ToneTracker};

use crate::verdict;

const N: usize = 4096;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(60);

pub(crate) fn print() {
    let samples: Vec<f64> =
        (0..N).map(|i| (i as f64 * 0.8171).cos() + 0.1 * (i as f64 * 1.7).sin()).collect();
    let transform = RealFftPlanner::<f64>::new().plan_fft_forward(N);
    let (mut input, mut output) = (transform.make_input_vec(), transform.make_output_vec());
    let mut scratch = transform.make_scratch_vec();
    let mut estimator = ToneEstimator::new(N, 1.0).expect("within the limits");
    let mut tracker = ToneTracker::new(N, 1.0, 0.13).expect("within the limits");

    let mut bare = || {
        input.copy_from_slice(&samples);
        let _ = transform.process_with_scratch(&mut input, &mut output, &mut scratch);
        black_box(&output);
    };
    let mut tone = || {
        black_box(estimator.estimate(black_box(&samples)));
    };
    let mut track = || {
        black_box(tracker.estimate(black_box(&samples)));
    };
    let mut rms = || {
        black_box(energy(black_box(&samples)));
    };
    // Interleaved, so that a busy machine slows all of them.
    let mut rates = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let runs: [&mut dyn FnMut(); 4] = [&mut bare, &mut tone, &mut track, &mut rms];
        for (rates, run) in rates.iter_mut().zip(runs) {
            rates.push(rate(run));
        }
    }
    let [bare, tone, track, rms] = rates.map(median);
    println!("bench speed-realfft-bare-{N} msamples_per_s={bare:.0}");
    println!("bench speed-tone-{N} msamples_per_s={tone:.0} of_bare={:.3}", tone / bare);
    let kept = verdict(track > bare);
    println!(
        "bench speed-tracker-{N} msamples_per_s={track:.0} of_bare={:.2} bound=1.00 {kept}",
        track / bare
    );
    println!("bench speed-rms-{N} msamples_per_s={rms:.0} of_bare={:.2}", rms / bare);
}

/// Million samples each second.
fn rate(run: &mut dyn FnMut()) -> f64 {
    let began = Instant::now();
    let mut windows = 0_u64;
    while began.elapsed() < ROUND {
        for _ in 0..16 {
            run();
        }
        windows += 16;
    }
    windows as f64 * N as f64 / began.elapsed().as_secs_f64() / 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
