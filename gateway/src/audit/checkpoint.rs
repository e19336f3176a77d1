//! Checkpoints as signed notes: what an auditor keeps of the log (c2sp.org/tlog-checkpoint, c2sp.org/signed-note).
//!
//! Pure, and signs nothing: it gives the text to sign and takes the signature. The signature is ECDSA on P-256 with
//! SHA-256 in ASN.1 DER, type 0x02 of the specification, whose key id is the beginning of the SHA-256 of the public
//! key in DER. Signature lines of other keys are kept and skipped, as the specification asks.
//!
//! Invariant: what was parsed and what was built are written byte for byte alike, so a signature stays good.

mod key;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use key::{KeyError, LogKey};

use super::tree::Hash;

/// Largest note that is read, in bytes. Post-quantum signatures of 16 witnesses (c2sp.org/signed-note asks for
/// 16, of nearly 5 kB each) would fit; the notes of this log have a few hundred.
pub const MAX_NOTE: usize = 128 << 10;
/// Most signature lines; c2sp.org/signed-note asks for at least 16.
pub const MAX_SIGNATURES: usize = 32;
/// Longest origin and key name in bytes.
pub const MAX_NAME: usize = 255;

/// Why a text is no signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the checkpoint: found {found:?}, expected {expected}")]
pub struct NoteError {
    /// Line, from 1; 0 for the note as a whole.
    pub line: usize,
    /// The first 60 characters of what is there.
    pub found: String,
    /// What should be.
    pub expected: &'static str,
}

/// What a log says of itself at one size; not signed by being one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log it is.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree of these entries.
    pub root: Hash,
    /// Lines of no meaning here. The log writes none: the specification advises against them.
    pub extensions: Vec<String>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Key id: with the name, which key and algorithm it is.
    pub id: [u8; 4],
    /// The signature itself.
    pub bytes: Vec<u8>,
}

/// A checkpoint and the signatures below it, none of them checked by being here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// In the order of the lines; at least one.
    pub signatures: Vec<NoteSignature>,
}

/// Why a note is not the log's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// No line is of the log's key.
    #[error("signed by {found}, expected the key {expected}")]
    OtherKey {
        /// Names and ids of the keys that did sign.
        found: String,
        /// Name and id of the log's key.
        expected: String,
    },
    /// A line claims the log's key, and is not its signature.
    #[error("the signature of {key} does not fit the text")]
    Wrong {
        /// Name and id of the log's key.
        key: String,
    },
    /// Another log, signed by the same key.
    #[error("the checkpoint is of the log {found:?}, expected {expected:?}")]
    Origin {
        /// Its origin.
        found: String,
        /// This log's.
        expected: String,
    },
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64());
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

impl Note {
    /// Puts the log's signature, in DER, below a checkpoint.
    pub fn signed(checkpoint: Checkpoint, key: &LogKey, signature: &[u8]) -> Note {
        let line = NoteSignature { name: key.name().to_owned(), id: key.id(), bytes: signature.to_vec() };
        Note { checkpoint, signatures: vec![line] }
    }

    /// Reads a signed checkpoint. Says nothing of whether a signature is good: [`Note::verify`] does.
    pub fn parse(note: &str) -> Result<Note, NoteError> {
        let whole = |expected| NoteError { line: 0, found: clip(note), expected };
        if note.len() > MAX_NOTE {
            return Err(whole("at most 128 KiB"));
        }
        if note.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(whole("no control characters"));
        }
        // The text ends at the last empty line (signed-note, Format); that of a checkpoint has none.
        let (text, signatures) =
            note.rsplit_once("\n\n").ok_or_else(|| whole("an empty line above signatures"))?;
        let checkpoint = parse_text(text)?;
        let first = text.split('\n').count() + 2;
        let signatures = parse_signatures(signatures, first)?;
        Ok(Note { checkpoint, signatures })
    }

    /// Checks that the log's key signed this checkpoint of the log of that name. A line that claims this key and
    /// is not good spoils the note, whatever else is there.
    pub fn verify(&self, key: &LogKey) -> Result<&Checkpoint, SignatureError> {
        let ours = |s: &&NoteSignature| s.name == key.name() && s.id == key.id();
        let mut lines = self.signatures.iter().filter(ours).peekable();
        if lines.peek().is_none() {
            let found: Vec<String> =
                self.signatures.iter().take(3).map(|s| key::label(&s.name, s.id)).collect();
            return Err(SignatureError::OtherKey { found: found.join(", "), expected: key.label() });
        }
        let text = self.checkpoint.text();
        if !lines.all(|line| key.accepts(text.as_bytes(), &line.bytes)) {
            return Err(SignatureError::Wrong { key: key.label() });
        }
        if self.checkpoint.origin != key.name() {
            let (found, expected) = (self.checkpoint.origin.clone(), key.name().to_owned());
            return Err(SignatureError::Origin { found, expected });
        }
        Ok(&self.checkpoint)
    }
}

/// As it is kept and handed on.
impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.checkpoint.text())?;
        for NoteSignature { name, id, bytes } in &self.signatures {
            writeln!(f, "{DASH}{name} {}", STANDARD.encode([&id[..], bytes].concat()))?;
        }
        Ok(())
    }
}

/// The lines above the empty one; `text` is without its last line feed.
fn parse_text(text: &str) -> Result<Checkpoint, NoteError> {
    let mut lines = (1..).zip(text.split('\n'));
    let mut next = |expected| match lines.next() {
        Some((line, "")) => Err(NoteError { line, found: String::new(), expected }),
        Some(found) => Ok(found),
        None => Err(NoteError { line: text.split('\n').count() + 1, found: String::new(), expected }),
    };
    let (line, origin) = next("the log's origin")?;
    if origin.len() > MAX_NAME {
        return Err(NoteError { line, found: clip(origin), expected: "an origin of at most 255 bytes" });
    }
    let (line, size) = next(SIZE)?;
    let number = size.parse::<u64>().ok().filter(|n| n.to_string() == size);
    let number = number.ok_or_else(|| NoteError { line, found: clip(size), expected: SIZE })?;
    let (line, root) = next(ROOT)?;
    let hash =
        Hash::from_base64(root).ok_or_else(|| NoteError { line, found: clip(root), expected: ROOT })?;
    let mut extensions = Vec::new();
    for (line, extension) in lines {
        if extension.is_empty() {
            return Err(NoteError {
                line,
                found: String::new(),
                expected: "an extension line that is not empty",
            });
        }
        extensions.push(extension.to_owned());
    }
    Ok(Checkpoint { origin: origin.to_owned(), size: number, root: hash, extensions })
}

fn parse_signatures(lines: &str, first: usize) -> Result<Vec<NoteSignature>, NoteError> {
    let bad = |line, found: &str, expected| NoteError { line, found: clip(found), expected };
    let body =
        lines.strip_suffix('\n').ok_or_else(|| bad(first, lines, "a signature line and a line feed"))?;
    let mut signatures = Vec::new();
    for (line, text) in (first..).zip(body.split('\n')) {
        let fields = text.strip_prefix(DASH).and_then(|rest| rest.split_once(' '));
        let (name, encoded) =
            fields.ok_or_else(|| bad(line, text, "an em dash, a key name and a signature"))?;
        if !key::is_name(name) {
            return Err(bad(line, name, "a key name without spaces and '+', of at most 255 bytes"));
        }
        let decoded = STANDARD.decode(encoded).ok();
        let (id, bytes) = decoded
            .as_deref()
            .and_then(<[u8]>::split_first_chunk::<4>)
            .ok_or_else(|| bad(line, encoded, "standard Base64 of four bytes of key id and a signature"))?;
        if signatures.len() == MAX_SIGNATURES {
            return Err(bad(line, text, "at most 32 signatures"));
        }
        signatures.push(NoteSignature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() });
    }
    Ok(signatures)
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

const SIZE: &str = "the number of entries, decimal and without leading zeroes";
const ROOT: &str = "the root in standard Base64, 44 characters";
/// U+2014 and a space begin a signature line (signed-note, Format).
const DASH: &str = "\u{2014} ";
