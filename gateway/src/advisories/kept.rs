//! A database in the data folder. Opening reads every byte once and gives its digest; what is read later is
//! hashed again, block by block, so that a file that was altered since then says nothing.

use std::io;

use firmware_verifier::Digest;
use firmware_verifier::advisory::database::{DatabaseError, ReadAt};
use firmware_verifier::digest::DigestStream;
use hal::store::StoreFile;

use super::MAX_IMPORT;

/// Bytes that are hashed together: a question reads a few hundred here and there.
const BLOCK: usize = 4096;

/// A file of which each block is checked whenever it is read.
#[derive(Debug)]
pub struct KeptFile {
    file: StoreFile,
    len: u64,
    blocks: Vec<Digest>,
}

impl KeptFile {
    /// Reads the file, and says which it is.
    pub fn open(file: StoreFile) -> Result<(KeptFile, Digest), DatabaseError> {
        let len = file.size().map_err(unread)?;
        if len > MAX_IMPORT {
            return Err(unread(format!("{len} bytes, at most {MAX_IMPORT} are imported")));
        }
        let mut whole = DigestStream::new();
        let mut blocks = Vec::with_capacity(usize::try_from(len).unwrap_or(0).div_ceil(BLOCK));
        let (mut block, mut at) = ([0; BLOCK], 0);
        while at < len {
            let part = &mut block[..part_of(len, at)];
            fill(&file, at, part)?;
            whole.update(part);
            blocks.push(Digest::of(part));
            at += part.len() as u64;
        }
        Ok((KeptFile { file, len, blocks }, whole.finish()))
    }
}

impl ReadAt for KeptFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), DatabaseError> {
        let end = at.checked_add(into.len() as u64).filter(|end| *end <= self.len);
        end.ok_or_else(|| unread("an offset past the end"))?;
        let (mut at, mut rest, mut block) = (at, into, [0; BLOCK]);
        while !rest.is_empty() {
            let number = at / BLOCK as u64;
            let start = number * BLOCK as u64;
            let part = &mut block[..part_of(self.len, start)];
            fill(&self.file, start, part)?;
            let known = usize::try_from(number).ok().and_then(|number| self.blocks.get(number));
            if known != Some(&Digest::of(part)) {
                return Err(unread(format!("block {number} was altered since it was opened")));
            }
            // Below `BLOCK`.
            let within = (at - start) as usize;
            let n = (part.len() - within).min(rest.len());
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(&part[within..within + n]);
            (rest, at) = (later, at + n as u64);
        }
        Ok(())
    }
}

/// How long the block at `at` is.
fn part_of(len: u64, at: u64) -> usize {
    usize::try_from(len.saturating_sub(at)).unwrap_or(BLOCK).min(BLOCK)
}

fn fill(file: &StoreFile, at: u64, into: &mut [u8]) -> Result<(), DatabaseError> {
    let mut have = 0;
    while have < into.len() {
        match file.read_at(at + have as u64, &mut into[have..]).map_err(unread)? {
            0 => return Err(unread("it was cut short since it was opened")),
            n => have += n,
        }
    }
    Ok(())
}

fn unread(why: impl ToString) -> DatabaseError {
    DatabaseError::Read(io::Error::other(why.to_string()))
}

#[cfg(test)]
mod tests {
    use hal::store::{Fuse, SimDisk, Store};

    use super::*;

    #[test]
    fn every_byte_is_served_as_it_was_opened_and_an_altered_block_is_not() {
        let disk = SimDisk::new();
        let store = Store::open(disk.clone(), &[super::super::DIR], Fuse::never()).unwrap();
        let name = format!("{}/a.db", super::super::DIR);
        let bytes: Vec<u8> = (0..BLOCK as u32 * 2 + 77).map(|n| (n % 251) as u8).collect();
        store.write_atomic(&name, &bytes).unwrap();
        let open = || KeptFile::open(store.open_file(&name).unwrap().unwrap()).unwrap();
        let (kept, digest) = open();
        assert_eq!((digest, kept.len()), (Digest::of(&bytes), bytes.len() as u64));
        for (at, len) in [(0, 1), (BLOCK - 3, 7), (0, bytes.len()), (bytes.len() - 1, 1), (bytes.len(), 0)] {
            let mut read = vec![0; len];
            kept.read_at(at as u64, &mut read).unwrap();
            assert_eq!(read, bytes[at..at + len], "{len} bytes at {at}");
        }
        let mut over = [0; 2];
        assert!(kept.read_at(bytes.len() as u64 - 1, &mut over).is_err());
        assert!(kept.read_at(u64::MAX, &mut over).is_err());
        assert!(disk.flip(&name, BLOCK + 5));
        assert!(kept.read_at(0, &mut over).is_ok(), "another block");
        let error = kept.read_at(BLOCK as u64 - 1, &mut over).unwrap_err().to_string();
        assert!(error.contains("block 1 was altered"), "{error}");
        assert_ne!(open().1, digest);
    }
}
