//! Recorded CSV files: every text is rows or an error with words, however it is cut into pieces.
#![no_main]

use hal::sensor::Quality;
use hal::sensor::replay::{Column, CsvError, CsvParser, CsvSetup, Row};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first byte chooses the pieces, the second the separator.
    let [piece, separator, text @ ..] = data else { return };
    let separator = if separator % 2 == 0 { b',' } else { b';' };
    let whole = read(text, text.len().max(1), separator);
    assert_eq!(format!("{:?}", read(text, usize::from(*piece).max(1), separator)), format!("{whole:?}"));
    match whole {
        Ok(rows) => {
            for row in rows {
                assert_eq!(row.value.is_finite(), row.quality == Quality::Good, "{row:?}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn read(text: &[u8], piece: usize, separator: u8) -> Result<Vec<Row>, CsvError> {
    let time = Column::Name("timestamp".into());
    let mut parser = CsvParser::new(CsvSetup { time, value: Column::Index(1), separator });
    let mut out = Vec::new();
    text.chunks(piece).try_for_each(|bytes| parser.push(bytes, &mut out))?;
    parser.finish(&mut out).map(|()| out)
}
