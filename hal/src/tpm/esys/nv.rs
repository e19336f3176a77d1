//! NV indices.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use tss_esapi::tss2_esys as ffi;

use super::memory::{Given, in_use, too_long, unmarshal, with_size};
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

    /// TPM2_NV_Increment with the owner's empty authorization: as a password, or in `session`, whose answer
    /// nobody on the wire can forge.
    pub(in crate::tpm) fn nv_increment(
        &self,
        index: &Handle<'_>,
        session: Option<&Handle<'_>>,
    ) -> Result<(), TpmError> {
        Counts::add(&self.counts.nv_increments);
        let auth = session.map_or(PASSWORD, |session| session.tr);
        // SAFETY: the context is open, index and session live in it.
        let code = unsafe { ffi::Esys_NV_Increment(self.context, RH_OWNER, index.tr, auth, NONE, NONE) };
        self.check("TPM2_NV_Increment", code)
    }

    /// TPM2_NV_Read of an 8 byte counter, authorized by the index's own empty value: as a password, or in
    /// `session`, whose answer nobody on the wire can forge.
    pub(in crate::tpm) fn nv_read_counter(
        &self,
        index: &Handle<'_>,
        session: Option<&Handle<'_>>,
    ) -> Result<u64, TpmError> {
        let bytes = self.nv_read(index, session.map_or(PASSWORD, |session| session.tr), 8, 0)?;
        <[u8; 8]>::try_from(bytes.as_slice()).map(u64::from_be_bytes).map_err(|_| TpmError::Malformed {
            what: "NV counter",
            found: format!("{} bytes", bytes.len()),
            expected: "8 bytes",
        })
    }

    /// Everything an index of at most `max` bytes holds; its own authorization is empty.
    pub(in crate::tpm) fn nv_read_all(&self, index: &Handle<'_>, max: u16) -> Result<Vec<u8>, TpmError> {
        let mut public = null_mut();
        // SAFETY: the context is open, the index lives in it, outputs not wanted may be null.
        let code = unsafe {
            ffi::Esys_NV_ReadPublic(self.context, index.tr, NONE, NONE, NONE, &mut public, null_mut())
        };
        self.check("TPM2_NV_ReadPublic", code)?;
        let size = Given(public).get().nvPublic.dataSize;
        if size > max {
            return Err(too_long("NV index", usize::from(size)));
        }
        let mut all = Vec::with_capacity(usize::from(size));
        for offset in (0..size).step_by(usize::from(PIECE)) {
            all.extend(self.nv_read(index, PASSWORD, PIECE.min(size - offset), offset)?);
        }
        Ok(all)
    }

    fn nv_read(
        &self,
        index: &Handle<'_>,
        auth: ffi::ESYS_TR,
        size: u16,
        offset: u16,
    ) -> Result<Vec<u8>, TpmError> {
        let mut out = null_mut();
        // SAFETY: the context is open, index and session live in it.
        let code = unsafe {
            ffi::Esys_NV_Read(self.context, index.tr, index.tr, auth, NONE, NONE, size, offset, &mut out)
        };
        self.check("TPM2_NV_Read", code)?;
        let data = Given(out).get();
        Ok(in_use!(data, buffer)?.to_vec())
    }
}

/// Bytes read at once; TPM2_PT_NV_BUFFER_MAX is at least this on every TPM of the PC Client profile.
const PIECE: u16 = 512;
