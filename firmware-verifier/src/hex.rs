//! Lower-case hexadecimal text, both ways. Reads upper case too; never guesses at a length.

/// `bytes` as lower-case hexadecimal.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or_default();
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// Exactly `N` bytes written as `2 * N` hexadecimal digits; `None` for anything else.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(out)
}

/// Up to `max` bytes, two digits each.
pub(crate) fn decode_vec(text: &str, max: usize) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() > 2 * max || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| decode::<1>(std::str::from_utf8(pair).ok()?)?.first().copied())
        .collect()
}

fn nibble(digit: u8) -> Option<u8> {
    // `char::to_digit(16)` is at most 15, so it fits.
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back_and_other_lengths_do_not() {
        assert_eq!(encode(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(decode::<3>("001FfF"), Some([0, 0x1f, 0xff]));
        for text in ["", "001ff", "001fff0", "001ffff", "001ffg", "+01fff", "é1ff"] {
            assert_eq!(decode::<3>(text), None, "{text}");
        }
    }
}
