//! What a database says of one image: of its product, and of each part of it that is known.

use std::sync::Arc;

use hal::clock::Wall;

use super::database::{Database, DatabaseError, ReadAt};
use super::matching::{Answer, Controller, Finding, Verdict, matches, matches_controller};
use crate::digest::Digest;
use crate::identity::Product;
use crate::sbom::Component;
use crate::version::VersionScheme;

/// Most findings that are kept of one image, the worst of them; the others are counted.
pub const MAX_FINDINGS: usize = 256;

/// A database that may be asked, whatever its bytes lie in. Clones are the same database.
#[derive(Clone)]
pub struct Advisories {
    database: Arc<Database<Box<dyn ReadAt + Send + Sync>>>,
    digest: Digest,
}

impl Advisories {
    /// Opens the database in `bytes`, which whoever calls has found to have this digest.
    pub fn open(bytes: Box<dyn ReadAt + Send + Sync>, digest: Digest) -> Result<Advisories, DatabaseError> {
        Ok(Advisories { database: Arc::new(Database::open(bytes)?), digest })
    }

    /// SHA-256 of the file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// When the newest of its sources came out.
    pub fn current(&self) -> Wall {
        self.database.current()
    }

    /// The database.
    pub fn database(&self) -> &Database<Box<dyn ReadAt + Send + Sync>> {
        &self.database
    }

    /// What is said of an image and its parts.
    pub fn ask(&self, asked: &Asked<'_>) -> Result<Known, DatabaseError> {
        let mut known = Known::default();
        for version in versions(asked.versions) {
            let controller = Controller {
                vendor: asked.product.vendor(),
                product: asked.product.model(),
                version,
                scheme: asked.scheme,
            };
            let answer = matches_controller(&self.database, &controller)?;
            known.is_product_known |= answer.is_known;
            known.is_vendor_known |= answer.is_vendor_known == Some(true);
            known.take(&Of::Product { version: version.map(str::to_owned) }, answer);
        }
        for component in asked.components {
            let answer = matches(&self.database, component)?;
            known.components_known += usize::from(answer.is_known);
            let Component { name, version, .. } = component;
            known.take(&Of::Component { name: name.clone(), version: version.clone() }, answer);
        }
        known.components = asked.components.len();
        known.cut(MAX_FINDINGS);
        Ok(known)
    }
}

impl std::fmt::Debug for Advisories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Advisories").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What the image is for.
    pub product: &'a Product,
    /// Its version, as everybody who states one states it; where several say different things each counts.
    pub versions: &'a [&'a str],
    /// How the product counts.
    pub scheme: Option<VersionScheme>,
    /// Its parts.
    pub components: &'a [Component],
}

/// Each version once; without any the product is asked for all the same.
fn versions<'a>(stated: &[&'a str]) -> Vec<Option<&'a str>> {
    let mut all: Vec<Option<&str>> = vec![];
    for version in stated.iter().map(|version| Some(*version)) {
        if !all.contains(&version) {
            all.push(version);
        }
    }
    if all.is_empty() { vec![None] } else { all }
}

/// What is known of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Whether the database knows the product at all: of an unknown one, no finding says nothing.
    pub is_product_known: bool,
    /// Whether it knows the vendor.
    pub is_vendor_known: bool,
    /// How many parts were asked for.
    pub components: usize,
    /// How many of them it knows.
    pub components_known: usize,
    /// What is said of this version and these parts, the worst first.
    pub findings: Vec<Hole>,
    /// How many more findings there were, none of them worse.
    pub more: usize,
    /// How many holes are told of other versions only.
    pub elsewhere: usize,
}

/// A finding, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// What it is about.
    pub of: Of,
    /// What is said.
    pub finding: Finding,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// The product as a whole.
    Product {
        /// The version that was asked for.
        version: Option<String>,
    },
    /// A part of the image.
    Component {
        /// Its name.
        name: String,
        /// Its version.
        version: Option<String>,
    },
}

impl Known {
    fn take(&mut self, of: &Of, answer: Answer) {
        self.elsewhere += answer.elsewhere;
        let hole = |finding| Hole { of: of.clone(), finding };
        self.findings.extend(answer.findings.into_iter().map(hole));
        // Bounded also while it is gathered, and not sorted for each part.
        if self.findings.len() > 4 * MAX_FINDINGS {
            self.cut(MAX_FINDINGS);
        }
    }

    fn cut(&mut self, most: usize) {
        self.findings.sort_by(|a, b| a.badness().cmp(&b.badness()).then_with(|| a.id().cmp(b.id())));
        self.more += self.findings.len().saturating_sub(most);
        self.findings.truncate(most);
    }
}

impl Hole {
    /// Whether the vendor says that this version is clear of it.
    pub fn is_clear(&self) -> bool {
        matches!(self.finding.verdict, Verdict::Fixed | Verdict::NotAffected)
    }

    /// The CVE, or another id.
    pub fn id(&self) -> &str {
        &self.finding.entry.id
    }

    /// Smaller is worse: exploited ones before scores that nobody has given, and those before lower ones.
    fn badness(&self) -> (bool, Verdict, bool, u8) {
        let entry = &self.finding.entry;
        let score = entry.score.map_or(u8::MAX, super::csaf::Score::tenths);
        (self.is_clear(), self.finding.verdict, !entry.is_exploited, u8::MAX - score)
    }
}

impl std::fmt::Display for Hole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Finding { verdict, entry, .. } = &self.finding;
        let score = entry.score.map_or("no score".to_owned(), |score| format!("CVSS {score}"));
        let exploited = if entry.is_exploited { ", KNOWN EXPLOITED" } else { "" };
        let of = match &self.of {
            Of::Product { .. } => String::new(),
            Of::Component { name, version: Some(version) } => format!(" in {name} {version}"),
            Of::Component { name, version: None } => format!(" in {name}"),
        };
        let text = format!("{}{of}: {verdict} ({score}{exploited}; {})", entry.id, entry.advisory);
        // Names come from vendors and from lists of parts: one line, nothing that moves a cursor.
        f.write_str(&text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>())
    }
}
