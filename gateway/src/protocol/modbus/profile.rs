//! Transfer profiles: how one family of controllers takes an update over Modbus.
//!
//! A profile is a TOML file (`docs/profiles.md`). [`Profile::parse`] checks all of it; what it returns can
//! be matched against requests ([`super::update`]) and played to a controller ([`super::deliver`]).

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;

use super::pdu::Table;
use crate::transfer::engine::Way;
use crate::transfer::image::Padding;

mod file;
mod step;

pub use step::{Captured, Role, Value, WriteStep};

/// Largest image a profile may allow: staged images are held in memory.
pub const MAX_IMAGE: u64 = 64 << 20;

/// How a device family is updated; every field checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Name used in the configuration.
    pub id: String,
    /// What it is for, in words.
    pub title: String,
    /// How many copies of its firmware the controller keeps.
    pub flash: Flash,
    /// Ways this profile may be used in.
    pub ways: Vec<Way>,
    /// Longest image in bytes.
    pub max_image: u64,
    /// Whether the two bytes of each word are swapped on the wire.
    pub swapped: bool,
    /// How a last block is filled.
    pub padding: Padding,
    /// Which step destroys what the controller runs.
    pub no_return: NoReturn,
    /// Where image bytes go.
    pub data: Data,
    /// Control writes, in the order a tool sends them.
    pub steps: Vec<WriteStep>,
    /// Where the controller says how it is doing.
    pub status: Option<Status>,
    /// Registers a tool reads before and while it updates, answered by the gateway while it stages.
    pub staged_reads: Vec<StagedRead>,
    /// How to ask what firmware runs.
    pub identity: Identity,
    /// Holding registers that are never written, besides those of the steps and the window.
    pub protected: Vec<Range<u32>>,
    /// Time limits.
    pub timing: Timing,
}

/// Copies of firmware in a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flash {
    /// A new image is written beside the running one.
    DualBank,
    /// A new image overwrites the running one.
    SingleBank,
    /// Treated as [`Flash::SingleBank`].
    Unknown,
}

/// The step after which the old firmware is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoReturn {
    /// The first opening step: it erases, or leaves the application for the bootloader.
    Open,
    /// The first block of the image.
    FirstBlock,
    /// The commit.
    Commit,
}

/// Where and how image bytes are addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// FC 21: files of records (words), one after the other.
    FileRecord {
        /// File that holds the first records.
        first_file: u16,
        /// Records in each file; the standard allows 10000.
        records_per_file: u16,
    },
    /// FC 16 at one fixed address; each write is the next block.
    FixedWindow {
        /// First register of the window.
        register: u16,
        /// Bytes in a block.
        block: u16,
        /// A first block with its own window, part of the image (register, bytes).
        head: Option<(u16, u16)>,
    },
    /// FC 16 into a window; a register written before says which block it is.
    Block {
        /// First register of the window.
        register: u16,
        /// Bytes in a block.
        block: u16,
        /// Number of the first block.
        first: u16,
    },
    /// FC 16 into a window; a register pair written before says at which byte offset.
    Offset {
        /// First register of the window.
        register: u16,
        /// Bytes the window holds.
        window: u16,
    },
    /// FC 16 or 6 into an area that mirrors the image.
    Linear {
        /// Register of the image's first word.
        register: u16,
        /// Bytes the area holds.
        len: u32,
    },
}

/// A status register and what its values mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Holding or input registers.
    pub table: RegisterTable,
    /// The register.
    pub register: u16,
    /// The application runs; no update is open.
    pub running: u16,
    /// An update is open, nothing received yet.
    pub open: u16,
    /// The last block was taken.
    pub accepted: u16,
    /// Working; ask again.
    pub busy: Vec<u16>,
    /// The image was taken as a whole.
    pub success: u16,
    /// It was not.
    pub failed: Vec<u16>,
    /// Whether to wait for `accepted` after every block when delivering.
    #[serde(default)]
    pub poll_blocks: bool,
}

/// A table that holds registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegisterTable {
    /// FC 3.
    Holding,
    /// FC 4.
    Input,
}

impl RegisterTable {
    /// The same as a [`Table`].
    pub fn table(self) -> Table {
        match self {
            RegisterTable::Holding => Table::Holding,
            RegisterTable::Input => Table::Input,
        }
    }

    /// The function code that reads it.
    pub fn function(self) -> u8 {
        match self {
            RegisterTable::Holding => 3,
            RegisterTable::Input => 4,
        }
    }
}

/// Registers with values the gateway gives while it speaks for the controller.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagedRead {
    /// Holding or input registers.
    pub table: RegisterTable,
    /// First register.
    pub register: u16,
    /// Their values.
    pub values: Vec<u16>,
}

/// How the controller says which firmware it runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, tag = "kind")]
pub enum Identity {
    /// FC 43/14, basic stream.
    DeviceIdentification,
    /// A range of registers, shown as hexadecimal words.
    Registers {
        /// Holding or input registers.
        table: RegisterTable,
        /// First register.
        register: u16,
        /// How many.
        count: u16,
    },
}

/// Time limits of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the station's tool waits for one reply.
    pub tool: Duration,
    /// Longest silence of a station within a transfer.
    pub idle: Duration,
    /// How long the controller may take to write one block.
    pub block: Duration,
    /// How long it may take to check and commit an image.
    pub commit: Duration,
    /// How long it may take to boot.
    pub boot: Duration,
    /// Pause between two requests of a delivery.
    pub gap: Duration,
}

/// What is wrong with a profile file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProfileError(pub String);

impl Profile {
    /// Reads and checks a profile file.
    pub fn parse(text: &str) -> Result<Profile, ProfileError> {
        file::parse(text)
    }

    /// The steps of one role, in order.
    pub fn steps(&self, role: Role) -> impl Iterator<Item = &WriteStep> {
        self.steps.iter().filter(move |s| s.role == role)
    }

    /// Whether the controller commits by itself once the image is whole.
    pub fn commits_implicitly(&self) -> bool {
        self.steps(Role::Commit).next().is_none()
    }

    /// The first step that matches a register write, with its place among the steps of its role.
    pub fn step_of(&self, span: &Range<u32>, data: &[u8]) -> Option<(&WriteStep, usize, Captured)> {
        self.steps.iter().enumerate().find_map(|(i, step)| {
            let captured = step.matches(span, data)?;
            let place = self.steps[..i].iter().filter(|s| s.role == step.role).count();
            Some((step, place, captured))
        })
    }

    /// The window a block is written into: register and bytes. Files have none.
    pub fn windows(&self) -> Vec<Range<u32>> {
        let window = |register: u16, bytes: u32| u32::from(register)..u32::from(register) + bytes.div_ceil(2);
        match self.data {
            Data::FileRecord { .. } => Vec::new(),
            Data::FixedWindow { register, block, head } => {
                let mut all = vec![window(register, block.into())];
                all.extend(head.map(|(register, bytes)| window(register, bytes.into())));
                all
            }
            Data::Block { register, block, .. } => vec![window(register, block.into())],
            Data::Offset { register, window: bytes } => vec![window(register, bytes.into())],
            Data::Linear { register, len } => vec![window(register, len)],
        }
    }

    /// Every holding register that only a transfer may write.
    pub fn guarded(&self) -> Vec<Range<u32>> {
        let steps = self.steps.iter().map(WriteStep::span);
        steps.chain(self.windows()).chain(self.protected.iter().cloned()).collect()
    }

    /// Bytes carried by one block when the gateway delivers.
    pub fn delivery_block(&self) -> u16 {
        match self.data {
            Data::FileRecord { .. } => MAX_FILE_DATA,
            Data::FixedWindow { block, .. } => block,
            Data::Block { block, .. } => block,
            Data::Offset { window, .. } => window.min(MAX_REGISTER_DATA),
            Data::Linear { .. } => MAX_REGISTER_DATA,
        }
    }

    /// How long a delivery of `len` bytes will take by this profile's own figures.
    pub fn predicted(&self, len: u64) -> Duration {
        let blocks = len.div_ceil(u64::from(self.delivery_block())).min(u64::from(u32::MAX)) as u32;
        self.timing.block * blocks + self.timing.commit
    }
}

/// Data bytes of the longest FC 21 with one sub-request: 0xFB = 7 + 244 (V1.1b3 §6.15).
pub const MAX_FILE_DATA: u16 = 244;
/// Data bytes of the longest FC 16: 123 registers (V1.1b3 §6.12).
pub const MAX_REGISTER_DATA: u16 = 246;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn shipped() -> Vec<(String, String)> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/profiles");
        let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
            .iter()
            .map(|p| (p.file_stem().unwrap().to_string_lossy().into(), std::fs::read_to_string(p).unwrap()))
            .collect()
    }

    #[test]
    fn every_shipped_profile_parses_and_bears_its_file_name() {
        let shipped = shipped();
        assert!(shipped.len() >= 7);
        for (name, text) in shipped {
            let profile = Profile::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(profile.id, name);
        }
    }

    #[test]
    fn a_profile_that_could_break_the_promise_is_refused() {
        let good = shipped().into_iter().find(|(n, _)| n == "generic-file-record").unwrap().1;
        let cases: &[(&str, &str, &str, &str)] = &[
            (
                "match on a single bank",
                "flash = \"dual-bank\"",
                "flash = \"single-bank\"",
                "needs flash = \"dual-bank\"",
            ),
            (
                "match on an unknown flash",
                "flash = \"dual-bank\"",
                "flash = \"unknown\"",
                "needs flash = \"dual-bank\"",
            ),
            ("match without a commit", "role = \"commit\"", "role = \"finish\"", "needs a commit step"),
            ("a typing error", "max_image", "max_imagee", "unknown field `max_imagee`"),
            ("no file 0", "first_file = 1", "first_file = 0", "first_file must be 1"),
            ("an image that does not fit", "first_file = 1", "first_file = 65535", "do not hold max_image"),
            ("a word nobody knows", "\"length-low\"", "\"length\"", "value \"length\""),
            ("a newer schema", "schema = 1", "schema = 2", "schema 2"),
            ("two steps of one name", "name = \"abort\"", "name = \"begin\"", "appears twice"),
            ("a day and more", "tool_ms = 10000", "tool_ms = 99999999", "at most 86400000"),
        ];
        for (what, from, to, expected) in cases {
            assert!(good.contains(from), "{what}");
            let error = Profile::parse(&good.replacen(from, to, 1)).expect_err(what).to_string();
            assert!(error.contains(expected), "{what}: {error}");
        }
    }

    #[test]
    fn a_fixed_window_never_matches() {
        let text = shipped().into_iter().find(|(n, _)| n == "ocp-rackmon-delta").unwrap().1;
        let text = text.replace("single-bank", "dual-bank").replace("[\"stage\"]", "[\"match\"]");
        assert!(Profile::parse(&text).unwrap_err().to_string().contains("fixed window"));
    }
}
