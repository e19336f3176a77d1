//! Which advisories are about a component, or about a controller and the firmware it runs.
//!
//! A component is looked for by its file, its package URL, its CPE name and its name, in this order; what an
//! advisory says by the first of them that it is found by counts. Inside one advisory a statement about this very
//! version goes before one about all, and "affected" before "fixed". What clears a component of a hole has to be
//! sure: a statement under a condition that nobody checks, or of a product of which only the name is the same,
//! clears nothing.

use std::collections::BTreeMap;

use super::cpe::{Attribute, Cpe};
use super::csaf::{Stated, Status};
use super::database::{Block, Database, DatabaseError, Entry, EntryRef, Key, ReadAt, Said, fits, name};
use super::purl::Purl;
use super::version::{Containment, scheme_of};
use crate::sbom::Component;
use crate::version::VersionScheme;

/// A controller, as far as advisories speak of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Controller<'a> {
    /// Whose it is.
    pub vendor: &'a str,
    /// The product's name, or its model or order number.
    pub product: &'a str,
    /// The version of its firmware, where it is stated.
    pub version: Option<&'a str>,
    /// How the product counts, where that is known.
    pub scheme: Option<VersionScheme>,
}

/// What the database says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether the database knows the product at all: no finding about an unknown one says nothing.
    pub is_known: bool,
    /// Whether it knows the vendor of a controller; `None` for a component, which is found without one.
    pub is_vendor_known: Option<bool>,
    /// What is said of this version, the worst first.
    pub findings: Vec<Finding>,
    /// How many holes are told of the product, none of them of this version.
    pub elsewhere: usize,
}

/// What one advisory says of one hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// The hole.
    pub entry: Entry,
    /// Why it is thought to be about this.
    pub evidence: Evidence,
}

/// Whether a hole is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is.
    Affected,
    /// Nobody can tell whether this version is one of those that have it.
    CannotCompare,
    /// The vendor does not know yet.
    UnderInvestigation,
    /// It was, and this version has it no longer.
    Fixed,
    /// The vendor says that it is not.
    NotAffected,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Affected => "affected",
            Verdict::CannotCompare => "cannot compare",
            Verdict::UnderInvestigation => "under investigation",
            Verdict::Fixed => "fixed",
            Verdict::NotAffected => "not affected",
        })
    }
}

/// What a finding rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What it was found by.
    pub by: By,
    /// The product, as the advisory names it.
    pub product: String,
    /// The versions, as the advisory names them.
    pub versions: String,
    /// What must be so besides, and nobody has checked; may be empty.
    pub condition: String,
}

/// What a component was found by; the surer ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The SHA-256 of its file.
    Hash,
    /// Its package URL.
    Purl,
    /// Its CPE name.
    Cpe,
    /// Vendor and model or order number.
    Model,
    /// Vendor and product name.
    Product,
    /// Its name alone.
    Name,
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            By::Hash => "hash",
            By::Purl => "purl",
            By::Cpe => "cpe",
            By::Model => "vendor and model",
            By::Product => "vendor and product",
            By::Name => "name",
        })
    }
}

/// What is said of a component of an SBOM.
pub fn matches<R: ReadAt>(database: &Database<R>, component: &Component) -> Result<Answer, DatabaseError> {
    let mut search = Search::new(database);
    let version = component.version.as_deref();
    if let Some(digest) = &component.sha256 {
        search.look(By::Hash, &Key::hash(digest), version, None, |_| true)?;
    }
    if let Some(purl) = component.purl.as_deref().and_then(|text| Purl::parse(text).ok()) {
        let version = purl.version().or(version);
        search.look(By::Purl, &Key::purl(&purl.package()), version, scheme_of(purl.kind()), |_| true)?;
    }
    if let Some(cpe) = component.cpe.as_deref().and_then(|text| Cpe::parse(text).ok())
        && let Some((vendor, product)) = cpe.product()
    {
        let stated = match cpe.version() {
            Attribute::Value(version) => Some(version),
            _ => None,
        };
        search.look(By::Cpe, &Key::cpe(vendor, product), version.or(stated.as_deref()), None, |_| true)?;
    }
    let supplier = component.supplier.as_deref().map(name);
    search.supplier = supplier.unwrap_or_default();
    search.look(By::Name, &Key::name(&component.name), version, None, |_| true)?;
    search.answer(None)
}

/// What is said of a controller and its firmware.
pub fn matches_controller<R: ReadAt>(
    database: &Database<R>,
    controller: &Controller<'_>,
) -> Result<Answer, DatabaseError> {
    let Controller { vendor, product, version, scheme } = *controller;
    let mut search = Search::new(database);
    for vendor in [vendor, ""] {
        search.look(By::Model, &Key::model(vendor, product), version, scheme, |_| true)?;
        let does_fit = |block: &Block| fits(&block.pattern, product);
        search.look(By::Model, &Key::patterns(vendor), version, scheme, does_fit)?;
    }
    search.look(By::Product, &Key::product(vendor, product), version, scheme, |_| true)?;
    let is_vendor_known = database.find(&Key::vendor(vendor))?.is_some();
    search.answer(Some(is_vendor_known))
}

struct Search<'a, R> {
    database: &'a Database<R>,
    supplier: String,
    is_known: bool,
    found: BTreeMap<EntryRef, Standing>,
}

/// The statement about one entry that counts so far.
struct Standing {
    by: By,
    rank: u8,
    verdict: Option<Verdict>,
    evidence: Evidence,
}

impl<'a, R: ReadAt> Search<'a, R> {
    fn new(database: &'a Database<R>) -> Search<'a, R> {
        Search { database, supplier: String::new(), is_known: false, found: BTreeMap::new() }
    }

    fn look(
        &mut self,
        by: By,
        key: &Key,
        version: Option<&str>,
        scheme: Option<VersionScheme>,
        does_fit: impl Fn(&Block) -> bool,
    ) -> Result<(), DatabaseError> {
        for block in self.database.find(key)?.unwrap_or_default().iter().filter(|block| does_fit(block)) {
            self.is_known = true;
            let found = match version {
                Some(version) => block.versions().contain(version, scheme),
                None if block.stated == Stated::All => Containment::In,
                None => Containment::Incomparable,
            };
            block.said.iter().for_each(|said| self.take(by, block, found, *said));
        }
        Ok(())
    }

    fn take(&mut self, by: By, block: &Block, found: Containment, said: Said) {
        let is_sure = by == By::Hash
            || (block.condition.is_empty()
                && (by != By::Name || (!self.supplier.is_empty() && name(&block.vendor) == self.supplier)));
        let Some((rank, verdict)) = standing(said.status, found, block.stated == Stated::All, is_sure) else {
            return;
        };
        let counts = match self.found.get(&said.entry) {
            None => true,
            Some(other) => other.by == by && other.rank < rank,
        };
        if counts {
            let evidence = Evidence {
                by,
                product: block.name.clone(),
                versions: block.versions_text().to_owned(),
                condition: block.condition.clone(),
            };
            self.found.insert(said.entry, Standing { by, rank, verdict, evidence });
        }
    }

    fn answer(self, is_vendor_known: Option<bool>) -> Result<Answer, DatabaseError> {
        let (mut findings, mut elsewhere) = (vec![], 0);
        for (at, standing) in self.found {
            match standing.verdict {
                None => elsewhere += 1,
                Some(verdict) => {
                    findings.push(Finding {
                        verdict,
                        entry: self.database.entry(at)?,
                        evidence: standing.evidence,
                    });
                }
            }
        }
        findings.sort_by(|a, b| {
            let worse = |f: &Finding| (f.verdict, !f.entry.is_exploited, std::cmp::Reverse(f.entry.score));
            worse(a).cmp(&worse(b)).then_with(|| a.entry.id.cmp(&b.entry.id))
        });
        Ok(Answer { is_known: self.is_known, is_vendor_known, findings, elsewhere })
    }
}

/// What a statement is worth against others of the same entry, and what it says; nothing where it must not count.
/// `None` as a verdict: it is about other versions.
fn standing(
    status: Status,
    found: Containment,
    is_all: bool,
    is_sure: bool,
) -> Option<(u8, Option<Verdict>)> {
    use Containment::{In, Incomparable, Out};
    Some(match (status, found) {
        (Status::Affected, In) if !is_all => (60, Some(Verdict::Affected)),
        (Status::Affected, In) => (45, Some(Verdict::Affected)),
        (Status::Affected, Incomparable) => (43, Some(Verdict::CannotCompare)),
        (Status::UnderInvestigation, In | Incomparable) => (30, Some(Verdict::UnderInvestigation)),
        (Status::Affected | Status::UnderInvestigation, Out) => (20, None),
        (Status::Fixed | Status::NotAffected, _) if !is_sure => return None,
        (Status::Fixed, In) => (if is_all { 42 } else { 50 }, Some(Verdict::Fixed)),
        (Status::NotAffected, In) => (if is_all { 42 } else { 50 }, Some(Verdict::NotAffected)),
        (Status::Fixed | Status::NotAffected, Out | Incomparable) => (10, None),
    })
}

#[cfg(test)]
mod tests;
