//! Whether two distributions of spans are the same: how far apart, and how surely.

use super::histogram::{BINS, BINS_PER_OCTAVE, LogHistogram};

/// Fewest spans on each side.
pub const MIN_SPANS: u64 = 20;

/// How two histograms differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Kolmogorov and Smirnov: the largest difference of the two distribution functions, 0 to 1.
    pub largest: f64,
    /// Chance of at least this `largest` were both the same. On bins it errs on the safe side.
    pub chance: f64,
    /// Wasserstein's distance in the logarithm: by what mean factor spans must be stretched or shortened to
    /// turn one distribution into the other; 0 for equal, 0.05 for five per cent.
    pub stretch: f64,
    /// Factor between the medians, second over first.
    pub median_ratio: f64,
}

/// Compares two histograms; `None` with fewer than [`MIN_SPANS`] on either side.
pub fn compare(first: &LogHistogram, second: &LogHistogram) -> Option<Difference> {
    if first.total() < MIN_SPANS || second.total() < MIN_SPANS {
        return None;
    }
    let (n, m) = (first.total() as f64, second.total() as f64);
    let (mut below_first, mut below_second) = (0_u64, 0_u64);
    let (mut largest, mut area) = (0.0_f64, 0.0);
    for bin in 0..BINS {
        below_first += first.counts()[bin];
        below_second += second.counts()[bin];
        let apart = (below_first as f64 / n - below_second as f64 / m).abs();
        largest = largest.max(apart);
        area += apart;
    }
    let octaves = area / BINS_PER_OCTAVE as f64;
    Some(Difference {
        largest,
        chance: chance(largest, n * m / (n + m)),
        stretch: octaves.exp2() - 1.0,
        median_ratio: second.quantile(0.5)? / first.quantile(0.5)?,
    })
}

/// Kolmogorov's distribution with Stephens' correction for finite samples (J. R. Statist. Soc. B 32, 1970).
fn chance(largest: f64, effective: f64) -> f64 {
    let root = effective.sqrt();
    let x = (root + 0.12 + 0.11 / root) * largest;
    // The series alternates and does not settle near zero, where the chance is 1 to nine digits.
    if x < 0.2 {
        return 1.0;
    }
    let sum: f64 = (1..=100)
        .map(|k| {
            let k = f64::from(k);
            let sign = if k % 2.0 == 1.0 { 1.0 } else { -1.0 };
            sign * (-2.0 * k * k * x * x).exp()
        })
        .sum();
    (2.0 * sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans about 5 ms with a spread of a few per cent, from a fixed sequence.
    fn spans(count: u64, seed: u64, factor: f64) -> LogHistogram {
        let mut spans = LogHistogram::default();
        let mut state = seed;
        for _ in 0..count {
            let mut normal = -6.0;
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                normal += (state >> 11) as f64 / (1_u64 << 53) as f64;
            }
            spans.push(factor * 0.005 * (1.0 + 0.1 * normal));
        }
        spans
    }

    #[test]
    fn equal_distributions_are_rarely_called_different() {
        let called = (0..400)
            .filter(|i| {
                compare(&spans(200, 2 * i + 1, 1.0), &spans(150, 9000 + i, 1.0)).unwrap().chance < 0.05
            })
            .count();
        assert!(called <= 400 * 8 / 100, "{called} of 400 at five per cent");
    }

    #[test]
    fn a_stretch_of_ten_per_cent_is_seen_and_sized() {
        let found = compare(&spans(300, 3, 1.0), &spans(300, 4, 1.1)).unwrap();
        assert!(found.chance < 1e-6 && found.largest > 0.3, "{found:?}");
        assert!((found.stretch - 0.1).abs() < 0.03 && (found.median_ratio - 1.1).abs() < 0.03, "{found:?}");
    }

    #[test]
    fn too_few_spans_are_not_compared() {
        assert_eq!(compare(&spans(19, 1, 1.0), &spans(500, 2, 1.0)), None);
        let same = compare(&spans(50, 1, 1.0), &spans(50, 1, 1.0)).unwrap();
        assert_eq!((same.largest, same.chance, same.stretch), (0.0, 1.0, 0.0));
    }

    #[test]
    fn the_chance_is_kolmogorovs() {
        // Smirnov's table: 1.3581 is the five per cent point, 1.6276 the one per cent point.
        for (x, p) in [(1.3581, 0.05), (1.6276, 0.01)] {
            assert!((chance(x / 1e4, 1e8) - p).abs() < 2e-4, "{x}");
        }
    }
}
