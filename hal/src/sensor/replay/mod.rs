//! Recorded signals from files: CSV with times, and WAV.
//!
//! The parsers are pure and take a file in pieces of any size; what is missing or out of order is said by
//! [`Quality`](super::Quality) and never filled in. [`Replay`] reads the file, at once or as fast as it was recorded.

mod csv;
mod file;
mod order;
mod time;
mod wav;

pub use csv::{Column, CsvError, CsvParser, CsvSetup, MAX_COLUMNS, MAX_RECORD, Oddities, Oddity, Row};
pub use file::{MAX_FILE, Pace, Replay};
pub use order::{FIRST_DATE_NS, MAX_STEPS_BACK, Order, StepBack, Stretch};
pub use time::parse_time;
pub use wav::{Encoding, Format, MAX_CHANNELS, MAX_CHUNKS, MAX_WAV_RATE, Sample, WavError, WavParser};
