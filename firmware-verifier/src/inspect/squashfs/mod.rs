//! SquashFS 4.0 (Linux, Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h), read from memory.
//!
//! Its tables point at each other by offsets that anybody may have written: each is looked up, none is trusted, a folder
//! is entered once, and what is unpacked counts each time it is unpacked.

mod inode;
mod table;

use std::collections::BTreeSet;

use inode::{Blocks, Inode};
use table::Table;

use super::place::{Place, shown};
use super::read::{index, le16, le32, le64, slice};
use super::squeeze::{self, Squeezed};
use super::walk::{Tried, Walk};
use crate::reasons;

const SUPERBLOCK: usize = 96;
/// A block that is stored as it is, in the word that gives its size.
const STORED: u32 = 1 << 24;
/// Largest data block (squashfs_fs.h, `SQUASHFS_FILE_MAX_SIZE`).
const MAX_BLOCK: usize = 1 << 20;
/// "No fragment" (squashfs_fs.h, `SQUASHFS_INVALID_FRAG`).
const NO_FRAGMENT: u32 = u32::MAX;

pub(super) fn unpack(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    let Some(superblock) = Superblock::read(bytes) else { return Tried::Not };
    let Some(image) = bytes.get(..superblock.used) else {
        return Tried::Damaged(format!("SquashFS: {} of {} bytes", bytes.len(), superblock.used));
    };
    let Some((kind, name)) = superblock.compression else {
        walk.container(place, "SquashFS 4.0, compressed with LZO or something new");
        let text = "SquashFS: compressed in a way that is not read here".to_owned();
        walk.finding(reasons::CONTAINER_DAMAGED, place, text, true);
        return Tried::Done(superblock.used);
    };
    walk.container(place, format!("SquashFS 4.0, {name}"));
    let mut fs = match Fs::open(walk, image, superblock, kind, place) {
        Ok(fs) => fs,
        Err(text) => return Tried::Damaged(format!("SquashFS: {text}")),
    };
    let root = fs.superblock.root;
    if let Err(text) = fs.folder(walk, root, "", depth) {
        walk.finding(reasons::CONTAINER_DAMAGED, place, format!("SquashFS: {text}"), true);
    }
    Tried::Done(fs.superblock.used)
}

struct Superblock {
    block: usize,
    fragments: usize,
    compression: Option<(Squeezed, &'static str)>,
    root: u64,
    used: usize,
    inodes: usize,
    folders: usize,
    /// Fragments, exports, ids.
    tables: [usize; 3],
}

impl Superblock {
    /// Of a file system that could be one: version 4.0, a block size that agrees with its logarithm.
    fn read(bytes: &[u8]) -> Option<Superblock> {
        let block = le32(bytes, 12)?;
        let version = (le16(bytes, 28)?, le16(bytes, 30)?);
        let log = u32::from(le16(bytes, 22)?);
        if version != (4, 0) || block.checked_ilog2() != Some(log) || !block.is_power_of_two() {
            return None;
        }
        let block = index(u64::from(block)).filter(|size| (4096..=MAX_BLOCK).contains(size))?;
        let compression = match le16(bytes, 20)? {
            1 => Some((Squeezed::Zlib, "gzip")),
            2 => Some((Squeezed::Lzma, "LZMA")),
            4 => Some((Squeezed::Xz, "xz")),
            5 => Some((Squeezed::Lz4, "LZ4")),
            6 => Some((Squeezed::Zstd, "zstd")),
            _ => None,
        };
        let used = index(le64(bytes, 40)?).filter(|used| *used > SUPERBLOCK)?;
        Some(Superblock {
            block,
            fragments: le32(bytes, 16)? as usize,
            compression,
            root: le64(bytes, 32)?,
            used,
            inodes: index(le64(bytes, 64)?)?,
            folders: index(le64(bytes, 72)?)?,
            tables: [index(le64(bytes, 80)?)?, index(le64(bytes, 88)?)?, index(le64(bytes, 48)?)?],
        })
    }
}

struct Fs<'a> {
    image: &'a [u8],
    superblock: Superblock,
    kind: Squeezed,
    place: &'a Place,
    inodes: Table,
    folders: Table,
    /// Where fragments lie, and how long they are.
    fragments: Vec<(u64, u32)>,
    /// The fragment block that was read last: files that share one follow each other.
    fragment: Option<(u32, Vec<u8>)>,
    entered: BTreeSet<u64>,
}

impl<'a> Fs<'a> {
    fn open(
        walk: &mut Walk<'_>,
        image: &'a [u8],
        superblock: Superblock,
        kind: Squeezed,
        place: &'a Place,
    ) -> Result<Fs<'a>, String> {
        let inodes = Table::read(walk, image, superblock.inodes, superblock.folders, kind, place)?;
        // Behind the folders come the blocks of other tables, each of which ends in pointers to its own blocks.
        let tables = superblock.tables.iter().filter(|at| **at < image.len());
        let first = tables.flat_map(|at| [Some(*at), le64(image, *at).and_then(index)]).flatten();
        let end = first.filter(|at| *at > superblock.folders).min().unwrap_or(image.len());
        let folders = Table::read(walk, image, superblock.folders, end.min(image.len()), kind, place)?;
        let mut fs = Fs {
            image,
            kind,
            place,
            inodes,
            folders,
            fragments: vec![],
            fragment: None,
            entered: BTreeSet::new(),
            superblock,
        };
        fs.read_fragments(walk)?;
        Ok(fs)
    }

    /// 512 entries of 16 bytes a metadata block.
    fn read_fragments(&mut self, walk: &mut Walk<'_>) -> Result<(), String> {
        let [pointers, ..] = self.superblock.tables;
        for n in 0..self.superblock.fragments.div_ceil(512) {
            let at = le64(self.image, pointers.saturating_add(8 * n))
                .and_then(index)
                .ok_or("a fragment table cut short")?;
            let (block, _) =
                table::block(self.image, at, self.kind).map_err(|e| format!("fragment table: {e}"))?;
            if !walk.work(self.place, 8192) {
                return Err("a limit was reached".into());
            }
            for entry in block.chunks_exact(16) {
                if let (Some(start), Some(size)) = (le64(entry, 0), le32(entry, 8)) {
                    self.fragments.push((start, size));
                }
            }
        }
        Ok(())
    }

    fn folder(
        &mut self,
        walk: &mut Walk<'_>,
        reference: u64,
        path: &str,
        depth: usize,
    ) -> Result<(), String> {
        let shown_path = || format!("the folder {path:?}");
        if !self.entered.insert(reference) {
            return Err(format!("{} is inside itself, or in two places", shown_path()));
        }
        // Linux takes no path longer than this (PATH_MAX); a chain of folders is no deeper.
        if path.len() > walk.limits.name || path.matches('/').count() > 64 {
            return Err(format!("{} is more than 64 folders deep", shown_path()));
        }
        let inode = Inode::read(&self.inodes, reference, self.superblock.block)
            .ok_or_else(|| format!("{} has no inode", shown_path()))?;
        let Inode::Folder { start, offset, size } = inode else {
            return Err(format!("{} is none", shown_path()));
        };
        let listing = self.folders.range(start, offset, size.saturating_sub(3));
        let listing = listing.ok_or_else(|| format!("{} has no listing", shown_path()))?.to_vec();
        let entries =
            inode::listing(&listing).ok_or_else(|| format!("{} has a damaged listing", shown_path()))?;
        let mut names: BTreeSet<Vec<u8>> = BTreeSet::new();
        for (name, reference) in entries {
            if !walk.entry(self.place) {
                return Ok(());
            }
            let full = format!("{path}/{}", shown(&name, walk.limits));
            // A name with a way in it, or one name twice, of which one is a link: how unpackers were led astray
            // (CVE-2021-40153, CVE-2021-41072).
            if name.contains(&b'/') || name == b".." || name == b"." || !names.insert(name.clone()) {
                let text =
                    format!("the folder {path:?} has {:?} twice, or it is a way", shown(&name, walk.limits));
                walk.finding(reasons::NAME_LEADS_OUT, self.place, text, false);
            }
            let done = self.entry(walk, reference, &full, depth);
            if let Err(text) = done {
                walk.finding(reasons::CONTAINER_DAMAGED, self.place, format!("SquashFS: {text}"), true);
            }
        }
        Ok(())
    }

    fn entry(&mut self, walk: &mut Walk<'_>, reference: u64, path: &str, depth: usize) -> Result<(), String> {
        match Inode::read(&self.inodes, reference, self.superblock.block) {
            None => Err(format!("{path:?} has no inode")),
            Some(Inode::Folder { .. }) => self.folder(walk, reference, path, depth),
            Some(Inode::File(blocks)) => {
                let bytes = self.file(walk, &blocks).map_err(|e| format!("{path:?}: {e}"))?;
                walk.file(&bytes, self.place, path, depth + 1);
                Ok(())
            }
            Some(Inode::Link(target)) => {
                walk.name(self.place, path.trim_start_matches('/').as_bytes(), Some(&target));
                Ok(())
            }
            Some(Inode::Other) => Ok(()),
        }
    }

    fn file(&mut self, walk: &mut Walk<'_>, blocks: &Blocks) -> Result<Vec<u8>, String> {
        let size = index(blocks.size).filter(|size| *size <= walk.limits.item).ok_or("it is too large")?;
        if walk.is_stopped() || !walk.unpacked(self.place, size) {
            return Err("a limit was reached".into());
        }
        let (mut at, mut out) = (blocks.start, Vec::new());
        for word in &blocks.sizes {
            let want = self.superblock.block.min(size - out.len());
            let len = (word & !STORED) as usize;
            if len == 0 {
                out.resize(out.len() + want, 0); // a hole
                continue;
            }
            let piece = self.block(walk, at, *word)?;
            if piece.len() != want {
                return Err(format!("a block of {} bytes, expected {want}", piece.len()));
            }
            out.extend(piece);
            at = at.saturating_add(len as u64);
        }
        if blocks.fragment != NO_FRAGMENT {
            let tail = size - out.len();
            let fragment = self.fragment(walk, blocks.fragment)?;
            out.extend_from_slice(
                slice(fragment, blocks.offset as usize, tail).ok_or("its fragment is too short")?,
            );
        }
        if out.len() == size { Ok(out) } else { Err(format!("{} of {size} bytes", out.len())) }
    }

    fn fragment(&mut self, walk: &mut Walk<'_>, number: u32) -> Result<&[u8], String> {
        if self.fragment.as_ref().is_none_or(|(n, _)| *n != number) {
            let (start, size) = *self.fragments.get(number as usize).ok_or("a fragment that there is not")?;
            self.fragment = Some((number, self.block(walk, start, size)?));
        }
        Ok(self.fragment.as_ref().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default())
    }

    fn block(&self, walk: &mut Walk<'_>, at: u64, word: u32) -> Result<Vec<u8>, String> {
        if !walk.work(self.place, self.superblock.block as u64) {
            return Err("a limit was reached".into());
        }
        let packed = index(at).and_then(|at| slice(self.image, at, (word & !STORED) as usize));
        let packed = packed.ok_or("a block outside of the file system")?;
        match word & STORED {
            0 => squeeze::block(self.kind, packed, self.superblock.block),
            _ if packed.len() <= self.superblock.block => Ok(packed.to_vec()),
            _ => Err("a stored block that is too large".into()),
        }
    }
}
