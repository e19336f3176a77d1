//! A recorded file as a source.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::csv::{CsvParser, CsvSetup, Oddities, Row};
use super::order::{MAX_STEPS_BACK, Order};
use super::wav::{Sample, WavParser};
use crate::clock::Mono;
use crate::sensor::{Block, Flaw, Quality, Runs, Source, SourceError, Spacing};

/// Most bytes that are read from one file.
pub const MAX_FILE: u64 = 4 << 30;
/// Bytes of one read.
const PIECE: usize = 65_536;
/// Shortest time between two deliveries at the recorded pace.
const GRAIN: Duration = Duration::from_millis(100);
/// Steps of a CSV file that differ by less than this share of the period count as even.
const TOLERANCE: f64 = 0.01;

/// How fast a file is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A piece with every read, whatever the time is.
    AtOnce,
    /// No sample before its time.
    AsRecorded,
}

/// A file whose first sample is taken to be at a given time.
#[derive(Debug)]
pub struct Replay {
    what: String,
    file: File,
    read: u64,
    form: Form,
    start: Mono,
    pace: Pace,
    ready: VecDeque<Block>,
    is_over: bool,
}

#[derive(Debug)]
enum Form {
    Csv(Box<Csv>),
    Wav { parser: WavParser, full_scale: f64, taken: u64 },
}

#[derive(Debug)]
struct Csv {
    parser: CsvParser,
    runs: Runs,
    order: Order,
}

impl Replay {
    /// A CSV file. Rows without a time become blocks without samples. Where its times run back, the rows after that
    /// still follow those before: see [`Order`].
    ///
    /// # Errors
    /// [`SourceError`] when there is no such file.
    pub fn csv(path: &Path, setup: CsvSetup, start: Mono, pace: Pace) -> Result<Replay, SourceError> {
        let runs = Runs::new(Spacing { period_ns: None, tolerance: TOLERANCE });
        Replay::open(
            path,
            Form::Csv(Box::new(Csv { parser: CsvParser::new(setup), runs, order: Order::new(start) })),
            start,
            pace,
        )
    }

    /// One channel of a WAV file, counted from 0; `full_scale` is the value of its full scale.
    ///
    /// # Errors
    /// [`SourceError`] when there is no such file.
    pub fn wav(
        path: &Path,
        channel: u16,
        full_scale: f64,
        start: Mono,
        pace: Pace,
    ) -> Result<Replay, SourceError> {
        Replay::open(path, Form::Wav { parser: WavParser::new(channel), full_scale, taken: 0 }, start, pace)
    }

    fn open(path: &Path, form: Form, start: Mono, pace: Pace) -> Result<Replay, SourceError> {
        let what = path.display().to_string();
        let is_file = std::fs::metadata(path).map_err(|e| SourceError::io(&what, e))?.is_file();
        if !is_file {
            return Err(SourceError::unexpected(what, "something else", "a file"));
        }
        let file = File::open(path).map_err(|e| SourceError::io(&what, e))?;
        Ok(Replay { what, file, read: 0, form, start, pace, ready: VecDeque::new(), is_over: false })
    }

    /// When the first row was recorded, in nanoseconds as the file says it: since 1970 for dates. `None` for WAV
    /// and before the first row.
    pub fn recorded_at(&self) -> Option<i64> {
        self.order()?.stretches().first().map(|s| s.recorded_ns)
    }

    /// Which way the times went so far; `None` for WAV.
    pub fn order(&self) -> Option<&Order> {
        match &self.form {
            Form::Csv(csv) => Some(&csv.order),
            Form::Wav { .. } => None,
        }
    }

    /// What was passed over so far; `None` for WAV.
    pub fn oddities(&self) -> Option<&Oddities> {
        match &self.form {
            Form::Csv(csv) => Some(csv.parser.oddities()),
            Form::Wav { .. } => None,
        }
    }

    /// Reads the next piece; its blocks are then ready.
    fn piece(&mut self) -> Result<(), SourceError> {
        let mut buffer = vec![0; PIECE];
        let have = self.file.read(&mut buffer).map_err(|e| SourceError::io(&self.what, e))?;
        self.read = self.read.saturating_add(have as u64);
        self.is_over = have == 0;
        let mut out = Vec::new();
        let result = match self.read > MAX_FILE {
            true => Err(("more bytes".to_owned(), "at most 4 GiB")),
            false => self.form.take(&buffer[..have], self.start, &mut out),
        };
        self.ready.extend(out);
        result.map_err(|(found, expected)| {
            self.is_over = true;
            SourceError::Unexpected { what: self.what.clone(), found, expected }
        })
    }
}

impl Csv {
    /// An empty piece is the end.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<Block>) -> Result<(), (String, &'static str)> {
        let Csv { parser, runs, order } = self;
        let mut rows = Vec::new();
        let parsed = if bytes.is_empty() { parser.finish(&mut rows) } else { parser.push(bytes, &mut rows) };
        let mut on_file = Vec::new();
        let mut run_back = None;
        for row in rows {
            if row.at.is_some_and(|ns| !order.row(row.record, ns)) {
                run_back = Some(row.record);
                break;
            }
            push(row, runs, &mut on_file);
        }
        runs.flush(&mut on_file);
        let period_ns = runs.period_ns().unwrap_or(1);
        for mut block in on_file {
            let ns = unshifted(block.at);
            match block.samples.is_empty() {
                true => block.at = order.end(),
                false => order.place(&mut block, ns, period_ns),
            }
            out.push(block);
        }
        match (run_back, order.steps().0.first()) {
            (Some(record), Some(first)) => Err((
                format!("times that run back more than {MAX_STEPS_BACK} times by record {record} ({first})"),
                "rows sorted by time, the oldest first",
            )),
            _ => parsed.map_err(|e| (e.to_string(), "CSV (RFC 4180)")),
        }
    }
}

impl Form {
    /// An empty piece is the end.
    fn take(
        &mut self,
        bytes: &[u8],
        start: Mono,
        out: &mut Vec<Block>,
    ) -> Result<(), (String, &'static str)> {
        match self {
            Form::Csv(csv) => csv.take(bytes, out),
            Form::Wav { parser, full_scale, taken } => {
                let mut samples = Vec::new();
                let parsed = parser.push(bytes, &mut samples);
                let rate = parser.format().map_or(1, |f| f.rate);
                for part in samples.chunk_by(|a, b| a.quality == b.quality) {
                    out.push(block(part, *full_scale, rate, *taken, start));
                    *taken += part.len() as u64;
                }
                parsed.map_err(|e| (e.to_string(), "a WAV file"))?;
                match (bytes.is_empty() && parser.is_cut_short(), parser.extent()) {
                    (false, _) => Ok(()),
                    (true, Some((came, promised))) => Err((
                        format!("its end after {taken} samples, {came} of {promised} bytes of them"),
                        "as many as its header says; copy the file again",
                    )),
                    (true, None) => Err(("its end before its samples".into(), "a WAV file, whole")),
                }
            }
        }
    }
}

/// A time of the file on a scale without a sign.
fn shift(at: i64) -> Mono {
    Mono(at.cast_unsigned() ^ 1 << 63)
}

/// The time of the file that was put on that scale.
fn unshifted(at: Mono) -> i64 {
    (at.0 ^ 1 << 63).cast_signed()
}

fn push(row: Row, runs: &mut Runs, out: &mut Vec<Block>) {
    match row.at {
        Some(at) => runs.push(shift(at), row.value, row.quality, out),
        None => {
            runs.flush(out);
            let quality = Quality::Bad(Flaw::Missing);
            // The loss shows as a step between the times around it, and is not counted twice.
            out.push(Block { at: Mono(0), period_ns: 0, samples: Vec::new(), lost: 0, quality });
        }
    }
}

/// Samples of one quality; `taken` came before. Times come from the count, so that no rounding adds up.
fn block(part: &[Sample], full_scale: f64, rate: u32, taken: u64, start: Mono) -> Block {
    let passed = u128::from(taken) * 1_000_000_000 / u128::from(rate);
    let at = Mono(start.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)));
    let samples: Vec<f64> = part.iter().map(|s| s.value * full_scale).collect();
    let period_ns =
        if samples.len() > 1 { (1_000_000_000 + u64::from(rate) / 2) / u64::from(rate) } else { 0 };
    Block { at, period_ns, samples, lost: 0, quality: part.first().map_or(Quality::Good, |s| s.quality) }
}

/// Splits off what is due; `None` when nothing is yet.
fn due(block: &mut Block, now: Mono) -> Option<Block> {
    if block.at > now {
        return None;
    }
    let more = (now.0 - block.at.0).checked_div(block.period_ns);
    let count =
        more.map_or(block.samples.len(), |n| usize::try_from(n.saturating_add(1)).unwrap_or(usize::MAX));
    if count >= block.samples.len() {
        let nothing = Block::nothing(block.at, Flaw::Missing);
        return Some(std::mem::replace(block, nothing));
    }
    let later = block.samples.split_off(count);
    let (at, quality) = (block.time_of(count), block.quality);
    let rest = Block { at, period_ns: block.period_ns, samples: later, lost: 0, quality };
    Some(std::mem::replace(block, rest))
}

impl Source for Replay {
    fn read(&mut self, now: Mono, out: &mut Vec<Block>) -> Result<(), SourceError> {
        if self.pace == Pace::AtOnce {
            let result = if self.is_over { Ok(()) } else { self.piece() };
            out.extend(self.ready.drain(..));
            return result;
        }
        loop {
            while let Some(first) = self.ready.front_mut() {
                let whole = first.samples.len();
                let Some(part) = due(first, now) else { return Ok(()) };
                let is_whole = part.samples.len() == whole;
                out.push(part);
                if !is_whole {
                    return Ok(());
                }
                self.ready.pop_front();
            }
            if self.is_over {
                return Ok(());
            }
            self.piece()?;
        }
    }

    fn deadline(&self) -> Option<Mono> {
        self.ready.front().map(|block| block.at + GRAIN)
    }

    fn is_exhausted(&self) -> bool {
        self.is_over && self.ready.is_empty()
    }
}
