//! Signature files: which kinds are read, and how each is checked.

pub mod cms;
pub mod cosign;
pub(crate) mod der_scan;
pub mod ecdsa;
pub mod ed25519;
pub mod file;
pub mod minisign;
pub mod sigstore;

pub use file::{SignatureFile, SignatureFileError};
