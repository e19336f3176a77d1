//! Reads DER (X.690), as far as certificates need it: tags of one byte, lengths of at most three, never past the end.

/// What is left of some bytes. Every method takes from the front, or gives `None` and the rest is of no use.
pub(super) struct Der<'a>(&'a [u8]);

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    /// Its contents.
    pub(super) inner: &'a [u8],
    /// With tag and length.
    pub(super) whole: &'a [u8],
}

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Der<'a> {
        Der(bytes)
    }

    /// The contents of `bytes`, when they are one element with this tag and nothing else.
    pub(super) fn only(bytes: &'a [u8], tag: u8) -> Option<&'a [u8]> {
        let mut der = Der(bytes);
        der.take(tag).filter(|_| der.is_empty()).map(|element| element.inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the next element has this tag.
    pub(super) fn is_next(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The next element, with this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// The next element.
    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        // A tag of several bytes is in no certificate.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (len, head) = match usize::from(first) {
            short @ 0..=0x7f => (short, 2),
            long @ 0x81..=0x83 => {
                let digits = rest.get(..long - 0x80)?;
                let len = digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit));
                // X.690 §10.1: the shortest form alone.
                let shortest = digits[0] != 0 && len >= 0x80;
                (Some(len).filter(|_| shortest)?, 2 + digits.len())
            }
            _ => return None,
        };
        let (whole, left) = self.0.split_at_checked(head + len)?;
        self.0 = left;
        Some(Element { tag, inner: &whole[head..], whole })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_the_shortest_form_or_goes_past_the_end_is_refused() {
        let cases: [(&str, &[u8]); 8] = [
            ("nothing", &[]),
            ("a tag alone", &[0x30]),
            ("a tag of two bytes", &[0x1f, 0x81, 0x00]),
            ("no length given", &[0x30, 0x80, 0, 0]),
            ("a length of four bytes", &[0x30, 0x84, 0, 0, 0, 0]),
            ("a long form for a short length", &[0x30, 0x81, 0x01, 0]),
            ("a length that begins with zero", &[0x30, 0x82, 0x00, 0x80]),
            ("more than there is", &[0x30, 0x02, 0]),
        ];
        for (what, bytes) in cases {
            assert_eq!(Der::new(bytes).next(), None, "{what}");
        }
        assert_eq!(Der::only(&[0x30, 1, 7], SEQUENCE), Some(&[7][..]));
        assert_eq!(Der::only(&[0x30, 1, 7, 0], SEQUENCE), None);
        assert_eq!(Der::only(&[0x30, 1, 7], SET), None);
    }

    proptest! {
        #[test]
        fn elements_are_the_bytes_they_were_read_from(bytes: Vec<u8>) {
            let mut der = Der::new(&bytes);
            let mut at = 0;
            while let Some(element) = der.next() {
                prop_assert_eq!(element.whole, &bytes[at..at + element.whole.len()]);
                prop_assert!(element.whole.ends_with(element.inner));
                at += element.whole.len();
            }
        }
    }
}
