//! Certificates of this box (IEEE 802.1AR): the request for one, the chain that a site's authority issues, and what a
//! certificate says.
//!
//! Pure: bytes and `now` in, findings out. It asks no TPM, opens nothing and reads no clock. The key itself never comes
//! here; a request is made with something that signs.
//!
//! Invariant: a [`Chain`] that passed [`Chain::check`] is about the key it was checked for, was valid at that moment, and
//! each of its certificates is signed by the next. Whether anybody trusts its end is for the peer to say.

mod certificate;
mod chain;
mod der;
mod request;

pub use certificate::Certificate;
pub use chain::{Chain, ChainRefused, MAX_CERTIFICATES, MAX_FILE, SOON_MS};
pub use request::{Request, RequestError, make};
