//! The advisory database: one file, from which a process that has just started reads only what it asks for.
//!
//! ```text
//!   header    magic, length, counts, where the parts are, when the sources were current
//!   entries   one for each hole of each advisory
//!   postings  for each key what is said of the product it names
//!   buckets   2^n + 1 numbers: where in the list of keys those begin whose place starts with these n bits
//!   keys      place (64 bits), offset and length of the posting; in order
//!   sources   who published how much, and what came out last
//! ```
//!
//! Every offset is checked, also against a file that somebody made to be read. Whether the file is the one that
//! people signed is not known here: its [`Digest`](crate::Digest) says so. Invariant: the bytes follow from what
//! went in, in any order.

mod build;
mod key;
mod record;

use hal::clock::Wall;
use hal::reason::ReasonCode;

pub use build::{BuildError, Builder, MAX_DATABASE};
pub use key::Key;
pub(crate) use key::{fits, name};
use record::Cursor;
pub use record::{Block, Entry, EntryRef, MAX_TEXT, Said};

use crate::reasons;

/// Bytes that are read at an offset: a file, or memory.
pub trait ReadAt {
    /// How many there are.
    fn len(&self) -> u64;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Fills `into` from `at` on, or fails.
    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), DatabaseError>;
}

impl ReadAt for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), DatabaseError> {
        let start = usize::try_from(at).map_err(|_| DatabaseError::damaged("an offset past the end"))?;
        let end = start.checked_add(into.len()).ok_or(DatabaseError::damaged("an offset past the end"))?;
        let bytes = self.get(start..end).ok_or(DatabaseError::damaged("an offset past the end"))?;
        into.copy_from_slice(bytes);
        Ok(())
    }
}

impl<R: ReadAt + ?Sized> ReadAt for Box<R> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), DatabaseError> {
        (**self).read_at(at, into)
    }
}

/// An opened database.
#[derive(Debug)]
pub struct Database<R> {
    bytes: R,
    header: Header,
    /// All buckets, read once, where they are few enough: then a question that has no answer costs one read.
    buckets: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    entries: u64,
    keys: u64,
    bucket_bits: u32,
    buckets_at: u64,
    keys_at: u64,
    sources_at: u64,
    sources_len: u32,
    left_out: u32,
    current: Wall,
}

/// Where advisories came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The publisher.
    pub name: String,
    /// How many advisories, or entries of a catalogue.
    pub count: u32,
    /// When the last of them came out.
    pub newest: Wall,
}

impl<R: ReadAt> Database<R> {
    /// Opens a file: reads and checks its header.
    pub fn open(bytes: R) -> Result<Database<R>, DatabaseError> {
        let len = bytes.len();
        let mut head = [0; HEADER];
        if len < HEADER as u64 {
            return Err(DatabaseError::NoDatabase);
        }
        bytes.read_at(0, &mut head)?;
        let header = Header::read(&head, len)?;
        let mut database = Database { bytes, header, buckets: vec![] };
        // At most 2^24 + 1 buckets.
        let buckets = u32::try_from(((1u64 << header.bucket_bits) + 1) * 4).unwrap_or(u32::MAX);
        if buckets <= MAX_BUCKETS_KEPT {
            database.buckets = database.bytes_at(header.buckets_at, buckets)?;
        }
        Ok(database)
    }

    /// How many holes it tells of.
    pub fn entries(&self) -> u64 {
        self.header.entries
    }

    /// When the newest of its sources came out: what came later is not known here.
    pub fn current(&self) -> Wall {
        self.header.current
    }

    /// How many files were left out when it was built, although somebody gave them.
    pub fn left_out(&self) -> u32 {
        self.header.left_out
    }

    /// Where it came from.
    pub fn sources(&self) -> Result<Vec<Source>, DatabaseError> {
        let bytes = self.bytes_at(self.header.sources_at, self.header.sources_len)?;
        let mut from = Cursor(&bytes);
        let mut sources = vec![];
        for _ in 0..from.count()? {
            sources.push(Source { name: from.text()?, count: from.u32()?, newest: from.wall()? });
        }
        from.end(sources)
    }

    /// What is said of the product that `key` names; `None` where nothing ever was.
    pub fn find(&self, key: &Key) -> Result<Option<Vec<Block>>, DatabaseError> {
        let place = key.place();
        let bucket = place.checked_shr(64 - self.header.bucket_bits).unwrap_or(0);
        let mut read = [0; 8];
        let kept = usize::try_from(bucket * 4).ok().and_then(|at| self.buckets.get(at..at + 8));
        let mut ends = match kept {
            Some(kept) => Cursor(kept),
            None => {
                self.bytes.read_at(self.header.buckets_at + bucket * 4, &mut read)?;
                Cursor(&read)
            }
        };
        let (first, end) = (u64::from(ends.u32()?), u64::from(ends.u32()?));
        if first > end || end > self.header.keys || end - first > MAX_BUCKET {
            return Err(DatabaseError::damaged("a bucket"));
        }
        // At most `MAX_BUCKET` records.
        let len = u32::try_from((end - first) * RECORD).unwrap_or(0);
        let records = self.bytes_at(self.header.keys_at + first * RECORD, len)?;
        let mut records = Cursor(&records);
        for _ in first..end {
            let (found, at, len) = (records.u64()?, records.u64()?, records.u32()?);
            if found == place
                && let Some(blocks) = record::read_posting(key.as_str(), &self.bytes_at(at, len)?)?
            {
                return Ok(Some(blocks));
            }
        }
        Ok(None)
    }

    /// The entry that a statement is about.
    pub fn entry(&self, at: EntryRef) -> Result<Entry, DatabaseError> {
        if at.len > MAX_ENTRY {
            return Err(DatabaseError::damaged("an entry over its limit"));
        }
        Entry::read(&self.bytes_at(at.at, at.len)?)
    }

    /// Part of the file, which has it as a whole.
    fn bytes_at(&self, at: u64, len: u32) -> Result<Vec<u8>, DatabaseError> {
        if len > MAX_PART {
            return Err(DatabaseError::damaged("a part over its limit"));
        }
        let is_inside = at.checked_add(u64::from(len)).is_some_and(|end| end <= self.bytes.len());
        if !is_inside {
            return Err(DatabaseError::damaged("an offset past the end"));
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| DatabaseError::damaged("a length"))?];
        self.bytes.read_at(at, &mut bytes)?;
        Ok(bytes)
    }
}

impl Header {
    fn read(head: &[u8; HEADER], len: u64) -> Result<Header, DatabaseError> {
        let Some(rest) = head.strip_prefix(MAGIC) else {
            return Err(match head.starts_with(FAMILY) {
                true => DatabaseError::Version,
                false => DatabaseError::NoDatabase,
            });
        };
        let mut from = Cursor(rest);
        let stated = from.u64()?;
        if stated != len {
            return Err(DatabaseError::Length { found: len, expected: stated });
        }
        let header = Header {
            entries: from.u64()?,
            keys: from.u64()?,
            bucket_bits: from.u32()?,
            left_out: from.u32()?,
            buckets_at: from.u64()?,
            keys_at: from.u64()?,
            sources_at: from.u64()?,
            sources_len: from.u32()?,
            current: from.wall()?,
        };
        let ends = [
            (header.buckets_at, (1u64.checked_shl(header.bucket_bits).unwrap_or(0)).checked_add(1), 4),
            (header.keys_at, Some(header.keys), RECORD),
            (header.sources_at, Some(u64::from(header.sources_len)), 1),
        ];
        let fits = |(at, count, size): (u64, Option<u64>, u64)| {
            let end = count.and_then(|count| count.checked_mul(size)).and_then(|bytes| bytes.checked_add(at));
            at >= HEADER as u64 && end.is_some_and(|end| end <= len)
        };
        if !(MIN_BITS..=MAX_BITS).contains(&header.bucket_bits) || !ends.into_iter().all(fits) {
            return Err(DatabaseError::damaged("a part past the end"));
        }
        Ok(header)
    }

    fn write(&self, len: u64) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(len.to_le_bytes());
        out.extend(self.entries.to_le_bytes());
        out.extend(self.keys.to_le_bytes());
        out.extend(self.bucket_bits.to_le_bytes());
        out.extend(self.left_out.to_le_bytes());
        out.extend(self.buckets_at.to_le_bytes());
        out.extend(self.keys_at.to_le_bytes());
        out.extend(self.sources_at.to_le_bytes());
        out.extend(self.sources_len.to_le_bytes());
        out.extend(self.current.ms.to_le_bytes());
        out
    }
}

/// How every version of the format begins.
const FAMILY: &[u8] = b"headgate advisory database ";
/// How this version begins: nothing else that Headgate writes or signs does.
const MAGIC: &[u8] = b"headgate advisory database v1\n\0\0";
/// Bytes of the header.
const HEADER: usize = MAGIC.len() + 68;
/// Bytes of a key's record.
const RECORD: u64 = 20;
/// Most keys in one bucket; the builder makes buckets of 8 on average.
const MAX_BUCKET: u64 = 4096;
/// Fewest and most bits of a bucket's number.
const MIN_BITS: u32 = 1;
const MAX_BITS: u32 = 24;
/// Longest part that is read at once in bytes.
const MAX_PART: u32 = 64 << 20;
/// Most bytes of buckets that are kept in memory.
const MAX_BUCKETS_KEPT: u32 = 1 << 20;
/// Longest entry in bytes: six texts and its numbers.
const MAX_ENTRY: u32 = 8 * 1024;

/// Why nothing can be said: not the same as nothing being there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// Another file.
    #[error("not an advisory database; headgate advisories build makes one")]
    NoDatabase,
    /// Of another version of Headgate.
    #[error("an advisory database of another version; build it with this version of Headgate")]
    Version,
    /// Cut off, or longer.
    #[error("the advisory database has {found} bytes and says it has {expected}; copy it again")]
    Length {
        /// Bytes.
        found: u64,
        /// What it says.
        expected: u64,
    },
    /// Wrong inside.
    #[error("the advisory database is damaged ({what}); copy it again, or build it anew")]
    Damaged {
        /// What was wrong.
        what: &'static str,
    },
    /// The machine does not give its bytes.
    #[error("the advisory database cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

impl DatabaseError {
    pub(crate) fn damaged(what: &'static str) -> DatabaseError {
        DatabaseError::Damaged { what }
    }

    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        reasons::ADVISORY_DATABASE_UNREADABLE
    }
}

#[cfg(test)]
mod tests;
