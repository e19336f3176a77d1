//! The TPM's word about this gateway, for somebody who asked for it: quotes, and answers to challenges.
//!
//! A person asks for each, over the management socket; nothing that a peer sends comes here. Endorsement keys are
//! derived once, by `headgate init`: a hardware TPM takes seconds for each, and no boot state is proved meanwhile.

use hal::tpm::{Challenge, Endorsement, NONCE_MAX, TpmError};

use super::failure::Failure;
use super::gate::{TPM_TIMEOUT, tpm_refusal};
use super::message::Answered;
use super::provision::PROVISION_TIMEOUT;
use super::trust::gate_failure;
use super::{Judge, why};
use crate::attestation::{Attestation, Ek, MAX_FILE};
use crate::audit::Kind;

impl Judge {
    /// A quote for `nonce`, with all that is needed to check it elsewhere.
    pub(super) fn attest(&mut self, nonce: &[u8]) -> Result<Answered, Failure> {
        if nonce.is_empty() || nonce.len() > NONCE_MAX {
            let text = format!("the nonce has {} bytes, expected 1 to {NONCE_MAX}", nonce.len());
            return Err(Failure::usage(text).next("openssl rand -hex 32 makes one"));
        }
        let provisioned = self.provisioned_or_failure()?;
        let tpm = self.tpm_or_failure()?.clone();
        let quote = tpm.quote(&provisioned, nonce, TPM_TIMEOUT).map_err(|e| gate_failure(tpm_refusal(&e)))?;
        let quoted = super::receipt::quoted(&provisioned, quote)
            .map_err(|text| Failure::new(why::NOT_PROVISIONED, text))?;
        let eks = self.endorsements()?;
        let (local, initial) = (self.local(&tpm, &provisioned)?, self.initial(&tpm, &provisioned)?);
        let mut made = Attestation::new(&self.config.name, self.now().to_string(), nonce, quoted, eks);
        made.devids(local, initial);
        made.replaces = self.predecessors().iter().map(ToString::to_string).collect();
        made.event_log = self.event_log();
        self.note(Kind::BootState, "quote", &format!("quoted for nonce {}", made.nonce));
        Ok(Answered::Attestation(Box::new(made)))
    }

    /// What is inside a challenge, which only this TPM can open.
    pub(super) fn answer_challenge(&mut self, challenge: &[u8]) -> Result<Answered, Failure> {
        let unreadable = |e: TpmError| {
            Failure::new(firmware_verifier::reasons::DOCUMENT_UNREADABLE, e.to_string())
                .next("docs/attest.md says how a verifier makes one")
        };
        let challenge = Challenge::parse(challenge).map_err(unreadable)?;
        let provisioned = self.provisioned_or_failure()?;
        let (kind, credential, secret) = (challenge.kind(), challenge.credential(), challenge.secret());
        let opened = self
            .tpm_or_failure()?
            .activate_credential(&provisioned, kind, credential, secret, PROVISION_TIMEOUT)
            .map_err(|e| match &e {
                TpmError::Malformed { .. } => unreadable(e),
                _ if e.is_undecided() => gate_failure(tpm_refusal(&e)),
                _ => Failure::new(why::CHALLENGE, format!("the TPM does not open it: {e}")),
            })?;
        self.note(
            Kind::BootState,
            "challenge",
            &format!("answered one for the {} endorsement key", kind.name()),
        );
        Ok(Answered::Secret { secret: crate::attestation::Hex(opened.to_vec()) })
    }

    /// The endorsement keys that were found by `headgate init`, or now where nobody looked yet.
    pub(super) fn endorsements(&self) -> Result<Vec<Ek>, Failure> {
        if let Some(kept) = self.store.read(ENDORSEMENTS, MAX_FILE as u64)?
            && let Ok(kept) = serde_json::from_slice(&kept)
        {
            return Ok(kept);
        }
        self.find_endorsements()
    }

    /// Has the TPM derive its endorsement keys, and keeps what it says: it is public, and whoever relies on it checks
    /// it.
    pub(super) fn find_endorsements(&self) -> Result<Vec<Ek>, Failure> {
        let found = self.tpm_or_failure()?.endorsements(PROVISION_TIMEOUT);
        let found: Vec<Endorsement> = found.map_err(|e| super::provision::tpm_failure(&e))?;
        let eks: Vec<Ek> = found.iter().map(Ek::from).collect();
        let text = serde_json::to_vec(&eks).map_err(|e| Failure::internal(e.to_string()))?;
        self.store.write_atomic(ENDORSEMENTS, &text)?;
        Ok(eks)
    }

    /// Where the kernel shows the firmware's event log, where there is a hardware TPM.
    fn event_log(&self) -> Option<String> {
        let has_hardware = self.config.tpm.tcti.starts_with("device:");
        (has_hardware && std::path::Path::new(EVENT_LOG).exists()).then(|| EVENT_LOG.to_owned())
    }
}

const ENDORSEMENTS: &str = "endorsement.json";
/// Linux, Documentation/security/tpm/tpm_event_log.
const EVENT_LOG: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";
