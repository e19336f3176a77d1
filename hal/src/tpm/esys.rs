//! One ESYS context of libtss2 behind safe methods: the only unsafe code in Headgate.
//!
//! Sessions and objects belong to the context that made them, and PolicyNV and Unseal must share one, so
//! every command goes through [`Esys`]. Structures go in as the bytes TPM 2.0 Part 2 gives them and are
//! unmarshalled by libtss2. It decides nothing and keeps nothing: handles are flushed when dropped.
//!
//! Invariants: an [`Esys`] never leaves the thread that opened it (it is neither Send nor Sync); a handle
//! borrows its context, so it cannot outlive it; memory handed out by ESYS is freed exactly once.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tss_esapi::tss2_esys as ffi;
use zeroize::{Zeroize, Zeroizing};

use super::error::{Code, TpmError};
use super::pcr::{PcrSelection, PcrValues};
use super::policy::{Name, PolicyDigest};

const NONE: ffi::ESYS_TR = 0xfff;
const PASSWORD: ffi::ESYS_TR = 0xff;
const RH_OWNER: ffi::ESYS_TR = 0x101;
/// TPM_RH_OWNER as a hierarchy selector; libtss2 before 4.0 takes the TPM's number here.
const HIERARCHY_OWNER: u32 = 0x4000_0001;
const ALG_SHA256: u16 = 0x000b;
const ALG_AES: u16 = 0x0006;
const ALG_CFB: u16 = 0x0043;
const CAP_HANDLES: u32 = 1;
/// TPMA_SESSION: continueSession, decrypt, encrypt (Part 2 §8.4).
const SESSION_ATTRIBUTES: u8 = 0x01 | 0x20 | 0x40;
/// First handles of loaded sessions and of transient objects.
const LEFTOVERS: [u32; 2] = [0x0200_0000, 0x8000_0000];

/// What was asked of the TPM since the handle was opened; see [`super::Usage`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) commands: AtomicU64,
    pub(super) nv_increments: AtomicU64,
    pub(super) unseals: AtomicU64,
    pub(super) signatures: AtomicU64,
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionKind {
    Hmac = 0,
    Policy = 1,
}

/// An open connection to a TPM.
pub(super) struct Esys {
    context: *mut ffi::ESYS_CONTEXT,
    tcti: *mut ffi::TSS2_TCTI_CONTEXT,
    counts: Arc<Counts>,
    /// Set by an error after which the context is of no use: flushing would only fail too.
    lost: Cell<bool>,
}

/// An object, session or NV index in the context. Dropping it flushes what the TPM would otherwise keep.
pub(super) struct Handle<'a> {
    esys: &'a Esys,
    tr: ffi::ESYS_TR,
    /// Whether the TPM holds it in memory (object, session) or only libtss2 does (NV, persistent).
    transient: bool,
}

/// A ticket of TPM2_VerifySignature, good until the TPM restarts.
pub(super) struct Verified(ffi::TPMT_TK_VERIFIED);

/// Silences libtss2, which otherwise prints every refusal on stderr. It reads `TSS2_LOG` from the
/// environment at its first message, so this must come first in `main`.
///
/// Returns whether it is silent: false when other threads already run, as changing the environment is then
/// unsound. Set `TSS2_LOG=all+none` in the service file as well, where that can happen.
pub fn silence_library() -> bool {
    if std::env::var_os("TSS2_LOG").is_some() {
        return true;
    }
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1);
    if alone {
        // SAFETY: this process has exactly one thread, this one, so nobody reads the environment meanwhile.
        unsafe { std::env::set_var("TSS2_LOG", "all+none") };
    }
    alone
}

/// Memory handed out by ESYS, wiped and freed when dropped.
struct Given<T>(*mut T);

impl<T: Copy> Given<T> {
    fn get(&self) -> T {
        // SAFETY: ESYS filled the pointer on success, the only case in which `Given` is made, with a whole T.
        unsafe { *self.0 }
    }
}

impl<T> Drop for Given<T> {
    fn drop(&mut self) {
        if self.0.is_null() {
            return;
        }
        // SAFETY: ESYS allocated a whole T here (calloc of the full struct, checked non-null), nobody else
        // holds the pointer, and bytes may be written to any of it before it is freed once.
        unsafe {
            std::slice::from_raw_parts_mut(self.0.cast::<u8>(), size_of::<T>()).zeroize();
            ffi::Esys_Free(self.0.cast::<c_void>());
        }
    }
}

/// Unmarshals `bytes` with one of libtss2's `Tss2_MU_..._Unmarshal`; `T` must be a plain C structure.
macro_rules! unmarshal {
    ($function:path, $type:ty, $bytes:expr) => {{
        let bytes: &[u8] = $bytes;
        let (mut out, mut offset) = (<$type>::default(), 0);
        // SAFETY: the buffer is readable for its stated length and `out` is a whole structure to write to.
        let code = unsafe { $function(bytes.as_ptr(), bytes.len() as ffi::size_t, &mut offset, &mut out) };
        if code == 0 && offset as usize == bytes.len() {
            Ok(out)
        } else {
            Err(TpmError::Malformed {
                what: stringify!($type),
                found: format!("{} bytes, libtss2 says {code:#010x}", bytes.len()),
                expected: "a marshalled structure of TPM 2.0 Part 2",
            })
        }
    }};
}

/// A sized buffer structure (TPM2B_...) holding `bytes`, which must fit.
macro_rules! sized {
    ($type:ty, $field:ident, $bytes:expr) => {{
        let bytes: &[u8] = $bytes;
        let mut out = <$type>::default();
        match out.$field.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                out.size = bytes.len() as u16;
                Ok(out)
            }
            None => Err(too_long(stringify!($type), bytes.len())),
        }
    }};
}

/// The bytes in use of a sized buffer structure.
macro_rules! in_use {
    ($value:expr, $field:ident) => {
        $value
            .$field
            .get(..usize::from($value.size))
            .ok_or_else(|| too_long(stringify!($field), usize::from($value.size)))
    };
}

fn too_long(what: &'static str, len: usize) -> TpmError {
    TpmError::Malformed { what, found: format!("{len} bytes"), expected: "no more than the structure holds" }
}

/// `bytes` behind their length in two bytes: a TPM2B.
fn with_size(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u16;
    [&len.to_be_bytes(), bytes].concat()
}

impl Esys {
    /// Connects through the TCTI loader configuration `tcti` (`name:conf`).
    pub(super) fn open(tcti: &str, counts: Arc<Counts>) -> Result<Esys, TpmError> {
        let conf = CString::new(tcti).map_err(|_| too_long("TCTI", tcti.len()))?;
        let mut esys = Esys { context: null_mut(), tcti: null_mut(), counts, lost: Cell::new(false) };
        // SAFETY: `conf` is a C string; the loader writes the new context, or nothing on failure.
        let code = unsafe { ffi::Tss2_TctiLdr_Initialize(conf.as_ptr(), &mut esys.tcti) };
        esys.check("Tss2_TctiLdr_Initialize", code)?;
        // SAFETY: `tcti` is the context just made; it outlives the ESYS context (see Drop).
        let code = unsafe { ffi::Esys_Initialize(&mut esys.context, esys.tcti, null_mut()) };
        esys.check("Esys_Initialize", code)?;
        Ok(esys)
    }

    /// Notes an error that loses the context, and turns a code into a result.
    fn check(&self, command: &'static str, code: u32) -> Result<(), TpmError> {
        Counts::add(&self.counts.commands);
        if code == 0 {
            return Ok(());
        }
        if Code(code).loses_context() {
            self.lost.set(true);
        }
        Err(TpmError::answered(command, code))
    }

    /// Whether the context must be dropped and opened again.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.get()
    }

    fn keep(&self, tr: ffi::ESYS_TR, transient: bool) -> Handle<'_> {
        Handle { esys: self, tr, transient }
    }

    /// Flushes sessions and objects a killed process left in the TPM. Only for a TPM without resource
    /// manager, and only where nobody else uses it.
    pub(super) fn flush_leftovers(&self) -> Result<(), TpmError> {
        let mut sys = null_mut();
        // SAFETY: the context is open; the SYS context returned stays owned by it.
        self.check("Esys_GetSysContext", unsafe { ffi::Esys_GetSysContext(self.context, &mut sys) })?;
        for first in LEFTOVERS {
            for handle in self.loaded(first)? {
                // SAFETY: `sys` is valid while the ESYS context is; the handle is a plain number.
                self.check("TPM2_FlushContext", unsafe { ffi::Tss2_Sys_FlushContext(sys, handle) })?;
            }
        }
        Ok(())
    }

    /// TPM2_GetCapability: the handles in use from `first` on, of its kind.
    fn loaded(&self, first: u32) -> Result<Vec<u32>, TpmError> {
        let (mut more, mut data) = (0, null_mut());
        // SAFETY: the context is open and both outputs are writable.
        let code = unsafe {
            ffi::Esys_GetCapability(
                self.context,
                NONE,
                NONE,
                NONE,
                CAP_HANDLES,
                first,
                254,
                &mut more,
                &mut data,
            )
        };
        self.check("TPM2_GetCapability", code)?;
        let data = Given(data).get();
        // SAFETY: the answer to CAP_HANDLES is a TPML_HANDLE; any bytes are a valid one.
        let list = unsafe { data.data.handles };
        Ok(list.handle.iter().take(list.count as usize).copied().collect())
    }

    /// The object or NV index that lives at `handle` in the TPM.
    pub(super) fn at(&self, handle: u32) -> Result<Handle<'_>, TpmError> {
        let mut tr = NONE;
        // SAFETY: the context is open and the output writable.
        let code = unsafe { ffi::Esys_TR_FromTPMPublic(self.context, handle, NONE, NONE, NONE, &mut tr) };
        self.check("TPM2_ReadPublic", code)?;
        Ok(self.keep(tr, false))
    }

    /// TPM2_StartAuthSession salted to `srk`, with parameter encryption both ways.
    pub(super) fn start_session(&self, srk: &Handle<'_>, kind: SessionKind) -> Result<Handle<'_>, TpmError> {
        let symmetric = ffi::TPMT_SYM_DEF {
            algorithm: ALG_AES,
            keyBits: ffi::TPMU_SYM_KEY_BITS { aes: 128 },
            mode: ffi::TPMU_SYM_MODE { aes: ALG_CFB },
        };
        let mut tr = NONE;
        // SAFETY: the context is open, `srk` lives in it, the structure and the output are whole.
        let code = unsafe {
            ffi::Esys_StartAuthSession(
                self.context,
                srk.tr,
                NONE,
                NONE,
                NONE,
                NONE,
                null(),
                kind as u8,
                &symmetric,
                ALG_SHA256,
                &mut tr,
            )
        };
        self.check("TPM2_StartAuthSession", code)?;
        let session = self.keep(tr, true);
        // SAFETY: the session was just made in this context.
        let code = unsafe {
            ffi::Esys_TRSess_SetAttributes(self.context, tr, SESSION_ATTRIBUTES, SESSION_ATTRIBUTES)
        };
        self.check("Esys_TRSess_SetAttributes", code)?;
        Ok(session)
    }

    /// TPM2_PolicyPCR with the values the PCRs have now.
    pub(super) fn policy_pcr(&self, session: &Handle<'_>, pcrs: &PcrSelection) -> Result<(), TpmError> {
        let selection =
            unmarshal!(ffi::Tss2_MU_TPML_PCR_SELECTION_Unmarshal, ffi::TPML_PCR_SELECTION, &pcrs.marshal())?;
        let current = ffi::TPM2B_DIGEST::default();
        // SAFETY: the context is open, the session lives in it, both structures are whole.
        let code =
            unsafe { ffi::Esys_PolicyPCR(self.context, session.tr, NONE, NONE, NONE, &current, &selection) };
        self.check("TPM2_PolicyPCR", code)
    }

    /// TPM2_PolicyNV: `index` holds exactly `value`. Authorized by the index's own empty value.
    pub(super) fn policy_nv_equals(
        &self,
        session: &Handle<'_>,
        index: &Handle<'_>,
        value: u64,
    ) -> Result<(), TpmError> {
        let operand = sized!(ffi::TPM2B_OPERAND, buffer, &value.to_be_bytes())?;
        // SAFETY: the context is open, session and index live in it, the operand is whole; 0 is TPM_EO_EQ.
        let code = unsafe {
            ffi::Esys_PolicyNV(
                self.context,
                index.tr,
                index.tr,
                session.tr,
                PASSWORD,
                NONE,
                NONE,
                &operand,
                0,
                0,
            )
        };
        self.check("TPM2_PolicyNV", code)
    }

    /// TPM2_PolicyAuthorize: the session's policy is `approved`, and `ticket` says the key named `key`
    /// signed it.
    pub(super) fn policy_authorize(
        &self,
        session: &Handle<'_>,
        approved: &PolicyDigest,
        policy_ref: &[u8],
        key: &Name,
        ticket: &Verified,
    ) -> Result<(), TpmError> {
        let approved = sized!(ffi::TPM2B_DIGEST, buffer, &approved.0)?;
        let policy_ref = sized!(ffi::TPM2B_NONCE, buffer, policy_ref)?;
        let key = sized!(ffi::TPM2B_NAME, name, &key.0)?;
        // SAFETY: the context is open, the session lives in it, all structures are whole.
        let code = unsafe {
            ffi::Esys_PolicyAuthorize(
                self.context,
                session.tr,
                NONE,
                NONE,
                NONE,
                &approved,
                &policy_ref,
                &key,
                &ticket.0,
            )
        };
        self.check("TPM2_PolicyAuthorize", code)
    }

    /// TPM2_LoadExternal of a public key (TPMT_PUBLIC, marshalled), in the owner hierarchy: a ticket from
    /// the null hierarchy is refused by PolicyAuthorize.
    pub(super) fn load_external(&self, public: &[u8]) -> Result<Handle<'_>, TpmError> {
        let public = unmarshal!(ffi::Tss2_MU_TPM2B_PUBLIC_Unmarshal, ffi::TPM2B_PUBLIC, &with_size(public))?;
        let mut tr = NONE;
        // SAFETY: the context is open, the structure whole, no private part is given.
        let code = unsafe {
            ffi::Esys_LoadExternal(self.context, NONE, NONE, NONE, null(), &public, HIERARCHY_OWNER, &mut tr)
        };
        self.check("TPM2_LoadExternal", code)?;
        Ok(self.keep(tr, true))
    }

    /// TPM2_VerifySignature: an ECDSA signature (r, s) over `digest`.
    pub(super) fn verify_signature(
        &self,
        key: &Handle<'_>,
        digest: &[u8; 32],
        signature: &[u8; 64],
    ) -> Result<Verified, TpmError> {
        let mut wire = vec![0x00, 0x18, 0x00, 0x0b];
        signature.chunks(32).for_each(|half| wire.extend(with_size(half)));
        let signature = unmarshal!(ffi::Tss2_MU_TPMT_SIGNATURE_Unmarshal, ffi::TPMT_SIGNATURE, &wire)?;
        let digest = sized!(ffi::TPM2B_DIGEST, buffer, digest)?;
        let mut ticket = null_mut();
        // SAFETY: the context is open, the key lives in it, both structures are whole.
        let code = unsafe {
            ffi::Esys_VerifySignature(
                self.context,
                key.tr,
                NONE,
                NONE,
                NONE,
                &digest,
                &signature,
                &mut ticket,
            )
        };
        self.check("TPM2_VerifySignature", code)?;
        Ok(Verified(Given(ticket).get()))
    }

    /// TPM2_CreatePrimary in the owner hierarchy from a template (TPMT_PUBLIC, marshalled).
    pub(super) fn create_primary(&self, template: &[u8]) -> Result<Handle<'_>, TpmError> {
        let public =
            unmarshal!(ffi::Tss2_MU_TPM2B_PUBLIC_Unmarshal, ffi::TPM2B_PUBLIC, &with_size(template))?;
        let (sensitive, info) = (ffi::TPM2B_SENSITIVE_CREATE::default(), ffi::TPM2B_DATA::default());
        let pcrs = ffi::TPML_PCR_SELECTION::default();
        let mut tr = NONE;
        // SAFETY: the context is open, all structures are whole, outputs not wanted may be null.
        let code = unsafe {
            ffi::Esys_CreatePrimary(
                self.context,
                RH_OWNER,
                PASSWORD,
                NONE,
                NONE,
                &sensitive,
                &public,
                &info,
                &pcrs,
                &mut tr,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
            )
        };
        self.check("TPM2_CreatePrimary", code)?;
        Ok(self.keep(tr, true))
    }

    /// TPM2_Create: seals `secret` under `parent`; returns TPM2B_PUBLIC and TPM2B_PRIVATE, marshalled.
    /// The secret crosses the bus encrypted by `session`, which must be salted.
    pub(super) fn seal(
        &self,
        parent: &Handle<'_>,
        session: &Handle<'_>,
        template: &[u8],
        secret: &[u8; 32],
    ) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
        let public =
            unmarshal!(ffi::Tss2_MU_TPM2B_PUBLIC_Unmarshal, ffi::TPM2B_PUBLIC, &with_size(template))?;
        let mut sensitive = ffi::TPM2B_SENSITIVE_CREATE::default();
        sensitive.sensitive.data.size = 32;
        sensitive.sensitive.data.buffer[..32].copy_from_slice(secret);
        let (info, pcrs) = (ffi::TPM2B_DATA::default(), ffi::TPML_PCR_SELECTION::default());
        let (mut out_private, mut out_public) = (null_mut(), null_mut());
        // SAFETY: the context is open, parent and session live in it, all structures are whole, outputs not
        // wanted may be null.
        let code = unsafe {
            ffi::Esys_Create(
                self.context,
                parent.tr,
                session.tr,
                NONE,
                NONE,
                &sensitive,
                &public,
                &info,
                &pcrs,
                &mut out_private,
                &mut out_public,
                null_mut(),
                null_mut(),
                null_mut(),
            )
        };
        sensitive.sensitive.data.buffer.zeroize();
        self.check("TPM2_Create", code)?;
        let private = Given(out_private).get();
        let public = marshal_public(&Given(out_public).get())?;
        Ok((public, with_size(in_use!(private, buffer)?)))
    }

    /// TPM2_Load of what [`Esys::seal`] returned.
    pub(super) fn load(
        &self,
        parent: &Handle<'_>,
        public: &[u8],
        private: &[u8],
    ) -> Result<Handle<'_>, TpmError> {
        let public = unmarshal!(ffi::Tss2_MU_TPM2B_PUBLIC_Unmarshal, ffi::TPM2B_PUBLIC, public)?;
        let private = unmarshal!(ffi::Tss2_MU_TPM2B_PRIVATE_Unmarshal, ffi::TPM2B_PRIVATE, private)?;
        let mut tr = NONE;
        // SAFETY: the context is open, the parent lives in it, both structures are whole.
        let code = unsafe {
            ffi::Esys_Load(self.context, parent.tr, PASSWORD, NONE, NONE, &private, &public, &mut tr)
        };
        self.check("TPM2_Load", code)?;
        Ok(self.keep(tr, true))
    }

    /// TPM2_Unseal with a policy session; the secret crosses the bus encrypted by it.
    pub(super) fn unseal(
        &self,
        object: &Handle<'_>,
        session: &Handle<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        Counts::add(&self.counts.unseals);
        let mut out = null_mut();
        // SAFETY: the context is open, object and session live in it.
        let code = unsafe { ffi::Esys_Unseal(self.context, object.tr, session.tr, NONE, NONE, &mut out) };
        self.check("TPM2_Unseal", code)?;
        let given = Given(out);
        let mut data = given.get();
        let secret = in_use!(data, buffer).map(|bytes| Zeroizing::new(bytes.to_vec()));
        data.buffer.zeroize();
        secret
    }

    /// TPM2_EvictControl: keeps `object` for good at the persistent `handle`.
    pub(super) fn persist(&self, object: &Handle<'_>, handle: u32) -> Result<(), TpmError> {
        let mut tr = NONE;
        // SAFETY: the context is open, the object lives in it.
        let code = unsafe {
            ffi::Esys_EvictControl(self.context, RH_OWNER, object.tr, PASSWORD, NONE, NONE, handle, &mut tr)
        };
        self.check("TPM2_EvictControl", code)?;
        drop(self.keep(tr, false));
        Ok(())
    }

    /// TPM2_NV_DefineSpace from TPMS_NV_PUBLIC, marshalled, with an empty authorization value.
    pub(super) fn nv_define(&self, public: &[u8]) -> Result<(), TpmError> {
        let public =
            unmarshal!(ffi::Tss2_MU_TPM2B_NV_PUBLIC_Unmarshal, ffi::TPM2B_NV_PUBLIC, &with_size(public))?;
        let auth = ffi::TPM2B_AUTH::default();
        let mut tr = NONE;
        // SAFETY: the context is open, both structures are whole.
        let code = unsafe {
            ffi::Esys_NV_DefineSpace(self.context, RH_OWNER, PASSWORD, NONE, NONE, &auth, &public, &mut tr)
        };
        self.check("TPM2_NV_DefineSpace", code)?;
        drop(self.keep(tr, false));
        Ok(())
    }

    /// TPM2_NV_Increment with owner authorization.
    pub(super) fn nv_increment(&self, index: &Handle<'_>) -> Result<(), TpmError> {
        Counts::add(&self.counts.nv_increments);
        // SAFETY: the context is open, the index lives in it.
        let code = unsafe { ffi::Esys_NV_Increment(self.context, RH_OWNER, index.tr, PASSWORD, NONE, NONE) };
        self.check("TPM2_NV_Increment", code)
    }

    /// TPM2_NV_Read of an 8 byte counter, authorized by the index's own empty value.
    pub(super) fn nv_read_counter(&self, index: &Handle<'_>) -> Result<u64, TpmError> {
        let mut out = null_mut();
        // SAFETY: the context is open, the index lives in it.
        let code = unsafe {
            ffi::Esys_NV_Read(self.context, index.tr, index.tr, PASSWORD, NONE, NONE, 8, 0, &mut out)
        };
        self.check("TPM2_NV_Read", code)?;
        let data = Given(out).get();
        let bytes = in_use!(data, buffer)?;
        <[u8; 8]>::try_from(bytes).map(u64::from_be_bytes).map_err(|_| TpmError::Malformed {
            what: "NV counter",
            found: format!("{} bytes", bytes.len()),
            expected: "8 bytes",
        })
    }

    /// TPM2_PCR_Read of one PCR of the SHA-256 bank.
    fn pcr_read_one(&self, index: u8) -> Result<[u8; 32], TpmError> {
        let wire = PcrSelection::new(&[index])?.marshal();
        let selection =
            unmarshal!(ffi::Tss2_MU_TPML_PCR_SELECTION_Unmarshal, ffi::TPML_PCR_SELECTION, &wire)?;
        let mut values = null_mut();
        // SAFETY: the context is open, the selection is whole, outputs not wanted may be null.
        let code = unsafe {
            ffi::Esys_PCR_Read(
                self.context,
                NONE,
                NONE,
                NONE,
                &selection,
                null_mut(),
                null_mut(),
                &mut values,
            )
        };
        self.check("TPM2_PCR_Read", code)?;
        let values = Given(values).get();
        let first = values.digests[0];
        let bytes = if values.count == 1 { in_use!(first, buffer)? } else { &[] };
        <[u8; 32]>::try_from(bytes).map_err(|_| TpmError::Malformed {
            what: "PCR value",
            found: format!("{} values, {} bytes, for PCR {index}", values.count, bytes.len()),
            expected: "one value of 32 bytes: the TPM needs an active SHA-256 bank",
        })
    }

    /// What the PCRs hold now; read one by one, so an extend in between shows as a mixture.
    pub(super) fn pcr_read(&self, pcrs: &PcrSelection) -> Result<PcrValues, TpmError> {
        let read = |&index: &u8| self.pcr_read_one(index).map(|value| (index, value));
        PcrValues::new(pcrs.indices().iter().map(read).collect::<Result<_, _>>()?)
    }

    /// TPM2_GetRandom of 32 bytes, which cross the bus encrypted by `session`.
    pub(super) fn random(&self, session: &Handle<'_>) -> Result<Zeroizing<[u8; 32]>, TpmError> {
        let mut out = null_mut();
        // SAFETY: the context is open, the session lives in it.
        let code = unsafe { ffi::Esys_GetRandom(self.context, session.tr, NONE, NONE, 32, &mut out) };
        self.check("TPM2_GetRandom", code)?;
        let given = Given(out);
        let mut data = given.get();
        let mut random = Zeroizing::new([0; 32]);
        let whole = data.size == 32;
        random.copy_from_slice(&data.buffer[..32]);
        data.buffer.zeroize();
        if whole { Ok(random) } else { Err(too_long("random bytes", usize::from(data.size))) }
    }
}

impl Handle<'_> {
    /// The Name ESYS computed from the public area it will use: for a key, the one a session is salted to.
    pub(super) fn name(&self) -> Result<Name, TpmError> {
        let mut out = null_mut();
        // SAFETY: the handle lives in its context, which it borrows.
        let code = unsafe { ffi::Esys_TR_GetName(self.esys.context, self.tr, &mut out) };
        self.esys.check("Esys_TR_GetName", code)?;
        let name = Given(out).get();
        Name::from_tpm(in_use!(name, name)?)
    }
}

fn marshal_public(public: &ffi::TPM2B_PUBLIC) -> Result<Vec<u8>, TpmError> {
    let mut out = vec![0; size_of::<ffi::TPM2B_PUBLIC>()];
    let mut offset = 0;
    // SAFETY: the buffer is writable for its stated length and the structure came whole from ESYS.
    let code = unsafe {
        ffi::Tss2_MU_TPM2B_PUBLIC_Marshal(public, out.as_mut_ptr(), out.len() as ffi::size_t, &mut offset)
    };
    if code != 0 {
        return Err(TpmError::answered("Tss2_MU_TPM2B_PUBLIC_Marshal", code));
    }
    out.truncate(offset as usize);
    Ok(out)
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle lives in its context, which it borrows; it is closed once. A failed flush leaves
        // the ESYS side, which closing the context frees.
        unsafe {
            if !self.transient {
                ffi::Esys_TR_Close(self.esys.context, &mut self.tr);
            } else if !self.esys.is_lost() {
                let code = ffi::Esys_FlushContext(self.esys.context, self.tr);
                // Nothing can be returned from here; a context that fails to flush is opened again.
                let _ = self.esys.check("TPM2_FlushContext", code).map_err(|_| self.esys.lost.set(true));
            }
        }
    }
}

impl Drop for Esys {
    fn drop(&mut self) {
        // SAFETY: both contexts came from their initialisers or are null; ESYS goes first, as it uses the
        // TCTI; each is finalised once.
        unsafe {
            if !self.context.is_null() {
                ffi::Esys_Finalize(&mut self.context);
            }
            if !self.tcti.is_null() {
                ffi::Tss2_TctiLdr_Finalize(&mut self.tcti);
            }
        }
    }
}
