//! What a key signs: digests, PCRs, another key.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use tss_esapi::tss2_esys as ffi;

use super::memory::{Given, in_use, marshal, sized, unmarshal};
use super::{Counts, Esys, Handle, NONE, PASSWORD};
use crate::tpm::error::TpmError;
use crate::tpm::pcr::PcrSelection;

/// TPMS_ATTEST and the TPMT_SIGNATURE under it, both marshalled.
pub(in crate::tpm) type Signed = (Vec<u8>, Vec<u8>);

impl Esys {
    /// TPM2_Sign of `digest` with the key's own scheme, authorized by `session`, or by an empty password where
    /// that is all the key asks for; TPMT_SIGNATURE, marshalled.
    pub(in crate::tpm) fn sign(
        &self,
        key: &Handle<'_>,
        session: Option<&Handle<'_>>,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, TpmError> {
        Counts::add(&self.counts.signatures);
        let digest = sized!(ffi::TPM2B_DIGEST, buffer, digest)?;
        let ticket = ffi::TPMT_TK_HASHCHECK {
            tag: ST_HASHCHECK,
            hierarchy: HIERARCHY_NULL,
            digest: ffi::TPM2B_DIGEST::default(),
        };
        let mut out = null_mut();
        // SAFETY: the context is open, key and session live in it, all structures are whole.
        let code = unsafe {
            ffi::Esys_Sign(
                self.context,
                key.tr,
                session.map_or(PASSWORD, |session| session.tr),
                NONE,
                NONE,
                &digest,
                &keys_own_scheme(),
                &ticket,
                &mut out,
            )
        };
        self.check("TPM2_Sign", code)?;
        signature(Given(out))
    }

    /// TPM2_Quote of `pcrs` with `nonce`; the key's authorization is empty.
    pub(in crate::tpm) fn quote(
        &self,
        key: &Handle<'_>,
        nonce: &[u8],
        pcrs: &PcrSelection,
    ) -> Result<Signed, TpmError> {
        Counts::add(&self.counts.signatures);
        let nonce = sized!(ffi::TPM2B_DATA, buffer, nonce)?;
        let selection =
            unmarshal!(ffi::Tss2_MU_TPML_PCR_SELECTION_Unmarshal, ffi::TPML_PCR_SELECTION, &pcrs.marshal())?;
        let (mut attest, mut out) = (null_mut(), null_mut());
        // SAFETY: the context is open, the key lives in it, all structures are whole.
        let code = unsafe {
            ffi::Esys_Quote(
                self.context,
                key.tr,
                PASSWORD,
                NONE,
                NONE,
                &nonce,
                &keys_own_scheme(),
                &selection,
                &mut attest,
                &mut out,
            )
        };
        self.check("TPM2_Quote", code)?;
        signed(Given(attest), Given(out))
    }

    /// TPM2_Certify of `object` by `key`; both have empty authorizations for this.
    pub(in crate::tpm) fn certify(
        &self,
        object: &Handle<'_>,
        key: &Handle<'_>,
        nonce: &[u8],
    ) -> Result<Signed, TpmError> {
        Counts::add(&self.counts.signatures);
        let nonce = sized!(ffi::TPM2B_DATA, buffer, nonce)?;
        let (mut attest, mut out) = (null_mut(), null_mut());
        // SAFETY: the context is open, both keys live in it, all structures are whole.
        let code = unsafe {
            ffi::Esys_Certify(
                self.context,
                object.tr,
                key.tr,
                PASSWORD,
                PASSWORD,
                NONE,
                &nonce,
                &keys_own_scheme(),
                &mut attest,
                &mut out,
            )
        };
        self.check("TPM2_Certify", code)?;
        signed(Given(attest), Given(out))
    }
}

fn signed(attest: Given<ffi::TPM2B_ATTEST>, out: Given<ffi::TPMT_SIGNATURE>) -> Result<Signed, TpmError> {
    let attest = attest.get();
    Ok((in_use!(attest, attestationData)?.to_vec(), signature(out)?))
}

fn signature(out: Given<ffi::TPMT_SIGNATURE>) -> Result<Vec<u8>, TpmError> {
    marshal!(ffi::Tss2_MU_TPMT_SIGNATURE_Marshal, ffi::TPMT_SIGNATURE, &out.get())
}

/// TPM_ALG_NULL: the key was made with a scheme.
fn keys_own_scheme() -> ffi::TPMT_SIG_SCHEME {
    ffi::TPMT_SIG_SCHEME { scheme: ALG_NULL, ..Default::default() }
}

const ALG_NULL: u16 = 0x0010;
/// TPM_ST_HASHCHECK with the null hierarchy and no digest: "not hashed by the TPM" (Part 3 §20.2).
const ST_HASHCHECK: u16 = 0x8024;
const HIERARCHY_NULL: u32 = 0x4000_0007;
