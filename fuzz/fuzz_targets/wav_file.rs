//! Recorded WAV files: every file is samples or an error with words, however it is cut into pieces.
#![no_main]

use hal::sensor::replay::{Format, Sample, WavError, WavParser};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first byte chooses the pieces, the second the channel.
    let [piece, channel, file @ ..] = data else { return };
    let channel = u16::from(channel % 4);
    let whole = read(file, file.len().max(1), channel);
    assert_eq!(format!("{:?}", read(file, usize::from(*piece).max(1), channel)), format!("{whole:?}"));
    match whole {
        Ok((samples, format, _)) => {
            let frame = format.map_or(1, |f| f.encoding.bytes() * usize::from(f.channels));
            assert!(samples.len() * frame <= file.len());
            assert!(samples.is_empty() || format.is_some_and(|f| channel < f.channels && f.rate > 0));
            for sample in samples {
                assert!(sample.value.is_finite() || !sample.quality.is_good(), "{sample:?}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn read(file: &[u8], piece: usize, channel: u16) -> Result<(Vec<Sample>, Option<Format>, bool), WavError> {
    let (mut parser, mut out) = (WavParser::new(channel), Vec::new());
    file.chunks(piece).try_for_each(|bytes| parser.push(bytes, &mut out))?;
    Ok((out, parser.format(), parser.is_cut_short()))
}
