//! One ESYS context of libtss2 behind safe methods: with the files beside it the only unsafe code in Headgate.
//!
//! Sessions and objects belong to the context that made them, and PolicyNV and Unseal must share one, so
//! every command goes through [`Esys`]. Structures go in as the bytes TPM 2.0 Part 2 gives them and are
//! unmarshalled by libtss2. It decides nothing and keeps nothing: handles are flushed when dropped.
//!
//! Invariants: an [`Esys`] never leaves the thread that opened it (it is neither Send nor Sync); a handle
//! borrows its context, so it cannot outlive it; memory handed out by ESYS is freed exactly once.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::CString;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tss_esapi::tss2_esys as ffi;

use super::error::{Code, TpmError};
use super::policy::Name;
use memory::{Given, in_use, too_long};

mod credential;
mod key;
mod memory;
mod nv;
mod platform;
mod policy;
mod sign;

pub(super) use key::Hierarchy;
pub(super) use policy::SessionKind;

const NONE: ffi::ESYS_TR = 0xfff;
const PASSWORD: ffi::ESYS_TR = 0xff;
const RH_OWNER: ffi::ESYS_TR = 0x101;
const RH_ENDORSEMENT: ffi::ESYS_TR = 0x10b;

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

    /// The object or NV index that lives at `handle` in the TPM.
    pub(super) fn at(&self, handle: u32) -> Result<Handle<'_>, TpmError> {
        let mut tr = NONE;
        // SAFETY: the context is open and the output writable.
        let code = unsafe { ffi::Esys_TR_FromTPMPublic(self.context, handle, NONE, NONE, NONE, &mut tr) };
        self.check("TPM2_ReadPublic", code)?;
        Ok(self.keep(tr, false))
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
