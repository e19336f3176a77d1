//! The log of one gateway: append, seal, read.
//!
//! Entries lie in files of [`SEGMENT`] bytes, checkpoints in a file of their own; both only grow, and nothing is
//! changed in place. Nothing is signed here: [`Log::pending`] gives a text and [`Log::sealed`] takes the signature,
//! so that it is the caller who decides when the TPM works, and nothing that a peer sends makes it work. When to
//! [`Log::sync`] is the caller's choice, too.
//!
//! Invariant: entries that a checkpoint covers were durable before its text was given out.

use std::time::Duration;

use hal::clock::{Mono, Wall};
use hal::store::{Store, Tail};

use super::checkpoint::{Checkpoint, LogKey, Note};
use super::entry::{Entry, Event};
use super::error::AuditError;
use super::record;
use super::replay::{CHECKPOINTS, DIR, Replay, Segment, Signatures, Torn};
use super::sealed::Sealed;
use super::tree::{Hash, Range};

/// Bytes after which a new file is begun.
pub const SEGMENT: u64 = 4 << 20;
/// A checkpoint is signed no more often, unless somebody asks for a receipt.
pub const SEAL_EVERY: Duration = Duration::from_secs(60);

/// The log, open for appending. Only one may be open on a store.
#[derive(Debug)]
pub struct Log {
    pub(super) store: Store,
    pub(super) key: LogKey,
    pub(super) range: Range,
    pub(super) segments: Vec<Segment>,
    newest: Option<Sealed>,
    /// The ends of the newest file of entries and of the checkpoints, from the first use on.
    tail: Option<Tail>,
    kept: Option<Tail>,
    /// A write or sync failed: what is on the disk has to be read again.
    is_broken: bool,
    pending: Option<Checkpoint>,
    /// When a text was last given out.
    asked: Option<Mono>,
    is_receipt_wanted: bool,
}

/// A log that was read from end to end and is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Number of entries.
    pub entries: u64,
    /// Their root.
    pub root: Hash,
    /// Number of checkpoints, all of them signed by the log's key.
    pub checkpoints: u64,
    /// The newest of them.
    pub newest: Option<Sealed>,
    /// Entries that no checkpoint covers yet: whoever holds the disk could still change them unseen.
    pub beyond: std::ops::Range<u64>,
    /// What a loss of power left half written; the next opening drops it.
    pub torn: Vec<Torn>,
}

impl Log {
    /// The directories its store must have.
    pub const DIRS: &'static [&'static str] = &[DIR];

    /// Opens the log, or begins one, after reading all of it. `seen` is a checkpoint of it that was kept elsewhere and
    /// that it must continue. Drops a torn end that no checkpoint covers, and says so; any other damage is an error,
    /// and the disk stays as it is. On a full disk the torn end stays until something is appended.
    pub fn open(
        store: Store,
        key: LogKey,
        seen: Option<&Checkpoint>,
    ) -> Result<(Log, Vec<Torn>), AuditError> {
        Log::begin(store, key, seen).map(|(log, torn, _)| (log, torn))
    }

    /// As [`Log::open`], with the error of a disk too full to drop the torn end: such a log can be read.
    fn begin(
        store: Store,
        key: LogKey,
        seen: Option<&Checkpoint>,
    ) -> Result<(Log, Vec<Torn>, Option<AuditError>), AuditError> {
        let Replay { range, segments, newest, torn, .. } =
            Replay::read(&store, &key, Signatures::Newest, seen.as_slice())?;
        let mut full = None;
        for torn in &torn {
            match keep_beginning(&store, &torn.at.file, torn.at.offset) {
                Err(AuditError::Store(e)) if e.is_full() => full = Some(AuditError::Store(e)),
                other => other?,
            }
        }
        let log = Log {
            store,
            key,
            range,
            segments,
            newest,
            tail: None,
            kept: None,
            is_broken: full.is_some(),
            pending: None,
            asked: None,
            is_receipt_wanted: false,
        };
        Ok((log, torn, full))
    }

    /// Reads the log again: it must continue each of `seen`, checkpoints of it that were kept elsewhere.
    pub fn continues(&self, seen: &[&Checkpoint]) -> Result<(), AuditError> {
        match seen {
            [] => Ok(()),
            seen => Replay::read(&self.store, &self.key, Signatures::Newest, seen).map(drop),
        }
    }

    /// Reads a whole log and checks every signature; changes nothing. It must continue each of `seen`.
    pub fn verify<'a>(
        store: &Store,
        key: &LogKey,
        seen: impl IntoIterator<Item = &'a Checkpoint>,
    ) -> Result<Report, AuditError> {
        let seen: Vec<&Checkpoint> = seen.into_iter().collect();
        let Replay { range, newest, checkpoints, torn, .. } =
            Replay::read(store, key, Signatures::All, &seen)?;
        let entries = range.size();
        let covered = newest.as_ref().map_or(0, |sealed| sealed.checkpoint().size);
        Ok(Report { entries, root: range.root(), checkpoints, newest, beyond: covered..entries, torn })
    }

    /// Appends an entry and gives its index. It is durable after the next [`Log::sync`].
    pub fn append(&mut self, event: &Event) -> Result<u64, AuditError> {
        self.mend()?;
        let n = self.range.size();
        let (leaf, line) = record::line(&Entry { n, event: event.clone() }.to_json());
        if self.segments.last().is_none_or(|s| s.len > 0 && s.len + line.len() as u64 > SEGMENT) {
            self.sync()?; // a file that is not the last is whole
            self.segments.push(Segment { first: n, len: 0 });
            self.tail = None;
        }
        self.attempt(|log| Ok(log.tail()?.write(line.as_bytes())?))?;
        self.range.push(leaf);
        if let Some(segment) = self.segments.last_mut() {
            segment.len += line.len() as u64;
        }
        Ok(n)
    }

    /// Makes every entry so far durable.
    pub fn sync(&mut self) -> Result<(), AuditError> {
        self.mend()?;
        if self.segments.is_empty() {
            return Ok(());
        }
        self.attempt(|log| Ok(log.tail()?.sync()?))
    }

    /// Has the next [`Log::pending`] give a text at once, if there is an entry that no checkpoint covers. For what a
    /// person asks for; never for what a peer sends.
    pub fn want_receipt(&mut self) {
        self.is_receipt_wanted = true;
    }

    /// The text to sign, when a checkpoint is due. The entries it covers are durable then. Given out again no sooner
    /// than [`SEAL_EVERY`] later, signed or not.
    pub fn pending(&mut self, now: Mono) -> Result<Option<String>, AuditError> {
        let size = self.range.size();
        let is_covered = self.newest.as_ref().map_or(0, |sealed| sealed.checkpoint().size) >= size;
        let is_early = self.deadline().is_some_and(|deadline| now < deadline);
        if is_covered || is_early {
            self.is_receipt_wanted &= !is_covered;
            return Ok(None);
        }
        self.sync()?;
        // A failed write may have taken entries with it.
        let (size, root) = (self.range.size(), self.range.root());
        let checkpoint =
            Checkpoint { origin: self.key.name().to_owned(), size, root, extensions: Vec::new() };
        let text = checkpoint.text();
        (self.pending, self.asked, self.is_receipt_wanted) = (Some(checkpoint), Some(now), false);
        Ok(Some(text))
    }

    /// Before when [`Log::pending`] gives nothing; `None`: it may at once.
    pub fn deadline(&self) -> Option<Mono> {
        if self.is_receipt_wanted { None } else { self.asked.map(|asked| asked + SEAL_EVERY) }
    }

    /// Keeps the checkpoint whose text was given out last, with its signature (ECDSA in ASN.1 DER). It is durable
    /// on return.
    pub fn sealed(&mut self, signature: &[u8], at: Wall) -> Result<&Sealed, AuditError> {
        let checkpoint = self.pending.take().ok_or(AuditError::NothingPending)?;
        let size = checkpoint.size;
        let note = Note::signed(checkpoint, &self.key, signature);
        note.verify(&self.key).map_err(|source| AuditError::Unsigned { size, source })?;
        self.mend()?;
        let sealed = Sealed { at, note };
        let (_, line) = record::line(&sealed.to_json());
        self.attempt(|log| {
            let tail = match &mut log.kept {
                Some(tail) => tail,
                none => none.insert(log.store.append(CHECKPOINTS)?),
            };
            tail.write(line.as_bytes())?;
            Ok(tail.sync()?)
        })?;
        Ok(self.newest.insert(sealed))
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.range.size()
    }

    /// Root of the tree of all entries.
    pub fn root(&self) -> Hash {
        self.range.root()
    }

    /// The newest checkpoint.
    pub fn newest(&self) -> Option<&Sealed> {
        self.newest.as_ref()
    }

    /// The key that its checkpoints are signed with.
    pub fn key(&self) -> &LogKey {
        &self.key
    }

    fn tail(&mut self) -> Result<&mut Tail, AuditError> {
        let first = self.segments.last().map_or(0, |segment| segment.first);
        match &mut self.tail {
            Some(tail) => Ok(tail),
            none => Ok(none.insert(self.store.append(&Segment::name(first))?)),
        }
    }

    fn attempt<T>(&mut self, work: impl FnOnce(&mut Log) -> Result<T, AuditError>) -> Result<T, AuditError> {
        let done = work(self);
        self.is_broken |= done.is_err();
        done
    }

    /// After a failed write or sync: reads what is there, and goes on from there.
    fn mend(&mut self) -> Result<(), AuditError> {
        if !self.is_broken {
            return Ok(());
        }
        let seen = self.newest.as_ref().map(|sealed| sealed.checkpoint().clone());
        let (store, key) = (self.store.clone(), self.key.clone());
        let (mut log, _, full) = Log::begin(store, key, seen.as_ref())?;
        let (from, to) = (log.size(), self.size());
        (log.asked, log.is_receipt_wanted) = (self.asked, self.is_receipt_wanted);
        // A checkpoint whose write failed may be there all the same; an entry, too.
        *self = log;
        if from < to {
            return Err(AuditError::Lost { from, to });
        }
        full.map_or(Ok(()), Err)
    }
}

/// Replaces a file by its first `len` bytes.
fn keep_beginning(store: &Store, name: &str, len: u64) -> Result<(), AuditError> {
    let Some(file) = store.open_file(name)? else { return Ok(()) };
    let mut intake = store.intake(DIR)?;
    let mut block = vec![0; 64 << 10];
    let mut at = 0;
    while at < len {
        let want = usize::try_from(len - at).unwrap_or(usize::MAX).min(block.len());
        let n = file.read_at(at, &mut block[..want])?;
        if n == 0 {
            break;
        }
        intake.write(&block[..n])?;
        at += n as u64;
    }
    Ok(intake.commit(name)?)
}
