//! The TPM: seals one key to the boot states a site has approved, signs evidence in them, says which one it
//! is in, and keeps a count that cannot go back.
//!
//! A [`Tpm`] is a handle to one thread that owns one libtss2 context. Callers wait on a bounded queue with a
//! timeout; the thread opens the context when it is first asked, and again after the TPM went away. There is
//! no TPM call on the packet path, and nothing here runs unless a caller asked.
//!
//! A `main` calls [`silence_library`] before it starts any thread: libtss2 prints every refusal on stderr
//! otherwise. It cannot be done later, since it goes through the environment.
//!
//! Invariant: every error means "do not trust". [`TpmError::is_undecided`] tells "could not decide" from
//! "no".

mod approval;
mod approved;
mod attest;
mod challenge;
mod clock;
mod counter;
mod device;
mod devid;
mod ecdsa;
mod ek_public;
mod endorsement;
mod error;
mod esys;
mod hex;
mod initial_public;
mod key;
mod pcr;
mod policy;
mod quote;
mod reader;
mod record;
mod site_key;
mod steps;
pub mod swtpm;
mod tcti;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

pub use approval::{Approval, ApprovalRefused, ApprovalRequest};
pub use approved::Unsealed;
pub use attest::{Attest, AttestError, Attested};
pub use challenge::Challenge;
pub use clock::TpmClock;
pub use device::{Foreseen, Made};
pub use devid::{INITIAL_CERTIFICATE, INITIAL_KEY, InitialIdentity, LocalIdentity};
pub use ek_public::EkPublic;
pub use endorsement::{EkKind, Endorsement};
pub use error::{Code, Found, TpmError};
pub use error::{RC_INTEGRITY, RC_PCR_CHANGED, RC_POLICY, RC_POLICY_FAIL, RC_SIGNATURE, RC_VALUE};
pub use esys::silence_library;
pub use initial_public::InitialKey;
pub use key::{AttestationKey, EvidenceKey, LocalKey};
pub use pcr::{PcrSelection, PcrValues, parse_pcrs};
pub use policy::{
    EPOCH_INDEX, Name, POLICY_REF, PolicyDigest, SRK_HANDLE, STATE_INDEX, SiteKeyPublic, approval_hash,
    epoch_name, state_name,
};
pub use quote::{Certification, NONCE_MAX, Quote, QuoteRefused};
pub use record::{KeyBlobs, Provisioned};
pub use site_key::SiteKey;
pub use steps::{Step, Steps};
pub use tcti::Tcti;

use esys::{Counts, Esys};

/// Requests that may wait; one more is [`TpmError::Busy`].
const QUEUE: usize = 8;

/// A handle to the TPM thread; clones share it. The thread ends with the last handle.
#[derive(Clone)]
pub struct Tpm {
    requests: SyncSender<Request>,
    counts: Arc<Counts>,
    steps: Steps,
}

/// What the TPM was asked to do since [`Tpm::open`], failed attempts included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// TPM2_NV_Increment: wears the TPM's memory.
    pub nv_increments: u64,
    /// TPM2_Sign, TPM2_Quote and TPM2_Certify.
    pub signatures: u64,
    /// TPM2_Unseal.
    pub unseals: u64,
    /// Calls into libtss2, nearly all of them one TPM command.
    pub commands: u64,
}

/// The policy held again, and the TPM gave the key that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Which of the approvals handed in.
    pub approval_index: usize,
    /// The epoch counter's value.
    pub epoch: u64,
}

/// Asks one thing of an open context, or learns why there is none, and answers its caller itself.
type Question = dyn FnOnce(Result<&Esys, TpmError>) + Send;

/// One question in the queue.
struct Request {
    /// After this nobody waits for the answer, so it is not asked; `None` is never.
    deadline: Option<Instant>,
    run: Box<Question>,
}

impl Request {
    fn is_late(deadline: Option<Instant>) -> bool {
        deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

impl Tpm {
    /// Starts the thread for the TPM at `tcti`. Nothing is sent to the TPM before the first request, so a
    /// gateway starts with a dead TPM, too.
    ///
    /// Without a resource manager ([`Tcti::has_resource_manager`]) leftover sessions and objects are
    /// flushed whenever the context is opened: nobody else may use such a TPM meanwhile.
    ///
    /// # Errors
    /// [`TpmError::Thread`] when the machine refuses a thread.
    pub fn open(tcti: &Tcti) -> Result<Tpm, TpmError> {
        Tpm::open_with_steps(tcti, Arc::new(|_| Ok(())))
    }

    /// As [`Tpm::open`], with a hook around every write to the TPM's permanent memory.
    ///
    /// # Errors
    /// As [`Tpm::open`].
    pub fn open_with_steps(tcti: &Tcti, steps: Steps) -> Result<Tpm, TpmError> {
        let (requests, received) = sync_channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let (tcti, shared) = (tcti.clone(), Arc::clone(&counts));
        let work = move || serve(&tcti, &shared, &received);
        std::thread::Builder::new().name("tpm".to_owned()).spawn(work).map_err(TpmError::Thread)?;
        Ok(Tpm { requests, counts, steps })
    }

    /// Makes the TPM ready, seals a new key to `site_key`, makes the signing keys, and asks for approval of
    /// the present boot state. Persists the storage key at [`SRK_HANDLE`] and defines the counters at
    /// [`EPOCH_INDEX`] and [`STATE_INDEX`] where they are missing; may be cut off at any point and run again.
    /// Needs an empty owner authorization.
    ///
    /// # Errors
    /// [`TpmError::PcrUnset`] when a PCR was never extended; [`TpmError::EpochChanged`] or
    /// [`TpmError::StateRedefined`] when something else lives at a counter's index; otherwise as the TPM
    /// answers.
    pub fn provision(
        &self,
        site_key: &SiteKeyPublic,
        pcrs: &PcrSelection,
        gateway: &str,
        timeout: Duration,
    ) -> Result<Made, TpmError> {
        let (site_key, pcrs, gateway) = (*site_key, pcrs.clone(), gateway.to_owned());
        let steps = Arc::clone(&self.steps);
        self.ask(timeout, move |esys| device::provision(esys, &steps, &site_key, &pcrs, &gateway))
    }

    /// A request to approve the present boot state and epoch, for a gateway already provisioned, with what is
    /// `foreseen` in place of what is.
    ///
    /// # Errors
    /// As [`Tpm::provision`]; [`TpmError::Malformed`] when a PCR is foreseen that is none of the selection.
    pub fn request_approval(
        &self,
        provisioned: &Provisioned,
        gateway: &str,
        foreseen: &Foreseen,
        timeout: Duration,
    ) -> Result<ApprovalRequest, TpmError> {
        let (provisioned, gateway, foreseen) = (provisioned.clone(), gateway.to_owned(), foreseen.clone());
        self.ask(timeout, move |esys| device::request(esys, &provisioned, &gateway, &foreseen))
    }

    /// Opens the sealed key with the first of `approvals` that holds.
    ///
    /// # Errors
    /// [`TpmError::NoApproval`] with the TPM's answer to the last one tried; [`TpmError::SrkChanged`] before
    /// anything is tried on another TPM; otherwise as the TPM answers.
    pub fn unseal(
        &self,
        provisioned: &Provisioned,
        approvals: &[Approval],
        timeout: Duration,
    ) -> Result<Unsealed, TpmError> {
        let (provisioned, approvals) = (provisioned.clone(), approvals.to_vec());
        self.ask(timeout, move |esys| approved::unseal(esys, &provisioned, &approvals))
    }

    /// Seals one more new 256-bit key under the policy of the first, and hands it out, once.
    ///
    /// # Errors
    /// [`TpmError::SrkChanged`] before anything is made on another TPM; otherwise as the TPM answers.
    pub fn seal_another(
        &self,
        provisioned: &Provisioned,
        timeout: Duration,
    ) -> Result<(KeyBlobs, Zeroizing<[u8; 32]>), TpmError> {
        let provisioned = provisioned.clone();
        self.ask(timeout, move |esys| device::seal_another(esys, &provisioned))
    }

    /// As [`Tpm::unseal`], for a key of [`Tpm::seal_another`]. Which key the record holds is not known here:
    /// compare what it is used for with what was noted where nobody else can write.
    ///
    /// # Errors
    /// As [`Tpm::unseal`].
    pub fn unseal_another(
        &self,
        provisioned: &Provisioned,
        approvals: &[Approval],
        another: &KeyBlobs,
        timeout: Duration,
    ) -> Result<Unsealed, TpmError> {
        let (provisioned, approvals, another) = (provisioned.clone(), approvals.to_vec(), another.clone());
        self.ask(timeout, move |esys| approved::unseal_another(esys, &provisioned, &approvals, &another))
    }

    /// Runs the policy again, unsealing included, and compares the key with the one held, in constant time.
    ///
    /// # Errors
    /// As [`Tpm::unseal`], and [`TpmError::KeyDiffers`].
    pub fn prove(
        &self,
        provisioned: &Provisioned,
        approvals: &[Approval],
        held: &[u8; 32],
        timeout: Duration,
    ) -> Result<Proof, TpmError> {
        let unsealed = self.unseal(provisioned, approvals, timeout)?;
        verify_slices_are_equal(unsealed.key.as_slice(), held).map_err(|_| TpmError::KeyDiffers)?;
        Ok(Proof { approval_index: unsealed.approval_index, epoch: unsealed.epoch })
    }

    /// What the PCRs hold now.
    ///
    /// # Errors
    /// As the TPM answers.
    pub fn pcr_values(&self, pcrs: &PcrSelection, timeout: Duration) -> Result<PcrValues, TpmError> {
        let pcrs = pcrs.clone();
        self.ask(timeout, move |esys| esys.pcr_read(&pcrs))
    }

    /// The epoch counter's value. It starts anywhere, not at one, and never goes back.
    ///
    /// # Errors
    /// [`TpmError::EpochChanged`] when the counter is missing or another one.
    pub fn epoch(&self, timeout: Duration) -> Result<u64, TpmError> {
        self.ask(timeout, counter::epoch)
    }

    /// Revokes every approval of the present epoch and returns the new one. Install approvals for the new
    /// epoch first. After [`TpmError::Timeout`] the counter may or may not have moved: read it.
    ///
    /// # Errors
    /// As [`Tpm::epoch`].
    pub fn advance_epoch(&self, timeout: Duration) -> Result<u64, TpmError> {
        let steps = Arc::clone(&self.steps);
        self.ask(timeout, move |esys| counter::advance_epoch(esys, &steps))
    }

    /// The state counter's value. It starts anywhere, not at one, and never goes back. Nobody on the wire to
    /// the TPM can forge the answer.
    ///
    /// # Errors
    /// [`TpmError::NotProvisioned`] for a record without one; [`TpmError::SrkChanged`] before anything else on
    /// another TPM; [`TpmError::StateMissing`] and [`TpmError::StateRedefined`].
    pub fn state_counter(&self, provisioned: &Provisioned, timeout: Duration) -> Result<u64, TpmError> {
        let provisioned = provisioned.clone();
        self.ask(timeout, move |esys| counter::state(esys, &provisioned))
    }

    /// Moves the state counter on, if it still is `expected`, and returns the new value. Write the state for
    /// `expected` + 1 first. After [`TpmError::Timeout`] the counter may or may not have moved: read it.
    ///
    /// # Errors
    /// As [`Tpm::state_counter`], and [`TpmError::StateBehind`] and [`TpmError::StateAhead`] when the value is
    /// another one: then nothing is written. Ahead of `expected` + 1 means that somebody else moved it as well.
    pub fn advance_state(
        &self,
        provisioned: &Provisioned,
        expected: u64,
        timeout: Duration,
    ) -> Result<u64, TpmError> {
        let (provisioned, steps) = (provisioned.clone(), Arc::clone(&self.steps));
        self.ask(timeout, move |esys| counter::advance_state(esys, &steps, &provisioned, expected))
    }

    /// What the TPM's own clock says. Nobody on the wire to the TPM can forge the answer.
    ///
    /// # Errors
    /// [`TpmError::SrkChanged`] before anything else on another TPM; otherwise as the TPM answers.
    pub fn clock(&self, provisioned: &Provisioned, timeout: Duration) -> Result<TpmClock, TpmError> {
        let provisioned = provisioned.clone();
        self.ask(timeout, move |esys| clock::read(esys, &provisioned))
    }

    /// Signs `digest` with the evidence key, under the first of `approvals` that holds; an ECDSA signature in
    /// DER, verified before it is returned.
    ///
    /// # Errors
    /// [`TpmError::NotProvisioned`] for a record without such a key; otherwise as [`Tpm::unseal`].
    pub fn sign(
        &self,
        provisioned: &Provisioned,
        approvals: &[Approval],
        digest: &[u8; 32],
        timeout: Duration,
    ) -> Result<Vec<u8>, TpmError> {
        let (provisioned, approvals, digest) = (provisioned.clone(), approvals.to_vec(), *digest);
        self.ask(timeout, move |esys| approved::sign(esys, &provisioned, &approvals, &digest))
    }

    /// Has the attestation key quote the PCRs of the record, for `nonce` of 1 to [`NONCE_MAX`] bytes. Needs no
    /// approval: which state the TPM is in may be asked in every state.
    ///
    /// # Errors
    /// [`TpmError::NotProvisioned`] for a record without such a key; [`TpmError::SrkChanged`] before anything
    /// is tried on another TPM; otherwise as the TPM answers.
    pub fn quote(
        &self,
        provisioned: &Provisioned,
        nonce: &[u8],
        timeout: Duration,
    ) -> Result<Quote, TpmError> {
        let (provisioned, nonce) = (provisioned.clone(), nonce.to_vec());
        self.ask(timeout, move |esys| quote::quote(esys, &provisioned, &nonce))
    }

    /// The endorsement keys that the TPM's maker has certified. Each is derived again, which takes a hardware
    /// TPM seconds.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when a certificate is not about the key derived; otherwise as the TPM answers.
    pub fn endorsements(&self, timeout: Duration) -> Result<Vec<Endorsement>, TpmError> {
        self.ask(timeout, endorsement::all)
    }

    /// Answers a challenge made for an endorsement key and the attestation key's Name: what comes out shows
    /// that both live in one TPM. `credential` is a TPM2B_ID_OBJECT and `secret` a TPM2B_ENCRYPTED_SECRET,
    /// marshalled.
    ///
    /// # Errors
    /// [`RC_INTEGRITY`] when the challenge is for another key; otherwise as [`Tpm::quote`].
    pub fn activate_credential(
        &self,
        provisioned: &Provisioned,
        ek: EkKind,
        credential: &[u8],
        secret: &[u8],
        timeout: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let (provisioned, credential, secret) = (provisioned.clone(), credential.to_vec(), secret.to_vec());
        self.ask(timeout, move |esys| endorsement::activate(esys, &provisioned, ek, &credential, &secret))
    }

    /// How much the TPM was used.
    pub fn usage(&self) -> Usage {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            nv_increments: read(&self.counts.nv_increments),
            signatures: read(&self.counts.signatures),
            unseals: read(&self.counts.unseals),
            commands: read(&self.counts.commands),
        }
    }

    /// Runs `question` on the TPM thread and waits at most `timeout` for the answer. A command that is
    /// under way cannot be called back; its late answer is dropped, and wiped where it is a key.
    fn ask<T: Send + 'static>(
        &self,
        timeout: Duration,
        question: impl FnOnce(&Esys) -> Result<T, TpmError> + Send + 'static,
    ) -> Result<T, TpmError> {
        let (answer, answered) = sync_channel(1);
        let run = move |esys: Result<&Esys, TpmError>| {
            // The caller may have given up: then nobody wants the answer.
            let _ = answer.send(esys.and_then(question));
        };
        let deadline = Instant::now().checked_add(timeout);
        self.requests.try_send(Request { deadline, run: Box::new(run) }).map_err(|error| match error {
            TrySendError::Full(_) => TpmError::Busy(QUEUE),
            TrySendError::Disconnected(_) => TpmError::Gone,
        })?;
        answered.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => TpmError::Timeout(timeout),
            // The thread skips a request only after its deadline; the queue is gone only with the thread.
            RecvTimeoutError::Disconnected if Request::is_late(deadline) => TpmError::Timeout(timeout),
            RecvTimeoutError::Disconnected => TpmError::Gone,
        })?
    }
}

impl std::fmt::Debug for Tpm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tpm").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

/// The thread: one request after the other, on a context that is opened again whenever it was lost.
fn serve(tcti: &Tcti, counts: &Arc<Counts>, requests: &Receiver<Request>) {
    let mut open: Option<Esys> = None;
    while let Ok(request) = requests.recv() {
        if Request::is_late(request.deadline) {
            continue;
        }
        let connected = match open.take() {
            Some(esys) => Ok(esys),
            None => connect(tcti, counts),
        };
        match connected {
            Ok(esys) => {
                (request.run)(Ok(&esys));
                open = Some(esys).filter(|esys| !esys.is_lost());
            }
            Err(error) => (request.run)(Err(error)),
        }
    }
}

fn connect(tcti: &Tcti, counts: &Arc<Counts>) -> Result<Esys, TpmError> {
    let esys = Esys::open(&tcti.to_string(), Arc::clone(counts))?;
    if !tcti.has_resource_manager() {
        esys.flush_leftovers()?;
    }
    Ok(esys)
}
