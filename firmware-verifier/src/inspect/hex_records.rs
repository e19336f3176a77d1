//! Images as lines of text: Intel HEX (Intel, "Hexadecimal Object File Format Specification", 1988) and Motorola S-records.

use super::place::Place;
use super::walk::Walk;
use crate::reasons;

/// Longest line: 255 bytes in hexadecimal, with everything around.
const MAX_LINE: usize = 530;

/// Unpacks what begins like one of the two; whether it did.
pub(super) fn unpack(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> bool {
    type Read = fn(&[u8], &mut State) -> Result<Option<(u64, Vec<u8>)>, String>;
    let (name, what, read): (_, _, Read) = match bytes {
        [b':', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => ("ihex", "Intel HEX", intel),
        [b'S', b'0'..=b'9', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
            ("srec", "S-records", motorola)
        }
        _ => return false,
    };
    // One whole good line, or it is other text.
    let first = bytes.split(|b| matches!(b, b'\n' | b'\r')).next().unwrap_or_default();
    if read(first, &mut State::default()).is_err() {
        return false;
    }
    let inner = place.container(name, 0);
    walk.container(&inner, what);
    let (mut state, mut segment, mut start, mut next) = (State::default(), Vec::new(), 0, 0);
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || state.ended {
            continue;
        }
        match read(line, &mut state) {
            Ok(None) => {}
            Ok(Some((address, data))) => {
                if !walk.unpacked(&inner, data.len()) {
                    return true;
                }
                if address != next && !segment.is_empty() {
                    if !walk.entry(&inner) {
                        return true;
                    }
                    walk.item(&std::mem::take(&mut segment), &inner.entry(&format!("{start:#x}")), depth + 1);
                }
                if segment.is_empty() {
                    start = address;
                }
                next = address.saturating_add(data.len() as u64);
                segment.extend(data);
            }
            Err(text) => {
                let text = format!("{what}: line {}: {text}", number + 1);
                walk.finding(reasons::CONTAINER_DAMAGED, &inner, text, true);
                break;
            }
        }
    }
    if !state.ended {
        walk.finding(reasons::CONTAINER_DAMAGED, &inner, format!("{what}: no record that ends it"), true);
    }
    walk.item(&segment, &inner.entry(&format!("{start:#x}")), depth + 1);
    true
}

#[derive(Default)]
struct State {
    /// What the extended-address records of Intel HEX add.
    base: u64,
    ended: bool,
}

fn digits(line: &[u8]) -> Result<Vec<u8>, String> {
    if line.len() > MAX_LINE || !line.len().is_multiple_of(2) {
        return Err(format!("{} digits", line.len()));
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [a, b] => Some((digit(*a)? * 16 + digit(*b)?) as u8),
        _ => None,
    };
    line.chunks(2).map(byte).collect::<Option<Vec<u8>>>().ok_or_else(|| "a digit that is none".into())
}

fn intel(line: &[u8], state: &mut State) -> Result<Option<(u64, Vec<u8>)>, String> {
    let record = digits(line.strip_prefix(b":").ok_or("no colon")?)?;
    let [len, high, low, kind, rest @ ..] = record.as_slice() else { return Err("cut short".into()) };
    let Some((_, data)) = rest.split_last().filter(|(_, data)| data.len() == usize::from(*len)) else {
        return Err(format!("a length of {len}, and {} bytes", rest.len()));
    };
    if record.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b)) != 0 {
        return Err("a wrong checksum".into());
    }
    let number = || data.iter().fold(0_u64, |n, b| (n << 8 | u64::from(*b)) & 0xffff_ffff);
    match kind {
        0 => return Ok(Some((state.base + u64::from(*high) * 256 + u64::from(*low), data.to_vec()))),
        1 => state.ended = true,
        2 => state.base = (number() & 0xffff) << 4,
        4 => state.base = (number() & 0xffff) << 16,
        3 | 5 => {}
        other => return Err(format!("a record of kind {other}")),
    }
    Ok(None)
}

fn motorola(line: &[u8], state: &mut State) -> Result<Option<(u64, Vec<u8>)>, String> {
    let [b'S', kind, rest @ ..] = line else { return Err("no S".into()) };
    let record = digits(rest)?;
    let [len, rest @ ..] = record.as_slice() else { return Err("cut short".into()) };
    if rest.len() != usize::from(*len) {
        return Err(format!("a length of {len}, and {} bytes", rest.len()));
    }
    if record.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b)) != 0xff {
        return Err("a wrong checksum".into());
    }
    let width = match kind {
        b'1' => 2,
        b'2' => 3,
        b'3' => 4,
        b'7'..=b'9' => {
            state.ended = true;
            return Ok(None);
        }
        b'0' | b'5' | b'6' => return Ok(None),
        other => return Err(format!("a record of kind {:?}", char::from(*other))),
    };
    let (Some(address), Some(data)) = (rest.get(..width), rest.get(width..rest.len().saturating_sub(1)))
    else {
        return Err("cut short".into());
    };
    Ok(Some((address.iter().fold(0, |n, b| n << 8 | u64::from(*b)), data.to_vec())))
}
