//! Reading a whole log and holding it against its checkpoints: what opening and verifying have in common.
//!
//! Two passes over the checkpoints and one over the entries, in memory that does not grow with either. A record that
//! is not whole is a torn end only where no checkpoint covers it and nothing whole follows it; everything else is
//! damage, with its place.

use hal::store::Store;

use super::checkpoint::{Checkpoint, LogKey};
use super::entry::{Entry, MAX_ENTRY};
use super::error::{AuditError, Place};
use super::record::{Fault, Next, Records};
use super::sealed::{MAX_SEALED, Sealed};
use super::tree::Range;

/// The folder of the log in its store.
pub const DIR: &str = "audit";
/// The file of the checkpoints.
/// Its checkpoints, one a line.
pub const CHECKPOINTS: &str = "audit/checkpoints.log";

/// How many signatures are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signatures {
    /// The newest: it covers every entry that the others do.
    Newest,
    /// All.
    All,
}

/// The end of a file that a loss of power left half written. No checkpoint covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The record that would have been there.
    pub at: Place,
    /// How many bytes there are of it, and of what was behind it.
    pub bytes: u64,
}

/// One file of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Index of its first entry.
    pub(super) first: u64,
    /// Bytes of whole records.
    pub(super) len: u64,
}

impl Segment {
    pub(super) fn name(first: u64) -> String {
        format!("{DIR}/entries-{first:020}.log")
    }
}

/// What a log holds that was found whole.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) range: Range,
    pub(super) segments: Vec<Segment>,
    pub(super) newest: Option<Sealed>,
    /// How many checkpoints.
    pub(super) checkpoints: u64,
    pub(super) torn: Vec<Torn>,
}

impl Replay {
    /// Reads the log. `seen` are checkpoints of this log that were kept elsewhere: the log must continue each.
    pub(super) fn read(
        store: &Store,
        key: &LogKey,
        signatures: Signatures,
        seen: &[&Checkpoint],
    ) -> Result<Replay, AuditError> {
        let mut replay = Replay::default();
        replay.read_checkpoints(store, key, signatures)?;
        replay.read_entries(store, seen)?;
        let entries = replay.range.size();
        if let Some(size) = replay.newest.as_ref().map(|s| s.checkpoint().size).filter(|s| *s > entries) {
            let checkpoint = first_beyond(store, entries)?.unwrap_or(replay.checkpoints - 1);
            return Err(AuditError::Shorter { entries, size, checkpoint });
        }
        match seen.iter().filter(|seen| seen.size > entries).max_by_key(|seen| seen.size) {
            Some(seen) => Err(AuditError::RolledBack { entries, size: seen.size }),
            None => Ok(replay),
        }
    }

    fn read_checkpoints(
        &mut self,
        store: &Store,
        key: &LogKey,
        signatures: Signatures,
    ) -> Result<(), AuditError> {
        let Some(mut kept) = Checkpoints::open(store)? else { return Ok(()) };
        let mut newest: Option<(Place, Sealed)> = None;
        while let Some((at, sealed)) = kept.next(&mut self.torn)? {
            let found = sealed.checkpoint().size;
            let previous = newest.as_ref().map_or(0, |(_, sealed)| sealed.checkpoint().size);
            if found <= previous {
                return Err(AuditError::Backwards { at, found, previous });
            }
            if signatures == Signatures::All {
                check(&at, &sealed, key)?;
            }
            newest = Some((at, sealed));
            self.checkpoints += 1;
        }
        if let Some((at, sealed)) = newest {
            check(&at, &sealed, key)?;
            self.newest = Some(sealed);
        }
        Ok(())
    }

    fn read_entries(&mut self, store: &Store, seen: &[&Checkpoint]) -> Result<(), AuditError> {
        let covered = self.newest.as_ref().map_or(0, |sealed| sealed.checkpoint().size);
        let mut checks = Checks::new(store, seen)?;
        checks.compare(&self.range)?;
        let files = segments(store)?;
        for (place, first) in files.iter().enumerate() {
            let (name, is_last) = (Segment::name(*first), place + 1 == files.len());
            let expected = self.range.size();
            if *first != expected {
                return Err(AuditError::Segment { file: name, found: *first, expected });
            }
            let Some(mut records) = Records::open(store, &name, "entry", *first, MAX_ENTRY)? else {
                continue;
            };
            let len = loop {
                let fault = match records.next()? {
                    Next::End => break records.size()?,
                    Next::Record(leaf) => {
                        entry(&records)?;
                        self.range.push(leaf);
                        checks.compare(&self.range)?;
                        continue;
                    }
                    Next::Fault(fault) => fault,
                };
                let (at, is_cut) = (records.place(), matches!(fault, Fault::Cut));
                let nothing_follows = is_last && records.nothing_follows()?;
                if nothing_follows && self.range.size() >= covered {
                    let (len, bytes) = (at.offset, records.size()?.saturating_sub(at.offset));
                    self.torn.push(Torn { at, bytes });
                    break len;
                }
                if nothing_follows && is_cut {
                    break at.offset; // cut within a record: as short as one cut between two
                }
                return Err(fault.at(at));
            };
            self.segments.push(Segment { first: *first, len });
        }
        Ok(())
    }
}

/// The kept checkpoints, one after the other.
pub(super) struct Checkpoints(Records);

impl Checkpoints {
    pub(super) fn open(store: &Store) -> Result<Option<Checkpoints>, AuditError> {
        Ok(Records::open(store, CHECKPOINTS, "checkpoint", 0, MAX_SEALED)?.map(Checkpoints))
    }

    /// The next; a torn end is told in `torn`.
    pub(super) fn next(&mut self, torn: &mut Vec<Torn>) -> Result<Option<(Place, Sealed)>, AuditError> {
        let fault = match self.0.next()? {
            Next::End => return Ok(None),
            Next::Record(_) => {
                let at = self.0.place();
                return match Sealed::parse(self.0.body()) {
                    Ok(sealed) => Ok(Some((at, sealed))),
                    Err(source) => Err(AuditError::Checkpoint { at, source }),
                };
            }
            Next::Fault(fault) => fault,
        };
        let at = self.0.place();
        if !self.0.nothing_follows()? {
            return Err(fault.at(at));
        }
        let bytes = self.0.size()?.saturating_sub(at.offset);
        torn.push(Torn { at, bytes });
        Ok(None)
    }
}

/// What the root has to be at which size.
struct Checks<'a> {
    kept: Option<Checkpoints>,
    /// The kept checkpoint that comes next, and its place in the row.
    next: Option<(u64, Checkpoint)>,
    /// Entries that the one before covers.
    from: u64,
    /// What was kept elsewhere and comes later, the smallest last.
    seen: Vec<&'a Checkpoint>,
}

impl<'a> Checks<'a> {
    fn new(store: &Store, seen: &[&'a Checkpoint]) -> Result<Checks<'a>, AuditError> {
        let mut seen = seen.to_vec();
        seen.sort_by_key(|seen| std::cmp::Reverse(seen.size));
        let mut checks = Checks { kept: Checkpoints::open(store)?, next: None, from: 0, seen };
        checks.advance()?;
        Ok(checks)
    }

    fn compare(&mut self, range: &Range) -> Result<(), AuditError> {
        let size = range.size();
        while let Some(seen) = self.seen.pop_if(|seen| seen.size == size) {
            if seen.root != range.root() {
                return Err(AuditError::Forked { size, found: range.root(), expected: seen.root });
            }
        }
        let Some((checkpoint, next)) = self.next.as_ref().filter(|(_, next)| next.size == size) else {
            return Ok(());
        };
        let (found, expected) = (range.root(), next.root);
        if found != expected {
            let (from, checkpoint) = (self.from, *checkpoint);
            return Err(AuditError::Root { from, to: size, checkpoint, found, expected });
        }
        self.from = size;
        self.advance()
    }

    fn advance(&mut self) -> Result<(), AuditError> {
        // A torn end was told by the pass before.
        let next = match &mut self.kept {
            Some(kept) => kept.next(&mut Vec::new())?,
            None => None,
        };
        self.next = next.map(|(at, sealed)| (at.index, sealed.note.checkpoint));
        Ok(())
    }
}

/// The entry in the record that came last, at its place.
pub(super) fn entry(records: &Records) -> Result<Entry, AuditError> {
    let entry = match Entry::parse(records.body()) {
        Ok(entry) => entry,
        Err(source) => return Err(AuditError::Entry { at: records.place(), source }),
    };
    let at = records.place();
    if entry.n == at.index { Ok(entry) } else { Err(AuditError::Order { at, found: entry.n }) }
}

fn check(at: &Place, sealed: &Sealed, key: &LogKey) -> Result<(), AuditError> {
    let checked = sealed.note.verify(key).map(drop);
    checked.map_err(|source| AuditError::Signature { at: at.clone(), source })
}

/// The first entries of the files, ascending. Other files are left alone.
fn segments(store: &Store) -> Result<Vec<u64>, AuditError> {
    let first = |name: String| {
        let digits = name.strip_prefix("entries-")?.strip_suffix(".log")?;
        (digits.len() == 20).then(|| digits.parse().ok())?
    };
    Ok(store.list(DIR)?.into_iter().filter_map(|entry| first(entry.file)).collect()) // sorted by name
}

/// The first checkpoint that covers more than so many entries.
fn first_beyond(store: &Store, entries: u64) -> Result<Option<u64>, AuditError> {
    let Some(mut kept) = Checkpoints::open(store)? else { return Ok(None) };
    while let Some((at, sealed)) = kept.next(&mut Vec::new())? {
        if sealed.checkpoint().size > entries {
            return Ok(Some(at.index));
        }
    }
    Ok(None)
}
