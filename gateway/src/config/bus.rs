//! `[[bus]]`: a field bus that is listened to, from what was typed to what can be opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hal::sensor::serial_line::{Format, Line, Parity};
use sensor_monitor::bus::{Connection, FrontEnd, Settings};
use serde::Deserialize;

use super::name::{self, Taken};
use super::place::Typed;
use super::{ConfigError, Plc};

/// One bus and where it is heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Bus {
    /// How it is judged; `settings.id` is its name.
    pub settings: Settings,
    /// The port that hears it.
    pub device: PathBuf,
    /// Speed and format of the port.
    pub format: Format,
    /// How long the station waits for an answer.
    pub reply: Duration,
    /// Controllers by their address on the bus.
    pub units: BTreeMap<u8, String>,
    /// The front-end that measures its levels, where there is one.
    pub level: Option<Level>,
}

/// A converter of the kernel that samples the voltage between the wires.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Where the kernel shows its converters.
    pub root: PathBuf,
    /// Name of the converter.
    pub device: String,
    /// Its channel, as the kernel names it.
    pub channel: String,
    /// What the driver reads at 0 V between the wires, in its own unit (millivolts).
    pub zero: f64,
    /// Volts between the wires for each unit of the driver.
    pub factor: f64,
    /// Rate, reference and polarity.
    pub connection: Connection,
}

/// As typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    id: String,
    device: String,
    baud: Option<u32>,
    parity: Option<RawParity>,
    stop: Option<u8>,
    reply_ms: Option<u64>,
    window_s: Option<f64>,
    learn: Option<u32>,
    false_alarms_per_year: Option<f64>,
    settles_s: Option<u64>,
    #[serde(default)]
    units: BTreeMap<String, String>,
    level: Option<RawLevel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLevel {
    device: String,
    channel: String,
    rate_hz: f64,
    factor: f64,
    zero: Option<f64>,
    reference_v: Option<f64>,
    #[serde(default)]
    swapped: bool,
    root: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawParity {
    None,
    Even,
    Odd,
}

type Checked<T> = Result<T, String>;

pub(super) fn check_all(
    typed: Vec<Typed<Raw>>,
    taken: &Taken<'_>,
    base: &Path,
) -> Result<Vec<Bus>, ConfigError> {
    let mut buses: Vec<Bus> = Vec::new();
    for Typed { at, raw } in typed {
        let id = raw.id.clone();
        let bus = check(raw, taken, base).and_then(|bus| unique(&buses, bus, taken));
        buses.push(bus.map_err(|what| at.error(format!("bus {id:?}: {what}")))?);
    }
    Ok(buses)
}

fn unique(buses: &[Bus], bus: Bus, taken: &Taken<'_>) -> Checked<Bus> {
    if buses.len() == MAX_BUSES {
        return Err(format!("there are {MAX_BUSES} buses already, the most that one gateway listens to"));
    }
    let unit = format!("{}.unit-", bus.settings.id);
    if let Some(signal) = taken.signals.iter().find(|s| s.starts_with(&unit)) {
        return Err(format!(
            "signal {signal:?} has the name of one of its units; their alarms could not be told apart"
        ));
    }
    if buses.iter().any(|b| b.settings.id == bus.settings.id) {
        return Err("this id is used twice".into());
    }
    match buses.iter().find(|b| b.device == bus.device) {
        Some(other) => {
            Err(format!("device {:?} is heard by bus {:?} already", bus.device, other.settings.id))
        }
        None => Ok(bus),
    }
}

fn check(raw: Raw, taken: &Taken<'_>, base: &Path) -> Checked<Bus> {
    let id = raw.id;
    if raw.device.is_empty() {
        return Err("device is the path of a serial port, not empty".into());
    }
    name::check(&id, taken)?;
    let baud = bounded("baud", raw.baud.unwrap_or(19_200), 300, 4_000_000)?;
    let parity = match raw.parity.unwrap_or(RawParity::Even) {
        RawParity::None => Parity::None,
        RawParity::Even => Parity::Even,
        RawParity::Odd => Parity::Odd,
    };
    // Modbus over Serial Line V1.02 §2.5.1: eleven bits, so two stop bits where there is no parity.
    let stop = raw.stop.unwrap_or(if parity == Parity::None { 2 } else { 1 });
    let format = Format { baud, parity, two_stop: bounded("stop", stop, 1, 2)? == 2 };
    let rate = raw.false_alarms_per_year.unwrap_or(1.0);
    if !(1e-3..=1e5).contains(&rate) {
        return Err(format!("false_alarms_per_year {rate}: 0.001 to 100000"));
    }
    let window = raw.window_s.unwrap_or(10.0);
    if !(0.05..=600.0).contains(&window) {
        return Err(format!(
            "window_s {window}: 0.05 to 600; each unit should be polled several times in it"
        ));
    }
    let line = Line { baud, bits: format.bits(), slack: SLACK };
    let reply = Duration::from_millis(bounded("reply_ms", raw.reply_ms.unwrap_or(1000), 10, 60_000)?);
    let level = raw.level.map(|raw| level(raw, line, reply, base)).transpose()?;
    let settings = Settings {
        window: Duration::from_secs_f64(window),
        learning: bounded("learn", raw.learn.unwrap_or(1080), 260, 65_536)?,
        false_alarms_per_year: rate,
        settles: Duration::from_secs(bounded("settles_s", raw.settles_s.unwrap_or(60), 0, 86_400)?),
        ..Settings::new(id, line)
    };
    Ok(Bus {
        settings,
        device: base.join(raw.device),
        format,
        reply,
        units: units(raw.units, taken.plcs)?,
        level,
    })
}

fn level(raw: RawLevel, line: Line, reply: Duration, base: &Path) -> Checked<Level> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !raw.channel.starts_with("in_voltage") || !raw.channel.chars().all(plain) {
        return Err(format!(
            "level: channel {:?}: as the kernel names it, in_voltage0 or in_voltage0-voltage1",
            raw.channel
        ));
    }
    let rate_hz = raw.rate_hz;
    let per_bit = rate_hz / f64::from(line.baud);
    if (per_bit - per_bit.round()).abs() < OFF_BEAT {
        return Err(format!(
            "level: rate_hz {rate_hz} is {per_bit:.2} samples for each bit: a whole number of them sees every edge \
             at the same place; take another rate, such as {:.0}",
            f64::from(line.baud) * (per_bit.round() + 0.37)
        ));
    }
    if raw.device.is_empty() {
        return Err("level: device is the name of a converter, not empty".into());
    }
    if rate_hz > MAX_LEVEL_HZ {
        return Err(format!("level: rate_hz {rate_hz}: at most {MAX_LEVEL_HZ}"));
    }
    let connection =
        Connection { rate_hz, reference_v: raw.reference_v.unwrap_or(2.0), swapped: raw.swapped };
    FrontEnd::new(line, reply, connection).map_err(|e| format!("level: {e}"))?;
    let (factor, zero) = (raw.factor, raw.zero.unwrap_or(0.0));
    if !factor.is_finite() || factor == 0.0 || !zero.is_finite() {
        return Err("level: factor is a number but 0, zero a number".into());
    }
    let root = raw.root.map_or_else(|| PathBuf::from(super::signal::IIO), |root| base.join(root));
    Ok(Level { root, device: raw.device, channel: raw.channel, zero, factor, connection })
}

fn units(raw: BTreeMap<String, String>, plcs: &[Plc]) -> Checked<BTreeMap<u8, String>> {
    let mut units: BTreeMap<u8, String> = BTreeMap::new();
    for (unit, plc) in raw {
        let address = unit.parse::<u8>().ok().filter(|u| (1..=247).contains(u));
        let address = address.ok_or_else(|| format!("units: {unit:?}: addresses on a bus are 1 to 247"))?;
        if !plcs.iter().any(|p| p.slot.as_str() == plc) {
            return Err(format!("units: {unit} = {plc:?}: there is no [[plc]] table with this id"));
        }
        if let Some((other, _)) = units.iter().find(|(_, of)| **of == plc) {
            return Err(format!(
                "units: {plc:?} is unit {other} and unit {address}: a controller has one address"
            ));
        }
        units.insert(address, plc);
    }
    Ok(units)
}

fn bounded<T: PartialOrd + std::fmt::Display>(what: &str, found: T, least: T, most: T) -> Checked<T> {
    if found >= least && found <= most {
        Ok(found)
    } else {
        Err(format!("{what} {found}: {least} to {most}"))
    }
}

/// Buses of one gateway: each has two threads.
const MAX_BUSES: usize = 8;
/// How far the samples of a bit must be from a whole number.
const OFF_BEAT: f64 = 0.02;
/// Most samples a second of a front-end: a quarter of a small core's time.
const MAX_LEVEL_HZ: f64 = 2e6;
/// What driver and scheduler may add to a silence inside a frame before it counts as the frame's end. Frames of
/// known functions are cut by their length and do not wait for it.
const SLACK: Duration = Duration::from_millis(10);

#[cfg(test)]
#[path = "bus_tests.rs"]
mod tests;
