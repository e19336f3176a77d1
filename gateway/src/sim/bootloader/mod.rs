//! Bootloaders: the part of a controller that takes a new image.
//!
//! The three generic ones write a passive bank beside the running application and share one control
//! block; the others stop the application and overwrite it.

use std::time::Duration;

use firmware_verifier::Digest;
use hal::clock::Mono;

use super::flash::{Flash, Layout, PowerLost};

mod control;
pub mod file_record;
pub mod linear;
pub mod offset_window;
pub mod rackmon;
pub mod ucw;
pub mod wirenboard;

/// Which controller is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// FC 21 file records, control block at 0xF000.
    FileRecord,
    /// Offset pair and window, control block at 0xF100.
    OffsetWindow,
    /// Linear area at 0x4000, control block at 0xF200.
    Linear,
    /// OCP battery unit, enter key 0xA5A5, 64-byte blocks.
    RackmonDelta,
    /// OCP battery unit, enter key 0xAA55, 96-byte blocks.
    RackmonPanasonic,
    /// UCW bootloader for STM32.
    Ucw,
    /// Wiren Board module.
    WirenBoard,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] = [
        Kind::FileRecord,
        Kind::OffsetWindow,
        Kind::Linear,
        Kind::RackmonDelta,
        Kind::RackmonPanasonic,
        Kind::Ucw,
        Kind::WirenBoard,
    ];

    /// The id of the transfer profile shipped for it.
    pub fn profile(self) -> &'static str {
        match self {
            Kind::FileRecord => "generic-file-record",
            Kind::OffsetWindow => "generic-offset-window",
            Kind::Linear => "generic-linear",
            Kind::RackmonDelta => "ocp-rackmon-delta",
            Kind::RackmonPanasonic => "ocp-rackmon-panasonic",
            Kind::Ucw => "ucw-bootloader",
            Kind::WirenBoard => "wirenboard",
        }
    }

    /// The controller for a shipped profile.
    pub fn for_profile(id: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.profile() == id)
    }

    /// Its flash.
    pub fn layout(self) -> Layout {
        match self {
            Kind::FileRecord | Kind::OffsetWindow | Kind::Linear => Layout::DualBank,
            _ => Layout::SingleBank,
        }
    }

    pub(super) fn loader(self) -> Box<dyn Loader> {
        match self {
            Kind::FileRecord => Box::new(file_record::FileRecords::default()),
            Kind::OffsetWindow => Box::new(offset_window::OffsetWindow::default()),
            Kind::Linear => Box::new(linear::Linear::default()),
            Kind::RackmonDelta => Box::new(rackmon::Rackmon::new(0xA5A5, 64)),
            Kind::RackmonPanasonic => Box::new(rackmon::Rackmon::new(0xAA55, 96)),
            Kind::Ucw => Box::new(ucw::Ucw::default()),
            Kind::WirenBoard => Box::new(wirenboard::WirenBoard::default()),
        }
    }
}

/// What the controller is executing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Application,
    Bootloader,
}

/// A write as it reaches a bootloader.
#[derive(Debug)]
pub(super) struct Access<'a> {
    pub(super) mode: Mode,
    pub(super) now: Mono,
    pub(super) flash: &'a mut Flash,
}

/// What follows a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Reply,
    /// Reply, then restart after this time.
    ReplyAndBoot(Duration),
    /// No reply; the application gives way to the bootloader, the connection stays.
    Enter,
    /// No reply; restart at once.
    Boot,
    /// No reply, ever: the power went.
    Dark,
    /// This exception.
    Refuse(u8),
}

impl From<PowerLost> for Then {
    fn from(_: PowerLost) -> Then {
        Then::Dark
    }
}

/// `Err` only shortens the way out; both sides are what follows.
pub(super) type Outcome = Result<Then, Then>;

/// One bootloader. A `None` means: not one of my registers.
pub(super) trait Loader: std::fmt::Debug + Send {
    /// FC 6 or 16, `data` in big-endian words.
    fn write(&mut self, function: u8, register: u16, data: &[u8], access: Access<'_>) -> Option<Outcome>;

    /// FC 21, one sub-request.
    fn write_file(&mut self, _file: u16, _record: u16, _data: &[u8], _access: Access<'_>) -> Option<Outcome> {
        None
    }

    /// One register of FC 3 (`input` false) or FC 4.
    fn read(&self, input: bool, register: u16, mode: Mode, now: Mono, running: Option<Digest>)
    -> Option<u16>;

    /// RAM is lost.
    fn reset(&mut self);

    /// The bootloader gives up waiting and starts the application at this time.
    fn leaves_at(&self) -> Option<Mono> {
        None
    }

    /// The bootloader has just been entered.
    fn entered(&mut self, _now: Mono) {}

    /// Settings were wiped that no update has to touch.
    fn is_tampered(&self) -> bool {
        false
    }
}

/// Word `n` of an identity made from the running firmware.
pub(super) fn identity_word(running: Option<Digest>, n: u16) -> Option<u16> {
    let hex = running?.to_hex();
    let at = usize::from(n % 16) * 4;
    u16::from_str_radix(hex.get(at..at + 4)?, 16).ok()
}

/// Exceptions of V1.1b3 §7 that bootloaders give.
pub(super) const ILLEGAL_ADDRESS: u8 = 2;
pub(super) const ILLEGAL_VALUE: u8 = 3;
pub(super) const DEVICE_FAILURE: u8 = 4;

/// Largest bank.
pub(super) const MAX_BANK: usize = 4 << 20;
