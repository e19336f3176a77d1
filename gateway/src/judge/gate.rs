//! The gate: open while the TPM unseals the key of this boot state, shut for every other reason.

use std::time::Duration;

use firmware_verifier::document::Action;
use firmware_verifier::trust::TrustStore;
use hal::clock::Mono;
use hal::reason::ReasonCode;
use hal::tpm::{Approval, Provisioned, TpmError, Unsealed};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Judge, OURSELVES, refusal};
use crate::audit::{Event, Kind};
use crate::proxy::pump::Command;
use crate::reasons as why;
use crate::state::alarm::Kind as Told;
use crate::transfer::event::Refusal;

/// Whether firmware may pass at all.
pub(super) enum Gate {
    Open { key: Zeroizing<[u8; 32]>, trust: Box<TrustStore>, proved: Mono, epoch: u64 },
    Shut { refusal: Refusal, since: Mono },
}

/// The gate, as people see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GateStatus {
    /// Whether firmware may pass.
    pub open: bool,
    /// Why not.
    pub code: Option<ReasonCode>,
    /// Why not, in words.
    pub text: String,
}

impl Gate {
    pub(super) fn not_ready() -> Gate {
        let refusal =
            refusal(why::NOT_READY, None, "the gateway has just started", "a first proof of the boot state");
        Gate::Shut { refusal, since: Mono(0) }
    }

    fn is_open(&self) -> bool {
        matches!(self, Gate::Open { .. })
    }
}

impl Judge {
    /// Proves the boot state and opens the gate, or says why it stays shut.
    pub fn open_gate(&mut self) {
        match self.unseal() {
            Ok(gate) => {
                self.set_gate(gate);
                self.raise_owed_floors();
            }
            Err(refusal) => self.shut_gate(refusal),
        }
    }

    /// Runs the policy again when the last proof is older than the configuration allows.
    pub fn recheck(&mut self) {
        let now = self.clock.mono();
        match &self.gate {
            Gate::Open { proved, .. } if now.since(*proved) < self.config.tpm.recheck => {}
            Gate::Open { .. } => self.prove(),
            Gate::Shut { since, .. } if now.since(*since) < self.config.tpm.recheck => {}
            Gate::Shut { .. } => self.open_gate(),
        }
    }

    /// Runs the policy again, however fresh the last proof is: what it rests on has changed.
    pub(super) fn recheck_now(&mut self) {
        if self.gate.is_open() {
            self.prove();
        }
        if !self.gate.is_open() {
            self.open_gate();
        }
    }

    /// When [`Judge::recheck`] has something to do.
    pub fn recheck_in(&self) -> Duration {
        let (Gate::Open { proved: at, .. } | Gate::Shut { since: at, .. }) = &self.gate;
        self.config.tpm.recheck.saturating_sub(self.clock.mono().since(*at))
    }

    /// The gate as people see it.
    pub fn gate_status(&self) -> GateStatus {
        match &self.gate {
            Gate::Open { epoch, trust, .. } => GateStatus {
                open: true,
                code: None,
                text: format!(
                    "open: boot state approved (epoch {epoch}), {} trust anchors",
                    trust.anchors().len()
                ),
            },
            Gate::Shut { refusal, .. } => GateStatus {
                open: false,
                code: Some(refusal.code),
                text: format!("shut for firmware: {}", refusal.found),
            },
        }
    }

    /// Why firmware may not pass now; `Ok` when it may.
    pub(super) fn gate_open(&mut self) -> Result<(), Refusal> {
        if self.gate.is_open() {
            self.recheck();
        }
        if let Some(refusal) = self.unwritable() {
            return Err(refusal);
        }
        match &self.gate {
            Gate::Open { .. } => Ok(()),
            Gate::Shut { refusal, .. } => Err(refusal.clone()),
        }
    }

    pub(super) fn trust(&self) -> Result<&TrustStore, Refusal> {
        match &self.gate {
            Gate::Open { trust, .. } => Ok(trust),
            Gate::Shut { refusal, .. } => Err(refusal.clone()),
        }
    }

    pub(super) fn key(&self) -> Result<Zeroizing<[u8; 32]>, Refusal> {
        match &self.gate {
            Gate::Open { key, .. } => Ok(key.clone()),
            Gate::Shut { refusal, .. } => Err(refusal.clone()),
        }
    }

    pub(super) fn replace_trust(&mut self, store: TrustStore) {
        if let Gate::Open { trust, .. } = &mut self.gate {
            **trust = store;
        }
    }

    fn unseal(&mut self) -> Result<Gate, Refusal> {
        let (unsealed, trust) = self.unsealed()?;
        self.prove_configuration(&trust)?;
        self.load_advisories(&trust);
        Ok(Gate::Open {
            key: unsealed.key,
            trust: Box::new(trust),
            proved: self.clock.mono(),
            epoch: unsealed.epoch,
        })
    }

    /// The key and the trust store, whatever configuration runs.
    pub(super) fn unsealed(&mut self) -> Result<(Unsealed, TrustStore), Refusal> {
        self.open_book();
        if let Some(refusal) = self.unwritable() {
            return Err(refusal);
        }
        let Some(provisioned) = self.provisioned()? else {
            return Err(self.no_record());
        };
        self.pinned(&provisioned.site_key)?;
        let approvals = self.approvals();
        if approvals.is_empty() {
            return Err(self.no_approval());
        }
        let tpm = self.tpm.as_ref().ok_or_else(|| {
            refusal(
                why::TPM_UNAVAILABLE,
                None,
                format!("tcti {:?} is no TPM", self.config.tpm.tcti),
                "device: or swtpm:",
            )
        })?;
        let unsealed = tpm.unseal(&provisioned, &approvals, TPM_TIMEOUT).map_err(|e| {
            let refusal = tpm_refusal(&e);
            Refusal {
                found: format!("{}{}", refusal.found, self.epoch_moved().unwrap_or_default()),
                ..refusal
            }
        })?;
        self.note_epoch(unsealed.epoch);
        let trust = self.load_trust(&unsealed.key)?;
        Ok((unsealed, trust))
    }

    fn prove(&mut self) {
        let Gate::Open { key, trust, .. } = &self.gate else { return };
        let generation = trust.generation();
        let approvals = self.approvals();
        let outcome = match (self.provisioned(), &self.tpm) {
            (Ok(Some(_)), Some(_)) if approvals.is_empty() => Err(self.no_approval()),
            (Ok(Some(provisioned)), Some(tpm)) => {
                tpm.prove(&provisioned, &approvals, key, TPM_TIMEOUT).map_err(|e| tpm_refusal(&e))
            }
            (Err(refusal), _) => Err(refusal),
            _ => Err(self.no_record()),
        };
        // Whoever moves the counter from elsewhere has changed the state, or wants it to look old.
        match outcome.and_then(|_| self.guard(generation)) {
            Ok(()) => {
                let now = self.clock.mono();
                if let Gate::Open { proved, .. } = &mut self.gate {
                    *proved = now;
                }
            }
            Err(refusal) => self.shut_gate(refusal),
        }
    }

    fn set_gate(&mut self, gate: Gate) {
        self.gate = gate;
        self.receipts_are_due();
        if self.conduits.is_empty() {
            return; // a command on its own: the gateway that runs tells people
        }
        tracing::info!("the gate is open: the boot state is approved");
        let text = self.gate_status().text;
        self.note_of_peer(Event::new(self.now(), Kind::BootState, OURSELVES, "gate", &text));
        let config = self.config.clone();
        for code in GATE_CODES {
            self.clear_alarm(None, *code);
            // What stations were told meanwhile.
            config.plcs.iter().for_each(|plc| self.clear_alarm(Some(plc.slot.as_str()), *code));
        }
        config.plcs.iter().for_each(|plc| self.clear_alarm(Some(plc.slot.as_str()), why::FILES_DELETED));
        self.tell_missing();
        self.tell_conduits(None);
        self.publish_status();
    }

    /// Shuts the gate; the key is wiped as it is dropped.
    pub(super) fn shut_gate(&mut self, refusal: Refusal) {
        let first = match &self.gate {
            Gate::Shut { refusal: before, .. } => before.code != refusal.code,
            Gate::Open { .. } => true,
        };
        self.gate = Gate::Shut { refusal: refusal.clone(), since: self.clock.mono() };
        if first && !self.conduits.is_empty() {
            tracing::error!(code = %refusal.code, found = %refusal.found, "the gate is shut for firmware");
            let event = Event::new(self.now(), Kind::BootState, OURSELVES, "gate", &refusal.to_string());
            self.note_of_peer(Event { code: Some(refusal.code), ..event });
            let kind = if refusal.code == why::NOT_PROVISIONED { Told::State } else { Told::Latched };
            self.raise(None, refusal.code, kind, &format!("{}; process traffic passes", refusal.found));
            self.tell_conduits(Some(refusal));
            self.publish_status();
        }
    }

    /// Tells the conduits again what they are to know: a break-glass document came or went.
    pub(super) fn tell_gate(&self) {
        let shut = match &self.gate {
            Gate::Open { .. } => None,
            Gate::Shut { refusal, .. } => Some(refusal.clone()),
        };
        self.tell_conduits(shut);
    }

    fn tell_conduits(&self, shut: Option<Refusal>) {
        for conduit in &self.conduits {
            // Where the glass is broken each transfer is for the judge to decide.
            let plc = self.config.plcs[conduit.plc].slot.as_str();
            let shut = shut.clone().filter(|_| self.in_force(plc, Action::PassUnverified).is_none());
            if conduit.commands.try_send(Command::Gate(shut)).is_err() {
                tracing::error!("a conduit takes no commands; it is told again at the next proof");
            }
        }
    }

    /// The record of `headgate init`.
    pub(crate) fn provisioned(&self) -> Result<Option<Provisioned>, Refusal> {
        // The trust store is sealed under the key that this record leads to: both are lost together.
        let damaged = |e: String| {
            let found = format!("{PROVISIONED} in the data folder damaged ({e})");
            refusal(why::TRUST_STORE, None, found, "the file that headgate init wrote")
        };
        let Some(bytes) = self.store.read(PROVISIONED, MAX_RECORD).map_err(|e| damaged(e.to_string()))?
        else {
            return Ok(None);
        };
        if bytes.is_empty() {
            return match self.missing_record() {
                Some(found) => {
                    Err(refusal(why::TRUST_STORE, None, found, "the file that headgate init wrote"))
                }
                None => Err(damaged("it is empty".into())),
            };
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|e| damaged(e.to_string()))
    }

    /// The approvals in the data folder, at most [`MAX_APPROVALS`]; what is none is passed over.
    pub(crate) fn approvals(&self) -> Vec<Approval> {
        let Ok(entries) = self.store.list("approvals") else { return Vec::new() };
        let mut names: Vec<String> = entries.into_iter().map(|e| format!("approvals/{}", e.file)).collect();
        names.sort();
        names.truncate(MAX_APPROVALS);
        let read = |name: &String| self.store.read(name, MAX_RECORD).ok().flatten();
        names.iter().filter_map(read).filter_map(|bytes| serde_json::from_slice(&bytes).ok()).collect()
    }
}

/// What a TPM error means for the gate.
pub(super) fn tpm_refusal(e: &TpmError) -> Refusal {
    let code = match e {
        TpmError::SrkChanged { .. } => why::SRK_CHANGED,
        TpmError::NoApproval { .. } | TpmError::PcrUnset { .. } | TpmError::EpochChanged { .. } => {
            why::BOOT_STATE
        }
        _ if e.is_undecided() => why::TPM_UNAVAILABLE,
        _ => why::BOOT_STATE,
    };
    refusal(code, None, e.to_string(), "the TPM to unseal this gateway's key")
}

/// The record of `headgate init`.
pub(crate) const PROVISIONED: &str = "tpm.json";
/// Most approvals tried.
pub(crate) const MAX_APPROVALS: usize = 8;
/// Largest record or approval read.
pub(crate) const MAX_RECORD: u64 = 64 << 10;
/// Time limit of one proof: below the time a held step waits for the judge.
pub(super) const TPM_TIMEOUT: Duration = Duration::from_secs(3);
/// Codes whose alarms end when the gate opens; latched ones stay until acknowledged.
const GATE_CODES: &[ReasonCode] = &[
    why::TPM_UNAVAILABLE,
    why::BOOT_STATE,
    why::NOT_PROVISIONED,
    why::TRUST_STORE,
    why::STATE_DAMAGED,
    why::NOT_READY,
    why::SRK_CHANGED,
    why::STATE_OLD,
    why::STATE_COUNTER,
    why::STATE_UNTOLD,
    why::AUDIT_LOG,
    why::CONFIG_LOST,
    why::OTHER_SITE_KEY,
];
