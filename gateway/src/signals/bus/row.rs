//! Buses and their talkers as people and programs see them.

use std::collections::BTreeMap;

use hal::sensor::serial_line::Counters;
use sensor_monitor::bus::{Bus, Fingerprint, Quantity, Talker};
use serde::{Deserialize, Serialize};

/// One bus.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BusRow {
    /// Id.
    pub id: String,
    /// The port that hears it.
    pub device: String,
    /// `good`, or `bad` and why.
    pub quality: String,
    /// Share that is learned, 0 to 1.
    pub learned: f64,
    /// Whether all that is measured is judged.
    pub judged: bool,
    /// Whether a change that was told stands.
    pub alarm: bool,
    /// What the kernel's driver has counted since it was loaded, where it counts.
    pub kernel: Option<String>,
    /// What was never heard while the bus was learned.
    pub new: Vec<String>,
    /// The line, the station and each unit.
    pub talkers: Vec<TalkerRow>,
}

/// One talker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TalkerRow {
    /// `line`, `station`, `unit-7`.
    pub talker: String,
    /// The controller that has this address.
    pub plc: Option<String>,
    /// Function codes it was asked while it was learned.
    pub functions: Vec<u8>,
    /// Exceptions it answered meanwhile: function and code.
    pub exceptions: Vec<(u8, u8)>,
    /// SHA-256 of the image of its last update that was verified here; it began this epoch.
    pub firmware: Option<String>,
    /// Half of its answers in this epoch began within so many milliseconds.
    pub turnaround_p50_ms: Option<f64>,
    /// The same in the epoch before, and what it ran then.
    pub before: Option<(Option<String>, Option<f64>)>,
    /// What is watched of it.
    pub quantities: Vec<QuantityRow>,
}

/// One quantity of a talker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantityRow {
    /// Its name.
    pub quantity: String,
    /// Unit.
    pub unit: String,
    /// In the last window that had one; `None`: not measured.
    pub value: Option<f64>,
    /// Median and standard deviation that were learned.
    pub usual: Option<(f64, f64)>,
}

/// What a talker shows.
const OF_UNIT: &[Quantity] = &[
    Quantity::Turnaround,
    Quantity::Gap,
    Quantity::Clock,
    Quantity::Level,
    Quantity::Edge,
    Quantity::Polls,
    Quantity::Exceptions,
    Quantity::Broken,
    Quantity::Timeouts,
    Quantity::Retries,
];
const OF_STATION: &[Quantity] = &[Quantity::Clock, Quantity::Level, Quantity::Edge, Quantity::Broken];
const OF_LINE: &[Quantity] = &[Quantity::Load, Quantity::Unasked];

/// The talkers of a bus, the line first.
pub(super) fn talkers(bus: &Bus, plcs: &BTreeMap<u8, String>) -> Vec<TalkerRow> {
    let mut rows = vec![common(bus, Talker::Line, OF_LINE), common(bus, Talker::Station, OF_STATION)];
    rows.extend(bus.units().map(|unit| TalkerRow {
        plc: plcs.get(&unit.unit).cloned(),
        functions: unit.pattern.functions.iter().copied().collect(),
        exceptions: unit.pattern.exceptions.iter().copied().collect(),
        firmware: firmware(unit),
        turnaround_p50_ms: p50(unit),
        before: bus.previous(unit.unit).map(|before| (firmware(before), p50(before))),
        ..common(bus, Talker::Unit(unit.unit), OF_UNIT)
    }));
    rows
}

fn common(bus: &Bus, talker: Talker, of: &[Quantity]) -> TalkerRow {
    let quantity = |quantity: &Quantity| {
        let reading = bus.reading(talker, *quantity);
        QuantityRow {
            quantity: quantity.name().into(),
            unit: quantity.unit().into(),
            value: reading.quality.is_good().then_some(reading.value),
            usual: bus.usual(talker, *quantity),
        }
    };
    TalkerRow {
        talker: talker.to_string(),
        plc: None,
        functions: Vec::new(),
        exceptions: Vec::new(),
        firmware: None,
        turnaround_p50_ms: None,
        before: None,
        quantities: of.iter().map(quantity).collect(),
    }
}

fn firmware(unit: &Fingerprint) -> Option<String> {
    unit.firmware.map(|firmware| crate::vault::hex(&firmware.0))
}

fn p50(unit: &Fingerprint) -> Option<f64> {
    unit.turnaround.quantile(0.5).map(|seconds| seconds * 1e3)
}

/// The kernel's counts on one line.
pub(super) fn counts(counts: &Counters) -> String {
    let Counters { received, framing, parity, breaks, overruns, buffer_overruns, .. } = counts;
    format!(
        "{received} received, {framing} framing, {parity} parity, {breaks} breaks, {overruns} overruns, \
         {buffer_overruns} lost in the driver"
    )
}
