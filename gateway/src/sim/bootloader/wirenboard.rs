//! Wiren Board modules: a 32-byte info block at 0x1000, then 136-byte blocks at 0x2000, words swapped.
//!
//! The vendor's info block is signed and secret; here its first four bytes are the length of the data that
//! follows it, little endian, which is our own convention. The info block wipes the one bank. With the last
//! byte the module takes the image as whole and starts it. Without an info block it waits 120 s, 2 s after
//! power-up, then starts what is in flash, if that is whole.

use std::time::Duration;

use firmware_verifier::Digest;
use hal::clock::Mono;

use super::{
    Access, DEVICE_FAILURE, ILLEGAL_ADDRESS, ILLEGAL_VALUE, Loader, MAX_BANK, Mode, Outcome, Then,
    identity_word,
};

#[derive(Debug, Default)]
pub(super) struct WirenBoard {
    /// Bytes of the whole image, info block and data, and the next one.
    expecting: Option<(usize, usize)>,
    leaves_at: Option<Mono>,
    tampered: bool,
}

impl WirenBoard {
    fn info(&mut self, data: &[u8], access: Access<'_>) -> Outcome {
        let info = unswap(data);
        let [l1, l2, l3, l4, ..] = info[..] else { return Err(Then::Refuse(ILLEGAL_VALUE)) };
        let len = u32::from_le_bytes([l1, l2, l3, l4]) as usize;
        if info.len() != INFO || len == 0 || len > MAX_BANK {
            return Err(Then::Refuse(DEVICE_FAILURE));
        }
        (self.expecting, self.leaves_at) = (None, None);
        access.flash.erase()?;
        access.flash.write(0, &info)?;
        self.expecting = Some((INFO + len, INFO));
        Ok(Then::Reply)
    }

    fn block(&mut self, data: &[u8], access: Access<'_>) -> Outcome {
        let Some((len, next)) = self.expecting else { return Err(Then::Refuse(DEVICE_FAILURE)) };
        if data.len() != BLOCK {
            return Err(Then::Refuse(ILLEGAL_VALUE));
        }
        let take = BLOCK.min(len - next);
        access.flash.write(next, &unswap(data)[..take])?;
        self.expecting = Some((len, next + take));
        if next + take < len {
            return Ok(Then::Reply);
        }
        access.flash.seal(len)?;
        self.expecting = None;
        Ok(Then::ReplyAndBoot(START))
    }
}

impl Loader for WirenBoard {
    fn write(&mut self, function: u8, register: u16, data: &[u8], access: Access<'_>) -> Option<Outcome> {
        Some(match (access.mode, register, function) {
            (Mode::Application, 129 | 131, _) if data == [0, 1] => Ok(Then::Enter),
            (Mode::Application, 0x1000..=0x2043, _) => Err(Then::Refuse(ILLEGAL_ADDRESS)),
            (Mode::Application, _, _) => return None,
            (Mode::Bootloader, 0x1000, 16) => self.info(data, access),
            (Mode::Bootloader, 0x2000, 16) => self.block(data, access),
            (Mode::Bootloader, 1000..=1002, _) => {
                self.tampered = true;
                Ok(Then::Reply)
            }
            (Mode::Bootloader, _, _) => Err(Then::Refuse(ILLEGAL_ADDRESS)),
        })
    }

    fn read(&self, input: bool, register: u16, mode: Mode, _: Mono, running: Option<Digest>) -> Option<u16> {
        match (input, register, mode) {
            (true, 250..=265, Mode::Application) => identity_word(running, register - 250),
            _ => None,
        }
    }

    fn reset(&mut self) {
        (self.expecting, self.leaves_at) = (None, None);
    }

    fn leaves_at(&self) -> Option<Mono> {
        self.leaves_at
    }

    fn entered(&mut self, now: Mono) {
        self.leaves_at = Some(now + WINDOW);
    }

    fn is_tampered(&self) -> bool {
        self.tampered
    }
}

fn unswap(data: &[u8]) -> Vec<u8> {
    data.chunks_exact(2).flat_map(|w| [w[1], w[0]]).collect()
}

const INFO: usize = 32;
const BLOCK: usize = 136;
/// How long the bootloader waits for an info block.
const WINDOW: Duration = Duration::from_secs(120);
/// From the last block's reply to the restart.
const START: Duration = Duration::from_millis(50);
