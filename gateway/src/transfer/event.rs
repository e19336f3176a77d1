//! The words between a protocol, the engine and the judge.

use std::net::IpAddr;

use hal::reason::ReasonCode;

use super::image::Released;

/// Number of a case; printed `C-000123`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseId(pub u64);

impl std::fmt::Display for CaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "C-{:06}", self.0)
    }
}

/// Reads `C-000123`, `c-123` or `123`.
impl std::str::FromStr for CaseId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<CaseId, Self::Err> {
        text.trim_start_matches(['C', 'c']).trim_start_matches('-').parse().map(CaseId)
    }
}

/// Who asks: a station by its address, so that a tool may open a new connection for each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Station(pub IpAddr);

impl std::fmt::Display for Station {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What to do with one step of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Forward it to the controller.
    Pass,
    /// Answer it in the controller's name; nothing is forwarded.
    Acknowledge,
    /// Keep it and ask again when the engine has news.
    Hold,
    /// Refuse it in the protocol's own words.
    Refuse(Refusal),
}

/// Why something does not pass: code, what was found, what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub code: ReasonCode,
    /// The case, where one is open.
    pub case: Option<CaseId>,
    /// What was found.
    pub found: String,
    /// What would have passed.
    pub expected: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: found {}, expected {}", self.code, self.found, self.expected)
    }
}

/// What the engine asks of the judge. Every question but [`Question::End`] gets one [`Answer`].
#[derive(Debug)]
pub enum Question {
    /// A station announced an image: open a case and say what has been released for this controller.
    Open {
        /// Who.
        station: Station,
        /// Announced size in bytes, where the protocol has one.
        declared: Option<u64>,
        /// Only watching: the answer changes nothing on the wire.
        observe: bool,
    },
    /// Every byte has arrived and equals a released image: may the commit pass?
    Commit {
        /// The case.
        case: CaseId,
        /// SHA-256 of the released image.
        digest: firmware_verifier::Digest,
    },
    /// The whole image is here: is it released?
    Judge {
        /// The case.
        case: CaseId,
        /// The image.
        image: Vec<u8>,
        /// Only watching: the answer changes nothing on the wire.
        observe: bool,
    },
    /// Delivery begins: write it down and use up one release.
    Start {
        /// The case.
        case: CaseId,
        /// The image.
        digest: firmware_verifier::Digest,
    },
    /// The next frame destroys the old firmware: write it down first.
    PastNoReturn {
        /// The case.
        case: CaseId,
    },
    /// The transfer is over.
    End {
        /// The case.
        case: CaseId,
        /// How.
        outcome: Outcome,
        /// What was received of a refused image, for quarantine.
        image: Option<Vec<u8>>,
    },
}

/// What the judge says.
#[derive(Debug)]
pub enum Answer {
    /// The case is open; these images may be delivered.
    Opened {
        /// The case.
        case: CaseId,
        /// Released for this controller and station, now.
        released: Vec<Released>,
    },
    /// The commit may pass.
    Commit,
    /// The image is released: deliver it.
    Deliver(Released),
    /// Written down: go on.
    Recorded,
    /// No.
    Refused(Refusal),
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The commit was accepted by the controller, or delivery finished.
    Delivered,
    /// The image is verified and stored but was not delivered: the station did not wait.
    Ready(String),
    /// Refused.
    Refused(Refusal),
    /// Given up before anything took effect.
    Aborted(AbortReason),
}

/// Why a transfer was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortReason {
    /// The station said so.
    Station,
    /// The station went away or stopped sending.
    StationSilent,
    /// The controller went away.
    ControllerSilent,
    /// A new transfer was begun.
    Replaced,
    /// The gate shut.
    GateShut,
}

impl std::fmt::Display for AbortReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AbortReason::Station => "the station aborted it",
            AbortReason::StationSilent => "the station went silent",
            AbortReason::ControllerSilent => "the controller went silent",
            AbortReason::Replaced => "the station began another one",
            AbortReason::GateShut => "the gate shut",
        })
    }
}
