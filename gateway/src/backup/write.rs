//! Writes a backup, entry by entry.

use std::io::{self, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};
use firmware_verifier::Digest;
use firmware_verifier::dsse::Envelope;

use super::error::BackupError;
use super::name::Entry;
use super::{END, HEAD};

/// A backup that is being written.
pub struct Writer<W> {
    out: W,
    hash: Context,
    entries: u64,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    pub fn new(mut out: W) -> io::Result<Writer<W>> {
        out.write_all(&HEAD)?;
        Ok(Writer { out, hash: Context::new(&SHA256), entries: 0 })
    }

    /// Adds an entry of exactly `len` bytes.
    pub fn entry(&mut self, name: &Entry, len: u64, content: &mut dyn Read) -> io::Result<()> {
        let name = name.to_string();
        let name_len = u16::try_from(name.len()).map_err(io::Error::other)?;
        self.put(&name_len.to_be_bytes())?;
        self.put(name.as_bytes())?;
        self.put(&len.to_be_bytes())?;
        let mut left = len;
        let mut buffer = vec![0; BUFFER];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let n = content.read(&mut buffer[..want])?;
            if n == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} became shorter")));
            }
            self.put(&buffer[..n])?;
            left -= n as u64;
        }
        self.entries += 1;
        Ok(())
    }

    /// Digest and number of what was written, for the manifest.
    pub fn content(&self) -> (Digest, u64) {
        (super::read::digest(self.hash.clone()), self.entries)
    }

    /// Ends it with the signed manifest, and gives back what it was written to.
    pub fn finish(mut self, manifest: &Envelope) -> Result<W, BackupError> {
        let text = manifest.to_json()?;
        let len = u32::try_from(text.len()).map_err(io::Error::other)?;
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(&len.to_be_bytes())?;
        self.out.write_all(&END)?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}

const BUFFER: usize = 64 << 10;
