//! How long a frame is by what it says itself: as a request, and as an answer.
//!
//! Modbus does not tell which of the two a frame is (Application Protocol V1.1b3 §6); only the length that
//! follows from its function does, and what was asked before. [`super::Tap`] decides.

/// Unit, function and CRC.
const AROUND: usize = 4;

/// What the first bytes of a frame say of its length, CRC included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// It has so many bytes.
    Exactly(usize),
    /// The byte that tells has not come.
    More,
    /// Nobody knows: a function that is not listed, or none of this kind.
    Unknown,
}

use Length::{Exactly, More, Unknown};

/// As a request, after V1.1b3 §6.
pub(super) fn request(bytes: &[u8]) -> Length {
    let Some(function) = bytes.get(1) else { return More };
    match function {
        1..=6 => Exactly(AROUND + 4),
        7 | 11 | 12 | 17 => Exactly(AROUND),
        8 => Exactly(AROUND + 4), // longer only with sub-function 0, which then ends with a silence
        15 | 16 => counted(bytes, 6),
        20 | 21 => counted(bytes, 2),
        22 => Exactly(AROUND + 6),
        23 => counted(bytes, 10),
        24 => Exactly(AROUND + 2),
        43 if bytes.get(2) == Some(&MEI_IDENTIFICATION) => Exactly(AROUND + 3),
        _ => Unknown,
    }
}

/// As an answer; an exception is one (§7).
pub(super) fn answer(bytes: &[u8]) -> Length {
    let Some(function) = bytes.get(1) else { return More };
    match function {
        1..=4 | 12 | 17 | 20 | 21 | 23 => counted(bytes, 2),
        5 | 6 | 8 | 11 | 15 | 16 => Exactly(AROUND + 4),
        7 => Exactly(AROUND + 1),
        22 => Exactly(AROUND + 6),
        24 => match bytes.get(2..4) {
            Some(&[high, low]) => Exactly(AROUND + 2 + usize::from(u16::from_be_bytes([high, low]))),
            _ => More,
        },
        0x81..=0xFF => Exactly(AROUND + 1),
        _ => Unknown,
    }
}

/// Whether an answer repeats its request byte for byte.
pub(super) const fn echoes(function: u8) -> bool {
    matches!(function, 5 | 6 | 8 | 21 | 22)
}

/// The byte at `at` counts those that follow it.
fn counted(bytes: &[u8], at: usize) -> Length {
    bytes.get(at).map_or(More, |count| Exactly(at + 1 + usize::from(*count) + 2))
}

/// Read device identification, V1.1b3 §6.21.
const MEI_IDENTIFICATION: u8 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_are_those_of_the_standards_examples() {
        // V1.1b3 §6, the example of each function, with unit and CRC around it.
        let cases: &[(&str, &[u8], Length, Length)] = &[
            ("nothing yet", &[1], More, More),
            ("read holding registers", &[1, 3, 0, 0x6B, 0, 3], Exactly(8), Exactly(5)),
            ("its answer", &[1, 3, 6, 2, 0x2B], Exactly(8), Exactly(11)),
            ("write single register", &[1, 6, 0, 1, 0, 3], Exactly(8), Exactly(8)),
            ("write multiple registers", &[1, 16, 0, 1, 0, 2, 4], Exactly(13), Exactly(8)),
            ("the count has not come", &[1, 16, 0, 1, 0, 2], More, Exactly(8)),
            ("read file record", &[1, 20, 14], Exactly(19), Exactly(19)),
            ("mask write", &[1, 22, 0, 4], Exactly(10), Exactly(10)),
            ("read FIFO", &[1, 24, 4, 0xDE], Exactly(6), Exactly(6 + 0x4DE)),
            ("identification", &[1, 43, 14, 1, 0], Exactly(7), Unknown),
            ("an exception", &[1, 0x83, 2], Unknown, Exactly(5)),
            ("a function of a maker", &[1, 0x41], Unknown, Unknown),
        ];
        for (what, bytes, as_request, as_answer) in cases {
            assert_eq!((request(bytes), answer(bytes)), (*as_request, *as_answer), "{what}");
        }
    }
}
