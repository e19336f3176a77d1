//! Signature files: which kinds are read, and how each is checked.

pub mod cosign;
pub mod ecdsa;
pub mod ed25519;
pub mod file;
pub mod minisign;

pub use file::{SignatureFile, SignatureFileError};
