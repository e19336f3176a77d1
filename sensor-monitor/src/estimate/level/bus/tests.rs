use super::*;

const CONFIG: BusConfig = BusConfig { rate: 1.92e6, bit: 1.0 / 19_200.0, reference: 2.0, mark_is_low: true };
/// Samples in one bit of [`CONFIG`].
const BIT: usize = 100;

/// Idle, a frame of alternating and equal bits with edges of `rise` samples, idle.
fn bus(mark: f64, space: f64, idle: f64, rise: usize) -> (Vec<f64>, Range<usize>) {
    let bits = [0, 1, 0, 1, 1, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 0, 1];
    let mut x = vec![idle; 5 * BIT];
    let start = x.len();
    let mut last = mark;
    for bit in bits {
        let to = if bit == 1 { mark } else { space };
        for i in 0..BIT {
            let part = if rise == 0 { 1.0 } else { ((i as f64 + 0.5) / rise as f64).min(1.0) };
            x.push(last + (to - last) * part);
        }
        last = to;
    }
    let end = x.len();
    x.extend(vec![idle; 5 * BIT]);
    (x, start..end)
}

#[test]
fn plateaus_bias_and_common_mode_are_found() {
    let (mut x, gate) = bus(-1.9, 2.1, 0.3, 20);
    x[gate.start + 250] = 30.0; // one spike within a plateau
    let common = vec![1.5; x.len()];
    let level = BusLevel::new(CONFIG).unwrap().measure(&x, Some(&common), &[gate]);
    assert_eq!(level.quality, Quality::Good);
    assert!((level.mark + 1.9).abs() < 1e-9 && (level.space - 2.1).abs() < 1e-9, "{level:?}");
    assert!((level.amplitude - 2.0).abs() < 1e-9 && level.decibels.abs() < 1e-6, "{level:?}");
    assert_eq!((level.common, level.idle.map(|v| (v * 1e9).round())), (Some(1.5), Some(3e8)));
    let edges = level.edges.unwrap();
    // 10 to 90 % of a straight edge of 20 samples.
    assert!((edges.rise * CONFIG.rate - 16.0).abs() < 0.5 && edges.overshoot < 0.01, "{edges:?}");
}

#[test]
fn polarity_and_several_ranges_are_heeded() {
    let (x, gate) = bus(2.0, -1.0, 2.0, 0);
    let middle = gate.start + 10 * BIT;
    let config = BusConfig { mark_is_low: false, ..CONFIG };
    let level = BusLevel::new(config).unwrap().measure(&x, None, &[middle..gate.end, gate.start..middle]);
    assert!((level.mark - 2.0).abs() < 1e-9 && (level.space + 1.0).abs() < 1e-9, "{level:?}");
    assert_eq!((level.common, level.edges), (None, None), "edges within one sample are not measured");
    assert!((level.idle.unwrap() - 2.0).abs() < 1e-9);
}

#[test]
fn what_is_no_frame_says_so() {
    let (good, gate) = bus(-1.9, 2.1, 0.3, 20);
    let with = |bad: f64| {
        let mut x = good.clone();
        x[gate.start + 1] = bad;
        x
    };
    let slow = BusConfig { rate: 100_000.0, ..CONFIG };
    let cases: &[(&str, BusConfig, Vec<f64>, Flaw)] = &[
        ("zeros", CONFIG, vec![0.0; 4000], Flaw::NotMeasured),
        ("a constant", CONFIG, vec![2.0; 4000], Flaw::NotMeasured),
        ("NaN", CONFIG, with(f64::NAN), Flaw::NotFinite),
        ("infinity", CONFIG, with(f64::INFINITY), Flaw::NotFinite),
        ("huge", CONFIG, with(1e300), Flaw::NotFinite),
        ("too few samples in a bit", slow, good.clone(), Flaw::NotMeasured),
        ("nothing", CONFIG, vec![], Flaw::NotMeasured),
    ];
    for (what, config, x, flaw) in cases {
        let level = BusLevel::new(*config).unwrap().measure(x, Some(x), std::slice::from_ref(&gate));
        assert_eq!(level, Level::bad(*flaw), "{what}");
    }
    assert!(BusLevel::new(BusConfig { bit: 0.0, ..CONFIG }).is_none());
    let odd = std::ops::Range { start: 9, end: 3 };
    assert!(!BusLevel::new(CONFIG).unwrap().measure(&good, None, &[odd]).quality.is_good());
}
