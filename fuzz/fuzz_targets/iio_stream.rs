//! Buffered IIO devices: any scan elements form a record that holds them or are refused, and any bytes are
//! values of it.
#![no_main]

use hal::clock::Mono;
use hal::sensor::MAX_BLOCK;
use hal::sensor::iio::scan::{Element, ElementType, Layout};
use hal::sensor::iio::{Scaling, Stream};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Lines of `index type`, `t` before that of the timestamp; after an empty line come the records.
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    let (head, records) = end.map_or((data, &[][..]), |at| (&data[..at], &data[at + 2..]));
    let Ok(head) = std::str::from_utf8(head) else { return };
    let (mut elements, mut timestamp, mut bits) = (Vec::new(), None, 0);
    for line in head.lines() {
        let (is_time, line) = line.strip_prefix('t').map_or((false, line), |rest| (true, rest));
        let Some((index, kind)) = line.split_once(' ') else { return };
        let (Ok(index), Ok(kind)) = (index.parse(), kind.parse::<ElementType>()) else { return };
        assert!(kind.bits + kind.shift <= kind.storage_bits && kind.bytes().is_power_of_two());
        bits += kind.bytes() * 8;
        match is_time {
            true => timestamp = Some(Element { index, kind }),
            false => elements.push(Element { index, kind }),
        }
    }
    let layout = match Layout::new(&elements, timestamp) {
        Ok(layout) => layout,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(layout.channels() == elements.len() && layout.has_timestamp() == timestamp.is_some());
    assert!(timestamp.is_none() && layout.bytes() * 8 >= bits || layout.bytes() >= 8);
    let (size, channels) = (layout.bytes(), layout.channels());
    let mut stream = Stream::new(layout, &[Scaling::CODE], 1000);
    let mut out = vec![Vec::new(); channels];
    for (i, piece) in records.chunks(size + 1).enumerate() {
        stream.push(piece, Mono(i as u64 * 1000), &mut out);
    }
    for row in &out {
        assert_eq!(row.iter().map(|block| block.samples.len()).sum::<usize>(), records.len() / size);
        assert!(row.iter().all(|block| (1..=MAX_BLOCK).contains(&block.samples.len())));
    }
});
