//! NV indices.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use tss_esapi::tss2_esys as ffi;

use super::memory::{Given, in_use, unmarshal, with_size};
use super::{Counts, Esys, Handle, NONE, PASSWORD, RH_OWNER};
use crate::tpm::error::TpmError;

impl Esys {
    /// TPM2_NV_DefineSpace from TPMS_NV_PUBLIC, marshalled, with an empty authorization value.
    pub(in crate::tpm) fn nv_define(&self, public: &[u8]) -> Result<(), TpmError> {
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
    pub(in crate::tpm) fn nv_increment(&self, index: &Handle<'_>) -> Result<(), TpmError> {
        Counts::add(&self.counts.nv_increments);
        // SAFETY: the context is open, the index lives in it.
        let code = unsafe { ffi::Esys_NV_Increment(self.context, RH_OWNER, index.tr, PASSWORD, NONE, NONE) };
        self.check("TPM2_NV_Increment", code)
    }

    /// TPM2_NV_Read of an 8 byte counter, authorized by the index's own empty value.
    pub(in crate::tpm) fn nv_read_counter(&self, index: &Handle<'_>) -> Result<u64, TpmError> {
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
}
