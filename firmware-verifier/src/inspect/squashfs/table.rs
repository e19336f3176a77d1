//! A table in metadata blocks of at most 8 KiB, of which each is compressed for itself.

use std::collections::BTreeMap;

use super::super::place::Place;
use super::super::read::{le16, slice};
use super::super::squeeze::{self, Squeezed};
use super::super::walk::Walk;

/// Bytes of a metadata block (squashfs_fs.h, `SQUASHFS_METADATA_SIZE`).
const METADATA: usize = 8192;
/// A metadata block that is stored as it is.
const STORED: u16 = 1 << 15;

/// A table, unpacked.
pub(super) struct Table {
    bytes: Vec<u8>,
    /// Where the block that begins at this offset of the table was unpacked to.
    blocks: BTreeMap<u64, usize>,
}

impl Table {
    /// Reads the blocks from `start` to `end`.
    pub(super) fn read(
        walk: &mut Walk<'_>,
        image: &[u8],
        start: usize,
        end: usize,
        kind: Squeezed,
        place: &Place,
    ) -> Result<Table, String> {
        let (mut at, mut table) = (start, Table { bytes: vec![], blocks: BTreeMap::new() });
        while at < end {
            if !walk.work(place, METADATA as u64) || !walk.unpacked(place, METADATA) {
                return Err("a limit was reached".into());
            }
            let (bytes, len) = block(image, at, kind).map_err(|e| format!("metadata at {at:#x}: {e}"))?;
            table.blocks.insert((at - start) as u64, table.bytes.len());
            table.bytes.extend(bytes);
            at += len;
        }
        Ok(table)
    }

    /// `len` bytes from `offset` in the block that begins at `start`.
    pub(super) fn range(&self, start: u64, offset: usize, len: usize) -> Option<&[u8]> {
        slice(&self.bytes, self.blocks.get(&start)?.checked_add(offset)?, len)
    }

    /// Everything from there on.
    pub(super) fn from(&self, start: u64, offset: usize) -> Option<&[u8]> {
        self.bytes.get(self.blocks.get(&start)?.checked_add(offset)?..)
    }
}

/// One metadata block, and how many bytes it takes with its header.
pub(super) fn block(image: &[u8], at: usize, kind: Squeezed) -> Result<(Vec<u8>, usize), String> {
    let word = le16(image, at).ok_or("outside of the file system")?;
    let len = usize::from(word & !STORED);
    let packed = slice(image, at + 2, len).filter(|p| !p.is_empty()).ok_or("cut short")?;
    let bytes = match word & STORED {
        0 => squeeze::block(kind, packed, METADATA)?,
        _ => packed.to_vec(),
    };
    Ok((bytes, 2 + len))
}
