//! What comes out: an anomaly says which behaviour changed, since when, by how much, and what most often
//! causes that. It never says who meant it.

use std::time::Duration;

use hal::clock::Mono;
use hal::reason::ReasonCode;
use serde::{Deserialize, Serialize};

use crate::detect::{Change, Detector, Direction};
use crate::level::{Basis, Level};
use crate::reasons;

/// What a signal is of: it settles which changes matter after an update, and which causes are likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The machine: speed, flow, pressure, vibration, current. It must not change with an update.
    #[default]
    Process,
    /// The field bus: timing, levels, errors. A verified update may rightly change it.
    Bus,
    /// This gateway itself.
    Health,
}

/// Which series of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Series {
    /// What this gateway measured.
    Measured,
    /// What the controller said.
    Reported,
    /// Measured minus reported, aligned.
    Residual,
}

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Series::Measured => "measured",
            Series::Reported => "reported",
            Series::Residual => "measured minus reported",
        })
    }
}

/// A behaviour that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Id of the signal.
    pub signal: String,
    /// Which of its series.
    pub series: Series,
    /// Why an alarm is raised.
    pub code: ReasonCode,
    /// When it was found, and when it began by the detector's estimate; nanoseconds of [`Mono`].
    pub found_ns: u64,
    /// See `found_ns`.
    pub since_ns: u64,
    /// The detector's own words.
    pub change: Change,
    /// The reading that tipped it.
    pub value: f64,
    /// Where the level went, by all readings since; `None` where no level changed or they do not show it.
    #[serde(default)]
    pub level: Option<Level>,
    /// What is usual: the baseline's median and standard deviation, 0 where it stood still. `None` for a limit a
    /// person set.
    pub usual: Option<(f64, f64)>,
    /// What is usual with a deviation of 0 was most readings, not all of them.
    #[serde(default)]
    pub is_mostly: bool,
    /// What most often causes this, likeliest first.
    pub causes: Vec<String>,
}

impl Anomaly {
    /// When it began.
    pub fn since(&self) -> Mono {
        Mono(self.since_ns)
    }

    /// When it was found.
    pub fn found(&self) -> Mono {
        Mono(self.found_ns)
    }

    /// How long before it was found it began, by estimate; `None` where the value that tipped it is all there is.
    pub fn age(&self) -> Option<Duration> {
        Some(self.found().since(self.since())).filter(|age| self.change.samples_ago > 0 && !age.is_zero())
    }

    /// One line for an alarm list.
    pub fn text(&self, unit: &str) -> String {
        let Change { direction, magnitude_sigma, detector, .. } = self.change;
        let since = self.age().map_or(String::new(), |age| format!("; since {}", Age(age)));
        let (signal, series) = (&self.signal, self.series);
        let value = format!("{} {unit}", Figure(self.value));
        let value = value.trim_end();
        let usual = match self.usual {
            Some((median, _)) if self.is_mostly => {
                format!(", usually {} in most readings", self.beside_level(median, 0.0))
            }
            Some((median, sigma)) if sigma > 0.0 => {
                format!(", usually {} ± {}", self.beside_level(median, sigma), Figure(sigma))
            }
            Some((median, _)) => format!(", usually {} without moving", self.beside_level(median, 0.0)),
            None => String::new(),
        };
        let what = match (detector, direction) {
            (Detector::Frozen, _) => format!("stands still at {value}"),
            (Detector::Replayed, _) => format!("repeats itself every {magnitude_sigma:.0} readings"),
            (Detector::Novelty, _) => format!("was never seen before: {value}"),
            (Detector::Limit, Direction::Up) => format!("{value} is above its limit"),
            (Detector::Limit, _) => format!("{value} is below its limit"),
            (Detector::Drift, Direction::Up) => {
                format!("drifts up: {}{usual}", self.reached("", "above", unit))
            }
            (Detector::Drift, _) => format!("drifts down: {}{usual}", self.reached("", "below", unit)),
            (_, Direction::Wider) => format!("varies {magnitude_sigma:.1} times as much as usual"),
            (_, Direction::Narrower) => format!("varies only {magnitude_sigma:.2} times as much as usual"),
            (_, Direction::Up) => format!("rose{}{usual}", self.reached(" to ", "above", unit)),
            (_, _) => format!("fell{}{usual}", self.reached(" to ", "below", unit)),
        };
        format!("{signal} ({series}) {what}{since}; likely: {}", self.causes.join(", "))
    }

    /// What is usual, told apart from the level now.
    fn beside_level(&self, median: f64, sigma: f64) -> String {
        match self.level {
            Some(Level { value, basis: Basis::Median | Basis::Mean, .. }) => told_apart(median, value),
            _ => beside(median, sigma),
        }
    }

    /// Where a level is now, how far that is from what is usual, and what it is known from.
    fn reached(&self, to: &str, beyond: &str, unit: &str) -> String {
        let figure = |value| format!("{} {unit}", Figure(value)).trim_end().to_owned();
        let Some(level) = self.level else {
            let size = self.change.magnitude_sigma;
            return format!(
                " by {} sigma as its detector counts, with a last reading of {}",
                Figure(size),
                figure(self.value)
            );
        };
        let from = match level.readings {
            1 => "one reading".into(),
            n => format!("{n} readings"),
        };
        let effect = level.effect.map_or(String::new(), |effect| format!("{} sigma, ", Figure(effect)));
        let apart = self.usual.map_or(Figure(level.value).to_string(), |(m, _)| told_apart(level.value, m));
        let value = format!("{apart} {unit}").trim_end().to_owned();
        match level.basis {
            Basis::Median => format!("{to}{value} ({effect}from {from})"),
            Basis::Mean => format!("{to}{value} in the mean ({effect}from {from})"),
            Basis::Share => format!(": {beyond} that in {:.0} % of {from}", 100.0 * level.value),
        }
    }
}

/// `value` with as many digits as [`Figure`] has, or as many more as tell it from `other`.
#[allow(clippy::float_cmp)] // the same number needs no more digits
fn told_apart(value: f64, other: f64) -> String {
    let (short, beside) = (Figure(value).to_string(), Figure(other).to_string());
    if short != beside || value == other {
        return short;
    }
    // A number of 64 bits has 17 digits.
    let longer = (1..17).map(|digits| [value, other].map(|v| format!("{v:.digits$e}")));
    let digits = longer.take_while(|[a, b]| a == b).count() + 1;
    let whole = value.abs().log10().floor().clamp(-17.0, 17.0) as i32;
    match usize::try_from(digits as i32 - whole) {
        Ok(decimals) if value.abs() < LARGE && value.abs() >= 1e-3 => format!("{value:.decimals$}"),
        _ => format!("{value:.digits$e}"),
    }
}

/// `value` with as many digits as [`Figure`] has, or as many more as a `spread` about it asks for: of a level of ten
/// million that varies by a half, four digits say nothing.
pub fn beside(value: f64, spread: f64) -> String {
    let is_small = spread > 0.0 && spread < value.abs() * 1e-3;
    if !is_small || !(1e6..LARGE).contains(&value.abs()) {
        return Figure(value).to_string();
    }
    // Of a number of 64 bits 15 digits can be relied on.
    let most = 14.0 - value.abs().log10().floor();
    let decimals = (-spread.log10().floor()).min(most).max(0.0) as usize;
    format!("{value:.decimals$}")
}

/// From here on a number is written with its power of ten, however many digits it takes.
const LARGE: f64 = 1e15;

/// A time that has passed, in seconds.
struct Age(Duration);

impl std::fmt::Display for Age {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_secs_f64() {
            age if age >= 10.0 => write!(f, "{age:.0} s"),
            age if age >= 0.1 => write!(f, "{age:.1} s"),
            age => write!(f, "{} s", Figure(age)),
        }
    }
}

/// A number with as many digits as an operator reads.
pub struct Figure(pub f64);

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.abs() {
            a if !a.is_finite() => write!(f, "{}", self.0),
            0.0 => f.write_str("0"),
            a if a >= 1e6 || (a > 0.0 && a < 1e-3) => write!(f, "{:.3e}", self.0),
            a if a >= 100.0 => write!(f, "{:.1}", self.0),
            a if a >= 1.0 => write!(f, "{:.3}", self.0),
            _ => write!(f, "{:.4}", self.0),
        }
    }
}

/// The reason code of a change in a series of a signal of this kind.
pub fn code_of(kind: Kind, series: Series, change: &Change) -> ReasonCode {
    match (kind, series, change.detector) {
        (_, _, Detector::Limit) if kind == Kind::Health => reasons::GATEWAY_HEALTH,
        (_, _, Detector::Limit) => reasons::LIMIT_EXCEEDED,
        (Kind::Health, ..) => reasons::GATEWAY_HEALTH,
        (_, _, Detector::Frozen | Detector::Replayed) => reasons::SIGNAL_REPEATS,
        (_, Series::Residual, _) => reasons::REPORTED_DIFFERS,
        (Kind::Bus, ..) => reasons::BUS_CHANGED,
        (Kind::Process, ..) => reasons::BEHAVIOUR_CHANGED,
    }
}

/// What most often causes a change, likeliest first (facts of the trade: a cable ages, a transmitter fails,
/// a set point moves, before anybody attacks).
pub fn causes_of(kind: Kind, series: Series, change: &Change) -> Vec<String> {
    let list: &[&str] = match (kind, series, change.detector, change.direction) {
        (_, Series::Reported, Detector::Frozen, _) => {
            &["register no longer updated", "transmitter failed", "value held by the controller"]
        }
        (_, Series::Reported, Detector::Replayed, _) => {
            &["recorded values played back", "simulation left switched on", "register block copied"]
        }
        (_, _, Detector::Frozen, _) => &["converter stuck", "transmitter failed", "wire broken"],
        (_, _, Detector::Replayed, _) => &["recorded values played back", "test generator connected"],
        (_, Series::Residual, _, _) => &[
            "controller reports what it does not do",
            "transmitter or scaling changed",
            "our sensor moved or failed",
        ],
        (Kind::Bus, _, Detector::Drift, _) => &["connector or cable ageing", "temperature", "supply"],
        (Kind::Bus, _, _, Direction::Down) => {
            &["termination added or a tap", "cable", "driver or supply weak"]
        }
        (Kind::Bus, _, _, Direction::Up) => &["termination missing", "timing of the device changed", "load"],
        (Kind::Bus, _, _, Direction::Wider) => &["interference", "loose contact", "bus overloaded"],
        (Kind::Bus, ..) => &["device swapped", "timing of the device changed"],
        (Kind::Health, ..) => &["ambient temperature or load", "a failing part"],
        (Kind::Process, _, Detector::Drift, _) => &["wear or fouling", "sensor drift", "load changed slowly"],
        (Kind::Process, _, _, Direction::Wider) => {
            &["looseness or cavitation", "interference", "control loop unstable"]
        }
        (Kind::Process, _, _, Direction::Narrower) => &["machine stopped", "signal filtered or simulated"],
        (Kind::Process, ..) => {
            &["set point or load changed", "changed behaviour of the controller", "sensor"]
        }
    };
    list.iter().map(|s| (*s).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_far_from_0_has_the_digits_that_its_spread_asks_for() {
        for (value, spread, told) in [
            (1e7, 0.5174, "10000000.0"),
            (-1e7, 29.949, "-10000000"),
            (1e7, 0.0, "1.000e7"),
            (1e7, 5e5, "1.000e7"),
            (123_456_789.25, 1e-9, "123456789.250000"),
            (1e16, 2.0, "1.000e16"),
            (50.0, 0.1, "50.000"),
        ] {
            assert_eq!(beside(value, spread), told);
        }
    }

    #[test]
    fn two_values_that_differ_are_told_with_digits_that_differ() {
        for (value, other, told) in [
            (7.0002, 7.0, "7.0002"),
            (7.0, 7.0002, "7.0000"),
            (7.0, 7.0, "7.000"),
            (50.29, 50.0, "50.290"),
            (1064.02, 1064.01, "1064.02"),
            (0.123_456_78, 0.123_456_71, "0.1234568"),
            (10_000_002.0, 1e7, "10000002"),
            (f64::INFINITY, 1.0, "inf"),
        ] {
            assert_eq!(told_apart(value, other), told);
            assert!(value == other || told_apart(value, other) != told_apart(other, value));
        }
        for value in [1e-300, 3.0, 1e17, -2.5] {
            let next = value * (1.0 + 4.0 * f64::EPSILON);
            assert_ne!(told_apart(value, next), told_apart(next, value), "{value:e}");
        }
    }
}
