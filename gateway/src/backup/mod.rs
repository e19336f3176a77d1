//! A backup: what another box needs to take the place of this one, in one file that this box has signed.
//!
//! ```text
//! | HGBACKUP | version | entry | entry | ... | manifest | its length | HGBACKEN |
//!            '------ content, hashed -------'  DSSE envelope
//! entry: name length (2), name, length (8), bytes; numbers are big-endian
//! ```
//! The manifest stands at the end, so that a backup is written in one go; its signature is checked before anything else
//! is read. Pure but for the reader and writer that are handed in. Invariant: [`Reader::entry`] gives bytes that are
//! to be believed only once [`Reader::finish`] has found the digest that was signed.

mod error;
mod manifest;
mod name;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use error::BackupError;
pub use manifest::{Manifest, PAYLOAD_TYPE};
pub use name::{Entry, Predecessor};
pub use read::{Opened, Reader};
pub use write::Writer;

const HEAD: [u8; 10] = *b"HGBACKUP\0\x01";
const END: [u8; 8] = *b"HGBACKEN";
/// Most entries: receipts are kept for good, one for each update.
const MAX_ENTRIES: u64 = 1_000_000;
/// Largest entry in bytes.
const MAX_ENTRY: u64 = 4 << 30;
