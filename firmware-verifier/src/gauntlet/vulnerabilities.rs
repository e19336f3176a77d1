//! The vulnerabilities stage: whether vendors tell of a hole in this version of the product, or in a part of the image.
//!
//! What is told goes into the verdict, whatever the zone makes of it. Invariant: a database that cannot be read, is too
//! old, or does not know the product never looks like one that was asked and found nothing.

use hal::clock::Wall;
use hal::reason::ReasonCode;

use super::papers::{AdvisorySource, Papers, PolicyNo, SiteAdvisories};
use super::{Finding, Seen, Stepped};
use crate::advisory::database::DatabaseError;
use crate::advisory::known::{Advisories, Asked, Hole, Known};
use crate::advisory::matching::Verdict;
use crate::digest::Digest;
use crate::identity::Product;
use crate::reasons;
use crate::sbom::{Component, Sbom};
use crate::verdict::{Rejection, VerifierError};

/// What was told of the image, for the policy.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// SHA-256 of the database.
    pub(super) database: Digest,
    /// When its newest source came out.
    pub(super) current: Wall,
    /// Whether it is past the time for which it may be gone by.
    pub(super) is_stale: bool,
    /// What it says.
    pub(super) known: Known,
}

/// What the stage says, and what was told.
pub(super) fn check(
    papers: &Papers,
    product: &Product,
    sbom: Option<&Sbom>,
    now: Wall,
) -> (Stepped, Option<Told>) {
    let Some(site) = &papers.advisories else {
        return (Ok(Seen::nothing("no advisory database is configured")), None);
    };
    let advisories = match &site.source {
        AdvisorySource::Known(advisories) => advisories,
        AdvisorySource::Absent => return (absent(site), None),
        AdvisorySource::Unreadable(found) => {
            return (Err(VerifierError::AdvisoriesUnreadable { found: found.clone() }.into()), None);
        }
    };
    let of_list = sbom.and_then(Sbom::image).and_then(|image| image.version.as_deref());
    let versions: Vec<&str> = papers.version.as_deref().into_iter().chain(of_list).collect();
    let components: &[Component] = sbom.map_or(&[], Sbom::components);
    let asked = Asked { product, versions: &versions, scheme: papers.scheme, components };
    match advisories.ask(&asked) {
        Err(e) => (Err(VerifierError::AdvisoriesUnreadable { found: e.to_string() }.into()), None),
        Ok(known) => {
            let stale = stale(site, advisories, now);
            let stepped = decide(site, &Asking { advisories, product, stale: stale.as_deref() }, &known);
            let (database, current) = (advisories.digest(), advisories.current());
            (stepped, Some(Told { database, current, is_stale: stale.is_some(), known }))
        }
    }
}

/// Without a database nothing is known: a zone that asks for one lets nothing through then.
fn absent(site: &SiteAdvisories) -> Stepped {
    let found = "no advisory database was imported";
    match (site.required, site.no) {
        (false, _) => Ok(Seen::nothing("no advisory database was imported, and the zone demands none")),
        (true, PolicyNo::Warn) => Ok(told_only(reasons::ADVISORIES_MISSING, found, String::new())),
        (true, PolicyNo::Reject | PolicyNo::Hold) => Err(VerifierError::AdvisoriesMissing.into()),
    }
}

impl SiteAdvisories {
    /// Why the database is too old to clear anything; nothing where it is not, or where there is none.
    pub fn stale(&self, now: Wall) -> Option<String> {
        match &self.source {
            AdvisorySource::Known(advisories) => stale(self, advisories, now),
            AdvisorySource::Absent | AdvisorySource::Unreadable(_) => None,
        }
    }

    /// What is told against this by the database, by the rules of the stage: the reason, and which holes.
    pub fn against(&self, asked: &Asked<'_>) -> Result<Option<(ReasonCode, String)>, DatabaseError> {
        let AdvisorySource::Known(advisories) = &self.source else { return Ok(None) };
        let known = advisories.ask(asked)?;
        let open: Vec<&Hole> = known.findings.iter().filter(|hole| counts(self, hole)).collect();
        Ok(worst(&open).map(|code| (code, list(&open, known.more))))
    }
}

/// Why the database is too old to clear anything.
fn stale(site: &SiteAdvisories, advisories: &Advisories, now: Wall) -> Option<String> {
    let current = advisories.current();
    if !now.trusted {
        return Some(format!("advisories of {current}, and a clock ({now}) that is not trusted"));
    }
    if let Some(until) = site.until.filter(|until| now.ms >= until.ms) {
        return Some(format!("advisories that one may go by until {until}, and it is {now}"));
    }
    let days = now.ms.saturating_sub(current.ms) / DAY_MS;
    let most = site.max_age_days.filter(|most| days > i64::from(*most))?;
    Some(format!("advisories of {current}, {days} days old, and the zone goes by none above {most}"))
}

/// Who is asked, and about what.
struct Asking<'a> {
    advisories: &'a Advisories,
    product: &'a Product,
    stale: Option<&'a str>,
}

/// The worst that is told decides; only where nothing is does the age of the database count.
fn decide(site: &SiteAdvisories, asking: &Asking<'_>, known: &Known) -> Stepped {
    let expected = expected(site, asking.advisories);
    let open: Vec<&Hole> = known.findings.iter().filter(|hole| counts(site, hole)).collect();
    let Some(code) = worst(&open) else { return nothing_open(site, asking, known, expected) };
    let found = list(&open, known.more);
    match (site.no, code) {
        (PolicyNo::Warn, _) => {
            Ok(Seen::Passed(Finding { found: format!("told only: {code}: {found}"), expected }))
        }
        (_, reasons::CANNOT_TELL_AFFECTED) => Err(VerifierError::CannotTellAffected { found }.into()),
        (PolicyNo::Hold, _) => {
            Err(VerifierError::Affected { is_exploited: code == reasons::KNOWN_EXPLOITED, found }.into())
        }
        (PolicyNo::Reject, _) => Err(Rejection::new(code, found, expected).into()),
    }
}

fn nothing_open(site: &SiteAdvisories, asking: &Asking<'_>, known: &Known, expected: String) -> Stepped {
    let found = clear_words(asking.product, known);
    if let Some(stale) = asking.stale {
        return match (site.required, site.no) {
            (true, PolicyNo::Reject | PolicyNo::Hold) => {
                Err(VerifierError::AdvisoriesStale { found: stale.to_owned() }.into())
            }
            _ => Ok(told_only(reasons::ADVISORIES_STALE, stale, expected)),
        };
    }
    if !known.is_product_known && known.components_known == 0 {
        let code = Some(reasons::PRODUCT_NOT_KNOWN);
        return Ok(Seen::NotDone(Finding { found, expected }, code));
    }
    Ok(Seen::Passed(Finding { found, expected }))
}

/// Whether a finding is one that the zone cares for: what is exploited, always; what has no score, as if it had the
/// highest.
fn counts(site: &SiteAdvisories, hole: &Hole) -> bool {
    let entry = &hole.finding.entry;
    !hole.is_clear() && (entry.is_exploited || entry.score.is_none_or(|score| score >= site.min_score))
}

/// The reason of the worst of them.
fn worst(open: &[&Hole]) -> Option<ReasonCode> {
    let affected = |hole: &&&Hole| hole.finding.verdict == Verdict::Affected;
    open.first()?;
    Some(match open.iter().filter(affected).map(|hole| hole.finding.entry.is_exploited).max() {
        Some(true) => reasons::KNOWN_EXPLOITED,
        Some(false) => reasons::AFFECTED,
        None => reasons::CANNOT_TELL_AFFECTED,
    })
}

fn told_only(code: ReasonCode, found: &str, expected: String) -> Seen {
    Seen::NotDone(Finding { found: format!("told only: {code}: {found}"), expected }, Some(code))
}

fn expected(site: &SiteAdvisories, advisories: &Advisories) -> String {
    let score = match site.min_score.tenths() {
        0 => String::new(),
        _ => format!(" of score {} or more, and none that is exploited", site.min_score),
    };
    let (digest, current) = (advisories.digest(), advisories.current());
    format!("no known hole{score}, by the advisory database {digest} of {current}")
}

/// The first of them, and how many more.
fn list(open: &[&Hole], more: usize) -> String {
    let mut words: Vec<String> = open.iter().take(MAX_TOLD).map(|hole| hole.to_string()).collect();
    let rest = open.len().saturating_sub(MAX_TOLD) + more;
    if rest > 0 {
        words.push(format!("and {rest} more"));
    }
    words.join("; ")
}

/// What was asked, where nothing speaks against the image.
fn clear_words(product: &Product, known: &Known) -> String {
    let of_product = match (known.is_product_known, known.is_vendor_known) {
        (true, _) => format!("no hole that counts is told of {product}"),
        (false, true) => format!("no advisory names {product}: nothing is known of it"),
        (false, false) => format!("no advisory names the vendor of {product}: nothing is known of it"),
    };
    let of_parts = match known.components {
        0 => "no parts are known to ask for".to_owned(),
        all => format!("nor of its {all} parts, of which {} are known", known.components_known),
    };
    let told = known.findings.len() + known.more;
    let more = match (told, known.elsewhere) {
        (0, 0) => String::new(),
        (told, elsewhere) => {
            format!(" ({told} findings that do not count, {elsewhere} holes in other versions)")
        }
    };
    format!("{of_product}; {of_parts}{more}")
}

/// Most findings that are told in words.
const MAX_TOLD: usize = 8;
const DAY_MS: i64 = 86_400_000;
