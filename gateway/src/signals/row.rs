//! Signals as people and programs see them.

use std::collections::BTreeMap;

use sensor_monitor::anomaly::Series;
use sensor_monitor::channel::Channel;
use sensor_monitor::monitor::Monitor;
use sensor_monitor::regime::Selector;
use serde::{Deserialize, Serialize};

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
    /// Case of the update after which it is watched.
    pub soak: Option<String>,
    /// What was learned of each series.
    pub series: Vec<SeriesRow>,
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
}

pub(super) fn rows(monitor: &Monitor, regimes: &BTreeMap<String, Selector>) -> Vec<SignalRow> {
    monitor.channels().iter().map(|c| row(c, monitor, regimes)).collect()
}

fn row(channel: &Channel, monitor: &Monitor, regimes: &BTreeMap<String, Selector>) -> SignalRow {
    let spec = channel.spec();
    let selector = spec.plc.as_ref().and_then(|plc| regimes.get(plc));
    let last = channel.last();
    let series = [Series::Measured, Series::Reported, Series::Residual];
    let soak = monitor.soaks().find(|(_, plc, _)| spec.plc.as_deref() == Some(plc));
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
        alarm: channel.in_alarm(),
        soak: soak.map(|(case, ..)| crate::transfer::event::CaseId(case).to_string()),
        series: series.into_iter().filter_map(|s| learned(channel, s)).collect(),
    }
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
    })
}
