//! Credential activation: proof to a maker's certificate that a key lives in this TPM.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use tss_esapi::tss2_esys as ffi;
use zeroize::{Zeroize, Zeroizing};

use super::memory::{Given, in_use, unmarshal};
use super::{Esys, Handle, NONE, PASSWORD, RH_ENDORSEMENT};
use crate::tpm::error::TpmError;

impl Esys {
    /// TPM2_PolicySecret with the endorsement hierarchy's empty authorization.
    pub(in crate::tpm) fn policy_secret_endorsement(&self, session: &Handle<'_>) -> Result<(), TpmError> {
        let nonce = ffi::TPM2B_NONCE::default();
        let digest = ffi::TPM2B_DIGEST::default();
        // SAFETY: the context is open, the session lives in it, all structures are whole, outputs not wanted
        // may be null.
        let code = unsafe {
            ffi::Esys_PolicySecret(
                self.context,
                RH_ENDORSEMENT,
                session.tr,
                PASSWORD,
                NONE,
                NONE,
                &nonce,
                &digest,
                &nonce,
                0,
                null_mut(),
                null_mut(),
            )
        };
        self.check("TPM2_PolicySecret", code)
    }

    /// TPM2_ActivateCredential for `key`, whose authorization is empty. `credential` is a TPM2B_ID_OBJECT
    /// and `secret` a TPM2B_ENCRYPTED_SECRET, marshalled; what is inside crosses the bus encrypted by
    /// `session`, which authorizes `ek`.
    pub(in crate::tpm) fn activate_credential(
        &self,
        key: &Handle<'_>,
        ek: &Handle<'_>,
        session: &Handle<'_>,
        credential: &[u8],
        secret: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let credential =
            unmarshal!(ffi::Tss2_MU_TPM2B_ID_OBJECT_Unmarshal, ffi::TPM2B_ID_OBJECT, credential)?;
        let secret =
            unmarshal!(ffi::Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal, ffi::TPM2B_ENCRYPTED_SECRET, secret)?;
        let mut out = null_mut();
        // SAFETY: the context is open, both keys and the session live in it, both structures are whole.
        let code = unsafe {
            ffi::Esys_ActivateCredential(
                self.context,
                key.tr,
                ek.tr,
                PASSWORD,
                session.tr,
                NONE,
                &credential,
                &secret,
                &mut out,
            )
        };
        self.check("TPM2_ActivateCredential", code)?;
        let given = Given(out);
        let mut data = given.get();
        let inside = in_use!(data, buffer).map(|bytes| Zeroizing::new(bytes.to_vec()));
        data.buffer.zeroize();
        inside
    }
}
