//! Reason codes: why something was refused or what went wrong, as `HG-nnnn`.
//!
//! The type lives here so that every crate can speak it; each crate owns the table of its own codes and
//! the gateway joins them. A code is never reused and never changes its meaning.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A reason, printed as `HG-nnnn`. The thousands name the area: 1 signature and trust, 2 manifest and
/// identity, 3 SBOM and vulnerabilities, 4 policy and workflow, 5 rollback and freshness, 6 conduit and
/// protocol, 7 gateway and TPM, 8 alarm feed, 9 signals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(pub u16);

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HG-{:04}", self.0)
    }
}

impl std::fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// As it prints, so that a program and a person search for the same text.
impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReasonCode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ReasonCode, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Reads `HG-1012`, `hg-1012` or `1012`.
impl std::str::FromStr for ReasonCode {
    type Err = NotACode;
    fn from_str(text: &str) -> Result<ReasonCode, NotACode> {
        let digits = text.strip_prefix("HG-").or_else(|| text.strip_prefix("hg-")).unwrap_or(text);
        match digits.parse::<u16>() {
            Ok(n @ 1000..=9999) if digits.len() == 4 => Ok(ReasonCode(n)),
            _ => Err(NotACode),
        }
    }
}

/// Text that is no reason code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reason code looks like HG-1012")]
pub struct NotACode;

/// Who can mend what a reason code reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The engineer at the station, or whoever stages the update.
    Engineer,
    /// The vendor of the controller or of its firmware.
    Vendor,
    /// Whoever holds the site key or approves updates.
    Approver,
    /// Whoever looks after the gateway itself.
    Integrator,
    /// The plant's operator.
    Operator,
}

/// One row of the reason table: what `headgate explain`, the alarms and the docs are made from.
#[derive(Debug, Clone, Copy)]
pub struct Reason {
    /// The code.
    pub code: ReasonCode,
    /// A few words, lower case, as an alarm list shows them.
    pub title: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What most often causes it.
    pub cause: &'static str,
    /// What to do next.
    pub next: &'static str,
    /// Who can do it.
    pub who: Who,
    /// The process exit code of a command that ends for this reason (`docs/cli.md`).
    pub exit: u8,
}

/// Defines one constant for each code, and `REASONS`, the table of them all. A row is: name, number, exit
/// code, who can mend it, title, meaning, cause, next step.
#[macro_export]
macro_rules! reasons {
    ($($name:ident $number:literal $exit:literal $who:ident $title:literal
        $meaning:literal $cause:literal $next:literal;)*) => {
        $(#[doc = $meaning] pub const $name: $crate::reason::ReasonCode = $crate::reason::ReasonCode($number);)*
        /// The rows of this crate, ascending by code.
        pub const REASONS: &[$crate::reason::Reason] = &[$($crate::reason::Reason {
            code: $name, title: $title, meaning: $meaning, cause: $cause, next: $next,
            who: $crate::reason::Who::$who, exit: $exit,
        }),*];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_as_it_prints() {
        for n in [1000, 1012, 9999] {
            assert_eq!(ReasonCode(n).to_string().parse(), Ok(ReasonCode(n)));
        }
        for text in ["", "HG-", "HG-12", "HG-99999", "HG-0999", "HG-+123", "1e10"] {
            assert_eq!(text.parse::<ReasonCode>(), Err(NotACode), "{text}");
        }
    }
}
