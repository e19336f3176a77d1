//! The trust store on disk: sealed with the TPM's key, never older than the TPM's counter says.

use aws_lc_rs::rand;
use firmware_verifier::trust::{Anchor, KeyId, KeyKind, PublicKey, Scope, TrustStore};
use hal::clock::Wall;
use zeroize::Zeroizing;

use super::gate::{MAX_APPROVALS, MAX_RECORD};
use super::message::{Answered, Failure};
use super::rows::AnchorRow;
use super::{Judge, refusal};
use crate::audit::Kind;
use crate::reasons as why;
use crate::state::meta;
use crate::transfer::event::Refusal;

impl Judge {
    /// Reads the trust store with the unsealed key. `headgate init` has written the first one: a file that is not
    /// there was taken away.
    pub(super) fn load_trust(&mut self, key: &Zeroizing<[u8; 32]>) -> Result<TrustStore, Refusal> {
        let bad =
            |found: String| refusal(why::TRUST_STORE, None, found, "the trust store this gateway sealed");
        let limit = firmware_verifier::trust::seal::MAX_SEALED as u64;
        let sealed = self.store.read(TRUST, limit).map_err(|e| bad(e.to_string()))?;
        let bytes = sealed.ok_or_else(|| bad(format!("{TRUST} is gone: it was deleted")))?;
        let store = TrustStore::unseal(&bytes, key).map_err(|e| bad(e.to_string()))?;
        self.guard(store.generation())?;
        if self.remembered().map_err(|e| bad(e.to_string()))? != store.generation() {
            self.remember(store.generation()).map_err(|e| bad(e.text))?;
        }
        Ok(store)
    }

    /// The store a gateway begins with, for the counter's present value.
    pub(super) fn first_trust(&mut self, key: &[u8; 32], counter: u64) -> Result<(), Failure> {
        let empty = TrustStore::with(counter, Vec::new()).map_err(|e| Failure::internal(e.to_string()))?;
        self.seal_trust(&empty, key)
    }

    pub(super) fn trust_show(&self) -> Result<Answered, Failure> {
        let store = self.trust().map_err(gate_failure)?;
        let row = |a: &Anchor| AnchorRow {
            id: a.id().to_string(),
            name: a.name().to_string(),
            kind: match a.key().kind() {
                KeyKind::Ed25519 => "ed25519".into(),
                KeyKind::EcdsaP256 => "ecdsa-p256".into(),
                KeyKind::Minisign { .. } => "minisign".into(),
            },
            vendor: a.scope().vendor().to_string(),
            models: a.scope().models().to_vec(),
            valid_from: a.valid_from(),
            valid_until: a.valid_until(),
        };
        Ok(Answered::Trust {
            generation: store.generation(),
            anchors: store.anchors().iter().map(row).collect(),
        })
    }

    pub(super) fn trust_add(
        &mut self,
        key: &[u8],
        name: &str,
        vendor: &str,
        models: &[String],
        valid: (Option<Wall>, Option<Wall>),
    ) -> Result<Answered, Failure> {
        let key = PublicKey::parse(key).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        let models: Vec<&str> = models.iter().map(String::as_str).collect();
        let scope = Scope::new(vendor, &models).map_err(|e| Failure::usage(e.to_string()))?;
        let anchor = Anchor::new(key, name, scope, self.now()).and_then(|a| a.valid(valid.0, valid.1));
        let anchor = anchor.map_err(|e| Failure::usage(e.to_string()))?;
        let text = format!("trusted: key {} ({name}) for {vendor} {}", anchor.id(), models.join(", "));
        let anchor_id = anchor.id();
        let mut store = self.trust_copy()?;
        store.add(anchor).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        let id = anchor_id.to_string();
        self.write_trust(store)?;
        self.note(Kind::Trust, &id, &text);
        Ok(Answered::Done { text })
    }

    pub(super) fn trust_remove(&mut self, id: &str) -> Result<Answered, Failure> {
        let id: KeyId = id
            .parse()
            .map_err(|_| Failure::usage(format!("{id:?} is no key id; headgate trust show lists them")))?;
        let mut store = self.trust_copy()?;
        let anchor = store.remove(id).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        self.write_trust(store)?;
        let text = format!("no longer trusted: key {id} ({})", anchor.name());
        self.note(Kind::Trust, &id.to_string(), &text);
        Ok(Answered::Done { text })
    }

    /// Installs an approval of a boot state, after checking the site key's signature on it.
    pub(super) fn trust_approve(&mut self, text: &str) -> Result<Answered, Failure> {
        let approval: hal::tpm::Approval =
            serde_json::from_str(text).map_err(|e| Failure::usage(format!("this is no approval: {e}")))?;
        let provisioned = self.provisioned().map_err(gate_failure)?;
        let provisioned =
            provisioned.ok_or_else(|| Failure::new(why::NOT_PROVISIONED, "run headgate init first"))?;
        approval.verify(&provisioned.site_key).map_err(|e| Failure::new(why::BOOT_STATE, e.to_string()))?;
        let name = format!("approvals/{}.json", crate::vault::hex(&sha256(text.as_bytes())));
        let there = self.store.list("approvals")?.len();
        if there >= MAX_APPROVALS && self.store.read(&name, MAX_RECORD)?.is_none() {
            return Err(Failure::usage(format!(
                "{there} approvals are installed already; remove one from approvals/"
            )));
        }
        self.store.write_atomic(&name, text.as_bytes())?;
        let digest = sha256(text.as_bytes());
        let about = format!("epoch {}, PCRs {}", approval.request.epoch, approved_pcrs(&approval));
        self.note_with(Kind::Approval, "boot-state", &about, None, Some(digest));
        self.open_gate();
        Ok(Answered::Done { text: format!("approval installed; the gate is {}", self.gate_status().text) })
    }

    /// A copy to change. [`TrustStore`] counts its generation up with the change.
    fn trust_copy(&self) -> Result<TrustStore, Failure> {
        self.trust().map_err(gate_failure).cloned()
    }

    /// File first, then the counter, then the database: a cut between them is finished by [`Judge::load_trust`].
    fn write_trust(&mut self, store: TrustStore) -> Result<(), Failure> {
        self.afford()?;
        let key = self.key().map_err(gate_failure)?;
        let before = self.state_counter().map_err(gate_failure)?;
        if store.generation() != before.saturating_add(1) {
            let found =
                format!("a change to state {}, but the TPM's counter is at {before}", store.generation());
            return Err(Failure::new(why::STATE_COUNTER, found));
        }
        self.seal_trust(&store, &key)?;
        self.advance_state(before).map_err(|refusal| {
            // It is on disk: the next opening of the gate finishes it, or says why not.
            self.shut_gate(refusal.clone());
            gate_failure(refusal)
        })?;
        self.remember(store.generation())?;
        self.replace_trust(store);
        Ok(())
    }

    fn seal_trust(&mut self, store: &TrustStore, key: &[u8; 32]) -> Result<(), Failure> {
        let mut nonce = [0u8; 12];
        rand::fill(&mut nonce).map_err(|_| Failure::internal("no random numbers"))?;
        let sealed = store.seal(key, nonce).map_err(|e| Failure::internal(e.to_string()))?;
        Ok(self.store.write_atomic(TRUST, &sealed)?)
    }

    pub(super) fn remembered(&self) -> Result<u64, crate::state::StateError> {
        let bytes = meta::get(&self.db.rows(), TRUST_GENERATION)?;
        Ok(bytes.and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Remembers the generation; what was verified under the one before is void.
    fn remember(&mut self, generation: u64) -> Result<(), Failure> {
        self.db.write("remember the trust store", |tx| {
            meta::put(tx, TRUST_GENERATION, &generation.to_be_bytes())?;
            meta::advance_counter(tx)
        })?;
        Ok(())
    }
}

/// Which PCRs an approval covers.
fn approved_pcrs(approval: &hal::tpm::Approval) -> String {
    let values = approval.request.pcr_values();
    values.map_or("unknown".into(), |values| format!("{:?}", values.selection().indices()))
}

/// A gate refusal as the answer to a command.
pub(super) fn gate_failure(refusal: Refusal) -> Failure {
    Failure::new(refusal.code, format!("found {}, expected {}", refusal.found, refusal.expected))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    *firmware_verifier::Digest::of(bytes).as_bytes()
}

const TRUST: &str = "trust.sealed";
const TRUST_GENERATION: &str = "trust-generation";
