//! The audit book: what the judge writes down for the auditor, and the checkpoints over it.
//!
//! What people do is written as it is; what a peer can cause becomes few entries ([`Coalesce`]), and no number of them
//! makes the TPM sign more than once a minute. A checkpoint goes to the broker, too: a witness outside of this box.
//! A book that cannot be written, or is not what was written, shuts the gate for firmware.

use std::time::Duration;

use firmware_verifier::Digest;
use hal::clock::{Mono, Wall};
use hal::reason::ReasonCode;
use hal::tpm::Provisioned;
use serde_json::json;

use super::failure::Failure;
use super::gate::TPM_TIMEOUT;
use super::message::Answered;
use super::period::is_outside;
use super::rows::{AuditReport, AuditRow};
use super::{Judge, refusal};
use crate::audit::checkpoint::{LogKey, Note};
use crate::audit::{AuditError, Coalesce, DIR, Event, Kind, Log, export};
use crate::reasons as why;
use crate::receipt::record::Audit;
use crate::state::alarm::Kind as Told;
use crate::state::meta;
use crate::state::outbox;
use crate::transfer::event::Refusal;

/// The book of this gateway.
pub(super) enum Book {
    /// Not opened: nothing was written yet, or the gateway is not provisioned.
    Closed,
    Open(Box<Open>),
    /// It cannot be written, or is not what was written.
    Damaged(String),
}

pub(super) struct Open {
    pub(super) log: Log,
    repeats: Coalesce,
    /// When the TPM last refused to sign.
    refused: Option<Mono>,
    pub(super) standing: Standing,
}

/// What is known of a log from outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was read, and is whole in itself. The TPM signs no checkpoint of it yet.
    Read,
    /// A person had the one before set aside: the trust store does not know of this one yet.
    Begun,
    /// It continues what the trust store and the receipts remember.
    Held,
}

impl Open {
    fn new(log: Log) -> Box<Open> {
        Box::new(Open { log, repeats: Coalesce::default(), refused: None, standing: Standing::Read })
    }
}

impl Judge {
    /// Opens the book, if the gateway has one and it is not open yet.
    pub(super) fn open_book(&mut self) {
        if !matches!(self.book, Book::Closed) {
            return;
        }
        let Ok(Some(provisioned)) = self.provisioned() else { return };
        let opened = self.log_key(&provisioned).and_then(|key| {
            let seen = self.seen_checkpoint();
            Log::open(self.store.clone(), key, seen.as_ref().map(|n| &n.checkpoint))
                .map_err(|e| e.to_string())
        });
        match opened {
            Ok((log, torn)) => {
                for end in torn {
                    tracing::warn!(?end, "the audit log ended half written, as after a loss of power");
                }
                self.book = Book::Open(Open::new(log));
            }
            Err(text) => self.damaged(text),
        }
    }

    pub(super) fn log_key(&self, provisioned: &Provisioned) -> Result<LogKey, String> {
        let key = provisioned.evidence_key().map_err(|e| e.to_string())?;
        LogKey::from_spki(&format!("headgate/{}", self.config.name), &key.to_der()).map_err(|e| e.to_string())
    }

    /// The newest checkpoint that the database knows of: a log that was put back alone is behind it.
    pub(super) fn seen_checkpoint(&self) -> Option<Note> {
        let bytes = meta::get(&self.db.rows(), NEWEST).ok().flatten()?;
        Note::parse(std::str::from_utf8(&bytes).ok()?).ok()
    }

    pub(super) fn damaged(&mut self, text: String) {
        tracing::error!(error = %text, "the audit log");
        self.book = Book::Damaged(text.clone());
        self.raise(None, why::AUDIT_LOG, Told::Latched, &text);
        if self.gate_status().open {
            self.shut_gate(book_refusal(&text));
        }
    }

    /// Why nothing can be written down, and so no firmware passes.
    pub(super) fn unwritable(&self) -> Option<Refusal> {
        match &self.book {
            Book::Damaged(text) => Some(book_refusal(text)),
            Book::Closed | Book::Open(_) => None,
        }
    }

    /// Writes down what a person did, or the gateway itself.
    pub(super) fn note(&mut self, kind: Kind, subject: &str, text: &str) {
        let event = Event::new(self.now(), kind, &self.caller.clone(), subject, text);
        self.write_down(event);
    }

    /// As [`Judge::note`], with the reason or the image it is about.
    pub(super) fn note_with(
        &mut self,
        kind: Kind,
        subject: &str,
        text: &str,
        code: Option<ReasonCode>,
        digest: Option<[u8; 32]>,
    ) {
        let event = Event::new(self.now(), kind, &self.caller.clone(), subject, text);
        self.write_down(Event { code, digest, ..event });
    }

    /// Writes down that the configuration is another one than at the last start.
    pub(super) fn note_configuration(&mut self) {
        let digest = *self.config.digest().as_bytes();
        let before = meta::get(&self.db.rows(), CONFIGURATION).ok().flatten();
        let before: Option<[u8; 32]> = before.and_then(|bytes| bytes.try_into().ok());
        if before == Some(digest) {
            return;
        }
        let text = match before {
            Some(before) => {
                format!("the configuration changed; it was sha256:{}", crate::vault::hex(&before))
            }
            None => "the first configuration".into(),
        };
        self.note_with(Kind::Config, "configuration", &text, None, Some(digest));
        let kept = self.db.write("remember the configuration", |tx| meta::put(tx, CONFIGURATION, &digest));
        self.log(kept);
    }

    /// Writes down what a peer caused: the first of its kind at once, its repeats with their number.
    pub(super) fn note_of_peer(&mut self, event: Event) {
        self.open_book();
        let now = self.clock.mono();
        let Book::Open(book) = &mut self.book else { return };
        if let Some(event) = book.repeats.offer(event, now) {
            self.write_down(event);
        }
    }

    /// Writes down one event as it is, and gives its index.
    pub(super) fn write_down(&mut self, event: Event) -> Option<u64> {
        self.open_book();
        let Book::Open(book) = &mut self.book else { return None };
        match book.log.append(&event).and_then(|n| book.log.sync().map(|()| n)) {
            Ok(n) => Some(n),
            Err(e) => {
                self.damaged(e.to_string());
                None
            }
        }
    }

    /// The event at `index`.
    pub(super) fn entry_at(&self, index: u64) -> Option<Event> {
        let Book::Open(book) = &self.book else { return None };
        let entry = book.log.entries(index..index.saturating_add(1)).next()?;
        entry.ok().map(|entry| entry.event)
    }

    /// Whether any entry begins with these words.
    pub(super) fn log_tells(&mut self, words: &str) -> bool {
        self.open_book();
        let Book::Open(book) = &self.book else { return false };
        book.log.last(u64::MAX).flatten().any(|entry| entry.event.text.starts_with(words))
    }

    /// The entry at `index` for a receipt, with a checkpoint that covers it where the TPM signs one.
    pub(super) fn entry_with_checkpoint(&mut self, index: u64) -> Result<Audit, String> {
        self.whole_book().map_err(|f| f.text)?.log.want_receipt();
        self.seal_book(self.clock.mono());
        let log = &self.whole_book().map_err(|f| f.text)?.log;
        let entry = log.entries(index..index.saturating_add(1)).next().ok_or("no such entry")?;
        let entry = entry.map_err(|e| e.to_string())?.to_json();
        let covers = log.newest().filter(|sealed| sealed.checkpoint().size > index);
        let proof = covers.map(|sealed| log.inclusion(index, sealed.checkpoint())).transpose();
        let proof = proof.map_err(|e| e.to_string())?.unwrap_or_default();
        Ok(Audit {
            origin: log.key().name().to_owned(),
            index,
            entry,
            checkpoint: covers.map(|sealed| sealed.note.to_string()),
            proof: proof.iter().map(|hash| hash.to_base64()).collect(),
        })
    }

    /// When [`Judge::keep_book`] has something to do.
    pub(super) fn book_in(&self) -> Option<Duration> {
        let Book::Open(book) = &self.book else { return None };
        let now = self.clock.mono();
        let covered = book.log.newest().map_or(0, |s| s.checkpoint().size);
        let uncovered = covered < book.log.size() && self.gate_status().open;
        let seal = uncovered.then(|| {
            let refused = book.refused.map(|at| at + RETRY);
            let due = book.log.deadline().into_iter().chain(refused).max();
            due.map_or(Duration::ZERO, |due| due.since(now))
        });
        let repeats = book.repeats.deadline().map(|due| due.since(now));
        seal.into_iter().chain(repeats).min()
    }

    /// Writes down what was counted, and has the TPM sign a checkpoint, when these are due.
    pub(super) fn keep_book(&mut self) {
        let now = self.clock.mono();
        let Book::Open(book) = &mut self.book else { return };
        let mut counted = Vec::new();
        book.repeats.expire(now, &mut counted);
        for event in counted {
            self.write_down(event);
        }
        if self.book_in().is_some_and(|wait| wait.is_zero()) {
            self.seal_book(now);
        }
    }

    /// Before an orderly end.
    pub(super) fn close_book(&mut self) {
        let Book::Open(book) = &mut self.book else { return };
        let mut counted = Vec::new();
        book.repeats.drain(&mut counted);
        for event in counted {
            self.write_down(event);
        }
    }

    fn seal_book(&mut self, now: Mono) {
        let (Ok(Some(provisioned)), Some(tpm), approvals) =
            (self.provisioned(), self.tpm.clone(), self.approvals())
        else {
            return;
        };
        let at = self.now();
        let Book::Open(book) = &mut self.book else { return };
        if book.standing != Standing::Held {
            return; // a log that somebody has written anew must not get a signature
        }
        let text = match book.log.pending(now) {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(e) => return self.damaged(e.to_string()),
        };
        let digest = *Digest::of(text.as_bytes()).as_bytes();
        match tpm.sign(&provisioned, &approvals, &digest, TPM_TIMEOUT) {
            Ok(signature) => match book.log.sealed(&signature, at) {
                Ok(sealed) => {
                    let note = sealed.note.to_string();
                    book.refused = None;
                    self.witness(&note);
                }
                Err(e) => self.damaged(e.to_string()),
            },
            Err(e) => {
                book.refused = Some(now);
                tracing::warn!(error = %e, "the TPM signs no checkpoint now; it is asked again");
            }
        }
    }

    /// Keeps the newest checkpoint outside of the log: in the database, and at the broker.
    fn witness(&mut self, note: &str) {
        let kept = self.db.write("keep a checkpoint", |tx| meta::put(tx, NEWEST, note.as_bytes()));
        self.log(kept);
        let body = json!({ "schema": 1, "gateway": self.config.name, "checkpoint": note, "at": self.now().to_string() });
        self.publish(outbox::Kind::Verdict, CHECKPOINT_TOPIC, body);
    }

    /// A new book for a new key; one that is there is set aside, for no checkpoint of it can be made any more.
    pub(super) fn begin_book(&mut self, provisioned: &Provisioned) -> Result<(), Failure> {
        let key = self.log_key(provisioned).map_err(Failure::internal)?;
        self.set_book_aside()?;
        let opened = Log::open(self.store.clone(), key, None).map_err(|e| audit_failure(&e))?;
        self.book = Book::Open(Open::new(opened.0));
        self.note(Kind::Start, "book", "the gateway was provisioned; a new log begins");
        Ok(())
    }

    /// A person has a damaged book set aside; the next begins with their reason. As the gate opens, the trust store
    /// remembers the new one in place of the old; after a cut before that it is set aside once more.
    pub(super) fn audit_set_aside(&mut self, reason: &str) -> Result<Answered, Failure> {
        let Book::Damaged(text) = &self.book else {
            return Err(Failure::usage("the audit log is whole: there is nothing to set aside"));
        };
        let text = text.clone();
        if reason.trim().is_empty() {
            return Err(Failure::usage("--reason says why, for the new log: it cannot be empty"));
        }
        let folder = self.set_book_aside()?;
        self.book = Book::Closed;
        self.note(
            Kind::Start,
            "book",
            &format!("the log before was set aside in {folder}: {reason}; {text}"),
        );
        if let Book::Open(book) = &mut self.book {
            book.standing = Standing::Begun;
        }
        self.clear_alarm(None, why::AUDIT_LOG);
        self.open_gate();
        Ok(Answered::Done { text: format!("set aside in {folder}; a new log has begun") })
    }

    fn set_book_aside(&mut self) -> Result<String, Failure> {
        self.book = Book::Closed;
        let stamp = self.now().ms;
        for entry in self.store.list(DIR)? {
            self.store
                .rename(&format!("{DIR}/{}", entry.file), &format!("{ASIDE}/{stamp}-{}", entry.file))?;
        }
        self.db.write("forget a checkpoint", |tx| meta::put(tx, NEWEST, b""))?;
        Ok(format!("{ASIDE}/{stamp}-*"))
    }

    pub(super) fn whole_book(&mut self) -> Result<&mut Open, Failure> {
        self.open_book();
        let closed = matches!(self.book, Book::Closed).then(|| self.provisioned_or_failure().err()).flatten();
        match &mut self.book {
            Book::Open(book) => Ok(book),
            Book::Damaged(text) => Err(Failure::new(why::AUDIT_LOG, text.clone())),
            Book::Closed => Err(closed.unwrap_or_else(|| {
                Failure::new(why::NOT_PROVISIONED, "there is no audit log yet; run headgate init first")
            })),
        }
    }

    /// Has everything so far covered by a checkpoint where the TPM signs one, and gives the newest.
    pub(super) fn fresh_checkpoint(&mut self) -> Result<Option<String>, Failure> {
        self.whole_book()?.log.want_receipt();
        self.seal_book(self.clock.mono());
        Ok(self.whole_book()?.log.newest().map(|sealed| sealed.note.to_string()))
    }

    /// How many entries the log has, and when the TPM signed the newest checkpoint.
    pub(super) fn book_state(&mut self) -> Result<(u64, Option<Wall>), Failure> {
        let log = &self.whole_book()?.log;
        Ok((log.size(), log.newest().map(|sealed| sealed.at)))
    }

    /// The last `last` entries.
    pub(super) fn audit_list(&mut self, last: u64) -> Result<Answered, Failure> {
        let book = self.whole_book()?;
        let entries = book.log.last(last.min(MOST_LISTED)).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|e| audit_failure(&e))?.iter().map(AuditRow::from).collect();
        let checkpoint = book.log.newest().map(|sealed| sealed.note.to_string());
        Ok(Answered::Audit { entries, checkpoint })
    }

    /// Entries about changes that no transfer explains.
    pub(super) fn changes_outside(&mut self, from: Wall, to: Wall) -> Result<Vec<AuditRow>, Failure> {
        let book = self.whole_book()?;
        let mut found = Vec::new();
        for entry in book.log.last(u64::MAX) {
            let row = AuditRow::from(&entry.map_err(|e| audit_failure(&e))?);
            if is_outside(&row, from, to) && found.len() < MOST_LISTED as usize {
                found.push(row);
            }
        }
        Ok(found)
    }

    /// Reads the whole log and checks every hash and signature; that it continues what the database, the trust store and
    /// the receipts remember; and that it continues the checkpoint `against`, which was kept elsewhere. That one alone tells of a disk that was put back together with the state of its TPM.
    pub(super) fn audit_verify(&mut self, against: Option<&str>) -> Result<Answered, Failure> {
        self.whole_book()?;
        let provisioned = self.provisioned_or_failure()?;
        let key = self.log_key(&provisioned).map_err(Failure::internal)?;
        let mut seen = self.witnesses(self.trust().ok(), &key);
        seen.extend(self.seen_checkpoint().map(|note| note.checkpoint));
        let report = Log::verify(&self.store, &key, &seen);
        let report = report.map_err(|e| {
            self.damaged(e.to_string());
            audit_failure(&e)
        })?;
        if let Some(kept) = against {
            self.continues(kept, &key)?;
        }
        Ok(Answered::AuditReport(AuditReport::from(&report)))
    }

    /// Whether the log continues a checkpoint that somebody brings. The entry about it is all that changes here: a person
    /// decides what is to become of a box that is not as new as it was.
    fn continues(&mut self, kept: &str, key: &LogKey) -> Result<(), Failure> {
        let unusable = |e: &dyn std::fmt::Display| {
            Failure::usage(format!("the checkpoint to compare with: {e}")).next(
                "give one of this gateway: a file of checkpoints/ in an export, or what the broker keeps",
            )
        };
        let note = Note::parse(kept).map_err(|e| unusable(&e))?;
        let seen = note.verify(key).map_err(|e| unusable(&e))?;
        Log::verify(&self.store, key, Some(seen)).map(drop).map_err(|e| {
            self.note_with(Kind::Trust, "book", &format!("checked: {e}"), Some(why::AUDIT_LOG), None);
            audit_failure(&e)
                .next("restore the newest disk, or treat the gateway as replaced: docs/replace.md")
        })
    }

    /// Writes the log, its checkpoints and its key into a new folder; with a fresh checkpoint where one can be made.
    pub(super) fn audit_export(&mut self, to: &std::path::Path) -> Result<Answered, Failure> {
        self.note(Kind::Trust, "book", &format!("exported to {}", to.display()));
        self.whole_book()?.log.want_receipt();
        let now = self.clock.mono();
        self.seal_book(now);
        let book = self.whole_book()?;
        std::fs::create_dir(to).map_err(|e| Failure::usage(format!("{}: {e}", to.display())))?;
        let mut sink = |name: &str, bytes: &[u8]| append(&to.join(name), bytes);
        export::bundle(&book.log, &mut sink).map_err(|e| audit_failure(&e))?;
        let size = book.log.size();
        self.export_predecessors(to)?;
        Ok(Answered::Done {
            text: format!(
                "exported: {size} entries to {}; README.txt there says how to check them",
                to.display()
            ),
        })
    }
}

/// Adds to a file below a folder that is made when it is not there.
pub(super) fn append(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
}

pub(super) fn book_refusal(text: &str) -> Refusal {
    refusal(why::AUDIT_LOG, None, text, "an audit log that is whole and can be written")
}

pub(super) fn audit_failure(e: &AuditError) -> Failure {
    Failure::new(why::AUDIT_LOG, e.to_string())
}

/// Folder for logs that were set aside.
pub(crate) const ASIDE: &str = "audit-aside";
/// Where the database keeps the newest checkpoint.
const NEWEST: &str = "audit-checkpoint";
/// Where the database keeps the digest of the configuration that ran last.
const CONFIGURATION: &str = "configuration";
/// Pause after the TPM refused to sign.
const RETRY: Duration = Duration::from_secs(60);
/// Below the gateway's own topic; the broker keeps the newest.
pub(crate) const CHECKPOINT_TOPIC: &str = "audit/checkpoint";
/// Most entries of one answer.
const MOST_LISTED: u64 = 10_000;
