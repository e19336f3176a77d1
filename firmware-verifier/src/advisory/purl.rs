//! Package URLs (package-url/purl-spec, "How to parse a purl string in its components").
//!
//! Qualifiers and subpath are checked for their shape and left aside: they tell builds of one package apart, and
//! advisories are about the package. For matching, case never tells two packages apart.

use super::percent;

/// Longest package URL in bytes.
pub const MAX_PURL: usize = 1024;

/// A package URL, as far as it names a package and a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purl {
    kind: String,
    namespace: Vec<String>,
    name: String,
    version: Option<String>,
}

impl Purl {
    /// Reads `pkg:type/namespace/name@version?qualifiers#subpath`.
    pub fn parse(text: &str) -> Result<Purl, PurlError> {
        let bad = |why| PurlError { found: text.chars().take(80).collect(), why };
        if text.len() > MAX_PURL {
            return Err(bad("it is longer than 1024 bytes"));
        }
        let rest = text.trim();
        let scheme = rest.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("pkg:"));
        let rest = scheme.and_then(|_| rest.get(4..)).ok_or_else(|| bad("it does not begin with pkg:"))?;
        let rest = rest.rsplit_once('#').map_or(rest, |(rest, _)| rest);
        let rest = rest.rsplit_once('?').map_or(rest, |(rest, _)| rest);
        let (kind, rest) =
            rest.trim_matches('/').split_once('/').ok_or_else(|| bad("it has no type and name"))?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
        if !kind.bytes().all(allowed) || !kind.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(bad("its type is none"));
        }
        // An @ that begins a segment is part of a name (npm's scopes, where they are not encoded).
        let (path, version) = match rest.rsplit_once('@') {
            Some((path, version)) if !path.ends_with('/') && !path.is_empty() => (path, Some(version)),
            Some((path, _))
                if path.rsplit('/').nth(1).is_none() && rest.starts_with('@') && !rest.contains('/') =>
            {
                return Err(bad("it has no name"));
            }
            _ => (rest, None),
        };
        let decoded = |part: &str| percent::decode(part).ok_or_else(|| bad("its percent-encoding is wrong"));
        let mut segments: Vec<String> =
            path.split('/').filter(|s| !s.is_empty()).map(decoded).collect::<Result<_, _>>()?;
        let name = segments.pop().filter(|name| !name.is_empty()).ok_or_else(|| bad("it has no name"))?;
        let version = version.map(decoded).transpose()?.filter(|version| !version.is_empty());
        Ok(Purl { kind: kind.to_ascii_lowercase(), namespace: segments, name, version })
    }

    /// Its type, in lower case: `deb`, `generic`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The name of the package.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// What all versions of the package have in common; two packages that differ in case alone are one.
    pub fn package(&self) -> String {
        let mut parts = vec![self.kind.clone()];
        parts.extend(
            self.namespace.iter().chain([&self.name]).map(|part| part.to_lowercase().replace('/', "%2f")),
        );
        let text = parts.join("/");
        // The purl specification, type pypi: an underscore is a dash.
        if self.kind == "pypi" { text.replace('_', "-") } else { text }
    }
}

/// Text that is no package URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no package URL: {why}")]
pub struct PurlError {
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
    fn package_urls_of_the_specification_are_read_and_others_are_not() {
        for (text, expected) in [
            (
                "pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=jessie",
                Some(("deb/debian/curl", Some("7.50.3-1"))),
            ),
            ("pkg:npm/%40angular/animation@12.3.1", Some(("npm/@angular/animation", Some("12.3.1")))),
            ("pkg:npm/@angular/animation", Some(("npm/@angular/animation", None))),
            (
                "pkg:golang/google.golang.org/genproto#googleapis/api",
                Some(("golang/google.golang.org/genproto", None)),
            ),
            ("pkg:GitHub/Package-url/Purl-Spec@244fd", Some(("github/package-url/purl-spec", Some("244fd")))),
            ("pkg:pypi/Django_Package@1.11", Some(("pypi/django-package", Some("1.11")))),
            ("pkg:deb/debian/libstdc%2B%2B6@1%3A12-3", Some(("deb/debian/libstdc++6", Some("1:12-3")))),
            (
                "pkg:generic/siemens/6es7315-2eh14-0ab0@3.2.17?checksum=sha256:00",
                Some(("generic/siemens/6es7315-2eh14-0ab0", Some("3.2.17"))),
            ),
            ("pkg://maven//org.apache/xml", Some(("maven/org.apache/xml", None))),
            ("pkg:maven/@1.3.4", None),
            ("pkg:maven/", None),
            ("pkg:maven", None),
            ("pkg:1a/x", None),
            ("pkg:a b/x", None),
            ("maven/x@1", None),
            ("pkg:deb/%zz", None),
            ("pkg:deb/%ff", None),
            ("", None),
        ] {
            let found = Purl::parse(text).ok();
            let shown = found.as_ref().map(|p| (p.package(), p.version().map(String::from)));
            let expected = expected.map(|(p, v)| (p.to_owned(), v.map(String::from)));
            assert_eq!(shown, expected, "{text}");
        }
        assert!(Purl::parse(&format!("pkg:deb/{}", "x".repeat(MAX_PURL))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_package_url_or_refused(text in "(pkg:)?[a-z/@?#%:.]{0,30}") {
            let _ = Purl::parse(&text);
        }

        #[test]
        fn names_and_versions_read_back_through_their_encoding(ns in "\\PC{1,8}", name in "\\PC{1,8}", v in "\\PC{1,8}") {
            let text = format!("pkg:generic/{}/{}@{}", percent::encode(&ns), percent::encode(&name), percent::encode(&v));
            let purl = Purl::parse(&text).unwrap();
            prop_assert_eq!((purl.name(), purl.version()), (name.as_str(), Some(v.as_str())));
            prop_assert_eq!(purl.namespace, vec![ns]);
        }
    }
}
