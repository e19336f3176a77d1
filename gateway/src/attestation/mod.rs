//! The TPM's word about this gateway, for somebody elsewhere: a quote for their nonce, the keys, the maker's
//! certificates.
//!
//! Pure: values in, files and findings out. It asks no TPM, opens nothing and reads no clock, so that it checks on
//! another machine what a gateway handed over. docs/attest.md shows the same check without it.
//!
//! Invariant: a check reads one file, `attestation.json`. The others of a folder are for other tools, and one that says
//! something else than it is a finding.

mod check;
mod devid;
mod files;
mod hex;
mod maker;
mod record;

pub use check::{Given, check};
pub use files::{FILE, files};
pub use hex::Hex;
pub use maker::{Makers, MakersError};
pub use record::{Attestation, AttestationError, Ek, Initial, Local, MAX_FILE};
