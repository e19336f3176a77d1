//! `headgate signals`: what is measured, and what was learned of it.

use clap::Subcommand;
use sensor_monitor::anomaly::Figure;
use sensor_monitor::baseline::seen_scale;

use super::{Context, Said, print, signals_file};
use crate::judge::{Answered, Failure, Request};
use crate::signals::SignalRow;

pub(super) mod bus;

#[derive(Debug, Subcommand)]
pub(super) enum Signals {
    /// Every signal and field bus: its value, what it is worth, and how far it is learned.
    List {
        /// Also the figures of this gateway's own health that are within their limits.
        #[arg(long)]
        all: bool,
    },
    /// One signal with what was learned of each of its series, or one bus with its talkers.
    Show {
        /// Signal or bus id.
        signal: String,
    },
    /// Run a recorded file through the detectors and say what they find. Needs no configuration and no gateway.
    Replay(signals_file::Replay),
    /// Draw what `replay` finds into an SVG file.
    Plot(signals_file::Plot),
    /// Forget what is usual and learn it anew: after a change that is right.
    Learn {
        /// Signal or bus id.
        signal: String,
    },
}

pub(super) fn signals(context: &Context, verb: Signals) -> Result<Said, Failure> {
    match verb {
        Signals::List { all } => {
            let answer = context.answer(&Request::Signals)?;
            let Answered::Signals { signals, buses } = &answer else {
                return Err(Failure::internal("another answer than asked for"));
            };
            let words = list(signals, all) + &buses.iter().map(bus::list).collect::<String>();
            Ok(Said::Words(words, print::as_json(&answer)))
        }
        Signals::Show { signal } => {
            let Answered::Signals { mut signals, buses } = context.answer(&Request::Signals)? else {
                return Err(Failure::internal("another answer than asked for"));
            };
            if let Some(row) = buses.iter().find(|bus| bus.id == signal) {
                let json = serde_json::json!({ "schema": 1, "bus": row });
                return Ok(Said::Words(bus::show(row), json));
            }
            signals.retain(|s| s.id == signal);
            let Some(row) = signals.pop() else {
                return Err(Failure::not_found(format!(
                    "no signal or bus {signal:?}; headgate signals list"
                )));
            };
            let json = serde_json::json!({ "schema": 1, "signal": row });
            Ok(Said::Words(one(&row), json))
        }
        Signals::Replay(v) => signals_file::replay(context, &v),
        Signals::Plot(v) => signals_file::plot(context, &v),
        Signals::Learn { signal } => context.ask(&Request::SignalLearn { signal }),
    }
}

/// All signals: one line each, and one for those of the gateway's own health that are well.
pub(super) fn list(signals: &[SignalRow], all: bool) -> String {
    let is_quiet = |s: &&SignalRow| {
        let good = s.quality.as_deref().is_none_or(|q| q == "good");
        !all && s.plc.is_none() && s.id.starts_with(HEALTH) && good && !s.alarm
    };
    let quiet = signals.iter().filter(is_quiet).count();
    let mut out: String = signals.iter().filter(|s| !is_quiet(s)).map(line).collect();
    if quiet > 0 {
        out += &format!(
            "{HEALTH}*{:<16} {quiet} figures of this gateway, all within their limits (--all lists them)\n",
            ""
        );
    }
    out
}

/// What the ids of the gateway's own health begin with.
const HEALTH: &str = "health.";

/// One line for a list.
fn line(s: &SignalRow) -> String {
    let value = s.value.map_or("-".into(), |v| format!("{} {}", Figure(v), s.unit));
    let quality = s.quality.as_deref().unwrap_or("no reading yet");
    let learned = match s.learned {
        share if share >= 1.0 && s.series.is_empty() => "judged by limits".into(),
        share if share >= 1.0 => "learned".into(),
        share => format!("learning {:.0} %", 100.0 * share),
    };
    let alarm = if s.alarm { "  ALARM" } else { "" };
    let soak = s.soak.as_ref().map_or(String::new(), |case| format!("  watched after {case}"));
    let plc = s.plc.as_deref().unwrap_or("-");
    format!("{:<32} {plc:<12} {:<8} {value:>16}  {quality}, {learned}{soak}{alarm}\n", s.id, s.kind)
}

fn one(s: &SignalRow) -> String {
    let mut out = line(s);
    for alarm in &s.alarms {
        out += &format!("  {} {} {}\n", alarm.at, alarm.code, alarm.text);
    }
    if let Some(why) = &s.failing {
        out += &format!("  its input: {why}\n");
    }
    if let Some(limits) = limits(s) {
        out += &format!("  limits: {limits}\n");
    }
    if let Some(reported) = s.reported {
        out += &format!("  the controller reports {} {}\n", Figure(reported), s.unit);
    }
    if let Some(regime) = &s.regime {
        out += &format!("  regime: {regime}\n");
    }
    if let Some((lag, scale)) = s.follows {
        out += &format!("  its report is {lag:.1} s late; one unit of it is {} measured\n", Figure(scale));
    }
    for series in &s.series {
        let evidence = series.evidence.map_or(String::new(), |share| {
            format!("; evidence for a change {:.0} % of what an alarm takes", 100.0 * share)
        });
        let before = series.before.map_or(String::new(), |(median, sigma)| {
            format!("; before the last change {}", usual(median, sigma, &s.unit))
        });
        out += &format!(
            "  {:<24} {} from {} readings ({:.0} independent){evidence}{before}\n",
            series.series.to_string(),
            usual(series.median, series.sigma, &s.unit),
            series.samples,
            series.independent
        );
    }
    out
}

/// Median and deviation; where no deviation was seen, what that means.
fn usual(median: f64, sigma: f64, unit: &str) -> String {
    match seen_scale(median, sigma) {
        sigma if sigma > 0.0 => format!("{} ± {} {unit}", Figure(median), Figure(sigma)).trim_end().into(),
        _ => format!("{} {unit}", Figure(median)).trim_end().to_owned() + " without moving, or nearly always",
    }
}

/// The limits of the configuration in words.
fn limits(s: &SignalRow) -> Option<String> {
    let unit = &s.unit;
    let words = match s.limits {
        (None, None) => return None,
        (Some(low), None) => format!("at least {} {unit}", Figure(low)),
        (None, Some(high)) => format!("at most {} {unit}", Figure(high)),
        (Some(low), Some(high)) => format!("{} to {} {unit}", Figure(low), Figure(high)),
    };
    Some(words.trim_end().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_still_has_no_deviation_that_nobody_measured() {
        assert_eq!(usual(0.0, 1e-100, "bar"), "0 bar without moving, or nearly always");
        assert_eq!(usual(5e6, 5e-3, ""), "5.000e6 without moving, or nearly always");
        assert_eq!(usual(50.0, 0.25, "Hz"), "50.000 ± 0.2500 Hz");
    }
}
