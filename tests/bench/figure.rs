//! Figures: medians of rounds, with an interval, against a bound.

/// What a figure is compared with.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// Smaller is better.
    AtMost(f64),
    /// Larger is better.
    AtLeast(f64),
}

/// Prints `bench NAME UNIT=R [lo..hi] bound=B ok|short`: the median of `rounds`, its bootstrap 95 %
/// interval, and whether the lower end of the interval is within the bound.
pub(crate) fn figure(name: &str, unit: &str, rounds: &[f64], bound: Bound) {
    let middle = median(rounds);
    let (lo, hi) = bootstrap(rounds);
    let (b, ok) = match bound {
        Bound::AtMost(b) => (b, lo <= b),
        Bound::AtLeast(b) => (b, lo >= b),
    };
    let word = if ok { "ok" } else { "short" };
    println!("bench {name} {unit}={middle:.3} [{lo:.3}..{hi:.3}] bound={b:.2} {word}");
}

/// The ratio of each round.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(a, b)| a / b).collect()
}

/// The median; of an even number, the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// The value below which `part` of `sorted` lies.
pub(crate) fn quantile(sorted: &[u32], part: f64) -> f64 {
    let place = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(f64::NAN, |v| f64::from(*v))
}

/// Bootstrap 95 % interval of the median.
fn bootstrap(values: &[f64]) -> (f64, f64) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64; // the same draws every time
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        values[(state % values.len() as u64) as usize]
    };
    let mut medians: Vec<f64> =
        (0..RESAMPLES).map(|_| median(&(0..values.len()).map(|_| draw()).collect::<Vec<f64>>())).collect();
    medians.sort_by(f64::total_cmp);
    (medians[RESAMPLES / 40], medians[RESAMPLES - 1 - RESAMPLES / 40])
}

const RESAMPLES: usize = 4_000;
