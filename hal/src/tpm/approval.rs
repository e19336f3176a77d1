//! An approval: the site's signature under one boot state of one epoch.
//!
//! A request carries the PCR values and the epoch themselves, and everyone who handles it recomputes the
//! digest from them: the signer never signs, and the gateway never tries, a digest it cannot explain. What
//! the TPM holds to is the policy digest and `policy_ref` alone; `gateway` is for people. The same boot
//! state and epoch on another gateway of the site is therefore approved too.

use serde::{Deserialize, Serialize};

use super::error::TpmError;
use super::hex;
use super::pcr::{PcrJson, PcrValues};
use super::policy::{Name, POLICY_REF, PolicyDigest, SiteKeyPublic};

/// Version of both JSON forms.
const SCHEMA: u32 = 1;
const REQUEST_DOMAIN: &str = "headgate/approval-request/v1";
const APPROVAL_DOMAIN: &str = "headgate/approval/v1";
/// Longest gateway name taken.
const GATEWAY_MAX: usize = 128;

/// The boot state somebody is asked to approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RequestJson", into = "RequestJson")]
pub struct ApprovalRequest {
    /// Which gateway asks, for the signer to read; not covered by the TPM's policy.
    pub gateway: String,
    /// PCR number and SHA-256 value.
    pub pcrs: Vec<(u8, [u8; 32])>,
    /// Value the epoch counter must have; the approval ends when the counter moves on.
    pub epoch: u64,
    /// Name of the epoch counter.
    pub epoch_index_name: Name,
    /// The digest to be signed; always what [`ApprovalRequest::policy`] recomputes in a request that was read.
    pub policy: PolicyDigest,
    /// Signed with the digest; [`POLICY_REF`].
    pub policy_ref: String,
}

impl ApprovalRequest {
    /// A request for `pcrs` at `epoch`.
    pub fn new(gateway: &str, pcrs: &PcrValues, epoch: u64, epoch_index_name: Name) -> ApprovalRequest {
        ApprovalRequest {
            gateway: gateway.to_owned(),
            pcrs: pcrs.values().to_vec(),
            epoch,
            epoch_index_name,
            policy: digest_of(pcrs, epoch, &epoch_index_name),
            policy_ref: POLICY_REF.to_owned(),
        }
    }

    /// Recomputes PolicyPCR AND PolicyNV(epoch) from the PCRs and the epoch.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when the PCRs are no valid set.
    pub fn policy(&self) -> Result<PolicyDigest, TpmError> {
        Ok(digest_of(&self.pcr_values()?, self.epoch, &self.epoch_index_name))
    }

    /// The PCRs as a checked set.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when none is given, a number repeats or is too large.
    pub fn pcr_values(&self) -> Result<PcrValues, TpmError> {
        PcrValues::new(self.pcrs.clone())
    }

    /// Refuses a request whose digest is not the one its PCRs and epoch give, or with another reference.
    pub(super) fn check(&self) -> Result<(), ApprovalRefused> {
        let computed = self.policy().map_err(|error| ApprovalRefused::Pcrs(error.to_string()))?;
        if computed != self.policy {
            let (found, expected) = (hex::encode(&self.policy.0), hex::encode(&computed.0));
            return Err(ApprovalRefused::Policy { found, expected });
        }
        if self.policy_ref != POLICY_REF {
            return Err(ApprovalRefused::PolicyRef(self.policy_ref.clone()));
        }
        if self.gateway.len() > GATEWAY_MAX || self.gateway.chars().any(char::is_control) {
            return Err(ApprovalRefused::Gateway(self.gateway.len()));
        }
        Ok(())
    }

    /// What is signed: `policy || policy_ref`; its SHA-256 is the TPM's aHash.
    pub(super) fn message(&self) -> Vec<u8> {
        [&self.policy.0, self.policy_ref.as_bytes()].concat()
    }
}

fn digest_of(pcrs: &PcrValues, epoch: u64, index: &Name) -> PolicyDigest {
    PolicyDigest::default().pcr(pcrs).nv_equals(index, epoch)
}

/// A request and the site key's signature over its policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ApprovalJson", into = "ApprovalJson")]
pub struct Approval {
    /// What was approved.
    pub request: ApprovalRequest,
    /// Name of the key that signed.
    pub site_key: Name,
    /// ECDSA P-256 with SHA-256 over `policy || policy_ref`: r then s, 32 bytes each.
    pub signature: [u8; 64],
}

impl Approval {
    /// Checks form, digest and signature in software, without a TPM.
    ///
    /// # Errors
    /// [`ApprovalRefused`] says which of them failed.
    pub fn verify(&self, key: &SiteKeyPublic) -> Result<(), ApprovalRefused> {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
        self.request.check()?;
        let expected = key.name();
        if self.site_key != expected {
            return Err(ApprovalRefused::SiteKey { found: self.site_key, expected });
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point())
            .verify(&self.request.message(), &self.signature)
            .map_err(|_| ApprovalRefused::Signature(expected))
    }
}

/// An approval that is not one, or not for this gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApprovalRefused {
    /// The digest is not what the PCRs and the epoch give.
    #[error("its policy is {found}, expected {expected} from its PCRs and epoch")]
    Policy {
        /// As written, in hexadecimal.
        found: String,
        /// As recomputed, in hexadecimal.
        expected: String,
    },
    /// The PCRs are no valid set.
    #[error("{0}")]
    Pcrs(String),
    /// Another policy reference.
    #[error("its policy reference is {0:?}, expected {POLICY_REF:?}")]
    PolicyRef(String),
    /// A gateway name that does not fit a line.
    #[error(
        "its gateway name of {0} bytes is too long or holds control characters, expected at most {GATEWAY_MAX}"
    )]
    Gateway(usize),
    /// Signed for another site.
    #[error("it names site key {found}, expected {expected}")]
    SiteKey {
        /// Named in the approval.
        found: Name,
        /// Name of the provisioned site key.
        expected: Name,
    },
    /// The signature does not verify.
    #[error("its signature does not verify under site key {0}")]
    Signature(Name),
    /// It leaves out PCRs chosen at provisioning.
    #[error("it covers PCRs {found:?}, expected at least {expected:?}")]
    Selection {
        /// PCRs of the approval.
        found: Vec<u8>,
        /// PCRs chosen at provisioning.
        expected: Vec<u8>,
    },
    /// It counts epochs on another index.
    #[error("it names epoch counter {found}, expected {expected}")]
    EpochIndex {
        /// Named in the approval.
        found: Name,
        /// Provisioned.
        expected: Name,
    },
    /// There is none.
    #[error("no approval is installed")]
    Missing,
    /// Another kind of document or another version.
    #[error("it is {found}, expected {expected}")]
    Form {
        /// Domain tag and schema found.
        found: String,
        /// Domain tag and schema expected.
        expected: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestJson {
    domain: String,
    schema: u32,
    gateway: String,
    pcrs: Vec<PcrJson>,
    epoch: u64,
    epoch_index_name: Name,
    #[serde(with = "hex")]
    policy: [u8; 32],
    policy_ref: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalJson {
    domain: String,
    schema: u32,
    request: ApprovalRequest,
    site_key: Name,
    #[serde(with = "hex")]
    signature: [u8; 64],
}

fn require_form(domain: &str, schema: u32, expected: &str) -> Result<(), ApprovalRefused> {
    if domain == expected && schema == SCHEMA {
        return Ok(());
    }
    let expected = format!("{expected} schema {SCHEMA}");
    Err(ApprovalRefused::Form { found: format!("{domain:.64} schema {schema}"), expected })
}

impl TryFrom<RequestJson> for ApprovalRequest {
    type Error = ApprovalRefused;
    fn try_from(json: RequestJson) -> Result<ApprovalRequest, ApprovalRefused> {
        require_form(&json.domain, json.schema, REQUEST_DOMAIN)?;
        let request = ApprovalRequest {
            gateway: json.gateway,
            pcrs: json.pcrs.into_iter().map(|one| (one.pcr, one.sha256)).collect(),
            epoch: json.epoch,
            epoch_index_name: json.epoch_index_name,
            policy: PolicyDigest(json.policy),
            policy_ref: json.policy_ref,
        };
        request.check()?;
        Ok(request)
    }
}

impl From<ApprovalRequest> for RequestJson {
    fn from(request: ApprovalRequest) -> RequestJson {
        RequestJson {
            domain: REQUEST_DOMAIN.to_owned(),
            schema: SCHEMA,
            gateway: request.gateway,
            pcrs: request.pcrs.into_iter().map(|(pcr, sha256)| PcrJson { pcr, sha256 }).collect(),
            epoch: request.epoch,
            epoch_index_name: request.epoch_index_name,
            policy: request.policy.0,
            policy_ref: request.policy_ref,
        }
    }
}

impl TryFrom<ApprovalJson> for Approval {
    type Error = ApprovalRefused;
    fn try_from(json: ApprovalJson) -> Result<Approval, ApprovalRefused> {
        require_form(&json.domain, json.schema, APPROVAL_DOMAIN)?;
        Ok(Approval { request: json.request, site_key: json.site_key, signature: json.signature })
    }
}

impl From<Approval> for ApprovalJson {
    fn from(approval: Approval) -> ApprovalJson {
        ApprovalJson {
            domain: APPROVAL_DOMAIN.to_owned(),
            schema: SCHEMA,
            request: approval.request,
            site_key: approval.site_key,
            signature: approval.signature,
        }
    }
}
