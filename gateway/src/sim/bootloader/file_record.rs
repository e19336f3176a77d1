//! Image as file records: file 1 and up, 10000 records of two bytes each. Control block at 0xF000.

use firmware_verifier::Digest;
use hal::clock::Mono;

use super::control::Control;
use super::{Access, ILLEGAL_ADDRESS, Loader, Mode, Outcome, Then};

#[derive(Debug)]
pub(super) struct FileRecords(Control);

impl Default for FileRecords {
    fn default() -> FileRecords {
        FileRecords(Control::at(0xF000))
    }
}

impl Loader for FileRecords {
    fn write(&mut self, _: u8, register: u16, data: &[u8], access: Access<'_>) -> Option<Outcome> {
        self.0.write(register, data, access)
    }

    fn write_file(&mut self, file: u16, record: u16, data: &[u8], access: Access<'_>) -> Option<Outcome> {
        let (Some(file), 0..=9999) = (file.checked_sub(1), record) else {
            return Some(Err(Then::Refuse(ILLEGAL_ADDRESS)));
        };
        if usize::from(record) + data.len() / 2 > RECORDS {
            return Some(Err(Then::Refuse(ILLEGAL_ADDRESS)));
        }
        Some(self.0.store((usize::from(file) * RECORDS + usize::from(record)) * 2, data, access))
    }

    fn read(&self, input: bool, register: u16, _: Mode, now: Mono, _: Option<Digest>) -> Option<u16> {
        self.0.status(input, register, now)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

/// Records in a file (V1.1b3 §6.15: 0 to 9999).
const RECORDS: usize = 10_000;
