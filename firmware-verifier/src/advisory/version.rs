//! Which versions a statement of an advisory is about, and whether one of them runs here.
//!
//! Reads `vers:` ranges (package-url/vers-spec) and the few forms of free text that have one meaning. What is
//! read neither way, or cannot be ordered by its scheme, is [`Containment::Incomparable`]: an answer is never
//! guessed. A leading `V` before a digit stands for the word "version", as vendors write `V2.9.4` in advisories
//! of controllers that report `2.9.4`; other letters in front are another way of counting.

use std::cmp::Ordering;

use super::percent;
use crate::version::VersionScheme;

/// Longest text of a range in bytes.
pub const MAX_RANGE: usize = 1024;
/// Most constraints in one range.
pub const MAX_CONSTRAINTS: usize = 64;

/// Whether a version is among those of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Containment {
    /// It is.
    In,
    /// It is not.
    Out,
    /// Nobody can tell.
    Incomparable,
}

/// The versions a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    scheme: Option<VersionScheme>,
    is_default: bool,
    set: Set,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Set {
    All,
    /// Said, but nobody can say what.
    Unreadable,
    Some {
        exact: Vec<String>,
        except: Vec<String>,
        intervals: Vec<Interval>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Interval {
    lower: Option<Bound>,
    upper: Option<Bound>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    version: String,
    is_inclusive: bool,
}

impl Versions {
    /// Every version.
    pub fn all() -> Versions {
        Versions { scheme: None, is_default: true, set: Set::All }
    }

    /// Versions that are stated in a way nobody can read.
    pub fn unreadable() -> Versions {
        Versions { scheme: None, is_default: true, set: Set::Unreadable }
    }

    /// One version, of a product that counts by `scheme`, or in a way unknown here.
    pub fn exactly(version: &str, scheme: Option<VersionScheme>) -> Versions {
        let exact = vec![version.trim().to_owned()];
        Versions { scheme, is_default: false, set: Set::Some { exact, except: vec![], intervals: vec![] } }
    }

    /// A range: `vers:...`, or free text.
    pub fn parse(text: &str) -> Versions {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_RANGE {
            return Versions::unreadable();
        }
        let read = match text.strip_prefix("vers:") {
            Some(vers) => vers_range(vers),
            None => free_text(text),
        };
        read.unwrap_or_else(Versions::unreadable)
    }

    /// Whether it can be read at all.
    pub fn is_readable(&self) -> bool {
        self.set != Set::Unreadable
    }

    /// Whether it is single versions alone, so that one outside of them is not spoken of.
    pub fn is_list(&self) -> bool {
        matches!(&self.set, Set::Some { intervals, .. } if intervals.is_empty())
    }

    /// Whether `version` is among them. `scheme` is how the product is known to count; it goes before the one that
    /// is assumed for text that names none.
    pub fn contain(&self, version: &str, scheme: Option<VersionScheme>) -> Containment {
        let scheme = if self.is_default { scheme.or(self.scheme) } else { self.scheme.or(scheme) };
        match &self.set {
            Set::All => Containment::In,
            Set::Unreadable => Containment::Incomparable,
            Set::Some { exact, except, intervals } => {
                if except.iter().any(|one| equal(scheme, version, one) == Containment::In) {
                    return Containment::Out;
                }
                let exact = exact.iter().map(|one| equal(scheme, version, one));
                let found = any(exact.chain(intervals.iter().map(|i| i.contains(scheme, version))));
                let is_sure = except.iter().all(|one| equal(scheme, version, one) == Containment::Out);
                if found == Containment::In && !is_sure { Containment::Incomparable } else { found }
            }
        }
    }
}

impl Interval {
    fn contains(&self, scheme: Option<VersionScheme>, version: &str) -> Containment {
        let holds = |bound: &Option<Bound>, outside: Ordering| match bound {
            None => Containment::In,
            Some(bound) => match order(scheme, version, &bound.version) {
                None => Containment::Incomparable,
                Some(Ordering::Equal) if bound.is_inclusive => Containment::In,
                Some(Ordering::Equal) => Containment::Out,
                Some(order) if order == outside => Containment::Out,
                Some(_) => Containment::In,
            },
        };
        match (holds(&self.lower, Ordering::Less), holds(&self.upper, Ordering::Greater)) {
            (Containment::Out, _) | (_, Containment::Out) => Containment::Out,
            (Containment::In, Containment::In) => Containment::In,
            _ => Containment::Incomparable,
        }
    }
}

/// Of several sets: in one, surely in none, or unknown.
fn any(all: impl Iterator<Item = Containment>) -> Containment {
    all.fold(Containment::Out, |found, one| match (found, one) {
        (Containment::In, _) | (_, Containment::In) => Containment::In,
        (Containment::Incomparable, _) | (_, Containment::Incomparable) => Containment::Incomparable,
        _ => Containment::Out,
    })
}

fn equal(scheme: Option<VersionScheme>, version: &str, one: &str) -> Containment {
    let is_same_text = plain(scheme, version).eq_ignore_ascii_case(plain(scheme, one));
    match order(scheme, version, one) {
        _ if is_same_text => Containment::In,
        Some(Ordering::Equal) => Containment::In,
        Some(_) => Containment::Out,
        None => Containment::Incomparable,
    }
}

fn order(scheme: Option<VersionScheme>, a: &str, b: &str) -> Option<Ordering> {
    scheme?.compare(plain(scheme, a), plain(scheme, b)).ok()
}

/// Without the `V` that stands for "version".
fn plain(scheme: Option<VersionScheme>, text: &str) -> &str {
    let text = text.trim();
    let rest = text.strip_prefix(['v', 'V']).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if scheme == Some(VersionScheme::Deb) { text } else { rest.unwrap_or(text) }
}

/// How versions of a package type count, where that is known here: a `vers` scheme or a purl type.
pub fn scheme_of(kind: &str) -> Option<VersionScheme> {
    match kind {
        "semver" | "npm" | "cargo" | "golang" => Some(VersionScheme::Semver),
        "deb" => Some(VersionScheme::Deb),
        "generic" | "openssl" | "intdot" => Some(VersionScheme::Letters),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparator {
    /// The comparator in front of `text`, and the rest.
    fn take(text: &str) -> Option<(Comparator, &str)> {
        // The longer ones first.
        let all = [
            ("<=", Comparator::AtMost),
            (">=", Comparator::AtLeast),
            ("!=", Comparator::NotEqual),
            ("<", Comparator::Less),
            (">", Comparator::Greater),
            ("=", Comparator::Equal),
        ];
        all.into_iter().find_map(|(sign, one)| Some((one, text.strip_prefix(sign)?)))
    }

    fn is_lower(self) -> bool {
        matches!(self, Comparator::Greater | Comparator::AtLeast)
    }

    fn bound(self, version: String) -> Bound {
        Bound { version, is_inclusive: matches!(self, Comparator::AtMost | Comparator::AtLeast) }
    }
}

/// `<scheme>/<constraint>|<constraint>...`, without `vers:`. They are put in order here, as the specification has
/// them; two of one version are refused.
fn vers_range(text: &str) -> Option<Versions> {
    let (kind, constraints) = text.split_once('/')?;
    let kind = kind.trim().to_ascii_lowercase();
    let constraints = constraints.trim();
    if constraints == "*" {
        return Some(Versions::all());
    }
    let scheme = scheme_of(&kind);
    let (mut exact, mut except, mut bounds) = (vec![], vec![], Vec::<(Comparator, String)>::new());
    for constraint in constraints.split('|').filter(|c| !c.trim().is_empty()) {
        let constraint = constraint.trim();
        let (comparator, version) = Comparator::take(constraint).unwrap_or((Comparator::Equal, constraint));
        let version = percent::decode(version.trim())?;
        let is_taken = exact.len() + except.len() + bounds.len() < MAX_CONSTRAINTS;
        (is_taken && !version.is_empty() && !version.contains(['<', '>', '=', '*'])).then_some(())?;
        match comparator {
            Comparator::Equal => exact.push(version),
            Comparator::NotEqual => except.push(version),
            bound => insert(&mut bounds, scheme, bound, version)?,
        }
    }
    // What "all but this one" leaves in is not said.
    (!exact.is_empty() || !bounds.is_empty()).then_some(())?;
    let set = Set::Some { exact, except, intervals: intervals(bounds) };
    Some(Versions { scheme, is_default: kind == "generic", set })
}

/// Keeps `bounds` in order of their versions.
fn insert(
    bounds: &mut Vec<(Comparator, String)>,
    scheme: Option<VersionScheme>,
    comparator: Comparator,
    version: String,
) -> Option<()> {
    let mut at = 0;
    // One bound alone needs no order.
    for (_, other) in bounds.iter() {
        match order(scheme, &version, other)? {
            Ordering::Equal => return None,
            Ordering::Greater => at += 1,
            Ordering::Less => {}
        }
    }
    bounds.insert(at, (comparator, version));
    Some(())
}

/// The intervals between bounds in order. Of neighbours of one direction the wider one counts (vers-spec,
/// "Normalized, canonical ranges").
fn intervals(bounds: Vec<(Comparator, String)>) -> Vec<Interval> {
    let mut out: Vec<Interval> = vec![];
    for (comparator, version) in bounds {
        let bound = comparator.bound(version);
        match out.last_mut() {
            Some(Interval { upper: None, .. }) if comparator.is_lower() => {}
            Some(Interval { upper: Some(_), .. }) | None if comparator.is_lower() => {
                out.push(Interval { lower: Some(bound), upper: None });
            }
            Some(last) => last.upper = Some(bound),
            None => out.push(Interval { lower: None, upper: Some(bound) }),
        }
    }
    out
}

/// The forms with one meaning: `< V2.9.4`, `>=1.0 <2.0`, `All versions`, `All versions < V2.9.4`,
/// `before 4.2`, `prior to 4.2`, `4.1 and earlier`, `4.2 and later`.
fn free_text(text: &str) -> Option<Versions> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "*" | "all" | "all versions") {
        return Some(Versions::all());
    }
    let rest = |text: &'_ str, n: usize| text.get(n..).map(|rest| rest.trim().to_owned());
    if lower.starts_with("all versions ") {
        let range = rest(&text, "all versions ".len())?;
        return Comparator::take(&range).and_then(|_| free_text(&range));
    }
    for (words, comparator) in [("before ", Comparator::Less), ("prior to ", Comparator::Less)] {
        if lower.starts_with(words) {
            return and(vec![(comparator, rest(&text, words.len())?)]);
        }
    }
    let ends = [
        (" and earlier", Comparator::AtMost),
        (" and prior", Comparator::AtMost),
        (" or earlier", Comparator::AtMost),
        (" and later", Comparator::AtLeast),
        (" or later", Comparator::AtLeast),
    ];
    for (words, comparator) in ends {
        if let Some(version) = lower.strip_suffix(words) {
            return and(vec![(comparator, text.get(..version.len())?.to_owned())]);
        }
    }
    and(comparators(&text)?)
}

/// One or two comparators with their versions, apart by blanks, a comma, `|` or "and".
fn comparators(text: &str) -> Option<Vec<(Comparator, String)>> {
    let (mut out, mut rest) = (vec![], text);
    while !rest.is_empty() {
        let (comparator, after) = Comparator::take(rest)?;
        let after = after.trim_start();
        let end = after.find([' ', ',', '|', '<', '>']).unwrap_or(after.len());
        out.push((comparator, after.get(..end)?.to_owned()));
        rest = after.get(end..)?.trim_start_matches([' ', ',', '|']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
        (out.len() <= 2).then_some(())?;
    }
    Some(out)
}

/// All of them hold at once: a lower bound, an upper one, or both.
fn and(all: Vec<(Comparator, String)>) -> Option<Versions> {
    let scheme = Some(VersionScheme::Letters);
    let readable = |(_, version): &(Comparator, String)| {
        // What is neither a version of a known form nor one word may be a sentence.
        !version.is_empty()
            && !version.contains([' ', '*', '=', '!', '<', '>', '|'])
            && version.contains(|c: char| c.is_ascii_digit())
            && !version.to_ascii_lowercase().contains('x')
    };
    all.iter().all(readable).then_some(())?;
    let interval = match all.as_slice() {
        [(Comparator::Equal, version)] => {
            return Some(Versions { is_default: true, ..Versions::exactly(version, scheme) });
        }
        [(Comparator::NotEqual, _)] => return None,
        [(one, version)] if one.is_lower() => {
            Interval { lower: Some(one.bound(version.clone())), upper: None }
        }
        [(one, version)] => Interval { lower: None, upper: Some(one.bound(version.clone())) },
        [a, b] => {
            let (low, high) = if a.0.is_lower() { (a, b) } else { (b, a) };
            let is_pair = low.0.is_lower() && matches!(high.0, Comparator::Less | Comparator::AtMost);
            let is_ordered = order(scheme, &low.1, &high.1) != Some(Ordering::Greater);
            (is_pair && is_ordered).then_some(())?;
            Interval { lower: Some(low.0.bound(low.1.clone())), upper: Some(high.0.bound(high.1.clone())) }
        }
        _ => return None,
    };
    let set = Set::Some { exact: vec![], except: vec![], intervals: vec![interval] };
    Some(Versions { scheme, is_default: true, set })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Containment::{In, Incomparable, Out};
    use super::*;

    #[test]
    fn a_range_says_in_out_or_that_nobody_can_tell() {
        for (range, version, expected) in [
            // Free text.
            ("< V2.9.4", "V2.9.3", In),
            ("< V2.9.4", "2.9.4", Out),
            ("<V2.9.4", "SV2.9.3", Incomparable),
            ("<=1.3", "1.3", In),
            ("<=1.3", "1.3.1", Out),
            (">=1.0 <2.0", "2.0", Out),
            (">=1.0 <2.0", "1.0", In),
            (">= 1.0, < 2.0", "1.5", In),
            (">=1.0|<2.0", "0.9", Out),
            ("<2.0 >=1.0", "1.5", In),
            (">=1.0 and <2.0", "1.5", In),
            (">=2.0 <1.0", "1.5", Incomparable), // both at once: nothing
            (">1.0 >2.0", "3", Incomparable),
            ("All versions", "whatever it is", In),
            ("all", "1", In),
            ("All versions < V2.9.4", "2.9.3", In),
            ("All versions with web server enabled", "2.9.3", Incomparable),
            ("prior to 4.2", "4.2", Out),
            ("before 4.2", "4.1", In),
            ("4.1 and earlier", "4.1", In),
            ("4.2 and later", "4.1", Out),
            ("3.X versions", "3.1", Incomparable),
            ("< 3.x", "3.1", Incomparable),
            ("up to 3", "3", Incomparable), // with or without 3?
            ("< V18 SP1", "V18", Incomparable),
            ("<2.9.4-beta", "2.9.3", Incomparable),
            ("<20210315", "20210101", In),
            ("", "1", Incomparable),
            ("<", "1", Incomparable),
            ("=1.2", "V1.2.0", In),
            ("!=1.2", "1.3", Incomparable),
            // vers.
            ("vers:all/*", "1", In),
            ("vers:generic/>=2.9|<=4.1", "4.1", In),
            ("vers:generic/>=2.9|<=4.1", "2.8", Out),
            ("vers:generic/<=4.1|>=2.9", "5", Out),
            ("vers:generic/<1.0|>=2.0|<3.0|>=4", "1.5", Out),
            ("vers:generic/<1.0|>=2.0|<3.0|>=4", "0.5", In),
            ("vers:generic/<1.0|>=2.0|<3.0|>=4", "2.5", In),
            ("vers:generic/<1.0|>=2.0|<3.0|>=4", "4", In),
            ("vers:generic/>=1|!=1.5|<2", "1.5", Out),
            ("vers:generic/>=1|!=1.5|<2", "1.6", In),
            ("vers:generic/!=1.5", "1.6", Incomparable),
            ("vers:generic/1.5|1.6", "1.6", In),
            ("vers:generic/1.5|1.6", "1.7", Out),
            ("vers:generic/>=1|<1", "1", Incomparable),
            ("vers:generic/", "1", Incomparable),
            ("vers:openssl/>=1.0.2|<1.0.2zf", "1.0.2k", In),
            ("vers:npm/>=2.2.0|<2.3.0", "2.3.0-rc.1", In),
            ("vers:npm/>=2.2.0|<2.3.0", "2.2.9.1", Incomparable),
            ("vers:deb/<1.1.1n-0%2Bdeb11u4", "1.1.1n-0+deb11u3", In),
            ("vers:deb/<1:1.0", "2.0", In),
            ("vers:rpm/<1.0-2.el9", "1.0-1.el9", Incomparable),
            ("vers:rpm/1.0-2.el9", "1.0-2.el9", In),
            ("vers:generic/<%zz", "1", Incomparable),
            ("vers:generic", "1", Incomparable),
        ] {
            assert_eq!(Versions::parse(range).contain(version, None), expected, "{range:?} {version:?}");
        }
    }

    #[test]
    fn the_scheme_of_the_product_goes_before_the_assumed_one_and_not_before_a_stated_one() {
        let date = Some(VersionScheme::Date);
        assert_eq!(Versions::parse("<2024-02-01").contain("20240131", None), Incomparable);
        assert_eq!(Versions::parse("<2024-02-01").contain("20240131", date), In);
        assert_eq!(Versions::parse("vers:semver/<2.0.0").contain("1.0.0", date), In);
    }

    #[test]
    fn one_version_is_that_one_and_says_nothing_of_others() {
        let one = Versions::exactly("V18 SP1", Some(VersionScheme::Letters));
        assert_eq!(one.contain("v18 sp1", None), In);
        assert_eq!(one.contain("V18", None), Incomparable);
        assert!(one.is_list() && !Versions::parse("<2").is_list() && !Versions::all().is_list());
    }

    proptest! {
        #[test]
        fn any_text_is_a_range_or_unreadable(range in ".{0,40}", version in ".{0,20}") {
            let versions = Versions::parse(&range);
            let found = versions.contain(&version, None);
            prop_assert!(versions.is_readable() || found == Incomparable);
        }

        #[test]
        fn an_interval_holds_what_lies_between_its_ends(a in 0u32..50, b in 0u32..50, x in 0u32..50, sep in "[|, ]") {
            let (low, high) = (a.min(b), a.max(b));
            prop_assume!(low < high);
            let expected = if low <= x && x < high { In } else { Out };
            let free = Versions::parse(&format!(">=1.{low}{sep}<1.{high}"));
            let vers = Versions::parse(&format!("vers:generic/<1.{high}|>=1.{low}"));
            prop_assert_eq!(free.contain(&format!("V1.{x}"), None), expected);
            prop_assert_eq!(vers.contain(&format!("1.{x}"), None), expected);
        }
    }
}
