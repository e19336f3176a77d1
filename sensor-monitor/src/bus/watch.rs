//! One bus under watch.

use std::collections::{BTreeMap, BTreeSet};

use hal::clock::Mono;
use hal::sensor::serial_line::{Event, Seen};

use super::cause::{self, Moved};
use super::fingerprint::{DOMAIN, EpochChange, Fingerprint, FingerprintError, Firmware, Stored};
use super::pattern::Novelty;
use super::probe::Measured;
use super::quantity::{Quantity, Talker};
use super::series::{AllSeries, TOGETHER};
use super::window::Window;
use super::{MAX_TOLD, MAX_UNITS, Settings};
use crate::anomaly::{Anomaly, Kind, Series, causes_of};
use crate::baseline;
use crate::channel::Reading;
use crate::detect::{Change, Detector, Direction};
use crate::reasons;

/// Learns a bus and says when it changed.
#[derive(Debug, Clone)]
pub struct Bus {
    settings: Settings,
    began: Option<Mono>,
    window: Window,
    series: AllSeries,
    /// Windows with traffic that were learned from.
    windows: u32,
    units: BTreeMap<u8, Fingerprint>,
    previous: BTreeMap<u8, Fingerprint>,
    asked: Option<(u8, u8)>,
    told: BTreeSet<Novelty>,
    /// Windows until what moved is told.
    gather: Option<usize>,
    loudest: Option<Talker>,
    empty: usize,
    learned: bool,
}

/// What a bus has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Its behaviour changed.
    Changed(Box<Changed>),
    /// Something new talks or is used.
    New(Box<Anomaly>, Novelty),
    /// A unit is learned after a verified update: what differs from before.
    Epoch(EpochChange),
    /// Everything is learned; from here on the bus is judged.
    Learned,
    /// Nobody talks any more.
    Silent,
    /// Somebody talks again.
    Back,
}

/// A change, with what moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// For the alarm list: the quantity that moved furthest.
    pub anomaly: Anomaly,
    /// Causes, likeliest first.
    pub causes: Vec<cause::Cause>,
    /// All that moved.
    pub moved: Vec<Moved>,
}

impl Bus {
    /// A bus of which nothing is known.
    pub fn new(mut settings: Settings) -> Bus {
        settings.window = settings.window.max(SHORTEST_WINDOW);
        // What a series needs is what the whole bus needs.
        settings.learning = settings.learning.max(baseline::FEWEST as u32);
        Bus {
            series: AllSeries::new(settings.clone()),
            settings,
            began: None,
            window: Window::default(),
            windows: 0,
            units: BTreeMap::new(),
            previous: BTreeMap::new(),
            asked: None,
            told: BTreeSet::new(),
            gather: None,
            loudest: None,
            empty: 0,
            learned: false,
        }
    }

    /// How it is watched.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The fingerprint of a unit in this epoch.
    pub fn fingerprint(&self, unit: u8) -> Option<&Fingerprint> {
        self.units.get(&unit)
    }

    /// The fingerprint of a unit before its last verified update.
    pub fn previous(&self, unit: u8) -> Option<&Fingerprint> {
        self.previous.get(&unit)
    }

    /// The units on its list, by address.
    pub fn units(&self) -> impl Iterator<Item = &Fingerprint> {
        self.units.values()
    }

    /// What is new since the bus was learned, as far as it was told.
    pub fn novelties(&self) -> impl Iterator<Item = Novelty> {
        self.told.iter().copied()
    }

    /// The last number of a quantity; [`hal::sensor::Flaw::NotMeasured`] when there never was one.
    pub fn reading(&self, talker: Talker, quantity: Quantity) -> Reading {
        self.series.reading(talker, quantity)
    }

    /// What was learned of a quantity: median and standard deviation in [`Quantity::unit`].
    pub fn usual(&self, talker: Talker, quantity: Quantity) -> Option<(f64, f64)> {
        self.series.usual(talker, quantity)
    }

    /// Share that is learned, 0 to 1.
    pub fn progress(&self) -> f64 {
        let windows = f64::from(self.windows) / f64::from(self.settings.learning);
        self.series.progress().min(windows)
    }

    /// The quantity that is learned least, and how much of it.
    pub fn slowest(&self) -> Option<(Talker, Quantity, f64)> {
        self.series.slowest()
    }

    /// Whether all that is measured is judged.
    pub fn is_judging(&self) -> bool {
        self.is_known() && self.series.is_judging()
    }

    /// Whether a change that was told stands.
    pub fn in_alarm(&self) -> bool {
        self.series.in_alarm()
    }

    /// Takes one event of the observer.
    pub fn event(&mut self, event: &Event, out: &mut Vec<News>) {
        self.advance(event.at, out);
        self.notice(event, out);
        self.window.event(event, &self.settings.line);
    }

    /// Takes what a front-end measured of one frame of `talker`.
    pub fn frame(&mut self, talker: Talker, at: Mono, measured: &Measured, out: &mut Vec<News>) {
        self.advance(at, out);
        // A level of somebody who is not on the list would make an entry for every address.
        let is_known = matches!(talker, Talker::Unit(unit) if self.units.contains_key(&unit));
        if is_known || talker == Talker::Station {
            self.window.frame(talker, measured);
        }
    }

    /// Closes the windows that are over; call it at least once in a window.
    pub fn tick(&mut self, now: Mono, out: &mut Vec<News>) {
        self.advance(now, out);
    }

    /// The line was not heard until `now`: what was counted of the open window is worth nothing.
    pub fn gap(&mut self, now: Mono) {
        if self.began.is_some() {
            self.restart(now);
        }
    }

    /// A verified update of `unit` was delivered: its timing, patterns and clock are learned anew, and what
    /// they were is kept. Its level and edges go on.
    pub fn expected_change(&mut self, unit: u8, firmware: Firmware, now: Mono) {
        if !self.is_known() && self.units.len() < MAX_UNITS {
            // Updated before anybody asked it: its first epoch has a firmware already.
            self.units.entry(unit).or_insert_with(|| Fingerprint::new(unit, None));
        }
        if let Some(known) = self.units.get_mut(&unit) {
            let before = std::mem::replace(known, Fingerprint::new(unit, Some(firmware)));
            // An epoch that was hardly begun is no epoch to compare with.
            if before.windows >= self.settings.learning {
                self.previous.insert(unit, before);
            }
        }
        self.told.retain(|n| n.unit() != unit);
        let when = (now, self.settings.settles);
        let load = |t, q| t == Talker::Line && q == Quantity::Load;
        self.series.relearn(baseline::Cause::VerifiedUpdate, when, |t, q| {
            (t == Talker::Unit(unit) && !q.outlasts_update()) || load(t, q)
        });
    }

    /// An operator has the whole bus learned anew: what it does now is what is usual.
    pub fn learn(&mut self, now: Mono) {
        self.series.relearn(baseline::Cause::Operator, (now, std::time::Duration::ZERO), |_, _| true);
        for known in self.units.values_mut() {
            *known = Fingerprint::new(known.unit, known.firmware);
        }
        self.told.clear();
        (self.windows, self.gather, self.learned) = (0, None, false);
    }

    /// What to keep over a restart.
    pub fn stored(&self) -> Stored {
        Stored {
            domain: DOMAIN.into(),
            id: self.settings.id.clone(),
            windows: self.windows,
            units: self.units.values().cloned().collect(),
            previous: self.previous.values().cloned().collect(),
            series: self.series.stored(),
        }
    }

    /// Whether a series was learned since the last call, so that there is more to keep.
    pub fn take_learned(&mut self) -> bool {
        self.series.take_learned()
    }

    /// Goes on with what was kept.
    ///
    /// # Errors
    /// Another version, another bus, or more than is ever written; then nothing is taken up.
    pub fn resume(&mut self, stored: Stored) -> Result<(), FingerprintError> {
        stored.check(&self.settings.id)?;
        self.windows = stored.windows;
        self.units = stored.units.into_iter().map(|u| (u.unit, u)).collect();
        self.previous = stored.previous.into_iter().map(|u| (u.unit, u)).collect();
        self.series.resume(stored.series);
        self.learned = self.is_known();
        Ok(())
    }

    /// Whether who talks is learned.
    fn is_known(&self) -> bool {
        self.windows >= self.settings.learning
    }

    fn advance(&mut self, at: Mono, out: &mut Vec<News>) {
        let length = self.settings.window;
        let began = *self.began.get_or_insert(at);
        if at < began {
            // A little late is an event of the last window. More is a clock that was set back.
            if began.since(at) > length {
                self.restart(at);
            }
            return;
        }
        let mut began = began;
        for closed in 0.. {
            if at.since(began) < length {
                break;
            }
            if closed == MOST_AT_ONCE {
                self.restart(at);
                return;
            }
            began = began + length;
            self.close(began, out);
        }
        self.began = Some(began);
    }

    fn restart(&mut self, at: Mono) {
        self.began = Some(at);
        self.window = Window::default();
        self.series.gap();
    }

    /// Ends the window at `at`.
    fn close(&mut self, at: Mono, out: &mut Vec<News>) {
        let length = u64::try_from(self.settings.window.as_nanos()).unwrap_or(u64::MAX);
        let mut values = self.window.values(length);
        // Who is not on the list has no series: an attacker can have 256 addresses.
        values.retain(|(talker, ..)| !matches!(talker, Talker::Unit(u) if !self.units.contains_key(u)));
        let is_empty = values.is_empty();
        self.silence(is_empty, out);
        if self.window.requests > 0 {
            self.count_windows(&values, out);
            // Who is no longer polled has no entry in the window.
            let quiet = self.series.polled().filter(|t| !values.iter().any(|(of, ..)| of == t));
            let quiet: Vec<_> = quiet.map(|t| (t, Quantity::Polls, 0.0)).collect();
            values.extend(quiet);
        }
        self.loudest = self.window.loudest().or(self.loudest);
        self.window.clear();
        if !is_empty {
            self.series.take(at, &values);
            self.conclude(at, out);
        }
        if !self.learned && self.is_judging() {
            self.learned = true;
            out.push(News::Learned);
        }
    }

    fn silence(&mut self, is_empty: bool, out: &mut Vec<News>) {
        let was_silent = self.empty >= SILENT_AFTER;
        self.empty = if is_empty { self.empty.saturating_add(1) } else { 0 };
        match (was_silent, self.empty >= SILENT_AFTER) {
            (false, true) if self.windows > 0 => out.push(News::Silent),
            (true, false) => out.push(News::Back),
            _ => {}
        }
    }

    /// A window with traffic is learned from, by the bus and by each unit that was asked.
    fn count_windows(&mut self, values: &[(Talker, Quantity, f64)], out: &mut Vec<News>) {
        self.windows = self.windows.saturating_add(1);
        for (talker, quantity, _) in values {
            let (Talker::Unit(unit), Quantity::Polls) = (talker, quantity) else { continue };
            let Some(known) = self.units.get_mut(unit) else { continue };
            known.windows = known.windows.saturating_add(1);
            if known.windows == self.settings.learning
                && let Some(before) = self.previous.get(unit)
            {
                out.push(News::Epoch(known.against(before)));
            }
        }
    }

    /// Waits until all that belongs together has moved, then tells it.
    fn conclude(&mut self, at: Mono, out: &mut Vec<News>) {
        match self.gather {
            None if self.series.untold().next().is_some() => self.gather = Some(TOGETHER),
            Some(left @ 1..) => self.gather = Some(left - 1),
            Some(0) => {
                self.gather = None;
                self.tell(at, out);
            }
            None => {}
        }
    }

    fn tell(&mut self, at: Mono, out: &mut Vec<News>) {
        let (moved, less) = self.series.moved();
        let share = |m: &Moved| m.shift.abs() / m.quantity.least();
        let untold: Vec<_> = self.series.untold().collect();
        let strongest = untold
            .iter()
            .filter_map(|(t, q, trip)| {
                Some((moved.iter().find(|m| m.talker == *t && m.quantity == *q)?, trip))
            })
            .max_by(|a, b| share(a.0).total_cmp(&share(b.0)));
        // What went back by itself within the windows was no lasting change.
        let Some((first, trip)) = strongest else { return };
        let since = untold.iter().map(|(_, _, t)| t.since).min().unwrap_or(at);
        let causes = cause::causes(&moved, &less, |q| self.series.watched(q), self.loudest);
        let named = match causes.is_empty() {
            true => causes_of(Kind::Bus, Series::Measured, &trip.change),
            false => causes.iter().map(ToString::to_string).collect(),
        };
        let direction = if first.shift > 0.0 { Direction::Up } else { Direction::Down };
        let anomaly = Anomaly {
            signal: format!("{}.{}.{}", self.settings.id, first.talker, first.quantity.name()),
            series: Series::Measured,
            code: reasons::BUS_CHANGED,
            found_ns: at.0,
            since_ns: since.0,
            change: Change { direction, magnitude_sigma: first.sigma, ..trip.change },
            value: self.series.reading(first.talker, first.quantity).value,
            level: self.series.level(first),
            usual: self.series.usual(first.talker, first.quantity),
            is_mostly: false,
            causes: named,
        };
        self.series.tell(&moved);
        out.push(News::Changed(Box::new(Changed { anomaly, causes, moved })));
    }

    /// Who talks, with what: learned, or new.
    fn notice(&mut self, event: &Event, out: &mut Vec<News>) {
        let Some(unit) = event.unit else { return };
        let is_known = self.is_known();
        // A unit is on the list when it was asked or has answered while the bus was learned.
        if !is_known && self.units.len() < MAX_UNITS && matches!(event.seen, Seen::Request { .. }) {
            self.units.entry(unit).or_insert_with(|| Fingerprint::new(unit, None));
        }
        let learning = self.settings.learning;
        let Some(known) = self.units.get_mut(&unit) else {
            let novelty = match event.seen {
                Seen::Request { .. } => Novelty::Asked(unit),
                Seen::Turnaround(_) | Seen::Untimed | Seen::Stranger => Novelty::Talker(unit),
                _ => return,
            };
            if is_known {
                self.new_on_bus(event.at, novelty, out);
            }
            return;
        };
        let is_learning = known.windows < learning;
        let novelty = match event.seen {
            Seen::Request { function } => {
                self.asked = Some((unit, function));
                let is_new = !known.pattern.functions.contains(&function);
                if is_new && is_learning {
                    known.pattern.functions.insert(function);
                }
                is_new.then_some(Novelty::Function(unit, function))
            }
            Seen::Exception(code) => {
                let function = self.asked.filter(|(u, _)| *u == unit).map_or(0, |(_, f)| f);
                let is_new = !known.pattern.exceptions.contains(&(function, code));
                if is_new && is_learning {
                    known.pattern.exception(function, code);
                }
                is_new.then_some(Novelty::Exception(unit, function, code))
            }
            Seen::Turnaround(ns) if is_learning => {
                known.turnaround.push(ns as f64 * 1e-9);
                None
            }
            Seen::Gap(ns) if is_learning => {
                known.gap.push(ns as f64 * 1e-9);
                None
            }
            _ => None,
        };
        if let Some(novelty) = novelty.filter(|_| !is_learning) {
            self.new_on_bus(event.at, novelty, out);
        }
    }

    fn new_on_bus(&mut self, at: Mono, novelty: Novelty, out: &mut Vec<News>) {
        if self.told.len() >= MAX_TOLD || !self.told.insert(novelty) {
            return;
        }
        let talker = Talker::Unit(novelty.unit());
        let (what, value, code, causes) = match novelty {
            Novelty::Talker(u) => ("talker", u, reasons::NEW_ON_BUS, vec![cause::Cause::NewDevice(talker)]),
            Novelty::Asked(u) => ("asked", u, reasons::NEW_ON_BUS, vec![cause::Cause::NewUse(talker)]),
            Novelty::Function(_, f) => {
                ("function", f, reasons::NEW_ON_BUS, vec![cause::Cause::NewUse(talker)])
            }
            Novelty::Exception(_, _, code) => {
                let causes = vec![cause::Cause::Program(talker), cause::Cause::NewUse(talker)];
                ("exception", code, reasons::BUS_CHANGED, causes)
            }
        };
        let change = Change {
            samples_ago: 0,
            magnitude_sigma: 0.0,
            direction: Direction::Up,
            detector: Detector::Novelty,
        };
        let anomaly = Anomaly {
            signal: format!("{}.{talker}.{what}", self.settings.id),
            series: Series::Measured,
            code,
            found_ns: at.0,
            since_ns: at.0,
            change,
            value: f64::from(value),
            level: None,
            usual: None,
            is_mostly: false,
            causes: causes.iter().map(ToString::to_string).collect(),
        };
        out.push(News::New(Box::new(anomaly), novelty));
    }
}

/// Below it the clock's own reading takes a share of the window.
const SHORTEST_WINDOW: std::time::Duration = std::time::Duration::from_millis(1);
/// Windows that are closed at once; a longer gap is a gap.
const MOST_AT_ONCE: u32 = 16;
/// A bus is silent after so many windows without a word.
const SILENT_AFTER: usize = 5;
