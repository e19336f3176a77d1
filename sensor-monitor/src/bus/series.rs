//! The series of a bus: one number for each talker, quantity and window, under the baselines and detectors of
//! every other signal, sharing the false alarms allowed for the bus.

use std::collections::BTreeMap;
use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Flaw, Quality};
use serde::{Deserialize, Serialize};

use super::Settings;
use super::cause::Moved;
use super::quantity::{Quantity, Talker};
use crate::baseline::{self, Cause, Learning};
use crate::channel::Reading;
use crate::detect::calibrate::Wanted;
use crate::detect::{Change, Detector};
use crate::feature::{Feature, Outcome, StoredFeature};
use crate::level::{Basis, Level};

/// Windows that are looked at together to say what moved.
pub(super) const TOGETHER: usize = 12;
/// Limits found in one window, at most: each takes a tenth of a second and more.
const TUNED_AT_ONCE: usize = 4;
/// One in so many windows must be independent. Levels follow the temperature over minutes; the whitening filter
/// takes that away, and the uncertainty of the mean is in the limits.
const EFFECTIVE: u32 = 64;
/// Windows after which a series without a number in half of them is a rare one.
const RARE: u64 = 64;
/// A shift is one when it is beyond so many of its own standard errors.
const SURE: f64 = 4.0;

/// One series.
#[derive(Debug, Clone)]
struct Series {
    feature: Feature,
    /// Mean while learning: what the median of a rate does not show.
    mean: f64,
    taken: u64,
    /// Windows that passed while it was learned.
    passed: u64,
    last: Option<(Mono, f64)>,
    trip: Option<Trip>,
}

/// A change that a detector found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trip {
    pub(super) change: Change,
    pub(super) since: Mono,
    pub(super) told: bool,
}

/// All series of a bus.
#[derive(Debug, Clone)]
pub(super) struct AllSeries {
    settings: Settings,
    series: BTreeMap<(Talker, Quantity), Series>,
}

/// A series as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredSeries {
    talker: Talker,
    quantity: Quantity,
    mean: f64,
    taken: u64,
    feature: StoredFeature,
}

impl AllSeries {
    pub(super) fn new(settings: Settings) -> AllSeries {
        AllSeries { settings, series: BTreeMap::new() }
    }

    /// Takes the numbers of the window that ended at `at`. A series is begun by its first number.
    pub(super) fn take(&mut self, at: Mono, values: &[(Talker, Quantity, f64)]) {
        let wanted = Wanted {
            false_alarms_per_year: self.settings.false_alarms_per_year / self.series.len().max(1) as f64,
            interval_s: self.settings.window.as_secs_f64(),
        };
        self.series.values_mut().filter(|s| s.feature.model().is_none()).for_each(|s| s.passed += 1);
        let mut tuned = 0;
        for &(talker, quantity, value) in values {
            let settings = &self.settings;
            let series = self
                .series
                .entry((talker, quantity))
                .or_insert_with(|| Series::new(settings, talker, quantity));
            series.last = Some((at, value));
            if series.feature.model().is_none() {
                series.taken += 1;
                series.mean += (value - series.mean) / series.taken as f64;
            } else if !series.feature.is_judging() {
                series.feature.want(wanted);
                let this = series.feature.clone();
                // Series of nothing but zeros are all alike.
                let limits = self.series.values().find_map(|s| s.feature.limits_for(&this));
                let Some(series) = self.series.get_mut(&(talker, quantity)) else { continue };
                match limits {
                    Some(limits) => series.feature.adopt(limits),
                    None if tuned == TUNED_AT_ONCE => continue,
                    None => tuned += 1,
                }
            }
            let Some(series) = self.series.get_mut(&(talker, quantity)) else { continue };
            match series.feature.take(at, value, 0) {
                // A polled line rightly repeats itself: that is no replay.
                Some(Outcome::Changed { change, .. } | Outcome::Further { change, .. })
                    if !matches!(change.detector, Detector::Frozen | Detector::Replayed) =>
                {
                    let ago =
                        settings.window.saturating_mul(u32::try_from(change.samples_ago).unwrap_or(u32::MAX));
                    let told = series.trip.is_some_and(|t| t.told);
                    series.trip = Some(Trip { change, since: at - ago, told });
                }
                Some(Outcome::Cleared) => series.trip = None,
                _ => {}
            }
        }
    }

    /// Changes that stand, are large enough to be told, and were not.
    pub(super) fn untold(&self) -> impl Iterator<Item = (Talker, Quantity, Trip)> {
        self.series.iter().filter_map(|(&(talker, quantity), s)| {
            let trip = s.trip.filter(|t| !t.told)?;
            let (shift, _) = s.shift(quantity, TOGETHER / 3)?;
            (shift.abs() >= quantity.least()).then_some((talker, quantity, trip))
        })
    }

    /// What moved over the last windows, tripped or not: by enough to be told, and by less.
    pub(super) fn moved(&self) -> (Vec<Moved>, Vec<Moved>) {
        let moved = |(&(talker, quantity), s): (&(Talker, Quantity), &Series)| {
            let (shift, error) = s.shift(quantity, TOGETHER)?;
            let scale = s.feature.model()?.scale();
            let is_sure = shift.abs() > SURE * error;
            is_sure.then_some(Moved { talker, quantity, shift, sigma: shift / scale })
        };
        let sure = self.series.iter().filter_map(moved);
        sure.partition(|m| m.shift.abs() >= m.quantity.least())
    }

    /// The changes of these series are told.
    pub(super) fn tell(&mut self, moved: &[Moved]) {
        for m in moved {
            if let Some(trip) = self.series.get_mut(&(m.talker, m.quantity)).and_then(|s| s.trip.as_mut()) {
                trip.told = true;
            }
        }
    }

    /// Whether a change that was told stands.
    pub(super) fn in_alarm(&self) -> bool {
        self.series.values().any(|s| s.trip.is_some_and(|t| t.told))
    }

    /// Talkers of which a quantity is learned.
    pub(super) fn watched(&self, quantity: Quantity) -> usize {
        self.series.iter().filter(|((_, q), s)| *q == quantity && s.feature.model().is_some()).count()
    }

    /// The series of a talker that have a number in every window.
    pub(super) fn polled(&self) -> impl Iterator<Item = Talker> {
        self.series.keys().filter(|(_, q)| *q == Quantity::Polls).map(|(t, _)| *t)
    }

    pub(super) fn reading(&self, talker: Talker, quantity: Quantity) -> Reading {
        match self.series.get(&(talker, quantity)).and_then(|s| s.last) {
            Some((at, value)) => {
                let quality = Quality::Good;
                Reading { at, value: quantity.shown(value, 0.0).0, quality }
            }
            None => Reading { at: Mono(0), value: 0.0, quality: Quality::Bad(Flaw::NotMeasured) },
        }
    }

    /// Where a quantity went over the last windows, as people read it.
    pub(super) fn level(&self, moved: &Moved) -> Option<Level> {
        let series = self.series.get(&(moved.talker, moved.quantity))?;
        let model = series.feature.model()?;
        let before = if moved.quantity.is_rate() { series.mean } else { model.median() };
        let value = moved.quantity.shown(before + moved.shift, 0.0).0;
        let basis = if moved.quantity.is_rate() { Basis::Mean } else { Basis::Median };
        let effect = (model.seen_scale() > 0.0).then_some(moved.sigma);
        Some(Level { value, basis, effect, readings: TOGETHER as u64 })
    }

    /// Median and standard deviation that were learned, as people read them.
    pub(super) fn usual(&self, talker: Talker, quantity: Quantity) -> Option<(f64, f64)> {
        let model = self.series.get(&(talker, quantity))?.feature.model()?;
        Some(quantity.shown(model.median(), model.scale()))
    }

    /// The series that is learned least, and how much of it.
    pub(super) fn slowest(&self) -> Option<(Talker, Quantity, f64)> {
        let progress =
            self.series.iter().filter(|(_, s)| !s.is_rare()).map(|(&(t, q), s)| (t, q, s.feature.progress()));
        progress.min_by(|a, b| a.2.total_cmp(&b.2))
    }

    /// Least share that is learned of any series.
    pub(super) fn progress(&self) -> f64 {
        self.slowest().map_or(0.0, |(.., share)| share)
    }

    pub(super) fn is_judging(&self) -> bool {
        !self.series.is_empty() && self.series.values().all(|s| s.is_rare() || s.feature.is_judging())
    }

    pub(super) fn take_learned(&mut self) -> bool {
        // Every series is asked: each forgets that it has learned.
        self.series.values_mut().filter_map(|s| s.feature.take_learned().then_some(())).count() > 0
    }

    pub(super) fn gap(&mut self) {
        self.series.values_mut().for_each(|s| s.feature.gap());
    }

    /// Learns anew what `which` says, from `now` and `settles` later on.
    pub(super) fn relearn(
        &mut self,
        cause: Cause,
        (now, settles): (Mono, Duration),
        which: impl Fn(Talker, Quantity) -> bool,
    ) {
        for ((_, _), s) in self.series.iter_mut().filter(|((t, q), _)| which(*t, *q)) {
            s.feature.relearn(cause);
            s.feature.hold(now, settles);
            (s.mean, s.taken, s.passed, s.trip) = (0.0, 0, 0, None);
        }
    }

    pub(super) fn stored(&self) -> Vec<StoredSeries> {
        let of = |(&(talker, quantity), s): (&(Talker, Quantity), &Series)| StoredSeries {
            talker,
            quantity,
            mean: s.mean,
            taken: s.taken,
            feature: s.feature.stored(),
        };
        self.series.iter().filter(|(_, s)| s.feature.model().is_some()).map(of).collect()
    }

    pub(super) fn resume(&mut self, stored: Vec<StoredSeries>) {
        for StoredSeries { talker, quantity, mean, taken, feature } in
            stored.into_iter().take(super::MAX_SERIES)
        {
            let mut series = Series::new(&self.settings, talker, quantity);
            series.feature.resume(feature);
            (series.mean, series.taken, series.passed) =
                (if mean.is_finite() { mean } else { 0.0 }, taken, taken);
            self.series.insert((talker, quantity), series);
        }
    }
}

impl Series {
    fn new(settings: &Settings, talker: Talker, quantity: Quantity) -> Series {
        let samples = settings.learning.clamp(baseline::FEWEST as u32, baseline::LONGEST_RECORD as u32);
        let learning = Learning::new(samples, samples / EFFECTIVE, quantity.resolution()).unwrap_or_default();
        let wanted = Wanted {
            false_alarms_per_year: settings.false_alarms_per_year,
            interval_s: settings.window.as_secs_f64(),
        };
        // The same thresholds on every start (FNV-1a over the name of the series).
        let name = format!("{}.{talker}.{}", settings.id, quantity.name());
        let seed = name
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3));
        Series {
            feature: Feature::new(baseline::Settings { learning, settle: 0 }, wanted, seed).without_doubt(),
            mean: 0.0,
            taken: 0,
            passed: 0,
            last: None,
            trip: None,
        }
    }

    /// Whether most windows have no number for it, such as a gap in an answer that nearly always comes whole.
    /// It is learned, too, but nobody waits for it.
    fn is_rare(&self) -> bool {
        self.passed >= RARE && self.taken < self.passed / 2
    }

    /// How far the last `windows` lie from what was learned, and the standard error of that.
    fn shift(&self, quantity: Quantity, windows: usize) -> Option<(f64, f64)> {
        let model = self.feature.model()?;
        let mut last = self.feature.last(windows)?;
        let effective = (windows as f64 / model.correlation_time()).max(1.0);
        let error = model.scale() / effective.sqrt();
        if quantity.is_rate() {
            let mean = last.iter().sum::<f64>() / last.len() as f64;
            return Some((mean - self.mean, error));
        }
        last.sort_unstable_by(f64::total_cmp);
        Some((last[last.len() / 2] - model.median(), error))
    }
}
