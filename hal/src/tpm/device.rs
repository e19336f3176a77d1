//! What the TPM is asked, in which order: provision, unseal, epoch.
//!
//! A 256-bit key is sealed to PolicyAuthorize(site key) alone; an approval is PolicyPCR AND
//! PolicyNV(epoch = N), signed elsewhere. A new boot state needs a new approval, one increment of the epoch
//! revokes all old ones, and nothing is ever sealed again.
//!
//! Invariants: no session is salted before the storage key's Name was compared with the pinned one (except
//! in provisioning, which pins it); no key leaves the TPM without an approval whose signature verified in
//! software and in the TPM; every write to the TPM passes [`Steps`], and provisioning may be cut off at any
//! of them and run again.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::approval::{Approval, ApprovalRefused, ApprovalRequest};
use super::error::{self, Found, TpmError};
use super::esys::{Esys, Handle, SessionKind};
use super::hex;
use super::pcr::{PcrSelection, PcrValues};
use super::policy::{
    self, EPOCH_INDEX, Name, POLICY_REF, PolicyDigest, SRK_HANDLE, SiteKeyPublic, epoch_name,
};

/// Tag and version of [`Provisioned`].
const PROVISIONED_SCHEMA: &str = "headgate/provisioned/v1";
/// Tries of one policy while PCRs move or the TPM asks to be asked again.
const TRIES: usize = 3;

/// A moment around a write to the TPM's permanent memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The command, as Part 3 names it.
    pub command: &'static str,
    /// False before the command, true after it.
    pub done: bool,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", if self.done { "after" } else { "before" }, self.command)
    }
}

/// Called before and after each write; an error stops there, as a power cut would. For tests.
pub type Steps = Arc<dyn Fn(Step) -> Result<(), TpmError> + Send + Sync>;

/// What provisioning leaves behind. All of it is public, but it must not be writable by others: it pins the
/// storage key's Name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provisioned {
    /// Always `headgate/provisioned/v1`.
    pub schema: String,
    /// Pinned Name of the storage root key at 0x81000001.
    pub srk_name: Name,
    /// TPM2B_PUBLIC of the sealed key, as `tpm2_load -u` takes it.
    #[serde(with = "hex")]
    pub sealed_public: Vec<u8>,
    /// TPM2B_PRIVATE of the sealed key, as `tpm2_load -r` takes it; encrypted by the storage key.
    #[serde(with = "hex")]
    pub sealed_private: Vec<u8>,
    /// Whose approvals open it.
    pub site_key: SiteKeyPublic,
    /// PCRs every approval must cover.
    pub pcr_selection: PcrSelection,
    /// Name of the epoch counter at 0x01801000.
    pub epoch_index_name: Name,
}

/// The sealed key, and what opened it.
pub struct Unsealed {
    /// The 256-bit key; wiped when dropped.
    pub key: Zeroizing<[u8; 32]>,
    /// Which of the approvals handed in.
    pub approval_index: usize,
    /// The epoch of that approval, which is the counter's value.
    pub epoch: u64,
}

impl std::fmt::Debug for Unsealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unsealed(approval {}, epoch {})", self.approval_index, self.epoch)
    }
}

/// Seals a new key to `site_key` and asks for approval of the state the PCRs are in now.
pub(super) fn provision(
    esys: &Esys,
    steps: &Steps,
    site_key: &SiteKeyPublic,
    pcrs: &PcrSelection,
    gateway: &str,
) -> Result<(Provisioned, ApprovalRequest), TpmError> {
    let values = esys.pcr_read(pcrs)?;
    values.require_measured()?;
    let index = ensure_epoch(esys, steps)?;
    let epoch = esys.nv_read_counter(&index)?;
    let srk = ensure_srk(esys, steps)?;
    let session = esys.start_session(&srk, SessionKind::Hmac)?;
    let key = new_key(esys, &session)?;
    let policy = PolicyDigest::authorize(&site_key.name(), POLICY_REF.as_bytes());
    let (sealed_public, sealed_private) =
        esys.seal(&srk, &session, &policy::sealed_template(&policy), &key)?;
    let epoch_index_name = index.name()?;
    let provisioned = Provisioned {
        schema: PROVISIONED_SCHEMA.to_owned(),
        srk_name: srk.name()?,
        sealed_public,
        sealed_private,
        site_key: *site_key,
        pcr_selection: pcrs.clone(),
        epoch_index_name,
    };
    Ok((provisioned, ApprovalRequest::new(gateway, &values, epoch, epoch_index_name)))
}

/// A request to approve the state the PCRs are in now, at the epoch the counter has now.
pub(super) fn request(
    esys: &Esys,
    provisioned: &Provisioned,
    gateway: &str,
) -> Result<ApprovalRequest, TpmError> {
    let values = esys.pcr_read(&provisioned.pcr_selection)?;
    values.require_measured()?;
    let index = epoch_index(esys, &provisioned.epoch_index_name)?;
    let epoch = esys.nv_read_counter(&index)?;
    Ok(ApprovalRequest::new(gateway, &values, epoch, provisioned.epoch_index_name))
}

/// Opens the sealed key with the first approval the TPM accepts.
pub(super) fn unseal(
    esys: &Esys,
    provisioned: &Provisioned,
    approvals: &[Approval],
) -> Result<Unsealed, TpmError> {
    require_schema(provisioned)?;
    let srk = pinned_srk(esys, &provisioned.srk_name)?;
    let index = epoch_index(esys, &provisioned.epoch_index_name)?;
    let sealed = esys.load(&srk, &provisioned.sealed_public, &provisioned.sealed_private)?;
    let scene = Scene { esys, provisioned, srk: &srk, index: &index, sealed: &sealed };
    let (mut tried, mut answer, mut refusal) = (0, None, None);
    for (approval_index, approval) in approvals.iter().enumerate() {
        let pcrs = match acceptable(provisioned, approval) {
            Ok(pcrs) => pcrs,
            Err(refused) => {
                refusal = Some(refused.into());
                continue;
            }
        };
        tried += 1;
        match scene.unseal_with(approval, &pcrs.selection()) {
            Ok(key) => return Ok(Unsealed { key, approval_index, epoch: approval.request.epoch }),
            Err(error) if says_no(&error) => answer = Some((error, pcrs)),
            Err(error) => return Err(error),
        }
    }
    let (last, pcrs_changed) = match answer {
        Some((error, approved)) => {
            // Only to name them in the error; what the TPM said stands without it.
            let now = esys.pcr_read(&approved.selection());
            (error, now.map(|now| now.differing(&approved)).unwrap_or_default())
        }
        None => (refusal.unwrap_or(TpmError::Approval(ApprovalRefused::Missing)), Vec::new()),
    };
    Err(TpmError::NoApproval { offered: approvals.len(), tried, pcrs_changed, last: Box::new(last) })
}

/// The epoch counter's value.
pub(super) fn epoch(esys: &Esys) -> Result<u64, TpmError> {
    esys.nv_read_counter(&epoch_index(esys, &epoch_name(true))?)
}

/// Moves the epoch on, which revokes every approval of the old one, and returns the new value.
pub(super) fn advance_epoch(esys: &Esys, steps: &Steps) -> Result<u64, TpmError> {
    let index = epoch_index(esys, &epoch_name(true))?;
    write(steps, "TPM2_NV_Increment", || esys.nv_increment(&index))?;
    esys.nv_read_counter(&index)
}

/// The handles one unsealing works with.
struct Scene<'a> {
    esys: &'a Esys,
    provisioned: &'a Provisioned,
    srk: &'a Handle<'a>,
    index: &'a Handle<'a>,
    sealed: &'a Handle<'a>,
}

impl Scene<'_> {
    /// Runs the whole policy, again while the TPM says that may help.
    fn unseal_with(&self, approval: &Approval, pcrs: &PcrSelection) -> Result<Zeroizing<[u8; 32]>, TpmError> {
        let mut left = TRIES;
        loop {
            left -= 1;
            match self.run_policy(approval, pcrs) {
                Err(error) if left > 0 && error.code().is_some_and(error::Code::is_passing) => {}
                result => return result,
            }
        }
    }

    fn run_policy(&self, approval: &Approval, pcrs: &PcrSelection) -> Result<Zeroizing<[u8; 32]>, TpmError> {
        let policy_ref = POLICY_REF.as_bytes();
        let policy = &approval.request.policy;
        let session = self.esys.start_session(self.srk, SessionKind::Policy)?;
        self.esys.policy_pcr(&session, pcrs)?;
        self.esys.policy_nv_equals(&session, self.index, approval.request.epoch)?;
        let ticket = {
            let key = self.esys.load_external(&self.provisioned.site_key.template())?;
            let hash = policy::approval_hash(policy, policy_ref);
            self.esys.verify_signature(&key, &hash, &approval.signature)?
        };
        let name = self.provisioned.site_key.name();
        self.esys.policy_authorize(&session, policy, policy_ref, &name, &ticket)?;
        let secret = self.esys.unseal(self.sealed, &session)?;
        let key = <[u8; 32]>::try_from(secret.as_slice()).map_err(|_| TpmError::Malformed {
            what: "sealed key",
            found: format!("{} bytes", secret.len()),
            expected: "32 bytes",
        })?;
        Ok(Zeroizing::new(key))
    }
}

/// Whether the answer is about this approval, so that the next one may still open the key.
fn says_no(error: &TpmError) -> bool {
    use error::{RC_PCR_CHANGED, RC_POLICY, RC_POLICY_FAIL, RC_SIGNATURE, RC_VALUE};
    [RC_POLICY_FAIL, RC_POLICY, RC_VALUE, RC_SIGNATURE, RC_PCR_CHANGED].iter().any(|&base| error.is(base))
}

/// What can be refused without the TPM.
fn acceptable(provisioned: &Provisioned, approval: &Approval) -> Result<PcrValues, ApprovalRefused> {
    approval.verify(&provisioned.site_key)?;
    let (found, expected) = (approval.request.epoch_index_name, provisioned.epoch_index_name);
    if found != expected {
        return Err(ApprovalRefused::EpochIndex { found, expected });
    }
    let values = approval.request.pcr_values().map_err(|error| ApprovalRefused::Pcrs(error.to_string()))?;
    if !values.selection().covers(&provisioned.pcr_selection) {
        let found = values.selection().indices().to_vec();
        return Err(ApprovalRefused::Selection {
            found,
            expected: provisioned.pcr_selection.indices().to_vec(),
        });
    }
    Ok(values)
}

fn require_schema(provisioned: &Provisioned) -> Result<(), TpmError> {
    if provisioned.schema == PROVISIONED_SCHEMA {
        return Ok(());
    }
    let found = format!("schema {:.64}", provisioned.schema);
    Err(TpmError::Malformed { what: "provisioning record", found, expected: PROVISIONED_SCHEMA })
}

/// What is at `handle`, or `None` when nothing is.
fn at(esys: &Esys, handle: u32) -> Result<Option<Handle<'_>>, TpmError> {
    match esys.at(handle) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is(error::RC_HANDLE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The storage key, if it still is the pinned one. The Name is computed from the very public key that a
/// session would be salted to, so an interposer's key shows here.
fn pinned_srk<'a>(esys: &'a Esys, expected: &Name) -> Result<Handle<'a>, TpmError> {
    let changed = |found| TpmError::SrkChanged { expected: Box::new(*expected), found: Found(found) };
    let srk = at(esys, SRK_HANDLE)?.ok_or_else(|| changed(None))?;
    let name = srk.name()?;
    if name == *expected { Ok(srk) } else { Err(changed(Some(Box::new(name)))) }
}

/// The epoch counter, if it still is the one of that Name.
fn epoch_index<'a>(esys: &'a Esys, expected: &Name) -> Result<Handle<'a>, TpmError> {
    let changed = |found| TpmError::EpochChanged { expected: Box::new(*expected), found: Found(found) };
    let index = at(esys, EPOCH_INDEX)?.ok_or_else(|| changed(None))?;
    let name = index.name()?;
    if name == *expected { Ok(index) } else { Err(changed(Some(Box::new(name)))) }
}

/// Takes the storage key that is there, or makes the TCG's. Its flush is part of the step: the transient
/// copy goes when it leaves scope.
fn ensure_srk<'a>(esys: &'a Esys, steps: &Steps) -> Result<Handle<'a>, TpmError> {
    if let Some(srk) = at(esys, SRK_HANDLE)? {
        return Ok(srk);
    }
    let primary = esys.create_primary(&policy::srk_template())?;
    write(steps, "TPM2_EvictControl", || esys.persist(&primary, SRK_HANDLE))?;
    drop(primary);
    esys.at(SRK_HANDLE)
}

/// Takes the counter that is there, or defines it, and sees to it that it was incremented once: its Name
/// changes then, and never again.
fn ensure_epoch<'a>(esys: &'a Esys, steps: &Steps) -> Result<Handle<'a>, TpmError> {
    if at(esys, EPOCH_INDEX)?.is_none() {
        write(steps, "TPM2_NV_DefineSpace", || esys.nv_define(&policy::epoch_public(false)))?;
    }
    let fresh = esys.at(EPOCH_INDEX)?;
    if fresh.name()? == epoch_name(false) {
        write(steps, "TPM2_NV_Increment", || esys.nv_increment(&fresh))?;
    }
    drop(fresh);
    epoch_index(esys, &epoch_name(true))
}

fn write(
    steps: &Steps,
    command: &'static str,
    run: impl FnOnce() -> Result<(), TpmError>,
) -> Result<(), TpmError> {
    steps(Step { command, done: false })?;
    run()?;
    steps(Step { command, done: true })
}

/// A key neither the TPM nor the operating system alone could have foreseen.
fn new_key(esys: &Esys, session: &Handle<'_>) -> Result<Zeroizing<[u8; 32]>, TpmError> {
    let from_tpm = esys.random(session)?;
    let mut from_os = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(from_os.as_mut_slice()).map_err(|_| TpmError::Crypto("random numbers"))?;
    Ok(Zeroizing::new(policy::sha256(&[b"headgate/sealed-key/v1", from_tpm.as_slice(), from_os.as_slice()])))
}
