//! What a TPM is and holds apart from keys: PCRs, random numbers, what is loaded.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use tss_esapi::tss2_esys as ffi;
use zeroize::{Zeroize, Zeroizing};

use super::memory::{Given, in_use, too_long, unmarshal};
use super::{Esys, Handle, NONE};
use crate::tpm::clock::TpmClock;
use crate::tpm::error::TpmError;
use crate::tpm::pcr::{PcrSelection, PcrValues};

impl Esys {
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
    pub(in crate::tpm) fn pcr_read(&self, pcrs: &PcrSelection) -> Result<PcrValues, TpmError> {
        let read = |&index: &u8| self.pcr_read_one(index).map(|value| (index, value));
        PcrValues::new(pcrs.indices().iter().map(read).collect::<Result<_, _>>()?)
    }

    /// TPM2_GetRandom of 32 bytes, which cross the bus encrypted by `session`.
    pub(in crate::tpm) fn random(&self, session: &Handle<'_>) -> Result<Zeroizing<[u8; 32]>, TpmError> {
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

    /// TPM2_ReadClock in `session`, whose answer nobody on the wire can forge. It has nothing to encrypt, so the
    /// session becomes one for auditing, and is of no other use any more.
    pub(in crate::tpm) fn read_clock(&self, session: Handle<'_>) -> Result<TpmClock, TpmError> {
        // SAFETY: the session lives in this context.
        let code =
            unsafe { ffi::Esys_TRSess_SetAttributes(self.context, session.tr, AUDIT_ATTRIBUTES, 0xff) };
        self.check("Esys_TRSess_SetAttributes", code)?;
        let mut out = null_mut();
        // SAFETY: the context is open, the session lives in it, the output is writable.
        let code = unsafe { ffi::Esys_ReadClock(self.context, session.tr, NONE, NONE, &mut out) };
        self.check("TPM2_ReadClock", code)?;
        let said = Given(out).get().clockInfo;
        Ok(TpmClock {
            resets: said.resetCount,
            restarts: said.restartCount,
            ms: said.clock,
            safe: said.safe == 1,
        })
    }

    /// Flushes sessions and objects a killed process left in the TPM. Only for a TPM without resource
    /// manager, and only where nobody else uses it.
    pub(in crate::tpm) fn flush_leftovers(&self) -> Result<(), TpmError> {
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
}

/// TPMA_SESSION: continueSession, audit (Part 2 §8.4).
const AUDIT_ATTRIBUTES: u8 = 0x01 | 0x80;
const CAP_HANDLES: u32 = 1;
/// First handles of loaded sessions and of transient objects.
const LEFTOVERS: [u32; 2] = [0x0200_0000, 0x8000_0000];
