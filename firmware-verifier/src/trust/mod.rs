//! Whose word counts: public keys, the anchors made of them with their roles, how many must sign, what is
//! revoked, and the sealed store that holds it all.

mod advisories;
pub mod anchor;
pub mod bundle;
pub mod credential;
pub mod crl;
pub mod key;
pub mod key_file;
pub mod record;
pub mod role;
pub mod seal;
pub mod store;
mod store_error;
mod stored;
pub mod threshold;

pub use advisories::InstalledAdvisories;
pub use anchor::{Anchor, AnchorError, Scope};
pub use bundle::{BundleError, Changes};
pub use credential::{Certified, Credential, CredentialError, Keyless};
pub use crl::{Crl, CrlError};
pub use key::{KeyError, KeyId, KeyKind, PublicKey};
pub use key_file::KeyFileError;
pub use record::{Floor, LogHead, Revocation};
pub use role::Role;
pub use seal::SealError;
pub use store::TrustStore;
pub use store_error::TrustStoreError;
pub use threshold::{Signing, Threshold, Thresholds};
