//! Where in an image something lies, in words.

use super::Limits;

/// A way into the image: containers and names, e.g. `gzip@0x40 > cpio@0x0:bin/busybox`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place(String);

impl Place {
    /// The image itself.
    pub(super) fn image() -> Place {
        Place::default()
    }

    /// What begins at this offset of it.
    pub(super) fn container(&self, format: &str, offset: usize) -> Place {
        let between = if self.0.is_empty() { "" } else { " > " };
        Place(format!("{}{between}{format}@{offset:#x}", self.0))
    }

    /// An entry of it.
    pub(super) fn entry(&self, name: &str) -> Place {
        Place(format!("{}:{name}", self.0))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// A name as an archive says it, fit to be shown: no control characters, no more than is allowed.
pub(super) fn shown(name: &[u8], limits: &Limits) -> String {
    let text = String::from_utf8_lossy(name.get(..limits.name).unwrap_or(name));
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::new(), |mut out, c| {
        if bad(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// Why a careless unpacker would write elsewhere when it meets this name.
pub(super) fn leads_out(name: &[u8]) -> Option<&'static str> {
    if name.starts_with(b"/") {
        return Some("begins at the root");
    }
    if name.split(|b| *b == b'/' || *b == b'\\').any(|part| part == b"..") {
        return Some("leads to a folder above");
    }
    name.contains(&0).then_some("has a NUL in it")
}

/// Whether a link in the folder of `name` leads above the root of its archive. An absolute one stays below the root of the
/// device that it is for.
pub(super) fn link_leads_out(name: &[u8], target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return false;
    }
    let parts =
        |path: &[u8]| path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").count() as i64;
    let mut depth = parts(name) - 1;
    for part in target.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".") {
        depth += if part == b".." { -1 } else { 1 };
        if depth < 0 {
            return true;
        }
    }
    false
}
