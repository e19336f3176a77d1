//! Modbus/TCP frames: cutting a byte stream into ADUs, and nothing else.
//!
//! An ADU is the MBAP header (transaction id, protocol id 0, length, unit id) and a PDU. The parser keeps
//! every function code, known or not. A stream that breaks the header rules cannot be resynchronised
//! (there is no start mark), so [`FrameError`] means: close the connection.

/// Bytes before the PDU: transaction id 2, protocol id 2, length 2, unit id 1.
pub const HEADER: usize = 7;
/// Longest ADU: header 7 and PDU 253 (Messaging on TCP/IP Implementation Guide V1.0b §3.1.3).
pub const MAX_ADU: usize = 260;
/// Longest PDU, inherited from the 256-byte RS-485 ADU (Application Protocol V1.1b3 §4.1).
pub const MAX_PDU: usize = 253;
/// Smallest value of the length field: unit id and one function code.
const MIN_LENGTH: usize = 2;
/// Largest value of the length field: unit id and the longest PDU.
const MAX_LENGTH: usize = 1 + MAX_PDU;

/// One whole ADU, borrowed from the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Transaction id: chosen by whoever asks, echoed by whoever answers.
    pub tid: u16,
    /// Unit id: the serial address behind a TCP server, or 0/255 for the server itself.
    pub unit: u8,
    /// Function code and data, 1..=253 bytes.
    pub pdu: &'a [u8],
}

/// A header that breaks Modbus/TCP. The connection is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The protocol id names something else than Modbus.
    #[error("protocol id {found}, expected 0")]
    ProtocolId {
        /// As received.
        found: u16,
    },
    /// The length field is outside 2..=254.
    #[error("length field {found}, expected 2 to 254")]
    Length {
        /// As received.
        found: u16,
    },
}

/// Cuts the first whole frame off `bytes`: the frame and how many bytes it took, or `None` while more
/// must arrive. A bad header is told as soon as its bytes are there.
pub fn first(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    if let [_, _, p1, p2, ..] = *bytes {
        let found = u16::from_be_bytes([p1, p2]);
        if found != 0 {
            return Err(FrameError::ProtocolId { found });
        }
    }
    let [t1, t2, _, _, l1, l2, rest @ ..] = bytes else { return Ok(None) };
    let found = u16::from_be_bytes([*l1, *l2]);
    let length = usize::from(found);
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&length) {
        return Err(FrameError::Length { found });
    }
    match rest.get(..length) {
        Some([unit, pdu @ ..]) => {
            Ok(Some((Frame { tid: u16::from_be_bytes([*t1, *t2]), unit: *unit, pdu }, HEADER - 1 + length)))
        }
        _ => Ok(None),
    }
}

/// Appends one ADU to `out`. A PDU over [`MAX_PDU`] is cut there; callers build none.
pub fn append(out: &mut Vec<u8>, tid: u16, unit: u8, pdu: &[u8]) {
    let pdu = &pdu[..pdu.len().min(MAX_PDU)];
    let length = (pdu.len() + 1) as u16; // at most 254
    let [t1, t2] = tid.to_be_bytes();
    let [l1, l2] = length.to_be_bytes();
    out.extend_from_slice(&[t1, t2, 0, 0, l1, l2, unit]);
    out.extend_from_slice(pdu);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    //                         |  tid  | proto | length| unit| fc |  addr | count |
    const READ: &[u8] = &[0x00, 0x2A, 0, 0, 0, 6, 0x01, 0x03, 0, 0x10, 0, 2];

    #[test]
    fn a_frame_is_cut_only_when_whole() {
        for have in 0..READ.len() {
            assert_eq!(first(&READ[..have]), Ok(None), "{have} bytes");
        }
        let (frame, used) = first(READ).expect("good header").expect("whole");
        assert_eq!((frame.tid, frame.unit, frame.pdu, used), (0x2A, 1, &READ[7..], READ.len()));
    }

    #[test]
    fn a_bad_header_is_told_as_soon_as_it_shows() {
        let cases: &[(&str, &[u8], FrameError)] = &[
            ("foreign protocol", &[0, 1, 0, 1], FrameError::ProtocolId { found: 1 }),
            ("no function code", &[0, 1, 0, 0, 0, 1], FrameError::Length { found: 1 }),
            ("empty", &[0, 1, 0, 0, 0, 0], FrameError::Length { found: 0 }),
            ("one over the limit", &[0, 1, 0, 0, 0, 255], FrameError::Length { found: 255 }),
            ("text", b"GET / HT", FrameError::ProtocolId { found: 0x5420 }),
        ];
        for (what, bytes, expected) in cases {
            assert_eq!(first(bytes), Err(*expected), "{what}");
        }
    }

    #[test]
    fn the_longest_frame_is_260_bytes() {
        let mut out = Vec::new();
        append(&mut out, 1, 2, &[0x41; MAX_PDU]);
        assert_eq!(out.len(), MAX_ADU);
        assert_eq!(first(&out).expect("good").expect("whole").1, MAX_ADU);
    }

    proptest! {
        #[test]
        fn any_bytes_cut_without_panic_and_never_take_more_than_there_is(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(Some((frame, used))) = first(&bytes) {
                prop_assert!(used <= bytes.len() && used <= MAX_ADU && !frame.pdu.is_empty());
                let mut again = Vec::new();
                append(&mut again, frame.tid, frame.unit, frame.pdu);
                prop_assert_eq!(&again[..], &bytes[..used]);
            }
        }
    }
}
