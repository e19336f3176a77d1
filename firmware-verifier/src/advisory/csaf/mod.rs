//! CSAF 2.0 (OASIS, Common Security Advisory Framework): what vendors of controllers publish.
//!
//! Of a document only what can be matched is read: who says it, of which products and versions, in which state
//! they are, how bad it is and what helps. A document that contradicts itself or names what it does not define is
//! refused as a whole; what leaves the rest as good as it was is a [`Note`]. Who wrote a file is not known here.

mod status;
mod tree;
mod wire;

use hal::clock::Wall;
use hal::reason::ReasonCode;

use self::tree::Products;
pub use self::tree::{Identity, Product, Stated};
use super::date;
use crate::reasons;

/// Largest document in bytes. The largest that vendors of controllers publish have a few MB.
pub const MAX_CSAF: usize = 32 << 20;
/// Most products of one document, and most relationships between them.
pub const MAX_PRODUCTS: usize = 50_000;
/// Deepest nesting of branches, and of relationships.
pub const MAX_DEPTH: usize = 30;
/// Most vulnerabilities of one document.
pub const MAX_VULNERABILITIES: usize = 10_000;
/// Most references from vulnerabilities to products, with those through groups.
pub const MAX_REFERENCES: usize = 2_000_000;

/// One advisory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csaf {
    /// Its id, which its publisher gives once.
    pub id: String,
    /// The publisher.
    pub publisher: String,
    /// The URL under which the publisher is one and no other.
    pub namespace: String,
    /// What it is about.
    pub title: String,
    /// Where it is published.
    pub url: Option<String>,
    /// Its version.
    pub version: String,
    /// When its first version came out.
    pub published: Wall,
    /// When this version came out.
    pub released: Wall,
    /// What it speaks of.
    pub products: Vec<Product>,
    /// What it says of them.
    pub vulnerabilities: Vec<Vulnerability>,
    /// What was found wrong and left aside.
    pub notes: Vec<Note>,
}

/// One hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vulnerability {
    /// The CVE, else the first other id, else nothing.
    pub id: String,
    /// The CVE.
    pub cve: Option<String>,
    /// What it is.
    pub title: Option<String>,
    /// The highest CVSS base score of all that are given.
    pub score: Option<Score>,
    /// The state of each product.
    pub statements: Vec<Statement>,
    /// What helps.
    pub remedies: Vec<Remedy>,
}

/// The state of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Its index among the products of the advisory.
    pub product: usize,
    /// The state.
    pub status: Status,
}

/// What a vendor says of a product and a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It has the hole.
    Affected,
    /// It had it and has it no longer.
    Fixed,
    /// It never had it.
    NotAffected,
    /// The vendor does not know yet.
    UnderInvestigation,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Status::Affected => "affected",
            Status::Fixed => "fixed",
            Status::NotAffected => "not affected",
            Status::UnderInvestigation => "under investigation",
        })
    }
}

/// A CVSS base score in tenths, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(u8);

impl Score {
    /// The lowest there is.
    pub const NONE: Score = Score(0);

    /// 0.0 to 10.0; anything else is none.
    pub fn new(base: f64) -> Option<Score> {
        // In range, so that nothing is cut off.
        (0.0..=10.0).contains(&base).then(|| Score((base * 10.0).round() as u8))
    }

    /// From tenths.
    pub fn from_tenths(tenths: u8) -> Option<Score> {
        (tenths <= 100).then_some(Score(tenths))
    }

    /// In tenths.
    pub fn tenths(self) -> u8 {
        self.0
    }

    /// In words: CVSS 3.1 section 5, which 4.0 keeps.
    pub fn severity(self) -> &'static str {
        match self.0 {
            0 => "none",
            1..40 => "low",
            40..70 => "medium",
            70..90 => "high",
            _ => "critical",
        }
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// Something to do about a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// `vendor_fix`, `mitigation`, `workaround`, `no_fix_planned`, `none_available`.
    pub category: String,
    /// What to do.
    pub details: String,
    /// Where a fix is.
    pub url: Option<String>,
    /// For which products; none named means all.
    pub products: Vec<usize>,
}

/// Something wrong that leaves the rest as good as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub kind: NoteKind,
    /// What was found.
    pub found: String,
}

/// What may be wrong without harm to the rest; the numbers are tests of the standard, section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteKind {
    /// 6.1.13.
    Purl,
    /// No CPE name.
    Cpe,
    /// 6.1.25, or no digest.
    Hash,
    /// Too long, or one too many.
    Model,
    /// 6.1.31.
    RangeAsVersion,
    /// 6.1.8.
    Score,
    /// 6.1.7.
    Scores,
    /// 6.1.27.9.
    Unjustified,
    /// 6.1.33.
    Flags,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let found = &self.found;
        match self.kind {
            NoteKind::Purl | NoteKind::Cpe => write!(f, "{found}; not used"),
            NoteKind::Hash => write!(f, "digest not used: {found}"),
            NoteKind::Model => write!(f, "model number {found:?} is too long, or one too many; not used"),
            NoteKind::RangeAsVersion => write!(f, "{found:?} is given as one version; read as a range"),
            NoteKind::Score => write!(f, "{found}: a CVSS score without a base score of 0 to 10; not used"),
            NoteKind::Scores => write!(f, "{found}: several scores for one product; the highest counts"),
            NoteKind::Unjustified => write!(f, "{found}: not affected, and not said why; not used"),
            NoteKind::Flags => write!(f, "several justifications for one product, one is {found:?}"),
        }
    }
}

#[derive(Default)]
struct Notes(Vec<Note>);

impl Csaf {
    /// Reads a document.
    pub fn parse(bytes: &[u8]) -> Result<Csaf, CsafError> {
        if bytes.len() > MAX_CSAF {
            return Err(CsafError::TooMany { what: "bytes", max: MAX_CSAF });
        }
        let file: wire::File = serde_json::from_slice(bytes)?;
        let document = &file.document;
        if document.csaf_version != "2.0" {
            return Err(CsafError::Version { found: short(&document.csaf_version) });
        }
        counts(&document.tracking)?;
        let date = |field, text: &str| date::read(text).ok_or(CsafError::Date { field, found: short(text) });
        let mut notes = Notes::default();
        let products = Products::read(&file.product_tree, &mut notes)?;
        let is_vex = document.category == "csaf_vex";
        let vulnerabilities = status::read(&file, &products, is_vex, &mut notes)?;
        let itself = document.references.iter().find(|r| r.category == "self");
        Ok(Csaf {
            id: required("tracking id", &document.tracking.id)?,
            publisher: required("publisher name", &document.publisher.name)?,
            namespace: document.publisher.namespace.clone(),
            title: document.title.clone(),
            url: itself.map(|r| r.url.clone()),
            version: document.tracking.version.clone(),
            published: date("initial_release_date", &document.tracking.initial_release_date)?,
            released: date("current_release_date", &document.tracking.current_release_date)?,
            products: products.all,
            vulnerabilities,
            notes: notes.0,
        })
    }
}

/// Final and interim documents count; a draft by its status, or by its number (6.1.17, 6.1.20), does not.
fn counts(tracking: &wire::Tracking) -> Result<(), CsafError> {
    let is_draft =
        tracking.version == "0" || tracking.version.starts_with("0.") || tracking.version.contains('-');
    match tracking.status.as_str() {
        "final" | "interim" if !is_draft => Ok(()),
        status => Err(CsafError::Draft {
            id: short(&tracking.id),
            status: short(status),
            version: short(&tracking.version),
        }),
    }
}

fn required(field: &'static str, text: &str) -> Result<String, CsafError> {
    if text.trim().is_empty() { Err(CsafError::Empty { field }) } else { Ok(text.trim().to_owned()) }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Why a document is refused as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsafError {
    /// Over a limit.
    #[error("more than {max} {what}; split the advisory, or ask its publisher to")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// No JSON of this shape.
    #[error("no CSAF document: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version of the standard.
    #[error("csaf_version {found:?}, expected \"2.0\"")]
    Version {
        /// Which.
        found: String,
    },
    /// Not for use.
    #[error(
        "advisory {id:?} has status {status:?} and version {version:?}: a draft; only final and interim ones count"
    )]
    Draft {
        /// Its id.
        id: String,
        /// Its status.
        status: String,
        /// Its version.
        version: String,
    },
    /// No date.
    #[error("{field} {found:?} is no date as RFC 3339 has it")]
    Date {
        /// Which field.
        field: &'static str,
        /// Its text.
        found: String,
    },
    /// A field that has to say something.
    #[error("the {field} is empty")]
    Empty {
        /// Which.
        field: &'static str,
    },
    /// 6.1.2, 6.1.5, 6.1.23.
    #[error("the {what} {id:?} is there twice: which one is meant is not known")]
    Twice {
        /// Of what kind.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// 6.1.1, 6.1.4.
    #[error("the {what} {id:?} is referred to, and not defined")]
    Dangling {
        /// Of what kind.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// 6.1.3.
    #[error("product {id:?} is made of itself, or of more than {MAX_DEPTH} others in a row")]
    Circular {
        /// The id.
        id: String,
    },
    /// 6.1.6.
    #[error("{vulnerability}: product {product:?} is {} and {}", states[0], states[1])]
    Contradiction {
        /// The product's id.
        product: String,
        /// The vulnerability.
        vulnerability: String,
        /// Both states.
        states: [Status; 2],
    },
}

impl CsafError {
    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        match self {
            CsafError::Draft { .. } => reasons::ADVISORY_DRAFT,
            CsafError::Twice { .. }
            | CsafError::Dangling { .. }
            | CsafError::Circular { .. }
            | CsafError::Contradiction { .. } => reasons::ADVISORY_CONTRADICTS,
            _ => reasons::ADVISORY_UNREADABLE,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
