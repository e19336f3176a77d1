//! The boot states a site has approved, through their whole life: asked for, foreseen, installed, revoked.
//!
//! An approval names PCR values and one value of the epoch counter. An update of the operating system brings one for
//! the PCRs it will have, installed before the restart; several may be on disk, and the first that holds opens the
//! gate. One increment of the epoch revokes all that were signed before, and nothing is sealed again. The approval
//! for the next epoch is installed first, so a cut before or after the increment leaves one that holds.

use hal::tpm::{Approval, Foreseen};

use super::failure::Failure;
use super::gate::{MAX_APPROVALS, MAX_RECORD, TPM_TIMEOUT, tpm_refusal};
use super::guard::Share;
use super::message::Answered;
use super::provision::{PROVISION_TIMEOUT, tpm_failure};
use super::rows::BootRow;
use super::trust::gate_failure;
use super::{Judge, missing, why};
use crate::audit::Kind;
use crate::state::meta;

impl Judge {
    /// What the site key has to sign: the present boot state, with what is foreseen of it put in its place.
    pub(super) fn approval_request(&mut self, foreseen: &Foreseen) -> Result<Answered, Failure> {
        let provisioned = self.record()?;
        let tpm = self.tpm_or_failure()?;
        let request = tpm.request_approval(&provisioned, &self.config.name, foreseen, PROVISION_TIMEOUT);
        let request = request.map_err(|e| tpm_failure(&e))?;
        let request = serde_json::to_string_pretty(&request).map_err(|e| Failure::internal(e.to_string()))?;
        Ok(Answered::ApprovalRequest { request })
    }

    /// Installs an approval, after checking the site key's signature on it.
    pub(super) fn approve_boot_state(&mut self, text: &str) -> Result<Answered, Failure> {
        let approval: Approval =
            serde_json::from_str(text).map_err(|e| Failure::usage(format!("this is no approval: {e}")))?;
        let provisioned = self.record()?;
        approval.verify(&provisioned.site_key).map_err(|e| Failure::new(why::BOOT_STATE, e.to_string()))?;
        let epoch = self.epoch()?;
        if approval.request.epoch < epoch {
            let text = format!(
                "it is for epoch {}, which was revoked: it is epoch {epoch} now",
                approval.request.epoch
            );
            return Err(Failure::new(why::BOOT_STATE, text));
        }
        let digest = *firmware_verifier::Digest::of(text.as_bytes()).as_bytes();
        let id = id_of(text.as_bytes());
        let name = file_of(&id);
        let there = self.store.list(DIR)?.len();
        if there >= MAX_APPROVALS && self.store.read(&name, MAX_RECORD)?.is_none() {
            return Err(Failure::usage(format!(
                "{there} approvals are installed already; headgate trust boot-states lists them, and --forget ID removes one"
            )));
        }
        self.store.write_atomic(&name, text.as_bytes())?;
        self.remember_approvals(|known| missing::remember(known, &id, &approval))?;
        self.note_with(Kind::Approval, "boot-state", &about(&approval), None, Some(digest));
        self.open_gate();
        let later = if approval.request.epoch > epoch { "; it counts from the next epoch on" } else { "" };
        Ok(Answered::Done {
            text: format!("approval installed{later}; the gate is {}", self.gate_status().text),
        })
    }

    /// The approvals that are installed, and what each is good for now.
    pub(super) fn boot_states(&mut self) -> Result<Answered, Failure> {
        let (epoch, provisioned) = (self.epoch()?, self.record()?);
        let now = self.tpm_or_failure()?.pcr_values(&provisioned.pcr_selection, TPM_TIMEOUT);
        let now = now.map_err(|e| gate_failure(tpm_refusal(&e)))?;
        let row = |(id, approval): (String, Approval)| {
            let differs = approval.request.pcr_values().map(|values| now.differing(&values));
            let state = match (approval.request.epoch.cmp(&epoch), differs) {
                (std::cmp::Ordering::Less, _) => "revoked".to_owned(),
                (_, Err(e)) => e.to_string(),
                (order, Ok(differs)) => {
                    let is = if differs.is_empty() {
                        "the present boot state".into()
                    } else {
                        format!("another boot state (PCR {differs:?})")
                    };
                    match order {
                        std::cmp::Ordering::Greater => format!("from the next epoch on: {is}"),
                        _ => is,
                    }
                }
            };
            BootRow {
                id: id[..16].into(),
                gateway: approval.request.gateway.clone(),
                epoch: approval.request.epoch,
                pcrs: approval.request.pcrs.iter().map(|(index, _)| *index).collect(),
                state,
            }
        };
        Ok(Answered::BootStates { epoch, approvals: self.installed().into_iter().map(row).collect() })
    }

    /// Removes an installed approval: it could be installed again, so this revokes nothing.
    pub(super) fn forget_boot_state(&mut self, id: &str) -> Result<Answered, Failure> {
        let is_it = |full: &String| id.len() >= 8 && full.starts_with(id);
        let mut found: Vec<_> = self.installed().into_iter().filter(|(full, _)| is_it(full)).collect();
        let (Some((full, approval)), true) = (found.pop(), found.is_empty()) else {
            return Err(Failure::not_found(format!(
                "no approval {id:?}; headgate trust boot-states lists them"
            )));
        };
        self.remember_approvals(|known| known.retain(|one| one.id != full))?;
        self.store.remove(&file_of(&full))?;
        self.note(Kind::Approval, "boot-state", &format!("forgotten: {}", about(&approval)));
        self.recheck_now();
        Ok(Answered::Done {
            text: format!("forgotten: {}; the gate is {}", &full[..16], self.gate_status().text),
        })
    }

    /// Revokes every approval of the present epoch, for good. Refused while no installed one holds in the next,
    /// unless the gate is meant to shut.
    pub(super) fn revoke_boot_states(&mut self, shut: bool) -> Result<Answered, Failure> {
        let (epoch, provisioned) = (self.epoch()?, self.record()?);
        let tpm = self.tpm_or_failure()?.clone();
        let now = tpm
            .pcr_values(&provisioned.pcr_selection, TPM_TIMEOUT)
            .map_err(|e| gate_failure(tpm_refusal(&e)))?;
        let holds_next = |approval: &Approval| {
            approval.request.epoch == epoch + 1
                && approval.verify(&provisioned.site_key).is_ok()
                && approval.request.pcr_values().is_ok_and(|values| now.differing(&values).is_empty())
        };
        if !shut && !self.installed().iter().any(|(_, approval)| holds_next(approval)) {
            return Err(Failure::usage(
                "no approval of the present boot state for the next epoch is installed: the gate would shut. First: \
                 headgate init --request-only --next-epoch, site-key sign, trust approve-pcrs; or --shut if that is meant",
            ));
        }
        self.afford(Share::Signed)?;
        let before = epoch;
        let epoch = tpm.advance_epoch(TPM_TIMEOUT).map_err(|e| {
            let failure = gate_failure(tpm_refusal(&e));
            let text = format!("{}; the epoch may have moved on all the same", failure.text);
            Failure { text, ..failure }.next(format!(
                "once the TPM answers, headgate trust boot-states says epoch {} if it has, {before} if not; give it again only then",
                before + 1
            ))
        })?;
        self.spend();
        self.note_epoch(epoch);
        self.note(Kind::Approval, "boot-state", &format!("every approval before epoch {epoch} is revoked"));
        self.remember_approvals(|known| known.retain(|one| one.epoch >= epoch))?;
        for (id, approval) in self.installed() {
            if approval.request.epoch < epoch {
                self.store.remove(&file_of(&id))?;
            }
        }
        self.recheck_now();
        Ok(Answered::Done {
            text: format!(
                "epoch {epoch}: what was approved before is revoked; the gate is {}",
                self.gate_status().text
            ),
        })
    }

    /// Approvals with the digest that names their file; what is none is passed over.
    pub(super) fn installed(&self) -> Vec<(String, Approval)> {
        let entries = self.store.list(DIR).unwrap_or_default();
        let read = |file: &str| {
            let bytes = self.store.read(&format!("{DIR}/{file}"), MAX_RECORD).ok().flatten()?;
            let id = file.strip_suffix(".json").filter(|id| id.len() == 64 && id.is_ascii())?;
            Some((id.to_owned(), serde_json::from_slice(&bytes).ok()?))
        };
        entries.iter().filter_map(|entry| read(&entry.file)).collect()
    }

    /// Notes the epoch that this gateway knows of.
    pub(super) fn note_epoch(&mut self, epoch: u64) {
        if self.noted_epoch() != Some(epoch) {
            let kept = self.db.write("note the epoch", |tx| meta::put(tx, EPOCH, &epoch.to_be_bytes()));
            self.log(kept);
        }
    }

    fn noted_epoch(&self) -> Option<u64> {
        let bytes = meta::get(&self.db.rows(), EPOCH).ok()??;
        bytes.try_into().ok().map(u64::from_be_bytes)
    }

    /// That the TPM is in another epoch than this gateway has noted, to be said behind what comes of it.
    pub(super) fn epoch_moved(&self) -> Option<String> {
        let (noted, now) = (self.noted_epoch()?, self.epoch().ok()?);
        (noted != now).then(|| {
            format!("; this gateway noted epoch {noted} last, and the TPM is in epoch {now}: another program has moved it on")
        })
    }

    fn record(&self) -> Result<hal::tpm::Provisioned, Failure> {
        self.provisioned().map_err(gate_failure)?.ok_or_else(|| self.no_record_failure())
    }

    fn epoch(&self) -> Result<u64, Failure> {
        self.tpm_or_failure()?.epoch(TPM_TIMEOUT).map_err(|e| gate_failure(tpm_refusal(&e)))
    }
}

/// An approval in a few words.
fn about(approval: &Approval) -> String {
    let pcrs: Vec<u8> = approval.request.pcrs.iter().map(|(index, _)| *index).collect();
    let Approval { request, .. } = approval;
    // The signature is over the policy, and the sealed key's policy is one for all names: PolicyAuthorize knows no other.
    format!(
        "epoch {}, PCRs {pcrs:?}, asked for by {} (this name is not signed)",
        request.epoch, request.gateway
    )
}

pub(super) fn file_of(id: &str) -> String {
    format!("{DIR}/{id}.json")
}

/// What names an approval: the digest of its file.
pub(super) fn id_of(bytes: &[u8]) -> String {
    firmware_verifier::Digest::of(bytes).to_hex()
}

const EPOCH: &str = "epoch";
/// Folder of the installed approvals.
const DIR: &str = "approvals";
