//! Inodes and the listings of folders (squashfs_fs.h, `struct squashfs_*_inode`, `squashfs_dir_header`).

use super::super::read::{le16, le32, le64, slice};
use super::NO_FRAGMENT;
use super::table::Table;

/// What is looked at of an inode.
pub(super) enum Inode {
    Folder {
        start: u64,
        offset: usize,
        size: usize,
    },
    File(Blocks),
    Link(Vec<u8>),
    /// A device, a pipe, a socket.
    Other,
}

/// Where a file is.
pub(super) struct Blocks {
    pub(super) size: u64,
    pub(super) start: u64,
    /// Size of each block as it is stored.
    pub(super) sizes: Vec<u32>,
    /// Number of the block with its end, and where in it that begins.
    pub(super) fragment: u32,
    pub(super) offset: u32,
}

impl Inode {
    /// The inode at a reference: its block in the upper bits, the offset there in the lower 16.
    pub(super) fn read(table: &Table, reference: u64, block: usize) -> Option<Inode> {
        let inode = table.from(reference >> 16, (reference & 0xffff) as usize)?;
        let word = |at| le32(inode, at);
        Some(match le16(inode, 0)? {
            1 => Inode::Folder {
                start: u64::from(word(16)?),
                size: usize::from(le16(inode, 24)?),
                offset: usize::from(le16(inode, 26)?),
            },
            8 => Inode::Folder {
                size: word(20)? as usize,
                start: u64::from(word(24)?),
                offset: usize::from(le16(inode, 34)?),
            },
            2 => {
                let (size, fragment) = (u64::from(word(28)?), word(20)?);
                let sizes = sizes(inode, 32, size, fragment, block)?;
                Inode::File(Blocks { size, start: u64::from(word(16)?), sizes, fragment, offset: word(24)? })
            }
            9 => {
                let (size, fragment) = (le64(inode, 24)?, word(44)?);
                let sizes = sizes(inode, 56, size, fragment, block)?;
                Inode::File(Blocks { size, start: le64(inode, 16)?, sizes, fragment, offset: word(48)? })
            }
            3 | 10 => Inode::Link(slice(inode, 24, word(20)? as usize)?.to_vec()),
            4..=7 | 11..=14 => Inode::Other,
            _ => return None,
        })
    }
}

/// The words behind a file's inode: one a block, and none for the end that is in a fragment.
fn sizes(inode: &[u8], at: usize, size: u64, fragment: u32, block: usize) -> Option<Vec<u32>> {
    let block = block as u64;
    let count = if fragment == NO_FRAGMENT { size.div_ceil(block) } else { size / block };
    let words = slice(inode, at, usize::try_from(count).ok()?.checked_mul(4)?)?;
    Some(words.chunks_exact(4).filter_map(|word| le32(word, 0)).collect())
}

/// Names in a folder, and the inodes that they stand for.
pub(super) fn listing(mut bytes: &[u8]) -> Option<Vec<(Vec<u8>, u64)>> {
    let mut entries = vec![];
    while !bytes.is_empty() {
        let (count, start) = (le32(bytes, 0)?, le32(bytes, 4)?);
        // squashfs_fs.h, `SQUASHFS_DIR_COUNT`, less one.
        if count > 255 {
            return None;
        }
        bytes = bytes.get(12..)?;
        for _ in 0..=count {
            let (offset, len) = (le16(bytes, 0)?, usize::from(le16(bytes, 6)?) + 1);
            let name = slice(bytes, 8, len)?;
            entries.push((name.to_vec(), u64::from(start) << 16 | u64::from(offset)));
            bytes = bytes.get(8 + len..)?;
        }
    }
    Some(entries)
}
