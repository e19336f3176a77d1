//! Recorded files as sources: public recordings, a WAV file by another program, and the pace.
//!
//! The recordings are not part of this repository; the folder is `HEADGATE_VECTORS`, or `shared/vectors` beside
//! the workspace.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hal::clock::Mono;
use hal::sensor::replay::{Column, CsvSetup, MAX_STEPS_BACK, Pace, Replay, Stretch};
use hal::sensor::{Block, Flaw, Quality, Source};

fn setup() -> CsvSetup {
    CsvSetup { time: Column::Name("timestamp".into()), value: Column::Index(1), separator: b',' }
}

fn all(source: &mut Replay) -> Vec<Block> {
    let mut out = Vec::new();
    while !source.is_exhausted() {
        source.read(Mono(0), &mut out).unwrap();
    }
    out
}

fn samples(blocks: &[Block]) -> Vec<f64> {
    blocks.iter().flat_map(|b| b.samples.clone()).collect()
}

/// Says what is skipped, and fails when nothing may be.
fn skipped(what: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what}: {why}");
    eprintln!("skipped: {what}: {why}");
}

/// The `.csv` files below `folder`.
fn csv_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { csv_files(&path) } else { vec![path] }
        })
        .filter(|path| path.extension().is_some_and(|e| e == "csv"))
        .collect();
    files.sort();
    files
}

#[test]
fn the_recordings_of_the_numenta_benchmark_are_read_whole() {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let folder = std::env::var_os("HEADGATE_VECTORS").map_or(beside, PathBuf::from).join("nab/data");
    let files = csv_files(&folder);
    if files.is_empty() {
        return skipped("Numenta benchmark", &format!("no CSV files in {}", folder.display()));
    }
    let (mut rows, mut lost, mut back, mut blocks) = (0, 0, 0, 0);
    for path in &files {
        let text = fs::read_to_string(path).unwrap();
        let mut source = Replay::csv(path, setup(), Mono(0), Pace::AtOnce).unwrap();
        let got = all(&mut source);
        let expected: Vec<f64> =
            text.lines().skip(1).map(|l| l.split_once(',').unwrap().1.trim().parse().unwrap()).collect();
        assert_eq!(samples(&got), expected, "{}", path.display());
        assert!(source.recorded_at().unwrap() > 1_300_000_000_000_000_000);
        rows += expected.len();
        blocks += got.len();
        lost += got.iter().map(|b| b.lost).sum::<u64>();
        back += got.iter().filter(|b| b.quality == Quality::Bad(Flaw::ClockBack)).count();
    }
    println!("{} files, {rows} rows in {blocks} blocks, {lost} missing, {back} times back", files.len());
}

#[test]
fn a_wav_file_of_another_program_is_read() {
    let script = r"
import math, struct, sys, wave
for width in (1, 2, 3, 4):
    with wave.open(f'{sys.argv[1]}/{width}.wav', 'wb') as w:
        w.setnchannels(2); w.setsampwidth(width); w.setframerate(44100)
        for i in range(1000):
            for value in (0.5 * math.sin(i / 10), -0.25):
                code = round(value * 2 ** (8 * width - 1))
                if width == 1: code += 128
                w.writeframesraw(code.to_bytes(width, 'little', signed=width > 1))
";
    let dir = tempfile::tempdir().unwrap();
    match Command::new("python3").args(["-c", script]).arg(dir.path()).status() {
        Ok(status) if status.success() => {}
        other => return skipped("WAV files written by Python", &format!("{other:?}")),
    }
    for (width, step) in [(1, 1.0 / 128.0), (2, 1.0 / 32_768.0), (3, 2e-7), (4, 1e-9)] {
        let path = dir.path().join(format!("{width}.wav"));
        let mut source = Replay::wav(&path, 0, 10.0, Mono(7), Pace::AtOnce).unwrap();
        let got = all(&mut source);
        assert_eq!((got.len(), got[0].at, got[0].period_ns), (1, Mono(7), 22_676), "{width}");
        assert!(got[0].quality.is_good());
        for (i, value) in got[0].samples.iter().enumerate() {
            let expected = 5.0 * (i as f64 / 10.0).sin();
            assert!((value - expected).abs() <= 10.0 * step, "{width}: {i}: {value} and {expected}");
        }
        assert_eq!(got[0].samples.len(), 1000);
        let second = all(&mut Replay::wav(&path, 1, 1.0, Mono(0), Pace::AtOnce).unwrap());
        assert!(second[0].samples.iter().all(|v| *v == -0.25));
    }
}

#[test]
fn what_a_file_lacks_is_said_and_never_filled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let text = "timestamp,value\n\
        2014-04-01 00:00:00,1\n2014-04-01 00:05:00,2\n2014-04-01 00:10:00,\n2014-04-01 00:15:00,4\n\
        2014-04-01 00:30:00,5\n2014-04-01 00:35:00,6\n2014-04-01 00:00:00,7\n,8\n2014-04-01 00:05:00,9\n2014-04-01 00:05:00,10\n";
    fs::write(&path, text).unwrap();
    let minute = 60_000_000_000;
    let got = all(&mut Replay::csv(&path, setup(), Mono(1000), Pace::AtOnce).unwrap());
    let shape: Vec<_> = got
        .iter()
        .map(|b| ((b.at.0.max(1000) - 1000) / minute, b.samples.len(), b.lost, b.quality))
        .collect();
    assert_eq!(
        shape,
        [
            (0, 2, 0, Quality::Good),
            (10, 1, 0, Quality::Bad(Flaw::Missing)),
            (15, 1, 0, Quality::Good),
            (30, 1, 2, Quality::Uncertain(Flaw::Gap)),
            (35, 1, 0, Quality::Good),
            // The clock ran back by 35 minutes; the rows go on one period after the last.
            (40, 1, 0, Quality::Bad(Flaw::ClockBack)),
            (40, 0, 0, Quality::Bad(Flaw::Missing)),
            (45, 1, 0, Quality::Good),
            (45, 1, 0, Quality::Bad(Flaw::ClockBack)),
        ]
    );
    let first = 1_396_310_400_000_000_000;
    let stretch = |minutes, recorded| Stretch { at: Mono(1000 + minutes * minute), recorded_ns: recorded };
    let mut source = Replay::csv(&path, setup(), Mono(1000), Pace::AtOnce).unwrap();
    all(&mut source);
    let order = source.order().unwrap();
    assert_eq!(order.stretches(), [stretch(0, first), stretch(40, first)]);
    let (back, forward) = order.steps();
    assert_eq!((back.len(), back[0].record, forward), (1, 8, 6));
    assert_eq!(back[0].to_string(), "record 8: 2014-04-01T00:00:00.000Z follows 2014-04-01T00:35:00.000Z");
}

#[test]
fn at_its_pace_no_sample_comes_before_its_time_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let rows: Vec<String> = (0..50).map(|i| format!("{}.{},{i}", i / 10, i % 10)).collect();
    fs::write(&path, format!("timestamp,value\n{}\n", rows.join("\n"))).unwrap();
    let mut source = Replay::csv(&path, setup(), Mono(0), Pace::AsRecorded).unwrap();
    let mut seen = Vec::new();
    for ms in (0..6000).step_by(70) {
        let now = Mono(ms * 1_000_000);
        let mut out = Vec::new();
        source.read(now, &mut out).unwrap();
        for block in &out {
            assert!(block.time_of(block.samples.len() - 1) <= now, "{block:?} at {now:?}");
        }
        let due = (ms / 100 + 1).min(50) as usize;
        seen.extend(samples(&out));
        assert_eq!(seen.len(), due, "{ms} ms");
        assert!(source.deadline().is_none_or(|d| d > now));
    }
    assert_eq!(seen, (0..50).map(f64::from).collect::<Vec<_>>());
    assert!(source.is_exhausted());
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Replay::wav(&dir.path().join("none"), 0, 1.0, Mono(0), Pace::AtOnce).is_err());
    assert!(Replay::csv(dir.path(), setup(), Mono(0), Pace::AtOnce).is_err());
    let path = dir.path().join("cut.wav");
    let mut bytes =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1F\0\0\x80\x3E\0\0\x02\0\x10\0data\xFF\0\0\0"
            .to_vec();
    bytes.extend([0, 1, 0, 2]);
    fs::write(&path, bytes).unwrap();
    let mut source = Replay::wav(&path, 0, 1.0, Mono(0), Pace::AtOnce).unwrap();
    let mut out = Vec::new();
    source.read(Mono(0), &mut out).unwrap();
    let error = source.read(Mono(0), &mut out).unwrap_err().to_string();
    assert!(error.contains("after 2 samples, 4 of 255 bytes"), "{error}");
    assert_eq!((samples(&out).len(), source.is_exhausted()), (2, true));
}

#[test]
fn times_that_run_back_all_the_time_have_no_order_and_end_the_reading() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let rows = |count: usize| (0..count).map(|n| format!("{},5\n", 9000 - n)).collect::<String>();
    fs::write(&path, format!("timestamp,value\n{}", rows(MAX_STEPS_BACK + 1))).unwrap();
    let got = all(&mut Replay::csv(&path, setup(), Mono(0), Pace::AtOnce).unwrap());
    assert_eq!(samples(&got).len(), MAX_STEPS_BACK + 1);
    assert!(got.windows(2).all(|w| w[0].at < w[1].at), "their order is that of the file");
    fs::write(&path, format!("timestamp,value\n{}", rows(MAX_STEPS_BACK + 2))).unwrap();
    let mut source = Replay::csv(&path, setup(), Mono(0), Pace::AtOnce).unwrap();
    let error = source.read(Mono(0), &mut Vec::new()).unwrap_err().to_string();
    for text in ["by record 259", "record 3: 8999 s follows 9000 s", "the oldest first"] {
        assert!(error.contains(text), "{error}");
    }
}
