//! The one connection to a controller: requests of many stations under transaction ids of our own.
//!
//! Ids ascend and are not reused before 65536 others, so a reply that comes after its time limit finds no
//! request and is dropped; it can never reach another station.

use std::collections::VecDeque;

use hal::clock::Mono;

use super::frame;
use super::session::Asked;

/// Bytes waiting for the controller beyond which no station is read.
pub(super) const MAX_OUTPUT: usize = 64 * 1024;

/// The connection to the controller.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) up: bool,
    /// When it last went down or came up.
    pub(super) since: Mono,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    waiting: VecDeque<Sent>,
    next_tid: u16,
    /// Requests under way at once.
    limit: usize,
    /// Replies in a row that did not come.
    pub(super) silences: u32,
    /// Replies that matched no request.
    pub(super) stale: u64,
}

/// A request on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    tid: u16,
    pub(super) unit: u8,
    pub(super) function: u8,
    pub(super) deadline: Mono,
    pub(super) from: From,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// A station's, by session number; `step`: part of a transfer.
    Station { session: usize, generation: u32, asked: Asked, step: bool },
    /// Our own identity poll.
    Poll,
    /// A register the gateway reads for itself.
    Watched,
    /// Our own delivery.
    Delivery,
    /// Our own abort of a refused transfer.
    Abort,
}

/// A reply that cannot belong to what was asked under its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confused;

impl Link {
    pub(super) fn new(limit: usize) -> Link {
        Link {
            up: false,
            since: Mono(0),
            input: Vec::new(),
            output: Vec::new(),
            waiting: VecDeque::new(),
            next_tid: 0,
            limit,
            silences: 0,
            stale: 0,
        }
    }

    /// Whether a station's request may be sent now.
    pub(super) fn has_room(&self) -> bool {
        self.up && self.waiting.len() < self.limit && self.output.len() < MAX_OUTPUT
    }

    /// Whether one of our own requests of this kind is under way.
    pub(super) fn is_waiting(&self, from: From) -> bool {
        self.waiting.iter().any(|s| s.from == from)
    }

    pub(super) fn send(&mut self, unit: u8, pdu: &[u8], deadline: Mono, from: From) {
        let tid = self.next_tid;
        self.next_tid = self.next_tid.wrapping_add(1);
        frame::append(&mut self.output, tid, unit, pdu);
        let function = pdu.first().copied().unwrap_or(0);
        self.waiting.push_back(Sent { tid, unit, function, deadline, from });
    }

    /// Finds whose reply this is. `Ok(None)`: nobody's, it came too late.
    pub(super) fn claim(&mut self, reply: &frame::Frame<'_>) -> Result<Option<Sent>, Confused> {
        let Some(place) = self.waiting.iter().position(|s| s.tid == reply.tid) else {
            self.stale += 1;
            return Ok(None);
        };
        let sent = self.waiting[place];
        if sent.unit != reply.unit || reply.pdu.first().map(|f| f & 0x7F) != Some(sent.function & 0x7F) {
            return Err(Confused);
        }
        self.silences = 0;
        self.waiting.remove(place);
        Ok(Some(sent))
    }

    /// When the next reply is due. A step of an update may take longer than a read.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.waiting.iter().map(|s| s.deadline).min()
    }

    /// Takes the requests whose reply is overdue.
    pub(super) fn overdue(&mut self, now: Mono) -> Vec<Sent> {
        let (late, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|s: &Sent| s.deadline <= now);
        self.waiting = waiting;
        let late: VecDeque<Sent> = late;
        self.silences += late.len() as u32;
        late.into()
    }

    /// The connection broke: everything under way is lost.
    pub(super) fn drop_all(&mut self, now: Mono) -> Vec<Sent> {
        self.up = false;
        self.since = now;
        self.silences = 0;
        self.input.clear();
        self.output.clear();
        std::mem::take(&mut self.waiting).into()
    }
}
