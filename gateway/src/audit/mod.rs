//! The audit log: what the gateway did, in an order nobody can change unseen.
//!
//! An append-only Merkle tree (RFC 9162 §2.1) whose root a key in the TPM signs now and then (c2sp.org/tlog-checkpoint).
//! Whoever has kept one checkpoint can tell, years later and with tools of their own, whether the log still begins with
//! what it had then. [`tree`], [`checkpoint`], the entries and [`Coalesce`] are pure; [`Log`] reads and writes through
//! `hal::store` alone. Nothing here signs and nothing reads a clock.
//!
//! Invariant: damage is never mended, only told; the one thing that is dropped is a torn end that no checkpoint covers.

pub mod checkpoint;
mod coalesce;
mod entry;
mod error;
pub mod export;
mod log;
mod read;
mod record;
mod replay;
mod sealed;
#[cfg(test)]
mod tests;
pub mod tree;

pub use coalesce::{Coalesce, MAX_TOLD_APART, WINDOW};
pub use entry::{Entry, EntryError, Event, KINDS, Kind, MAX_ACTOR, MAX_ENTRY, MAX_SUBJECT, MAX_TEXT, SCHEMA};
pub use error::{AuditError, Place};
pub use log::{Log, Report, SEAL_EVERY, SEGMENT};
pub use read::{Entries, Seals};
pub use replay::{CHECKPOINTS, DIR, Torn};
pub use sealed::Sealed;
