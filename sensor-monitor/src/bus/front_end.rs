//! The gated plateau sampler: from a converter's samples to what each talker's frames measure.
//!
//! ```text
//!   Block --> Receiver --characters--> Tap --events--> Owners --gate--> Probe --> talker, level, edges, clock
//! ```
//!
//! The frames are read from the samples themselves, so the gate is true to a sample whatever the kernel does to
//! the times of the serial port. Pure; it keeps the samples of one longest frame and a little more.
//!
//! Invariant: across a gap, a change of rate or a bad block nothing is measured.

use std::ops::Range;
use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::serial_line::{Event, Line, MAX_FRAME, Tap};
use hal::sensor::{Block, Quality};

use super::owner::{Owned, Owners};
use super::probe::{Measured, Probe};
use super::quantity::Talker;
use super::receiver::Receiver;
use crate::estimate::level::bus::{BusConfig, MIN_SAMPLES_PER_BIT};

/// Most samples for each bit: beyond it nothing is gained, and the memory of one frame grows.
pub const MAX_SAMPLES_PER_BIT: f64 = 200.0;
/// Characters whose samples are kept: the longest frame, and what may still come before its end is seen.
const KEPT: f64 = MAX_FRAME as f64 + 16.0;
/// A block that begins so far from where the one before ended does not follow it.
const JUMP: Duration = Duration::from_millis(50);

/// How a front-end is connected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Connection {
    /// Samples each second.
    pub rate_hz: f64,
    /// Amplitude that is 0 dB, volts.
    pub reference_v: f64,
    /// The wires are swapped: mark (idle) is the higher voltage. TIA/EIA-485-A has A - B lower for mark.
    pub swapped: bool,
}

/// One frame, measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Who sent it.
    pub talker: Talker,
    /// When it ended, by the converter's time.
    pub at: Mono,
    /// What its samples say.
    pub measured: Measured,
}

/// A line's front-end.
#[derive(Debug)]
pub struct FrontEnd {
    line: Line,
    connection: Connection,
    reply: Duration,
    probe: Probe,
    receiver: Receiver,
    tap: Tap,
    owners: Owners,
    /// The last samples, space positive; the first of them is sample `base`.
    samples: Vec<f64>,
    base: u64,
    /// When the next block should begin.
    next: Option<Mono>,
    events: Vec<Event>,
}

impl FrontEnd {
    /// A front-end on `line`, whose station waits `reply` for an answer.
    ///
    /// # Errors
    /// What is wrong with the rate or the reference, in words.
    pub fn new(line: Line, reply: Duration, connection: Connection) -> Result<FrontEnd, String> {
        let Connection { rate_hz, reference_v, .. } = connection;
        let per_bit = rate_hz / f64::from(line.baud.max(1));
        if !(MIN_SAMPLES_PER_BIT..=MAX_SAMPLES_PER_BIT).contains(&per_bit) {
            let (least, most) = (MIN_SAMPLES_PER_BIT, MAX_SAMPLES_PER_BIT);
            return Err(format!(
                "rate_hz {rate_hz} gives {per_bit:.1} samples for each bit at {} bit/s: {least} to {most}",
                line.baud
            ));
        }
        let config = BusConfig {
            rate: rate_hz,
            bit: 1.0 / f64::from(line.baud.max(1)),
            reference: reference_v,
            mark_is_low: true,
        };
        let probe = Probe::new(config).ok_or_else(|| format!("reference_v {reference_v}: above 0"))?;
        Ok(FrontEnd {
            receiver: Receiver::new(per_bit, line.bits),
            tap: Tap::new(line, reply),
            owners: Owners::new(&line),
            samples: Vec::new(),
            base: 0,
            next: None,
            events: Vec::new(),
            line,
            connection,
            reply,
            probe,
        })
    }

    /// Takes what the converter gave; appends the frames that ended in it.
    pub fn block(&mut self, block: &Block, out: &mut Vec<Frame>) {
        if !self.follows(block) {
            self.restart();
        }
        if matches!(block.quality, Quality::Bad(_)) || block.samples.len() < 2 {
            self.next = None;
            return;
        }
        self.next = Some(block.time_of(block.samples.len()));
        let sign = if self.connection.swapped { -1.0 } else { 1.0 };
        for (n, volts) in block.samples.iter().take(hal::sensor::MAX_BLOCK).enumerate() {
            self.samples.push(sign * volts);
            if let Some(character) = self.receiver.push(sign * volts) {
                self.tap.bytes(self.time_of(character.end), &[character.byte], &mut self.events);
            } else if self.tap.deadline().is_some_and(|due| due <= self.now()) {
                self.tap.expire(self.now(), &mut self.events);
            }
            if !self.events.is_empty() {
                self.measure(block.time_of(n), out);
            }
        }
        self.forget();
    }

    /// Whether a block goes on where the one before ended, at the rate that was agreed.
    fn follows(&self, block: &Block) -> bool {
        let period = 1e9 / self.connection.rate_hz;
        let is_rate =
            block.samples.len() < 2 || (block.period_ns as f64 - period).abs() <= period / 100.0 + 1.0;
        let is_near = |next: Mono| block.at.since(next) <= JUMP && next.since(block.at) <= JUMP;
        block.lost == 0 && is_rate && self.next.is_none_or(is_near)
    }

    fn restart(&mut self) {
        self.receiver = Receiver::new(self.per_bit(), self.line.bits);
        self.tap = Tap::new(self.line, self.reply);
        self.owners = Owners::new(&self.line);
        self.samples.clear();
        self.base = 0;
    }

    /// What the events prove, measured.
    fn measure(&mut self, at: Mono, out: &mut Vec<Frame>) {
        for event in std::mem::take(&mut self.events) {
            let Some(Owned { talker, from, to }) = self.owners.event(&event) else { continue };
            let gate = self.place(from)..self.place(to);
            let Some(frame) = self.samples.get(gate).filter(|frame| !frame.is_empty()) else { continue };
            out.push(Frame {
                talker,
                at,
                measured: self.probe.measure(frame, Range { start: 0, end: frame.len() }),
            });
        }
    }

    /// Keeps the samples of the longest frame; rarely, as what stays is moved.
    fn forget(&mut self) {
        let keep = (KEPT * f64::from(self.line.bits) * self.per_bit()) as usize;
        if self.samples.len() > 2 * keep {
            let gone = self.samples.len() - keep;
            self.samples.drain(..gone);
            self.base += gone as u64;
        }
    }

    fn per_bit(&self) -> f64 {
        self.connection.rate_hz / f64::from(self.line.baud.max(1))
    }

    /// The time of a place among the samples, on a clock that only counts them.
    fn time_of(&self, sample: f64) -> Mono {
        Mono((sample / self.connection.rate_hz * 1e9) as u64)
    }

    fn now(&self) -> Mono {
        self.time_of((self.base + self.samples.len() as u64) as f64)
    }

    /// The kept sample at a time of that clock.
    fn place(&self, at: Mono) -> usize {
        let sample = (at.0 as f64 * 1e-9 * self.connection.rate_hz) as u64;
        usize::try_from(sample.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.samples.len())
    }
}
