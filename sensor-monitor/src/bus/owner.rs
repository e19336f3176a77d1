//! Who speaks when: the gate for an analogue front-end, from what the observer saw.

use hal::clock::Mono;
use hal::sensor::serial_line::{Event, Line, Seen};

use super::quantity::Talker;

/// Characters at the end of a request that are certainly the station's: the shortest frame (Modbus over Serial
/// Line V1.02 §2.5.1: unit, function, CRC).
const SHORTEST: u64 = 4;

/// A stretch of time that belongs to one talker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Who spoke.
    pub talker: Talker,
    /// From when.
    pub from: Mono,
    /// Until when.
    pub to: Mono,
}

/// Follows the conversation of one line.
#[derive(Debug, Clone)]
pub struct Owners {
    character_ns: u64,
    asked: Option<Mono>,
}

impl Owners {
    /// Nothing was seen yet.
    pub fn new(line: &Line) -> Owners {
        Owners { character_ns: line.character_ns(), asked: None }
    }

    /// The stretch that an event proves. Only whole frames prove one: of a broken frame nobody knows who sent it.
    pub fn event(&mut self, event: &Event) -> Option<Owned> {
        match (event.seen, event.unit) {
            (Seen::Request { .. }, _) => {
                self.asked = Some(event.at);
                let from = Mono(event.at.0.saturating_sub(self.character_ns.saturating_mul(SHORTEST)));
                Some(Owned { talker: Talker::Station, from, to: event.at })
            }
            (Seen::Turnaround(ns), Some(unit)) => {
                let from = Mono(self.asked.take()?.0.saturating_add(ns));
                (from < event.at).then_some(Owned { talker: Talker::Unit(unit), from, to: event.at })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_belongs_to_its_unit_from_its_first_character_on() {
        let line = Line { baud: 10_000, bits: 10, slack: Duration::ZERO };
        let mut owners = Owners::new(&line);
        let event = |at, seen| Event { at: Mono(at), unit: Some(7), seen };
        let millis = 1_000_000;
        assert_eq!(owners.event(&event(5 * millis, Seen::Turnaround(1))), None, "nobody had asked");
        let request = owners.event(&event(10 * millis, Seen::Request { function: 3 })).unwrap();
        assert_eq!((request.talker, request.from), (Talker::Station, Mono(6 * millis)));
        let answer = owners.event(&event(40 * millis, Seen::Turnaround(20 * millis))).unwrap();
        assert_eq!(
            (answer.talker, answer.from, answer.to),
            (Talker::Unit(7), Mono(30 * millis), Mono(40 * millis))
        );
        assert_eq!(owners.event(&event(50 * millis, Seen::Turnaround(u64::MAX))), None);
    }
}
