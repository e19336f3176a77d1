//! What the TPM does only in an approved boot state: open the sealed key, sign evidence.
//!
//! Both objects have the policy PolicyAuthorize(site key) and nothing else; an approval is PolicyPCR AND
//! PolicyNV(epoch = N), signed elsewhere. A new boot state needs a new approval, one increment of the epoch
//! revokes all old ones, and nothing is ever sealed again.
//!
//! Invariants: no session is salted before the storage key's Name was compared with the pinned one; nothing
//! is opened without an approval whose signature verified in software and in the TPM.

use zeroize::Zeroizing;

use super::approval::{Approval, ApprovalRefused};
use super::counter::epoch_index;
use super::device::pinned_srk;
use super::ecdsa::Signature;
use super::error::{self, TpmError};
use super::esys::{Esys, Handle, SessionKind};
use super::pcr::{PcrSelection, PcrValues};
use super::policy::{self, POLICY_REF};
use super::record::{KeyBlobs, Provisioned};

/// Tries of one policy while PCRs move or the TPM asks to be asked again.
const TRIES: usize = 3;

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

/// Opens the sealed key with the first approval the TPM accepts.
pub(super) fn unseal(
    esys: &Esys,
    provisioned: &Provisioned,
    approvals: &[Approval],
) -> Result<Unsealed, TpmError> {
    let blobs = (provisioned.sealed_public.as_slice(), provisioned.sealed_private.as_slice());
    unseal_blobs(esys, provisioned, approvals, blobs)
}

/// As [`unseal`], for another key that was sealed under the same policy.
pub(super) fn unseal_another(
    esys: &Esys,
    provisioned: &Provisioned,
    approvals: &[Approval],
    another: &KeyBlobs,
) -> Result<Unsealed, TpmError> {
    unseal_blobs(esys, provisioned, approvals, (another.public.as_slice(), another.private.as_slice()))
}

fn unseal_blobs(
    esys: &Esys,
    provisioned: &Provisioned,
    approvals: &[Approval],
    blobs: (&[u8], &[u8]),
) -> Result<Unsealed, TpmError> {
    let (key, approval_index) =
        open(esys, provisioned, approvals, "sealed key", blobs, |sealed, session| {
            let secret = esys.unseal(sealed, session)?;
            let key = <[u8; 32]>::try_from(secret.as_slice()).map_err(|_| TpmError::Malformed {
                what: "sealed key",
                found: format!("{} bytes", secret.len()),
                expected: "32 bytes",
            })?;
            Ok(Zeroizing::new(key))
        })?;
    Ok(Unsealed { key, approval_index, epoch: approvals[approval_index].request.epoch })
}

/// Signs `digest` with the evidence key under the first approval the TPM accepts; Ecdsa-Sig-Value in DER.
pub(super) fn sign(
    esys: &Esys,
    provisioned: &Provisioned,
    approvals: &[Approval],
    digest: &[u8; 32],
) -> Result<Vec<u8>, TpmError> {
    let evidence = provisioned.evidence_key()?;
    let blobs = provisioned.evidence_blobs()?;
    let blobs = (blobs.public.as_slice(), blobs.private.as_slice());
    let (wire, _) = open(esys, provisioned, approvals, "evidence key", blobs, |key, session| {
        esys.sign(key, Some(session), digest)
    })?;
    let signature = Signature::just_made(&wire)?;
    if signature.signs(evidence.point(), digest) {
        Ok(signature.to_der())
    } else {
        Err(TpmError::BadSignature("the evidence key"))
    }
}

/// Loads an object and does `act` with it in a session that the first acceptable approval has opened.
/// Returns what `act` gave and which approval it was.
fn open<T>(
    esys: &Esys,
    provisioned: &Provisioned,
    approvals: &[Approval],
    what: &'static str,
    (public, private): (&[u8], &[u8]),
    act: impl Fn(&Handle<'_>, &Handle<'_>) -> Result<T, TpmError>,
) -> Result<(T, usize), TpmError> {
    provisioned.require_schema()?;
    let srk = pinned_srk(esys, &provisioned.srk_name)?;
    let index = epoch_index(esys, &provisioned.epoch_index_name)?;
    let object = esys.load(&srk, public, private)?;
    let scene = Scene { esys, provisioned, srk: &srk, index: &index };
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
        let once = || act(&object, &scene.run_policy(approval, &pcrs.selection())?);
        match again_while_that_may_help(once) {
            Ok(done) => return Ok((done, approval_index)),
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
    let offered = approvals.len();
    Err(TpmError::NoApproval { what, offered, tried, pcrs_changed, last: Box::new(last) })
}

/// Runs it, again while the TPM says that may help.
fn again_while_that_may_help<T>(run: impl Fn() -> Result<T, TpmError>) -> Result<T, TpmError> {
    let mut left = TRIES;
    loop {
        left -= 1;
        match run() {
            Err(error) if left > 0 && error.code().is_some_and(error::Code::is_passing) => {}
            result => return result,
        }
    }
}

/// The handles one policy works with.
struct Scene<'a> {
    esys: &'a Esys,
    provisioned: &'a Provisioned,
    srk: &'a Handle<'a>,
    index: &'a Handle<'a>,
}

impl<'a> Scene<'a> {
    /// A session in which the whole policy has run.
    fn run_policy(&self, approval: &Approval, pcrs: &PcrSelection) -> Result<Handle<'a>, TpmError> {
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
        Ok(session)
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
