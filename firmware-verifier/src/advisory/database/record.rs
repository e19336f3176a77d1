//! What stands in the file behind the index: entries, and for each key the blocks of statements about a product.
//!
//! Numbers are little-endian, texts are UTF-8 behind a 16-bit length. Reading checks every length and allocates
//! nothing for a count before the bytes of it are there.

use hal::clock::Wall;

use super::DatabaseError;
use crate::advisory::csaf::{Score, Stated, Status};
use crate::advisory::version::Versions;
use crate::version::VersionScheme;

/// Longest text in bytes; longer ones are cut.
pub const MAX_TEXT: usize = 1000;

/// One hole as one advisory tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The CVE, or another id where there is none.
    pub id: String,
    /// The advisory's own id.
    pub advisory: String,
    /// Who published it.
    pub publisher: String,
    /// What it is about.
    pub title: String,
    /// Where to read it; may be empty.
    pub url: String,
    /// What helps, in the vendor's words; may be empty.
    pub remedy: String,
    /// The CVSS base score.
    pub score: Option<Score>,
    /// Whether it is known that somebody uses it.
    pub is_exploited: bool,
    /// When the advisory first came out.
    pub published: Wall,
    /// When this version of it came out.
    pub released: Wall,
}

/// What one product is, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The product, for people.
    pub name: String,
    /// Its vendor; may be empty.
    pub vendor: String,
    /// What must be so besides; may be empty.
    pub condition: String,
    /// A model number with wildcards that has to fit; may be empty.
    pub pattern: String,
    /// Which versions.
    pub stated: Stated,
    /// How one version that is stated counts.
    pub scheme: Option<VersionScheme>,
    /// What is said, of which entry.
    pub said: Vec<Said>,
}

/// One statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// Where the entry is.
    pub entry: EntryRef,
    /// What is said.
    pub status: Status,
}

/// Where an entry is in the file; while building, its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryRef {
    pub(super) at: u64,
    pub(super) len: u32,
}

impl Block {
    /// Versions of a product that have one hole; [`super::Builder::add_entry`] says which.
    pub fn affected(name: &str, range: &str) -> Block {
        Block {
            name: name.to_owned(),
            vendor: String::new(),
            condition: String::new(),
            pattern: String::new(),
            stated: Stated::Range(range.to_owned()),
            scheme: None,
            said: vec![Said { entry: EntryRef { at: 0, len: 0 }, status: Status::Affected }],
        }
    }

    /// The versions.
    pub fn versions(&self) -> Versions {
        match &self.stated {
            Stated::All => Versions::all(),
            Stated::Exactly(version) => Versions::exactly(version, self.scheme),
            Stated::Range(range) => Versions::parse(range),
            Stated::Unknown => Versions::unreadable(),
        }
    }

    /// The versions for people.
    pub fn versions_text(&self) -> &str {
        match &self.stated {
            Stated::All => "all versions",
            Stated::Exactly(text) | Stated::Range(text) => text,
            Stated::Unknown => "versions not stated apart",
        }
    }
}

impl Entry {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for text in [&self.id, &self.advisory, &self.publisher, &self.title, &self.url, &self.remedy] {
            write_text(out, text);
        }
        out.push(self.score.map_or(NO_SCORE, Score::tenths));
        out.push(if self.is_exploited { 1 } else { 0 });
        out.extend(self.published.ms.to_le_bytes());
        out.extend(self.released.ms.to_le_bytes());
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Entry, DatabaseError> {
        let mut from = Cursor(bytes);
        let entry = Entry {
            id: from.text()?,
            advisory: from.text()?,
            publisher: from.text()?,
            title: from.text()?,
            url: from.text()?,
            remedy: from.text()?,
            score: match from.byte()? {
                NO_SCORE => None,
                tenths => Some(Score::from_tenths(tenths).ok_or(DatabaseError::damaged("a score"))?),
            },
            is_exploited: from.flag()?,
            published: from.wall()?,
            released: from.wall()?,
        };
        from.end(entry)
    }
}

/// All blocks of one key.
pub(super) fn write_posting(key: &str, blocks: &[Block], out: &mut Vec<u8>) {
    write_text(out, key);
    write_count(out, blocks.len());
    for block in blocks {
        let (kind, text) = match &block.stated {
            Stated::All => (0, ""),
            Stated::Exactly(text) => (1, text.as_str()),
            Stated::Range(text) => (2, text.as_str()),
            Stated::Unknown => (3, ""),
        };
        out.extend([kind, scheme_number(block.scheme)]);
        for text in [text, &block.name, &block.vendor, &block.condition, &block.pattern] {
            write_text(out, text);
        }
        write_count(out, block.said.len());
        for said in &block.said {
            out.extend(said.entry.at.to_le_bytes());
            out.extend(said.entry.len.to_le_bytes());
            out.push(status_number(said.status));
        }
    }
}

/// The blocks of `key`; none where the bytes are those of another key.
pub(super) fn read_posting(key: &str, bytes: &[u8]) -> Result<Option<Vec<Block>>, DatabaseError> {
    let mut from = Cursor(bytes);
    if from.text()? != key {
        return Ok(None);
    }
    let mut blocks = vec![];
    for _ in 0..from.count()? {
        let (kind, scheme) = (from.byte()?, scheme_of(from.byte()?)?);
        let (text, name, vendor, condition, pattern) =
            (from.text()?, from.text()?, from.text()?, from.text()?, from.text()?);
        let stated = match kind {
            0 => Stated::All,
            1 => Stated::Exactly(text),
            2 => Stated::Range(text),
            3 => Stated::Unknown,
            _ => return Err(DatabaseError::damaged("a kind of versions")),
        };
        let mut said = vec![];
        for _ in 0..from.count()? {
            let entry = EntryRef { at: from.u64()?, len: from.u32()? };
            said.push(Said { entry, status: status_of(from.byte()?)? });
        }
        blocks.push(Block { name, vendor, condition, pattern, stated, scheme, said });
    }
    from.end(blocks).map(Some)
}

pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let text = text.get(..end).unwrap_or_default();
    // At most `MAX_TEXT`, so it fits.
    out.extend(u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
    out.extend(text.as_bytes());
}

pub(super) fn write_count(out: &mut Vec<u8>, count: usize) {
    // The builder has checked that all its counts fit.
    out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

/// Reads from the front; every length is checked.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl Cursor<'_> {
    fn bytes(&mut self, len: usize) -> Result<&[u8], DatabaseError> {
        let (front, rest) =
            self.0.split_at_checked(len).ok_or(DatabaseError::damaged("a record cut short"))?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DatabaseError> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| DatabaseError::damaged("a record cut short"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, DatabaseError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, DatabaseError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DatabaseError::damaged("a yes or no")),
        }
    }

    pub(super) fn u32(&mut self) -> Result<u32, DatabaseError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DatabaseError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn wall(&mut self) -> Result<Wall, DatabaseError> {
        let ms = self.array().map(i64::from_le_bytes)?;
        // Years 1970 to 9999, as `Wall` prints them.
        if !(0..=LAST_MS).contains(&ms) {
            return Err(DatabaseError::damaged("a date"));
        }
        Ok(Wall::trusted(ms))
    }

    pub(super) fn text(&mut self) -> Result<String, DatabaseError> {
        let len = usize::from(u16::from_le_bytes(self.array()?));
        if len > MAX_TEXT {
            return Err(DatabaseError::damaged("a text over its limit"));
        }
        let bytes = self.bytes(len)?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| DatabaseError::damaged("a text that is none"))
    }

    /// A count of things that have at least one byte each.
    pub(super) fn count(&mut self) -> Result<usize, DatabaseError> {
        let count = usize::try_from(self.u32()?).map_err(|_| DatabaseError::damaged("a count"))?;
        if count > self.0.len() {
            Err(DatabaseError::damaged("a count over what is there"))
        } else {
            Ok(count)
        }
    }

    pub(super) fn end<T>(self, value: T) -> Result<T, DatabaseError> {
        if self.0.is_empty() { Ok(value) } else { Err(DatabaseError::damaged("bytes behind a record")) }
    }
}

fn status_number(status: Status) -> u8 {
    match status {
        Status::Affected => 1,
        Status::Fixed => 2,
        Status::NotAffected => 3,
        Status::UnderInvestigation => 4,
    }
}

fn status_of(number: u8) -> Result<Status, DatabaseError> {
    Ok(match number {
        1 => Status::Affected,
        2 => Status::Fixed,
        3 => Status::NotAffected,
        4 => Status::UnderInvestigation,
        _ => return Err(DatabaseError::damaged("a status")),
    })
}

const SCHEMES: [VersionScheme; 6] = [
    VersionScheme::Semver,
    VersionScheme::Dotted,
    VersionScheme::Date,
    VersionScheme::Lexical,
    VersionScheme::Letters,
    VersionScheme::Deb,
];

fn scheme_number(scheme: Option<VersionScheme>) -> u8 {
    let number = scheme.and_then(|scheme| SCHEMES.iter().position(|one| *one == scheme));
    number.and_then(|n| u8::try_from(n + 1).ok()).unwrap_or(0)
}

fn scheme_of(number: u8) -> Result<Option<VersionScheme>, DatabaseError> {
    match usize::from(number).checked_sub(1) {
        None => Ok(None),
        Some(n) => SCHEMES.get(n).copied().map(Some).ok_or(DatabaseError::damaged("a scheme of versions")),
    }
}

/// In the place of a score.
const NO_SCORE: u8 = 255;
/// The last millisecond of 9999.
pub(super) const LAST_MS: i64 = 253_402_300_799_999;
