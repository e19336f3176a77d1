//! What the entries of a backup are called. A name that is none of these is refused, so none leads out of a folder.

/// A box whose place was taken, by the first half of the SHA-256 of its evidence key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Predecessor(String);

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The configuration in its canonical form.
    Config,
    /// The trust store in its stored form, not encrypted.
    Trust,
    /// The database.
    State,
    /// A signed receipt, by its file.
    Receipt(String),
    /// A file of the audit log of this box, or of one before it.
    Log(Predecessor, String),
    /// The evidence key of the same, in PEM.
    Key(Predecessor),
    /// What came with an image of the vault, by its digest.
    About([u8; 32]),
    /// The image itself.
    Image([u8; 32]),
}

impl Predecessor {
    /// The box with this evidence key.
    pub fn of(evidence_key: &[u8; 32]) -> Predecessor {
        Predecessor(crate::vault::hex(evidence_key).chars().take(DIGITS).collect())
    }

    /// Reads its name.
    pub fn parse(text: &str) -> Option<Predecessor> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == DIGITS && text.bytes().all(is_hex)).then(|| Predecessor(text.to_owned()))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Predecessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Entry {
    /// Reads a name.
    pub fn parse(name: &str) -> Option<Entry> {
        let parts: Vec<&str> = name.split('/').collect();
        Some(match parts.as_slice() {
            ["config"] => Entry::Config,
            ["trust"] => Entry::Trust,
            ["state"] => Entry::State,
            ["receipt", file] => Entry::Receipt(plain(file)?),
            ["log", of, file] => Entry::Log(Predecessor::parse(of)?, plain(file)?),
            ["key", of] => Entry::Key(Predecessor::parse(of)?),
            ["about", digest] => Entry::About(crate::vault::from_hex(digest)?),
            ["image", digest] => Entry::Image(crate::vault::from_hex(digest)?),
            _ => return None,
        })
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Entry::Config => f.write_str("config"),
            Entry::Trust => f.write_str("trust"),
            Entry::State => f.write_str("state"),
            Entry::Receipt(file) => write!(f, "receipt/{file}"),
            Entry::Log(of, file) => write!(f, "log/{of}/{file}"),
            Entry::Key(of) => write!(f, "key/{of}"),
            Entry::About(digest) => write!(f, "about/{}", crate::vault::hex(digest)),
            Entry::Image(digest) => write!(f, "image/{}", crate::vault::hex(digest)),
        }
    }
}

/// A file name of the store's own kind: letters, digits, `-`, `_` and `.`, not first.
fn plain(file: &str) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let good = (1..=MAX_FILE).contains(&file.len()) && !file.starts_with('.') && file.bytes().all(fits);
    good.then(|| file.to_owned())
}

/// Longest name of an entry in bytes.
pub(super) const MAX_NAME: usize = 128;
/// Longest file name in it.
const MAX_FILE: usize = 80;
/// Digits that name a predecessor.
const DIGITS: usize = 32;
