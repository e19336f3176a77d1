//! One signal: what is measured, what the controller reports of it, and the difference, each under watch.

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Block, Flaw, Quality};
use serde::{Deserialize, Serialize};

use crate::anomaly::{Anomaly, Kind, Series, causes_of, code_of};
use crate::baseline::{Cause, Learning, Model, Settings};
use crate::compare::{self, Alignment, Comparison};
use crate::detect::calibrate::Wanted;
use crate::detect::limit::{Limit, Position, Range};
use crate::detect::{Change, Detector};
pub use crate::estimate::phasor::{Class, Nominal};
use crate::feature::{Feature, Outcome, Stood, StoredFeature};
use crate::level::Level;
use crate::measure::Meter;
pub use crate::measure::{Mains, Measure, Reading};
use crate::past::Past;

/// How a signal is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Its id.
    pub id: String,
    /// The controller it belongs to.
    pub plc: Option<String>,
    /// What it is of.
    pub kind: Kind,
    /// What is measured.
    pub measure: Measure,
    /// Unit of the readings, for people.
    pub unit: String,
    /// Samples that make one reading; zero: each sample is one (only for [`Measure::Value`]).
    pub window: Duration,
    /// Time from one reading to the next.
    pub interval: Duration,
    /// False alarms a year that are acceptable, all series together.
    pub false_alarms_per_year: f64,
    /// Readings to learn from; `None`: nothing is learned, and only `limits` judge.
    pub learning: Option<Learning>,
    /// Readings after a switch of regime that are not judged.
    pub settle: u32,
    /// Limits that a person set.
    pub limits: Option<Range>,
    /// Longest lag of the controller's report; `None`: it reports nothing.
    pub reported: Option<Duration>,
}

/// A signal under watch.
pub struct Channel {
    spec: Spec,
    meter: Meter,
    measured: Feature,
    past: Past,
    reported: Option<Said>,
    limit: Option<Limit>,
    /// The operating regime; `None`: its controller has one and has not said which.
    regime: Option<u16>,
    unjudged: Unjudged,
    last: Option<Reading>,
    said: Option<(Mono, f64)>,
    lost: Lost,
    readings: Vec<Reading>,
}

/// Readings that were not judged, less those that were: a regime that keeps switching has many of the former.
#[derive(Debug, Default)]
struct Unjudged {
    balance: u32,
    stands: bool,
}

impl Unjudged {
    /// Counts one reading; says when too many were not judged (true), and when they are again (false).
    fn count(&mut self, is_judged: bool) -> Option<bool> {
        self.balance = match is_judged {
            true => self.balance.saturating_sub(1),
            false => (self.balance + 1).min(UNJUDGED),
        };
        let stands = if self.stands { self.balance > 0 } else { self.balance >= UNJUDGED };
        (std::mem::replace(&mut self.stands, stands) != stands).then_some(stands)
    }
}

/// Whether anything usable comes: lost after [`LOST_AFTER`] bad readings in a row, and back when good ones
/// outnumber the bad, so that a signal on the edge is lost once and not with each reading.
#[derive(Debug, Default)]
struct Lost {
    in_row: u32,
    balance: u32,
    stands: bool,
}

impl Lost {
    /// Takes a reading that is not good; the flaw when the signal is lost by it. At the end of its range a signal
    /// says nothing more, however well it is read.
    fn bad(&mut self, quality: Quality) -> Option<Flaw> {
        self.in_row = self.in_row.saturating_add(1);
        self.balance = (self.balance + 1).min(MOST_BAD);
        match quality {
            Quality::Bad(flaw) | Quality::Uncertain(flaw @ Flaw::Saturated) if self.in_row >= LOST_AFTER => {
                (!std::mem::replace(&mut self.stands, true)).then_some(flaw)
            }
            _ => None,
        }
    }

    /// Takes a good one; true when the signal is back by it.
    fn good(&mut self) -> bool {
        self.in_row = 0;
        self.balance = self.balance.saturating_sub(1);
        self.balance == 0 && std::mem::take(&mut self.stands)
    }
}

/// What the controller says of the quantity.
struct Said {
    series: Feature,
    residual: Feature,
    compare: Comparison,
    past: Past,
    past_residual: Past,
}

/// What a block or a report led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A new reading, good or not, and the regime it is of: `None` while the process settles after a switch,
    /// while it is held back after an update, or where no regime is known.
    Reading(Reading, Option<u16>),
    /// Readings that could have been judged mostly were not: their regime was never learned, or switches all
    /// the time. The regime of the last one.
    Unjudged(Option<u16>),
    /// They are judged again.
    Judged,
    /// A behaviour changed: an alarm begins. Of one reason there is one until [`Event::Cleared`].
    Anomaly(Anomaly),
    /// What the alarm that stands is about went on, in another direction or again after a while. For whoever tells
    /// the story; it is no alarm of its own.
    Further(Anomaly),
    /// An alarm is over.
    Cleared(Series),
    /// A baseline became ready; from here on the series is judged.
    Learned(Series),
    /// Nothing usable has come for a while.
    Lost(Flaw),
    /// It is usable again.
    Back,
}

/// What is kept of a signal over a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    domain: String,
    id: String,
    measured: StoredFeature,
    reported: Option<(StoredFeature, StoredFeature, Option<Alignment>)>,
}

impl Stored {
    /// The signal it is of.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Channel {
    /// A signal that has learned nothing.
    pub fn new(spec: Spec) -> Channel {
        let series = if spec.reported.is_some() { 3.0 } else { 1.0 };
        let wanted = Wanted {
            false_alarms_per_year: spec.false_alarms_per_year / series,
            interval_s: spec.interval.as_secs_f64(),
        };
        let settings = Settings { learning: spec.learning.unwrap_or_default(), settle: spec.settle };
        let feature = |n: u64| Feature::new(settings, wanted, seed(&spec.id) ^ n);
        let reported = spec.reported.map(|max_lag| Said {
            series: feature(1),
            residual: feature(2),
            compare: Comparison::new(Channel::comparison(&spec, max_lag)),
            past: Past::new(),
            past_residual: Past::new(),
        });
        Channel {
            meter: Meter::new(spec.measure, spec.window),
            measured: feature(0),
            past: Past::new(),
            reported,
            limit: spec.limits.and_then(|range| Limit::new(range).ok()),
            regime: Some(0),
            unjudged: Unjudged::default(),
            last: None,
            said: None,
            lost: Lost::default(),
            readings: Vec::new(),
            spec,
        }
    }

    fn comparison(spec: &Spec, max_lag: Duration) -> compare::Settings {
        let span = max_lag.saturating_add(spec.interval);
        compare::Settings { learn: COMPARED, max_lag, stale: span.saturating_mul(5) }
    }

    /// How it is set up.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The last reading.
    pub fn last(&self) -> Option<Reading> {
        self.last
    }

    /// What the controller said last.
    pub fn said(&self) -> Option<(Mono, f64)> {
        self.said
    }

    /// The baseline of a series in the present regime.
    pub fn model(&self, series: Series) -> Option<&Model> {
        self.feature(series)?.model()
    }

    /// The baseline of the epoch before.
    pub fn previous(&self, series: Series) -> Option<&Model> {
        self.feature(series)?.previous()
    }

    /// Share of the record that is learned, 0 to 1; the least of all series.
    pub fn progress(&self) -> f64 {
        if self.spec.learning.is_none() {
            return 1.0;
        }
        let all = [Series::Measured, Series::Reported, Series::Residual];
        all.iter().filter_map(|s| self.feature(*s)).map(Feature::progress).fold(1.0, f64::min)
    }

    /// Whether an alarm stands on a series.
    pub fn in_alarm(&self) -> bool {
        let all = [Series::Measured, Series::Reported, Series::Residual];
        self.lost.stands
            || self.is_beyond_limit()
            || all.iter().filter_map(|s| self.feature(*s)).any(Feature::in_alarm)
    }

    fn is_beyond_limit(&self) -> bool {
        self.limit.as_ref().is_some_and(|limit| limit.position() != Position::Inside)
    }

    /// The last good value of a series, and the time it is of.
    pub fn latest(&self, series: Series) -> Option<(Mono, f64)> {
        self.feature(series)?.latest()
    }

    /// How much speaks for a change in a series, as a share of what an alarm takes: 0 to 1, and 1 from the
    /// value that tips one until it ends. `None` while nothing is judged. For the eye; an alarm is what [`Channel::block`] says.
    pub fn evidence(&self, series: Series) -> Option<f64> {
        self.feature(series)?.evidence()
    }

    /// How the report follows the measurement.
    pub fn alignment(&self) -> Option<Alignment> {
        self.reported.as_ref().and_then(|s| s.compare.alignment())
    }

    /// The operating regime from here on: a controller's bit, a band of set points. `None`: it has one that is
    /// not known yet, and nothing is learned or judged until it is.
    pub fn set_regime(&mut self, regime: Option<u16>) {
        self.regime = regime;
    }

    /// The last good values of a series in each regime, oldest first.
    pub(crate) fn recent_by_regime(&self, series: Series) -> impl Iterator<Item = (u16, Vec<f64>)> {
        self.feature(series).into_iter().flat_map(Feature::recent)
    }

    /// What was learned of a series in one regime.
    pub(crate) fn model_of(&self, series: Series, regime: u16) -> Option<&Model> {
        self.feature(series)?.model_of(regime)
    }

    /// What stands, or is suspected, of a series.
    pub(crate) fn stood(&self, series: Series) -> Option<Stood> {
        self.feature(series)?.stood()
    }

    /// The regime that the last value of a series is of, unless it settles or is held back.
    pub(crate) fn steady(&self, series: Series) -> Option<u16> {
        self.feature(series)?.steady()
    }

    /// Takes a block; appends what follows from it.
    pub fn block(&mut self, block: &Block, out: &mut Vec<Event>) {
        let mut readings = std::mem::take(&mut self.readings);
        if self.meter.take(block, &mut readings) {
            self.measured.gap();
        }
        for reading in readings.drain(..) {
            self.reading(reading, out);
        }
        self.readings = readings;
    }

    /// The controller reported `value`, in the signal's unit.
    pub fn report(&mut self, at: Mono, value: f64, out: &mut Vec<Event>) {
        let Some(said) = &mut self.reported else { return };
        if !value.is_finite() || self.said.is_some_and(|(last, _)| at <= last) {
            return;
        }
        self.said = Some((at, value));
        said.compare.reported(at, value);
        let Some(regime) = self.regime else { return };
        said.past.note(at, value);
        let outcome = said.series.take(at, value, regime);
        self.tell(Series::Reported, at, value, outcome, out);
    }

    fn reading(&mut self, reading: Reading, out: &mut Vec<Event>) {
        self.last = Some(reading);
        if !reading.quality.is_good() {
            out.push(Event::Reading(reading, None));
            out.extend(self.lost.bad(reading.quality).map(Event::Lost));
            self.measured.gap();
            return;
        }
        let is_back = self.lost.good();
        let Reading { at, value, .. } = reading;
        self.past.note(at, value);
        let learns = self.regime.filter(|_| self.spec.learning.is_some());
        let outcome = learns.and_then(|regime| self.measured.take(at, value, regime));
        let steady = learns.and_then(|_| self.measured.steady());
        out.push(Event::Reading(reading, steady));
        if is_back {
            out.push(Event::Back);
        }
        self.judge_by_limit(at, value, out);
        self.tell(Series::Measured, at, value, outcome, out);
        if self.measured.has_learned() && !self.measured.is_held(at) {
            let is_judged = self.regime.is_some() && self.measured.is_judged();
            out.extend(self.unjudged.count(is_judged).map(|begins| match begins {
                true => Event::Unjudged(self.regime),
                false => Event::Judged,
            }));
        }
        let Some(regime) = self.regime else { return };
        if let Some(said) = &mut self.reported
            && let Some(residual) = said.compare.measured(at, value)
        {
            said.past_residual.note(residual.at, residual.value);
            let outcome = said.residual.take(residual.at, residual.value, regime);
            self.tell(Series::Residual, residual.at, residual.value, outcome, out);
        }
    }

    fn judge_by_limit(&mut self, at: Mono, value: f64, out: &mut Vec<Event>) {
        let was_beyond = self.is_beyond_limit();
        if let Some(change) = self.limit.as_mut().and_then(|l| l.step(value)) {
            out.push(Event::Anomaly(self.anomaly(Series::Measured, at, value, change, None)));
        } else if was_beyond && !self.is_beyond_limit() && !self.measured.in_alarm() {
            out.push(Event::Cleared(Series::Measured));
        }
    }

    fn tell(&self, series: Series, at: Mono, value: f64, outcome: Option<Outcome>, out: &mut Vec<Event>) {
        out.extend(outcome.and_then(|outcome| match outcome {
            Outcome::Changed { change, usual } => {
                Some(Event::Anomaly(self.anomaly(series, at, value, change, Some(usual))))
            }
            Outcome::Further { change, usual } => {
                Some(Event::Further(self.anomaly(series, at, value, change, Some(usual))))
            }
            // The alarm of the limit is one of the measured series, too, and goes on.
            Outcome::Cleared if series == Series::Measured && self.is_beyond_limit() => None,
            Outcome::Cleared => Some(Event::Cleared(series)),
            Outcome::Learned => Some(Event::Learned(series)),
        }));
    }

    fn anomaly(
        &self,
        series: Series,
        at: Mono,
        value: f64,
        change: Change,
        usual: Option<(f64, f64)>,
    ) -> Anomaly {
        let past = self.past(series);
        let model = self.feature(series).and_then(Feature::model).filter(|_| usual.is_some());
        let level = model.and_then(|m| Level::of(&past.since(level_from(&change)), change.direction, m));
        let effect = level.and_then(|l| l.effect);
        Anomaly {
            signal: self.spec.id.clone(),
            series,
            code: code_of(self.spec.kind, series, &change),
            found_ns: at.0,
            since_ns: past.back(change.samples_ago, self.spec.interval).min(at).0,
            change: Change { magnitude_sigma: effect.map_or(change.magnitude_sigma, f64::abs), ..change },
            value,
            level,
            usual,
            is_mostly: model.is_some_and(Model::is_mostly_one),
            causes: causes_of(self.spec.kind, series, &change),
        }
    }

    /// For `time` from `now` on nothing is learned or judged: the controller restarts.
    pub fn hold(&mut self, now: Mono, time: Duration) {
        self.each(|f| f.hold(now, time));
        self.unjudged = Unjudged::default();
    }

    /// A new epoch: after a verified update, or at an operator's word.
    pub fn relearn(&mut self, cause: Cause) {
        self.each(|f| f.relearn(cause));
        self.unjudged = Unjudged::default();
        if let Some(said) = &mut self.reported {
            said.compare.relearn();
        }
    }

    /// What to keep over a restart; `None` when nothing new was learned since the last call.
    pub fn take_learned(&mut self) -> Option<Stored> {
        let mut learned = false;
        self.each(|f| learned |= f.take_learned());
        learned.then(|| self.stored())
    }

    fn stored(&self) -> Stored {
        Stored {
            domain: DOMAIN.into(),
            id: self.spec.id.clone(),
            measured: self.measured.stored(),
            reported: self
                .reported
                .as_ref()
                .map(|s| (s.series.stored(), s.residual.stored(), s.compare.alignment())),
        }
    }

    /// Goes on with what was learned before. False when it was stored for another signal or by another
    /// version, or is damaged; then what could not be used is learned anew.
    pub fn resume(&mut self, stored: Stored) -> bool {
        if stored.domain != DOMAIN || stored.id != self.spec.id {
            return false;
        }
        let mut is_whole = self.measured.resume(stored.measured);
        if let (Some(said), Some((series, residual, alignment)), Some(max_lag)) =
            (&mut self.reported, stored.reported, self.spec.reported)
        {
            is_whole &= said.series.resume(series);
            let settings = Channel::comparison(&self.spec, max_lag);
            if let Some(compare) = alignment.and_then(|a| Comparison::resume(settings, a)) {
                said.compare = compare;
                is_whole &= said.residual.resume(residual);
            }
        }
        is_whole
    }

    fn past(&self, series: Series) -> &Past {
        match (series, &self.reported) {
            (Series::Reported, Some(said)) => &said.past,
            (Series::Residual, Some(said)) => &said.past_residual,
            (_, _) => &self.past,
        }
    }

    fn feature(&self, series: Series) -> Option<&Feature> {
        match series {
            Series::Measured => Some(&self.measured),
            Series::Reported => self.reported.as_ref().map(|s| &s.series),
            Series::Residual => self.reported.as_ref().map(|s| &s.residual),
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut Feature)) {
        act(&mut self.measured);
        if let Some(said) = &mut self.reported {
            act(&mut said.series);
            act(&mut said.residual);
        }
    }
}

/// From how many readings back on the level is taken: of a drift, which never had one level, the last quarter.
fn level_from(change: &Change) -> u64 {
    match change.detector {
        Detector::Drift => change.samples_ago / 4,
        _ => change.samples_ago,
    }
}

/// The same thresholds on every start: the simulation's seed is the signal's name (FNV-1a).
fn seed(id: &str) -> u64 {
    id.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3))
}

const DOMAIN: &str = "headgate/signal/v1";
/// Readings that teach how the report follows the measurement.
const COMPARED: usize = 256;
/// So many more readings that were not judged than were are told.
const UNJUDGED: u32 = 60;
/// A signal is lost after so many bad readings in a row.
const LOST_AFTER: u32 = 5;
/// It is back after so many good ones at most, where no bad ones are between them.
const MOST_BAD: u32 = 20;
