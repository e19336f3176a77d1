//! Sessions and the policy commands that run in them.
#![allow(unsafe_code)]

use std::ptr::null;

use tss_esapi::tss2_esys as ffi;

use super::memory::{sized, unmarshal};
use super::{Esys, Handle, NONE, PASSWORD, Verified};
use crate::tpm::error::TpmError;
use crate::tpm::pcr::PcrSelection;
use crate::tpm::policy::{Name, PolicyDigest};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tpm) enum SessionKind {
    Hmac = 0,
    Policy = 1,
}

impl Esys {
    /// TPM2_StartAuthSession salted to `srk`, with parameter encryption both ways.
    pub(in crate::tpm) fn start_session(
        &self,
        srk: &Handle<'_>,
        kind: SessionKind,
    ) -> Result<Handle<'_>, TpmError> {
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
    pub(in crate::tpm) fn policy_pcr(
        &self,
        session: &Handle<'_>,
        pcrs: &PcrSelection,
    ) -> Result<(), TpmError> {
        let selection =
            unmarshal!(ffi::Tss2_MU_TPML_PCR_SELECTION_Unmarshal, ffi::TPML_PCR_SELECTION, &pcrs.marshal())?;
        let current = ffi::TPM2B_DIGEST::default();
        // SAFETY: the context is open, the session lives in it, both structures are whole.
        let code =
            unsafe { ffi::Esys_PolicyPCR(self.context, session.tr, NONE, NONE, NONE, &current, &selection) };
        self.check("TPM2_PolicyPCR", code)
    }

    /// TPM2_PolicyNV: `index` holds exactly `value`. Authorized by the index's own empty value.
    pub(in crate::tpm) fn policy_nv_equals(
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
    pub(in crate::tpm) fn policy_authorize(
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
}

const ALG_SHA256: u16 = 0x000b;
const ALG_AES: u16 = 0x0006;
const ALG_CFB: u16 = 0x0043;
/// TPMA_SESSION: continueSession, decrypt, encrypt (Part 2 §8.4).
const SESSION_ATTRIBUTES: u8 = 0x01 | 0x20 | 0x40;
