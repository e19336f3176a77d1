//! One entry of the audit log: what happened, as one line of canonical JSON (RFC 8785).
//!
//! Canonical means one form for one entry: keys in order, no spaces, no floats, nothing left out that has a value and
//! nothing written that has none. Pure. Whatever is put in, an entry can be written: a text that is too long is cut.

use hal::clock::Wall;
use hal::reason::ReasonCode;
use serde::{Deserialize, Serialize};

use super::tree::Hash;

/// Largest entry in bytes.
pub const MAX_ENTRY: usize = 8 << 10;
/// What the field `schema` says.
pub const SCHEMA: &str = "headgate/audit-entry/v1";
/// Longest fields in bytes, as JSON writes them. What makes an entry together stays below [`MAX_ENTRY`].
pub const MAX_ACTOR: usize = 256;
/// As [`MAX_ACTOR`].
pub const MAX_SUBJECT: usize = 512;
/// As [`MAX_ACTOR`].
pub const MAX_TEXT: usize = 6 << 10;

/// What kind of thing happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An image was judged.
    Verdict,
    /// An image may be loaded.
    Release,
    /// A release was withdrawn.
    Withdraw,
    /// A key was added to the trust store or taken out.
    Trust,
    /// A boot state was approved.
    Approval,
    /// The configuration changed.
    Config,
    /// A person acknowledged an alarm.
    AlarmAcknowledged,
    /// A case was opened or closed.
    Case,
    /// The gateway started.
    Start,
    /// The gateway stopped in order.
    Stop,
    /// The TPM measured a boot state.
    BootState,
    /// The clock was set or jumped.
    Time,
    /// A controller said what it runs.
    Identity,
    /// A kind that a later version wrote; never made here.
    Other(String),
}

/// What happened, without its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When. A time that the box had no reason to believe is marked so in the entry.
    pub at: Wall,
    /// Which kind.
    pub kind: Kind,
    /// Who: a user and role, the address of a station, `gateway`.
    pub actor: String,
    /// About what: a controller, a key id, a case.
    pub subject: String,
    /// In words.
    pub text: String,
    /// The reason, where there is one.
    pub code: Option<ReasonCode>,
    /// SHA-256 of the image, or of what else it is about.
    pub digest: Option<[u8; 32]>,
    /// How often it happened; more than once only where [`Coalesce`](super::Coalesce) counted.
    pub count: u64,
}

/// An event at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its index, from 0.
    pub n: u64,
    /// What happened.
    pub event: Event,
}

/// Bytes that are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Longer than any entry.
    #[error("an entry of {found} bytes, expected at most {MAX_ENTRY}")]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
    /// No JSON, or another object.
    #[error("no audit entry: {found}")]
    Json {
        /// What is wrong, and in which column.
        found: String,
    },
    /// Another schema.
    #[error("an entry of the schema {found:?}, expected {SCHEMA:?}")]
    Schema {
        /// The first 60 characters of it.
        found: String,
    },
    /// A field that holds no such value.
    #[error("the field {field} holds {found:?}, expected {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// The first 60 characters of its value.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The same content written another way.
    #[error(
        "the entry is not in its canonical form from byte {at} on: found {found:?}, expected {expected:?}"
    )]
    NotCanonical {
        /// First byte that differs, from 0.
        at: usize,
        /// At most 20 bytes from there.
        found: String,
        /// As found should be.
        expected: String,
    },
}

impl Event {
    /// An event without code and digest, that happened once.
    pub fn new(at: Wall, kind: Kind, actor: &str, subject: &str, text: &str) -> Event {
        let (actor, subject, text) = (actor.to_owned(), subject.to_owned(), text.to_owned());
        Event { at, kind, actor, subject, text, code: None, digest: None, count: 1 }
    }
}

impl Entry {
    /// The canonical line, without a line feed; at most [`MAX_ENTRY`] bytes.
    pub fn to_json(&self) -> String {
        let Event { at, kind, actor, subject, text, code, digest, count } = &self.event;
        let row = Row {
            actor: clip(actor, MAX_ACTOR),
            at: written(*at),
            at_trusted: (!at.trusted).then_some(false),
            code: code.filter(|c| (1000..=9999).contains(&c.0)).map(|c| c.to_string()), // others have no form
            count: (*count > 1).then_some((*count).min(MAX_INTEGER)),
            digest: digest.map(|d| Hash(d).to_string()),
            kind: Kind::parse(kind.name()).map_or("other".into(), |k| k.name().to_owned()),
            n: self.n,
            schema: SCHEMA.to_owned(),
            subject: clip(subject, MAX_SUBJECT),
            text: clip(text, MAX_TEXT),
        };
        serde_json::to_string(&row).expect("text and integers only")
    }

    /// Reads what [`Entry::to_json`] writes, and no other form of it.
    pub fn parse(line: &[u8]) -> Result<Entry, EntryError> {
        if line.len() > MAX_ENTRY {
            return Err(EntryError::TooLarge { found: line.len() });
        }
        let row: Row = serde_json::from_slice(line).map_err(|e| EntryError::Json { found: e.to_string() })?;
        if row.schema != SCHEMA {
            return Err(EntryError::Schema { found: row.schema.chars().take(60).collect() });
        }
        let field = |field, found: &str, expected| {
            let found = found.chars().take(60).collect();
            EntryError::Field { field, found, expected }
        };
        let at = row.at.parse::<Wall>().map_err(|_| field("at", &row.at, "a UTC time with milliseconds"))?;
        let code = match &row.code {
            None => None,
            Some(code) => Some(code.parse().map_err(|_| field("code", code, "a reason code"))?),
        };
        let digest = match &row.digest {
            None => None,
            Some(text) => {
                Some(Hash::from_hex(text).ok_or_else(|| field("digest", text, "64 hexadecimal digits"))?.0)
            }
        };
        let kind = Kind::parse(&row.kind).ok_or_else(|| field("kind", &row.kind, "a word in kebab case"))?;
        let event = Event {
            at: Wall { trusted: row.at_trusted.is_none(), ..at },
            kind,
            actor: row.actor,
            subject: row.subject,
            text: row.text,
            code,
            digest,
            count: row.count.unwrap_or(1),
        };
        let entry = Entry { n: row.n, event };
        match differs(line, entry.to_json().as_bytes()) {
            None => Ok(entry),
            Some((at, found, expected)) => Err(EntryError::NotCanonical { at, found, expected }),
        }
    }
}

impl Kind {
    /// As it is written.
    pub fn name(&self) -> &str {
        match self {
            Kind::Other(name) => name,
            known => KINDS.iter().find(|(_, kind)| kind == known).map_or("other", |(name, _)| name),
        }
    }

    /// Reads a kind; one that is not known is kept. `None` for what is no word of at most 32 letters, digits and
    /// hyphens.
    pub fn parse(text: &str) -> Option<Kind> {
        let known = KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| kind.clone());
        let is_word = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        known.or_else(|| is_word.then(|| Kind::Other(text.to_owned())))
    }
}

/// The kinds that this version writes.
pub const KINDS: [(&str, Kind); 13] = [
    ("verdict", Kind::Verdict),
    ("release", Kind::Release),
    ("withdraw", Kind::Withdraw),
    ("trust", Kind::Trust),
    ("approval", Kind::Approval),
    ("config", Kind::Config),
    ("alarm-acknowledged", Kind::AlarmAcknowledged),
    ("case", Kind::Case),
    ("start", Kind::Start),
    ("stop", Kind::Stop),
    ("boot-state", Kind::BootState),
    ("time", Kind::Time),
    ("identity", Kind::Identity),
];

/// As JSON has it: the keys in the order of RFC 8785 §3.2.3, in which serde writes them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    actor: String,
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_trusted: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    kind: String,
    n: u64,
    schema: String,
    subject: String,
    text: String,
}

/// A time as RFC 3339, held back to what that can write and `Wall` reads.
pub(super) fn written(at: Wall) -> String {
    Wall { ms: at.ms.clamp(0, LATEST_MS), ..at }.to_string()
}

/// Where two texts part, and what each has from there.
fn differs(found: &[u8], expected: &[u8]) -> Option<(usize, String, String)> {
    if found == expected {
        return None;
    }
    let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let from = |bytes: &[u8]| String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 20)]).into_owned();
    Some((at, from(found), from(expected)))
}

/// The beginning of `text` that JSON writes in `limit` bytes, with an ellipsis where something is missing.
fn clip(text: &str, limit: usize) -> String {
    let written = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2, // RFC 8785 §3.2.2.2
        c if c < ' ' => 6,
        c => c.len_utf8(),
    };
    let (mut len, mut end) = (0, None);
    for (at, c) in text.char_indices() {
        if end.is_none() && len + written(c) + ELLIPSIS.len() > limit {
            end = Some(at);
        }
        len += written(c);
        if len > limit {
            return format!("{}{ELLIPSIS}", &text[..end.unwrap_or(at)]);
        }
    }
    text.to_owned()
}

const ELLIPSIS: &str = "\u{2026}";
/// 9999-12-31T23:59:59.999Z, the last time that RFC 3339 can write.
const LATEST_MS: i64 = 253_402_300_799_999;
/// 2^53 - 1, the largest integer that every reader of JSON reads exactly (RFC 7493 §2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> Entry {
        let event = Event {
            code: Some(ReasonCode(1012)),
            digest: Some([0xab; 32]),
            ..Event::new(
                Wall::trusted(1_795_342_500_250),
                Kind::Verdict,
                "gateway",
                "line-1",
                "refused: \"x\"\n",
            )
        };
        Entry { n: 7, event }
    }

    #[test]
    fn what_is_no_entry_is_refused_by_name() {
        let good = entry().to_json();
        let json = |found: &str| found.to_owned();
        let cases = [
            ("nothing", String::new(), "no audit entry"),
            ("an array", json("[]"), "no audit entry"),
            ("a missing field", good.replace("\"n\":7,", ""), "missing field `n`"),
            ("an unknown field", good.replace("\"n\":7,", "\"m\":1,\"n\":7,"), "unknown field `m`"),
            ("a field twice", good.replace("\"n\":7,", "\"n\":7,\"n\":7,"), "duplicate field `n`"),
            ("a float", good.replace(":7,", ":7.0,"), "floating point"),
            ("something behind", format!("{good}x"), "trailing characters"),
            ("another schema", good.replace("/v1", "/v2"), "schema \"headgate/audit-entry/v2\""),
            ("a date that is none", good.replace("2026-11-22", "2026-02-30"), "field at holds"),
            ("an unknown code", good.replace("HG-1012", "HG-12"), "field code holds"),
            ("a short digest", good.replace("abab", "ab"), "field digest holds"),
            ("no kind", good.replace("\"verdict\"", "\"Verdict\""), "field kind holds"),
            ("a space", good.replace(":7,", ": 7,"), "canonical form from byte"),
            (
                "keys in another order",
                good.replacen("{\"actor\":\"gateway\",", "{", 1)
                    .replace("\"n\":7", "\"actor\":\"gateway\",\"n\":7"),
                "canonical form from byte 3",
            ),
            ("a time without milliseconds", good.replace(".250Z", "Z"), "canonical form"),
            ("a count of one", good.replace(",\"digest\"", ",\"count\":1,\"digest\""), "canonical form"),
            (
                "a trusted time that says so",
                good.replace("\",\"code\"", "\",\"at_trusted\":true,\"code\""),
                "canonical form",
            ),
            ("an escape that is not needed", good.replace("line-1", "line\\u002d1"), "canonical form"),
            ("a text beyond its limit", good.replace("refused", &"x".repeat(MAX_TEXT)), "canonical form"),
            ("too large", " ".repeat(MAX_ENTRY + 1), "8193 bytes, expected at most 8192"),
        ];
        for (what, line, says) in cases {
            let error = Entry::parse(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{what}: {error}");
        }
    }

    #[test]
    fn an_entry_is_one_line_with_its_keys_in_order() {
        let line =
            "{\"actor\":\"gateway\",\"at\":\"2026-11-22T10:15:00.250Z\",\"code\":\"HG-1012\",\"digest\":\""
                .to_owned()
                + &"ab".repeat(32)
                + "\",\"kind\":\"verdict\",\"n\":7,\"schema\":\"headgate/audit-entry/v1\",\"subject\":\"line-1\",\"text\":\"refused: \\\"x\\\"\\n\"}";
        assert_eq!(entry().to_json(), line);
        assert_eq!(Entry::parse(line.as_bytes()), Ok(entry()));
    }

    #[test]
    fn a_kind_of_a_later_version_is_kept() {
        let line = entry().to_json().replace("\"verdict\"", "\"moon-phase\"");
        let read = Entry::parse(line.as_bytes()).unwrap();
        assert_eq!((read.event.kind.clone(), read.to_json()), (Kind::Other("moon-phase".into()), line));
        for (name, kind) in KINDS {
            assert_eq!((kind.name(), Kind::parse(name)), (name, Some(kind.clone())));
        }
    }

    #[test]
    fn a_time_nobody_believes_is_marked_and_one_beyond_writing_is_held_back() {
        let mut entry = entry();
        entry.event.at = Wall { ms: 5, trusted: false };
        assert!(entry.to_json().contains("\"at\":\"1970-01-01T00:00:00.005Z\",\"at_trusted\":false,"));
        assert_eq!(Entry::parse(entry.to_json().as_bytes()), Ok(entry.clone()));
        entry.event.at.ms = i64::MAX;
        assert!(Entry::parse(entry.to_json().as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_happens_can_be_written_and_reads_back(
            n in 0u64..1 << 53, ms in any::<i64>(), trusted in any::<bool>(), kind in 0usize..14, count in any::<u64>(),
            actor in "\\PC{0,300}|[\\x00-\\x20]{0,300}", subject in "\\PC{0,600}", text in "\\PC{0,3000}|[\"\\x00-\\x20]{0,7000}",
            code in prop::option::of(any::<u16>()), digest in prop::option::of(any::<[u8; 32]>()),
        ) {
            let other = || Kind::Other(actor.clone());
            let kind = KINDS.get(kind).map_or_else(other, |(_, kind)| kind.clone());
            let event = Event {
                code: code.map(ReasonCode), digest, count,
                ..Event::new(Wall { ms, trusted }, kind, &actor, &subject, &text)
            };
            let line = Entry { n, event }.to_json();
            prop_assert!(line.len() <= MAX_ENTRY && !line.contains('\n'));
            let read = Entry::parse(line.as_bytes()).unwrap();
            prop_assert_eq!(read.to_json(), line);
            let kept = read.event.text.strip_suffix(ELLIPSIS).unwrap_or(&read.event.text);
            prop_assert!(text.starts_with(kept));
        }

        #[test]
        fn any_bytes_are_read_or_refused(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::parse(&line);
        }
    }
}
