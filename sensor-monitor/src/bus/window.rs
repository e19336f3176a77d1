//! What was counted in one window of time.

use std::collections::BTreeMap;

use hal::clock::Mono;
use hal::sensor::serial_line::{Event, Line, Seen, Side};

use super::probe::Measured;
use super::quantity::{Quantity, Talker};

/// Spans of one kind kept for their median.
const MAX_SPANS: usize = 64;
/// Characters taken for a request, whose length no event tells: reads and single writes have eight.
const REQUEST: u64 = 8;

/// Counts since the window began.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    tallies: BTreeMap<Talker, Tally>,
    asked: Option<Mono>,
    busy_ns: u64,
    unasked: u32,
    pub(super) requests: u32,
}

#[derive(Debug, Clone, Default)]
struct Tally {
    requests: u32,
    exceptions: u32,
    broken: u32,
    timeouts: u32,
    retries: u32,
    unasked: u32,
    turnarounds: Vec<f64>,
    gaps: Vec<f64>,
    level: Mean,
    edge: Mean,
    clock: Mean,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn push(&mut self, value: f64) {
        if value.is_finite() {
            self.sum += value;
            self.count += 1;
        }
    }

    fn get(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

impl Window {
    /// Counts an event.
    pub(super) fn event(&mut self, event: &Event, line: &Line) {
        let character = line.character_ns();
        match event.seen {
            Seen::Request { .. } => {
                self.asked = Some(event.at);
                self.busy_ns = self.busy_ns.saturating_add(character.saturating_mul(REQUEST));
                self.requests = self.requests.saturating_add(1);
            }
            Seen::Turnaround(ns) => {
                let answer = self
                    .asked
                    .take()
                    .map_or(0, |asked| event.at.0.saturating_sub(asked.0).saturating_sub(ns));
                self.busy_ns = self.busy_ns.saturating_add(answer);
            }
            Seen::Untimed => self.asked = None,
            Seen::Stranger => self.unasked = self.unasked.saturating_add(1),
            _ => {}
        }
        let talker = match (event.seen, event.unit) {
            (Seen::Counted(_), _) => return,
            (Seen::Broken(Side::Station), _) | (_, None) => Talker::Station,
            (_, Some(unit)) => Talker::Unit(unit),
        };
        if matches!(event.seen, Seen::Request { .. }) {
            let station = self.tally(Talker::Station);
            station.requests = station.requests.saturating_add(1);
        }
        let tally = self.tally(talker);
        let count = match event.seen {
            Seen::Request { .. } => &mut tally.requests,
            Seen::Exception(_) => &mut tally.exceptions,
            Seen::Broken(_) => &mut tally.broken,
            Seen::Timeout => &mut tally.timeouts,
            Seen::Retry => &mut tally.retries,
            Seen::Stranger => &mut tally.unasked,
            Seen::Turnaround(ns) => return span(&mut tally.turnarounds, ns),
            Seen::Gap(ns) => return span(&mut tally.gaps, ns),
            _ => return,
        };
        *count = count.saturating_add(1);
    }

    /// Takes what was measured of one frame.
    pub(super) fn frame(&mut self, talker: Talker, measured: &Measured) {
        if !measured.level.quality.is_good() {
            return;
        }
        let tally = self.tally(talker);
        tally.level.push(measured.level.decibels);
        measured.settling.into_iter().for_each(|s| tally.edge.push(s * 1e6));
        measured.clock_ppm.into_iter().for_each(|ppm| tally.clock.push(ppm));
    }

    /// The unit that spoke most without being asked.
    pub(super) fn loudest(&self) -> Option<Talker> {
        let spoke = self.tallies.iter().filter(|(_, t)| t.unasked > 0);
        spoke.max_by_key(|(_, t)| t.unasked).map(|(talker, _)| *talker)
    }

    /// The numbers of a window `length_ns` long.
    pub(super) fn values(&mut self, length_ns: u64) -> Vec<(Talker, Quantity, f64)> {
        let mut values = Vec::new();
        for (talker, tally) in &mut self.tallies {
            let mut add = |quantity, value: Option<f64>| {
                values.extend(value.filter(|v| v.is_finite()).map(|v| (*talker, quantity, v)));
            };
            add(Quantity::Level, tally.level.get());
            add(Quantity::Edge, tally.edge.get());
            add(Quantity::Clock, tally.clock.get());
            if tally.requests > 0 {
                let each = |count: u32| Some(f64::from(count) / f64::from(tally.requests));
                add(Quantity::Broken, each(tally.broken));
                if *talker != Talker::Station {
                    add(Quantity::Exceptions, each(tally.exceptions));
                    add(Quantity::Timeouts, each(tally.timeouts));
                    add(Quantity::Retries, each(tally.retries));
                    add(Quantity::Polls, Some(f64::from(tally.requests).ln_1p()));
                }
            }
            add(Quantity::Turnaround, median(&mut tally.turnarounds));
            add(Quantity::Gap, median(&mut tally.gaps));
        }
        if self.requests > 0 || self.unasked > 0 {
            let load = self.busy_ns as f64 / length_ns.max(1) as f64;
            values.push((Talker::Line, Quantity::Load, load.min(1.0)));
            values.push((Talker::Line, Quantity::Unasked, f64::from(self.unasked)));
        }
        values
    }

    /// Begins the next window; who was asked last is kept.
    pub(super) fn clear(&mut self) {
        *self = Window { asked: self.asked, ..Window::default() };
    }

    /// There are 258 talkers at most.
    fn tally(&mut self, talker: Talker) -> &mut Tally {
        self.tallies.entry(talker).or_default()
    }
}

fn span(spans: &mut Vec<f64>, ns: u64) {
    if spans.len() < MAX_SPANS {
        spans.push((ns.max(1) as f64 * 1e-9).ln());
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
