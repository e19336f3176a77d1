use super::*;

fn tone(n: usize, rate: f64, parts: &[(f64, f64, f64)]) -> Vec<f64> {
    (0..n)
        .map(|i| {
            let t = i as f64 / rate;
            parts.iter().map(|(f, a, p)| a * (2.0 * PI * f * t + p).cos()).sum()
        })
        .collect()
}

#[test]
fn a_clean_tone_is_found_to_rounding() {
    for n in [64, 100, 1000, 1023, 4096] {
        for bins in [2.0, 2.3, 8.5, 13.25, 20.0, n as f64 / 2.0 - 3.4] {
            let rate = 20_480.0;
            let f = bins * rate / n as f64;
            let mut x = tone(n, rate, &[(f, 3.0, 0.7)]);
            x.iter_mut().for_each(|x| *x += 5.0);
            let found = ToneEstimator::new(n, rate).unwrap().estimate(&x).unwrap();
            assert!((found.frequency / f - 1.0).abs() < 1e-9, "{n} {bins} {found:?}");
            assert!((found.amplitude - 3.0).abs() < 1e-8 && (found.phase - 0.7).abs() < 1e-7, "{found:?}");
            assert!(found.snr_db > 90.0, "{n} {bins} {found:?}");
        }
    }
}

#[test]
fn three_tones_are_told_apart() {
    let (n, rate) = (1000, 1000.0);
    let parts = [(100.3, 1.0, 0.1), (102.4, 0.5, -1.0), (260.0, 0.01, 2.0)];
    let tones = ToneEstimator::new(n, rate).unwrap().estimate_multi(&tone(n, rate, &parts), 3);
    assert_eq!(tones.len(), 3);
    for (found, (f, a, p)) in tones.iter().zip(parts) {
        assert!((found.frequency - f).abs() < 1e-7 && (found.amplitude - a).abs() < 1e-7, "{found:?}");
        assert!((found.phase - p).abs() < 1e-5, "{found:?}");
    }
}

#[test]
fn what_is_no_tone_is_none() {
    let n = 256;
    let mut noise = 1_u64;
    let hiss: Vec<f64> = (0..n)
        .map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 33) as f64 / 2_147_483_648.0 - 0.5
        })
        .collect();
    let clean = tone(n, 1.0, &[(0.1, 1.0, 0.0)]);
    let with = |bad: f64| clean.iter().enumerate().map(|(i, x)| if i == 7 { bad } else { *x }).collect();
    let cases: &[(&str, Vec<f64>)] = &[
        ("zeros", vec![0.0; n]),
        ("a constant", vec![0.1; n]),
        ("a huge constant", vec![1e149; n]),
        ("NaN", with(f64::NAN)),
        ("infinity", with(f64::INFINITY)),
        ("too large to square", with(1e200)),
        ("too short", vec![1.0; n - 1]),
        ("empty", vec![]),
        ("noise", hiss),
        ("subnormal", vec![1e-310; n]),
    ];
    let mut estimator = ToneEstimator::new(n, 1.0).unwrap();
    for (what, samples) in cases {
        assert_eq!(estimator.estimate(samples), None, "{what}");
        assert_eq!(estimator.estimate_multi(samples, 99).len(), 0, "{what}");
    }
    assert!(estimator.estimate(&clean).is_some(), "and the estimator is none the worse");
}

#[test]
fn a_window_or_rate_outside_the_limits_makes_no_estimator() {
    for (n, rate) in [(63, 1.0), (65_537, 1.0), (64, 0.0), (64, -1.0), (64, f64::NAN), (64, f64::INFINITY)] {
        assert!(ToneEstimator::new(n, rate).is_none(), "{n} {rate}");
    }
}
