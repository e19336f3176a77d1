//! tar: ustar (POSIX.1-1988), pax paths (POSIX.1-2001) and long names of GNU tar.

use std::collections::BTreeSet;

use super::place::{Place, shown};
use super::read::slice;
use super::walk::{Tried, Walk};
use crate::reasons;

const BLOCK: usize = 512;

pub(super) fn unpack(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    if !bytes.get(..BLOCK).is_some_and(is_header) {
        return Tried::Not;
    }
    walk.container(place, "tar");
    let mut links: BTreeSet<Vec<u8>> = BTreeSet::new();
    let (mut at, mut long) = (0, None);
    loop {
        let Some(header) = slice(bytes, at, BLOCK) else {
            return Tried::Damaged("tar: it ends without its two empty blocks".into());
        };
        if header.iter().all(|b| *b == 0) {
            let empty =
                bytes.get(at..).unwrap_or_default().chunks(BLOCK).take_while(|b| b.iter().all(|b| *b == 0));
            return Tried::Done((at + empty.map(<[u8]>::len).sum::<usize>()).min(bytes.len()));
        }
        if !is_header(header) {
            return Tried::Damaged(format!("tar: no header with a good checksum at {at:#x}"));
        }
        let kind = header.get(156).copied().unwrap_or_default();
        // Links and folders have a size that says nothing.
        let size = if matches!(kind, b'1'..=b'6') {
            Some(0)
        } else {
            number(header.get(124..136).unwrap_or_default())
        };
        let Some(data) = size.and_then(|size| slice(bytes, at + BLOCK, size)) else {
            return Tried::Damaged(format!("tar: the entry at {at:#x} is longer than what there is"));
        };
        at += BLOCK + data.len().div_ceil(BLOCK) * BLOCK;
        match kind {
            b'L' => long = Some(until_nul(data).to_vec()),
            b'x' => long = pax_path(data).or(long),
            b'g' | b'K' => {}
            _ => {
                if !walk.entry(place) {
                    return Tried::Done(bytes.len());
                }
                let name = long.take().unwrap_or_else(|| header_name(header));
                let target = (kind == b'2').then(|| until_nul(header.get(157..257).unwrap_or_default()));
                walk.name(place, &name, target);
                if through_link(&links, &name) {
                    let text = format!(
                        "{:?} is to be written through a link of the same archive",
                        shown(&name, walk.limits)
                    );
                    walk.finding(reasons::NAME_LEADS_OUT, place, text, false);
                }
                if target.is_some() {
                    links.insert(clean(&name));
                }
                if matches!(kind, b'0' | 0 | b'7') {
                    let name = shown(&name, walk.limits);
                    walk.file(data, place, &name, depth + 1);
                }
            }
        }
    }
}

/// The sum of its bytes, with the sum's own field as blanks (POSIX.1, ustar interchange format).
fn is_header(block: &[u8]) -> bool {
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u64::from(*b) })
        .sum();
    let said = block.get(148..156).and_then(number);
    block.get(257..262) == Some(b"ustar") && said == usize::try_from(sum).ok()
}

/// Octal digits, or GNU's form for large ones: the first bit set, then a number of 11 bytes.
fn number(field: &[u8]) -> Option<usize> {
    if let [0x80, rest @ ..] = field {
        return rest.iter().try_fold(0_usize, |n, b| n.checked_mul(256)?.checked_add(usize::from(*b)));
    }
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim();
    if text.is_empty() { Some(0) } else { usize::from_str_radix(text, 8).ok() }
}

fn header_name(header: &[u8]) -> Vec<u8> {
    let name = until_nul(header.get(..100).unwrap_or_default());
    // GNU's magic has blanks where the prefix would follow another one.
    let prefix = until_nul(header.get(345..500).unwrap_or_default());
    if header.get(257..263) == Some(b"ustar\0") && !prefix.is_empty() {
        [prefix, b"/", name].concat()
    } else {
        name.to_vec()
    }
}

/// `path` among records of the form `LENGTH KEY=VALUE\n`.
fn pax_path(mut data: &[u8]) -> Option<Vec<u8>> {
    let mut path = None;
    while let Some(blank) = data.iter().position(|b| *b == b' ') {
        let len: usize = std::str::from_utf8(data.get(..blank)?).ok()?.parse().ok()?;
        let record = data.get(blank + 1..len.checked_sub(1)?)?;
        if let Some(value) = record.strip_prefix(b"path=") {
            path = Some(value.to_vec());
        }
        data = data.get(len..)?;
    }
    path
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// The name without what says nothing: `./a//b/` is `a/b`.
fn clean(name: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = name.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").collect();
    parts.join(&b'/')
}

/// Whether a folder on the way to it is a link that came before.
fn through_link(links: &BTreeSet<Vec<u8>>, name: &[u8]) -> bool {
    if links.is_empty() {
        return false;
    }
    let name = clean(name);
    let folders = name.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    folders.take(256).any(|at| name.get(..at).is_some_and(|folder| links.contains(folder)))
}
