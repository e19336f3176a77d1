//! WAV: a RIFF file with PCM or IEEE float samples.
//!
//! Pure and streaming: sizes in the file only say how much of it is looked at, never how much memory is taken.
//! A file that ends early gives the samples it has; [`WavParser::is_cut_short`] then says so.

use crate::sensor::{Flaw, Quality};

/// Most channels in one file.
pub const MAX_CHANNELS: u16 = 64;
/// Fastest sampling that is believed, in Hz.
pub const MAX_WAV_RATE: u32 = 10_000_000;
/// Most chunks before the samples.
pub const MAX_CHUNKS: u32 = 64;
/// Longest `fmt ` chunk: WAVE_FORMAT_EXTENSIBLE has 40 bytes.
const MAX_FORMAT: u32 = 64;

/// How a sample is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the number is the width in bits")]
pub enum Encoding {
    /// Unsigned, silence at 128.
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

impl Encoding {
    /// Bytes of one sample of one channel.
    pub fn bytes(self) -> usize {
        match self {
            Encoding::U8 => 1,
            Encoding::I16 => 2,
            Encoding::I24 => 3,
            Encoding::I32 | Encoding::F32 => 4,
            Encoding::F64 => 8,
        }
    }
}

/// What the `fmt ` chunk says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Channels, 1 to [`MAX_CHANNELS`].
    pub channels: u16,
    /// Samples per second of one channel, 1 to [`MAX_WAV_RATE`].
    pub rate: u32,
    /// How each is stored.
    pub encoding: Encoding,
    /// Bits that are used, from the most significant one on.
    pub valid_bits: u16,
}

/// One sample: full scale is 1, and what it is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// From -1 to 1; floats may go beyond.
    pub value: f64,
    /// Saturated at the ends of an integer's range.
    pub quality: Quality,
}

/// A file that is not WAV, or not of a kind that is read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// Not `RIFF....WAVE`.
    #[error("this is no RIFF WAVE file")]
    NotWav,
    /// The `fmt ` chunk is missing, short or long.
    #[error("the format chunk is missing or has {found} bytes, which is none of 16 to {MAX_FORMAT}")]
    NoFormat {
        /// Its size.
        found: u32,
    },
    /// A compressed or unknown encoding.
    #[error("encoding {tag:#06x} with {bits} bits is not read here; PCM and IEEE float are")]
    Encoding {
        /// The format tag.
        tag: u16,
        /// Bits per sample.
        bits: u16,
    },
    /// Numbers that contradict each other or exceed a limit.
    #[error("{channels} channels at {rate} Hz in frames of {frame} bytes cannot be")]
    Numbers {
        /// Channels.
        channels: u16,
        /// Rate in Hz.
        rate: u32,
        /// Bytes of a frame.
        frame: u16,
    },
    /// A channel that the file does not have.
    #[error("there is no channel {wanted}; the file has {found}, counted from 0")]
    NoChannel {
        /// The one asked for.
        wanted: u16,
        /// How many there are.
        found: u16,
    },
    /// More than [`MAX_CHUNKS`].
    #[error("more than {MAX_CHUNKS} chunks before the samples")]
    TooManyChunks,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Riff,
    Head,
    Format {
        size: u32,
    },
    Skip {
        left: u64,
    },
    /// `None` when the writer did not know the size.
    Data {
        left: Option<u64>,
    },
    Over,
}

/// Reads one channel of a file in pieces.
#[derive(Debug)]
pub struct WavParser {
    channel: u16,
    state: State,
    format: Option<Format>,
    /// Bytes of a unit that has not arrived whole: a header, the format or a frame.
    pending: Vec<u8>,
    chunks: u32,
    /// Bytes of samples that the file says it has.
    promised: Option<u64>,
}

impl WavParser {
    /// Reads `channel`, counted from 0.
    pub fn new(channel: u16) -> WavParser {
        WavParser {
            channel,
            state: State::Riff,
            format: None,
            pending: Vec::new(),
            chunks: 0,
            promised: None,
        }
    }

    /// What the file says of its samples, as soon as it has.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// Whether less has come than the file promised.
    pub fn is_cut_short(&self) -> bool {
        match self.state {
            State::Over => false,
            State::Data { left } => left.is_some() || !self.pending.is_empty(),
            _ => true,
        }
    }

    /// Bytes of samples that came, and that the file says it has; `None` before it has said so, or where its writer
    /// did not know.
    pub fn extent(&self) -> Option<(u64, u64)> {
        let promised = self.promised?;
        let missing = match self.state {
            State::Data { left: Some(left) } => left.saturating_sub(self.pending.len() as u64),
            _ => 0,
        };
        Some((promised.saturating_sub(missing), promised))
    }

    /// Takes the next piece and appends its samples to `out`. What follows the samples is not looked at.
    ///
    /// # Errors
    /// [`WavError`]; the parser is then of no further use.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Sample>) -> Result<(), WavError> {
        while !bytes.is_empty() {
            let unit = match self.state {
                State::Over => return Ok(()),
                State::Skip { left } => {
                    let skipped = left.min(bytes.len() as u64);
                    bytes = &bytes[skipped as usize..];
                    let left = left - skipped;
                    self.state = if left == 0 { State::Head } else { State::Skip { left } };
                    continue;
                }
                State::Riff => 12,
                State::Head => 8,
                State::Format { size } => padded(size) as usize,
                State::Data { left } => {
                    let frame = self.format.map_or(1, |f| f.encoding.bytes() * usize::from(f.channels));
                    if left.is_some_and(|left| left < frame as u64) {
                        // Nothing, or part of a frame, which nobody can use.
                        self.state = State::Over;
                        continue;
                    }
                    frame
                }
            };
            let (taken, rest) = bytes.split_at(bytes.len().min(unit - self.pending.len()));
            bytes = rest;
            self.pending.extend_from_slice(taken);
            if self.pending.len() == unit {
                let whole = std::mem::take(&mut self.pending);
                self.unit(&whole, out)?;
                self.pending = whole;
                self.pending.clear();
            }
        }
        // All samples are there even when nothing follows them.
        if matches!(self.state, State::Data { left: Some(0) }) {
            self.state = State::Over;
        }
        Ok(())
    }

    fn unit(&mut self, unit: &[u8], out: &mut Vec<Sample>) -> Result<(), WavError> {
        match self.state {
            State::Riff => match unit {
                // The size of the whole is not needed, and wrong in many files.
                [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E'] => self.state = State::Head,
                _ => return Err(WavError::NotWav),
            },
            State::Head => self.head(unit)?,
            State::Format { size } => {
                let format = parse_format(unit, size)?;
                if self.channel >= format.channels {
                    return Err(WavError::NoChannel { wanted: self.channel, found: format.channels });
                }
                self.format = Some(format);
                self.state = State::Head;
            }
            State::Data { left } => {
                self.state = State::Data { left: left.map(|left| left.saturating_sub(unit.len() as u64)) };
                if let Some(format) = self.format {
                    let at = format.encoding.bytes() * usize::from(self.channel);
                    out.push(sample(format, &unit[at..at + format.encoding.bytes()]));
                }
            }
            State::Skip { .. } | State::Over => {}
        }
        Ok(())
    }

    fn head(&mut self, unit: &[u8]) -> Result<(), WavError> {
        self.chunks += 1;
        if self.chunks > MAX_CHUNKS {
            return Err(WavError::TooManyChunks);
        }
        let size = le32(unit, 4);
        if unit.starts_with(b"data") && size != u32::MAX {
            self.promised = Some(u64::from(size));
        }
        self.state = match (&unit[..4], self.format) {
            (b"fmt ", None) if (16..=MAX_FORMAT).contains(&size) => State::Format { size },
            (b"fmt ", None) => return Err(WavError::NoFormat { found: size }),
            (b"data", None) => return Err(WavError::NoFormat { found: 0 }),
            // What a program writes that cannot go back to put the size in.
            (b"data", Some(_)) if size == u32::MAX => State::Data { left: None },
            (b"data", Some(_)) if size == 0 => State::Over,
            (b"data", Some(_)) => State::Data { left: Some(u64::from(size)) },
            _ if size == 0 => State::Head,
            _ => State::Skip { left: padded(size) },
        };
        Ok(())
    }
}

/// Chunks begin at even places.
fn padded(size: u32) -> u64 {
    u64::from(size) + u64::from(size % 2)
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from(bytes[at]) | u16::from(bytes[at + 1]) << 8
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xFFFE;
/// The GUID of an extensible format, after the two bytes that are the tag (KSDATAFORMAT_SUBTYPE).
const SUBFORMAT: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

/// `bytes` has at least 16 bytes.
fn parse_format(bytes: &[u8], size: u32) -> Result<Format, WavError> {
    let (channels, rate, frame, bits) = (le16(bytes, 2), le32(bytes, 4), le16(bytes, 12), le16(bytes, 14));
    let (tag, valid_bits) = match le16(bytes, 0) {
        EXTENSIBLE if size >= 40 && bytes[26..40] == SUBFORMAT => (le16(bytes, 24), le16(bytes, 18)),
        tag => (tag, bits),
    };
    let encoding = match (tag, bits) {
        (PCM, 8) => Encoding::U8,
        (PCM, 16) => Encoding::I16,
        (PCM, 24) => Encoding::I24,
        (PCM, 32) => Encoding::I32,
        (FLOAT, 32) => Encoding::F32,
        (FLOAT, 64) => Encoding::F64,
        _ => return Err(WavError::Encoding { tag, bits }),
    };
    let fits = (1..=MAX_CHANNELS).contains(&channels)
        && (1..=MAX_WAV_RATE).contains(&rate)
        && usize::from(frame) == encoding.bytes() * usize::from(channels)
        && valid_bits <= bits;
    // Some writers leave the number of valid bits at 0.
    let valid_bits = if valid_bits == 0 { bits } else { valid_bits };
    fits.then_some(Format { channels, rate, encoding, valid_bits }).ok_or(WavError::Numbers {
        channels,
        rate,
        frame,
    })
}

fn sample(format: Format, bytes: &[u8]) -> Sample {
    let float = |value: f64| {
        let quality = if value.is_finite() { Quality::Good } else { Quality::Bad(Flaw::NotFinite) };
        Sample { value, quality }
    };
    // Integers of all widths as the upper bits of 32.
    let code = match (format.encoding, bytes) {
        (Encoding::U8, [a]) => i32::from_le_bytes([0, 0, 0, a ^ 0x80]),
        (Encoding::I16, [a, b]) => i32::from_le_bytes([0, 0, *a, *b]),
        (Encoding::I24, [a, b, c]) => i32::from_le_bytes([0, *a, *b, *c]),
        (Encoding::I32, [a, b, c, d]) => i32::from_le_bytes([*a, *b, *c, *d]),
        (Encoding::F32, [a, b, c, d]) => return float(f64::from(f32::from_le_bytes([*a, *b, *c, *d]))),
        _ => return float(bytes.try_into().map_or(f64::NAN, f64::from_le_bytes)),
    };
    // The highest code that the valid bits can say.
    let highest = i32::MAX & !(i32::MAX.checked_shr(u32::from(format.valid_bits) - 1).unwrap_or(0));
    let end = code == i32::MIN || code >= highest;
    let quality = if end { Quality::Uncertain(Flaw::Saturated) } else { Quality::Good };
    Sample { value: f64::from(code) / 2_147_483_648.0, quality }
}

#[cfg(test)]
#[path = "wav_tests.rs"]
mod tests;
