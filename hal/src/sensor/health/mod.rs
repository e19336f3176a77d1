//! The gateway's own health as samples: heat, throttling, supply, wear, shortage, network.
//!
//! What a machine does not have is not listed; what it has and cannot be read is a fault beside the values of
//! everything else. The parsers are pure; only [`Health`] reads, below a root that a test can choose.

mod heat;
mod network;
mod shortage;
mod supply;
mod wear;

use std::path::Path;

pub use network::{Interface, MAX_INTERFACES, parse_interfaces};
pub use shortage::{Pressure, Stall, parse_oom_kills, parse_pressure};
pub use wear::{Wear, parse_life_time, parse_pre_eol};

use super::{Block, Flaw, Quality, SourceError, Tree};
use crate::clock::Mono;

/// Most values of one reading; a machine with more is not read to its end.
pub const MAX_VITALS: usize = 1024;

/// What a value is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Degrees Celsius.
    Celsius,
    /// Hertz.
    Hertz,
    /// Volts.
    Volts,
    /// Amperes.
    Amperes,
    /// Percent.
    Percent,
    /// Seconds, counted up since the start of the machine.
    Seconds,
    /// Events, counted up since the start of the machine or of a driver.
    Count,
    /// A level that its name explains; 0 is none.
    Level,
}

/// One value of the gateway's health.
#[derive(Debug, Clone, PartialEq)]
pub struct Vital {
    /// What it is, in parts: `network.eth0.rx-errors`.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// One sample.
    pub block: Block,
}

/// Reads the machine.
#[derive(Debug, Clone)]
pub struct Health {
    sys: Tree,
    proc: Tree,
}

impl Health {
    /// Reads below `root`, which is `/` on a real machine.
    pub fn new(root: &Path) -> Health {
        Health { sys: Tree::new(root.join("sys")), proc: Tree::new(root.join("proc")) }
    }

    /// Appends what the machine has to `out`; what could not be read is returned. It takes some milliseconds.
    pub fn read(&self, now: Mono, out: &mut Vec<Vital>) -> Vec<SourceError> {
        let mut reading = Reading { at: now, out, faults: Vec::new(), room: MAX_VITALS };
        heat::read(&self.sys, &mut reading);
        supply::read(&self.sys, &mut reading);
        wear::read(&self.sys, &mut reading);
        shortage::read(&self.proc, &mut reading);
        network::read(&self.proc, &mut reading);
        reading.faults
    }
}

/// A reading under way.
struct Reading<'a> {
    at: Mono,
    out: &'a mut Vec<Vital>,
    faults: Vec<SourceError>,
    room: usize,
}

impl Reading<'_> {
    fn add(&mut self, name: String, unit: Unit, value: f64) {
        self.add_with(name, unit, value, Quality::Good);
    }

    fn add_with(&mut self, name: String, unit: Unit, value: f64, quality: Quality) {
        if let Some(room) = self.room.checked_sub(1) {
            self.room = room;
            let finite = if value.is_finite() { Quality::Good } else { Quality::Bad(Flaw::NotFinite) };
            self.out.push(Vital { name, unit, block: Block::single(self.at, value, quality.and(finite)) });
        }
    }

    /// What was read, or `None` after taking note of the fault.
    fn take<T: Default>(&mut self, read: Result<T, SourceError>) -> T {
        read.unwrap_or_else(|fault| {
            if self.faults.len() < MAX_VITALS {
                self.faults.push(fault);
            }
            T::default()
        })
    }

    /// Adds `path` of `tree` times `factor`, when it is there.
    fn number(&mut self, tree: &Tree, path: &str, name: impl FnOnce() -> String, unit: Unit, factor: f64) {
        if let Some(value) = self.take(tree.number(path)) {
            self.add(name(), unit, value * factor);
        }
    }
}

/// A driver's word for a device, as a part of a name: letters, digits, `-`, `_`, at most 40.
fn part(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    text.chars().take(40).map(plain).collect()
}
