//! Figures: medians of rounds, with an interval, against a bound.

/// What a figure is compared with.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// Smaller is better.
    AtMost(f64),
    /// Larger is better.
    AtLeast(f64),
    /// Neither too small nor too large: the whole interval between these two.
    Within(f64, f64),
}

impl Bound {
    /// `ok` or `short`, or `noisy` where the interval is too wide to say either; [`RULE`] in words.
    pub(crate) fn word(self, value: f64, (lo, hi): (f64, f64)) -> &'static str {
        let (b, inside, outside, is_kept) = match self {
            Bound::AtMost(b) => (b, hi <= b, lo > b, value <= b),
            Bound::AtLeast(b) => (b, lo >= b, hi < b, value >= b),
            Bound::Within(low, high) => {
                let inside = lo >= low && hi <= high;
                (high, inside, hi < low || lo > high, inside)
            }
        };
        // What is no number says nothing, so it is not narrow.
        let is_narrow = hi - lo <= NOISY * b;
        match () {
            () if inside => "ok",
            () if outside => "short",
            () if !is_narrow => "noisy",
            () if is_kept => "ok",
            () => "short",
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::AtMost(b) | Bound::AtLeast(b) => write!(f, "{b:.2}"),
            Bound::Within(low, high) => write!(f, "{low:.2}..{high:.2}"),
        }
    }
}

/// Prints the median of `rounds` with its bootstrap 95 % interval as a [`row`].
pub(crate) fn figure(name: &str, unit: &str, rounds: &[f64], bound: Bound) {
    row(name, unit, median(rounds), bootstrap(rounds), bound, "");
}

/// Prints `bench NAME UNIT=R [lo..hi] bound=B ok|short|noisy`, and `more` behind it.
pub(crate) fn row(name: &str, unit: &str, value: f64, interval: (f64, f64), bound: Bound, more: &str) {
    line(name, unit, value, interval, bound, bound.word(value, interval), more);
}

/// As [`row`], with a word that more than the interval decides.
pub(crate) fn line(
    name: &str,
    unit: &str,
    value: f64,
    (lo, hi): (f64, f64),
    bound: Bound,
    word: &str,
    more: &str,
) {
    println!("bench {name} {unit}={value:.3} [{lo:.3}..{hi:.3}] bound={bound} {word}{more}");
}

/// An interval wider than this share of its bound, on both sides of it, is noise.
const NOISY: f64 = 0.25;

/// What the words mean.
pub(crate) const RULE: &str = "ok: the 95 % interval is within the bound, or it is no wider than 25 % of the bound and the figure is \
     within; short: the same, beyond it; noisy: the interval is wider and on both sides, and says neither";

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
