//! The configuration: read as typed ([`file`]), checked as a whole, and then only valid values.
//!
//! A value of [`Config`] needs no further checks: names are unique, addresses parse, profiles exist and
//! allow the way their route asks for.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use firmware_verifier::PolicyNo;
use firmware_verifier::identity::{Product, Slot};
use firmware_verifier::trust::Threshold;
use firmware_verifier::version::VersionScheme;

use self::profiles::Shelf;
use crate::protocol::modbus::profile::Profile;
use crate::shield::allow::AllowList;
use crate::transfer::engine::Way;

mod advisories;
pub mod approved;
mod bus;
mod check;
mod effect;
pub mod effective;
mod file;
mod name;
mod place;
mod policy;
pub mod profiles;
mod regime;
mod signal;
pub mod weakening;
mod workflow;

pub use advisories::Advisories;
pub use approved::Standing;
pub use bus::{Bus, Level};
pub use effective::Effective;
pub use policy::SiteRules;
pub use regime::Regime;
pub use signal::{Input, Register, Signal};

/// Everything the gateway was told.
#[derive(Debug, Clone)]
pub struct Config {
    /// All of it in the one form that is digested and approved.
    pub effective: Effective,
    /// How it stands to the configuration that was approved last.
    pub standing: Standing,
    /// The gateway's name: in case numbers, topics and receipts.
    pub name: String,
    /// Where state, vault and trust store live.
    pub data: PathBuf,
    /// The management socket.
    pub socket: PathBuf,
    /// The TPM and the boot state it must see.
    pub tpm: Tpm,
    /// Every controller, in the order of the file.
    pub plcs: Vec<Plc>,
    /// The broker, if alarms go to one.
    pub mqtt: Option<Mqtt>,
    /// Every signal, in the order of the file.
    pub signals: Vec<Signal>,
    /// Every field bus that is listened to, in the order of the file.
    pub buses: Vec<Bus>,
    /// Time between two looks at the gateway's own health; `None`: only at what a signal names.
    pub health: Option<Duration>,
    /// The watch after an update.
    pub soak: sensor_monitor::watch::Settings,
    /// The site's own rules for images.
    pub policy: SiteRules,
    /// What is no mistake but cannot have been meant, each with its file and line.
    pub warnings: Vec<String>,
    /// Files it names, which are not part of it.
    needed: Vec<Needed>,
    /// The folder that relative paths are taken from.
    pub(crate) base: PathBuf,
}

/// A file that a table names.
#[derive(Debug, Clone)]
struct Needed {
    at: place::Place,
    /// The table, as it is written.
    table: &'static str,
    key: &'static str,
    path: PathBuf,
    /// The columns it must have, for a recording: its times and its values.
    columns: Option<[String; 2]>,
}

/// The TPM and how it is used.
#[derive(Debug, Clone)]
pub struct Tpm {
    /// `device:/dev/tpmrm0` or `swtpm:host=127.0.0.1,port=2321`.
    pub tcti: String,
    /// PCRs of the SHA-256 bank that make up the boot state.
    pub pcrs: Vec<u8>,
    /// Time between two proofs that the boot state still holds.
    pub recheck: Duration,
    /// Fingerprint of the only site key whose record opens the gate; `None`: of any.
    pub site_key: Option<firmware_verifier::Digest>,
}

/// One controller.
#[derive(Debug, Clone)]
pub struct Plc {
    /// Its id.
    pub slot: Slot,
    /// Vendor and model, as the configuration says.
    pub product: Product,
    /// How versions of the product compare, where images state no security version; `None`: they are not compared.
    pub version_scheme: Option<VersionScheme>,
    /// Zone, if it is in one.
    pub zone: Option<String>,
    /// Safety controllers are never delivered to.
    pub safety: bool,
    /// False: observe.
    pub enforce: bool,
    /// How many approvers must sign before a release takes effect; `None`: nobody need.
    pub approvals: Option<Threshold>,
    /// Whether an image for it must come with a signed list of its parts.
    pub sbom_required: bool,
    /// What the no of the site's policy means for it.
    pub policy_no: PolicyNo,
    /// What follows from known holes.
    pub advisories: Advisories,
    /// Its conduits.
    pub routes: Vec<Route>,
    /// How it says in which regime it runs, if it has several.
    pub regime: Option<Regime>,
    /// What must be present for whatever rewrites it; `None`: nothing.
    pub permissive: Option<Permissive>,
}

/// A signal that must say yes, and lately: a key switch, or a tag of another device.
#[derive(Debug, Clone, PartialEq)]
pub struct Permissive {
    /// The signal.
    pub signal: String,
    /// Values that say yes, both ends included.
    pub range: (f64, f64),
    /// What is older says nothing.
    pub max_age: Duration,
}

/// One conduit to a controller.
#[derive(Debug, Clone)]
pub struct Route {
    /// How updates pass; `None`: this route carries no updates.
    pub update: Option<(Way, Arc<Profile>)>,
    /// What its profile loads is the controller's program, not its firmware.
    pub program: bool,
    /// Unit id of the controller.
    pub unit: u8,
    /// Where stations connect.
    pub listen: SocketAddr,
    /// Where the controller is.
    pub target: SocketAddr,
    /// What process traffic passes.
    pub allow: AllowList,
    /// Requests under way to the controller at once.
    pub in_flight: usize,
    /// Most connections of stations.
    pub max_stations: usize,
    /// Most of them from one address.
    pub max_per_address: usize,
    /// Longest transfer from its first step to its commit.
    pub longest_transfer: Duration,
    /// Time limit of one reply.
    pub reply: Duration,
    /// Time between two identity polls.
    pub poll_every: Option<Duration>,
}

/// The broker.
#[derive(Debug, Clone)]
pub struct Mqtt {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether to speak TLS (`mqtts://`).
    pub tls: Option<MqttTls>,
    /// Client id.
    pub client_id: String,
}

/// Files for TLS to the broker.
#[derive(Debug, Clone)]
pub struct MqttTls {
    /// Certificates that may sign the broker's.
    pub ca: PathBuf,
    /// What we show of ourselves, where the broker asks for it.
    pub client: Option<MqttClient>,
}

/// Our own certificate for TLS to the broker, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MqttClient {
    /// Certificate and key as files.
    Files {
        /// The chain, in PEM.
        certificate: PathBuf,
        /// Its private key, in PEM.
        key: PathBuf,
    },
    /// The key that the TPM holds, and the certificate that `headgate attest --certificate` has installed.
    Tpm,
}

/// What is wrong with the configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// Line, what was found, what was expected.
    pub what: String,
}

impl Config {
    /// Reads `path` and every `*.toml` of the `conf.d` folder beside it, in name order.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let mut files = vec![read(path)?];
        let more = path.parent().map(|p| p.join("conf.d")).unwrap_or_default();
        if let Ok(entries) = std::fs::read_dir(&more) {
            let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
            paths.retain(|p| p.extension().is_some_and(|e| e == "toml"));
            paths.sort();
            for path in paths {
                files.push(read(&path)?);
            }
        }
        let base = path.parent().unwrap_or(Path::new("."));
        Config::parse(&files, base)
    }

    /// Checks configuration texts, each with its file name. Relative paths are taken from `base`.
    pub fn parse(files: &[(String, String)], base: &Path) -> Result<Config, ConfigError> {
        let whole = merged(files)?;
        let folders = whole.gateway.iter().flat_map(|gateway| &gateway.raw.profiles);
        let shelf = Shelf::of_folders(folders.map(|folder| base.join(folder)).collect());
        check::check(whole, files, base, &shelf)
    }

    /// As [`Config::parse`], from the canonical form, which has its profiles with it.
    pub fn of_effective(effective: &Effective, base: &Path) -> Result<Config, ConfigError> {
        let name = "approved configuration".to_string();
        let (text, profiles) =
            effective.texts().map_err(|e| ConfigError { file: name.clone(), what: e.to_string() })?;
        let files = [(name, text)];
        check::check(merged(&files)?, &files, base, &Shelf::of_texts(profiles))
    }

    /// SHA-256 of [`Config::effective`].
    pub fn digest(&self) -> firmware_verifier::Digest {
        self.effective.digest()
    }

    /// Whether every file that the configuration names is there, and a recording has its columns and something in
    /// them. Whether the others hold what they should is for their readers to say.
    pub fn find_files(&self) -> Result<(), ConfigError> {
        for Needed { at, table, key, path, columns } in &self.needed {
            let fail = |what: String| at.error(format!("{table} {key} {:?}: {what}", path.display()));
            match std::fs::metadata(path) {
                Ok(meta) if meta.is_file() => {}
                Ok(_) => return Err(fail("not a file".into())),
                Err(e) => return Err(fail(e.to_string())),
            }
            if let Some([time, column]) = columns {
                signal::recorded(path, time, column).map_err(fail)?;
            }
        }
        Ok(())
    }

    /// The controller with this id.
    pub fn plc(&self, id: &str) -> Option<&Plc> {
        self.plcs.iter().find(|p| p.slot.as_str() == id)
    }
}

fn merged(files: &[(String, String)]) -> Result<file::Whole, ConfigError> {
    let mut whole = file::Whole::default();
    for (name, text) in files {
        file::merge(&mut whole, name, text)?;
    }
    Ok(whole)
}

fn read(path: &Path) -> Result<(String, String), ConfigError> {
    let name = path.display().to_string();
    let fail = |what: String| ConfigError { file: name.clone(), what };
    let len = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
    if len > MAX_FILE {
        return Err(fail(format!("{len} bytes; a configuration file has at most {MAX_FILE}")));
    }
    // A device has no length of its own: what is read is bounded, whatever the entry says.
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|e| fail(e.to_string()))?;
    let read = std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_FILE + 1), &mut text);
    read.map_err(|e| fail(e.to_string()))?;
    match text.len() as u64 > MAX_FILE {
        true => Err(fail(format!("a configuration file has at most {MAX_FILE} bytes"))),
        false => Ok((name, text)),
    }
}

/// Whether a station address is one of `stations`; an empty list names all.
pub fn names_station(stations: &[IpAddr], station: IpAddr) -> bool {
    stations.is_empty() || stations.contains(&station)
}

/// Longest configuration file read.
const MAX_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests;
