//! Comparing version texts of one product, by the scheme that its vendor follows.
//!
//! Only for images that state no security version: a version text says which image is newer, not which
//! one lets an old hole back in. What a scheme cannot read is never ordered by guessing.

mod deb;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// Longest version text in bytes.
pub const MAX_VERSION: usize = 64;
/// Most numbers in one version.
const MAX_NUMBERS: usize = 8;

/// How a vendor counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionScheme {
    /// Semantic Versioning 2.0.0, also with a leading `v` and without the patch number; what follows `+`
    /// does not count (§10), what follows `-` comes before the release (§11).
    Semver,
    /// Numbers with dots, `V4.5.2`, `03.10.08(22)`: compared one by one, missing ones are 0. Up to three
    /// letters in front must be the same in both.
    Dotted,
    /// A day: `20240131`, `2024-01-31`, `2024.01.31`, `2024/01/31`.
    Date,
    /// Plain text, byte by byte; only texts of equal length, as `B10` would sort before `B9`.
    Lexical,
    /// As `dotted`, and up to two letters behind the last number count on from none: `1.0.2`, `1.0.2a`,
    /// `1.0.2z`, `1.0.2za` (OpenSSL before 3.0, Siemens).
    Letters,
    /// Debian packages: epoch, upstream version and revision, `~` before everything (deb-version(7)).
    Deb,
}

impl VersionScheme {
    /// How `found` stands to `reference`.
    pub fn compare(self, found: &str, reference: &str) -> Result<Ordering, VersionError> {
        let both = |read: fn(&str) -> Option<Key>| {
            let one = |text: &str| read(text.trim()).ok_or_else(|| self.unreadable(text));
            Ok((one(found)?, one(reference)?))
        };
        let (a, b) = match self {
            VersionScheme::Semver => both(semver)?,
            VersionScheme::Dotted => both(dotted)?,
            VersionScheme::Date => both(date)?,
            VersionScheme::Lexical => both(lexical)?,
            VersionScheme::Letters => both(letters)?,
            VersionScheme::Deb => {
                let read = |text| deb::read(text).ok_or_else(|| self.unreadable(text));
                return Ok(read(found)?.cmp(&read(reference)?));
            }
        };
        if a.kind == b.kind { Ok(a.order(&b)) } else { Err(self.unreadable(found)) }
    }

    fn unreadable(self, text: &str) -> VersionError {
        VersionError { scheme: self, found: text.chars().take(MAX_VERSION).collect() }
    }
}

impl std::fmt::Display for VersionScheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            VersionScheme::Semver => "semver",
            VersionScheme::Dotted => "dotted",
            VersionScheme::Date => "date",
            VersionScheme::Lexical => "lexical",
            VersionScheme::Letters => "letters",
            VersionScheme::Deb => "deb",
        })
    }
}

/// A version that the scheme cannot read, or not against the other one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} cannot be compared by the scheme {scheme}")]
pub struct VersionError {
    /// The scheme.
    pub scheme: VersionScheme,
    /// The text.
    pub found: String,
}

/// What is compared: only keys of one kind are.
struct Key {
    kind: String,
    numbers: Vec<u64>,
    /// Semver's pre-release; a release has none and comes after.
    before: Option<Vec<Identifier>>,
    text: String,
}

impl Key {
    fn of_numbers(numbers: Vec<u64>) -> Key {
        Key { kind: String::new(), numbers, before: None, text: String::new() }
    }

    fn order(&self, other: &Key) -> Ordering {
        let at = |key: &Key, n: usize| key.numbers.get(n).copied().unwrap_or(0);
        let numbers = (0..MAX_NUMBERS).map(|n| at(self, n).cmp(&at(other, n)));
        let release = match (&self.before, &other.before) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => a.cmp(b),
        };
        numbers.fold(Ordering::Equal, Ordering::then).then(release).then_with(|| self.text.cmp(&other.text))
    }
}

/// §11.4: numbers before texts, numbers by value, texts by bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(String),
}

fn semver(text: &str) -> Option<Key> {
    let text = fits(text)?.strip_prefix(['v', 'V']).unwrap_or(text);
    let text = text.split_once('+').map_or(text, |(version, _)| version);
    let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
    let numbers = numbers(core)?;
    let before = before.map(|b| b.split('.').map(identifier).collect::<Option<Vec<_>>>());
    match (numbers.len(), before) {
        (2 | 3, None) => Some(Key::of_numbers(numbers)),
        (2 | 3, Some(Some(before))) => Some(Key { before: Some(before), ..Key::of_numbers(numbers) }),
        _ => None,
    }
}

fn identifier(text: &str) -> Option<Identifier> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if text.is_empty() || !text.bytes().all(allowed) {
        return None;
    }
    match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse().ok().map(Identifier::Number),
        false => Some(Identifier::Text(text.to_owned())),
    }
}

fn dotted(text: &str) -> Option<Key> {
    let text = fits(text)?;
    let rest = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let kind = text.get(..text.len() - rest.len())?.to_ascii_lowercase();
    // WAGO writes the build in brackets.
    let rest = match rest.strip_suffix(')') {
        Some(open) => open.replacen('(', ".", 1),
        None => rest.to_owned(),
    };
    (kind.len() <= 3).then_some(())?;
    Some(Key { kind, ..Key::of_numbers(numbers(&rest)?) })
}

fn letters(text: &str) -> Option<Key> {
    let text = fits(text)?;
    let numbers = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = text.get(numbers.len()..)?.to_ascii_lowercase();
    (suffix.len() <= 2).then_some(())?;
    // The count in front has `z` come before `aa`.
    Some(Key { text: format!("{}{suffix}", suffix.len()), ..dotted(numbers)? })
}

fn numbers(text: &str) -> Option<Vec<u64>> {
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
    let numbers: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    (numbers.len() <= MAX_NUMBERS).then_some(numbers)
}

fn date(text: &str) -> Option<Key> {
    let text = fits(text)?;
    let separator = ['-', '.', '/'].into_iter().find(|c| text.contains(*c));
    let day = match (separator, text.len()) {
        (Some(c), 10) => text.replace(c, "-"),
        (None, 8) => format!("{}-{}-{}", text.get(..4)?, text.get(4..6)?, text.get(6..)?),
        _ => return None,
    };
    let digits = |(at, b): (usize, u8)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() };
    day.bytes().enumerate().all(digits).then_some(())?;
    // Refuses days that no calendar has.
    let wall: hal::clock::Wall = day.parse().ok()?;
    Some(Key::of_numbers(vec![u64::try_from(wall.ms).ok()?]))
}

fn lexical(text: &str) -> Option<Key> {
    let text = fits(text)?;
    Some(Key { kind: text.len().to_string(), text: text.to_owned(), ..Key::of_numbers(vec![]) })
}

/// Something to compare: printable ASCII, not too long.
fn fits(text: &str) -> Option<&str> {
    let printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
    (!text.is_empty() && text.len() <= MAX_VERSION && printable).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::VersionScheme::{Date, Deb, Dotted, Letters, Lexical, Semver};
    use super::*;

    #[test]
    fn real_version_texts_compare_as_their_vendors_mean_them() {
        let (less, equal) = (Some(Ordering::Less), Some(Ordering::Equal));
        for (scheme, a, b, expected) in [
            (Semver, "1.2.3", "1.10.0", less),
            (Semver, "v1.2", "1.2.0", equal),
            (Semver, "1.0.0-rc.1", "1.0.0", less),
            (Semver, "1.0.0-alpha.9", "1.0.0-alpha.10", less),
            (Semver, "1.0.0-alpha.1", "1.0.0-alpha.beta", less),
            (Semver, "1.0.0-alpha", "1.0.0-alpha.1", less),
            (Semver, "1.0.0+a", "1.0.0+b", equal),
            (Semver, "1.2.3.4", "1.2.3", None),
            (Semver, "1.2.3-", "1.2.3", None),
            (Semver, "1.x.0", "1.2.0", None),
            (Semver, "99999999999999999999.0.0", "1.0.0", None),
            (Dotted, "V4.5.2", "v04.06.00", less), // SIMATIC S7-1200
            (Dotted, "33.011", "33.12", less),     // ControlLogix
            (Dotted, "SV3.20", "sv03.30", less),   // Modicon
            (Dotted, "03.10.08(22)", "03.10.08(3)", Some(Ordering::Greater)), // WAGO
            (Dotted, "2.14", "2.14.0.0", equal),
            (Dotted, "1.9", "1.10", less),
            (Dotted, "V4.5.2", "4.5.2", None), // is it the same counting?
            (Dotted, "1..2", "1.2", None),
            (Dotted, "1.2a", "1.2", None),
            (Dotted, "-1.2", "1.2", None),
            (Dotted, "+1.2", "1.2", None),
            (Dotted, "V", "V1", None),
            (Dotted, "release1.0", "release1.1", None),
            (Dotted, "1.1.1.1.1.1.1.1.1", "1", None),
            (Date, "20240131", "2024-02-01", less),
            (Date, "2024.01.31", "2024/01/31", equal),
            (Date, "20240230", "20240301", None),
            (Date, "31.01.2024", "01.02.2024", None), // day first: no year 31.0
            (Date, "2024-1-31", "2024-02-01", None),
            (Lexical, "B09", "B10", less),
            (Lexical, "rev C", "rev D", less),
            (Lexical, "B9", "B10", None),
            (Lexical, "", "", None),
            (Lexical, "ä", "ö", None),
            (Letters, "1.0.2", "1.0.2a", less),
            (Letters, "1.0.2k", "1.0.2u", less),
            (Letters, "1.0.2z", "1.0.2za", less),
            (Letters, "1.0.2u", "1.0.3", less),
            (Letters, "V4.5.0A", "v04.05.00a", equal),
            (Letters, "03.10.08(22)", "03.10.08(3)", Some(Ordering::Greater)),
            (Letters, "1.0.2-rc1", "1.0.2", None),
            (Letters, "1.0.2abc", "1.0.2", None),
            (Letters, "V18 SP1", "V18", None),
            (Letters, "ab", "cd", None),
            (Deb, "1.1.1n-0+deb11u3", "1.1.1n-0+deb11u4", less),
            (Deb, "1.0~rc1", "1.0", less),
            (Deb, "1.0", "1:0.9", less),
            (Deb, "1.0", "1.0-0", equal),
            (Deb, "1 0", "1.0", None),
        ] {
            let found = scheme.compare(a, b).ok();
            assert_eq!(found, expected, "{scheme} {a:?} {b:?}");
            assert_eq!(scheme.compare(b, a).ok(), expected.map(Ordering::reverse), "{scheme} {b:?} {a:?}");
        }
    }

    proptest! {
        #[test]
        fn any_texts_are_ordered_both_ways_or_not_at_all(a in ".{0,20}", b in "[v0-9.a()-]{0,12}") {
            for scheme in [Semver, Dotted, Date, Lexical, Letters, Deb] {
                let (there, back) = (scheme.compare(&a, &b).ok(), scheme.compare(&b, &a).ok());
                prop_assert_eq!(there, back.map(Ordering::reverse));
                if let Ok(same) = scheme.compare(&b, &b) {
                    prop_assert_eq!(same, Ordering::Equal);
                }
            }
        }
    }
}
