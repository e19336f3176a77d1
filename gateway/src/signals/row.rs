//! Signals as people and programs see them.

use std::collections::BTreeMap;

use hal::clock::Wall;
use hal::reason::ReasonCode;
use sensor_monitor::anomaly::Series;
use sensor_monitor::channel::Channel;
use sensor_monitor::monitor::Monitor;
use sensor_monitor::regime::Selector;
use serde::{Deserialize, Serialize};

use super::standing::Standing;

/// One signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalRow {
    /// Id.
    pub id: String,
    /// Controller.
    pub plc: Option<String>,
    /// What it is of.
    pub kind: String,
    /// Unit.
    pub unit: String,
    /// Last value, when it is good or uncertain.
    pub value: Option<f64>,
    /// What the last reading is worth; `None` before the first.
    pub quality: Option<String>,
    /// What the controller says.
    pub reported: Option<f64>,
    /// How long after the fact it says so, in seconds, and measured units for each reported one.
    pub follows: Option<(f64, f64)>,
    /// The regime of its controller, where that has several; what was learned is of this one.
    #[serde(default)]
    pub regime: Option<String>,
    /// Share that is learned, 0 to 1.
    pub learned: f64,
    /// Whether an alarm stands.
    pub alarm: bool,
    /// The alarms that stand.
    #[serde(default)]
    pub alarms: Vec<AlarmLine>,
    /// Why its input could not be read last.
    #[serde(default)]
    pub failing: Option<String>,
    /// Limits that the configuration gives, low and high.
    #[serde(default)]
    pub limits: (Option<f64>, Option<f64>),
    /// Case of the update after which it is watched.
    pub soak: Option<String>,
    /// What was learned of each series.
    pub series: Vec<SeriesRow>,
}

/// One alarm of a signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmLine {
    /// Cause.
    pub code: ReasonCode,
    /// When it was told last.
    pub at: Wall,
    /// What changed.
    pub text: String,
}

/// What was learned of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesRow {
    /// Which one.
    pub series: Series,
    /// Median.
    pub median: f64,
    /// Standard deviation, from the median of distances.
    pub sigma: f64,
    /// Readings it rests on.
    pub samples: u64,
    /// Independent ones among them.
    pub independent: f64,
    /// Median and standard deviation before the last update or learning.
    pub before: Option<(f64, f64)>,
    /// How much speaks for a change, as a share of what an alarm takes.
    #[serde(default)]
    pub evidence: Option<f64>,
}

/// What the thread knows of its signals.
pub(super) struct Seen<'a> {
    pub(super) monitor: &'a Monitor,
    pub(super) regimes: &'a BTreeMap<String, Selector>,
    pub(super) standing: &'a Standing,
    pub(super) failing: &'a [Option<String>],
}

impl Seen<'_> {
    /// Every signal.
    pub(super) fn rows(&self) -> Vec<SignalRow> {
        self.monitor.channels().iter().enumerate().map(|(n, c)| self.row(n, c)).collect()
    }

    fn row(&self, number: usize, channel: &Channel) -> SignalRow {
        let spec = channel.spec();
        let selector = spec.plc.as_ref().and_then(|plc| self.regimes.get(plc));
        let last = channel.last();
        let series = [Series::Measured, Series::Reported, Series::Residual];
        let soak = self.monitor.soaks().find(|(_, plc, _)| spec.plc.as_deref() == Some(plc));
        let alarms: Vec<AlarmLine> = self.standing.of(number).map(alarm).collect();
        SignalRow {
            id: spec.id.clone(),
            plc: spec.plc.clone(),
            kind: format!("{:?}", spec.kind).to_lowercase(),
            unit: spec.unit.clone(),
            value: last.filter(|r| !matches!(r.quality, hal::sensor::Quality::Bad(_))).map(|r| r.value),
            quality: last.map(|r| r.quality.to_string()),
            reported: channel.said().map(|(_, value)| value),
            follows: channel.alignment().map(|a| (a.lag.as_secs_f64(), a.scale)),
            regime: selector.map(|s| s.current().map_or("not read yet".into(), |now| s.rule().name(now))),
            learned: channel.progress(),
            alarm: !alarms.is_empty() || channel.in_alarm(),
            alarms,
            failing: self.failing.get(number).cloned().flatten(),
            limits: spec.limits.map_or((None, None), |l| (finite(l.low), finite(l.high))),
            soak: soak.map(|(case, ..)| crate::transfer::event::CaseId(case).to_string()),
            series: series.into_iter().filter_map(|s| learned(channel, s)).collect(),
        }
    }
}

fn alarm((code, alarm): (ReasonCode, &super::standing::Alarm)) -> AlarmLine {
    AlarmLine { code, at: alarm.at, text: alarm.text.clone() }
}

fn finite(limit: f64) -> Option<f64> {
    Some(limit).filter(|l| l.is_finite())
}

fn learned(channel: &Channel, series: Series) -> Option<SeriesRow> {
    let model = channel.model(series)?;
    Some(SeriesRow {
        series,
        median: model.median(),
        sigma: model.scale(),
        samples: model.samples(),
        independent: model.effective(),
        before: channel.previous(series).map(|m| (m.median(), m.scale())),
        evidence: channel.evidence(series),
    })
}
