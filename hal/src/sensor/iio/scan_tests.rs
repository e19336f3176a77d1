#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn element(index: u32, kind: &str) -> Element {
    Element { index, kind: kind.parse().unwrap() }
}

#[test]
fn the_kernels_type_strings_are_read_and_others_are_refused() {
    for text in ["le:s12/16>>4", "be:u24/32>>8", "le:s64/64>>0", "le:u8/8", "be:s16/16X4>>0", "le:f32/32"] {
        assert!(text.parse::<ElementType>().is_ok(), "{text}");
    }
    let bad = [
        ("", "empty"),
        ("xe:s12/16>>4", "no byte order"),
        ("le:x12/16>>4", "no sign"),
        ("le:s0/16", "no bits"),
        ("le:s17/16", "more bits than storage"),
        ("le:s12/16>>5", "shifted out of the storage"),
        ("le:s12/24", "storage that is no machine word"),
        ("le:s12/16X3", "a repeat that cannot be aligned"),
        ("le:s12/16X32", "a repeat over the limit"),
        ("le:f16/16", "a float of half precision"),
        ("le:s+2/16", "a sign in a number"),
        ("le:s4294967295/64>>4294967295", "numbers that overflow together"),
        ("le:s12/16>>4>>4", "two shifts"),
        ("le:sé/16", "not ASCII"),
    ];
    for (text, why) in bad {
        assert!(text.parse::<ElementType>().is_err(), "{why}: {text}");
    }
}

#[test]
fn codes_are_read_as_their_type_says() {
    let rows: [(&str, &[u8], f64, bool); 10] = [
        ("le:s12/16>>4", &[0xF0, 0xFF], -1.0, false),
        ("le:s12/16>>4", &[0xF0, 0x7F], 2047.0, true),
        ("le:s12/16>>4", &[0x00, 0x80], -2048.0, true),
        ("be:u12/16>>0", &[0xF1, 0x23], 291.0, false),
        ("be:u12/16>>0", &[0x0F, 0xFF], 4095.0, true),
        ("be:u12/16>>0", &[0x00, 0x00], 0.0, false),
        ("be:s24/32>>8", &[0xFF, 0xFF, 0xFE, 0xAA], -2.0, false),
        ("le:s64/64", &[0xFF; 8], -1.0, false),
        ("le:f32/32", &[0x00, 0x00, 0xC0, 0x3F], 1.5, false),
        ("be:u8/8", &[0xFF], 255.0, true),
    ];
    for (kind, bytes, value, end) in rows {
        let layout = Layout::new(&[element(0, kind)], None).unwrap();
        let (mut records, rest) = layout.records(bytes);
        assert_eq!((records.next().unwrap().value(0), rest.len()), (Some((value, end)), 0), "{kind}");
    }
}

#[test]
fn elements_are_aligned_to_their_own_size_and_the_record_to_its_largest() {
    type Row = (&'static str, &'static [(u32, &'static str)], bool, usize);
    let rows: [Row; 6] = [
        ("one byte", &[(0, "le:u8/8")], false, 1),
        ("two of 16 bits", &[(0, "le:s12/16"), (1, "le:s12/16")], false, 4),
        ("a timestamp starts at 8", &[(0, "le:s12/16")], true, 16),
        (
            "three of 16 bits and a timestamp",
            &[(0, "le:s16/16"), (1, "le:s16/16"), (2, "le:s16/16")],
            true,
            16,
        ),
        ("8 then 32 bits", &[(0, "le:u8/8"), (1, "le:u32/32")], false, 8),
        ("32 then 8 bits: padded", &[(0, "le:u32/32"), (1, "le:u8/8")], false, 8),
    ];
    for (what, kinds, time, bytes) in rows {
        let elements: Vec<Element> = kinds.iter().map(|(index, kind)| element(*index, kind)).collect();
        let layout = Layout::new(&elements, time.then(|| element(9, "le:s64/64"))).unwrap();
        assert_eq!(layout.bytes(), bytes, "{what}");
    }
    // The order of the record is that of the indexes, the order of values that of the caller.
    let layout = Layout::new(&[element(5, "le:u8/8"), element(2, "le:u16/16")], None).unwrap();
    let (mut records, rest) = layout.records(&[0x34, 0x12, 0x07, 0x00, 0x01]);
    let record = records.next().unwrap();
    assert_eq!((record.value(0), record.value(1)), (Some((7.0, false)), Some((4660.0, false))));
    assert_eq!((record.value(2), rest.len()), (None, 1));
}

#[test]
fn what_no_kernel_puts_into_one_record_is_refused() {
    let one = element(0, "le:s16/16");
    let time = element(1, "le:s64/64");
    assert_eq!(Layout::new(&[], None), Err(LayoutError::Count { found: 0 }));
    assert_eq!(Layout::new(&vec![one; 129], None), Err(LayoutError::Count { found: 129 }));
    assert_eq!(Layout::new(&[one, one], None), Err(LayoutError::SameIndex { index: 0 }));
    assert_eq!(Layout::new(&[one], Some(one)), Err(LayoutError::Timestamp));
    assert_eq!(Layout::new(&[time], Some(time)), Err(LayoutError::Timestamp));
}

fn any_type() -> impl Strategy<Value = ElementType> {
    let kinds = prop_oneof![Just(Kind::Signed), Just(Kind::Unsigned)];
    (any::<bool>(), kinds, prop_oneof![Just(8_u32), Just(16), Just(32), Just(64)], 0..3_u32)
        .prop_flat_map(|(order, kind, storage, repeat)| {
            (Just((order, kind, storage, repeat)), 1..=storage)
                .prop_flat_map(move |(fixed, bits)| (Just(fixed), Just(bits), 0..=storage - bits))
        })
        .prop_map(|((big_endian, kind, storage_bits, repeat), bits, shift)| ElementType {
            big_endian,
            kind,
            bits,
            storage_bits,
            repeat: 1 << repeat,
            shift,
        })
}

proptest! {
    #[test]
    fn a_code_that_is_written_is_read_back(kind in any_type(), word in any::<u64>()) {
        let code = word >> (64 - kind.bits);
        let stored = (code << kind.shift).to_le_bytes();
        let width = (kind.storage_bits / 8) as usize;
        let mut bytes = stored[..width].to_vec();
        if kind.big_endian {
            bytes.reverse();
        }
        bytes.resize(kind.bytes(), 0xAA);
        let expected = match kind.kind {
            Kind::Signed if code >> (kind.bits - 1) == 1 => i128::from(code) - (1_i128 << kind.bits),
            _ => i128::from(code),
        };
        prop_assert_eq!(kind.value(&bytes).0, expected as f64);
        let sign = if kind.kind == Kind::Signed { 's' } else { 'u' };
        let order = if kind.big_endian { "be" } else { "le" };
        let text = format!(
            "{order}:{sign}{}/{}X{}>>{}", kind.bits, kind.storage_bits, kind.repeat, kind.shift
        );
        prop_assert_eq!(text.parse(), Ok(kind));
    }

    #[test]
    fn elements_never_overlap(kinds in proptest::collection::vec(any_type(), 1..20), time in any::<bool>()) {
        let elements: Vec<Element> =
            kinds.iter().enumerate().map(|(i, kind)| Element { index: i as u32, kind: *kind }).collect();
        let layout = Layout::new(&elements, time.then(|| element(99, "le:s64/64"))).unwrap();
        let mut end = 0;
        for (at, kind) in layout.places.iter().chain(&layout.timestamp) {
            prop_assert!(*at >= end && at % kind.bytes() == 0);
            end = at + kind.bytes();
        }
        prop_assert!(layout.bytes >= end);
    }

    #[test]
    fn any_text_is_a_type_that_fits_or_an_error(text in "\\PC{0,40}|[bl]e:[suf][0-9]{1,3}/[0-9]{1,3}(X[0-9]{1,2})?(>>[0-9]{1,2})?") {
        if let Ok(kind) = text.parse::<ElementType>() {
            prop_assert!(kind.bits + kind.shift <= kind.storage_bits && kind.bytes().is_power_of_two());
        }
    }
}
