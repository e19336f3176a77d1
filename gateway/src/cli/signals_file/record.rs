//! A recorded file, looked at once before it is played: what form it has, when it begins and ends, how far its
//! samples lie apart, what they are worth.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hal::clock::{Mono, Wall};
use hal::sensor::replay::{Column, CsvSetup, Pace, Replay, parse_time};
use hal::sensor::{Block, Quality, Source, SourceError};

use crate::judge::Failure;

/// The file and what a first look has shown.
pub(super) struct Record {
    path: PathBuf,
    form: Form,
    /// The column's or channel's name for people.
    pub(super) column: String,
    /// The first time as the file says it, in nanoseconds; `None` for WAV.
    first_ns: Option<i64>,
    last: Mono,
    /// Usual time from one sample to the next.
    pub(super) period_ns: u64,
    pub(super) samples: u64,
    /// Samples of each quality, and how many rows had none.
    pub(super) qualities: BTreeMap<Quality, u64>,
    pub(super) is_wav: bool,
}

#[derive(Clone)]
enum Form {
    Csv(CsvSetup),
    Wav { channel: u16 },
}

impl Record {
    pub(super) fn survey(path: &Path, column: Option<&str>, times: Option<&str>) -> Result<Record, Failure> {
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
            first_ns: None,
            last: Mono(0),
            period_ns: 0,
            samples: 0,
            qualities: BTreeMap::new(),
            is_wav,
        };
        record.look()?;
        Ok(record)
    }

    fn look(&mut self) -> Result<(), Failure> {
        let mut steps: BTreeMap<u64, u64> = BTreeMap::new();
        let mut last: Option<Mono> = None;
        let (mut samples, mut qualities) = (0, BTreeMap::new());
        let mut source = self.open()?;
        let mut note = |ns: u64, count: u64| {
            if steps.len() < MOST_STEPS || steps.contains_key(&ns) {
                *steps.entry(ns).or_insert(0) += count;
            }
        };
        each(&mut source, |block| {
            let count = block.samples.len() as u64;
            *qualities.entry(block.quality).or_insert(0) += count.max(1);
            samples += count;
            if let Some(end) = block.samples.len().checked_sub(1) {
                last.into_iter()
                    .filter(|last| block.at > *last)
                    .for_each(|last| note(block.at.0 - last.0, 1));
                if end > 0 {
                    note(block.period_ns, end as u64);
                }
                last = last.max(Some(block.time_of(end)));
            }
            Ok(())
        })?;
        let is_used = qualities.iter().any(|(quality, count)| quality.is_good() && *count > 0);
        let total: u64 = steps.values().sum();
        let mut seen = 0;
        let median = steps.iter().find(|(_, count)| {
            seen += **count;
            2 * seen >= total
        });
        let Some((&period_ns, _)) = median.filter(|_| is_used) else {
            let what = match (samples, is_used) {
                (0, _) => "holds no samples".to_owned(),
                (_, true) => "fewer than two samples with times that differ".to_owned(),
                (_, false) => format!("no value that can be used: {}", tally(&qualities)),
            };
            return Err(self.wrong(&what));
        };
        (self.period_ns, self.samples, self.qualities) = (period_ns.max(1), samples, qualities);
        (self.last, self.first_ns) = (last.unwrap_or(Mono(0)), source.recorded_at());
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
        each(&mut source, |block| {
            if block.quality.is_good() {
                let all = block.samples.iter().enumerate();
                reports.extend(all.map(|(n, value)| (block.time_of(n), *value)));
            }
            Ok(())
        })?;
        reports.sort_by_key(|(at, _)| *at);
        if reports.is_empty() {
            return Err(self.wrong(&format!("column {column} has no value that can be used")));
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

    pub(super) fn span(&self) -> Duration {
        self.last.since(Mono(0))
    }

    pub(super) fn end(&self) -> Mono {
        self.last
    }

    /// Samples in a second.
    pub(super) fn rate(&self) -> f64 {
        1e9 / self.period_ns as f64
    }

    /// Seconds since 1970 of the first sample, where the file has dates.
    pub(super) fn epoch_s(&self) -> Option<f64> {
        self.first_ns.filter(|ns| *ns >= FIRST_DATE_NS).map(|ns| ns as f64 / 1e9)
    }

    /// A time as the file would say it.
    pub(super) fn time(&self, at: Mono) -> String {
        let first = self.first_ns.unwrap_or(0);
        let ns = first.saturating_add(i64::try_from(at.0).unwrap_or(i64::MAX));
        match self.epoch_s() {
            Some(_) => Wall::trusted(ns.div_euclid(1_000_000)).to_string().replace(".000Z", "Z"),
            None => format!("{:.3} s", ns as f64 / 1e9),
        }
    }

    /// The instant that a time of the record's own names.
    pub(super) fn instant(&self, text: &str) -> Result<Mono, Failure> {
        let between = format!("{} to {}", self.time(Mono(0)), self.time(self.last));
        let ns = parse_time(text).ok_or_else(|| {
            Failure::usage(format!("--updates: {text:?} is no time of this record ({between})"))
        })?;
        let passed = i128::from(ns) - i128::from(self.first_ns.unwrap_or(0));
        let at = u64::try_from(passed).ok().map(Mono).filter(|at| *at <= self.last);
        at.ok_or_else(|| Failure::usage(format!("--updates: {text} is outside the record ({between})")))
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
pub(super) fn each(
    source: &mut Replay,
    mut take: impl FnMut(Block) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut blocks = Vec::new();
    while !source.is_exhausted() {
        source.read(Mono(0), &mut blocks).map_err(failure)?;
        blocks.drain(..).try_for_each(&mut take)?;
    }
    Ok(())
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
/// Times from 1973 on are dates; earlier ones are seconds from some start.
const FIRST_DATE_NS: i64 = 100_000_000_000_000_000;
