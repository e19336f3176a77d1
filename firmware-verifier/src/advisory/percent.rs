//! Percent-encoding (RFC 3986 §2.1), as purl and vers have it.

/// The text behind `%xx`; `None` when that is no UTF-8 or not two hexadecimal digits.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => out.push(digit(bytes.next()?)? << 4 | digit(bytes.next()?)?),
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

fn digit(byte: u8) -> Option<u8> {
    // `char::to_digit(16)` is at most 15, so it fits.
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Encodes all but letters, digits and `.-_~`.
#[cfg(test)]
pub(super) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
