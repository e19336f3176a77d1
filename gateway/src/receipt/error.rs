//! Why bytes are no receipt. It says nothing about signatures: a receipt that was edited is read and then refused.

use firmware_verifier::dsse::DsseError;

/// Bytes that are no receipt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Over a limit.
    #[error("{what} of {found}; a receipt has at most {max}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size: bytes, characters or items.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// No envelope.
    #[error(transparent)]
    Envelope(#[from] DsseError),
    /// The payload is no JSON, or another object.
    #[error("the statement is none that this version reads: {0}")]
    Json(#[from] serde_json::Error),
    /// The same content written another way.
    #[error("the statement is not in canonical JSON: keys in order, no blanks, no key twice")]
    NotCanonical,
    /// Another type of envelope, statement, predicate or record.
    #[error("{what} is {found:?}, expected {expected:?}")]
    Kind {
        /// Which.
        what: &'static str,
        /// What it says, its first characters.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// A field that holds no such value.
    #[error("the field {field} holds {found:?}, expected {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is there, its first characters.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// A file that is no public key of the kind that signs receipts.
    #[error("no P-256 public key in PEM: {0}")]
    Key(String),
}
