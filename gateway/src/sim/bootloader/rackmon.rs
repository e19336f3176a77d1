//! OCP ORv3 battery units, as OpenBMC's rackmon updater sees them.
//!
//! 0x300 unlock, 0x301 enter, 0x302 status (00 normal, 01 entered, 06 block taken, 18 wait, 55 failed, AA
//! success), 0x303 verify, 0x304 exit, blocks at 0x310, each the next. Entering wipes the one bank; entering
//! again starts over. Nothing tells the unit how long its image is: it takes what it got.

use std::time::Duration;

use firmware_verifier::Digest;
use hal::clock::Mono;

use super::{
    Access, DEVICE_FAILURE, ILLEGAL_ADDRESS, ILLEGAL_VALUE, Loader, MAX_BANK, Mode, Outcome, Then,
    identity_word,
};

#[derive(Debug)]
pub(super) struct Rackmon {
    enter: u16,
    block: usize,
    unlocked: bool,
    next: usize,
    status: u16,
    verified: Option<Mono>,
}

impl Rackmon {
    pub(super) fn new(enter: u16, block: usize) -> Rackmon {
        Rackmon { enter, block, unlocked: false, next: 0, status: ENTERED, verified: None }
    }

    fn enter(&mut self, access: Access<'_>) -> Outcome {
        if !std::mem::take(&mut self.unlocked) {
            return Err(Then::Refuse(ILLEGAL_VALUE));
        }
        access.flash.erase()?;
        self.reset();
        Ok(if access.mode == Mode::Application { Then::Enter } else { Then::Reply })
    }

    fn block(&mut self, data: &[u8], access: Access<'_>) -> Outcome {
        if data.len() != self.block || self.verified.is_some() {
            return Err(Then::Refuse(ILLEGAL_VALUE));
        }
        if self.next + data.len() > MAX_BANK {
            return Err(Then::Refuse(DEVICE_FAILURE));
        }
        access.flash.write(self.next, data)?;
        self.next += data.len();
        self.status = TAKEN;
        Ok(Then::Reply)
    }

    fn verify(&mut self, access: Access<'_>) -> Outcome {
        if self.next == 0 {
            self.status = FAILED;
        } else if self.verified.is_none() {
            access.flash.seal(self.next)?;
            self.verified = Some(access.now);
        }
        Ok(Then::Reply)
    }
}

impl Loader for Rackmon {
    fn write(&mut self, function: u8, register: u16, data: &[u8], access: Access<'_>) -> Option<Outcome> {
        let boot = access.mode == Mode::Bootloader;
        Some(match (register, data) {
            (0x300, [0x55, 0xAA]) => {
                self.unlocked = true;
                Ok(Then::Reply)
            }
            (0x301, _) if *data == self.enter.to_be_bytes() => self.enter(access),
            (0x303, [0x55, 0xAA]) if boot => self.verify(access),
            (0x304, [0x55, 0xAA]) if boot => Ok(Then::Boot),
            (0x310, _) if boot && function == 16 => self.block(data, access),
            (0x300..=0x33F, _) => Err(Then::Refuse(if boot { ILLEGAL_VALUE } else { ILLEGAL_ADDRESS })),
            _ => return None,
        })
    }

    fn read(
        &self,
        input: bool,
        register: u16,
        mode: Mode,
        now: Mono,
        running: Option<Digest>,
    ) -> Option<u16> {
        match (input, register, mode, self.verified) {
            (false, 56..=59, Mode::Application, _) => identity_word(running, register - 56),
            (false, 0x302, Mode::Application, _) => Some(NORMAL),
            (false, 0x302, Mode::Bootloader, Some(at)) if now.since(at) < CHECKING => Some(WAIT),
            (false, 0x302, Mode::Bootloader, Some(_)) => Some(SUCCESS),
            (false, 0x302, Mode::Bootloader, None) => Some(self.status),
            _ => None,
        }
    }

    fn reset(&mut self) {
        *self = Rackmon::new(self.enter, self.block);
    }
}

const NORMAL: u16 = 0x00;
const ENTERED: u16 = 0x01;
const TAKEN: u16 = 0x06;
const WAIT: u16 = 0x18;
const FAILED: u16 = 0x55;
const SUCCESS: u16 = 0xAA;
/// A real unit takes 10 to 90 s.
const CHECKING: Duration = Duration::from_millis(500);
