//! Fields that documents share. Each has one written form.

use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::DocumentError;
use crate::hex;

/// The one-shot number of a document: 16 random bytes, 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocumentId([u8; DocumentId::LEN]);

impl DocumentId {
    /// Bytes in a number: two are never alike by chance.
    pub const LEN: usize = 16;

    /// From 16 random bytes.
    pub const fn from_bytes(bytes: [u8; DocumentId::LEN]) -> DocumentId {
        DocumentId(bytes)
    }
}

impl std::fmt::Display for DocumentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl std::fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for DocumentId {
    type Error = DocumentError;
    fn try_from(text: String) -> Result<DocumentId, DocumentError> {
        hex::decode(&text).map(DocumentId).ok_or_else(|| DocumentError::field("id", &text))
    }
}

impl From<DocumentId> for String {
    fn from(id: DocumentId) -> String {
        id.to_string()
    }
}

/// Bytes of a moment, as below.
const MOMENT_LEN: usize = 24;

/// A moment as RFC 3339 in UTC with milliseconds, e.g. `2026-11-22T10:15:00.000Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(i64);

impl Moment {
    /// The moment of a wall clock.
    pub const fn new(wall: Wall) -> Moment {
        Moment(wall.ms)
    }

    /// As a time that whoever signed it believed.
    pub const fn wall(self) -> Wall {
        Wall::trusted(self.0)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.wall(), f)
    }
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Moment {
    type Error = DocumentError;
    fn try_from(text: String) -> Result<Moment, DocumentError> {
        let bad = || DocumentError::field("time", &text);
        if text.len() != MOMENT_LEN {
            return Err(bad());
        }
        let wall: Wall = text.parse().map_err(|_| bad())?;
        Ok(Moment(wall.ms))
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> String {
        moment.to_string()
    }
}

/// Text for people: 1 to `max` bytes without control characters, no blanks around it.
pub(super) fn text(field: &'static str, text: &str, max: usize) -> Result<(), DocumentError> {
    let fits = !text.is_empty() && text.len() <= max && text.trim() == text;
    if fits && !text.chars().any(char::is_control) { Ok(()) } else { Err(DocumentError::field(field, text)) }
}

/// A case: its number in this gateway, as `C-000123`.
pub(super) fn case(text: &str) -> Result<(), DocumentError> {
    let digits = text.strip_prefix("C-").unwrap_or_default();
    let fits = (6..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if fits { Ok(()) } else { Err(DocumentError::field("case", text)) }
}

/// A list with something in it, but not more than `max`, none twice, in order.
pub(super) fn list<T: Ord>(field: &'static str, items: &[T], max: usize) -> Result<(), DocumentError> {
    let sorted = items.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if (1..=max).contains(&items.len()) && sorted {
        return Ok(());
    }
    Err(DocumentError::field(field, &format!("{} entries, sorted: {sorted}", items.len())))
}
