//! CSV with a header line, a column of times and a column of values (a subset of RFC 4180).
//!
//! Pure and streaming. A record that breaks the form ends the reading, as nobody knows what follows it; a
//! record whose time or value cannot be read is a [`Row`] that says so.

use super::time::parse_time;
use crate::sensor::{Flaw, Quality};

/// Longest record in bytes, line ends inside quotes included.
pub const MAX_RECORD: usize = 65_536;
/// Most columns.
pub const MAX_COLUMNS: usize = 1024;

/// Which column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// The one with this name in the header; the first, when there are several.
    Name(String),
    /// Counted from 0.
    Index(usize),
}

/// What to take from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvSetup {
    /// Times, as [`parse_time`] reads them.
    pub time: Column,
    /// Values with a decimal point.
    pub value: Column,
    /// Between two fields: `,` by the RFC, `;` where the comma is the decimal point.
    pub separator: u8,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The number of the record; the header is 1.
    pub record: u64,
    /// Nanoseconds; `None` when there is no time that can be read.
    pub at: Option<i64>,
    /// NaN when there is no value.
    pub value: f64,
    /// Missing, not finite, or an error where text stands instead of a number.
    pub quality: Quality,
}

/// A file that is not CSV, or not with these columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// A line without an end, or a quote without one.
    #[error("record {record} is longer than {MAX_RECORD} bytes")]
    TooLong {
        /// Which record.
        record: u64,
    },
    /// More than [`MAX_COLUMNS`].
    #[error("record {record} has more than {MAX_COLUMNS} columns")]
    TooManyColumns {
        /// Which record.
        record: u64,
    },
    /// A quote in a field that does not begin with one, text after a closing quote, or none to close.
    #[error("record {record} has a quote where none may be (RFC 4180 section 2)")]
    Quote {
        /// Which record.
        record: u64,
    },
    /// Another encoding.
    #[error("record {record} is not UTF-8: byte {byte:#04x} after {after:?}; save the file as UTF-8")]
    NotUtf8 {
        /// Which record.
        record: u64,
        /// The first byte that is none.
        byte: u8,
        /// What stands before it, shortened.
        after: String,
    },
    /// The header does not have what was asked for.
    #[error("there is no column {wanted}; the header names {found:?}{}", separator_hint(.found))]
    NoColumn {
        /// The name, or the index counted from 0.
        wanted: String,
        /// The first columns there are.
        found: Vec<String>,
    },
    /// Numbers where names should be: the first record would be taken for names and be lost.
    #[error("record 1 is no header but holds {found:?}; put a line with the names of the columns before it")]
    NoHeader {
        /// Its time and its value.
        found: [String; 2],
    },
    /// A name that does not say which column is meant.
    #[error("the header names {name:?} {times} times; give each column a name of its own")]
    NamedTwice {
        /// The name.
        name: String,
        /// How often it is there.
        times: usize,
    },
    /// More fields than the header has (RFC 4180 section 2.4): nobody knows which of them is the value.
    #[error(
        "record {record} has {found} fields where the header has {expected}: {text:?}; is a comma in a number or a \
         text? Put that field in quotes"
    )]
    TooManyFields {
        /// Which record.
        record: u64,
        /// Its fields.
        found: usize,
        /// Those of the header.
        expected: usize,
        /// Its text, shortened.
        text: String,
    },
}

/// What may stand between two columns that are found as one.
fn separator_hint(found: &[String]) -> &'static str {
    match found {
        [one] if one.contains('|') => "; '|' separates no columns here, a comma, semicolon or tab does",
        [one] if one.contains([',', ';', '\t']) => "; another separator was expected",
        [_] => "; columns are separated by a comma, a semicolon or a tab",
        _ => "",
    }
}

/// A record with something that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddity {
    /// The first such record; the header is 1.
    pub record: u64,
    /// What stands there, shortened.
    pub found: String,
    /// How many records have such.
    pub count: u64,
}

/// What was passed over so far, with the first example of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Oddities {
    /// A time that cannot be read.
    pub times: Option<Oddity>,
    /// Text instead of a value.
    pub values: Option<Oddity>,
    /// Fewer fields than the header has.
    pub short: Option<Oddity>,
    /// The name of the column of values, where others have it, too.
    pub twice: Option<Oddity>,
}

fn note(oddity: &mut Option<Oddity>, record: u64, found: &str) {
    match oddity {
        Some(oddity) => oddity.count += 1,
        None => *oddity = Some(Oddity { record, found: shortened(found), count: 1 }),
    }
}

/// The first characters of what was found.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Reads a file in pieces.
#[derive(Debug)]
pub struct CsvParser {
    setup: CsvSetup,
    /// What the header said, once it was read.
    columns: Option<Columns>,
    oddities: Oddities,
    record: Vec<u8>,
    number: u64,
    in_quotes: bool,
}

#[derive(Debug, Clone, Copy)]
struct Columns {
    time: usize,
    value: usize,
    count: usize,
}

impl CsvParser {
    /// Expects a header first.
    pub fn new(setup: CsvSetup) -> CsvParser {
        CsvParser {
            setup,
            columns: None,
            oddities: Oddities::default(),
            record: Vec::new(),
            number: 1,
            in_quotes: false,
        }
    }

    /// What was passed over so far.
    pub fn oddities(&self) -> &Oddities {
        &self.oddities
    }

    /// Takes the next piece and appends its whole records to `out`.
    ///
    /// # Errors
    /// [`CsvError`]; the parser is then of no further use.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Row>) -> Result<(), CsvError> {
        for byte in bytes {
            self.in_quotes ^= *byte == b'"';
            if *byte == b'\n' && !self.in_quotes {
                self.end_record(out)?;
            } else if self.record.len() < MAX_RECORD {
                self.record.push(*byte);
            } else {
                return Err(CsvError::TooLong { record: self.number });
            }
        }
        Ok(())
    }

    /// The file is over; its last record may lack its line end.
    ///
    /// # Errors
    /// As [`CsvParser::push`].
    pub fn finish(&mut self, out: &mut Vec<Row>) -> Result<(), CsvError> {
        if self.in_quotes {
            return Err(CsvError::Quote { record: self.number });
        }
        self.end_record(out)
    }

    fn end_record(&mut self, out: &mut Vec<Row>) -> Result<(), CsvError> {
        let bytes = std::mem::take(&mut self.record);
        let number = self.number;
        let text = std::str::from_utf8(&bytes).map_err(|e| not_utf8(&bytes, e.valid_up_to(), number))?;
        let text = text.strip_suffix('\r').unwrap_or(text);
        let text = if self.columns.is_none() { text.strip_prefix('\u{FEFF}').unwrap_or(text) } else { text };
        // An empty line is no record, though the RFC knows none.
        if !text.is_empty() {
            self.number += 1;
            let fields = fields(text, self.setup.separator, number)?;
            match self.columns {
                None => {
                    let columns = self.header(&fields)?;
                    self.columns = Some(columns);
                    let name = fields[columns.value].trim();
                    let same =
                        fields.iter().enumerate().filter(|(n, f)| *n != columns.value && f.trim() == name);
                    same.for_each(|_| note(&mut self.oddities.twice, number, name));
                }
                Some(columns) => {
                    check_length(&fields, columns.count, number, text)?;
                    out.push(self.row(&fields, columns, number, text));
                }
            }
        }
        self.record = bytes;
        self.record.clear();
        Ok(())
    }

    fn header(&self, fields: &[String]) -> Result<Columns, CsvError> {
        let find = |column: &Column| {
            let (index, wanted) = match column {
                Column::Name(name) => {
                    let mut named = fields.iter().enumerate().filter(|(_, f)| f.trim() == name);
                    let (first, more) = (named.next().map(|(n, _)| n), named.count());
                    if more > 0 {
                        return Err(CsvError::NamedTwice { name: shortened(name), times: more + 1 });
                    }
                    (first, name.clone())
                }
                Column::Index(index) => (Some(*index).filter(|i| *i < fields.len()), index.to_string()),
            };
            let found = || fields.iter().take(8).map(|f| shortened(f)).collect();
            index.ok_or_else(|| CsvError::NoColumn { wanted, found: found() })
        };
        let (time, value) = (find(&self.setup.time)?, find(&self.setup.value)?);
        let (first, second) = (&fields[time], &fields[value]);
        if time != value && parse_time(first).is_some() && second.trim().parse::<f64>().is_ok() {
            return Err(CsvError::NoHeader { found: [shortened(first), shortened(second)] });
        }
        Ok(Columns { time, value, count: fields.len() })
    }

    fn row(&mut self, fields: &[String], columns: Columns, record: u64, text: &str) -> Row {
        if fields.len() < columns.count {
            note(&mut self.oddities.short, record, text);
        }
        let time = fields.get(columns.time).map_or("", |text| text.trim());
        let at = parse_time(time);
        if at.is_none() {
            note(&mut self.oddities.times, record, time);
        }
        let text = fields.get(columns.value).map_or("", |text| text.trim());
        let (value, quality) = match text.parse::<f64>() {
            Ok(value) if value.is_finite() => (value, Quality::Good),
            Ok(value) => (value, Quality::Bad(Flaw::NotFinite)),
            Err(_) if text.is_empty() => (f64::NAN, Quality::Bad(Flaw::Missing)),
            // What historians write for a channel that failed: "Bad", "I/O Timeout", "#N/A".
            Err(_) => {
                note(&mut self.oddities.values, record, text);
                (f64::NAN, Quality::Bad(Flaw::SourceError))
            }
        };
        Row { record, at, value, quality }
    }
}

/// Separators at the end of a record add nothing; more than the header has of anything else is another form.
fn check_length(fields: &[String], expected: usize, record: u64, text: &str) -> Result<(), CsvError> {
    match fields.iter().skip(expected).any(|f| !f.trim().is_empty()) {
        true => Err(CsvError::TooManyFields { record, found: fields.len(), expected, text: shortened(text) }),
        false => Ok(()),
    }
}

fn not_utf8(bytes: &[u8], valid: usize, record: u64) -> CsvError {
    let before = String::from_utf8_lossy(&bytes[..valid]);
    let skipped = before.chars().count().saturating_sub(20);
    let after = before.chars().skip(skipped).collect();
    CsvError::NotUtf8 { record, byte: bytes.get(valid).copied().unwrap_or_default(), after }
}

/// The fields of one record, without quotes.
fn fields(text: &str, separator: u8, record: u64) -> Result<Vec<String>, CsvError> {
    let separator = char::from(separator);
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        if fields.len() == MAX_COLUMNS {
            return Err(CsvError::TooManyColumns { record });
        }
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or(CsvError::Quote { record })?,
            None => {
                let (field, after) = rest.split_at(rest.find(separator).unwrap_or(rest.len()));
                if field.contains('"') {
                    return Err(CsvError::Quote { record });
                }
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(separator) {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(CsvError::Quote { record }),
        }
    }
}

/// What stands before the closing quote, with doubled quotes as one, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn setup() -> CsvSetup {
        CsvSetup { time: Column::Name("time".into()), value: Column::Name("value".into()), separator: b',' }
    }

    fn read(text: &[u8], piece: usize) -> Result<Vec<Row>, CsvError> {
        let (mut parser, mut out) = (CsvParser::new(setup()), Vec::new());
        text.chunks(piece).try_for_each(|bytes| parser.push(bytes, &mut out))?;
        parser.finish(&mut out).map(|()| out)
    }

    fn bad(flaw: Flaw) -> Quality {
        Quality::Bad(flaw)
    }

    #[test]
    fn a_record_gives_a_time_and_a_value_or_says_why_not() {
        let s = 1_000_000_000;
        let rows: [(&str, Option<i64>, Quality, &str); 10] = [
            ("1,5", Some(s), Quality::Good, "plain"),
            ("\"1\",\" 5 \"", Some(s), Quality::Good, "quoted"),
            ("1,5,\"a, \"\"b\"\"\nc\"", Some(s), Quality::Good, "a line end and quotes in a field"),
            ("1,5,,, ", Some(s), Quality::Good, "separators at the end"),
            ("1,", Some(s), bad(Flaw::Missing), "no value"),
            ("1", Some(s), bad(Flaw::Missing), "no column"),
            ("1,NaN", Some(s), bad(Flaw::NotFinite), "no number"),
            ("1,-inf", Some(s), bad(Flaw::NotFinite), "infinite"),
            ("1,I/O Timeout", Some(s), bad(Flaw::SourceError), "text"),
            ("yesterday,5", None, Quality::Good, "no time"),
        ];
        for (record, at, quality, what) in rows {
            let text = format!("\u{FEFF}time,value,note\r\n\r\n{record}\r\n2,7");
            for piece in [1, 7, 1000] {
                let got = read(text.as_bytes(), piece).unwrap();
                assert_eq!((got[0].at, got[0].quality, got[0].record), (at, quality, 2), "{what}");
                assert_eq!((got[1].at, got[1].value, got.len()), (Some(2 * s), 7.0, 2), "{what}");
            }
        }
    }

    #[test]
    fn what_is_no_csv_is_refused_with_its_record() {
        let long = format!("time,value\n1,\"{}", "x".repeat(MAX_RECORD));
        let wide = format!("time,value{}\n", ",".repeat(MAX_COLUMNS));
        let wide_row = CsvError::TooManyFields { record: 3, found: 3, expected: 2, text: "1,5,2".into() };
        let twice = CsvError::NamedTwice { name: "value".into(), times: 2 };
        let numbers = CsvError::NoHeader { found: ["0".into(), "5.1".into()] };
        let first = CsvSetup { time: Column::Index(0), value: Column::Index(1), separator: b',' };
        assert_eq!(CsvParser::new(first).push(b"0,5.1\n", &mut Vec::new()), Err(numbers));
        let rows: [(&[u8], CsvError); 9] = [
            (b"time,value\n1,5\n1,5,2\n", wide_row),
            (b"time,value,value\n", twice),
            (b"time,value\n1,5\"\n", CsvError::Quote { record: 2 }),
            (b"time,value\n1,\"5\"x\n", CsvError::Quote { record: 2 }),
            (b"time,value\n1,5\n1,\"5", CsvError::Quote { record: 3 }),
            (b"time,value\n1,\xFF\n", CsvError::NotUtf8 { record: 2, byte: 0xFF, after: "1,".into() }),
            (long.as_bytes(), CsvError::TooLong { record: 2 }),
            (wide.as_bytes(), CsvError::TooManyColumns { record: 1 }),
            (
                b"time,flow\n",
                CsvError::NoColumn { wanted: "value".into(), found: vec!["time".into(), "flow".into()] },
            ),
        ];
        for (text, error) in rows {
            assert_eq!(read(text, 10), Err(error));
        }
        assert_eq!(read(b"", 1), Ok(vec![]));
        let far = CsvSetup { value: Column::Index(2), ..setup() };
        assert!(CsvParser::new(far).push(b"time,value\n", &mut Vec::new()).is_err());
    }

    #[test]
    fn what_is_passed_over_is_counted_and_its_first_example_kept() {
        let mut parser = CsvParser::new(setup());
        parser.push(b"time,value\n1,\xE2\x82\xAC5\n2\nnoon,3\n3,1\n4,Bad\n", &mut Vec::new()).unwrap();
        let odd = |record, found: &str, count| Some(Oddity { record, found: found.into(), count });
        let expected = Oddities {
            times: odd(4, "noon", 1),
            values: odd(2, "\u{20AC}5", 2),
            short: odd(3, "2", 1),
            twice: None,
        };
        assert_eq!(parser.oddities(), &expected);
    }

    #[test]
    fn one_column_that_should_be_several_is_refused_with_a_hint() {
        for (header, hint) in [
            ("time|value", "'|' separates no columns"),
            ("time;value", "another"),
            ("time", "semicolon or a tab"),
        ] {
            let setup = CsvSetup { time: Column::Index(0), value: Column::Index(1), separator: b',' };
            let error = CsvParser::new(setup).push(format!("{header}\n").as_bytes(), &mut Vec::new());
            let text = error.unwrap_err().to_string();
            assert!(text.contains(hint), "{text}");
        }
    }

    proptest! {
        #[test]
        fn rows_that_are_written_are_read_back(
            values in proptest::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 0..20),
            notes in "[\"',\\n\r a]{0,10}", piece in 1..40_usize,
        ) {
            let quoted = notes.replace('"', "\"\"");
            let mut text = String::from("note,value,time\n");
            for (i, value) in values.iter().enumerate() {
                text.push_str(&format!("\"{quoted}\",{value:?},{i}.5\n"));
            }
            let got = read(text.as_bytes(), piece).unwrap();
            prop_assert_eq!(got.iter().map(|r| r.value).collect::<Vec<_>>(), values);
            for (i, row) in got.iter().enumerate() {
                prop_assert_eq!(row.at, Some(i as i64 * 1_000_000_000 + 500_000_000));
            }
        }

        #[test]
        fn it_does_not_matter_where_any_bytes_are_cut(bytes in "\\PC{0,100}|(time|value|[,\"\n1.5]){0,40}", piece in 1..9_usize) {
            let whole = read(bytes.as_bytes(), 1000);
            prop_assert_eq!(format!("{:?}", read(bytes.as_bytes(), piece)), format!("{whole:?}"));
        }
    }
}
