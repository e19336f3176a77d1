//! Decides whether a firmware image may reach a controller. Pure by value: it opens nothing, reads no
//! clock and draws no random numbers; bytes, keys, identities and `now` come in, a verdict goes out.
//!
//! ```text
//!   image bytes    trust store    signatures     identity read live   versions     list of parts   site policy
//!        |              |              |               |                 |             |            |
//!        v              v              v               v                 v             v            v
//!   +--------+   +------------+   +-----------+   +----------+   +----------+   +------+   +--------+
//!   | intake |-->| revocation |-->| signature |-->| identity |-->| rollback |-->| sbom |-->| policy |---> Verdict
//!   +--------+   +------------+   +-----------+   +----------+   +----------+   +------+   +--------+
//!   size limits,  image or key     who signed,     the controller  not older     signed,    may it      Verified   only made here
//!   SHA-256       revoked?         enough keys?    it is meant for than allowed  of this    pass        Rejected   a rule is broken
//!        |              |              |               |                 |       image?     here?       Undecided  could not tell
//!        '--------------+--------------+--- Evidence --+-----------------+---------+----------'
//! ```
//!
//! What people sign away from the gateway, [`document`]s in [`dsse`] envelopes, changes the trust store or
//! comes along with an image as its [`Papers`].
//!
//! The caller makes a [`Gauntlet`] from a [`Request`] and a [`trust::TrustStore`], absorbs the image in
//! pieces of any size, and finishes it. A [`Verified`] is bound to the image's digest, the slot, policy,
//! state and expiry; it cannot be copied, stored or made elsewhere, and delivery consumes it.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod advisory;
pub mod canonical;
pub mod digest;
pub mod document;
pub mod dsse;
mod gauntlet;
mod hex;
pub mod identity;
pub mod inspect;
pub mod looks;
pub mod policy;
pub mod reasons;
pub mod sbom;
pub mod signature;
pub mod statement;
pub mod trust;
pub mod verdict;
pub mod version;

pub use digest::Digest;
pub use gauntlet::lane::Lane;
pub use gauntlet::papers::{
    AdvisorySource, MAX_SIGNATURE_FILES, Papers, PolicyNo, SiteAdvisories, SitePolicy,
};
pub use gauntlet::signer::MAX_CANDIDATES;
pub use gauntlet::{Gauntlet, MAX_IMAGE, Request};
pub use verdict::{Basis, Evidence, Rejection, Verdict, Verified, VerifierError};
