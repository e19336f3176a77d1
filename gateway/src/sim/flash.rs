//! Flash memory that can lose power between any two writes, and in the middle of one.
//!
//! A bank holds bytes and, apart from them, what its bootloader noted when it took the image as whole:
//! length and SHA-256. A bank without that note, or with bytes that no longer fit it, does not boot.

use firmware_verifier::Digest;

/// Copies of firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A new image is written beside the running one.
    DualBank,
    /// A new image overwrites the running one.
    SingleBank,
}

/// One change of flash, in the order it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A bank was wiped, its note with it.
    Erase {
        /// Which.
        bank: usize,
    },
    /// Bytes were written; a write cut by power shows only what arrived.
    Bytes {
        /// Which.
        bank: usize,
        /// From the start of the bank.
        offset: usize,
        /// What.
        data: Vec<u8>,
    },
    /// The first `len` bytes of a bank were taken as a whole image.
    Seal {
        /// Which.
        bank: usize,
        /// Length of the image.
        len: usize,
    },
    /// The bank to boot from was chosen.
    Activate {
        /// Which.
        bank: usize,
    },
}

/// The power went before or during the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerLost;

#[derive(Debug, Clone, Default)]
struct Bank {
    bytes: Vec<u8>,
    sealed: Option<(usize, Digest)>,
}

impl Bank {
    fn image(&self) -> Option<&[u8]> {
        let (len, digest) = self.sealed?;
        self.bytes.get(..len).filter(|image| Digest::of(image) == digest)
    }
}

/// The flash of one controller.
#[derive(Debug, Clone)]
pub struct Flash {
    banks: Vec<Bank>,
    active: usize,
    log: Vec<Write>,
    cut_after: Option<u32>,
    powered: bool,
}

impl Flash {
    /// Flash that holds `firmware`, as it left the factory; the log is empty.
    pub fn new(layout: Layout, firmware: &[u8]) -> Flash {
        let first = Bank { bytes: firmware.to_vec(), sealed: Some((firmware.len(), Digest::of(firmware))) };
        let banks = match layout {
            Layout::DualBank => vec![first, Bank::default()],
            Layout::SingleBank => vec![first],
        };
        Flash { banks, active: 0, log: Vec::new(), cut_after: None, powered: true }
    }

    /// The bank a new image goes to: the passive one, or the only one.
    pub fn target(&self) -> usize {
        (self.active + 1) % self.banks.len()
    }

    /// The image that would boot now: the active bank's, else another bank's that is whole.
    pub fn bootable(&self) -> Option<&[u8]> {
        let others = (0..self.banks.len()).filter(|b| *b != self.active);
        std::iter::once(self.active).chain(others).find_map(|b| self.banks[b].image())
    }

    /// Every write since the last [`Flash::take_log`]; the oldest go when there are [`MAX_LOG`].
    pub fn log(&self) -> &[Write] {
        &self.log
    }

    /// Takes the log.
    pub fn take_log(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.log)
    }

    /// The power goes in the middle of the write after `writes` more.
    pub fn cut_after(&mut self, writes: u32) {
        self.cut_after = Some(writes);
    }

    /// The power goes now.
    pub fn power_cut(&mut self) {
        self.powered = false;
        self.cut_after = None;
    }

    /// The power comes back.
    pub fn power_on(&mut self) {
        self.powered = true;
    }

    /// Whether there is power.
    pub fn is_powered(&self) -> bool {
        self.powered
    }

    pub(super) fn erase(&mut self) -> Result<(), PowerLost> {
        let bank = self.target();
        // A cut erase has taken the note with it: the note lies in the first page.
        if !self.powered {
            return Err(PowerLost);
        }
        let whole = self.spend();
        self.banks[bank] = Bank::default();
        self.note(Write::Erase { bank });
        whole
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) -> Result<(), PowerLost> {
        let bank = self.target();
        if !self.powered {
            return Err(PowerLost);
        }
        let whole = self.spend();
        let data = if whole.is_ok() { data } else { &data[..data.len() / 2] };
        if !data.is_empty() {
            let bytes = &mut self.banks[bank].bytes;
            if bytes.len() < offset + data.len() {
                bytes.resize(offset + data.len(), ERASED);
            }
            bytes[offset..offset + data.len()].copy_from_slice(data);
            self.note(Write::Bytes { bank, offset, data: data.to_vec() });
        }
        whole
    }

    /// Takes the first `len` bytes of the target bank as a whole image.
    pub(super) fn seal(&mut self, len: usize) -> Result<(), PowerLost> {
        let bank = self.target();
        self.spend()?;
        let digest = Digest::of(self.banks[bank].bytes.get(..len).unwrap_or_default());
        self.banks[bank].sealed = Some((len, digest));
        self.note(Write::Seal { bank, len });
        Ok(())
    }

    /// Boots from the target bank from now on.
    pub(super) fn activate(&mut self) -> Result<(), PowerLost> {
        let bank = self.target();
        self.spend()?;
        self.active = bank;
        self.note(Write::Activate { bank });
        Ok(())
    }

    fn spend(&mut self) -> Result<(), PowerLost> {
        if !self.powered {
            return Err(PowerLost);
        }
        match &mut self.cut_after {
            Some(0) => {
                self.power_cut();
                Err(PowerLost)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn note(&mut self, write: Write) {
        if self.log.len() >= MAX_LOG {
            self.log.drain(..MAX_LOG / 2);
        }
        self.log.push(write);
    }
}

/// Most writes kept in the log.
pub const MAX_LOG: usize = 1 << 16;
/// What a byte of flash reads after it was wiped.
const ERASED: u8 = 0xFF;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_at_any_write_leaves_the_old_or_the_new_image_in_two_banks() {
        for cut in 0..6 {
            let mut flash = Flash::new(Layout::DualBank, b"old");
            flash.cut_after(cut);
            let done = flash
                .erase()
                .and_then(|()| flash.write(0, b"ne"))
                .and_then(|()| flash.write(2, b"w!"))
                .and_then(|()| flash.seal(4))
                .and_then(|()| flash.activate());
            let expected: &[u8] = if cut < 5 { b"old" } else { b"new!" };
            assert_eq!((flash.bootable(), done.is_ok()), (Some(expected), cut >= 5), "cut at write {cut}");
        }
    }

    #[test]
    fn a_single_bank_boots_only_what_was_sealed() {
        let mut flash = Flash::new(Layout::SingleBank, b"old");
        flash.erase().expect("power");
        assert_eq!(flash.bootable(), None, "erased");
        flash.write(0, b"new!").expect("power");
        assert_eq!(flash.bootable(), None, "written, not sealed");
        flash.seal(4).expect("power");
        assert_eq!(flash.bootable(), Some(&b"new!"[..]));
        flash.write(1, b"X").expect("power");
        assert_eq!(flash.bootable(), None, "altered after the seal");
    }

    #[test]
    fn without_power_nothing_is_written() {
        let mut flash = Flash::new(Layout::SingleBank, b"old");
        flash.power_cut();
        assert_eq!(flash.seal(1), Err(PowerLost));
        assert_eq!((flash.log(), flash.is_powered()), (&[][..], false));
    }
}
