//! Control writes of a profile: exact registers with exact values, or values that say something.

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;

/// What a control write does in a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Opens the transfer: unlocks, enters the bootloader, announces the image.
    Open,
    /// Says where the next block belongs.
    Select,
    /// Makes the controller write the block it was given.
    Program,
    /// Makes the image take effect, or has it checked as a whole.
    Commit,
    /// Follows the commit: starts the new firmware.
    Finish,
    /// Gives up.
    Abort,
}

/// One word of a control write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// This value and no other.
    Exact(u16),
    /// Any value; the gateway sends 0.
    Any,
    /// Image length in bytes, upper word.
    LengthHigh,
    /// Image length in bytes, lower word.
    LengthLow,
    /// Number of the next block.
    Block,
    /// Byte offset of the next block, upper word.
    OffsetHigh,
    /// Byte offset of the next block, lower word.
    OffsetLow,
}

/// What a matched control write said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Captured {
    /// Announced image length in bytes.
    pub length: Option<u32>,
    /// Block number.
    pub block: Option<u16>,
    /// Byte offset.
    pub offset: Option<u32>,
}

/// A write to consecutive holding registers, by FC 6 for one and FC 16 for any number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteStep {
    /// A word for people, unique in its profile.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// First register.
    pub register: u16,
    /// Values, one for each register.
    pub values: Vec<Value>,
    /// Pause after it when the gateway delivers.
    pub settle: Duration,
    /// The controller may restart before it answers; its silence is no failure.
    pub silent: bool,
    /// A station may use it instead of another step of its role; the gateway never plays it.
    pub alternative: bool,
}

impl WriteStep {
    /// The registers it writes.
    pub fn span(&self) -> Range<u32> {
        let first = u32::from(self.register);
        first..first + self.values.len() as u32
    }

    /// What a write of `data` (big-endian words) to `span` says, if it is this step.
    pub fn matches(&self, span: &Range<u32>, data: &[u8]) -> Option<Captured> {
        if *span != self.span() || data.len() != 2 * self.values.len() {
            return None;
        }
        let mut said = Captured::default();
        for (value, word) in self.values.iter().zip(data.chunks_exact(2)) {
            let word = u16::from_be_bytes([word[0], word[1]]);
            match value {
                Value::Exact(expected) if *expected != word => return None,
                Value::Exact(_) | Value::Any => {}
                Value::LengthHigh => said.length = Some(said.length.unwrap_or(0) | u32::from(word) << 16),
                Value::LengthLow => said.length = Some(said.length.unwrap_or(0) | u32::from(word)),
                Value::Block => said.block = Some(word),
                Value::OffsetHigh => said.offset = Some(said.offset.unwrap_or(0) | u32::from(word) << 16),
                Value::OffsetLow => said.offset = Some(said.offset.unwrap_or(0) | u32::from(word)),
            }
        }
        Some(said)
    }

    /// The words to write for an image of `length` bytes and the block at `offset`.
    pub fn words(&self, length: u32, block: u16, offset: u32) -> Vec<u8> {
        let word = |value: &Value| match value {
            Value::Exact(word) => *word,
            Value::Any => 0,
            Value::LengthHigh => (length >> 16) as u16,
            Value::LengthLow => length as u16,
            Value::Block => block,
            Value::OffsetHigh => (offset >> 16) as u16,
            Value::OffsetLow => offset as u16,
        };
        self.values.iter().flat_map(|v| word(v).to_be_bytes()).collect()
    }
}
