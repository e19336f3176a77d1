//! Names of the Common Platform Enumeration: formatted strings of version 2.3 (NIST IR 7695, 6.2) and the URI of
//! version 2.2, which CSAF still takes (6.1).

use super::percent;

/// Longest name in bytes.
pub const MAX_CPE: usize = 1024;

/// A CPE name, as far as it names a product and a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpe {
    part: Attribute,
    vendor: Attribute,
    product: Attribute,
    version: Attribute,
    update: Attribute,
}

/// The value of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `*`.
    Any,
    /// `-`: there is none.
    NotApplicable,
    /// A value, in lower case and without escapes.
    Value(String),
    /// A value with wildcards.
    Pattern,
}

impl Attribute {
    /// The value, when it is one.
    pub fn value(&self) -> Option<&str> {
        match self {
            Attribute::Value(value) => Some(value),
            _ => None,
        }
    }
}

impl Cpe {
    /// Reads `cpe:2.3:part:vendor:product:version:...` or `cpe:/part:vendor:product:version:...`.
    pub fn parse(text: &str) -> Result<Cpe, CpeError> {
        let bad = |why| CpeError { found: text.chars().take(80).collect(), why };
        if text.len() > MAX_CPE {
            return Err(bad("it is longer than 1024 bytes"));
        }
        let attributes: Vec<Attribute> = match (text.strip_prefix("cpe:2.3:"), text.strip_prefix("cpe:/")) {
            (Some(rest), _) => {
                let parts = split(rest);
                if parts.len() != ATTRIBUTES {
                    return Err(bad("it has not the 11 attributes of CPE 2.3"));
                }
                parts.iter().map(|part| formatted(part)).collect::<Option<_>>()
            }
            (_, Some(rest)) if rest.split(':').count() <= URI_PARTS => {
                rest.split(':').map(uri).collect::<Option<_>>()
            }
            (_, Some(_)) => return Err(bad("it has more than the 7 parts of CPE 2.2")),
            _ => return Err(bad("it begins with neither cpe:2.3: nor cpe:/")),
        }
        .ok_or_else(|| bad("one of its attributes is empty or wrongly escaped"))?;
        let mut attributes = attributes.into_iter();
        let mut next = || attributes.next().unwrap_or(Attribute::Any);
        let (part, vendor, product, version, update) = (next(), next(), next(), next(), next());
        if !matches!(&part, Attribute::Any | Attribute::NotApplicable)
            && !part.value().is_some_and(|part| matches!(part, "a" | "o" | "h"))
        {
            return Err(bad("its part is none of a, o and h"));
        }
        Ok(Cpe { part, vendor, product, version, update })
    }

    /// Vendor and product; `None` where one of them is not a single value, as that would fit any product.
    pub fn product(&self) -> Option<(&str, &str)> {
        Some((self.vendor.value()?, self.product.value()?))
    }

    /// The version with its update: a value, or `Any`, `NotApplicable`, `Pattern`.
    pub fn version(&self) -> Attribute {
        match (&self.version, &self.update) {
            (Attribute::Value(version), Attribute::Value(update)) => {
                Attribute::Value(format!("{version} {update}"))
            }
            (Attribute::Value(_), Attribute::Pattern) => Attribute::Pattern,
            (version, _) => version.clone(),
        }
    }
}

/// Parts between colons that no backslash stands before.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut is_escaped) = (vec![], 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b':' => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

fn formatted(part: &str) -> Option<Attribute> {
    match part {
        "" => return None,
        "*" => return Some(Attribute::Any),
        "-" => return Some(Attribute::NotApplicable),
        _ => {}
    }
    let (mut out, mut chars, mut is_pattern) = (String::new(), part.chars(), false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?),
            '*' | '?' => is_pattern = true,
            c if c.is_whitespace() || c.is_control() => return None,
            c => out.push(c),
        }
    }
    Some(if is_pattern { Attribute::Pattern } else { Attribute::Value(out.to_lowercase()) })
}

fn uri(part: &str) -> Option<Attribute> {
    match part {
        "" => return Some(Attribute::Any),
        "-" => return Some(Attribute::NotApplicable),
        // 6.1.2.3: the escapes of ? and *.
        _ if part.contains("%01") || part.contains("%02") => return Some(Attribute::Pattern),
        _ => {}
    }
    let text = percent::decode(part)?;
    let is_clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    is_clean.then(|| Attribute::Value(text.to_lowercase()))
}

/// Attributes of a formatted string.
const ATTRIBUTES: usize = 11;
/// Parts of a URI.
const URI_PARTS: usize = 7;

/// Text that is no CPE name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no CPE name: {why}")]
pub struct CpeError {
    /// Its beginning.
    pub found: String,
    /// What is wrong.
    pub why: &'static str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_both_versions_are_read_and_others_are_not() {
        let value = |text: &str| Attribute::Value(text.into());
        for (text, expected) in [
            (
                "cpe:2.3:o:siemens:simatic_s7-1500_firmware:2.9.4:*:*:*:*:*:*:*",
                Some((Some(("siemens", "simatic_s7-1500_firmware")), value("2.9.4"))),
            ),
            (
                r"cpe:2.3:a:foo\\bar:Big\$money\:2:1\.0:sp1:*:*:*:*:*:*",
                Some((Some((r"foo\bar", "big$money:2")), value("1.0 sp1"))),
            ),
            (
                "cpe:2.3:h:siemens:s7:-:*:*:*:*:*:*:*",
                Some((Some(("siemens", "s7")), Attribute::NotApplicable)),
            ),
            ("cpe:2.3:a:*:openssl:1.0.2:k:*:*:*:*:*:*", Some((None, value("1.0.2 k")))),
            ("cpe:2.3:a:open*:openssl:*:*:*:*:*:*:*:*", Some((None, Attribute::Any))),
            ("cpe:2.3:a:x:y:2.?:*:*:*:*:*:*:*", Some((Some(("x", "y")), Attribute::Pattern))),
            (
                "cpe:/o:redhat:enterprise_linux:7.1",
                Some((Some(("redhat", "enterprise_linux")), value("7.1"))),
            ),
            ("cpe:/a:x:y%21", Some((Some(("x", "y!")), Attribute::Any))),
            ("cpe:/a:x:y:%02", Some((Some(("x", "y")), Attribute::Pattern))),
            ("cpe:2.3:a:x:y:1:*:*:*:*:*:*", None),
            ("cpe:2.3:a:x:y:1:*:*:*:*:*:*:*:*", None),
            ("cpe:2.3:z:x:y:1:*:*:*:*:*:*:*", None),
            ("cpe:2.3:a::y:1:*:*:*:*:*:*:*", None),
            (r"cpe:2.3:a:x:y:1:*:*:*:*:*:*:\", None),
            ("cpe:/a:x:%zz", None),
            ("cpe:/a:1:2:3:4:5:6:7", None),
            ("", None),
        ] {
            let found = Cpe::parse(text).ok();
            assert_eq!(found.as_ref().map(|c| (c.product(), c.version())), expected, "{text}");
        }
        assert!(Cpe::parse(&format!("cpe:/a:{}", "x".repeat(MAX_CPE))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_refused(text in "(cpe:2.3:|cpe:/)?[aoh:*?\\\\%.-]{0,40}") {
            let _ = Cpe::parse(&text);
        }

        #[test]
        fn values_read_back_through_their_escapes(vendor in "[!-~]{1,8}", product in "[!-~]{1,8}") {
            let escape = |text: &str| text.chars().flat_map(|c| ['\\', c]).collect::<String>();
            let text = format!("cpe:2.3:a:{}:{}:*:*:*:*:*:*:*:*", escape(&vendor), escape(&product));
            let cpe = Cpe::parse(&text).unwrap();
            let (vendor, product) = (vendor.to_lowercase(), product.to_lowercase());
            prop_assert_eq!(cpe.product(), Some((vendor.as_str(), product.as_str())));
        }
    }
}
