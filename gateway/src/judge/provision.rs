//! First contact with the TPM: `headgate init`, and later requests to approve a changed boot state.

use std::time::Duration;

use hal::tpm::{ApprovalRequest, Made, PcrSelection, SiteKeyPublic, TpmError};

use super::failure::Failure;
use super::gate::PROVISIONED;
use super::trust::gate_failure;
use super::{Judge, why};

impl Judge {
    /// Seals a fresh key to whatever boot states the holder of `site_key` (PEM) will approve. Repeating it
    /// with the same site key after a cut finishes it; with another one it is refused unless `again`.
    pub fn init(&mut self, site_key: &str, again: bool) -> Result<ApprovalRequest, Failure> {
        let site_key = SiteKeyPublic::from_pem(site_key).map_err(|e| {
            Failure::usage(format!("this is no public site key ({e}); headgate site-key new writes one"))
        })?;
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
        let tpm = self.tpm_or_failure()?;
        let made = tpm
            .provision(&site_key, &pcrs, &self.config.name, PROVISION_TIMEOUT)
            .map_err(|e| tpm_failure(&e))?;
        let Made { provisioned, request, key, state } = made;
        // The store first: a record without the store it needs would look like a store taken away.
        self.first_trust(&key, state)?;
        self.forget_configurations()?;
        self.begin_book(&provisioned)?;
        let record = serde_json::to_vec_pretty(&provisioned).map_err(|e| Failure::internal(e.to_string()))?;
        self.store.write_atomic(PROVISIONED, &record)?;
        if let Err(e) = self.find_endorsements() {
            // Only whoever asks for an attestation misses them, and is told then.
            tracing::warn!(error = %e, "the TPM's endorsement keys");
        }
        Ok(request)
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

pub(super) fn tpm_failure(e: &TpmError) -> Failure {
    let code = if e.is_undecided() { why::TPM_UNAVAILABLE } else { why::BOOT_STATE };
    Failure::new(code, e.to_string())
}

/// Time limit of provisioning: a hardware TPM makes a key in seconds.
pub(super) const PROVISION_TIMEOUT: Duration = Duration::from_secs(60);
