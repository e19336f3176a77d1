//! State that is kept reads back; state that nobody could have written is refused; no value corrupts any.
#![allow(clippy::unwrap_used, clippy::panic, clippy::unreachable)]

use std::collections::BTreeMap;

use sensor_monitor::baseline::{Baseline, Cause, Learning, Model, Regimes, Settings, State, Stored};
use sensor_monitor::detect::Limits;
use sensor_monitor::detect::calibrate::{Tuning, Wanted};
use sensor_monitor::detect::cusum::Cusum;
use sensor_monitor::detect::drift::Drift;
use sensor_monitor::detect::ewma::Ewma;
use sensor_monitor::detect::glr::Glr;
use sensor_monitor::detect::suite::Suite;
use sensor_monitor::detect::variance::Variance;
use sensor_monitor::rng::Rng;
use serde::{Serialize, de::DeserializeOwned};
use serde_cbor::Value;

const WANTED: Wanted = Wanted { false_alarms_per_year: 100.0, interval_s: 1.0 };

fn learning() -> Learning {
    Learning::new(2048, 256, 0.0).unwrap()
}

fn model() -> Model {
    let mut rng = Rng::new(8);
    let mut baseline = Baseline::new(learning());
    while !baseline.learn(20.0 + 0.5 * rng.normal()) {}
    baseline.model().unwrap().clone()
}

fn round<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = serde_cbor::to_vec(value).unwrap();
    assert_eq!(&serde_cbor::from_slice::<T>(&bytes).unwrap(), value);
}

#[test]
fn what_is_kept_reads_back() {
    let model = model();
    round(&model);
    let tuning = Tuning::find(&model, WANTED, 1).unwrap();
    round(&tuning);
    let mut cusum = Cusum::new(tuning.cusum.clone());
    let mut drift = Drift::new(tuning.drift.clone());
    let mut variance = Variance::new(tuning.variance.clone(), 1.0).unwrap();
    let (mut ewma, mut glr) = (Ewma::new(0.1, 20.0, 1.0).unwrap(), Glr::new(20.0, 1.0).unwrap());
    let mut rng = Rng::new(2);
    for _ in 0..300 {
        let z = rng.normal();
        let _ = (cusum.step(z), drift.step(z), variance.step(z), ewma.step(z), glr.step(z));
    }
    round(&cusum);
    round(&drift);
    round(&variance);
    round(&ewma);
    let read: Glr = serde_cbor::from_slice(&serde_cbor::to_vec(&glr).unwrap()).unwrap();
    let (mut read, mut glr) = (read, glr);
    assert!((0..200).all(|i| read.step(f64::from(i) / 50.0) == glr.step(f64::from(i) / 50.0)));
}

#[test]
fn equal_seeds_give_equal_thresholds_and_another_baseline_is_told_apart() {
    let model = model();
    let tuning = Tuning::find(&model, WANTED, 1).unwrap();
    assert_eq!(tuning, Tuning::find(&model, WANTED, 1).unwrap());
    let other = Wanted { false_alarms_per_year: 1.0, ..WANTED };
    assert!(tuning.is_for(&model, WANTED) && !tuning.is_for(&model, other));
    assert!(Suite::new(&model, other, tuning).is_err());
}

#[test]
fn a_rate_from_which_no_threshold_follows_is_refused() {
    let model = model();
    for (rate, interval) in
        [(0.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (1.0, 0.0), (1.0, f64::INFINITY), (1e9, 1.0)]
    {
        let wanted = Wanted { false_alarms_per_year: rate, interval_s: interval };
        assert!(Tuning::find(&model, wanted, 1).is_err(), "{rate} {interval}");
    }
}

/// Every number of a stored model replaced by what cannot be.
#[test]
fn a_model_with_a_number_that_cannot_be_is_refused() {
    let bytes = serde_cbor::to_vec(&model()).unwrap();
    let Value::Map(fields) = serde_cbor::from_slice(&bytes).unwrap() else { unreachable!() };
    let refused = |fields: BTreeMap<Value, Value>| {
        serde_cbor::from_slice::<Model>(&serde_cbor::to_vec(&Value::Map(fields)).unwrap()).is_err()
    };
    assert!(!refused(fields.clone()), "as written it is taken");
    for (key, old) in &fields {
        let replacements = match old {
            Value::Float(_) => {
                vec![Value::Float(f64::NAN), Value::Float(f64::INFINITY), Value::Text("x".into())]
            }
            Value::Integer(_) => vec![Value::Integer(-1), Value::Float(f64::NAN)],
            Value::Array(_) => {
                vec![
                    Value::Array(vec![Value::Float(f64::NAN)]),
                    Value::Array(vec![Value::Float(0.0); 100_000]),
                ]
            }
            // Left out it is what an earlier version wrote.
            Value::Map(reach) if *key == Value::Text("reach".into()) => {
                let broken = |(part, number): (&str, f64)| {
                    let mut reach = reach.clone();
                    reach.insert(Value::Text(part.into()), Value::Float(number));
                    Value::Map(reach)
                };
                [("low", f64::NAN), ("high", f64::INFINITY), ("index", -0.1)].map(broken).to_vec()
            }
            _ => vec![Value::Null],
        };
        for bad in replacements {
            let mut fields = fields.clone();
            fields.insert(key.clone(), bad.clone());
            assert!(refused(fields), "{key:?}");
        }
    }
}

#[test]
fn limits_and_walks_that_cannot_be_are_refused() {
    for bad in [vec![], vec![1.0; 9], vec![1.0; 1000], vec![f64::NAN; 10], vec![-1.0; 10], vec![0.0; 10]] {
        assert!(serde_cbor::from_slice::<Limits<10>>(&serde_cbor::to_vec(&bad).unwrap()).is_err(), "{bad:?}");
    }
}

#[test]
fn regimes_are_learned_apart_settle_and_read_back() {
    let mut regimes = Regimes::new(Settings { learning: learning(), settle: 5 });
    let mut rng = Rng::new(6);
    let mut feed = |r: &mut Regimes, regime: u16, n: u32| {
        let level = 10.0 * f64::from(regime);
        (0..n).filter(|_| r.observe(regime, level + rng.normal()).is_some()).count()
    };
    assert_eq!(feed(&mut regimes, 1, 2048), 0, "the first record is learned, not judged");
    assert_eq!(feed(&mut regimes, 2, 2053), 0, "another regime starts from nothing");
    assert_eq!(feed(&mut regimes, 1, 10), 5, "back again: 5 values settle, 5 are judged");
    let median = |r: &Regimes, k| r.get(k).unwrap().model().unwrap().median();
    assert!((median(&regimes, 1) - 10.0).abs() < 0.2 && (median(&regimes, 2) - 20.0).abs() < 0.2);

    let stored: Stored = serde_cbor::from_slice(&serde_cbor::to_vec(&regimes.stored()).unwrap()).unwrap();
    let read = Regimes::restore(stored).unwrap();
    assert_eq!((read.get(1), read.get(2)), (regimes.get(1), regimes.get(2)));

    let written = serde_cbor::to_vec(&regimes.stored()).unwrap();
    let Value::Map(mut fields) = serde_cbor::from_slice(&written).unwrap() else { unreachable!() };
    fields.insert(Value::Text("version".into()), Value::Integer(2));
    let later: Stored = serde_cbor::from_slice(&serde_cbor::to_vec(&Value::Map(fields)).unwrap()).unwrap();
    assert!(Regimes::restore(later).is_err(), "another version is refused");
}

#[test]
fn nothing_is_learned_in_alarm_and_only_a_cause_starts_an_epoch() {
    let mut baseline = Baseline::new(learning());
    let mut rng = Rng::new(7);
    baseline.freeze();
    assert!((0..5000).all(|_| !baseline.learn(rng.normal())));
    assert_eq!((baseline.state(), baseline.progress()), (State::Frozen, 0.0));
    baseline.thaw();
    while !baseline.learn(rng.normal()) {}
    let first = baseline.model().unwrap().clone();
    (0..5000).for_each(|_| assert!(!baseline.learn(100.0)));
    assert_eq!(baseline.model(), Some(&first), "a ready baseline does not change");
    baseline.relearn(Cause::VerifiedUpdate);
    assert_eq!((baseline.state(), baseline.epoch()), (State::Learning, (1, Some(Cause::VerifiedUpdate))));
    while !baseline.learn(3.0 + 2.0 * rng.normal()) {}
    let difference = baseline.model().unwrap().against(baseline.previous().unwrap());
    assert!((difference.shift_sigma - 3.0).abs() < 0.3 && (difference.scale_ratio - 2.0).abs() < 0.3);
}

/// What is not a number is as if it had not come.
#[test]
fn no_value_corrupts_a_state() {
    let tuning = Tuning::find(&model(), WANTED, 1).unwrap();
    let mut cusum = Cusum::new(tuning.cusum.clone());
    let mut ewma = Ewma::new(0.1, 20.0, 1.0).unwrap();
    assert!(cusum.step(0.7).is_none() && ewma.step(0.7).is_none());
    let before = (cusum.clone(), ewma.clone());
    assert!(cusum.step(f64::NAN).is_none() && ewma.step(f64::NAN).is_none());
    assert_eq!((cusum, ewma), before);

    let wild = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0, 5e-324, 1e100, 20.0];
    let mut suite = Suite::new(&model(), WANTED, tuning).unwrap();
    let mut baseline = Baseline::new(learning());
    let mut rng = Rng::new(1);
    for _ in 0..20_000 {
        let x = wild[(rng.bits() % wild.len() as u64) as usize];
        suite.step(x);
        baseline.learn(x);
    }
    if let Some(model) = baseline.model() {
        round(model);
    }
    suite.clear();
    assert!(
        (0..400).filter_map(|_| suite.step(20.0 + 0.5 * rng.normal())).next().is_none(),
        "and it works on"
    );
}

#[test]
fn a_constant_a_step_converter_and_a_saturated_signal_can_be_learned() {
    let mut rng = Rng::new(12);
    for what in ["constant", "flicker", "coarse", "saturated"] {
        let mut baseline = Baseline::new(learning());
        for _ in 0..200_000 {
            let x: f64 = match what {
                "constant" => 5.0,
                "flicker" => 5.0 + 0.25 * f64::from(u8::from(rng.uniform() < 0.1)),
                "coarse" => (rng.normal() * 4.0).round() / 8.0,
                _ => rng.normal().min(0.5),
            };
            if baseline.learn(x) {
                break;
            }
        }
        let model = baseline.model().unwrap_or_else(|| panic!("{what}"));
        assert!(model.scale() > 0.0 && model.scale().is_finite(), "{what}");
        round(model);
        let step = match what {
            "flicker" => 0.25,
            "coarse" => 0.125,
            _ => continue,
        };
        assert!((model.quantisation() - step).abs() < 1e-9, "{what}: {}", model.quantisation());
    }
}
