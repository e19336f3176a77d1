//! Modbus RTU framing: bytes up to a silence are a frame, and its CRC says whether it is whole.

use super::Line;
use crate::clock::Mono;

/// Longest frame, unit and CRC included (Modbus over Serial Line V1.02 §2.5.1).
pub const MAX_FRAME: usize = 256;
/// Shortest frame: unit, function, CRC.
const MIN_FRAME: usize = 4;

/// CRC-16 of Modbus: polynomial 0xA001 reflected, from 0xFFFF (V1.02 §6.2.2); sent low byte first.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 })
    })
}

/// What stood between two silences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Up to [`MAX_FRAME`] bytes, CRC included; what came beyond is counted in `dropped`.
    pub bytes: Vec<u8>,
    /// Bytes beyond the longest frame.
    pub dropped: u64,
    /// When its first character began, counted back from the first piece by the speed of the line.
    pub start: Mono,
    /// When its last character had been read.
    pub end: Mono,
    /// The longest silence inside it, in nanoseconds; `None` when it was read in one piece.
    pub gap_ns: Option<u64>,
}

impl Frame {
    /// Unit, function and data when length and CRC are right.
    pub fn pdu(&self) -> Option<(u8, u8, &[u8])> {
        if self.dropped > 0 || self.bytes.len() < MIN_FRAME {
            return None;
        }
        let (body, crc) = self.bytes.split_last_chunk::<2>()?;
        let (unit, function, data) = match body {
            [unit, function, data @ ..] => (*unit, *function, data),
            _ => return None,
        };
        (crc16(body) == u16::from_le_bytes(*crc)).then_some((unit, function, data))
    }
}

/// Cuts one direction of a line into frames.
#[derive(Debug)]
pub(super) struct Framer {
    line: Line,
    open: Option<Frame>,
}

impl Framer {
    pub(super) fn new(line: Line) -> Framer {
        Framer { line, open: None }
    }

    /// Takes a piece that had been read at `at`; what it ends is returned.
    pub(super) fn push(&mut self, at: Mono, bytes: &[u8]) -> Option<Frame> {
        if bytes.is_empty() {
            return None;
        }
        let length = self.line.character_ns().saturating_mul(bytes.len() as u64);
        // Where two pieces were read late together, the second seems to begin before the first had ended.
        let start = Mono(at.0.saturating_sub(length));
        let silence = self.open.as_ref().map(|open| start.0.saturating_sub(open.end.0));
        let done = match silence {
            Some(silence) if silence >= self.line.silence_ns() => self.open.take(),
            _ => None,
        };
        let new = || Frame { bytes: Vec::new(), dropped: 0, start, end: at, gap_ns: None };
        let goes_on = self.open.is_some();
        let open = self.open.get_or_insert_with(new);
        if goes_on {
            open.gap_ns = open.gap_ns.max(silence);
        }
        open.end = open.end.max(at);
        let room = bytes.len().min(MAX_FRAME - open.bytes.len());
        open.bytes.extend_from_slice(&bytes[..room]);
        open.dropped = open.dropped.saturating_add((bytes.len() - room) as u64);
        done
    }

    /// When the open frame is over if nothing more comes.
    pub(super) fn deadline(&self) -> Option<Mono> {
        // A piece is seen at its end, so one that began in time may be read a whole frame later.
        let piece = self.line.character_ns().saturating_mul(MAX_FRAME as u64);
        let open = self.open.as_ref()?;
        Some(Mono(open.end.0.saturating_add(self.line.silence_ns()).saturating_add(piece)))
    }

    /// Ends the open frame: the silence has passed, or the other side speaks.
    pub(super) fn end(&mut self) -> Option<Frame> {
        self.open.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const LINE: Line = Line { baud: 19_200, bits: 11, slack: Duration::ZERO };

    #[test]
    fn the_crc_is_that_of_the_standard() {
        // V1.02 §6.2.2, example: unit 2, function 7 gives 0x1241, sent 41 12.
        assert_eq!(crc16(&[0x02, 0x07]), 0x1241);
        assert_eq!(crc16(b"123456789"), 0x4B37); // the check value of CRC-16/MODBUS
    }

    #[test]
    fn the_times_of_the_line_are_those_of_the_standard() {
        assert_eq!((LINE.character_ns(), LINE.silence_ns()), (572_916, 2_005_206));
        let fast = Line { baud: 115_200, slack: Duration::from_millis(1), ..LINE };
        assert_eq!(fast.silence_ns(), 2_750_000);
        assert!(Line { baud: 0, ..LINE }.silence_ns() > 0);
    }

    #[test]
    fn a_silence_ends_a_frame_and_a_shorter_one_is_a_gap_in_it() {
        let mut framer = Framer::new(LINE);
        let t = 572_916;
        assert_eq!(framer.push(Mono(10 * t), &[2, 7]), None);
        assert_eq!(framer.push(Mono(14 * t), &[0x41, 0x12]), None); // two characters of silence
        let done = framer.push(Mono(20 * t), &[9, 9]).expect("four characters of silence");
        assert_eq!((done.start, done.end, done.gap_ns), (Mono(8 * t), Mono(14 * t), Some(2 * t)));
        assert_eq!(done.pdu(), Some((2, 7, &[][..])));
        assert_eq!(
            framer.end().map(|f| (f.bytes.len(), f.pdu().is_some(), f.gap_ns)),
            Some((2, false, None))
        );
        assert_eq!(framer.end(), None);
    }

    proptest! {
        #[test]
        fn a_line_that_never_falls_silent_fills_no_memory(
            pieces in proptest::collection::vec((0..2_000_000_u64, proptest::collection::vec(any::<u8>(), 0..300)), 0..30),
        ) {
            let mut framer = Framer::new(LINE);
            let (mut at, mut given, mut seen) = (0, 0, 0);
            let mut count = |frame: Option<Frame>| {
                if let Some(frame) = frame {
                    assert!(frame.bytes.len() <= MAX_FRAME && frame.start <= frame.end);
                    seen += frame.bytes.len() as u64 + frame.dropped;
                }
            };
            for (step, bytes) in &pieces {
                at += step;
                given += bytes.len() as u64;
                count(framer.push(Mono(at), bytes));
            }
            count(framer.end());
            prop_assert_eq!(seen, given);
        }
    }
}
