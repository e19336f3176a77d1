//! The bytes of one buffered device become blocks, one row of blocks for each channel.
//!
//! Pure. The device's timestamps say what was lost: its buffer drops records silently when nobody reads in
//! time. Without a timestamp channel nothing tells of a loss: `lost` stays 0, and times are counted in periods.

use super::scan::{Layout, Record};
use crate::clock::Mono;
use crate::sensor::{Block, Flaw, Quality, Runs, Spacing};

/// From the code of a converter to a value: `(code + offset) * scale * factor`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// The `offset` attribute, in codes.
    pub offset: f64,
    /// The `scale` attribute: the interface's unit for one code.
    pub scale: f64,
    /// From the interface's unit to the channel's, e.g. 0.001 for volts.
    pub factor: f64,
}

impl Scaling {
    /// The code itself.
    pub const CODE: Scaling = Scaling { offset: 0.0, scale: 1.0, factor: 1.0 };

    /// The value of `code`.
    pub fn value(&self, code: f64) -> f64 {
        (code + self.offset) * self.scale * self.factor
    }
}

/// Joins pieces of the byte stream, splits it into channels and watches its times.
#[derive(Debug)]
pub struct Stream {
    layout: Layout,
    channels: Vec<(Scaling, Runs)>,
    anchor: Anchor,
    /// Records seen.
    counted: u64,
    /// Bytes of a record that has not arrived whole.
    rest: Vec<u8>,
}

/// Brings the device's times to the gateway's clock.
#[derive(Debug)]
struct Anchor {
    period_ns: u64,
    /// Nanoseconds from the device's clock to [`Mono`], and when that was seen.
    offset: Option<(i128, Mono)>,
}

/// A trigger's interrupt is late by up to this share of a period before a step counts as uneven.
const TOLERANCE: f64 = 0.5;
/// Most that two clocks of one machine drift apart: 1000 ppm covers a slewing adjtime.
const DRIFT: i128 = 1000;
/// A difference that grows by this much between two reads is a jump and not a late read.
const JUMP_NS: i128 = 1_000_000_000;

impl Stream {
    /// `scalings` in the order of the layout's channels; `period_ns` as `sampling_frequency` says.
    ///
    /// A channel without a scaling shows its codes.
    pub fn new(layout: Layout, scalings: &[Scaling], period_ns: u64) -> Stream {
        let spacing = Spacing { period_ns: Some(period_ns), tolerance: TOLERANCE };
        let scaling = |i: usize| scalings.get(i).copied().unwrap_or(Scaling::CODE);
        let channels = (0..layout.channels()).map(|i| (scaling(i), Runs::new(spacing))).collect();
        Stream { layout, channels, anchor: Anchor { period_ns, offset: None }, counted: 0, rest: Vec::new() }
    }

    /// Channels of the device that are in its records.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Takes what a read at `now` returned. `out` has one row for each channel; channels without a row are
    /// dropped. A piece in which a code stands at an end of its range is uncertain as a whole.
    pub fn push(&mut self, bytes: &[u8], now: Mono, out: &mut [Vec<Block>]) {
        let joined;
        let bytes = if self.rest.is_empty() {
            bytes
        } else {
            self.rest.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.rest);
            &joined
        };
        let (records, rest) = self.layout.records(bytes);
        self.rest = rest.to_vec();
        let records: Vec<_> = records.collect();
        let Some(last) = records.last() else { return };
        // Without timestamps the records are counted: a clock that knows nothing of losses.
        let (first, period_ns) = (self.counted, self.anchor.period_ns);
        self.counted = first.saturating_add(records.len() as u64);
        let stamp = |i: usize, record: &Record<'_>| match record.timestamp() {
            Some(stamp) => Mono(u64::try_from(stamp).unwrap_or(0)),
            None => Mono(first.saturating_add(i as u64).saturating_mul(period_ns)),
        };
        self.anchor.see(stamp(records.len() - 1, last), now);
        for (channel, ((scaling, runs), row)) in self.channels.iter_mut().zip(out).enumerate() {
            let values = || records.iter().filter_map(|r| r.value(channel));
            let quality = match values().any(|(_, end)| end) {
                true => Quality::Uncertain(Flaw::Saturated),
                false => Quality::Good,
            };
            let before = row.len();
            for (i, (record, (code, _))) in records.iter().zip(values()).enumerate() {
                runs.push(stamp(i, record), scaling.value(code), quality, row);
            }
            runs.flush(row);
            // Steps were judged on the device's own clock.
            row[before..].iter_mut().for_each(|block| block.at = self.anchor.ours(block.at));
        }
    }
}

impl Anchor {
    /// Takes note that a record of the device's time `stamp` had arrived at `now`.
    fn see(&mut self, stamp: Mono, now: Mono) {
        // A record cannot arrive before it was taken, so the smallest difference is the truest. It may grow
        // with the drift of the clocks, and starts anew when one of them jumped.
        let seen = i128::from(now.0) - i128::from(stamp.0);
        let offset = match self.offset {
            Some((before, at)) if seen - before < JUMP_NS => {
                seen.min(before + i128::from(now.0.saturating_sub(at.0)) / DRIFT)
            }
            _ => seen,
        };
        self.offset = Some((offset, now));
    }

    /// A time of the device on the gateway's clock.
    fn ours(&self, stamp: Mono) -> Mono {
        let offset = self.offset.map_or(0, |(offset, _)| offset);
        let ours = i128::from(stamp.0) + offset;
        Mono(u64::try_from(ours.max(0)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::scan::Element;
    use super::*;

    fn stream(timestamp: bool) -> Stream {
        let element = |index, kind: &str| Element { index, kind: kind.parse().unwrap() };
        let time = timestamp.then(|| element(1, "le:s64/64"));
        let layout = Layout::new(&[element(0, "le:s16/16")], time).unwrap();
        Stream::new(layout, &[Scaling { offset: 10.0, scale: 0.5, factor: 0.001 }], 1000)
    }

    fn record(code: i16, at: i64) -> Vec<u8> {
        let mut bytes = code.to_le_bytes().to_vec();
        bytes.resize(8, 0);
        bytes.extend(at.to_le_bytes());
        bytes
    }

    fn push(stream: &mut Stream, records: &[(i16, i64)], now: u64) -> Vec<Block> {
        let bytes: Vec<u8> = records.iter().flat_map(|(code, at)| record(*code, *at)).collect();
        let mut out = [Vec::new()];
        stream.push(&bytes, Mono(now), &mut out);
        out.into_iter().next().unwrap()
    }

    const EPOCH: i64 = 1_700_000_000_000_000_000;

    #[test]
    fn times_of_the_device_become_times_of_the_gateway_and_show_what_was_lost() {
        let mut stream = stream(true);
        let first = push(&mut stream, &[(190, EPOCH), (290, EPOCH + 1000)], 51_000);
        assert_eq!((first[0].at, first[0].period_ns), (Mono(50_000), 1000));
        assert_eq!(first[0].samples, [0.1, 0.15]);
        // Read 500 ns late: the times move by what the clocks may have drifted, 1000 ppm of 2500 ns.
        let second = push(&mut stream, &[(0, EPOCH + 2000), (0, EPOCH + 3000)], 53_500);
        assert_eq!((second[0].at, second[0].lost, second[0].quality), (Mono(52_002), 0, Quality::Good));
        let third = push(&mut stream, &[(0, EPOCH + 13_000), (0, EPOCH + 14_000)], 64_000);
        assert_eq!((third[0].lost, third[0].quality), (9, Quality::Uncertain(Flaw::Gap)));
        assert_eq!((third[1].lost, third[1].quality), (0, Quality::Good));
    }

    #[test]
    fn a_clock_that_is_set_back_is_a_flaw_once() {
        let mut stream = stream(true);
        push(&mut stream, &[(0, EPOCH), (0, EPOCH + 1000)], 51_000);
        let hour = 3_600_000_000_000;
        let back = push(&mut stream, &[(0, EPOCH - hour), (0, EPOCH - hour + 1000)], 53_000);
        assert_eq!((back[0].at, back[0].quality), (Mono(52_000), Quality::Bad(Flaw::ClockBack)));
        assert_eq!((back[1].at, back[1].quality), (Mono(53_000), Quality::Good));
    }

    #[test]
    fn a_code_at_the_end_of_the_range_taints_its_piece_only() {
        let mut stream = stream(true);
        let blocks = push(&mut stream, &[(1, EPOCH), (i16::MAX, EPOCH + 1000)], 1000);
        assert_eq!(blocks[0].quality, Quality::Uncertain(Flaw::Saturated));
        assert_eq!(push(&mut stream, &[(1, EPOCH + 2000)], 2000)[0].quality, Quality::Good);
    }

    #[test]
    fn without_timestamps_a_late_read_is_no_gap() {
        let mut stream = stream(false);
        let mut out = [Vec::new()];
        stream.push(&[1, 0, 2, 0, 3], Mono(10_000), &mut out);
        stream.push(&[0], Mono(19_000), &mut out);
        let shape: Vec<_> = out[0].iter().map(|b| (b.at.0, b.samples.len(), b.lost, b.quality)).collect();
        assert_eq!(shape, [(9000, 2, 0, Quality::Good), (11_009, 1, 0, Quality::Good)]);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut(
            codes in proptest::collection::vec(any::<i16>(), 1..40), cut in 1..50_usize,
        ) {
            let records: Vec<(i16, i64)> =
                codes.iter().enumerate().map(|(i, code)| (*code, EPOCH + i as i64 * 1000)).collect();
            let bytes: Vec<u8> = records.iter().flat_map(|(code, at)| record(*code, *at)).collect();
            let mut stream = stream(true);
            let mut out = [Vec::new()];
            for piece in bytes.chunks(cut) {
                stream.push(piece, Mono(1_000_000), &mut out);
            }
            let values: Vec<f64> = out[0].iter().flat_map(|b| b.samples.clone()).collect();
            let expected: Vec<f64> = codes.iter().map(|c| (f64::from(*c) + 10.0) * 0.5 * 0.001).collect();
            prop_assert_eq!(values, expected);
        }

        #[test]
        fn no_bytes_and_no_times_make_it_fail(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), now in any::<u64>(), later in any::<u64>(),
        ) {
            let mut stream = stream(true);
            let mut out = [Vec::new()];
            stream.push(&bytes, Mono(now), &mut out);
            stream.push(&bytes, Mono(later), &mut out);
            prop_assert_eq!(out[0].iter().map(|b| b.samples.len()).sum::<usize>(), bytes.len() * 2 / 16);
        }
    }
}
