//! What the database is asked by: one key for each way of recognising a product.
//!
//! Names are compared without case and with blanks collapsed, model and order numbers without blanks, as vendors
//! write `6ES7 511-1AK01-0AB0` and `6ES7511-1AK01-0AB0` for one and the same.

use crate::digest::Digest;

/// Longest key in bytes; what is longer is cut, and the rest does not count.
const MAX_KEY: usize = 600;

/// A key in the form it is stored in: a letter for its kind, then its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// A file.
    pub fn hash(digest: &Digest) -> Key {
        Key::new('h', &[&digest.to_hex()])
    }

    /// A package, from [`crate::advisory::purl::Purl::package`].
    pub fn purl(package: &str) -> Key {
        Key::new('p', &[package])
    }

    /// Vendor and product of a CPE name.
    pub fn cpe(vendor: &str, product: &str) -> Key {
        Key::new('c', &[vendor, product])
    }

    /// A product by its name alone.
    pub fn name(product: &str) -> Key {
        Key::new('n', &[&name(product)])
    }

    /// A product of a vendor, both by name.
    pub fn product(vendor: &str, product: &str) -> Key {
        Key::new('v', &[&name(vendor), &name(product)])
    }

    /// A model or order number; the vendor may be unknown (empty).
    pub fn model(vendor: &str, number: &str) -> Key {
        Key::new('m', &[&name(vendor), &model(number)])
    }

    /// Products of a vendor that are named by numbers with wildcards.
    pub fn patterns(vendor: &str) -> Key {
        Key::new('g', &[&name(vendor)])
    }

    /// A vendor of whom the database knows something.
    pub fn vendor(vendor: &str) -> Key {
        Key::new('k', &[&name(vendor)])
    }

    fn new(kind: char, parts: &[&str]) -> Key {
        let mut text = kind.to_string();
        for part in parts {
            // Stands in no name: [`name`] collapses control characters' blanks, and CPE and purl have none.
            text.push('\u{1f}');
            text.push_str(part);
        }
        let end = (0..=MAX_KEY.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        Key(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it is looked for: FNV-1a, 64 bits, mixed once more. Nothing hangs on it but speed, as the whole key is
    /// compared.
    pub fn place(&self) -> u64 {
        let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = self.0.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
        let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ (hash >> 33)
    }
}

/// A name as it is compared.
pub(crate) fn name(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// A model number as it is compared.
pub(crate) fn model(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect::<String>().to_lowercase()
}

/// Whether a number fits one with wildcards, `?` for one character and `*` for any (CSAF 2.0, 3.1.3.3.5); a
/// backslash takes their meaning away.
pub(crate) fn fits(pattern: &str, number: &str) -> bool {
    let (pattern, number): (Vec<char>, Vec<char>) =
        (model(pattern).chars().collect(), model(number).chars().collect());
    let mut steps: Vec<Step> = vec![];
    let mut chars = pattern.into_iter();
    while let Some(c) = chars.next() {
        steps.push(match c {
            '*' => Step::Any,
            '?' => Step::One,
            '\\' => Step::Char(chars.next().unwrap_or('\\')),
            c => Step::Char(c),
        });
    }
    // Which beginnings of `number` the steps so far can stand for.
    let mut ends = vec![false; number.len() + 1];
    ends.first_mut().into_iter().for_each(|first| *first = true);
    for step in steps {
        ends = advance(&ends, step, &number);
    }
    ends.last().copied().unwrap_or(false)
}

fn advance(ends: &[bool], step: Step, number: &[char]) -> Vec<bool> {
    let reached = |n: usize| ends.get(n).copied().unwrap_or(false);
    let first = ends.iter().position(|end| *end).unwrap_or(usize::MAX);
    let one = |n: usize| match step {
        Step::Any => n >= first,
        Step::One => n > 0 && reached(n - 1),
        Step::Char(c) => n > 0 && reached(n - 1) && number.get(n - 1) == Some(&c),
    };
    (0..ends.len()).map(one).collect()
}

#[derive(Clone, Copy)]
enum Step {
    Any,
    One,
    Char(char),
}

/// Whether a model number has wildcards.
pub(crate) fn is_pattern(number: &str) -> bool {
    number.contains(['*', '?', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_product_has_one_key_however_it_is_written() {
        assert_eq!(
            Key::model("Siemens", "6ES7 511-1AK01-0AB0"),
            Key::model("SIEMENS ", "6es7511-1ak01-0ab0")
        );
        assert_eq!(Key::product("Acme", "PX  200"), Key::product("acme", " px\u{1f}200"));
        assert_ne!(Key::product("a", "b c"), Key::product("a b", "c"));
        assert_ne!(Key::name("x"), Key::purl("x"));
        assert!(Key::name(&"ä".repeat(4000)).as_str().len() <= MAX_KEY);
    }

    #[test]
    fn wildcards_stand_for_what_the_standard_says() {
        for (pattern, number, expected) in [
            ("6ES7511-1AK0?-0AB0", "6ES7 511-1AK01-0AB0", true),
            ("6ES7511-1AK0?-0AB0", "6ES7511-1AK0-0AB0", false),
            ("6ES751*", "6ES7518-4AP00-0AB0", true),
            ("6ES751*", "6ES7315-2EH14-0AB0", false),
            ("*-0AB0", "6ES7511-1AK01-0AB0", true),
            ("*-0AB0", "6ES7511-1AK01-0AB1", false),
            ("*", "", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("abc", "abcd", false),
        ] {
            assert_eq!(fits(pattern, number), expected, "{pattern} {number}");
        }
    }
}
