//! A list of parts as it comes: a plain document with its signature beside it, or inside a signed statement.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::dsse::Envelope;
use crate::looks::Looks;
use crate::reasons;
use crate::signature::SignatureFile;
use crate::signature::sigstore::SigstoreBundle;
use crate::verdict::Rejection;

/// Largest list in bytes, signed or not: 10,000 parts.
pub const MAX_SBOM: usize = 6_000_000;
/// What [`SbomFile::parse`] takes, for error texts and help.
const ACCEPTED: &str = "CycloneDX 1.4 to 1.6 in JSON with a signature beside it, or as the predicate of an in-toto \
                        statement in a DSSE envelope or a sigstore bundle";

/// A list of parts and its signature, neither yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SbomFile {
    /// The document, and a signature of exactly these bytes.
    Plain {
        /// The JSON.
        bytes: Vec<u8>,
        /// Its signature.
        signature: Option<Box<SignatureFile>>,
    },
    /// A signed statement about the image.
    Attested(Envelope),
    /// The same in a sigstore bundle.
    Bundle(Box<SigstoreBundle>),
}

impl SbomFile {
    /// Reads what `bytes` are, and no more: what is in them is read when somebody trusted has signed it.
    pub fn parse(bytes: Vec<u8>, signature: Option<SignatureFile>) -> Result<SbomFile, SbomError> {
        if bytes.len() > MAX_SBOM {
            return Err(SbomError::TooLarge { found: bytes.len() });
        }
        let unknown = || SbomError::Unknown { looks: Looks::of(&bytes) };
        let text = std::str::from_utf8(&bytes).map_err(|_| unknown())?;
        if !text.trim_start().starts_with('{') {
            return Err(unknown());
        }
        let fields: Fields = serde_json::from_str(text).map_err(|e| SbomError::Json(e.to_string()))?;
        let alone = |file| if signature.is_some() { Err(SbomError::TwoSignatures) } else { Ok(file) };
        match fields {
            Fields { bom: Some(_), payload: None, material: None, spdx: None } => {
                Ok(SbomFile::Plain { signature: signature.map(Box::new), bytes })
            }
            Fields { bom: None, payload: Some(_), material: None, spdx: None } => {
                let envelope = Envelope::parse_within(text.as_bytes(), MAX_SBOM);
                alone(SbomFile::Attested(envelope.map_err(|e| SbomError::Envelope(e.to_string()))?))
            }
            Fields { bom: None, payload: None, material: Some(_), spdx: None } => {
                let bundle = SigstoreBundle::parse(text).map_err(|e| SbomError::Envelope(e.to_string()))?;
                alone(SbomFile::Bundle(Box::new(bundle)))
            }
            Fields { bom: None, payload: None, material: None, spdx: Some(_) } => Err(SbomError::Spdx),
            Fields { bom: None, payload: None, material: None, spdx: None } => Err(unknown()),
            _ => Err(SbomError::Ambiguous),
        }
    }
}

/// What is looked at to tell the kinds apart.
#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "bomFormat")]
    bom: Option<IgnoredAny>,
    #[serde(rename = "payloadType")]
    payload: Option<IgnoredAny>,
    #[serde(rename = "verificationMaterial")]
    material: Option<IgnoredAny>,
    #[serde(rename = "spdxVersion")]
    spdx: Option<IgnoredAny>,
}

/// A file that is no list of parts that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SbomError {
    /// Over the limit.
    #[error("an SBOM of {found} bytes, at most {MAX_SBOM} are read")]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// Not one of the accepted forms.
    #[error("a file that looks like {looks}")]
    Unknown {
        /// What it seems to be.
        looks: Looks,
    },
    /// SPDX is another format.
    #[error("an SPDX document")]
    Spdx,
    /// JSON that is two things at once.
    #[error("a JSON document that is more than one of CycloneDX, SPDX, DSSE envelope and sigstore bundle")]
    Ambiguous,
    /// A signed statement, and a signature of it.
    #[error("a signed statement, and another signature beside it; give the statement alone")]
    TwoSignatures,
    /// No JSON of this shape.
    #[error("not CycloneDX: {0}")]
    Json(String),
    /// Another format.
    #[error("a bomFormat {found:?}, expected \"CycloneDX\"")]
    Format {
        /// What it says.
        found: String,
    },
    /// Another version of it.
    #[error("CycloneDX {found:?}; 1.4, 1.5 and 1.6 are read")]
    Version {
        /// What it says.
        found: String,
    },
    /// Of this format, but a value that cannot be.
    #[error("{0}")]
    Content(String),
    /// An envelope or bundle that cannot be read.
    #[error("{0}")]
    Envelope(String),
}

impl SbomError {
    /// The refusal that follows when an image comes with such a file.
    pub fn rejection(&self) -> Rejection {
        Rejection::new(reasons::SBOM_UNREADABLE, self.to_string(), ACCEPTED.to_owned())
    }
}
