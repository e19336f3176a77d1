//! A serial line on a real pseudo terminal: what the scheduler adds to known times, and the observer on them.
//!
//! A pseudo terminal has no speed, no parity and no UART: this measures Linux, not a wire.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use hal::clock::Clock;
use hal::sensor::serial_line::{Event, Format, Line, Observer, Parity, Port, Seen, Side, crc16};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Both ends of a pseudo terminal in raw mode.
fn pair() -> (File, File) {
    let near: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let name = ptsname(&near, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let far = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    let mut settings = tcgetattr(&far).unwrap();
    settings.make_raw();
    tcsetattr(&far, OptionalActions::Now, &settings).unwrap();
    (near.into(), far.into())
}

fn framed(body: &[u8]) -> Vec<u8> {
    [body, &crc16(body).to_le_bytes()].concat()
}

/// Value at a share of the sorted values.
fn quantile(sorted: &[u64], share: f64) -> u64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

const ROUNDS: usize = 200;
const TURNAROUND: Duration = Duration::from_millis(5);

/// Asks a unit that waits 5 ms `ROUNDS` times and returns what was seen.
fn converse() -> Vec<Event> {
    let (mut station, mut unit) = pair();
    let answerer = thread::spawn(move || {
        let mut request = [0; 8];
        for _ in 0..ROUNDS {
            unit.read_exact(&mut request).unwrap();
            thread::sleep(TURNAROUND);
            unit.write_all(&framed(&[request[0], 3, 2, 0, 7])).unwrap();
        }
        unit // kept open until the last answer was read
    });
    let clock = Clock::system();
    // A pseudo terminal carries a piece at once, so the line is as fast as the type can say.
    let line = Line { baud: u32::MAX, bits: 10, slack: Duration::from_millis(1) };
    let mut observer = Observer::new(line, Duration::from_secs(2));
    let mut out = Vec::new();
    let request = framed(&[17, 3, 0, 0, 0, 1]);
    for _ in 0..ROUNDS {
        station.write_all(&request).unwrap();
        observer.bytes(Side::Station, clock.mono(), &request, &mut out);
        let mut have = 0;
        let mut buffer = [0; 64];
        while have < 7 {
            let more = station.read(&mut buffer).unwrap();
            observer.bytes(Side::Units, clock.mono(), &buffer[..more], &mut out);
            have += more;
        }
        thread::sleep(Duration::from_millis(3)); // the silence between two frames
    }
    observer.expire(clock.mono() + Duration::from_secs(1), &mut out);
    answerer.join().unwrap();
    out
}

#[test]
fn the_turnaround_of_a_unit_is_measured_on_a_real_terminal() {
    let events = converse();
    let mut late: Vec<u64> = Vec::new();
    for event in &events {
        match event.seen {
            Seen::Turnaround(ns) => late.push(ns.saturating_sub(TURNAROUND.as_nanos() as u64)),
            Seen::Request { .. } | Seen::Gap(_) => {}
            // One request repeated in order is no retry, as each had its answer.
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(late.len(), ROUNDS);
    late.sort_unstable();
    let us = |share| quantile(&late, share) / 1000;
    println!(
        "jitter of {ROUNDS} gaps of 5 ms on a pseudo terminal: p50 {} us, p90 {} us, p99 {} us, worst {} us late",
        us(0.5),
        us(0.9),
        us(0.99),
        us(1.0)
    );
    // Two sleeping threads on a loaded machine; half of all answers within 20 ms is no measurement, but proof
    // that the times are those of this conversation.
    assert!(us(0.5) < 20_000, "{late:?}");
}

/// A terminal whose other end is held, and the name it is opened by.
fn named() -> (File, std::path::PathBuf) {
    let near: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let name = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
    (near.into(), name.into())
}

#[test]
fn a_port_is_heard_raw_until_it_hangs_up_and_what_is_none_is_refused() {
    let format = Format { baud: 115_200, parity: Parity::None, two_stop: false };
    for (path, expected) in [("/dev/null", "expected a serial port"), ("/dev/no-such-port", "No such file")] {
        let refused = Port::open(std::path::Path::new(path), format).unwrap_err().to_string();
        assert!(refused.contains(path) && refused.contains(expected), "{refused}");
    }
    let (mut near, name) = named();
    let mut port = Port::open(&name, format).unwrap();
    let mut buffer = [0; 64];
    assert_eq!(port.read(&mut buffer, Duration::from_millis(1)).unwrap(), 0);
    // Each of these means something to a terminal that is not raw.
    let bytes = [3, 4, b'\r', b'\n', 0x11, 0x13, 0x1A, 0xFF, 0];
    near.write_all(&bytes).unwrap();
    let mut heard = Vec::new();
    while heard.len() < bytes.len() {
        let have = port.read(&mut buffer, Duration::from_secs(5)).unwrap();
        assert!(have > 0, "only {heard:?}");
        heard.extend_from_slice(&buffer[..have]);
    }
    assert_eq!(heard, bytes);
    drop(near);
    assert!(port.read(&mut buffer, Duration::from_secs(5)).is_err(), "a line that is gone is no silence");
}
