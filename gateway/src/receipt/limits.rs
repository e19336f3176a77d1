//! How large a receipt may be, and which characters its texts may hold.

/// Largest receipt that is read, in bytes. Those that a gateway writes have about 6 KiB.
pub const MAX_RECEIPT: usize = 256 << 10;
/// Most stages in a receipt; the gauntlet has fewer.
pub const MAX_STAGES: usize = 32;
/// Most stations that a release names in a receipt.
pub const MAX_STATIONS: usize = 64;
/// Most approvers in a receipt: a threshold asks for no more.
pub const MAX_APPROVERS: usize = 16;
/// Most input attestations: what lies beside an image.
pub(super) const MAX_ATTESTATIONS: usize = 8;
/// Longest text in bytes; the story of a case has lines of as many characters.
pub const MAX_TEXT: usize = 400;
/// Longest binary value in bytes: a statement of a TPM is below 256.
pub(super) const MAX_BYTES: usize = 1 << 10;
/// Longest block of lines in bytes: a key in PEM, an audit entry, a checkpoint with its witnesses.
pub(super) const MAX_LINES: usize = 16 << 10;
/// Most hashes in a proof: an audit log has fewer than 2^64 entries.
pub(super) const MAX_PROOF: usize = 64;

/// `text` as a receipt holds it: no control characters (jq writes U+007F otherwise than serde_json does, and a
/// controller's name must not move a terminal's cursor), at most [`MAX_TEXT`] bytes.
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        out.push(c);
    }
    out
}

/// Whether `text` is in the form of [`plain`].
pub(super) fn is_plain(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
}
