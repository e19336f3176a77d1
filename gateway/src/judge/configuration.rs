//! Approved configurations: which digest counts, whether it is the one that runs, and how another one is approved.
//!
//! The digest lies in the trust store, which the TPM's counter guards; the configuration itself lies beside it in
//! the data folder, authenticated by that digest. Order of a change: the new configuration under another name; the
//! trust store (and the counter); the rename. After a cut the digest says which of the two is the approved one.

use firmware_verifier::Digest;
use firmware_verifier::document::{ConfigApproval, DocumentError, Signed};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::TrustStore;
use hal::reason::ReasonCode;

use super::failure::Failure;
use super::guard::Share;
use super::message::Answered;
use super::rows::ConfigRow;
use super::trust::gate_failure;
use super::{Judge, refusal};
use crate::audit::Kind;
use crate::config::approved::{APPROVED, NEXT};
use crate::config::effective::MAX_EFFECTIVE;
use crate::config::weakening::weakens;
use crate::config::{Config, Effective, Standing};
use crate::reasons as why;
use crate::state::alarm::Kind as Told;
use crate::transfer::event::Refusal;

impl Judge {
    /// Whether the configuration that runs is the one that `trust` names. A change that was cut off is finished.
    pub(super) fn prove_configuration(&mut self, trust: &TrustStore) -> Result<(), Refusal> {
        let runs = self.config.digest();
        self.finish_change(trust.config())
            .map_err(|e| lost(e.text, "a data folder that can be written".into()))?;
        let Some(approved) = trust.config() else {
            return self.nothing_planted();
        };
        let expected = format!("the configuration of {approved}, which was approved last");
        let kept = self.kept_configuration(APPROVED);
        let is_kept = matches!(&kept, Ok(Some(kept)) if kept.digest() == approved);
        if runs == approved {
            if !is_kept {
                tracing::warn!(
                    "the approved configuration was missing or damaged; it runs, and is kept again"
                );
                let bytes = self.config.effective.bytes().to_vec();
                self.store.write_atomic(APPROVED, &bytes).map_err(|e| lost(e.to_string(), expected))?;
            }
            self.config_proven = true;
            return Ok(());
        }
        // Another one was approved while this one, approved before, runs: it is for the next start.
        if self.config_proven && is_kept {
            return Ok(());
        }
        let found = match kept {
            Err(e) => format!("{APPROVED}, which is damaged ({e})"),
            Ok(None) => format!("{APPROVED} is gone: it was deleted"),
            Ok(Some(kept)) if kept.digest() != approved => {
                format!("{APPROVED} of {}: an older one, or one that nobody approved", kept.digest())
            }
            Ok(Some(_)) => format!("a configuration of {runs} that runs; restart the gateway"),
        };
        Err(lost(found, expected))
    }

    /// Before the first approval the files run, and nothing else.
    fn nothing_planted(&self) -> Result<(), Refusal> {
        match self.config.standing {
            Standing::Unapproved | Standing::Damaged(_) => Ok(()),
            Standing::Same | Standing::Differs(_) | Standing::Unreadable(_) => Err(lost(
                format!("{APPROVED} in the data folder, although no configuration was ever approved"),
                "no such file".into(),
            )),
        }
    }

    /// Whether a change was cut off: the name that is left over goes, or takes the place of the old one.
    fn finish_change(&mut self, approved: Option<Digest>) -> Result<(), Failure> {
        match self.kept_configuration(NEXT) {
            Ok(None) => {}
            Ok(Some(next)) if Some(next.digest()) == approved => self.store.rename(NEXT, APPROVED)?,
            Ok(Some(_)) | Err(_) => drop(self.store.remove(NEXT)?),
        }
        Ok(())
    }

    fn kept_configuration(&self, name: &str) -> Result<Option<Effective>, String> {
        let bytes = self.store.read(name, MAX_EFFECTIVE as u64).map_err(|e| e.to_string())?;
        bytes.map(|bytes| Effective::read(&bytes).map_err(|e| e.to_string())).transpose()
    }

    /// Tells people when the files say something else than what was approved, or that they no longer do.
    pub(super) fn tell_standing(&mut self) {
        match &self.config.standing {
            standing if standing.is_instead() => {
                let text = format!(
                    "{}; the one approved last runs ({})",
                    standing.words().unwrap_or_default(),
                    self.config.digest()
                );
                tracing::error!("{text}");
                self.note_with(Kind::Config, "configuration", &text, Some(why::CONFIG_CHANGED), None);
                self.raise(None, why::CONFIG_CHANGED, Told::Latched, &text);
            }
            _ => self.clear_alarm(None, why::CONFIG_CHANGED),
        }
    }

    /// Compares a configuration with the one that was approved last.
    pub(super) fn config_compare(&mut self, document: &str) -> Result<Answered, Failure> {
        let (effective, config) = self.given(document)?;
        let trust = self.trust_for_configuration().map_err(gate_failure)?;
        Ok(Answered::Config(Box::new(self.compared(&trust, &effective, &config))))
    }

    /// Approves a configuration, for the next start.
    pub(super) fn config_approve(&mut self, approval: &str, document: &str) -> Result<Answered, Failure> {
        let (effective, config) = self.given(document)?;
        let envelope = Envelope::parse(approval.as_bytes())
            .map_err(|e| Failure::new(firmware_verifier::reasons::DOCUMENT_UNREADABLE, e.to_string()))?;
        let mut trust = self.trust_for_configuration().map_err(gate_failure)?;
        let row = self.compared(&trust, &effective, &config);
        let signed = self.signed(&envelope, &trust, &row).map_err(|f| self.approval_refused(f, &row))?;
        let now = self.now();
        trust.approve_config(&signed, now).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        self.afford(Share::Signed)?;
        self.store.write_atomic(NEXT, effective.bytes())?;
        self.write_trust(trust)?;
        self.store.rename(NEXT, APPROVED)?;

        let digest = effective.digest();
        let by: Vec<&str> = signed.signers().iter().map(firmware_verifier::trust::Anchor::name).collect();
        let text = format!("approved by {}: {}", by.join(", "), changes(&row));
        self.note_with(Kind::Config, "configuration", &text, None, Some(*digest.as_bytes()));
        if !self.gate_status().open {
            self.open_gate();
        }
        let runs = if self.config.digest() == digest { "it runs" } else { "it runs from the next start on" };
        Ok(Answered::Done { text: format!("approved: {digest}; {runs}") })
    }

    /// An approval that counts for this very configuration, and for all that is weaker in it.
    fn signed(
        &self,
        envelope: &Envelope,
        trust: &TrustStore,
        row: &ConfigRow,
    ) -> Result<Signed<ConfigApproval>, Failure> {
        let signed = Signed::<ConfigApproval>::open(envelope, trust, &self.config.name, self.now());
        let signed = signed.map_err(|e| match &e {
            DocumentError::TooFew { .. } => Failure::new(e.code(), format!("{e}{}", weaker(row))),
            _ => Failure::new(e.code(), e.to_string()),
        })?;
        let ConfigApproval { config, weakens } = signed.content();
        if config.to_string() != row.given {
            let text =
                format!("the approval is of {config}, and the configuration in the files is {}", row.given);
            return Err(Failure::new(why::CONFIG_CHANGED, text)
                .next("give the files that were approved, or have these approved: headgate config digest --draft FILE"));
        }
        if !weakens && !row.weakens.is_empty() {
            let text = format!("the approval does not say that it weakens enforcement{}", weaker(row));
            return Err(Failure::new(why::CONFIG_WEAKENS, text));
        }
        Ok(signed)
    }

    /// A refused approval goes into the log.
    fn approval_refused(&mut self, failure: Failure, row: &ConfigRow) -> Failure {
        let text = format!("approval of {} refused: {}", row.given, failure.told().0);
        self.note_with(Kind::Config, "configuration", &text, failure.code, None);
        failure
    }

    /// A configuration as it was sent.
    fn given(&self, document: &str) -> Result<(Effective, Config), Failure> {
        let effective = Effective::read(document.as_bytes()).map_err(|e| Failure::usage(e.to_string()))?;
        let config = Config::of_effective(&effective, &self.config.base);
        let config = config.map_err(|e| Failure::usage(e.to_string()))?;
        Ok((effective, config))
    }

    fn compared(&self, trust: &TrustStore, effective: &Effective, config: &Config) -> ConfigRow {
        let base = &self.config.base;
        let kept = trust.config().map(|digest| {
            let kept = self.kept_configuration(APPROVED).ok().flatten();
            kept.filter(|kept| kept.digest() == digest)
                .and_then(|kept| Some((Config::of_effective(&kept, base).ok()?, kept)))
        });
        let (differs, weaker) = match &kept {
            None => (vec![], vec![]),
            Some(None) => {
                let text = "the one approved last is lost: nobody can tell what is weaker than it";
                (vec![], vec![text.to_owned()])
            }
            Some(Some((old, kept))) => (
                kept.differences(effective).iter().map(ToString::to_string).collect(),
                weakens(old, config).iter().map(ToString::to_string).collect(),
            ),
        };
        ConfigRow {
            gateway: self.config.name.clone(),
            runs: self.config.digest().to_string(),
            approved: trust.config().map(|digest| digest.to_string()),
            given: effective.digest().to_string(),
            differs,
            weakens: weaker,
        }
    }

    /// The trust store; also while the gate is shut because no approved configuration is there, as approving one
    /// is the way out.
    fn trust_for_configuration(&mut self) -> Result<TrustStore, Refusal> {
        match self.trust() {
            Err(shut) if shut.code == why::CONFIG_LOST => self.unsealed().map(|(_, trust)| trust),
            other => other.cloned(),
        }
    }

    /// How the configuration that runs stands to what was approved, and whether that is as it should be.
    pub(super) fn config_words(&self) -> (Result<(), ReasonCode>, String) {
        let runs = self.config.digest();
        if let Some(words) = self.config.standing.words() {
            let code = match self.config.standing {
                Standing::Damaged(_) => why::CONFIG_LOST,
                _ => why::CONFIG_CHANGED,
            };
            return (Err(code), words);
        }
        match (self.trust().map(TrustStore::config), &self.config.standing) {
            (Ok(Some(approved)), _) if approved == runs => (Ok(()), format!("approved: {runs}")),
            (Ok(Some(approved)), _) => {
                (Err(why::CONFIG_CHANGED), format!("{approved} was approved; it runs from the next start on"))
            }
            (Ok(None), _) => (Err(why::CONFIG_UNAPPROVED), format!("not approved: {runs}")),
            (Err(shut), _) if shut.code == why::CONFIG_LOST => (Err(shut.code), shut.found),
            (Err(_), Standing::Same) => {
                (Ok(()), format!("as it was approved, as far as the disk says: {runs}"))
            }
            (Err(_), _) => {
                (Err(why::CONFIG_UNAPPROVED), format!("not approved, as far as the disk says: {runs}"))
            }
        }
    }

    /// After `headgate init --again` nothing is approved any more.
    pub(super) fn forget_configurations(&mut self) -> Result<(), Failure> {
        for name in [APPROVED, NEXT] {
            self.store.remove(name)?;
        }
        Ok(())
    }
}

/// Finishes or drops a change that was cut off, before it is decided what runs: only the TPM knows which.
pub(crate) fn settle_change(config: Config, clock: hal::clock::Clock) {
    // A gateway that runs has the folder: it finishes the change itself.
    if let Ok(mut judge) = Judge::open(config.into(), clock) {
        judge.open_gate();
    }
}

fn lost(found: String, expected: String) -> Refusal {
    refusal(why::CONFIG_LOST, None, found, expected)
}

/// Each weakening on a line of its own.
fn weaker(row: &ConfigRow) -> String {
    if row.weakens.is_empty() {
        return String::new();
    }
    let lines: String = row.weakens.iter().map(|w| format!("\n  {w}")).collect();
    format!("; it weakens enforcement, which two distinct approvers must sign:{lines}")
}

fn changes(row: &ConfigRow) -> String {
    let what = |rows: &[String]| rows.join("; ");
    match (&row.approved, row.differs.is_empty()) {
        (None, _) => "the first approved configuration".into(),
        (_, true) => "no change".into(),
        _ if row.weakens.is_empty() => what(&row.differs),
        _ => format!("{}; weaker: {}", what(&row.differs), what(&row.weakens)),
    }
}
