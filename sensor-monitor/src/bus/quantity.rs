//! What is watched of a bus, and of whom.

use serde::{Deserialize, Serialize};

/// Whose behaviour it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Talker {
    /// The line as a whole.
    Line,
    /// The one that asks.
    Station,
    /// A unit that answers, by its address.
    Unit(u8),
}

impl std::fmt::Display for Talker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Talker::Line => f.write_str("line"),
            Talker::Station => f.write_str("station"),
            Talker::Unit(unit) => write!(f, "unit-{unit}"),
        }
    }
}

/// One number for each window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Logarithm of the median turnaround in seconds.
    Turnaround,
    /// Logarithm of the median of the longest gaps within answers, in seconds.
    Gap,
    /// How much longer than nominal the talker's bits are, ppm.
    Clock,
    /// Amplitude of the talker's frames, dB.
    Level,
    /// What its edges lack after the crossing ([`crate::estimate::level::settle`]), microseconds.
    Edge,
    /// Exception answers for each request.
    Exceptions,
    /// Broken frames for each request.
    Broken,
    /// Requests without an answer, for each request.
    Timeouts,
    /// Repeated requests, for each request.
    Retries,
    /// Logarithm of one more than the requests in the window.
    Polls,
    /// Share of the time that the line is busy.
    Load,
    /// Answers that nobody had asked for, in the window.
    Unasked,
}

/// How a quantity is treated.
struct Treatment {
    name: &'static str,
    unit: &'static str,
    /// Smallest spread that is believed: what the measurement itself can tell apart.
    resolution: f64,
    /// Smallest lasting change that is told.
    least: f64,
}

impl Quantity {
    const fn treatment(self) -> Treatment {
        let (name, unit, resolution, least) = match self {
            // Two bins of the histogram; a tenth is the least that an update or another device ever made.
            Quantity::Turnaround => ("turnaround", "ms", 0.02, 0.1),
            Quantity::Gap => ("gap", "ms", 0.05, 0.3),
            // A crystal's own drift over temperature is 20 ppm.
            Quantity::Clock => ("clock", "ppm", 10.0, 60.0),
            // A converter of 12 bits tells 0.02 dB apart on 1 V; connectors and temperature make a tenth.
            Quantity::Level => ("level", "dB", 0.02, 0.25),
            Quantity::Edge => ("edge", "us", 0.02, 0.1),
            Quantity::Exceptions => ("exceptions", "per request", 0.002, 0.01),
            Quantity::Broken => ("broken", "per request", 0.002, 0.01),
            Quantity::Timeouts => ("timeouts", "per request", 0.002, 0.01),
            Quantity::Retries => ("retries", "per request", 0.002, 0.01),
            Quantity::Polls => ("polls", "per window", 0.05, 0.25),
            Quantity::Load => ("load", "of the time", 0.005, 0.05),
            Quantity::Unasked => ("unasked", "per window", 0.05, 0.25),
        };
        Treatment { name, unit, resolution, least }
    }

    /// Its name in a signal's id.
    pub const fn name(self) -> &'static str {
        self.treatment().name
    }

    /// The unit in which it is shown.
    pub const fn unit(self) -> &'static str {
        self.treatment().unit
    }

    /// Smallest spread that is believed.
    pub const fn resolution(self) -> f64 {
        self.treatment().resolution
    }

    /// Smallest lasting change that is told.
    pub const fn least(self) -> f64 {
        self.treatment().least
    }

    /// Whether it is mostly zero, so that only its mean says something.
    pub const fn is_rate(self) -> bool {
        use Quantity::{Broken, Exceptions, Retries, Timeouts, Unasked};
        matches!(self, Exceptions | Broken | Timeouts | Retries | Unasked)
    }

    /// Whether new firmware may not change it: levels and edges belong to transmitter, cable and termination.
    pub const fn outlasts_update(self) -> bool {
        matches!(self, Quantity::Level | Quantity::Edge)
    }

    /// Value and spread as people read them.
    pub fn shown(self, value: f64, spread: f64) -> (f64, f64) {
        match self {
            Quantity::Turnaround | Quantity::Gap => {
                let milliseconds = value.exp() * 1e3;
                (milliseconds, milliseconds * spread)
            }
            Quantity::Polls => (value.exp_m1(), value.exp() * spread),
            _ => (value, spread),
        }
    }
}
