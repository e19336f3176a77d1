//! Decides whether a firmware image may reach a controller. Pure by value: it opens nothing, reads no
//! clock and draws no random numbers; bytes, keys, identities and `now` come in, a verdict goes out.
//!
//! ```text
//!   image bytes         signature file   trust anchors   identity read live
//!        |                    |               |                  |
//!        v                    v               v                  v
//!   +---------+         +-----------+                      +----------+
//!   | intake  | ------> | signature | -------------------> | identity | ---> Verdict
//!   +---------+         +-----------+                      +----------+
//!   size limits,        who signed, and                    the controller     Verified   only made here
//!   SHA-256             for which product,                 it is meant for    Rejected   a rule is broken
//!                       and until when                                        Undecided  could not tell
//!        |                    |                                  |
//!        '--------------------+--- Evidence, one per stage ------'
//! ```
//!
//! The caller makes a [`Gauntlet`] from a [`Request`] and a [`trust::TrustStore`], absorbs the image in
//! pieces of any size, and finishes it. A [`Verified`] is bound to the image's digest, the slot, policy,
//! state and expiry; it cannot be copied, stored or made elsewhere, and delivery consumes it.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod canonical;
pub mod digest;
pub mod dsse;
mod gauntlet;
mod hex;
pub mod identity;
pub mod looks;
pub mod reasons;
pub mod signature;
pub mod trust;
pub mod verdict;

pub use digest::Digest;
pub use gauntlet::lane::Lane;
pub use gauntlet::signer::MAX_CANDIDATES;
pub use gauntlet::{Gauntlet, MAX_IMAGE, Request};
pub use verdict::{Evidence, Rejection, Verdict, Verified, VerifierError};
