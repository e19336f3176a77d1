//! What was taken out of the data folder: files that this gateway wrote and somebody has deleted or emptied.
//!
//! Each is known from elsewhere: receipts and approvals of boot states from the database, the sealed countersigning key
//! from the trust store, the record of `headgate init` from a database that remembers a trust store. What is gone is
//! named, and where to restore it from; nothing is made anew in its place.

use std::collections::BTreeMap;

use firmware_verifier::trust::Role;
use hal::tpm::Approval;
use serde::{Deserialize, Serialize};

use super::doctor::Check;
use super::failure::Failure;
use super::gate::{MAX_RECORD, PROVISIONED};
use super::trust::gate_failure;
use super::{Judge, boot, countersign, receipt, refusal};
use crate::audit::CHECKPOINTS;
use crate::reasons as why;
use crate::state::alarm::Kind as Told;
use crate::state::case::CaseNumber;
use crate::state::{meta, receipt as rows};
use crate::transfer::event::Refusal;

/// An approval of a boot state that is installed, as the database remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Installed {
    /// Digest of its file, which is the file's name.
    pub(super) id: String,
    pub(super) epoch: u64,
}

impl Judge {
    /// Raises the alarm about what is gone, or ends it when all is there again.
    pub(super) fn tell_missing(&mut self) {
        self.adopt_approvals();
        match self.missing_words() {
            Some(text) => {
                tracing::error!("{text}");
                self.raise(None, why::FILES_DELETED, Told::Latched, &text);
            }
            None => self.clear_alarm(None, why::FILES_DELETED),
        }
    }

    /// What is gone, for `headgate doctor`.
    pub(super) fn files_check(&self) -> Check {
        const ID: &str = "data.files";
        match self.missing_words() {
            None => Check::ok(ID, "what this gateway has written down is there"),
            Some(text) => Check::of_code(ID, text, "the files that this gateway wrote", why::FILES_DELETED),
        }
    }

    fn missing_words(&self) -> Option<String> {
        let parts = [
            self.missing_record(),
            self.missing_approvals(),
            self.missing_key(),
            self.missing_receipts(),
            self.missing_checkpoints(),
        ];
        let words: Vec<String> = parts.into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Why there is no record of `headgate init`: it was never run, or its record was taken away.
    pub(super) fn no_record(&self) -> Refusal {
        match self.missing_record() {
            Some(found) => refusal(why::TRUST_STORE, None, found, "the file that headgate init wrote"),
            None => {
                refusal(why::NOT_PROVISIONED, None, "no sealed key in the data folder", "headgate init, once")
            }
        }
    }

    /// As [`Judge::no_record`], as the answer to a command.
    pub(super) fn no_record_failure(&self) -> Failure {
        gate_failure(self.no_record())
    }

    /// Why no approval of a boot state is there.
    pub(super) fn no_approval(&self) -> Refusal {
        match self.missing_approvals() {
            Some(found) => refusal(why::FILES_DELETED, None, found, "an approval of the present boot state"),
            None => {
                let next = "headgate site-key sign, then headgate trust approve-pcrs";
                refusal(why::NOT_PROVISIONED, None, "no approved boot state yet", next)
            }
        }
    }

    /// The record of `headgate init`, where the database remembers that it once opened a trust store.
    pub(super) fn missing_record(&self) -> Option<String> {
        let was_there = self.remembered().is_ok_and(|generation| generation > 0);
        let gone = was_there.then(|| self.gone(PROVISIONED)).flatten()?;
        Some(format!("{gone}: put it back from a copy of this box's data folder"))
    }

    fn missing_approvals(&self) -> Option<String> {
        let gone = |one: &Installed| {
            let name = boot::file_of(&one.id);
            self.gone(&name).or_else(|| {
                let bytes = self.store.read(&name, MAX_RECORD).ok().flatten()?;
                (boot::id_of(&bytes) != one.id).then(|| format!("{name} was altered"))
            })
        };
        let gone: Vec<String> = self.approvals_remembered()?.iter().filter_map(gone).collect();
        some(&gone).map(|words| {
            format!("{words}: install it again, headgate trust approve-pcrs FILE, or have the boot state approved anew")
        })
    }

    /// The sealed countersigning key, where the trust store of this very box names one.
    fn missing_key(&self) -> Option<String> {
        let trust = self.trust().ok()?;
        let ours = trust.anchors().iter().any(|anchor| {
            let of_this_box = trust.since().is_none_or(|since| anchor.added().ms >= since.ms);
            anchor.role() == Role::Gateway && of_this_box && trust.revoked_key(anchor.id()).is_none()
        });
        let gone = ours.then(|| self.gone(countersign::KEY_FILE)).flatten()?;
        Some(format!(
            "{gone}: put it back from a copy of this box's data folder; without one the next headgate countersign makes \
             another key, and what the one before signed still counts"
        ))
    }

    fn missing_receipts(&self) -> Option<String> {
        let signed = rows::signed_cases(&self.db.rows()).ok()?;
        let entries = self.store.list(receipt::DIR).unwrap_or_default();
        let there: BTreeMap<CaseNumber, u64> = entries
            .iter()
            .filter_map(|entry| Some((entry.file.strip_suffix(".json")?.parse().ok()?, entry.size)))
            .collect();
        let gone = |case: &CaseNumber| {
            let name = receipt::file_name(*case);
            match there.get(case) {
                None => Some(format!("{name} was deleted")),
                Some(0) => Some(format!("{name} was emptied")),
                Some(_) => None,
            }
        };
        let gone: Vec<String> = signed.iter().filter_map(gone).collect();
        some(&gone).map(|words| {
            format!("{words}: put it back from a copy of the data folder, a backup, or whoever was given the receipt")
        })
    }

    /// The audit log's checkpoints, where the database remembers one of them.
    fn missing_checkpoints(&self) -> Option<String> {
        self.seen_checkpoint()?;
        let gone = self.gone(CHECKPOINTS)?;
        Some(format!(
            "{gone}: put it back from a copy of the data folder; until the next checkpoint is signed the log is held against \
             those that receipts, the trust store and the broker have"
        ))
    }

    /// What became of a file that was there; `None` while it is, with something in it.
    fn gone(&self, name: &str) -> Option<String> {
        match self.store.open_file(name) {
            Ok(None) => Some(format!("{name} was deleted")),
            Ok(Some(file)) if file.size().is_ok_and(|size| size == 0) => Some(format!("{name} was emptied")),
            // Another check says what is wrong with one that cannot be read.
            Ok(Some(_)) | Err(_) => None,
        }
    }

    /// `None` where none was ever remembered.
    fn approvals_remembered(&self) -> Option<Vec<Installed>> {
        serde_json::from_slice(&meta::get(&self.db.rows(), APPROVALS).ok()??).ok()
    }

    /// Remembers what `change` makes of the approvals that are installed.
    pub(super) fn remember_approvals(
        &mut self,
        change: impl FnOnce(&mut Vec<Installed>),
    ) -> Result<(), Failure> {
        let before = self.approvals_remembered();
        let mut now = before.clone().unwrap_or_default();
        change(&mut now);
        if before.as_ref() == Some(&now) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&now).map_err(|e| Failure::internal(e.to_string()))?;
        Ok(self.db.write("remember the approvals", |tx| meta::put(tx, APPROVALS, &bytes))?)
    }

    /// Remembers those that are there and not remembered: of an earlier version, or of a change that was cut off.
    fn adopt_approvals(&mut self) {
        let there = self.installed();
        let adopt = |known: &mut Vec<Installed>| {
            for (id, approval) in &there {
                remember(known, id, approval);
            }
        };
        if let Err(e) = self.remember_approvals(adopt) {
            tracing::warn!(error = %e, "the approvals are not remembered");
        }
    }
}

/// Adds an approval to those remembered, once.
pub(super) fn remember(known: &mut Vec<Installed>, id: &str, approval: &Approval) {
    if known.iter().all(|one| one.id != id) {
        known.push(Installed { id: id.to_owned(), epoch: approval.request.epoch });
    }
}

/// The first few, and how many more; `None` for none.
fn some(gone: &[String]) -> Option<String> {
    let (first, more) = gone.split_at(gone.len().min(MOST_NAMED));
    match (first, more.len()) {
        ([], _) => None,
        (first, 0) => Some(first.join(", ")),
        (first, more) => Some(format!("{}, and {more} more", first.join(", "))),
    }
}

/// Files of one kind that are named: more make no line.
const MOST_NAMED: usize = 3;
const APPROVALS: &str = "boot-approvals";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named_and_the_rest_counted() {
        let gone: Vec<String> = (1..=5).map(|n| format!("{n}")).collect();
        assert_eq!(some(&gone[..0]), None);
        assert_eq!(some(&gone[..2]).as_deref(), Some("1, 2"));
        assert_eq!(some(&gone).as_deref(), Some("1, 2, 3, and 2 more"));
    }
}
