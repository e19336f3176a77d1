#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = [&id[..], &(body.len() as u32).to_le_bytes(), body].concat();
    out.resize(out.len() + body.len() % 2, 0);
    out
}

fn format(tag: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
    let frame = channels.wrapping_mul(bits / 8);
    let mut out = tag.to_le_bytes().to_vec();
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend(rate.wrapping_mul(u32::from(frame)).to_le_bytes());
    out.extend(frame.to_le_bytes());
    out.extend(bits.to_le_bytes());
    out
}

fn extensible(tag: u16, channels: u16, bits: u16, valid: u16) -> Vec<u8> {
    let mut out = format(EXTENSIBLE, channels, 8000, bits);
    out.extend(22_u16.to_le_bytes());
    out.extend(valid.to_le_bytes());
    out.extend([0; 4]); // speaker positions
    out.extend(tag.to_le_bytes());
    out.extend(SUBFORMAT);
    out
}

fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    [b"RIFF\0\0\0\0WAVE".to_vec(), chunks.concat()].concat()
}

fn read(bytes: &[u8], channel: u16, piece: usize) -> Result<(Vec<Sample>, bool), WavError> {
    let (mut parser, mut out) = (WavParser::new(channel), Vec::new());
    bytes.chunks(piece).try_for_each(|bytes| parser.push(bytes, &mut out))?;
    Ok((out, parser.is_cut_short()))
}

#[test]
fn every_encoding_is_read_and_its_ends_are_saturated() {
    let good = Quality::Good;
    let end = Quality::Uncertain(Flaw::Saturated);
    type Row = (&'static str, Vec<u8>, Vec<u8>, Vec<(f64, Quality)>);
    let rows: Vec<Row> = vec![
        (
            "8 bits are unsigned",
            format(PCM, 1, 8000, 8),
            vec![128, 192, 0],
            vec![(0.0, good), (0.5, good), (-1.0, end)],
        ),
        (
            "16 bits",
            format(PCM, 1, 8000, 16),
            vec![0, 0xC0, 0xFF, 0x7F, 0xFE, 0x7F],
            vec![(-0.5, good), (32767.0 / 32768.0, end), (32766.0 / 32768.0, good)],
        ),
        ("24 bits", format(PCM, 1, 8000, 24), vec![0, 0, 0x40, 0, 0, 0x80], vec![(0.5, good), (-1.0, end)]),
        (
            "32 bits",
            format(PCM, 1, 8000, 32),
            vec![0, 0, 0, 0x40, 0xFF, 0xFF, 0xFF, 0x7F],
            vec![(0.5, good), (2_147_483_647.0 / 2_147_483_648.0, end)],
        ),
        (
            "12 valid bits of 16 end earlier",
            extensible(PCM, 1, 16, 12),
            vec![0xF0, 0x7F, 0xE0, 0x7F],
            vec![(32752.0 / 32768.0, end), (32736.0 / 32768.0, good)],
        ),
        ("floats go beyond 1", format(FLOAT, 1, 8000, 32), 1.5_f32.to_le_bytes().to_vec(), vec![(1.5, good)]),
        (
            "an infinite float is bad",
            extensible(FLOAT, 1, 64, 64),
            [0.25, f64::INFINITY].map(f64::to_le_bytes).concat(),
            vec![(0.25, good), (f64::INFINITY, Quality::Bad(Flaw::NotFinite))],
        ),
    ];
    for (what, format, data, expected) in rows {
        let bytes = file(&[
            chunk(b"fmt ", &format),
            chunk(b"LIST", b"odd"),
            chunk(b"data", &data),
            chunk(b"id3 ", &[1]),
        ]);
        for piece in [1, 5, 1000] {
            let (samples, cut) = read(&bytes, 0, piece).unwrap();
            let got: Vec<_> = samples.iter().map(|s| (s.value, s.quality)).collect();
            assert_eq!((got, cut), (expected.clone(), false), "{what}");
        }
    }
}

#[test]
fn one_channel_of_several_is_taken() {
    let data: Vec<u8> = (0..12_i16).flat_map(|i| (i * 256).to_le_bytes()).collect();
    let bytes = file(&[chunk(b"fmt ", &format(PCM, 3, 8000, 16)), chunk(b"data", &data)]);
    let (samples, _) = read(&bytes, 2, 7).unwrap();
    assert_eq!(samples.iter().map(|s| s.value * 128.0).collect::<Vec<_>>(), [2.0, 5.0, 8.0, 11.0]);
    assert_eq!(read(&bytes, 3, 7), Err(WavError::NoChannel { wanted: 3, found: 3 }));
}

#[test]
fn hostile_sizes_and_numbers_are_refused_or_end_early() {
    let good = chunk(b"fmt ", &format(PCM, 1, 8000, 16));
    let sized = |size: u32| [b"data".to_vec(), size.to_le_bytes().to_vec(), vec![0; 5]].concat();
    let cut = [
        (sized(u32::MAX - 1), 2, true, "a size beyond the file"),
        (sized(u32::MAX), 2, true, "an unknown size, and half a sample at the end"),
        (sized(3), 1, false, "a size that ends within a sample"),
        (sized(4), 2, false, "a size before the end"),
        (sized(0), 0, false, "no samples"),
        (
            [b"LIST".to_vec(), u32::MAX.to_le_bytes().to_vec(), vec![0; 9]].concat(),
            0,
            true,
            "a chunk beyond the file",
        ),
    ];
    for (data, samples, short, what) in cut {
        let (got, is_short) = read(&file(&[good.clone(), data]), 0, 4).unwrap();
        assert_eq!((got.len(), is_short), (samples, short), "{what}");
    }
    let refused = [
        (b"RIFX\0\0\0\0WAVE".to_vec(), WavError::NotWav),
        (file(&[chunk(b"data", &[0; 4])]), WavError::NoFormat { found: 0 }),
        (file(&[chunk(b"fmt ", &[1; 15])]), WavError::NoFormat { found: 15 }),
        (file(&[chunk(b"fmt ", &[1; 65])]), WavError::NoFormat { found: 65 }),
        (file(&[chunk(b"fmt ", &format(2, 1, 8000, 4))]), WavError::Encoding { tag: 2, bits: 4 }),
        (file(&[chunk(b"fmt ", &format(FLOAT, 1, 8000, 16))]), WavError::Encoding { tag: 3, bits: 16 }),
        (
            file(&[chunk(b"fmt ", &format(EXTENSIBLE, 1, 8000, 16))]),
            WavError::Encoding { tag: EXTENSIBLE, bits: 16 },
        ),
        (
            file(&[chunk(b"fmt ", &format(PCM, 0, 8000, 16))]),
            WavError::Numbers { channels: 0, rate: 8000, frame: 0 },
        ),
        (
            file(&[chunk(b"fmt ", &format(PCM, 65, 8000, 8))]),
            WavError::Numbers { channels: 65, rate: 8000, frame: 65 },
        ),
        (
            file(&[chunk(b"fmt ", &format(PCM, 1, 0, 16))]),
            WavError::Numbers { channels: 1, rate: 0, frame: 2 },
        ),
        (
            file(&[chunk(b"fmt ", &extensible(PCM, 1, 16, 17))]),
            WavError::Numbers { channels: 1, rate: 8000, frame: 2 },
        ),
        (file(&vec![chunk(b"junk", &[]); 65]), WavError::TooManyChunks),
    ];
    for (bytes, error) in refused {
        assert_eq!(read(&bytes, 0, 3), Err(error));
    }
    assert_eq!(read(b"RIFF", 0, 4), Ok((vec![], true)));
}

proptest! {
    #[test]
    fn any_bytes_give_samples_or_an_error_however_they_are_cut(
        body in proptest::collection::vec(any::<u8>(), 0..120), head in any::<bool>(), piece in 1..20_usize,
    ) {
        let start = if head { file(&[chunk(b"fmt ", &format(PCM, 2, 44_100, 24))]) } else { Vec::new() };
        let bytes = [start, if head { b"data".to_vec() } else { Vec::new() }, body].concat();
        prop_assert_eq!(format!("{:?}", read(&bytes, 1, piece)), format!("{:?}", read(&bytes, 1, 1000)));
    }
}
