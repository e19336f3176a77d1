//! A checkpoint as the log keeps it: the signed note, and when it was signed.

use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, MAX_NOTE, Note, NoteError};
use super::entry::written;

/// One signed checkpoint of the log. The time is not signed; entries carry times that are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// When it was signed.
    pub at: Wall,
    /// The note.
    pub note: Note,
}

impl Sealed {
    /// What it covers.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.note.checkpoint
    }

    /// One line of JSON.
    pub(super) fn to_json(&self) -> String {
        let at_trusted = (!self.at.trusted).then_some(false);
        let row =
            Row { at: written(self.at), at_trusted, note: self.note.to_string(), schema: SCHEMA.into() };
        serde_json::to_string(&row).expect("text only")
    }

    pub(super) fn parse(line: &[u8]) -> Result<Sealed, NoteError> {
        let bad =
            |found: &str, expected| NoteError { line: 0, found: found.chars().take(60).collect(), expected };
        let row: Row = serde_json::from_slice(line).map_err(|e| bad(&e.to_string(), "a kept checkpoint"))?;
        if row.schema != SCHEMA {
            return Err(bad(&row.schema, "the schema headgate/audit-checkpoint/v1"));
        }
        let at: Wall = row.at.parse().map_err(|_| bad(&row.at, "a UTC time"))?;
        let note = Note::parse(&row.note)?;
        Ok(Sealed { at: Wall { trusted: row.at_trusted.is_none(), ..at }, note })
    }
}

/// Longest line: JSON writes no byte of a note in more than two (it has no control characters but line feeds).
pub(super) const MAX_SEALED: usize = 2 * MAX_NOTE + 256;
const SCHEMA: &str = "headgate/audit-checkpoint/v1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_trusted: Option<bool>,
    note: String,
    schema: String,
}
