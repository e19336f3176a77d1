//! Records in a file: a line each, which is a leaf hash in hexadecimal, a space, and one line of JSON.
//!
//! `cut -c66-` gives the entries alone. The hash makes a torn end known from a whole record; that the records are
//! those that were signed, only a checkpoint can say. Reads in blocks and holds one of them.

use hal::store::{Store, StoreFile};

use super::error::{AuditError, Place};
use super::tree::Hash;

/// One record as it is written.
pub(super) fn line(json: &str) -> (Hash, String) {
    let hash = Hash::of_leaf(json.as_bytes());
    (hash, format!("{hash} {json}\n"))
}

/// What comes next in a file.
pub(super) enum Next {
    /// A whole record of this hash; [`Records::body`] is its content.
    Record(Hash),
    /// Something else.
    Fault(Fault),
    End,
}

/// Why a line is no record.
pub(super) enum Fault {
    /// The file ends before the line does.
    Cut,
    /// No hash, or longer than any record.
    Shape(String),
    /// The content does not fit the hash.
    Edited { found: Hash, expected: Hash },
}

impl Fault {
    /// As an error, where it is no torn end.
    pub(super) fn at(self, at: Place) -> AuditError {
        match self {
            Fault::Cut => AuditError::Record { at, found: "the end of the file".into(), expected: RECORD },
            Fault::Shape(found) => AuditError::Record { at, found, expected: RECORD },
            Fault::Edited { found, expected } => AuditError::Edited { at, found, expected },
        }
    }
}

/// The records of one file, one after the other.
pub(super) struct Records {
    what: &'static str,
    name: String,
    file: StoreFile,
    limit: usize,
    buffer: Vec<u8>,
    /// Of the current line, in `buffer`, without the line feed.
    line: std::ops::Range<usize>,
    /// Where the next line begins in `buffer`.
    next: usize,
    /// Where `buffer` begins in the file.
    base: u64,
    is_end: bool,
    /// Index of the next line.
    index: u64,
}

impl Records {
    /// Opens a file whose first record has this index; `limit` is the longest content. `None` where there is none.
    pub(super) fn open(
        store: &Store,
        name: &str,
        what: &'static str,
        index: u64,
        limit: usize,
    ) -> Result<Option<Records>, AuditError> {
        let Some(file) = store.open_file(name)? else { return Ok(None) };
        let limit = HEAD + limit;
        let (buffer, name) = (Vec::new(), name.to_owned());
        Ok(Some(Records {
            what,
            name,
            file,
            limit,
            buffer,
            line: 0..0,
            next: 0,
            base: 0,
            is_end: false,
            index,
        }))
    }

    /// Goes to the next line.
    pub(super) fn next(&mut self) -> Result<Next, AuditError> {
        let mut looked = 0;
        let end = loop {
            let rest = &self.buffer[self.next..];
            if let Some(at) = rest[looked..].iter().position(|b| *b == b'\n') {
                break Some(looked + at);
            }
            looked = rest.len();
            if self.is_end || looked > self.limit {
                break None;
            }
            self.fill()?;
        };
        let rest = self.buffer.len() - self.next;
        if end.is_none() && rest == 0 {
            return Ok(Next::End);
        }
        self.line = self.next..self.next + end.unwrap_or(rest);
        self.next = end.map_or(self.buffer.len(), |end| self.line.start + end + 1);
        self.index += 1;
        Ok(match end {
            None if self.is_end && rest <= self.limit => Next::Fault(Fault::Cut),
            None => Next::Fault(Fault::Shape(self.beginning())),
            Some(_) => self.check(),
        })
    }

    /// The content of the record that came last.
    pub(super) fn body(&self) -> &[u8] {
        self.buffer[self.line.clone()].get(HEAD..).unwrap_or_default()
    }

    /// Where the line that came last lies.
    pub(super) fn place(&self) -> Place {
        let offset = self.base + self.line.start as u64;
        Place { what: self.what, index: self.index.saturating_sub(1), offset, file: self.name.clone() }
    }

    /// Index of the line that comes next.
    pub(super) fn reached(&self) -> u64 {
        self.index
    }

    /// Whether no whole record follows. Goes to the end of the file.
    pub(super) fn nothing_follows(&mut self) -> Result<bool, AuditError> {
        loop {
            match self.next()? {
                Next::Record(_) => return Ok(false),
                Next::Fault(_) => {}
                Next::End => return Ok(true),
            }
        }
    }

    /// Size of the file in bytes.
    pub(super) fn size(&self) -> Result<u64, AuditError> {
        Ok(self.file.size()?)
    }

    fn check(&self) -> Next {
        let line = &self.buffer[self.line.clone()];
        let head = line.split_first_chunk::<HEAD>().and_then(|(head, _)| {
            let hex = std::str::from_utf8(head.strip_suffix(b" ")?).ok()?;
            Hash::from_hex(hex)
        });
        let Some(expected) = head.filter(|_| line.len() <= self.limit) else {
            return Next::Fault(Fault::Shape(self.beginning()));
        };
        match Hash::of_leaf(self.body()) {
            found if found == expected => Next::Record(found),
            found => Next::Fault(Fault::Edited { found, expected }),
        }
    }

    fn beginning(&self) -> String {
        let line = &self.buffer[self.line.clone()];
        String::from_utf8_lossy(&line[..line.len().min(240)]).chars().take(60).collect()
    }

    /// Drops what was read and appends a block.
    fn fill(&mut self) -> Result<(), AuditError> {
        self.buffer.drain(..self.next);
        self.base += self.next as u64;
        (self.line, self.next) = (0..0, 0);
        let have = self.buffer.len();
        self.buffer.resize(have + BLOCK, 0);
        let n = self.file.read_at(self.base + have as u64, &mut self.buffer[have..])?;
        self.buffer.truncate(have + n);
        self.is_end = n == 0;
        Ok(())
    }
}

/// Bytes before the content: a hash in hexadecimal and a space.
const HEAD: usize = 65;
const BLOCK: usize = 64 << 10;
const RECORD: &str = "a line of 64 hexadecimal digits, a space and JSON";
