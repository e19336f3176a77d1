//! Where ticks stand and what they say: numbers in steps of 1, 2 and 5, times in steps people count in.

use hal::clock::Wall;

use super::across::{Across, Piece};

/// Largest number of an axis, and its decade.
const LARGEST: f64 = 1e300;
/// See [`LARGEST`].
const LARGEST_DECADE: f64 = 300.0;

/// One tick: where, and one or two lines of text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
    /// A date, under the first tick it is true for.
    pub(super) below: String,
}

/// Ticks of a linear axis, and what is taken out of their labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    pub(super) ticks: Vec<Tick>,
    /// The power of ten of very large or small numbers.
    pub(super) power: Option<i32>,
    /// What the axis' name says after the quantity: ` - 10000000` where numbers far from 0 differ by little.
    pub(super) less: String,
}

/// Ticks of a linear axis. Labels that would be too long say how far each is from a round number.
pub(super) fn numbers(low: f64, high: f64, most: usize) -> Numbers {
    // What is beyond cannot be told apart on paper, and its span is no number.
    let (low, high) = (low.clamp(-LARGEST, LARGEST), high.clamp(-LARGEST, LARGEST));
    let (ticks, power) = labelled(low, high, most);
    let span = high - low;
    if span <= 0.0 || ticks.iter().all(|t| t.label.chars().count() <= LONGEST) {
        return Numbers { ticks, power, less: String::new() };
    }
    let decade = span.log10().ceil() as i32 + 1;
    let unit = 10f64.powi(decade);
    let base = ((low + span / 2.0) / unit).round() * unit;
    let (mut ticks, power) = labelled(low - base, high - base, most);
    ticks.iter_mut().for_each(|t| t.at += base);
    let decimals = usize::try_from(-decade).unwrap_or(0);
    let told = match base.abs() {
        far if far < 1e15 => format!("{far:.decimals$}"),
        far => format!("{far:e}"),
    };
    let sign = if base < 0.0 { '+' } else { '\u{2212}' };
    Numbers { ticks, power, less: format!(" {sign} {told}") }
}

/// Ticks and, for very large or small numbers, the power of ten taken out of them.
fn labelled(low: f64, high: f64, most: usize) -> (Vec<Tick>, Option<i32>) {
    let step = nice((high - low) / most.max(1) as f64);
    let largest = low.abs().max(high.abs());
    let power = (!(1e-2..1e6).contains(&largest)).then(|| (largest.log10() / 3.0).floor() as i32 * 3);
    let unit = 10f64.powi(power.unwrap_or(0));
    let decimals = (-(step / unit).log10().floor()).clamp(0.0, 9.0) as usize;
    let ticks = multiples(low, high, step)
        .map(|at| Tick {
            at,
            label: format!("{:.decimals$}", at / unit + 0.0).replace('-', "\u{2212}"),
            below: String::new(),
        })
        .collect();
    (ticks, power)
}

/// Ticks of a logarithmic axis: 1, 2 and 5 of each decade.
pub(super) fn decades(low: f64, high: f64) -> Vec<Tick> {
    let decade = |v: f64| v.log10().clamp(-LARGEST_DECADE, LARGEST_DECADE);
    let (first, last) = (decade(low).floor() as i32, decade(high).ceil() as i32);
    (first..=last)
        .flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(p)))
        .filter(|v| (low..=high).contains(v))
        .map(|at| Tick { at, label: format!("{at}"), below: String::new() })
        .collect()
}

/// Ticks of a time axis, about `most`, and the axis' name. All stretches have the same steps; one that has no
/// whole step has its beginning.
pub(super) fn times(across: &Across, is_dated: bool, most: usize) -> (Vec<Tick>, &'static str) {
    let wanted = across.length() / most.max(1) as f64;
    let (unit, name) = match across.length() {
        _ if is_dated => (1.0, "time (UTC)"),
        s if s < 7200.0 => (1.0, "time (s)"),
        s if s < 172_800.0 => (3600.0, "time (h)"),
        _ => (86_400.0, "time (days)"),
    };
    let mut last = String::new();
    let of_piece = |piece: &Piece| {
        let (low, high) = (piece.from + piece.shift, piece.to + piece.shift);
        let mut ticks = match is_dated {
            true => dates(low, high, wanted, &mut last),
            false => counts(low / unit, high / unit, wanted / unit),
        };
        ticks.iter_mut().for_each(|t| t.at = t.at * unit - piece.shift);
        ticks
    };
    (across.pieces().iter().flat_map(of_piece).collect(), name)
}

/// Ticks of seconds, hours or days from some start.
fn counts(low: f64, high: f64, wanted: f64) -> Vec<Tick> {
    let step = nice(wanted);
    let mut places: Vec<f64> = multiples(low, high, step).collect();
    if places.is_empty() {
        places.push(low);
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    let label = |at: f64| format!("{:.decimals$}", at + 0.0).replace('-', "\u{2212}");
    places.into_iter().map(|at| Tick { at, label: label(at), below: String::new() }).collect()
}

/// Ticks of seconds since 1970; `last` is the date that was said last.
fn dates(low: f64, high: f64, wanted: f64, last: &mut String) -> Vec<Tick> {
    let mut instants: Vec<f64> = match STEPS.iter().find(|s| **s >= wanted) {
        Some(step) => multiples(low, high, *step).collect(),
        None => months(low, high, (wanted / MONTH_S).ceil() as i64),
    };
    if instants.is_empty() {
        instants.push(low);
    }
    let step = STEPS.iter().copied().find(|s| *s >= wanted).unwrap_or(MONTH_S);
    let tick = |at: f64| {
        let text = stamp(at);
        let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
        let (label, below) = match step {
            s if s < 1.0 => (clock[6..].trim_end_matches('Z').to_owned(), text[..16].replace('T', " ")),
            s if s < 60.0 => (clock[..8].to_owned(), date.to_owned()),
            s if s < 86_400.0 => (clock[..5].to_owned(), date.to_owned()),
            _ => (date[5..].to_owned(), date[..4].to_owned()),
        };
        let is_new = below != *last;
        last.clone_from(&below);
        Tick { at, label, below: if is_new { below } else { String::new() } }
    };
    instants.into_iter().map(tick).collect()
}

/// RFC 3339 of seconds since 1970.
fn stamp(at: f64) -> String {
    Wall::trusted((at * 1000.0).round() as i64).to_string()
}

/// The first instant of every `each`th month.
fn months(low: f64, high: f64, each: i64) -> Vec<f64> {
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    let each = [1, 2, 3, 6, 12, 24, 60, 120].into_iter().find(|n| *n >= each).unwrap_or(240);
    let text = stamp(low);
    let first = number(&text[..4]) * 12 + number(&text[5..7]) - 1;
    (0..MOST_TICKS as i64)
        .map(|n| (first / each + n) * each)
        .filter_map(|month| format!("{:04}-{:02}-01", month / 12, month % 12 + 1).parse::<Wall>().ok())
        .map(|wall| wall.ms as f64 / 1000.0)
        .filter(|at| (low..=high).contains(at))
        .collect()
}

/// The multiples of `step` between two numbers; at most [`MOST_TICKS`].
fn multiples(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = (low / step - 1e-9).ceil();
    (0..MOST_TICKS).map(move |n| (first + n as f64) * step).take_while(move |v| *v <= high + 1e-9 * step)
}

/// The least of 1, 2 and 5 times a power of ten that is not below `step`.
fn nice(step: f64) -> f64 {
    if !(step > 0.0 && step.is_finite()) {
        return 1.0;
    }
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|s| *s >= step * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

const MOST_TICKS: usize = 64;
/// Characters of a label for which there is room left of a panel.
const LONGEST: usize = 7;
const MONTH_S: f64 = 30.44 * 86_400.0;
/// Steps of a time axis in seconds, up to two weeks; longer ones are months.
const STEPS: [f64; 26] = [
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    600.0,
    1800.0,
    3600.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
];

#[cfg(test)]
mod tests {
    use super::super::Stretch;
    use super::*;

    fn labels(ticks: &[Tick]) -> String {
        let text = |t: &Tick| format!("{}{}{}", t.label, if t.below.is_empty() { "" } else { "/" }, t.below);
        ticks.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_of_numbers_stand_where_people_count() {
        let rows = [
            (0.0, 1.0, 5, "0.0 0.2 0.4 0.6 0.8 1.0", None),
            (49.97, 50.03, 4, "49.98 50.00 50.02", None),
            (-3.0, 12.0, 4, "0 5 10", None),
            (0.0, 4e7, 4, "0 10 20 30 40", Some(6)),
            (0.0, 4e-5, 4, "0 10 20 30 40", Some(-6)),
            (5.0, 5.0, 4, "5", None),
        ];
        assert!(numbers(f64::MIN, f64::MAX, 5).ticks.len() <= MOST_TICKS, "a span that is no number");
        assert!(decades(f64::MIN_POSITIVE, f64::INFINITY).len() < 2000, "a decade that is no number");
        for (low, high, most, expected, power) in rows {
            let found = numbers(low, high, most);
            assert_eq!((labels(&found.ticks).as_str(), found.power), (expected, power), "{low} to {high}");
            assert_eq!(found.less, "", "{low} to {high}");
        }
        assert_eq!(labels(&decades(3.0, 120.0)), "5 10 20 50 100");
    }

    #[test]
    fn numbers_far_from_0_that_differ_by_little_are_told_from_a_round_one() {
        let rows = [
            (1e7 - 2.0, 1e7 + 4.0, "\u{2212}2 0 2 4", " \u{2212} 10000000", None),
            (-1e7 - 130.0, -1e7 + 320.0, "\u{2212}100 0 100 200 300", " + 10000000", None),
            (
                50.0 - 4.5e-7,
                50.0 + 4.5e-7,
                "\u{2212}400 \u{2212}200 0 200 400",
                " \u{2212} 50.00000",
                Some(-9),
            ),
            (1e20, 1e20 + 4.5e6, "0 1 2 3 4", " \u{2212} 1e20", Some(6)),
        ];
        for (low, high, expected, less, power) in rows {
            let found = numbers(low, high, 5);
            assert_eq!(
                (labels(&found.ticks).as_str(), found.less.as_str(), found.power),
                (expected, less, power),
                "{low} to {high}"
            );
            let step = (high - low) / 100.0;
            assert!(found.ticks.iter().all(|t| (low - step..=high + step).contains(&t.at)), "{found:?}");
        }
    }

    #[test]
    fn ticks_of_times_say_the_date_once() {
        let start = 1_396_310_400.0; // 2014-04-01
        let rows = [
            (false, 0.0, 10.0, "0 2 4 6 8 10"),
            (false, 0.0, 36_000.0, "0 2 4 6 8 10"),
            (false, 999.0, 4.0, "999 1000 1001 1002 1003"),
            (true, start, 4.0, "00:00:00/2014-04-01 00:00:01 00:00:02 00:00:03 00:00:04"),
            (true, start, 130_000.0, "00:00/2014-04-01 12:00 00:00/2014-04-02 12:00"),
            (true, start, 300_000.0, "04-01/2014 04-02 04-03 04-04"),
            (true, start - 86_400.0 * 100.0, 86_400.0 * 150.0, "01-01/2014 02-01 03-01 04-01 05-01"),
        ];
        for (is_dated, clock_s, to, expected) in rows {
            let across = Across::new(&[Stretch { between: (0.0, to), clock_s }]);
            assert_eq!(labels(&times(&across, is_dated, 5).0), expected, "{clock_s} {to}");
        }
    }

    #[test]
    fn a_broken_axis_says_the_times_of_each_side() {
        let stretch = |from, to, clock_s| Stretch { between: (from, to), clock_s };
        let back = Across::new(&[stretch(0.0, 50.0, 100.0), stretch(51.0, 101.0, 20.0)]);
        let (ticks, _) = times(&back, false, 5);
        assert_eq!(labels(&ticks), "100 120 140 20 40 60");
        assert!(ticks.windows(2).all(|w| w[0].at < w[1].at), "{ticks:?}");
        let short = Across::new(&[stretch(0.0, 50.0, 0.0), stretch(1e6, 1e6 + 1.0, 1e6 + 3.0)]);
        assert_eq!(labels(&times(&short, false, 5).0), "0 20 40 1000003", "a short one has its beginning");
    }
}
