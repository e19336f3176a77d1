//! Making a TPM ready: its counters, the storage key, and the keys under that.
//!
//! Invariants: the storage key's Name is pinned here, and only here is a session salted to a key that is not
//! yet; every write to the TPM passes [`Steps`], and provisioning may be cut off at any of them and run
//! again. Keys are kept outside the TPM, so making them writes nothing.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::approval::ApprovalRequest;
use super::counter::{ensure_epoch, ensure_state, epoch_index};
use super::error::{self, Found, TpmError};
use super::esys::{Esys, Handle, Hierarchy, SessionKind};
use super::key::{attestation_template, evidence_template};
use super::pcr::PcrSelection;
use super::policy::{self, Name, POLICY_REF, PolicyDigest, SRK_HANDLE, SiteKeyPublic};
use super::quote;
use super::record::{KeyBlobs, PROVISIONED_SCHEMA, Provisioned};
use super::steps::{Steps, write};

/// What provisioning made.
pub struct Made {
    /// What has to be kept.
    pub provisioned: Provisioned,
    /// What the site key has to approve.
    pub request: ApprovalRequest,
    /// The key that was sealed, once: to write the first state with it. Wiped when dropped.
    pub key: Zeroizing<[u8; 32]>,
    /// The state counter's value, which the first state is written for.
    pub state: u64,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Made(state {})", self.state)
    }
}

/// Seals a new key to `site_key`, makes the signing keys, and asks for approval of the state the PCRs are in
/// now.
pub(super) fn provision(
    esys: &Esys,
    steps: &Steps,
    site_key: &SiteKeyPublic,
    pcrs: &PcrSelection,
    gateway: &str,
) -> Result<Made, TpmError> {
    let values = esys.pcr_read(pcrs)?;
    values.require_measured()?;
    let index = ensure_epoch(esys, steps)?;
    let epoch = esys.nv_read_counter(&index, None)?;
    let state = ensure_state(esys, steps)?;
    let srk = ensure_srk(esys, steps)?;
    let session = esys.start_session(&srk, SessionKind::Hmac)?;
    let key = new_key(esys, &session, b"headgate/sealed-key/v1")?;
    let policy = PolicyDigest::authorize(&site_key.name(), POLICY_REF.as_bytes());
    let (sealed_public, sealed_private) =
        esys.create(&srk, &session, &policy::sealed_template(&policy), key.as_slice())?;
    let make = |template: &[u8]| {
        esys.create(&srk, &session, template, &[]).map(|(public, private)| KeyBlobs { public, private })
    };
    let epoch_index_name = index.name()?;
    let mut provisioned = Provisioned {
        schema: PROVISIONED_SCHEMA.to_owned(),
        srk_name: srk.name()?,
        sealed_public,
        sealed_private,
        site_key: *site_key,
        pcr_selection: pcrs.clone(),
        epoch_index_name,
        state_index_name: Some(state.name()?),
        evidence: Some(make(&evidence_template(site_key))?),
        attestation: Some(make(&attestation_template())?),
        evidence_certification: None,
    };
    provisioned.evidence_certification = Some(quote::certify_evidence(esys, &srk, &provisioned)?);
    let request = ApprovalRequest::new(gateway, &values, epoch, epoch_index_name);
    let state = esys.nv_read_counter(&state, None)?;
    Ok(Made { provisioned, request, key, state })
}

/// Seals one more new key under the policy of the first: it opens in the same boot states, and no other. It is
/// kept outside the TPM, so making it writes nothing.
pub(super) fn seal_another(
    esys: &Esys,
    provisioned: &Provisioned,
) -> Result<(KeyBlobs, Zeroizing<[u8; 32]>), TpmError> {
    provisioned.require_schema()?;
    let srk = pinned_srk(esys, &provisioned.srk_name)?;
    let session = esys.start_session(&srk, SessionKind::Hmac)?;
    let key = new_key(esys, &session, b"headgate/another-key/v1")?;
    let policy = PolicyDigest::authorize(&provisioned.site_key.name(), POLICY_REF.as_bytes());
    let (public, private) = esys.create(&srk, &session, &policy::sealed_template(&policy), key.as_slice())?;
    Ok((KeyBlobs { public, private }, key))
}

/// What will be otherwise than now, in a request for approval.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Foreseen {
    /// PCRs that will have other values; those of the selection that are not here keep theirs.
    pub pcrs: Vec<(u8, [u8; 32])>,
    /// For the epoch after the present one.
    pub next_epoch: bool,
}

/// A request to approve the state the PCRs are in now, at the epoch the counter has now, or what is foreseen.
pub(super) fn request(
    esys: &Esys,
    provisioned: &Provisioned,
    gateway: &str,
    foreseen: &Foreseen,
) -> Result<ApprovalRequest, TpmError> {
    let values = esys.pcr_read(&provisioned.pcr_selection)?.with(&foreseen.pcrs)?;
    values.require_measured()?;
    let index = epoch_index(esys, &provisioned.epoch_index_name)?;
    let epoch = esys.nv_read_counter(&index, None)?.saturating_add(foreseen.next_epoch.into());
    Ok(ApprovalRequest::new(gateway, &values, epoch, provisioned.epoch_index_name))
}

/// What is at `handle`, or `None` when nothing is.
pub(super) fn at(esys: &Esys, handle: u32) -> Result<Option<Handle<'_>>, TpmError> {
    match esys.at(handle) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is(error::RC_HANDLE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The storage key, if it still is the pinned one. The Name is computed from the very public key that a
/// session would be salted to, so an interposer's key shows here.
pub(super) fn pinned_srk<'a>(esys: &'a Esys, expected: &Name) -> Result<Handle<'a>, TpmError> {
    let changed = |found| TpmError::SrkChanged { expected: Box::new(*expected), found: Found(found) };
    let srk = at(esys, SRK_HANDLE)?.ok_or_else(|| changed(None))?;
    let name = srk.name()?;
    if name == *expected { Ok(srk) } else { Err(changed(Some(Box::new(name)))) }
}

/// Takes the storage key that is there, or makes the TCG's. Its flush is part of the step: the transient
/// copy goes when it leaves scope.
fn ensure_srk<'a>(esys: &'a Esys, steps: &Steps) -> Result<Handle<'a>, TpmError> {
    if let Some(srk) = at(esys, SRK_HANDLE)? {
        return Ok(srk);
    }
    let primary = esys.create_primary(Hierarchy::Owner, &policy::srk_template())?;
    write(steps, "TPM2_EvictControl", || esys.persist(&primary, SRK_HANDLE))?;
    drop(primary);
    esys.at(SRK_HANDLE)
}

/// A key neither the TPM nor the operating system alone could have foreseen.
fn new_key(esys: &Esys, session: &Handle<'_>, tag: &[u8]) -> Result<Zeroizing<[u8; 32]>, TpmError> {
    let from_tpm = esys.random(session)?;
    let mut from_os = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(from_os.as_mut_slice()).map_err(|_| TpmError::Crypto("random numbers"))?;
    Ok(Zeroizing::new(policy::sha256(&[tag, from_tpm.as_slice(), from_os.as_slice()])))
}
