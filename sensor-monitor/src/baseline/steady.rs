//! Whether a record is of one level: what is learned from two describes neither.

use super::correlate::{autocorrelation, correlation_time};

/// A level that moved within a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moved {
    /// The first value after it moved, counted from 0.
    pub at: usize,
    /// Mean before.
    pub before: f64,
    /// Mean afterwards.
    pub after: f64,
}

/// The one place that divides a record best into two levels, where that explains a third of all it varies and is
/// no chance. A signal that wanders, swings or switches many times within the record has no such place.
pub fn moved(values: &[f64]) -> Option<Moved> {
    let n = values.len();
    let least = (n / 16).max(LEAST_PART);
    if n < 2 * least || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let (mut sum, mut best) = (0.0, (0.0, 0, 0.0));
    for (k, value) in values.iter().enumerate().take(n - least) {
        sum += value - mean;
        let (left, right) = ((k + 1) as f64, (n - k - 1) as f64);
        let between = sum * sum * n as f64 / (left * right);
        if k + 1 >= least && between > best.0 {
            best = (between, k + 1, sum);
        }
    }
    let (between, at, sum) = best;
    let (left, right) = (at as f64, n.saturating_sub(at) as f64);
    if at == 0 {
        return None;
    }
    let (before, after) = (mean + sum / left, mean - sum / right);
    let rest = |(k, v): (usize, &f64)| v - if k < at { before } else { after };
    let rest: Vec<f64> = values.iter().enumerate().map(rest).collect();
    let within: f64 = rest.iter().map(|e| e * e).sum();
    let time = correlation_time(&autocorrelation(&rest)).max(1.0);
    let error = (within / n as f64 * time * (1.0 / left + 1.0 / right)).sqrt();
    let is_one = between < LEAST_SHARE * (between + within) || (after - before).abs() <= SURE * error;
    (!is_one && between.is_finite()).then_some(Moved { at, before, after })
}

/// Shorter parts are an episode, and no level.
const LEAST_PART: usize = 16;
/// Share of the variance that two levels explain, at least.
const LEAST_SHARE: f64 = 1.0 / 3.0;
/// Two levels differ by more than so many standard errors: the place was chosen for it.
const SURE: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn a_step_in_a_record_is_found_and_what_stays_wanders_or_swings_is_steady() {
        let mut rng = Rng::new(5);
        let mut wander = 0.0;
        let mut record = |value: &dyn Fn(usize, f64, f64) -> f64| -> Vec<f64> {
            (0..2000)
                .map(|n| {
                    let x = rng.normal();
                    wander = 0.9 * wander + x;
                    value(n, x, wander)
                })
                .collect()
        };
        let step = moved(&record(&|n, x, _| x + if n < 800 { 50.0 } else { 55.0 })).unwrap();
        assert!(step.at.abs_diff(800) < 5 && (step.after - step.before - 5.0).abs() < 0.3, "{step:?}");
        assert!(moved(&record(&|n, x, _| x + n as f64 * 0.005)).is_some(), "a ramp");
        for steady in [
            record(&|_, x, _| x),
            record(&|_, _, wander| wander),
            record(&|n, x, _| x + 5.0 * (n as f64 / 30.0).sin()),
            record(&|n, x, _| x + if n / 100 % 2 == 0 { 0.0 } else { 9.0 }),
            record(&|_, _, _| 20.0),
            vec![1.0; 8],
            vec![f64::INFINITY; 100],
        ] {
            assert_eq!(moved(&steady), None);
        }
    }
}
