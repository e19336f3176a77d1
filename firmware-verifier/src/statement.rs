//! in-toto Statements (in-toto/attestation, spec/v1/statement.md; v0.1 for what was signed before): what somebody
//! signed *about* images, named by their digests.
//!
//! Only what the envelope's signature covers is read here, after the signature was checked. Names of subjects are
//! labels that anybody may write; a digest is what counts.

use serde::Deserialize;
use serde_json::Value;

use crate::digest::Digest;
use crate::sbom;

/// The payload type of a statement in an envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Most subjects of one statement.
pub const MAX_SUBJECTS: usize = 1024;
/// Statement types that are read.
const TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// What a builder or publisher says of an image that he gives out. A statement of another kind, such as a scan's
/// result or a list of parts, releases nothing, whoever signed it.
pub const RELEASING: [&str; 4] = [
    "https://slsa.dev/provenance/v1",
    "https://slsa.dev/provenance/v0.2",
    "https://in-toto.io/attestation/release/v0.1",
    "https://sigstore.dev/cosign/sign/v1",
];

/// A statement. `P` is what it says; `serde::de::IgnoredAny` keeps nothing of a long predicate.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement<P = Value> {
    subjects: Vec<Option<Digest>>,
    predicate_type: String,
    predicate: P,
}

impl Statement {
    /// Reads the payload of an envelope.
    pub fn parse(payload: &[u8]) -> Result<Statement, StatementError> {
        Statement::read(payload)
    }
}

impl<P: Default + for<'de> Deserialize<'de>> Statement<P> {
    /// Reads the payload of an envelope, and of the predicate as much as `P` takes.
    pub(crate) fn read(payload: &[u8]) -> Result<Statement<P>, StatementError> {
        let read: StatementText<P> =
            serde_json::from_slice(payload).map_err(|e| StatementError::Json(e.to_string()))?;
        if !TYPES.contains(&read.kind.as_str()) {
            return Err(StatementError::Kind { found: clip(&read.kind) });
        }
        if read.subject.is_empty() || read.subject.len() > MAX_SUBJECTS {
            return Err(StatementError::Subjects { found: read.subject.len() });
        }
        let subjects = read.subject.iter().map(|s| s.digest.sha256.as_deref()?.parse().ok()).collect();
        Ok(Statement { subjects, predicate_type: read.predicate_type, predicate: read.predicate })
    }

    /// Whether it is about the image with this digest.
    pub fn is_about(&self, image: &Digest) -> bool {
        self.subjects.iter().flatten().any(|subject| subject == image)
    }

    /// Whether it is of a kind by which an image is given out: see [`RELEASING`].
    pub fn releases(&self) -> bool {
        RELEASING.contains(&self.predicate_type.as_str())
    }

    /// Whether it lists the parts of an image.
    pub(crate) fn lists_parts(&self) -> bool {
        sbom::is_predicate(&self.predicate_type)
    }

    /// What kind of statement it is.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// What it says.
    pub fn predicate(&self) -> &P {
        &self.predicate
    }

    /// What it is about, in words.
    pub fn subjects_text(&self) -> String {
        match self.subjects.as_slice() {
            [Some(one)] => one.to_string(),
            [None] => "a subject without a SHA-256".to_owned(),
            [Some(first), more @ ..] => format!("{first} and {} more", more.len()),
            [_, more @ ..] => format!("a subject without a SHA-256 and {} more", more.len()),
            [] => "nothing".to_owned(),
        }
    }
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[derive(Deserialize)]
#[serde(bound = "P: Default + Deserialize<'de>")]
struct StatementText<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<SubjectText>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(default)]
    predicate: P,
}

#[derive(Deserialize)]
struct SubjectText {
    #[serde(default)]
    digest: DigestsText,
}

/// A digest set; algorithms that are not computed here say nothing here.
#[derive(Default, Deserialize)]
struct DigestsText {
    sha256: Option<String>,
}

/// A payload that is no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// No JSON of this shape.
    #[error("not an in-toto statement: {0}")]
    Json(String),
    /// A statement of another version.
    #[error("a statement of type {found:?}; types read are {} and {}", TYPES[0], TYPES[1])]
    Kind {
        /// Its beginning.
        found: String,
    },
    /// About nothing, or too much.
    #[error("a statement about {found} subjects; 1 to {MAX_SUBJECTS} are read")]
    Subjects {
        /// How many.
        found: usize,
    },
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A statement about one image.
    pub(crate) fn about(image: &Digest, predicate_type: &str) -> Vec<u8> {
        json!({
            "_type": TYPES[0],
            "subject": [{"name": "image.bin", "digest": {"sha256": image.to_hex()}}],
            "predicateType": predicate_type,
            "predicate": {},
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn only_the_digest_makes_a_subject() {
        let (image, other) = (Digest::of(b"image"), Digest::of(b"other"));
        let statement = Statement::parse(&about(&image, RELEASING[0])).unwrap();
        assert!(statement.is_about(&image) && !statement.is_about(&other) && statement.releases());
        let named = String::from_utf8(about(&image, RELEASING[0])).unwrap();
        let named = named.replace("sha256", "sha512").replace("image.bin", &image.to_hex());
        let statement = Statement::parse(named.as_bytes()).unwrap();
        assert!(!statement.is_about(&image));
        assert_eq!(statement.subjects_text(), "a subject without a SHA-256");
    }

    #[test]
    fn a_statement_that_is_no_release_releases_nothing() {
        for kind in ["https://cyclonedx.org/bom", "https://slsa.dev/verification_summary/v1", ""] {
            assert!(!Statement::parse(&about(&Digest::of(b"i"), kind)).unwrap().releases(), "{kind}");
        }
    }

    #[test]
    fn other_payloads_are_refused() {
        let many =
            json!({"_type": TYPES[0], "subject": vec![json!({}); MAX_SUBJECTS + 1], "predicateType": ""});
        let none = json!({"_type": TYPES[0], "subject": [], "predicateType": ""});
        let version =
            json!({"_type": "https://in-toto.io/Statement/v2", "subject": [{}], "predicateType": ""});
        for (payload, expected) in [
            ("{}".to_owned(), "not an in-toto statement"),
            (many.to_string(), "1025 subjects"),
            (none.to_string(), "0 subjects"),
            (version.to_string(), "of type"),
            ("[".repeat(100_000), "not an in-toto statement"),
        ] {
            let text = Statement::parse(payload.as_bytes()).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = Statement::parse(&bytes);
        }
    }
}
