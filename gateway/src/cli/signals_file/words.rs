//! What a replay says: words for people, and the same as JSON.

use sensor_monitor::anomaly::{Anomaly, Figure};
use serde_json::{Value, json};

use super::play::{Learned, Played, Update};
use super::record::{Record, tally};
use crate::reasons;

pub(super) fn words(record: &Record, played: &Played) -> String {
    let spec = &played.spec;
    let mut out = format!(
        "record   {}: {}, {} samples, {} to {}, one each {} s\n",
        record.file(),
        record.column,
        record.samples,
        record.time(hal::clock::Mono(0)),
        record.time(record.end()),
        Figure(record.period_ns as f64 / 1e9),
    );
    out += &format!("quality  {} of {} samples\n", tally(&record.qualities), record.samples);
    if played.readings.len() as u64 != record.samples {
        out += &format!("readings {}: {}\n", played.readings.len(), tally(&played.qualities));
    }
    for (from, to, flaw) in &played.lost {
        let to = to.map_or_else(|| "the end".into(), |to| record.time(to));
        out += &format!("lost     {} to {to}: {flaw}\n", record.time(*from));
    }
    out += &played.learned.iter().map(|l| learned_words(record, l, &spec.unit)).collect::<String>();
    if played.progress < 1.0 {
        out += &format!(
            "learning {:.0} % of what was asked for; nothing is judged before it is whole (--learn)\n",
            100.0 * played.progress
        );
    }
    for (n, update) in played.updates.iter().enumerate() {
        out += &format!("update   {} {}: {}\n", n + 1, record.time(update.at), soak_words(update));
    }
    for (n, a) in played.anomalies.iter().enumerate() {
        let title = reasons::find(a.code).map_or("", |r| r.title);
        out += &format!("anomaly  {} {} {} {title}\n", n + 1, record.time(a.found()), a.code);
        out += &format!("         {}\n         began {}\n", a.text(&spec.unit), record.time(a.since()));
    }
    for (at, series) in &played.cleared {
        out += &format!("cleared  {} {series}\n", record.time(*at));
    }
    match (played.anomalies.len(), played.learned.is_empty()) {
        (0, false) => out += "found    nothing\n",
        (0, true) => {}
        (1, _) => out += "found    1 anomaly\n",
        (n, _) => out += &format!("found    {n} anomalies\n"),
    }
    out
}

fn learned_words(record: &Record, l: &Learned, unit: &str) -> String {
    let mut out = format!(
        "learned  {}: {} ± {} {unit} from {} readings to {}, worth {:.0} independent ones\n",
        l.series,
        Figure(l.median),
        Figure(l.scale),
        l.readings,
        record.time(l.at),
        l.effective,
    );
    if l.is_thin() {
        out += "         too few for the asked rate of false alarms: expect more of them\n";
    }
    out
}

impl Learned {
    /// Whether fewer readings are independent than live signals wait for.
    pub(super) fn is_thin(&self) -> bool {
        self.effective < self.readings as f64 / 16.0 || self.effective < FEWEST_EFFECTIVE
    }
}

pub(super) fn soak_words(update: &Update) -> String {
    match (&update.changed, &update.quiet) {
        (Some(text), _) => format!("changed: {text}"),
        (None, Some(text)) => format!("no change that matters: {text}"),
        (None, None) if update.is_overtaken => "the next update came within its soak".into(),
        (None, None) => "the record ends before its soak does".into(),
    }
}

pub(super) fn json(record: &Record, played: &Played) -> Value {
    let time = |at| record.time(at);
    let counts = |q: &std::collections::BTreeMap<hal::sensor::Quality, u64>| -> Value {
        q.iter()
            .map(|(quality, count)| (quality.to_string(), json!(count)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let learned = |l: &Learned| {
        json!({
            "series": l.series, "at": time(l.at), "median": l.median, "sigma": l.scale, "readings": l.readings,
            "effective": l.effective, "block": l.block, "thin": l.is_thin(),
        })
    };
    let anomaly = |a: &Anomaly| {
        json!({
            "code": a.code.to_string(), "series": a.series, "found": time(a.found()), "since": time(a.since()),
            "text": a.text(&played.spec.unit), "change": a.change, "value": a.value, "usual": a.usual,
            "causes": a.causes,
        })
    };
    let update = |u: &Update| json!({ "at": time(u.at), "changed": u.changed, "quiet": u.quiet });
    json!({
        "schema": 1,
        "record": {
            "file": record.file(), "column": record.column, "samples": record.samples,
            "from": time(hal::clock::Mono(0)), "to": time(record.end()), "period_s": record.period_ns as f64 / 1e9,
            "quality": counts(&record.qualities),
        },
        "readings": { "count": played.readings.len(), "quality": counts(&played.qualities) },
        "unit": played.spec.unit,
        "progress": played.progress,
        "learned": played.learned.iter().map(learned).collect::<Vec<_>>(),
        "lost": played.lost.iter().map(|(from, to, flaw)| json!({ "from": time(*from), "to": to.map(time), "flaw": flaw }))
            .collect::<Vec<_>>(),
        "updates": played.updates.iter().map(update).collect::<Vec<_>>(),
        "anomalies": played.anomalies.iter().map(anomaly).collect::<Vec<_>>(),
        "cleared": played.cleared.iter().map(|(at, s)| json!({ "at": time(*at), "series": s })).collect::<Vec<_>>(),
    })
}

/// Independent readings below which limits are guesses.
const FEWEST_EFFECTIVE: f64 = 64.0;
