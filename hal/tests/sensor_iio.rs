//! IIO devices as the kernel shows them: a tree of attributes and a device of records, both made here.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hal::clock::{Clock, Mono};
use hal::sensor::iio::{Buffered, Device, Plan};
use hal::sensor::{Flaw, Measure, Polled, Quality, Source, SourceError, Tree};

/// A device as drivers/iio/dummy/iio_simple_dummy.c and ti-ads8688 look in sysfs.
fn device(dir: &Path) {
    let put = |path: &str, text: &str| {
        let full = dir.join("iio:device0").join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, text).unwrap();
    };
    put("name", "ads8688\n");
    put("in_voltage0_raw", "2047\n");
    put("in_voltage0_offset", "-7\n");
    put("in_voltage_scale", "0.5\n");
    put("in_voltage1_raw", "73\n");
    put("in_voltage1_scale", "2\n");
    put("sampling_frequency", "1000\n");
    put("current_timestamp_clock", "realtime\n");
    put("buffer/enable", "0\n");
    put("buffer/length", "2\n");
    for (name, index, kind) in [
        ("in_voltage0", "0\n", "le:s12/16>>4\n"),
        ("in_voltage1", "1\n", "le:u16/16>>0\n"),
        ("in_voltage2", "2\n", "le:u32/32\n"),
        ("in_timestamp", "9\n", "le:s64/64>>0\n"),
    ] {
        put(&format!("scan_elements/{name}_en"), "0\n");
        put(&format!("scan_elements/{name}_index"), index);
        put(&format!("scan_elements/{name}_type"), kind);
    }
}

fn plan() -> Plan {
    let channels = vec!["in_voltage1".to_owned(), "in_voltage0".to_owned()];
    Plan { channels, frequency: Some(2000.0), length: 128, factor: 0.001 }
}

fn record(first: i16, second: u16, at: i64) -> Vec<u8> {
    let mut bytes = (first << 4).to_le_bytes().to_vec();
    bytes.extend(second.to_le_bytes());
    bytes.resize(8, 0);
    bytes.extend(at.to_le_bytes());
    bytes
}

#[test]
fn a_polled_channel_is_read_with_its_own_offset_and_the_scale_of_its_kind() {
    let dir = tempfile::tempdir().unwrap();
    device(dir.path());
    let found = Device::find(&Tree::new(dir.path()), "ads8688").unwrap();
    let (name, device) = &found[0];
    assert_eq!((found.len(), name.as_str()), (1, "iio:device0"));
    assert_eq!(device.channels().unwrap(), ["in_voltage0", "in_voltage1"]);
    assert_eq!(device.raw("in_voltage0", 0.001).unwrap().measure().unwrap(), (1.02, Quality::Good));
    let mut source = Polled::new(device.raw("in_voltage1", 1.0).unwrap(), Duration::from_millis(10));
    let mut out = Vec::new();
    source.read(Mono(5), &mut out).unwrap();
    assert_eq!((out[0].samples[0], out[0].at), (146.0, Mono(5)));
    // The device goes: an error, and the lost poll is counted when it is back.
    let raw = dir.path().join("iio:device0/in_voltage1_raw");
    fs::remove_file(&raw).unwrap();
    assert!(source.read(Mono(10_000_005), &mut out).is_err());
    fs::write(&raw, "74").unwrap();
    source.read(Mono(20_000_005), &mut out).unwrap();
    assert_eq!((out[1].lost, out[1].quality), (1, Quality::Uncertain(Flaw::Gap)));
}

#[test]
fn a_buffer_is_switched_on_as_planned() {
    let dir = tempfile::tempdir().unwrap();
    device(dir.path());
    let device = Device::at(dir.path().join("iio:device0"));
    let stream = device.start(&plan()).unwrap();
    assert_eq!(stream.channels(), 2);
    let read = |path: &str| fs::read_to_string(dir.path().join("iio:device0").join(path)).unwrap();
    for (path, value) in [
        ("scan_elements/in_voltage0_en", "1"),
        ("scan_elements/in_voltage2_en", "0"),
        ("scan_elements/in_timestamp_en", "1"),
        ("sampling_frequency", "2000"),
        ("current_timestamp_clock", "monotonic"),
        ("buffer/length", "128"),
        ("buffer/enable", "1"),
    ] {
        assert_eq!(read(path), value, "{path}");
    }
    device.stop().unwrap();
    assert_eq!(read("buffer/enable"), "0");
}

#[test]
fn records_from_a_device_become_blocks_of_each_channel_and_a_gap_shows() {
    let dir = tempfile::tempdir().unwrap();
    device(dir.path());
    let stream = Device::at(dir.path().join("iio:device0")).start(&plan()).unwrap();
    let fifo = dir.path().join("dev");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut buffered = Buffered::open(&fifo, stream).unwrap();
    let mut writer = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    let clock = Clock::system();
    let mut rows = [Vec::new(), Vec::new()];

    let first: Vec<u8> = (0..4).flat_map(|i| record(-2, 10, i * 500_000)).collect();
    writer.write_all(&first[..40]).unwrap(); // two and a half records
    buffered.read_all(|| clock.mono(), &mut rows).unwrap();
    writer.write_all(&first[40..]).unwrap();
    buffered.read_all(|| clock.mono(), &mut rows).unwrap();
    let lengths: Vec<usize> = rows.iter().map(|r| r.iter().map(|b| b.samples.len()).sum()).collect();
    assert_eq!(lengths, [4, 4]);
    // The plan's order: in_voltage1 first.
    assert_eq!((rows[0][0].samples[0], rows[1][0].samples[0]), (0.02, -9.0 * 0.5 * 0.001));
    assert!(rows[0].iter().all(|b| b.lost == 0 && b.quality.is_good()), "{rows:?}");

    rows = [Vec::new(), Vec::new()];
    writer.write_all(&record(0, 0, 13 * 500_000)).unwrap();
    buffered.read_all(|| clock.mono(), &mut rows).unwrap();
    assert_eq!((rows[0][0].lost, rows[0][0].quality), (9, Quality::Uncertain(Flaw::Gap)));

    // Nothing comes: no answer is no error, and the wait is short.
    let started = clock.mono();
    buffered.read_all(|| clock.mono(), &mut rows).unwrap();
    assert!(clock.mono().since(started) < Duration::from_secs(2));
    drop(writer);
    let gone = buffered.read(clock.mono(), &mut Vec::new());
    assert!(matches!(gone, Err(SourceError::Io { .. })), "{gone:?}");
}

#[test]
fn hostile_attributes_are_refused_with_words() {
    let rows = [
        ("in_voltage0_offset", "nan", "scale that is no number"),
        ("in_voltage_scale", "1e999", "infinite scale"),
        ("scan_elements/in_voltage0_type", "le:s99/16>>4", "type"),
        ("scan_elements/in_voltage0_index", "-1", "index below zero"),
        ("scan_elements/in_voltage0_index", "1", "index of another element"),
        ("scan_elements/in_timestamp_index", "0", "timestamp that is not last"),
        ("scan_elements/in_timestamp_type", "le:s32/32", "short timestamp"),
    ];
    for (path, text, what) in rows {
        let dir = tempfile::tempdir().unwrap();
        device(dir.path());
        fs::write(dir.path().join("iio:device0").join(path), text).unwrap();
        let started = Device::at(dir.path().join("iio:device0")).start(&plan());
        let error = started.map(|_| panic!("accepted: {what}")).unwrap_err();
        assert!(!error.to_string().is_empty(), "{what}");
    }
    let dir = tempfile::tempdir().unwrap();
    device(dir.path());
    let device = Device::at(dir.path().join("iio:device0"));
    for name in ["in_../../secret", "out_voltage0", "in_voltage9", ""] {
        assert!(device.raw(name, 1.0).is_err(), "{name}");
        assert!(device.start(&Plan { channels: vec![name.to_owned()], ..plan() }).is_err(), "{name}");
    }
    for frequency in ["0", "-1", "1e12"] {
        fs::write(dir.path().join("iio:device0/sampling_frequency"), frequency).unwrap();
        assert!(device.start(&Plan { frequency: None, ..plan() }).is_err(), "{frequency}");
    }
}
