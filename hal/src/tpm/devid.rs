//! Device identities (IEEE 802.1AR): the local one that a site certifies, and the one a box came with.
//!
//! The **local identity** (LDevID) is a key under the storage key, made here and kept on disk as a blob. Using
//! it needs the storage key alone: no approval, no boot state, no record of provisioning beside its own.
//!
//! The **initial identity** (IDevID), where the box's maker put one into the TPM, lives at fixed places. It is
//! only read and certified here, never used to sign.
//!
//! Invariant: nothing here writes to the TPM's permanent memory, and what it signs was asked for by us: no
//! function takes bytes from a peer and has them signed unhashed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ecdsa::Signature;
use super::endorsement::{self, CERTIFICATE_MAX};
use super::error::TpmError;
use super::esys::{Esys, SessionKind};
use super::initial_public::InitialKey;
use super::key::{LocalKey, local_template};
use super::policy::Name;
use super::quote::{Certification, INITIAL_TAG, LOCAL_TAG};
use super::record::{KeyBlobs, Provisioned};
use super::{Tpm, device};

/// Where the initial identity's key is kept, by the TCG's registry of reserved handles.
pub const INITIAL_KEY: u32 = 0x8102_0000;
/// Where its certificate is kept in NV, by the same registry.
pub const INITIAL_CERTIFICATE: u32 = 0x01c9_0000;
/// Tag and version of [`LocalIdentity`].
const LOCAL_SCHEMA: &str = "headgate/local-identity/v1";

/// The local identity as it lies on disk: public, and of no use with another TPM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalIdentity {
    /// Always `headgate/local-identity/v1`.
    pub schema: String,
    /// Pinned Name of the storage key that it is under.
    pub srk_name: Name,
    /// The key.
    pub key: KeyBlobs,
}

/// The identity that the box's maker gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialIdentity {
    /// X.509 in DER.
    pub certificate: Vec<u8>,
    /// TPM2B_PUBLIC of the key.
    pub public: Vec<u8>,
    /// The attestation key's word that the key lives in the same TPM; or why the TPM does not let it say so,
    /// such as a policy of the maker's own.
    pub certification: Result<Certification, String>,
}

impl LocalIdentity {
    /// Public half.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when the record is another's or the key of another kind.
    pub fn public_key(&self) -> Result<LocalKey, TpmError> {
        if self.schema != LOCAL_SCHEMA {
            let found = format!("schema {:.64}", self.schema);
            return Err(TpmError::Malformed { what: "local identity", found, expected: LOCAL_SCHEMA });
        }
        LocalKey::from_public(&self.key.public)
    }
}

impl Tpm {
    /// Makes a new local identity under the storage key of `provisioned`. Writes nothing to the TPM's memory.
    ///
    /// # Errors
    /// [`TpmError::SrkChanged`] before anything is made on another TPM; otherwise as the TPM answers.
    pub fn make_local_identity(
        &self,
        provisioned: &Provisioned,
        timeout: Duration,
    ) -> Result<LocalIdentity, TpmError> {
        let provisioned = provisioned.clone();
        self.ask(timeout, move |esys| make(esys, &provisioned))
    }

    /// The attestation key's word that the local identity lives in the same TPM.
    ///
    /// # Errors
    /// As [`Tpm::quote`].
    pub fn certify_local(
        &self,
        provisioned: &Provisioned,
        local: &LocalIdentity,
        timeout: Duration,
    ) -> Result<Certification, TpmError> {
        let (provisioned, local) = (provisioned.clone(), local.clone());
        self.ask(timeout, move |esys| certify_local(esys, &provisioned, &local))
    }

    /// Signs `digest` with the local identity, in every boot state; an ECDSA signature in DER, verified before
    /// it is returned.
    ///
    /// # Errors
    /// [`TpmError::SrkChanged`] before anything is tried on another TPM; otherwise as the TPM answers.
    pub fn sign_local(
        &self,
        local: &LocalIdentity,
        digest: &[u8; 32],
        timeout: Duration,
    ) -> Result<Vec<u8>, TpmError> {
        let (local, digest) = (local.clone(), *digest);
        self.ask(timeout, move |esys| sign(esys, &local, &digest))
    }

    /// The identity that the box's maker gave it, where there are a certificate and a key.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] for a certificate without end; otherwise as the TPM answers.
    pub fn initial_identity(
        &self,
        provisioned: &Provisioned,
        timeout: Duration,
    ) -> Result<Option<InitialIdentity>, TpmError> {
        let provisioned = provisioned.clone();
        self.ask(timeout, move |esys| initial(esys, &provisioned))
    }

    /// TPM2B_PUBLIC of the P-256 endorsement key, which every TPM derives, certified or not: it tells TPMs
    /// apart.
    ///
    /// # Errors
    /// As the TPM answers.
    pub fn endorsement_public(&self, timeout: Duration) -> Result<Vec<u8>, TpmError> {
        self.ask(timeout, endorsement::uncertified)
    }
}

fn make(esys: &Esys, provisioned: &Provisioned) -> Result<LocalIdentity, TpmError> {
    provisioned.require_schema()?;
    let srk = device::pinned_srk(esys, &provisioned.srk_name)?;
    let session = esys.start_session(&srk, SessionKind::Hmac)?;
    let (public, private) = esys.create(&srk, &session, &local_template(), &[])?;
    let made = LocalIdentity {
        schema: LOCAL_SCHEMA.to_owned(),
        srk_name: provisioned.srk_name,
        key: KeyBlobs { public, private },
    };
    made.public_key().map(|_| made)
}

fn certify_local(
    esys: &Esys,
    provisioned: &Provisioned,
    local: &LocalIdentity,
) -> Result<Certification, TpmError> {
    let (key, public) = (local.public_key()?, provisioned.attestation_key()?);
    let ak = provisioned.attestation_blobs()?;
    let srk = device::pinned_srk(esys, &provisioned.srk_name)?;
    let object = esys.load(&srk, &local.key.public, &local.key.private)?;
    let ak = esys.load(&srk, &ak.public, &ak.private)?;
    let (attest, signature) = esys.certify(&object, &ak, LOCAL_TAG)?;
    let certification = Certification { attest, signature };
    certification.verify_local(&public, &key)?;
    Ok(certification)
}

fn sign(esys: &Esys, local: &LocalIdentity, digest: &[u8; 32]) -> Result<Vec<u8>, TpmError> {
    let key = local.public_key()?;
    let srk = device::pinned_srk(esys, &local.srk_name)?;
    let object = esys.load(&srk, &local.key.public, &local.key.private)?;
    let signature = Signature::just_made(&esys.sign(&object, None, digest)?)?;
    match signature.signs(key.point(), digest) {
        true => Ok(signature.to_der()),
        false => Err(TpmError::BadSignature("the local identity")),
    }
}

fn initial(esys: &Esys, provisioned: &Provisioned) -> Result<Option<InitialIdentity>, TpmError> {
    let Some(index) = device::at(esys, INITIAL_CERTIFICATE)? else { return Ok(None) };
    let Some(object) = device::at(esys, INITIAL_KEY)? else { return Ok(None) };
    let certificate = endorsement::certificate(esys.nv_read_all(&index, CERTIFICATE_MAX)?)?;
    let public = esys.read_public(&object)?;
    let certify = || {
        let key = InitialKey::from_public(&public)?;
        let (ak, blobs) = (provisioned.attestation_key()?, provisioned.attestation_blobs()?);
        let srk = device::pinned_srk(esys, &provisioned.srk_name)?;
        let loaded = esys.load(&srk, &blobs.public, &blobs.private)?;
        let (attest, signature) = esys.certify(&object, &loaded, INITIAL_TAG)?;
        let certification = Certification { attest, signature };
        certification.verify_initial(&ak, &key)?;
        Ok(certification)
    };
    let certification = match certify() {
        Ok(certification) => Ok(certification),
        Err(error @ TpmError::SrkChanged { .. }) => return Err(error),
        Err(error) if error.is_undecided() => return Err(error),
        Err(error) => Err(error.to_string()),
    };
    Ok(Some(InitialIdentity { certificate, public, certification }))
}
