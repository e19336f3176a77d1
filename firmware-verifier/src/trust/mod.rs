//! Whose signatures count: public keys, the anchors made of them, and the sealed store that holds them.

pub mod anchor;
pub mod key;
pub mod key_file;
pub mod seal;
pub mod store;
pub mod threshold;

pub use anchor::{Anchor, AnchorError, Scope};
pub use key::{KeyError, KeyId, KeyKind, PublicKey};
pub use key_file::KeyFileError;
pub use seal::SealError;
pub use store::{TrustStore, TrustStoreError};
