//! Keys and sealed objects.
#![allow(unsafe_code)]

use std::ptr::{null, null_mut};

use tss_esapi::tss2_esys as ffi;
use zeroize::{Zeroize, Zeroizing};

use super::memory::{Given, in_use, marshal, sized, too_long, unmarshal, with_size};
use super::{Counts, Esys, Handle, NONE, PASSWORD, RH_ENDORSEMENT, RH_OWNER, Verified};
use crate::tpm::error::TpmError;

/// Where a primary key is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tpm) enum Hierarchy {
    Owner = RH_OWNER as isize,
    Endorsement = RH_ENDORSEMENT as isize,
}

impl Esys {
    /// TPM2_LoadExternal of a public key (TPMT_PUBLIC, marshalled), in the owner hierarchy: a ticket from
    /// the null hierarchy is refused by PolicyAuthorize.
    pub(in crate::tpm) fn load_external(&self, public: &[u8]) -> Result<Handle<'_>, TpmError> {
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
    pub(in crate::tpm) fn verify_signature(
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

    /// TPM2_CreatePrimary from a template (TPMT_PUBLIC, marshalled), in a hierarchy with an empty
    /// authorization.
    pub(in crate::tpm) fn create_primary(
        &self,
        hierarchy: Hierarchy,
        template: &[u8],
    ) -> Result<Handle<'_>, TpmError> {
        let public =
            unmarshal!(ffi::Tss2_MU_TPM2B_PUBLIC_Unmarshal, ffi::TPM2B_PUBLIC, &with_size(template))?;
        let (sensitive, info) = (ffi::TPM2B_SENSITIVE_CREATE::default(), ffi::TPM2B_DATA::default());
        let pcrs = ffi::TPML_PCR_SELECTION::default();
        let mut tr = NONE;
        // SAFETY: the context is open, all structures are whole, outputs not wanted may be null.
        let code = unsafe {
            ffi::Esys_CreatePrimary(
                self.context,
                hierarchy as ffi::ESYS_TR,
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

    /// TPM2_Create under `parent`: seals `secret`, or makes a key when that is empty; returns TPM2B_PUBLIC
    /// and TPM2B_PRIVATE, marshalled. The secret crosses the bus encrypted by `session`, which must be salted.
    pub(in crate::tpm) fn create(
        &self,
        parent: &Handle<'_>,
        session: &Handle<'_>,
        template: &[u8],
        secret: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
        let public =
            unmarshal!(ffi::Tss2_MU_TPM2B_PUBLIC_Unmarshal, ffi::TPM2B_PUBLIC, &with_size(template))?;
        let mut sensitive = ffi::TPM2B_SENSITIVE_CREATE::default();
        let room = sensitive.sensitive.data.buffer.get_mut(..secret.len());
        room.ok_or_else(|| too_long("secret to seal", secret.len()))?.copy_from_slice(secret);
        sensitive.sensitive.data.size = secret.len() as u16;
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
        let public =
            marshal!(ffi::Tss2_MU_TPM2B_PUBLIC_Marshal, ffi::TPM2B_PUBLIC, &Given(out_public).get())?;
        Ok((public, with_size(in_use!(private, buffer)?)))
    }

    /// TPM2_Load of what [`Esys::create`] returned.
    pub(in crate::tpm) fn load(
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

    /// TPM2_ReadPublic: TPM2B_PUBLIC, marshalled.
    pub(in crate::tpm) fn read_public(&self, object: &Handle<'_>) -> Result<Vec<u8>, TpmError> {
        let mut public = null_mut();
        // SAFETY: the context is open, the object lives in it, outputs not wanted may be null.
        let code = unsafe {
            ffi::Esys_ReadPublic(
                self.context,
                object.tr,
                NONE,
                NONE,
                NONE,
                &mut public,
                null_mut(),
                null_mut(),
            )
        };
        self.check("TPM2_ReadPublic", code)?;
        marshal!(ffi::Tss2_MU_TPM2B_PUBLIC_Marshal, ffi::TPM2B_PUBLIC, &Given(public).get())
    }

    /// TPM2_Unseal with a policy session; the secret crosses the bus encrypted by it.
    pub(in crate::tpm) fn unseal(
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
    pub(in crate::tpm) fn persist(&self, object: &Handle<'_>, handle: u32) -> Result<(), TpmError> {
        let mut tr = NONE;
        // SAFETY: the context is open, the object lives in it.
        let code = unsafe {
            ffi::Esys_EvictControl(self.context, RH_OWNER, object.tr, PASSWORD, NONE, NONE, handle, &mut tr)
        };
        self.check("TPM2_EvictControl", code)?;
        drop(self.keep(tr, false));
        Ok(())
    }
}

/// TPM_RH_OWNER as a hierarchy selector; libtss2 before 4.0 takes the TPM's number here.
const HIERARCHY_OWNER: u32 = 0x4000_0001;
