//! UCW MODBUS bootloader for STM32: commands in 0xE000, block number in 0xE001, 128 bytes at 0xE100.
//!
//! The bootloader does not know the application's command 5 and the application knows no other. An "end"
//! takes the blocks from 0 on as the image if none is missing. Input register 0xE002 is a firmware version
//! here, made from the image, so that an update shows; the original has the protocol's version there.

use std::collections::BTreeSet;
use std::time::Duration;

use firmware_verifier::Digest;
use hal::clock::Mono;

use super::{Access, ILLEGAL_ADDRESS, ILLEGAL_VALUE, Loader, MAX_BANK, Mode, Outcome, Then, identity_word};

#[derive(Debug)]
pub(super) struct Ucw {
    started: bool,
    number: u16,
    buffer: [u8; BLOCK],
    blocks: BTreeSet<u16>,
    status: u16,
    flashed: Option<Mono>,
    sealed: bool,
}

impl Default for Ucw {
    fn default() -> Ucw {
        Ucw {
            started: false,
            number: 0,
            buffer: [0xFF; BLOCK],
            blocks: BTreeSet::new(),
            status: READY,
            flashed: None,
            sealed: false,
        }
    }
}

impl Ucw {
    fn command(&mut self, command: u16, access: Access<'_>) -> Outcome {
        match (command, access.mode) {
            (5, Mode::Application) => return Ok(Then::Enter),
            (_, Mode::Application) | (0 | 5.., _) => return Err(Then::Refuse(ILLEGAL_VALUE)),
            (1, _) if access.flash.bootable().is_some() => return Ok(Then::Boot),
            (1, _) => self.status = CORRUPTED,
            (2, _) => {
                access.flash.erase()?;
                *self = Ucw { started: true, ..Ucw::default() };
            }
            (3, _) => self.end(access)?,
            (4, _) => self.flash_block(access)?,
        }
        Ok(Then::Reply)
    }

    fn flash_block(&mut self, access: Access<'_>) -> Result<(), Then> {
        let offset = usize::from(self.number) * BLOCK;
        if !self.started || self.sealed || offset + BLOCK > MAX_BANK {
            self.status = ERROR;
            return Ok(());
        }
        access.flash.write(offset, &self.buffer)?;
        self.blocks.insert(self.number);
        self.buffer = [0xFF; BLOCK];
        (self.status, self.flashed) = (READY, Some(access.now));
        Ok(())
    }

    fn end(&mut self, access: Access<'_>) -> Result<(), Then> {
        let whole = !self.blocks.is_empty() && self.blocks.iter().copied().eq(0..self.blocks.len() as u16);
        if self.sealed {
            self.status = READY;
        } else if whole {
            access.flash.seal(self.blocks.len() * BLOCK)?;
            (self.status, self.sealed) = (READY, true);
        } else {
            self.status = CORRUPTED;
        }
        Ok(())
    }
}

impl Loader for Ucw {
    fn write(&mut self, _: u8, register: u16, data: &[u8], access: Access<'_>) -> Option<Outcome> {
        let word = <[u8; 2]>::try_from(data).map(u16::from_be_bytes);
        Some(match (register, word) {
            (0xE000, Ok(command)) => self.command(command, access),
            (0xE001, Ok(number)) if access.mode == Mode::Bootloader => {
                self.number = number;
                Ok(Then::Reply)
            }
            (0xE100..=0xE13F, _) if access.mode == Mode::Bootloader => {
                let at = usize::from(register - 0xE100) * 2;
                match self.buffer.get_mut(at..at + data.len()) {
                    Some(place) => {
                        place.copy_from_slice(data);
                        Ok(Then::Reply)
                    }
                    None => Err(Then::Refuse(ILLEGAL_ADDRESS)),
                }
            }
            (0xE000..=0xE13F, _) => Err(Then::Refuse(ILLEGAL_ADDRESS)),
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
        if !input {
            return None;
        }
        let flashing = self.flashed.is_some_and(|at| now.since(at) < FLASHING);
        Some(match (register, mode) {
            (0xE000, _) => 0x426F,
            (0xE001, _) => 0x6F54,
            (0xE002, Mode::Application) => identity_word(running, 0)?,
            (0xE002, Mode::Bootloader) => 1,
            (0xE003, Mode::Application) => APPLICATION,
            (0xE003, Mode::Bootloader) if flashing => FLASHING_NOW,
            (0xE003, Mode::Bootloader) => self.status,
            (0xE004 | 0xE005, _) => 1,
            (0xE006..=0xE00B, _) => 0,
            (0xE00C, _) => BLOCK as u16,
            (0xE00D, _) => 256,
            _ => return None,
        })
    }

    fn reset(&mut self) {
        *self = Ucw::default();
    }
}

const BLOCK: usize = 128;
const APPLICATION: u16 = 1;
const READY: u16 = 2;
const FLASHING_NOW: u16 = 3;
const ERROR: u16 = 4;
const CORRUPTED: u16 = 5;
/// How long one block takes.
const FLASHING: Duration = Duration::from_millis(20);
