//! Who an image is for: the slot, the product it is asked for, and what the controller says it is.
//!
//! Words come from configuration or from a controller's own answer (Modbus FC 43/14, CIP Identity, S7
//! SZL), so every string is bounded and free of control characters before anything else sees it.
//! Comparison ignores case and surrounding blanks, nothing else.

use hal::clock::Wall;
use serde::{Deserialize, Serialize};

/// Longest vendor, model or revision text in bytes. Modbus FC 43/14 objects are at most 245 bytes, real
/// ones below 40.
pub const MAX_TEXT: usize = 64;
/// Longest slot id in bytes; it is part of file names and MQTT topics.
pub const MAX_SLOT: usize = 64;

/// The place an image goes to: the id of a controller in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slot(String);

impl Slot {
    /// A slot id: 1 to [`MAX_SLOT`] of ASCII letters, digits, `-`, `_` and `.`, not starting with a dot.
    pub fn new(id: &str) -> Result<Slot, IdentityError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if id.is_empty() || id.len() > MAX_SLOT || id.starts_with('.') || !id.bytes().all(allowed) {
            return Err(IdentityError::Slot { found: shown(id) });
        }
        Ok(Slot(id.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Slot {
    type Error = IdentityError;
    fn try_from(id: String) -> Result<Slot, IdentityError> {
        Slot::new(&id)
    }
}

impl From<Slot> for String {
    fn from(slot: Slot) -> String {
        slot.0
    }
}

/// What an image is meant for, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    vendor: String,
    model: String,
}

impl Product {
    /// A product; both texts must hold something.
    pub fn new(vendor: &str, model: &str) -> Result<Product, IdentityError> {
        Ok(Product { vendor: required("vendor", vendor)?, model: required("model", model)? })
    }

    /// The vendor.
    pub fn vendor(&self) -> &str {
        &self.vendor
    }

    /// The model.
    pub fn model(&self) -> &str {
        &self.model
    }
}

impl std::fmt::Display for Product {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.vendor, self.model)
    }
}

/// What a controller said it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControllerIdentity {
    vendor: String,
    model: String,
    revision: String,
}

impl ControllerIdentity {
    /// An identity as it was read. A controller may leave a text empty; padding is cut off.
    pub fn new(vendor: &str, model: &str, revision: &str) -> Result<ControllerIdentity, IdentityError> {
        Ok(ControllerIdentity {
            vendor: bounded("vendor", vendor)?,
            model: bounded("model", model)?,
            revision: bounded("revision", revision)?,
        })
    }

    /// The vendor.
    pub fn vendor(&self) -> &str {
        &self.vendor
    }

    /// The model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The revision of the firmware it runs now.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

impl std::fmt::Display for ControllerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.vendor, self.model, self.revision)
    }
}

/// A value read from the world, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observed<T> {
    /// When it was read.
    pub at: Wall,
    /// What was read.
    pub value: T,
}

impl<T> Observed<T> {
    /// Whole seconds from the reading to `now`; `None` when either clock was not trusted or the reading
    /// lies in the future.
    pub fn age_s(&self, now: Wall) -> Option<u64> {
        let ms = now.ms.checked_sub(self.at.ms).and_then(|ms| u64::try_from(ms).ok())?;
        (now.trusted && self.at.trusted).then_some(ms / 1000)
    }
}

/// Text that names no controller or product.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A slot id with other characters or length.
    #[error("controller id {found:?} is not 1 to {MAX_SLOT} letters, digits, '-', '_' or '.'")]
    Slot {
        /// Its beginning.
        found: String,
    },
    /// Nothing but blanks.
    #[error("{field} is empty; name it as the controller does")]
    Empty {
        /// Which text.
        field: &'static str,
    },
    /// Longer than the limit.
    #[error("{field} has {len} bytes, more than {MAX_TEXT}")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// Its length.
        len: usize,
    },
    /// A control character inside.
    #[error("{field} {found:?} contains a control character")]
    Control {
        /// Which text.
        field: &'static str,
        /// Its beginning.
        found: String,
    },
}

/// Whether two names mean the same: blanks around them and case do not count.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}

/// `text` without padding, refused when too long or unprintable.
pub(crate) fn bounded(field: &'static str, text: &str) -> Result<String, IdentityError> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if text.len() > MAX_TEXT {
        return Err(IdentityError::TooLong { field, len: text.len() });
    }
    if text.chars().any(char::is_control) {
        return Err(IdentityError::Control { field, found: shown(text) });
    }
    Ok(text.to_owned())
}

/// As [`bounded`], and not empty.
pub(crate) fn required(field: &'static str, text: &str) -> Result<String, IdentityError> {
    let text = bounded(field, text)?;
    if text.is_empty() { Err(IdentityError::Empty { field }) } else { Ok(text) }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_and_case_do_not_count() {
        let read = ControllerIdentity::new("ACME \0\0", " PX-200\n", "").unwrap();
        assert_eq!((read.vendor(), read.model(), read.revision()), ("ACME", "PX-200", ""));
        assert!(same(read.vendor(), "acme") && !same(read.model(), "px-201"));
    }

    #[test]
    fn text_that_names_nothing_is_refused() {
        let long = "x".repeat(MAX_TEXT + 1);
        assert_eq!(Product::new("acme", " \0"), Err(IdentityError::Empty { field: "model" }));
        assert_eq!(
            Product::new(&long, "m"),
            Err(IdentityError::TooLong { field: "vendor", len: MAX_TEXT + 1 })
        );
        assert!(matches!(
            ControllerIdentity::new("a\u{1b}[2Jb", "", ""),
            Err(IdentityError::Control { field: "vendor", .. })
        ));
        for id in ["", "..", "a/b", "a b", "pump\n", &long] {
            assert!(Slot::new(id).is_err(), "{id}");
        }
        assert_eq!(Slot::new("pump-3").unwrap().as_str(), "pump-3");
    }

    #[test]
    fn an_age_needs_two_trusted_clocks_in_order() {
        let at = |ms, trusted| Observed { at: Wall { ms, trusted }, value: () };
        assert_eq!(at(1_000, true).age_s(Wall::trusted(3_900)), Some(2));
        assert_eq!(at(1_000, false).age_s(Wall::trusted(3_900)), None);
        assert_eq!(at(1_000, true).age_s(Wall { ms: 3_900, trusted: false }), None);
        assert_eq!(at(4_000, true).age_s(Wall::trusted(3_900)), None);
        assert_eq!(at(i64::MIN, true).age_s(Wall::trusted(i64::MAX)), None);
    }
}
