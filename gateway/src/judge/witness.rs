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
use super::{Judge, receipt, refusal};
use crate::audit::checkpoint::{Checkpoint, LogKey, Note};
use crate::audit::tree::Hash;
use crate::reasons as why;
use crate::receipt::envelope;
use crate::state::case::{self, CaseNumber};
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
        Ok(trust)
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

/// Most receipts that the log is held against: what is older lies below a checkpoint of a newer one.
const MOST_RECEIPTS: usize = 64;
