//! Levels by talker: each transmitter on a bus has its own, and a change names its address.

use super::bus::Level;

/// Addresses on a bus (one byte).
pub const TALKERS: usize = 256;

/// What is known of one talker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Talker {
    /// The last good level.
    pub last: Level,
    /// Good frames seen.
    pub frames: u64,
    /// Mean of their levels, dB.
    pub mean_db: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

impl Talker {
    /// Standard deviation of the levels, dB; 0 for one frame.
    pub fn deviation_db(&self) -> f64 {
        if self.frames < 2 { 0.0 } else { (self.squares / (self.frames - 1) as f64).sqrt() }
    }
}

/// The talkers of one bus.
#[derive(Debug, Clone)]
pub struct Talkers {
    known: Vec<Option<Talker>>,
}

impl Default for Talkers {
    fn default() -> Self {
        Talkers { known: vec![None; TALKERS] }
    }
}

impl Talkers {
    /// Adds one frame of `address`; the distance of its level from the mean before it, dB. `None` for the
    /// first frame of a talker and for a level that is not good, which changes nothing.
    pub fn push(&mut self, address: u8, level: Level) -> Option<f64> {
        if !level.quality.is_good() {
            return None;
        }
        let slot = &mut self.known[usize::from(address)];
        let Some(talker) = slot else {
            *slot = Some(Talker { last: level, frames: 1, mean_db: level.decibels, squares: 0.0 });
            return None;
        };
        let away = level.decibels - talker.mean_db;
        talker.last = level;
        talker.frames += 1;
        talker.mean_db += away / talker.frames as f64;
        talker.squares += away * (level.decibels - talker.mean_db);
        Some(away)
    }

    /// What is known of `address`.
    pub fn get(&self, address: u8) -> Option<&Talker> {
        self.known[usize::from(address)].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use hal::sensor::{Flaw, Quality};

    use super::*;

    #[test]
    fn each_talker_has_its_own_level() {
        let level = |decibels: f64, quality| Level {
            mark: -1.0,
            space: 1.0,
            amplitude: 1.0,
            decibels,
            common: None,
            idle: None,
            edges: None,
            quality,
        };
        let mut talkers = Talkers::default();
        assert_eq!(talkers.push(1, level(0.0, Quality::Good)), None);
        assert_eq!(talkers.push(2, level(-6.0, Quality::Good)), None);
        assert_eq!(talkers.push(1, level(-2.0, Quality::Good)), Some(-2.0));
        assert_eq!(talkers.push(1, level(40.0, Quality::Bad(Flaw::NotFinite))), None);
        let one = talkers.get(1).unwrap();
        assert_eq!((one.frames, one.mean_db), (2, -1.0));
        assert!((one.deviation_db() - 2_f64.sqrt()).abs() < 1e-12);
        assert_eq!(talkers.get(2).unwrap().deviation_db(), 0.0);
        assert!(talkers.get(3).is_none());
    }
}
