//! Jitter: how far intervals scatter, by quantiles that a few outliers cannot move.

use hal::sensor::{Flaw, Quality};

/// Fewest values that have a jitter.
pub const MIN_VALUES: usize = 8;
/// Largest window.
pub const MAX_WINDOW: usize = 65_536;

/// Scatter of the values in the window, in their unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scatter {
    /// Half of the values are below.
    pub median: f64,
    /// Median of the distances from the median; times 1.4826 it is the deviation of a normal distribution.
    pub mad: f64,
    /// Half of the distances from the median are below: the same as `mad`, named as operators ask for it.
    pub p50: f64,
    /// 95 % of the distances from the median are below.
    pub p95: f64,
    /// Values in the window.
    pub count: usize,
    /// `Uncertain(Settling)` until the window is full; zero values and `Bad(Missing)` below [`MIN_VALUES`].
    pub quality: Quality,
}

/// The last values, exactly; its memory is twice the window.
#[derive(Debug, Clone)]
pub struct Jitter {
    window: usize,
    values: Vec<f64>,
    oldest: usize,
    sorted: Vec<f64>,
}

impl Jitter {
    /// Keeps the last `window` values, [`MIN_VALUES`] to [`MAX_WINDOW`] of them; others are cut to that.
    pub fn new(window: usize) -> Jitter {
        let window = window.clamp(MIN_VALUES, MAX_WINDOW);
        Jitter { window, values: Vec::with_capacity(window), oldest: 0, sorted: Vec::with_capacity(window) }
    }

    /// Adds one interval or deviation; what is not finite is left out.
    pub fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.values.len() < self.window {
            self.values.push(value);
        } else {
            self.values[self.oldest] = value;
            self.oldest = (self.oldest + 1) % self.window;
        }
    }

    /// The scatter now; sorts the window.
    pub fn scatter(&mut self) -> Scatter {
        let count = self.values.len();
        if count < MIN_VALUES {
            let quality = Quality::Bad(Flaw::Missing);
            return Scatter { median: 0.0, mad: 0.0, p50: 0.0, p95: 0.0, count, quality };
        }
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.values);
        self.sorted.sort_unstable_by(f64::total_cmp);
        let median = quantile_of_sorted(&self.sorted, 0.5);
        // Two values of opposite sign may lie farther apart than a number can say.
        self.sorted.iter_mut().for_each(|v| *v = (*v - median).abs().min(f64::MAX));
        self.sorted.sort_unstable_by(f64::total_cmp);
        let p50 = quantile_of_sorted(&self.sorted, 0.5);
        let p95 = quantile_of_sorted(&self.sorted, 0.95);
        let full = count == self.window;
        let quality = if full { Quality::Good } else { Quality::Uncertain(Flaw::Settling) };
        Scatter { median, mad: p50, p50, p95, count, quality }
    }
}

/// Quantile of sorted values, between neighbours by their shares; 0 of none.
pub(crate) fn quantile_of_sorted(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    let part = at - at.floor();
    low * (1.0 - part) + high * part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_moves_no_quantile() {
        let mut jitter = Jitter::new(101);
        (0..100).for_each(|i| jitter.push(f64::from(i)));
        assert_eq!(jitter.scatter().quality, Quality::Uncertain(Flaw::Settling));
        jitter.push(1e300);
        let scatter = jitter.scatter();
        assert_eq!((scatter.median, scatter.mad, scatter.quality), (50.0, 25.0, Quality::Good));
        assert!((scatter.p95 - 48.0).abs() < 1.5, "{scatter:?}");
    }

    #[test]
    fn nothing_and_nan_and_extremes_stay_finite() {
        let mut jitter = Jitter::new(16);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            jitter.push(bad);
        }
        assert_eq!(jitter.scatter().quality, Quality::Bad(Flaw::Missing));
        (0..40).for_each(|i| jitter.push(if i % 2 == 0 { f64::MAX } else { f64::MIN }));
        let scatter = jitter.scatter();
        assert!(
            scatter.median.is_finite() && scatter.mad.is_finite() && scatter.p95.is_finite(),
            "{scatter:?}"
        );
    }
}
