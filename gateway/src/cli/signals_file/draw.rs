//! The picture of a replay: trend, report, evidence, spectrum.

use sensor_monitor::anomaly::Series;

use super::Quantity;
use super::across::Axis;
use super::follows::Follows;
use super::play::{Cleared, Learned, Played, Spectra, seconds};
use super::record::{Record, tally};
use super::words::soak_words;
use crate::plot::{Figure, Flag, Ink, Layer, Panel, Span};

/// `nominal`, where there is one, is a line in the trend.
pub(super) fn figure(record: &Record, played: &Played, nominal: Option<f64>) -> Figure {
    let end = seconds(record.end());
    let mut panels = vec![trend(played, end, nominal)];
    if played.spec.reported.is_some() {
        panels.push(residual(played, end));
    }
    panels.push(evidence(played));
    let axis = Axis::of(record, played);
    panels.extend(played.spectra.as_ref().and_then(spectrum));
    let flags = played.anomalies.iter().enumerate().map(|(n, a)| Flag {
        name: (n + 1).to_string(),
        ink: Ink::Vermillion,
        at: seconds(a.found()),
    });
    let updates = played.updates.iter().enumerate().map(|(n, u)| Flag {
        name: format!("U{}", n + 1),
        ink: Ink::Purple,
        at: seconds(u.at),
    });
    Figure {
        title: played.spec.id.clone(),
        subtitle: subtitle(record, played),
        time: axis.time,
        is_dated: record.has_dates(),
        panels,
        spans: spans(played, end),
        flags: flags.chain(updates).chain(axis.flags).collect(),
        notes: axis.notes.into_iter().chain(notes(record, played)).collect(),
    }
}

fn subtitle(record: &Record, played: &Played) -> String {
    format!(
        "{} to {} · {} readings · false alarms asked for: {} a year",
        record.time(hal::clock::Mono(0)),
        record.time(record.end()),
        played.readings.len(),
        played.spec.false_alarms_per_year,
    )
}

fn trend(played: &Played, end: f64, nominal: Option<f64>) -> Panel {
    let mut layers = bands(played, Series::Measured, end);
    layers.extend(nominal.map(|value| Layer::Level { name: "nominal".into(), ink: Ink::Black, value }));
    if !played.reported.is_empty() {
        layers.push(line("reported", Ink::Orange, &broken(&played.reported, interval(played))));
    }
    layers.push(line("measured", Ink::Blue, &broken(&played.readings, interval(played))));
    panel("Trend", (Quantity::of(played.spec.measure).name(), &played.spec.unit), 300.0, layers)
}

fn residual(played: &Played, end: f64) -> Panel {
    let mut layers = bands(played, Series::Residual, end);
    let residual = broken(&played.residual, interval(played));
    layers.push(line("measured minus reported, aligned", Ink::Sky, &residual));
    panel("Residual", ("residual", &played.spec.unit), 140.0, layers)
}

/// Evidence of all series against the threshold that they share.
fn evidence(played: &Played) -> Panel {
    let mut layers = vec![Layer::Level { name: "threshold".into(), ink: Ink::Black, value: 1.0 }];
    for (series, points) in played.evidence.iter().rev() {
        let ink = match series {
            Series::Measured => Ink::Blue,
            Series::Reported => Ink::Orange,
            Series::Residual => Ink::Sky,
        };
        layers.push(line(&series.to_string(), ink, &broken(points, interval(played))));
    }
    let range = Some((0.0, 1.08));
    Panel { range, ..panel("Evidence for a change", ("share of threshold", ""), 130.0, layers) }
}

fn spectrum(spectra: &Spectra) -> Option<Panel> {
    let hertz = |n: usize| n as f64 * spectra.hertz_per_bin;
    let points = |power: &[f64]| -> Vec<(f64, f64)> {
        power[..power.len() - 1].iter().enumerate().skip(FIRST_BIN).map(|(n, db)| (hertz(n), *db)).collect()
    };
    let learning = spectra.learning.as_deref();
    let (name, later) = match (&spectra.in_alarm, &spectra.usual) {
        (Some(power), _) => ("in alarm", Some(power.as_slice())),
        (None, power) => ("judged, no alarm", power.as_deref()),
    };
    let bins = learning.or(later)?.len();
    let mut layers: Vec<Layer> =
        learning.into_iter().map(|power| line("while learning", Ink::Grey, &points(power))).collect();
    let ink = if spectra.in_alarm.is_some() { Ink::Vermillion } else { Ink::Blue };
    layers.extend(later.map(|power| line(name, ink, &points(power))));
    let across = (hertz(FIRST_BIN), hertz(bins - 2));
    let panel = panel("Amplitude spectrum (Hann, mean of windows)", ("amplitude", "dB re 1"), 220.0, layers);
    Some(Panel { hertz: Some(across), ..panel })
}

/// The usual range of a series, from where it was learned to where it was learned anew.
fn bands(played: &Played, series: Series, end: f64) -> Vec<Layer> {
    let mine: Vec<_> = played.learned.iter().filter(|l| l.series == series).collect();
    let until = |n: usize| mine.get(n + 1).map_or(end, |next| seconds(next.at));
    // Where most readings are one value, no deviation was measured.
    let reach = |l: &Learned| if l.is_mostly { 0.0 } else { 3.0 * l.scale };
    let band = |(n, l): (usize, &&Learned)| Layer::Band {
        name: if l.is_mostly { "usual in most readings".into() } else { "usual: median ± 3 σ".into() },
        ink: Ink::Green,
        between: (seconds(l.at), until(n)),
        values: [l.median - reach(l), l.median, l.median + reach(l)],
    };
    mine.iter().enumerate().map(band).collect()
}

fn spans(played: &Played, end: f64) -> Vec<Span> {
    let mut spans = Vec::new();
    let learned = played.learned.iter().find(|l| l.series == Series::Measured).map_or(end, |l| seconds(l.at));
    spans.push(Span { name: "learning".into(), ink: Ink::Grey, between: (0.0, learned), is_bar: false });
    for (from, to, _) in &played.lost {
        let between = (seconds(*from), to.map_or(end, seconds));
        spans.push(Span { name: "nothing usable".into(), ink: Ink::Black, between, is_bar: false });
    }
    for a in &played.anomalies {
        let name = "since when, by estimate".into();
        let between = (seconds(a.since()), seconds(a.found()));
        spans.push(Span { name, ink: Ink::Vermillion, between, is_bar: false });
        let ends = |c: &&Cleared| c.series == a.series && c.at > a.found();
        let until = played.cleared.iter().find(ends).map_or(end, |c| seconds(c.at));
        let between = (seconds(a.found()), until);
        spans.push(Span { name: "in alarm".into(), ink: Ink::Vermillion, between, is_bar: true });
    }
    spans
}

/// What the numbers in the picture stand for.
fn notes(record: &Record, played: &Played) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for (n, u) in played.updates.iter().enumerate() {
        notes.push(format!("U{} · {} · update; {}", n + 1, record.time(u.at), short(&soak_words(u))));
    }
    for (n, a) in played.anomalies.iter().enumerate().take(MOST_NOTES) {
        // The title names the signal; age and causes come with `replay`.
        let text = a.text(&played.spec.unit);
        let text = text.strip_prefix(&a.signal).unwrap_or(&text).trim_start();
        let began = a.age().map_or(String::new(), |_| format!("; began {}", record.time(a.since())));
        notes.push(format!("{} · {} · {} · {}{began}", n + 1, record.time(a.found()), a.code, short(text)));
    }
    match played.anomalies.len().saturating_sub(MOST_NOTES) {
        0 => {}
        more => notes.push(format!("and {more} more: headgate signals replay lists them")),
    }
    if played.progress < 1.0 {
        notes.push(format!("{:.0} % learned: nothing was judged", 100.0 * played.progress));
    } else if played.anomalies.is_empty() {
        notes.push("no anomaly".into());
    }
    for (from, to, flaw) in played.lost.iter().take(MOST_NOTES) {
        let to = to.map_or_else(|| "the end".into(), |to| record.time(to));
        notes.push(format!("lost {} to {to}: {flaw}", record.time(*from)));
    }
    if record.qualities.keys().any(|q| !q.is_good()) {
        notes.push(format!("{} samples: {}", record.samples, tally(&record.qualities)));
    }
    notes.extend(Follows::of(played).and_then(|f| f.warning()));
    for l in played.learned.iter().filter(|l| l.unsteady.is_some()) {
        notes.push(format!("{}: not steady while it was learned", l.series));
    }
    if played.learned.iter().any(Learned::is_thin) {
        notes.push("learned from too few independent readings for the asked rate of false alarms".into());
    }
    notes
}

/// A text of an anomaly without its age and causes.
fn short(text: &str) -> &str {
    text.split("; since ").next().and_then(|t| t.split("; likely: ").next()).unwrap_or(text)
}

fn interval(played: &Played) -> f64 {
    played.spec.interval.as_secs_f64()
}

/// The points with a break where readings are missing: a step that is long beside the usual one and beside both of
/// its neighbours, as a rate may change.
fn broken(points: &[(f64, f64)], interval_s: f64) -> Vec<(f64, f64)> {
    let step = |n: usize| points.get(n).zip(points.get(n.wrapping_sub(1))).map(|(b, a)| b.0 - a.0);
    let mut out = Vec::with_capacity(points.len());
    for (n, point) in points.iter().enumerate() {
        let beside = [n.checked_sub(1).and_then(step), step(n + 1)]
            .into_iter()
            .flatten()
            .fold(f64::INFINITY, f64::min);
        let usual = if beside.is_finite() { beside.max(interval_s) } else { interval_s };
        if step(n).is_some_and(|step| step > MOST_APART * usual) {
            out.push((point.0, f64::NAN));
        }
        out.push(*point);
    }
    out
}

fn line(name: &str, ink: Ink, points: &[(f64, f64)]) -> Layer {
    Layer::Line { name: name.into(), ink, points: points.to_vec() }
}

fn panel(heading: &str, (quantity, unit): (&str, &str), height: f64, layers: Vec<Layer>) -> Panel {
    let quantity = (quantity.to_owned(), unit.to_owned());
    Panel { heading: heading.into(), quantity, range: None, height, hertz: None, layers }
}

/// The first bins hold what the window spreads of the mean; the last one is half a bin.
const FIRST_BIN: usize = 2;
/// Readings further apart than so many intervals are not joined.
const MOST_APART: f64 = 5.0;
/// Anomalies that are listed below the picture.
const MOST_NOTES: usize = 12;
