//! The control block of the generic controllers: begin with a length, commit, abort, status.
//!
//! Registers from its base: +0 command (1 begin, 2 commit, 3 abort), +1 and +2 the announced length when
//! it begins, +3 status (0 running, 1 open, 2 receiving, 3 busy, 4 success, 5 failed).

use std::time::Duration;

use hal::clock::Mono;

use super::{Access, DEVICE_FAILURE, ILLEGAL_ADDRESS, ILLEGAL_VALUE, MAX_BANK, Outcome, Then};

#[derive(Debug)]
pub(super) struct Control {
    base: u16,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle,
    /// One flag for each byte that has arrived.
    Open(Vec<bool>),
    Failed,
    Committed(Mono),
}

impl Control {
    pub(super) fn at(base: u16) -> Control {
        Control { base, state: State::Idle }
    }

    pub(super) fn write(&mut self, register: u16, data: &[u8], access: Access<'_>) -> Option<Outcome> {
        let command = register == self.base;
        let inside = (self.base..self.base + 4).contains(&register);
        match data {
            [0, 1, l1, l2, l3, l4] if command => {
                Some(self.begin(u32::from_be_bytes([*l1, *l2, *l3, *l4]), access))
            }
            [0, 2] if command => Some(self.commit(access)),
            [0, 3] if command => {
                self.state = State::Idle;
                Some(Ok(Then::Reply))
            }
            _ if inside => Some(Err(Then::Refuse(ILLEGAL_VALUE))),
            _ => None,
        }
    }

    pub(super) fn status(&self, input: bool, register: u16, now: Mono) -> Option<u16> {
        if input || register != self.base + 3 {
            return None;
        }
        Some(match &self.state {
            State::Idle => 0,
            State::Open(seen) if !seen.contains(&true) => 1,
            State::Open(_) => 2,
            State::Committed(at) if now.since(*at) < CHECKING => 3,
            State::Committed(_) => 4,
            State::Failed => 5,
        })
    }

    /// Image bytes. What lies past the announced length is the fill of a last block and is dropped.
    pub(super) fn store(&mut self, offset: usize, data: &[u8], access: Access<'_>) -> Outcome {
        let State::Open(seen) = &mut self.state else { return Err(Then::Refuse(ILLEGAL_ADDRESS)) };
        if offset >= seen.len() {
            return Err(Then::Refuse(ILLEGAL_ADDRESS));
        }
        let end = seen.len().min(offset + data.len());
        access.flash.write(offset, &data[..end - offset])?;
        seen[offset..end].fill(true);
        Ok(Then::Reply)
    }

    pub(super) fn reset(&mut self) {
        self.state = State::Idle;
    }

    fn begin(&mut self, len: u32, access: Access<'_>) -> Outcome {
        let len = len as usize;
        if len == 0 || len > MAX_BANK {
            return Err(Then::Refuse(ILLEGAL_VALUE));
        }
        self.state = State::Idle;
        access.flash.erase()?;
        self.state = State::Open(vec![false; len]);
        Ok(Then::Reply)
    }

    fn commit(&mut self, access: Access<'_>) -> Outcome {
        match &self.state {
            State::Open(seen) if seen.contains(&false) => {
                self.state = State::Failed;
                Err(Then::Refuse(DEVICE_FAILURE))
            }
            State::Open(seen) => {
                access.flash.seal(seen.len())?;
                access.flash.activate()?;
                self.state = State::Committed(access.now);
                Ok(Then::ReplyAndBoot(RESTART))
            }
            State::Committed(_) => Ok(Then::Reply),
            State::Idle | State::Failed => Err(Then::Refuse(DEVICE_FAILURE)),
        }
    }
}

/// How long the status stays busy after a commit.
const CHECKING: Duration = Duration::from_millis(100);
/// How long it shows success before the controller restarts.
const RESTART: Duration = Duration::from_millis(400);
