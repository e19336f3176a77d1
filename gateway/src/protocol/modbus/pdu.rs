//! Modbus requests: what a PDU asks for, checked in full before anybody acts on it.
//!
//! [`Request::parse`] proves the sizes and counts of every function code of Application Protocol V1.1b3
//! that can read or write; a code it does not know is kept as [`Request::Other`], never guessed at. Replies
//! are only built here, or compared with what was asked.

use std::ops::Range;

/// Which of the four tables of a controller an address belongs to (V1.1b3 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Single bits, written with FC 5 and 15.
    Coil,
    /// Single bits, read only.
    DiscreteInput,
    /// 16-bit registers, read only.
    Input,
    /// 16-bit registers, written with FC 6, 16, 22 and 23.
    Holding,
}

/// One sub-request of FC 21: `data` goes to `record` of `file`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRecord<'a> {
    /// File number, 1..=65535.
    pub file: u16,
    /// First record (a record is one 16-bit word).
    pub record: u16,
    /// Record data, big-endian words.
    pub data: &'a [u8],
}

/// The sub-requests of an FC 21, from first to last: checked as a whole, cut apart as they are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecords<'a>(&'a [u8]);

impl<'a> Iterator for FileRecords<'a> {
    type Item = FileRecord<'a>;

    fn next(&mut self) -> Option<FileRecord<'a>> {
        let [_, f1, f2, r1, r2, n1, n2, rest @ ..] = self.0 else { return None };
        let (data, rest) = rest.split_at_checked(2 * usize::from(u16::from_be_bytes([*n1, *n2])))?;
        self.0 = rest;
        let (file, record) = (u16::from_be_bytes([*f1, *f2]), u16::from_be_bytes([*r1, *r2]));
        Some(FileRecord { file, record, data })
    }
}

/// A request whose sizes and counts have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// FC 1 to 4.
    Read {
        /// The table.
        table: Table,
        /// Addresses, half open; 65536 is one past the last.
        span: Range<u32>,
    },
    /// FC 5 and 15.
    WriteCoils {
        /// Addresses, half open.
        span: Range<u32>,
    },
    /// FC 6 and 16: `data` is big-endian words, two bytes for each address.
    WriteRegisters {
        /// Addresses, half open.
        span: Range<u32>,
        /// What to write there.
        data: &'a [u8],
    },
    /// FC 22: AND and OR masks, so what will be written is not known here.
    MaskWrite {
        /// The register.
        address: u32,
    },
    /// FC 23: the write is done first.
    ReadWrite {
        /// Addresses read.
        read: Range<u32>,
        /// Addresses written.
        write: Range<u32>,
        /// What to write there.
        data: &'a [u8],
    },
    /// FC 20.
    ReadFile,
    /// FC 21.
    WriteFile(FileRecords<'a>),
    /// FC 43/14, read device identification.
    Identify,
    /// FC 8 with its sub-function.
    Diagnostics {
        /// Sub-function code.
        sub: u16,
    },
    /// FC 7, 11, 12, 17, 24: read-only by the standard.
    Inquiry,
    /// Any other code: user-defined, reserved, FC 43/13, FC 90, or not assigned.
    Other,
}

/// A request that breaks its function code's own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Too short or too long for its function code.
    #[error("function {function}: {found} bytes, which its own counts do not allow")]
    Size {
        /// Function code.
        function: u8,
        /// PDU length in bytes.
        found: usize,
    },
    /// Quantity of zero or above the standard's limit.
    #[error("function {function}: quantity {found}, limit {limit}")]
    Quantity {
        /// Function code.
        function: u8,
        /// As asked.
        found: u16,
        /// As the standard allows.
        limit: u16,
    },
    /// Runs past address 65535.
    #[error("function {function}: {count} from address {start} runs past 65535")]
    Address {
        /// Function code.
        function: u8,
        /// First address.
        start: u16,
        /// How many.
        count: u16,
    },
    /// A coil value other than FF00 and 0000, or a file reference type other than 6.
    #[error("function {function}: value {found:#06x} is not one the standard allows")]
    Value {
        /// Function code.
        function: u8,
        /// As received.
        found: u16,
    },
}

impl<'a> Request<'a> {
    /// Reads a request PDU. An empty one cannot come from [`super::frame::first`] and is a size error.
    pub fn parse(pdu: &'a [u8]) -> Result<Request<'a>, RequestError> {
        let [function, body @ ..] = pdu else { return Err(RequestError::Size { function: 0, found: 0 }) };
        let fc = Checker { function: *function, found: pdu.len() };
        match function {
            1 => fc.read(Table::Coil, body, 2000),
            2 => fc.read(Table::DiscreteInput, body, 2000),
            3 => fc.read(Table::Holding, body, 125),
            4 => fc.read(Table::Input, body, 125),
            5 => fc.write_coil(body),
            6 => {
                let [a1, a2, data @ ..] = body else { return Err(fc.size()) };
                let start = u32::from(u16::from_be_bytes([*a1, *a2]));
                fc.exactly(data, 2)?;
                Ok(Request::WriteRegisters { span: start..start + 1, data })
            }
            8 => match body {
                [s1, s2, _, ..] => Ok(Request::Diagnostics { sub: u16::from_be_bytes([*s1, *s2]) }),
                _ => Err(fc.size()),
            },
            7 | 11 | 12 | 17 => fc.exactly(body, 0).map(|()| Request::Inquiry),
            24 => fc.exactly(body, 2).map(|()| Request::Inquiry),
            15 => fc.write_coils(body),
            16 => {
                let (span, data) = fc.write_registers(body, 123)?;
                Ok(Request::WriteRegisters { span, data })
            }
            20 => fc.read_file(body),
            21 => fc.write_file(body),
            22 => match body {
                [a1, a2, _, _, _, _] => {
                    Ok(Request::MaskWrite { address: u32::from(u16::from_be_bytes([*a1, *a2])) })
                }
                _ => Err(fc.size()),
            },
            23 => {
                let [r1, r2, q1, q2, write @ ..] = body else { return Err(fc.size()) };
                let read = fc.span([*r1, *r2], [*q1, *q2], 125)?;
                let (write, data) = fc.write_registers(write, 121)?;
                Ok(Request::ReadWrite { read, write, data })
            }
            43 => match body {
                [0x0E, 1..=4, _] => Ok(Request::Identify),
                [0x0E, ..] | [] => Err(fc.size()),
                _ => Ok(Request::Other),
            },
            _ => Ok(Request::Other),
        }
    }

    /// Whether an allow-list can let a request of this function pass: only one whose meaning is known here.
    /// Of 8 and 43 some sub-functions never pass, either.
    pub fn may_pass(function: u8) -> bool {
        matches!(function, 1..=8 | 11 | 12 | 15..=17 | 20..=24 | 43)
    }

    /// Whether the standard promises that this request changes nothing in the controller.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Request::Read { .. } | Request::ReadFile | Request::Identify | Request::Inquiry)
    }
}

/// The function code being checked and the PDU's length, for error messages.
#[derive(Clone, Copy)]
struct Checker {
    function: u8,
    found: usize,
}

impl Checker {
    fn size(self) -> RequestError {
        RequestError::Size { function: self.function, found: self.found }
    }

    fn exactly(self, bytes: &[u8], len: usize) -> Result<(), RequestError> {
        if bytes.len() == len { Ok(()) } else { Err(self.size()) }
    }

    fn span(self, start: [u8; 2], count: [u8; 2], limit: u16) -> Result<Range<u32>, RequestError> {
        let (start, count) = (u16::from_be_bytes(start), u16::from_be_bytes(count));
        if count == 0 || count > limit {
            return Err(RequestError::Quantity { function: self.function, found: count, limit });
        }
        let end = u32::from(start) + u32::from(count);
        if end > 65_536 {
            return Err(RequestError::Address { function: self.function, start, count });
        }
        Ok(u32::from(start)..end)
    }

    fn read<'a>(self, table: Table, body: &'a [u8], limit: u16) -> Result<Request<'a>, RequestError> {
        let [a1, a2, q1, q2] = body else { return Err(self.size()) };
        Ok(Request::Read { table, span: self.span([*a1, *a2], [*q1, *q2], limit)? })
    }

    fn write_coil(self, body: &[u8]) -> Result<Request<'_>, RequestError> {
        let [a1, a2, v1, v2] = body else { return Err(self.size()) };
        match u16::from_be_bytes([*v1, *v2]) {
            0xFF00 | 0x0000 => Ok(Request::WriteCoils { span: self.span([*a1, *a2], [0, 1], 1)? }),
            found => Err(RequestError::Value { function: self.function, found }),
        }
    }

    fn write_coils(self, body: &[u8]) -> Result<Request<'_>, RequestError> {
        let [a1, a2, q1, q2, bytes, data @ ..] = body else { return Err(self.size()) };
        let span = self.span([*a1, *a2], [*q1, *q2], 1968)?;
        let count = usize::from(u16::from_be_bytes([*q1, *q2]));
        if usize::from(*bytes) != count.div_ceil(8) {
            return Err(self.size());
        }
        self.exactly(data, usize::from(*bytes))?;
        Ok(Request::WriteCoils { span })
    }

    fn write_registers(self, body: &[u8], limit: u16) -> Result<(Range<u32>, &[u8]), RequestError> {
        let [a1, a2, q1, q2, bytes, data @ ..] = body else { return Err(self.size()) };
        let span = self.span([*a1, *a2], [*q1, *q2], limit)?;
        if usize::from(*bytes) != 2 * usize::from(u16::from_be_bytes([*q1, *q2])) {
            return Err(self.size());
        }
        self.exactly(data, usize::from(*bytes))?;
        Ok((span, data))
    }

    /// FC 20 (§6.14): a byte count of 7..=245 and that many bytes of 7-byte sub-requests.
    fn read_file(self, body: &[u8]) -> Result<Request<'_>, RequestError> {
        let [count, subs @ ..] = body else { return Err(self.size()) };
        if subs.len() != usize::from(*count) || !(7..=0xF5).contains(count) || subs.len() % 7 != 0 {
            return Err(self.size());
        }
        match subs.chunks_exact(7).find(|sub| sub[0] != REFERENCE_TYPE) {
            Some(sub) => Err(RequestError::Value { function: self.function, found: u16::from(sub[0]) }),
            None => Ok(Request::ReadFile),
        }
    }

    /// FC 21 (§6.15): a byte count of 9..=251 and that many bytes of sub-requests.
    fn write_file(self, body: &[u8]) -> Result<Request<'_>, RequestError> {
        let [count, subs @ ..] = body else { return Err(self.size()) };
        if subs.len() != usize::from(*count) || !(9..=0xFB).contains(count) {
            return Err(self.size());
        }
        let mut records = FileRecords(subs);
        while let [kind, ..] = *records.0 {
            if records.0.len() >= 7 && kind != REFERENCE_TYPE {
                return Err(RequestError::Value { function: self.function, found: u16::from(kind) });
            }
            if records.next().is_none_or(|r| r.data.is_empty()) {
                return Err(self.size());
            }
        }
        Ok(Request::WriteFile(FileRecords(subs)))
    }
}

/// The only reference type of FC 20 and 21.
const REFERENCE_TYPE: u8 = 6;

/// Exception codes (V1.1b3 §7) the gateway gives in its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exception {
    /// 01: the whole function is denied; stations read it as "unsupported" and do not retry.
    IllegalFunction = 1,
    /// 02: the address is protected.
    IllegalAddress = 2,
    /// 03: the request breaks its own rules.
    IllegalValue = 3,
    /// 04: the image is refused; flashing tools stop at once.
    DeviceFailure = 4,
    /// 06: try again later; never for a refusal that will not change.
    Busy = 6,
    /// 0A: no route to this unit.
    PathUnavailable = 0x0A,
    /// 0B: the controller did not answer.
    TargetSilent = 0x0B,
}

/// The exception reply to a request that began with `function`.
pub fn exception(function: u8, code: Exception) -> [u8; 2] {
    [function | 0x80, code as u8]
}

/// The reply a controller gives to a write it has carried out, or `None` for what is not a write.
///
/// FC 5, 6, 21 and 22 echo the request; FC 15 and 16 answer with address and quantity.
pub fn write_reply(pdu: &[u8]) -> Option<&[u8]> {
    match pdu.first()? {
        5 | 6 | 21 | 22 => Some(pdu),
        15 | 16 => pdu.get(..5),
        _ => None,
    }
}

/// The reply to FC 3 or 4 that carries `words`.
pub fn registers_reply(function: u8, words: &[u16]) -> Vec<u8> {
    let mut pdu = vec![function, (words.len() * 2) as u8];
    words.iter().for_each(|w| pdu.extend_from_slice(&w.to_be_bytes()));
    pdu
}

/// The words of a positive reply to FC 3 or 4; `None` for anything else.
pub fn registers(pdu: &[u8]) -> Option<Vec<u16>> {
    match pdu {
        [3 | 4, count, data @ ..] if usize::from(*count) == data.len() && data.len() % 2 == 0 => {
            Some(data.chunks_exact(2).map(|w| u16::from_be_bytes([w[0], w[1]])).collect())
        }
        _ => None,
    }
}

/// A write of `data` (big-endian words) from `address`, as FC 6 for one word and FC 16 for more.
pub fn write_request(address: u16, data: &[u8]) -> Vec<u8> {
    let [a1, a2] = address.to_be_bytes();
    if let [v1, v2] = *data {
        return vec![6, a1, a2, v1, v2];
    }
    let [q1, q2] = ((data.len() / 2) as u16).to_be_bytes();
    let mut pdu = vec![16, a1, a2, q1, q2, data.len() as u8];
    pdu.extend_from_slice(data);
    pdu
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_refused_for_what_is_wrong_with_it() {
        use RequestError as E;
        let cases: &[(&str, &[u8], E)] = &[
            ("read of nothing", &[3, 0, 0, 0, 0], E::Quantity { function: 3, found: 0, limit: 125 }),
            ("read of 126", &[3, 0, 0, 0, 126], E::Quantity { function: 3, found: 126, limit: 125 }),
            ("read past the end", &[4, 0xFF, 0xFF, 0, 2], E::Address { function: 4, start: 65535, count: 2 }),
            ("read with a tail", &[3, 0, 0, 0, 1, 9], E::Size { function: 3, found: 6 }),
            ("coil half on", &[5, 0, 0, 0x12, 0x34], E::Value { function: 5, found: 0x1234 }),
            ("count and bytes differ", &[16, 0, 0, 0, 2, 2, 1, 1], E::Size { function: 16, found: 8 }),
            ("124 registers", &[16, 0, 0, 0, 124, 248], E::Quantity { function: 16, found: 124, limit: 123 }),
            ("bits of another count", &[15, 0, 0, 0, 9, 1, 0], E::Size { function: 15, found: 7 }),
            ("reference type 7", &[21, 9, 7, 0, 1, 0, 0, 0, 1, 1, 2], E::Value { function: 21, found: 7 }),
            ("record of no words", &[21, 9, 6, 0, 1, 0, 0, 0, 0, 1, 2], E::Size { function: 21, found: 11 }),
            (
                "record over its frame",
                &[21, 9, 6, 0, 1, 0, 0, 0, 9, 1, 2],
                E::Size { function: 21, found: 11 },
            ),
            (
                "short second record",
                &[21, 12, 6, 0, 1, 0, 0, 0, 1, 1, 2, 6, 0, 1],
                E::Size { function: 21, found: 14 },
            ),
            (
                "write part too long",
                &[23, 0, 0, 0, 1, 0, 0, 0, 122, 244],
                E::Quantity { function: 23, found: 122, limit: 121 },
            ),
        ];
        for (what, pdu, expected) in cases {
            assert_eq!(Request::parse(pdu), Err(*expected), "{what}");
        }
    }

    #[test]
    fn every_sub_request_of_a_file_write_is_seen() {
        let pdu = [21, 20, 6, 0, 4, 0, 7, 0, 2, 1, 2, 3, 4, 6, 0, 5, 0, 0, 0, 1, 5, 6];
        let Ok(Request::WriteFile(records)) = Request::parse(&pdu) else { panic!("a file write") };
        let expected = [
            FileRecord { file: 4, record: 7, data: &[1, 2, 3, 4] },
            FileRecord { file: 5, record: 0, data: &[5, 6] },
        ];
        assert_eq!(records.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_nobody_knows_is_other_and_not_read_only() {
        for pdu in [&[90u8, 0, 0x30][..], &[65, 1], &[43, 0x0D, 0], &[100], &[0], &[127, 1], &[0x83, 2]] {
            let request = Request::parse(pdu).expect("kept");
            assert_eq!(request, Request::Other, "{pdu:?}");
            assert!(!request.is_read_only());
        }
    }

    proptest! {
        #[test]
        fn any_pdu_parses_without_panic(pdu in prop::collection::vec(any::<u8>(), 0..260)) {
            let _ = Request::parse(&pdu);
            let _ = (write_reply(&pdu), registers(&pdu));
        }
    }

    #[test]
    fn a_function_may_pass_when_its_meaning_is_known() {
        for function in 1..=127 {
            let known = Request::parse(&[function]) != Ok(Request::Other);
            assert_eq!(Request::may_pass(function), known, "function {function}");
        }
    }
}
