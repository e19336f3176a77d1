//! First contact with the TPM: `headgate init`, and later requests to approve a changed boot state.
//!
//! Invariant: setting a box up anew revokes every approval that was ever signed for its TPM's epoch before a record is
//! written that they could open, and is told before that, too. No cut leaves one without the other.

use std::time::Duration;

use firmware_verifier::Digest;
use firmware_verifier::trust::{Credential, PublicKey};
use hal::tpm::{ApprovalRequest, Foreseen, Made, PcrSelection, Provisioned, SiteKeyPublic, Tpm, TpmError};

use super::failure::Failure;
use super::gate::{PROVISIONED, TPM_TIMEOUT};
use super::trust::gate_failure;
use super::{Judge, boot, refusal, why};
use crate::audit::Kind;
use crate::state::alarm::Kind as Told;
use crate::transfer::event::Refusal;

impl Judge {
    /// Seals a fresh key to whatever boot states the holder of `site_key` (PEM) will approve. Repeating it
    /// with the same site key after a cut finishes it; with another one it is refused unless `again`.
    pub fn init(&mut self, site_key: &str, again: bool) -> Result<ApprovalRequest, Failure> {
        let site_key = SiteKeyPublic::from_pem(site_key).map_err(|e| {
            Failure::usage(format!("this is no public site key ({e}); headgate site-key new writes one"))
        })?;
        self.pinned(&site_key).map_err(gate_failure)?;
        let there = self.provisioned().map_err(gate_failure)?;
        if let (None, Some(found), false) = (&there, self.missing_record(), again) {
            return Err(Failure::new(why::TRUST_STORE, found).next(
                "put it back; only where no copy is left: headgate init --again, and the trust store must be made anew",
            ));
        }
        if there.is_some() && !again {
            return Err(Failure::usage(
                "this gateway is provisioned already. A changed boot state needs: headgate init --request-only. \
                 To start over (the trust store must be made anew): headgate init --again",
            ));
        }
        let pcrs = self.selection()?;
        let tpm = self.tpm_or_failure()?.clone();
        let in_use = epoch_in_use(&tpm)?;
        // Its keys lie outside the TPM: until the record is written nothing of the old set-up has changed.
        let made = tpm
            .provision(&site_key, &pcrs, &self.config.name, PROVISION_TIMEOUT)
            .map_err(|e| tpm_failure(&e))?;
        let Made { provisioned, mut request, key, state } = made;
        if in_use.is_some() || there.is_some() || again {
            self.tell_anew(there.as_ref(), &site_key);
        }
        if in_use.is_some() {
            request = self.revoke_all(&tpm, &provisioned)?;
        }
        self.remove_approvals()?;
        // The store first: a record without the store it needs would look like a store taken away.
        self.first_trust(&key, state)?;
        self.forget_configurations()?;
        self.begin_book(&provisioned)?;
        let record = serde_json::to_vec_pretty(&provisioned).map_err(|e| Failure::internal(e.to_string()))?;
        self.store.write_atomic(PROVISIONED, &record)?;
        self.note_epoch(request.epoch);
        if in_use.is_some() {
            let text = format!("epoch {}: every approval before it is revoked: set up anew", request.epoch);
            self.note(Kind::Approval, "boot-state", &text);
        }
        if let Err(e) = self.find_endorsements() {
            // Only whoever asks for an attestation misses them, and is told then.
            tracing::warn!(error = %e, "the TPM's endorsement keys");
        }
        Ok(request)
    }

    /// Whether a record of this site key may open the gate, as the configuration says.
    pub(super) fn pinned(&self, site_key: &SiteKeyPublic) -> Result<(), Refusal> {
        let (found, Some(pin)) = (fingerprint(site_key), self.config.tpm.site_key) else { return Ok(()) };
        if found == pin {
            return Ok(());
        }
        let expected = format!("the site key {pin}, which [tpm] site_key names");
        Err(refusal(why::OTHER_SITE_KEY, None, format!("the site key {found}"), expected))
    }

    /// The alarm that outlasts everything but a person's acknowledgement.
    fn tell_anew(&mut self, before: Option<&Provisioned>, site_key: &SiteKeyPublic) {
        let before = before.map_or_else(
            || "cannot be told any more: the record of it is not here".to_owned(),
            |before| fingerprint(&before.site_key).to_string(),
        );
        let (now, after) = (self.now(), fingerprint(site_key));
        let text =
            format!("headgate init began anew at {now}; site key before: {before}; site key now: {after}");
        tracing::warn!("{text}");
        self.raise(None, why::SET_UP_ANEW, Told::Event, &text);
    }

    /// Moves the epoch on; what the site key has to sign is for the new one.
    fn revoke_all(&mut self, tpm: &Tpm, provisioned: &Provisioned) -> Result<ApprovalRequest, Failure> {
        tpm.advance_epoch(TPM_TIMEOUT).map_err(|e| {
            tpm_failure(&e).next(
                "once the TPM answers, give the same command again; the boot state must be approved again",
            )
        })?;
        self.spend();
        let now = Foreseen::default();
        let request = tpm.request_approval(provisioned, &self.config.name, &now, PROVISION_TIMEOUT);
        request.map_err(|e| tpm_failure(&e))
    }

    /// Approvals of before: the TPM refuses them from now on.
    fn remove_approvals(&mut self) -> Result<(), Failure> {
        self.remember_approvals(Vec::clear)?;
        for (id, _) in self.installed() {
            self.store.remove(&boot::file_of(&id))?;
        }
        Ok(())
    }

    fn selection(&self) -> Result<PcrSelection, Failure> {
        PcrSelection::new(&self.config.tpm.pcrs).map_err(|e| Failure::usage(e.to_string()))
    }

    pub(super) fn tpm_or_failure(&self) -> Result<&hal::tpm::Tpm, Failure> {
        self.tpm.as_ref().ok_or_else(|| {
            let text = format!(
                "tcti {:?} is no TPM; write device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321",
                self.config.tpm.tcti
            );
            Failure::new(why::TPM_UNAVAILABLE, text)
        })
    }
}

/// The epoch of a TPM that was in use before; `None` where it has no such counter, and no approval is for it.
fn epoch_in_use(tpm: &Tpm) -> Result<Option<u64>, Failure> {
    match tpm.epoch(TPM_TIMEOUT) {
        Ok(epoch) => Ok(Some(epoch)),
        // Missing, cut off half made, or something else: provisioning makes it, or refuses it. It starts above all before.
        Err(TpmError::EpochChanged { .. }) => Ok(None),
        Err(e) => Err(tpm_failure(&e)),
    }
}

/// What people compare a site key by.
fn fingerprint(site_key: &SiteKeyPublic) -> Digest {
    Credential::from(PublicKey::from(site_key)).fingerprint()
}

pub(super) fn tpm_failure(e: &TpmError) -> Failure {
    let code = if e.is_undecided() { why::TPM_UNAVAILABLE } else { why::BOOT_STATE };
    Failure::new(code, e.to_string())
}

/// Time limit of provisioning: a hardware TPM makes a key in seconds.
pub(super) const PROVISION_TIMEOUT: Duration = Duration::from_secs(60);
