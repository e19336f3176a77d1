//! The configuration as typed: TOML tables, unknown keys refused with their line.

use std::collections::BTreeMap;

use firmware_verifier::version::VersionScheme;
use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::place::Typed;

/// All files together: each table with its file and line.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) gateway: Option<Typed<Gateway>>,
    pub(super) tpm: Option<Typed<Tpm>>,
    pub(super) zones: Vec<Typed<Zone>>,
    pub(super) plcs: Vec<Typed<Plc>>,
    pub(super) mqtt: Option<Typed<Mqtt>>,
    pub(super) signals: Vec<Typed<Signal>>,
    pub(super) soak: Option<Typed<Soak>>,
    pub(super) health: Option<Typed<Health>>,
    pub(super) policy: Option<Typed<Policy>>,
    pub(super) buses: Vec<Typed<super::bus::Raw>>,
}

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: Option<u32>,
    gateway: Option<Spanned<Gateway>>,
    tpm: Option<Spanned<Tpm>>,
    #[serde(default, rename = "zone")]
    zones: Vec<Spanned<Zone>>,
    #[serde(default, rename = "plc")]
    plcs: Vec<Spanned<Plc>>,
    mqtt: Option<Spanned<Mqtt>>,
    #[serde(default, rename = "signal")]
    signals: Vec<Spanned<Signal>>,
    soak: Option<Spanned<Soak>>,
    health: Option<Spanned<Health>>,
    policy: Option<Spanned<Policy>>,
    #[serde(default, rename = "bus")]
    buses: Vec<Spanned<super::bus::Raw>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gateway {
    pub(super) name: String,
    pub(super) data: Option<String>,
    pub(super) socket: Option<String>,
    #[serde(default)]
    pub(super) profiles: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tpm {
    pub(super) tcti: String,
    pub(super) pcrs: Vec<u8>,
    pub(super) recheck_s: Option<u64>,
    pub(super) site_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Zone {
    pub(super) id: String,
    #[serde(default)]
    pub(super) approvals: u8,
    #[serde(default)]
    pub(super) sbom: Sbom,
    #[serde(default)]
    pub(super) policy: PolicyNo,
    pub(super) vulnerabilities: Option<PolicyNo>,
    pub(super) vulnerabilities_min_score: Option<f64>,
    pub(super) advisories_max_age_days: Option<u16>,
}

/// What a no means: of the policy, or of the advisories.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PolicyNo {
    #[default]
    Reject,
    Hold,
    Warn,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    #[serde(default)]
    pub(super) files: Vec<String>,
    #[serde(default)]
    pub(super) module: BTreeMap<String, String>,
    pub(super) expires: Option<String>,
}

/// Whether images come with a list of their parts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sbom {
    #[default]
    Optional,
    Required,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plc {
    pub(super) id: String,
    pub(super) zone: Option<String>,
    #[serde(default)]
    pub(super) class: Class,
    pub(super) vendor: String,
    pub(super) model: String,
    pub(super) version_scheme: Option<VersionScheme>,
    pub(super) mode: Mode,
    pub(super) approvals: Option<u8>,
    #[serde(default, rename = "route")]
    pub(super) routes: Vec<Route>,
    #[serde(default)]
    pub(super) allow: Vec<Allow>,
    pub(super) regime: Option<Regime>,
    pub(super) permissive: Option<Permissive>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Permissive {
    pub(super) signal: String,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) max_age_s: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Regime {
    pub(super) register: u32,
    pub(super) bit: Option<u8>,
    pub(super) bands: Option<Vec<u16>>,
    pub(super) hysteresis: Option<u16>,
    pub(super) poll_ms: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Class {
    #[default]
    Standard,
    Safety,
}

/// What goes through a route's profile.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RouteClass {
    #[default]
    Firmware,
    Program,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    Enforce,
    Observe,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) way: Option<Way>,
    pub(super) unit: u8,
    pub(super) protocol: Protocol,
    pub(super) listen: String,
    pub(super) target: String,
    pub(super) profile: Option<String>,
    #[serde(default)]
    pub(super) class: RouteClass,
    #[serde(default)]
    pub(super) access: Access,
    pub(super) in_flight: Option<usize>,
    pub(super) max_stations: Option<usize>,
    pub(super) max_per_address: Option<usize>,
    pub(super) transfer_s: Option<u64>,
    pub(super) reply_ms: Option<u64>,
    pub(super) poll_s: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    Match,
    Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Protocol {
    ModbusTcp,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Access {
    /// What the `allow` tables name.
    #[default]
    List,
    /// Every read, no write.
    ReadOnly,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Allow {
    pub(super) unit: Option<u8>,
    pub(super) functions: Vec<Function>,
    pub(super) addresses: Option<Vec<String>>,
    pub(super) stations: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Function {
    Code(u8),
    Word(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mqtt {
    pub(super) url: String,
    pub(super) ca: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signal {
    pub(super) id: String,
    pub(super) plc: Option<String>,
    #[serde(default)]
    pub(super) kind: sensor_monitor::anomaly::Kind,
    pub(super) source: Source,
    pub(super) measure: Option<Measure>,
    pub(super) unit: Option<String>,
    pub(super) nominal_hz: Option<f64>,
    pub(super) class: Option<sensor_monitor::channel::Class>,
    pub(super) reference: Option<f64>,
    pub(super) window_s: Option<f64>,
    pub(super) false_alarms_per_year: Option<f64>,
    pub(super) learn: Option<u32>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) hysteresis: Option<f64>,
    #[serde(rename = "loop")]
    pub(super) current_loop: Option<Loop>,
    pub(super) reported: Option<Reported>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Measure {
    Value,
    Frequency,
    Level,
    Mains,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Source {
    Iio { device: String, channel: u32, rate_hz: f64, factor: Option<f64>, root: Option<String> },
    Ads1115 { bus: String, address: u8, input: u8, range_v: Option<f64>, rate_hz: f64 },
    Mcp3208 { bus: String, input: u8, reference_v: f64, rate_hz: f64 },
    Modbus { target: String, unit: u8, register: u32, scale: Option<f64>, poll_ms: Option<u64> },
    Gpio { chip: String, line: Line, active_low: Option<bool>, bias: Option<Bias>, poll_ms: Option<u64> },
    File { path: String, column: String, time: Option<String>, rate_hz: f64 },
    Health { vital: String, poll_ms: Option<u64> },
}

/// A line of a GPIO chip.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a line is its number on the chip, from 0, or its name in quotes")]
pub(super) enum Line {
    Number(u32),
    Name(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Bias {
    PullUp,
    PullDown,
}

impl Source {
    /// The rate of a source whose samples are evenly spaced.
    pub(super) fn waveform_hz(&self) -> Option<f64> {
        match self {
            Source::Iio { rate_hz, .. } | Source::File { rate_hz, .. } => Some(*rate_hz),
            _ => None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Loop {
    pub(super) shunt_ohm: f64,
    pub(super) at_4_ma: f64,
    pub(super) at_20_ma: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reported {
    pub(super) register: u32,
    pub(super) scale: Option<f64>,
    pub(super) poll_ms: Option<u64>,
    pub(super) max_lag_s: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Soak {
    pub(super) lasts_s: Option<u64>,
    pub(super) settles_s: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    pub(super) enabled: Option<bool>,
    pub(super) poll_s: Option<u64>,
}

/// Reads one file into `whole`. A table may appear in one file only; lists add up.
pub(super) fn merge(whole: &mut Whole, name: &str, text: &str) -> Result<(), ConfigError> {
    let fail = |what: String| ConfigError { file: name.to_string(), what };
    let part: File = toml::from_str(text).map_err(|e| fail(e.to_string().trim_end().to_string()))?;
    match part.schema {
        Some(1) => {}
        Some(other) => return Err(fail(format!("schema {other}, this version reads schema 1"))),
        None => return Err(fail("no schema; begin the file with schema = 1".into())),
    }
    let from = Text { name, text };
    from.once("gateway", &mut whole.gateway, part.gateway)?;
    from.once("tpm", &mut whole.tpm, part.tpm)?;
    from.once("mqtt", &mut whole.mqtt, part.mqtt)?;
    from.once("soak", &mut whole.soak, part.soak)?;
    from.once("health", &mut whole.health, part.health)?;
    from.once("policy", &mut whole.policy, part.policy)?;
    from.add(&mut whole.zones, part.zones);
    from.add(&mut whole.plcs, part.plcs);
    from.add(&mut whole.signals, part.signals);
    from.add(&mut whole.buses, part.buses);
    Ok(())
}

/// The file that is being read.
struct Text<'a> {
    name: &'a str,
    text: &'a str,
}

impl Text<'_> {
    fn typed<T>(&self, raw: Spanned<T>) -> Typed<T> {
        Typed::new(self.name, self.text, raw)
    }

    fn once<T>(
        &self,
        table: &str,
        whole: &mut Option<Typed<T>>,
        part: Option<Spanned<T>>,
    ) -> Result<(), ConfigError> {
        let Some(part) = part.map(|raw| self.typed(raw)) else { return Ok(()) };
        if whole.is_some() {
            return Err(part.at.error(format!("[{table}] was given in another file already")));
        }
        *whole = Some(part);
        Ok(())
    }

    fn add<T>(&self, whole: &mut Vec<Typed<T>>, part: Vec<Spanned<T>>) {
        whole.extend(part.into_iter().map(|raw| self.typed(raw)));
    }
}
