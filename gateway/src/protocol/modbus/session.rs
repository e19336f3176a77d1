//! One station's connection: what it sent, what it is owed, and in which order.
//!
//! Replies leave in the order of the requests, whoever gives them: a reply that comes early waits behind
//! those before it. Everything here is bounded by [`MAX_PIPELINE`] and [`MAX_INPUT`].

use std::collections::VecDeque;

use super::frame;
use crate::transfer::event::Station;

/// Requests of one connection under way at once (Implementation Guide V1.0b §4.3.2: 1 to 16).
pub(super) const MAX_PIPELINE: usize = 16;
/// Bytes of one connection not yet looked at; beyond it the socket is not read.
pub(super) const MAX_INPUT: usize = 8 * 1024;

/// A station's connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) station: Station,
    pub(super) input: Vec<u8>,
    /// How much of `input` has been taken.
    pub(super) taken: usize,
    pub(super) output: Vec<u8>,
    pub(super) held: Option<Held>,
    owed: VecDeque<Owed>,
    /// Number of the oldest request in `owed`.
    first: u64,
    /// It broke the protocol: what it is owed goes out, then it closes.
    pub(super) broken: bool,
}

/// A request that waits for a decision.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) request: Asked,
    pub(super) pdu: Vec<u8>,
    /// The engine has seen it: what it says next is about this step.
    pub(super) seen: bool,
}

/// Which request of a session, and how its reply must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) tid: u16,
    pub(super) unit: u8,
}

#[derive(Debug)]
enum Owed {
    Waiting,
    /// Whole ADU, not yet its turn.
    Ready(Vec<u8>),
    /// The standard defines no reply.
    Nothing,
}

impl Session {
    pub(super) fn new(station: Station) -> Session {
        Session {
            station,
            input: Vec::new(),
            taken: 0,
            output: Vec::new(),
            held: None,
            owed: VecDeque::new(),
            first: 0,
            broken: false,
        }
    }

    /// Whether another request may be taken from it.
    pub(super) fn may_ask(&self) -> bool {
        self.held.is_none() && !self.broken && self.owed.len() < MAX_PIPELINE
    }

    /// Whether it has sent more than has been taken, and may be asked for it.
    pub(super) fn has_more(&self) -> bool {
        self.taken < self.input.len() && self.may_ask()
    }

    /// Whether it is to be closed now: it broke the protocol and is owed nothing any more.
    pub(super) fn is_over(&self) -> bool {
        self.broken && self.owed.is_empty()
    }

    /// Opens a place for the reply to a request just taken.
    pub(super) fn ask(&mut self, tid: u16, unit: u8) -> Asked {
        self.owed.push_back(Owed::Waiting);
        Asked { number: self.first + self.owed.len() as u64 - 1, tid, unit }
    }

    /// Gives the reply to a request; it leaves when its turn comes.
    pub(super) fn reply(&mut self, request: Asked, pdu: &[u8]) {
        if request.number == self.first && matches!(self.owed.front(), Some(Owed::Waiting)) {
            self.owed.pop_front();
            self.first += 1;
            frame::append(&mut self.output, request.tid, request.unit, pdu);
            return self.flush();
        }
        let mut adu = Vec::with_capacity(frame::HEADER + pdu.len());
        frame::append(&mut adu, request.tid, request.unit, pdu);
        self.settle(request, Owed::Ready(adu));
    }

    /// Says that a request gets no reply.
    pub(super) fn no_reply(&mut self, request: Asked) {
        self.settle(request, Owed::Nothing);
        self.flush();
    }

    fn settle(&mut self, request: Asked, what: Owed) {
        let Some(place) = request.number.checked_sub(self.first) else { return };
        if let Some(owed @ Owed::Waiting) = self.owed.get_mut(place as usize) {
            *owed = what;
        }
    }

    fn flush(&mut self) {
        while let Some(Owed::Ready(_) | Owed::Nothing) = self.owed.front() {
            if let Some(Owed::Ready(adu)) = self.owed.pop_front() {
                self.output.extend_from_slice(&adu);
            }
            self.first += 1;
        }
    }

    /// Drops the bytes already taken.
    pub(super) fn compact(&mut self) {
        if self.taken == self.input.len() {
            self.input.clear();
        } else {
            self.input.drain(..self.taken);
        }
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn replies_leave_in_the_order_of_the_requests() {
        let mut s = Session::new(Station(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let (a, b, c) = (s.ask(10, 1), s.ask(11, 1), s.ask(12, 1));
        s.reply(c, &[3, 0]);
        s.reply(b, &[2, 0]);
        assert!(s.output.is_empty(), "the first is still owed");
        s.reply(a, &[1, 0]);
        let order: Vec<u8> = s.output.chunks(9).map(|adu| adu[1]).collect();
        assert_eq!(order, [10, 11, 12]);
    }

    #[test]
    fn a_request_without_reply_does_not_block_the_next() {
        let mut s = Session::new(Station(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let (a, b) = (s.ask(1, 0), s.ask(2, 1));
        s.reply(b, &[3, 0]);
        s.no_reply(a);
        assert_eq!(s.output[1], 2);
        s.reply(b, &[3, 0]);
        assert_eq!(s.output.len(), 9, "a second reply to one request goes nowhere");
    }
}
