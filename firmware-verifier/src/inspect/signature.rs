//! How a component is known by a text: a fixed beginning, a version, and what has to follow it.

use std::ops::Range;
use std::sync::Arc;

use aho_corasick::AhoCorasick;

use super::known::SIGNATURES;
use super::report::{By, Found, Kind, Occurrence};

/// One text that a component carries.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// The component.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What stands before the version.
    pub before: &'static str,
    /// What stands behind it.
    pub then: Then,
    /// How sure it is, in percent. A text that others print of it (what they were built with, whom they talk to) is less.
    pub confidence: u8,
    /// Part, vendor and product of its CPE name, e.g. `a:busybox:busybox`.
    pub cpe: Option<&'static str>,
    /// Where in the component's source the text is made.
    pub source: &'static str,
}

/// What has to stand behind a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// One of these.
    Text(&'static [&'static str]),
    /// The first of these at once, and the second later in the same line.
    Line(&'static str, &'static str),
    /// The end of the text or line.
    End,
    /// A blank or two, a day, and a month: `15 Mar 2022`.
    Date,
    /// Anything.
    Any,
}

/// Longest version; git describes itself in less.
const MAX_VERSION: usize = 48;
/// How much of a line behind a version is looked at, and shown as evidence.
const MAX_LINE: usize = 160;
const MAX_EVIDENCE: usize = 100;

/// All signatures, ready to be searched for at once.
#[derive(Debug, Clone)]
pub(super) struct Texts(Arc<AhoCorasick>);

impl Texts {
    pub(super) fn new() -> Texts {
        let texts = AhoCorasick::new(SIGNATURES.iter().map(|s| s.before));
        Texts(Arc::new(texts.expect("some hundred short texts make an automaton")))
    }

    /// The components whose texts begin in `part` of `bytes`.
    pub(super) fn find(&self, bytes: &[u8], part: Range<usize>) -> Vec<Found> {
        let Some(searched) = bytes.get(part.clone()) else { return vec![] };
        let mut all = vec![];
        for hit in self.0.find_overlapping_iter(searched) {
            let (start, end) = (part.start + hit.start(), part.start + hit.end());
            let Some(signature) = SIGNATURES.get(hit.pattern().as_usize()) else { continue };
            if start.checked_sub(1).and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric) {
                continue; // the end of a longer word
            }
            if let Some(found) = bytes.get(end..).and_then(|rest| signature.read(rest)) {
                let text = bytes.get(start..).unwrap_or_default();
                let evidence = line(text).get(..MAX_EVIDENCE).unwrap_or(line(text));
                let evidence = String::from_utf8_lossy(evidence).into_owned();
                let at = Occurrence { place: String::new(), offset: start as u64, evidence };
                all.push(Found { occurrences: vec![at], ..found });
            }
        }
        all
    }
}

impl Signature {
    /// Reads what stands behind [`Signature::before`].
    fn read(&self, rest: &[u8]) -> Option<Found> {
        let rest = rest.strip_prefix(b"v").unwrap_or(rest);
        let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'~' | b'_' | b'-');
        let len = rest.iter().take(MAX_VERSION + 1).take_while(|b| part(b)).count();
        let version = std::str::from_utf8(rest.get(..len)?).ok()?.trim_end_matches(['.', '-', '_', '+', '~']);
        let is_version = version.starts_with(|c: char| c.is_ascii_digit()) && version.contains(['.', 'p']);
        if !is_version
            || len > MAX_VERSION
            || version.contains(".x")
            || !self.follows(rest.get(version.len()..)?)
        {
            return None;
        }
        let cpe = self.cpe.map(|product| cpe(product, version));
        Some(Found {
            name: self.name.into(),
            version: Some(version.into()),
            kind: self.kind,
            purl: Some(format!("pkg:generic/{}@{}", self.name.to_ascii_lowercase(), percent(version))),
            cpe,
            confidence: self.confidence,
            by: By::Text,
            occurrences: vec![],
        })
    }

    fn follows(&self, behind: &[u8]) -> bool {
        match self.then {
            Then::Any => true,
            Then::Text(texts) => texts.iter().any(|text| behind.starts_with(text.as_bytes())),
            Then::End => behind.first().is_none_or(|b| matches!(b, 0 | b'\n' | b'\r')),
            Then::Line(first, later) => {
                let line = line(behind);
                line.starts_with(first.as_bytes()) && line.windows(later.len()).any(|w| w == later.as_bytes())
            }
            Then::Date => {
                let text = std::str::from_utf8(line(behind)).unwrap_or_default();
                let mut words = text.split_whitespace();
                let day =
                    words.next().is_some_and(|day| day.parse::<u8>().is_ok_and(|d| (1..=31).contains(&d)));
                text.starts_with(' ') && day && words.next().is_some_and(|month| MONTHS.contains(&month))
            }
        }
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Up to the end of the text or line.
fn line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().take(MAX_LINE).position(|b| *b < 0x20 && *b != b'\t' || *b > 0x7e);
    bytes.get(..end.unwrap_or(MAX_LINE.min(bytes.len()))).unwrap_or_default()
}

/// A CPE 2.3 name (NISTIR 7695 §6.2). What a distribution has added to the version is not part of it, and the `p1` of
/// OpenSSH is an update.
fn cpe(product: &str, version: &str) -> String {
    let version = version.split(['+', '-', '~', '_']).next().unwrap_or_default();
    let (version, update) = match version.split_once('p') {
        Some((v, p)) if !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) => (v, format!("p{p}")),
        _ => (version, "*".to_owned()),
    };
    format!("cpe:2.3:{product}:{version}:{update}:*:*:*:*:*:*")
}

/// As package URLs have it (purl-spec, "Character encoding").
pub(super) fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => out.push(b.into()),
            _ => out += &format!("%{b:02X}"),
        }
        out
    })
}
