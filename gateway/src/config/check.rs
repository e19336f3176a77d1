//! From what was typed to what is valid; every complaint names the table, what was found and what would do.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firmware_verifier::PolicyNo;
use firmware_verifier::identity::{Product, Slot};
use hal::tpm::Tcti;

use super::file::{self, Access, Function, Mode};
use super::name::Taken;
use super::place::{Place, Typed};
use super::profiles::Shelf;
use super::{
    Config, ConfigError, Effective, Input, Mqtt, MqttClient, MqttTls, Needed, Plc, Route, Signal, Standing,
    Tpm, effect, workflow,
};
use crate::protocol::modbus::profile::Flash;
use crate::shield::allow::{AllowList, Functions, Rule};
use crate::transfer::engine::Way;

pub(super) type Checked<T> = Result<T, String>;

pub(super) fn check(
    file: file::Whole,
    files: &[(String, String)],
    base: &Path,
    shelf: &Shelf,
) -> Result<Config, ConfigError> {
    let main = files.first().map_or("configuration", |(name, _)| name);
    let missing = |what: &str| ConfigError { file: main.into(), what: what.into() };
    let gateway = file.gateway.ok_or_else(|| missing("no [gateway] table; give it a name"))?;
    let tpm = file.tpm.ok_or_else(|| missing("no [tpm] table; give tcti and pcrs"))?;
    let zones: Vec<file::Zone> = file.zones.into_iter().map(|z| z.raw).collect();
    let (mut plcs, mut warnings): (Vec<Plc>, Vec<String>) = (Vec::new(), Vec::new());
    for Typed { at, raw } in file.plcs {
        let here = |what: String| at.error(format!("plc {:?}: {what}", raw.id));
        let plc = plc(&raw, &zones, shelf).and_then(|plc| unique(&plcs, plc)).map_err(here)?;
        warnings.extend(effect::check(&plc).map_err(here)?.into_iter().map(|w| here(w).to_string()));
        plcs.push(plc);
    }
    let name = checked(&gateway, |raw| gateway_name(&raw.name))?;
    let mqtt_at = file.mqtt.as_ref().map(|m| m.at.clone());
    let mqtt = file.mqtt.map(|m| checked(&m, |raw| mqtt(raw, &name, base))).transpose()?;
    let mut taken = Taken { gateway: &name, plcs: &plcs, signals: Vec::new() };
    let at: Vec<Place> = file.signals.iter().map(|s| s.at.clone()).collect();
    let signals = super::signal::check_all(file.signals, &taken, base)?;
    let health = checked_or_default(file.health, super::signal::health)?;
    let soak = checked_or_default(file.soak, super::signal::soak)?;
    checked_permissives(&plcs, &signals, main)?;
    taken.signals = signals.iter().map(|s| s.spec.id.as_str()).collect();
    let buses = super::bus::check_all(file.buses, &taken, base)?;
    let modules = file.policy.as_ref().map(|p| checked(p, |raw| super::policy::modules(raw, base)));
    let modules = modules.transpose()?.unwrap_or_default();
    let policy = match &file.policy {
        Some(typed) => checked(typed, |raw| super::policy::check(Some(raw), &modules))?,
        None => super::policy::check(None, &modules).map_err(|what| missing(&what))?,
    };
    let texts = files.iter().map(|(_, text)| text.as_str());
    let effective = Effective::of(texts, &shelf.used(), &modules);
    let needed = mqtt
        .iter()
        .zip(mqtt_at)
        .flat_map(|(mqtt, at)| certificates(mqtt, &at))
        .chain(at.iter().zip(&signals).filter_map(recording))
        .collect();
    Ok(Config {
        effective: effective.map_err(|e| missing(&e.to_string()))?,
        standing: Standing::Unapproved,
        base: base.into(),
        buses,
        signals,
        needed,
        health,
        soak,
        name,
        data: base.join(gateway.raw.data.as_deref().unwrap_or(DATA)),
        socket: base.join(gateway.raw.socket.as_deref().unwrap_or(SOCKET)),
        tpm: checked(&tpm, check_tpm)?,
        plcs,
        mqtt,
        policy,
        warnings,
    })
}

/// A permissive comes from something else than the controller that it guards.
fn checked_permissives(plcs: &[Plc], signals: &[Signal], main: &str) -> Result<(), ConfigError> {
    for plc in plcs {
        workflow::permissive_source(plc, signals).map_err(|what| ConfigError {
            file: main.into(),
            what: format!("plc {:?}: permissive: {what}", plc.slot.as_str()),
        })?;
    }
    Ok(())
}

/// The recorded file of a signal.
fn recording((at, signal): (&Place, &Signal)) -> Option<Needed> {
    let Input::File { path, column, time } = &signal.input else { return None };
    let columns = Some([time.clone(), column.clone()]);
    Some(Needed { at: at.clone(), table: "[[signal]]", key: "path", path: path.clone(), columns })
}

/// The files that TLS to the broker needs.
fn certificates(mqtt: &Mqtt, at: &Place) -> Vec<Needed> {
    let Some(tls) = &mqtt.tls else { return Vec::new() };
    let file = |(key, path): (&'static str, &PathBuf)| Needed {
        at: at.clone(),
        table: "[mqtt]",
        key,
        path: path.clone(),
        columns: None,
    };
    let mut needed = vec![("ca", &tls.ca)];
    if let Some(MqttClient::Files { certificate, key }) = &tls.client {
        needed.extend([("certificate", certificate), ("key", key)]);
    }
    needed.into_iter().map(file).collect()
}

/// What `check` makes of a table; a complaint says where the table stands.
fn checked<T, U>(typed: &Typed<T>, check: impl FnOnce(&T) -> Checked<U>) -> Result<U, ConfigError> {
    check(&typed.raw).map_err(|what| typed.at.error(what))
}

fn checked_or_default<T: Default, U>(
    typed: Option<Typed<T>>,
    check: impl FnOnce(&T) -> Checked<U>,
) -> Result<U, ConfigError> {
    match typed {
        Some(typed) => checked(&typed, check),
        None => check(&T::default()).map_err(|what| ConfigError { file: "default".into(), what }),
    }
}

fn gateway_name(name: &str) -> Checked<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= 32 && name.chars().all(plain) {
        return Ok(name.into());
    }
    Err(format!("[gateway] name {name:?}: 1 to 32 letters, digits, '-' or '_' (it is part of MQTT topics)"))
}

fn check_tpm(raw: &file::Tpm) -> Checked<Tpm> {
    raw.tcti.parse::<Tcti>().map_err(|e| format!("[tpm] {e}"))?;
    let mut pcrs = raw.pcrs.clone();
    pcrs.sort_unstable();
    pcrs.dedup();
    if pcrs.is_empty() || pcrs.iter().any(|p| *p > 23) {
        return Err(format!("[tpm] pcrs {pcrs:?}: name at least one of 0 to 23"));
    }
    let recheck = raw.recheck_s.unwrap_or(60);
    if !(1..=3600).contains(&recheck) {
        return Err(format!("[tpm] recheck_s {recheck}: 1 to 3600"));
    }
    let site_key = raw.site_key.as_deref().map(|text| {
        text.parse().map_err(|e| {
            format!(
                "[tpm] site_key {text:?}: {e}; headgate site-key new and trust show say a key's fingerprint"
            )
        })
    });
    Ok(Tpm {
        tcti: raw.tcti.clone(),
        pcrs,
        recheck: Duration::from_secs(recheck),
        site_key: site_key.transpose()?,
    })
}

fn plc(raw: &file::Plc, zones: &[file::Zone], shelf: &Shelf) -> Checked<Plc> {
    let named = zones.iter().filter(|z| raw.zone.as_ref() == Some(&z.id));
    let zone = named.max_by_key(|z| z.approvals);
    if let (Some(id), None) = (&raw.zone, zone) {
        return Err(format!("zone {id:?} has no [[zone]] table"));
    }
    let approvals = workflow::approvals(raw, zone)?;
    let regime = raw.regime.as_ref().map(super::regime::check).transpose()?;
    let slot = Slot::new(&raw.id).map_err(|e| e.to_string())?;
    let product = Product::new(&raw.vendor, &raw.model).map_err(|e| e.to_string())?;
    let safety = raw.class == file::Class::Safety;
    let routes =
        raw.routes.iter().map(|r| route(r, &raw.allow, safety, shelf)).collect::<Checked<Vec<_>>>()?;
    match routes.len() {
        0 => return Err("no [[plc.route]]: nothing leads to it".into()),
        1 => {}
        // Two conduits would be two gates, each blind to what passes through the other.
        n => {
            return Err(format!(
                "{n} routes: a controller has one, so that one gate sees all that reaches it"
            ));
        }
    }
    Ok(Plc {
        slot,
        product,
        version_scheme: raw.version_scheme,
        zone: raw.zone.clone(),
        safety,
        enforce: raw.mode == Mode::Enforce,
        approvals,
        sbom_required: zone.is_some_and(|zone| zone.sbom == file::Sbom::Required),
        policy_no: zone.map_or(PolicyNo::Reject, |zone| super::advisories::no(zone.policy)),
        advisories: super::advisories::check(zone)?,
        routes,
        regime,
        permissive: raw.permissive.as_ref().map(workflow::permissive).transpose()?,
    })
}

fn unique(plcs: &[Plc], plc: Plc) -> Checked<Plc> {
    if plcs.iter().any(|p| p.slot == plc.slot) {
        return Err("this id is used twice".into());
    }
    let targets = || plcs.iter().flat_map(|p| &p.routes).map(|r| r.target);
    if let Some(r) = plc.routes.iter().find(|r| targets().any(|t| t == r.target)) {
        return Err(format!(
            "target {} is another controller's, too: one gate must see all that reaches it",
            r.target
        ));
    }
    if let Some(r) = plc.routes.iter().find(|r| r.target == r.listen) {
        return Err(format!("target {} is where this route listens", r.target));
    }
    let taken: Vec<SocketAddr> = plcs.iter().flat_map(|p| &p.routes).map(|r| r.listen).collect();
    match plc.routes.iter().enumerate().find(|(i, r)| {
        r.listen.port() != 0
            && (taken.contains(&r.listen) || plc.routes[..*i].iter().any(|o| o.listen == r.listen))
    }) {
        Some((_, r)) => Err(format!("listen {} is used twice", r.listen)),
        None => Ok(plc),
    }
}

fn route(raw: &file::Route, allow: &[file::Allow], safety: bool, shelf: &Shelf) -> Checked<Route> {
    let file::Protocol::ModbusTcp = raw.protocol;
    let listen = raw.listen.parse().map_err(|_| format!("listen {:?}: write ADDRESS:PORT", raw.listen))?;
    let target = raw.target.parse().map_err(|_| format!("target {:?}: write ADDRESS:PORT", raw.target))?;
    let update = match (raw.way, &raw.profile) {
        (None, None) => None,
        (Some(_), Some(_)) if safety => {
            return Err("class \"safety\" takes no updates through the gate: remove way and profile".into());
        }
        (Some(way), Some(profile)) => Some(update(way, profile, shelf)?),
        (Some(_), None) => {
            return Err("way without profile: name the profile that says how it is updated".into());
        }
        (None, Some(_)) => return Err("profile without way: write way = \"match\" or \"stage\"".into()),
    };
    let program = raw.class == file::RouteClass::Program;
    if program && update.is_none() {
        return Err(
            "class = \"program\" without way and profile: name the profile that loads programs".into()
        );
    }
    let bounded = |what: &str, found: u64, range: Range<u64>| {
        if range.contains(&found) {
            Ok(found)
        } else {
            Err(format!("{what} {found}: {} to {}", range.start, range.end - 1))
        }
    };
    let rules = match raw.access {
        Access::ReadOnly if !allow.is_empty() => {
            return Err("access = \"read-only\" and [[plc.allow]]: use one of them".into());
        }
        Access::ReadOnly => {
            vec![Rule { unit: raw.unit, functions: Functions::reads(), addresses: vec![], stations: vec![] }]
        }
        Access::List => allow.iter().map(|a| rule(a, raw.unit)).collect::<Checked<_>>()?,
    };
    let max_stations = bounded("max_stations", raw.max_stations.unwrap_or(64) as u64, 1..4097)?;
    let share = raw.max_per_address.map_or(max_stations.div_ceil(2), |n| n as u64);
    Ok(Route {
        update,
        program,
        unit: raw.unit,
        listen,
        target,
        allow: AllowList::new(rules),
        in_flight: bounded("in_flight", raw.in_flight.unwrap_or(1) as u64, 1..1025)? as usize,
        max_stations: max_stations as usize,
        max_per_address: bounded("max_per_address", share, 1..max_stations + 1)? as usize,
        longest_transfer: Duration::from_secs(bounded(
            "transfer_s",
            raw.transfer_s.unwrap_or(LONGEST_TRANSFER_S),
            1..86_401,
        )?),
        reply: Duration::from_millis(bounded("reply_ms", raw.reply_ms.unwrap_or(1000), 10..60_001)?),
        poll_every: match raw.poll_s.unwrap_or(10) {
            0 => None,
            s => Some(Duration::from_secs(bounded("poll_s", s, 1..86_401)?)),
        },
    })
}

fn update(
    way: file::Way,
    profile: &str,
    shelf: &Shelf,
) -> Checked<(Way, std::sync::Arc<crate::protocol::modbus::profile::Profile>)> {
    let profile = shelf.find(profile)?;
    let way = match way {
        file::Way::Match => Way::Match,
        file::Way::Stage => Way::Stage,
    };
    if profile.ways.contains(&way) {
        return Ok((way, profile));
    }
    let hint = if profile.flash == Flash::DualBank {
        ""
    } else {
        "; a controller without a second bank needs \"stage\""
    };
    Err(format!(
        "profile {:?} does not allow way {}{hint}",
        profile.id,
        if way == Way::Match { "\"match\"" } else { "\"stage\"" }
    ))
}

pub(super) fn rule(raw: &file::Allow, unit: u8) -> Checked<Rule> {
    let mut functions = Functions::default();
    for f in &raw.functions {
        functions = functions.union(match f {
            Function::Word(w) if w == "reads" => Functions::reads(),
            Function::Word(w) => return Err(format!("allow: function {w:?}; write a number or \"reads\"")),
            Function::Code(code @ 1..=127) => std::iter::once(*code).collect(),
            Function::Code(code) => return Err(format!("allow: function {code}; codes are 1 to 127")),
        });
    }
    let stations = named("stations", &raw.stations)?
        .iter()
        .map(|s| s.parse::<IpAddr>().map_err(|_| format!("allow: station {s:?} is no address")));
    Ok(Rule {
        unit: raw.unit.unwrap_or(unit),
        functions,
        addresses: named("addresses", &raw.addresses)?
            .iter()
            .map(|a| addresses(a))
            .collect::<Checked<_>>()?,
        stations: stations.collect::<Checked<_>>()?,
    })
}

/// A list that is not there means all; one that is empty was meant to allow something, or nothing.
fn named<'a>(what: &str, list: &'a Option<Vec<String>>) -> Checked<&'a [String]> {
    match list {
        None => Ok(&[]),
        Some(list) if list.is_empty() => Err(format!("allow: {what} is empty; leave it out to allow all")),
        Some(list) => Ok(list),
    }
}

/// `"100"` or `"100-199"`, both ends included, decimal or 0x hexadecimal; protocol addresses from 0.
fn addresses(text: &str) -> Checked<Range<u32>> {
    let number = |t: &str| match t.trim().strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => t.trim().parse::<u16>().ok(),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(u32::from(first)..u32::from(last) + 1),
        _ => Err(format!("allow: addresses {text:?}; write \"100\" or \"100-199\", 0 to 65535")),
    }
}

fn mqtt(raw: &file::Mqtt, name: &str, base: &Path) -> Checked<Mqtt> {
    let bad = || format!("[mqtt] url {:?}: write mqtts://HOST:8883 or mqtt://HOST:1883", raw.url);
    let (scheme, rest) = raw.url.split_once("://").ok_or_else(bad)?;
    let default = match scheme {
        "mqtts" => 8883,
        "mqtt" => 1883,
        _ => return Err(bad()),
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
        None => (rest, default),
    };
    if host.is_empty() || host.contains('/') {
        return Err(bad());
    }
    if host.contains('@') {
        // The configuration is copied, digested and shown to whoever approves it.
        return Err("[mqtt] url with a user or password: no secret is part of the configuration; use a \
                    certificate"
            .into());
    }
    let client = mqtt_client(raw, base)?;
    let tls = match (scheme, &raw.ca) {
        ("mqtts", Some(ca)) => Some(MqttTls { ca: base.join(ca), client }),
        ("mqtts", None) => {
            return Err("[mqtt] mqtts needs ca: the certificate that signed the broker's".into());
        }
        (_, None) if client.is_none() => None,
        _ => return Err("[mqtt] ca, certificate and key need a mqtts:// url".into()),
    };
    Ok(Mqtt {
        host: host.into(),
        port,
        tls,
        client_id: raw.client_id.clone().unwrap_or_else(|| format!("headgate-{name}")),
    })
}

/// What the gateway shows of itself: the word `tpm`, or two files.
fn mqtt_client(raw: &file::Mqtt, base: &Path) -> Checked<Option<MqttClient>> {
    match (raw.certificate.as_deref(), raw.key.as_deref()) {
        (Some(IN_TPM), None) => Ok(Some(MqttClient::Tpm)),
        (Some(IN_TPM), Some(key)) => Err(format!(
            "[mqtt] certificate = \"tpm\" with key {key:?}: the key is in the TPM and no file; take key out (a file of \
             this name is \"./tpm\")"
        )),
        (Some(certificate), Some(key)) => {
            Ok(Some(MqttClient::Files { certificate: base.join(certificate), key: base.join(key) }))
        }
        (None, None) => Ok(None),
        _ => Err(
            "[mqtt] certificate and key go together; certificate = \"tpm\" alone takes the key in the TPM"
                .into(),
        ),
    }
}

/// `certificate` of `[mqtt]` where no file is meant.
const IN_TPM: &str = "tpm";
/// Seconds a transfer may take: the largest image of a shipped profile needs half of it in file records at
/// 100 ms each.
const LONGEST_TRANSFER_S: u64 = 3600;
/// Where the package keeps state.
pub(super) const DATA: &str = "/var/lib/headgate";
/// Where the package puts the management socket.
const SOCKET: &str = "/run/headgate/headgate.sock";
