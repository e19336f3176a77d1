//! `[[signal]]` and `[soak]`: from what was typed to what can be measured.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::current_loop::Scale;
use hal::sensor::gpio;
use hal::sensor::replay::{Column, CsvSetup, Pace, Replay};
use hal::sensor::{Source, SourceError};
use sensor_monitor::anomaly::Kind;
use sensor_monitor::baseline::Learning;
use sensor_monitor::channel::{Class, Mains, Measure, Nominal, Spec};
use sensor_monitor::detect::limit::Range;
use sensor_monitor::estimate::phasor::MIN_SAMPLES_PER_CYCLE;
use sensor_monitor::estimate::tone::{MAX_SAMPLES, MIN_SAMPLES};
use sensor_monitor::watch;

use super::name::{self, Taken};
use super::place::Typed;
use super::{ConfigError, file};

/// One signal and where it comes from.
#[derive(Debug, Clone)]
pub struct Signal {
    /// How it is judged.
    pub spec: Spec,
    /// Where its samples come from.
    pub input: Input,
    /// Volts over a shunt in a current loop (NAMUR NE 43).
    pub current_loop: Option<Scale>,
    /// What its controller says of it: the register, and the time between two reads.
    pub reported: Option<(Register, Duration)>,
}

/// A register and what one count of it is worth in the signal's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Register {
    /// 3: holding register, 4: input register.
    pub function: u8,
    /// Address on the wire, from 0.
    pub address: u16,
    /// Signal units of one count.
    pub scale: f64,
}

/// A physical input of the gateway.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are the keys of docs/config.md")]
pub enum Input {
    /// A converter of the kernel's industrial I/O subsystem.
    Iio { root: PathBuf, device: String, channel: u32, rate_hz: f64, factor: f64 },
    /// An ADS1115 on an I2C bus.
    Ads1115 { bus: PathBuf, address: u8, input: u8, range_v: f64, rate_hz: f64 },
    /// An MCP3208 on an SPI bus.
    Mcp3208 { bus: PathBuf, input: u8, reference_v: f64, rate_hz: f64 },
    /// A digital input of the board.
    Gpio { line: gpio::Setup, every: Duration },
    /// A transducer with an address of its own.
    Modbus { target: SocketAddr, unit: u8, register: Register, every: Duration },
    /// A recorded file, played at its own pace: to try a configuration.
    File { path: PathBuf, column: String, time: String },
    /// A figure of the gateway itself.
    Health { vital: String, every: Duration },
}

impl Input {
    /// Whether its samples are evenly spaced, so that a tone or a level can be read from them.
    fn is_waveform(&self) -> bool {
        matches!(self, Input::Iio { .. } | Input::File { .. })
    }
}

pub(super) type Checked<T> = Result<T, String>;

pub(super) fn check_all(
    typed: Vec<Typed<file::Signal>>,
    taken: &Taken<'_>,
    base: &Path,
) -> Result<Vec<Signal>, ConfigError> {
    let mut signals: Vec<Signal> = Vec::new();
    for Typed { at, raw } in typed {
        let id = raw.id.clone();
        let signal = check(raw, taken, base).and_then(|signal| unique(&signals, signal));
        signals.push(signal.map_err(|what| at.error(format!("signal {id:?}: {what}")))?);
    }
    Ok(signals)
}

fn unique(signals: &[Signal], signal: Signal) -> Checked<Signal> {
    if signals.len() == MAX_SIGNALS {
        return Err(format!("there are {MAX_SIGNALS} signals already, the most of one gateway"));
    }
    match signals.iter().any(|s| s.spec.id == signal.spec.id) {
        true => Err("this id is used twice".into()),
        false => Ok(signal),
    }
}

pub(super) fn soak(raw: &file::Soak) -> Checked<watch::Settings> {
    let default = watch::Settings::default();
    let lasts = raw.lasts_s.map_or(default.lasts, Duration::from_secs);
    let settles = raw.settles_s.map_or(default.settles, Duration::from_secs);
    if lasts.is_zero() || lasts > Duration::from_secs(30 * 86_400) || settles >= lasts {
        return Err("[soak] lasts_s is 1 to 2592000 and longer than settles_s".into());
    }
    Ok(watch::Settings { lasts, settles, ..default })
}

/// Time between two looks at the gateway's own health.
pub(super) fn health(raw: &file::Health) -> Checked<Option<Duration>> {
    let every = match raw.poll_s.unwrap_or(10) {
        s @ 1..=3600 => Duration::from_secs(s),
        s => return Err(format!("[health] poll_s {s}: 1 to 3600")),
    };
    Ok(raw.enabled.unwrap_or(true).then_some(every))
}

fn check(raw: file::Signal, taken: &Taken<'_>, base: &Path) -> Checked<Signal> {
    name::check(&raw.id, taken)?;
    if raw.id.starts_with("health.") && raw.kind != Kind::Health {
        return Err("ids that begin with health. are of the gateway's own health".into());
    }
    if let Some(plc) =
        raw.plc.as_ref().filter(|id| !taken.plcs.iter().any(|p| p.slot.as_str() == id.as_str()))
    {
        return Err(format!("plc {plc:?} has no [[plc]] table"));
    }
    let rate_hz = raw.source.waveform_hz();
    let (input, sampled) = input(raw.source, base)?;
    second_witness(raw.plc.as_deref(), &input, taken)?;
    let measure = measure(raw.measure, raw.nominal_hz, raw.reference, raw.class)?;
    if measure != Measure::Value && !input.is_waveform() {
        return Err(format!(
            "measure = \"{}\" needs a waveform, and this source gives one sample at a time: use kind = \"iio\" \
             (the kernel has drivers with a buffer for these converters), or measure = \"value\"",
            word(measure)
        ));
    }
    let window = raw.window_s.unwrap_or(if measure == Measure::Value { 0.0 } else { 1.0 });
    let window = seconds("window_s", window, 0.0, 60.0)?;
    if window.is_zero() && measure != Measure::Value {
        return Err("window_s 0: only a value is read from a single sample".into());
    }
    if let Some(rate_hz) = rate_hz {
        measurable(measure, window, rate_hz)?;
    }
    let interval = match measure {
        Measure::Mains(_) => Duration::from_millis(100),
        _ => window.max(sampled),
    };
    let default = if raw.kind == Kind::Health { 1024 } else { 8192 };
    let learn = raw.learn.unwrap_or(default);
    let learning = match learn {
        0 if raw.low.is_none() && raw.high.is_none() => {
            return Err("learn = 0 without low or high: nothing would judge it".into());
        }
        0 if raw.reported.is_some() => {
            return Err("learn = 0 with reported: how a report follows has to be learned".into());
        }
        0 => None,
        n => Some(
            Learning::new(n, (n / 8).max(LEAST_INDEPENDENT), 0.0)
                .map_err(|_| format!("learn {n}: 0, or 260 to 65536"))?,
        ),
    };
    let rate = raw.false_alarms_per_year.unwrap_or(1.0);
    if !(1e-3..=1e5).contains(&rate) {
        return Err(format!("false_alarms_per_year {rate}: 0.001 to 100000"));
    }
    let reported = raw.reported.map(|r| reported(&r, raw.plc.is_some())).transpose()?;
    let spec = Spec {
        id: raw.id,
        plc: raw.plc,
        kind: raw.kind,
        unit: raw.unit.unwrap_or_else(|| unit(measure).into()),
        measure,
        window,
        interval,
        false_alarms_per_year: rate,
        learning,
        settle: 10,
        limits: limits(raw.low, raw.high, raw.hysteresis)?,
        reported: reported.map(|(_, _, lag)| lag),
    };
    Ok(Signal {
        spec,
        input,
        current_loop: raw.current_loop.map(|l| current_loop(&l)).transpose()?,
        reported: reported.map(|(register, every, _)| (register, every)),
    })
}

/// A transducer that is to check a controller is something else than that controller: it would bear witness for itself.
fn second_witness(plc: Option<&str>, input: &Input, taken: &Taken<'_>) -> Checked<()> {
    let Input::Modbus { target, .. } = input else { return Ok(()) };
    let mut watched = taken.plcs.iter().filter(|p| Some(p.slot.as_str()) == plc).flat_map(|p| &p.routes);
    match watched.find(|r| r.target == *target || r.listen == *target) {
        None => Ok(()),
        Some(route) => Err(format!(
            "source: target {target} is controller {:?} itself{}: it cannot check what it says of itself; give the \
             address of a transducer of its own, and what the controller says as reported = {{ register = ... }}",
            plc.unwrap_or_default(),
            if route.target == *target { "" } else { ", past this gateway" },
        )),
    }
}

/// Whether a recording can be played: it has these columns, and a number among its first rows.
pub(super) fn recorded(path: &Path, time: &str, column: &str) -> Checked<()> {
    let setup =
        CsvSetup { time: Column::Name(time.into()), value: Column::Name(column.into()), separator: b',' };
    let words = |e: SourceError| match e {
        // The complaint names the file itself.
        SourceError::Unexpected { found, .. } => found,
        other => other.to_string(),
    };
    let mut replay = Replay::csv(path, setup, Mono(0), Pace::AtOnce).map_err(words)?;
    let mut blocks = Vec::new();
    for _ in 0..LOOKED_AT {
        replay.read(Mono(0), &mut blocks).map_err(words)?;
        if blocks.drain(..).any(|b| b.quality.is_good() && !b.samples.is_empty()) {
            return Ok(());
        }
        if replay.is_exhausted() {
            return Err(format!("no row has a time in column {time:?} and a number in column {column:?}"));
        }
    }
    Err(format!("none of its first rows has a time in column {time:?} and a number in column {column:?}"))
}

/// The input, and the time from one sample to the next.
fn input(raw: file::Source, base: &Path) -> Checked<(Input, Duration)> {
    let rate = |hz: f64| match hz {
        hz if (0.001..=1e6).contains(&hz) => Ok(Duration::from_secs_f64(1.0 / hz)),
        hz => Err(format!("rate_hz {hz}: 0.001 to 1000000")),
    };
    Ok(match raw {
        file::Source::Iio { device, channel, rate_hz, factor, root } => {
            let root = root.map_or_else(|| PathBuf::from(IIO), |r| base.join(r));
            let device = named("device", device)?;
            let factor = finite("factor", factor.unwrap_or(1.0))?;
            (Input::Iio { root, device, channel, rate_hz, factor }, rate(rate_hz)?)
        }
        file::Source::Ads1115 { bus, address, input, range_v, rate_hz } => {
            if !(0x48..=0x4B).contains(&address) || input > 3 {
                return Err("an ADS1115 has address 0x48 to 0x4B and inputs 0 to 3".into());
            }
            let range_v = range_v.unwrap_or(4.096);
            if !ADS1115_RANGES.contains(&range_v) {
                return Err(format!("range_v {range_v}: an ADS1115 has {ADS1115_RANGES:?}"));
            }
            if !(0.001..=860.0).contains(&rate_hz) {
                return Err(format!("rate_hz {rate_hz}: an ADS1115 converts up to 860 times a second"));
            }
            let bus = named("bus", bus)?;
            (Input::Ads1115 { bus: bus.into(), address, input, range_v, rate_hz }, rate(rate_hz)?)
        }
        file::Source::Mcp3208 { bus, input, reference_v, rate_hz } => {
            if input > 7 || !(0.25..=7.0).contains(&reference_v) {
                return Err("an MCP3208 has inputs 0 to 7 and a reference_v of 0.25 to 7".into());
            }
            let bus = named("bus", bus)?;
            (Input::Mcp3208 { bus: bus.into(), input, reference_v, rate_hz }, rate(rate_hz)?)
        }
        file::Source::Modbus { target, unit, register, scale, poll_ms } => {
            let target = target.parse().map_err(|_| format!("target {target:?}: write ADDRESS:PORT"))?;
            let every = poll(poll_ms)?;
            (Input::Modbus { target, unit, register: self::register(register, scale)?, every }, every)
        }
        file::Source::Gpio { chip, line, active_low, bias, poll_ms } => {
            let every = poll(poll_ms)?;
            let line = match line {
                file::Line::Number(number) => gpio::Which::Number(number),
                file::Line::Name(name) => gpio::Which::Name(named("line", name)?),
            };
            let bias = bias.map_or(gpio::Bias::AsIs, |bias| match bias {
                file::Bias::PullUp => gpio::Bias::PullUp,
                file::Bias::PullDown => gpio::Bias::PullDown,
            });
            let (chip, active_low) = (named("chip", chip)?.into(), active_low.unwrap_or(false));
            (Input::Gpio { line: gpio::Setup { chip, line, active_low, bias }, every }, every)
        }
        file::Source::File { path, column, time, rate_hz } => {
            let time = named("time", time.unwrap_or_else(|| "timestamp".into()))?;
            let (path, column) = (named("path", path)?, named("column", column)?);
            (Input::File { path: base.join(path), column, time }, rate(rate_hz)?)
        }
        file::Source::Health { vital, poll_ms } => {
            let every = poll(poll_ms)?;
            (Input::Health { vital: named("vital", vital)?, every }, every)
        }
    })
}

fn measure(
    raw: Option<file::Measure>,
    nominal: Option<f64>,
    reference: Option<f64>,
    class: Option<Class>,
) -> Checked<Measure> {
    if class.is_some() && raw != Some(file::Measure::Mains) {
        return Err("class: it goes with measure = \"mains\"".into());
    }
    let mains = |nominal| Ok(Measure::Mains(Mains { nominal, class: class.unwrap_or_default() }));
    let kind = raw.unwrap_or(if nominal.is_some() { file::Measure::Frequency } else { file::Measure::Value });
    match (kind, nominal, reference) {
        (file::Measure::Value, ..) => Ok(Measure::Value),
        (file::Measure::Frequency, ..) => Ok(Measure::Frequency),
        (file::Measure::Level, _, Some(r)) if r > 0.0 && r.is_finite() => Ok(Measure::Level(r)),
        (file::Measure::Level, ..) => Err("measure = \"level\" needs reference, above 0".into()),
        (file::Measure::Mains, Some(50.0) | None, _) => mains(Nominal::Fifty),
        (file::Measure::Mains, Some(60.0), _) => mains(Nominal::Sixty),
        (file::Measure::Mains, Some(hz), _) => Err(format!("nominal_hz {hz}: mains are 50 or 60")),
    }
}

/// Whether what is asked for can be read from so many samples.
fn measurable(measure: Measure, window: Duration, rate_hz: f64) -> Checked<()> {
    let samples = window.as_secs_f64() * rate_hz;
    let least = match measure {
        Measure::Frequency => MIN_SAMPLES as f64,
        Measure::Level(_) => MIN_LEVEL_SAMPLES,
        Measure::Mains(mains) => {
            let least = MIN_SAMPLES_PER_CYCLE * mains.nominal.hertz();
            return match rate_hz >= least {
                true => Ok(()),
                false => {
                    Err(format!("rate_hz {rate_hz}: mains need at least {least}, 32 samples for each cycle"))
                }
            };
        }
        Measure::Value => return Ok(()),
    };
    if measure == Measure::Frequency && samples > MAX_SAMPLES as f64 {
        return Err(format!(
            "window_s {} at rate_hz {rate_hz} is {samples:.0} samples: at most {MAX_SAMPLES}; a shorter window will do",
            window.as_secs_f64()
        ));
    }
    match samples >= least {
        true => Ok(()),
        false => Err(format!(
            "window_s {} at rate_hz {rate_hz} is {samples:.0} samples: at least {least:.0}; write window_s = {:.3} or more",
            window.as_secs_f64(),
            least / rate_hz
        )),
    }
}

/// What is measured, as it is typed.
fn word(measure: Measure) -> &'static str {
    match measure {
        Measure::Value => "value",
        Measure::Frequency => "frequency",
        Measure::Level(_) => "level",
        Measure::Mains(_) => "mains",
    }
}

fn unit(measure: Measure) -> &'static str {
    match measure {
        Measure::Value => "",
        Measure::Frequency | Measure::Mains(_) => "Hz",
        Measure::Level(_) => "dB",
    }
}

fn limits(low: Option<f64>, high: Option<f64>, hysteresis: Option<f64>) -> Checked<Option<Range>> {
    if low.is_none() && high.is_none() {
        return match hysteresis {
            None => Ok(None),
            Some(_) => Err("hysteresis without low or high: it is of a limit".into()),
        };
    }
    for (what, limit) in [("low", low), ("high", high)] {
        if let Some(limit) = limit.filter(|l| !l.is_finite()) {
            return Err(format!("{what} {limit}: a number, or left out for no limit"));
        }
    }
    let range = Range {
        low: low.unwrap_or(f64::NEG_INFINITY),
        high: high.unwrap_or(f64::INFINITY),
        hysteresis: hysteresis.unwrap_or(0.0),
        on_delay: 3,
        off_delay: 3,
    };
    sensor_monitor::detect::limit::Limit::new(range).map_err(|e| e.to_string())?;
    Ok(Some(range))
}

fn reported(raw: &file::Reported, has_plc: bool) -> Checked<(Register, Duration, Duration)> {
    if !has_plc {
        return Err("reported without plc: name the controller that says it".into());
    }
    let every = poll(raw.poll_ms).map_err(|e| format!("reported: {e}"))?;
    let lag = seconds("reported: max_lag_s", raw.max_lag_s.unwrap_or(10.0), 0.1, 600.0)?;
    Ok((register(raw.register, raw.scale)?, every, lag))
}

/// Time between two reads, 1 s unless given.
pub(super) fn poll(ms: Option<u64>) -> Checked<Duration> {
    match ms.unwrap_or(1000) {
        ms @ 10..=3_600_000 => Ok(Duration::from_millis(ms)),
        ms => Err(format!("poll_ms {ms}: 10 to 3600000")),
    }
}

/// Registers as manuals number them: 30001 is the first input register, 40001 the first holding register.
pub(super) fn register(number: u32, scale: Option<f64>) -> Checked<Register> {
    let (function, first) = match number {
        30_001..=39_999 => (4, 30_001),
        40_001..=49_999 => (3, 40_001),
        300_001..=365_536 => (4, 300_001),
        400_001..=465_536 => (3, 400_001),
        _ => {
            return Err(format!(
                "register {number}: write 30001 to 39999 (input) or 40001 to 49999 (holding), or six digits"
            ));
        }
    };
    let address = u16::try_from(number - first).map_err(|_| format!("register {number}"))?;
    Ok(Register { function, address, scale: finite("scale", scale.unwrap_or(1.0))? })
}

fn current_loop(raw: &file::Loop) -> Checked<Scale> {
    let scale = Scale { shunt: raw.shunt_ohm, at_4: raw.at_4_ma, at_20: raw.at_20_ma };
    let sound = (1.0..=10_000.0).contains(&scale.shunt) && scale.at_4.is_finite() && scale.at_20.is_finite();
    if sound && scale.at_4 == scale.at_20 {
        Err(format!("loop: at_4_ma and at_20_ma are both {}: every current would read the same", scale.at_4))
    } else if sound {
        Ok(scale)
    } else {
        Err("loop: shunt_ohm is 1 to 10000, at_4_ma and at_20_ma are numbers".into())
    }
}

fn named(what: &str, text: String) -> Checked<String> {
    if text.trim().is_empty() { Err(format!("source: {what} is empty")) } else { Ok(text) }
}

fn finite(what: &str, value: f64) -> Checked<f64> {
    if value.is_finite() && value != 0.0 { Ok(value) } else { Err(format!("{what} {value}: a number but 0")) }
}

fn seconds(what: &str, value: f64, low: f64, high: f64) -> Checked<Duration> {
    if (low..=high).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(format!("{what} {value}: {low} to {high}"))
    }
}

/// Volts at full scale that the chip knows.
const ADS1115_RANGES: [f64; 6] = [0.256, 0.512, 1.024, 2.048, 4.096, 6.144];
/// Fewest samples that say what a level is.
const MIN_LEVEL_SAMPLES: f64 = 16.0;
/// Nothing is judged by fewer independent readings: what a filter that was fitted to fewer leaves open is more than
/// limits can be widened by.
const LEAST_INDEPENDENT: u32 = 256;
/// Pieces of a recording that are looked at for a number.
const LOOKED_AT: usize = 64;
/// Most signals of one gateway.
const MAX_SIGNALS: usize = 256;
/// Where the kernel shows its converters.
pub(super) const IIO: &str = "/sys/bus/iio/devices";
