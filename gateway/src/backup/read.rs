//! Reads a backup: the manifest first, from the end; then the entries, in their order.

use std::io::{self, Read, Seek, SeekFrom};

use aws_lc_rs::digest::{Context, SHA256};
use firmware_verifier::Digest;
use firmware_verifier::dsse::{Envelope, MAX_ENVELOPE};

use super::error::BackupError;
use super::manifest::Manifest;
use super::name::{Entry, MAX_NAME};
use super::{END, HEAD, MAX_ENTRIES, MAX_ENTRY};

/// A backup whose manifest its maker has signed.
#[derive(Debug)]
pub struct Opened<R> {
    file: R,
    manifest: Manifest,
    id: Digest,
    /// Where the entries end.
    end: u64,
}

/// The entries of a backup, one after the other.
pub struct Reader<'a, R> {
    file: &'a mut R,
    manifest: &'a Manifest,
    hash: Context,
    number: u64,
    at: u64,
    end: u64,
    /// Bytes of the present entry that were not read yet.
    left: u64,
}

impl<R: Read + Seek> Opened<R> {
    /// Checks head, end and manifest.
    pub fn new(mut file: R) -> Result<Opened<R>, BackupError> {
        let len = file.seek(SeekFrom::End(0))?;
        let tail = (size_of::<u32>() + END.len()) as u64;
        let short = BackupError::Kind { found: "too short" };
        let manifest_end = len.checked_sub(tail).filter(|end| *end >= HEAD.len() as u64).ok_or(short)?;
        let mut head = [0; HEAD.len()];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut head)?;
        let mut last = [0; 12];
        file.seek(SeekFrom::Start(manifest_end))?;
        file.read_exact(&mut last)?;
        let ([a, b, c, d], end) = last.split_first_chunk().ok_or(BackupError::Kind { found: "too short" })?;
        if head != HEAD || *end != END {
            return Err(BackupError::Kind { found: "other bytes at its head or end" });
        }
        let manifest_len = u64::from(u32::from_be_bytes([*a, *b, *c, *d]));
        let end = manifest_end
            .checked_sub(manifest_len)
            .filter(|end| *end >= HEAD.len() as u64 && manifest_len <= MAX_ENVELOPE as u64)
            .ok_or(BackupError::Kind { found: "a manifest longer than the file, or than any" })?;
        file.seek(SeekFrom::Start(end))?;
        let mut text = Vec::new();
        (&mut file).take(manifest_len).read_to_end(&mut text)?;
        let envelope = Envelope::parse(&text)?;
        let manifest = Manifest::open(&envelope)?;
        if manifest.entries > MAX_ENTRIES {
            return Err(BackupError::Manifest { found: format!("{} entries", manifest.entries) });
        }
        Ok(Opened { file, id: Digest::of(envelope.payload()), manifest, end })
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the manifest: names this backup and no other.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// Its entries, from the first.
    pub fn entries(&mut self) -> Result<Reader<'_, R>, BackupError> {
        let at = self.file.seek(SeekFrom::Start(HEAD.len() as u64))?;
        let (hash, end) = (Context::new(&SHA256), self.end);
        Ok(Reader { file: &mut self.file, manifest: &self.manifest, hash, number: 0, at, end, left: 0 })
    }

    /// Reads all of it and compares it with what was signed.
    pub fn check(&mut self) -> Result<(), BackupError> {
        let mut entries = self.entries()?;
        while entries.entry()?.is_some() {}
        entries.finish()
    }
}

impl<R: Read> Reader<'_, R> {
    /// The next entry and its size; its bytes are then read from here. What was left of the one before is passed over.
    pub fn entry(&mut self) -> Result<Option<(Entry, u64)>, BackupError> {
        io::copy(self, &mut io::sink())?;
        if self.at == self.end {
            return Ok(None);
        }
        self.number += 1;
        let (number, offset) = (self.number, self.at);
        let bad = |found: String| BackupError::Entry { number, offset, found };
        if number > self.manifest.entries {
            return Err(bad("one more than was signed for".into()));
        }
        let name_len = usize::from(u16::from_be_bytes(self.take()?));
        if name_len > MAX_NAME {
            return Err(bad(format!("a name of {name_len} bytes")));
        }
        let mut name = vec![0; name_len];
        self.exact(&mut name)?;
        let shown = String::from_utf8_lossy(&name).into_owned();
        let name = Entry::parse(&shown).ok_or_else(|| bad(format!("{shown:?} is no entry of a backup")))?;
        let len = u64::from_be_bytes(self.take()?);
        if len > MAX_ENTRY || len > self.end.saturating_sub(self.at) {
            return Err(bad(format!("{name} has {len} bytes: more than there are, or than any has")));
        }
        self.left = len;
        Ok(Some((name, len)))
    }

    /// The whole of the present entry, at most `max` bytes of it.
    pub fn all(&mut self, what: &'static str, max: u64) -> Result<Vec<u8>, BackupError> {
        if self.left > max {
            let found = format!("{what} of {} bytes, at most {max}", self.left);
            return Err(BackupError::Entry { number: self.number, offset: self.at, found });
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether everything that was read is what was signed.
    pub fn finish(mut self) -> Result<(), BackupError> {
        io::copy(&mut self, &mut io::sink())?;
        let (found, expected) = (digest(self.hash), self.manifest.content);
        match found == expected && self.at == self.end && self.number == self.manifest.entries {
            true => Ok(()),
            false => Err(BackupError::Content { found: found.to_string(), expected: expected.to_string() }),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.exact(&mut bytes).map(|()| bytes)
    }

    /// Bytes of an entry's head, which end where the entries do.
    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        if self.end.saturating_sub(self.at) < bytes.len() as u64 {
            let found = "cut short".into();
            return Err(BackupError::Entry { number: self.number, offset: self.at, found });
        }
        self.file.read_exact(bytes)?;
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }
}

impl<R: Read> Read for Reader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.file.read(&mut buffer[..want])?;
        if n == 0 && want > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hash.update(&buffer[..n]);
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

/// The digest of what was hashed.
pub(super) fn digest(hash: Context) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref()); // SHA-256 is 32 bytes long
    Digest::from_bytes(bytes)
}
