//! What may pass a conduit besides updates: the process allow-list, and how one is learned.
//!
//! Nothing here depends on the TPM, the trust store or the database: process traffic is judged by the
//! configuration alone.

pub mod allow;
pub mod learn;
