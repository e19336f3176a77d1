//! Whatever the samples are, an estimator answers with finite numbers, or says that it has none.

#![forbid(unsafe_code)]

use proptest::prelude::*;
use sensor_monitor::estimate::level::bus::{BusConfig, BusLevel};
use sensor_monitor::estimate::phasor::{Class, Nominal, PhasorConfig, PhasorEstimator};
use sensor_monitor::estimate::spectrum::{DistortionMeter, Spectrum};
use sensor_monitor::estimate::timing::{drift::DriftEstimator, histogram::LogHistogram, jitter::Jitter};
use sensor_monitor::estimate::tone::{MAX_TONES, ToneEstimator, track::ToneTracker};

/// Any number: ordinary ones mostly, then huge, tiny and those that are none.
fn sample() -> impl Strategy<Value = f64> {
    prop_oneof![
        20 => -10.0..10.0_f64,
        2 => Just(0.0),
        1 => prop::num::f64::NORMAL,
        1 => prop::num::f64::ANY,
    ]
}

/// Windows of one kind: wild, tame, or all the same.
fn window(n: usize) -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        prop::collection::vec(sample(), n),
        prop::collection::vec(-10.0..10.0_f64, n),
        sample().prop_map(move |x| vec![x; n]),
        (prop::num::f64::NORMAL, 0.0..0.5_f64, 0.0..1.0_f64).prop_map(move |(a, f, noise)| (0..n)
            .map(|i| a * ((std::f64::consts::TAU * f * i as f64).cos() + noise * (i as f64 * 7.7).sin()))
            .collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tones_are_finite_and_inside_the_band(x in window(96), most in 0..20_usize) {
        let tones = ToneEstimator::new(96, 1000.0).expect("inside").estimate_multi(&x, most);
        prop_assert!(tones.len() <= most.min(MAX_TONES));
        let tracked = ToneTracker::new(96, 1000.0, 230.0).expect("inside").estimate(&x);
        for tone in tones.iter().chain(&tracked) {
            prop_assert!(tone.frequency > 0.0 && tone.frequency < 500.0, "{tone:?}");
            prop_assert!(tone.amplitude.is_finite() && tone.amplitude >= 0.0, "{tone:?}");
            prop_assert!(tone.phase.abs() < 3.15 && tone.snr_db.is_finite(), "{tone:?}");
        }
    }

    #[test]
    fn spectra_are_finite(x in window(90), highest in 0..60_usize) {
        if let Some(shown) = Spectrum::new(90).expect("inside").amplitudes(&x, 1.0) {
            prop_assert!(shown.iter().all(|db| db.is_finite()));
        }
        if let Some(found) = DistortionMeter::new(90, 1.0).expect("inside").measure(&x, highest) {
            prop_assert!(found.thd.is_finite() && found.thd >= 0.0 && found.sinad_db.is_finite(), "{found:?}");
        }
    }

    #[test]
    fn phasors_are_finite(x in window(400)) {
        for (class, reports) in [(Class::P, 100), (Class::M, 50)] {
            let config = PhasorConfig { class, rate: 1600.0, nominal: Nominal::Fifty, reports, start: 0.0 };
            let mut estimator = PhasorEstimator::new(config).expect("inside");
            for p in x.iter().filter_map(|x| estimator.push(*x)) {
                prop_assert!(p.magnitude.is_finite() && p.angle.abs() < 3.15, "{p:?}");
                prop_assert!(p.frequency.is_finite() && p.rocof.is_finite(), "{p:?}");
            }
        }
    }

    #[test]
    fn levels_are_finite(x in window(300), from in 0..400_usize, to in 0..400_usize) {
        let config = BusConfig { rate: 1000.0, bit: 0.01, reference: 2.0, mark_is_low: true };
        let level = BusLevel::new(config).expect("inside").measure(&x, Some(&x), &[from..to]);
        for value in [level.mark, level.space, level.amplitude, level.decibels] {
            prop_assert!(value.is_finite(), "{level:?}");
        }
        prop_assert!(level.common.is_none_or(f64::is_finite) && level.idle.is_none_or(f64::is_finite));
    }

    #[test]
    fn times_are_finite(x in window(64)) {
        let (mut jitter, mut spans) = (Jitter::new(32), LogHistogram::default());
        let mut drift = DriftEstimator::new(0.5, 32).expect("inside");
        let mut time = 0.0;
        for x in x {
            jitter.push(x);
            spans.push(x);
            time += x;
            drift.push(time);
        }
        let scatter = jitter.scatter();
        prop_assert!(scatter.median.is_finite() && scatter.mad.is_finite() && scatter.p95.is_finite());
        prop_assert!(spans.quantile(0.5).is_none_or(f64::is_finite));
        prop_assert!(drift.drift().is_none_or(|d| d.ppm.is_finite() && d.jitter.is_finite()));
    }
}
