//! What was found, as it leaves the process that looked.

use hal::reason::ReasonCode;
use serde::{Deserialize, Serialize};

/// Everything that was found in an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What it is packed in, in the order of looking.
    pub containers: Vec<Container>,
    /// What it is made of, by name and version.
    pub components: Vec<Found>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
    /// How many bytes the containers unpacked to.
    pub unpacked: u64,
    /// Files, links and folders.
    pub entries: u64,
}

impl Report {
    /// Whether a finding says that not everything was looked at.
    pub fn is_whole(&self) -> bool {
        !self.findings.iter().any(|f| f.leaves_out)
    }
}

/// Something that holds other things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Where it is.
    pub place: String,
    /// What it is, e.g. `SquashFS 4.0, xz`.
    pub what: String,
}

/// What is wrong with an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its reason.
    pub code: ReasonCode,
    /// Where; empty for the image itself.
    pub place: String,
    /// What was found, what was expected.
    pub text: String,
    /// Whether something was not looked at because of it.
    pub leaves_out: bool,
}

/// Kinds of components, as CycloneDX names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Runs by itself.
    Application,
    /// Is part of something that runs.
    Library,
    /// A kernel, or what a system calls itself.
    OperatingSystem,
    /// Runs before the system.
    Firmware,
}

impl Kind {
    /// Its word in CycloneDX.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Application => "application",
            Kind::Library => "library",
            Kind::OperatingSystem => "operating-system",
            Kind::Firmware => "firmware",
        }
    }
}

/// A component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its version, where there is a text that says it.
    pub version: Option<String>,
    /// Its kind.
    pub kind: Kind,
    /// Package URL.
    pub purl: Option<String>,
    /// CPE 2.3 name.
    pub cpe: Option<String>,
    /// How sure it is, in percent.
    pub confidence: u8,
    /// By what it was known.
    pub by: By,
    /// Where; the first ones.
    pub occurrences: Vec<Occurrence>,
}

/// By what a component is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A text in it.
    Text,
    /// A function that it defines.
    Symbol,
    /// The package manager's own list.
    Package,
}

/// One place where a component was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// The file or container; empty for the image itself.
    pub place: String,
    /// Bytes from its beginning.
    pub offset: u64,
    /// What stands there.
    pub evidence: String,
}
