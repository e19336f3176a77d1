//! What tells of the audit log from outside of it: the trust store, which the TPM's counter guards, and signed receipts.
//!
//! Whoever holds the disk can write a log anew with every hash in it right, take its checkpoints away, and change what the
//! database remembers of them. The trust store he cannot write, and a receipt he cannot sign. So no gate opens, and the
//! TPM signs no checkpoint, before the log was held against both. What is newer than both, he can still change unseen.

use firmware_verifier::Digest;
use firmware_verifier::trust::{LogHead, PublicKey, TrustStore};

use super::book::{Book, Standing, audit_failure, book_refusal};
use super::failure::Failure;
use super::guard::Share;
use super::{Judge, OURSELVES, receipt, refusal};
use crate::audit::checkpoint::{Checkpoint, LogKey, Note};
use crate::audit::tree::Hash;
use crate::audit::{Event, Kind};
use crate::reasons as why;
use crate::receipt::envelope;
use crate::state::case::{self, CaseNumber};
use crate::state::meta;
use crate::transfer::event::Refusal;

impl Judge {
    /// Holds the log against what `trust` and the receipts remember of it, once after it was opened. A log that a person
    /// has begun anew is remembered in place of the one before: a change of trust, which gives another store.
    pub(super) fn hold_log_against(
        &mut self,
        trust: TrustStore,
        key: &[u8; 32],
    ) -> Result<TrustStore, Refusal> {
        let Book::Open(book) = &self.book else {
            return self.unwritable().map_or(Ok(trust), Err);
        };
        let held = match book.standing {
            Standing::Held => return Ok(trust),
            Standing::Begun => self.begin_log(trust, key)?,
            Standing::Read => {
                let seen = self.witnesses(Some(&trust), book.log.key());
                if let Err(e) = book.log.continues(&seen.iter().collect::<Vec<_>>()) {
                    let text = format!("{e}; the trust store or a signed receipt says so");
                    self.damaged(text.clone());
                    return Err(book_refusal(&text));
                }
                trust
            }
        };
        if let Book::Open(book) = &mut self.book {
            book.standing = Standing::Held;
        }
        Ok(held)
    }

    fn begin_log(&mut self, mut trust: TrustStore, key: &[u8; 32]) -> Result<TrustStore, Refusal> {
        let refused = |f: Failure| {
            let expected = "a trust store that remembers the log that has begun";
            refusal(f.code.unwrap_or(why::TRUST_STORE), None, f.text, expected)
        };
        self.afford(Share::Shell).map_err(refused)?;
        let head = self.log_head(None).map_err(refused)?;
        trust.begin_log(head).map_err(|e| refused(Failure::new(e.code(), e.to_string())))?;
        self.write_under(&trust, key).map_err(refused)?;
        self.note(Kind::Trust, "book", "the trust store remembers this log from here on");
        Ok(trust)
    }

    /// Writes down that the trust store has changed and no entry tells of it: the power went, or the TPM, between the
    /// change and its entry. Once for each state.
    pub(super) fn tell_untold(&mut self, trust: &TrustStore) {
        let generation = trust.generation().to_be_bytes();
        let looked = meta::get(&self.db.rows(), TOLD).ok().flatten();
        if looked.as_deref() == Some(&generation) {
            return;
        }
        let Book::Open(book) = &self.book else { return };
        // The state of a gateway that was never looked at: it may be of a version that told of it otherwise.
        let head = looked.and(trust.log());
        let told = head.is_none_or(|head| {
            let after = head.entries..head.entries.saturating_add(MOST_ENTRIES);
            book.log.entries(after).flatten().any(|entry| tells_of_a_change(&entry.event))
        });
        if !told {
            let text = format!(
                "found as the gate opened: the trust store is of state {}, and no entry tells of the change",
                trust.generation()
            );
            let event = Event::new(self.now(), Kind::Trust, OURSELVES, "trust store", &text);
            if self.write_down(event).is_none() {
                return; // the next opening tells
            }
        }
        let kept = self.db.write("note what was told", |tx| meta::put(tx, TOLD, &generation));
        self.log(kept);
    }

    /// How far the log has come, with all of it on the disk. `before` is what was remembered of this log so far.
    pub(super) fn log_head(&mut self, before: Option<LogHead>) -> Result<LogHead, Failure> {
        let newest = case::list(&self.db.rows(), None, 1)?.first().map_or(0, |case| case.number.as_u64());
        let log = &mut self.whole_book()?.log;
        if let Err(e) = log.sync() {
            self.damaged(e.to_string());
            return Err(audit_failure(&e));
        }
        let (entries, root) = (log.size(), Digest::from_bytes(log.root().0));
        Ok(LogHead { entries, root, aside: before.map_or(newest, |before| before.aside) })
    }

    /// What the log must continue by the trust store, where that is open, and by the newest receipts.
    pub(super) fn witnesses(&self, trust: Option<&TrustStore>, key: &LogKey) -> Vec<Checkpoint> {
        let Some(head) = trust.and_then(TrustStore::log) else { return Vec::new() };
        let remembered = Checkpoint {
            origin: key.name().to_owned(),
            size: head.entries,
            root: Hash(*head.root.as_bytes()),
            extensions: Vec::new(),
        };
        let mut seen = vec![remembered];
        let pem = self.provisioned().ok().flatten().and_then(|p| Some(p.evidence_key().ok()?.to_pem()));
        let Some(evidence) = pem.and_then(|pem| envelope::key_from_pem(&pem).ok()) else { return seen };
        let files = self.store.list(receipt::DIR).unwrap_or_default();
        let number = |file: &str| file.strip_suffix(".json")?.parse::<CaseNumber>().ok();
        let mut cases: Vec<CaseNumber> = files.iter().filter_map(|entry| number(&entry.file)).collect();
        cases.retain(|case| case.as_u64() > head.aside);
        cases.sort_unstable_by(|a, b| b.cmp(a));
        cases.truncate(MOST_RECEIPTS);
        seen.extend(cases.iter().filter_map(|case| self.checkpoint_of(*case, &evidence, key)));
        seen
    }

    /// The checkpoint in the receipt of a case, if this gateway's key has signed both.
    fn checkpoint_of(&self, case: CaseNumber, evidence: &PublicKey, key: &LogKey) -> Option<Checkpoint> {
        let (envelope, statement) = envelope::open(&self.receipt_file(case)?).ok()?;
        let record = statement.record();
        let is_of_case = record.case.rsplit('/').next() == Some(case.to_string().as_str());
        if !is_of_case || !envelope.verify([evidence]).contains(evidence) {
            return None;
        }
        let note = Note::parse(record.audit.as_ref()?.checkpoint.as_ref()?).ok()?;
        note.verify(key).ok().cloned()
    }
}

/// Whether an entry right behind a change of trust is about it.
fn tells_of_a_change(event: &Event) -> bool {
    match event.kind {
        Kind::Trust => event.code.is_none() && event.subject != "backup",
        Kind::Config => event.code.is_none() && event.text.starts_with("approved by "),
        _ => false,
    }
}

/// Entries behind a change among which its own is looked for: starts with the gate shut may lie between.
const MOST_ENTRIES: u64 = 64;
/// The state of the trust store that an entry was looked for last.
const TOLD: &str = "trust-told";
/// Most receipts that the log is held against: what is older lies below a checkpoint of a newer one.
const MOST_RECEIPTS: usize = 64;
