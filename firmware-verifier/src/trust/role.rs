//! What a key is trusted for. A key has one role, so that a signature made for one purpose never counts
//! for another.

use serde::{Deserialize, Serialize};

use super::credential::Credential;
use super::key::KeyKind;

/// What an anchor's signatures count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Images of its scope, and nothing else.
    Vendor,
    /// Changes of trust, break-glass.
    Site,
    /// Approvals, downgrade tickets, configurations, vouching for unsigned images.
    Approver,
    /// Countersigns what approvers vouch for. The gateway's own: its TPM keeps the private key.
    Gateway,
}

impl Role {
    /// Whether a credential of this kind can serve: minisign keys and certificates sign images alone, and a gateway's
    /// own key is Ed25519.
    pub fn takes(self, credential: &Credential) -> bool {
        match credential.key().map(|key| key.kind()) {
            Some(KeyKind::Ed25519) => true,
            Some(KeyKind::EcdsaP256) => self != Role::Gateway,
            Some(KeyKind::Minisign { .. }) | None => self == Role::Vendor,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Vendor => "vendor",
            Role::Site => "site",
            Role::Approver => "approver",
            Role::Gateway => "gateway",
        })
    }
}
