//! Each statistic alone: the rate it was calibrated for, the change it finds, and any input whatever.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sensor_monitor::detect::calibrate::Calibrator;
use sensor_monitor::detect::cusum::Cusum;
use sensor_monitor::detect::drift::Drift;
use sensor_monitor::detect::ewma::{Ewma, WEIGHT};
use sensor_monitor::detect::glr::Glr;
use sensor_monitor::detect::variance::Variance;
use sensor_monitor::detect::{Change, Direction, Limits, Noise};
use sensor_monitor::rng::Rng;

#[test]
fn every_detector_keeps_the_rate_it_was_calibrated_for() {
    const STEPS: f64 = 2000.0;
    let mut rng = Rng::new(17);
    let noise = Noise::normal(&mut rng);
    let mut calibrator = Calibrator::new(&noise, 3);
    let mut cusum = Cusum::new(calibrator.cusum(STEPS));
    let mut variance = Variance::new(calibrator.variance(STEPS), 1.0).unwrap();
    let mut ewma = Ewma::new(WEIGHT, calibrator.ewma(WEIGHT, STEPS).unwrap(), 1.0).unwrap();
    let mut glr = Glr::new(calibrator.glr(STEPS).unwrap(), 1.0).unwrap();
    let mut drift = Drift::new(calibrator.drift(64.0 * STEPS));
    let mut counts = [0.0; 5];
    const LENGTH: u32 = 400_000;
    for _ in 0..LENGTH {
        let z = rng.normal();
        let found = [cusum.step(z), variance.step(z), ewma.step(z), glr.step(z)];
        found.iter().zip(&mut counts).for_each(|(f, n)| *n += f64::from(u8::from(f.is_some())));
    }
    for _ in 0..20 * LENGTH {
        counts[4] += f64::from(u8::from(drift.step(rng.normal()).is_some()));
    }
    let expected = [200.0, 200.0, 200.0, 200.0, 62.5];
    for (i, (count, expected)) in counts.iter().zip(expected).enumerate() {
        let ratio = count / expected;
        assert!((0.65..1.5).contains(&ratio), "detector {i}: {count} of {expected}");
    }
}

#[test]
fn a_shift_is_dated_by_ewma_and_glr() {
    let mut ewma = Ewma::new(WEIGHT, 12.0, 1.0).unwrap();
    let mut glr = Glr::new(14.0, 1.0).unwrap();
    let mut rng = Rng::new(5);
    for _ in 0..300 {
        let z = rng.normal();
        assert_eq!((ewma.step(z), glr.step(z)), (None, None));
    }
    let z: Vec<f64> = (0..200).map(|_| rng.normal() - 1.5).collect();
    let first = |step: &mut dyn FnMut(f64) -> Option<Change>| {
        z.iter().enumerate().find_map(|(i, &z)| step(z).map(|c| (i as u64, c))).unwrap()
    };
    for (delay, change) in [first(&mut |z| ewma.step(z)), first(&mut |z| glr.step(z))] {
        assert_eq!(change.direction, Direction::Down);
        assert!(change.samples_ago.abs_diff(delay) <= 4, "began {delay} ago: {change:?}");
        assert!((change.magnitude_sigma - 1.5).abs() < 0.8, "{change:?}");
    }
}

proptest! {
    /// Whatever came before, usual values are followed quietly and a change is found.
    #[test]
    fn no_history_blinds_a_detector(history in prop::collection::vec(any::<f64>(), 0..300)) {
        let mut cusum = Cusum::new(Limits::fixed([20.0, 15.0, 8.0, 4.0, 3.0, 20.0, 15.0, 8.0, 4.0, 3.0]).unwrap());
        let mut variance = Variance::new(Limits::fixed([9.0, 9.0, 9.0, 9.0]).unwrap(), 1.0).unwrap();
        let mut drift = Drift::new(Limits::fixed([40.0, 20.0, 40.0, 20.0]).unwrap());
        let (mut ewma, mut glr) = (Ewma::new(WEIGHT, 10.0, 1.0).unwrap(), Glr::new(12.0, 1.0).unwrap());
        let mut feed = |z: f64| {
            [cusum.step(z), variance.step(z), drift.step(z), ewma.step(z), glr.step(z)]
        };
        for z in history {
            for change in feed(z).into_iter().flatten() {
                prop_assert!(change.magnitude_sigma.is_finite() && change.magnitude_sigma >= 0.0);
            }
        }
        let found: Vec<_> = (0..600).map(|_| feed(2.5)).collect();
        for detector in 0..5 {
            prop_assert!(found.iter().any(|f| f[detector].is_some()), "detector {}", detector);
        }
    }
}
