//! Spans of time in bins of equal ratio: quantiles of any number of turnarounds in a fixed memory.

use serde::{Deserialize, Serialize};

/// Shortest span told apart, seconds; shorter ones are in the first bin.
pub const SHORTEST: f64 = 1e-7;
/// Bins for a factor of two: neighbours differ by 2.2 %.
pub const BINS_PER_OCTAVE: usize = 32;
/// Factors of two from [`SHORTEST`]: up to 107 s; longer spans are in the last bin.
pub const OCTAVES: usize = 30;
/// Bins of a histogram.
pub const BINS: usize = BINS_PER_OCTAVE * OCTAVES;

/// Counts of spans by their length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<(u16, u64)>", try_from = "Vec<(u16, u64)>")]
pub struct LogHistogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for LogHistogram {
    fn default() -> Self {
        LogHistogram { counts: vec![0; BINS], total: 0 }
    }
}

impl LogHistogram {
    /// Counts one span, seconds. Returns whether it was counted: not when negative or not finite.
    pub fn push(&mut self, seconds: f64) -> bool {
        let fits = seconds.is_finite() && seconds >= 0.0;
        if fits {
            let bin = (seconds / SHORTEST).max(1.0).log2() * BINS_PER_OCTAVE as f64;
            self.counts[(bin as usize).min(BINS - 1)] += 1;
            self.total += 1;
        }
        fits
    }

    /// Spans counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The counts, shortest spans first.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Seconds at the lower edge of `bin`.
    pub fn edge(bin: usize) -> f64 {
        SHORTEST * (bin as f64 / BINS_PER_OCTAVE as f64).exp2()
    }

    /// The span that `share` (0 to 1) of all are below, seconds, true to a bin; `None` when there is none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.total == 0 || share.is_nan() {
            return None;
        }
        let wanted = share.clamp(0.0, 1.0) * self.total as f64;
        let mut below = 0.0;
        for (bin, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if below + count >= wanted {
                let part = ((wanted - below) / count).clamp(0.0, 1.0);
                return Some(SHORTEST * ((bin as f64 + part) / BINS_PER_OCTAVE as f64).exp2());
            }
            below += count;
        }
        Some(Self::edge(BINS))
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &LogHistogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        self.total += other.total;
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }
}

/// Written as the bins that are not empty.
impl From<LogHistogram> for Vec<(u16, u64)> {
    fn from(spans: LogHistogram) -> Vec<(u16, u64)> {
        (0..).zip(spans.counts).filter(|(_, count)| *count > 0).collect()
    }
}

impl TryFrom<Vec<(u16, u64)>> for LogHistogram {
    type Error = HistogramError;

    fn try_from(bins: Vec<(u16, u64)>) -> Result<LogHistogram, HistogramError> {
        let mut spans = LogHistogram::default();
        for (bin, count) in bins {
            let wrong = HistogramError { bin, count };
            let slot = spans.counts.get_mut(usize::from(bin)).filter(|c| **c == 0).ok_or(wrong)?;
            *slot = count;
            spans.total = spans.total.checked_add(count).ok_or(wrong)?;
        }
        Ok(spans)
    }
}

/// A stored histogram that none was written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bin {bin} with {count} spans is twice there, beyond bin {BINS}, or makes the sum too large")]
pub struct HistogramError {
    /// The bin.
    pub bin: u16,
    /// Its count.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_true_to_a_bin() {
        let mut spans = LogHistogram::default();
        (1..=1000).for_each(|i| assert!(spans.push(f64::from(i) * 1e-5)));
        for (share, seconds) in [(0.05, 0.0005), (0.5, 0.005), (0.95, 0.0095), (1.0, 0.01)] {
            let found = spans.quantile(share).unwrap();
            assert!((found / seconds - 1.0).abs() < 0.023, "{share}: {found}");
        }
    }

    #[test]
    fn what_is_no_span_is_not_counted() {
        let mut spans = LogHistogram::default();
        assert_eq!(spans.quantile(0.5), None);
        for bad in [f64::NAN, f64::INFINITY, -1e-9] {
            assert!(!spans.push(bad));
        }
        assert!(spans.push(0.0) && spans.push(1e300) && spans.total() == 2);
        assert!(spans.quantile(1.0).unwrap() > 100.0 && spans.quantile(f64::NAN).is_none());
    }
}
