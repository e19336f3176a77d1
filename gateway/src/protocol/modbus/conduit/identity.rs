//! Asking the controller who it is: regularly, and after every update.

use std::time::Duration;

use hal::clock::Mono;

use crate::protocol::modbus::deliver::identify_request;
use crate::protocol::modbus::pdu::registers;
use crate::protocol::modbus::profile::{Identity, Profile};
use crate::transfer::event::CaseId;

/// What a controller says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControllerSays {
    /// FC 43/14 objects 0, 1 and 2.
    Identification {
        /// VendorName.
        vendor: String,
        /// ProductCode.
        product: String,
        /// MajorMinorRevision.
        revision: String,
    },
    /// The profile's identity registers.
    Registers(Vec<u16>),
    /// It did not tell in time.
    Nothing,
}

impl ControllerSays {
    /// Reads a reply to [`request`]; `None` for an exception or a reply that makes no sense.
    pub(super) fn from_reply(pdu: &[u8]) -> Option<ControllerSays> {
        if let Some(words) = registers(pdu) {
            return Some(ControllerSays::Registers(words));
        }
        // V1.1b3 §6.21: MEI type, read code, conformity, more follows, next object, count, objects.
        let [43, 0x0E, _, _, _, _, count, objects @ ..] = pdu else { return None };
        let mut objects = objects;
        let (mut vendor, mut product, mut revision) = (String::new(), String::new(), String::new());
        for _ in 0..*count {
            let [id, len, rest @ ..] = objects else { return None };
            let (text, rest) = rest.split_at_checked(usize::from(*len))?;
            let text: String = text
                .iter()
                .map(|b| if b.is_ascii_graphic() || *b == b' ' { *b as char } else { '?' })
                .collect();
            match id {
                0 => vendor = text,
                1 => product = text,
                2 => revision = text,
                _ => {}
            }
            objects = rest;
        }
        Some(ControllerSays::Identification { vendor, product, revision })
    }
}

/// The request that asks for it.
pub(super) fn request(profile: &Profile) -> Vec<u8> {
    match profile.identity {
        Identity::DeviceIdentification => identify_request(),
        Identity::Registers { table, register, count } => {
            let ([r1, r2], [c1, c2]) = (register.to_be_bytes(), count.to_be_bytes());
            vec![table.function(), r1, r2, c1, c2]
        }
    }
}

/// When to ask, and for which case.
#[derive(Debug)]
pub(super) struct Poll {
    every: Option<Duration>,
    due: Option<Mono>,
    /// What is to be read back after an update.
    after: Option<ReadBack>,
    /// The last reading.
    last: Option<ControllerSays>,
    /// The case whose commit is on its way.
    pub(super) committing: Option<CaseId>,
    /// When the running delivery wants to go on.
    pub(super) delivery_wake: Option<Mono>,
    /// The judge has been asked to record the point of no return.
    pub(super) asked_no_return: bool,
}

impl Poll {
    pub(super) fn new(every: Option<Duration>, now: Mono) -> Poll {
        Poll {
            every,
            due: every.map(|_| now),
            after: None,
            last: None,
            committing: None,
            delivery_wake: None,
            asked_no_return: false,
        }
    }

    pub(super) fn due(&self) -> Option<Mono> {
        self.due
    }

    pub(super) fn is_due(&self, now: Mono) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub(super) fn soon(&mut self, now: Mono) {
        self.due = Some(now);
    }

    pub(super) fn sent(&mut self, now: Mono) {
        // The next one is set by the reply; this is for a reply that gets lost with the connection.
        self.due = Some(now + self.every.unwrap_or(READ_BACK) + READ_BACK);
    }

    pub(super) fn put_off(&mut self, now: Mono) {
        self.due = Some(now + READ_BACK);
    }

    /// Reads back after `case`, until `boot` has passed. `running`: the controller is known to run the new
    /// image already; otherwise what it says before it restarts may still be the old identity.
    pub(super) fn after(&mut self, case: CaseId, now: Mono, boot: Duration, running: bool) {
        self.after = Some(ReadBack { case, until: now + boot, running });
        self.due = Some(now + READ_BACK);
    }

    /// Whether the identity is being read back for a case.
    pub(super) fn is_reading_back(&self) -> bool {
        self.after.is_some()
    }

    /// The connection to the controller broke: after an update that is its restart.
    pub(super) fn disconnected(&mut self) {
        if let Some(after) = &mut self.after {
            after.running = true;
        }
    }

    /// A reply, or its absence: what to report, if anything. The first reading after a start is reported as
    /// any other: whether it is what an update has made of the controller, the judge knows, who knows the
    /// reading before.
    pub(super) fn replied(
        &mut self,
        says: Option<ControllerSays>,
        now: Mono,
    ) -> Option<(Option<CaseId>, ControllerSays)> {
        let Some(after) = self.after else {
            self.due = self.every.map(|every| now + every);
            self.last = says.clone().or(self.last.take());
            return says.map(|says| (None, says));
        };
        let first = self.last.is_none();
        let changed = says.is_some() && !first && says != self.last;
        if now < after.until && !changed && !(says.is_some() && after.running) {
            self.due = Some(now + READ_BACK);
            self.last = says.clone().or(self.last.take());
            return says.filter(|_| first).map(|says| (None, says));
        }
        self.after = None;
        self.due = self.every.map(|every| now + every);
        self.last = says.clone().or(self.last.take());
        Some((Some(after.case), says.unwrap_or(ControllerSays::Nothing)))
    }
}

/// An identity to be read back.
#[derive(Debug, Clone, Copy)]
struct ReadBack {
    case: CaseId,
    until: Mono,
    /// What the controller says now is said by the new firmware.
    running: bool,
}

/// Pause between two tries to read the identity back.
const READ_BACK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(revision: u16) -> Option<ControllerSays> {
        Some(ControllerSays::Registers(vec![revision]))
    }

    #[test]
    fn the_old_identity_said_before_the_restart_is_no_read_back() {
        let (case, boot) = (CaseId(1), Duration::from_secs(30));
        let mut poll = Poll::new(None, Mono(0));
        assert_eq!(poll.replied(revision(1), Mono(0)).map(|(case, _)| case), Some(None));
        poll.after(case, Mono(0), boot, false);
        assert_eq!(poll.replied(revision(1), Mono(1)), None, "still the old firmware");
        assert_eq!(poll.replied(None, Mono(2)), None, "restarting");
        assert_eq!(poll.replied(revision(2), Mono(3)).map(|(case, _)| case), Some(Some(case)));

        poll.after(case, Mono(4), boot, false);
        poll.disconnected();
        assert!(poll.replied(revision(2), Mono(5)).is_some(), "the same identity, but after a restart");

        let mut fresh = Poll::new(None, Mono(5));
        fresh.after(case, Mono(5), boot, false);
        assert_eq!(
            fresh.replied(revision(1), Mono(5)).map(|(case, _)| case),
            Some(None),
            "perhaps the old one"
        );
        assert_eq!(fresh.replied(revision(1), Mono(6)), None, "said once");
        assert_eq!(fresh.replied(revision(2), Mono(7)).map(|(case, _)| case), Some(Some(case)));

        poll.after(case, Mono(6), boot, false);
        let late = Mono(6) + boot;
        assert!(poll.replied(revision(2), late).is_some(), "never changed, never restarted: said at the end");
        poll.after(case, late, boot, true);
        assert_eq!(poll.replied(None, late + boot), Some((Some(case), ControllerSays::Nothing)));
    }

    #[test]
    fn an_identification_reply_is_read_and_a_cut_one_is_not() {
        let mut pdu = vec![43, 0x0E, 1, 1, 0, 0, 3];
        for (id, text) in [(0u8, "Acme"), (1, "PX-200"), (2, "2.1")] {
            pdu.extend_from_slice(&[id, text.len() as u8]);
            pdu.extend_from_slice(text.as_bytes());
        }
        let says = ControllerSays::Identification {
            vendor: "Acme".into(),
            product: "PX-200".into(),
            revision: "2.1".into(),
        };
        assert_eq!(ControllerSays::from_reply(&pdu), Some(says));
        for cut in 7..pdu.len() {
            assert_eq!(ControllerSays::from_reply(&pdu[..cut]), None, "{cut} bytes");
        }
        assert_eq!(ControllerSays::from_reply(&[0xAB, 1]), None);
    }
}
