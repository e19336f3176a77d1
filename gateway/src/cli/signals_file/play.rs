//! Plays a record through the monitor, exactly as live signals go, and keeps what a report needs.

use std::collections::BTreeMap;
use std::time::Duration;

use hal::clock::Mono;
use hal::reason::ReasonCode;
use hal::sensor::{Block, Flaw, Quality};
use sensor_monitor::anomaly::{Anomaly, Series};
use sensor_monitor::baseline::moved;
use sensor_monitor::channel::{Channel, Event, Measure, Reading, Spec};
use sensor_monitor::compare::Alignment;
use sensor_monitor::estimate::spectrum::Spectrum;
use sensor_monitor::monitor::{Monitor, News};
use sensor_monitor::watch;

use super::CONTROLLER;
use super::record::Record;
use crate::judge::Failure;

/// What a record led to.
pub(super) struct Played {
    pub(super) spec: Spec,
    /// Every reading: seconds and value, NaN where it was not good.
    pub(super) readings: Vec<(f64, f64)>,
    /// Readings of each quality.
    pub(super) qualities: BTreeMap<Quality, u64>,
    /// What the controller reported, and measured minus reported.
    pub(super) reported: Vec<(f64, f64)>,
    pub(super) residual: Vec<(f64, f64)>,
    /// Of each series: seconds and share of what an alarm takes, NaN where it is not judged.
    pub(super) evidence: BTreeMap<Series, Vec<(f64, f64)>>,
    pub(super) learned: Vec<Learned>,
    /// How the report follows the measurement.
    pub(super) alignment: Option<Alignment>,
    pub(super) anomalies: Vec<Anomaly>,
    /// Of the anomaly in the same place: how often it went on while its alarm stood, and the last time.
    pub(super) further: Vec<Option<(u64, Anomaly)>>,
    /// Alarms that ended.
    pub(super) cleared: Vec<Cleared>,
    /// Stretches in which nothing could be used: from, to, and the first flaw.
    pub(super) lost: Vec<(Mono, Option<Mono>, Flaw)>,
    pub(super) updates: Vec<Update>,
    /// Share of the record that was learned at its end.
    pub(super) progress: f64,
    pub(super) spectra: Option<Spectra>,
}

/// A baseline.
pub(super) struct Learned {
    pub(super) series: Series,
    pub(super) at: Mono,
    pub(super) median: f64,
    /// 0 where it stood still.
    pub(super) scale: f64,
    pub(super) readings: u64,
    /// Independent readings among them.
    pub(super) effective: f64,
    /// Readings averaged to one before they are judged.
    pub(super) block: u32,
    /// Share of the readings that were the median exactly.
    pub(super) share: f64,
    /// Whether most were, so that no deviation was measured.
    pub(super) is_mostly: bool,
    /// When the level moved while it was learned, from where and to where.
    pub(super) unsteady: Option<(Mono, f64, f64)>,
}

/// The end of an alarm, which may have had several reasons.
pub(super) struct Cleared {
    pub(super) at: Mono,
    pub(super) series: Series,
    pub(super) codes: Vec<ReasonCode>,
}

/// An update, and what its soak said.
pub(super) struct Update {
    pub(super) at: Mono,
    pub(super) changed: Option<String>,
    /// After a change: what the whole soak said.
    pub(super) measured: Option<String>,
    pub(super) quiet: Option<String>,
    /// The next update came within its soak.
    pub(super) is_overtaken: bool,
}

/// Mean power in each bin while learning, and afterwards: in alarm if there was one, else without.
pub(super) struct Spectra {
    pub(super) hertz_per_bin: f64,
    pub(super) learning: Option<Vec<f64>>,
    pub(super) usual: Option<Vec<f64>>,
    pub(super) in_alarm: Option<Vec<f64>>,
}

pub(super) fn play(
    record: &Record,
    spec: Spec,
    reports: &[(Mono, f64)],
    updates: &[Mono],
) -> Result<Played, Failure> {
    let most = samples_at_once(&spec, record.period_ns);
    let mut updates = updates.to_vec();
    updates.sort_unstable();
    let mut player = Player::new(record, spec, reports, updates);
    record.each(&mut record.open()?, |block| {
        player.listen(&block);
        for part in parts(block, most) {
            player.before(part.at);
            player.take(&part)?;
        }
        Ok(())
    })?;
    player.before(record.end() + Duration::from_nanos(1));
    Ok(player.finish())
}

struct Player<'a> {
    monitor: Monitor,
    news: Vec<News>,
    reports: std::iter::Peekable<std::slice::Iter<'a, (Mono, f64)>>,
    updates: std::iter::Peekable<std::vec::IntoIter<Mono>>,
    last_residual: Option<Mono>,
    ear: Option<Ear>,
    out: Played,
}

impl<'a> Player<'a> {
    fn new(record: &Record, spec: Spec, reports: &'a [(Mono, f64)], updates: Vec<Mono>) -> Player<'a> {
        let monitor = Monitor::new(vec![Channel::new(spec.clone())], watch::Settings::default());
        let is_fast = record.is_wav || !matches!(spec.measure, Measure::Value);
        let out = Played {
            spec,
            readings: Vec::new(),
            qualities: BTreeMap::new(),
            reported: Vec::new(),
            residual: Vec::new(),
            evidence: BTreeMap::new(),
            learned: Vec::new(),
            alignment: None,
            anomalies: Vec::new(),
            further: Vec::new(),
            cleared: Vec::new(),
            lost: Vec::new(),
            updates: Vec::new(),
            progress: 0.0,
            spectra: None,
        };
        Player {
            monitor,
            news: Vec::new(),
            reports: reports.iter().peekable(),
            updates: updates.into_iter().peekable(),
            last_residual: None,
            ear: if is_fast { Ear::new(record) } else { None },
            out,
        }
    }

    /// What came before `at` besides samples: reports and updates, each in its order.
    fn before(&mut self, at: Mono) {
        while let Some((when, value)) = self.reports.next_if(|(when, _)| *when < at) {
            self.accept(*when);
            self.monitor.report(0, *when, *value, &mut self.news);
            self.out.reported.push((seconds(*when), *value));
            self.note(Series::Reported, *when, true);
            self.tell(*when);
        }
        self.accept(at);
        self.monitor.tick(at, &mut self.news);
        self.tell(at);
    }

    fn accept(&mut self, now: Mono) {
        while let Some(at) = self.updates.next_if(|at| *at <= now) {
            let running = self.out.updates.last_mut().filter(|u| u.changed.is_none() && u.quiet.is_none());
            running.into_iter().for_each(|u| u.is_overtaken = true);
            self.monitor.accepted(self.out.updates.len() as u64, CONTROLLER, at);
            self.out.updates.push(Update {
                at,
                changed: None,
                measured: None,
                quiet: None,
                is_overtaken: false,
            });
        }
    }

    fn take(&mut self, part: &Block) -> Result<(), Failure> {
        self.monitor.block(0, part, &mut self.news);
        let at = part.samples.len().checked_sub(1).map_or(part.at, |last| part.time_of(last));
        self.tell(at);
        if self.out.readings.len() > MOST_READINGS {
            let text =
                format!("more than {MOST_READINGS} readings: set --window, so that many samples make one");
            return Err(Failure::usage(text));
        }
        Ok(())
    }

    /// Sorts what the monitor said up to `at`.
    fn tell(&mut self, at: Mono) {
        let mut news = std::mem::take(&mut self.news);
        for item in news.drain(..) {
            match item {
                News::Signal(_, event) => self.event(event, at),
                News::ChangedAfterUpdate(case, _, text) => self.update(case, |u| u.changed = Some(text)),
                News::Measured(case, text) => self.update(case, |u| u.measured = Some(text)),
                News::Quiet(case, text) => self.update(case, |u| u.quiet = Some(text)),
            }
        }
        self.news = news;
    }

    fn update(&mut self, case: u64, set: impl FnOnce(&mut Update)) {
        if let Some(update) = self.out.updates.get_mut(case as usize) {
            set(update);
        }
    }

    fn event(&mut self, event: Event, at: Mono) {
        match event {
            Event::Reading(reading, _) => self.reading(reading),
            Event::Unjudged(_) | Event::Judged => {} // a record has one regime
            Event::Anomaly(anomaly) => {
                self.out.anomalies.push(anomaly);
                self.out.further.push(None);
            }
            Event::Further(anomaly) => self.further(anomaly),
            Event::Cleared(series) => self.cleared(series, at),
            Event::Lost(flaw) => self.out.lost.push((at, None, flaw)),
            Event::Back => self.out.lost.iter_mut().filter(|l| l.1.is_none()).for_each(|l| l.1 = Some(at)),
            Event::Learned(series) => {
                let Some(model) = self.monitor.channels()[0].model(series) else { return };
                let readings = self.out.of(series);
                let mut from: Vec<_> = readings.iter().rev().filter(|(_, v)| v.is_finite()).collect();
                from.truncate(usize::try_from(model.samples()).unwrap_or(usize::MAX));
                from.reverse();
                let values: Vec<f64> = from.iter().map(|(_, value)| *value).collect();
                self.out.learned.push(Learned {
                    series,
                    at,
                    median: model.median(),
                    scale: model.seen_scale(),
                    readings: model.samples(),
                    effective: model.effective(),
                    block: model.block(),
                    share: share(&values, model.median()),
                    is_mostly: model.is_mostly_one(),
                    unsteady: moved(&values).map(|m| (instant(from[m.at].0), m.before, m.after)),
                });
            }
        }
    }

    fn further(&mut self, anomaly: Anomaly) {
        let same = |a: &Anomaly| (a.series, a.code) == (anomaly.series, anomaly.code);
        if let Some(n) = self.out.anomalies.iter().rposition(same) {
            let count = self.out.further[n].as_ref().map_or(0, |(count, _)| *count);
            self.out.further[n] = Some((count + 1, anomaly));
        }
    }

    fn cleared(&mut self, series: Series, at: Mono) {
        let before = self.out.cleared.iter().rfind(|c| c.series == series).map_or(Mono(0), |c| c.at);
        let mine = |a: &&Anomaly| a.series == series && a.found() >= before;
        let codes = self.out.anomalies.iter().filter(mine).map(|a| a.code).collect();
        self.out.cleared.push(Cleared { at, series, codes });
    }

    fn reading(&mut self, reading: Reading) {
        *self.out.qualities.entry(reading.quality).or_insert(0) += 1;
        let value = if reading.quality.is_good() { reading.value } else { f64::NAN };
        self.out.readings.push((seconds(reading.at), value));
        self.note(Series::Measured, reading.at, reading.quality.is_good());
        let latest = self.monitor.channels()[0].latest(Series::Residual);
        if let Some((at, value)) = latest.filter(|(at, _)| self.last_residual != Some(*at)) {
            self.last_residual = Some(at);
            self.out.residual.push((seconds(at), value));
            self.note(Series::Residual, at, true);
        }
    }

    /// Keeps the evidence after a value; one that is not good was not judged.
    fn note(&mut self, series: Series, at: Mono, is_good: bool) {
        let evidence = self.monitor.channels()[0].evidence(series).filter(|_| is_good);
        let points = self.out.evidence.entry(series).or_default();
        if evidence.is_some() || points.last().is_some_and(|(_, last)| last.is_finite()) {
            points.push((seconds(at), evidence.unwrap_or(f64::NAN)));
        }
    }

    fn listen(&mut self, block: &Block) {
        let channel = &self.monitor.channels()[0];
        let phase = match (channel.progress() < 1.0, channel.in_alarm()) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        self.ear.iter_mut().for_each(|ear| ear.take(block, phase));
    }

    fn finish(mut self) -> Played {
        let mut found: Vec<_> = std::mem::take(&mut self.out.anomalies)
            .into_iter()
            .zip(std::mem::take(&mut self.out.further))
            .collect();
        found.sort_by_key(|(a, _)| a.found_ns);
        (self.out.anomalies, self.out.further) = found.into_iter().unzip();
        self.out.cleared.sort_by_key(|c| c.at);
        self.out.alignment = self.monitor.channels()[0].alignment();
        self.out.progress = self.monitor.channels()[0].progress();
        self.out.spectra = self.ear.map(Ear::spectra);
        self.out
    }
}

impl Played {
    /// All values of a series so far.
    fn of(&self, series: Series) -> &[(f64, f64)] {
        match series {
            Series::Measured => &self.readings,
            Series::Reported => &self.reported,
            Series::Residual => &self.residual,
        }
    }
}

/// Share of the values that are `one` exactly.
#[allow(clippy::float_cmp)] // the same value is the point
fn share(values: &[f64], one: f64) -> f64 {
    values.iter().filter(|v| **v == one).count() as f64 / values.len().max(1) as f64
}

/// Gathers windows of good samples and the mean power of their spectra, while learning, without and in alarm.
struct Ear {
    spectrum: Spectrum,
    window: Vec<f64>,
    length: usize,
    rate: f64,
    phase: usize,
    power: [(Vec<f64>, u32); 3],
}

impl Ear {
    fn new(record: &Record) -> Option<Ear> {
        // At least 16 windows in a record, so that there is something to compare.
        let longest = usize::try_from(record.samples / 16).unwrap_or(MOST_IN_WINDOW).min(MOST_IN_WINDOW);
        let length = 1 << longest.max(1).ilog2();
        let spectrum = Spectrum::new(length)?;
        let (window, rate) = (Vec::with_capacity(length), record.rate());
        Some(Ear { spectrum, window, length, rate, phase: 0, power: Default::default() })
    }

    fn take(&mut self, block: &Block, phase: usize) {
        if !block.quality.is_good() || block.lost > 0 || phase != self.phase {
            self.window.clear();
            self.phase = phase;
        }
        if !block.quality.is_good() {
            return;
        }
        for sample in &block.samples {
            self.window.push(*sample);
            if self.window.len() < self.length {
                continue;
            }
            // The mean would hide what lies beside it.
            let mean = self.window.iter().sum::<f64>() / self.length as f64;
            self.window.iter_mut().for_each(|x| *x -= mean);
            if let Some(decibels) = self.spectrum.amplitudes(&self.window, 1.0) {
                let (sum, count) = &mut self.power[self.phase];
                sum.resize(decibels.len(), 0.0);
                sum.iter_mut().zip(decibels).for_each(|(sum, db)| *sum += 10f64.powf(db / 10.0));
                *count += 1;
            }
            self.window.clear();
        }
    }

    fn spectra(self) -> Spectra {
        let hertz_per_bin = self.rate / self.length as f64;
        let [learning, usual, in_alarm] = self.power.map(|(sum, count)| {
            let mean = |s: f64| 10.0 * (s / f64::from(count)).log10();
            (count > 0).then(|| sum.into_iter().map(mean).collect())
        });
        Spectra { hertz_per_bin, learning, usual, in_alarm }
    }
}

/// Samples handed over together: at most one reading comes of them, so that evidence is seen at each.
fn samples_at_once(spec: &Spec, period_ns: u64) -> usize {
    let reading = spec.interval.min(Duration::from_millis(100)).as_nanos();
    let many = usize::try_from(reading / u128::from(period_ns.max(1))).unwrap_or(usize::MAX);
    if spec.measure == Measure::Value && spec.window.is_zero() { 1 } else { many.max(1) }
}

/// A block in pieces, which together say what it says.
fn parts(block: Block, most: usize) -> Vec<Block> {
    if block.samples.len() <= most {
        return vec![block];
    }
    let piece = |(n, samples): (usize, &[f64])| Block {
        at: block.time_of(n * most),
        period_ns: block.period_ns,
        samples: samples.to_vec(),
        lost: if n == 0 { block.lost } else { 0 },
        quality: block.quality,
    };
    block.samples.chunks(most).enumerate().map(piece).collect()
}

pub(super) fn seconds(at: Mono) -> f64 {
    at.0 as f64 / 1e9
}

fn instant(seconds: f64) -> Mono {
    Mono((seconds * 1e9).round() as u64)
}

/// Readings kept for a report, at most: about 100 MiB with what belongs to them.
const MOST_READINGS: usize = 2_000_000;
/// Longest window of a spectrum.
const MOST_IN_WINDOW: usize = 8192;
