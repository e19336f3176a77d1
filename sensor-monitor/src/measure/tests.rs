use super::*;

/// Blocks of these lengths, gone through one by one.
fn readings(measure: Measure, window_ns: u64, lengths: &[usize], spoilt: Option<usize>) -> Vec<Reading> {
    let mut meter = Meter::new(measure, Duration::from_nanos(window_ns));
    let (mut out, mut taken) = (Vec::new(), 0);
    for length in lengths {
        let sample = |i: usize| if Some(i) == spoilt { f64::NAN } else { (i as f64 * 0.7).sin() + 2.0 };
        let block = Block {
            at: Mono(taken as u64 * 1000),
            period_ns: 1000,
            samples: (taken..taken + length).map(sample).collect(),
            lost: 0,
            quality: Quality::Good,
        };
        meter.take(&block, &mut out);
        taken += length;
    }
    out
}

#[test]
fn readings_do_not_depend_on_how_samples_come_in_blocks() {
    let one_by_one = vec![1; 1200];
    for measure in [Measure::Value, Measure::Level(1.0), Measure::Frequency] {
        for window_ns in [64_000, 100_000, 100_400, 99_600, 333_000, 400_000] {
            for spoilt in [None, Some(0), Some(399), Some(650)] {
                let should = readings(measure, window_ns, &one_by_one, spoilt);
                assert!(should.len() >= 3 && should.iter().any(|r| r.quality.is_good()), "{window_ns}");
                for lengths in [vec![1200], vec![400; 3], vec![7, 193, 500, 499, 1], vec![399, 2, 799]] {
                    let is = readings(measure, window_ns, &lengths, spoilt);
                    assert_eq!(is.len(), should.len(), "{measure:?} {window_ns} {lengths:?}");
                    for (is, should) in is.iter().zip(&should) {
                        let what = format!("{measure:?} {window_ns} {lengths:?}: {is:?} {should:?}");
                        assert_eq!((is.at, is.quality), (should.at, should.quality), "{what}");
                        assert!((is.value - should.value).abs() <= 1e-12 * should.value.abs(), "{what}");
                    }
                }
            }
        }
    }
}
