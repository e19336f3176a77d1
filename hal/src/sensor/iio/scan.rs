//! Records of a buffered IIO device: the type strings of scan elements, their layout, and bytes to values.
//!
//! Pure. The rules are those of the kernel (Documentation/driver-api/iio/buffers.rst and
//! `iio_compute_scan_bytes`): elements in the order of their index, each aligned to its own size, the
//! timestamp last, the record padded to its largest element. A layout that could not come from those rules
//! is refused, and nothing in a record can fail once it is [`Layout`] bytes long.

use std::str::FromStr;

/// Most scan elements in one record; the kernel's largest drivers have fewer.
pub const MAX_ELEMENTS: usize = 128;
/// Most repetitions in one element (a quaternion has 4).
pub const MAX_REPEAT: u32 = 16;
/// Longest type string.
pub const MAX_TYPE: usize = 32;

/// How the bits of an element are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Two's complement.
    Signed,
    /// Natural binary.
    Unsigned,
    /// IEEE 754, 32 or 64 bits.
    Float,
}

/// A scan element's storage, as `le:s12/16>>4` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElementType {
    /// Most significant byte first.
    pub big_endian: bool,
    /// How to read the bits.
    pub kind: Kind,
    /// Valid bits, 1 to `storage_bits`.
    pub bits: u32,
    /// Bits one repetition takes in the record: 8, 16, 32 or 64.
    pub storage_bits: u32,
    /// Values in the element: a power of two, at most [`MAX_REPEAT`].
    pub repeat: u32,
    /// Bits to shift right before masking.
    pub shift: u32,
}

impl ElementType {
    /// Bytes of the element with all its repetitions; a power of two.
    pub fn bytes(&self) -> usize {
        (self.storage_bits / 8 * self.repeat) as usize
    }

    /// The first value in the element's bytes, and whether it stands at an end of its range.
    /// A zero of an unsigned element is a value, not an end.
    fn value(&self, bytes: &[u8]) -> (f64, bool) {
        let width = (self.storage_bits / 8) as usize;
        let word = bytes.iter().take(width).enumerate().fold(0_u64, |word, (i, byte)| {
            let place = if self.big_endian { width - 1 - i } else { i };
            word | u64::from(*byte) << (8 * place)
        });
        let mask = u64::MAX >> (64 - self.bits);
        let code = word >> self.shift & mask;
        match self.kind {
            Kind::Unsigned => (code as f64, code == mask),
            Kind::Signed => {
                let sign = 64 - self.bits;
                let signed = (code << sign).cast_signed() >> sign;
                (signed as f64, code == mask >> 1 || code == (mask >> 1) + 1)
            }
            Kind::Float if self.bits == 64 => (f64::from_bits(code), false),
            // The check in `from_str` leaves 32 bits.
            Kind::Float => (f64::from(f32::from_bits(code as u32)), false),
        }
    }
}

/// A type string that the interface does not define.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no scan element type such as le:s12/16>>4")]
pub struct TypeError {
    /// The first 32 characters of what was given.
    pub found: String,
}

impl FromStr for ElementType {
    type Err = TypeError;

    /// `[be|le]:[f|s|u]bits/storagebits[Xrepeat][>>shift]`
    fn from_str(text: &str) -> Result<ElementType, TypeError> {
        parse(text).ok_or_else(|| TypeError { found: text.chars().take(MAX_TYPE).collect() })
    }
}

fn parse(text: &str) -> Option<ElementType> {
    let text = Some(text.trim()).filter(|t| t.len() <= MAX_TYPE && t.is_ascii())?;
    let (order, rest) = text.split_once(':')?;
    let big_endian = match order {
        "be" => true,
        "le" => false,
        _ => return None,
    };
    let kind = match rest.as_bytes().first()? {
        b's' => Kind::Signed,
        b'u' => Kind::Unsigned,
        b'f' => Kind::Float,
        _ => return None,
    };
    let (bits, rest) = rest[1..].split_once('/')?;
    let (rest, shift) = rest.split_once(">>").unwrap_or((rest, "0"));
    let (storage, repeat) = rest.split_once('X').unwrap_or((rest, "1"));
    let number = |digits: &str| digits.parse::<u32>().ok().filter(|_| !digits.starts_with('+'));
    let (bits, storage_bits) = (number(bits)?, number(storage)?);
    // "When the repeat element is 0 or 1, then the repeat value is omitted."
    let (repeat, shift) = (number(repeat)?.max(1), number(shift)?);
    let fits = matches!(storage_bits, 8 | 16 | 32 | 64)
        && bits >= 1
        && bits.checked_add(shift).is_some_and(|used| used <= storage_bits)
        && (kind != Kind::Float || matches!(bits, 32 | 64))
        && repeat.is_power_of_two()
        && repeat <= MAX_REPEAT;
    fits.then_some(ElementType { big_endian, kind, bits, storage_bits, repeat, shift })
}

/// One enabled element, as its attributes in `scan_elements` describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// The `_index` attribute: the order in the record.
    pub index: u32,
    /// The `_type` attribute.
    pub kind: ElementType,
}

/// Where each enabled element stands in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    places: Vec<(usize, ElementType)>,
    timestamp: Option<(usize, ElementType)>,
    bytes: usize,
}

/// Elements that cannot form one record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Nothing is enabled, or more than [`MAX_ELEMENTS`].
    #[error("{found} scan elements are enabled; from 1 to {MAX_ELEMENTS} are possible")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// Two elements at one place.
    #[error("two scan elements have index {index}")]
    SameIndex {
        /// The index they share.
        index: u32,
    },
    /// A timestamp is a signed 64 bit count of nanoseconds and comes last.
    #[error("the timestamp is not the last element, or not of type s64/64")]
    Timestamp,
}

impl Layout {
    /// Places the enabled `elements` and, when enabled, the timestamp. [`Record::value`] counts them in the order of
    /// the `elements` given here, whatever their indexes are.
    ///
    /// # Errors
    /// [`LayoutError`] for elements that no kernel could put into one record.
    pub fn new(elements: &[Element], timestamp: Option<Element>) -> Result<Layout, LayoutError> {
        if elements.is_empty() || elements.len() > MAX_ELEMENTS {
            return Err(LayoutError::Count { found: elements.len() });
        }
        let mut order: Vec<usize> = (0..elements.len()).collect();
        order.sort_by_key(|i| elements[*i].index);
        if let Some(pair) = order.windows(2).find(|pair| elements[pair[0]].index == elements[pair[1]].index) {
            return Err(LayoutError::SameIndex { index: elements[pair[0]].index });
        }
        let mut end = 0;
        let mut largest = 1;
        let mut place = |kind: ElementType| {
            let at = usize::next_multiple_of(end, kind.bytes());
            end = at + kind.bytes();
            largest = largest.max(kind.bytes());
            (at, kind)
        };
        let mut places = vec![(0, elements[0].kind); elements.len()];
        for i in order {
            places[i] = place(elements[i].kind);
        }
        let timestamp = match timestamp {
            Some(Element { index, kind }) => {
                let is_time = kind.kind == Kind::Signed && kind.bits == 64 && kind.repeat == 1;
                if !is_time || elements.iter().any(|e| e.index >= index) {
                    return Err(LayoutError::Timestamp);
                }
                Some(place(kind))
            }
            None => None,
        };
        Ok(Layout { places, timestamp, bytes: end.next_multiple_of(largest) })
    }

    /// Bytes of one record.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Values in one record, without the timestamp.
    pub fn channels(&self) -> usize {
        self.places.len()
    }

    /// Whether records carry the time at which they were taken.
    pub fn has_timestamp(&self) -> bool {
        self.timestamp.is_some()
    }

    /// Cuts `bytes` into whole records; what is left over is returned with them.
    pub fn records<'a>(&'a self, bytes: &'a [u8]) -> (impl Iterator<Item = Record<'a>>, &'a [u8]) {
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % self.bytes);
        (whole.chunks_exact(self.bytes).map(|bytes| Record { layout: self, bytes }), rest)
    }
}

/// One record of a [`Layout`].
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    layout: &'a Layout,
    bytes: &'a [u8],
}

impl Record<'_> {
    /// The code of `channel` (the first value of a repeated element) and whether it is at an end of its
    /// range; `None` when there is no such channel.
    pub fn value(&self, channel: usize) -> Option<(f64, bool)> {
        let (at, kind) = self.layout.places.get(channel)?;
        Some(kind.value(&self.bytes[*at..]))
    }

    /// Nanoseconds of the device's clock.
    pub fn timestamp(&self) -> Option<i64> {
        let (at, kind) = self.layout.timestamp?;
        let bytes: [u8; 8] = self.bytes.get(at..at + 8)?.try_into().ok()?;
        Some(if kind.big_endian { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) })
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
