//! A recorded file, looked at once before it is played: what form it has, when it begins and ends, how far its
//! samples lie apart, what they are worth.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hal::clock::{Mono, Wall};
use hal::sensor::replay::{Column, CsvSetup, FIRST_DATE_NS, Pace, Replay, Stretch, parse_time};
use hal::sensor::{Block, Flaw, Quality, Source, SourceError};
use sensor_monitor::anomaly::Figure;

use super::ends::{Ends, Plateaus, marked};
use super::oddity;
use super::rhythm::Rhythm;
use crate::judge::Failure;

/// The file and what a first look has shown.
pub(super) struct Record {
    path: PathBuf,
    form: Form,
    /// The column's or channel's name for people.
    pub(super) column: String,
    /// Where the file's own times lie on the time of the blocks; one for each step back. Empty for WAV.
    stretches: Vec<Stretch>,
    last: Mono,
    /// Usual time from one sample to the next.
    pub(super) period_ns: u64,
    /// From when on the samples lie how far apart, where that changes.
    pub(super) rates: Vec<(Mono, u64)>,
    /// Samples, and rows that have none as their time cannot be read.
    pub(super) samples: u64,
    /// Samples of each quality; their sum is [`Record::samples`].
    pub(super) qualities: BTreeMap<Quality, u64>,
    /// Time that samples stand for: gaps are not in it.
    pub(super) covered: Duration,
    /// What a reader should know of the file.
    pub(super) notes: Vec<String>,
    ends: Option<Ends>,
    pub(super) is_wav: bool,
}

#[derive(Clone)]
enum Form {
    Csv(CsvSetup),
    Wav { channel: u16 },
}

impl Record {
    pub(super) fn survey(
        path: &Path,
        column: Option<&str>,
        times: Option<&str>,
        ends: Option<Ends>,
    ) -> Result<Record, Failure> {
        let head = head(path)?;
        let is_wav = head.starts_with(b"RIFF");
        let (form, column) = match is_wav {
            true => wav(column, times)?,
            false => csv(&head, column, times),
        };
        let mut record = Record {
            path: path.to_path_buf(),
            form,
            column,
            stretches: Vec::new(),
            last: Mono(0),
            period_ns: 0,
            rates: Vec::new(),
            samples: 0,
            qualities: BTreeMap::new(),
            covered: Duration::ZERO,
            notes: Vec::new(),
            ends,
            is_wav,
        };
        record.look()?;
        Ok(record)
    }

    fn look(&mut self) -> Result<(), Failure> {
        let mut look = Look::default();
        let mut source = self.open()?;
        self.each(&mut source, |block| {
            look.take(&block);
            Ok(())
        })?;
        look.rhythm.settle(look.rows, look.covered_ns);
        let is_used = look.qualities.iter().any(|(quality, count)| quality.is_good() && *count > 0);
        if let Some(text) = oddity::falling(&source) {
            return Err(self.wrong(&text));
        }
        let odd = oddity::notes(&source, &self.column);
        let Some(period_ns) = look.period_ns().filter(|_| is_used) else {
            let mut what = match (look.rows, is_used) {
                (0, _) => "holds no samples".to_owned(),
                (_, true) => "fewer than two samples with times that differ".to_owned(),
                (_, false) => format!("no value that can be used: {}", tally(&look.qualities)),
            };
            odd.iter().for_each(|text| what += &format!("; {text}"));
            return Err(self.wrong(&what));
        };
        self.notes = odd;
        self.notes.extend(look.irregular());
        self.notes.extend(oddity::steps_back(&source));
        self.notes.extend(oddity::standing(&source));
        // A WAV file says itself where its range ends.
        if self.ends.is_none() && !self.is_wav {
            self.notes.extend(look.plateaus.notes());
        }
        (self.period_ns, self.samples, self.rates) = (period_ns, look.rows, look.rhythm.rates);
        (self.last, self.covered) = (look.last.unwrap_or(Mono(0)), Duration::from_nanos(look.covered_ns));
        self.qualities = look.qualities;
        self.stretches = source.order().map_or(Vec::new(), |o| o.stretches().to_vec());
        Ok(())
    }

    /// Hands over every block of a source, samples at the ends of the range and too large ones marked.
    pub(super) fn each(
        &self,
        source: &mut Replay,
        mut take: impl FnMut(Block) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut blocks = Vec::new();
        while !source.is_exhausted() {
            source.read(Mono(0), &mut blocks).map_err(failure)?;
            for block in blocks.drain(..) {
                marked(block, self.ends).into_iter().try_for_each(&mut take)?;
            }
        }
        Ok(())
    }

    /// The file from its start; its first sample is at [`Mono`] 0.
    pub(super) fn open(&self) -> Result<Replay, Failure> {
        let opened = match &self.form {
            Form::Csv(setup) => Replay::csv(&self.path, setup.clone(), Mono(0), Pace::AtOnce),
            Form::Wav { channel } => Replay::wav(&self.path, *channel, 1.0, Mono(0), Pace::AtOnce),
        };
        opened.map_err(failure)
    }

    /// What the controller reported, by time, from another column of the same file.
    pub(super) fn reports(&self, column: &str) -> Result<Vec<(Mono, f64)>, Failure> {
        let Form::Csv(setup) = &self.form else {
            return Err(Failure::usage("--reported-column: a WAV file has no columns"));
        };
        let setup = CsvSetup { value: Column::Name(column.into()), ..setup.clone() };
        let mut source = Replay::csv(&self.path, setup, Mono(0), Pace::AtOnce).map_err(failure)?;
        let mut reports = Vec::new();
        without_ends(&mut source, |block| {
            if block.quality.is_good() {
                let all = block.samples.iter().enumerate();
                reports.extend(all.map(|(n, value)| (block.time_of(n), *value)));
            }
            Ok(())
        })?;
        if reports.is_empty() {
            let odd = oddity::notes(&source, column);
            let odd: String = odd.iter().map(|text| format!("; {text}")).collect();
            return Err(self.wrong(&format!("column {column} has no value that can be used{odd}")));
        }
        Ok(reports)
    }

    /// The file's name and the column.
    pub(super) fn name(&self) -> String {
        let stem = self.path.file_stem().map_or_else(|| "record".into(), |s| s.to_string_lossy());
        if self.is_wav { stem.into_owned() } else { format!("{stem}.{}", self.column) }
    }

    pub(super) fn file(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn end(&self) -> Mono {
        self.last
    }

    /// Samples in a second.
    pub(super) fn rate(&self) -> f64 {
        1e9 / self.period_ns as f64
    }

    /// Where the stretches of the file begin, and the file's own seconds there; one where the clock never ran back.
    pub(super) fn clocks(&self) -> Vec<(Mono, f64)> {
        match self.stretches.is_empty() {
            true => vec![(Mono(0), 0.0)],
            false => self.stretches.iter().map(|s| (s.at, s.recorded_ns as f64 / 1e9)).collect(),
        }
    }

    /// Whether the file's times are dates.
    pub(super) fn has_dates(&self) -> bool {
        self.stretches.first().is_some_and(|s| s.recorded_ns >= FIRST_DATE_NS)
    }

    /// A time as the file would say it.
    pub(super) fn time(&self, at: Mono) -> String {
        let after = self.stretches.partition_point(|s| s.at <= at);
        let stretch = self.stretches.get(after.saturating_sub(1));
        let (from, recorded) = stretch.map_or((Mono(0), 0), |s| (s.at, s.recorded_ns));
        let passed = i64::try_from(at.0.saturating_sub(from.0)).unwrap_or(i64::MAX);
        let ns = recorded.saturating_add(passed);
        match self.has_dates() {
            true => Wall::trusted(ns.div_euclid(1_000_000)).to_string().replace(".000Z", "Z"),
            false => format!("{:.3} s", ns as f64 / 1e9),
        }
    }

    /// The instant that a time of the record's own names; the first, where its clock ran back over it.
    pub(super) fn instant(&self, text: &str) -> Result<Mono, Failure> {
        let between = format!("{} to {}", self.time(Mono(0)), self.time(self.last));
        let ns = parse_time(text).ok_or_else(|| {
            Failure::usage(format!("--updates: {text:?} is no time of this record ({between})"))
        })?;
        let whole = [Stretch { at: Mono(0), recorded_ns: 0 }];
        let stretches = if self.stretches.is_empty() { &whole[..] } else { &self.stretches };
        let ends = stretches.iter().skip(1).map(|s| Mono(s.at.0 - 1)).chain([self.last]);
        let mut places = stretches.iter().zip(ends).filter_map(|(s, end)| {
            let at = i128::from(ns) - i128::from(s.recorded_ns) + i128::from(s.at.0);
            u64::try_from(at).ok().map(Mono).filter(|at| (s.at..=end).contains(at))
        });
        let outside = || Failure::usage(format!("--updates: {text} is outside the record ({between})"));
        places.next().ok_or_else(outside)
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::usage(format!("{}: {what}", self.path.display()))
    }
}

/// Counts by quality, on one line.
pub(super) fn tally(qualities: &BTreeMap<Quality, u64>) -> String {
    qualities.iter().map(|(quality, count)| format!("{count} {quality}")).collect::<Vec<_>>().join(", ")
}

/// Hands over every block of a source.
fn without_ends(
    source: &mut Replay,
    mut take: impl FnMut(Block) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut blocks = Vec::new();
    while !source.is_exhausted() {
        source.read(Mono(0), &mut blocks).map_err(failure)?;
        blocks.drain(..).flat_map(|block| marked(block, None)).try_for_each(&mut take)?;
    }
    Ok(())
}

/// What a first look has seen so far.
#[derive(Default)]
struct Look {
    /// Steps between samples, and how often each.
    steps: BTreeMap<u64, u64>,
    last: Option<Mono>,
    rows: u64,
    qualities: BTreeMap<Quality, u64>,
    covered_ns: u64,
    rhythm: Rhythm,
    plateaus: Plateaus,
}

impl Look {
    fn take(&mut self, block: &Block) {
        let count = block.samples.len() as u64;
        *self.qualities.entry(block.quality).or_insert(0) += count.max(1);
        self.rows += count.max(1);
        let Some(end) = block.samples.len().checked_sub(1) else { return };
        if let Some(step) = self.last.filter(|last| block.at > *last).map(|last| block.at.0 - last.0) {
            self.note(step, 1);
            let is_whole = block.lost == 0 && block.quality != Quality::Bad(Flaw::ClockBack);
            self.covered_ns = self.covered_ns.saturating_add(if is_whole { step } else { 0 });
        }
        if end > 0 {
            self.note(block.period_ns, end as u64);
            self.covered_ns = self.covered_ns.saturating_add(block.period_ns.saturating_mul(end as u64));
            self.rhythm.step(block.period_ns);
        }
        if block.quality == Quality::Uncertain(Flaw::RateChanged) {
            self.rhythm.changed(block.at, self.rows, self.covered_ns);
        }
        self.last = self.last.max(Some(block.time_of(end)));
        self.plateaus.take(block);
    }

    /// What to say of times that keep no rate.
    fn irregular(&self) -> Option<String> {
        let (shortest, longest) = (self.steps.keys().next()?, self.steps.keys().next_back()?);
        (self.rhythm.jitters > 0).then(|| {
            format!(
                "its times are irregular, {} to {} s apart; a few steps alike are no change of the rate",
                Figure(*shortest as f64 / 1e9),
                Figure(*longest as f64 / 1e9)
            )
        })
    }

    fn note(&mut self, ns: u64, count: u64) {
        if self.steps.len() < MOST_STEPS || self.steps.contains_key(&ns) {
            *self.steps.entry(ns).or_insert(0) += count;
        }
    }

    /// The median step.
    fn period_ns(&self) -> Option<u64> {
        let total: u64 = self.steps.values().sum();
        let mut seen = 0;
        let median = self.steps.iter().find(|(_, count)| {
            seen += **count;
            2 * seen >= total
        });
        median.map(|(ns, _)| (*ns).max(1))
    }
}

fn failure(e: SourceError) -> Failure {
    match &e {
        SourceError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Failure::not_found(e.to_string())
        }
        _ => Failure::usage(e.to_string()),
    }
}

fn wav(column: Option<&str>, times: Option<&str>) -> Result<(Form, String), Failure> {
    if times.is_some() {
        return Err(Failure::usage("--time-column: a WAV file has no columns"));
    }
    let channel = column.unwrap_or("0").parse().map_err(|_| {
        Failure::usage("--column: for a WAV file the number of the channel, counted from 0".to_owned())
    })?;
    Ok((Form::Wav { channel }, format!("channel {channel}")))
}

/// The separator is the one that the header has most of.
fn csv(head: &[u8], column: Option<&str>, times: Option<&str>) -> (Form, String) {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |c: u8| line.iter().filter(|b| **b == c).count();
    let separator = [b'\t', b';', b','].into_iter().max_by_key(|c| count(*c)).unwrap_or(b',');
    let line = String::from_utf8_lossy(line);
    let names: Vec<&str> =
        line.split(char::from(separator)).map(|n| n.trim().trim_matches(['"', '\u{FEFF}'])).collect();
    let by_name = |name: &str| Column::Name(name.to_owned());
    let time = times.map_or(Column::Index(0), by_name);
    let at = times.and_then(|t| names.iter().position(|n| *n == t)).unwrap_or(0);
    let value = column.map_or(Column::Index(at + 1), by_name);
    let column = column.or(names.get(at + 1).copied()).unwrap_or("value").to_owned();
    (Form::Csv(CsvSetup { time, value, separator }), column)
}

/// The first bytes of a file.
fn head(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail = |e: std::io::Error| {
        let text = format!("{}: {e}", path.display());
        match e.kind() {
            std::io::ErrorKind::NotFound => Failure::not_found(text),
            _ => Failure::usage(text),
        }
    };
    if path.is_dir() {
        return Err(Failure::usage(format!("{}: a folder, not a file", path.display())));
    }
    let mut head = Vec::new();
    std::fs::File::open(path).map_err(fail)?.take(HEAD).read_to_end(&mut head).map_err(fail)?;
    match head.is_empty() {
        true => Err(Failure::usage(format!("{}: the file is empty", path.display()))),
        false => Ok(head),
    }
}

/// Bytes in which the header's end is looked for.
const HEAD: u64 = 65_536;
/// Different steps between samples that are counted.
const MOST_STEPS: usize = 65_536;
