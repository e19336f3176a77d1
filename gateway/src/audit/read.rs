//! Looking into a log: entries from here to there, the last ones, checkpoints, proofs.

use std::ops::Range;

use super::checkpoint::Checkpoint;
use super::entry::{Entry, MAX_ENTRY};
use super::error::{AuditError, Place};
use super::log::Log;
use super::record::{Next, Records};
use super::replay::{self, Checkpoints, Segment};
use super::sealed::Sealed;
use super::tree::{self, Hash, ProofError};

/// Entries in order. After an error it goes no further.
pub struct Entries<'a>(Raw<'a>);

/// Kept checkpoints in order. After an error it goes no further.
pub struct Seals(Option<Checkpoints>);

/// Entries as bytes.
pub(super) struct Raw<'a> {
    log: &'a Log,
    next: u64,
    end: u64,
    /// The first entry of a file, and the file.
    records: Option<(u64, Records)>,
}

impl Log {
    /// The entries of these indexes, as far as there are.
    pub fn entries(&self, which: Range<u64>) -> Entries<'_> {
        Entries(self.raw(which))
    }

    /// The last entries.
    pub fn last(&self, count: u64) -> Entries<'_> {
        self.entries(self.size().saturating_sub(count)..self.size())
    }

    /// Every checkpoint, oldest first.
    pub fn checkpoints(&self) -> Result<Seals, AuditError> {
        Ok(Seals(Checkpoints::open(&self.store)?))
    }

    /// The checkpoint of exactly `size` entries.
    pub fn checkpoint(&self, size: u64) -> Result<Sealed, AuditError> {
        for sealed in self.checkpoints()? {
            let sealed = sealed?;
            if sealed.checkpoint().size == size {
                return Ok(sealed);
            }
        }
        Err(AuditError::NoCheckpoint { size })
    }

    /// The proof that entry `index` is in the tree that `checkpoint` covers.
    pub fn inclusion(&self, index: u64, checkpoint: &Checkpoint) -> Result<Vec<Hash>, AuditError> {
        let size = checkpoint.size.min(self.size());
        let mut leaves = self.raw(0..size);
        let proof = tree::inclusion(index, size, &mut |n| leaves.leaf(n))?;
        proof.ok_or(AuditError::NoSuch(ProofError::Beyond { found: index, size }))
    }

    /// The proof that the log of `old` entries is the beginning of that of `new` entries.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, AuditError> {
        let size = new.min(self.size());
        let mut leaves = self.raw(0..size);
        let proof = tree::consistency(old, size, &mut |n| leaves.leaf(n))?;
        match proof {
            Some(proof) if new == size => Ok(proof),
            _ => Err(AuditError::NoSuch(ProofError::Beyond { found: old.max(new), size })),
        }
    }

    pub(super) fn raw(&self, which: Range<u64>) -> Raw<'_> {
        Raw { log: self, next: which.start, end: which.end.min(self.size()), records: None }
    }
}

impl Raw<'_> {
    /// Goes to the next entry and gives its leaf hash.
    pub(super) fn advance(&mut self) -> Result<Option<Hash>, AuditError> {
        if self.next >= self.end {
            return Ok(None);
        }
        loop {
            let (first, records) = match &mut self.records {
                Some(open) => open,
                none => none.insert(self.log.records(self.next)?),
            };
            match records.next()? {
                Next::Record(leaf) if records.place().index == self.next => {
                    self.next += 1;
                    return Ok(Some(leaf));
                }
                Next::Record(_) => {}
                Next::Fault(fault) => return Err(fault.at(records.place())),
                Next::End => {
                    let has_next = self.log.segments.iter().any(|s| s.first == self.next && s.first > *first);
                    if records.reached() != self.next || !has_next {
                        return Err(gone(records.place())); // the file lost its end since it was opened
                    }
                    self.records = None;
                }
            }
        }
    }

    /// The entry that came last.
    pub(super) fn body(&self) -> &[u8] {
        self.records.as_ref().map(|(_, records)| records.body()).unwrap_or_default()
    }

    fn entry(&self) -> Option<Result<Entry, AuditError>> {
        self.records.as_ref().map(|(_, records)| replay::entry(records))
    }

    /// The hash of leaf `n`; cheap where the one before was asked for last.
    fn leaf(&mut self, n: u64) -> Result<Hash, AuditError> {
        if n != self.next {
            // Within the same file it goes on from where it is, unless that is too far.
            let here = self.records.as_ref().map(|(_, records)| records.reached());
            let same = self.log.segment(n) == self.log.segment(self.next);
            if !(same && here.is_some_and(|here| here <= n)) {
                self.records = None;
            }
            self.next = n;
        }
        let size = self.log.size();
        self.advance()?.ok_or(AuditError::NoSuch(ProofError::Beyond { found: n, size }))
    }
}

impl Log {
    /// The place of the file with entry `n`.
    fn segment(&self, n: u64) -> usize {
        self.segments.partition_point(|s| s.first <= n).saturating_sub(1)
    }

    /// The records of the file that entry `n` is in.
    fn records(&self, n: u64) -> Result<(u64, Records), AuditError> {
        let first = self.segments.get(self.segment(n)).map_or(0, |s| s.first);
        let name = Segment::name(first);
        match Records::open(&self.store, &name, "entry", first, MAX_ENTRY)? {
            Some(records) => Ok((first, records)),
            None => Err(gone(Place { what: "entry", index: n, offset: 0, file: name })),
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.0.advance() {
            Ok(None) => return None,
            Ok(Some(_)) => self.0.entry()?,
            Err(e) => Err(e),
        };
        if next.is_err() {
            self.0.end = 0;
        }
        Some(next)
    }
}

impl Iterator for Seals {
    type Item = Result<Sealed, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.0.as_mut()?.next(&mut Vec::new()).transpose()?;
        if next.is_err() {
            self.0 = None;
        }
        Some(next.map(|(_, sealed)| sealed))
    }
}

fn gone(at: Place) -> AuditError {
    AuditError::Record { at, found: "the end of the file".into(), expected: "an entry that was there" }
}
