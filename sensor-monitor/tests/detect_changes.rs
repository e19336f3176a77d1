//! Changes of known kind, size and start, through the whole of one channel.
#![allow(clippy::unwrap_used)]

use sensor_monitor::baseline::{Baseline, Learning, Model};
use sensor_monitor::detect::calibrate::{Tuning, Wanted};
use sensor_monitor::detect::suite::Suite;
use sensor_monitor::detect::{Change, Detector, Direction};
use sensor_monitor::rng::Rng;

/// One value a second, one false alarm a year.
const WANTED: Wanted = Wanted { false_alarms_per_year: 1.0, interval_s: 1.0 };

/// A 12-bit converter with a few bits of noise, correlated by `phi`.
struct Channel {
    rng: Rng,
    phi: f64,
    last: f64,
}

impl Channel {
    fn next(&mut self, shift_sigma: f64, spread: f64) -> f64 {
        let keep = (1.0 - self.phi * self.phi).sqrt();
        self.last = self.phi * self.last + keep * self.rng.normal();
        2048.0 + (5.0 * (self.last * spread + shift_sigma)).round()
    }
}

fn channel(phi: f64) -> (Channel, Model, Suite) {
    let mut channel = Channel { rng: Rng::new(33), phi, last: 0.0 };
    let mut baseline = Baseline::new(Learning::new(8192, 512, 0.0).unwrap());
    while !baseline.learn(channel.next(0.0, 1.0)) {}
    let model = baseline.model().unwrap().clone();
    let tuning = Tuning::find(&model, WANTED, 5).unwrap();
    let suite = Suite::new(&model, WANTED, tuning).unwrap();
    (channel, model, suite)
}

/// Runs 3,000 usual values, then `changed` ones until an alarm; gives the values since and the alarm.
fn alarm(phi: f64, mut changed: impl FnMut(&mut Channel, u64) -> f64) -> (u64, Change) {
    let (mut channel, _, mut suite) = channel(phi);
    assert!((0..3000).all(|_| suite.step(channel.next(0.0, 1.0)).is_none()), "quiet before");
    (0..200_000)
        .find_map(|i| suite.step(changed(&mut channel, i)).map(|change| (i, change)))
        .expect("the change is found")
}

#[test]
fn a_shift_is_found_with_its_size_and_start() {
    for (phi, shift, within) in [(0.0, 1.0, 60), (0.0, -3.0, 8), (0.5, 1.5, 120), (0.8, 2.0, 250)] {
        let (delay, change) = alarm(phi, |c, _| c.next(shift, 1.0));
        assert_eq!(change.detector, Detector::Cusum, "{shift}: {change:?}");
        assert_eq!(change.direction, if shift > 0.0 { Direction::Up } else { Direction::Down });
        assert!(delay <= within, "{phi} {shift}: after {delay}");
        assert!((change.magnitude_sigma / f64::abs(shift) - 1.0).abs() < 0.6, "{phi} {shift}: {change:?}");
        assert!(change.samples_ago.abs_diff(delay) <= 15, "{phi} {shift}: began {delay} ago, {change:?}");
    }
}

#[test]
fn a_slow_ramp_is_found() {
    let (delay, change) = alarm(0.0, |c, i| c.next(i as f64 * 2e-4, 1.0));
    assert!(matches!(change.detector, Detector::Drift | Detector::Cusum), "{change:?}");
    assert!(
        change.direction == Direction::Up && delay < 5000,
        "{delay}: {:.2} sigma by then",
        delay as f64 * 2e-4
    );
}

#[test]
fn noise_that_grows_or_collapses_is_found() {
    let (delay, change) = alarm(0.0, |c, _| c.next(0.0, 2.5));
    assert!(change.direction == Direction::Wider && delay < 60, "{delay} {change:?}");
    let (delay, change) = alarm(0.0, |c, _| c.next(0.0, 0.35));
    assert!(change.direction == Direction::Narrower && delay < 80, "{delay} {change:?}");
    assert!((change.magnitude_sigma - 0.35).abs() < 0.2, "{change:?}");
}

#[test]
fn a_frozen_value_is_found() {
    let (delay, change) = alarm(0.0, |_, _| 2050.0);
    assert_eq!((change.detector, change.direction), (Detector::Frozen, Direction::Repeats));
    assert!(delay < 40, "{delay}");
}

/// The 417 payload of Stuxnet played back 21 s of recorded inputs in a loop.
#[test]
fn a_loop_of_21_samples_is_found_within_two_periods() {
    for phi in [0.0, 0.5] {
        let mut recorded = Vec::new();
        let (delay, change) = alarm(phi, |c, i| {
            if recorded.len() < 21 {
                recorded.push(c.next(0.0, 1.0));
            }
            recorded[i as usize % 21]
        });
        assert_eq!((change.detector, change.magnitude_sigma as u32), (Detector::Replayed, 21), "{phi}");
        assert!(delay < 42, "{phi}: after {delay}");
        assert!(change.samples_ago.abs_diff(delay) <= 3, "{phi}: began {delay} ago, {change:?}");
    }
}

#[test]
fn coarse_data_do_not_repeat_by_more_than_chance() {
    let mut rng = Rng::new(21);
    for step in [0.3, 1.0, 3.0] {
        let mut next = || (rng.normal() / step).round() * step;
        let mut baseline = Baseline::new(Learning::new(8192, 512, 0.0).unwrap());
        while !baseline.learn(next()) {}
        let model = baseline.model().unwrap();
        let tuning = Tuning::find(model, WANTED, 5).unwrap();
        let mut suite = Suite::new(model, WANTED, tuning).unwrap();
        let repeats =
            (0..150_000).filter_map(|_| suite.step(next())).filter(|c| c.direction == Direction::Repeats);
        assert_eq!(repeats.count(), 0, "step {step}");
    }
}
