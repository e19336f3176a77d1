//! A serial line seen from beside: who answers how fast, with which gaps, and what goes wrong on the wire.
//!
//! [`Observer`] is pure: it takes pieces of bytes with the time they were read and tells [`Event`]s for each
//! unit. [`Tap`] stands before it where both sides are heard through one port, as on two wires. [`Port`] opens
//! such a port, and never for writing. [`counters`] reads what the kernel's driver has counted.
//!
//! # How true the times are
//!
//! A time is when the program got the bytes, which is later than the wire by what UART, driver and scheduler
//! take. `cargo test -p hal --test sensor_serial -- --nocapture` prints how much the scheduler alone adds, on a
//! pseudo terminal with known gaps of 5 ms, the sleep of the answering thread included. On a virtual machine with
//! two shared cores that was 0.2 ms at the median and 3 to 5 ms at p99; while other builds ran, 0.5 and 21 ms. A
//! UART adds its receive FIFO: the driver hears of bytes when the FIFO is filled to its trigger level or after
//! about four character times of silence. So gaps inside a frame shorter than that are not seen on a real port,
//! and a turnaround is good to some hundred microseconds at best (with
//! `low_latency` and a trigger level of 1 less). Judge distributions, never single values.

pub mod counters;
mod form;
mod observer;
mod port;
mod rtu;
mod tap;

pub use counters::Counters;
pub use observer::{Event, MAX_UNITS, Observer, Seen, Side, Totals};
pub use port::{Format, Parity, Port};
pub use rtu::{Frame, MAX_FRAME, crc16};
pub use tap::Tap;

use std::time::Duration;

/// Speed and format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Bits per second.
    pub baud: u32,
    /// Bits of a character with start, parity and stop: 11 for Modbus (8E1 or 8N2), 10 for 8N1.
    pub bits: u32,
    /// How much later than the wire a silence may be seen to begin, beyond its own length.
    pub slack: Duration,
}

impl Line {
    /// Nanoseconds of one character.
    pub fn character_ns(&self) -> u64 {
        u64::from(self.bits) * 1_000_000_000 / u64::from(self.baud.max(1))
    }

    /// Nanoseconds of silence that end a frame: 3.5 characters, and 1.75 ms above 19200 bit/s (Modbus over
    /// Serial Line V1.02 §2.5.1.1), plus the slack.
    pub fn silence_ns(&self) -> u64 {
        let silence = if self.baud > 19_200 { 1_750_000 } else { self.character_ns().saturating_mul(7) / 2 };
        silence.saturating_add(u64::try_from(self.slack.as_nanos()).unwrap_or(u64::MAX))
    }
}
