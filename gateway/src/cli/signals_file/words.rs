//! What a replay says: words for people, and the same as JSON.

use sensor_monitor::anomaly::{Anomaly, Figure, beside};
use serde_json::{Value, json};

use super::follows::Follows;
use super::play::{Cleared, Learned, Played, Update};
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
    for (at, period_ns) in &record.rates {
        out += &format!(
            "rate     from {} on one each {} s\n",
            record.time(*at),
            Figure(*period_ns as f64 / 1e9)
        );
    }
    out += &format!("quality  {} of {} samples\n", tally(&record.qualities), record.samples);
    if played.readings.is_empty() {
        let window = played.spec.window.as_secs_f64();
        out += &format!("readings none: nowhere do the samples last for a window of {} s\n", Figure(window));
    } else if played.qualities != record.qualities {
        out += &format!("readings {}: {}\n", played.readings.len(), tally(&played.qualities));
    }
    out += &record.notes.iter().map(|note| format!("note     {note}\n")).collect::<String>();
    for (from, to, flaw) in &played.lost {
        let to = to.map_or_else(|| "the end".into(), |to| record.time(to));
        out += &format!("lost     {} to {to}: {flaw}\n", record.time(*from));
    }
    out += &played.learned.iter().map(|l| learned_words(record, l, &spec.unit)).collect::<String>();
    out += &Follows::of(played).map_or(String::new(), |f| f.words());
    if played.progress < 1.0 {
        out += &format!(
            "learning {:.0} % of what was asked for; nothing is judged before it is whole (--learn)\n",
            100.0 * played.progress
        );
    }
    for (n, update) in played.updates.iter().enumerate() {
        out += &format!("update   {} {}: {}\n", n + 1, record.time(update.at), soak_words(update));
    }
    out += &story(record, played);
    match (played.anomalies.len(), played.learned.is_empty()) {
        (0, false) => out += "found    nothing\n",
        (0, true) => {}
        (1, _) => out += "found    1 anomaly\n",
        (n, _) => out += &format!("found    {n} anomalies\n"),
    }
    out
}

/// Alarms as they begin and end, in the order of time.
fn story(record: &Record, played: &Played) -> String {
    let begins = played.anomalies.iter().enumerate().map(|(n, a)| {
        let title = reasons::find(a.code).map_or("", |r| r.title);
        let mut text = format!("anomaly  {} {} {} {title}\n", n + 1, record.time(a.found()), a.code);
        text += &format!("         {}\n", a.text(&played.spec.unit));
        if a.age().is_some() {
            text += &format!("         began {}\n", record.time(a.since()));
        }
        if let Some((count, last)) = &played.further[n] {
            let (when, what) = (record.time(last.found()), last.text(&played.spec.unit));
            let what = what.split("; ").next().unwrap_or_default();
            let changes =
                if *count == 1 { "1 further change".into() } else { format!("{count} further changes") };
            text += &format!("         {changes} while it stood; the last {when}: {what}\n");
        }
        (a.found(), text)
    });
    let ends = played.cleared.iter().map(|c| {
        let codes: Vec<String> = c.codes.iter().map(ToString::to_string).collect();
        (c.at, format!("cleared  {} {} {}\n", record.time(c.at), codes.join(", "), c.series))
    });
    let mut story: Vec<(hal::clock::Mono, String)> = begins.chain(ends).collect();
    story.sort_by_key(|(at, _)| *at);
    story.into_iter().map(|(_, text)| text).collect()
}

fn learned_words(record: &Record, l: &Learned, unit: &str) -> String {
    let mut out = format!(
        "learned  {}: {} from {} readings to {}, worth {:.0} independent ones\n",
        l.series,
        usual(l, unit),
        l.readings,
        record.time(l.at),
        l.effective,
    );
    if l.is_thin() {
        out += "         too few for the asked rate of false alarms: expect more of them\n";
    }
    if let Some((at, before, after)) = l.unsteady {
        out += &format!(
            "         not steady: its level moved from {} to {} about {} while it was learned. Less is found by such a \
             baseline; learn from a steady stretch\n",
            Figure(before),
            Figure(after),
            record.time(at)
        );
    }
    out
}

fn usual(l: &Learned, unit: &str) -> String {
    let median = format!("{} {unit}", Figure(l.median));
    let text = match l.share {
        share if share >= 1.0 => median.trim_end().to_owned() + " without moving",
        share if share > 0.5 => format!("{} in {:.1} % of them", median.trim_end(), 100.0 * share),
        _ => format!("{} ± {} {unit}", beside(l.median, l.scale), Figure(l.scale)),
    };
    text.trim_end().to_owned()
}

impl Learned {
    /// Whether fewer readings are independent than live signals wait for.
    pub(super) fn is_thin(&self) -> bool {
        self.effective < self.readings as f64 / 16.0 || self.effective < FEWEST_EFFECTIVE
    }
}

pub(super) fn soak_words(update: &Update) -> String {
    match (&update.changed, &update.quiet) {
        (Some(text), _) => {
            let measured = update.measured.as_ref().map_or(String::new(), |m| format!("; to its end: {m}"));
            format!("changed: {text}{measured}")
        }
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
            "share_of_median": l.share, "moved_at": l.unsteady.map(|(at, ..)| time(at)),
        })
    };
    let anomaly = |(a, further): (&Anomaly, &Option<(u64, Anomaly)>)| {
        json!({
            "further": further.as_ref().map_or(0, |(count, _)| *count),
            "code": a.code.to_string(), "series": a.series, "found": time(a.found()), "since": time(a.since()),
            "text": a.text(&played.spec.unit), "change": a.change, "value": a.value, "level": a.level,
            "usual": a.usual,
            "causes": a.causes,
        })
    };
    let cleared = |c: &Cleared| {
        let codes: Vec<String> = c.codes.iter().map(ToString::to_string).collect();
        json!({ "at": time(c.at), "series": c.series, "codes": codes })
    };
    let rate =
        |(at, ns): &(hal::clock::Mono, u64)| json!({ "from": time(*at), "period_s": *ns as f64 / 1e9 });
    let update = |u: &Update| json!({ "at": time(u.at), "changed": u.changed, "measured": u.measured, "quiet": u.quiet });
    json!({
        "schema": 1,
        "record": {
            "file": record.file(), "column": record.column, "samples": record.samples,
            "from": time(hal::clock::Mono(0)), "to": time(record.end()), "period_s": record.period_ns as f64 / 1e9,
            "quality": counts(&record.qualities), "rates": record.rates.iter().map(rate).collect::<Vec<_>>(),
            "notes": record.notes,
        },
        "readings": { "count": played.readings.len(), "quality": counts(&played.qualities) },
        "unit": played.spec.unit,
        "progress": played.progress,
        "learned": played.learned.iter().map(learned).collect::<Vec<_>>(),
        "follows": Follows::of(played).map(|f| f.json()),
        "lost": played.lost.iter().map(|(from, to, flaw)| json!({ "from": time(*from), "to": to.map(time), "flaw": flaw }))
            .collect::<Vec<_>>(),
        "updates": played.updates.iter().map(update).collect::<Vec<_>>(),
        "anomalies": played.anomalies.iter().zip(&played.further).map(anomaly).collect::<Vec<_>>(),
        "cleared": played.cleared.iter().map(cleared).collect::<Vec<_>>(),
    })
}

/// Independent readings below which limits are guesses.
const FEWEST_EFFECTIVE: f64 = 64.0;
