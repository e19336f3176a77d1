//! Compressed streams: gzip (RFC 1952), zlib (RFC 1950), xz, LZMA alone, zstd (RFC 8878), LZ4 frames.

use std::io::Read;

use flate2::bufread::{GzDecoder, ZlibDecoder};
use lzma_rust2::{LzmaReader, XzReader};
use ruzstd::decoding::StreamingDecoder;

use super::place::Place;
use super::read::{le32, le64, slice};
use super::walk::{Tried, Walk};

/// Largest dictionary or window that a stream may ask for: xz -9 takes 64 MiB.
pub(super) const MAX_DICTIONARY: u32 = 64 << 20;
/// The same for xz, in KiB, with what the decoder takes besides.
pub(super) const XZ_MEMORY_KIB: u32 = (MAX_DICTIONARY >> 10) + 1024;
/// Largest block of LZ4: 4 MiB in frames, 8 MiB in the legacy form (lz4 frame format, "Legacy frame").
const LZ4_BLOCK: usize = 8 << 20;

pub(super) fn gzip(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    // RFC 1952 §2.3.1: the upper three flags are zero.
    if bytes.get(3).is_none_or(|flags| flags & 0xe0 != 0) {
        return Tried::Not;
    }
    let mut input = bytes;
    let expanded = walk.expand(place, &mut GzDecoder::new(&mut input));
    finish(walk, expanded, bytes.len() - input.len(), "gzip", place, depth)
}

/// Its mark is two bytes that are anywhere, so it counts at the start of something only, and when it unpacks.
pub(super) fn zlib(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    let [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] = bytes else { return Tried::Not };
    let mut input = bytes;
    let expanded = walk.expand(place, &mut ZlibDecoder::new(&mut input));
    if expanded.bytes.len() < 1024 && expanded.error.is_some() {
        return Tried::Not; // an accident
    }
    match finish(walk, expanded, bytes.len() - input.len(), "zlib", place, depth) {
        Tried::Damaged(text) => {
            walk.finding(crate::reasons::CONTAINER_DAMAGED, place, text.clone(), true);
            Tried::Damaged(text)
        }
        other => other,
    }
}

pub(super) fn xz(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    // The mark alone is in every program that reads xz; behind it come flags and their sum (xz file format §2.1.1).
    let mut sum = flate2::Crc::new();
    sum.update(bytes.get(6..8).unwrap_or_default());
    if le32(bytes, 8) != Some(sum.sum()) || !walk.work(place, u64::from(MAX_DICTIONARY) / 16) {
        return Tried::Not;
    }
    let mut input = bytes;
    let expanded = walk.expand(place, &mut XzReader::new_mem_limit(&mut input, false, XZ_MEMORY_KIB));
    finish(walk, expanded, bytes.len() - input.len(), "xz", place, depth)
}

/// Has no mark of its own: what cannot be is left alone (as liblzma does, `alone_decoder.c`).
pub(super) fn lzma(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    let (Some(dictionary), Some(size)) = (le32(bytes, 1), le64(bytes, 5)) else { return Tried::Not };
    let round =
        dictionary.is_power_of_two() || (dictionary / 3).is_power_of_two() && dictionary.is_multiple_of(3);
    let fits = round && (4096..=MAX_DICTIONARY).contains(&dictionary);
    let sized = size == u64::MAX || (1..=walk.limits.item as u64).contains(&size);
    if !fits || !sized || bytes.get(13) != Some(&0) || !walk.work(place, u64::from(dictionary)) {
        return Tried::Not;
    }
    let Ok(mut decoder) = LzmaReader::new_mem_limit(bytes, XZ_MEMORY_KIB, None) else { return Tried::Not };
    let expanded = walk.expand(place, &mut decoder);
    // It reads ahead, so nobody knows where it ends: what follows is searched from its header on.
    match finish(walk, expanded, bytes.len(), "LZMA", place, depth) {
        Tried::Done(_) => Tried::Done(14),
        other => other,
    }
}

pub(super) fn zstd(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    let mut input = bytes;
    let window = u64::from(MAX_DICTIONARY);
    let expanded = match StreamingDecoder::new_with_max_window_size(&mut input, window) {
        Ok(mut decoder) => walk.expand(place, &mut decoder),
        Err(e) => return Tried::Damaged(format!("zstd: {e}")),
    };
    finish(walk, expanded, bytes.len() - input.len(), "zstd", place, depth)
}

pub(super) fn lz4(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    // Following its blocks costs something for each of them.
    if !walk.work(place, bytes.len() as u64 / 4) {
        return Tried::Not;
    }
    let Some(len) = lz4_frame(bytes) else { return Tried::Damaged("LZ4: the frame has no end".into()) };
    let frame = bytes.get(..len).unwrap_or_default();
    if !walk.work(place, LZ4_BLOCK as u64) {
        return Tried::Not;
    }
    let expanded = walk.expand(place, &mut lz4_flex::frame::FrameDecoder::new(frame));
    finish(walk, expanded, len, "LZ4", place, depth)
}

/// Bytes of the frame (lz4 frame format 1.6.4), of which the decoder would go on into what follows.
fn lz4_frame(bytes: &[u8]) -> Option<usize> {
    let flags = *bytes.get(4)?;
    if flags >> 6 != 1 {
        return None; // version 01
    }
    let has = |bit: u8, len: usize| if flags & bit != 0 { len } else { 0 };
    let mut at = 4 + 2 + has(0x08, 8) + has(0x01, 4) + 1;
    loop {
        let size = le32(bytes, at)?;
        at += 4;
        if size == 0 {
            at += has(0x04, 4);
            return (at <= bytes.len()).then_some(at);
        }
        at = at.checked_add((size & 0x7fff_ffff) as usize)?.checked_add(has(0x10, 4))?;
    }
}

/// Blocks behind the mark, each with its size, until one is not full: so the kernel packs itself.
pub(super) fn lz4_legacy(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    let (mut at, mut out, mut error) = (4, Vec::new(), None);
    while let Some(block) = le32(bytes, at).and_then(|size| slice(bytes, at + 4, size as usize)) {
        if block.is_empty() || !walk.work(place, LZ4_BLOCK as u64) || out.len() > walk.limits.item {
            break;
        }
        let before = out.len();
        match lz4_flex::block::decompress(block, LZ4_BLOCK) {
            Ok(piece) => out.extend_from_slice(&piece),
            Err(e) => error = Some(e.to_string()),
        }
        if error.is_some() || !walk.unpacked(place, out.len() - before) {
            break;
        }
        at += 4 + block.len();
        if out.len() - before < LZ4_BLOCK {
            break;
        }
    }
    if out.is_empty() {
        return Tried::Not;
    }
    finish(
        walk,
        super::walk::Expanded { bytes: out, error, limit: false },
        at,
        "LZ4, legacy form",
        place,
        depth,
    )
}

/// Looks into what came out. Of a stream that ends in an error, what came before it is looked at all the same.
fn finish(
    walk: &mut Walk<'_>,
    expanded: super::walk::Expanded,
    packed: usize,
    what: &str,
    place: &Place,
    depth: usize,
) -> Tried {
    let super::walk::Expanded { bytes, error, limit } = expanded;
    let error = error.filter(|_| !limit); // which is told already
    if let Some(error) = error {
        // A mark that is an accident gives a few bytes of noise.
        if bytes.len() >= 4096 {
            walk.container(place, format!("{what}, damaged"));
            walk.item(&bytes, place, depth + 1);
        }
        return Tried::Damaged(format!("{what}: {error} after {} bytes", bytes.len()));
    }
    walk.ratio(place, packed, bytes.len());
    walk.container(place, what);
    walk.item(&bytes, place, depth + 1);
    Tried::Done(packed)
}

/// One block that its container says is compressed so.
pub(super) fn block(kind: Squeezed, block: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let limit = most as u64 + 1;
    let text = |e: &dyn std::fmt::Display| e.to_string();
    match kind {
        Squeezed::Zlib => ZlibDecoder::new(block).take(limit).read_to_end(&mut out).map_err(|e| text(&e))?,
        Squeezed::Xz => XzReader::new_mem_limit(block, false, XZ_MEMORY_KIB)
            .take(limit)
            .read_to_end(&mut out)
            .map_err(|e| text(&e))?,
        Squeezed::Lzma => LzmaReader::new_mem_limit(block, XZ_MEMORY_KIB, None)
            .and_then(|reader| reader.take(limit).read_to_end(&mut out))
            .map_err(|e| text(&e))?,
        Squeezed::Zstd => StreamingDecoder::new_with_max_window_size(block, u64::from(MAX_DICTIONARY))
            .map_err(|e| text(&e))?
            .take(limit)
            .read_to_end(&mut out)
            .map_err(|e| text(&e))?,
        Squeezed::Lz4 => {
            out = lz4_flex::block::decompress(block, most).map_err(|e| text(&e))?;
            out.len()
        }
    };
    if out.len() > most { Err(format!("a block of more than {most} bytes")) } else { Ok(out) }
}

/// How blocks of a file system are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Squeezed {
    Zlib,
    Xz,
    Lzma,
    Zstd,
    Lz4,
}
