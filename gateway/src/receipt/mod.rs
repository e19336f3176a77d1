//! The receipt of an update: one signed file that says what went into a controller, who let it, and what was known.
//!
//! An in-toto Statement (v1) with a SLSA verification summary (v1) as its predicate, and under the one key `headgate`
//! of it what a plant needs besides; in a DSSE envelope, signed by a key in the TPM, with a quote of the TPM that is
//! bound to this very statement. Pure: bytes and values in, bytes, findings and text out. It signs nothing, opens
//! nothing and reads no clock, so that it checks receipts years later on another machine. docs/receipts.md shows the
//! same check without it.
//!
//! Invariant: there is one form of each statement. What is not written exactly so is no receipt.

pub mod check;
pub mod envelope;
mod error;
mod limits;
pub mod page;
pub mod record;
pub mod statement;
#[cfg(test)]
pub(crate) mod tests;

pub use check::{Checked, Finding, Said, check};
pub use error::ReceiptError;
pub use limits::{MAX_APPROVERS, MAX_RECEIPT, MAX_STAGES, MAX_STATIONS, MAX_TEXT, plain};
pub use page::{Standing, page};
pub use statement::Statement;
