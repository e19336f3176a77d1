//! 64 KiB of registers from 0x4000 that mirror the passive bank. Control block at 0xF200.

use firmware_verifier::Digest;
use hal::clock::Mono;

use super::control::Control;
use super::{Access, ILLEGAL_ADDRESS, Loader, Mode, Outcome, Then};

#[derive(Debug)]
pub(super) struct Linear(Control);

impl Default for Linear {
    fn default() -> Linear {
        Linear(Control::at(0xF200))
    }
}

impl Loader for Linear {
    fn write(&mut self, _: u8, register: u16, data: &[u8], access: Access<'_>) -> Option<Outcome> {
        if !(AREA..=AREA_END).contains(&register) {
            return self.0.write(register, data, access);
        }
        let offset = usize::from(register - AREA) * 2;
        if offset + data.len() > 65_536 {
            return Some(Err(Then::Refuse(ILLEGAL_ADDRESS)));
        }
        Some(self.0.store(offset, data, access))
    }

    fn read(&self, input: bool, register: u16, _: Mode, now: Mono, _: Option<Digest>) -> Option<u16> {
        self.0.status(input, register, now)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

const AREA: u16 = 0x4000;
const AREA_END: u16 = 0xBFFF;
