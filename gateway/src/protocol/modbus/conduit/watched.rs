//! Registers that the gateway reads for itself: what the controller says of a measured quantity.
//!
//! One at a time, in turn, and only while no update is on its way. They share the one connection to the
//! controller with the stations; a missed read is not repeated.

use std::time::Duration;

use hal::clock::Mono;

/// One register, and how often it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// 3: holding register, 4: input register.
    pub function: u8,
    /// Address on the wire.
    pub address: u16,
    /// Time between two reads.
    pub every: Duration,
}

/// The registers of one conduit.
#[derive(Debug, Default)]
pub(super) struct Registers {
    list: Vec<(Watched, Mono)>,
    asked: usize,
}

impl Registers {
    /// The first reads are due at `now`.
    pub(super) fn new(watched: Vec<Watched>, now: Mono) -> Registers {
        Registers { list: watched.into_iter().take(MAX_WATCHED).map(|w| (w, now)).collect(), asked: 0 }
    }

    /// When the next read is due.
    pub(super) fn due(&self) -> Option<Mono> {
        self.list.iter().map(|(_, due)| *due).min()
    }

    /// The request that is due, if one is.
    pub(super) fn request(&mut self, now: Mono) -> Option<[u8; 5]> {
        let first = (0..self.list.len()).min_by_key(|n| self.list[*n].1)?;
        let (watched, due) = &mut self.list[first];
        if *due > now {
            return None;
        }
        // What was missed is missed: the rhythm begins anew from here.
        let next = *due + watched.every;
        *due = if next > now { next } else { now + watched.every };
        self.asked = first;
        let [a1, a2] = watched.address.to_be_bytes();
        Some([watched.function, a1, a2, 0, 1])
    }

    /// Nothing can be read now; every read that is due waits for a while.
    pub(super) fn put_off(&mut self, now: Mono) {
        for (_, due) in &mut self.list {
            *due = (*due).max(now + PAUSE);
        }
    }

    /// The number of the register that a reply belongs to.
    pub(super) fn asked(&self) -> usize {
        self.asked
    }
}

/// Most registers read of one controller.
pub const MAX_WATCHED: usize = 64;
/// Pause while an update is on its way or the controller is gone.
const PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(address: u16, ms: u64) -> Watched {
        Watched { function: 4, address, every: Duration::from_millis(ms) }
    }

    #[test]
    fn registers_are_read_in_turn_and_missed_reads_are_not_made_up_for() {
        let at = |ms: u64| Mono(ms * 1_000_000);
        let mut registers = Registers::new(vec![watched(10, 100), watched(20, 300)], at(0));
        let mut read = |ms: u64| registers.request(at(ms)).map(|pdu| (pdu[2], registers.asked()));
        assert_eq!(read(0), Some((10, 0)));
        assert_eq!(read(0), Some((20, 1)));
        assert_eq!(read(50), None);
        assert_eq!(read(100), Some((10, 0)));
        assert_eq!(read(1000), Some((10, 0)), "late");
        assert_eq!(read(1000), Some((20, 1)));
        assert_eq!(read(1099), None, "what was missed is not made up for");
        assert_eq!(read(1100), Some((10, 0)));
        assert!(Registers::new(vec![], at(0)).due().is_none(), "no registers, nothing to wake for");
    }
}
