//! U-Boot's legacy image (U-Boot, include/image.h, `struct legacy_img_hdr`).

use flate2::Crc;

use super::place::{Place, shown};
use super::read::{be32, slice};
use super::walk::{Tried, Walk};
use crate::reasons;

const HEADER: usize = 64;

pub(super) fn unpack(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    let (Some(header), Some(size), Some(sum)) = (bytes.get(..HEADER), be32(bytes, 12), be32(bytes, 24))
    else {
        return Tried::Not;
    };
    // The header's own sum is of the header with that field empty.
    let own: Vec<u8> =
        header.iter().enumerate().map(|(at, b)| if (4..8).contains(&at) { 0 } else { *b }).collect();
    if Some(crc32(&own)) != be32(header, 4) {
        return Tried::Not;
    }
    let name = header.get(32..).unwrap_or_default().split(|b| *b == 0).next().unwrap_or_default();
    walk.container(place, format!("U-Boot legacy image {:?}", shown(name, walk.limits)));
    let Some(data) = slice(bytes, HEADER, size as usize) else {
        let rest = bytes.get(HEADER..).unwrap_or_default();
        walk.item(rest, place, depth + 1);
        return Tried::Damaged(format!("U-Boot legacy image: {} of {size} bytes", rest.len()));
    };
    if crc32(data) != sum {
        let text = format!("U-Boot legacy image: CRC-32 {:08x}, its header says {sum:08x}", crc32(data));
        walk.finding(reasons::CONTAINER_DAMAGED, place, text, false);
    }
    walk.item(data, place, depth + 1);
    Tried::Done(HEADER + data.len())
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
