//! Quotes and certifications: asked of the TPM here, verified anywhere.
//!
//! Verifying needs no TPM: the attestation key's public area, the nonce and the PCR values expected. The
//! selection is compared as well as the digest, since PCRs that anybody may reset (16, 23) can be given the
//! values of others.
//!
//! Not checked here: that the attestation key lives in a real TPM (credential activation shows that, once),
//! and the counts of resets, which only compare under the same key.

use serde::{Deserialize, Serialize};

use super::attest::{Attest, AttestError, Attested};
use super::device::pinned_srk;
use super::ecdsa::Signature;
use super::error::TpmError;
use super::esys::{Esys, Handle};
use super::hex;
use super::initial_public::InitialKey;
use super::key::{AttestationKey, EvidenceKey, LocalKey};
use super::pcr::PcrValues;
use super::policy::{Name, sha256};
use super::record::Provisioned;

/// Longest nonce: what a TPM that knows no hash longer than SHA-256 takes, less the algorithm.
pub const NONCE_MAX: usize = 32;
/// Mixed into the certification of the evidence key, so that it is not taken for another.
const EVIDENCE_TAG: &[u8] = b"headgate/evidence-key/v1";
/// As the tag of the evidence key, for the local identity.
pub(super) const LOCAL_TAG: &[u8] = b"headgate/local-identity/v1";
/// As the tag of the evidence key, for the identity that the box's maker gave it.
pub(super) const INITIAL_TAG: &[u8] = b"headgate/initial-identity/v1";
/// Tries while PCRs move between the quote and their reading.
const TRIES: usize = 3;

/// The TPM's word on what its PCRs hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// TPMS_ATTEST, marshalled: what was signed; `tpm2_checkquote -m` takes it.
    #[serde(with = "hex")]
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE, marshalled; `tpm2_checkquote -s` takes it.
    #[serde(with = "hex")]
    pub signature: Vec<u8>,
    /// The values themselves, of which the TPM signed a digest.
    pub pcrs: PcrValues,
}

/// The attestation key's word that another key lives in the same TPM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certification {
    /// TPMS_ATTEST, marshalled: what was signed.
    #[serde(with = "hex")]
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE, marshalled.
    #[serde(with = "hex")]
    pub signature: Vec<u8>,
}

/// A statement that does not say what it should, or was not signed by whom it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuoteRefused {
    /// Not a statement.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// Not signed by this key.
    #[error("its signature does not verify under attestation key {0}")]
    Signature(Name),
    /// A certification where a quote is expected, or the other way round.
    #[error("it is no {expected}")]
    Kind {
        /// What it should be.
        expected: &'static str,
    },
    /// Made for somebody else, or another time.
    #[error("its nonce is {found}, expected {expected}")]
    Nonce {
        /// In hexadecimal.
        found: String,
        /// In hexadecimal.
        expected: String,
    },
    /// About other PCRs.
    #[error("it covers PCRs {found:?}, expected {expected:?}")]
    Selection {
        /// PCRs of the quote.
        found: Vec<u8>,
        /// PCRs expected.
        expected: Vec<u8>,
    },
    /// The PCRs hold something else.
    #[error("its PCR digest is {found}, expected {expected}")]
    Pcrs {
        /// As signed, in hexadecimal.
        found: String,
        /// Of the values expected, in hexadecimal.
        expected: String,
    },
    /// About another key.
    #[error("it certifies {found}, expected {expected}")]
    Certified {
        /// Name of the key certified.
        found: Name,
        /// Name of the key expected.
        expected: Name,
    },
}

impl Quote {
    /// Checks that `ak` signed this quote, for `nonce`, and that the PCRs held what is `expected`; returns
    /// what else was said.
    ///
    /// # Errors
    /// [`QuoteRefused`], the signature first.
    pub fn verify(
        &self,
        ak: &AttestationKey,
        nonce: &[u8],
        expected: &PcrValues,
    ) -> Result<Attest, QuoteRefused> {
        let said = believe(&self.attest, &self.signature, ak, nonce)?;
        let Attested::Quote { selection, digest } = &said.attested else {
            return Err(QuoteRefused::Kind { expected: "quote" });
        };
        if *selection != expected.selection() {
            return Err(QuoteRefused::Selection {
                found: selection.indices().to_vec(),
                expected: expected.selection().indices().to_vec(),
            });
        }
        if *digest != expected.digest() {
            let (found, expected) = (hex::encode(digest), hex::encode(&expected.digest()));
            return Err(QuoteRefused::Pcrs { found, expected });
        }
        Ok(said)
    }
}

impl Certification {
    /// The signature in DER, as OpenSSL takes it; `None` when it is none of ECDSA P-256.
    pub fn signature_der(&self) -> Option<Vec<u8>> {
        Signature::from_tpm(&self.signature).map(Signature::to_der)
    }

    /// Checks that `ak` certified `evidence`.
    ///
    /// # Errors
    /// [`QuoteRefused`], the signature first.
    pub fn verify(&self, ak: &AttestationKey, evidence: &EvidenceKey) -> Result<(), QuoteRefused> {
        self.names(ak, EVIDENCE_TAG, evidence.name())
    }

    /// Checks that `ak` certified the local identity.
    ///
    /// # Errors
    /// [`QuoteRefused`], the signature first.
    pub fn verify_local(&self, ak: &AttestationKey, local: &LocalKey) -> Result<(), QuoteRefused> {
        self.names(ak, LOCAL_TAG, local.name())
    }

    /// Checks that `ak` certified the identity that the box's maker gave it.
    ///
    /// # Errors
    /// [`QuoteRefused`], the signature first.
    pub fn verify_initial(&self, ak: &AttestationKey, initial: &InitialKey) -> Result<(), QuoteRefused> {
        self.names(ak, INITIAL_TAG, initial.name())
    }

    fn names(&self, ak: &AttestationKey, tag: &[u8], expected: Name) -> Result<(), QuoteRefused> {
        let said = believe(&self.attest, &self.signature, ak, tag)?;
        let Attested::Certify { name, .. } = said.attested else {
            return Err(QuoteRefused::Kind { expected: "certification" });
        };
        if name == expected { Ok(()) } else { Err(QuoteRefused::Certified { found: name, expected }) }
    }
}

/// The statement, if `ak` signed it and it carries `nonce`.
fn believe(
    attest: &[u8],
    signature: &[u8],
    ak: &AttestationKey,
    nonce: &[u8],
) -> Result<Attest, QuoteRefused> {
    let digest = sha256(&[attest]);
    if !Signature::from_tpm(signature).is_some_and(|signature| signature.signs(ak.point(), &digest)) {
        return Err(QuoteRefused::Signature(ak.name()));
    }
    let said = Attest::parse(attest)?;
    if said.extra_data != nonce {
        let (found, expected) = (hex::encode(&said.extra_data), hex::encode(nonce));
        return Err(QuoteRefused::Nonce { found, expected });
    }
    Ok(said)
}

/// Has the TPM quote the PCRs of the record, and reads their values.
pub(super) fn quote(esys: &Esys, provisioned: &Provisioned, nonce: &[u8]) -> Result<Quote, TpmError> {
    provisioned.require_schema()?;
    if nonce.is_empty() || nonce.len() > NONCE_MAX {
        let found = format!("{} bytes", nonce.len());
        return Err(TpmError::Malformed { what: "nonce", found, expected: "1 to 32 bytes" });
    }
    let (public, blobs) = (provisioned.attestation_key()?, provisioned.attestation_blobs()?);
    let srk = pinned_srk(esys, &provisioned.srk_name)?;
    let ak = esys.load(&srk, &blobs.public, &blobs.private)?;
    let mut left = TRIES;
    loop {
        left -= 1;
        let (attest, signature) = esys.quote(&ak, nonce, &provisioned.pcr_selection)?;
        let quote = Quote { attest, signature, pcrs: esys.pcr_read(&provisioned.pcr_selection)? };
        match quote.verify(&public, nonce, &quote.pcrs) {
            Ok(_) => return Ok(quote),
            // A PCR was extended in between.
            Err(QuoteRefused::Pcrs { .. }) if left > 0 => {}
            Err(refused) => return Err(refused.into()),
        }
    }
}

/// Has the attestation key certify the evidence key, both of them just made.
pub(super) fn certify_evidence(
    esys: &Esys,
    srk: &Handle<'_>,
    provisioned: &Provisioned,
) -> Result<Certification, TpmError> {
    let (ak, evidence) = (provisioned.attestation_blobs()?, provisioned.evidence_blobs()?);
    let evidence = esys.load(srk, &evidence.public, &evidence.private)?;
    let ak = esys.load(srk, &ak.public, &ak.private)?;
    let (attest, signature) = esys.certify(&evidence, &ak, EVIDENCE_TAG)?;
    let certification = Certification { attest, signature };
    certification.verify(&provisioned.attestation_key()?, &provisioned.evidence_key()?)?;
    Ok(certification)
}
