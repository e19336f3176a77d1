//! Where the time axis of a picture is broken: a gap that would press all else together, and a clock that ran back.

use super::play::{Played, seconds};
use super::record::Record;
use crate::plot::{Flag, Ink, Stretch};

/// The axis, a flag at each break, and a line about each.
pub(super) struct Axis {
    pub(super) time: Vec<Stretch>,
    pub(super) flags: Vec<Flag>,
    pub(super) notes: Vec<String>,
}

/// Something that is left out.
struct Break {
    from: f64,
    to: f64,
    /// By how many seconds the clock ran back; `None` for a gap.
    back: Option<f64>,
}

impl Axis {
    pub(super) fn of(record: &Record, played: &Played) -> Axis {
        let end = seconds(record.end());
        let mut times: Vec<f64> = played.readings.iter().chain(&played.reported).map(|(at, _)| *at).collect();
        times.sort_by(f64::total_cmp);
        let clocks: Vec<(f64, f64)> = record.clocks().iter().map(|(at, s)| (seconds(*at), *s)).collect();
        let mut breaks = steps_back(&clocks, &times);
        let mut gaps = gaps(&times, end);
        gaps.retain(|g| !breaks.iter().any(|b| b.from < g.to && g.from < b.to));
        breaks.extend(gaps);
        breaks.sort_by(|a, b| a.from.total_cmp(&b.from));
        let starts = [0.0].into_iter().chain(breaks.iter().map(|b| b.to));
        let ends = breaks.iter().map(|b| b.from).chain([end]);
        let stretch =
            |(from, to)| Stretch { between: (from, f64::max(from, to)), clock_s: clock(&clocks, from) };
        Axis {
            time: starts.zip(ends).map(stretch).collect(),
            // Where there are many, each is still to be seen, and names would cover each other.
            flags: breaks.iter().filter(|_| breaks.len() <= MOST_TOLD).map(flag).collect(),
            notes: notes(record, &breaks, clocks.len().saturating_sub(1)),
        }
    }
}

/// What the record says at `at`.
fn clock(clocks: &[(f64, f64)], at: f64) -> f64 {
    let after = clocks.partition_point(|(from, _)| *from <= at);
    clocks.get(after.saturating_sub(1)).map_or(at, |(from, says)| says + at - from)
}

fn steps_back(clocks: &[(f64, f64)], times: &[f64]) -> Vec<Break> {
    let of = |pair: &[(f64, f64)]| {
        let to = pair[1].0;
        let before = times.partition_point(|t| *t < to);
        let from = before.checked_sub(1).map_or(pair[0].0, |n| times[n]);
        Break { from, to, back: Some(pair[0].1 + from - pair[0].0 - pair[1].1) }
    };
    clocks.windows(2).take(MOST_BACK).map(of).collect()
}

/// The longest gaps, while each is more than [`LONG`] of what the axis would still have.
fn gaps(times: &[f64], end: f64) -> Vec<Break> {
    let mut steps: Vec<(f64, f64)> = times.windows(2).map(|w| (w[0], w[1])).collect();
    let longest = |a: &(f64, f64), b: &(f64, f64)| (b.1 - b.0).total_cmp(&(a.1 - a.0));
    steps.sort_by(longest);
    // Of a handful of readings none is a gap.
    let most = if times.len() < FEWEST { 0 } else { MOST_GAPS };
    let mut left = end;
    let mut gaps = Vec::new();
    for (from, to) in steps.into_iter().take(most) {
        if to - from <= LONG * left {
            break;
        }
        left -= to - from;
        gaps.push(Break { from, to, back: None });
    }
    gaps
}

fn flag(b: &Break) -> Flag {
    let name = match b.back {
        Some(back) => format!("clock \u{2212}{}", length(back)),
        None => format!("gap {}", length(b.to - b.from)),
    };
    Flag { name, ink: Ink::Grey, at: 0.5 * (b.from + b.to) }
}

/// A line about each of the first, and how many more there are; `back` times the clock ran back.
fn notes(record: &Record, breaks: &[Break], back: usize) -> Vec<String> {
    let mut notes: Vec<String> = breaks.iter().take(MOST_TOLD).map(|b| note(record, b)).collect();
    if breaks.len() > MOST_TOLD {
        notes.push(format!("and {} more breaks of the axis", breaks.len() - MOST_TOLD));
    }
    if back > MOST_BACK {
        notes.push(format!(
            "the clock ran back {back} times; the axis is broken at the first {MOST_BACK}, and counts on after them"
        ));
    }
    notes
}

fn note(record: &Record, b: &Break) -> String {
    let time = |s: f64| record.time(hal::clock::Mono((s * 1e9).round() as u64));
    match b.back {
        Some(back) => format!(
            "{} · the clock ran back by {}; the rows are drawn in their own order",
            time(b.to),
            length(back)
        ),
        None => format!(
            "{} to {} · nothing was recorded for {}: left out",
            time(b.from),
            time(b.to),
            length(b.to - b.from)
        ),
    }
}

/// A time that people can picture.
fn length(s: f64) -> String {
    match s {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

/// A gap is left out that would take more than this share of the axis.
const LONG: f64 = 0.15;
/// Gaps that are left out.
const MOST_GAPS: usize = 24;
/// Steps back that break the axis; `replay` tells of the rest.
const MOST_BACK: usize = 12;
/// Breaks that have a flag and a line of their own.
const MOST_TOLD: usize = 6;
/// Readings below which nothing is a gap.
const FEWEST: usize = 32;
