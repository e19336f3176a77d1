//! Inputs on threads of their own: open, read, wait, and open again when they fail.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::TrySendError;
use std::time::Duration;

use hal::clock::{Clock, Mono};
use hal::sensor::adc::{self, Ads1115, Mcp3208, Pins};
use hal::sensor::current_loop::LoopSource;
use hal::sensor::gpio::Gpio;
use hal::sensor::iio::{Buffered, Device, Plan};
use hal::sensor::replay::{Column, CsvSetup, Pace, Replay};
use hal::sensor::{Block, Flaw, Polled, Source, SourceError, Tree};

use super::{Mail, Mailbox, health, transducer};
use crate::config::{Input, Signal};

/// Starts every input. They end when `stop` is set, or nobody takes their blocks any more. A Modbus
/// transducer runs on the runtime of the caller; vitals of this machine that are due together are read together.
pub fn start(signals: &[Signal], clock: &Clock, mailbox: &Mailbox, stop: &Arc<AtomicBool>) {
    let mut vitals: BTreeMap<Duration, health::Watched> = BTreeMap::new();
    for (number, signal) in signals.iter().enumerate() {
        let (clock, mailbox, stop) = (clock.clone(), mailbox.clone(), stop.clone());
        match &signal.input {
            Input::Modbus { target, unit, register, every } => {
                let ask =
                    transducer::Ask { target: *target, unit: *unit, register: *register, every: *every };
                let id = signal.spec.id.clone();
                tokio::spawn(transducer::run(number, id, ask, clock, mailbox));
            }
            Input::Health { vital, every } => {
                vitals.entry(*every).or_default().push((number, vital.clone()));
            }
            _ => {
                let signal = signal.clone();
                thread(&format!("signal-{number}"), move || run(number, &signal, &clock, &mailbox, &stop));
            }
        }
    }
    for (every, watched) in vitals {
        let (clock, mailbox, stop) = (clock.clone(), mailbox.clone(), stop.clone());
        let name = format!("health-{}s", every.as_secs());
        thread(&name, move || health::run(&watched, every, &clock, &mailbox, &stop));
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(e) = std::thread::Builder::new().name(name.into()).spawn(work) {
        tracing::error!(thread = name, error = %e, "no thread for this input");
    }
}

fn run(number: usize, signal: &Signal, clock: &Clock, mailbox: &Mailbox, stop: &AtomicBool) {
    let mut out = Out::new(number, mailbox);
    let mut told = String::new();
    while !stop.load(Ordering::Relaxed) {
        let ended = match open(signal, clock.mono()) {
            Ok(mut source) => read_on(source.as_mut(), clock, &mut out, stop),
            Err(e) => Ended::Failed(e),
        };
        let (why, flaw) = match ended {
            Ended::Told => return,
            Ended::Exhausted => ("the record has ended".to_string(), Flaw::Ended),
            Ended::Failed(e) => (e.to_string(), Flaw::SourceError),
        };
        out.fail(&signal.spec.id, &mut told, &why);
        // A record that has ended is not played again; what failed is opened again.
        loop {
            if !out.send(Block::nothing(clock.mono(), flaw)) {
                return;
            }
            pause(RETRY, stop);
            if flaw != Flaw::Ended || stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

/// How reading a source ended.
enum Ended {
    /// It was told to, or nobody listens any more.
    Told,
    /// There is no more of it.
    Exhausted,
    /// It failed.
    Failed(SourceError),
}

/// Reads until the source fails, ends, or is to stop.
fn read_on(source: &mut dyn Source, clock: &Clock, out: &mut Out<'_>, stop: &AtomicBool) -> Ended {
    let mut blocks = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if let Err(e) = source.read(clock.mono(), &mut blocks) {
            return Ended::Failed(e);
        }
        let nothing_came = blocks.is_empty();
        for block in blocks.drain(..) {
            if !out.send(block) {
                return Ended::Told;
            }
        }
        if source.is_exhausted() {
            return Ended::Exhausted;
        }
        let due = source.deadline().map(|due| due.since(clock.mono()));
        match due {
            Some(wait) => pause(wait.min(LONGEST_WAIT), stop),
            None if nothing_came => pause(SHORT_WAIT, stop),
            None => {}
        }
    }
    Ended::Told
}

/// Where blocks go; what finds no room is counted in the next one.
pub(super) struct Out<'a> {
    number: usize,
    mailbox: &'a Mailbox,
    lost: u64,
}

impl Out<'_> {
    /// For the blocks of signal `number`.
    pub(super) fn new(number: usize, mailbox: &Mailbox) -> Out<'_> {
        Out { number, mailbox, lost: 0 }
    }

    /// Says why nothing comes, once for each reason: it is tried again every few seconds, and a source that opens
    /// and then fails each time would fill the journal.
    pub(super) fn fail(&self, id: &str, told: &mut String, why: &str) {
        if told != why {
            tracing::warn!(signal = %id, error = %why, "the input cannot be read; it is tried again");
            why.clone_into(told);
        }
        // Where there is no room the next failure says it.
        let _ = self.mailbox.try_send(Mail::Failing(self.number, why.into()));
    }

    /// False when nobody listens any more.
    pub(super) fn send(&mut self, mut block: Block) -> bool {
        let samples = block.samples.len() as u64;
        block.lost = block.lost.saturating_add(std::mem::take(&mut self.lost));
        let lost = block.lost;
        match self.mailbox.try_send(Mail::Block(self.number, block)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost = lost.saturating_add(samples);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

fn open(signal: &Signal, now: Mono) -> Result<Box<dyn Source>, SourceError> {
    let source: Box<dyn Source> = match &signal.input {
        Input::Iio { root, device, channel, rate_hz, factor } => {
            iio(root, device, &format!("in_voltage{channel}"), *rate_hz, *factor)?
        }
        Input::Ads1115 { bus, address, input, range_v, rate_hz } => {
            let setup = ads1115(*input, *range_v, *rate_hz);
            let chip = Ads1115::open(bus, *address, setup)?;
            Box::new(Polled::new(chip, Duration::from_secs_f64(1.0 / rate_hz)))
        }
        Input::Mcp3208 { bus, input, reference_v, rate_hz } => {
            let chip = Mcp3208::open(bus, Pins::Single(*input), *reference_v)?;
            Box::new(Polled::new(chip, Duration::from_secs_f64(1.0 / rate_hz)))
        }
        Input::Gpio { line, every } => Box::new(Polled::new(Gpio::open(line)?, *every)),
        Input::File { path, column, time } => {
            let setup = CsvSetup {
                time: Column::Name(time.clone()),
                value: Column::Name(column.clone()),
                separator: b',',
            };
            Box::new(Replay::csv(path, setup, now, Pace::AsRecorded)?)
        }
        Input::Modbus { .. } | Input::Health { .. } => {
            return Err(SourceError::Unexpected {
                what: "an input".into(),
                found: "one that is read elsewhere".into(),
                expected: "one with a thread of its own",
            });
        }
    };
    Ok(match signal.current_loop {
        Some(scale) => Box::new(LoopSource::new(source, scale)),
        None => source,
    })
}

/// A slow channel is read on request, a fast one from its buffer. `channel` as the kernel names it.
pub(super) fn iio(
    root: &Path,
    device: &str,
    channel: &str,
    rate_hz: f64,
    factor: f64,
) -> Result<Box<dyn Source>, SourceError> {
    let root = Tree::new(root);
    let found = Device::find(&root, device)?.into_iter().next();
    let (name, device) = found.ok_or_else(|| SourceError::Unexpected {
        what: format!("{}", root.path("").display()),
        found: "no such device".into(),
        expected: "the name of a converter there",
    })?;
    if rate_hz <= ON_REQUEST_HZ {
        let period = Duration::from_secs_f64(1.0 / rate_hz);
        return Ok(Box::new(Polled::new(device.raw(channel, factor)?, period)));
    }
    let length = (rate_hz as u32).clamp(16, 65_536);
    let plan = Plan { channels: vec![channel.into()], frequency: Some(rate_hz), length, factor };
    let stream = device.start(&plan)?;
    Ok(Box::new(Buffered::open(&Path::new("/dev").join(name), stream)?))
}

fn ads1115(input: u8, range_v: f64, rate_hz: f64) -> adc::Setup {
    use adc::{Input, Mode, Range, Rate, Setup};
    let input = match input {
        0 => Input::Single0,
        1 => Input::Single1,
        2 => Input::Single2,
        _ => Input::Single3,
    };
    let ranges = [Range::V0_256, Range::V0_512, Range::V1_024, Range::V2_048, Range::V4_096];
    let range = ranges.into_iter().find(|r| r.volts() >= range_v).unwrap_or(Range::V6_144);
    let rates = [Rate::Sps8, Rate::Sps16, Rate::Sps32, Rate::Sps64, Rate::Sps128, Rate::Sps250, Rate::Sps475];
    let rate = rates.into_iter().find(|r| 1e6 / f64::from(r.longest_us()) >= rate_hz).unwrap_or(Rate::Sps860);
    Setup { input, range, rate, mode: Mode::Continuous, supply: 3.3 }
}

/// Waits, but not past a stop.
pub(super) fn pause(mut time: Duration, stop: &AtomicBool) {
    while !time.is_zero() && !stop.load(Ordering::Relaxed) {
        let piece = time.min(LONGEST_WAIT);
        std::thread::sleep(piece);
        time -= piece;
    }
}

/// Pause after a failure.
pub(super) const RETRY: Duration = Duration::from_secs(2);
/// Pause where a source has nothing and does not say when it will.
const SHORT_WAIT: Duration = Duration::from_millis(20);
/// Longest sleep before looking whether to stop.
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// Converters up to this rate are read on request.
const ON_REQUEST_HZ: f64 = 20.0;
