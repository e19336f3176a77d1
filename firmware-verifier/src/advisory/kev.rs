//! CISA's catalogue of known exploited vulnerabilities, as JSON.

use std::collections::BTreeSet;

use hal::clock::Wall;
use hal::reason::ReasonCode;
use serde::Deserialize;

use super::date;
use crate::reasons;

/// Largest catalogue in bytes; the real one has below 2 MB.
pub const MAX_KEV: usize = 16 << 20;
/// Most entries; the real one has below 2,000.
pub const MAX_ENTRIES: usize = 100_000;

/// CVEs that somebody is known to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kev {
    /// When the catalogue came out.
    pub released: Wall,
    cves: BTreeSet<String>,
}

impl Kev {
    /// Reads the catalogue.
    pub fn parse(bytes: &[u8]) -> Result<Kev, KevError> {
        if bytes.len() > MAX_KEV {
            return Err(KevError::TooLarge { found: bytes.len() });
        }
        let file: File = serde_json::from_slice(bytes)?;
        if file.vulnerabilities.is_empty() || file.vulnerabilities.len() > MAX_ENTRIES {
            return Err(KevError::Entries { found: file.vulnerabilities.len() });
        }
        let short = |text: &str| text.chars().take(80).collect::<String>();
        let released = date::read(&file.date_released)
            .ok_or_else(|| KevError::Field { field: "dateReleased", found: short(&file.date_released) })?;
        let mut cves = BTreeSet::new();
        for row in file.vulnerabilities {
            let cve = row.cve.trim().to_ascii_uppercase();
            if !cve.starts_with("CVE-") || cve.len() > 32 {
                return Err(KevError::Field { field: "cveID", found: short(&row.cve) });
            }
            cves.insert(cve);
        }
        Ok(Kev { released, cves })
    }

    /// Whether `cve` is in it.
    pub fn contains(&self, cve: &str) -> bool {
        self.cves.contains(&cve.to_ascii_uppercase())
    }

    /// How many CVEs it has.
    pub fn count(&self) -> usize {
        self.cves.len()
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "dateReleased")]
    date_released: String,
    vulnerabilities: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "cveID")]
    cve: String,
}

/// Why a file is no catalogue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KevError {
    /// Over the limit.
    #[error("{found} bytes, at most {MAX_KEV} are read")]
    TooLarge {
        /// How many.
        found: usize,
    },
    /// No JSON of this shape.
    #[error("no catalogue of known exploited vulnerabilities: {0}")]
    Json(#[from] serde_json::Error),
    /// None, or too many.
    #[error("{found} entries, expected 1 to {MAX_ENTRIES}")]
    Entries {
        /// How many.
        found: usize,
    },
    /// A field that says something else.
    #[error("{field} {found:?} cannot be read")]
    Field {
        /// Which.
        field: &'static str,
        /// Its text.
        found: String,
    },
}

impl KevError {
    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        reasons::ADVISORY_UNREADABLE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_catalogue_is_read_and_what_is_none_is_refused() {
        let row = r#"{"cveID": "CVE-2017-0145", "vendorProject": "Microsoft", "product": "SMBv1"}"#;
        let file =
            |rows: &str, date: &str| format!(r#"{{"dateReleased": "{date}", "vulnerabilities": [{rows}]}}"#);
        let kev = Kev::parse(file(row, "2024-05-01T14:00:05.1234Z").as_bytes()).unwrap();
        assert!(kev.contains("cve-2017-0145") && !kev.contains("CVE-2017-0146"));
        assert_eq!((kev.count(), kev.released.to_string().as_str()), (1, "2024-05-01T14:00:05.123Z"));
        for (what, text) in [
            ("no entry", file("", "2024-05-01")),
            ("no date", file(row, "yesterday")),
            ("no CVE", file(r#"{"cveID": "GHSA-1"}"#, "2024-05-01")),
            ("no catalogue", r#"{"document": {}}"#.into()),
        ] {
            assert!(Kev::parse(text.as_bytes()).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_catalogue_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Kev::parse(&bytes);
        }
    }
}
