//! An image open for delivery: every block is hashed again on its way out.

use std::io::Write;

use aws_lc_rs::digest::{Context, SHA256};
use hal::store::StoreFile;

use super::digest::{self, ImageDigest, sha256};
use super::{IMAGE_LIMIT, VaultError};

/// Bytes that are hashed, read and served together.
pub const BLOCK: usize = 4096;

/// A whole image of the vault. Opening read every byte once and found the digest right; reading it
/// again finds any byte that was altered since. It outlives a removal from the vault.
#[derive(Debug)]
pub struct VaultImage {
    file: StoreFile,
    digest: ImageDigest,
    len: u64,
    blocks: Vec<ImageDigest>,
    /// The block in `verified`, when there is one.
    current: Option<usize>,
    verified: Box<[u8; BLOCK]>,
}

impl VaultImage {
    pub(super) fn open(file: StoreFile, digest: ImageDigest) -> Result<VaultImage, VaultError> {
        let len = file.size()?;
        if len > IMAGE_LIMIT {
            return Err(VaultError::TooLarge { what: "the stored image", found: len, limit: IMAGE_LIMIT });
        }
        let mut whole = Context::new(&SHA256);
        let mut blocks = Vec::with_capacity(usize::try_from(len).unwrap_or(0).div_ceil(BLOCK));
        let mut verified = Box::new([0; BLOCK]);
        let mut at = 0;
        loop {
            let n = fill(&file, at, &mut verified[..])?;
            if n == 0 || at + n as u64 > len {
                break;
            }
            whole.update(&verified[..n]);
            blocks.push(sha256(&verified[..n]));
            at += n as u64;
        }
        let found = digest::finish(&whole.finish());
        if found != digest || at != len {
            return Err(VaultError::NotWhole { digest, found });
        }
        Ok(VaultImage { file, digest, len, blocks, current: None, verified })
    }

    /// Its digest.
    pub fn digest(&self) -> &ImageDigest {
        &self.digest
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Fills `buf` from `offset` on and says how many bytes it got, fewer only at the end of the image.
    /// No byte is served from a block that is not what it was when the image was opened.
    pub fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, VaultError> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset.saturating_add(done as u64);
            if at >= self.len {
                break;
            }
            // `at` is below IMAGE_LIMIT, so both fit.
            let (block, within) = ((at / BLOCK as u64) as usize, (at % BLOCK as u64) as usize);
            let len = self.load(block)?;
            let n = (len - within).min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&self.verified[within..within + n]);
            done += n;
        }
        Ok(done)
    }

    /// Writes the whole image to `out`.
    pub fn export(&mut self, out: &mut dyn Write) -> Result<(), VaultError> {
        for block in 0..self.blocks.len() {
            let len = self.load(block)?;
            out.write_all(&self.verified[..len]).map_err(|source| VaultError::Export { source })?;
        }
        out.flush().map_err(|source| VaultError::Export { source })
    }

    /// Brings `block` into `verified` and says how long it is.
    fn load(&mut self, block: usize) -> Result<usize, VaultError> {
        let start = block as u64 * BLOCK as u64;
        let len = usize::try_from(self.len - start).unwrap_or(BLOCK).min(BLOCK);
        if self.current == Some(block) {
            return Ok(len);
        }
        self.current = None;
        let n = fill(&self.file, start, &mut self.verified[..len])?;
        if n != len || sha256(&self.verified[..len]) != self.blocks[block] {
            return Err(VaultError::Altered { digest: self.digest, block });
        }
        self.current = Some(block);
        Ok(len)
    }
}

/// Reads until `buf` is full or the file ends.
fn fill(file: &StoreFile, offset: u64, buf: &mut [u8]) -> Result<usize, VaultError> {
    let mut have = 0;
    while have < buf.len() {
        match file.read_at(offset + have as u64, &mut buf[have..])? {
            0 => break,
            n => have += n,
        }
    }
    Ok(have)
}
