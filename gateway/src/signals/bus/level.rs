//! Reads a bus's front-end: a converter's samples become measured frames, on a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

use hal::clock::Clock;
use hal::sensor::{Source, SourceError};
use sensor_monitor::bus::FrontEnd;

use super::super::input::{RETRY, iio, pause};
use super::Heard;
use crate::config::Level;

/// Reads until `stop` is set or nobody listens; a converter that fails is opened again.
pub(super) fn run(
    bus: &str,
    level: &Level,
    mut front_end: FrontEnd,
    clock: &Clock,
    out: &SyncSender<Heard>,
    stop: &AtomicBool,
) {
    let mut was_told = false;
    while !stop.load(Ordering::Relaxed) {
        let source = iio(&level.root, &level.device, &level.channel, level.connection.rate_hz, 1.0);
        let failed =
            match source.and_then(|mut s| measure(s.as_mut(), level, &mut front_end, clock, out, stop)) {
                Ok(()) => return,
                Err(e) => e,
            };
        if !std::mem::replace(&mut was_told, true) {
            tracing::warn!(bus, error = %failed, "the front-end cannot be read; it is tried again");
        }
        pause(RETRY, stop);
    }
}

/// Until the source fails (an error), ends, or is to stop. Frames that find no room are not measured: levels are
/// means over many.
fn measure(
    source: &mut dyn Source,
    level: &Level,
    front_end: &mut FrontEnd,
    clock: &Clock,
    out: &SyncSender<Heard>,
    stop: &AtomicBool,
) -> Result<(), SourceError> {
    let (mut blocks, mut frames) = (Vec::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) && !source.is_exhausted() {
        source.read(clock.mono(), &mut blocks)?;
        for mut block in blocks.drain(..) {
            block.samples.iter_mut().for_each(|v| *v = (*v - level.zero) * level.factor);
            front_end.block(&block, &mut frames);
        }
        if !frames.is_empty()
            && let Err(TrySendError::Disconnected(_)) =
                out.try_send(Heard::Measured(std::mem::take(&mut frames)))
        {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use hal::clock::Mono;
    use hal::sensor::serial_line::{Line, crc16};
    use hal::sensor::{Block, Quality};
    use sensor_monitor::bus::{Connection, Talker};

    use super::*;

    const LINE: Line = Line { baud: 9600, bits: 11, slack: Duration::ZERO };
    /// Samples to a bit.
    const BIT: f64 = 10.4;

    /// Hands over a record piece by piece.
    struct Record(Vec<Block>);

    impl Source for Record {
        fn read(&mut self, _now: Mono, out: &mut Vec<Block>) -> Result<(), SourceError> {
            out.extend((!self.0.is_empty()).then(|| self.0.remove(0)));
            Ok(())
        }

        fn is_exhausted(&self) -> bool {
            self.0.is_empty()
        }
    }

    /// A frame as 8E1 between the wires: `volts` to each side, then 10 characters of rest.
    fn wave(body: &[u8], volts: f64) -> Vec<f64> {
        let mut bits = Vec::new();
        for byte in [body, &crc16(body).to_le_bytes()].concat() {
            bits.push(volts);
            bits.extend((0..8).map(|i| if byte >> i & 1 == 1 { -volts } else { volts }));
            bits.extend([if byte.count_ones() % 2 == 1 { -volts } else { volts }, -volts]);
        }
        bits.extend([0.0; 110]);
        (0..(bits.len() as f64 * BIT) as usize).map(|i| bits[(i as f64 / BIT) as usize]).collect()
    }

    #[test]
    fn samples_in_the_drivers_unit_become_the_levels_of_each_talker() {
        let rate_hz = BIT * 9600.0;
        let connection = Connection { rate_hz, reference_v: 2.0, swapped: false };
        // The driver's millivolts: 1650 is no voltage between the wires, and a volt is 248 of them.
        let level = Level {
            root: PathBuf::new(),
            device: "mcp3208".into(),
            channel: "in_voltage0".into(),
            zero: 1650.0,
            factor: 1.0 / 248.0,
            connection,
        };
        let volts = [wave(&[7, 3, 0, 16, 0, 1], 2.0), wave(&[7, 3, 2, 0x55, 0xAA], 1.0)].concat();
        let period_ns = (1e9 / rate_hz) as u64;
        let mut at = 0;
        let blocks = volts.chunks(500).map(|piece| {
            let samples: Vec<f64> = piece.iter().map(|v| v * 248.0 + 1650.0).collect();
            let block = Block { at: Mono(at), period_ns, samples, lost: 0, quality: Quality::Good };
            at += period_ns * piece.len() as u64;
            block
        });
        let (out, heard) = std::sync::mpsc::sync_channel(16);
        let mut front_end = FrontEnd::new(LINE, Duration::from_secs(1), connection).unwrap();
        let (clock, stop) = (Clock::system(), AtomicBool::new(false));
        measure(&mut Record(blocks.collect()), &level, &mut front_end, &clock, &out, &stop).unwrap();
        drop(out);
        let mut found = Vec::new();
        for heard in heard {
            let Heard::Measured(frames) = heard else { panic!("{heard:?}") };
            found
                .extend(frames.iter().map(|f| (f.talker, (f.measured.level.decibels * 10.0).round() / 10.0)));
        }
        assert_eq!(found, [(Talker::Station, 0.0), (Talker::Unit(7), -6.0)]);
    }
}
