//! cpio in its newc form, as initramfs has it (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

use super::place::{Place, shown};
use super::read::slice;
use super::walk::{Tried, Walk};

const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";
/// Kind of file in its mode (POSIX.1, `S_IFMT`).
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

pub(super) fn unpack(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    let mut at = 0;
    loop {
        let Some((header, end)) = entry(bytes, at) else {
            return match at {
                0 if !is_header(bytes.get(..HEADER).unwrap_or_default()) => Tried::Not,
                _ => Tried::Damaged(format!("cpio: no whole entry at {at:#x}, and no trailer before")),
            };
        };
        if header.name == TRAILER {
            return Tried::Done(end.min(bytes.len()));
        }
        if at == 0 {
            walk.container(place, "cpio, newc");
        }
        if !walk.entry(place) {
            return Tried::Done(bytes.len());
        }
        let kind = header.mode & KIND;
        walk.name(place, header.name, (kind == LINK).then_some(header.data));
        if kind == REGULAR && !header.data.is_empty() {
            let name = shown(header.name, walk.limits);
            walk.file(header.data, place, &name, depth + 1);
        }
        at = end;
    }
}

/// So many digits in a row are no accident.
fn is_header(header: &[u8]) -> bool {
    header.len() == HEADER && header.iter().all(u8::is_ascii_hexdigit)
}

struct Entry<'a> {
    mode: u32,
    name: &'a [u8],
    data: &'a [u8],
}

/// The entry at an offset, and where the next one begins.
fn entry(bytes: &[u8], at: usize) -> Option<(Entry<'_>, usize)> {
    let header = slice(bytes, at, HEADER)?;
    if !matches!(header.get(..6)?, b"070701" | b"070702") {
        return None;
    }
    let field = |n: usize| {
        let digits = header.get(6 + 8 * n..14 + 8 * n)?;
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        is_hex.then(|| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
    };
    let (mode, size, name_len) = (field(1)?, field(6)? as usize, field(11)? as usize);
    let name = slice(bytes, at + HEADER, name_len)?.strip_suffix(b"\0")?;
    let start = (at + HEADER).checked_add(name_len)?.next_multiple_of(4);
    let data = slice(bytes, start, size)?;
    Some((Entry { mode, name, data }, (start + size).next_multiple_of(4)))
}
