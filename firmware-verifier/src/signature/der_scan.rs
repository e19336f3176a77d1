//! A first look at DER (X.690 §10) from outside, before a library reads it: lengths that hold, few levels, few elements.
//!
//! Libraries sort what is in a SET by comparing it again and again: a file of a few kilobytes with thousands of elements
//! would keep them busy for minutes.

/// Most levels of nesting. A certificate with its names and extensions has nine, a timestamp twenty.
const MAX_DEPTH: usize = 24;
/// Most elements of what a library may sort: a SET, or what is tagged in the place of one.
const MAX_CHILDREN: usize = 64;
/// Most elements of a SEQUENCE in certificates and signatures.
pub(crate) const FEW: usize = 64;
/// Most elements of a SEQUENCE in a revocation list.
pub(crate) const MANY: usize = 4096;

/// DER that is not looked at any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// Whether `der` is one element within the limits.
pub(crate) fn check(der: &[u8], max_sequence: usize) -> Result<(), Refused> {
    // Unfinished levels: what is left of each, and how many more elements it may have.
    let mut levels: Vec<(&[u8], usize)> = vec![(der, 1)];
    while let Some((rest, room)) = levels.last_mut() {
        if rest.is_empty() {
            levels.pop();
            continue;
        }
        *room = room.checked_sub(1).ok_or(Refused)?;
        let (tag, content, after) = element(rest)?;
        *rest = after;
        if tag & CONSTRUCTED != 0 {
            if levels.len() >= MAX_DEPTH {
                return Err(Refused);
            }
            levels.push((content, if tag == SEQUENCE { max_sequence } else { MAX_CHILDREN }));
        }
    }
    Ok(())
}

const CONSTRUCTED: u8 = 0x20;
const SEQUENCE: u8 = 0x30;

/// The tag of the first element, its content, and what follows it.
fn element(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Refused> {
    let [tag, len, rest @ ..] = bytes else { return Err(Refused) };
    // Tags above 30 take more bytes; nothing here has one.
    if tag & 0x1f == 0x1f {
        return Err(Refused);
    }
    let (len, rest) = match len {
        0..=0x7f => (usize::from(*len), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(len & 0x7f)).ok_or(Refused)?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        // Indefinite lengths are BER; longer ones are over every limit.
        _ => return Err(Refused),
    };
    let (content, after) = rest.split_at_checked(len).ok_or(Refused)?;
    Ok((*tag, content, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let len = content.len();
        let head = match len {
            0..0x80 => vec![tag, len as u8],
            0x80..0x100 => vec![tag, 0x81, len as u8],
            _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
        };
        [head, content.to_vec()].concat()
    }

    #[test]
    fn many_elements_many_levels_and_lengths_that_do_not_hold_are_refused() {
        let nested = |levels| (0..levels).fold(vec![5, 0], |inner, _| wrap(0x30, &inner));
        let cases = [
            (wrap(0x31, &[5, 0].repeat(64)), true),
            (wrap(0x31, &[5, 0].repeat(65)), false),
            (wrap(0xa0, &[5, 0].repeat(65)), false),
            (wrap(0x30, &[5, 0].repeat(4096)), true),
            (wrap(0x30, &[5, 0].repeat(4097)), false),
            (nested(22), true),
            (nested(23), true),
            (nested(24), false),
            ([nested(1), nested(1)].concat(), false),
            (vec![0x30, 0x80, 0, 0], false),
            (vec![0x30, 2, 5], false),
            (vec![0x30, 0x84, 0, 0, 0, 0], false),
            (vec![0x3f, 0x81, 0], false),
            (vec![0x04, 2, 0x30, 0x80], true),
        ];
        for (der, good) in cases {
            assert_eq!(check(&der, MANY).is_ok(), good, "{:02x?}", &der[..der.len().min(12)]);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = check(&bytes, FEW);
        }
    }
}
