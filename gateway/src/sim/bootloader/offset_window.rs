//! A byte offset in 0xF108 and 0xF109, then up to 128 bytes through 0xF110. Control block at 0xF100.

use firmware_verifier::Digest;
use hal::clock::Mono;

use super::control::Control;
use super::{Access, ILLEGAL_ADDRESS, ILLEGAL_VALUE, Loader, Mode, Outcome, Then};

#[derive(Debug)]
pub(super) struct OffsetWindow {
    control: Control,
    /// Stays where it is until it is written again.
    offset: usize,
}

impl Default for OffsetWindow {
    fn default() -> OffsetWindow {
        OffsetWindow { control: Control::at(0xF100), offset: 0 }
    }
}

impl Loader for OffsetWindow {
    fn write(&mut self, _: u8, register: u16, data: &[u8], access: Access<'_>) -> Option<Outcome> {
        match (register, data) {
            (0xF108, [o1, o2, o3, o4]) => {
                self.offset = u32::from_be_bytes([*o1, *o2, *o3, *o4]) as usize;
                Some(Ok(Then::Reply))
            }
            (0xF108 | 0xF109, _) => Some(Err(Then::Refuse(ILLEGAL_VALUE))),
            (WINDOW..=WINDOW_END, _) => {
                let inside = usize::from(register - WINDOW) * 2;
                if inside + data.len() > 128 {
                    return Some(Err(Then::Refuse(ILLEGAL_ADDRESS)));
                }
                Some(self.control.store(self.offset + inside, data, access))
            }
            _ => self.control.write(register, data, access),
        }
    }

    fn read(&self, input: bool, register: u16, _: Mode, now: Mono, _: Option<Digest>) -> Option<u16> {
        self.control.status(input, register, now)
    }

    fn reset(&mut self) {
        self.control.reset();
        self.offset = 0;
    }
}

const WINDOW: u16 = 0xF110;
const WINDOW_END: u16 = WINDOW + 63;
